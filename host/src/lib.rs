//! The host: everything around the sandbox that makes agents an A2A server.
//!
//! Calls go one way: `api` → `service` → `store`, `broker`, `registry`; `worker` → `broker`, `store`, `sandbox`, `registry`. Facts come
//! back only as committed rows.

mod admin;
mod answer;
pub mod api;
mod broker;
pub mod cli;
pub mod config;
mod gate;
mod host;
mod intake;
mod registry;
mod service;
mod stream;
mod work;
mod worker;

pub use host::{Host, ServeError};
