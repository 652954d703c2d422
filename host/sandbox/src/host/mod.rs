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
