//! The requests about messages and tasks, and the answer to ListTasks. Their rules are in `validate`.

use super::json::JsonObject;
use super::message::Message;
use super::push::TaskPushNotificationConfig;
use super::task::{Task, TaskState};
use crate::ids::{ContextId, TaskId};
use crate::timestamp::Timestamp;

object! {
    /// SendMessage and SendStreamingMessage.
    #[derive(Default)]
    pub struct SendMessageRequest {
        /// The tenant segment of the interface, if it has one.
        #[wire("tenant", plain)]
        pub tenant: Option<String>,
        /// What the client says.
        #[wire("message", required)]
        pub message: Message,
        /// How the client wants its answer.
        #[wire("configuration", plain)]
        pub configuration: Option<SendMessageConfiguration>,
        /// Keys are URIs of extensions by convention.
        #[wire("metadata", plain)]
        pub metadata: Option<JsonObject>,
    }

    /// How a client wants its answer.
    #[derive(Default)]
    pub struct SendMessageConfiguration {
        /// Media types that the client takes; empty means any.
        #[wire("acceptedOutputModes", plain)]
        pub accepted_output_modes: Vec<String>,
        /// A webhook to register for the task.
        #[wire("taskPushNotificationConfig", plain)]
        pub task_push_notification_config: Option<TaskPushNotificationConfig>,
        /// Messages of history wanted at most; none leaves it to the server.
        #[wire("historyLength", plain)]
        pub history_length: Option<i32>,
        /// True: answer as soon as the task exists.
        #[wire("returnImmediately", plain)]
        pub return_immediately: bool,
    }

    /// GetTask.
    pub struct GetTaskRequest {
        /// The tenant segment of the interface, if it has one.
        #[wire("tenant", plain)]
        pub tenant: Option<String>,
        /// The task.
        #[wire("id", required)]
        pub id: TaskId,
        /// Messages of history wanted at most; none leaves it to the server.
        #[wire("historyLength", plain)]
        pub history_length: Option<i32>,
    }

    /// ListTasks.
    #[derive(Default)]
    pub struct ListTasksRequest {
        /// The tenant segment of the interface, if it has one.
        #[wire("tenant", plain)]
        pub tenant: Option<String>,
        /// Only tasks of this conversation.
        #[wire("contextId", plain)]
        pub context_id: Option<ContextId>,
        /// Only tasks in this state.
        #[wire("status", plain)]
        pub status: Option<TaskState>,
        /// Tasks per page, 1 to 100; none means 50.
        #[wire("pageSize", plain)]
        pub page_size: Option<i32>,
        /// Where the previous page ended; opaque.
        #[wire("pageToken", plain)]
        pub page_token: Option<String>,
        /// Messages of history wanted per task.
        #[wire("historyLength", plain)]
        pub history_length: Option<i32>,
        /// Only tasks whose status is of this moment or later.
        #[wire("statusTimestampAfter", plain)]
        pub status_timestamp_after: Option<Timestamp>,
        /// Whether artifacts are wanted; none means no.
        #[wire("includeArtifacts", plain)]
        pub include_artifacts: Option<bool>,
    }

    /// The answer to ListTasks. Every field is always written.
    #[derive(Default)]
    pub struct ListTasksResponse {
        /// One page, newest status first.
        #[wire("tasks", required)]
        pub tasks: Vec<Task>,
        /// Where this page ended; empty on the last one.
        #[wire("nextPageToken", required)]
        pub next_page_token: String,
        /// The page size used.
        #[wire("pageSize", required)]
        pub page_size: i32,
        /// Matches of the filters before paging.
        #[wire("totalSize", required)]
        pub total_size: i32,
    }

    /// CancelTask.
    pub struct CancelTaskRequest {
        /// The tenant segment of the interface, if it has one.
        #[wire("tenant", plain)]
        pub tenant: Option<String>,
        /// The task.
        #[wire("id", required)]
        pub id: TaskId,
        /// Keys are URIs of extensions by convention.
        #[wire("metadata", plain)]
        pub metadata: Option<JsonObject>,
    }

    /// SubscribeToTask.
    pub struct SubscribeToTaskRequest {
        /// The tenant segment of the interface, if it has one.
        #[wire("tenant", plain)]
        pub tenant: Option<String>,
        /// The task.
        #[wire("id", required)]
        pub id: TaskId,
    }

    /// GetExtendedAgentCard.
    #[derive(Default)]
    pub struct GetExtendedAgentCardRequest {
        /// The tenant segment of the interface, if it has one.
        #[wire("tenant", plain)]
        pub tenant: Option<String>,
    }
}

absent_as_none!(SendMessageConfiguration);
