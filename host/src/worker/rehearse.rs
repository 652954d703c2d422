//! A rehearsal: the journal of a task is repeated against a component, as a host would at a restart, and nothing is touched. Recorded
//! answers are given, messages come from the inbox; the first call that has no answer ends it.
//!
//! Never here: a claim, a lane, a write. Called by the command line, in its own process.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kennel_protocol::Digest;
use kennel_protocol::types::TaskState;
use kennel_sandbox::call::{
    Answer, Call, CallFuture, CancelRequest, Draft, GuestError, HostCalls, LogLine, Moment, Refusal, Seen,
};
use kennel_sandbox::{
    Agent, End, Limits, LoadError, Outcome, ReplyMode, Run, Sandbox, SandboxConfig, SandboxError, Turn,
};
use kennel_store::{Clock, InboxMessage, Inspected, Inspector, JournalRow, StoreError, TaskKey};
use sha2::Digest as _;

use super::course::Course;
use super::finish::{Last, last};
use super::journal::{Begin, DIVERGED, Journal, Kind, Recorded, Source, Step, describe, kind};
use super::outside::too_late;
use super::pendings::Pendings;
use super::supervise::{REPLAY_FACTOR, REPLAY_LEAST};
use super::verdict::{Deed, Rehearsal, Verdict, checkpoint_deed, code_of, deed_of, end_deed, text_of};
use super::waits::reply;
use super::{run, task_facts};
use crate::work::Entry;

/// Instances of a rehearsal: generations follow each other.
const INSTANCES: u32 = 2;

/// Why a journal cannot be rehearsed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RehearseError {
    /// Made by another release.
    #[error("the journal was recorded by a newer kennel; use that release or a newer one")]
    Newer,
    /// Made by a host without journals.
    #[error("the task was made by a kennel without journals, so nothing was recorded")]
    NotRecorded,
    /// No component of this host worked on it.
    #[error("an agent elsewhere works on this task, so there is nothing to repeat")]
    Elsewhere,
    /// The component that the task is pinned to is not there.
    #[error("the component {0} is not stored in this data folder; name a file with --component")]
    NoComponent(Digest),
    /// The component does not load; the text names cause and cure.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// No sandbox in this process.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The run was given up by this process itself.
    #[error("the rehearsal was given up: {0}")]
    GivenUp(String),
}

/// A task to be rehearsed.
pub(crate) struct Rehearsed {
    pub(crate) inspector: Arc<Inspector>,
    pub(crate) key: TaskKey,
    pub(crate) task: Inspected,
}

/// Repeats a task's journal against a component; none: the one that it is pinned to. `cache`: a folder for what is compiled.
pub(crate) async fn rehearse(
    rehearsed: Rehearsed,
    component: Option<Bytes>,
    cache: &Path,
) -> Result<Rehearsal, RehearseError> {
    let Rehearsed { inspector, key, mut task } = rehearsed;
    let row = &task.view.row;
    let facts = task_facts(&task.view).request;
    if facts.remote.is_some() {
        return Err(RehearseError::Elsewhere);
    }
    let entry = facts.entry.ok_or(RehearseError::NotRecorded)?;
    if !Entry::is_known(&entry) {
        return Err(RehearseError::Newer);
    }
    let bytes = match component {
        Some(bytes) => bytes,
        None => {
            let stored = inspector.component(&key.tenant, &row.digest).await?;
            stored.ok_or(RehearseError::NoComponent(row.digest))?
        }
    };
    for inbound in &mut task.view.inbox {
        inspector.complete_message(&key.tenant, &mut inbound.message).await?;
    }
    if let Some(said) = &mut task.view.fold.status.message {
        inspector.complete_message(&key.tenant, said).await?;
    }
    let limits = entry.limits.sandbox(&Limits::default());
    let sandbox = Sandbox::new(SandboxConfig {
        guest_threads: 1,
        live_instances_max: INSTANCES,
        guest_memory_bytes_max: limits.memory_bytes_max,
        cache_dir: cache.to_owned(),
        limits: limits.clone(),
    })?;
    let agent = sandbox.compile(bytes).await?;
    Stage { inspector, key, task, agent, limits, course: Arc::new(Course::default()) }.run().await
}

/// What a rehearsal works with.
struct Stage {
    inspector: Arc<Inspector>,
    key: TaskKey,
    task: Inspected,
    agent: Agent,
    limits: Limits,
    course: Arc<Course>,
}

impl Stage {
    /// Generation after generation, until one does not end as it should or the last is over.
    async fn run(self) -> Result<Rehearsal, RehearseError> {
        let first = self.task.view.inbox.first().map(|inbound| inbound.message.clone());
        let parts = run::Parts {
            tenant: self.key.tenant.clone(),
            task: self.key.task.clone(),
            facts: task_facts(&self.task.view),
            message: first.ok_or_else(|| RehearseError::GivenUp("its first message is missing".to_owned()))?,
        };
        let (mut generations, mut checkpoints) = (0, 0);
        let mut begins: Option<JournalRow> = None;
        if parts.facts.request.retry.as_ref().is_some_and(|retry| retry.begin > 0) {
            // It took a checkpoint over: nothing comes before that.
            begins = self.inspector.next_checkpoint(&self.key, 0).await?;
            checkpoints = 1;
        }
        loop {
            let at = begins.as_ref().map_or(0, |row| row.idx);
            let next = self.inspector.next_checkpoint(&self.key, at).await?;
            generations += 1;
            let scene = Scene { begins: begins.as_ref(), next: next.as_ref() };
            let verdict = self.generation(&parts, &scene).await?;
            checkpoints += u32::from(verdict.is_none());
            let calls = self.course.next().saturating_sub(1).min(self.task.journal.last);
            let rehearsal = |calls: u32, verdict| {
                let component = *self.agent.digest();
                Ok(Rehearsal { component, calls: calls.saturating_sub(checkpoints), generations, verdict })
            };
            match verdict {
                None => begins = next,
                Some(Verdict::Diverged { idx, expected, found }) => {
                    return rehearsal(idx - 1, Verdict::Diverged { idx, expected, found });
                }
                Some(verdict @ Verdict::Waits { .. }) => return rehearsal(calls.saturating_sub(1), verdict),
                Some(verdict) => return rehearsal(calls, verdict),
            }
        }
    }

    /// One generation. None: it ended with the checkpoint that is recorded.
    async fn generation(&self, parts: &run::Parts, scene: &Scene<'_>) -> Result<Option<Verdict>, RehearseError> {
        let (turn, begin) = self.turn(parts, scene);
        let journal = Source::Inspector(Arc::clone(&self.inspector), Clock::system());
        let findings: Arc<Mutex<Option<Finding>>> = Arc::default();
        let calls = Repeating {
            journal: Journal::new(journal, self.key.clone(), Arc::clone(&self.course), begin),
            course: Arc::clone(&self.course),
            inbox: self.task.view.inbox.clone(),
            pendings: Pendings::default(),
            canceled: None,
            finding: Arc::clone(&findings),
        };
        let entry = parts.facts.request.entry.clone().unwrap_or_default();
        let running = self.agent.run(Run {
            turn,
            info: run::info(parts),
            settings: entry.settings,
            credentials: entry.credentials,
            seed: run::seed(parts, begin.generation),
            limits: self.limits.clone(),
            replay_cpu_max: self.replay_cpu_max(&begin).await?,
            calls: Box::new(calls),
        });
        let finished = running.finish().await;
        let finding = findings.lock().unwrap_or_else(PoisonError::into_inner).take();
        match finding {
            Some(Finding::Waits(wait)) => {
                let ended = self.recorded_end().map(|(_, end)| end);
                Ok(Some(Verdict::Waits { wait, ended }))
            }
            Some(Finding::New(idx, next)) => Ok(Some(self.went_on(scene, idx, next))),
            Some(Finding::Other(found)) => self.differs(found).await.map(Some),
            None => self.ended(scene, finished.end).await,
        }
    }

    fn turn(&self, parts: &run::Parts, scene: &Scene<'_>) -> (Turn, Begin) {
        let last = scene.next.map_or(self.task.journal.last, |row| row.idx - 1);
        let message = parts.message.clone();
        match scene.begins {
            None => {
                let now = Moment::from(parts.facts.created);
                let turn = Turn { message, checkpoint: None, generation: 1 };
                (turn, Begin { generation: 1, idx: 0, last, now, rows_max: u32::MAX })
            }
            Some(row) => {
                let generation = row.generation;
                let checkpoint = row.answer.as_ref().map(|(bytes, _)| bytes.clone());
                let now = Moment::from_micros(row.asked_us);
                (
                    Turn { message, checkpoint, generation },
                    Begin { generation, idx: row.idx, last, now, rows_max: u32::MAX },
                )
            }
        }
    }

    /// As much as a host allows for the same.
    async fn replay_cpu_max(&self, begin: &Begin) -> Result<Duration, StoreError> {
        let recorded_us = self.inspector.cpu_us(&self.key, begin.idx, begin.last).await?;
        Ok(REPLAY_FACTOR * Duration::from_micros(recorded_us) + REPLAY_LEAST)
    }

    /// A call that the journal does not have in its place.
    async fn differs(&self, found: Deed) -> Result<Verdict, RehearseError> {
        let idx = self.course.next();
        let unread = || RehearseError::GivenUp(format!("row {idx} of the journal could not be read; try again"));
        let reason = self.course.broken().ok_or_else(unread)?.message;
        if !reason.starts_with(DIVERGED) {
            return Ok(Verdict::Damaged { reason });
        }
        let row = self.inspector.journal_after(&self.key, idx - 1, 1).await?.pop();
        Ok(Verdict::Diverged { idx, expected: deed_of(&row.ok_or_else(unread)?), found })
    }

    /// All that is recorded was repeated, and the component made another call.
    fn went_on(&self, scene: &Scene<'_>, idx: u32, next: Deed) -> Verdict {
        match (scene.next, self.recorded_end()) {
            (Some(row), _) => Verdict::Diverged { idx, expected: deed_of(row), found: next },
            (None, None) => Verdict::GoesOn { next },
            (None, Some((TaskState::Failed | TaskState::Canceled, recorded))) => {
                Verdict::Better { recorded, found: next }
            }
            (None, Some((_, expected))) => Verdict::Diverged { idx, expected, found: next },
        }
    }

    /// The component ended.
    async fn ended(&self, scene: &Scene<'_>, end: End) -> Result<Option<Verdict>, RehearseError> {
        if let Some(error) = self.course.broken() {
            return Ok(Some(Verdict::Damaged { reason: error.message }));
        }
        let idx = self.course.next();
        let next = self.inspector.journal_after(&self.key, idx - 1, 1).await?.pop();
        if let (End::Outcome(Outcome::Checkpoint(bytes)), Some(row)) = (&end, scene.next) {
            let same = row.idx == idx && row.hash == <[u8; 32]>::from(sha2::Sha256::digest(bytes));
            if same {
                return Ok(None);
            }
        }
        let found = self.end_of(end)?;
        // A row that has no result belongs to a wait: had it been reached, it would have been found.
        Ok(Some(match (next.filter(|row| row.idx == idx), self.recorded_end()) {
            (Some(row), _) => Verdict::Diverged { idx, expected: deed_of(&row), found },
            (None, None) => Verdict::GoesOn { next: found },
            (None, Some((_, recorded))) if recorded == found => Verdict::Ended { end: found },
            (None, Some((TaskState::Failed | TaskState::Canceled, recorded))) => Verdict::Better { recorded, found },
            (None, Some((_, expected))) => Verdict::Diverged { idx, expected, found },
        }))
    }

    /// How the task ended, if it is over.
    fn recorded_end(&self) -> Option<(TaskState, Deed)> {
        let status = &self.task.view.fold.status;
        status.state.is_terminal().then(|| {
            let said = status.message.as_ref();
            let code = said.and_then(|said| said.metadata.as_ref()).and_then(code_of);
            let text = said.map(|said| text_of(&said.parts)).unwrap_or_default();
            (status.state, end_deed(status.state, code.as_deref(), &text))
        })
    }

    /// How a run ended, as its task would have.
    fn end_of(&self, end: End) -> Result<Deed, RehearseError> {
        let end = match end {
            End::Outcome(Outcome::Reply(draft)) if self.agent.card().reply_mode == ReplyMode::Auto => {
                End::Outcome(Outcome::Completed(Some(draft)))
            }
            End::Outcome(Outcome::Checkpoint(bytes)) => {
                return Ok(checkpoint_deed(sha2::Sha256::digest(&bytes).into()));
            }
            end => end,
        };
        match last(end, self.task.cancel.is_some()) {
            Last::State(_, state, draft) => {
                let text = draft.map(|draft: Draft| text_of(&draft.parts)).unwrap_or_default();
                Ok(end_deed(state, None, &text))
            }
            Last::Failed(GuestError { code, message, .. }) => Ok(end_deed(TaskState::Failed, Some(&code), &message)),
            Last::None => Err(RehearseError::GivenUp("the sandbox did not finish it; try again".to_owned())),
        }
    }
}

/// A generation's place: the checkpoint it begins with, and the one it ends with.
struct Scene<'a> {
    begins: Option<&'a JournalRow>,
    next: Option<&'a JournalRow>,
}

/// What stopped a generation.
enum Finding {
    /// The last recorded call, a wait.
    Waits(Deed),
    /// A call after the last recorded one, with the number it would have.
    New(u32, Deed),
    /// A call that was refused.
    Other(Deed),
}

/// Gives a guest what is recorded, and nothing else.
struct Repeating {
    journal: Journal,
    course: Arc<Course>,
    inbox: Vec<InboxMessage>,
    /// What it has begun.
    pendings: Pendings,
    /// What `cancel-requested` has answered.
    canceled: Option<CancelRequest>,
    finding: Arc<Mutex<Option<Finding>>>,
}

impl HostCalls for Repeating {
    fn call(&mut self, call: Call, seen: Seen) -> CallFuture<'_> {
        Box::pin(self.repeat(call, seen))
    }

    fn log(&mut self, _: LogLine) {}

    fn now(&self) -> Moment {
        self.journal.now()
    }

    fn is_live(&self) -> bool {
        self.journal.is_live()
    }
}

impl Repeating {
    async fn repeat(&mut self, call: Call, seen: Seen) -> Result<Answer, Refusal> {
        let (_, arguments) = describe(&call, 0);
        let deed = Deed { call: call.name().to_owned(), arguments };
        let step = match kind(&call) {
            Kind::Look => self.journal.look(&call, seen).await.transpose(),
            Kind::Effect | Kind::Value | Kind::Wait | Kind::Start => Some(self.journal.step(&call, seen).await),
        };
        match step {
            None => Ok(self.as_before(&call)),
            Some(Ok(Step::Live(_))) if kind(&call) == Kind::Look => {
                self.journal.nothing_new();
                Ok(self.as_before(&call))
            }
            Some(Ok(Step::Live(asked))) => {
                let waits = asked.under_way;
                *self.finding() = Some(if waits { Finding::Waits(deed) } else { Finding::New(asked.idx, deed) });
                Err(Refusal::Abandon)
            }
            Some(Ok(Step::Begun(asked))) => self.answer(&call, asked.idx, None),
            Some(Ok(Step::Recorded(asked, recorded))) => self.answer(&call, asked.idx, Some(recorded)),
            Some(Err(refusal)) => {
                *self.finding() = Some(Finding::Other(deed));
                Err(refusal)
            }
        }
    }

    fn finding(&self) -> MutexGuard<'_, Option<Finding>> {
        self.finding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn as_before(&self, call: &Call) -> Answer {
        match call {
            Call::CancelRequested => Answer::Cancel(self.canceled.clone()),
            call => too_late(call),
        }
    }

    fn answer(&mut self, call: &Call, row: u32, recorded: Option<Recorded>) -> Result<Answer, Refusal> {
        let answer = match recorded {
            Some(Recorded::Message(n)) => {
                let Some(inbound) = self.inbox.iter().find(|inbound| inbound.n == n) else {
                    return Err(self.missing(&format!("Message {n} of the task, which its journal names, is missing.")));
                };
                reply(call, inbound.message.clone())
            }
            recorded => match self.pendings.repeated(row, call, recorded) {
                Some(answer) => answer.map_err(Refusal::from)?,
                None => return Err(self.missing("An answer that the task's journal names is missing.")),
            },
        };
        if let (Call::CancelRequested, Answer::Cancel(request)) = (call, &answer) {
            self.canceled.clone_from(request);
        }
        Ok(answer)
    }

    fn missing(&self, text: &str) -> Refusal {
        self.course.fail(GuestError::new(kennel_sandbox::call::ErrorKind::Failed, "journal", text.to_owned()));
        Refusal::Abandon
    }
}
