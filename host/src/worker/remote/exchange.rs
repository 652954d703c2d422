//! A2A with agents elsewhere: one request, one whole answer, by the host's one way out. So its rules, its address guard and its bounds
//! hold for peers as for every other request of an agent.
//!
//! Never here: when to ask and what to do about an answer (`mod.rs`).

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use kennel_client::{Carried, Client, ClientError, FoundCard, Options, Outgoing, Received, Way};
use kennel_egress::{Egress, FetchError, Request};
use kennel_protocol::ErrorKind as ProtocolError;
use kennel_protocol::parse::{ParseLimits, check_depth};
use kennel_sandbox::call::{ErrorKind, GuestError};

use super::place::Place;
use crate::gate::Gate;

/// For one request and its whole answer. Kennel answers a request to stop after 12 s at the latest.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// Levels of nesting around what agents read: the frame, the task, an artifact, a part.
const FRAME_DEPTH: usize = 8;
/// Characters of another server's words that are passed on.
const WORDS_MAX: usize = 300;
/// The longest that a server's own wish to be left alone is obeyed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It is worth another try, at the earliest after this.
    Passing { text: String, after: Duration },
    /// The other side refused, in the terms of the protocol.
    Refused { kind: Option<ProtocolError>, error: GuestError },
    /// No other try comes to another end.
    Final(GuestError),
}

impl Fault {
    /// What an agent is told that does not try again.
    pub(crate) fn into_error(self) -> GuestError {
        match self {
            Fault::Passing { text, .. } => {
                GuestError { retryable: true, ..GuestError::new(ErrorKind::Unavailable, "peer.unavailable", text) }
            }
            Fault::Refused { error, .. } | Fault::Final(error) => error,
        }
    }
}

/// The way out as one place may use it.
#[derive(Debug)]
struct Guarded {
    egress: Egress,
    place: Place,
}

impl Guarded {
    fn request(&self, method: &str, url: &str) -> Request {
        let mut request = Request::new(method, url);
        request.redirects = 0;
        request.timeout = Some(REQUEST_TIME);
        request.credential.clone_from(&self.place.credential);
        request
    }

    /// Whether a request would leave.
    fn check(&self, url: &str) -> Result<(), GuestError> {
        let checked = self.egress.check(&self.place.policy, &self.request("POST", url));
        checked.map_err(|error| not_sent(&self.place.to, &error))
    }
}

impl Way for Guarded {
    fn admits(&self, url: &str) -> bool {
        self.check(url).is_ok()
    }

    fn carry(&self, outgoing: Outgoing) -> Carried {
        let mut request = self.request(outgoing.method, &outgoing.url);
        request.headers = outgoing.headers;
        request.body = outgoing.body;
        let (egress, policy) = (self.egress.clone(), Arc::clone(&self.place.policy));
        Box::pin(async move {
            let response = egress.fetch(&policy, request).await?;
            let body = response.body;
            check_depth(&body, ParseLimits::DEFAULT.depth_max + FRAME_DEPTH)?;
            Ok(Received { status: response.head.status, headers: response.head.headers, body })
        })
    }
}

/// How a place is reached.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    way: Arc<Guarded>,
    options: Options,
}

impl Line {
    /// A line to a place, if it may be used. Nothing is looked up or sent.
    pub(crate) fn new(gate: &Gate, place: Place) -> Result<Line, GuestError> {
        let egress = gate.get().map_err(|error| {
            GuestError::new(ErrorKind::Unavailable, "egress", format!("this host can send nothing: {error}"))
        })?;
        let way = Arc::new(Guarded { egress, place });
        way.check(&way.place.url)?;
        let options = Options { way: Some(Arc::clone(&way) as Arc<dyn Way>), ..Options::default() };
        Ok(Line { way, options })
    }

    /// Reads the card and chooses the interface that it names.
    pub(crate) async fn connect(&self) -> Result<Client, Fault> {
        let connected = Client::connect_with(&self.way.place.url, self.options.clone()).await;
        let client = connected.map_err(|error| self.fault(&error, "peer.card"))?;
        let leads = |error: GuestError| {
            let message = format!("{}; its card leads to {}", error.message, client.endpoint());
            Fault::Final(GuestError { message, ..error })
        };
        self.way.check(client.endpoint()).map_err(leads)?;
        Ok(client)
    }

    /// The interface that a card has led to before.
    pub(crate) fn at(&self, endpoint: &str) -> Result<Client, Fault> {
        Client::at_with(endpoint, self.options.clone()).map_err(|error| self.fault(&error, "peer.card"))
    }

    /// The card.
    pub(crate) async fn card(&self) -> Result<FoundCard, Fault> {
        let found = kennel_client::find_card(&self.way.place.url, &self.options).await;
        found.map_err(|error| self.fault(&error, "peer.card"))
    }

    /// What a failed call means. `code`: the code of an answer that is none.
    pub(crate) fn fault(&self, error: &ClientError, code: &str) -> Fault {
        let to = &self.way.place.to;
        let after = error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX);
        match error {
            ClientError::Unreachable { cause, .. } => unreachable(to, &**cause, code),
            ClientError::Timeout { .. } => Fault::Passing { text: format!("the peer {to}: {error}"), after },
            ClientError::Protocol(_) if error.is_transient() => {
                Fault::Passing { text: format!("the peer {to} says: {}", words(&error.to_string())), after }
            }
            ClientError::Protocol(refused) => {
                let text = format!("the peer {to} refused: {}", words(&refused.to_string()));
                Fault::Refused { kind: refused.kind(), error: GuestError::new(ErrorKind::Failed, "peer.refused", text) }
            }
            ClientError::Auth { message, .. } => {
                let text = format!("the peer {to} does not accept the credentials: {}", words(message));
                Fault::Final(GuestError::new(ErrorKind::Denied, "peer.credentials", text))
            }
            ClientError::Invalid(what) => {
                let text = format!("the peer {to} is not to be understood: {}", words(what));
                Fault::Final(GuestError::new(ErrorKind::Failed, code, text))
            }
        }
    }
}

/// What the way out said.
fn unreachable(to: &str, cause: &(dyn Error + Send + Sync + 'static), code: &str) -> Fault {
    match cause.downcast_ref::<FetchError>() {
        Some(error @ (FetchError::Unavailable { .. } | FetchError::TimedOut { .. } | FetchError::NoRoom { .. })) => {
            Fault::Passing { text: format!("the peer {to}: {error}"), after: Duration::ZERO }
        }
        Some(error) => Fault::Final(not_sent(to, error)),
        None if cause.is::<kennel_protocol::Error>() => {
            let text = format!("the peer {to} is not to be understood: its answer is {cause}");
            Fault::Final(GuestError::new(ErrorKind::Failed, code, text))
        }
        None => Fault::Passing { text: format!("the peer {to} answers {cause}"), after: Duration::ZERO },
    }
}

/// A request that rules or bounds hold back.
fn not_sent(to: &str, error: &FetchError) -> GuestError {
    let (kind, code) = match error {
        FetchError::Denied { .. } => (ErrorKind::Denied, "peer"),
        FetchError::Invalid { .. } => (ErrorKind::Invalid, "to"),
        FetchError::Limit { name, .. } => (ErrorKind::Limit, *name),
        FetchError::NoRoom { .. } => (ErrorKind::Limit, "http-bodies"),
        FetchError::TimedOut { .. } | FetchError::Unavailable { .. } => (ErrorKind::Unavailable, "peer.unavailable"),
    };
    GuestError::new(kind, code, format!("the peer {to}: {error}"))
}

/// Another server's words as one line, not at any length.
pub(crate) fn words(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
