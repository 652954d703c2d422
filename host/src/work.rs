//! What is handed from the service to the worker: a new task's first run, or a bare message.
//!
//! Values only: everything that outlives the process is in the store. Also the small JSON bodies that the service writes and the worker reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use kennel_protocol::fold::Fold;
use kennel_protocol::types::{JsonObject, Message};
use kennel_protocol::{AgentId, ContextId, Digest, PrincipalId, TaskId, Timestamp};
use kennel_sandbox::{AgentDescription, Limits};
use kennel_store::{Claim, InboxMessage, JournalEnd, NewTask, Position, Store};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedSemaphorePermit, oneshot, watch};

use crate::broker::{Hold, Slot};
use crate::config::{AgentGrants, TaskLimits};
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
    /// For a task that an agent elsewhere works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
    /// For a task that an operator made from one that had ended badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// Metadata key under which a task names its parent and its children.
pub(crate) const FAMILY_KEY: &str = kennel_protocol::extension::FAMILY;

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

/// Where the messages of a task go that an agent elsewhere works on, and on whose word. Addresses, rules and secrets are the
/// operator's, and looked up whenever something leaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remote {
    /// As the sender named it: a name of the operator's, or a url.
    pub to: String,
    /// The agent that sent the first message.
    pub sender: AgentId,
    /// What its card asked for: names and url prefixes.
    pub asked: Vec<String>,
    /// The credential that it named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The conversation there that the first message goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// Metadata key of a request that an operator made: the id of the task that it tries again.
pub(crate) const RETRY_KEY: &str = kennel_protocol::extension::RETRY;

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

/// Number of the form in which a journal's rows are stored. A host reads every number that it ever wrote. 2: entry 0 has limits.
pub(crate) const FORMAT: u32 = 2;
/// The form of an entry without limits, which a host before 2 reads as well.
const FORMAT_USUAL: u32 = 1;
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
    /// The bounds that its agent can tell, as they were then.
    #[serde(default, skip_serializing_if = "SeenLimits::are_usual")]
    pub limits: SeenLimits,
}

impl Entry {
    /// The entry of a new task.
    pub(crate) fn new(
        card: &AgentDescription,
        granted: &AgentGrants,
        limits: SeenLimits,
    ) -> Result<Entry, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let asked = card.requests.iter().filter(|request| request.kind == "credential");
        let credentials = asked.filter(|request| granted.credentials.contains_key(&request.name));
        Ok(Entry {
            format: limits.format(),
            behaviour: BEHAVIOUR,
            seed,
            settings: granted.settings.clone(),
            credentials: credentials.map(|request| request.name.clone()).collect(),
            limits,
        })
    }

    /// The entry of a task that no component of this host works on: nothing follows from it.
    pub(crate) fn elsewhere() -> Entry {
        Entry { format: FORMAT, behaviour: BEHAVIOUR, ..Entry::default() }
    }

    /// The entry of a task that is tried again: as before, with a seed of its own and the limits that there are now.
    pub(crate) fn again(self, limits: SeenLimits) -> Result<Entry, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Entry { format: limits.format(), behaviour: BEHAVIOUR, seed, limits, ..self })
    }

    /// Whether this host can run what begins with it.
    pub fn is_known(&self) -> bool {
        self.format <= FORMAT && self.behaviour <= BEHAVIOUR
    }
}

/// The bounds that an agent can tell from inside, as they were when its task began: all its work is done and repeated under them, whatever
/// the host's options are by then. The names and units are those of [`Limits`] and [`TaskLimits`].
///
/// Not here are bounds whose breach is recorded (events, values, requests) and those that count new work only (processor time, rows, log
/// lines). The stack is that of the release: another one is another [`BEHAVIOUR`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenLimits(Box<Figures>);

/// Apart, because every request and every run carries them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    memory_bytes_max: usize,
    call_bytes_max: usize,
    part_bytes_max: usize,
    message_parts_max: usize,
    metadata_bytes_max: usize,
    schema_bytes_max: usize,
    pendings_max: usize,
    kv_value_bytes_max: usize,
    json_depth_max: usize,
    checkpoint_bytes_max: usize,
    error_bytes_max: usize,
    resources_max: usize,
    artifacts_max: usize,
    artifact_bytes_max: usize,
    message_bytes_max: usize,
}

impl Default for SeenLimits {
    /// The figures of form 1, under which every task began whose entry has none. Never changed.
    fn default() -> SeenLimits {
        SeenLimits(Box::new(Figures {
            memory_bytes_max: 128 << 20,
            call_bytes_max: 16 << 20,
            part_bytes_max: 8 << 20,
            message_parts_max: 256,
            metadata_bytes_max: 64 << 10,
            schema_bytes_max: 64 << 10,
            pendings_max: 64,
            kv_value_bytes_max: 256 << 10,
            json_depth_max: 64,
            checkpoint_bytes_max: 1 << 20,
            error_bytes_max: 4 << 10,
            resources_max: 1_000,
            artifacts_max: 1_000,
            artifact_bytes_max: 128 << 20,
            message_bytes_max: 32 << 20,
        }))
    }
}

impl SeenLimits {
    /// Those of a host.
    pub(crate) fn of(sandbox: &Limits, task: &TaskLimits) -> SeenLimits {
        SeenLimits(Box::new(Figures {
            memory_bytes_max: sandbox.memory_bytes_max,
            call_bytes_max: sandbox.call_bytes_max,
            part_bytes_max: sandbox.part_bytes_max,
            message_parts_max: sandbox.message_parts_max,
            metadata_bytes_max: sandbox.metadata_bytes_max,
            schema_bytes_max: sandbox.schema_bytes_max,
            pendings_max: sandbox.pendings_max,
            kv_value_bytes_max: sandbox.kv_value_bytes_max,
            json_depth_max: sandbox.json_depth_max,
            checkpoint_bytes_max: sandbox.checkpoint_bytes_max,
            error_bytes_max: sandbox.error_bytes_max,
            resources_max: sandbox.resources_max,
            artifacts_max: task.artifacts_max,
            artifact_bytes_max: task.artifact_bytes_max,
            message_bytes_max: task.message_bytes_max,
        }))
    }

    /// What an activation may use now: these, and for the rest what the host has.
    pub(crate) fn sandbox(&self, now: &Limits) -> Limits {
        Limits {
            memory_bytes_max: self.0.memory_bytes_max,
            memory_base_bytes: now.memory_base_bytes,
            cpu_live_max: now.cpu_live_max,
            wasm_stack_bytes_max: now.wasm_stack_bytes_max,
            component_bytes_max: now.component_bytes_max,
            call_bytes_max: self.0.call_bytes_max,
            part_bytes_max: self.0.part_bytes_max,
            message_parts_max: self.0.message_parts_max,
            metadata_bytes_max: self.0.metadata_bytes_max,
            schema_bytes_max: self.0.schema_bytes_max,
            pendings_max: self.0.pendings_max,
            kv_value_bytes_max: self.0.kv_value_bytes_max,
            json_depth_max: self.0.json_depth_max,
            checkpoint_bytes_max: self.0.checkpoint_bytes_max,
            error_bytes_max: self.0.error_bytes_max,
            log_lines_max: now.log_lines_max,
            log_line_bytes_max: now.log_line_bytes_max,
            resources_max: self.0.resources_max,
            describe_cpu_max: now.describe_cpu_max,
            describe_time_max: now.describe_time_max,
        }
    }

    /// What a task may gather now: as in [`SeenLimits::sandbox`].
    pub(crate) fn task(&self, now: TaskLimits) -> TaskLimits {
        TaskLimits {
            artifacts_max: self.0.artifacts_max,
            artifact_bytes_max: self.0.artifact_bytes_max,
            message_bytes_max: self.0.message_bytes_max,
            ..now
        }
    }

    fn are_usual(&self) -> bool {
        *self == SeenLimits::default()
    }

    fn format(&self) -> u32 {
        if self.are_usual() { FORMAT_USUAL } else { FORMAT }
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

/// How far the accept of a task is whose run begins.
pub enum Accept {
    /// The task was there before.
    Done,
    /// It is in line at the store's writer, and goes before whatever the run writes. Told when it is on disk; dropped if it was refused.
    InLine(oneshot::Receiver<()>),
    /// It is still to be made, or not: nothing may be written before. Told and dropped likewise.
    ToCome(oneshot::Receiver<()>),
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
    /// How far the task's own accept is.
    pub accept: Accept,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_limits_only_where_they_are_not_those_of_the_first_form() {
        let usual = SeenLimits::of(&Limits::default(), &TaskLimits::default());
        let small = SeenLimits::of(&Limits { memory_bytes_max: 1 << 20, ..Limits::default() }, &TaskLimits::default());
        for (limits, format, written) in [(usual, 1, false), (small, 2, true)] {
            let entry = Entry::default().again(limits.clone()).unwrap();
            let text = serde_json::to_string(&entry).unwrap();
            assert_eq!((entry.format, text.contains("limits")), (format, written), "{text}");
            let read: Entry = serde_json::from_str(&text).unwrap();
            assert_eq!((read.limits.clone(), read.is_known()), (limits, true));
            assert_eq!(SeenLimits::of(&read.limits.sandbox(&Limits::default()), &TaskLimits::default()), read.limits);
        }
    }
}
