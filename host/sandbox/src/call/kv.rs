//! Values of the calls of `kv`. Never here: storage. Used by `mod.rs`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::form::base64;

/// Who shares a value. The WIT enum `kv.scope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvScope {
    /// All tasks of the agent.
    Agent,
    /// All tasks of the agent in the context.
    Context,
    /// All tasks of the agent for the caller.
    Caller,
    /// All agents of the tenant.
    Tenant,
}

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KvEntry {
    /// As written.
    #[serde(with = "base64")]
    pub value: Bytes,
    /// Changes with every write.
    pub version: String,
}

/// What came of a compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvSwapped {
    /// Written; the new version.
    Done(String),
    /// The entry as it is, if there is one.
    Conflict(Option<KvEntry>),
}
