//! The one place from which HTTP requests of agents leave the host.
//!
//! A request passes three gates, in this order, at the start and again at each redirect: the [`Policy`] (what the
//! agent's card requests and the operator grants), the address guard (no request into private networks, also not by a
//! name that leads there), and the bounds of [`EgressConfig`]. What does not pass is a [`FetchError`] that says which
//! rule is missing or which bound was reached, and whether the other side may have seen the request.
//!
//! Never here: SQL, wasmtime, journals, tasks, waiting lists; which request belongs to whom, and whether it is sent
//! again after a crash, is the caller's business ([`may_repeat`] only says what the contract says). Called by the
//! worker for the interface `http`.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use kennel_egress::{Egress, EgressConfig, Policy, Request};
//!
//! let egress = Egress::new(EgressConfig::default())?;
//! let rules = vec!["GET https://api.example.com/v1".parse()?];
//! let policy = Policy::new(rules.clone(), rules);
//! let response = egress.fetch(&policy, Request::new("GET", "https://api.example.com/v1/weather")).await?;
//! assert_eq!(response.head.status, 200);
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod config;
mod egress;
mod exchange;
mod request;
mod room;

mod credential;
mod policy;
mod rule;
mod site;

mod address;
mod guard;
mod network;

mod error;
mod repeat;

#[cfg(test)]
mod tests;

pub use config::{EgressConfig, Pieces};
pub use credential::{Credential, CredentialError};
pub use egress::{Egress, SetupError};
pub use error::{Denied, FetchError};
pub use exchange::{Exchange, Response, ResponseHead};
pub use network::{Network, NetworkError};
pub use policy::Policy;
pub use repeat::{AfterCrash, may_repeat};
pub use request::{REDIRECTS_DEFAULT, Request};
pub use room::Room;
pub use rule::Rule;
pub use site::{RuleError, Site};
