//! The agent card: what the attribute fills in, and what the host completes with URLs, capabilities and security.

pub use crate::bindings::exports::kennel::agent::card::{
    Card, Extension, Hints, Mailbox, Provider, ReplyMode, Request, Setting, Skill,
};
