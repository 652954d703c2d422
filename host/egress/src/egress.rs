//! Sends requests: one after the other through policy, guard and client, and again for each redirect.
//!
//! The client follows no redirects of its own, knows no proxies and keeps no cookies: what leaves is what was checked.
//! Never here: what the contract says about a request's form; that is `request`. Called by the worker, by [`Egress`].

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::iter::successors;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use reqwest::dns::Resolve;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::config::EgressConfig;
use crate::error::{Denied, FetchError};
use crate::exchange::{Exchange, Response};
use crate::guard::{Guard, LookupError, SystemResolver};
use crate::policy::{Policy, origin};
use crate::request::{self, Checked, Request};
use crate::room::{Room, Rooms};

/// The way out of the host. Cheap to clone; all clones share their connections and bounds.
#[derive(Clone)]
pub struct Egress {
    client: reqwest::Client,
    guard: Guard,
    config: Arc<EgressConfig>,
    rooms: Rooms,
}

/// HTTP could not be set up at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up HTTP for outgoing requests")]
pub struct SetupError(#[source] reqwest::Error);

impl Egress {
    /// Prepares for requests; nothing is sent yet. Reads the certificates of the system. Without any, https fails
    /// later, request by request, and http works: a host whose agents call nobody needs none.
    ///
    /// # Errors
    /// The TLS library does not start.
    pub fn new(config: EgressConfig) -> Result<Egress, SetupError> {
        Egress::with_resolver(config, Arc::new(SystemResolver))
    }

    /// The same with a name service of its own.
    pub(crate) fn with_resolver(config: EgressConfig, resolver: Arc<dyn Resolve>) -> Result<Egress, SetupError> {
        let guard = Guard::new(&config.allow_private, resolver);
        let client = match builder(&config, &guard).build() {
            Ok(client) => client,
            Err(error) => {
                tracing::warn!(%error, "no certificates: https requests of agents will fail; install ca-certificates");
                builder(&config, &guard).tls_certs_only([]).build().map_err(SetupError)?
            }
        };
        let rooms = Rooms::new(config.bodies_bytes_max);
        Ok(Egress { client, guard, config: Arc::new(config), rooms })
    }

    /// Says whether the request would be sent, as far as that can be said without looking a name up: its form, the
    /// policy, the sites of the credential, an address in the url. Nothing leaves the host.
    ///
    /// # Errors
    /// [`FetchError::Invalid`] and [`FetchError::Denied`].
    pub fn check(&self, policy: &Policy, request: &Request) -> Result<(), FetchError> {
        self.checked(policy, request.clone()).map(drop)
    }

    /// Sends a request and reads the whole response. Any status is a response.
    ///
    /// Not cancel safe: dropping the future ends the exchange, and the other side may have seen the request.
    ///
    /// # Errors
    /// All of [`FetchError`].
    pub async fn fetch(&self, policy: &Policy, request: Request) -> Result<Response, FetchError> {
        self.open(policy, request).await?.finish().await
    }

    /// Sends a request and waits for the head of the response; the body is read in pieces. Dropping the exchange ends
    /// it.
    ///
    /// Not cancel safe, like [`Egress::fetch`].
    ///
    /// # Errors
    /// All of [`FetchError`].
    pub async fn open(&self, policy: &Policy, request: Request) -> Result<Exchange, FetchError> {
        let mut request = self.checked(policy, request)?;
        let deadline = Instant::now() + request.time;
        let mut response = self.send(&request, deadline).await?;
        for _ in 0..request.redirects {
            let Some(target) = redirect_target(&request.method, &request.url, &response) else { break };
            redirect(&mut request, target);
            policy
                .check(&request.method, &request.url)
                .and_then(|()| self.guard.check_url(&request.url))
                .map_err(|denied| FetchError::from(denied).after_sending())?;
            response = self.send(&request, deadline).await.map_err(FetchError::after_sending)?;
        }
        Exchange::new(response, &request, deadline, (Arc::clone(&self.config), self.rooms.clone()))
    }

    /// Waits for room for a request's body, at most for the time of the request; to be put into [`Request::room`].
    ///
    /// # Errors
    /// [`FetchError::NoRoom`].
    pub async fn room(&self, request: &Request) -> Result<Room, FetchError> {
        let time = request.timeout.unwrap_or(self.config.time_default).min(self.config.time_max);
        self.rooms.hold(request.body.as_ref().map_or(0, Bytes::len), Instant::now() + time).await
    }

    /// Room for so many bytes that are read ahead, if there is some now.
    pub fn try_room(&self, bytes: usize) -> Option<Room> {
        self.rooms.try_hold(bytes)
    }

    fn checked(&self, policy: &Policy, request: Request) -> Result<Checked, FetchError> {
        let request = request::check(request, &self.config)?;
        policy.check(&request.method, &request.url)?;
        self.guard.check_url(&request.url)?;
        match &request.credential {
            Some(credential) if !credential.is_for(&request.url) => {
                let origin = origin(&request.url);
                Err(Denied::Credential { credential: credential.name().to_owned(), origin }.into())
            }
            Some(_) | None => Ok(request),
        }
    }

    /// One request, which policy and guard have let through, and the head of its response.
    async fn send(&self, request: &Checked, deadline: Instant) -> Result<reqwest::Response, FetchError> {
        let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
        *outgoing.headers_mut() = headers(request);
        *outgoing.body_mut() = request.body.clone().map(reqwest::Body::from);
        // Boxed: it is large, and moved into the future of every caller.
        let sent = timeout_at(deadline, Box::pin(self.client.execute(outgoing))).await;
        let origin = origin(&request.url);
        match sent {
            Ok(Ok(response)) => {
                tracing::debug!(method = %request.method, origin, status = response.status().as_u16(), "response");
                Ok(response)
            }
            Ok(Err(error)) => Err(self.failure(error, origin)),
            // Where the time went is not known, so the request may be out.
            Err(_) => Err(FetchError::TimedOut { limit: request.time, reached: true }),
        }
    }

    fn failure(&self, error: reqwest::Error, origin: String) -> FetchError {
        let error = error.without_url();
        if let Some(LookupError::Denied(denied)) = cause::<LookupError>(&error) {
            return denied.clone().into();
        }
        tracing::debug!(origin, error = %chain(&error), "no response");
        if error.is_builder() {
            return FetchError::invalid("url", "no request can be made of it");
        }
        let reached = !error.is_connect();
        let reason = if cause::<LookupError>(&error).is_some() {
            "its name cannot be resolved".to_owned()
        } else if reached {
            "the connection ended before a valid response".to_owned()
        } else if error.is_timeout() {
            format!("no connection within {} s", self.config.connect_time_max.as_secs_f64())
        } else {
            no_connection(&error).to_owned()
        };
        FetchError::Unavailable { origin, reason, reached }
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("config", &self.config).finish_non_exhaustive()
    }
}

fn builder(config: &EgressConfig, guard: &Guard) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("kennel/", env!("CARGO_PKG_VERSION")))
        // A proxy would look names up itself, past the guard.
        .no_proxy()
        .dns_resolver(guard.clone())
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(config.connect_time_max)
        .pool_idle_timeout(config.idle_time_max)
}

/// The headers of one request, with those of the credential as long as it is for this place.
fn headers(request: &Checked) -> HeaderMap {
    let mut headers = request.headers.clone();
    for (name, value) in request.credential.iter().flat_map(|credential| credential.headers()) {
        headers.insert(name, value.clone());
    }
    // A range of a compressed body cannot be decompressed.
    if headers.contains_key(header::RANGE) && !headers.contains_key(header::ACCEPT_ENCODING) {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    headers
}

/// Where a response sends a request that may follow. None: it does not, or to what cannot be requested, and is the
/// response.
fn redirect_target(method: &Method, url: &Url, response: &reqwest::Response) -> Option<Url> {
    let follows = method == Method::GET || method == Method::HEAD;
    let redirects = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(header::LOCATION).filter(|_| follows && redirects)?;
    let target = url.join(std::str::from_utf8(location.as_bytes()).ok()?).ok()?;
    if request::fault(&target).is_some() { None } else { request::without_last_dot(target) }
}

/// Points the request elsewhere. What is secret stays behind for good when the origin changes, also if a later redirect
/// leads back.
fn redirect(request: &mut Checked, target: Url) {
    if target.origin() != request.url.origin() {
        request.credential = None;
        request.headers.remove(header::AUTHORIZATION);
        request.headers.remove(header::COOKIE);
    }
    request.url = target;
}

/// Why there is no connection, in words for agents. The details, which may name addresses, are in the log.
fn no_connection(error: &reqwest::Error) -> &'static str {
    let known = |error: &(dyn Error + 'static)| match error.downcast_ref::<std::io::Error>()?.kind() {
        ErrorKind::ConnectionRefused => Some("it refuses connections"),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Some("there is no route to it"),
        // Rustls says so of whatever it cannot accept: certificates, versions, bytes that are no TLS.
        ErrorKind::InvalidData => Some("its TLS is not valid"),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => Some("it ends connections at once"),
        _ => None,
    };
    causes(error).find_map(known).unwrap_or("there is no connection")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |error| inner(*error))
}

/// What an error wraps. An I/O error names the cause of what it wraps, and leaves out what it wraps itself.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    wrapped.map_or_else(|| error.source(), |wrapped| Some(wrapped))
}

fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// The error and its causes on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
