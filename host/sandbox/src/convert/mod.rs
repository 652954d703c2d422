//! Where WIT types and A2A types meet: [`take`] checks what a guest hands over, [`give`] hands over to a guest.
//!
//! Never here: calls and state. Nobody else in this crate turns one into the other. Every rule of `types.wit` is kept in
//! `take.rs`, so that what reaches the worker is sound.

pub(crate) mod give;
mod numbers;
pub(crate) mod take;
