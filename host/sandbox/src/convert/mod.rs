//! Where WIT types and A2A types meet: [`take`] checks what a guest hands over, [`give`] hands over to a guest.
//!
//! What only one interface knows has a file of its own, for both directions: [`http`], [`kv`], [`peers`].
//!
//! Never here: calls and state. Nobody else in this crate turns one into the other. Every rule of `types.wit` is kept in
//! `take.rs`, so that what reaches the worker is sound.

pub(crate) mod give;
pub(crate) mod http;
pub(crate) mod kv;
mod numbers;
pub(crate) mod peers;
pub(crate) mod take;
