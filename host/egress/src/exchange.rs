//! A response that is being read: its head, then its body in pieces that are worth a journal row.
//!
//! The bounds of the body hold here: its bytes after decompression, and the time of the request. Never here: requests
//! and redirects; that is `egress`. Read by the worker.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::config::EgressConfig;
use crate::egress::chain;
use crate::error::FetchError;
use crate::policy::origin;
use crate::request::Checked;
use crate::room::{FREE_BYTES, Room, Rooms};

/// How a response begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 599.
    pub status: u16,
    /// Names in lower case, values of a repeated header in the order received. Bytes that are not visible ASCII, blank
    /// or tab are U+FFFD.
    pub headers: Vec<(String, String)>,
    /// Where the response came from, after redirects.
    pub url: Url,
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its beginning.
    pub head: ResponseHead,
    /// Decompressed.
    pub body: Bytes,
    /// The room that the body takes: to be kept as long as the body is.
    pub room: Room,
}

/// A response whose body is still coming. Dropping it ends the exchange.
#[derive(Debug)]
pub struct Exchange {
    /// How the response begins.
    pub head: ResponseHead,
    /// None: the body is over.
    body: Option<reqwest::Response>,
    /// How the body ended; read only when it is over and all bytes are given out.
    end: Result<(), FetchError>,
    /// Received and not given out.
    gathered: BytesMut,
    /// When the first of these bytes came.
    since: Instant,
    /// Bytes received.
    total: usize,
    /// Bytes that the body may come to.
    expected: usize,
    limits: Limits,
}

/// What bounds one exchange.
#[derive(Debug)]
struct Limits {
    config: Arc<EgressConfig>,
    request: std::time::Duration,
    deadline: Instant,
    rooms: Rooms,
}

impl Exchange {
    /// Takes over a response whose head has come.
    pub(crate) fn new(
        response: reqwest::Response,
        request: &Checked,
        deadline: Instant,
        (config, rooms): (Arc<EgressConfig>, Rooms),
    ) -> Result<Exchange, FetchError> {
        let bytes: usize = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes > config.head_bytes_max {
            return Err(FetchError::Limit { name: "http-head-bytes", bytes_max: config.head_bytes_max });
        }
        let head = ResponseHead {
            status: response.status().as_u16(),
            headers: header_list(response.headers()),
            url: request.url.clone(),
        };
        let mut exchange = Exchange {
            head,
            end: Ok(()),
            gathered: BytesMut::new(),
            since: deadline,
            total: 0,
            expected: config.body_bytes_max,
            limits: Limits { config, request: request.time, deadline, rooms },
            body: Some(response),
        };
        // What announces that it is too large need not be read until it is.
        let announced = exchange.body.as_ref().and_then(reqwest::Response::content_length);
        if let Some(announced) = announced {
            exchange.expected = usize::try_from(announced).unwrap_or(usize::MAX);
        }
        if exchange.expected > exchange.bytes_max() {
            return Err(exchange.too_large());
        }
        Ok(exchange)
    }

    /// The next piece of the body; none when it is complete. After an error, the same error again.
    ///
    /// A piece has at most [`Pieces::bytes_max`](crate::Pieces::bytes_max) bytes, and is given out when it has
    /// `bytes_min` or its first byte has waited for `wait_max`. Cancel safe: what was received and not given out is
    /// kept.
    ///
    /// # Errors
    /// [`FetchError::TimedOut`], [`FetchError::Limit`] and [`FetchError::Unavailable`] if the body breaks off; what
    /// came before is given out first.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let Some(body) = &mut self.body else {
                return if self.gathered.is_empty() { self.end.clone().map(|()| None) } else { Ok(Some(self.piece())) };
            };
            if self.gathered.len() >= self.limits.config.pieces.bytes_max {
                return Ok(Some(self.piece()));
            }
            let until = self.limits.until(self.gathered.len(), self.since);
            match timeout_at(until, body.chunk()).await {
                Ok(Ok(Some(bytes))) => self.take_in(&bytes),
                Ok(Ok(None)) => self.finished(Ok(())),
                Ok(Err(error)) => {
                    let broken = self.broken(error);
                    self.finished(Err(broken));
                }
                Err(_) if Instant::now() >= self.limits.deadline => {
                    self.finished(Err(FetchError::TimedOut { limit: self.limits.request, reached: true }));
                }
                Err(_) => return Ok(Some(self.piece())),
            }
        }
    }

    /// Reads the rest.
    pub(crate) async fn finish(mut self) -> Result<Response, FetchError> {
        let (mut body, mut room) = (BytesMut::new(), Room::default());
        while let Some(piece) = self.next().await? {
            if !room.is_held() && body.len() + piece.len() > FREE_BYTES {
                let held = self.limits.rooms.hold(self.expected.max(piece.len()), self.limits.deadline).await;
                room = held.map_err(FetchError::after_sending)?;
            }
            body.extend_from_slice(&piece);
        }
        room.shrink(body.len());
        Ok(Response { head: self.head, body: body.freeze(), room })
    }

    fn take_in(&mut self, bytes: &[u8]) {
        self.total += bytes.len();
        if self.total > self.bytes_max() {
            let error = self.too_large();
            return self.finished(Err(error));
        }
        if self.gathered.is_empty() {
            self.since = Instant::now();
        }
        self.gathered.extend_from_slice(bytes);
    }

    /// Lets go of the connection.
    fn finished(&mut self, end: Result<(), FetchError>) {
        self.body = None;
        self.end = end;
    }

    fn piece(&mut self) -> Bytes {
        self.since = Instant::now();
        self.gathered.split_to(self.gathered.len().min(self.limits.config.pieces.bytes_max)).freeze()
    }

    fn bytes_max(&self) -> usize {
        self.limits.config.body_bytes_max
    }

    fn too_large(&self) -> FetchError {
        FetchError::Limit { name: "http-body-bytes", bytes_max: self.bytes_max() }
    }

    fn broken(&self, error: reqwest::Error) -> FetchError {
        let origin = origin(&self.head.url);
        tracing::debug!(origin, error = %chain(&error.without_url()), "response broke off");
        let reason = "the response broke off, or cannot be decompressed".to_owned();
        FetchError::Unavailable { origin, reason, reached: true }
    }
}

impl Limits {
    /// Until when to wait for more, if `gathered` bytes wait to be given out, the first of them since `since`.
    fn until(&self, gathered: usize, since: Instant) -> Instant {
        let pieces = &self.config.pieces;
        let until = match gathered {
            0 => return self.deadline,
            // A time that has passed: what is there already is taken along, and nothing is waited for.
            enough if enough >= pieces.bytes_min => since,
            _ => since + pieces.wait_max,
        };
        until.min(self.deadline)
    }
}

fn header_list(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &[u8]| {
        let visible = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
        value.iter().map(|byte| if visible(byte) { char::from(*byte) } else { char::REPLACEMENT_CHARACTER }).collect()
    };
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn headers_are_text_and_repeat() {
        let mut headers = HeaderMap::new();
        headers.append("x-name", HeaderValue::from_bytes(b"caf\xc3\xa9\tau lait").unwrap());
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        let expected = [("x-name", "caf\u{fffd}\u{fffd}\tau lait"), ("set-cookie", "a=1"), ("set-cookie", "b=2")];
        let expected: Vec<(String, String)> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(header_list(&headers), expected);
    }
}
