//! Answers in the shapes of 0.3.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::operation::Binding;
use crate::types::{
    Artifact, AuthenticationInfo, Content, JsonObject, ListTaskPushNotificationConfigsResponse, Message, Part, Role,
    SendMessageResponse, StreamResponse, Task, TaskArtifactUpdateEvent, TaskPushNotificationConfig, TaskState,
    TaskStatus, TaskStatusUpdateEvent,
};

/// An object that is written as 0.3 has it in a binding.
#[derive(Clone, Copy, Debug)]
pub struct Old<'a, T> {
    value: &'a T,
    binding: Binding,
    last: bool,
}

/// What operations answer: it can be written in both versions.
pub trait Answer: Serialize {
    /// Writes it as 0.3 has it.
    ///
    /// # Errors
    /// The serializer's own.
    fn write_old<S: Serializer>(&self, old: Old<'_, Self>, serializer: S) -> Result<S::Ok, S::Error>
    where
        Self: Sized;
}

impl<'a, T> Old<'a, T> {
    /// An answer, or an event with others behind it.
    #[must_use]
    pub const fn new(value: &'a T, binding: Binding) -> Old<'a, T> {
        Old { value, binding, last: false }
    }

    /// The event after which its stream ends, which 0.3 says in the event itself.
    #[must_use]
    pub const fn last(value: &'a T, binding: Binding) -> Old<'a, T> {
        Old { value, binding, last: true }
    }

    const fn of<'b, U>(&self, value: &'b U) -> Old<'b, U> {
        Old { value, binding: self.binding, last: self.last }
    }

    fn all<'b, U>(&self, values: &'b [U]) -> Vec<Old<'b, U>> {
        values.iter().map(|value| self.of(value)).collect()
    }

    const fn is_rpc(&self) -> bool {
        matches!(self.binding, Binding::JsonRpc)
    }

    /// The discriminator, which only JSON-RPC has.
    fn kind<M: SerializeMap>(&self, map: &mut M, kind: &str) -> Result<(), M::Error> {
        if self.is_rpc() { map.serialize_entry("kind", kind) } else { Ok(()) }
    }
}

/// A member that is left out when it has nothing to say.
fn some<M: SerializeMap, T: Serialize>(map: &mut M, name: &str, value: Option<T>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, &value))
}

fn list<M: SerializeMap, T: Serialize>(map: &mut M, name: &str, values: &[T]) -> Result<(), M::Error> {
    if values.is_empty() { Ok(()) } else { map.serialize_entry(name, values) }
}

/// Writes objects member by member.
macro_rules! old {
    ($($ty:ty: |$old:ident, $value:ident, $map:ident| $body:block)*) => {$(
        impl Answer for $ty {
            fn write_old<S: Serializer>(&self, $old: Old<'_, Self>, serializer: S) -> Result<S::Ok, S::Error> {
                let ($value, mut $map) = (self, serializer.serialize_map(None)?);
                $body
                $map.end()
            }
        }
    )*};
}

impl<T: Answer> Serialize for Old<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.write_old(Old { ..*self }, serializer)
    }
}

old! {
    Message: |old, message, map| {
        old.kind(&mut map, "message")?;
        map.serialize_entry("messageId", &message.message_id)?;
        some(&mut map, "contextId", message.context_id.as_ref())?;
        some(&mut map, "taskId", message.task_id.as_ref())?;
        map.serialize_entry("role", old.role(message.role))?;
        map.serialize_entry(if old.is_rpc() { "parts" } else { "content" }, &old.all(&message.parts))?;
        some(&mut map, "metadata", message.metadata.as_ref())?;
        list(&mut map, "extensions", &message.extensions)?;
        if old.is_rpc() {
            list(&mut map, "referenceTaskIds", &message.reference_task_ids)?;
        }
    }
    Part: |old, part, map| {
        match (&part.content, old.is_rpc()) {
            (Content::Text(text), _) => {
                old.kind(&mut map, "text")?;
                map.serialize_entry("text", text)?;
            }
            (Content::Data(data), rpc) => {
                old.kind(&mut map, "data")?;
                // Only objects could be data.
                let data = JsonObject::try_from(data.clone()).unwrap_or_else(|_| JsonObject::empty().with("value", data));
                if rpc {
                    map.serialize_entry("data", &data)?;
                } else {
                    map.serialize_entry("data", &JsonObject::empty().with("data", &data.into()))?;
                }
            }
            (Content::Raw(_) | Content::Url(_), _) => {
                old.kind(&mut map, "file")?;
                map.serialize_entry("file", &File { part, rpc: old.is_rpc() })?;
            }
        }
        some(&mut map, "metadata", part.metadata.as_ref())?;
    }
    Artifact: |old, artifact, map| {
        map.serialize_entry("artifactId", &artifact.artifact_id)?;
        some(&mut map, "name", artifact.name.as_ref())?;
        some(&mut map, "description", artifact.description.as_ref())?;
        map.serialize_entry("parts", &old.all(&artifact.parts))?;
        some(&mut map, "metadata", artifact.metadata.as_ref())?;
        list(&mut map, "extensions", &artifact.extensions)?;
    }
    TaskStatus: |old, status, map| {
        map.serialize_entry("state", old.state(status.state))?;
        some(&mut map, "message", status.message.as_ref().map(|message| old.of(message)))?;
        some(&mut map, "timestamp", status.timestamp.as_ref())?;
    }
    Task: |old, task, map| {
        old.kind(&mut map, "task")?;
        map.serialize_entry("id", &task.id)?;
        map.serialize_entry("contextId", &task.context_id)?;
        map.serialize_entry("status", &old.of(&task.status))?;
        list(&mut map, "artifacts", &old.all(task.artifacts.as_deref().unwrap_or_default()))?;
        list(&mut map, "history", &old.all(&task.history))?;
        some(&mut map, "metadata", task.metadata.as_ref())?;
    }
    TaskStatusUpdateEvent: |old, event, map| {
        old.kind(&mut map, "status-update")?;
        map.serialize_entry("taskId", &event.task_id)?;
        map.serialize_entry("contextId", &event.context_id)?;
        map.serialize_entry("status", &old.of(&event.status))?;
        map.serialize_entry("final", &old.last)?;
        some(&mut map, "metadata", event.metadata.as_ref())?;
    }
    TaskArtifactUpdateEvent: |old, event, map| {
        old.kind(&mut map, "artifact-update")?;
        map.serialize_entry("taskId", &event.task_id)?;
        map.serialize_entry("contextId", &event.context_id)?;
        map.serialize_entry("artifact", &old.of(&event.artifact))?;
        some(&mut map, "append", event.append.then_some(true))?;
        some(&mut map, "lastChunk", event.last_chunk.then_some(true))?;
        some(&mut map, "metadata", event.metadata.as_ref())?;
    }
    TaskPushNotificationConfig: |old, config, map| {
        let task = config.task_id.as_ref().map(AsRef::as_ref).unwrap_or_default();
        if old.is_rpc() {
            map.serialize_entry("taskId", task)?;
        } else {
            let id = config.id.as_deref().unwrap_or_default();
            map.serialize_entry("name", &format!("tasks/{task}/pushNotificationConfigs/{id}"))?;
        }
        map.serialize_entry("pushNotificationConfig", &Webhook(config))?;
    }
}

impl<T> Old<'_, T> {
    const fn role(&self, role: Role) -> &'static str {
        match (role, self.is_rpc()) {
            (Role::User, true) => "user",
            (Role::Agent | Role::Unspecified, true) => "agent",
            (role, false) => role.as_str(),
        }
    }

    const fn state(&self, state: TaskState) -> &'static str {
        match (state, self.is_rpc()) {
            (TaskState::Unspecified, true) => "unknown",
            (TaskState::Submitted, true) => "submitted",
            (TaskState::Working, true) => "working",
            (TaskState::Completed, true) => "completed",
            (TaskState::Failed, true) => "failed",
            (TaskState::Canceled, true) => "canceled",
            (TaskState::InputRequired, true) => "input-required",
            (TaskState::Rejected, true) => "rejected",
            (TaskState::AuthRequired, true) => "auth-required",
            (TaskState::Canceled, false) => "TASK_STATE_CANCELLED",
            (state, false) => state.as_str(),
        }
    }
}

/// What stands under `file` in a part.
struct File<'a> {
    part: &'a Part,
    rpc: bool,
}

impl Serialize for File<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match (&self.part.content, self.rpc) {
            (Content::Raw(bytes), true) => map.serialize_entry("bytes", &STANDARD.encode(bytes))?,
            // SDKs of 0.3 take these bytes for the base64 text of the file.
            (Content::Raw(bytes), false) => {
                map.serialize_entry("fileWithBytes", &STANDARD.encode(STANDARD.encode(bytes)))?;
            }
            (Content::Url(url), true) => map.serialize_entry("uri", url)?,
            (Content::Url(url), false) => map.serialize_entry("fileWithUri", url)?,
            (Content::Text(_) | Content::Data(_), _) => {}
        }
        some(&mut map, "mimeType", self.part.media_type.as_ref())?;
        some(&mut map, "name", self.part.filename.as_ref())?;
        map.end()
    }
}

/// A webhook without its task.
struct Webhook<'a>(&'a TaskPushNotificationConfig);

impl Serialize for Webhook<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        some(&mut map, "id", self.0.id.as_ref())?;
        map.serialize_entry("url", &self.0.url)?;
        some(&mut map, "token", self.0.token.as_ref())?;
        some(&mut map, "authentication", self.0.authentication.as_ref().map(Schemes))?;
        map.end()
    }
}

/// One scheme as a list of schemes.
struct Schemes<'a>(&'a AuthenticationInfo);

impl Serialize for Schemes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schemes", &[&self.0.scheme])?;
        some(&mut map, "credentials", self.0.credentials.as_ref())?;
        map.end()
    }
}

/// Over JSON-RPC the bare object, whose `kind` says what it is; in the proto a union.
fn union<T: Answer, S: Serializer>(inner: &Old<'_, T>, name: &'static str, serializer: S) -> Result<S::Ok, S::Error> {
    if inner.is_rpc() {
        return inner.serialize(serializer);
    }
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name, inner)?;
    map.end()
}

impl Answer for SendMessageResponse {
    fn write_old<S: Serializer>(&self, old: Old<'_, Self>, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            SendMessageResponse::Task(task) => union(&old.of(task), "task", serializer),
            SendMessageResponse::Message(message) => union(&old.of(message), "msg", serializer),
        }
    }
}

impl Answer for StreamResponse {
    fn write_old<S: Serializer>(&self, old: Old<'_, Self>, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            StreamResponse::Task(task) => union(&old.of(task), "task", serializer),
            StreamResponse::Message(message) => union(&old.of(message), "msg", serializer),
            StreamResponse::StatusUpdate(event) => union(&old.of(event), "statusUpdate", serializer),
            StreamResponse::ArtifactUpdate(event) => union(&old.of(event), "artifactUpdate", serializer),
        }
    }
}

impl Answer for ListTaskPushNotificationConfigsResponse {
    fn write_old<S: Serializer>(&self, old: Old<'_, Self>, serializer: S) -> Result<S::Ok, S::Error> {
        let configs = old.all(&self.configs);
        if old.is_rpc() {
            return configs.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        list(&mut map, "configs", &configs)?;
        some(&mut map, "nextPageToken", Some(&self.next_page_token).filter(|token| !token.is_empty()))?;
        map.end()
    }
}

/// 0.3 has no list of tasks; what is never asked for needs no other shape.
impl Answer for crate::types::ListTasksResponse {
    fn write_old<S: Serializer>(&self, _: Old<'_, Self>, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}
