//! CancelTask: a row in the inbox, and the wait for what comes of it.

use std::time::Duration;

use bytes::Bytes;
use kennel_protocol::types::{
    CancelTaskRequest, JsonObject, StreamResponse, Task, TaskState, TaskStatus, TaskStatusUpdateEvent,
};
use kennel_protocol::{AgentId, Caller, Error};
use kennel_store::{Artifacts, CancelOrder, Canceling};

use super::{Held, Service, store_error};
use crate::stream;
use crate::work::{CancelBody, Source};

/// On top of the grace: for the end by force to be written and read.
const BEYOND_GRACE: Duration = Duration::from_secs(2);

impl Service {
    /// CancelTask: answered when the task is over, or after the grace and a little with the state reached.
    pub async fn cancel_task(
        &self,
        caller: &Caller,
        agent: &AgentId,
        request: &CancelTaskRequest,
    ) -> Result<Held<Task>, Error> {
        let scope = Self::scope(caller, agent);
        let view = self.view(&scope, &request.id).await?;
        let now = self.store.clock().now();
        let event = StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
            task_id: request.id.clone(),
            context_id: view.row.context.clone(),
            status: TaskStatus { state: TaskState::Canceled, message: None, timestamp: Some(now) },
            metadata: None,
        });
        let body = CancelBody {
            source: Source::Client,
            reason: request.metadata.as_ref().and_then(reason),
            metadata: request.metadata.clone(),
        };
        let order = CancelOrder {
            key: view.row.key.clone(),
            owner: scope.owner.clone(),
            agent: agent.clone(),
            body: bytes_of(&body)?,
            event: bytes_of(&event)?,
            at: now,
        };
        match self.store.cancel(order).await.map_err(|error| store_error(&error))? {
            Canceling::NotFound => return Err(Error::task_not_found(&request.id)),
            Canceling::Terminal(state) => return Err(Error::task_not_cancelable(&request.id, state)),
            Canceling::Ended => {}
            Canceling::Asked => {
                let wait = self.limits.task.cancel_grace + BEYOND_GRACE;
                let over = self.closing.run_until_cancelled(stream::terminal(&self.store, &view.row.key));
                if let Ok(Some(Err(error))) = tokio::time::timeout(wait, over).await {
                    return Err(store_error(&error));
                }
            }
        }
        let view = self.view(&scope, &request.id).await?;
        self.render(&view, None, Artifacts::ShowAny).await
    }
}

/// The reason in words, where clients put it: the member `reason` of the request's metadata.
fn reason(metadata: &JsonObject) -> Option<String> {
    metadata.member("reason")?.to_value().ok()?.as_str().map(str::to_owned)
}

pub(super) fn bytes_of<T: serde::Serialize>(value: &T) -> Result<Bytes, Error> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| {
        tracing::error!(%error, "a value of our own does not serialize");
        Error::internal()
    })
}
