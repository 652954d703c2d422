//! Progress without a flood: of calls that carry only progress, at most one in 250 ms becomes an event: the newest, the last one always.
//!
//! The row of a call whose event is held back is written with the next effect. If the host ends before the event is, the next activation
//! repeats that row, which has no event, and shows it as soon as its work is live.

use std::sync::Arc;
use std::time::Duration;

use kennel_protocol::types::StreamResponse;
use kennel_store::NewCall;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::lane::{Close, Dead, Lane, When};
use crate::config::Pace;

/// Progress events of a task are at least this far apart.
const INTERVAL: Duration = Duration::from_millis(250);

/// Holds back what comes too soon. Clones share the gate.
#[derive(Clone)]
pub(crate) struct ProgressGate {
    lane: Lane,
    timers: TaskTracker,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    sent: Option<Instant>,
    held: Option<StreamResponse>,
    timed: bool,
}

impl ProgressGate {
    pub(crate) fn new(lane: Lane, timers: TaskTracker) -> ProgressGate {
        ProgressGate { lane, timers, state: Arc::default() }
    }

    /// Sends the event now, or keeps it as the newest until its time has come. The row of its call is queued in either case.
    pub(crate) async fn offer(&self, event: StreamResponse, call: NewCall) -> Result<(), Dead> {
        let mut state = self.state.lock().await;
        let due = state.sent.map(|sent| sent + INTERVAL).filter(|_| self.lane.pace() == Pace::Merged);
        match due.filter(|due| *due > Instant::now()) {
            None => {
                state.sent = Some(Instant::now());
                // Its time has come as well, and this is newer.
                state.held = None;
                self.lane.push_with(event, Some(call), Close::No).await.map(drop)
            }
            Some(due) => {
                self.lane.record(call, When::Later).await?;
                state.held = Some(event);
                if !state.timed {
                    state.timed = true;
                    let gate = self.clone();
                    self.timers.spawn(async move { gate.send_at(due).await });
                }
                Ok(())
            }
        }
    }

    async fn send_at(&self, due: Instant) {
        tokio::time::sleep_until(due).await;
        let mut state = self.state.lock().await;
        state.timed = false;
        if let Some(event) = state.held.take() {
            state.sent = Some(Instant::now());
            // A dead lane has told the activation already.
            self.lane.push(event, Close::No).await.ok();
        }
    }

    /// A recorded call is repeated: this is held back after it, as it was then. None: what was held has been sent before it.
    pub(crate) async fn repeat(&self, held: Option<StreamResponse>) {
        self.state.lock().await.held = held;
    }

    /// Sends what is held: before the state changes, so that nothing of the old state comes after.
    pub(crate) async fn settle(&self) -> Result<(), Dead> {
        let mut state = self.state.lock().await;
        match state.held.take().filter(|event| !self.is_shown(event)) {
            Some(event) => self.lane.push(event, Close::No).await.map(drop),
            None => Ok(()),
        }
    }

    /// Whether the task's status is this very one: a former activation had the time to send it.
    fn is_shown(&self, event: &StreamResponse) -> bool {
        let StreamResponse::StatusUpdate(update) = event else { return false };
        let id = update.status.message.as_ref().map(|message| &message.message_id);
        self.lane
            .with_fold(|fold, _| id.is_some() && fold.status.message.as_ref().map(|message| &message.message_id) == id)
    }
}
