//! The A2A operations, each written once. The wire layers above know how they are spelled; the store below knows how they last.
//!
//! Every method takes the caller first: a task of another owner or tenant is a task that does not exist. Never here: HTTP, JSON-RPC,
//! wasmtime, writing a task's log.

mod cancel;
mod read;
mod send;

use std::sync::Arc;

use kennel_protocol::{AgentId, Caller, Error, TaskId};
use kennel_store::{Room, Scope, Store, StoreError, TaskView};

use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::config::{Allowed, HostLimits};
use crate::registry::Registry;
use crate::work::{SeenLimits, Work};

pub(crate) use send::SendStream;

/// The operations of one host.
#[derive(Clone)]
pub struct Service {
    store: Arc<Store>,
    broker: Arc<Broker<Work>>,
    registry: Arc<Registry>,
    limits: HostLimits,
    /// What entry 0 of a new task's journal says of bounds.
    seen_limits: SeenLimits,
    /// What the operator allows agents.
    allowed: Allowed,
    /// The host is stopping: whoever waits for a task gets it as it stands, for it goes on at the next start.
    closing: CancellationToken,
}

/// What an operation answers, with the room in memory that it takes until it is sent.
#[derive(Debug)]
pub struct Held<T> {
    /// The answer.
    pub value: T,
    /// Dropped when the client has it.
    pub room: Room,
}

impl<T> Held<T> {
    /// The same room for what is made of the answer.
    fn map<U>(self, make: impl FnOnce(T) -> U) -> Held<U> {
        Held { value: make(self.value), room: self.room }
    }
}

impl<T> From<T> for Held<T> {
    /// A small answer.
    fn from(value: T) -> Held<T> {
        Held { value, room: Room::default() }
    }
}

/// What operations are made of.
pub struct Parts {
    /// The host's store.
    pub store: Arc<Store>,
    /// Slots, and the way to the worker.
    pub broker: Arc<Broker<Work>>,
    /// The agents.
    pub registry: Arc<Registry>,
    /// Bounds.
    pub limits: HostLimits,
    /// The bounds that an agent can tell.
    pub seen_limits: SeenLimits,
    /// What the operator allows agents.
    pub allowed: Allowed,
    /// Cancelled when the host stops.
    pub closing: CancellationToken,
}

impl Service {
    /// Operations over these parts.
    pub fn new(parts: Parts) -> Service {
        let Parts { store, broker, registry, limits, seen_limits, allowed, closing } = parts;
        Service { store, broker, registry, limits, seen_limits, allowed, closing }
    }

    /// The agents behind the operations.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Every task is looked up within the caller and the agent that was addressed.
    fn scope(caller: &Caller, agent: &AgentId) -> Scope {
        Scope { tenant: caller.tenant.clone(), owner: caller.principal.clone(), agent: Some(agent.clone()) }
    }

    async fn view(&self, scope: &Scope, task: &TaskId) -> Result<TaskView, Error> {
        let view = self.store.task_for_client(scope, task, None).await.map_err(|error| store_error(&error))?;
        view.ok_or_else(|| Error::task_not_found(task))
    }
}

/// A fault of the store as clients see it; the chain goes to the log here, once.
pub(crate) fn store_error(error: &StoreError) -> Error {
    match error {
        StoreError::Busy { retry_after } => {
            tracing::warn!(%error, "a request was refused");
            Error::unavailable("The host has too much to write.").retry_after(*retry_after)
        }
        StoreError::Crowded { retry_after } => {
            tracing::warn!(%error, "a request was refused");
            Error::unavailable("The host answers too many large tasks at once.").retry_after(*retry_after)
        }
        StoreError::Full => {
            tracing::error!(%error, "a request was refused");
            Error::unavailable("The host has no room to store the request; nothing was written.")
        }
        StoreError::Unavailable(_) => {
            tracing::error!(%error, "a request was refused");
            Error::unavailable("The store did not answer.")
        }
        StoreError::Corrupt(_) => {
            tracing::error!(%error, "a request failed");
            Error::internal()
        }
    }
}
