//! Why a call gave no result, with one variant for each thing that a caller can do about it.

use std::time::Duration;

use kennel_protocol::ErrorKind;
use serde_json::Value;

/// A call that gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no connection, or it broke before the answer was whole; a request that was sent may have been carried
    /// out all the same. Worth trying again later.
    #[error("cannot reach {url}")]
    Unreachable {
        /// The address that was asked.
        url: String,
        /// What the network said.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing came in time, not even a sign of life. Like [`ClientError::Unreachable`], but slower.
    #[error("{url} was silent for {} s", .silence.as_secs_f32())]
    Timeout {
        /// The address that was asked.
        url: String,
        /// How long nothing came.
        silence: Duration,
    },
    /// The agent refused, in the terms of the protocol.
    #[error("{0}")]
    Protocol(RemoteError),
    /// Other credentials are needed.
    #[error("{url} does not accept the credentials: {message}")]
    Auth {
        /// The address that was asked.
        url: String,
        /// What it said.
        message: String,
    },
    /// What was given, or what came back, is not A2A. Trying again does not help.
    #[error("{0}")]
    Invalid(String),
}

/// The error object of a JSON-RPC answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RemoteError {
    /// Which error; see [`RemoteError::kind`].
    pub code: i64,
    /// In words, for people.
    pub message: String,
    /// The details, by the protocol a list of objects with `@type` each. Null if there are none.
    pub data: Value,
    /// When the agent wants to be asked again, from `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl RemoteError {
    /// The error in the terms of the protocol. None: the agent's own code.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        let kind = ErrorKind::ALL.into_iter().find(|kind| i64::from(kind.jsonrpc_code()) == self.code)?;
        // Two kinds share the code of an internal error; only the reason tells them apart.
        match kind {
            ErrorKind::Internal if self.reason() == Some("UNAVAILABLE") => Some(ErrorKind::Unavailable),
            kind => Some(kind),
        }
    }

    /// The `reason` of the `ErrorInfo` among the details.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.data.as_array()?.iter().find_map(|detail| detail.get("reason")?.as_str())
    }
}

impl ClientError {
    /// Whether the same request may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } | ClientError::Timeout { .. } => true,
            ClientError::Protocol(error) => {
                matches!(error.kind(), Some(ErrorKind::Unavailable | ErrorKind::RateLimited))
            }
            ClientError::Auth { .. } | ClientError::Invalid(_) => false,
        }
    }

    /// When the agent wants to be asked again, if it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            ClientError::Protocol(error) => error.retry_after,
            ClientError::Unreachable { .. }
            | ClientError::Timeout { .. }
            | ClientError::Auth { .. }
            | ClientError::Invalid(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn remote(code: i64, reason: &str) -> RemoteError {
        RemoteError { code, message: "no".to_owned(), data: json!([{ "reason": reason }]), retry_after: None }
    }

    #[test]
    fn kinds_are_known_by_code_and_where_codes_are_shared_by_reason() {
        assert_eq!(remote(-32001, "TASK_NOT_FOUND").kind(), Some(ErrorKind::TaskNotFound));
        assert_eq!(remote(-32603, "INTERNAL").kind(), Some(ErrorKind::Internal));
        assert_eq!(remote(-32603, "UNAVAILABLE").kind(), Some(ErrorKind::Unavailable));
        assert_eq!(remote(-32099, "OWN").kind(), None);
    }

    #[test]
    fn only_errors_that_pass_are_transient() {
        assert!(ClientError::Protocol(remote(-32603, "UNAVAILABLE")).is_transient());
        assert!(!ClientError::Protocol(remote(-32603, "INTERNAL")).is_transient());
        assert!(!ClientError::Invalid("x".to_owned()).is_transient());
        assert!(ClientError::Timeout { url: "u".to_owned(), silence: Duration::from_secs(1) }.is_transient());
    }
}
