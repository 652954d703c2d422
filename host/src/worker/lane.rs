//! The ordered queue of one task's effects on their way to the writer.
//!
//! One commit is in flight at a time; what gathers behind it is merged into the next. A host call returns at once while the lane
//! is short, else it waits. Invariants: what was pushed is committed in order or not at all; nothing is shown before its commit
//! (readers see rows only); once a commit was not applied, the lane is dead and the rest is dropped with the instance.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kennel_protocol::fold::Fold;
use kennel_protocol::types::{StreamResponse, TaskState};
use kennel_protocol::{Digest, Seq, Timestamp};
use kennel_store::{Claim, Commit, Committed, NewEvent, Position, RunChange, Store, StoreError, Stored};
use tokio::sync::{Notify, oneshot};
use tokio_util::task::TaskTracker;

/// Rows that may wait before a host call waits too.
const ROWS_MAX: usize = 64;
/// Bytes that may wait before a host call waits too.
const BYTES_MAX: usize = 256 << 10;
/// Events after which the folded body is written again…
const FOLD_EVENTS: u64 = 64;
/// …or bytes. A body that has grown waits until half its size has come on top: else a long task would write its
/// artifacts again and again.
const FOLD_BYTES: usize = 256 << 10;
/// A task that ended with at most this many events is folded from them faster than a second row is read.
const SHORT_EVENTS: u64 = 8;
/// Pauses between tries while the store does not take a commit.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// The lane will not write any more: the task is somebody else's, or the host gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dead;

/// What the commit that ends an activation does with the run row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// The task goes on.
    No,
    /// The event is the task's last.
    Finish,
}

/// A lane and the folded view of its task. Cheap to clone; clones share it.
#[derive(Clone)]
pub(crate) struct Lane {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<Store>,
    claim: Claim,
    commits: TaskTracker,
    state: Mutex<State>,
    moved: Notify,
}

struct State {
    /// Where the log stands on disk.
    at: Position,
    /// The last seq given out.
    last: Seq,
    fold: Fold,
    queue: Queue,
    in_flight: bool,
    dead: bool,
    /// What came after the last written body.
    tail: Tail,
}

#[derive(Default)]
struct Queue {
    events: Vec<NewEvent>,
    taken: Vec<u32>,
    bytes: usize,
    close: Option<Close>,
}

#[derive(Default)]
struct Tail {
    events: u64,
    bytes: usize,
    body_bytes: usize,
}

impl Queue {
    fn rows(&self) -> usize {
        self.events.len() + self.taken.len()
    }

    fn is_empty(&self) -> bool {
        self.rows() == 0
    }
}

impl Lane {
    /// A lane that continues a log where it stands. `accepted`: the accept of the task is still on its way; what is pushed meanwhile
    /// gathers behind it as behind a commit, and goes nowhere if it fails.
    pub(crate) fn new(
        store: Arc<Store>,
        claim: Claim,
        commits: TaskTracker,
        (at, fold): (Position, Fold),
        accepted: Option<oneshot::Receiver<()>>,
    ) -> Lane {
        let state = State {
            at,
            last: at.rev,
            fold,
            queue: Queue::default(),
            in_flight: accepted.is_some(),
            dead: false,
            tail: Tail::default(),
        };
        let shared = Shared { store, claim, commits, state: Mutex::new(state), moved: Notify::new() };
        let lane = Lane { shared: Arc::new(shared) };
        if let Some(accepted) = accepted {
            let waiting = lane.clone();
            lane.shared.commits.spawn(async move { waiting.begin(accepted).await });
        }
        lane
    }

    /// Commits what has gathered once the task is on disk.
    async fn begin(&self, accepted: oneshot::Receiver<()>) {
        if accepted.await.is_err() {
            self.state().dead = true;
            self.shared.moved.notify_waiters();
            return;
        }
        self.commit_all().await;
    }

    /// The right by which this lane writes.
    pub(crate) fn claim(&self) -> &Claim {
        &self.shared.claim
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the folded view, queued effects included.
    pub(crate) fn with_fold<T>(&self, look: impl FnOnce(&Fold, Seq) -> T) -> T {
        let state = self.state();
        look(&state.fold, state.last)
    }

    /// Queues an event. Large contents go to their own rows first. Cancel safe: queued whole or not at all.
    pub(crate) async fn push(&self, mut event: StreamResponse, close: Close) -> Result<Seq, Dead> {
        let tenant = &self.shared.claim.key().tenant;
        let digests = match self.shared.store.cut_out(tenant, &mut event).await {
            Ok(digests) => digests,
            Err(error) => return self.give_up(&error),
        };
        self.room().await?;
        self.enqueue(&event, digests, close)
    }

    /// Notes that the agent has taken a client message or a cancel.
    pub(crate) fn take(&self, n: u32) {
        let mut state = self.state();
        state.queue.taken.push(n);
        self.send(&mut state);
    }

    fn enqueue(&self, event: &StreamResponse, digests: Vec<Digest>, close: Close) -> Result<Seq, Dead> {
        let Ok(body) = serde_json::to_vec(event) else { return self.give_up("an event does not serialize") };
        let mut state = self.state();
        if state.dead {
            return Err(Dead);
        }
        let seq = state.last.next();
        if let Err(error) = state.fold.apply(seq, event) {
            drop(state);
            return self.give_up(error);
        }
        state.last = seq;
        state.tail.events += 1;
        state.tail.bytes += body.len();
        state.queue.bytes += body.len();
        let stop = stop_of(event);
        let blobs = u32::try_from(digests.len()).unwrap_or(u32::MAX);
        state.queue.events.push(NewEvent { stored: Stored { body: body.into(), blobs, digests }, stop });
        if close == Close::Finish {
            state.queue.close = Some(close);
        }
        self.send(&mut state);
        Ok(seq)
    }

    fn give_up<T>(&self, reason: impl std::fmt::Display) -> Result<T, Dead> {
        tracing::error!(task.id = %self.shared.claim.key().task, %reason, "the activation is given up");
        self.state().dead = true;
        self.shared.moved.notify_waiters();
        Err(Dead)
    }

    /// Waits until the lane is short.
    async fn room(&self) -> Result<(), Dead> {
        self.wait_for(|state| state.queue.rows() < ROWS_MAX && state.queue.bytes < BYTES_MAX).await
    }

    /// Waits until everything queued is on disk. Cancel safe.
    pub(crate) async fn flush(&self) -> Result<(), Dead> {
        self.wait_for(|state| state.queue.is_empty() && !state.in_flight).await
    }

    async fn wait_for(&self, done: impl Fn(&State) -> bool) -> Result<(), Dead> {
        loop {
            let moved = self.shared.moved.notified();
            tokio::pin!(moved);
            // Registered before looking, so that a commit in between is not missed.
            moved.as_mut().enable();
            {
                let state = self.state();
                if state.dead {
                    return Err(Dead);
                }
                if done(&state) {
                    return Ok(());
                }
            }
            moved.await;
        }
    }

    /// Puts the next commit on its way if none is.
    fn send(&self, state: &mut State) {
        if state.in_flight || state.dead || state.queue.is_empty() {
            return;
        }
        state.in_flight = true;
        let lane = self.clone();
        self.shared.commits.spawn(async move { lane.commit_all().await });
    }

    /// Commits until nothing is queued.
    async fn commit_all(&self) {
        while let Some(commit) = self.next_commit() {
            let applied = self.commit(commit).await;
            let mut state = self.state();
            match applied {
                Ok(at) => state.at = at,
                Err(Dead) => state.dead = true,
            }
            drop(state);
            self.shared.moved.notify_waiters();
        }
        self.shared.moved.notify_waiters();
    }

    /// All that is queued, as one commit; none ends the flight.
    fn next_commit(&self) -> Option<Commit> {
        let mut state = self.state();
        if state.dead || state.queue.is_empty() {
            state.in_flight = false;
            return None;
        }
        let queue = std::mem::take(&mut state.queue);
        let status = &state.fold.status;
        let (task_state, status_at) = (status.state, status.timestamp.unwrap_or(Timestamp::from_millis(0)));
        let body = state.body_if_due(queue.close);
        Some(Commit {
            at: state.at,
            events: queue.events,
            state: task_state,
            status_at,
            open: task_state.is_interrupted(),
            body,
            taken: queue.taken,
            run: if queue.close == Some(Close::Finish) { RunChange::Finish } else { RunChange::Keep },
        })
    }

    async fn commit(&self, commit: Commit) -> Result<Position, Dead> {
        match self.write(commit).await? {
            Committed::Applied(at) => Ok(at),
            lost @ (Committed::Moved | Committed::Fenced) => {
                tracing::debug!(task.id = %self.shared.claim.key().task, ?lost, "the lane lost its task");
                Err(Dead)
            }
        }
    }

    /// Writes, however long the store takes: a full disk or a busy store holds the task up, it does not end it.
    async fn write(&self, commit: Commit) -> Result<Committed, Dead> {
        let mut pause = RETRY_MIN;
        loop {
            match self.shared.store.commit(&self.shared.claim, commit.clone()).await {
                Ok(committed) => return Ok(committed),
                Err(error @ StoreError::Corrupt(_)) => return self.give_up(&error),
                Err(error) if self.shared.commits.is_closed() => return self.give_up(&error),
                Err(error) => {
                    tracing::warn!(task.id = %self.shared.claim.key().task, %error, "a commit waits for the store");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Ends an open prompt from the agent's side. False: a client's message closed it first; its event is read in
    /// [`Lane::catch_up`]. The lane is empty: the agent waits.
    pub(crate) async fn close_prompt(&self, event: StreamResponse, now: Timestamp) -> Result<bool, Dead> {
        let Ok(body) = serde_json::to_vec(&event) else { return self.give_up("an event does not serialize") };
        let commit = Commit {
            at: self.position(),
            events: vec![NewEvent { stored: Stored::plain(body), stop: None }],
            state: TaskState::Working,
            status_at: now,
            open: false,
            body: None,
            taken: Vec::new(),
            run: RunChange::Keep,
        };
        match self.write(commit).await? {
            Committed::Applied(at) => {
                let mut state = self.state();
                (state.at, state.last) = (at, at.rev);
                match state.fold.apply(at.rev, &event) {
                    Ok(()) => Ok(true),
                    Err(error) => {
                        drop(state);
                        self.give_up(error)
                    }
                }
            }
            Committed::Moved => Ok(false),
            Committed::Fenced => self.give_up("another holder has the task"),
        }
    }

    /// Takes over what an accept wrote while the task waited for its client.
    pub(crate) async fn catch_up(&self, at: Position) -> Result<(), Dead> {
        let stands = self.position();
        if at.ver <= stands.ver {
            return Ok(());
        }
        let after = stands.rev;
        let events = match self.shared.store.events_after(self.shared.claim.key(), after, u32::MAX).await {
            Ok(events) => events,
            Err(error) => return self.give_up(&error),
        };
        let mut state = self.state();
        for row in events.iter().filter(|row| row.seq <= at.rev) {
            let applied = serde_json::from_slice(&row.body)
                .map_err(|error| error.to_string())
                .and_then(|event| state.fold.apply(row.seq, &event).map_err(|error| error.to_string()));
            if let Err(reason) = applied {
                drop(state);
                return self.give_up(reason);
            }
        }
        state.at = at;
        state.last = at.rev;
        Ok(())
    }

    /// Where the log stands on disk.
    pub(crate) fn position(&self) -> Position {
        self.state().at
    }
}

impl State {
    /// The folded body when it is time to write it. It shows all that is queued, which is what the commit takes.
    fn body_if_due(&mut self, close: Option<Close>) -> Option<Stored> {
        let stop = close.is_some() || self.fold.status.state.is_interrupted();
        let grown = (self.tail.events >= FOLD_EVENTS || self.tail.bytes >= FOLD_BYTES)
            && self.tail.bytes >= self.tail.body_bytes / 2;
        let short = self.last.get() <= SHORT_EVENTS && self.tail.bytes < FOLD_BYTES / 16;
        if !grown && (!stop || short) {
            return None;
        }
        let body = serde_json::to_vec(&self.fold).ok()?;
        self.tail = Tail { events: 0, bytes: 0, body_bytes: body.len() };
        // Contents in `blob` are counted by the events that brought them; here it only matters whether there are any.
        let blobs = u32::from(names_blob(&body));
        Some(Stored { body: body.into(), blobs, digests: Vec::new() })
    }
}

/// Whether a body names a content that stands elsewhere. A text that only looks so costs a look, nothing else.
fn names_blob(body: &[u8]) -> bool {
    const NAME: &[u8] = b"kennel:blob/";
    body.windows(NAME.len()).any(|window| window == NAME)
}

/// The terminal or interrupted state that an event shows.
pub(crate) fn stop_of(event: &StreamResponse) -> Option<TaskState> {
    match event {
        StreamResponse::StatusUpdate(update) => Some(update.status.state).filter(|state| state.is_stop()),
        StreamResponse::Task(task) => Some(task.status.state).filter(|state| state.is_stop()),
        StreamResponse::ArtifactUpdate(_) | StreamResponse::Message(_) => None,
    }
}
