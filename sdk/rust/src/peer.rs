//! Messages to other A2A agents. What they make of one is a child task, linked to this one.
//!
//! ```
//! use kennel::prelude::*;
//!
//! /// Finds a flight and a hotel side by side.
//! #[kennel::agent(peers = [("flight", "Books flights."), ("hotel", "Books rooms.")])]
//! fn trip(task: Task) -> Result<Outcome> {
//!     let flight = task.peer("flight").send(task.text())?;
//!     let hotel = task.peer("hotel").send(task.text())?;
//!     let [flight, hotel] = join([flight, hotel])?;
//!     task.publish("trip", format!("{}\n{}", flight.text(), hotel.text()))?;
//!     done()
//! }
//! ```
//!
//! An agent of another host is addressed by the name that the operator gave it, or by the url of its card; the card of this agent asks
//! for the name or for a url prefix, and the operator grants it. Its task is known by its id there, and everything else is the same:
//!
//! ```
//! use kennel::prelude::*;
//!
//! /// Has a text translated elsewhere.
//! #[kennel::agent(peers = [("translator", "Another company's."), ("https://agents.example.org/public", "Whoever is best.")])]
//! fn translate(task: Task) -> Result<Outcome> {
//!     let name = if task.text().len() < 1000 { "translator" } else { "https://agents.example.org/public/large" };
//!     let translated = task.peer(name).timeout(hours(2)).ask(task.text())?;
//!     done_with(translated.text())
//! }
//! # use kennel::test::Runner;
//! # assert_eq!(Runner::new("Hallo").peer("translator", "hello").run(translate).text(), "hello");
//! ```

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::bindings::kennel::agent::peers::{ContextChoice, SendOptions};
use crate::error::{Error, ErrorKind, OrFail, Result, fail};
use crate::host::peers;
use crate::info::{TaskSnapshot, TaskState};
use crate::message::{Draft, Message};
use crate::metadata;
use crate::time::to_ms;
use crate::wait::{Finish, Pending};

/// How many questions of one peer are answered before it is taken for one that asks for ever.
const QUESTIONS_MAX: usize = 100;

/// A message to a peer that is not sent yet, from [`Task::peer`](crate::Task::peer).
#[derive(Debug)]
#[must_use = "a message is sent by send or ask"]
pub struct Peer {
    to: String,
    references: Vec<String>,
    options: SendOptions,
}

impl Peer {
    pub(crate) fn new(to: String) -> Self {
        let options = SendOptions {
            context: ContextChoice::Same,
            task_id: None,
            accepted_output_modes: Vec::new(),
            metadata: None,
            credential: None,
            timeout: None,
        };
        Self { to, references: Vec::new(), options }
    }

    /// Points the peer to another task, whose results it may then read.
    pub fn refer(mut self, task: &(impl TaskRef + ?Sized)) -> Self {
        self.references.extend(task.task_id().map(str::to_owned));
        self
    }

    /// Answers a task of this peer that waits for input, instead of starting a new one.
    pub fn resume(mut self, task: &(impl TaskRef + ?Sized)) -> Self {
        self.options.task_id = task.task_id().map(str::to_owned);
        self
    }

    /// Starts a new conversation instead of using this task's.
    pub fn fresh_context(mut self) -> Self {
        self.options.context = ContextChoice::Fresh;
        self
    }

    /// Media types that the agent can use. Without it any.
    pub fn output_modes(mut self, modes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.options.accepted_output_modes = modes.into_iter().map(Into::into).collect();
        self
    }

    /// Uses a credential of this agent for one elsewhere, by its name. Without it the operator's own for that peer, if there is one.
    pub fn credential(mut self, name: impl Into<String>) -> Self {
        self.options.credential = Some(name.into());
        self
    }

    /// How long the peer may take before its task is canceled and the answer is an error of the kind `timed-out`.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.options.timeout = Some(to_ms(time));
        self
    }

    /// Sets a value in the metadata of the request.
    pub fn with_metadata(mut self, key: &str, value: impl Serialize) -> Result<Self> {
        metadata::set(&mut self.options.metadata, key, value)?;
        Ok(self)
    }

    /// Sends the message and returns at once. Several sent messages are worked on side by side.
    pub fn send(self, message: impl Into<Draft>) -> Result<Child> {
        let mut message = message.into();
        message.reference_task_ids.extend(self.references);
        let id = peers::send(&self.to, &message, &self.options)?;
        Ok(Child { id, to: self.to, options: self.options })
    }

    /// Sends the message and waits until it is done, as [`Child::done`]. **Parks.**
    pub fn ask(self, message: impl Into<Draft>) -> Result<Answer> {
        self.send(message)?.done()
    }
}

/// Sends a message through several agents: each gets what the one before made of it, and a reference to that one's task.
pub(crate) fn chain<'a>(names: impl IntoIterator<Item = &'a str>, message: Draft) -> Result<Answer> {
    let mut names = names.into_iter();
    let first = names.next().or_fail("chain", "A chain has at least one agent.")?;
    let first = Peer::new(first.to_owned()).ask(message)?;
    names.try_fold(first, |before, name| Peer::new(name.to_owned()).refer(&before).ask(before.text()))
}

/// A message that a peer works on. Canceled with this task, and when this task fails.
#[derive(Debug)]
#[must_use = "the answer comes by done or take"]
pub struct Child {
    id: u32,
    to: String,
    /// Those of the message: a reply to the peer's question is sent in the same way.
    options: SendOptions,
}

impl Child {
    /// A message that this task sent before its last checkpoint, by its number and the name of the peer.
    pub fn again(pending: u32, to: impl Into<String>) -> Self {
        let Peer { to, options, .. } = Peer::new(to.into());
        Self { id: pending, to, options }
    }

    /// Waits for the answer and fails unless it is a bare message or a COMPLETED task. **Parks.**
    pub fn done(self) -> Result<Answer> {
        let to = self.to.clone();
        self.take()?.done(&to)
    }

    /// Waits for the answer, whatever it is: a task that failed or that asks for input is an answer too. **Parks.**
    pub fn take(self) -> Result<Answer> {
        Ok(match peers::take(self.id)? {
            peers::Answer::Message(message) => Answer::Message(message),
            peers::Answer::Task(task) => Answer::Task(task.into()),
        })
    }

    /// Lets a function answer what the peer asks: with a text, or by asking the client in turn.
    ///
    /// ```
    /// # use kennel::prelude::*;
    /// # fn room(task: &Task) -> Result<String> {
    /// let stay = task.peer("hotel").send("a room in Rome")?.answering(|question| task.ask(question).text());
    /// Ok(stay.done()?.text())
    /// # }
    /// ```
    pub fn answering<F, D>(self, answer: F) -> Conversation<F>
    where
        F: FnMut(&Message) -> Result<D>,
        D: Into<Draft>,
    {
        Conversation { child: self, answer }
    }

    /// Asks the peer to cancel; [`take`](Self::take) then gives what came of it.
    pub fn cancel(&self, reason: Option<&str>) -> Result<()> {
        peers::cancel(self.id, reason)
    }
}

/// A message that a peer works on, with a function that answers its questions; from [`Child::answering`].
#[must_use = "the answer comes by done"]
pub struct Conversation<F> {
    child: Child,
    answer: F,
}

impl<F> fmt::Debug for Conversation<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").field("child", &self.child).finish_non_exhaustive()
    }
}

impl<F, D> Conversation<F>
where
    F: FnMut(&Message) -> Result<D>,
    D: Into<Draft>,
{
    /// Waits until the peer is done, as [`Child::done`], and answers each of its questions on the way. Whoever asks more than a
    /// hundred is given up with an error of the kind `limit`. **Parks.**
    pub fn done(self) -> Result<Answer> {
        let Self { mut child, mut answer } = self;
        for _ in 0..=QUESTIONS_MAX {
            let (to, options) = (child.to.clone(), child.options.clone());
            let result = child.take()?;
            let Some(question) = result.question() else { return result.done(&to) };
            let reply = answer(question)?;
            child = Peer { to, references: Vec::new(), options }.resume(&result).send(reply)?;
        }
        child.cancel(None)?;
        Err(Error::new(ErrorKind::Limit, "peer.questions", format!("The agent {} asks too much.", child.to)))
    }
}

impl<F> Pending for Conversation<F> {
    fn pending(&self) -> u32 {
        self.child.id
    }
}

impl<F, D> Finish for Conversation<F>
where
    F: FnMut(&Message) -> Result<D>,
    D: Into<Draft>,
{
    type Output = Answer;

    fn finish(self) -> Result<Answer> {
        self.done()
    }

    fn give_up(self) -> Result<()> {
        self.child.cancel(None)
    }
}

impl Pending for Child {
    fn pending(&self) -> u32 {
        self.id
    }
}

impl Finish for Child {
    type Output = Answer;

    /// As [`Child::done`].
    fn finish(self) -> Result<Answer> {
        self.done()
    }

    /// As [`Child::cancel`].
    fn give_up(self) -> Result<()> {
        self.cancel(None)
    }
}

/// What a peer answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A bare message, no task.
    Message(Message),
    /// A task that is finished, or that waits for input or authorization.
    Task(TaskSnapshot),
}

impl Answer {
    /// The text of the message, or of all artifacts.
    pub fn text(&self) -> String {
        match self {
            Self::Message(message) => message.text(),
            Self::Task(task) => task.text(),
        }
    }

    /// What the peer asks, if it waits for input. [`Peer::resume`] answers, and [`Child::answering`] does both.
    pub fn question(&self) -> Option<&Message> {
        let task = self.task().filter(|task| task.state == TaskState::InputRequired)?;
        task.status_message.as_ref()
    }

    /// The answer, or else an error that says why it is none to go on with.
    fn done(self, from: &str) -> Result<Self> {
        match &self {
            Self::Task(task) if task.state != TaskState::Completed => Err(not_done(from, task)),
            Self::Task(_) | Self::Message(_) => Ok(self),
        }
    }

    /// The task, unless it is a bare message.
    pub fn task(&self) -> Option<&TaskSnapshot> {
        match self {
            Self::Message(_) => None,
            Self::Task(task) => Some(task),
        }
    }
}

/// What names a task: an id, a snapshot, an answer.
pub trait TaskRef {
    /// The id of the task; none for a bare message.
    fn task_id(&self) -> Option<&str>;
}

impl TaskRef for str {
    fn task_id(&self) -> Option<&str> {
        Some(self)
    }
}

impl TaskRef for String {
    fn task_id(&self) -> Option<&str> {
        Some(self)
    }
}

impl TaskRef for TaskSnapshot {
    fn task_id(&self) -> Option<&str> {
        Some(&self.task_id)
    }
}

impl TaskRef for Answer {
    fn task_id(&self) -> Option<&str> {
        self.task().map(|task| task.task_id.as_str())
    }
}

/// Why a task of a peer is no answer to go on with. The code tells its state, the message its last words.
fn not_done(to: &str, task: &TaskSnapshot) -> Error {
    let (code, what) = match task.state {
        TaskState::Failed => ("peer.failed", "failed"),
        TaskState::Rejected => ("peer.rejected", "refused"),
        TaskState::Canceled => ("peer.canceled", "was canceled"),
        TaskState::InputRequired => ("peer.input-required", "asks for input"),
        TaskState::AuthRequired => ("peer.auth-required", "asks for authorization"),
        TaskState::Submitted | TaskState::Working | TaskState::Completed => ("peer.not-done", "is not done"),
    };
    let words = task.status_message.as_ref().map(Message::text).unwrap_or_default();
    let colon = if words.is_empty() { "." } else { ": " };
    fail(code, format!("The agent {to} {what}{colon}{words}"))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::Artifact;
    use crate::time::minutes;

    fn task(state: TaskState) -> TaskSnapshot {
        TaskSnapshot {
            task_id: "t-1".into(),
            context_id: "c".into(),
            state,
            status_message: None,
            status_time: SystemTime::UNIX_EPOCH,
            artifacts: vec![Artifact::text("a", "ticket")],
            metadata: None,
        }
    }

    #[test]
    fn an_answer_names_its_task_and_gives_its_text() {
        let answer = Answer::Task(task(TaskState::Completed));
        assert_eq!((answer.text().as_str(), answer.task_id()), ("ticket", Some("t-1")));
        let peer = Peer::new("hotel".into()).refer(&answer).refer("t-2").resume(&answer).timeout(minutes(1));
        assert_eq!(peer.references, ["t-1", "t-2"]);
        assert_eq!((peer.options.task_id.as_deref(), peer.options.timeout), (Some("t-1"), Some(60_000.0)));
    }

    #[test]
    fn a_task_that_is_not_done_is_an_error_that_tells_its_state() {
        let error = not_done("hotel", &task(TaskState::InputRequired));
        assert_eq!(error, fail("peer.input-required", "The agent hotel asks for input."));
    }
}
