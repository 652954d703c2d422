//! Requests to other services, under the operator's rules: each must be asked for in the card (`http = ["GET https://.."]`).
//!
//! ```
//! use kennel::prelude::*;
//!
//! /// Says how many people are in space.
//! #[kennel::agent(http = [("GET https://api.example.com/people", "To count them.")])]
//! fn space(task: Task) -> Result<Outcome> {
//!     let people: Vec<String> = task.get("https://api.example.com/people").fetch()?.ok()?.json()?;
//!     task.publish("people", format!("{} people: {}", people.len(), people.join(", ")))?;
//!     done()
//! }
//! ```

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::kennel::agent::http::{AfterCrash, Header, Piece, Response, ResponseHead};
use crate::error::{Error, ErrorKind, Result, fail};
use crate::host::http as host;
use crate::time::{to_ms, to_ms_option};
use crate::wait::{Finish, Pending};

/// A request that is not sent yet, from [`Task::get`](crate::Task::get), [`Task::post`](crate::Task::post) or
/// [`Task::request`](crate::Task::request).
#[derive(Debug)]
#[must_use = "a request is sent by fetch, start or open"]
pub struct Request {
    raw: host::Request,
}

impl Request {
    pub(crate) fn new(method: String, url: String) -> Self {
        let raw = host::Request {
            method,
            url,
            headers: Vec::new(),
            body: None,
            credential: None,
            timeout: None,
            redirects: None,
            after_crash: AfterCrash::ByMethod,
        };
        Self { raw }
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.raw.headers.push(Header { name: name.into(), value: value.into() });
        self
    }

    /// Sets the body.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.raw.body = Some(bytes.into());
        self
    }

    /// Sets the body to a value as JSON, and its content type.
    pub fn json(self, value: impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(&value)?;
        Ok(self.header("Content-Type", "application/json").body(body))
    }

    /// Lets the host put a credential into the request, by its name. The agent never sees its value.
    pub fn credential(mut self, name: impl Into<String>) -> Self {
        self.raw.credential = Some(name.into());
        self
    }

    /// How long the whole exchange may take: 60 s without it, 120 s at most.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.raw.timeout = Some(to_ms(time));
        self
    }

    /// How many redirects to follow: 5 without it. With 0 the redirect itself is the response.
    pub fn redirects(mut self, count: u8) -> Self {
        self.raw.redirects = Some(count);
        self
    }

    /// Whether the host may send the request again if it stopped before it had recorded the answer.
    pub fn after_crash(mut self, choice: AfterCrash) -> Self {
        self.raw.after_crash = choice;
        self
    }

    /// Sends the request and waits for the response. Any status is a response; see [`Response::ok`]. **Parks.**
    pub fn fetch(self) -> Result<Response> {
        host::fetch(&self.raw)
    }

    /// Sends the request and returns at once, so that several run side by side.
    pub fn start(self) -> Result<Exchange> {
        Ok(Exchange { id: host::start(&self.raw)? })
    }

    /// Sends a request whose response is read in pieces, as model tokens and large files are.
    pub fn open(self) -> Result<Stream> {
        Ok(Stream { id: host::open(&self.raw)? })
    }
}

impl Response {
    /// The response if its status is 200 to 299, or else an error with the code `http.status`, retryable where another try helps.
    pub fn ok(self) -> Result<Self> {
        check(self.status)?;
        Ok(self)
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// The body as text; bytes that are no UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as a value.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|error| fail("http.body", format!("The service answered with other data than expected: {error}.")))
    }
}

impl ResponseHead {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }
}

fn first<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
}

/// A request under way, whose response comes whole.
#[derive(Debug)]
#[must_use = "the response comes by take"]
pub struct Exchange {
    id: u32,
}

impl Exchange {
    /// A request that this task started before its last checkpoint.
    pub fn again(pending: u32) -> Self {
        Self { id: pending }
    }

    /// Waits for the response. **Parks.**
    pub fn take(self) -> Result<Response> {
        host::take(self.id)
    }

    /// Ends an exchange that is not needed any more.
    pub fn abort(self) -> Result<()> {
        host::abort(self.id)
    }
}

impl Pending for Exchange {
    fn pending(&self) -> u32 {
        self.id
    }
}

impl Finish for Exchange {
    type Output = Response;

    fn finish(self) -> Result<Response> {
        self.take()
    }

    fn give_up(self) -> Result<()> {
        self.abort()
    }
}

/// A request under way, whose response comes in pieces. It is ready when the next call has something to give.
#[derive(Debug)]
#[must_use = "the response comes by head and read"]
pub struct Stream {
    id: u32,
}

impl Stream {
    /// A stream that this task opened before its last checkpoint.
    pub fn again(pending: u32) -> Self {
        Self { id: pending }
    }

    /// Waits for the beginning of the response. Once, and before the first read. **Parks.**
    pub fn head(&mut self) -> Result<ResponseHead> {
        host::head(self.id)
    }

    /// As [`head`](Self::head), and an error unless the status is 200 to 299, as [`Response::ok`]: then the exchange is ended.
    /// **Parks.**
    pub fn ok(&mut self) -> Result<ResponseHead> {
        let head = self.head()?;
        if let Err(refused) = check(head.status) {
            host::abort(self.id)?;
            return Err(refused);
        }
        Ok(head)
    }

    /// The rest of the body in pieces, as they come. Each step of the loop **parks.** A body that the host could not read to its
    /// end because it stopped meanwhile ends with an error with the code `http.interrupted`: ask the service again, or go on with
    /// what there is.
    ///
    /// ```
    /// # use kennel::prelude::*;
    /// # fn copy(task: &Task) -> Result<()> {
    /// let mut body = task.get("https://files.example.com/large").open()?;
    /// body.ok()?;
    /// let mut copy = task.open("copy")?;
    /// for piece in body.pieces() {
    ///     copy.append(Part::raw(piece?))?;
    /// }
    /// copy.close()
    /// # }
    /// ```
    pub fn pieces(&mut self) -> Pieces<'_> {
        Pieces { stream: self, over: false }
    }

    /// The rest of the body line by line, without line ends. As [`pieces`](Self::pieces) else; bytes that are no UTF-8 become
    /// U+FFFD.
    pub fn lines(&mut self) -> Lines<'_> {
        Lines { pieces: self.pieces(), rest: Vec::new(), searched: 0 }
    }

    /// Waits for the next piece. **Parks.**
    pub fn read(&mut self) -> Result<Piece> {
        loop {
            if let Some(piece) = host::read(self.id, None)? {
                return Ok(piece);
            }
        }
    }

    /// Waits for the next piece, at most this long; none if the time is up. **Parks.**
    pub fn read_within(&mut self, time: Duration) -> Result<Option<Piece>> {
        host::read(self.id, to_ms_option(time))
    }

    /// Ends an exchange that is not needed any more.
    pub fn abort(self) -> Result<()> {
        host::abort(self.id)
    }
}

impl Pending for Stream {
    fn pending(&self) -> u32 {
        self.id
    }
}

/// The pieces of a body, from [`Stream::pieces`].
#[derive(Debug)]
#[must_use = "pieces come by a loop"]
pub struct Pieces<'a> {
    stream: &'a mut Stream,
    over: bool,
}

impl Iterator for Pieces<'_> {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let piece = match self.stream.read() {
            Ok(Piece::Data(bytes)) => return Some(Ok(bytes)),
            Ok(Piece::End) => None,
            Ok(Piece::Interrupted) => Some(Err(interrupted())),
            Err(error) => Some(Err(error)),
        };
        self.over = true;
        piece
    }
}

/// The lines of a body, from [`Stream::lines`].
#[derive(Debug)]
#[must_use = "lines come by a loop"]
pub struct Lines<'a> {
    pieces: Pieces<'a>,
    /// What came after the last line end.
    rest: Vec<u8>,
    /// How much of it holds no line end for sure: a long line is searched once.
    searched: usize,
}

impl Iterator for Lines<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(end) = self.rest.iter().skip(self.searched).position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=self.searched + end).collect();
                self.searched = 0;
                return Some(Ok(text_of_line(&line)));
            }
            self.searched = self.rest.len();
            match self.pieces.next() {
                Some(Ok(bytes)) => self.rest.extend(bytes),
                Some(Err(error)) => return Some(Err(error)),
                None if self.rest.is_empty() => return None,
                None => return Some(Ok(text_of_line(&std::mem::take(&mut self.rest)))),
            }
        }
    }
}

fn text_of_line(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

fn interrupted() -> Error {
    let message = "The host stopped in the middle of the answer.";
    Error::new(ErrorKind::Unavailable, "http.interrupted", message).retryable()
}

/// Whether a status promises that another try may help is RFC 9110 and RFC 6585: too many requests, and trouble between servers.
fn check(status: u16) -> Result<()> {
    let message = || format!("The service answered with status {status}.");
    match status {
        200..=299 => Ok(()),
        429 | 502..=504 => Err(Error::new(ErrorKind::Unavailable, "http.status", message()).retryable()),
        _ => Err(fail("http.status", message())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::seconds;

    fn response(status: u16, body: &str) -> Response {
        let headers = vec![Header { name: "content-type".into(), value: "text/plain".into() }];
        Response { status, headers, body: body.into(), url: "https://example.com".into() }
    }

    #[test]
    fn a_request_collects_what_to_send() {
        let request = Request::new("POST".into(), "https://example.com".into())
            .header("Accept", "text/plain")
            .json([1])
            .unwrap()
            .credential("example")
            .timeout(seconds(10))
            .redirects(0);
        assert_eq!(request.raw.body.as_deref(), Some(&b"[1]"[..]));
        assert_eq!(request.raw.headers.last().unwrap().value, "application/json");
        assert_eq!((request.raw.timeout, request.raw.redirects), (Some(10_000.0), Some(0)));
    }

    #[test]
    fn a_response_is_read_as_text_or_as_a_value() {
        let response = response(200, "[1,2]").ok().unwrap();
        assert_eq!((response.text().as_str(), response.header("Content-Type")), ("[1,2]", Some("text/plain")));
        assert_eq!(response.json::<Vec<u8>>(), Ok(vec![1, 2]));
        assert_eq!(response.json::<u8>().unwrap_err().code, "http.body");
    }

    #[test]
    fn only_some_statuses_promise_that_another_try_helps() {
        let again = |status| response(status, "").ok().unwrap_err().retryable;
        assert_eq!([404, 429, 500, 503].map(again), [false, true, false, true]);
    }
}
