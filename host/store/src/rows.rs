//! What goes into the store and what comes of it. Bodies are bytes that the store never looks into.

use std::sync::Arc;

use bytes::Bytes;
use kennel_protocol::fold::Fold;
use kennel_protocol::types::TaskState;
use kennel_protocol::{AgentId, ContextId, Digest, Epoch, PrincipalId, Seq, TaskId, TenantId, Timestamp, Ver};

use crate::child::Parent;
use crate::journal::{NewAnswer, NewCall};
use crate::kv::{KvExpect, KvWrite};
use crate::wake::TaskKey;

/// Bytes of a stored object and how many of its parts have their content in `blob`.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Serialized JSON.
    pub body: Bytes,
    /// Contents that stand elsewhere; zero means that the bytes can be passed on as they are.
    pub blobs: u32,
    /// Those contents' names.
    pub digests: Vec<Digest>,
}

impl Stored {
    /// Bytes without a blob.
    pub fn plain(body: impl Into<Bytes>) -> Stored {
        Stored { body: body.into(), blobs: 0, digests: Vec::new() }
    }
}

/// One message of a client on its way to the inbox.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The client's own id of it.
    pub message_id: String,
    /// sha-256 of what the client sent: the same message twice is one.
    pub hash: [u8; 32],
    /// The message, complete with task and context.
    pub stored: Stored,
}

/// Where a new task's run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A slot was granted: the row is written leased (epoch 1, attempt 1), and the first activation may run meanwhile.
    Leased,
    /// It waits in the queue.
    Ready,
}

/// All that the accept of a new task writes, in one transaction: task, event 1, inbox 0, run.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Tenant and id.
    pub key: TaskKey,
    /// The principal it belongs to.
    pub owner: PrincipalId,
    /// Its conversation.
    pub context: ContextId,
    /// The agent that works on it.
    pub agent: AgentId,
    /// The component it is pinned to.
    pub digest: Digest,
    /// When it was accepted.
    pub created: Timestamp,
    /// When the host ends it at the latest.
    pub expires: Timestamp,
    /// Facts of the request, JSON of the service's own making.
    pub request: Bytes,
    /// Event 1: the Task, without history (that is inbox 0).
    pub event: Bytes,
    /// The message that made it.
    pub message: Inbound,
    /// Leased or ready.
    pub start: Start,
    /// The task that sent the message, if it is one of this host.
    pub parent: Option<Parent>,
}

/// What a new task takes over from a former one, in the transaction of its accept.
#[derive(Clone, Debug, Default)]
pub struct TakenOver {
    /// Messages after the one that made it, in order: numbers 1 on in the inbox.
    pub messages: Vec<OldMessage>,
    /// Row 1 of its journal: where its first generation begins.
    pub checkpoint: Option<NewCall>,
}

/// A client's message to a former task.
#[derive(Clone, Debug)]
pub struct OldMessage {
    /// The message.
    pub message: Inbound,
    /// Whether it is handed to the agent as any message; else only its number gives it.
    pub waits: bool,
}

/// The right to write a task's log until somebody else claims it. Made only by an accept with a slot and by a claim.
#[derive(Clone, Debug)]
pub struct Claim {
    pub(crate) key: TaskKey,
    pub(crate) epoch: Epoch,
}

impl Claim {
    /// The task.
    pub fn key(&self) -> &TaskKey {
        &self.key
    }

    /// The fencing token.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// Where the log stands for its writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Commits so far.
    pub ver: Ver,
    /// Events so far.
    pub rev: Seq,
}

/// One event on its way to the log.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The StreamResponse.
    pub stored: Stored,
    /// The terminal or interrupted state that it shows.
    pub stop: Option<TaskState>,
}

/// What a parked run waits for, besides a request to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// A timer.
    pub due: Option<Timestamp>,
    /// A message that came after this rev; none: messages do not wake it.
    pub listens: Option<Seq>,
    /// Whether a child that comes to a stop wakes it.
    pub children: bool,
}

/// What becomes of the run row in a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunChange {
    /// Goes on under the same lease.
    Keep,
    /// As `Keep`, and the agent got further than when the run was last tried: earlier tries do not count any more.
    Progress,
    /// Given up without an end: ready if something is there to go on with, else parked until it comes.
    Release(Wait),
    /// The task is terminal.
    Finish,
}

/// What a claim holder writes: events and what follows from them, in one transaction behind the guard on epoch and ver.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Where the writer believes the log to stand; the events follow its rev.
    pub at: Position,
    /// In order.
    pub events: Vec<NewEvent>,
    /// Calls of the agent, in order.
    pub calls: Vec<NewCall>,
    /// Rows of the journal after this commit.
    pub journal: u32,
    /// What came of calls that were written before, by their numbers.
    pub answers: Vec<(u32, NewAnswer)>,
    /// Changes of durable values, in order.
    pub kv: Vec<KvWrite>,
    /// What must be so for all of it to be written, besides the guard.
    pub kv_expect: Option<KvExpect>,
    /// State after the events.
    pub state: TaskState,
    /// When that state was recorded.
    pub status_at: Timestamp,
    /// Whether the task now waits for its client.
    pub open: bool,
    /// The folded view after these events, when it is time to write it.
    pub body: Option<Stored>,
    /// The folded view after these events, if the last of them is a stop and the whole log is short: told, once it is on disk, to
    /// whoever waits for that.
    pub stop: Option<Arc<Fold>>,
    /// Client messages and cancels that the agent has taken.
    pub taken: Vec<u32>,
    /// The run row.
    pub run: RunChange,
}

/// What came of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is on disk.
    Applied(Position),
    /// Nothing was written: same epoch, but an accept wrote while the task was open. Read again.
    Moved,
    /// Nothing was written: the task is somebody else's, or gone.
    Fenced,
    /// Nothing was written: the value is not what `kv_expect` says. The holder holds the task as before and may go on.
    Conflict,
}

/// An accept's own entry in the log of a task that waited for it.
#[derive(Clone, Debug)]
pub struct OpenAnswer {
    /// The rev at which the caller looked; another one means that it must look again.
    pub rev: Seq,
    /// WORKING, or INPUT_REQUIRED again when the answer did not fit.
    pub event: NewEvent,
    /// The state that the event shows.
    pub state: TaskState,
}

/// A client's message to a task that exists.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The task.
    pub key: TaskKey,
    /// Who sends: only the owner's tasks are found.
    pub owner: PrincipalId,
    /// The agent it was sent to.
    pub agent: AgentId,
    /// The message.
    pub message: Inbound,
    /// When it came.
    pub at: Timestamp,
    /// How it changes a task that waits.
    pub route: Route,
}

/// What the caller saw when it looked at the task, and so how the message is to be taken.
#[derive(Clone, Debug)]
pub enum Route {
    /// The task waits for its client: the message closes the prompt (or repeats it).
    Answer(OpenAnswer),
    /// The task works, and its agent keeps a mailbox.
    Queue,
    /// The task works, and its agent wants no message now: only a repeat of one that was taken is answered.
    Repeat,
}

/// What came of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is in the inbox.
    Accepted {
        /// Its number there.
        n: u32,
        /// Readers from this rev on see it.
        at_seq: Seq,
    },
    /// The same message had been accepted before.
    Repeated {
        /// The number of the first.
        n: u32,
        /// As it was then.
        at_seq: Seq,
    },
    /// No such task for this caller.
    NotFound,
    /// The task is over.
    Terminal(TaskState),
    /// The task works and takes no message now.
    NotWaiting(TaskState),
    /// The task is not what the caller saw: look again.
    Moved,
}

/// A request to stop a task.
#[derive(Clone, Debug)]
pub struct CancelOrder {
    /// The task.
    pub key: TaskKey,
    /// Who asks: only the owner's tasks are found.
    pub owner: PrincipalId,
    /// The agent it was sent to.
    pub agent: AgentId,
    /// Source, reason, metadata: JSON of the service's own making.
    pub body: Bytes,
    /// The CANCELED event, written at once if nobody works on the task.
    pub event: Bytes,
    /// When it came.
    pub at: Timestamp,
}

/// What came of a request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canceling {
    /// The agent has been asked; it has its grace.
    Asked,
    /// Nobody worked on it: it is CANCELED.
    Ended,
    /// No such task for this caller.
    NotFound,
    /// Too late.
    Terminal(TaskState),
}

/// A run that this host now holds.
#[derive(Clone, Debug)]
pub struct ClaimedRun {
    /// The right to write.
    pub claim: Claim,
    /// Where the log stands.
    pub at: Position,
    /// The agent.
    pub agent: AgentId,
    /// The component that the task is pinned to.
    pub digest: Digest,
    /// Claims since the last progress, this one included.
    pub attempts: u32,
}

/// Which due runs are claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimable {
    /// Those that have not failed to get anywhere twice.
    Sound,
    /// Those that have: one of them may be what ends the host, so they run one at a time.
    Suspect,
}

/// Whether a run that is given back counts as tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The agent had its chance.
    Counts,
    /// The host's own doing: a drain, a fence, a fault of the store.
    DoesNotCount,
}

/// The narrow row of a task.
#[derive(Clone, Debug)]
pub struct TaskRow {
    /// Tenant and id.
    pub key: TaskKey,
    /// The principal it belongs to.
    pub owner: PrincipalId,
    /// Its conversation.
    pub context: ContextId,
    /// The agent that works on it.
    pub agent: AgentId,
    /// The component it is pinned to.
    pub digest: Digest,
    /// State of the last status.
    pub state: TaskState,
    /// When that was recorded.
    pub status_at: Timestamp,
    /// When it was accepted.
    pub created: Timestamp,
    /// When the host ends it at the latest.
    pub expires: Timestamp,
    /// Where the log stands.
    pub at: Position,
    /// Fencing token.
    pub epoch: Epoch,
    /// Whether it waits for its client.
    pub open: bool,
    /// Facts of the request.
    pub request: Bytes,
}

/// Identifies a caller to the store: every read is within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Boundary of data.
    pub tenant: TenantId,
    /// The principal whose tasks are visible.
    pub owner: PrincipalId,
    /// The agent that was addressed; none: any.
    pub agent: Option<AgentId>,
}

impl Scope {
    /// The key of a task within this scope.
    pub fn key(&self, task: &TaskId) -> TaskKey {
        TaskKey { tenant: self.tenant.clone(), task: task.clone() }
    }

    /// Whether a task of its tenant is within it.
    pub(crate) fn has(&self, row: &TaskRow) -> bool {
        row.owner == self.owner && self.agent.as_ref().is_none_or(|agent| *agent == row.agent)
    }
}
