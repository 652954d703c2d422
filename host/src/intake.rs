//! How a message becomes a task, and how it reaches one that exists: what clients and other agents do alike.
//!
//! Never here: who may (that is decided before), and what an answer to the caller looks like.

use bytes::Bytes;
use kennel_protocol::types::{
    Content, JsonObject, Message, Part, StreamResponse, Task, TaskState, TaskStatus, TaskStatusUpdateEvent,
};
use kennel_protocol::{AgentId, Digest, Seq, Timestamp};
use kennel_sandbox::Mailbox;
use kennel_store::{
    Delivered, Delivery, Inbound, NewEvent, NewTask, OpenAnswer, Parent, Route, Scope, Start, Store, StoreError,
    Stored, TaskKey, TaskView,
};
use sha2::{Digest as _, Sha256};

use crate::answer::{AnswerSchema, INPUT_KEY};
use crate::registry::Registry;
use crate::work::TaskFacts;

/// Looks at a task that keeps changing under a message before the caller is asked to try again.
const LOOKS_MAX: u32 = 8;

/// Begins the part that introduces a repeated prompt.
const DOES_NOT_FIT: &str = "The answer does not fit:";

/// What a new task is made from.
pub(crate) struct Draft<'a> {
    pub(crate) key: &'a TaskKey,
    pub(crate) facts: &'a TaskFacts,
    /// Complete with task and context.
    pub(crate) message: &'a Message,
    /// The component it is pinned to.
    pub(crate) digest: Digest,
    pub(crate) start: Start,
    /// The task that sent the message.
    pub(crate) parent: Option<Parent>,
}

/// Where a message goes, and who sends it.
#[derive(Clone, Copy)]
pub(crate) struct Address<'a> {
    /// The sender's view: only the owner's tasks are found.
    pub(crate) scope: &'a Scope,
    /// The agent that is addressed.
    pub(crate) agent: &'a AgentId,
}

/// Why a task did not take a message.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// No such task for this sender.
    NotFound,
    /// It is over.
    Terminal(TaskState),
    /// It works, and takes no message now.
    NotWaiting(TaskState),
    /// It changes too fast: another try may help.
    Changing,
    /// It could not be written.
    Store(StoreError),
}

impl From<StoreError> for NotTaken {
    fn from(error: StoreError) -> NotTaken {
        NotTaken::Store(error)
    }
}

/// What the accept of a new task writes, and the task as of event 1.
pub(crate) async fn new_task(store: &Store, draft: Draft<'_>) -> Result<(NewTask, Box<Task>), StoreError> {
    let Draft { key, facts, message, digest, start, parent } = draft;
    let status = TaskStatus { state: TaskState::Submitted, message: None, timestamp: Some(facts.created) };
    let mut first = Task {
        id: key.task.clone(),
        context_id: facts.context.clone(),
        status,
        artifacts: None,
        history: Vec::new(),
        metadata: None,
    };
    let event = bytes_of(&StreamResponse::Task(first.clone()))?;
    first.history.push(message.clone());
    let new = NewTask {
        key: key.clone(),
        owner: facts.owner.clone(),
        context: facts.context.clone(),
        agent: facts.agent.clone(),
        digest,
        created: facts.created,
        expires: facts.expires,
        request: bytes_of(&facts.request)?,
        event,
        message: inbound(store, key, message.clone()).await?,
        start,
        parent,
    };
    Ok((new, Box::new(first)))
}

/// A message as it is stored: large contents apart.
async fn inbound(store: &Store, key: &TaskKey, mut message: Message) -> Result<Inbound, StoreError> {
    let whole = bytes_of(&message)?;
    let hash = Sha256::digest(&whole).into();
    let digests = store.cut_out_message(&key.tenant, &mut message).await?;
    let blobs = u32::try_from(digests.len()).unwrap_or(u32::MAX);
    let body = if digests.is_empty() { whole } else { bytes_of(&message)? };
    let stored = Stored { body, blobs, digests };
    Ok(Inbound { message_id: message.message_id, hash, stored })
}

/// Hands a message to a task that was looked at: its number in the inbox, and the rev from which readers see it. The same message
/// twice is one.
pub(crate) async fn deliver(
    store: &Store,
    registry: &Registry,
    to: Address<'_>,
    mut view: TaskView,
    message: Message,
) -> Result<(u32, Seq), NotTaken> {
    let key = view.row.key.clone();
    let inbound = inbound(store, &key, message.clone()).await?;
    for _ in 0..LOOKS_MAX {
        let at = store.clock().now();
        let route = route(registry, &view, &message, at).await?;
        let (owner, agent) = (to.scope.owner.clone(), to.agent.clone());
        let delivery = Delivery { key: key.clone(), owner, agent, message: inbound.clone(), at, route };
        match store.deliver(delivery).await? {
            Delivered::Accepted { n, at_seq } | Delivered::Repeated { n, at_seq } => return Ok((n, at_seq)),
            Delivered::NotFound => return Err(NotTaken::NotFound),
            Delivered::Terminal(state) => return Err(NotTaken::Terminal(state)),
            Delivered::NotWaiting(state) => return Err(NotTaken::NotWaiting(state)),
            Delivered::Moved => view = store.task(to.scope, &key.task).await?.ok_or(NotTaken::NotFound)?,
        }
    }
    Err(NotTaken::Changing)
}

/// What the task's state makes of a message.
async fn route(registry: &Registry, view: &TaskView, message: &Message, at: Timestamp) -> Result<Route, StoreError> {
    if view.row.open {
        return open_answer(view, message, at).map(Route::Answer);
    }
    // The version that the task runs decides, not the one that is active now.
    let queues = match registry.version(&view.row.digest).await {
        Ok(version) => version.agent.card().mailbox == Mailbox::Queue,
        Err(_) => false,
    };
    Ok(if queues { Route::Queue } else { Route::Repeat })
}

/// WORKING if the answer fits; else the prompt again, with what is wrong with the answer.
fn open_answer(view: &TaskView, message: &Message, at: Timestamp) -> Result<OpenAnswer, StoreError> {
    let prompt = view.fold.status.message.as_ref();
    let schema = prompt
        .and_then(|prompt| prompt.metadata.as_ref())
        .and_then(|metadata| metadata.member(INPUT_KEY))
        .and_then(|input| JsonObject::from_text(input.get()).ok())
        .and_then(|input| input.member("schema"));
    let fault = match schema.map(|schema| AnswerSchema::compile(&schema)) {
        Some(Ok(schema)) => schema.find(message).err(),
        Some(Err(_)) | None => None,
    };
    let (state, text) = match (&fault, prompt) {
        (Some(fault), Some(prompt)) => (TaskState::InputRequired, Some(repeated(prompt, fault, view.rev))),
        _ => (TaskState::Working, None),
    };
    let event = StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
        task_id: view.row.key.task.clone(),
        context_id: view.row.context.clone(),
        status: TaskStatus { state, message: text, timestamp: Some(at) },
        metadata: None,
    });
    let stop = state.is_stop().then_some(state);
    // A prompt with a large part names it; so does its repeat.
    let digests = match (state, prompt) {
        (TaskState::InputRequired, Some(prompt)) => kennel_store::named(&prompt.parts),
        _ => Vec::new(),
    };
    let blobs = u32::try_from(digests.len()).unwrap_or(u32::MAX);
    let stored = Stored { body: bytes_of(&event)?, blobs, digests };
    Ok(OpenAnswer { rev: view.rev, event: NewEvent { stored, stop }, state })
}

/// The prompt once more, introduced by what was wrong with the answer. Its schema stays with it.
fn repeated(prompt: &Message, fault: &str, rev: Seq) -> Message {
    let mut again = prompt.clone();
    let base = prompt.message_id.split_once("-again-").map_or(prompt.message_id.as_str(), |(base, _)| base);
    again.message_id = format!("{base}-again-{rev}");
    // One introduction, however often it is repeated.
    again.parts.retain(|part| !matches!(&part.content, Content::Text(text) if text.starts_with(DOES_NOT_FIT)));
    let text = format!("{DOES_NOT_FIT} {fault}");
    let part = Part { content: Content::Text(text), metadata: None, filename: None, media_type: None };
    again.parts.insert(0, part);
    again
}

/// JSON of our own types; what does not serialize would not be readable either.
pub(crate) fn bytes_of<T: serde::Serialize>(value: &T) -> Result<Bytes, StoreError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| StoreError::Corrupt(error.to_string()))
}
