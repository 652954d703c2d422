//! What a client may be told: who it is, how long it waits, how much it takes, and how hard it tries to resume.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::way::Way;

/// Everything about a client that is not the address.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Goes into `Authorization`. Sent to the origin that the user named and to no other.
    pub token: Option<BearerToken>,
    /// How long the client waits.
    pub deadlines: Deadlines,
    /// How much the client takes.
    pub limits: Limits,
    /// How a stream recovers.
    pub resume: Resume,
    /// What carries requests instead of connections of the client's own. Through it there are no streams, and its deadlines hold
    /// instead of the client's.
    pub way: Option<Arc<dyn Way>>,
}

/// A secret that its bearer is known by. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(String);

impl BearerToken {
    /// Takes the token as it stands after `Bearer`.
    #[must_use]
    pub fn new(token: impl Into<String>) -> BearerToken {
        BearerToken(token.into())
    }

    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

/// How long the client waits. There is no deadline on the whole of a call: an agent may work for days, as long as the
/// server shows that it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// Between two pieces of an ordinary answer. Generous, because few servers but Kennel (a line break every 3 s) write
    /// anything before a slow answer.
    pub answer_silence: Duration,
    /// Between two pieces of a stream. Kennel writes a comment every 3 s; elsewhere 15 s is usual.
    pub stream_silence: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            connect: Duration::from_secs(10),
            answer_silence: Duration::from_secs(120),
            stream_silence: Duration::from_secs(30),
        }
    }
}

/// How much the client takes before it calls the answer invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an ordinary answer: a page of tasks with artifacts can be large.
    pub answer_bytes_max: usize,
    /// Bytes of one event: above the largest part that Kennel allows, in base64, with room for its frame.
    pub event_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { answer_bytes_max: 64 << 20, event_bytes_max: 32 << 20 }
    }
}

/// How a stream recovers when its connection breaks. The count starts anew with every event that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Attempts in a row; 0 means never to resume.
    pub tries_max: u32,
    /// Wait before the first attempt. It doubles from attempt to attempt.
    pub delay_min: Duration,
    /// The longest wait between two attempts.
    pub delay_max: Duration,
}

impl Default for Resume {
    /// Half a minute in all: longer than a restart, or a takeover by another host, takes.
    fn default() -> Resume {
        Resume { tries_max: 10, delay_min: Duration::from_millis(200), delay_max: Duration::from_secs(5) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_show_in_debug_output() {
        let options = Options { token: Some(BearerToken::new("hunter2")), ..Options::default() };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
