//! Runs an agent in a plain unit test: no host, no WebAssembly, no waiting. A script says what everybody else does.
//!
//! ```
//! use kennel::prelude::*;
//! use kennel::test::Runner;
//!
//! /// Asks two questions and sums up the answers.
//! #[kennel::agent(asks = true)]
//! fn interview(task: Task) -> Result<Outcome> {
//!     let name = task.ask("What is your name?").timeout(days(7)).text()?;
//!     let color = task.ask(format!("Hello {name}. Red or blue?")).one_of(["red", "blue"]).text()?;
//!     task.publish("summary", format!("{name} likes {color}."))?;
//!     done_with("Thank you.")
//! }
//!
//! let run = Runner::new("hello").answer("Ada").answer("red").run(interview);
//! assert_eq!(run.artifact("summary").as_text(), "Ada likes red.");
//! assert_eq!(run.text(), "Thank you.");
//! ```
//!
//! When the agent does what the script does not know, or does not do what the script expects, the test fails and shows what
//! happened so far. Time is the script's: a sleep of days takes none. The runner has no limits, it knows of JSON Schema what agents
//! use of it, and it does not exist in components.

mod script;
mod world;

pub(crate) mod imports;
mod outside;
mod results;
mod run;
mod schema;

use std::time::Duration;

use serde::Serialize;

pub use self::run::{Request, Run, Sent};
use self::script::{Answer, Script};
pub use self::script::{Http, Peer};
use self::world::{Stage, stop};
use crate::card::Card;
use crate::error::Result;
use crate::info::TaskState;
use crate::kv::Scope;
use crate::message::Draft;
use crate::outcome::{Outcome, Turn};
use crate::peer::TaskRef;
use crate::task::Task;

/// How often an agent may checkpoint in one test. One that does more goes round in a circle.
const GENERATIONS_MAX: u32 = 10_000;

/// A run that is prepared: the first message, and what the others will do. [`run`](Self::run) starts it.
#[derive(Clone, Debug)]
#[must_use = "the agent runs by run"]
pub struct Runner {
    script: Script,
    repeats: bool,
}

/// The client.
impl Runner {
    /// The run of a task that this message starts.
    pub fn new(message: impl Into<Draft>) -> Self {
        Self { script: Script::new(message.into()), repeats: false }
    }

    /// The answer to the agent's next question. One that does not meet the question's schema is refused, as the host does, and
    /// the next answer of the script is tried.
    pub fn answer(mut self, message: impl Into<Draft>) -> Self {
        self.script.answers.push_back(Answer::Says(message.into()));
        self
    }

    /// Nobody answers the agent's next question: its time-out passes.
    pub fn no_answer(mut self) -> Self {
        self.script.answers.push_back(Answer::Nothing);
        self
    }

    /// Somebody cancels the task at the agent's next question.
    pub fn cancel(mut self) -> Self {
        self.script.answers.push_back(Answer::Cancels);
        self
    }

    /// Somebody cancels the task when this much time has passed.
    pub fn cancel_after(mut self, time: Duration) -> Self {
        self.script.cancel_after = Some(time);
        self
    }

    /// The agent's next request for authorization is granted.
    pub fn grant(mut self) -> Self {
        self.script.answers.push_back(Answer::Grants);
        self
    }

    /// A message that is there when the agent looks for one, by [`Task::next_message`].
    pub fn message(self, message: impl Into<Draft>) -> Self {
        self.message_after(Duration::ZERO, message)
    }

    /// A message that comes when this much time has passed. Say earlier ones first.
    pub fn message_after(mut self, time: Duration, message: impl Into<Draft>) -> Self {
        self.script.messages.push_back((time, message.into()));
        self
    }

    /// The caller; an empty name is an anonymous one. Without it `caller`.
    pub fn caller(mut self, name: impl Into<String>) -> Self {
        self.script.caller = name.into();
        self
    }

    /// Media types that the client takes. Without it any.
    pub fn output_modes(mut self, modes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.script.output_modes = modes.into_iter().map(Into::into).collect();
        self
    }
}

/// The others.
impl Runner {
    /// The answer of a service to one request: `.http("GET", "https://api.example.com/people", 503)`. The same request again
    /// gets the next answer that the script has for it.
    pub fn http(mut self, method: &str, url: &str, answer: impl Into<Http>) -> Self {
        self.script.http.push((method.to_owned(), url.to_owned(), answer.into()));
        self
    }

    /// The answer of another agent to one message. The next message to it gets the next answer. Its tasks have the ids
    /// `NAME-1`, `NAME-2` and so on.
    pub fn peer(mut self, name: &str, answer: impl Into<Peer>) -> Self {
        self.script.peers.push((name.to_owned(), answer.into()));
        self
    }

    /// A task that the first message refers to, with what came of it.
    pub fn refer(mut self, task: &(impl TaskRef + ?Sized), what: impl Into<Peer>) -> Self {
        let id = task.task_id().unwrap_or_default().to_owned();
        self.script.message.reference_task_ids.push(id.clone());
        self.script.related.insert(id, what.into());
        self
    }
}

/// The host.
impl Runner {
    /// The name under which the agent is served. Without it `agent`.
    pub fn named(mut self, agent: impl Into<String>) -> Self {
        self.script.agent = agent.into();
        self
    }

    /// Holds the agent to its card, `KennelAgent::card()`: what that does not request is denied. Without it all is granted.
    pub fn card(mut self, card: Card) -> Self {
        self.script.card = Some(card);
        self
    }

    /// A setting of the operator.
    pub fn setting(mut self, name: &str, value: impl Into<String>) -> Self {
        self.script.settings.insert(name.to_owned(), value.into());
        self
    }

    /// A credential that the agent may use.
    pub fn credential(mut self, name: &str) -> Self {
        self.script.credentials.insert(name.to_owned());
        self
    }

    /// A durable value that is there already, as JSON.
    #[track_caller]
    pub fn value(mut self, scope: Scope, key: &str, value: impl Serialize) -> Self {
        self.script.values.push((scope, key.to_owned(), json(&value)));
        self
    }

    /// A value that somebody else writes just before the agent's next compare-and-set of the same key.
    #[track_caller]
    pub fn rival(mut self, scope: Scope, key: &str, value: impl Serialize) -> Self {
        self.script.rivals.push_back((scope, key.to_owned(), json(&value)));
        self
    }

    /// From what random bytes are made. Without it from 0; equal seeds give equal bytes.
    pub fn seed(mut self, seed: u64) -> Self {
        self.script.seed = seed;
        self
    }
}

/// The run.
impl Runner {
    /// Runs the agent a second time and fails the test if it makes other calls: so would one that Kennel repeats after a restart.
    /// Only here the order of a `HashMap` differs from run to run, as elsewhere in Rust; in Kennel it does not.
    pub fn repeated(mut self) -> Self {
        self.repeats = true;
        self
    }

    /// Runs an agent to its end, also over checkpoints.
    ///
    /// # Panics
    /// If the script and the agent disagree, and if the agent panics.
    #[track_caller]
    pub fn run(self, agent: impl Fn(Task) -> Result<Outcome>) -> Run {
        let again = self.repeats.then(|| self.script.clone());
        let run = once(self.script, &agent);
        let other = again.map(|script| once(script, &agent));
        let differs = other.as_ref().filter(|other| other.calls() != run.calls() || other.result() != run.result());
        if let Some(other) = differs {
            stop(&format!(
                "a second run of the agent differs, although everybody else did the same\n\n{run}\nthen:\n{other}"
            ));
        }
        run
    }
}

#[track_caller]
fn once(script: Script, agent: impl Fn(Task) -> Result<Outcome>) -> Run {
    let stage = Stage::set(script);
    let message = world::with(|world| world.begin());
    let mut turn = Turn { message, checkpoint: None, generation: 1 };
    let result = loop {
        match agent(Task::new(turn.clone())) {
            Ok(Outcome::Checkpoint(bytes)) => {
                world::with(|world| world.note(format!("checkpoint [{} bytes]", bytes.len())));
                turn = Turn { checkpoint: Some(bytes), generation: turn.generation + 1, ..turn };
            }
            end => break end,
        }
        if turn.generation > GENERATIONS_MAX {
            stop(&format!("the agent made {GENERATIONS_MAX} checkpoints, and goes on"));
        }
    };
    let world = stage.leave();
    let left = world.script.left();
    let run = Run::new(world, result, turn.generation);
    // What is left of a script tells little about an agent that failed early; that it failed does.
    if !left.is_empty() && run.state() != TaskState::Failed {
        stop(&format!("the script and the agent disagree: the agent ended, and left {}\n\n{run}", left.join(", ")));
    }
    run
}

#[track_caller]
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| stop(&format!("the value cannot be written as JSON: {error}")))
}
