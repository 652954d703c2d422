//! What is known of tasks: this one, related ones, and a wish to stop.

use std::time::SystemTime;

use serde::de::DeserializeOwned;

use crate::artifact::Artifact;
pub use crate::bindings::kennel::agent::task::CancelSource;
pub use crate::bindings::kennel::agent::types::TaskState;
use crate::bindings::kennel::agent::{task, types};
use crate::error::Result;
use crate::message::Message;
use crate::metadata;
use crate::time::from_time_ms;

/// What is fixed for the whole task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskInfo {
    /// The task. Agents that answer with a bare message have an id too, which nobody learns.
    pub task_id: String,
    /// Shared by all tasks of the same conversation.
    pub context_id: String,
    /// The name under which this agent is served.
    pub agent: String,
    /// Whose data this is. Opaque.
    pub tenant: String,
    /// An opaque, stable name of the caller, unique within the tenant; empty for an anonymous caller.
    pub caller: String,
    /// The task that sent the first message, if it runs on this host.
    pub parent_task_id: Option<String>,
    /// Media types the client takes; empty means any.
    pub accepted_output_modes: Vec<String>,
    /// URIs of the A2A extensions that are active for the first request.
    pub extensions: Vec<String>,
    /// Metadata of the first request, not of its message: a JSON object.
    pub request_metadata: Option<String>,
    /// When the first message was accepted.
    pub created: SystemTime,
    /// When the host ends the task at the latest.
    pub expires: SystemTime,
}

impl TaskInfo {
    /// Whether the client takes this media type. Types with a star, as `image/*`, stand for many.
    pub fn accepts(&self, media_type: &str) -> bool {
        let fits = |mode: &String| match mode.strip_suffix("/*") {
            Some("*") => true,
            Some(kind) => media_type.split('/').next() == Some(kind),
            None => mode == media_type,
        };
        self.accepted_output_modes.is_empty() || self.accepted_output_modes.iter().any(fits)
    }

    /// A value of the first request's metadata.
    pub fn request_metadata_value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        metadata::get(self.request_metadata.as_deref(), key)
    }
}

impl From<task::TaskInfo> for TaskInfo {
    fn from(info: task::TaskInfo) -> Self {
        Self {
            task_id: info.task_id,
            context_id: info.context_id,
            agent: info.agent,
            tenant: info.tenant,
            caller: info.caller,
            parent_task_id: info.parent_task_id,
            accepted_output_modes: info.accepted_output_modes,
            extensions: info.extensions,
            request_metadata: info.request_metadata,
            created: from_time_ms(info.created),
            expires: from_time_ms(info.expires),
        }
    }
}

/// A task as it was at one moment: a related one, or a child.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSnapshot {
    /// Its id where it lives; for a remote peer, the id there.
    pub task_id: String,
    /// The conversation it belongs to.
    pub context_id: String,
    /// Its state.
    pub state: TaskState,
    /// The message of its last status.
    pub status_message: Option<Message>,
    /// When that status was recorded.
    pub status_time: SystemTime,
    /// All artifacts, whole, in the order of their creation.
    pub artifacts: Vec<Artifact>,
    /// Metadata of the task: a JSON object.
    pub metadata: Option<String>,
}

impl TaskSnapshot {
    /// The text of all artifacts, each on a line of its own.
    pub fn text(&self) -> String {
        self.artifacts.iter().map(Artifact::as_text).collect::<Vec<_>>().join("\n")
    }

    /// The first artifact with this name.
    pub fn artifact(&self, name: &str) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.name.as_deref() == Some(name))
    }

    /// A value of the task's metadata.
    pub fn metadata_value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        metadata::get(self.metadata.as_deref(), key)
    }
}

impl From<types::TaskSnapshot> for TaskSnapshot {
    fn from(task: types::TaskSnapshot) -> Self {
        Self {
            task_id: task.task_id,
            context_id: task.context_id,
            state: task.state,
            status_message: task.status_message,
            status_time: from_time_ms(task.status_time),
            artifacts: task.artifacts,
            metadata: task.metadata,
        }
    }
}

/// Somebody's wish that the task stop, from [`Task::canceled`](crate::Task::canceled).
#[derive(Clone, Debug, PartialEq)]
pub struct CancelRequest {
    /// Who asked.
    pub source: CancelSource,
    /// In words, if given.
    pub reason: Option<String>,
    /// Metadata of the request: a JSON object.
    pub metadata: Option<String>,
    /// When the host ends the task by force: 10 s after the request, unless the operator set another time.
    pub force_at: SystemTime,
}

impl CancelRequest {
    /// A value of the request's metadata.
    pub fn metadata_value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        metadata::get(self.metadata.as_deref(), key)
    }
}

impl From<task::CancelRequest> for CancelRequest {
    fn from(request: task::CancelRequest) -> Self {
        Self {
            source: request.source,
            reason: request.reason,
            metadata: request.metadata,
            force_at: from_time_ms(request.force_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::seconds;

    fn info(modes: &[&str]) -> TaskInfo {
        task::TaskInfo {
            task_id: "t".into(),
            context_id: "c".into(),
            agent: "a".into(),
            tenant: "x".into(),
            caller: String::new(),
            parent_task_id: None,
            accepted_output_modes: modes.iter().map(|mode| (*mode).into()).collect(),
            extensions: vec![],
            request_metadata: Some(r#"{"k":1}"#.into()),
            created: 1_000.0,
            expires: 2_000.0,
        }
        .into()
    }

    #[test]
    fn times_are_moments() {
        let info = info(&[]);
        assert_eq!(info.created, SystemTime::UNIX_EPOCH + seconds(1));
        assert_eq!(info.expires.duration_since(info.created).unwrap(), seconds(1));
        assert_eq!(info.request_metadata_value::<u8>("k").unwrap(), Some(1));
    }

    #[test]
    fn no_mode_means_any_and_a_star_means_many() {
        assert!(info(&[]).accepts("image/png"));
        assert!(info(&["text/plain", "image/*"]).accepts("image/png"));
        assert!(info(&["*/*"]).accepts("image/png"));
        assert!(!info(&["text/plain"]).accepts("image/png"));
    }

    #[test]
    fn a_snapshot_gives_its_artifacts_by_name_and_as_text() {
        let task = TaskSnapshot::from(types::TaskSnapshot {
            task_id: "t".into(),
            context_id: "c".into(),
            state: TaskState::Completed,
            status_message: None,
            status_time: 5.0,
            artifacts: vec![Artifact::text("a", "1"), Artifact::text("b", "2")],
            metadata: None,
        });
        assert_eq!(task.text(), "1\n2");
        assert_eq!(task.artifact("b").map(Artifact::as_text).as_deref(), Some("2"));
        assert_eq!(task.artifact("c"), None);
    }
}
