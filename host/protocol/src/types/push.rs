//! Webhooks of a task and the requests about them.

use crate::ids::TaskId;

object! {
    /// A webhook that gets the events of a task.
    #[derive(Default)]
    pub struct TaskPushNotificationConfig {
        /// The tenant segment of the interface, if it has one.
        #[wire("tenant", plain)]
        pub tenant: Option<String>,
        /// Kept if the client brings one; else the server makes one.
        #[wire("id", plain)]
        pub id: Option<String>,
        /// The task; empty when the config comes inside SendMessage.
        #[wire("taskId", plain)]
        pub task_id: Option<TaskId>,
        /// Where the events are posted.
        #[wire("url", required)]
        pub url: String,
        /// The client's own value, by which it knows our posts.
        #[wire("token", plain)]
        pub token: Option<String>,
        /// What to send as `Authorization`.
        #[wire("authentication", plain)]
        pub authentication: Option<AuthenticationInfo>,
    }

    /// What to send as `Authorization`.
    #[derive(Default)]
    pub struct AuthenticationInfo {
        /// One HTTP authentication scheme, such as `Bearer`.
        #[wire("scheme", required)]
        pub scheme: String,
        /// What follows the scheme.
        #[wire("credentials", plain)]
        pub credentials: Option<String>,
    }

    /// GetTaskPushNotificationConfig.
    pub struct GetTaskPushNotificationConfigRequest {
        /// The tenant segment of the interface, if it has one.
        #[wire("tenant", plain)]
        pub tenant: Option<String>,
        /// The task.
        #[wire("taskId", required)]
        pub task_id: TaskId,
        /// The config.
        #[wire("id", required)]
        pub id: String,
    }

    /// DeleteTaskPushNotificationConfig.
    pub struct DeleteTaskPushNotificationConfigRequest {
        /// The tenant segment of the interface, if it has one.
        #[wire("tenant", plain)]
        pub tenant: Option<String>,
        /// The task.
        #[wire("taskId", required)]
        pub task_id: TaskId,
        /// The config.
        #[wire("id", required)]
        pub id: String,
    }

    /// ListTaskPushNotificationConfigs.
    pub struct ListTaskPushNotificationConfigsRequest {
        /// The task.
        #[wire("taskId", required)]
        pub task_id: TaskId,
        /// Configs per page. Its presence is not tracked by the proto: 0 is none.
        #[wire("pageSize", plain)]
        pub page_size: Option<i32>,
        /// Where the previous page ended; opaque.
        #[wire("pageToken", plain)]
        pub page_token: Option<String>,
        /// The tenant segment of the interface, if it has one.
        #[wire("tenant", plain)]
        pub tenant: Option<String>,
    }

    /// The answer to ListTaskPushNotificationConfigs.
    #[derive(Default)]
    pub struct ListTaskPushNotificationConfigsResponse {
        /// One page.
        #[wire("configs", plain)]
        pub configs: Vec<TaskPushNotificationConfig>,
        /// Where this page ended; empty on the last one.
        #[wire("nextPageToken", plain)]
        pub next_page_token: String,
    }
}

absent_as_none!(AuthenticationInfo, TaskPushNotificationConfig);
