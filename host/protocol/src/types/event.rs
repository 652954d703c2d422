//! What happens to a task, and the unions in which answers and events travel.

use super::json::JsonObject;
use super::message::{Artifact, Message};
use super::task::{Task, TaskStatus};
use crate::ids::{ContextId, TaskId};

object! {
    /// The status of a task has changed, or the agent said something while it works.
    pub struct TaskStatusUpdateEvent {
        /// The task.
        #[wire("taskId", required)]
        pub task_id: TaskId,
        /// Its conversation.
        #[wire("contextId", required)]
        pub context_id: ContextId,
        /// The new status.
        #[wire("status", required)]
        pub status: TaskStatus,
        /// Keys are URIs of extensions by convention.
        #[wire("metadata", plain)]
        pub metadata: Option<JsonObject>,
    }

    /// An artifact has been made, replaced or continued.
    pub struct TaskArtifactUpdateEvent {
        /// The task.
        #[wire("taskId", required)]
        pub task_id: TaskId,
        /// Its conversation.
        #[wire("contextId", required)]
        pub context_id: ContextId,
        /// The artifact, or a piece of it.
        #[wire("artifact", required)]
        pub artifact: Artifact,
        /// True: the parts join those sent under the same id. False: create or replace.
        #[wire("append", plain)]
        pub append: bool,
        /// The final piece of this artifact.
        #[wire("lastChunk", plain)]
        pub last_chunk: bool,
        /// Keys are URIs of extensions by convention.
        #[wire("metadata", plain)]
        pub metadata: Option<JsonObject>,
    }
}

union! {
    /// One event of a stream, of a push notification, and of the store.
    pub enum StreamResponse {
        /// A snapshot of the task; always the first event of a stream about a task.
        #[wire("task", "task")]
        Task(Task),
        /// The whole answer of an agent that made no task.
        #[wire("message", "message")]
        Message(Message),
        /// A change of status.
        #[wire("statusUpdate", "status_update")]
        StatusUpdate(TaskStatusUpdateEvent),
        /// A piece of a result.
        #[wire("artifactUpdate", "artifact_update")]
        ArtifactUpdate(TaskArtifactUpdateEvent),
    }
}

union! {
    /// The answer to SendMessage.
    pub enum SendMessageResponse {
        /// The task that was made or continued.
        #[wire("task", "task")]
        Task(Task),
        /// The answer of an agent that made no task.
        #[wire("message", "message")]
        Message(Message),
    }
}
