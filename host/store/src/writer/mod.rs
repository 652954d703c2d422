//! The one writer of the database: takes what wants to be written, makes groups of it, and writes each group in one
//! transaction with one sync. Nobody else writes.
//!
//! Invariants: a caller gets its outcome only after the COMMIT of its group has returned; entries of one task go in the order
//! in which they came; a group holds one entry of a task, because two chained guards in one set-statement would apply only the first,
//! or its accept and its first commit, which are two statements.

mod backlog;
mod group;
mod log;

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::error::StoreError;
use crate::journal::NewCall;
use crate::kv::{KvChange, KvWrite};
use crate::rows::{Attempt, Claim, Claimable};
use crate::rows::{
    CancelOrder, Canceling, ClaimedRun, Commit, Committed, Delivered, Delivery, NewTask, RunChange, TakenOver, Wait,
};
use crate::trial::{Crash, Crashing};
use crate::wake::{Moved, Stop, TaskKey, Wakes};
use backlog::Backlog;
use bytes::Bytes;
use kennel_protocol::{AgentId, Digest, TenantId, Timestamp};
use log::Log;

#[cfg(test)]
pub(crate) use group::Faults;
pub(crate) use group::{Seen, see};

/// Entries that may wait for the writer to look before callers wait for a place.
const QUEUE_MAX: usize = 4096;
/// How long a caller waits for a place in a full queue.
const QUEUE_WAIT: Duration = Duration::from_secs(2);

/// One thing to write.
#[derive(Debug)]
pub(crate) enum Op {
    Create(Box<NewTask>),
    Again(Box<Again>),
    Commit(Box<CommitOp>),
    /// Becomes a [`Op::Commit`] when its group is made.
    Late(Box<LateOp>),
    Deliver(Box<Delivery>),
    Cancel(Box<CancelOrder>),
    EndByForce(Box<EndByForce>),
    Claim(ClaimOrder),
    GiveBack(Box<GiveBack>),
    Wake(Box<Wake>),
    Blob(Box<BlobChunk>),
    SetAgent(Box<SetAgent>),
    RemoveAgent(TenantId, AgentId),
    Kv(Box<KvChange>),
    /// Nothing after it.
    Close,
}

/// A new task that takes over what a former one was told.
#[derive(Clone, Debug)]
pub(crate) struct Again {
    pub(crate) new: NewTask,
    pub(crate) past: TakenOver,
}

/// A claim holder's commit with its guard.
#[derive(Clone, Debug)]
pub(crate) struct CommitOp {
    pub(crate) claim: Claim,
    pub(crate) commit: Arc<Commit>,
    /// When it was handed over: a released run that is ready is due from then on.
    pub(crate) now: Timestamp,
}

/// As [`CommitOp`], of what its holder has gathered by the time at which its group is made.
pub(crate) struct LateOp {
    pub(crate) claim: Claim,
    pub(crate) make: Box<dyn FnOnce() -> Option<Arc<Commit>> + Send>,
    pub(crate) now: Timestamp,
}

impl std::fmt::Debug for LateOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LateOp").field("claim", &self.claim).field("now", &self.now).finish_non_exhaustive()
    }
}

/// The end of a task whose agent did not end it in its grace.
#[derive(Clone, Debug)]
pub(crate) struct EndByForce {
    pub(crate) claim: Claim,
    pub(crate) event: Bytes,
    pub(crate) at: Timestamp,
}

/// A wish for work.
#[derive(Clone, Debug)]
pub(crate) struct ClaimOrder {
    pub(crate) host: Arc<str>,
    pub(crate) of: Claimable,
    pub(crate) limit: u32,
    pub(crate) now: Timestamp,
}

/// A lease that its holder does not want any more.
#[derive(Clone, Debug)]
pub(crate) struct GiveBack {
    pub(crate) claim: Claim,
    pub(crate) attempt: Attempt,
    pub(crate) reason: String,
    pub(crate) due: Timestamp,
}

/// A parked run that has something to go on with which does not stand in its inbox.
#[derive(Clone, Debug)]
pub(crate) struct Wake {
    pub(crate) key: TaskKey,
    pub(crate) at: Timestamp,
}

/// A piece of a large content.
#[derive(Clone, Debug)]
pub(crate) struct BlobChunk {
    pub(crate) tenant: TenantId,
    pub(crate) digest: Digest,
    pub(crate) n: u32,
    pub(crate) bytes: Bytes,
}

/// A version that becomes the active one of its agent.
#[derive(Clone, Debug)]
pub(crate) struct SetAgent {
    pub(crate) tenant: TenantId,
    pub(crate) name: AgentId,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) at: Timestamp,
}

/// What came of an [`Op`], in the same order of variants.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Created,
    Committed(Committed),
    Delivered(Delivered),
    Canceling(Canceling),
    EndedByForce(Committed),
    Claimed(Vec<ClaimedRun>),
    GivenBack(Committed),
    Woken,
    /// Whether what was expected was so.
    Changed(bool),
    Written,
}

impl Op {
    /// The task it touches, if it is one.
    fn key(&self) -> Option<&TaskKey> {
        match self {
            Op::Create(new) => Some(&new.key),
            Op::Again(again) => Some(&again.new.key),
            Op::Commit(op) => Some(&op.claim.key),
            Op::Late(late) => Some(&late.claim.key),
            Op::Deliver(delivery) => Some(&delivery.key),
            Op::Cancel(order) => Some(&order.key),
            Op::EndByForce(end) => Some(&end.claim.key),
            Op::GiveBack(back) => Some(&back.claim.key),
            Op::Wake(wake) => Some(&wake.key),
            Op::Claim(_) | Op::Blob(_) | Op::SetAgent(_) | Op::RemoveAgent(..) | Op::Kv(_) | Op::Close => None,
        }
    }

    fn tenant(&self) -> Option<&TenantId> {
        match self {
            Op::Blob(chunk) => Some(&chunk.tenant),
            Op::SetAgent(set) => Some(&set.tenant),
            Op::RemoveAgent(tenant, _) => Some(tenant),
            Op::Kv(change) => Some(&change.tenant),
            Op::Claim(_) | Op::Close => None,
            Op::Create(_)
            | Op::Again(_)
            | Op::Commit(_)
            | Op::Late(_)
            | Op::Deliver(_)
            | Op::Cancel(_)
            | Op::EndByForce(_)
            | Op::GiveBack(_)
            | Op::Wake(_) => self.key().map(|key| &key.tenant),
        }
    }

    /// Accepts and cancels go first: a client waits for them, and they are small.
    fn is_urgent(&self) -> bool {
        matches!(self, Op::Create(_) | Op::Deliver(_) | Op::Cancel(_) | Op::EndByForce(_) | Op::Claim(_))
    }

    /// About how much it writes.
    fn bytes(&self) -> usize {
        const ROWS: usize = 512;
        ROWS + match self {
            Op::Create(new) => new.event.len() + new.message.stored.body.len(),
            Op::Again(again) => {
                let told = again.past.messages.iter().map(|old| old.message.stored.body.len()).sum::<usize>();
                again.new.event.len() + told + again.past.checkpoint.as_ref().map_or(0, NewCall::bytes)
            }
            Op::Commit(op) => {
                let events: usize = op.commit.events.iter().map(|event| event.stored.body.len()).sum();
                let calls: usize = op.commit.calls.iter().map(NewCall::bytes).sum();
                let answers: usize = op.commit.answers.iter().map(|(_, answer)| answer.result.body.len()).sum();
                let values: usize = op.commit.kv.iter().map(KvWrite::bytes).sum();
                events + calls + answers + values + op.commit.body.as_ref().map_or(0, |body| body.body.len())
            }
            Op::Deliver(delivery) => delivery.message.stored.body.len(),
            Op::Blob(chunk) => chunk.bytes.len(),
            Op::Kv(change) => change.write.bytes(),
            // What its holder has gathered by then counts when the group is made.
            Op::Late(_)
            | Op::Cancel(_)
            | Op::EndByForce(_)
            | Op::Claim(_)
            | Op::GiveBack(_)
            | Op::Wake(_)
            | Op::SetAgent(_)
            | Op::RemoveAgent(..)
            | Op::Close => 0,
        }
    }
}

/// An op, its commit id, and who is told its outcome.
pub(crate) struct Entry {
    op: Op,
    commit_id: i64,
    reply: Reply,
}

/// Who is told what came of an op.
enum Reply {
    /// Somebody who waits, or has gone away meanwhile.
    Awaited(oneshot::Sender<Result<Outcome, StoreError>>),
    /// Called on the writer's thread.
    Called(Callback),
}

impl Reply {
    fn send(self, outcome: Result<Outcome, StoreError>) {
        match self {
            // A caller that went away has its write all the same.
            Reply::Awaited(waiting) => drop(waiting.send(outcome)),
            Reply::Called(mut callback) => callback.call(outcome),
        }
    }
}

/// What is done with the outcome of an op.
type Then = Box<dyn FnOnce(Result<Outcome, StoreError>) + Send>;

/// Called once with what came of an op, also if the writer ends before it comes to it.
pub(crate) struct Callback(Option<Then>);

impl Callback {
    pub(crate) fn new(call: impl FnOnce(Result<Outcome, StoreError>) + Send + 'static) -> Callback {
        Callback(Some(Box::new(call)))
    }

    fn call(&mut self, outcome: Result<Outcome, StoreError>) {
        if let Some(call) = self.0.take() {
            call(outcome);
        }
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        self.call(Err(closed()));
    }
}

impl Entry {
    pub(crate) fn op(&self) -> &Op {
        &self.op
    }

    /// The entry as it is written. None: its holder has nothing to write any more, and is told so.
    fn made(self) -> Option<Entry> {
        let Entry { op: Op::Late(late), commit_id, reply } = self else { return Some(self) };
        let LateOp { claim, make, now } = *late;
        match make() {
            Some(commit) => Some(Entry { op: Op::Commit(Box::new(CommitOp { claim, commit, now })), commit_id, reply }),
            None => {
                reply.send(Ok(Outcome::Committed(Committed::Fenced)));
                None
            }
        }
    }
}

/// A write that is in line: whatever is handed in from now on comes after it.
#[derive(Debug)]
pub(crate) struct InLine(oneshot::Receiver<Result<Outcome, StoreError>>);

impl InLine {
    /// Returns when it is on disk. Dropped, the write still happens.
    pub(crate) async fn written(self) -> Result<Outcome, StoreError> {
        self.0.await.unwrap_or_else(|_| Err(closed()))
    }
}

/// Where callers hand in what they want written.
#[derive(Clone, Debug)]
pub(crate) struct WriterHandle {
    queue: mpsc::Sender<Entry>,
    ids: Arc<CommitIds>,
}

impl WriterHandle {
    /// Writes and returns when it is on disk. Not cancel safe in one sense only: dropped, the write still happens.
    pub(crate) async fn write(&self, op: Op) -> Result<Outcome, StoreError> {
        self.line_up(op).await?.written().await
    }

    /// Writes, and has the outcome called when it is on disk. A full or closed queue is an outcome too, which comes at once.
    pub(crate) fn write_then(&self, op: Op, then: Callback) {
        let entry = Entry { op, commit_id: self.ids.next(), reply: Reply::Called(then) };
        if let Err(mpsc::error::TrySendError::Full(entry)) = self.queue.try_send(entry) {
            entry.reply.send(Err(StoreError::Busy { retry_after: Duration::from_secs(1) }));
        }
    }

    /// Puts a write in line.
    pub(crate) async fn line_up(&self, op: Op) -> Result<InLine, StoreError> {
        let (reply, outcome) = oneshot::channel();
        let entry = Entry { op, commit_id: self.ids.next(), reply: Reply::Awaited(reply) };
        // Most often there is a place, and no timer is needed.
        let entry = match self.queue.try_send(entry) {
            Ok(()) => return Ok(InLine(outcome)),
            Err(mpsc::error::TrySendError::Full(entry) | mpsc::error::TrySendError::Closed(entry)) => entry,
        };
        match self.queue.send_timeout(entry, QUEUE_WAIT).await {
            Ok(()) => Ok(InLine(outcome)),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                Err(StoreError::Busy { retry_after: Duration::from_secs(1) })
            }
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(closed()),
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// Numbers that no other commit of this database has: milliseconds at start, then counted up.
#[derive(Debug)]
struct CommitIds(std::sync::atomic::AtomicI64);

impl CommitIds {
    fn next(&self) -> i64 {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }
}

/// What the writer is made of.
pub(crate) struct Parts {
    pub(crate) connection: Connection,
    pub(crate) wakes: Arc<Wakes>,
    pub(crate) now: Timestamp,
    pub(crate) crash: Option<Crash>,
    /// Cancelled when the writer panics.
    pub(crate) broken: CancellationToken,
    #[cfg(test)]
    pub(crate) faults: Arc<Faults>,
}

/// Tells of a panic: dropped by it.
struct Alarm(CancellationToken);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

/// Starts the writer with its own connection, which it gives back at its end.
pub(crate) fn start(parts: Parts) -> std::io::Result<(WriterHandle, oneshot::Receiver<Connection>)> {
    let (queue, inbound) = mpsc::channel(QUEUE_MAX);
    // 2^20 commits a millisecond cannot be made, so a later start never meets an earlier one's numbers.
    let ids = Arc::new(CommitIds(std::sync::atomic::AtomicI64::new(parts.now.millis() << 20)));
    let writer = Writer {
        connection: parts.connection,
        wakes: parts.wakes,
        told: Vec::new(),
        crashing: Crashing::new(parts.crash),
        #[cfg(test)]
        faults: parts.faults,
    };
    let (give_back, given_back) = oneshot::channel();
    let alarm = Alarm(parts.broken);
    run_apart(async move {
        let _alarm = alarm;
        // A store that was dropped without being closed does not want it.
        give_back.send(writer.run(inbound).await).ok();
    })?;
    Ok((WriterHandle { queue, ids }, given_back))
}

/// On a thread of its own: writing blocks.
#[cfg(not(test))]
fn run_apart(writing: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let thread = std::thread::Builder::new().name("kennel-write".to_owned());
    thread.spawn(move || runtime.block_on(writing)).map(drop)
}

/// On the test's own thread, so that a test decides what is queued when the next group is taken.
#[cfg(test)]
fn run_apart(writing: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a test's runtime ends with the test")]
    drop(tokio::spawn(writing));
    Ok(())
}

struct Writer {
    connection: Connection,
    wakes: Arc<Wakes>,
    /// Tasks whose children came to a stop in the last group.
    told: Vec<TaskKey>,
    crashing: Crashing,
    #[cfg(test)]
    faults: Arc<Faults>,
}

impl Writer {
    async fn run(mut self, mut inbound: mpsc::Receiver<Entry>) -> Connection {
        let mut backlog = Backlog::default();
        let mut log = Log::default();
        loop {
            if backlog.is_empty() {
                match inbound.recv().await {
                    Some(entry) => receive(entry, &mut inbound, &mut backlog),
                    None => break,
                }
            }
            while !backlog.is_full() {
                match inbound.try_recv() {
                    Ok(entry) => receive(entry, &mut inbound, &mut backlog),
                    Err(_) => break,
                }
            }
            if !backlog.is_empty() {
                let group = backlog.take_group();
                if !group.is_empty() {
                    log.grown_by(&group, &self.connection);
                    self.write_group(group);
                }
                tokio::task::yield_now().await;
            }
        }
        self.connection
    }

    fn write_group(&mut self, entries: Vec<Entry>) {
        let outcomes = group::write(self, &entries);
        for parent in std::mem::take(&mut self.told) {
            self.wakes.poke(&parent, Moved::Inbox);
            self.wakes.poke_due();
        }
        for (entry, outcome) in entries.into_iter().zip(outcomes) {
            if let Ok(done) = &outcome {
                self.poke(&entry.op, done);
            }
            entry.reply.send(outcome);
        }
    }

    fn poke(&self, op: &Op, outcome: &Outcome) {
        match (op, op.key()) {
            // Nobody can wait for a task that did not exist; whoever subscribed waits for what comes after the accept.
            (Op::Create(new), _) => {
                if let Some(parent) = &new.parent {
                    let parent = TaskKey { tenant: new.key.tenant.clone(), task: parent.task.clone() };
                    self.wakes.poke(&parent, Moved::Children);
                }
            }
            (Op::Again(_), _) | (_, None) => {}
            (Op::Deliver(_) | Op::Cancel(_), Some(key)) => self.wakes.poke(key, Moved::Inbox),
            (Op::Commit(op), Some(key)) => self.wakes.poke(key, moved(&op.commit, outcome)),
            (_, Some(key)) => self.wakes.poke(key, Moved::Log),
        }
        if let (Op::Commit(op), Outcome::Committed(Committed::Applied(_))) = (op, outcome)
            && let RunChange::Release(Wait { due: Some(due), .. }) = op.commit.run
        {
            self.wakes.park(op.now, due);
        }
        let may_be_due = match outcome {
            Outcome::Delivered(_) | Outcome::Canceling(_) | Outcome::GivenBack(_) | Outcome::Woken => true,
            Outcome::Created => match op {
                Op::Create(new) => new.start == crate::rows::Start::Ready,
                _ => true,
            },
            Outcome::Committed(_) => {
                matches!(op, Op::Commit(op) if matches!(op.commit.run, RunChange::Release(_)))
            }
            Outcome::EndedByForce(_) | Outcome::Claimed(_) | Outcome::Changed(_) | Outcome::Written => false,
        };
        if may_be_due {
            self.wakes.poke_due();
        }
    }
}

/// What a claim holder's commit moved.
fn moved(commit: &Commit, outcome: &Outcome) -> Moved {
    match (outcome, &commit.stop) {
        (Outcome::Committed(Committed::Applied(at)), Some(fold)) => {
            Moved::Stop(Stop { rev: at.rev, fold: Arc::clone(fold) })
        }
        (Outcome::Committed(Committed::Applied(_)), None) if commit.events.iter().all(|event| event.stop.is_none()) => {
            Moved::Step
        }
        _ => Moved::Log,
    }
}

/// Queues an entry. The one that closes the store lets nothing more in; what is queued is still written.
fn receive(entry: Entry, inbound: &mut mpsc::Receiver<Entry>, backlog: &mut Backlog) {
    if let Op::Close = entry.op {
        inbound.close();
        // Whoever closes waits for the connection, not for this.
        entry.reply.send(Ok(Outcome::Written));
    } else {
        backlog.push(entry);
    }
}
