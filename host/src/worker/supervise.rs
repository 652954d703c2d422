//! One supervisor per running task: starts the guest, brings it what arrives, ends it when its time is over, and writes its end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kennel_protocol::TaskId;
use kennel_protocol::types::TaskState;
use kennel_sandbox::call::GuestError;
use kennel_sandbox::{Control, End, Finished, Outcome, ReplyMode, Run, Trap, Turn};
use kennel_store::{Attempt, Scope, Subscription};
use tokio::time::Instant;

use super::activation::{self, Activation, Facts};
use super::artifacts::Artifacts;
use super::event::Subject;
use super::finish::{Ending, Last, last};
use super::inbox::{Inbox, Mailroom};
use super::lane::Lane;
use super::progress::ProgressGate;
use super::{Worker, bare, run};
use crate::work::{Assignment, BareEnd, Opening};

/// In the reply mode `auto` a run that takes longer becomes a task.
const AUTO_OPENS_AFTER: Duration = Duration::from_millis(50);
/// How long queued effects may take to reach the disk before a task is ended by force.
const FORCE_FLUSH_MAX: Duration = Duration::from_secs(1);
/// How long a run that was given up waits for its next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a supervised run came to.
enum Over {
    /// The guest ended, or was ended for what it did.
    Ended(Box<Finished>),
    /// It did not end in its grace.
    Forced,
    /// Another holder has the task.
    Lost,
    /// The host is stopping.
    Drained,
}

/// Everything of one running task.
struct Supervisor {
    worker: Arc<Worker>,
    facts: Arc<Facts>,
    lane: Lane,
    gate: ProgressGate,
    artifacts: Arc<Mutex<Artifacts>>,
    calls: Arc<AtomicU64>,
    mailroom: Mailroom,
    subscription: Subscription,
    /// When the task must be over whatever the agent does.
    force_at: Option<Instant>,
    /// When its lifetime is over.
    expires_at: Option<Instant>,
    opening: Option<Opening>,
}

/// Runs a task from its message to its end, or until the host gives it up.
pub(crate) async fn supervise(worker: Arc<Worker>, assignment: Assignment) {
    let Assignment { claim, at, fold, facts, message, version, slot, hold, accepted, auto } = assignment;
    let key = claim.key().clone();
    let lane = Lane::new(Arc::clone(&worker.store), claim, worker.commits.clone(), (at, fold), accepted);
    let subject = Subject { task: key.task.clone(), context: facts.context.clone() };
    let scope = Scope { tenant: key.tenant.clone(), owner: facts.owner.clone(), agent: None };
    let credentials = version.agent.card().requests.iter().filter(|request| request.kind == "credential");
    let shared = Arc::new(Facts {
        store: Arc::clone(&worker.store),
        subject,
        scope,
        limits: worker.limits.task,
        agent: facts.agent.clone(),
        credentials: credentials.map(|request| request.name.clone()).collect(),
        begun: AtomicBool::new(false),
        waiting: Arc::clone(&worker.waiting),
    });
    let (opening, reply) = auto.unzip();
    let life_ms = facts.expires.millis().saturating_sub(worker.store.clock().now().millis());
    let mut supervisor = Supervisor {
        gate: ProgressGate::new(lane.clone(), worker.commits.clone()),
        artifacts: Arc::new(Mutex::new(Artifacts::new(worker.limits.task))),
        calls: Arc::default(),
        mailroom: Mailroom::new(Arc::clone(&worker.store), key.clone(), worker.limits.task.cancel_grace),
        // Before the first read, so that nothing that comes from now on is missed.
        subscription: worker.store.subscribe(&key),
        force_at: None,
        expires_at: Instant::now().checked_add(Duration::from_millis(u64::try_from(life_ms).unwrap_or(0))),
        opening,
        facts: shared,
        lane,
        worker: Arc::clone(&worker),
    };
    let parts = run::Parts { tenant: key.tenant.clone(), task: key.task.clone(), facts, message };
    supervisor.run_to_end(&version.agent, parts, reply).await;
    drop(slot);
    drop(hold);
    worker.store.wakes().poke_due();
}

impl Supervisor {
    /// Generation after generation, until one is not a checkpoint.
    async fn run_to_end(
        &mut self,
        agent: &kennel_sandbox::Agent,
        parts: run::Parts,
        mut reply: Option<tokio::sync::oneshot::Sender<BareEnd>>,
    ) {
        let mut turn = Turn { message: parts.message.clone(), checkpoint: None, generation: 1 };
        let info = run::info(&parts);
        let seed = run::seed(&self.worker, &parts.task);
        loop {
            let activation = self.activation(&turn);
            if self.opening.is_none() && self.facts.begin(&self.lane).await.is_err() {
                return self.give_back(Attempt::DoesNotCount, "the store refused the task").await;
            }
            let limits = self.worker.sandbox_limits.clone();
            let calls = Box::new(activation);
            let running = agent.run(Run {
                turn: turn.clone(),
                info: info.clone(),
                settings: Default::default(),
                seed,
                limits,
                calls,
            });
            let control = running.control();
            let over = self.watch(running.finish(), &control).await;
            match over {
                Over::Ended(finished) => match finished.end {
                    End::Outcome(Outcome::Checkpoint(bytes)) => turn = next_generation(turn, bytes),
                    end if self.opening.is_some() => return self.end(end, reply.take()).await,
                    end => return self.end(in_task(end, agent.card().reply_mode), None).await,
                },
                Over::Forced => {
                    control.stop();
                    return self.end_by_force().await;
                }
                Over::Lost => return control.stop(),
                Over::Drained => {
                    control.stop();
                    return self.give_back(Attempt::DoesNotCount, "the host stopped").await;
                }
            }
        }
    }

    fn activation(&self, turn: &Turn) -> Activation {
        Activation {
            facts: Arc::clone(&self.facts),
            lane: self.lane.clone(),
            gate: self.gate.clone(),
            artifacts: Arc::clone(&self.artifacts),
            inbox: Inbox::new(self.mailroom.watch()),
            opening: self.opening.clone(),
            calls: Arc::clone(&self.calls),
            references: activation::references(&turn.message),
            told: false,
        }
    }

    /// Waits for the guest, and meanwhile brings it what arrives and keeps its time.
    async fn watch(&mut self, finish: impl Future<Output = Finished>, control: &Control) -> Over {
        let mut finish = std::pin::pin!(finish);
        let mut opens_at = self.opening.as_ref().map(|_| Instant::now() + AUTO_OPENS_AFTER);
        let draining = self.worker.drained.clone();
        loop {
            tokio::select! {
                finished = &mut finish => return Over::Ended(Box::new(finished)),
                () = self.subscription.inbox_changed() => {
                    if self.look_into_inbox().await {
                        control.stop();
                        return Over::Lost;
                    }
                }
                () = at(self.force_at) => return Over::Forced,
                () = at(self.expires_at) => {
                    self.expires_at = None;
                    self.mailroom.deadline(self.worker.store.clock().now());
                    self.force_at = Instant::now().checked_add(self.facts.limits.cancel_grace);
                }
                () = at(opens_at) => {
                    opens_at = None;
                    if !self.open().await {
                        return Over::Lost;
                    }
                }
                () = draining.cancelled() => return Over::Drained,
            }
        }
    }

    /// Makes the task of an `auto` run exist. False: the store refused it.
    async fn open(&self) -> bool {
        match &self.opening {
            Some(opening) => opening.open().await && self.facts.begin(&self.lane).await.is_ok(),
            None => true,
        }
    }

    /// Reads what came. True: another holder has the task.
    async fn look_into_inbox(&mut self) -> bool {
        while let Err(error) = self.mailroom.refresh().await {
            tracing::warn!(task.id = %self.facts.subject.task, %error, "an inbox could not be read; trying again");
            tokio::time::sleep(kennel_store::FALLBACK_POLL).await;
        }
        if self.force_at.is_none() && self.mailroom.cancel().is_some() {
            self.force_at = Instant::now().checked_add(self.facts.limits.cancel_grace);
        }
        self.mailroom.fenced(self.lane.claim().epoch())
    }

    async fn end(&mut self, end: End, reply: Option<tokio::sync::oneshot::Sender<BareEnd>>) {
        if let End::Trap(trap) = &end {
            report_trap(&self.facts.subject.task, trap);
        }
        let Some(end) = self.end_unopened(end, reply).await else { return };
        let canceled = self.mailroom.cancel().is_some();
        let last = last(end, canceled);
        if matches!(last, Last::None) {
            return self.give_back(Attempt::Counts, "the run was given up").await;
        }
        if self.finish(last).await.is_err() {
            self.give_back(Attempt::DoesNotCount, "the end could not be written").await;
        }
    }

    /// The reply mode `auto`: a bare reply of a task that never opened is the answer; in one that did, it is its last message. Anything
    /// else opens the task, so that there is one that can end.
    async fn end_unopened(&mut self, end: End, reply: Option<tokio::sync::oneshot::Sender<BareEnd>>) -> Option<End> {
        let Some(opening) = self.opening.clone() else { return Some(end) };
        if let End::Outcome(Outcome::Reply(draft)) = end {
            if !opening.abandon().await {
                return Some(End::Outcome(Outcome::Completed(Some(draft))));
            }
            let message = bare::message(&self.facts.subject, draft);
            if let Some(reply) = reply {
                // A client that went away does not hear it.
                reply.send(BareEnd::Reply(Box::new(message))).ok();
            }
            return None;
        }
        self.open().await.then_some(end)
    }

    async fn finish(&self, last: Last) -> Result<(), super::lane::Dead> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let ending = Ending { facts: &self.facts, lane: &self.lane, gate: &self.gate, call };
        ending.write(&self.artifacts, last).await
    }

    /// Epoch + 1 and CANCELED. What was queued may go first, for a moment; a completion that is on disk wins.
    async fn end_by_force(&self) {
        tokio::time::timeout(FORCE_FLUSH_MAX, self.lane.flush()).await.ok();
        let event = self.facts.subject.status(TaskState::Canceled, None, self.worker.store.clock().now());
        let event = Bytes::from(serde_json::to_vec(&event).unwrap_or_default());
        while let Err(error) = self.worker.store.end_by_force(self.lane.claim(), event.clone()).await {
            tracing::warn!(task.id = %self.facts.subject.task, %error, "the end by force waits for the store");
            if self.worker.commits.is_closed() {
                return;
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    async fn give_back(&self, attempt: Attempt, reason: &str) {
        self.lane.flush().await.ok();
        let given = self.worker.store.give_back(self.lane.claim(), attempt, reason, RETRY_AFTER).await;
        if let Err(error) = given {
            // The lease is found without a holder within 5 s, or at the next start.
            tracing::warn!(task.id = %self.facts.subject.task, %error, "a lease was not given back");
        }
    }
}

/// In the reply mode `auto` the reply of a task that exists (the client did not want to wait, or it runs again) is its last message.
fn in_task(end: End, mode: ReplyMode) -> End {
    match end {
        End::Outcome(Outcome::Reply(draft)) if mode == ReplyMode::Auto => End::Outcome(Outcome::Completed(Some(draft))),
        end => end,
    }
}

fn next_generation(turn: Turn, checkpoint: Bytes) -> Turn {
    Turn { message: turn.message, checkpoint: Some(checkpoint), generation: turn.generation.saturating_add(1) }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The operator sees the panic text and the backtrace; the client got one public sentence.
pub(crate) fn report_trap(task: &TaskId, trap: &Trap) {
    tracing::warn!(task.id = %task, reason = trap.reason.name(), "an agent was ended: {}\n{}", trap.public, trap.operator);
}

/// FAILED without a run: the reason is the host's.
pub(crate) fn host_failure(code: &str, text: &str) -> GuestError {
    GuestError::new(kennel_sandbox::call::ErrorKind::Failed, code, text)
}
