//! Why there is no response, with one variant for each kind that agents know, in words that agents may read.
//!
//! Never here: what the network said in detail; that goes to the log. Secrets, paths and queries: errors name origins
//! only.

use std::time::Duration;

use crate::rule::Rule;

/// A request without a response, or a response that ended too soon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// A rule is missing: `denied`.
    #[error("{denied}")]
    Denied {
        /// Which one.
        denied: Denied,
        /// See [`FetchError::reached`].
        reached: bool,
    },
    /// The request breaks the contract: `invalid`. Nothing was sent.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field of the contract's `request`.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The request's own time is up: `timed-out`.
    #[error("no complete response within {} s", .limit.as_secs_f64())]
    TimedOut {
        /// The time it had.
        limit: Duration,
        /// See [`FetchError::reached`].
        reached: bool,
    },
    /// No connection, or one that broke: `unavailable`.
    #[error("{origin} is not available: {reason}")]
    Unavailable {
        /// Which service.
        origin: String,
        /// Short, for agents and people.
        reason: String,
        /// See [`FetchError::reached`].
        reached: bool,
    },
    /// The bodies of others take all the room that the host has, and did until the time of the request was over: `limit`.
    #[error(
        "the bodies of this host's requests take {bytes_max} bytes together, and there was no room for this one in its time; take what has come, or try again later"
    )]
    NoRoom {
        /// All the room there is.
        bytes_max: usize,
        /// See [`FetchError::reached`].
        reached: bool,
    },
    /// The response is larger than allowed: `limit`.
    #[error("the response is larger than {name} ({bytes_max} bytes)")]
    Limit {
        /// The name of the bound in the contract.
        name: &'static str,
        /// The bound.
        bytes_max: usize,
    },
}

/// Which rule keeps a request from leaving.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The author did not ask for it.
    #[error("the card does not request `{rule}`{}", not_below(.near.as_ref()))]
    NotRequested {
        /// A rule that would do.
        rule: String,
        /// A rule of the card that all but the path fits.
        near: Option<Rule>,
    },
    /// The operator did not allow it.
    #[error("the operator has not granted `{rule}`{}", not_below(.near.as_ref()))]
    NotGranted {
        /// A rule that would do.
        rule: String,
        /// A rule of the operator that all but the path fits.
        near: Option<Rule>,
    },
    /// The host leads to an address that is not public. The address itself is in the log only: agents must not learn
    /// the operator's network by asking for names.
    #[error("the address of `{host}` is not public ({what}); the operator must allow it with --allow-private")]
    Address {
        /// As the url has it.
        host: String,
        /// What the address is, for example `loopback`.
        what: &'static str,
    },
    /// The credential is for other sites.
    #[error("the credential `{credential}` is not for `{origin}`")]
    Credential {
        /// Its name.
        credential: String,
        /// Where the request goes.
        origin: String,
    },
}

impl FetchError {
    /// Whether the other side may have seen the request, whole or in part. If not, sending it again is safe whatever it
    /// does.
    #[must_use]
    pub fn reached(&self) -> bool {
        match self {
            FetchError::Denied { reached, .. }
            | FetchError::NoRoom { reached, .. }
            | FetchError::TimedOut { reached, .. }
            | FetchError::Unavailable { reached, .. } => *reached,
            FetchError::Invalid { .. } => false,
            FetchError::Limit { .. } => true,
        }
    }

    /// The same error of a request that went out before: it was redirected, or its response was on the way.
    pub(crate) fn after_sending(mut self) -> FetchError {
        if let FetchError::Denied { reached, .. }
        | FetchError::NoRoom { reached, .. }
        | FetchError::TimedOut { reached, .. }
        | FetchError::Unavailable { reached, .. } = &mut self
        {
            *reached = true;
        }
        self
    }

    pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> FetchError {
        FetchError::Invalid { field, reason: reason.into() }
    }
}

impl From<Denied> for FetchError {
    fn from(denied: Denied) -> FetchError {
        FetchError::Denied { denied, reached: false }
    }
}

fn not_below(near: Option<&Rule>) -> String {
    near.map(|rule| format!(": the path is not below `{rule}`")).unwrap_or_default()
}
