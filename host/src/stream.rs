//! A task's events as they are committed: one query, "events after seq", and a wait between two looks.
//!
//! No queue of bodies per subscriber: a slow reader reads later, it costs nothing meanwhile. Never here: SSE text, the worker.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use kennel_protocol::Seq;
use kennel_protocol::types::{StreamResponse, Task, TaskState};
use kennel_store::{EventRow, Room, Store, StoreError, Subscription, TaskKey};

/// Events read at once.
const BATCH: u32 = 64;

/// When a stream ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At the end of the task only: subscriptions.
    Terminal,
    /// Also when the task asks for input: the stream of a send. It stays open for an authorization, which may come from elsewhere.
    TerminalOrInput,
}

impl Until {
    fn ends_at(self, state: TaskState) -> bool {
        state.is_terminal() || (self == Until::TerminalOrInput && state == TaskState::InputRequired)
    }
}

/// One thing a subscriber sees.
#[derive(Clone, Debug)]
pub struct StreamItem {
    /// Position to resume after.
    pub seq: Seq,
    /// A StreamResponse as JSON.
    pub body: Bytes,
}

/// Why a stream broke off.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log has a hole: never shown, because a subscriber could not tell.
    #[error("event {found} follows {after}")]
    Gap {
        /// The last one given out.
        after: Seq,
        /// The next one found.
        found: Seq,
    },
}

/// A task's events from some point on.
pub struct TaskStream {
    store: Arc<Store>,
    key: TaskKey,
    subscription: Subscription,
    first: Option<StreamItem>,
    /// The last event given out or read.
    after: Seq,
    read: VecDeque<EventRow>,
    until: Until,
    over: bool,
}

impl TaskStream {
    /// Begins after a seq. `first`: the Task, as of that seq, that opens the stream, and its room.
    pub fn new(
        store: Arc<Store>,
        key: TaskKey,
        after: Seq,
        first: Option<(Task, Room)>,
        until: Until,
    ) -> Result<TaskStream, StoreError> {
        let over = first.as_ref().is_some_and(|(task, _)| until.ends_at(task.status.state));
        let first = first.map(|(task, room)| item(after, task, room)).transpose()?;
        let subscription = store.subscribe(&key);
        Ok(TaskStream { store, key, subscription, first, after, read: VecDeque::new(), until, over })
    }

    /// The next item; none: the stream is over. Cancel safe: an item is taken only when it is returned.
    pub async fn next(&mut self) -> Result<Option<StreamItem>, StreamError> {
        loop {
            let stored = self.next_stored().await?;
            if stored.is_some() || self.over {
                return Ok(stored);
            }
            self.subscription.changed().await;
        }
    }

    /// The next item that is on disk already; none: there is none yet, or the stream is over. Cancel safe like [`TaskStream::next`].
    pub async fn next_stored(&mut self) -> Result<Option<StreamItem>, StreamError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.read.is_empty() && !self.over {
            self.read = self.store.events_after(&self.key, self.after, BATCH).await?.into();
        }
        self.read.pop_front().map(|row| self.take(row)).transpose()
    }

    /// Whether no item comes any more.
    pub fn is_over(&self) -> bool {
        self.over && self.first.is_none()
    }

    fn take(&mut self, row: EventRow) -> Result<StreamItem, StreamError> {
        if row.seq != self.after.next() {
            return Err(StreamError::Gap { after: self.after, found: row.seq });
        }
        self.after = row.seq;
        if row.stop.is_some_and(|state| self.until.ends_at(state)) {
            self.over = true;
            self.read.clear();
        }
        Ok(StreamItem { seq: row.seq, body: row.body })
    }
}

fn item(seq: Seq, task: Task, room: Room) -> Result<StreamItem, StoreError> {
    let body = serde_json::to_vec(&StreamResponse::Task(task));
    let body = body.map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(StreamItem { seq, body: room.keep(body) })
}

/// Waits for the first stop after client message `n` was taken and returns its seq. Cancel safe: reads only.
pub(crate) async fn stop_after(store: &Store, key: &TaskKey, n: u32, at_seq: Seq) -> Result<Seq, StoreError> {
    let mut subscription = store.subscribe(key);
    // The message's own event may be the stop: an answer that did not fit repeats the prompt at once.
    let mut seen = Seq::new(at_seq.get().saturating_sub(1));
    loop {
        let (stop, rev) = store.stop_after(key, n, seen).await?;
        if let Some(stop) = stop {
            return Ok(stop);
        }
        seen = rev;
        subscription.stopped().await;
    }
}

/// Waits until the task is terminal. Cancel safe: reads only.
pub(crate) async fn terminal(store: &Store, key: &TaskKey) -> Result<(), StoreError> {
    let mut subscription = store.subscribe(key);
    let mut seen = Seq::new(0);
    loop {
        // No message has this number, so only a terminal state counts.
        let (stop, rev) = store.stop_after(key, u32::MAX, seen).await?;
        if stop.is_some() {
            return Ok(());
        }
        seen = rev;
        subscription.stopped().await;
    }
}
