//! Errors for people: what happened, why, and what to do about it.

use std::error::Error as _;
use std::io::{self, Write};

use kennel_client::{ClientError, RemoteError};
use kennel_protocol::ErrorKind;

use super::print::plain;

/// Writes the error in up to three lines; the fields at fault, if any, come below.
pub(super) fn explain(error: &ClientError, url: &str, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "error: {}", plain(&error.to_string()))?;
    if let Some(cause) = deepest_cause(error) {
        writeln!(to, "cause: {}", plain(&cause))?;
    }
    if let ClientError::Protocol(error) = error {
        for (field, description) in violations(error) {
            writeln!(to, "field: {} {}", plain(field), plain(description))?;
        }
    }
    match cure(error, url) {
        Some(cure) => writeln!(to, "cure:  {cure}"),
        None => Ok(()),
    }
}

/// The layers of an HTTP client repeat themselves; the last one says what happened.
fn deepest_cause(error: &ClientError) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause.to_string())
}

fn cure(error: &ClientError, url: &str) -> Option<String> {
    Some(match error {
        ClientError::Unreachable { .. } => {
            "check the address, and that the server is running (kennel serve starts one)".to_owned()
        }
        ClientError::Timeout { .. } => "try again; if the task was made, it goes on by itself".to_owned(),
        ClientError::Auth { .. } => "give a token with --token or in KENNEL_TOKEN".to_owned(),
        ClientError::Invalid(_) => {
            "give the address of an A2A 1.0 agent, such as http://127.0.0.1:8080/agents/echo".to_owned()
        }
        ClientError::Protocol(error) => return cure_of(error, url),
    })
}

fn cure_of(error: &RemoteError, url: &str) -> Option<String> {
    match error.kind()? {
        ErrorKind::TaskNotFound => Some(format!("kennel a2a task list {url} shows the tasks you can see")),
        ErrorKind::ContentTypeNotSupported => Some(format!("kennel a2a card get {url} shows what the agent takes")),
        ErrorKind::RateLimited | ErrorKind::Unavailable => {
            let delay = error.retry_after.map(|delay| format!("in {} s", delay.as_secs()));
            Some(format!("try again {}", delay.as_deref().unwrap_or("later")))
        }
        ErrorKind::TaskNotCancelable
        | ErrorKind::PushNotificationNotSupported
        | ErrorKind::UnsupportedOperation
        | ErrorKind::InvalidAgentResponse
        | ErrorKind::ExtendedAgentCardNotConfigured
        | ErrorKind::ExtensionSupportRequired
        | ErrorKind::VersionNotSupported
        | ErrorKind::Parse
        | ErrorKind::InvalidRequest
        | ErrorKind::MethodNotFound
        | ErrorKind::InvalidParams
        | ErrorKind::Internal
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden => None,
    }
}

/// The `BadRequest` among the details: pairs of a field and what is wrong with it.
fn violations(error: &RemoteError) -> Vec<(&str, &str)> {
    let details = error.data.as_array().map(Vec::as_slice).unwrap_or_default();
    let violations = details.iter().filter_map(|detail| detail.get("fieldViolations")?.as_array()).flatten();
    violations
        .filter_map(|violation| Some((violation.get("field")?.as_str()?, violation.get("description")?.as_str()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(error: &ClientError, expected: &str) {
        let mut text = Vec::new();
        explain(error, "URL", &mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn errors_come_with_cause_and_cure() {
        check(
            &ClientError::Unreachable { url: "http://h/".to_owned(), cause: "connection refused".into() },
            "error: cannot reach http://h/\ncause: connection refused\n\
             cure:  check the address, and that the server is running (kennel serve starts one)\n",
        );
        check(
            &ClientError::Protocol(RemoteError {
                code: -32001,
                message: "Task not found".to_owned(),
                data: json!(null),
                retry_after: None,
            }),
            "error: Task not found (code -32001)\ncure:  kennel a2a task list URL shows the tasks you can see\n",
        );
    }

    #[test]
    fn fields_at_fault_are_listed() {
        let violation = json!({ "field": "message.parts", "description": "must not be \u{1b}[31mempty" });
        check(
            &ClientError::Protocol(RemoteError {
                code: -32602,
                message: "Invalid parameters".to_owned(),
                data: json!([{ "reason": "X" }, { "fieldViolations": [violation, 7] }]),
                retry_after: None,
            }),
            "error: Invalid parameters (code -32602)\nfield: message.parts must not be \u{FFFD}[31mempty\n",
        );
    }
}
