//! Values of the calls of `task` and `artifact`: what a guest says, asks for and hears. Never here: what becomes of it. Used
//! by `mod.rs`.

use std::time::Duration;

use kennel_protocol::types::{JsonObject, JsonValue, Message, Part};
use kennel_protocol::{ArtifactId, Timestamp};
use serde::{Deserialize, Serialize};

use super::form::as_millis_if_some;

/// A message as its author knows it: the host adds message id, context, task and role.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Draft {
    /// At least one part; checked before the call is made.
    pub parts: Vec<Part>,
    /// Keys of A2A extensions.
    pub metadata: Option<JsonObject>,
    /// URIs of the A2A extensions that the message uses.
    pub extensions: Vec<String>,
    /// Other tasks that give context to the reader.
    pub reference_task_ids: Vec<String>,
}

/// How far the work is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// 0 to 100.
    pub percent: Option<u8>,
    /// Short name of the current step.
    pub phase: Option<String>,
}

/// What is known of an artifact before its parts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Heading {
    /// The author's own id; none lets the host make one.
    pub artifact_id: Option<ArtifactId>,
    /// Stable name.
    pub name: Option<String>,
    /// For people and models.
    pub description: Option<String>,
    /// Sent with the first piece.
    pub metadata: Option<JsonObject>,
    /// URIs of the A2A extensions that the artifact uses.
    pub extensions: Vec<String>,
}

/// What a task needs to be authorized for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuthRequest {
    /// Name of the credential.
    pub credential: String,
    /// Scopes in the terms of the other service.
    pub scopes: Vec<String>,
    /// Where a person can grant it.
    pub url: Option<String>,
    /// How long to wait; none: as long as the operator allows.
    #[serde(serialize_with = "as_millis_if_some")]
    pub timeout: Option<Duration>,
}

/// What came of a prompt.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// Somebody answered; with a schema, the value that met it.
    Reply(Box<Message>, Option<JsonValue>),
    /// Nobody did in time.
    TimedOut,
}

/// What came of a request for authorization.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// The credential may be used by this name.
    Granted(String),
    /// The client answered with a message instead.
    Reply(Box<Message>),
    /// Nothing came in time.
    TimedOut,
}

/// Who asked a task to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelSource {
    /// CancelTask by a client.
    Client,
    /// The parent task.
    Parent,
    /// A person with operator rights.
    Operator,
    /// The task's lifetime is over.
    Deadline,
}

/// A request to stop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CancelRequest {
    /// Who asked.
    pub source: CancelSource,
    /// In words, if given.
    pub reason: Option<String>,
    /// Metadata of the request.
    pub metadata: Option<JsonObject>,
    /// When the host ends the task by force.
    pub force_at: Timestamp,
}
