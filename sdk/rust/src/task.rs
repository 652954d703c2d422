//! The task that a run works on: everything the host offers, in short form.

use std::borrow::Borrow;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;

use crate::Value;
use crate::artifact::{Artifact, Heading, OpenArtifact};
use crate::ask::{Ask, AskAuth};
use crate::error::Result;
use crate::host::{ambient, artifact, config, peers, task as host, wait as timer};
use crate::http::Request;
use crate::info::{CancelRequest, TaskInfo, TaskSnapshot};
use crate::kv::{Kv, Scope};
use crate::message::{Draft, Message};
use crate::outcome::Turn;
use crate::part::{Part, parse};
use crate::peer::{self, Answer, Peer};
use crate::retry::Backoff;
use crate::status::Status;
use crate::time::{from_time_ms, to_ms, to_ms_option, to_time_ms};
use crate::wait::{self, Pending};

/// How many random bytes one call of the host gives at most.
const RANDOM_MAX: u32 = 64 * 1024;

/// The task that an agent works on. Made by the host for each run, and the only way to what the host offers.
///
/// Methods that park may wait for days, and fail with an error of the kind `canceled` once somebody asked the task to stop.
#[derive(Debug)]
pub struct Task {
    turn: Turn,
}

/// What the client sent.
impl Task {
    /// The task of a turn. For tests of functions that only read the first message.
    pub fn new(turn: Turn) -> Self {
        Self { turn }
    }

    /// The message that started the task.
    pub fn message(&self) -> &Message {
        &self.turn.message
    }

    /// The text of the first message: all parts, each on a line of its own; data parts as JSON, files left out.
    pub fn text(&self) -> String {
        self.turn.message.text()
    }

    /// The value of the first message's first data part; none without one. Another shape is an error with the code `data`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.turn.message.data()
    }

    /// Ids of the tasks that the first message refers to; [`related`](Self::related) reads them.
    pub fn references(&self) -> &[String] {
        &self.turn.message.reference_task_ids
    }

    /// The oldest client message that was not handed out yet. Waits for one, at most `timeout`: `task.next_message(seconds(5))`,
    /// or `None` for as long as it takes. None: time is up. The first message is not among them. **Parks.**
    pub fn next_message(&self, timeout: impl Into<Option<Duration>>) -> Result<Option<Message>> {
        host::next_message(to_ms_option(timeout))
    }

    /// The newest messages of this task, oldest first, at most 1,000: the client's and the agent's own.
    pub fn history(&self, limit: u32) -> Result<Vec<Message>> {
        host::history(limit)
    }

    /// The bytes of the last [`checkpoint`](crate::checkpoint); none before the first.
    pub fn checkpoint(&self) -> Option<&[u8]> {
        self.turn.checkpoint.as_deref()
    }

    /// 1 for the first run, one more after each checkpoint.
    pub fn generation(&self) -> u32 {
        self.turn.generation
    }
}

/// What the client sees.
impl Task {
    /// Tells the client something while the work goes on.
    pub fn say(&self, message: impl Into<Draft>) -> Result<()> {
        self.status().say(message).send()
    }

    /// Tells how far the work is: 0 to 100, and a short name of the current step.
    pub fn progress(&self, percent: u8, phase: impl Into<String>) -> Result<()> {
        self.status().progress(percent).phase(phase).send()
    }

    /// Prepares a status update that carries several things at once.
    pub fn status(&self) -> Status {
        Status::default()
    }

    /// Publishes an artifact of one part, a text or any [`Part`], and gives its id.
    pub fn publish(&self, name: impl Into<String>, part: impl Into<Part>) -> Result<String> {
        self.publish_artifact(Artifact::new(name, part))
    }

    /// Publishes a whole artifact and gives its id. An id that exists already is replaced.
    pub fn publish_artifact(&self, artifact: impl Borrow<Artifact>) -> Result<String> {
        artifact::publish(artifact.borrow())
    }

    /// Begins an artifact that is sent in pieces, by its name or a whole [`Heading`]. Nothing is visible yet.
    ///
    /// ```
    /// # use kennel::prelude::*;
    /// # fn write(task: &Task) -> Result<()> {
    /// let mut report = task.open("report")?;
    /// report.append("first line\n")?;
    /// report.append("second line\n")?;
    /// report.close()
    /// # }
    /// ```
    pub fn open(&self, heading: impl Into<Heading>) -> Result<OpenArtifact> {
        OpenArtifact::open(&heading.into())
    }

    /// Prepares a question to the client; [`Ask`] says how to put it.
    ///
    /// ```
    /// # use kennel::prelude::*;
    /// # fn color(task: &Task) -> Result<String> {
    /// task.ask("Red or blue?").one_of(["red", "blue"]).timeout(days(7)).text()
    /// # }
    /// ```
    pub fn ask(&self, prompt: impl Into<Draft>) -> Ask {
        Ask::new(prompt.into())
    }

    /// Prepares a request for authorization: the name of a credential from the card, and what it is needed for. The grant comes
    /// by the operator's side channel, never inside a message.
    pub fn require_auth(&self, credential: impl Into<String>, prompt: impl Into<Draft>) -> AskAuth {
        AskAuth::new(credential.into(), prompt.into())
    }
}

/// Work outside.
impl Task {
    /// Prepares a message to another agent: of this host, elsewhere by the operator's name for it, or by the url of its card.
    pub fn peer(&self, name: impl Into<String>) -> Peer {
        Peer::new(name.into())
    }

    /// Sends a message through several agents, one after the other: each gets the text that the one before made, and a reference to
    /// that one's task. Gives what the last one made. An agent that is not [`done`](crate::peer::Child::done) ends the chain with
    /// an error. **Parks.**
    ///
    /// ```
    /// # use kennel::prelude::*;
    /// # fn article(task: &Task) -> Result<String> {
    /// Ok(task.chain(["research", "write", "shorten"], task.text())?.text())
    /// # }
    /// ```
    pub fn chain<'a>(&self, peers: impl IntoIterator<Item = &'a str>, message: impl Into<Draft>) -> Result<Answer> {
        peer::chain(peers, message.into())
    }

    /// Names of the agents that messages can be sent to. Sorted.
    pub fn peers(&self) -> Vec<String> {
        peers::names()
    }

    /// The A2A agent card of a peer.
    pub fn peer_card(&self, name: &str) -> Result<Value> {
        parse(&peers::card(name)?)
    }

    /// Prepares a GET request.
    pub fn get(&self, url: impl Into<String>) -> Request {
        self.request("GET", url)
    }

    /// Prepares a POST request.
    pub fn post(&self, url: impl Into<String>) -> Request {
        self.request("POST", url)
    }

    /// Prepares an HTTP request with any method.
    pub fn request(&self, method: impl Into<String>, url: impl Into<String>) -> Request {
        Request::new(method.into(), url.into())
    }

    /// Does something again after errors that say that another try may help, with growing durable sleeps between:
    /// a number of tries, or a whole [`Backoff`]. Other errors and the last one are the answer. **Parks.**
    ///
    /// ```
    /// # use kennel::prelude::*;
    /// # fn prices(task: &Task) -> Result<String> {
    /// let prices = task.retry(5, || task.get("https://api.example.com/prices").fetch()?.ok())?;
    /// # Ok(prices.text())
    /// # }
    /// ```
    pub fn retry<T>(&self, backoff: impl Into<Backoff>, work: impl FnMut() -> Result<T>) -> Result<T> {
        backoff.into().run(self, work)
    }

    /// Waits until one is ready and gives its index; none if the time is up. **Parks.**
    pub fn wait_any(&self, things: &[&dyn Pending], timeout: impl Into<Option<Duration>>) -> Result<Option<usize>> {
        wait::any(things, timeout.into())
    }

    /// Waits until all are ready: true. False if the time is up first. **Parks.**
    pub fn wait_all(&self, things: &[&dyn Pending], timeout: impl Into<Option<Duration>>) -> Result<bool> {
        wait::all(things, timeout.into())
    }

    /// Durable values of a scope.
    pub fn kv(&self, scope: Scope) -> Kv {
        Kv::new(scope)
    }
}

/// What is known of tasks.
impl Task {
    /// What is fixed for the whole task.
    pub fn info(&self) -> TaskInfo {
        host::info().into()
    }

    /// Another task as it is now: one of the same context, one that a message refers to, or a child.
    pub fn related(&self, task_id: &str) -> Result<TaskSnapshot> {
        Ok(host::related(task_id)?.into())
    }

    /// Ids of the other tasks of this context, newest status first, at most 100.
    pub fn related_ids(&self, limit: u32) -> Result<Vec<String>> {
        host::related_ids(limit)
    }

    /// Whether somebody asked the task to stop. Cheap: call it in long computations. Once it has told so, calls that park fail at
    /// once; all others work until [`CancelRequest::force_at`], so that the agent can clean up.
    pub fn canceled(&self) -> Option<CancelRequest> {
        host::cancel_requested().map(Into::into)
    }
}

/// Surroundings.
impl Task {
    /// Waits. **Parks.**
    pub fn sleep(&self, time: Duration) -> Result<()> {
        timer::sleep(to_ms(time))
    }

    /// Waits until a moment; returns at once if it has passed. **Parks.**
    pub fn sleep_until(&self, time: SystemTime) -> Result<()> {
        timer::sleep_until(to_time_ms(time))
    }

    /// The time of the last thing that happened to this task. It does not move while the agent computes.
    pub fn now(&self) -> SystemTime {
        from_time_ms(ambient::now())
    }

    /// Unpredictable bytes, the same in every replay. Fit for ids and keys.
    pub fn random(&self, len: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut left = len;
        while left > 0 {
            let piece = left.min(RANDOM_MAX);
            bytes.extend(ambient::random(piece));
            left -= piece;
        }
        bytes
    }

    /// The text of a setting; none if the operator did not set it.
    pub fn setting(&self, name: &str) -> Option<String> {
        config::get(name)
    }

    /// Names of all settings that are set. Sorted.
    pub fn settings(&self) -> Vec<String> {
        config::names()
    }

    /// Names of the credentials that may be used now. Sorted. Values are never available.
    pub fn credentials(&self) -> Vec<String> {
        config::credentials()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Role;

    fn task(parts: Vec<Part>) -> Task {
        let message = Message {
            message_id: "m".into(),
            context_id: "c".into(),
            task_id: Some("t".into()),
            role: Role::User,
            parts,
            metadata: Some(r#"{"lang":"en"}"#.into()),
            extensions: vec![],
            reference_task_ids: vec!["t-0".into()],
        };
        Task::new(Turn { message, checkpoint: Some(vec![3]), generation: 2 })
    }

    #[test]
    fn a_task_gives_its_first_message_as_text_and_as_data() {
        let task = task(vec!["count".into(), Part::data([1, 2]).unwrap()]);
        assert_eq!(task.text(), "count\n[1,2]");
        assert_eq!(task.data::<Vec<u8>>(), Ok(Some(vec![1, 2])));
        assert_eq!(task.references(), ["t-0"]);
        assert_eq!(task.message().metadata_value::<String>("lang"), Ok(Some("en".into())));
    }

    #[test]
    fn a_task_knows_where_it_was_left() {
        let task = task(vec!["x".into()]);
        assert_eq!((task.checkpoint(), task.generation()), (Some(&[3][..]), 2));
    }
}
