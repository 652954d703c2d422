//! Agents for Kennel in Rust: one function with one attribute is a whole A2A agent.
//!
//! ```
//! use kennel::prelude::*;
//!
//! /// Gives back what it is sent.
//! #[kennel::agent(examples = ["hello"])]
//! fn echo(task: Task) -> Result<Outcome> {
//!     task.say("working")?;
//!     task.publish("echo", task.text())?;
//!     done()
//! }
//! ```
//!
//! Build it as a `cdylib` for `wasm32-wasip2`; the doc comment becomes the description of the agent card.
//!
//! # How an agent runs
//!
//! The function runs once for each task, from the first line to the outcome, in a memory of its own. Every method of [`Task`]
//! that says **parks** may wait for days: Kennel may drop the instance meanwhile, run the function again from its start, and
//! answer each call from its journal until the point where it stopped. So between such calls depend on nothing but the task and
//! earlier answers. Time, randomness and the order of hash maps are taken care of; a static that counts runs is not.
//!
//! # Errors
//!
//! `?` is enough. An error of the host ends the task with its true reason, a wish to cancel ends it CANCELED, and every
//! `std::error::Error` becomes an [`Error`]. [`fail`] makes your own, [`OrFail`] names what went wrong. The message of an
//! error may be shown to the client.
//!
//! # Where things are
//!
//! | For | Look at |
//! |---|---|
//! | status, questions, messages, cancel, time | [`Task`], [`ask`] |
//! | a function for each message, with a state | [`handler`] |
//! | results, whole or in pieces | [`Artifact`], [`OpenArtifact`], [`Part`] |
//! | other agents | [`peer`] |
//! | HTTP | [`http`] |
//! | work side by side, a race, a time limit | [`wait`] |
//! | trying again, one agent after the other | [`Task::retry`], [`Task::chain`] |
//! | values that outlive a task | [`kv`] |
//! | lines for the operator | [`log`] |
//! | the card and the keys of the attribute | [`agent`](macro@agent), [`card`] |
//! | tests without a host | [`mod@test`] |

#![warn(missing_docs)]

#[doc(hidden)]
pub mod bindings;
mod entry;
mod host;

mod task;

pub mod ask;
pub mod handler;
pub mod info;

mod artifact;
pub mod message;
mod metadata;
mod outcome;
mod part;
mod status;

pub mod card;
pub mod http;
pub mod kv;
pub mod log;
pub mod peer;
mod retry;
pub mod wait;

mod error;
pub mod time;

#[cfg(not(target_family = "wasm"))]
pub mod test;

pub use artifact::{Artifact, Heading, OpenArtifact};
pub use entry::{Agent, Exported};
pub use error::{Error, ErrorKind, OrFail, Result, fail};
pub use kennel_macros::agent;
pub use message::{Draft, Message, Role};
pub use outcome::{Outcome, Turn, canceled, checkpoint, done, done_with, refuse, reply};
pub use part::{Content, Part};
pub use retry::Backoff;
pub use serde_json::{self, Value, json};
pub use status::Status;
pub use task::Task;

/// What almost every agent needs. Import it whole.
pub mod prelude {
    pub use crate::error::{Error, ErrorKind, OrFail, Result, fail};
    pub use crate::log;
    pub use crate::outcome::{Outcome, canceled, checkpoint, done, done_with, refuse, reply};
    pub use crate::time::{days, hours, milliseconds, minutes, seconds};
    pub use crate::wait::{join, race, within};
    pub use crate::{Artifact, Content, Draft, Message, Part, Task, Value, json};
}
