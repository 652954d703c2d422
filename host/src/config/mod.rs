//! What a host is told to do: [`Settings`], and every bound it keeps that is not the sandbox's own.
//!
//! Made by the command line. The file of `kennel serve --config` is read here, at the start and when the operator says so; nothing else
//! reads the environment.

mod file;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kennel_egress::{Credential, EgressConfig, Rule};
use kennel_protocol::AgentId;
use kennel_store::Pokes;
use tokio::sync::watch;

pub(crate) use file::read;

/// A host, resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder of the database, the lock and the compiled components.
    pub data: PathBuf,
    /// The folder that agents are loaded from.
    pub agents: PathBuf,
    /// The agent that is also served at the root; none: the only one.
    pub default_agent: Option<AgentId>,
    /// The base of all urls in cards; none: `http://` and the address it listens on.
    pub public_url: Option<String>,
    /// The media type of HTTP+JSON where the client does not choose.
    pub json_type: JsonType,
    /// Bounds.
    pub limits: HostLimits,
    /// What the operator allows agents, by name; `*` is for all.
    pub agent_grants: BTreeMap<String, AgentGrants>,
    /// The file that says so, to be read again when the operator asks; none: nothing is allowed.
    pub config_file: Option<PathBuf>,
    /// Bounds on what leaves the host.
    pub egress: EgressConfig,
    /// Whether commits are announced. Off is for tests: everything is then found by polling.
    pub pokes: Pokes,
    /// What a test does to it on purpose.
    pub trial: Trial,
}

/// A media type of the HTTP+JSON binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JsonType {
    /// `application/a2a+json`, as the protocol says since 1.0.1.
    #[default]
    A2a,
    /// `application/json`, as it said before.
    Plain,
}

impl JsonType {
    /// The type itself.
    pub const fn as_str(self) -> &'static str {
        match self {
            JsonType::A2a => "application/a2a+json",
            JsonType::Plain => "application/json",
        }
    }
}

impl std::str::FromStr for JsonType {
    type Err = String;

    fn from_str(text: &str) -> Result<JsonType, String> {
        let known = [JsonType::A2a, JsonType::Plain];
        let named = known.into_iter().find(|json| json.as_str() == text);
        named.ok_or_else(|| format!("must be {} or {}", JsonType::A2a.as_str(), JsonType::Plain.as_str()))
    }
}

/// What a test does to a host on purpose; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    /// Faults of the store.
    pub store: kennel_store::Trial,
    /// How effects become commits.
    pub pace: Pace,
    /// The process ends when an agent logs a line that contains this text.
    pub abort_on: Option<String>,
    /// Bytes of a part; none: the usual.
    pub part_bytes_max: Option<usize>,
}

/// How the effects of a task become commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// What gathers behind a commit becomes the next, and progress that comes too fast is held back.
    #[default]
    Merged,
    /// Each effect is a commit, and its call waits for it: so each run of an agent makes the same commits.
    Each,
}

/// What an operator allows an agent besides its own task. Nothing is allowed by default.
#[derive(Clone, Debug, Default)]
pub struct AgentGrants {
    /// Requests it may send, as far as its card asks for them.
    pub http: Vec<Rule>,
    /// Credentials it may name.
    pub credentials: BTreeMap<String, Credential>,
    /// Its settings.
    pub settings: BTreeMap<String, String>,
    /// Agents elsewhere that it may send messages to, by the names that the operator gave them.
    pub peers: BTreeMap<String, RemotePeer>,
    /// Where other agents may be that it names by url.
    pub peer_urls: Vec<Rule>,
}

/// An agent elsewhere, as the operator describes it.
#[derive(Clone, Debug)]
pub struct RemotePeer {
    /// Of its card, of the place below which its card is, or of its interface.
    pub url: String,
    /// Scheme, host and port of the url: everything that is said to it stays there.
    pub origin: Rule,
    /// What it knows this host by.
    pub credential: Option<Credential>,
}

impl AgentGrants {
    /// What an agent is allowed: what is said of all of them under `*`, and of it by name.
    pub(crate) fn of(all: &BTreeMap<String, AgentGrants>, agent: &str) -> AgentGrants {
        let mut granted = all.get("*").cloned().unwrap_or_default();
        if let Some(own) = all.get(agent) {
            granted.http.extend(own.http.iter().cloned());
            granted.credentials.extend(own.credentials.clone());
            granted.settings.extend(own.settings.clone());
            granted.peers.extend(own.peers.clone());
            granted.peer_urls.extend(own.peer_urls.iter().cloned());
        }
        granted
    }
}

/// What the operator allows the agents of a host, as it is now: it changes when the configuration is read again. Clones share it.
#[derive(Clone, Debug)]
pub struct Allowed(Arc<watch::Sender<Arc<BTreeMap<String, AgentGrants>>>>);

impl Allowed {
    /// By name; `*` is for all.
    pub fn new(grants: BTreeMap<String, AgentGrants>) -> Allowed {
        Allowed(Arc::new(watch::Sender::new(Arc::new(grants))))
    }

    /// Everything, by name. The same pointer until something else is allowed.
    pub(crate) fn all(&self) -> Arc<BTreeMap<String, AgentGrants>> {
        Arc::clone(&self.0.borrow())
    }

    /// What one agent is allowed.
    pub(crate) fn of(&self, agent: &str) -> AgentGrants {
        AgentGrants::of(&self.0.borrow(), agent)
    }

    /// Something else is allowed from now on. Work that is under way goes on under what it began with.
    pub(crate) fn replace(&self, grants: BTreeMap<String, AgentGrants>) {
        self.0.send_replace(Arc::new(grants));
    }

    /// Told when something else is allowed.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<BTreeMap<String, AgentGrants>>> {
        self.0.subscribe()
    }
}

/// Bounds on one task.
#[derive(Clone, Copy, Debug)]
pub struct TaskLimits {
    /// Events of one task.
    pub events_max: u32,
    /// Artifacts of one task.
    pub artifacts_max: usize,
    /// Bytes of all artifacts of one task.
    pub artifact_bytes_max: usize,
    /// Bytes of all that an agent says in one task, prompts included: messages are for conversation, results belong in artifacts.
    pub message_bytes_max: usize,
    /// Calls of an agent that are recorded since its last checkpoint: repeating them is what a restart costs. At a tenth of it the
    /// operator is warned.
    pub journal_rows_max: u32,
    /// How long an agent may wait for its client when it names no time-out.
    pub input_wait_max: Duration,
    /// How long a task may live.
    pub life_max: Duration,
    /// How long an agent may go on after a request to stop.
    pub cancel_grace: Duration,
    /// Claims without an end before a task is given up.
    pub attempts_max: u32,
}

impl Default for TaskLimits {
    fn default() -> TaskLimits {
        const DAY: Duration = Duration::from_secs(86_400);
        TaskLimits {
            events_max: 10_000,
            artifacts_max: 1_000,
            artifact_bytes_max: 128 << 20,
            message_bytes_max: 32 << 20,
            journal_rows_max: 50_000,
            input_wait_max: DAY * 7,
            life_max: DAY * 30,
            cancel_grace: Duration::from_secs(10),
            attempts_max: 5,
        }
    }
}

/// Every bound of the host that is not the sandbox's.
#[derive(Clone, Debug)]
pub struct HostLimits {
    /// Bounds on one task.
    pub task: TaskLimits,
    /// Bytes of all keys and values of one scope of `kv`: values are for what agents remember, not for files.
    pub kv_bytes_max: u64,
    /// Bytes of compiled components in the data folder, beyond which those go that no agent and no task needs.
    pub compiled_bytes_max: u64,
    /// Bytes of a request body: the largest call of an agent has the same bound.
    pub body_bytes_max: usize,
    /// How long a client may take to send a request's headers.
    pub header_time_max: Duration,
    /// How long a client may take to send a request's body.
    pub body_time_max: Duration,
    /// Bytes of a request's headers.
    pub header_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Connections at once; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Instances alive at once, waiting ones included.
    pub live_instances_max: u32,
    /// Bytes of memory of all guests together, beyond the little that each has for itself; more wait for their turn.
    pub guest_memory_bytes_max: usize,
    /// Bytes of memory of one guest. A task keeps the bound that it began under.
    pub instance_memory_bytes_max: usize,
    /// Thread CPU time of one activation, from where its work is new.
    pub agent_cpu_max: Duration,
    /// How long a task that waits keeps its instance. Then it costs rows, and its answer a repetition.
    pub grace: Duration,
    /// How long a stopping host lets running work go on.
    pub drain: Duration,
    /// Silence on a stream or a slow answer after which something is sent: the Python SDK drops a stream after 5 s without bytes.
    pub keep_alive: Duration,
    /// How long a bare message may take, waits included.
    pub bare_time_max: Duration,
}

impl Default for HostLimits {
    fn default() -> HostLimits {
        HostLimits {
            task: TaskLimits::default(),
            kv_bytes_max: 64 << 20,
            compiled_bytes_max: 1 << 30,
            body_bytes_max: 16 << 20,
            header_time_max: Duration::from_secs(10),
            body_time_max: Duration::from_secs(60),
            header_bytes_max: 32 << 10,
            headers_max: 100,
            connections_max: 8_192,
            live_instances_max: 1_000,
            guest_memory_bytes_max: 1 << 30,
            instance_memory_bytes_max: 128 << 20,
            agent_cpu_max: Duration::from_secs(30),
            grace: Duration::from_secs(60),
            drain: Duration::from_secs(20),
            keep_alive: Duration::from_secs(3),
            bare_time_max: Duration::from_secs(60),
        }
    }
}
