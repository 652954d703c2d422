//! Durable tasks: the schema, the one commit path, reads, and wake-ups after a commit.
//!
//! Everything that a client was told is a row here before it was told. One writer makes groups of what wants to be written and
//! syncs once a group; readers use a pool of their own and never wait for it. Nobody above this crate sees SQL.
//!
//! Called by the host's service, stream, worker and registry. Knows `kennel-protocol` and SQL, nothing above.

#![warn(missing_docs)]

mod accept;
mod blob;
mod child;
mod claims;
mod clock;
mod commit;
mod db;
mod error;
mod inbox;
mod inspect;
mod journal;
mod kv;
mod open;
mod read;
mod registry;
mod room;
mod rows;
mod sql;
mod store;
mod trial;
mod wake;
mod whole;
mod writer;

#[cfg(test)]
mod tests;

pub use blob::{INLINE_BYTES_MAX, named};
pub use child::{Family, Parent};
pub use clock::Clock;
pub use error::{OpenError, StoreError};
pub use inbox::ChildStop;
pub use inspect::{Inspected, Inspector, RunRow, RunState, TaskFilter, TaskLine};
pub use journal::{CHECKPOINT, JournalEnd, JournalRow, NewAnswer, NewCall};
pub use kv::{KvEntry, KvExpect, KvKey, KvRange, KvUse, KvWrite};
pub use read::{Artifacts, Asking, EventRow, InboxMessage, ListFilter, Page, TaskView, Waiting, newest};
pub use registry::AgentRow;
pub use room::Room;
pub use rows::{
    Attempt, CancelOrder, Canceling, Claim, Claimable, ClaimedRun, Commit, Committed, Delivered, Delivery, Inbound,
    NewEvent, NewTask, OldMessage, OpenAnswer, Position, Route, RunChange, Scope, Start, Stored, TakenOver, TaskRow,
    Wait,
};
pub use store::{Accepting, Store, StoreOptions, claim_of};
pub use trial::{Crash, Trial};
pub use wake::{FALLBACK_POLL, Pokes, Stop, Subscription, TaskKey, Wakes};

/// The name under which the one host of an embedded database holds its leases.
pub(crate) const HOST: &str = "local";
