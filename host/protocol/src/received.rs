//! The rules of what another server answers: strict where a slip would do harm here, and open to everything else, because servers
//! differ in what they leave out (protocol.md section 15).

use crate::error::Error;
use crate::ids::MessageId;
use crate::parse::{ParseLimits, Violations};
use crate::types::{Content, Message, Part, Task, TaskState};
use crate::validate::{UNREADABLE, is_reserved, metadata};

/// Checks a task.
///
/// # Errors
/// `InvalidParams` with the fields at fault.
pub fn task(task: &Task) -> Result<(), Error> {
    let mut violations = Violations::default();
    if task.id.is_unset() {
        violations.add("id", "is required");
    }
    if task.status.state == TaskState::Unspecified {
        violations.add("status.state", "is required");
    }
    if let Some(said) = &task.status.message {
        violations.within("status.message", |violations| look_into(said, violations));
    }
    for (index, artifact) in task.artifacts.iter().flatten().enumerate() {
        violations.within(&format!("artifacts[{index}]"), |violations| {
            if artifact.artifact_id.is_unset() {
                violations.add("artifactId", "is required");
            }
            parts(&artifact.parts, violations);
            metadata(artifact.metadata.as_ref(), violations);
        });
    }
    violations.into_result()
}

/// Checks a message.
///
/// # Errors
/// `InvalidParams` with the fields at fault.
pub fn message(message: &Message) -> Result<(), Error> {
    let mut violations = Violations::default();
    look_into(message, &mut violations);
    violations.into_result()
}

fn look_into(message: &Message, violations: &mut Violations) {
    // Missing ones are made here.
    if !message.message_id.is_empty()
        && let Err(error) = message.message_id.parse::<MessageId>()
    {
        violations.add("messageId", error.to_string());
    }
    parts(&message.parts, violations);
    metadata(message.metadata.as_ref(), violations);
}

fn parts(parts: &[Part], violations: &mut Violations) {
    let limit = ParseLimits::DEFAULT.parts_max;
    if parts.len() > limit {
        return violations.add("parts", format!("must have at most {limit} parts"));
    }
    for (index, part) in parts.iter().enumerate() {
        violations.within(&format!("parts[{index}]"), |violations| {
            match &part.content {
                Content::Url(url) if is_reserved(url) => violations.add("url", "must not use the scheme kennel"),
                Content::Data(value) if !value.is_readable() => violations.add("data", UNREADABLE),
                Content::Url(_) | Content::Text(_) | Content::Raw(_) | Content::Data(_) => {}
            }
            metadata(part.metadata.as_ref(), violations);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Vec<String> {
        let read: Task = serde_json::from_str(json).unwrap();
        let found = task(&read).err().map(|error| error.violations).unwrap_or_default();
        found.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn servers_may_leave_out_what_does_no_harm() {
        let bare = r#"{"id":"t","contextId":"c","status":{"state":"TASK_STATE_WORKING"}}"#;
        assert!(check(bare).is_empty());
        let said = r#"{"id":"t","contextId":"c","status":{"state":"TASK_STATE_COMPLETED","message":{"role":"ROLE_AGENT","parts":[]}},
            "artifacts":[{"artifactId":"a","parts":[]}],"unknown":1}"#;
        assert!(check(said).is_empty());
    }

    #[test]
    fn what_would_do_harm_is_named() {
        let blob = r#"{"id":"t","contextId":"c","status":{"state":"TASK_STATE_COMPLETED"},
            "artifacts":[{"artifactId":"a","parts":[{"text":"x"},{"url":" Kennel:blob/part/00"}]},{"parts":[]}]}"#;
        assert_eq!(check(blob), ["artifacts[0].parts[1].url", "artifacts[1].artifactId"]);
        let nameless = r#"{"id":"","contextId":"c","status":{"state":"TASK_STATE_UNSPECIFIED"}}"#;
        assert_eq!(check(nameless), ["id", "status.state"]);
        let metadata = r#"{"id":"t","contextId":"c","status":{"state":"TASK_STATE_FAILED",
            "message":{"messageId":"a\nb","role":"ROLE_AGENT","parts":[],"metadata":{"a":1e999}}}}"#;
        assert_eq!(check(metadata), ["status.message.messageId", "status.message.metadata"]);
    }
}
