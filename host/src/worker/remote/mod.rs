//! Tasks that agents elsewhere work on. Each is an ordinary task whose run is not an instance: a claim takes one short step (sends a
//! message, asks how the task there stands, asks it to stop), writes what is new as events, and parks the run until the next.
//!
//! So a message to an agent elsewhere costs rows while it waits, survives the end of the host, and is to its sender what every child
//! is. A message may leave more than once, always under the same id: its intent is on disk before it does. Never here: the sender's
//! side (`sender.rs`), connections (`exchange.rs`).

mod exchange;
mod place;
mod rows;
mod sender;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kennel_client::{Client, ClientError};
use kennel_protocol::extension::PROMPT;
use kennel_protocol::types::{
    Artifact, CancelTaskRequest, GetTaskRequest, JsonObject, Message, Role, SendMessageConfiguration,
    SendMessageRequest, SendMessageResponse, StreamResponse, Task, TaskState,
};
use kennel_protocol::{ErrorKind as ProtocolError, Seq, Timestamp, received};
use kennel_sandbox::call::{ErrorKind, GuestError};
use kennel_store::{Attempt, ClaimedRun, StoreError, TaskKey, TaskView, Wait, Waiting};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Worker;
use super::event::{Subject, text};
use super::inbox::later;
use super::lane::{Batch, Close, Dead, Lane, Start};
use super::task_facts;
use crate::broker::Hold;
use crate::work::{Accept, Remote, RequestFacts};
use exchange::{Fault, Line, words};
pub(super) use place::is_elsewhere;
use rows::{CANCEL, CARD, Came, Interface, Leaving, SEND, Stand, There, came, prompt_of, row};

/// Steps taken at once: what is on its way has memory.
const STEPS_MAX: usize = 64;
/// Between two looks at a task elsewhere: a quarter of the time since the last news, within these.
const LOOK_MIN: Duration = Duration::from_millis(250);
const LOOK_MAX: Duration = Duration::from_secs(10);
/// Between two tries to reach a peer: doubled each time, within these.
const TRY_MIN: Duration = Duration::from_millis(500);
const TRY_MAX: Duration = Duration::from_secs(60);
/// Metadata with such keys is this host's own.
const OWN_KEYS: &str = "urn:kennel:";

/// What all steps share.
#[derive(Debug)]
pub(super) struct Remotes {
    steps: Semaphore,
    /// Tries in vain since the last answer. Lost with the process: then each is tried at once.
    faults: Mutex<HashMap<TaskKey, u32>>,
}

impl Default for Remotes {
    fn default() -> Remotes {
        Remotes { steps: Semaphore::new(STEPS_MAX), faults: Mutex::default() }
    }
}

impl Remotes {
    fn faults(&self) -> MutexGuard<'_, HashMap<TaskKey, u32>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more try was in vain: how long to wait.
    fn in_vain(&self, key: &TaskKey, after: Duration) -> Duration {
        let mut faults = self.faults();
        let tries = faults.entry(key.clone()).or_default();
        let delay = TRY_MIN.saturating_mul(1 << (*tries).min(16)).min(TRY_MAX);
        *tries += 1;
        jittered(delay).max(after)
    }

    fn answered(&self, key: &TaskKey) {
        self.faults().remove(key);
    }
}

/// Between three quarters of it and all of it, so that many do not come together for ever.
fn jittered(delay: Duration) -> Duration {
    // The hasher's random keys are all the randomness that this needs.
    let random = RandomState::new().build_hasher().finish() % 256;
    delay.mul_f64(0.75 + f64::from(u32::try_from(random).unwrap_or_default()) / 1024.0)
}

/// A claimed run of such a task.
pub(super) struct Claimed {
    pub(super) run: ClaimedRun,
    pub(super) view: TaskView,
    pub(super) remote: Remote,
    pub(super) hold: Hold,
}

/// Why a step came to no end of its own.
enum Stopped {
    /// The peer, or what may be sent to it.
    Fault(Fault),
    /// The task is somebody else's, or something came meanwhile.
    Lost,
    /// The host is stopping.
    Host,
    /// The store did not answer.
    Store(StoreError),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Stopped {
        Stopped::Fault(fault)
    }
}

impl From<GuestError> for Stopped {
    fn from(error: GuestError) -> Stopped {
        Stopped::Fault(Fault::Final(error))
    }
}

impl From<Dead> for Stopped {
    fn from(_: Dead) -> Stopped {
        Stopped::Lost
    }
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Stopped {
        Stopped::Store(error)
    }
}

/// One step.
struct Step {
    worker: Arc<Worker>,
    run: ClaimedRun,
    subject: Subject,
    expires: Timestamp,
    request: RequestFacts,
    remote: Remote,
    /// The message that made the task.
    first: Message,
    lane: Lane,
    stand: Stand,
    waiting: Waiting,
    hold: Option<Hold>,
}

/// Takes the next step of a claimed run.
pub(super) async fn step(worker: Arc<Worker>, claimed: Claimed) {
    let Claimed { run, view, remote, hold } = claimed;
    let stopping = worker.stopping.clone();
    let Some(Ok(_turn)) = stopping.run_until_cancelled(worker.remotes.steps.acquire()).await else {
        drop(hold);
        return worker.give_back(&run, Attempt::DoesNotCount, "the host stopped", Duration::ZERO).await;
    };
    let prepared = prepare(Arc::clone(&worker), run.clone(), view, remote, hold).await;
    match prepared {
        Ok(Some(step)) => step.take().await,
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(task.id = %run.claim.key().task, %error, "a claimed run could not be read");
            worker.give_back(&run, Attempt::DoesNotCount, "it could not be read", super::LOAD_RETRY).await;
        }
    }
}

async fn prepare(
    worker: Arc<Worker>,
    run: ClaimedRun,
    mut view: TaskView,
    remote: Remote,
    hold: Hold,
) -> Result<Option<Step>, StoreError> {
    let key = run.claim.key();
    let stand = Stand::read(&worker.store, key).await?;
    let Some(waiting) = worker.store.waiting(key).await? else { return Ok(None) };
    let facts = task_facts(&view);
    if view.inbox.is_empty() {
        return Ok(None);
    }
    let first = view.inbox.swap_remove(0).message;
    let (calls, pace) = (stand.last, worker.trial.pace);
    let start = Start { at: run.at, fold: view.fold, calls, pace, tried: false, suspect: None };
    let lane = Lane::new(Arc::clone(&worker.store), run.claim.clone(), worker.commits.clone(), start, Accept::Done);
    Ok(Some(Step {
        subject: Subject { task: key.task.clone(), context: facts.context },
        expires: facts.expires,
        request: facts.request,
        hold: Some(hold),
        worker,
        run,
        remote,
        first,
        lane,
        stand,
        waiting,
    }))
}

impl Step {
    async fn take(mut self) {
        let key = self.run.claim.key().clone();
        let error = match self.go_on().await {
            Ok(()) => return self.worker.remotes.answered(&key),
            Err(Stopped::Fault(Fault::Passing { text, after })) => {
                let delay = self.worker.remotes.in_vain(&key, after);
                let left = self.expires.millis().saturating_sub(self.now().millis());
                let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
                return self.give_back(&text, delay.min(left)).await;
            }
            Err(Stopped::Fault(Fault::Refused { error, .. } | Fault::Final(error))) => error,
            Err(Stopped::Lost) => return self.give_back("something came meanwhile", Duration::ZERO).await,
            Err(Stopped::Host) => return self.give_back("the host stopped", Duration::ZERO).await,
            Err(Stopped::Store(error)) => {
                tracing::warn!(task.id = %key.task, %error, "a step with a peer waits for the store");
                return self.give_back("the store did not answer", super::LOAD_RETRY).await;
            }
        };
        self.worker.remotes.answered(&key);
        if self.fail(&error).await.is_err() {
            self.give_back("its end could not be written", super::LOAD_RETRY).await;
        }
    }

    async fn go_on(&mut self) -> Result<(), Stopped> {
        let over = self.now() >= self.expires;
        if over || (self.waiting.cancel.is_some() && !self.stand.canceled) {
            let stopped = self.stop_there(over).await;
            return match (over, stopped) {
                (true, Err(Stopped::Fault(_))) => self.canceled("Its lifetime is over.").await,
                (_, stopped) => stopped,
            };
        }
        if self.stand.canceled {
            return self.look().await;
        }
        if let Some((n, message)) = self.next_message() {
            return self.send(n, message).await;
        }
        match self.lane.with_fold(|fold, _| fold.status.state.is_interrupted()) {
            true => self.park(Batch::default(), self.expires, true).await,
            false => self.look().await,
        }
    }

    fn now(&self) -> Timestamp {
        self.worker.store.clock().now()
    }

    /// The line to the peer, by today's grants.
    fn line(&self) -> Result<Line, GuestError> {
        let granted = self.worker.allowed.of(self.remote.sender.as_str());
        Line::new(&self.worker.gate, place::place(&granted, &self.remote)?)
    }

    /// Waits for an answer, unless the host gives up on it.
    async fn answer<T>(
        &self,
        line: &Line,
        until: &CancellationToken,
        asked: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, Stopped> {
        let answer = until.run_until_cancelled(asked).await.ok_or(Stopped::Host)?;
        answer.map_err(|error| line.fault(&error, "peer.answer").into())
    }

    /// The interface, as the card said before.
    fn client(&self, line: &Line) -> Result<(Client, Option<String>), Stopped> {
        match &self.stand.interface {
            Some(Interface { endpoint, tenant }) => Ok((line.at(endpoint)?, tenant.clone())),
            None => Err(GuestError::new(ErrorKind::Failed, "journal", "The peer's interface was not recorded.").into()),
        }
    }

    /// The message that is to leave next.
    fn next_message(&self) -> Option<(u32, Message)> {
        if self.stand.there.is_none() && self.stand.bare.is_none() {
            return Some((0, self.first.clone()));
        }
        self.waiting.messages.iter().find(|inbound| inbound.n > 0).map(|inbound| (inbound.n, inbound.message.clone()))
    }

    /// Sends a message, or sends it again.
    async fn send(&mut self, n: u32, mut message: Message) -> Result<(), Stopped> {
        let tenant = self.run.claim.key().tenant.clone();
        self.worker.store.complete_message(&tenant, &mut message).await?;
        let line = self.line()?;
        let again = self.stand.under_way.is_some();
        if !again {
            self.record_intent(&line, n, &message).await?;
        }
        let (client, tenant) = self.client(&line)?;
        let Some((idx, leaving)) = self.stand.under_way.clone() else { return Err(Stopped::Lost) };
        let request = self.outgoing(message, tenant);
        let drained = self.worker.drained.clone();
        let answer = self.answer(&line, &drained, client.send(request)).await;
        let taken = Some(leaving.n).filter(|n| *n > 0);
        let batch = |came: &Came, now| Batch { answers: vec![(idx, rows::came(came, now))], taken, ..Batch::default() };
        let now = self.now();
        match answer {
            Ok(SendMessageResponse::Message(said)) => {
                self.check(received::message(&said))?;
                let bare = Came::Bare(said.context_id.clone());
                let said = self.said(said, idx);
                let done = self.subject.status(TaskState::Completed, Some(said), now);
                self.write(Batch { events: vec![done], close: Some(Close::Finish), ..batch(&bare, now) }).await
            }
            Ok(SendMessageResponse::Task(task)) => {
                self.check(received::task(&task))?;
                let there = There { task: task.id.clone(), context: task.context_id.clone() };
                if self.stand.there.as_ref().is_some_and(|known| known.task != there.task) {
                    return Err(self.rubbish("it answers with another task").into());
                }
                self.stand.answered = leaving.prompt;
                self.stand.since_us = kennel_sandbox::call::Moment::from(now).micros();
                self.seen(task, batch(&Came::Task(there), now), true).await
            }
            // What was sent before and had arrived is no answer any more.
            Err(Stopped::Fault(Fault::Refused { .. })) if again && self.stand.there.is_some() => {
                let Some(there) = self.stand.there.clone() else { return Err(Stopped::Lost) };
                self.park(batch(&Came::Task(there), now), now, false).await
            }
            Err(stopped) => Err(stopped),
        }
    }

    /// Writes that a message is about to leave; before the first one, where to.
    async fn record_intent(&mut self, line: &Line, n: u32, message: &Message) -> Result<(), Stopped> {
        let mut batch = Batch::default();
        let mut idx = self.stand.last;
        if self.stand.interface.is_none() {
            let stopping = self.worker.stopping.clone();
            let connected = stopping.run_until_cancelled(line.connect()).await.ok_or(Stopped::Host)?;
            let client = connected?;
            let tenant = client.tenant().map(str::to_owned);
            let interface = Interface { endpoint: client.endpoint().to_owned(), tenant };
            idx += 1;
            let mut card = row(idx, CARD, &serde_json::json!({ "to": self.remote.to }), self.now());
            card.answer = Some(came(&Came::Interface(interface.clone()), self.now()));
            batch.calls.push(card);
            self.stand.interface = Some(interface);
        }
        let prompt = match n {
            0 => None,
            _ => self.last_prompt().await?,
        };
        let leaving = Leaving { message_id: message.message_id.clone(), n, prompt };
        idx += 1;
        batch.calls.push(row(idx, SEND, &leaving, self.now()));
        if self.lane.with_fold(|fold, _| fold.status.state) == TaskState::Submitted {
            batch.events.push(self.subject.status(TaskState::Working, None, self.now()));
        }
        self.lane.push_all(batch).await?;
        self.lane.flush().await?;
        self.stand.last = idx;
        self.stand.under_way = Some((idx, leaving));
        Ok(())
    }

    /// By what the prompt is known that a message answers: the last one that was written.
    async fn last_prompt(&self) -> Result<Option<String>, StoreError> {
        let events = self.worker.store.events_after(self.run.claim.key(), Seq::new(0), u32::MAX).await?;
        let read = events.iter().rev().filter_map(|row| serde_json::from_slice::<StreamResponse>(&row.body).ok());
        let prompts = read.filter_map(|event| match event {
            StreamResponse::StatusUpdate(update) if update.status.state.is_interrupted() => {
                update.metadata.and_then(|metadata| metadata.member(PROMPT))
            }
            _ => None,
        });
        Ok(prompts.into_iter().next().and_then(|prompt| serde_json::from_str(prompt.get()).ok()))
    }

    /// A message as it leaves: under the names of the other side.
    fn outgoing(&self, mut message: Message, tenant: Option<String>) -> SendMessageRequest {
        message.role = Role::User;
        match &self.stand.there {
            Some(there) => {
                message.task_id = Some(there.task.clone());
                message.context_id = Some(there.context.clone());
            }
            None => {
                message.task_id = None;
                message.context_id = self.remote.context.as_deref().and_then(|context| context.parse().ok());
            }
        }
        let configuration = SendMessageConfiguration {
            accepted_output_modes: self.request.accepted_output_modes.clone(),
            history_length: Some(0),
            return_immediately: true,
            ..SendMessageConfiguration::default()
        };
        let metadata = self.request.metadata.clone().filter(|_| self.stand.there.is_none());
        SendMessageRequest { tenant, message, configuration: Some(configuration), metadata }
    }

    /// Asks how the task there stands.
    async fn look(&mut self) -> Result<(), Stopped> {
        let Some(there) = self.stand.there.clone() else { return Err(Stopped::Lost) };
        let line = self.line()?;
        let (client, tenant) = self.client(&line)?;
        let stopping = self.worker.stopping.clone();
        let request = GetTaskRequest { tenant, id: there.task.clone(), history_length: Some(0) };
        match self.answer(&line, &stopping, client.get_task(request)).await {
            Ok(task) => {
                self.check_task(&task, &there)?;
                self.seen(task, Batch::default(), false).await
            }
            // A look does no harm: what broke there may be well again.
            Err(Stopped::Fault(Fault::Refused { kind: Some(ProtocolError::Internal), error })) => {
                Err(Fault::Passing { text: error.message, after: Duration::ZERO }.into())
            }
            Err(stopped) => Err(stopped),
        }
    }

    /// Asks the task there to stop.
    async fn stop_there(&mut self, over: bool) -> Result<(), Stopped> {
        let Some(there) = self.stand.there.clone() else {
            let to = &self.remote.to;
            let text = match self.stand.under_way {
                Some(_) => {
                    format!("Whether the message reached the peer {to} is not known; nobody there was asked to stop.")
                }
                None => format!("Nothing was sent to the peer {to}."),
            };
            return self.canceled(&text).await;
        };
        let line = self.line()?;
        let (client, tenant) = self.client(&line)?;
        let drained = self.worker.drained.clone();
        let request = CancelTaskRequest { tenant, id: there.task.clone(), metadata: None };
        let asked_at = self.now();
        let answer = self.answer(&line, &drained, client.cancel_task(request)).await;
        let now = self.now();
        let mut heard = row(self.stand.last + 1, CANCEL, &there, asked_at);
        heard.answer = Some(came(&Came::Heard, now));
        let taken = self.waiting.cancel.as_ref().map(|(n, _)| *n);
        let batch = Batch { calls: vec![heard], taken, ..Batch::default() };
        self.stand.since_us = kennel_sandbox::call::Moment::from(now).micros();
        match answer {
            Ok(task) if !over => {
                self.check_task(&task, &there)?;
                self.seen(task, batch, true).await
            }
            Err(Stopped::Fault(Fault::Refused { kind: Some(kind), .. })) if !over && goes_on(kind) => {
                self.park(batch, now, false).await
            }
            Ok(_) => self.canceled("Its lifetime is over.").await,
            Err(Stopped::Fault(Fault::Refused { kind: Some(ProtocolError::TaskNotFound), .. })) => {
                self.canceled("The peer does not know the task any more.").await
            }
            Err(stopped) => Err(stopped),
        }
    }

    /// Writes what is new about the task there. `short`: the answer may leave artifacts out.
    async fn seen(&mut self, task: Task, mut batch: Batch, short: bool) -> Result<(), Stopped> {
        let state = task.status.state;
        let asks = self.lane.with_fold(|fold, _| fold.status.state.is_interrupted());
        let prompt = prompt_of(&task.status);
        let old = state.is_interrupted() && (asks || prompt.is_some() && prompt == self.stand.answered);
        if !state.is_stop() || old {
            let due = later(self.now(), self.look_after());
            return self.park(batch, due, false).await;
        }
        if short && task.artifacts.is_none() {
            return self.park(batch, self.now(), false).await;
        }
        let idx = self.stand.last + 1;
        let said = task.status.message.map(|message| self.said(message, idx));
        for artifact in task.artifacts.into_iter().flatten() {
            let artifact = cleaned(artifact);
            if !self.lane.with_fold(|fold, _| fold.artifacts.contains(&artifact)) {
                batch.events.push(self.subject.artifact(artifact, false, true));
            }
        }
        if asks && !batch.events.is_empty() {
            // It went on there without an answer: results come while a task works.
            batch.events.insert(0, self.subject.status(TaskState::Working, None, self.now()));
        }
        let mark = prompt.filter(|_| state.is_interrupted()).map(|prompt| {
            JsonObject::empty().with(PROMPT, &kennel_protocol::types::JsonValue::from_value(&prompt.into()))
        });
        batch.events.push(self.subject.status_with(state, said, self.now(), mark));
        self.within_bounds(&batch)?;
        if state.is_terminal() {
            batch.close = Some(Close::Finish);
            return self.write(batch).await;
        }
        self.park(batch, self.expires, true).await
    }

    /// When to look again.
    fn look_after(&self) -> Duration {
        let now_us = kennel_sandbox::call::Moment::from(self.now()).micros();
        let quiet = Duration::from_micros(now_us.saturating_sub(self.stand.since_us));
        jittered((quiet / 4).clamp(LOOK_MIN, LOOK_MAX))
    }

    fn within_bounds(&self, batch: &Batch) -> Result<(), GuestError> {
        let limits = &self.worker.limits.task;
        let (events, artifacts) = self.lane.with_fold(|fold, last| (last.get(), fold.artifacts.len()));
        let limit = |name: &str, text: String| Err(GuestError::new(ErrorKind::Limit, name, text));
        // One event is kept back for the end, which must always find room.
        if events + batch.events.len() as u64 >= u64::from(limits.events_max) {
            return limit("events", format!("a task has at most {} events", limits.events_max));
        }
        if artifacts + batch.events.len() > limits.artifacts_max {
            return limit("artifacts", format!("a task has at most {} artifacts", limits.artifacts_max));
        }
        Ok(())
    }

    /// Writes and gives the run up until `due`, or until something comes for it.
    async fn park(&mut self, batch: Batch, due: Timestamp, listens: bool) -> Result<(), Stopped> {
        let last = self.lane.with_fold(|_, last| last.get());
        let rev = Seq::new(last + batch.events.len() as u64);
        let wait = Wait { due: Some(due.min(self.expires)), listens: listens.then_some(rev), children: false };
        // Before the commit after which somebody may claim it.
        self.hold = None;
        self.write(Batch { close: Some(Close::Release(wait)), ..batch }).await
    }

    async fn write(&self, batch: Batch) -> Result<(), Stopped> {
        self.lane.push_all(batch).await?;
        self.lane.flush().await.map_err(Stopped::from)
    }

    async fn canceled(&self, why: &str) -> Result<(), Stopped> {
        let said = self.subject.message(text(why), self.stand.last + 1);
        let event = self.subject.status(TaskState::Canceled, Some(said), self.now());
        self.write(Batch { events: vec![event], close: Some(Close::Finish), ..Batch::default() }).await
    }

    async fn fail(&self, error: &GuestError) -> Result<(), Dead> {
        let now = self.now();
        let event = self.subject.failed(error, self.stand.last + 1, now);
        let answers = self.stand.under_way.iter().map(|(idx, _)| (*idx, came(&Came::Error(error.clone()), now)));
        let batch =
            Batch { events: vec![event], answers: answers.collect(), close: Some(Close::Finish), ..Batch::default() };
        self.lane.push_all(batch).await?;
        self.lane.flush().await
    }

    async fn give_back(&mut self, reason: &str, after: Duration) {
        self.hold = None;
        self.worker.give_back(&self.run, Attempt::DoesNotCount, reason, after).await;
    }

    fn check_task(&self, task: &Task, there: &There) -> Result<(), GuestError> {
        self.check(received::task(task))?;
        if task.id != there.task {
            return Err(self.rubbish("it answers about another task"));
        }
        Ok(())
    }

    /// Names the field at fault.
    fn check(&self, checked: Result<(), kennel_protocol::Error>) -> Result<(), GuestError> {
        checked.map_err(|error| match error.violations.first() {
            Some(fault) => self.rubbish(&format!("{} {}", fault.field, fault.description)),
            None => self.rubbish(&error.message),
        })
    }

    fn rubbish(&self, what: &str) -> GuestError {
        let text = format!("the peer {} is not to be understood: {}", self.remote.to, words(what));
        GuestError::new(ErrorKind::Failed, "peer.answer", text)
    }

    /// A message of the peer, as one of this task.
    fn said(&self, message: Message, idx: u32) -> Message {
        let made = || format!("{}-{idx}", self.subject.task);
        let message_id = Some(message.message_id).filter(|id| !id.is_empty()).unwrap_or_else(made);
        Message {
            message_id,
            context_id: Some(self.subject.context.clone()),
            task_id: Some(self.subject.task.clone()),
            role: Role::Agent,
            parts: message.parts.into_iter().map(without_own_keys_in_part).collect(),
            metadata: message.metadata.map(without_own_keys),
            ..message
        }
    }
}

/// Refusals to stop after which the task there still comes to an end of its own.
fn goes_on(kind: ProtocolError) -> bool {
    matches!(kind, ProtocolError::TaskNotCancelable | ProtocolError::UnsupportedOperation)
}

fn cleaned(artifact: Artifact) -> Artifact {
    Artifact {
        parts: artifact.parts.into_iter().map(without_own_keys_in_part).collect(),
        metadata: artifact.metadata.map(without_own_keys),
        ..artifact
    }
}

fn without_own_keys_in_part(part: kennel_protocol::types::Part) -> kennel_protocol::types::Part {
    kennel_protocol::types::Part { metadata: part.metadata.map(without_own_keys), ..part }
}

/// What another server says must not pass for what this host says.
fn without_own_keys(metadata: JsonObject) -> JsonObject {
    let members = metadata.members();
    match members.iter().any(|(key, _)| key.starts_with(OWN_KEYS)) {
        true => JsonObject::from_members(members.into_iter().filter(|(key, _)| !key.starts_with(OWN_KEYS))),
        false => metadata,
    }
}
