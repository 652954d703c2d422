//! Whether a request may be sent again when nobody knows whether the first one arrived.
//!
//! Never here: finding out that nobody knows. Called by the worker when it replays an intent that has no result.

/// What the agent said about a repetition; `after-crash` of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCrash {
    /// GET, HEAD, OPTIONS, PUT and DELETE are repeated, and requests to which the agent gave an idempotency key.
    ByMethod,
    /// The request is repeated: the service is idempotent here.
    Repeat,
    /// The request is not repeated; the agent hears `unknown-outcome`.
    Report,
}

/// Whether the contract lets the host send the request again. `has_key`: the agent itself set `Idempotency-Key`. The
/// key that the host adds does not count: a service that never promised to honour it would carry out the request twice.
#[must_use]
pub fn may_repeat(method: &str, after_crash: AfterCrash, has_key: bool) -> bool {
    match after_crash {
        AfterCrash::Repeat => true,
        AfterCrash::Report => false,
        // RFC 9110, 9.2.2, without TRACE, which no agent may send.
        AfterCrash::ByMethod => has_key || matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotent_methods_and_keyed_requests_are_repeated() {
        for (method, expected) in [
            ("GET", true),
            ("HEAD", true),
            ("OPTIONS", true),
            ("PUT", true),
            ("DELETE", true),
            ("POST", false),
            ("PATCH", false),
            ("PURGE", false),
            ("get", false),
        ] {
            assert_eq!(may_repeat(method, AfterCrash::ByMethod, false), expected, "{method}");
            assert!(may_repeat(method, AfterCrash::ByMethod, true), "{method} with a key");
        }
    }

    #[test]
    fn the_word_of_the_agent_beats_the_method() {
        assert!(may_repeat("POST", AfterCrash::Repeat, false));
        assert!(!may_repeat("GET", AfterCrash::Report, false));
        assert!(!may_repeat("POST", AfterCrash::Report, true));
    }
}
