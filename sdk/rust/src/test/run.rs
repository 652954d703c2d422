//! What happened in a run, as a test asks for it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::results::name;
use super::script::{shown, word};
use super::world::{World, stop};
use crate::Artifact;
pub use crate::bindings::kennel::agent::http::Request;
use crate::error::{Error, Result};
use crate::info::TaskState;
use crate::kv::Scope;
use crate::message::{Draft, Message};
use crate::outcome::Outcome;
use crate::part::text_of;

/// What the agent did so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) calls: Vec<String>,
    pub(super) logs: Vec<String>,
    pub(super) artifacts: Vec<Artifact>,
    pub(super) said: Vec<Draft>,
    pub(super) asked: Vec<Draft>,
    pub(super) requests: Vec<Request>,
    pub(super) sent: Vec<Sent>,
    pub(super) messages: Vec<Message>,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.calls.is_empty() {
            return writeln!(f, "  nothing");
        }
        self.calls.iter().zip(1..).try_for_each(|(call, n)| writeln!(f, "{n:3}. {call}"))
    }
}

/// A message that the agent sent to a peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// The name of the peer.
    pub to: String,
    /// What was sent, with the tasks that it refers to.
    pub message: Draft,
    /// The task that it answers; none if it starts a new one.
    pub task_id: Option<String>,
}

impl Sent {
    /// The text of the message.
    pub fn text(&self) -> String {
        text_of(&self.message.parts)
    }
}

/// What an agent did and how it ended, from [`Runner::run`](super::Runner::run). Printed, it is all calls in order.
///
/// Methods that name one thing fail the test when there is none, and show what there is.
#[derive(Clone, Debug)]
pub struct Run {
    record: Record,
    result: Result<Outcome>,
    generations: u32,
    elapsed: Duration,
    canceled: bool,
    values: BTreeMap<(&'static str, String), (Vec<u8>, String)>,
}

/// How it ended.
impl Run {
    pub(super) fn new(world: World, result: Result<Outcome>, generations: u32) -> Self {
        let World { record, clock, canceled, values, .. } = world;
        Self { record, result, generations, elapsed: clock, canceled: canceled.is_some(), values }
    }

    /// What the agent returned.
    pub fn result(&self) -> &Result<Outcome> {
        &self.result
    }

    /// The state in which the task ended. A bare message counts as COMPLETED.
    pub fn state(&self) -> TaskState {
        match &self.result {
            Ok(Outcome::Completed(_) | Outcome::Reply(_) | Outcome::Checkpoint(_)) => TaskState::Completed,
            Ok(Outcome::Rejected(_)) => TaskState::Rejected,
            Ok(Outcome::Canceled(_)) => TaskState::Canceled,
            Err(error) if error.is_canceled() && self.canceled => TaskState::Canceled,
            Err(_) => TaskState::Failed,
        }
    }

    /// The error with which the agent ended.
    #[track_caller]
    pub fn error(&self) -> &Error {
        match &self.result {
            Err(error) => error,
            Ok(_) => stop(&format!("the agent did not fail:\n{self}")),
        }
    }

    /// The text of the last message: of the outcome, the bare message, or the error. Empty if there is none.
    pub fn text(&self) -> String {
        match &self.result {
            Ok(Outcome::Completed(message) | Outcome::Canceled(message)) => message.as_ref().map(draft_text),
            Ok(Outcome::Rejected(message) | Outcome::Reply(message)) => Some(draft_text(message)),
            Ok(Outcome::Checkpoint(_)) => None,
            Err(error) => Some(error.message.clone()),
        }
        .unwrap_or_default()
    }

    /// How often the function was called: 1, and one more for each checkpoint.
    pub fn generations(&self) -> u32 {
        self.generations
    }

    /// How much time passed for the agent.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

/// What it did.
impl Run {
    /// All artifacts, in the order of their creation. One that came in pieces is whole.
    pub fn artifacts(&self) -> &[Artifact] {
        &self.record.artifacts
    }

    /// The artifact with this name.
    #[track_caller]
    pub fn artifact(&self, name: &str) -> &Artifact {
        let artifact = self.record.artifacts.iter().find(|artifact| artifact.name.as_deref() == Some(name));
        artifact.unwrap_or_else(|| stop(&format!("there is no artifact {name}:\n{self}")))
    }

    /// The texts of the status messages, questions left out.
    pub fn said(&self) -> Vec<String> {
        self.record.said.iter().map(draft_text).collect()
    }

    /// The texts of the questions to the client.
    pub fn asked(&self) -> Vec<String> {
        self.record.asked.iter().map(draft_text).collect()
    }

    /// All requests to services, also those that were refused.
    pub fn requests(&self) -> &[Request] {
        &self.record.requests
    }

    /// All messages to other agents.
    pub fn sent(&self) -> &[Sent] {
        &self.record.sent
    }

    /// The messages of the task, the client's and the agent's.
    pub fn messages(&self) -> &[Message] {
        &self.record.messages
    }

    /// A durable value as it was at the end; none if there is none.
    #[track_caller]
    pub fn value<T: DeserializeOwned>(&self, scope: Scope, key: &str) -> Option<T> {
        let (value, _) = self.values.get(&(name(scope), key.to_owned()))?;
        let read = serde_json::from_slice(value);
        Some(read.unwrap_or_else(|error| stop(&format!("the value of {key} is something else: {error}"))))
    }

    /// The lines for the operator: `info: searched hits=3`.
    pub fn logs(&self) -> &[String] {
        &self.record.logs
    }

    /// Every call of the host in order with what came of it, one line each: `ask "Red or blue?" -> "red"`.
    pub fn calls(&self) -> &[String] {
        &self.record.calls
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}end: {} after {:?}", self.record, word(self.state()), self.elapsed)?;
        match &self.result {
            Err(error) => writeln!(f, ": {error}"),
            Ok(outcome) => match outcome {
                Outcome::Completed(Some(message)) | Outcome::Canceled(Some(message)) => {
                    writeln!(f, ": {}", shown(&message.parts))
                }
                Outcome::Rejected(message) | Outcome::Reply(message) => writeln!(f, ": {}", shown(&message.parts)),
                Outcome::Completed(None) | Outcome::Canceled(None) | Outcome::Checkpoint(_) => writeln!(f),
            },
        }
    }
}

fn draft_text(draft: &Draft) -> String {
    text_of(&draft.parts)
}
