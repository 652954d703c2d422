//! How a run begins and how it ends well.

pub use crate::bindings::exports::kennel::agent::agent::{Outcome, Turn};
use crate::error::Result;
use crate::message::Draft;

/// The work is done: COMPLETED. Results belong in artifacts, published before.
pub fn done() -> Result<Outcome> {
    Ok(Outcome::Completed(None))
}

/// The work is done: COMPLETED, with a last status message.
pub fn done_with(message: impl Into<Draft>) -> Result<Outcome> {
    Ok(Outcome::Completed(Some(message.into())))
}

/// The agent will not do this: REJECTED. The message says why.
pub fn refuse(message: impl Into<Draft>) -> Result<Outcome> {
    Ok(Outcome::Rejected(message.into()))
}

/// A bare message and no task, for agents with `reply = message` or `reply = auto`. In an agent that answers with tasks it is
/// an invalid response, and the task fails.
pub fn reply(message: impl Into<Draft>) -> Result<Outcome> {
    Ok(Outcome::Reply(message.into()))
}

/// The agent stopped because it was asked to: CANCELED. For agents that clean up first; without that, `?` does it.
pub fn canceled() -> Result<Outcome> {
    Ok(Outcome::Canceled(None))
}

/// Not an end: the host keeps these bytes (at most 1 MiB), forgets the journal and runs the function again at once, where
/// [`Task::checkpoint`](crate::Task::checkpoint) gives them back. What clients saw stays.
pub fn checkpoint(bytes: impl Into<Vec<u8>>) -> Result<Outcome> {
    Ok(Outcome::Checkpoint(bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_short_form() {
        assert_eq!(done(), Ok(Outcome::Completed(None)));
        assert_eq!(done_with("bye"), Ok(Outcome::Completed(Some("bye".into()))));
        assert_eq!(refuse("no"), Ok(Outcome::Rejected("no".into())));
        assert_eq!(reply("hi"), Ok(Outcome::Reply("hi".into())));
        assert_eq!(canceled(), Ok(Outcome::Canceled(None)));
        assert_eq!(checkpoint("n=1"), Ok(Outcome::Checkpoint(b"n=1".to_vec())));
    }
}
