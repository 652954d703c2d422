//! One durable activation: carries out what its guest calls, or repeats what came of it before. Effects go to the lane, waits to the
//! inbox and the clock (`waits.rs`), and every call through the journal.
//!
//! Never here: how an activation begins and ends (that is the supervisor in `worker/supervise.rs`), SQL, wasmtime.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kennel_protocol::state::{self, Step as TaskStep};
use kennel_protocol::types::{JsonObject, Message, StreamResponse, TaskState};
use kennel_protocol::{AgentId, ArtifactId, Seq, TaskId};
use kennel_sandbox::call::{
    Answer, Call, CallFuture, CancelRequest, Draft, ErrorKind, GuestError, HostCalls, LogLine, Moment, Progress,
    Refusal, Seen,
};
use kennel_store::{Artifacts as Shown, InboxMessage, Scope, Store, StoreError, Stored};

use super::artifacts::{Artifacts, Piece};
use super::course::Course;
use super::event::{Subject, progress_part};
use super::inbox::{Cancel, Inbox, Woken};
use super::journal::{Asked, Journal, Kind, Recorded, Step, kind};
use super::kv::{Given, Journaled, Values, is_kv};
use super::lane::{Close, Dead, Lane, When};
use super::logs;
use super::outside::{Grants, is_outside, too_late};
use super::pendings::Pendings;
use super::progress::ProgressGate;
use crate::config::{AgentGrants, TaskLimits};
use crate::gate::Gate;
use crate::registry::Registry;
use crate::work::{KeptAnswer, Lineage, Opening, Retry, SeenLimits};

/// Messages of history that one call may carry.
const HISTORY_MAX: u32 = 1_000;
/// Other tasks of the context that one call may name.
const RELATED_MAX: u32 = 100;

impl From<Dead> for Refusal {
    fn from(_: Dead) -> Refusal {
        Refusal::Abandon
    }
}

/// What an activation works on, fixed for its life.
pub(crate) struct Facts {
    pub(crate) store: Arc<Store>,
    pub(crate) subject: Subject,
    /// The owner's view, within which related tasks are found.
    pub(crate) scope: Scope,
    pub(crate) limits: TaskLimits,
    /// The bounds that a task which begins now can tell.
    pub(crate) seen_limits: SeenLimits,
    /// A line of the agent with which a test ends the process.
    pub(crate) abort_on: Option<String>,
    /// The name under which the agent is served.
    pub(crate) agent: AgentId,
    /// Credentials that the card asks for.
    pub(crate) credentials: Vec<String>,
    /// The durable values that it may use.
    pub(crate) values: Values,
    /// Whether WORKING was written.
    pub(crate) begun: AtomicBool,
    /// What the supervisor watches.
    pub(crate) course: Arc<Course>,
    /// What the agent may do outside.
    pub(crate) grants: Grants,
    /// What the operator allows all agents.
    pub(crate) all_grants: Arc<BTreeMap<String, AgentGrants>>,
    pub(crate) egress: Arc<Gate>,
    /// Where sockets are served.
    pub(crate) runtime: tokio::runtime::Handle,
    /// The agents of this host.
    pub(crate) registry: Arc<Registry>,
    /// Where the task stands in its family.
    pub(crate) lineage: Lineage,
    /// What clients had said when the task was claimed: recorded calls name it by number.
    pub(crate) past: Vec<InboxMessage>,
    /// What it has of the task that it is a retry of.
    pub(crate) retry: Option<Retry>,
}

impl Facts {
    /// The task is WORKING when its agent runs. Whoever comes first writes it.
    pub(crate) async fn begin(&self, lane: &Lane) -> Result<(), Dead> {
        if self.begun.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let event = self.subject.status(TaskState::Working, None, self.store.clock().now());
        lane.push(event, Close::No).await.map(drop)
    }
}

/// The worker's side of a running guest.
pub(crate) struct Activation {
    pub(crate) facts: Arc<Facts>,
    pub(crate) lane: Lane,
    pub(crate) journal: Journal,
    pub(crate) gate: ProgressGate,
    pub(crate) artifacts: Arc<Mutex<Artifacts>>,
    pub(crate) pendings: Arc<Pendings>,
    /// Whether what a former activation left open has been decided.
    pub(crate) settled: bool,
    pub(crate) inbox: Inbox,
    pub(crate) values: Values,
    /// The accept that is still to be made, in the reply mode `auto`.
    pub(crate) opening: Option<Opening>,
    /// Tasks that messages to the agent named, which it may therefore read.
    pub(crate) references: Vec<TaskId>,
    /// Answers of a former task's client that no question has met yet.
    pub(crate) kept: Vec<KeptAnswer>,
    /// Whether a wait has told the guest that it was asked to stop.
    pub(crate) told: bool,
    /// What `cancel-requested` has answered.
    pub(crate) canceled: Option<CancelRequest>,
}

impl HostCalls for Activation {
    fn call(&mut self, call: Call, seen: Seen) -> CallFuture<'_> {
        Box::pin(self.carry_out(call, seen))
    }

    fn log(&mut self, line: LogLine) {
        if self.facts.abort_on.as_ref().is_some_and(|text| line.message.contains(text)) {
            std::process::abort();
        }
        logs::emit(self.facts.scope.tenant.as_str(), &self.facts.agent, &self.facts.subject.task, &line);
    }

    fn now(&self) -> Moment {
        self.journal.now()
    }

    fn is_live(&self) -> bool {
        self.journal.is_live()
    }
}

/// What an effect does.
struct Effect {
    event: Option<StreamResponse>,
    flow: Flow,
    answer: Answer,
}

/// How an event goes out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// Progress only: not too often.
    Progress,
    /// Behind the progress that was held back.
    Settled,
    /// As it is: pieces of an artifact come in numbers, and would bring all progress with them.
    Piece,
}

impl Activation {
    async fn carry_out(&mut self, call: Call, seen: Seen) -> Result<Answer, Refusal> {
        if opens_task(&call) {
            self.open().await?;
        }
        if kind(&call) == Kind::Look {
            return self.look(call, seen).await;
        }
        let step = self.journal.step(&call, seen).await?;
        if let Step::Live(_) = step {
            self.settle_pendings().await?;
        }
        match step {
            Step::Begun(asked) => self.repeat_outside(&call, &asked, None),
            Step::Recorded(asked, recorded) => self.repeat(call, &asked, recorded).await,
            Step::Live(asked) if is_kv(&call) => self.durable_value(call, &asked).await,
            Step::Live(asked) => match kind(&call) {
                Kind::Effect => self.affect(call, &asked).await,
                Kind::Value => self.value(call, &asked).await,
                Kind::Wait | Kind::Look => self.wait(call, asked).await,
                Kind::Start => self.start(call, &asked).await,
            },
        }
    }

    /// In the reply mode `auto` an effect or a wait makes the task exist; else it does already.
    async fn open(&mut self) -> Result<(), Refusal> {
        let Some(opening) = &self.opening else { return Ok(()) };
        if !opening.open().await {
            return Err(Refusal::Abandon);
        }
        self.opening = None;
        self.facts.begin(&self.lane).await.map_err(Refusal::from)
    }

    /// The recorded answer. What the call did to this activation's own books is done again.
    async fn repeat(&mut self, call: Call, asked: &Asked, recorded: Recorded) -> Result<Answer, Refusal> {
        if is_outside(&call) || kind(&call) == Kind::Start || matches!(recorded, Recorded::Sent(_)) {
            return self.repeat_outside(&call, asked, Some(recorded));
        }
        let recorded = match recorded {
            Recorded::Message(n) => return self.repeat_message(call, asked, n).await,
            Recorded::Error(error) => Err(error),
            Recorded::Answer(answer) => Ok(answer),
            Recorded::Exchange(_) | Recorded::Head(_) | Recorded::Taken | Recorded::Sent(_) => {
                return Err(Refusal::Abandon);
            }
        };
        if kind(&call) == Kind::Effect && recorded.is_ok() {
            // Its event is on disk, or comes with what settles progress: only the books count.
            if let Ok(effect) = self.effect(call, asked.idx) {
                match (effect.flow, asked.seq) {
                    (Flow::Progress, None) => self.gate.repeat(effect.event).await,
                    (Flow::Progress | Flow::Settled, _) => self.gate.repeat(None).await,
                    (Flow::Piece, _) => {}
                }
            }
        } else {
            self.note_prompt(&call, asked).await;
            self.told |= matches!(&recorded, Err(error) if error.kind == ErrorKind::Canceled);
        }
        recorded.map_err(Refusal::from)
    }

    pub(super) fn status(&self, state: TaskState, message: Option<Message>) -> StreamResponse {
        self.facts.subject.status(state, message, self.facts.store.clock().now())
    }

    pub(super) fn artifacts(&self) -> MutexGuard<'_, Artifacts> {
        self.artifacts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the step is legal where the task stands, and within the bound on events.
    pub(super) fn check(&self, step: TaskStep) -> Result<(), GuestError> {
        let (state, events) = self.lane.with_fold(|fold, last| (fold.status.state, last.get()));
        // One event is kept back for the end, which must always find room.
        if events + 1 >= u64::from(self.facts.limits.events_max) {
            let text = format!("a task has at most {} events", self.facts.limits.events_max);
            return Err(GuestError::new(ErrorKind::Limit, "events", text));
        }
        match state::next(Some(state), step) {
            Ok(_) => Ok(()),
            Err(illegal) => Err(GuestError::new(ErrorKind::Invalid, "state", illegal.to_string())),
        }
    }

    /// Carries an effect out: event and row in one transaction.
    async fn affect(&mut self, call: Call, asked: &Asked) -> Result<Answer, Refusal> {
        let checked = match &call {
            Call::UpdateStatus { .. } => self.check(TaskStep::Update),
            Call::Publish { .. } | Call::AppendArtifact { .. } | Call::CloseArtifact { .. } => {
                self.check(TaskStep::Artifact)
            }
            _ => Ok(()),
        };
        let Effect { event, flow, answer } = match checked.and_then(|()| self.effect(call, asked.idx)) {
            Ok(effect) => effect,
            Err(error) => return self.answer_value(asked, Err(error)).await,
        };
        let Some(event) = event else { return self.answer_value(asked, Ok(answer)).await };
        let result = Recorded::Answer(answer.clone()).bytes()?;
        let row = self.journal.row_with(asked, Stored::plain(result));
        match flow {
            Flow::Progress => self.gate.offer(event, row).await?,
            Flow::Settled => {
                self.gate.settle().await?;
                self.lane.push_with(event, Some(row), Close::No).await?;
            }
            Flow::Piece => drop(self.lane.push_with(event, Some(row), Close::No).await?),
        }
        Ok(answer)
    }

    /// What an effect does, noted in the books of this activation. The same in a live run and in a repetition.
    fn effect(&self, call: Call, idx: u32) -> Result<Effect, GuestError> {
        match call {
            Call::UpdateStatus { message, progress, metadata } => {
                self.update(message, progress.as_ref(), metadata, idx)
            }
            Call::Publish { mut artifact } => {
                let given = (!artifact.artifact_id.is_unset()).then(|| artifact.artifact_id.clone());
                artifact.artifact_id = artifact_id(given, idx);
                self.artifacts().publish(&artifact)?;
                let id = artifact.artifact_id.clone();
                let event = self.facts.subject.artifact(artifact, false, true);
                Ok(Effect { event: Some(event), flow: Flow::Settled, answer: Answer::ArtifactId(id) })
            }
            Call::HttpAbort { exchange } => {
                self.pendings.abort(exchange)?;
                Ok(Effect { event: None, flow: Flow::Piece, answer: Answer::Done })
            }
            Call::OpenArtifact { heading } => {
                let id = artifact_id(heading.artifact_id.clone(), idx);
                self.artifacts().open(id.clone(), heading)?;
                Ok(Effect { event: None, flow: Flow::Piece, answer: Answer::ArtifactId(id) })
            }
            Call::AppendArtifact { artifact_id, parts } => {
                let piece = self.artifacts().append(&artifact_id, parts)?;
                Ok(self.piece(piece, false))
            }
            Call::CloseArtifact { artifact_id, parts } => {
                let piece = self.artifacts().close(&artifact_id, parts)?;
                Ok(self.piece(piece, true))
            }
            other => Err(not_offered(&other)),
        }
    }

    fn update(
        &self,
        message: Option<Draft>,
        progress: Option<&Progress>,
        metadata: Option<JsonObject>,
        idx: u32,
    ) -> Result<Effect, GuestError> {
        let only_progress = message.is_none() && metadata.is_none() && progress.is_some();
        let mut draft = message;
        if let Some(progress) = progress {
            let part = progress_part(progress);
            match &mut draft {
                Some(draft) => draft.parts.push(part),
                None => draft = Some(Draft { parts: vec![part], ..super::event::text("") }),
            }
        }
        if let Some(draft) = &draft {
            self.artifacts().say(&draft.parts)?;
        }
        let message = draft.map(|draft| self.facts.subject.message(draft, idx));
        let now = self.facts.store.clock().now();
        let event = self.facts.subject.status_with(TaskState::Working, message, now, metadata);
        let flow = if only_progress { Flow::Progress } else { Flow::Settled };
        Ok(Effect { event: Some(event), flow, answer: Answer::Done })
    }

    /// Progress that was held back belongs before the last piece, not behind it.
    fn piece(&self, piece: Piece, last: bool) -> Effect {
        let event = self.facts.subject.artifact(piece.artifact, piece.append, last);
        Effect { event: Some(event), flow: if last { Flow::Settled } else { Flow::Piece }, answer: Answer::Done }
    }

    /// Asks for something that changes nothing.
    async fn value(&mut self, call: Call, asked: &Asked) -> Result<Answer, Refusal> {
        let answer = match call {
            Call::History { limit } => self.history(limit).await?,
            Call::Related { task_id } => self.related(&task_id).await?,
            Call::RelatedIds { limit } => self.related_ids(limit).await?,
            Call::PeerNames => Ok(Answer::Names(self.peer_names())),
            Call::PeerCard { to } => self.peer_card(&to).await?.map(Answer::Card),
            Call::PeerCancel { sent, reason } => match self.pendings.child(sent) {
                Err(error) => Err(error),
                Ok(child) => {
                    if child.stop.is_none() {
                        self.cancel_child(&child.task, reason).await?;
                    }
                    Ok(Answer::Done)
                }
            },
            other => Err(not_offered(&other)),
        };
        self.answer_value(asked, answer).await
    }

    /// Looks at a durable value or changes one. A change is recorded in its own transaction, what was only seen as any value.
    async fn durable_value(&mut self, call: Call, asked: &Asked) -> Result<Answer, Refusal> {
        let mut writing = Journaled { lane: &self.lane, journal: &mut self.journal, asked };
        match self.values.carry_out(call, &mut writing).await {
            Ok(Given::Changed(answer)) => Ok(answer),
            Ok(Given::Value(answer)) => self.answer_value(asked, Ok(answer)).await,
            Err(Refusal::Guest(error)) => self.answer_value(asked, Err(error)).await,
            Err(fault @ (Refusal::Abandon | Refusal::HostFault)) => Err(fault),
        }
    }

    /// Records an answer that has no event, and gives it.
    pub(super) async fn answer_value(
        &mut self,
        asked: &Asked,
        answer: Result<Answer, GuestError>,
    ) -> Result<Answer, Refusal> {
        self.journal.record(&self.lane, asked, &Recorded::from(&answer)).await?;
        answer.map_err(Refusal::from)
    }

    async fn history(&mut self, limit: u32) -> Result<Result<Answer, GuestError>, Refusal> {
        self.lane.flush().await?;
        let view = self.facts.store.held_task(self.lane.claim()).await.map_err(|error| unavailable(&error))?;
        let view = view.ok_or(Refusal::Abandon)?;
        let mut messages = view.history(Some(limit.min(HISTORY_MAX)));
        for message in &mut messages {
            self.complete(message).await?;
        }
        Ok(Ok(Answer::Messages(messages)))
    }

    /// Puts large contents back.
    pub(super) async fn complete(&self, message: &mut Message) -> Result<(), Refusal> {
        let completed = self.facts.store.complete_message(&self.facts.scope.tenant, message).await;
        completed.map_err(|error| unavailable(&error))
    }

    /// Another task of this owner: of the same context, or one that the client named.
    async fn related(&mut self, task: &TaskId) -> Result<Result<Answer, GuestError>, Refusal> {
        let view = self.facts.store.task(&self.facts.scope, task).await.map_err(|error| unavailable(&error))?;
        let seen = view.filter(|view| {
            view.row.context == self.facts.subject.context || self.references.contains(&view.row.key.task)
        });
        let Some(view) = seen else {
            let text = format!("no task {task} in this context or among the references");
            return Ok(Err(GuestError::new(ErrorKind::NotFound, "task-id", text)));
        };
        let mut task = view.task(Some(0), Shown::Show);
        if view.blobs {
            let completed = self.facts.store.complete(&self.facts.scope.tenant, &mut task).await;
            completed.map_err(|error| unavailable(&error))?;
        }
        Ok(Ok(Answer::Task(Box::new(task))))
    }

    async fn related_ids(&mut self, limit: u32) -> Result<Result<Answer, GuestError>, Refusal> {
        let subject = &self.facts.subject;
        let limit = limit.min(RELATED_MAX);
        let ids = self.facts.store.related_ids(&self.facts.scope, subject.context.as_str(), &subject.task, limit).await;
        Ok(Ok(Answer::TaskIds(ids.map_err(|error| unavailable(&error))?)))
    }

    /// A look that does not wait. Nothing is recorded of one that found nothing new.
    async fn look(&mut self, call: Call, seen: Seen) -> Result<Answer, Refusal> {
        match self.journal.look(&call, seen).await? {
            None => Ok(self.as_before(&call)),
            Some(Step::Recorded(asked, recorded)) => match self.repeat(call, &asked, recorded).await? {
                Answer::Cancel(request) => {
                    self.canceled.clone_from(&request);
                    Ok(Answer::Cancel(request))
                }
                answer => Ok(answer),
            },
            Some(Step::Live(asked) | Step::Begun(asked)) => {
                self.settle_pendings().await?;
                self.look_now(&call, asked).await
            }
        }
    }

    fn as_before(&self, call: &Call) -> Answer {
        match call {
            Call::CancelRequested => Answer::Cancel(self.canceled.clone()),
            call => too_late(call),
        }
    }

    async fn look_now(&mut self, call: &Call, asked: Asked) -> Result<Answer, Refusal> {
        let (recorded, answer, taken) = match call {
            Call::CancelRequested => {
                let Some(cancel) = self.inbox.cancel().filter(|_| self.canceled.is_none()) else {
                    self.journal.nothing_new();
                    return Ok(self.as_before(call));
                };
                self.canceled = Some(cancel.request.clone());
                let answer = Answer::Cancel(Some(cancel.request.clone()));
                (Recorded::Answer(answer.clone()), Ok(answer), self.tell(&cancel))
            }
            call if is_outside(call) => match self.now_outside(call) {
                Err(error) => (Recorded::Error(error.clone()), Err(error), None),
                Ok(Some((recorded, answer))) => (recorded, answer, None),
                Ok(None) => {
                    self.journal.nothing_new();
                    return Ok(self.as_before(call));
                }
            },
            _ => match self.inbox.look(None) {
                Some(Woken::Canceled(cancel)) => {
                    let error = canceled(&cancel);
                    (Recorded::Error(error.clone()), Err(error), self.tell(&cancel))
                }
                Some(Woken::Message(inbound)) => {
                    self.hand_out(&inbound);
                    let n = inbound.n;
                    (Recorded::Message(n), Ok(Answer::Message(Some(Box::new(inbound.message)))), Some(n))
                }
                Some(Woken::TimedOut) | None => {
                    self.journal.nothing_new();
                    return Ok(self.as_before(call));
                }
            },
        };
        let asked = self.journal.found(asked)?;
        let row = self.journal.row_with(&asked, Stored::plain(recorded.bytes()?));
        self.lane.record(row, When::Now { taken }).await?;
        answer.map_err(Refusal::from)
    }

    /// The guest knows now that it is to stop; returns the row to be marked as taken, once.
    pub(super) fn tell(&mut self, cancel: &Cancel) -> Option<u32> {
        let first = !std::mem::replace(&mut self.told, true);
        (first && cancel.n != u32::MAX).then_some(cancel.n)
    }

    /// Notes that a message goes to the guest: also that it may read the tasks which the message names.
    pub(super) fn hand_out(&mut self, inbound: &InboxMessage) {
        self.inbox.take(inbound.n);
        self.references.extend(references(&inbound.message));
    }
}

/// What a wait says to a guest that is to stop.
pub(super) fn canceled(cancel: &Cancel) -> GuestError {
    let reason = cancel.request.reason.as_deref().unwrap_or("the task was asked to stop");
    GuestError::new(ErrorKind::Canceled, "canceled", reason)
}

/// The author's own id, or one that follows from the place of the call.
fn artifact_id(given: Option<ArtifactId>, idx: u32) -> ArtifactId {
    given.or_else(|| format!("artifact-{idx}").parse().ok()).unwrap_or_else(ArtifactId::unset)
}

/// The tasks that a message names. A name that cannot be one names nothing.
pub(crate) fn references(message: &Message) -> Vec<TaskId> {
    message.reference_task_ids.iter().filter_map(|id| id.parse().ok()).collect()
}

/// Effects and waits need a task; a mere look does not.
fn opens_task(call: &Call) -> bool {
    match kind(call) {
        Kind::Look => false,
        Kind::Value => {
            !matches!(call, Call::Related { .. } | Call::RelatedIds { .. } | Call::KvGet { .. } | Call::KvKeys { .. })
        }
        Kind::Effect | Kind::Wait | Kind::Start => true,
    }
}

/// What this host does not carry.
pub(super) fn not_offered(call: &Call) -> GuestError {
    let text = format!("this host does not offer {} yet", call.name());
    GuestError::new(ErrorKind::Unavailable, "not-offered", text)
}

/// A read that failed is the host's fault: the activation is given up and tried again, which does not count as a try. Rows that do not
/// read will not tomorrow: that counts.
pub(super) fn unavailable(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "a read for an agent failed; the activation is given up");
    match error {
        StoreError::Corrupt(_) => Refusal::Abandon,
        StoreError::Busy { .. } | StoreError::Crowded { .. } | StoreError::Full | StoreError::Unavailable(_) => {
            Refusal::HostFault
        }
    }
}

/// No message has this seq: waits that messages do not end are for those after it.
pub(super) const NO_MESSAGE: Seq = Seq::new(u64::MAX);
