//! Events of a task as one sequence, over as many connections as it takes.
//!
//! When a connection breaks, the stream subscribes to the task again and says how far it got (`Last-Event-ID`). Kennel
//! numbers the events of a task densely, so what comes twice is known by its number. A server without numbers answers
//! with a snapshot of the task instead, which is handed on: after it nothing is missing, but something may repeat.

mod track;

use std::collections::VecDeque;

use kennel_protocol::types::{GetTaskRequest, StreamResponse};
use kennel_protocol::{ErrorKind, TaskId};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::client::{Client, Opened};
use crate::error::ClientError;
use crate::sse;
use crate::transport::Body;
use track::{Track, Verdict};

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEvent {
    /// Its number in the task, if the server numbers events. That of a snapshot is the last one it includes.
    pub id: Option<u64>,
    /// What happened.
    pub event: StreamResponse,
}

/// Events as they happen. Dropping it ends the connection and nothing else: the task goes on.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    link: Link,
    track: Track,
    backoff: Backoff,
}

/// How a stream began.
#[derive(Debug)]
pub(crate) enum Origin {
    /// With a message: the stream ends where a blocking send would return for want of input.
    Send,
    /// With the wish to see a task to its end.
    Subscribe { task: TaskId, last_event_id: Option<u64> },
}

#[derive(Debug)]
enum Link {
    Open(Box<Connection>),
    /// The connection is gone, for this reason; the stream is not over.
    Broken(ClientError),
    Over,
}

#[derive(Debug)]
struct Connection {
    body: Body,
    parser: sse::Parser,
    /// Events that came in one piece with an earlier one.
    ready: VecDeque<sse::Event>,
    request_id: u64,
    since: Instant,
    /// No event has been taken from this connection yet.
    opening: bool,
}

impl EventStream {
    pub(crate) fn new(client: Client, opened: Opened, origin: Origin) -> EventStream {
        let track = match origin {
            Origin::Send => Track::of_message(),
            Origin::Subscribe { task, last_event_id } => Track::of_task(task, last_event_id),
        };
        let backoff = Backoff::new(client.options().resume);
        let link = Link::open(&client, opened);
        EventStream { client, link, track, backoff }
    }

    /// The next event, or none when the stream is over: the task has ended, the answer was a bare message, or a stream
    /// that began with a message has come to a request for input. Cancel safe: no event is lost.
    ///
    /// # Errors
    /// The connection broke and could not be resumed in time, or the agent sent an error or something that is not A2A.
    /// The stream is over then.
    pub async fn next(&mut self) -> Result<Option<StreamEvent>, ClientError> {
        loop {
            let step = match &mut self.link {
                Link::Over => return Ok(None),
                Link::Broken(_) => self.resume().await,
                Link::Open(connection) => match connection.ready.pop_front() {
                    Some(event) => self.take(&event),
                    None => self.read().await,
                },
            };
            match step {
                Ok(None) => {}
                Ok(Some(event)) => return Ok(Some(event)),
                Err(error) => {
                    self.link = Link::Over;
                    return Err(error);
                }
            }
        }
    }

    /// The number of the last event, to go on from there in another process.
    #[must_use]
    pub fn last_event_id(&self) -> Option<u64> {
        self.track.last_id()
    }

    /// The task, once it is known.
    #[must_use]
    pub fn task_id(&self) -> Option<&TaskId> {
        self.track.task()
    }

    /// Waits for more bytes.
    async fn read(&mut self) -> Result<Option<StreamEvent>, ClientError> {
        let Link::Open(connection) = &mut self.link else { return Ok(None) };
        match connection.body.next().await {
            Ok(Some(piece)) => {
                let fed = connection.parser.feed(&piece, &mut connection.ready);
                fed.map_err(|error| ClientError::Invalid(error.to_string()))?;
                if let Some(delay) = connection.parser.take_retry() {
                    self.backoff.suggest(delay);
                }
            }
            Ok(None) if self.track.may_end() => self.link = Link::Over,
            Ok(None) => {
                let url = self.client.endpoint().to_owned();
                self.broke(ClientError::Unreachable { url, cause: "the server ended the stream too early".into() });
            }
            Err(error) => self.broke(error),
        }
        Ok(None)
    }

    /// Looks at an event that has arrived.
    fn take(&mut self, event: &sse::Event) -> Result<Option<StreamEvent>, ClientError> {
        let Link::Open(connection) = &mut self.link else { return Ok(None) };
        let opening = std::mem::take(&mut connection.opening);
        let read = match self.client.read_event(&event.data, connection.request_id) {
            Ok(read) => read,
            Err(error) if error.is_transient() => {
                self.broke(error);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let event = StreamEvent { id: event.id.as_ref().and_then(|id| id.parse().ok()), event: read };
        // A snapshot without a number may be all that a broken server ever sends: no sign that things go well.
        if event.id.is_some() || !opening {
            self.backoff.reset();
        }
        match self.track.observe(&event, opening) {
            Verdict::Repeated => return Ok(None),
            Verdict::New => {}
            Verdict::Last => self.link = Link::Over,
        }
        Ok(Some(event))
    }

    fn broke(&mut self, error: ClientError) {
        if let Link::Open(connection) = &self.link {
            self.backoff.connection_held(connection.since.elapsed());
        }
        // Where input is asked for, the server was about to close.
        self.link = if self.track.waits_for_input() { Link::Over } else { Link::Broken(error) };
    }

    /// One attempt to get a new connection.
    async fn resume(&mut self) -> Result<Option<StreamEvent>, ClientError> {
        let Link::Broken(cause) = &self.link else { return Ok(None) };
        // Without a task there is nothing to subscribe to, and a repeated message could be a second task.
        let task = self.track.task().cloned();
        let attempt = task.and_then(|task| Some((task, self.backoff.next(cause.retry_after())?)));
        let Some((task, delay)) = attempt else {
            return match std::mem::replace(&mut self.link, Link::Over) {
                Link::Broken(cause) => Err(cause),
                Link::Open(_) | Link::Over => Ok(None),
            };
        };
        tokio::time::sleep(delay).await;
        match self.client.open_subscription(&task, self.track.last_id()).await {
            Ok(opened) => {
                self.track.resumed();
                self.link = Link::open(&self.client, opened);
                Ok(None)
            }
            Err(error) => self.refused(task, error).await,
        }
    }

    /// The subscription failed. A task that has ended meanwhile refuses it as unsupported, but can still be read.
    async fn refused(&mut self, id: TaskId, error: ClientError) -> Result<Option<StreamEvent>, ClientError> {
        let unsupported = |error: &ClientError| matches!(error, ClientError::Protocol(remote) if remote.kind() == Some(ErrorKind::UnsupportedOperation));
        if error.is_transient() {
            self.link = Link::Broken(error);
            return Ok(None);
        }
        if !unsupported(&error) {
            return Err(error);
        }
        match self.client.get_task(GetTaskRequest { tenant: None, id, history_length: None }).await {
            Ok(task) if task.status.state.is_terminal() => {
                self.link = Link::Over;
                Ok(Some(StreamEvent { id: None, event: StreamResponse::Task(task) }))
            }
            Ok(_) => Err(error),
            Err(error) if error.is_transient() => {
                self.link = Link::Broken(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Link {
    fn open(client: &Client, opened: Opened) -> Link {
        Link::Open(Box::new(Connection {
            body: opened.body,
            parser: sse::Parser::new(client.options().limits.event_bytes_max),
            ready: VecDeque::new(),
            request_id: opened.request_id,
            since: Instant::now(),
            opening: true,
        }))
    }
}

#[cfg(test)]
mod tests;
