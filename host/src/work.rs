//! What is handed from the service to the worker: a new task's first run, or a bare message.
//!
//! Values only: everything that outlives the process is in the store. Also the small JSON bodies that the service writes and the worker reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use kennel_protocol::fold::Fold;
use kennel_protocol::types::{JsonObject, Message};
use kennel_protocol::{AgentId, ContextId, Digest, PrincipalId, TaskId, Timestamp};
use kennel_sandbox::AgentDescription;
use kennel_store::{Claim, InboxMessage, JournalEnd, NewTask, Position, Store};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedSemaphorePermit, oneshot, watch};

use crate::broker::{Hold, Slot};
use crate::config::AgentGrants;
use crate::registry::Version;

/// Facts of the request that made a task; stored with it, because the agent may ask for them after a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestFacts {
    /// Media types the client takes; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted_output_modes: Vec<String>,
    /// Active extensions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
    /// Metadata of the request, not of its message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonObject>,
    /// Entry 0 of the task's journal. None: made by a host without journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    /// Where the task stands in its family.
    #[serde(default, skip_serializing_if = "Lineage::is_alone")]
    pub lineage: Lineage,
    /// For a task that an operator made from one that had ended badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// Metadata key under which a task names its parent and its children.
pub(crate) const FAMILY_KEY: &str = "urn:kennel:family:1";

impl RequestFacts {
    /// Facts as they are stored. Written by this host's service; what does not read is as good as nothing.
    pub fn read(stored: &[u8]) -> RequestFacts {
        serde_json::from_slice(stored).unwrap_or_default()
    }
}

/// Where a task stands among tasks that sent one another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The task that sent its first message.
    pub parent: Option<TaskId>,
    /// The task at the top.
    pub root: Option<TaskId>,
    /// How far below the top it is.
    pub depth: u32,
}

impl Lineage {
    /// Whether a client sent its first message.
    pub fn is_alone(&self) -> bool {
        self.parent.is_none()
    }
}

/// Metadata key of a request that an operator made: the id of the task that it tries again.
pub(crate) const RETRY_KEY: &str = "urn:kennel:retry:1";

/// What a retry has of the task before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Retry {
    /// That task.
    pub of: TaskId,
    /// The row of the journal after which the first generation begins: 0, or 1 if it begins with that task's checkpoint. Answers are
    /// kept for this generation only.
    pub begin: u32,
    /// What that task's client answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<KeptAnswer>,
}

/// A message in the inbox of a retry that answers one question and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// Its number in the inbox.
    pub n: u32,
    /// The hash of the call that asks for it: function and arguments.
    pub question: Digest,
}

/// Number of the form in which a journal's rows are stored. A host reads every number that it ever wrote.
pub(crate) const FORMAT: u32 = 1;
/// Number of what calls do and answer. A change that a running agent could tell is a new one.
pub(crate) const BEHAVIOUR: u32 = 1;

/// Entry 0 of a journal: what every activation of the task starts from, besides its message and its time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Entry {
    /// Number of the form in which rows are stored.
    pub format: u32,
    /// Number of what calls do and answer.
    pub behaviour: u32,
    /// Secret to the task: all randomness of its agent comes from it.
    #[serde(with = "hex_seed")]
    pub seed: [u8; 32],
    /// The operator's settings for the agent, as they were then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Names of the credentials that it had then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<String>,
}

impl Entry {
    /// The entry of a new task.
    pub(crate) fn new(card: &AgentDescription, granted: &AgentGrants) -> Result<Entry, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let asked = card.requests.iter().filter(|request| request.kind == "credential");
        let credentials = asked.filter(|request| granted.credentials.contains_key(&request.name));
        Ok(Entry {
            format: FORMAT,
            behaviour: BEHAVIOUR,
            seed,
            settings: granted.settings.clone(),
            credentials: credentials.map(|request| request.name.clone()).collect(),
        })
    }

    /// The entry of a task that is tried again: as before, with a seed of its own.
    pub(crate) fn again(self) -> Result<Entry, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Entry { format: FORMAT, behaviour: BEHAVIOUR, seed, ..self })
    }

    /// Whether this host can run what begins with it.
    pub fn is_known(&self) -> bool {
        self.format <= FORMAT && self.behaviour <= BEHAVIOUR
    }
}

/// 64 hexadecimal digits.
mod hex_seed {
    use kennel_protocol::Digest;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(seed: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&Digest::from_bytes(*seed))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(from)?;
        text.parse::<Digest>().map(|digest| *digest.as_bytes()).map_err(serde::de::Error::custom)
    }
}

/// What a claimed task has behind it. Empty for a new one.
#[derive(Debug, Default)]
pub struct Past {
    /// Where its journal stands.
    pub journal: JournalEnd,
    /// What clients have said.
    pub inbox: Vec<InboxMessage>,
    /// Claims since it last got further, this one included.
    pub attempts: u32,
    /// The right to run although it got nowhere before.
    pub suspect: Option<OwnedSemaphorePermit>,
}

/// The body of a cancel's inbox row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CancelBody {
    /// Who asked.
    pub source: Source,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Metadata of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonObject>,
}

/// Who asked a task to stop, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// CancelTask.
    Client,
    /// The task's lifetime is over.
    Deadline,
    /// The task that sent its first message.
    Parent,
}

/// What does not change while a task lives.
#[derive(Clone, Debug)]
pub struct TaskFacts {
    /// The principal it belongs to.
    pub owner: PrincipalId,
    /// Its conversation.
    pub context: ContextId,
    /// The name under which its agent is served.
    pub agent: AgentId,
    /// When it was accepted.
    pub created: Timestamp,
    /// When the host ends it at the latest.
    pub expires: Timestamp,
    /// Facts of the request.
    pub request: RequestFacts,
}

/// A task to run, with everything that a run needs.
pub struct Assignment {
    /// The right to write it.
    pub claim: Claim,
    /// Where its log stands.
    pub at: Position,
    /// Its folded view there.
    pub fold: Fold,
    /// What does not change.
    pub facts: TaskFacts,
    /// The message that made it, complete.
    pub message: Message,
    /// The component it is pinned to.
    pub version: Arc<Version>,
    /// The right to have an instance alive.
    pub slot: Slot,
    /// That this host holds it.
    pub hold: Hold,
    /// What it has behind it.
    pub past: Past,
    /// Told when the accept of a new task is on disk; dropped if it was refused. None: the task was there before.
    pub accepted: Option<oneshot::Receiver<()>>,
    /// In the reply mode `auto`: the accept that is still to be made, and where a bare reply goes.
    pub auto: Option<(Opening, oneshot::Sender<BareEnd>)>,
}

/// A message that is answered without a task.
pub struct Bare {
    /// The agent.
    pub version: Arc<Version>,
    /// The task id that would be: agents may ask for it.
    pub task: TaskId,
    /// Whose request it is.
    pub facts: TaskFacts,
    /// Boundary of data.
    pub tenant: kennel_protocol::TenantId,
    /// The message.
    pub message: Message,
    /// The right to have an instance alive.
    pub slot: Slot,
    /// Where the answer goes.
    pub reply: oneshot::Sender<BareEnd>,
}

/// What came of a run that may answer without a task.
#[derive(Clone, Debug)]
pub enum BareEnd {
    /// The agent's message.
    Reply(Box<Message>),
    /// The agent failed in its own words.
    Failed {
        /// Kind, code and retryable, for the error's metadata.
        kind: &'static str,
        /// Stable short name.
        code: String,
        /// One sentence.
        message: String,
        /// Whether trying again may help.
        retryable: bool,
    },
    /// The agent did what it may not do in this reply mode.
    Invalid(String),
    /// The host could not run it.
    Unavailable,
}

/// Work on its way to the worker.
pub enum Work {
    /// The first run of a new task.
    Task(Box<Assignment>),
    /// A bare message.
    Bare(Box<Bare>),
}

/// Whether the task exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Not yet; perhaps never.
    NotYet,
    /// It is on disk.
    Yes(TaskId),
    /// The store refused it.
    Refused(String),
}

/// What an accept needs, and who is told of it.
type Unopened = (NewTask, oneshot::Sender<()>);

/// The accept of a new task, done once by whoever needs it first. Clones share it.
#[derive(Clone)]
pub struct Opening {
    store: Arc<Store>,
    unopened: Arc<Mutex<Option<Unopened>>>,
    opened: watch::Sender<Opened>,
}

impl Opening {
    /// Prepares a task. `accepted` is told once it is on disk.
    pub fn new(store: Arc<Store>, new: NewTask, accepted: oneshot::Sender<()>) -> Opening {
        let unopened = Arc::new(Mutex::new(Some((new, accepted))));
        Opening { store, unopened, opened: watch::Sender::new(Opened::NotYet) }
    }

    /// Makes the task exist, if it does not yet. True: it is on disk. Cancel safe: the accept then still happens or not, and the
    /// next caller sees neither a claim nor a second task, because the id is taken out first.
    pub async fn open(&self) -> bool {
        let mut held = self.unopened.lock().await;
        let Some((new, accepted)) = held.take() else { return matches!(*self.opened.borrow(), Opened::Yes(_)) };
        let task = new.key.task.clone();
        match self.store.accept(new).await {
            Ok(()) => {
                // A run that is over by now does not hear it.
                accepted.send(()).ok();
                self.opened.send_replace(Opened::Yes(task));
                true
            }
            Err(error) => {
                self.opened.send_replace(Opened::Refused(error.to_string()));
                false
            }
        }
    }

    /// Gives the task up before it was opened. False: it is open already.
    pub async fn abandon(&self) -> bool {
        self.unopened.lock().await.take().is_some()
    }

    /// Watches whether the task exists.
    pub fn watch(&self) -> watch::Receiver<Opened> {
        self.opened.subscribe()
    }
}
