//! A task and where it stands.

use super::json::JsonObject;
use super::message::{Artifact, Message};
use crate::ids::{ContextId, TaskId};
use crate::timestamp::Timestamp;

proto_enum! {
    /// Where a task stands. Which step leads where is in [`state`](crate::state).
    pub enum TaskState {
        /// Not said; never written by this server.
        Unspecified = 0 "TASK_STATE_UNSPECIFIED",
        /// Accepted, not yet started.
        Submitted = 1 "TASK_STATE_SUBMITTED",
        /// The agent works on it.
        Working = 2 "TASK_STATE_WORKING",
        /// Ended: done.
        Completed = 3 "TASK_STATE_COMPLETED",
        /// Ended: it went wrong.
        Failed = 4 "TASK_STATE_FAILED",
        /// Ended: somebody asked to stop.
        Canceled = 5 "TASK_STATE_CANCELED",
        /// Waits for a message of the client.
        InputRequired = 6 "TASK_STATE_INPUT_REQUIRED",
        /// Ended: the agent does not take it.
        Rejected = 7 "TASK_STATE_REJECTED",
        /// Waits for an authorization.
        AuthRequired = 8 "TASK_STATE_AUTH_REQUIRED",
    }
}

impl TaskState {
    /// Whether the task has ended. Nothing about it changes any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            TaskState::Completed | TaskState::Failed | TaskState::Canceled | TaskState::Rejected => true,
            TaskState::Unspecified
            | TaskState::Submitted
            | TaskState::Working
            | TaskState::InputRequired
            | TaskState::AuthRequired => false,
        }
    }

    /// Whether the task waits for somebody outside.
    #[must_use]
    pub const fn is_interrupted(self) -> bool {
        match self {
            TaskState::InputRequired | TaskState::AuthRequired => true,
            TaskState::Unspecified
            | TaskState::Submitted
            | TaskState::Working
            | TaskState::Completed
            | TaskState::Failed
            | TaskState::Canceled
            | TaskState::Rejected => false,
        }
    }

    /// Whether a blocking SendMessage returns here: terminal or interrupted.
    #[must_use]
    pub const fn is_stop(self) -> bool {
        self.is_terminal() || self.is_interrupted()
    }
}

object! {
    /// The state of a task at one moment, with what the agent says about it.
    #[derive(Default)]
    pub struct TaskStatus {
        /// Where the task stands.
        #[wire("state", required)]
        pub state: TaskState,
        /// From the agent.
        #[wire("message", plain)]
        pub message: Option<Message>,
        /// When the status was recorded. A server always sets it; lists are ordered by it.
        #[wire("timestamp", plain)]
        pub timestamp: Option<Timestamp>,
    }

    /// A unit of work.
    pub struct Task {
        /// Made by the server.
        #[wire("id", required)]
        pub id: TaskId,
        /// The conversation it belongs to.
        #[wire("contextId", required)]
        pub context_id: ContextId,
        /// Where it stands.
        #[wire("status", required)]
        pub status: TaskStatus,
        /// What it made. None: not included, so not written. Some: written, even if empty.
        #[wire("artifacts", plain)]
        pub artifacts: Option<Vec<Artifact>>,
        /// Messages of the exchange, oldest first.
        #[wire("history", plain)]
        pub history: Vec<Message>,
        /// Keys are URIs of extensions by convention.
        #[wire("metadata", plain)]
        pub metadata: Option<JsonObject>,
    }
}

absent_as_default!([] TaskStatus);
