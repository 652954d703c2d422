//! One durable activation: carries out what its guest calls. Effects go to the lane, waits to the inbox and the clock.
//!
//! The journal of the next step sits on [`HostCalls::call`]. Never here: how an activation begins and ends (that is the supervisor in
//! `worker/supervise.rs`), SQL, wasmtime.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kennel_protocol::state::{self, Step};
use kennel_protocol::types::{Artifact, JsonObject, JsonValue, StreamResponse, TaskState};
use kennel_protocol::{AgentId, ArtifactId, Seq, TaskId, Timestamp};
use kennel_sandbox::call::{
    Answer, Auth, AuthRequest, Call, CallFuture, Draft, ErrorKind, GuestError, HostCalls, Input, LogLine, Progress,
    Refusal,
};
use kennel_store::{Artifacts as Shown, Scope, Store};
use tokio::time::Instant;

use super::artifacts::{Artifacts, Piece};
use super::event::{AUTH_KEY, Subject, progress_part};
use super::inbox::{Cancel, Inbox, Woken};
use super::lane::{Close, Dead, Lane};
use super::logs;
use super::progress::ProgressGate;
use crate::answer::{AnswerSchema, INPUT_KEY};
use crate::config::TaskLimits;
use crate::work::Opening;

/// Bytes of history that one call may carry.
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
    /// The name under which the agent is served.
    pub(crate) agent: AgentId,
    /// Credentials that the card asks for.
    pub(crate) credentials: Vec<String>,
    /// Whether WORKING was written.
    pub(crate) begun: AtomicBool,
    /// Runs of this host that wait for a client's message.
    pub(crate) waiting: Arc<AtomicUsize>,
}

/// One of the runs that wait for a client's message, while it lives.
struct WaitsForClient(Arc<AtomicUsize>);

impl WaitsForClient {
    fn new(waiting: &Arc<AtomicUsize>) -> WaitsForClient {
        waiting.fetch_add(1, Ordering::Relaxed);
        WaitsForClient(Arc::clone(waiting))
    }
}

impl Drop for WaitsForClient {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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
    pub(crate) gate: ProgressGate,
    pub(crate) artifacts: Arc<Mutex<Artifacts>>,
    pub(crate) inbox: Inbox,
    /// The accept that is still to be made, in the reply mode `auto`.
    pub(crate) opening: Option<Opening>,
    /// Calls so far that made an id; ids follow from it. Counts on over generations.
    pub(crate) calls: Arc<AtomicU64>,
    /// Tasks that messages to the agent named, which it may therefore read.
    pub(crate) references: Vec<TaskId>,
    /// Whether the guest knows that it was asked to stop.
    pub(crate) told: bool,
}

impl HostCalls for Activation {
    fn call(&mut self, call: Call) -> CallFuture<'_> {
        Box::pin(self.carry_out(call))
    }

    fn log(&mut self, line: LogLine) {
        logs::emit(self.facts.scope.tenant.as_str(), &self.facts.agent, &self.facts.subject.task, &line);
    }

    fn now(&self) -> Timestamp {
        // Until the journal gives the time of its last row: that of the last status, which a guest cannot tell apart.
        self.lane.with_fold(|fold, _| fold.status.timestamp.unwrap_or_else(|| self.facts.store.clock().now()))
    }
}

impl Activation {
    async fn carry_out(&mut self, call: Call) -> Result<Answer, Refusal> {
        if opens_task(&call) {
            self.open().await?;
        }
        match call {
            Call::CancelRequested => Ok(Answer::Cancel(self.cancel_requested())),
            Call::History { limit } => self.history(limit).await,
            Call::Related { task_id } => self.related(&task_id).await,
            Call::RelatedIds { limit } => self.related_ids(limit).await,
            Call::UpdateStatus { message, progress, metadata } => self.update_status(message, progress, metadata).await,
            Call::RequireInput { prompt, schema, timeout } => self.require_input(prompt, schema, timeout).await,
            Call::RequireAuth { prompt, request } => self.require_auth(prompt, request).await,
            Call::NextMessage { timeout } => self.next_message(timeout).await,
            Call::Publish { artifact } => self.publish(artifact).await,
            Call::OpenArtifact { heading } => {
                let id = self.artifact_id(heading.artifact_id.clone())?;
                self.artifacts().open(id.clone(), heading)?;
                Ok(Answer::ArtifactId(id))
            }
            Call::AppendArtifact { artifact_id, parts } => {
                let piece = self.artifacts().append(&artifact_id, parts)?;
                self.send_piece(piece, false).await
            }
            Call::CloseArtifact { artifact_id, parts } => {
                let piece = self.artifacts().close(&artifact_id, parts)?;
                self.send_piece(piece, true).await
            }
            Call::Sleep { time } => self.sleep(Instant::now().checked_add(time)).await,
            Call::SleepUntil { at } => {
                let wait_ms = at.millis().saturating_sub(self.facts.store.clock().now().millis());
                let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
                self.sleep(Instant::now().checked_add(wait)).await
            }
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

    fn status(&self, state: TaskState, message: Option<kennel_protocol::types::Message>) -> StreamResponse {
        self.facts.subject.status(state, message, self.facts.store.clock().now())
    }

    /// A number for the next id.
    fn number(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn artifacts(&self) -> MutexGuard<'_, Artifacts> {
        self.artifacts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the step is legal where the task stands, and within the bound on events.
    fn step(&self, step: Step) -> Result<(), Refusal> {
        let (state, events) = self.lane.with_fold(|fold, last| (fold.status.state, last.get()));
        // One event is kept back for the end, which must always find room.
        if events + 1 >= u64::from(self.facts.limits.events_max) {
            let text = format!("a task has at most {} events", self.facts.limits.events_max);
            return Err(GuestError::new(ErrorKind::Limit, "events", text).into());
        }
        match state::next(Some(state), step) {
            Ok(_) => Ok(()),
            Err(illegal) => Err(GuestError::new(ErrorKind::Invalid, "state", illegal.to_string()).into()),
        }
    }

    async fn update_status(
        &mut self,
        message: Option<Draft>,
        progress: Option<Progress>,
        metadata: Option<JsonObject>,
    ) -> Result<Answer, Refusal> {
        self.step(Step::Update)?;
        let only_progress = message.is_none() && metadata.is_none() && progress.is_some();
        let mut draft = message;
        if let Some(progress) = &progress {
            let part = progress_part(progress);
            match &mut draft {
                Some(draft) => draft.parts.push(part),
                None => draft = Some(Draft { parts: vec![part], ..super::event::text("") }),
            }
        }
        if let Some(draft) = &draft {
            self.artifacts().say(&draft.parts)?;
        }
        let number = self.number();
        let message = draft.map(|draft| self.facts.subject.message(draft, number));
        let now = self.facts.store.clock().now();
        let event = self.facts.subject.status_with(TaskState::Working, message, now, metadata);
        if only_progress {
            self.gate.offer(event).await?;
        } else {
            self.gate.settle().await?;
            self.lane.push(event, Close::No).await?;
        }
        Ok(Answer::Done)
    }

    async fn publish(&mut self, mut artifact: Artifact) -> Result<Answer, Refusal> {
        self.step(Step::Artifact)?;
        let given = (!artifact.artifact_id.is_unset()).then(|| artifact.artifact_id.clone());
        artifact.artifact_id = self.artifact_id(given)?;
        self.artifacts().publish(&artifact)?;
        self.gate.settle().await?;
        let id = artifact.artifact_id.clone();
        self.lane.push(self.facts.subject.artifact(artifact, false, true), Close::No).await?;
        Ok(Answer::ArtifactId(id))
    }

    fn artifact_id(&mut self, given: Option<ArtifactId>) -> Result<ArtifactId, Refusal> {
        if let Some(id) = given {
            return Ok(id);
        }
        let id = format!("artifact-{}", self.number());
        id.parse().map_err(|_| Refusal::Abandon)
    }

    async fn send_piece(&mut self, piece: Piece, last: bool) -> Result<Answer, Refusal> {
        self.step(Step::Artifact)?;
        if last {
            // Progress that was held back belongs before the result, not behind it.
            self.gate.settle().await?;
        }
        self.lane.push(self.facts.subject.artifact(piece.artifact, piece.append, last), Close::No).await?;
        Ok(Answer::Done)
    }

    async fn history(&mut self, limit: u32) -> Result<Answer, Refusal> {
        self.lane.flush().await?;
        let view = self.facts.store.held_task(self.lane.claim()).await.map_err(|error| unavailable(&error))?;
        let view = view.ok_or(Refusal::Abandon)?;
        let mut messages = view.history(Some(limit.min(HISTORY_MAX)));
        for message in &mut messages {
            let completed = self.facts.store.complete_message(&self.facts.scope.tenant, message).await;
            completed.map_err(|error| unavailable(&error))?;
        }
        Ok(Answer::Messages(messages))
    }

    /// Another task of this owner: of the same context, or one that the client named.
    async fn related(&mut self, task: &TaskId) -> Result<Answer, Refusal> {
        let view = self.facts.store.task(&self.facts.scope, task).await.map_err(|error| unavailable(&error))?;
        let seen = view.filter(|view| {
            view.row.context == self.facts.subject.context || self.references.contains(&view.row.key.task)
        });
        let Some(view) = seen else {
            let text = format!("no task {task} in this context or among the references");
            return Err(GuestError::new(ErrorKind::NotFound, "task-id", text).into());
        };
        let mut task = view.task(Some(0), Shown::Show);
        if view.blobs {
            self.facts
                .store
                .complete(&self.facts.scope.tenant, &mut task)
                .await
                .map_err(|error| unavailable(&error))?;
        }
        Ok(Answer::Task(Box::new(task)))
    }

    async fn related_ids(&mut self, limit: u32) -> Result<Answer, Refusal> {
        let subject = &self.facts.subject;
        let limit = limit.min(RELATED_MAX);
        let ids = self.facts.store.related_ids(&self.facts.scope, subject.context.as_str(), &subject.task, limit).await;
        Ok(Answer::TaskIds(ids.map_err(|error| unavailable(&error))?))
    }

    fn cancel_requested(&mut self) -> Option<kennel_sandbox::call::CancelRequest> {
        let cancel = self.inbox.cancel()?;
        self.note_cancel(&cancel);
        Some(cancel.request)
    }

    /// The guest knows now.
    fn note_cancel(&mut self, cancel: &Cancel) {
        if !std::mem::replace(&mut self.told, true) && cancel.n != u32::MAX {
            self.lane.take(cancel.n);
        }
    }

    fn canceled(&mut self, cancel: &Cancel) -> Refusal {
        self.note_cancel(cancel);
        let reason = cancel.request.reason.as_deref().unwrap_or("the task was asked to stop");
        GuestError::new(ErrorKind::Canceled, "canceled", reason).into()
    }

    async fn sleep(&mut self, until: Option<Instant>) -> Result<Answer, Refusal> {
        self.lane.flush().await?;
        let Some(until) = until else {
            return Err(GuestError::new(ErrorKind::Limit, "sleep", "longer than a task can live").into());
        };
        // Messages do not end a sleep: only those after the last seq there can be would, and there are none.
        match self.inbox.wait(Some(Seq::new(u64::MAX)), Some(until)).await {
            Woken::Canceled(cancel) => Err(self.canceled(&cancel)),
            Woken::TimedOut | Woken::Message(_) => Ok(Answer::Done),
        }
    }

    async fn next_message(&mut self, timeout: Option<Duration>) -> Result<Answer, Refusal> {
        if timeout != Some(Duration::ZERO) {
            self.lane.flush().await?;
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match self.inbox.wait(None, deadline).await {
            Woken::Canceled(cancel) => Err(self.canceled(&cancel)),
            Woken::TimedOut => Ok(Answer::Message(None)),
            Woken::Message(inbound) => {
                self.hand_out(&inbound);
                Ok(Answer::Message(Some(Box::new(inbound.message))))
            }
        }
    }

    async fn require_input(
        &mut self,
        prompt: Draft,
        schema: Option<JsonValue>,
        timeout: Option<Duration>,
    ) -> Result<Answer, Refusal> {
        let compiled = match &schema {
            Some(text) => Some(AnswerSchema::compile(text).map_err(|fault| {
                Refusal::from(GuestError::new(ErrorKind::Invalid, "schema", format!("not a JSON Schema: {fault}")))
            })?),
            None => None,
        };
        let mut prompt = prompt;
        if let Some(schema) = &schema {
            let metadata = prompt.metadata.take().unwrap_or_else(JsonObject::empty);
            prompt.metadata = Some(metadata.with(INPUT_KEY, &wrapped("schema", schema)));
        }
        let Some(inbound) = self.prompt(Step::RequireInput, TaskState::InputRequired, prompt, timeout).await? else {
            return Ok(Answer::Input(Input::TimedOut));
        };
        // The service accepted the message by this same schema, so a value is found.
        let value = compiled.and_then(|schema| schema.find(&inbound).ok());
        Ok(Answer::Input(Input::Reply(inbound, value)))
    }

    async fn require_auth(&mut self, prompt: Draft, request: AuthRequest) -> Result<Answer, Refusal> {
        if !self.facts.credentials.contains(&request.credential) {
            let text = format!("the card does not ask for a credential named {}", request.credential);
            return Err(GuestError::new(ErrorKind::Denied, "credential", text).into());
        }
        let mut prompt = prompt;
        let wanted = serde_json::json!({
            "credential": request.credential, "scopes": request.scopes, "url": request.url,
        });
        let metadata = prompt.metadata.take().unwrap_or_else(JsonObject::empty);
        prompt.metadata = Some(metadata.with(AUTH_KEY, &JsonValue::from_value(&wanted)));
        let answer = self.prompt(Step::RequireAuth, TaskState::AuthRequired, prompt, request.timeout).await?;
        Ok(Answer::Auth(answer.map_or(Auth::TimedOut, Auth::Reply)))
    }

    /// Asks and waits. None: nobody answered in time.
    async fn prompt(
        &mut self,
        step: Step,
        state: TaskState,
        prompt: Draft,
        timeout: Option<Duration>,
    ) -> Result<Option<Box<kennel_protocol::types::Message>>, Refusal> {
        self.step(step)?;
        if let Some(cancel) = self.inbox.cancel() {
            return Err(self.canceled(&cancel));
        }
        self.artifacts().say(&prompt.parts)?;
        self.gate.settle().await?;
        let number = self.number();
        let message = self.facts.subject.message(prompt, number);
        let asked = self.lane.push(self.status(state, Some(message)), Close::No).await?;
        self.lane.flush().await?;
        let wait = timeout.unwrap_or(self.facts.limits.input_wait_max);
        let mut deadline = Instant::now().checked_add(wait);
        let _waits = WaitsForClient::new(&self.facts.waiting);
        loop {
            match self.inbox.wait(Some(asked), deadline).await {
                Woken::Message(inbound) => {
                    let at = self.inbox.position().ok_or(Refusal::Abandon)?;
                    self.lane.catch_up(at).await?;
                    self.hand_out(&inbound);
                    return Ok(Some(Box::new(inbound.message)));
                }
                Woken::Canceled(cancel) => {
                    while self.close_prompt().await? == Closed::StillOpen {}
                    return Err(self.canceled(&cancel));
                }
                Woken::TimedOut => match self.close_prompt().await? {
                    Closed::ByUs => return Ok(None),
                    // An answer was accepted at the last moment: it goes before the time-out, and it is on its way here.
                    Closed::ByAnswer => deadline = None,
                    Closed::StillOpen => {}
                },
            }
        }
    }

    /// Notes that a message goes to the guest: also that it may read the tasks which the message names.
    fn hand_out(&mut self, inbound: &kennel_store::InboxMessage) {
        self.inbox.take(inbound.n);
        self.lane.take(inbound.n);
        self.references.extend(references(&inbound.message));
    }

    /// Brings the task back to work from the agent's side.
    async fn close_prompt(&mut self) -> Result<Closed, Refusal> {
        let now = self.facts.store.clock().now();
        if self.lane.close_prompt(self.status(TaskState::Working, None), now).await? {
            return Ok(Closed::ByUs);
        }
        let waiting = self.facts.store.waiting(self.lane.claim().key()).await.map_err(|error| unavailable(&error))?;
        self.lane.catch_up(waiting.ok_or(Refusal::Abandon)?.at).await?;
        let open = self.lane.with_fold(|fold, _| fold.status.state.is_interrupted());
        Ok(if open { Closed::StillOpen } else { Closed::ByAnswer })
    }
}

/// Who ended a prompt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closed {
    /// The agent's side: a time-out or a cancel.
    ByUs,
    /// A client's answer.
    ByAnswer,
    /// Nobody yet: it was repeated meanwhile.
    StillOpen,
}

/// The tasks that a message names. A name that cannot be one names nothing.
pub(crate) fn references(message: &kennel_protocol::types::Message) -> Vec<TaskId> {
    message.reference_task_ids.iter().filter_map(|id| id.parse().ok()).collect()
}

/// Effects and waits need a task; a mere look does not.
fn opens_task(call: &Call) -> bool {
    match call {
        Call::CancelRequested | Call::Related { .. } | Call::RelatedIds { .. } => false,
        Call::NextMessage { timeout } => *timeout != Some(Duration::ZERO),
        Call::History { .. }
        | Call::UpdateStatus { .. }
        | Call::RequireInput { .. }
        | Call::RequireAuth { .. }
        | Call::Publish { .. }
        | Call::OpenArtifact { .. }
        | Call::AppendArtifact { .. }
        | Call::CloseArtifact { .. }
        | Call::Sleep { .. }
        | Call::SleepUntil { .. } => true,
    }
}

fn wrapped(key: &str, value: &JsonValue) -> JsonValue {
    JsonObject::empty().with(key, value).as_value().clone()
}

/// A read that failed is the host's fault: the activation is given up and tried again.
fn unavailable(error: &kennel_store::StoreError) -> Refusal {
    tracing::warn!(%error, "a read for an agent failed; the activation is given up");
    Refusal::Abandon
}
