//! The functions that guests import, one file for each interface of `kennel:agent`.
//!
//! Never here: WIT-to-A2A rules (`convert.rs`), storage, policy. A function checks the form of its arguments, makes a
//! [`crate::call::Call`] of them and returns the answer; what needs no answer of the worker is given from the state.

mod ambient;
mod artifact;
mod config;
mod http;
mod kv;
mod log;
mod peers;
mod task;
mod types;
mod wait;

use crate::call::{ErrorKind, GuestError};

/// The answer of an interface that this host does not carry yet.
fn not_offered(interface: &str) -> GuestError {
    let message = format!("This host does not offer {interface} yet.");
    GuestError::new(ErrorKind::Unavailable, interface, message)
}
