//! The events that a host writes for a task, as A2A objects.

use kennel_protocol::types::Content;
use kennel_protocol::types::{
    Artifact, JsonObject, JsonValue, Message, Part, Role, StreamResponse, TaskArtifactUpdateEvent, TaskState,
    TaskStatus, TaskStatusUpdateEvent,
};
use kennel_protocol::{ContextId, TaskId, Timestamp};
use kennel_sandbox::call::{Draft, GuestError, Progress};

/// Metadata key of an agent's failure: kind, code, retryable.
pub(crate) const ERROR_KEY: &str = kennel_protocol::extension::ERROR;
/// Metadata key of a request for authorization.
pub(crate) const AUTH_KEY: &str = kennel_protocol::extension::AUTH;
/// Metadata key of a part that tells progress.
pub(crate) const PROGRESS_KEY: &str = kennel_protocol::extension::PROGRESS;

/// Names what events belong to.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) task: TaskId,
    pub(crate) context: ContextId,
}

impl Subject {
    /// A status event.
    pub(crate) fn status(&self, state: TaskState, message: Option<Message>, at: Timestamp) -> StreamResponse {
        self.status_with(state, message, at, None)
    }

    /// A status event with metadata.
    pub(crate) fn status_with(
        &self,
        state: TaskState,
        message: Option<Message>,
        at: Timestamp,
        metadata: Option<JsonObject>,
    ) -> StreamResponse {
        StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
            task_id: self.task.clone(),
            context_id: self.context.clone(),
            status: TaskStatus { state, message, timestamp: Some(at) },
            metadata,
        })
    }

    /// A piece of an artifact, or the whole.
    pub(crate) fn artifact(&self, artifact: Artifact, append: bool, last_chunk: bool) -> StreamResponse {
        StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
            task_id: self.task.clone(),
            context_id: self.context.clone(),
            artifact,
            append,
            last_chunk,
            metadata: None,
        })
    }

    /// An agent's message under an id that follows from the task and the position of the call.
    pub(crate) fn message(&self, draft: Draft, call: u32) -> Message {
        Message {
            message_id: format!("{}-{call}", self.task),
            context_id: Some(self.context.clone()),
            task_id: Some(self.task.clone()),
            role: Role::Agent,
            parts: draft.parts,
            metadata: draft.metadata,
            extensions: draft.extensions,
            reference_task_ids: draft.reference_task_ids,
        }
    }

    /// A failure as clients see it.
    pub(crate) fn failed(&self, error: &GuestError, call: u32, at: Timestamp) -> StreamResponse {
        let mut message = self.message(text(&error.message), call);
        message.metadata = Some(error_metadata(error));
        self.status(TaskState::Failed, Some(message), at)
    }
}

/// A draft of one text.
pub(crate) fn text(text: &str) -> Draft {
    let part = Part { content: Content::Text(text.to_owned()), metadata: None, filename: None, media_type: None };
    Draft { parts: vec![part], metadata: None, extensions: Vec::new(), reference_task_ids: Vec::new() }
}

/// `{"urn:kennel:error:1":{"kind":…,"code":…,"retryable":…}}`
pub(crate) fn error_metadata(error: &GuestError) -> JsonObject {
    let value = serde_json::json!({
        "kind": error.kind.name(),
        "code": error.code,
        "retryable": error.retryable,
    });
    JsonObject::empty().with(ERROR_KEY, &JsonValue::from_value(&value))
}

/// A `data` part `{"percent":40,"phase":"search"}`, marked as progress.
pub(crate) fn progress_part(progress: &Progress) -> Part {
    let mut members = serde_json::Map::new();
    if let Some(percent) = progress.percent {
        members.insert("percent".to_owned(), percent.into());
    }
    if let Some(phase) = &progress.phase {
        members.insert("phase".to_owned(), phase.as_str().into());
    }
    let mark = JsonObject::empty().with(PROGRESS_KEY, &JsonValue::from_value(&serde_json::Value::Bool(true)));
    Part {
        content: Content::Data(JsonValue::from_value(&serde_json::Value::Object(members))),
        metadata: Some(mark),
        filename: None,
        media_type: Some("application/json".to_owned()),
    }
}
