//! Why a call got no answer. Never here: what the worker or the network said in detail. Used by `mod.rs`.

use serde::{Deserialize, Serialize};

/// What the caller of a failed host function can do next. The WIT enum `error-kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// Policy forbids it.
    Denied,
    /// The task has been asked to stop.
    Canceled,
    /// A time limit passed.
    TimedOut,
    /// A bound was reached; the code is its name.
    Limit,
    /// The other side is not there.
    Unavailable,
    /// The arguments break the contract; the code is the field.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// An outside call may or may not have taken effect.
    UnknownOutcome,
    /// Everything else.
    Failed,
}

impl ErrorKind {
    /// The name as it stands in the WIT, for metadata that clients read.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Denied => "denied",
            ErrorKind::Canceled => "canceled",
            ErrorKind::TimedOut => "timed-out",
            ErrorKind::Limit => "limit",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not-found",
            ErrorKind::UnknownOutcome => "unknown-outcome",
            ErrorKind::Failed => "failed",
        }
    }
}

/// The one error record of the contract with agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestError {
    /// What the caller can do about it.
    pub kind: ErrorKind,
    /// Stable short name.
    pub code: String,
    /// One sentence for people; may be shown to the client.
    pub message: String,
    /// Whether the same thing may succeed later without a change.
    pub retryable: bool,
}

impl GuestError {
    /// An error that will not go away by itself.
    pub fn new(kind: ErrorKind, code: &str, message: impl Into<String>) -> GuestError {
        GuestError { kind, code: code.to_owned(), message: message.into(), retryable: false }
    }
}

/// Why a call got no answer.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The guest gets this error and may go on.
    Guest(GuestError),
    /// The activation is over: the instance is dropped without another word.
    Abandon,
    /// As `Abandon`, and nothing that the guest does is the reason: the store or the machine failed.
    HostFault,
}

impl From<GuestError> for Refusal {
    fn from(error: GuestError) -> Refusal {
        Refusal::Guest(error)
    }
}
