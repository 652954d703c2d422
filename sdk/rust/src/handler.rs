//! Agents in handler style: one function that is called for each message, with a state that it may change.
//!
//! ```
//! use kennel::handler::{ask, end};
//! use kennel::prelude::*;
//!
//! /// Adds up numbers until it hears "stop".
//! #[kennel::agent(asks = true)]
//! fn adder(task: Task) -> Result<Outcome> {
//!     task.on_message(|sum: &mut i64, said| match said.text().as_str() {
//!         "stop" => end(done_with(format!("{sum} in all."))),
//!         number => {
//!             *sum += number.parse::<i64>().or_fail("number", "Say a number, or stop.")?;
//!             ask(format!("{sum} so far. Next?"))
//!         }
//!     })
//! }
//! # let run = kennel::test::Runner::new("2").answer("40").answer("stop").run(adder);
//! # assert_eq!((run.text().as_str(), run.generations()), ("42 in all.", 3));
//! ```
//!
//! Each turn ends with a question, and the task is INPUT_REQUIRED until the next message. Between turns the state is kept in the
//! checkpoint of the task, as JSON: so the journal never grows, and a conversation may go on for years. An agent that asks a
//! few things in a row is shorter as a straight line, by [`Task::ask`].

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ask::{Ask, Reply};
use crate::error::{OrFail, Result};
use crate::message::Draft;
use crate::outcome::{Outcome, checkpoint};
use crate::part::{Content, Part};
use crate::task::Task;

/// How a turn ends: made by [`ask`] and [`end`].
#[derive(Debug)]
#[must_use = "a turn ends by what its function returns"]
pub enum Next {
    /// The task waits for the answer to this question, which is the message of the next turn.
    Ask(Ask),
    /// The task ends.
    End(Outcome),
}

/// Ends the turn with a question: a text, or `task.ask(..)` with choices or a time-out. Nobody answering in time ends the task
/// FAILED with the code `no-answer`.
pub fn ask(question: impl Into<Ask>) -> Result<Next> {
    Ok(Next::Ask(question.into()))
}

/// Ends the task: `end(done())`, `end(refuse("No."))`.
pub fn end(outcome: Result<Outcome>) -> Result<Next> {
    outcome.map(Next::End)
}

impl Task {
    /// Calls a function with the message that came: the first one of the task, then the answer to each question that the function
    /// ended with. What it changes of its state is there again at the next message; at the first it is the default. State and
    /// question together have room for 1 MiB. See [`handler`](crate::handler).
    pub fn on_message<S>(&self, turn: impl FnOnce(&mut S, &Reply) -> Result<Next>) -> Result<Outcome>
    where
        S: Default + Serialize + DeserializeOwned,
    {
        let (mut state, said) = match self.checkpoint() {
            None => (S::default(), Reply { message: self.message().clone(), value: None }),
            Some(bytes) => {
                let kept = serde_json::from_slice(bytes);
                let Kept { state, question } = kept.or_fail("handler.state", "The state was kept in another form.")?;
                (state, Ask::from(question).reply()?)
            }
        };
        match turn(&mut state, &said)? {
            Next::End(outcome) => Ok(outcome),
            Next::Ask(question) => checkpoint(serde_json::to_vec(&Kept { state, question: question.into() })?),
        }
    }
}

/// What is kept between two turns. A later version of the agent must read what an earlier one kept: a member that is added to the
/// state needs a default.
#[derive(Serialize, Deserialize)]
struct Kept<S> {
    state: S,
    question: KeptAsk,
}

#[derive(Serialize, Deserialize)]
struct KeptAsk {
    parts: Vec<KeptPart>,
    metadata: Option<String>,
    extensions: Vec<String>,
    reference_task_ids: Vec<String>,
    schema: Option<String>,
    timeout_ms: Option<f64>,
}

#[derive(Serialize, Deserialize)]
struct KeptPart {
    content: KeptContent,
    media_type: Option<String>,
    filename: Option<String>,
    metadata: Option<String>,
}

#[derive(Serialize, Deserialize)]
enum KeptContent {
    Text(String),
    Raw(Vec<u8>),
    Url(String),
    Data(String),
}

impl From<Ask> for KeptAsk {
    fn from(Ask { prompt, options }: Ask) -> Self {
        let Draft { parts, metadata, extensions, reference_task_ids } = prompt;
        let parts = parts.into_iter().map(KeptPart::from).collect();
        Self { parts, metadata, extensions, reference_task_ids, schema: options.schema, timeout_ms: options.timeout }
    }
}

impl From<KeptAsk> for Ask {
    fn from(kept: KeptAsk) -> Self {
        let KeptAsk { parts, metadata, extensions, reference_task_ids, schema, timeout_ms } = kept;
        let parts = parts.into_iter().map(Part::from).collect();
        let mut ask = Self::from(Draft { parts, metadata, extensions, reference_task_ids });
        ask.options.schema = schema;
        ask.options.timeout = timeout_ms;
        ask
    }
}

impl From<Part> for KeptPart {
    fn from(Part { content, media_type, filename, metadata }: Part) -> Self {
        let content = match content {
            Content::Text(text) => KeptContent::Text(text),
            Content::Raw(bytes) => KeptContent::Raw(bytes),
            Content::Url(url) => KeptContent::Url(url),
            Content::Data(json) => KeptContent::Data(json),
        };
        Self { content, media_type, filename, metadata }
    }
}

impl From<KeptPart> for Part {
    fn from(KeptPart { content, media_type, filename, metadata }: KeptPart) -> Self {
        let content = match content {
            KeptContent::Text(text) => Content::Text(text),
            KeptContent::Raw(bytes) => Content::Raw(bytes),
            KeptContent::Url(url) => Content::Url(url),
            KeptContent::Data(json) => Content::Data(json),
        };
        Self { content, media_type, filename, metadata }
    }
}
