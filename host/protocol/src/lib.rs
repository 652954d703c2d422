//! The A2A 1.0 vocabulary of Kennel (0.3 is a dialect of it, see [`v0_3`]): objects, ids, errors, versions, the task state machine and the fold of events.
//!
//! Everything that crosses the wire exists once, here, shaped as the specification says (`a2a.proto`); JSON is its
//! ProtoJSON form. This crate computes and never acts: no clock, no network, no storage, no async runtime.
//! The other crates of the workspace all build on it.
//!
//! A request comes in as text and is either good or explained:
//!
//! ```
//! use kennel_protocol::types::SendMessageRequest;
//! use kennel_protocol::{ErrorKind, parse};
//!
//! let text = r#"{"message": {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": 5}]}}"#;
//! parse::check_depth(text.as_bytes(), parse::ParseLimits::DEFAULT.depth_max)?;
//! let error = parse::request::<SendMessageRequest>(text).unwrap_err();
//! assert_eq!(error.kind, ErrorKind::InvalidParams);
//! assert_eq!(error.violations[0].field, "message.parts[0].text");
//! # Ok::<(), kennel_protocol::Error>(())
//! ```

#![warn(missing_docs)]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod caller;
pub mod error;
pub mod extension;
pub mod fold;
pub mod ids;
pub mod operation;
pub mod parse;
pub mod received;
pub mod state;
pub mod timestamp;
pub mod types;
pub mod v0_3;
pub mod version;

mod validate;

pub use caller::Caller;
pub use error::{Error, ErrorKind, FieldViolation};
pub use fold::{Fold, FoldError};
pub use ids::{
    AgentId, ArtifactId, ContextId, Digest, Epoch, InvalidId, MessageId, PrincipalId, Seq, TaskId, TenantId, Ver,
};
pub use operation::{Binding, Operation};
pub use timestamp::Timestamp;
pub use version::ProtocolVersion;

#[cfg(test)]
mod tests;
