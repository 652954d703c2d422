//! What the others do in a test: the client at a prompt, a service, another agent. Each is made short, from a text or a number,
//! and refined by methods.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::time::Duration;

use serde::Serialize;

use crate::card::Card;
use crate::error::Error;
use crate::http::Header;
use crate::kv::Scope;
use crate::part::Content;
use crate::{Artifact, Draft, Part, Value};

/// What a client does at a prompt.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Says(Draft),
    Grants,
    Nothing,
    Cancels,
}

/// How a service answers one request: [`Runner::http`](super::Runner::http) takes it, or what turns into it. A number is a
/// status without a body, a text or a JSON value is a body with status 200, an error is what the host says instead.
#[derive(Clone, Debug)]
pub struct Http {
    pub(super) after: Duration,
    pub(super) every: Duration,
    pub(super) what: Served,
}

/// What comes: a response, or the reason why none does.
#[derive(Clone, Debug)]
pub(super) enum Served {
    Response { status: u16, headers: Vec<Header>, pieces: Vec<Vec<u8>>, interrupted: bool },
    Error(Error),
}

impl Http {
    /// A response with this status and body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::pieces([body]).status(status)
    }

    /// A response with status 200 whose body is this value as JSON.
    #[expect(clippy::needless_pass_by_value, reason = "tests write the value in place, by json!")]
    pub fn json(value: Value) -> Self {
        Self::new(200, value.to_string()).header("content-type", "application/json")
    }

    /// A response with status 200 whose body comes in these pieces. Read whole, it is all of them.
    pub fn pieces(pieces: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        let pieces = pieces.into_iter().map(Into::into).filter(|piece: &Vec<u8>| !piece.is_empty()).collect();
        let what = Served::Response { status: 200, headers: Vec::new(), pieces, interrupted: false };
        Self { after: Duration::ZERO, every: Duration::ZERO, what }
    }

    /// No response: the host answers with this error.
    pub fn error(error: Error) -> Self {
        Self { after: Duration::ZERO, every: Duration::ZERO, what: Served::Error(error) }
    }

    /// Sets the status.
    #[must_use]
    pub fn status(mut self, code: u16) -> Self {
        if let Served::Response { status, .. } = &mut self.what {
            *status = code;
        }
        self
    }

    /// Adds a header. Names are in lower case, as the host gives them.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Served::Response { headers, .. } = &mut self.what {
            headers.push(Header { name: name.to_owned(), value: value.to_owned() });
        }
        self
    }

    /// Ends the body in the middle, as a restart of the host does. Only for responses that are read in pieces.
    #[must_use]
    pub fn interrupted(mut self) -> Self {
        if let Served::Response { interrupted, .. } = &mut self.what {
            *interrupted = true;
        }
        self
    }

    /// How long the service takes to answer. Without it no time.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    /// How long each piece takes after the one before. Without it no time.
    #[must_use]
    pub fn every(mut self, time: Duration) -> Self {
        self.every = time;
        self
    }
}

impl From<u16> for Http {
    fn from(status: u16) -> Self {
        Self::new(status, "")
    }
}

impl From<&str> for Http {
    fn from(body: &str) -> Self {
        Self::new(200, body)
    }
}

impl From<String> for Http {
    fn from(body: String) -> Self {
        Self::new(200, body)
    }
}

impl From<Value> for Http {
    fn from(value: Value) -> Self {
        Self::json(value)
    }
}

impl From<Error> for Http {
    fn from(error: Error) -> Self {
        Self::error(error)
    }
}

/// How another agent answers one message: [`Runner::peer`](super::Runner::peer) takes it, or what turns into it. A text or a part
/// is the artifact of a COMPLETED task, an error is what the host says instead.
#[derive(Clone, Debug)]
pub struct Peer {
    pub(super) after: Duration,
    pub(super) what: Reaction,
}

/// What a peer makes of a message.
#[derive(Clone, Debug)]
pub(super) enum Reaction {
    Completes(Vec<Artifact>),
    Asks(Draft),
    Fails(Draft),
    Refuses(Draft),
    Says(Draft),
    Error(Error),
}

impl Peer {
    /// A COMPLETED task with this artifact.
    pub fn publishes(artifact: Artifact) -> Self {
        Reaction::Completes(vec![artifact]).into()
    }

    /// A COMPLETED task whose artifact is this value as JSON.
    pub fn data(value: impl Serialize) -> crate::Result<Self> {
        Ok(Part::data(value)?.into())
    }

    /// A task that waits for input. The next answer in the script of the same peer is that to the agent's reply.
    pub fn asks(question: impl Into<Draft>) -> Self {
        Reaction::Asks(question.into()).into()
    }

    /// A FAILED task with these last words.
    pub fn fails(words: impl Into<Draft>) -> Self {
        Reaction::Fails(words.into()).into()
    }

    /// A REJECTED task with these last words.
    pub fn refuses(words: impl Into<Draft>) -> Self {
        Reaction::Refuses(words.into()).into()
    }

    /// A bare message and no task.
    pub fn says(message: impl Into<Draft>) -> Self {
        Reaction::Says(message.into()).into()
    }

    /// No answer: the host says this error instead.
    pub fn error(error: Error) -> Self {
        Reaction::Error(error).into()
    }

    /// How long the peer takes. Without it no time.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }
}

impl From<Reaction> for Peer {
    fn from(what: Reaction) -> Self {
        Self { after: Duration::ZERO, what }
    }
}

impl From<Part> for Peer {
    fn from(part: Part) -> Self {
        Self::publishes(Artifact::new("result", part))
    }
}

impl From<&str> for Peer {
    fn from(text: &str) -> Self {
        Part::text(text).into()
    }
}

impl From<String> for Peer {
    fn from(text: String) -> Self {
        Part::text(text).into()
    }
}

impl From<Error> for Peer {
    fn from(error: Error) -> Self {
        Self::error(error)
    }
}

/// Everything that a test says before the agent runs; what is used is taken out.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) message: Draft,
    pub(super) agent: String,
    pub(super) caller: String,
    pub(super) output_modes: Vec<String>,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) credentials: BTreeSet<String>,
    pub(super) card: Option<Card>,
    pub(super) answers: VecDeque<Answer>,
    /// Messages that come while the agent works, each with its time from the start.
    pub(super) messages: VecDeque<(Duration, Draft)>,
    pub(super) cancel_after: Option<Duration>,
    /// Method, URL and answer.
    pub(super) http: Vec<(String, String, Http)>,
    /// Name and answer.
    pub(super) peers: Vec<(String, Peer)>,
    pub(super) related: BTreeMap<String, Peer>,
    pub(super) values: Vec<(Scope, String, Vec<u8>)>,
    /// Values that others write just before the agent's next `swap` of the key.
    pub(super) rivals: VecDeque<(Scope, String, Vec<u8>)>,
    pub(super) seed: u64,
}

impl Script {
    pub(super) fn new(message: Draft) -> Self {
        Self {
            message,
            agent: "agent".to_owned(),
            caller: "caller".to_owned(),
            output_modes: Vec::new(),
            settings: BTreeMap::new(),
            credentials: BTreeSet::new(),
            card: None,
            answers: VecDeque::new(),
            messages: VecDeque::new(),
            cancel_after: None,
            http: Vec::new(),
            peers: Vec::new(),
            related: BTreeMap::new(),
            values: Vec::new(),
            rivals: VecDeque::new(),
            seed: 0,
        }
    }

    /// What the agent did not ask for, one line each. Messages that it did not take are no mistake, and neither are settings.
    pub(super) fn left(&self) -> Vec<String> {
        let answers = self.answers.iter().map(|answer| match answer {
            Answer::Says(draft) => format!("the answer {}", shown(&draft.parts)),
            Answer::Grants => "a grant".to_owned(),
            Answer::Nothing => "a question that nobody answers".to_owned(),
            Answer::Cancels => "a question at which somebody cancels".to_owned(),
        });
        let http = self.http.iter().map(|(method, url, _)| format!("a response to {method} {url}"));
        let peers = self.peers.iter().map(|(name, _)| format!("an answer of the agent {name}"));
        let rivals = self.rivals.iter().map(|(_, key, _)| format!("a write of somebody else to the key {key}"));
        answers.chain(http).chain(peers).chain(rivals).collect()
    }
}

/// Parts in one line, for people.
pub(super) fn shown(parts: &[Part]) -> String {
    let part = |part: &Part| match &part.content {
        Content::Text(text) => format!("{text:?}"),
        Content::Data(json) => json.clone(),
        Content::Url(url) => format!("<{url}>"),
        Content::Raw(bytes) => format!("[{} bytes]", bytes.len()),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(" + ")
}

/// The case of an enum of the WIT in one word; its own text has the name of the enum before it.
pub(super) fn word(case: impl Debug) -> String {
    let text = format!("{case:?}");
    text.rsplit("::").next().unwrap_or_default().to_lowercase()
}
