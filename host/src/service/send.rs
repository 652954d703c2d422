//! SendMessage and SendStreamingMessage: a message makes a task, answers one, or is answered bare.

use std::sync::Arc;
use std::time::Duration;

use kennel_protocol::fold::Fold;
use kennel_protocol::types::{Message, SendMessageRequest, SendMessageResponse, StreamResponse, Task};
use kennel_protocol::{AgentId, Caller, ContextId, Epoch, Error, ErrorKind, Seq, TaskId, Timestamp, Ver};
use kennel_sandbox::{AgentDescription, ReplyMode};
use kennel_store::{
    Artifacts, NewTask, Position, Scope, Start, Stop, Subscription, TaskKey, TaskView, claim_of, newest,
};
use tokio::sync::oneshot;

use super::read::length;
use super::{Held, Service, store_error};
use crate::broker::{Hold, Slot};
use crate::config::AgentGrants;
use crate::intake::{self, Address, NotTaken};
use crate::registry::Version;
use crate::stream::{self, TaskStream, Until};
use crate::work::{
    Accept, Assignment, Bare, BareEnd, Entry, Lineage, Opened, Opening, Past, RequestFacts, SeenLimits, TaskFacts, Work,
};

/// How long a bare message waits for a place.
const SLOT_WAIT: Duration = Duration::from_secs(5);

/// A message that was taken.
pub(super) enum Sent {
    /// The agent answered without a task.
    Message(Box<Message>),
    /// It is in a task's inbox.
    Task(Accepted),
}

/// Where a message went.
pub(super) struct Accepted {
    scope: Scope,
    key: TaskKey,
    /// Its number in the inbox.
    n: u32,
    /// Readers from this rev on see it.
    at_seq: Seq,
    /// Registered before the accept, so that no commit after it is missed.
    subscription: Subscription,
    /// For a message that made a task: the task as of event 1.
    first: Option<Box<Task>>,
}

/// The answer to SendStreamingMessage.
pub enum SendStream {
    /// One message, then the end.
    Message(Box<Message>),
    /// The task's events.
    Task(Box<TaskStream>),
}

/// A task at the stop for which its caller waits.
enum Stopped {
    /// The task as of event 1, and what its last commit brought with its acknowledgement.
    Told(Box<Task>, Stop),
    /// As it was read.
    Read(Box<TaskView>),
}

/// What a new task is made from.
struct Draft {
    key: TaskKey,
    facts: TaskFacts,
    message: Message,
}

/// Where it runs at once.
struct Place {
    version: Arc<Version>,
    slot: Slot,
    hold: Hold,
    /// How far its accept is.
    accept: Accept,
}

impl Service {
    /// SendMessage: waits for the first stop after the message was taken, unless the client wants the task at once.
    pub async fn send_message(
        &self,
        caller: &Caller,
        agent: &AgentId,
        request: SendMessageRequest,
        extensions: Vec<String>,
    ) -> Result<Held<SendMessageResponse>, Error> {
        let configuration = request.configuration.clone().unwrap_or_default();
        let history = length(configuration.history_length);
        let mut accepted = match self.send(caller, agent, request, extensions).await? {
            Sent::Message(message) => return Ok(SendMessageResponse::Message(*message).into()),
            Sent::Task(accepted) => accepted,
        };
        let stopped = if configuration.return_immediately { None } else { self.stopped(&mut accepted).await? };
        let view = match stopped {
            Some(Stopped::Told(first, stop)) => {
                return Ok(SendMessageResponse::Task(told(*first, &stop, history)).into());
            }
            Some(Stopped::Read(view)) => *view,
            None => self.view_at(&accepted, None).await?,
        };
        Ok(self.render(&view, history, Artifacts::ShowAny).await?.map(SendMessageResponse::Task))
    }

    /// The task as of the first stop after the message was taken. None: the host is stopping.
    async fn stopped(&self, accepted: &mut Accepted) -> Result<Option<Stopped>, Error> {
        self.closing.run_until_cancelled(self.first_stop(accepted)).await.transpose()
    }

    async fn first_stop(&self, accepted: &mut Accepted) -> Result<Stopped, Error> {
        if let Some(first) = accepted.first.take() {
            // Nobody knew the task when the wait began, so its first commit is still to come: wait before looking.
            loop {
                if let Some(stop) = accepted.subscription.stopped().await {
                    return Ok(Stopped::Told(first, stop));
                }
                let view = self.view_at(accepted, None).await?;
                if view.inbox.len() > 1 {
                    // Somebody answered already: the stop may lie behind.
                    break;
                }
                if view.fold.status.state.is_stop() {
                    return Ok(Stopped::Read(Box::new(view)));
                }
            }
        }
        let stop = stream::stop_after(&self.store, &accepted.key, accepted.n, accepted.at_seq).await;
        let stop = stop.map_err(|error| store_error(&error))?;
        self.view_at(accepted, Some(stop)).await.map(|view| Stopped::Read(Box::new(view)))
    }

    async fn view_at(&self, accepted: &Accepted, at: Option<Seq>) -> Result<TaskView, Error> {
        let view = self.store.task_for_client(&accepted.scope, &accepted.key.task, at).await;
        let view = view.map_err(|error| store_error(&error))?;
        view.ok_or_else(|| Error::task_not_found(&accepted.key.task))
    }

    /// SendStreamingMessage.
    pub async fn send_streaming_message(
        &self,
        caller: &Caller,
        agent: &AgentId,
        request: SendMessageRequest,
        extensions: Vec<String>,
    ) -> Result<SendStream, Error> {
        let history = length(request.configuration.as_ref().and_then(|configuration| configuration.history_length));
        let accepted = match self.send(caller, agent, request, extensions).await? {
            Sent::Message(message) => return Ok(SendStream::Message(message)),
            Sent::Task(accepted) => accepted,
        };
        let first: Held<Task> = match &accepted.first {
            Some(first) if history.is_none() => (**first).clone().into(),
            Some(_) | None => {
                let view = self.view_at(&accepted, Some(accepted.at_seq)).await?;
                self.render(&view, history, Artifacts::ShowAny).await?
            }
        };
        let store = Arc::clone(&self.store);
        let first = Some((first.value, first.room));
        let stream = TaskStream::new(store, accepted.key, accepted.at_seq, first, Until::TerminalOrInput);
        stream.map(|stream| SendStream::Task(Box::new(stream))).map_err(|error| store_error(&error))
    }

    async fn send(
        &self,
        caller: &Caller,
        agent: &AgentId,
        request: SendMessageRequest,
        extensions: Vec<String>,
    ) -> Result<Sent, Error> {
        let scope = Self::scope(caller, agent);
        let version = self.registry.active(agent);
        if let Some(version) = &version {
            check(version.agent.card(), &request, &extensions)?;
        }
        if let Some(task) = request.message.task_id.clone() {
            return self.follow_up(scope, agent, &task, request.message).await.map(Sent::Task);
        }
        let version = version.ok_or_else(|| Error::unsupported(format!("agent {agent} takes no new tasks")))?;
        let return_immediately =
            request.configuration.as_ref().is_some_and(|configuration| configuration.return_immediately);
        let known = &version.agent.card().extensions;
        let active = extensions.into_iter().filter(|uri| known.iter().any(|extension| extension.uri == *uri)).collect();
        let granted = self.allowed.of(agent.as_str());
        let facts = RequestFacts {
            accepted_output_modes: request.configuration.unwrap_or_default().accepted_output_modes,
            extensions: active,
            metadata: request.metadata,
            entry: Some(entry(version.agent.card(), &granted, self.seen_limits.clone())?),
            lineage: Lineage::default(),
            remote: None,
            retry: None,
        };
        let draft = self.draft(&scope, agent, request.message, facts);
        match version.agent.card().reply_mode {
            ReplyMode::Message => self.bare(version, draft).await,
            ReplyMode::Auto if !return_immediately => self.auto(scope, version, draft).await,
            ReplyMode::Auto | ReplyMode::Task => self.new_task(scope, version, draft).await,
        }
    }

    /// A new task's facts, and its message made complete.
    fn draft(&self, scope: &Scope, agent: &AgentId, mut message: Message, request: RequestFacts) -> Draft {
        let key = scope.key(&TaskId::generate());
        let context = message.context_id.take().unwrap_or_else(ContextId::generate);
        message.context_id = Some(context.clone());
        message.task_id = Some(key.task.clone());
        let created = self.store.clock().now();
        let life_ms = i64::try_from(self.limits.task.life_max.as_millis()).unwrap_or(i64::MAX);
        let facts = TaskFacts {
            owner: scope.owner.clone(),
            context,
            agent: agent.clone(),
            created,
            expires: Timestamp::from_millis(created.millis().saturating_add(life_ms)),
            request,
        };
        Draft { key, facts, message }
    }

    /// A message that makes a task. With a free slot its first activation starts while the accept commits.
    async fn new_task(&self, scope: Scope, version: Arc<Version>, draft: Draft) -> Result<Sent, Error> {
        let place = self.broker.try_slot().and_then(|slot| Some((slot, self.broker.hold(&draft.key)?)));
        let start = if place.is_some() { Start::Leased } else { Start::Ready };
        let (new, first) = self.accept_of(&draft, &version, start).await?;
        let key = new.key.clone();
        let subscription = self.store.subscribe(&key);
        match place {
            None => self.store.accept(new).await.map_err(|error| store_error(&error))?,
            Some((slot, hold)) => {
                let (tell, accepted) = oneshot::channel();
                let place = Place { version, slot, hold, accept: Accept::InLine(accepted) };
                let assignment = assignment(&new, draft, &first, place, None)?;
                // In line before anything that the run writes.
                let accepting = self.store.begin_accept(new).await.map_err(|error| store_error(&error))?;
                self.broker.hand_over(Work::Task(Box::new(assignment)));
                accepting.on_disk().await.map_err(|error| store_error(&error))?;
                // A run that is over by now does not hear it.
                tell.send(()).ok();
            }
        }
        Ok(Sent::Task(Accepted { scope, key, n: 0, at_seq: Seq::FIRST, subscription, first: Some(first) }))
    }

    /// The reply mode `auto`: whichever comes first, the bare reply or the task.
    async fn auto(&self, scope: Scope, version: Arc<Version>, draft: Draft) -> Result<Sent, Error> {
        let place = self.broker.try_slot().and_then(|slot| Some((slot, self.broker.hold(&draft.key)?)));
        let Some((slot, hold)) = place else { return self.new_task(scope, version, draft).await };
        let (new, first) = self.accept_of(&draft, &version, Start::Leased).await?;
        let subscription = self.store.subscribe(&new.key);
        let (tell, accepted) = oneshot::channel();
        let opening = Opening::new(Arc::clone(&self.store), new.clone(), tell);
        let mut opened = opening.watch();
        let (reply, mut replied) = oneshot::channel();
        let place = Place { version, slot, hold, accept: Accept::ToCome(accepted) };
        let assignment = assignment(&new, draft, &first, place, Some((opening, reply)))?;
        if !self.broker.hand_over(Work::Task(Box::new(assignment))) {
            return Err(closing());
        }
        let replied = tokio::select! {
            biased;
            end = &mut replied => end.ok(),
            // The run is over and did not open the task: what it replied is there by now.
            over = async { opened.wait_for(|opened| *opened != Opened::NotYet).await.is_err() } => {
                if over { replied.await.ok() } else { None }
            }
        };
        if let Some(end) = replied {
            return bare_answer(end);
        }
        // The task has opened, or the run went without either: what is known now tells.
        let seen = opened.borrow().clone();
        match seen {
            Opened::Yes(_) => Ok(Sent::Task(Accepted {
                scope,
                key: new.key,
                n: 0,
                at_seq: Seq::FIRST,
                subscription,
                first: Some(first),
            })),
            Opened::Refused(reason) => {
                tracing::error!(task.id = %new.key.task, reason, "a task could not be opened");
                Err(Error::unavailable("The store did not take the task."))
            }
            Opened::NotYet => Err(closing()),
        }
    }

    /// The reply mode `message`: nothing is stored.
    async fn bare(&self, version: Arc<Version>, draft: Draft) -> Result<Sent, Error> {
        let slot = tokio::time::timeout(SLOT_WAIT, self.broker.slot()).await;
        let Ok(Some(slot)) = slot else {
            return Err(Error::unavailable("All places for agents are taken.").retry_after(Duration::from_secs(1)));
        };
        let (reply, replied) = oneshot::channel();
        let mut message = draft.message;
        message.task_id = None;
        let bare =
            Bare { version, task: draft.key.task, facts: draft.facts, tenant: draft.key.tenant, message, slot, reply };
        if !self.broker.hand_over(Work::Bare(Box::new(bare))) {
            return Err(closing());
        }
        bare_answer(replied.await.unwrap_or(BareEnd::Unavailable))
    }

    /// What the accept of a new task writes, and the task as of event 1.
    async fn accept_of(&self, draft: &Draft, version: &Version, start: Start) -> Result<(NewTask, Box<Task>), Error> {
        let Draft { key, facts, message } = draft;
        let digest = *version.agent.digest();
        let draft = intake::Draft { key, facts, message, digest, start, parent: None };
        intake::new_task(&self.store, draft).await.map_err(|error| store_error(&error))
    }

    /// A message to a task that exists.
    async fn follow_up(
        &self,
        scope: Scope,
        agent: &AgentId,
        task: &TaskId,
        mut message: Message,
    ) -> Result<Accepted, Error> {
        let view = self.view(&scope, task).await?;
        let context = view.row.context.clone();
        if message.context_id.as_ref().is_some_and(|given| *given != context) {
            return Err(Error::invalid("message.contextId", format!("task {task} belongs to another context")));
        }
        message.context_id = Some(context);
        let key = view.row.key.clone();
        let subscription = self.store.subscribe(&key);
        let address = Address { scope: &scope, agent };
        match intake::deliver(&self.store, &self.registry, address, view, message).await {
            Ok((n, at_seq)) => Ok(Accepted { scope, key, n, at_seq, subscription, first: None }),
            Err(NotTaken::NotFound) => Err(Error::task_not_found(task)),
            Err(NotTaken::Terminal(state)) => {
                let text = format!("task {task} is over ({state}); start a new one in the same context");
                Err(Error::unsupported(text).with("taskId", task))
            }
            Err(NotTaken::NotWaiting(state)) => {
                let text = format!("task {task} takes no message now ({state}); wait until it asks");
                Err(Error::unsupported(text).with("taskId", task))
            }
            Err(NotTaken::Changing) => {
                Err(Error::unavailable("The task changes too fast to take a message; try again.")
                    .retry_after(Duration::from_secs(1)))
            }
            Err(NotTaken::Store(error)) => Err(store_error(&error)),
        }
    }
}

/// A new task at a stop that came with its commit: nothing but its log has been written since event 1, whose message it still has.
fn told(first: Task, stop: &Stop, history: Option<u32>) -> Task {
    let fold = &*stop.fold;
    let said: Vec<(Seq, Message)> = first.history.into_iter().map(|message| (Seq::FIRST, message)).collect();
    Task {
        status: fold.status.clone(),
        artifacts: (!fold.artifacts.is_empty()).then(|| fold.artifacts.clone()),
        history: newest(fold.history(&said), history),
        ..first
    }
}

/// Entry 0 of a new task's journal.
fn entry(card: &AgentDescription, granted: &AgentGrants, limits: SeenLimits) -> Result<Entry, Error> {
    Entry::new(card, granted, limits).map_err(|error| {
        tracing::error!(%error, "the system gives no random numbers");
        Error::internal()
    })
}

fn assignment(
    new: &NewTask,
    draft: Draft,
    first: &Task,
    place: Place,
    auto: Option<(Opening, oneshot::Sender<BareEnd>)>,
) -> Result<Assignment, Error> {
    let mut fold = Fold::default();
    let event = StreamResponse::Task(Task { history: Vec::new(), ..first.clone() });
    let folded = fold.apply(Seq::FIRST, &event).ok().and_then(|()| claim_of(new));
    let claim = folded.ok_or_else(Error::internal)?;
    let at = Position { ver: Ver::new(1), rev: Seq::FIRST };
    debug_assert_eq!(claim.epoch(), Epoch::new(1));
    let Draft { facts, message, .. } = draft;
    let Place { version, slot, hold, accept } = place;
    let past = Past::default();
    Ok(Assignment { claim, at, fold, facts, message, version, slot, hold, past, accept, auto })
}

fn bare_answer(end: BareEnd) -> Result<Sent, Error> {
    match end {
        BareEnd::Reply(message) => Ok(Sent::Message(message)),
        BareEnd::Failed { kind, code, message, retryable } => Err(Error::new(ErrorKind::Internal, message)
            .with("kind", kind)
            .with("code", code)
            .with("retryable", retryable)),
        BareEnd::Invalid(text) => Err(Error::invalid_agent_response(text)),
        BareEnd::Unavailable => Err(closing()),
    }
}

fn closing() -> Error {
    Error::unavailable("The host is stopping or could not run the agent; try again.")
        .retry_after(Duration::from_secs(1))
}

/// What the card says about a message, before a task exists.
fn check(card: &AgentDescription, request: &SendMessageRequest, extensions: &[String]) -> Result<(), Error> {
    if let Some(missing) = card.extensions.iter().find(|known| known.required && !extensions.contains(&known.uri)) {
        return Err(Error::extension_required(&missing.uri));
    }
    let configuration = request.configuration.as_ref();
    if configuration.is_some_and(|configuration| configuration.task_push_notification_config.is_some()) {
        return Err(Error::push_not_supported());
    }
    let modes = || card.input_modes.iter().chain(card.skills.iter().flat_map(|skill| &skill.input_modes));
    for part in &request.message.parts {
        let Some(given) = part.media_type.as_deref() else { continue };
        if !modes().any(|mode| takes(mode, given)) {
            return Err(Error::content_type_not_supported(given));
        }
    }
    Ok(())
}

/// Whether an input mode covers a media type: parameters do not count, `*` covers all.
fn takes(mode: &str, given: &str) -> bool {
    let bare = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (mode, given) = (bare(mode), bare(given));
    match mode.split_once('/') {
        Some(("*", _)) => true,
        Some((kind, "*")) => given.split_once('/').is_some_and(|(given, _)| given == kind),
        _ => mode == given,
    }
}

#[cfg(test)]
mod tests {
    use super::takes;

    #[test]
    fn input_modes_cover_media_types() {
        assert!(takes("text/plain", "Text/Plain; charset=utf-8"));
        assert!(takes("*/*", "image/png"));
        assert!(takes("image/*", "image/png"));
        assert!(!takes("image/*", "text/plain"));
        assert!(!takes("text/plain", "application/json"));
    }
}
