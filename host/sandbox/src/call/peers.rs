//! Values of the calls of `peers`. Never here: who may talk to whom. Used by `mod.rs`.

use std::time::Duration;

use kennel_protocol::types::{JsonObject, Message, Task};
use serde::{Deserialize, Serialize};

use super::form::as_millis_if_some;

/// Options of a message to another agent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PeerOptions {
    /// Whether the new task belongs to this task's context.
    pub same_context: bool,
    /// A task of the peer that waits; none: the message starts a new one.
    pub task_id: Option<String>,
    /// Media types the agent can use; empty: any.
    pub accepted_output_modes: Vec<String>,
    /// Metadata of the request.
    pub metadata: Option<JsonObject>,
    /// Name of a credential for a remote agent.
    pub credential: Option<String>,
    /// How long the peer may take; none: no bound of its own.
    #[serde(serialize_with = "as_millis_if_some")]
    pub timeout: Option<Duration>,
}

/// What another agent answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerAnswer {
    /// A bare message.
    Message(Box<Message>),
    /// A task that is over, or that waits.
    Task(Box<Task>),
}
