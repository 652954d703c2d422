//! A small A2A 1.0 client: JSON-RPC over HTTP, and event streams that survive a broken connection.
//!
//! `kennel a2a`, `kennel demo`, the conformance command and calls between hosts use it. It speaks for a client only: it
//! stores nothing, decides nothing about tasks, and spawns nothing, so dropping a value ends all its work.
//!
//! ```no_run
//! # async fn example() -> Result<(), kennel_client::ClientError> {
//! use kennel_client::{Client, user_message};
//! use kennel_protocol::types::{Part, SendMessageRequest};
//!
//! let client = Client::connect("http://127.0.0.1:8080/agents/echo").await?;
//! let message = user_message(vec![Part::text("hello")]);
//! let mut events = client.stream(SendMessageRequest { message, ..Default::default() }).await?;
//! while let Some(event) = events.next().await? {
//!     // Each event exactly once and in order, however often the connection broke meanwhile.
//!     let _ = (event.id, event.event);
//! }
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod client;
mod discover;
mod stream;

mod error;
mod options;

mod backoff;
mod rpc;
mod sse;
mod transport;
mod way;

#[cfg(test)]
mod testing;

pub use client::{Client, user_message};
pub use discover::{FoundCard, find_card};
pub use error::{ClientError, RemoteError};
pub use options::{BearerToken, Deadlines, Limits, Options, Resume};
pub use stream::{EventStream, StreamEvent};
pub use way::{Carried, Outgoing, Received, Way};
