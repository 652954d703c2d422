//! From the host to a guest: A2A objects in the types of the contract. Nothing is checked here but the size of a call.

use kennel_protocol::types::{Artifact, Content, JsonObject, JsonValue, Message, Part, Role, Task, TaskState};
use kennel_protocol::{ContextId, TaskId, Timestamp};

use super::numbers;
use crate::bindings::exports::kennel::agent::agent as run;
use crate::bindings::kennel::agent::{task, types};
use crate::call::{Auth, CancelRequest, CancelSource, ErrorKind, GuestError, Input};
use crate::limits::{Limits, bytes_text};
use crate::run::{TaskInfo, Turn};

/// A moment in the contract's milliseconds.
pub(crate) fn time(time: Timestamp) -> f64 {
    // Exact: whole numbers to 2^53 have a float of their own, and time stamps end with the year 9999, before 2^48.
    time.millis().max(0) as f64
}

/// What a run starts from.
pub(crate) fn turn(turn: Turn) -> run::Turn {
    run::Turn {
        message: message(turn.message),
        checkpoint: turn.checkpoint.map(Vec::from),
        generation: turn.generation,
    }
}

/// What is fixed for the task; nothing for a guest without one.
pub(crate) fn task_info(info: Option<&TaskInfo>) -> task::TaskInfo {
    let Some(info) = info else { return no_task_info() };
    task::TaskInfo {
        task_id: info.task_id.to_string(),
        context_id: info.context_id.to_string(),
        agent: info.agent.to_string(),
        tenant: info.tenant.to_string(),
        caller: info.caller.to_string(),
        parent_task_id: info.parent_task_id.as_ref().map(TaskId::to_string),
        accepted_output_modes: info.accepted_output_modes.clone(),
        extensions: info.extensions.clone(),
        request_metadata: info.request_metadata.as_ref().map(object),
        created: time(info.created),
        expires: time(info.expires),
    }
}

fn no_task_info() -> task::TaskInfo {
    task::TaskInfo {
        task_id: String::new(),
        context_id: String::new(),
        agent: String::new(),
        tenant: String::new(),
        caller: String::new(),
        parent_task_id: None,
        accepted_output_modes: Vec::new(),
        extensions: Vec::new(),
        request_metadata: None,
        created: 0.0,
        expires: 0.0,
    }
}

/// One message.
pub(crate) fn message(message: Message) -> types::Message {
    types::Message {
        message_id: message.message_id,
        context_id: message.context_id.as_ref().map_or_else(String::new, ContextId::to_string),
        task_id: message.task_id.as_ref().map(TaskId::to_string),
        role: role(message.role),
        parts: message.parts.into_iter().map(part).collect(),
        metadata: message.metadata.as_ref().map(object),
        extensions: message.extensions,
        reference_task_ids: message.reference_task_ids,
    }
}

/// Several messages, if one call can carry them.
pub(crate) fn messages(messages: Vec<Message>, limits: &Limits) -> Result<Vec<types::Message>, GuestError> {
    check_size(messages.iter().map(message_bytes).sum(), limits)?;
    Ok(messages.into_iter().map(message).collect())
}

/// A task as it is, if one call can carry it.
pub(crate) fn snapshot(task: Task, limits: &Limits) -> Result<types::TaskSnapshot, GuestError> {
    let artifacts = task.artifacts.unwrap_or_default();
    let status_bytes = task.status.message.as_ref().map_or(0, message_bytes);
    let artifact_bytes: usize = artifacts.iter().map(artifact_bytes).sum();
    check_size(status_bytes.saturating_add(artifact_bytes), limits)?;
    Ok(types::TaskSnapshot {
        task_id: task.id.to_string(),
        context_id: task.context_id.to_string(),
        state: state(task.status.state),
        status_message: task.status.message.map(message),
        status_time: task.status.timestamp.map_or(0.0, time),
        artifacts: artifacts.into_iter().map(artifact).collect(),
        metadata: task.metadata.as_ref().map(object),
    })
}

fn artifact(artifact: Artifact) -> types::Artifact {
    types::Artifact {
        artifact_id: Some(artifact.artifact_id.to_string()),
        name: artifact.name,
        description: artifact.description,
        parts: artifact.parts.into_iter().map(part).collect(),
        metadata: artifact.metadata.as_ref().map(object),
        extensions: artifact.extensions,
    }
}

fn part(part: Part) -> types::Part {
    types::Part {
        content: match part.content {
            Content::Text(text) => types::Content::Text(text),
            // Free of a copy when the host holds the bytes nowhere else.
            Content::Raw(bytes) => types::Content::Raw(Vec::from(bytes)),
            Content::Url(url) => types::Content::Url(url),
            Content::Data(value) => types::Content::Data(numbers::whole(value.get())),
        },
        media_type: part.media_type,
        filename: part.filename,
        metadata: part.metadata.as_ref().map(object),
    }
}

/// A JSON object as text.
fn object(object: &JsonObject) -> String {
    numbers::whole(object.get())
}

/// A stored message that does not say who wrote it came from outside.
fn role(role: Role) -> types::Role {
    match role {
        Role::User | Role::Unspecified => types::Role::User,
        Role::Agent => types::Role::Agent,
    }
}

fn state(state: TaskState) -> types::TaskState {
    match state {
        TaskState::Submitted | TaskState::Unspecified => types::TaskState::Submitted,
        TaskState::Working => types::TaskState::Working,
        TaskState::InputRequired => types::TaskState::InputRequired,
        TaskState::AuthRequired => types::TaskState::AuthRequired,
        TaskState::Completed => types::TaskState::Completed,
        TaskState::Failed => types::TaskState::Failed,
        TaskState::Canceled => types::TaskState::Canceled,
        TaskState::Rejected => types::TaskState::Rejected,
    }
}

/// What came of a prompt.
pub(crate) fn input(input: Input) -> task::Input {
    match input {
        Input::Reply(message, value) => {
            let value = value.as_ref().map(|value| numbers::whole(value.get()));
            task::Input::Reply(task::Reply { message: self::message(*message), value })
        }
        Input::TimedOut => task::Input::TimedOut,
    }
}

/// What came of a request for authorization.
pub(crate) fn auth(auth: Auth) -> task::Auth {
    match auth {
        Auth::Granted(name) => task::Auth::Granted(name),
        Auth::Reply(message) => task::Auth::Reply(self::message(*message)),
        Auth::TimedOut => task::Auth::TimedOut,
    }
}

/// A request to stop.
pub(crate) fn cancel_request(request: CancelRequest) -> task::CancelRequest {
    task::CancelRequest {
        source: match request.source {
            CancelSource::Client => task::CancelSource::Client,
            CancelSource::Parent => task::CancelSource::Parent,
            CancelSource::Operator => task::CancelSource::Operator,
            CancelSource::Deadline => task::CancelSource::Deadline,
        },
        reason: request.reason,
        metadata: request.metadata.as_ref().map(object),
        force_at: time(request.force_at),
    }
}

/// An error that a guest gets.
pub(crate) fn error(error: GuestError) -> types::Error {
    types::Error { kind: error_kind(error.kind), code: error.code, message: error.message, retryable: error.retryable }
}

fn error_kind(kind: ErrorKind) -> types::ErrorKind {
    match kind {
        ErrorKind::Denied => types::ErrorKind::Denied,
        ErrorKind::Canceled => types::ErrorKind::Canceled,
        ErrorKind::TimedOut => types::ErrorKind::TimedOut,
        ErrorKind::Limit => types::ErrorKind::Limit,
        ErrorKind::Unavailable => types::ErrorKind::Unavailable,
        ErrorKind::Invalid => types::ErrorKind::Invalid,
        ErrorKind::NotFound => types::ErrorKind::NotFound,
        ErrorKind::UnknownOutcome => types::ErrorKind::UnknownOutcome,
        ErrorKind::Failed => types::ErrorKind::Failed,
    }
}

/// Names, if one call can carry them.
pub(crate) fn names(names: Vec<String>, limits: &Limits) -> Result<Vec<String>, GuestError> {
    check_size(names.iter().map(String::len).sum(), limits)?;
    Ok(names)
}

/// One JSON value as text, if one call can carry it.
pub(crate) fn json(value: &JsonValue, limits: &Limits) -> Result<String, GuestError> {
    check_size(value.get().len(), limits)?;
    Ok(numbers::whole(value.get()))
}

pub(super) fn check_size(bytes: usize, limits: &Limits) -> Result<(), GuestError> {
    if bytes <= limits.call_bytes_max {
        return Ok(());
    }
    let message = format!("One call carries at most {}; ask for less.", bytes_text(limits.call_bytes_max));
    Err(GuestError::new(ErrorKind::Limit, "call-bytes", message))
}

pub(super) fn message_bytes(message: &Message) -> usize {
    let metadata = message.metadata.as_ref().map_or(0, |object| object.get().len());
    message.parts.iter().map(part_bytes).sum::<usize>().saturating_add(metadata)
}

fn artifact_bytes(artifact: &Artifact) -> usize {
    let metadata = artifact.metadata.as_ref().map_or(0, |object| object.get().len());
    artifact.parts.iter().map(part_bytes).sum::<usize>().saturating_add(metadata)
}

fn part_bytes(part: &Part) -> usize {
    let content = match &part.content {
        Content::Text(text) | Content::Url(text) => text.len(),
        Content::Raw(bytes) => bytes.len(),
        Content::Data(value) => value.get().len(),
    };
    let metadata = part.metadata.as_ref().map_or(0, |object| object.get().len());
    content.saturating_add(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_to_the_end_of_the_calendar() {
        for millis in [0, 1, 999, 1_785_585_600_123, 253_402_300_799_999] {
            let given = time(Timestamp::from_millis(millis));
            assert_eq!(format!("{given}"), format!("{millis}"));
        }
        assert!(time(Timestamp::from_millis(-5)).abs() < f64::EPSILON);
    }

    #[test]
    fn more_than_one_call_can_carry_is_an_error() {
        let limits = Limits { call_bytes_max: 10, ..Limits::default() };
        let message = Message { parts: vec![Part::text("123456")], ..Message::default() };
        assert_eq!(messages(vec![message.clone()], &limits).unwrap().len(), 1);
        let error = messages(vec![message.clone(), message], &limits).unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Limit, "call-bytes"));
    }
}
