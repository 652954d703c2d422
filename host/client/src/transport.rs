//! HTTP with deadlines and bounds: requests go out with the service parameters of A2A 1.0, failures become
//! [`ClientError`]s. Knows no operation of A2A.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use http::{Method, StatusCode};
use reqwest::{Response, Url};

use crate::error::ClientError;
use crate::options::{BearerToken, Options};
use crate::way::{Outgoing, Received, Way};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Connections to one origin.
#[derive(Debug)]
pub(crate) struct Transport {
    network: Network,
    options: Options,
}

/// What carries requests.
#[derive(Debug)]
enum Network {
    /// Connections of its own.
    Own(reqwest::Client),
    /// Somebody else's.
    Given(Arc<dyn Way>),
}

/// An ordinary answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// An answer that goes on until the server ends it.
#[derive(Debug)]
pub(crate) struct Body {
    response: Response,
    url: String,
    silence: Duration,
}

impl Transport {
    /// Prepares for requests to the origin of the address; nothing is sent yet.
    pub(crate) fn new(url: &Url, options: Options) -> Result<Transport, ClientError> {
        if let Some(way) = options.way.clone() {
            return Ok(Transport { network: Network::Given(way), options });
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("kennel-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.deadlines.connect)
            // A compressed stream arrives late and in lumps.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            // A redirected POST would become a GET, and a redirected token is in other hands.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(url) {
            builder = builder.no_proxy();
        }
        if url.scheme() == "http" {
            // Reading the system's certificates costs time, and fails on machines that have none.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| ClientError::Invalid(format!("cannot set up HTTP: {error}")))?;
        Ok(Transport { network: Network::Own(http), options })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Whether the network carries anything to this address.
    pub(crate) fn admits(&self, url: &Url) -> bool {
        match &self.network {
            Network::Own(_) => true,
            Network::Given(way) => way.admits(url.as_str()),
        }
    }

    /// Reads a document.
    pub(crate) async fn get(&self, url: &Url) -> Result<Answer, ClientError> {
        let http = match &self.network {
            Network::Own(http) => http,
            Network::Given(way) => return self.carried(&**way, "GET", url, None).await,
        };
        let request = self.request(http, Method::GET, url)?.header(ACCEPT, JSON);
        self.finish(self.start(request, url).await?).await
    }

    /// Sends a JSON body and reads the whole answer.
    pub(crate) async fn ask(&self, url: &Url, body: Vec<u8>) -> Result<Answer, ClientError> {
        match &self.network {
            Network::Own(_) => self.finish(self.post(url, body, Accept::Answer, None).await?).await,
            Network::Given(way) => self.carried(&**way, "POST", url, Some(body.into())).await,
        }
    }

    /// As [`Transport::get`] and [`Transport::ask`], by a way that was given.
    async fn carried(
        &self,
        way: &dyn Way,
        method: &'static str,
        url: &Url,
        body: Option<Bytes>,
    ) -> Result<Answer, ClientError> {
        let mut headers = self.headers()?;
        headers.insert(ACCEPT, JSON);
        if body.is_some() {
            headers.insert(CONTENT_TYPE, JSON);
        }
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        let headers = headers.iter().filter_map(text).collect();
        let carried = way.carry(Outgoing { method, url: url.to_string(), headers, body }).await;
        let received = carried.map_err(|cause| ClientError::Unreachable { url: url.to_string(), cause })?;
        let limit = self.options.limits.answer_bytes_max;
        if received.body.len() > limit {
            return Err(ClientError::Invalid(format!("the answer of {url} has more than {limit} bytes")));
        }
        Answer::of(received).ok_or_else(|| ClientError::Invalid(format!("{url} answers with no status of HTTP")))
    }

    /// Sends a JSON body and waits for the head of the answer. The event id goes into `Last-Event-ID`.
    pub(crate) async fn post(
        &self,
        url: &Url,
        body: Vec<u8>,
        accept: Accept,
        last_event_id: Option<u64>,
    ) -> Result<Body, ClientError> {
        let Network::Own(http) = &self.network else {
            return Err(ClientError::Invalid("streams need connections of the client's own".to_owned()));
        };
        let accepted = match accept {
            Accept::Answer => JSON,
            Accept::Stream => EVENT_STREAM,
        };
        let mut request = self.request(http, Method::POST, url)?.header(ACCEPT, accepted).header(CONTENT_TYPE, JSON);
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        self.start(request.body(body), url).await
    }

    /// Reads an answer to its end. Blanks before it are signs of life and no part of it.
    pub(crate) async fn finish(&self, mut body: Body) -> Result<Answer, ClientError> {
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await? {
            let piece = if bytes.is_empty() { piece.trim_ascii_start() } else { &piece };
            if bytes.len() + piece.len() > self.options.limits.answer_bytes_max {
                let limit = self.options.limits.answer_bytes_max;
                return Err(ClientError::Invalid(format!("the answer of {} has more than {limit} bytes", body.url)));
            }
            bytes.extend_from_slice(piece);
        }
        let (status, headers) = (body.response.status(), body.response.headers().clone());
        Ok(Answer { status, headers, body: bytes })
    }

    fn request(
        &self,
        http: &reqwest::Client,
        method: Method,
        url: &Url,
    ) -> Result<reqwest::RequestBuilder, ClientError> {
        Ok(http.request(method, url.clone()).headers(self.headers()?))
    }

    /// What goes into every request.
    fn headers(&self) -> Result<HeaderMap, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert("A2A-Version", HeaderValue::from_static("1.0"));
        if let Some(token) = &self.options.token {
            headers.insert(AUTHORIZATION, bearer(token)?);
        }
        Ok(headers)
    }

    async fn start(&self, request: reqwest::RequestBuilder, url: &Url) -> Result<Body, ClientError> {
        // The connect deadline is the HTTP client's; this one runs until the head of the answer.
        let silence = self.options.deadlines.answer_silence;
        let url = url.to_string();
        match tokio::time::timeout(self.options.deadlines.connect + silence, request.send()).await {
            Ok(Ok(response)) => Ok(Body { response, url, silence }),
            Ok(Err(error)) => Err(self.failure(url, error)),
            Err(_) => Err(ClientError::Timeout { url, silence }),
        }
    }

    fn failure(&self, url: String, error: reqwest::Error) -> ClientError {
        if error.is_timeout() {
            return ClientError::Timeout { url, silence: self.options.deadlines.connect };
        }
        broken(url, error)
    }
}

/// Which kind of answer a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accept {
    /// One JSON object.
    Answer,
    /// Events, unless the request is refused.
    Stream,
}

impl Body {
    /// The next piece; none at the proper end. Cancel safe: a piece is lost only if it was given out.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        match tokio::time::timeout(self.silence, self.response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(broken(self.url.clone(), error)),
            Err(_) => Err(ClientError::Timeout { url: self.url.clone(), silence: self.silence }),
        }
    }

    /// Whether events follow.
    pub(crate) fn is_stream(&self) -> bool {
        let kind = content_type(self.response.headers());
        self.response.status() == StatusCode::OK
            && kind.is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream"))
    }

    /// The same body with another deadline between two pieces.
    pub(crate) fn with_silence(self, silence: Duration) -> Body {
        Body { silence, ..self }
    }
}

impl Answer {
    fn of(received: Received) -> Option<Answer> {
        let mut headers = HeaderMap::new();
        for (name, value) in received.headers {
            // What is no header is of no use to this client either.
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                headers.append(name, value);
            }
        }
        let status = StatusCode::from_u16(received.status).ok()?;
        Some(Answer { status, headers, body: received.body.into() })
    }

    /// What the status alone says about the request, for answers whose body says nothing.
    pub(crate) fn status_error(&self, url: &Url) -> Option<ClientError> {
        let status = self.status;
        let text = format!("HTTP {status}");
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Some(ClientError::Auth { url: url.to_string(), message: text })
            }
            // Whoever is overloaded or broken may be well again later.
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Some(ClientError::Unreachable { url: url.to_string(), cause: text.into() })
            }
            _ if status.is_server_error() => {
                Some(ClientError::Unreachable { url: url.to_string(), cause: text.into() })
            }
            _ if status.is_success() => None,
            _ => Some(ClientError::Invalid(match self.header(&LOCATION) {
                Some(to) if status.is_redirection() => format!("{url} has moved to {to}: use that address"),
                Some(_) | None => format!("{url} answers {text}, so no A2A agent is there"),
            })),
        }
    }

    /// When the server wants to be asked again. The form with a date is not read: it needs both clocks to agree.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.header(&RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs)
    }

    fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The media type without its parameters.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

fn bearer(token: &BearerToken) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.secret()))
        .map_err(|_| ClientError::Invalid("the token has characters that no header can carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn broken(url: String, error: reqwest::Error) -> ClientError {
    // The address stands in our own error already.
    ClientError::Unreachable { url, cause: Box::new(error.without_url()) }
}

/// A server on this machine is never behind a proxy, whatever the environment says.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_recognised_by_name_and_address() {
        for (url, expected) in [
            ("http://localhost:1/", true),
            ("http://127.0.0.9/", true),
            ("http://[::1]:80/", true),
            ("http://10.0.0.1/", false),
            ("http://localhost.example.com/", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
