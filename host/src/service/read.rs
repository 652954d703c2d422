//! GetTask, ListTasks, SubscribeToTask: all that only looks.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kennel_protocol::types::{
    GetTaskRequest, JsonObject, JsonValue, ListTasksRequest, ListTasksResponse, SubscribeToTaskRequest, Task,
};
use kennel_protocol::{AgentId, Caller, Error, Seq, TaskId, Timestamp};
use kennel_store::{Artifacts, ListFilter, Room, Scope, StoreError, TaskView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Held, Service, store_error};
use crate::stream::{TaskStream, Until};
use crate::work::{FAMILY_KEY, RequestFacts};

/// Tasks in a page when the client does not say.
const PAGE_SIZE: i32 = 50;

/// Stored bytes of large tasks after which a page ends.
const PAGE_BYTES_MAX: u64 = 16 << 20;

/// Where a page ended. Bound to the filters and the caller: with others it is refused.
#[derive(Serialize, Deserialize)]
struct Cursor {
    /// Status time of the last task.
    t: i64,
    /// Its id.
    i: TaskId,
    /// Begin of a hash over everything that must not change between pages.
    f: String,
}

impl Service {
    /// GetTask.
    pub async fn get_task(
        &self,
        caller: &Caller,
        agent: &AgentId,
        request: &GetTaskRequest,
    ) -> Result<Held<Task>, Error> {
        let view = self.view(&Self::scope(caller, agent), &request.id).await?;
        self.render(&view, length(request.history_length), Artifacts::ShowAny).await
    }

    /// A view as a Task with all its contents.
    pub(super) async fn render(
        &self,
        view: &TaskView,
        history: Option<u32>,
        artifacts: Artifacts,
    ) -> Result<Held<Task>, Error> {
        self.whole(view, history, artifacts).await.map_err(|error| store_error(&error))
    }

    async fn whole(
        &self,
        view: &TaskView,
        history: Option<u32>,
        artifacts: Artifacts,
    ) -> Result<Held<Task>, StoreError> {
        let mut task = view.task(history, artifacts);
        task.metadata = family(view);
        let mut room = view.room.clone();
        if view.blobs {
            room = room.and(self.store.complete_for_client(&view.row.key.tenant, &mut task).await?);
        }
        Ok(Held { value: task, room })
    }

    /// ListTasks.
    pub async fn list_tasks(
        &self,
        caller: &Caller,
        agent: &AgentId,
        request: &ListTasksRequest,
    ) -> Result<Held<ListTasksResponse>, Error> {
        let scope = Self::scope(caller, agent);
        let page_size = request.page_size.unwrap_or(PAGE_SIZE);
        let fingerprint = fingerprint(&scope, request);
        let after = request.page_token.as_deref().filter(|token| !token.is_empty());
        let filter = ListFilter {
            context: request.context_id.as_ref().map(ToString::to_string),
            state: request.status,
            since: request.status_timestamp_after,
            after: after.map(|token| read_token(token, &fingerprint)).transpose()?,
            limit: u32::try_from(page_size).unwrap_or(0),
        };
        let page = self.store.list(&scope, &filter).await.map_err(|error| store_error(&error))?;
        let artifacts = if request.include_artifacts == Some(true) { Artifacts::Show } else { Artifacts::Omit };
        let (mut tasks, mut room, mut more, mut last) = (Vec::new(), Room::default(), page.more, None);
        for view in &page.tasks {
            // Large tasks make a short page: the next one begins behind the last that is shown.
            if room.bytes() >= PAGE_BYTES_MAX {
                more = true;
                break;
            }
            match self.whole(view, length(request.history_length), artifacts).await {
                Ok(shown) => {
                    tasks.push(shown.value);
                    room = room.and(shown.room);
                    last = Some(view);
                }
                Err(StoreError::Crowded { .. }) if !tasks.is_empty() => {
                    more = true;
                    break;
                }
                Err(error) => return Err(store_error(&error)),
            }
        }
        let last = last.filter(|_| more);
        let next_page_token = last.map(|view| write_token(view, fingerprint)).unwrap_or_default();
        let total_size = i32::try_from(page.total).unwrap_or(i32::MAX);
        Ok(Held { value: ListTasksResponse { tasks, next_page_token, page_size, total_size }, room })
    }

    /// SubscribeToTask. `last_event_id` is what the client says it has seen, as it stands in the header.
    pub async fn subscribe(
        &self,
        caller: &Caller,
        agent: &AgentId,
        request: &SubscribeToTaskRequest,
        last_event_id: Option<&str>,
    ) -> Result<TaskStream, Error> {
        let view = self.view(&Self::scope(caller, agent), &request.id).await?;
        let finished = view.row.state.is_terminal();
        let seen = last_event_id.and_then(|id| id.trim().parse().ok()).map(Seq::new);
        let resumes = seen.is_some_and(|seen| seen < view.rev || (seen == view.rev && !finished));
        let key = view.row.key.clone();
        let (after, first) = match seen.filter(|_| resumes) {
            Some(seen) => (seen, None),
            None if finished => {
                let state = view.row.state;
                return Err(Error::unsupported(format!("task {} is over ({state}); get it instead", request.id)));
            }
            None => (view.rev, Some(self.render(&view, None, Artifacts::ShowAny).await?)),
        };
        TaskStream::new(
            std::sync::Arc::clone(&self.store),
            key,
            after,
            first.map(|held| (held.value, held.room)),
            Until::Terminal,
        )
        .map_err(|error| store_error(&error))
    }
}

/// Validated before: not negative.
pub(super) fn length(history_length: Option<i32>) -> Option<u32> {
    history_length.map(|length| u32::try_from(length).unwrap_or(0))
}

/// The tasks around a task, as its metadata tells them: `{"parent":…,"children":[…]}`; none if it stands alone.
fn family(view: &TaskView) -> Option<JsonObject> {
    let parent = RequestFacts::read(&view.row.request).lineage.parent;
    if parent.is_none() && view.children.is_empty() {
        return None;
    }
    let mut members = serde_json::Map::new();
    if let Some(parent) = parent {
        members.insert("parent".to_owned(), parent.as_str().into());
    }
    if !view.children.is_empty() {
        let children: Vec<&str> = view.children.iter().map(|child| child.as_str()).collect();
        members.insert("children".to_owned(), children.into());
    }
    let family = JsonValue::from_value(&serde_json::Value::Object(members));
    Some(JsonObject::empty().with(FAMILY_KEY, &family))
}

fn fingerprint(scope: &Scope, request: &ListTasksRequest) -> String {
    let bound = serde_json::json!([
        scope.tenant,
        scope.owner,
        scope.agent,
        request.context_id,
        request.status,
        request.status_timestamp_after.map(|since| since.millis()),
    ]);
    let hash = Sha256::digest(bound.to_string());
    URL_SAFE_NO_PAD.encode(hash.get(..9).unwrap_or_default())
}

fn write_token(view: &TaskView, fingerprint: String) -> String {
    let cursor = Cursor { t: view.row.status_at.millis(), i: view.row.key.task.clone(), f: fingerprint };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).unwrap_or_default())
}

fn read_token(token: &str, fingerprint: &str) -> Result<(Timestamp, TaskId), Error> {
    let cursor: Option<Cursor> =
        URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    match cursor {
        Some(cursor) if cursor.f == fingerprint => Ok((Timestamp::from_millis(cursor.t), cursor.i)),
        Some(_) => Err(Error::invalid("pageToken", "belongs to a list with other filters; begin without a token")),
        None => Err(Error::invalid("pageToken", "is not a token of this server")),
    }
}
