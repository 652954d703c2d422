//! An operator's retry: a new task in the same context, made from the journal of one that ended badly. Terminal stays final.
//!
//! What it takes over: the first message, the last checkpoint, and what the client has said since, so that nobody is asked the same
//! question twice. What it does not: events and artifacts (it has a log of its own), answers to calls other than the client's, ids, seed and
//! with it all keys. Never here: running it; the ordinary worker claims it. Called by `admin` in a host, by the command line without one.

use std::time::Duration;

use bytes::Bytes;
use kennel_protocol::types::{JsonObject, JsonValue, Message, StreamResponse, Task, TaskState, TaskStatus};
use kennel_protocol::{AgentId, ContextId, Digest, TaskId, Timestamp};
use kennel_sandbox::call::Moment;
use kennel_store::{
    CHECKPOINT, Inbound, InboxMessage, JournalEnd, JournalRow, NewAnswer, NewCall, NewTask, OldMessage, Start, Store,
    StoreError, Stored, TakenOver, TaskKey, TaskView,
};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::books::Books;
use super::journal::Recorded;
use super::task_facts;
use crate::work::{Entry, KeptAnswer, Lineage, RETRY_KEY, RequestFacts, Retry, SeenLimits};

/// Rows of the journal read at once.
const PAGE: u32 = 512;

/// Which component the new task is pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Version {
    /// The one that its agent has now.
    Active,
    /// The one that the old task ran.
    Same,
}

/// The new task.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Retried {
    /// Its id.
    pub(crate) task_id: TaskId,
    /// Shared with the old one.
    pub(crate) context_id: ContextId,
    /// Who works on it.
    pub(crate) agent: AgentId,
    /// The component it is pinned to.
    pub(crate) digest: Digest,
    /// The task that it tries again.
    pub(crate) retry_of: TaskId,
    /// Whether it begins with the old task's last checkpoint.
    pub(crate) from_checkpoint: bool,
    /// Messages of the client that are not asked for again.
    pub(crate) messages: usize,
}

/// Why there is no new task.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RetryError {
    /// The task is not there.
    #[error("there is no task {0}; `kennel tasks ls` shows those that there are")]
    NotFound(TaskId),
    /// Somebody works on it, or will.
    #[error("task {task} is not over ({state}); `kennel tasks why {task}` says what it waits for")]
    NotOver {
        /// The task.
        task: TaskId,
        /// Where it stands.
        state: TaskState,
    },
    /// It went well.
    #[error("task {0} is completed; send its message again for another result")]
    Completed(TaskId),
    /// Its agent has no active version.
    #[error("agent {0} is not served any more; put its component back, or name --same-version")]
    NotServed(AgentId),
    /// Made by another release.
    #[error("task {0} was recorded by a newer kennel; use that release or a newer one")]
    Newer(TaskId),
    /// Its journal does not read.
    #[error("task {task} cannot be made again: {reason}; send its message again instead")]
    Unreadable {
        /// The task.
        task: TaskId,
        /// What does not read.
        reason: String,
    },
    /// Another host's agent worked on it.
    #[error("task {task} is a message to the peer {to}; try the task again that sent it")]
    Elsewhere {
        /// The task.
        task: TaskId,
        /// The peer.
        to: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}; try again")]
    Random(#[from] getrandom::Error),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a new task gets of the host that makes it.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// How long it may live.
    pub(crate) life_max: Duration,
    /// What its agent can tell.
    pub(crate) seen: SeenLimits,
}

/// What the old task's client has said since the last checkpoint.
#[derive(Default)]
struct Heard {
    /// Numbers in the old inbox, in the order in which the agent was told; with the question that each answers, if it answers one.
    told: Vec<(u32, Option<Digest>)>,
}

/// Makes the new task. Returned means on disk.
pub(crate) async fn retry(
    store: &Store,
    bounds: Bounds,
    key: &TaskKey,
    version: Version,
) -> Result<Retried, RetryError> {
    let view = store.anyones_task(key).await?.ok_or_else(|| RetryError::NotFound(key.task.clone()))?;
    match view.row.state {
        TaskState::Failed | TaskState::Canceled | TaskState::Rejected => {}
        TaskState::Completed => return Err(RetryError::Completed(key.task.clone())),
        state => return Err(RetryError::NotOver { task: key.task.clone(), state }),
    }
    let facts = task_facts(&view).request;
    if let Some(remote) = &facts.remote {
        return Err(RetryError::Elsewhere { task: key.task.clone(), to: remote.to.clone() });
    }
    if !facts.entry.as_ref().is_none_or(Entry::is_known) {
        return Err(RetryError::Newer(key.task.clone()));
    }
    let digest = match version {
        Version::Same => view.row.digest,
        Version::Active => active(store, key, &view.row.agent).await?,
    };
    let journal = store.journal_end(key).await?;
    let heard = heard(store, &view, &journal, facts.retry.as_ref()).await?;
    write(store, bounds, Old { view, facts, journal, heard }, digest).await
}

async fn active(store: &Store, key: &TaskKey, agent: &AgentId) -> Result<Digest, RetryError> {
    let agents = store.agents(&key.tenant).await?;
    let active = agents.iter().find(|row| row.name == *agent).map(|row| row.digest);
    active.ok_or_else(|| RetryError::NotServed(agent.clone()))
}

/// All of the old task that the new one is made from.
struct Old {
    view: TaskView,
    facts: RequestFacts,
    journal: JournalEnd,
    heard: Heard,
}

async fn write(store: &Store, bounds: Bounds, old: Old, digest: Digest) -> Result<Retried, RetryError> {
    let Old { view, facts, journal, heard } = old;
    let unreadable =
        |reason: &str| RetryError::Unreadable { task: view.row.key.task.clone(), reason: reason.to_owned() };
    let key = TaskKey { tenant: view.row.key.tenant.clone(), task: TaskId::generate() };
    let created = store.clock().now();
    let life_ms = i64::try_from(bounds.life_max.as_millis()).unwrap_or(i64::MAX);
    let first = view.inbox.first().ok_or_else(|| unreadable("its first message is missing"))?;
    let past = TakenOver {
        messages: heard.messages(&view.inbox, &key.task),
        checkpoint: checkpoint(store, &key, journal, created).await?.map_err(|reason| unreadable(&reason))?,
    };
    let retry = Retry {
        of: view.row.key.task.clone(),
        begin: u32::from(past.checkpoint.is_some()),
        answers: heard.answers(&view.inbox),
    };
    let retried = Retried {
        task_id: key.task.clone(),
        context_id: view.row.context.clone(),
        agent: view.row.agent.clone(),
        digest,
        retry_of: retry.of.clone(),
        from_checkpoint: past.checkpoint.is_some(),
        messages: past.messages.len(),
    };
    let new = NewTask {
        owner: view.row.owner.clone(),
        context: view.row.context.clone(),
        agent: view.row.agent.clone(),
        digest,
        created,
        expires: Timestamp::from_millis(created.millis().saturating_add(life_ms)),
        request: bytes_of(&again(facts, retry, bounds.seen)?),
        event: bytes_of(&first_event(&key, &view.row.context, created)),
        message: inbound(&first.message, &key.task),
        start: Start::Ready,
        parent: None,
        key,
    };
    store.accept_again(new, past).await?;
    Ok(retried)
}

/// The facts of the old request, with a name of their origin, and a seed and limits of their own.
fn again(facts: RequestFacts, retry: Retry, limits: SeenLimits) -> Result<RequestFacts, getrandom::Error> {
    let of = JsonValue::from_value(&serde_json::Value::String(retry.of.to_string()));
    let metadata = facts.metadata.unwrap_or_else(JsonObject::empty).with(RETRY_KEY, &of);
    Ok(RequestFacts {
        metadata: Some(metadata),
        entry: Some(facts.entry.clone().unwrap_or_default().again(limits)?),
        retry: Some(retry),
        lineage: Lineage::default(),
        ..facts
    })
}

fn first_event(key: &TaskKey, context: &ContextId, created: Timestamp) -> StreamResponse {
    StreamResponse::Task(Task {
        id: key.task.clone(),
        context_id: context.clone(),
        status: TaskStatus { state: TaskState::Submitted, message: None, timestamp: Some(created) },
        artifacts: None,
        history: Vec::new(),
        metadata: None,
    })
}

/// Row 1 of the new journal, if the old one has a checkpoint. The inner error says what of it does not read.
async fn checkpoint(
    store: &Store,
    key: &TaskKey,
    journal: JournalEnd,
    now: Timestamp,
) -> Result<Result<Option<NewCall>, String>, StoreError> {
    let Some(row) = journal.checkpoint else { return Ok(Ok(None)) };
    let Some((bytes, _)) = row.answer else { return Ok(Err("its checkpoint is missing".to_owned())) };
    let request = match Books::read(&row.request) {
        Ok(books) => books.begun_anew().text(),
        Err(error) => return Ok(Err(format!("its checkpoint does not read ({error})"))),
    };
    let at_us = Moment::from(now).micros();
    let result = store.stored(&key.tenant, bytes).await?;
    Ok(Ok(Some(NewCall {
        idx: 1,
        generation: row.generation,
        call: CHECKPOINT,
        hash: row.hash,
        request,
        answer: Some(NewAnswer { result, at_us }),
        seq: None,
        due: None,
        asked_us: at_us,
        cpu_us: 0,
    })))
}

/// Reads what the client has said: in the order of the calls that took it, then what was kept and not asked for, then what nobody took.
async fn heard(
    store: &Store,
    view: &TaskView,
    journal: &JournalEnd,
    retry: Option<&Retry>,
) -> Result<Heard, StoreError> {
    let mut heard = Heard::default();
    let begin = journal.checkpoint.as_ref().map_or(0, |row| row.idx);
    let mut at = begin;
    let mut waits = None;
    loop {
        let rows = store.journal_after(&view.row.key, at, PAGE).await?;
        let Some(last) = rows.last() else { break };
        at = last.idx;
        rows.iter().for_each(|row| heard.take(row));
        waits = Some(last.clone()).filter(|row| row.answer.is_none() && is_prompt(row));
    }
    for kept in retry.filter(|retry| retry.begin == begin).iter().flat_map(|retry| &retry.answers) {
        heard.add(kept.n, Some(kept.question));
    }
    for inbound in view.inbox.iter().filter(|inbound| inbound.n > 0 && inbound.taken.is_none()) {
        // An answer that was accepted, but the agent did not live to hear it.
        let answers = waits.as_ref().filter(|row| row.seq.is_some_and(|seq| inbound.at_seq > seq));
        heard.add(inbound.n, answers.map(|row| Digest::from_bytes(row.hash)));
    }
    Ok(heard)
}

fn is_prompt(row: &JournalRow) -> bool {
    matches!(row.call.as_str(), "task.require-input" | "task.require-auth")
}

impl Heard {
    /// Notes what a call was answered with, if that was a message.
    fn take(&mut self, row: &JournalRow) {
        let result = row.answer.as_ref().and_then(|(result, _)| serde_json::from_slice(result).ok());
        if let Some(Recorded::Message(n)) = result {
            self.add(n, is_prompt(row).then(|| Digest::from_bytes(row.hash)));
        }
    }

    fn add(&mut self, n: u32, question: Option<Digest>) {
        if !self.told.iter().any(|(known, _)| *known == n) {
            self.told.push((n, question));
        }
    }

    /// Those whose message is there.
    fn found<'a>(&'a self, inbox: &'a [InboxMessage]) -> impl Iterator<Item = (&'a InboxMessage, Option<Digest>)> {
        self.told.iter().filter_map(|(n, question)| Some((inbox.iter().find(|inbound| inbound.n == *n)?, *question)))
    }

    /// The messages for the new inbox.
    fn messages(&self, inbox: &[InboxMessage], task: &TaskId) -> Vec<OldMessage> {
        let found = self.found(inbox);
        found
            .map(|(old, question)| OldMessage { message: inbound(&old.message, task), waits: question.is_none() })
            .collect()
    }

    /// Which of them answers what, by their new numbers.
    fn answers(&self, inbox: &[InboxMessage]) -> Vec<KeptAnswer> {
        let numbered = (1..).zip(self.found(inbox));
        numbered.filter_map(|(n, (_, question))| Some(KeptAnswer { n, question: question? })).collect()
    }
}

/// A message of the old task as the new one's. Large contents are named, as they were.
fn inbound(old: &Message, task: &TaskId) -> Inbound {
    let message = Message { task_id: Some(task.clone()), ..old.clone() };
    let digests = kennel_store::named(&message.parts);
    let body = bytes_of(&message);
    let hash = sha2::Sha256::digest(&body).into();
    let blobs = u32::try_from(digests.len()).unwrap_or(u32::MAX);
    Inbound { message_id: message.message_id, hash, stored: Stored { body, blobs, digests } }
}

/// Objects of the protocol and of ours write themselves.
fn bytes_of(object: &impl Serialize) -> Bytes {
    serde_json::to_vec(object).unwrap_or_default().into()
}
