//! The one error of an agent, and the ways to make one.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::num::{ParseFloatError, ParseIntError, TryFromIntError};
use std::str::Utf8Error;
use std::string::FromUtf8Error;

pub use crate::bindings::kennel::agent::types::ErrorKind;

/// A result whose error is Kennel's, unless another one is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was not done: what every call of the host answers, and what ends a task FAILED when the agent returns it.
///
/// It is not a `std::error::Error` itself, so that every type that is one turns into it by `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What the caller can do about it.
    pub kind: ErrorKind,
    /// A stable short name, lower case with dots and dashes: a rule, a limit or a field of the host, or the agent's own.
    pub code: String,
    /// One sentence for people. Clients may see it: no secrets, no internals.
    pub message: String,
    /// Whether the same thing may succeed later without a change.
    pub retryable: bool,
}

impl Error {
    /// An error of any kind. Most agents need only [`fail`].
    pub fn new(kind: ErrorKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, code: code.into(), message: message.into(), retryable: false }
    }

    /// Says that the same thing may succeed later without a change.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Whether somebody asked the task to stop. Returning such an error ends the task CANCELED.
    pub fn is_canceled(&self) -> bool {
        self.kind == ErrorKind::Canceled
    }

    /// Whether a time limit passed.
    pub fn is_timed_out(&self) -> bool {
        self.kind == ErrorKind::TimedOut
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl<E: StdError + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        fail(code_of(&error), error.to_string())
    }
}

/// The agent's own failure: `return Err(fail("no-flight", "There is no flight on that day."))`.
pub fn fail(code: impl Into<String>, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Failed, code, message)
}

/// Turns what went wrong into a failure that a client understands.
///
/// ```
/// use kennel::prelude::*;
///
/// fn minutes_of(text: &str) -> Result<u32> {
///     let number = text.split(' ').next().or_fail("minutes", "Say how many minutes.")?;
///     number.parse().or_fail("minutes", format!("{number} is not a number of minutes."))
/// }
///
/// assert_eq!(minutes_of("soon").unwrap_err().message, "soon is not a number of minutes.");
/// ```
pub trait OrFail<T> {
    /// The value, or a failure with this code and message. The original error is dropped: a client has no use for it.
    fn or_fail(self, code: impl Into<String>, message: impl Into<String>) -> Result<T>;
}

impl<T> OrFail<T> for Option<T> {
    fn or_fail(self, code: impl Into<String>, message: impl Into<String>) -> Result<T> {
        self.ok_or_else(|| fail(code, message))
    }
}

impl<T, E> OrFail<T> for std::result::Result<T, E> {
    fn or_fail(self, code: impl Into<String>, message: impl Into<String>) -> Result<T> {
        self.map_err(|_| fail(code, message))
    }
}

/// A short name for errors that agents meet often, so that programs can tell them apart without reading the message.
fn code_of(error: &dyn Any) -> &'static str {
    if error.is::<serde_json::Error>() {
        "json"
    } else if error.is::<ParseIntError>() || error.is::<ParseFloatError>() || error.is::<TryFromIntError>() {
        "number"
    } else if error.is::<Utf8Error>() || error.is::<FromUtf8Error>() {
        "utf-8"
    } else {
        "error"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_mark_turns_a_standard_error_into_a_failure_with_a_code() {
        fn number(text: &str) -> Result<u8> {
            Ok(text.parse::<u8>()?)
        }
        let error = number("many").unwrap_err();
        assert_eq!((error.kind, error.code.as_str(), error.retryable), (ErrorKind::Failed, "number", false));
        assert_eq!(error.to_string(), "invalid digit found in string (number)");
    }

    #[test]
    fn errors_have_codes_by_their_type() {
        assert_eq!(Error::from(serde_json::from_str::<u8>("{").unwrap_err()).code, "json");
        assert_eq!(Error::from(String::from_utf8(vec![0xff]).unwrap_err()).code, "utf-8");
        assert_eq!(Error::from(fmt::Error).code, "error");
    }

    #[test]
    fn or_fail_names_what_is_missing() {
        let missing = None::<u8>.or_fail("city", "Which city?").unwrap_err();
        assert_eq!(missing, fail("city", "Which city?"));
        assert_eq!("7".parse::<u8>().or_fail("n", "?").unwrap(), 7);
    }

    #[test]
    fn only_retryable_says_that_another_try_helps() {
        assert!(fail("busy", "Later.").retryable().retryable);
        assert!(Error::new(ErrorKind::Canceled, "x", "y").is_canceled());
    }
}
