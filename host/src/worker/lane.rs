//! The ordered queue of one task's effects on their way to the writer.
//!
//! One commit is in flight at a time; what gathers behind it is merged into the next, and the commit of a short log takes along what has
//! gathered when the writer comes to it. A host call returns at once while the lane is short, else it waits. Invariants: what was pushed
//! is committed in order or not at all, an event with the row of the call that made it; nothing is shown before its commit (readers see
//! rows, or what came with its acknowledgement); once a commit was not applied, the lane is dead and the rest is dropped with the instance.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kennel_protocol::fold::Fold;
use kennel_protocol::types::{StreamResponse, TaskState};
use kennel_protocol::{Digest, Seq, Timestamp};
use kennel_store::{
    Claim, Commit, Committed, KvExpect, KvWrite, NewAnswer, NewCall, NewEvent, Position, RunChange, Store, StoreError,
    Stored, Wait,
};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio_util::task::TaskTracker;

use super::body::Tail;
use crate::config::Pace;
use crate::work::Accept;

/// Rows that may wait before a host call waits too.
const ROWS_MAX: usize = 64;
/// Bytes that may wait before a host call waits too.
const BYTES_MAX: usize = 256 << 10;
/// Events that are read at once of what others have written.
const PAGE: u32 = 64;
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
    /// The task waits without an instance.
    Release(Wait),
}

/// What is written together or not at all.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<StreamResponse>,
    pub(crate) calls: Vec<NewCall>,
    pub(crate) answers: Vec<(u32, NewAnswer)>,
    pub(crate) taken: Option<u32>,
    pub(crate) close: Option<Close>,
}

/// Where a lane begins.
pub(crate) struct Start {
    /// Where the log stands.
    pub(crate) at: Position,
    /// The folded view there.
    pub(crate) fold: Fold,
    /// Rows of the journal.
    pub(crate) calls: u32,
    /// How effects become commits.
    pub(crate) pace: Pace,
    /// Whether earlier tries got nowhere: then the first row says that this one did.
    pub(crate) tried: bool,
    /// The right to run although earlier tries got nowhere; given back with the first row.
    pub(crate) suspect: Option<OwnedSemaphorePermit>,
}

/// When a row that has no event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// At once.
    Now {
        /// The message or the request to stop that its call took.
        taken: Option<u32>,
    },
    /// With the next effect: nothing depends on it until then.
    Later,
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
    /// Where tasks of `commits` run.
    runtime: Handle,
    pace: Pace,
    state: Mutex<State>,
    moved: Notify,
}

struct State {
    /// Where the log stands on disk.
    at: Position,
    /// The last seq given out.
    last: Seq,
    fold: Arc<Fold>,
    queue: Queue,
    /// Rows of the journal, queued ones included.
    calls: u32,
    tried: bool,
    suspect: Option<OwnedSemaphorePermit>,
    /// The accept that goes before the first commit.
    accepting: Option<oneshot::Receiver<()>>,
    /// The commit in flight, once it is made: it may have to be handed in again.
    sent: Option<Arc<Commit>>,
    in_flight: bool,
    dead: bool,
    /// It died of a fault of the store.
    excused: bool,
    /// What came after the last written body.
    tail: Tail,
}

#[derive(Default)]
struct Queue {
    events: Vec<NewEvent>,
    calls: Vec<NewCall>,
    answers: Vec<(u32, NewAnswer)>,
    kv: Vec<KvWrite>,
    taken: Vec<u32>,
    bytes: usize,
    close: Option<Close>,
    /// Whether it holds more than rows that can wait.
    urgent: bool,
}

impl Queue {
    /// An event and the row of its call count as one.
    fn rows(&self) -> usize {
        self.events.len().max(self.calls.len()) + self.answers.len() + self.taken.len()
    }

    fn is_empty(&self) -> bool {
        self.rows() == 0 && self.close.is_none()
    }
}

impl Lane {
    /// A lane that continues a log where it stands. While the accept of the task is still to come, what is pushed gathers behind it as
    /// behind a commit. If the accept fails, nothing is written.
    pub(crate) fn new(store: Arc<Store>, claim: Claim, commits: TaskTracker, start: Start, accept: Accept) -> Lane {
        let pace = start.pace;
        let (accepting, to_come) = match accept {
            Accept::Done => (None, None),
            Accept::InLine(accepted) if pace == Pace::Merged => (Some(accepted), None),
            Accept::InLine(accepted) | Accept::ToCome(accepted) => (None, Some(accepted)),
        };
        let state = State {
            at: start.at,
            last: start.at.rev,
            fold: Arc::new(start.fold),
            queue: Queue::default(),
            calls: start.calls,
            tried: start.tried,
            suspect: start.suspect,
            accepting,
            sent: None,
            in_flight: to_come.is_some(),
            dead: false,
            excused: false,
            tail: Tail::default(),
        };
        let runtime = Handle::current();
        let shared = Shared { store, claim, commits, runtime, pace, state: Mutex::new(state), moved: Notify::new() };
        let lane = Lane { shared: Arc::new(shared) };
        if let Some(accepted) = to_come {
            let waiting = lane.clone();
            lane.shared.commits.spawn(async move { waiting.begin(accepted).await });
        }
        lane
    }

    /// Commits what has gathered once the task is on disk.
    async fn begin(&self, accepted: oneshot::Receiver<()>) {
        let refused = accepted.await.is_err();
        let mut state = self.state();
        state.dead |= refused;
        state.in_flight = false;
        self.send(&mut state);
        drop(state);
        self.shared.moved.notify_waiters();
    }

    /// The time of the host's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.store.clock().now()
    }

    /// Whether earlier tries of the run got nowhere, and neither has this one so far.
    pub(crate) fn is_tried(&self) -> bool {
        self.state().tried
    }

    /// Whether the lane died of a fault of the store.
    pub(crate) fn is_excused(&self) -> bool {
        self.state().excused
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

    /// Queues an event of the host's own. Large contents go to their own rows first. Cancel safe: queued whole or not at all.
    pub(crate) async fn push(&self, event: StreamResponse, close: Close) -> Result<Seq, Dead> {
        self.push_with(event, None, close).await
    }

    /// As [`Lane::push`], with the row of the call that made the event.
    pub(crate) async fn push_with(
        &self,
        mut event: StreamResponse,
        call: Option<NewCall>,
        close: Close,
    ) -> Result<Seq, Dead> {
        let tenant = &self.shared.claim.key().tenant;
        let digests = match self.shared.store.cut_out(tenant, &mut event).await {
            Ok(digests) => digests,
            Err(error) => return self.unserved(&error),
        };
        self.room().await?;
        let seq = self.enqueue(&event, digests, call, close)?;
        self.keep_pace().await?;
        Ok(seq)
    }

    /// Queues the last events of the task: one commit, so that a run which is repeated finds none of them or has no need to. Cancel safe.
    pub(crate) async fn push_last(&self, events: Vec<StreamResponse>) -> Result<(), Dead> {
        self.push_all(Batch { events, close: Some(Close::Finish), ..Batch::default() }).await
    }

    /// Queues events, calls, answers and what becomes of the run: one commit. Cancel safe.
    pub(crate) async fn push_all(&self, batch: Batch) -> Result<(), Dead> {
        let tenant = &self.shared.claim.key().tenant;
        let mut ready = Vec::with_capacity(batch.events.len());
        for mut event in batch.events {
            match self.shared.store.cut_out(tenant, &mut event).await {
                Ok(digests) => ready.push((event, digests)),
                Err(error) => return self.unserved(&error),
            }
        }
        self.room().await?;
        let mut state = self.state();
        for (event, digests) in ready {
            if let Err(reason) = state.add(&event, digests, None) {
                drop(state);
                return self.give_up(reason);
            }
        }
        for call in batch.calls {
            state.queue.add_call(call);
            state.calls += 1;
        }
        state.queue.answers.extend(batch.answers);
        state.queue.taken.extend(batch.taken);
        state.queue.close = batch.close.or(state.queue.close);
        state.queue.urgent = true;
        self.send(&mut state);
        Ok(())
    }

    /// Queues the row of a call that has no event. Cancel safe.
    pub(crate) async fn record(&self, call: NewCall, when: When) -> Result<(), Dead> {
        self.room().await?;
        {
            let mut state = self.state();
            state.queue.add_call(call);
            state.calls += 1;
            match when {
                When::Later => {}
                When::Now { taken } => {
                    state.queue.taken.extend(taken);
                    state.queue.urgent = true;
                }
            }
            self.send(&mut state);
        }
        self.keep_pace().await
    }

    /// How effects become commits.
    pub(crate) fn pace(&self) -> Pace {
        self.shared.pace
    }

    /// In a test: what was queued is a commit of its own.
    async fn keep_pace(&self) -> Result<(), Dead> {
        match self.pace() {
            Pace::Merged => Ok(()),
            Pace::Each => self.flush().await,
        }
    }

    /// Queues the row of a call that changes a durable value, with the change. Cancel safe.
    pub(crate) async fn change(&self, call: NewCall, write: KvWrite) -> Result<(), Dead> {
        self.room().await?;
        {
            let mut state = self.state();
            state.queue.bytes += write.bytes();
            state.queue.kv.push(write);
            state.queue.add_call(call);
            state.queue.urgent = true;
            state.calls += 1;
            self.send(&mut state);
        }
        self.keep_pace().await
    }

    /// As [`Lane::change`], if the value is as expected, in a commit of its own: what is queued goes before it, what comes meanwhile
    /// behind it, so that nothing else falls with the condition. Returns when it is on disk. False: the value is another, and nothing was
    /// written. Cancel safe: begun, the commit comes to its end by itself.
    pub(crate) async fn change_if(&self, call: NewCall, write: KvWrite, expect: KvExpect) -> Result<bool, Dead> {
        let told = loop {
            self.flush().await?;
            let mut state = self.state();
            if state.in_flight || state.dead || !state.queue.is_empty() {
                continue;
            }
            let tried = state.tried;
            state.queue.kv.push(write);
            state.queue.add_call(call);
            state.calls += 1;
            state.in_flight = true;
            let commit = Commit { kv_expect: Some(expect), ..state.take() };
            let (tell, told) = oneshot::channel();
            let lane = self.clone();
            self.shared.commits.spawn(async move {
                // Nobody waits for it if the guest was stopped meanwhile.
                tell.send(lane.commit_if(commit, tried).await).ok();
            });
            break told;
        };
        told.await.unwrap_or(Err(Dead))
    }

    /// Commits what has a condition. The lane stands where it stood if that does not hold.
    async fn commit_if(&self, commit: Commit, tried: bool) -> Result<bool, Dead> {
        let written = self.write(commit.into()).await;
        if let Ok(Committed::Conflict) = written {
            let at = {
                let mut state = self.state();
                state.calls -= 1;
                state.tried = tried;
                state.at
            };
            self.go_on(Ok(at));
            return Ok(false);
        }
        let applied = written.and_then(|committed| self.applied(committed));
        self.go_on(applied);
        applied.map(|_| true)
    }

    /// Queues what came of a call that was under way, with the message or the request to stop that it took.
    pub(crate) fn answer(&self, idx: u32, answer: NewAnswer, taken: Option<u32>) {
        let mut state = self.state();
        state.queue.bytes += answer.result.body.len();
        state.queue.answers.push((idx, answer));
        state.queue.taken.extend(taken);
        state.queue.urgent = true;
        self.send(&mut state);
    }

    /// Notes that the agent has taken a request to stop.
    pub(crate) fn take(&self, n: u32) {
        let mut state = self.state();
        state.queue.taken.push(n);
        state.queue.urgent = true;
        self.send(&mut state);
    }

    /// Gives the task up until something comes that its wait is for; what is queued goes first.
    pub(crate) async fn release(&self, wait: Wait) -> Result<(), Dead> {
        {
            let mut state = self.state();
            state.queue.close = Some(Close::Release(wait));
            state.queue.urgent = true;
            self.send(&mut state);
        }
        self.flush().await
    }

    /// Bytes that may be large, ready for a row.
    pub(crate) async fn stored(&self, bytes: Vec<u8>) -> Result<Stored, Dead> {
        match self.shared.store.stored(&self.shared.claim.key().tenant, bytes.into()).await {
            Ok(stored) => Ok(stored),
            Err(error) => self.unserved(&error),
        }
    }

    fn enqueue(
        &self,
        event: &StreamResponse,
        digests: Vec<Digest>,
        call: Option<NewCall>,
        close: Close,
    ) -> Result<Seq, Dead> {
        let mut state = self.state();
        if state.dead {
            return Err(Dead);
        }
        match state.add(event, digests, call) {
            Ok(seq) => {
                if close == Close::Finish {
                    state.queue.close = Some(close);
                }
                self.send(&mut state);
                Ok(seq)
            }
            Err(reason) => {
                drop(state);
                self.give_up(reason)
            }
        }
    }

    /// As [`Lane::give_up`], for what the store said. Rows that do not read are no passing fault.
    fn unserved<T>(&self, error: &StoreError) -> Result<T, Dead> {
        self.state().excused |= !matches!(error, StoreError::Corrupt(_));
        self.give_up(error)
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
        {
            let mut state = self.state();
            state.queue.urgent = !state.queue.is_empty();
            self.send(&mut state);
        }
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
        if state.in_flight || state.dead || !state.queue.is_due() {
            return;
        }
        state.in_flight = true;
        self.put_on_its_way(state);
    }

    /// Puts what is queued on its way. A short log's commit is made when the writer comes to it, so that what is pushed until then goes
    /// along; a longer one may bring a body, which is too much work for the writer.
    fn put_on_its_way(&self, state: &State) {
        let lane = self.clone();
        if self.pace() == Pace::Each || !state.tail.is_short_log(state.last) {
            self.shared.commits.spawn_on(async move { lane.commit_all().await }, &self.shared.runtime);
            return;
        }
        let (maker, token) = (self.clone(), self.shared.commits.token());
        let then = move |written| {
            lane.written(written);
            drop(token);
        };
        self.shared.store.commit_late(&self.shared.claim, move || maker.make(), then);
    }

    /// Makes the commit in flight out of what is queued.
    fn make(&self) -> Option<Arc<Commit>> {
        let mut state = self.state();
        if state.dead {
            return None;
        }
        let commit = Arc::new(state.take());
        state.sent = Some(Arc::clone(&commit));
        Some(commit)
    }

    /// What came of a commit that was made late. On the writer's thread.
    fn written(&self, written: Result<Committed, StoreError>) {
        match written {
            Ok(committed) => self.go_on(self.applied(committed)),
            Err(error) => {
                let lane = self.clone();
                self.shared.commits.spawn_on(async move { lane.try_again(error).await }, &self.shared.runtime);
            }
        }
    }

    /// The store did not take a commit that was to be made late.
    async fn try_again(&self, error: StoreError) {
        let sent = self.state().sent.take();
        let again = match sent.or_else(|| self.make()) {
            Some(commit) => self.write_after(error, commit).await.and_then(|committed| self.applied(committed)),
            None => Err(Dead),
        };
        self.go_on(again);
    }

    /// Commits what is queued.
    async fn commit_all(&self) {
        let Some(commit) = self.make() else { return self.go_on(Err(Dead)) };
        let applied = self.write(commit).await.and_then(|committed| self.applied(committed));
        self.go_on(applied);
    }

    /// Notes where the log stands after a commit, or that the lane is dead, and puts the next one on its way if there is one.
    fn go_on(&self, applied: Result<Position, Dead>) {
        let mut state = self.state();
        match applied {
            Ok(at) => state.at = at,
            Err(Dead) => state.dead = true,
        }
        (state.sent, state.accepting) = (None, None);
        let suspect = if state.tried { None } else { state.suspect.take() };
        state.in_flight = !state.dead && state.queue.is_due();
        if state.in_flight {
            self.put_on_its_way(&state);
        }
        drop(state);
        if suspect.is_some() {
            // It got further, so the next one may try.
            drop(suspect);
            self.shared.store.wakes().poke_due();
        }
        self.shared.moved.notify_waiters();
    }

    /// Whether the accept that goes before the first commit was refused: then there is no task to write to.
    async fn is_refused(&self) -> bool {
        let accepting = self.state().accepting.take();
        match accepting {
            Some(accepting) => accepting.await.is_err(),
            None => false,
        }
    }

    fn applied(&self, committed: Committed) -> Result<Position, Dead> {
        match committed {
            Committed::Applied(at) => Ok(at),
            lost @ (Committed::Moved | Committed::Fenced | Committed::Conflict) => {
                tracing::debug!(task.id = %self.shared.claim.key().task, ?lost, "the lane lost its task");
                Err(Dead)
            }
        }
    }

    /// Writes, however long the store takes: a full disk or a busy store holds the task up, it does not end it.
    async fn write(&self, commit: Arc<Commit>) -> Result<Committed, Dead> {
        match self.shared.store.commit(&self.shared.claim, Arc::clone(&commit)).await {
            Ok(committed) => Ok(committed),
            Err(error) => self.write_after(error, commit).await,
        }
    }

    /// As [`Lane::write`], after a try that failed.
    async fn write_after(&self, mut error: StoreError, commit: Arc<Commit>) -> Result<Committed, Dead> {
        let mut pause = RETRY_MIN;
        loop {
            let hopeless = matches!(error, StoreError::Corrupt(_)) || self.shared.commits.is_closed();
            if hopeless || self.is_refused().await {
                return self.unserved(&error);
            }
            tracing::warn!(task.id = %self.shared.claim.key().task, %error, "a commit waits for the store");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
            match self.shared.store.commit(&self.shared.claim, Arc::clone(&commit)).await {
                Ok(committed) => return Ok(committed),
                Err(again) => error = again,
            }
        }
    }

    /// Ends an open prompt from the agent's side, with what came of its call. False: a client's message closed it first; its event is
    /// read in [`Lane::catch_up`]. The lane is empty: the agent waits.
    pub(crate) async fn close_prompt(
        &self,
        event: StreamResponse,
        now: Timestamp,
        answer: (u32, NewAnswer),
        taken: Option<u32>,
    ) -> Result<bool, Dead> {
        let Ok(body) = serde_json::to_vec(&event) else { return self.give_up("an event does not serialize") };
        let commit = Commit {
            at: self.position(),
            events: vec![NewEvent { stored: Stored::plain(body), stop: None }],
            calls: Vec::new(),
            journal: self.state().calls,
            answers: vec![answer],
            kv: Vec::new(),
            kv_expect: None,
            state: TaskState::Working,
            status_at: now,
            open: false,
            body: None,
            stop: None,
            taken: taken.into_iter().collect(),
            run: RunChange::Keep,
        };
        match self.write(commit.into()).await? {
            Committed::Applied(at) => {
                let mut state = self.state();
                (state.at, state.last) = (at, at.rev);
                match Arc::make_mut(&mut state.fold).apply(at.rev, &event) {
                    Ok(()) => Ok(true),
                    Err(error) => {
                        drop(state);
                        self.give_up(error)
                    }
                }
            }
            Committed::Moved => Ok(false),
            Committed::Fenced | Committed::Conflict => self.give_up("another holder has the task"),
        }
    }

    /// Takes over what an accept wrote while the task waited for its client.
    pub(crate) async fn catch_up(&self, at: Position) -> Result<(), Dead> {
        let stands = self.position();
        if at.ver <= stands.ver {
            return Ok(());
        }
        let mut seen = stands.rev;
        while seen < at.rev {
            seen = self.take_over(seen, at.rev).await?;
        }
        let mut state = self.state();
        state.at = at;
        state.last = at.rev;
        Ok(())
    }

    /// Folds a page of the events after one seq and up to another; returns the last of them.
    async fn take_over(&self, after: Seq, last: Seq) -> Result<Seq, Dead> {
        let events = match self.shared.store.events_after(self.shared.claim.key(), after, PAGE).await {
            Ok(events) => events,
            Err(error) => return self.unserved(&error),
        };
        let mut seen = after;
        for row in events.iter().take_while(|row| row.seq <= last) {
            let applied = serde_json::from_slice(&row.body).map_err(|error| error.to_string()).and_then(|event| {
                let mut state = self.state();
                Arc::make_mut(&mut state.fold).apply(row.seq, &event).map_err(|error| error.to_string())
            });
            if let Err(reason) = applied {
                return self.give_up(reason);
            }
            seen = row.seq;
        }
        if seen == after {
            return self.give_up(format!("the log has no event {}", after.next()));
        }
        Ok(seen)
    }

    /// Where the log stands on disk.
    pub(crate) fn position(&self) -> Position {
        self.state().at
    }
}

impl Queue {
    /// Rows that can wait do, but not for ever.
    fn is_due(&self) -> bool {
        self.urgent || self.rows() >= ROWS_MAX || self.bytes >= BYTES_MAX
    }

    fn add_call(&mut self, call: NewCall) {
        self.bytes += call.bytes();
        self.calls.push(call);
    }
}

impl State {
    /// Adds an event to the queue. The error says why it cannot be the next one.
    fn add(&mut self, event: &StreamResponse, digests: Vec<Digest>, call: Option<NewCall>) -> Result<Seq, String> {
        let body = serde_json::to_vec(event).map_err(|error| error.to_string())?;
        let seq = self.last.next();
        Arc::make_mut(&mut self.fold).apply(seq, event).map_err(|error| error.to_string())?;
        self.last = seq;
        self.tail.add(body.len(), !digests.is_empty());
        self.queue.bytes += body.len();
        let blobs = u32::try_from(digests.len()).unwrap_or(u32::MAX);
        let stored = Stored { body: body.into(), blobs, digests };
        self.queue.events.push(NewEvent { stored, stop: stop_of(event) });
        if let Some(call) = call {
            self.queue.add_call(NewCall { seq: Some(seq), ..call });
            self.calls += 1;
        }
        self.queue.urgent = true;
        Ok(seq)
    }

    /// All that is queued, as one commit.
    fn take(&mut self) -> Commit {
        let queue = std::mem::take(&mut self.queue);
        let further = self.tried && !queue.calls.is_empty();
        self.tried &= !further;
        // Before the body, which begins the tail anew.
        let stops = queue.events.last().is_some_and(|event| event.stop.is_some()) && self.tail.is_short_log(self.last);
        let status = &self.fold.status;
        let (task_state, status_at) = (status.state, status.timestamp.unwrap_or(Timestamp::from_millis(0)));
        Commit {
            at: self.at,
            events: queue.events,
            calls: queue.calls,
            journal: self.calls,
            answers: queue.answers,
            kv: queue.kv,
            kv_expect: None,
            state: task_state,
            status_at,
            open: task_state.is_interrupted(),
            body: self.tail.body_if_due(&self.fold, self.last, queue.close),
            stop: stops.then(|| Arc::clone(&self.fold)),
            taken: queue.taken,
            run: match queue.close {
                Some(Close::Finish) => RunChange::Finish,
                Some(Close::Release(wait)) => RunChange::Release(wait),
                Some(Close::No) | None if further => RunChange::Progress,
                Some(Close::No) | None => RunChange::Keep,
            },
        }
    }
}

/// The terminal or interrupted state that an event shows.
pub(crate) fn stop_of(event: &StreamResponse) -> Option<TaskState> {
    match event {
        StreamResponse::StatusUpdate(update) => Some(update.status.state).filter(|state| state.is_stop()),
        StreamResponse::Task(task) => Some(task.status.state).filter(|state| state.is_stop()),
        StreamResponse::ArtifactUpdate(_) | StreamResponse::Message(_) => None,
    }
}
