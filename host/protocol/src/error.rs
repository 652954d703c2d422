//! Every error a client can get, and the one table that says how each binding shows it (protocol.md section 5).
//!
//! An [`Error`] holds public text only: causes are logged by whoever meets them and never travel in here.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ids::TaskId;
use crate::types::TaskState;

/// The domain of every `ErrorInfo`.
pub const DOMAIN: &str = "a2a-protocol.org";

/// What went wrong, in the terms of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No such task, or not the caller's: the two are told apart by nobody outside.
    TaskNotFound,
    /// The task has ended already.
    TaskNotCancelable,
    /// The agent's card does not offer push notifications.
    PushNotificationNotSupported,
    /// The operation is not offered, or not in this state of the task.
    UnsupportedOperation,
    /// A media type outside the agent's input modes, or a body that is not JSON.
    ContentTypeNotSupported,
    /// The agent produced something illegal.
    InvalidAgentResponse,
    /// An extended card is declared but there is none.
    ExtendedAgentCardNotConfigured,
    /// The agent requires an extension that the client did not ask for.
    ExtensionSupportRequired,
    /// The requested A2A version is not served.
    VersionNotSupported,
    /// The body is not JSON.
    Parse,
    /// The body is JSON but no request.
    InvalidRequest,
    /// No such method or path.
    MethodNotFound,
    /// The parameters break a rule; see the violations.
    InvalidParams,
    /// Our fault.
    Internal,
    /// Try again later.
    Unavailable,
    /// Too many requests.
    RateLimited,
    /// No credentials, or bad ones.
    Unauthenticated,
    /// Credentials that do not permit this.
    Forbidden,
}

/// How the bindings show one kind. `reason` is the specification's for its own errors (`a2a`), ours for the rest.
struct Row {
    code: i32,
    http: u16,
    grpc: &'static str,
    reason: &'static str,
    a2a: bool,
    text: &'static str,
}

const fn a2a(code: i32, http: u16, grpc: &'static str, reason: &'static str, text: &'static str) -> Row {
    Row { code, http, grpc, reason, a2a: true, text }
}

const fn generic(code: i32, http: u16, grpc: &'static str, reason: &'static str, text: &'static str) -> Row {
    Row { code, http, grpc, reason, a2a: false, text }
}

impl ErrorKind {
    /// All kinds, in the order of the specification.
    pub const ALL: [ErrorKind; 18] = [
        ErrorKind::TaskNotFound,
        ErrorKind::TaskNotCancelable,
        ErrorKind::PushNotificationNotSupported,
        ErrorKind::UnsupportedOperation,
        ErrorKind::ContentTypeNotSupported,
        ErrorKind::InvalidAgentResponse,
        ErrorKind::ExtendedAgentCardNotConfigured,
        ErrorKind::ExtensionSupportRequired,
        ErrorKind::VersionNotSupported,
        ErrorKind::Parse,
        ErrorKind::InvalidRequest,
        ErrorKind::MethodNotFound,
        ErrorKind::InvalidParams,
        ErrorKind::Internal,
        ErrorKind::Unavailable,
        ErrorKind::RateLimited,
        ErrorKind::Unauthenticated,
        ErrorKind::Forbidden,
    ];

    /// The table. HTTP and gRPC statuses are those of 1.0.1; the last three JSON-RPC codes are this server's own.
    #[rustfmt::skip]
    const fn row(self) -> Row {
        use ErrorKind as Kind;
        match self {
            Kind::TaskNotFound => a2a(-32001, 404, "NOT_FOUND", "TASK_NOT_FOUND", "Task not found"),
            Kind::TaskNotCancelable => a2a(-32002, 400, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE", "Task cannot be canceled"),
            Kind::PushNotificationNotSupported => a2a(-32003, 400, "FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED", "Push notifications are not supported"),
            Kind::UnsupportedOperation => a2a(-32004, 400, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION", "This operation is not supported"),
            Kind::ContentTypeNotSupported => a2a(-32005, 400, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED", "Incompatible content types"),
            Kind::InvalidAgentResponse => a2a(-32006, 500, "INTERNAL", "INVALID_AGENT_RESPONSE", "The agent gave an invalid response"),
            Kind::ExtendedAgentCardNotConfigured => a2a(-32007, 400, "FAILED_PRECONDITION", "EXTENDED_AGENT_CARD_NOT_CONFIGURED", "No extended agent card is configured"),
            Kind::ExtensionSupportRequired => a2a(-32008, 400, "FAILED_PRECONDITION", "EXTENSION_SUPPORT_REQUIRED", "The agent requires an extension"),
            Kind::VersionNotSupported => a2a(-32009, 400, "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED", "The protocol version is not supported"),
            Kind::Parse => generic(-32700, 400, "INVALID_ARGUMENT", "PARSE_ERROR", "Invalid JSON payload"),
            Kind::InvalidRequest => generic(-32600, 400, "INVALID_ARGUMENT", "INVALID_REQUEST", "Not a valid request"),
            Kind::MethodNotFound => generic(-32601, 404, "UNIMPLEMENTED", "METHOD_NOT_FOUND", "Method not found"),
            Kind::InvalidParams => generic(-32602, 400, "INVALID_ARGUMENT", "INVALID_PARAMS", "Invalid parameters"),
            Kind::Internal => generic(-32603, 500, "INTERNAL", "INTERNAL", "Internal error"),
            Kind::Unavailable => generic(-32603, 503, "UNAVAILABLE", "UNAVAILABLE", "Temporarily unavailable"),
            Kind::RateLimited => generic(-32012, 429, "RESOURCE_EXHAUSTED", "RATE_LIMITED", "Too many requests"),
            Kind::Unauthenticated => generic(-32010, 401, "UNAUTHENTICATED", "UNAUTHENTICATED", "Authentication required"),
            Kind::Forbidden => generic(-32011, 403, "PERMISSION_DENIED", "FORBIDDEN", "Not permitted"),
        }
    }

    /// The `code` of a JSON-RPC error object.
    #[must_use]
    pub const fn jsonrpc_code(self) -> i32 {
        self.row().code
    }

    /// The status of an HTTP+JSON answer.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        self.row().http
    }

    /// The canonical name of the gRPC status, also the `status` of an HTTP+JSON error body.
    #[must_use]
    pub const fn grpc_status(self) -> &'static str {
        self.row().grpc
    }

    /// `ErrorInfo.reason` as the specification names it; none for the generic errors, which it does not name.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        let row = self.row();
        if row.a2a { Some(row.reason) } else { None }
    }

    /// What to say when there is nothing more exact to say.
    #[must_use]
    pub const fn default_message(self) -> &'static str {
        self.row().text
    }
}

/// One field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path of camelCase names from the parameters down, such as `message.parts[0].text`. Empty for the whole.
    pub field: String,
    /// What is wrong with it, such as `must not be empty`.
    pub description: String,
}

/// An answer that is not the wanted one. All of it may be shown to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// In words.
    pub message: String,
    /// Goes into `ErrorInfo.metadata`, which maps strings to strings only.
    pub metadata: BTreeMap<String, String>,
    /// The fields at fault; only with `InvalidParams`.
    pub violations: Vec<FieldViolation>,
    /// When to try again; becomes `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error in the caller's own words.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), metadata: BTreeMap::new(), violations: Vec::new(), retry_after: None }
    }

    /// An error in the words of the table.
    #[must_use]
    pub fn of(kind: ErrorKind) -> Error {
        Error::new(kind, kind.default_message())
    }

    /// Adds a pair to the metadata.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl fmt::Display) -> Error {
        self.metadata.insert(key.into(), value.to_string());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Error {
        self.retry_after = Some(delay);
        self
    }

    /// The task is not there, or not the caller's.
    #[must_use]
    pub fn task_not_found(id: &TaskId) -> Error {
        Error::of(ErrorKind::TaskNotFound).with("taskId", id)
    }

    /// The task has ended in the given state.
    #[must_use]
    pub fn task_not_cancelable(id: &TaskId, state: TaskState) -> Error {
        Error::of(ErrorKind::TaskNotCancelable).with("taskId", id).with("state", state)
    }

    /// The agent's card does not offer push notifications.
    #[must_use]
    pub fn push_not_supported() -> Error {
        Error::of(ErrorKind::PushNotificationNotSupported)
    }

    /// The operation is not offered, or not now.
    #[must_use]
    pub fn unsupported(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::UnsupportedOperation, message)
    }

    /// The media type is not one that is taken.
    #[must_use]
    pub fn content_type_not_supported(media_type: &str) -> Error {
        Error::of(ErrorKind::ContentTypeNotSupported).with("mediaType", media_type)
    }

    /// The agent produced something illegal.
    #[must_use]
    pub fn invalid_agent_response(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidAgentResponse, message)
    }

    /// The agent requires the extension of this URI.
    #[must_use]
    pub fn extension_required(uri: &str) -> Error {
        Error::of(ErrorKind::ExtensionSupportRequired).with("extension", uri)
    }

    /// The body is not JSON.
    #[must_use]
    pub fn parse(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Parse, message)
    }

    /// The body is JSON but no request.
    #[must_use]
    pub fn invalid_request(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidRequest, message)
    }

    /// There is no such method.
    #[must_use]
    pub fn method_not_found(method: &str) -> Error {
        Error::of(ErrorKind::MethodNotFound).with("method", method)
    }

    /// One field breaks a rule.
    #[must_use]
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Error {
        Error::violations(vec![FieldViolation { field: field.into(), description: description.into() }])
    }

    /// Several fields break rules. The message names the first, for clients that show nothing else.
    #[must_use]
    pub fn violations(violations: Vec<FieldViolation>) -> Error {
        let mut error = Error::of(ErrorKind::InvalidParams);
        if let Some(first) = violations.first() {
            error.message = match first.field.as_str() {
                "" => format!("{}: {}", error.message, first.description),
                field => format!("{}: {field}: {}", error.message, first.description),
            };
        }
        error.violations = violations;
        error
    }

    /// Our fault. The cause goes to the log, not in here.
    #[must_use]
    pub fn internal() -> Error {
        Error::of(ErrorKind::Internal)
    }

    /// Not now.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unavailable, message)
    }

    /// Too many requests; the next one is welcome after the delay.
    #[must_use]
    pub fn rate_limited(delay: Duration) -> Error {
        Error::of(ErrorKind::RateLimited).retry_after(delay)
    }

    /// No credentials, or bad ones.
    #[must_use]
    pub fn unauthenticated(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unauthenticated, message)
    }

    /// The credentials do not permit this. Says nothing of what exists.
    #[must_use]
    pub fn forbidden() -> Error {
        Error::of(ErrorKind::Forbidden)
    }

    /// See [`ErrorKind::jsonrpc_code`].
    #[must_use]
    pub const fn jsonrpc_code(&self) -> i32 {
        self.kind.jsonrpc_code()
    }

    /// See [`ErrorKind::http_status`].
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        self.kind.http_status()
    }

    /// See [`ErrorKind::grpc_status`].
    #[must_use]
    pub const fn grpc_status(&self) -> &'static str {
        self.kind.grpc_status()
    }

    /// See [`ErrorKind::reason`].
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        self.kind.reason()
    }

    /// The objects for `error.data` (JSON-RPC) and `error.details` (HTTP+JSON): an `ErrorInfo` always, so that a client
    /// can switch on its reason, then a `BadRequest` if fields are at fault.
    #[must_use]
    pub fn details(&self) -> Vec<Value> {
        let mut details = vec![json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": self.kind.row().reason,
            "domain": DOMAIN,
            "metadata": self.metadata,
        })];
        if !self.violations.is_empty() {
            let violations: Vec<Value> = self
                .violations
                .iter()
                .map(|violation| json!({ "field": violation.field, "description": violation.description }))
                .collect();
            details.push(json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": violations,
            }));
        }
        details
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_that_of_the_specification() {
        let table: Vec<String> = ErrorKind::ALL
            .iter()
            .map(|kind| {
                let Row { code, http, grpc, reason, a2a, text } = kind.row();
                let mark = if a2a { "a2a" } else { "" };
                let name = format!("{kind:?}");
                format!("{name:<31} {code} {http} {grpc:<19} {mark:<3} {reason:<34} {text}")
            })
            .collect();
        insta::assert_snapshot!("table", table.join("\n"));
    }

    #[test]
    fn reasons_are_the_names_in_upper_snake_case() {
        for kind in ErrorKind::ALL {
            let Some(reason) = kind.reason() else { continue };
            let name: String = reason
                .split('_')
                .map(|word| word.chars().take(1).chain(word.to_lowercase().chars().skip(1)).collect::<String>())
                .collect();
            assert_eq!(name, format!("{kind:?}"));
        }
    }

    #[test]
    fn details_name_the_task() {
        let id = "t9".parse().unwrap();
        insta::assert_json_snapshot!(Error::task_not_found(&id).details(), @r#"
        [
          {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "domain": "a2a-protocol.org",
            "metadata": {
              "taskId": "t9"
            },
            "reason": "TASK_NOT_FOUND"
          }
        ]
        "#);
    }

    #[test]
    fn details_of_invalid_params_name_the_fields() {
        let error = Error::invalid("message.parts", "must have at least one part");
        assert_eq!(error.to_string(), "Invalid parameters: message.parts: must have at least one part");
        insta::assert_json_snapshot!(error.details()[1], @r#"
        {
          "@type": "type.googleapis.com/google.rpc.BadRequest",
          "fieldViolations": [
            {
              "description": "must have at least one part",
              "field": "message.parts"
            }
          ]
        }
        "#);
    }

    #[test]
    fn constructors_carry_what_a_client_can_use() {
        let id: TaskId = "t1".parse().unwrap();
        let error = Error::task_not_cancelable(&id, TaskState::Completed);
        assert_eq!(error.metadata["state"], "TASK_STATE_COMPLETED");
        assert_eq!(Error::extension_required("urn:x").metadata["extension"], "urn:x");
        assert_eq!(Error::rate_limited(Duration::from_secs(2)).retry_after, Some(Duration::from_secs(2)));
        assert_eq!(Error::internal().details().len(), 1);
        assert_eq!(Error::internal().reason(), None);
    }
}
