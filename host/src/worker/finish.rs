//! How the end of a run becomes the end of its task.

use std::sync::{Mutex, PoisonError};

use kennel_protocol::state::{self, Step};
use kennel_protocol::types::{StreamResponse, TaskState};
use kennel_sandbox::call::{Draft, ErrorKind, GuestError};
use kennel_sandbox::{End, Outcome};

use super::activation::Facts;
use super::artifacts::{Artifacts, Piece};
use super::lane::{Dead, Lane};
use super::progress::ProgressGate;

/// What the end of a task is written with.
pub(crate) struct Ending<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) lane: &'a Lane,
    pub(crate) gate: &'a ProgressGate,
    /// Number of the next id.
    pub(crate) call: u32,
}

/// The last event of a task, or that the run leaves none.
pub(crate) enum Last {
    /// This state, with this message.
    State(Step, TaskState, Option<Draft>),
    /// FAILED with this error.
    Failed(GuestError),
    /// The run was given up: somebody runs the task again.
    None,
}

/// What a run's end means for a task. A bare reply or a checkpoint has been dealt with by the caller.
pub(crate) fn last(end: End, canceled: bool) -> Last {
    match end {
        End::Outcome(Outcome::Completed(message)) => Last::State(Step::Complete, TaskState::Completed, message),
        End::Outcome(Outcome::Rejected(message)) => Last::State(Step::Reject, TaskState::Rejected, Some(message)),
        End::Outcome(Outcome::Canceled(message)) => Last::State(Step::Cancel, TaskState::Canceled, message),
        End::Outcome(Outcome::Reply(_)) => Last::Failed(GuestError::new(
            ErrorKind::Failed,
            "invalid-agent-response",
            "The agent answered with a bare message, but it had opened a task.",
        )),
        End::Outcome(Outcome::Checkpoint(_)) => Last::None,
        End::Error(error) if canceled && error.kind == ErrorKind::Canceled => {
            Last::State(Step::Cancel, TaskState::Canceled, None)
        }
        End::Error(error) => Last::Failed(error),
        End::Trap(trap) => Last::Failed(GuestError::new(ErrorKind::Failed, trap.reason.name(), trap.public)),
        End::Stopped | End::Abandoned | End::HostFault => Last::None,
    }
}

impl Ending<'_> {
    /// Writes the last event and waits until it is on disk. What the agent had queued goes first.
    pub(crate) async fn write(&self, artifacts: &Mutex<Artifacts>, last: Last) -> Result<(), Dead> {
        let event = match last {
            Last::None => return Ok(()),
            Last::State(step, state, message) => self.status(step, state, message),
            Last::Failed(error) => self.failed(&error),
        };
        self.gate.settle().await?;
        // An artifact still open when the run ends is closed by the host. No call did it, so a repetition would do it again: it
        // goes with the end.
        let closed = std::iter::from_fn(|| close_next(artifacts));
        let mut events: Vec<StreamResponse> =
            closed.map(|piece| self.facts.subject.artifact(piece.artifact, piece.append, true)).collect();
        events.push(event);
        self.lane.push_last(events).await?;
        self.lane.flush().await
    }

    fn status(&self, step: Step, state: TaskState, message: Option<Draft>) -> StreamResponse {
        let from = self.lane.with_fold(|fold, _| fold.status.state);
        if let Err(illegal) = state::next(Some(from), step) {
            return self.failed(&GuestError::new(ErrorKind::Failed, "invalid-agent-response", illegal.to_string()));
        }
        let message = message.map(|draft| self.facts.subject.message(draft, self.call));
        self.facts.subject.status(state, message, self.facts.store.clock().now())
    }

    fn failed(&self, error: &GuestError) -> StreamResponse {
        self.facts.subject.failed(error, self.call, self.facts.store.clock().now())
    }
}

fn close_next(artifacts: &Mutex<Artifacts>) -> Option<Piece> {
    let mut artifacts = artifacts.lock().unwrap_or_else(PoisonError::into_inner);
    let id = artifacts.next_open()?;
    artifacts.close(&id, Vec::new()).ok()
}
