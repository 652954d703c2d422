//! The calls of the host, one module per WIT interface: in a component what it imports, elsewhere what a test's script says.
//!
//! This is the only place where the two differ. Everything else in this crate is the same code in a component and in a test.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::kennel::agent::{ambient, artifact, config, http, kv, log, peers, task, wait};

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::test::imports::{ambient, artifact, config, http, kv, log, peers, task, wait};
