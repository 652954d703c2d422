//! What an agent wants to send, and the check that it keeps the contract (`kennel:agent/http`, record `request`).
//!
//! Never here: whether the agent may send it; that is `policy`. Called by `egress`.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::config::EgressConfig;
use crate::credential::Credential;
use crate::error::FetchError;
use crate::room::Room;

/// How many redirects a request follows that names no number.
pub const REDIRECTS_DEFAULT: u8 = 5;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request as the agent wrote it, with what the host adds. `Debug` leaves out what may be secret: the query, values of
/// headers, the body.
#[derive(Clone)]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// Absolute, `https` or `http`.
    pub url: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// None: no body, and no `Content-Length` except where the method calls for one.
    pub body: Option<Bytes>,
    /// Goes into the request at the sites it is for, and into no redirect to another origin.
    pub credential: Option<Credential>,
    /// For the whole exchange. None: [`EgressConfig::time_default`].
    pub timeout: Option<Duration>,
    /// How many redirects to follow, of GET and HEAD alone. With 0, and beyond the number, the redirect is the
    /// response.
    pub redirects: u8,
    /// Sent as `Idempotency-Key`, unless the agent set one. The same for every repetition of the same request.
    pub idempotency_key: Option<String>,
    /// The room that its body takes while it waits to be sent; see [`Egress::room`](crate::Egress::room).
    pub room: Room,
}

impl Request {
    /// A request with nothing but its first line, and the defaults of the contract.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Request {
        Request {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            credential: None,
            timeout: None,
            redirects: REDIRECTS_DEFAULT,
            idempotency_key: None,
            room: Room::default(),
        }
    }

    /// Whether the agent itself made the request repeatable, which [`may_repeat`](crate::may_repeat) asks for.
    #[must_use]
    pub fn sets_idempotency_key(&self) -> bool {
        self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(IDEMPOTENCY_KEY.as_str()))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url.split('?').next())
            .field("headers", &names)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

/// A request that keeps the contract.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Those of the agent and the idempotency key; the credential's are put in where it is sent.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) credential: Option<Credential>,
    pub(crate) time: Duration,
    pub(crate) redirects: u8,
    /// Given back once the head of the response is there.
    pub(crate) _room: Room,
}

/// Checks a request. All errors are [`FetchError::Invalid`].
pub(crate) fn check(request: Request, config: &EgressConfig) -> Result<Checked, FetchError> {
    let method = method(&request.method)?;
    let url = url(&request.url)?;
    let time = request.timeout.unwrap_or(config.time_default);
    if time > config.time_max {
        let most = config.time_max.as_secs_f64();
        return Err(FetchError::invalid("timeout", format!("at most {most} s; what takes longer has to be polled")));
    }
    let bytes = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + request.url.len();
    if bytes > config.head_bytes_max {
        let most = config.head_bytes_max;
        return Err(FetchError::invalid("headers", format!("url and headers have {bytes} bytes, the most is {most}")));
    }
    let mut headers = headers(&request.headers, request.credential.as_ref())?;
    if let Some(key) = request.idempotency_key
        && !headers.contains_key(IDEMPOTENCY_KEY)
    {
        let key = header_value(&key);
        let key = key.ok_or_else(|| FetchError::invalid("idempotency-key", "only visible ASCII and blanks"))?;
        headers.insert(IDEMPOTENCY_KEY, key);
    }
    Ok(Checked {
        method,
        url,
        headers,
        body: request.body,
        credential: request.credential,
        time,
        redirects: request.redirects,
        _room: request.room,
    })
}

fn method(text: &str) -> Result<Method, FetchError> {
    let invalid = |reason: String| FetchError::invalid("method", reason);
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| invalid(format!("`{text}` is no method")))?;
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(invalid(format!("write `{}` in upper case", text.to_ascii_uppercase())));
    }
    // A tunnel is a connection of the agent's own; TRACE would show it the credential.
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(invalid(format!("{text} is not for agents")));
    }
    Ok(method)
}

fn url(text: &str) -> Result<Url, FetchError> {
    let invalid = |reason: String| FetchError::invalid("url", reason);
    let url = Url::parse(text).map_err(|error| invalid(error.to_string()))?;
    match fault(&url) {
        Some(fault) => Err(invalid(fault.to_owned())),
        None => without_last_dot(url).ok_or_else(|| invalid("empty host".to_owned())),
    }
}

/// What keeps a url from being requested at all.
pub(crate) fn fault(url: &Url) -> Option<&'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Some("only https and http can be requested");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("no user and password in urls: use a credential, or the header `Authorization`");
    }
    None
}

/// `example.com.` is `example.com` to the name system, and to the rules; so the service hears that name.
pub(crate) fn without_last_dot(mut url: Url) -> Option<Url> {
    let shorter = url.domain().and_then(|name| name.strip_suffix('.')).map(str::to_owned);
    if let Some(name) = shorter {
        url.set_host(Some(&name)).ok()?;
    }
    Some(url)
}

fn headers(headers: &[(String, String)], credential: Option<&Credential>) -> Result<HeaderMap, FetchError> {
    let invalid = |reason: String| FetchError::invalid("headers", reason);
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let key: HeaderName = name.parse().map_err(|_| invalid(format!("`{name}` is no header name")))?;
        if set_by_host(&key) {
            return Err(invalid(format!("the host sets `{name}` itself")));
        }
        if let Some(credential) =
            credential.filter(|credential| credential.headers().iter().any(|(its, _)| *its == key))
        {
            return Err(invalid(format!("the credential `{}` fills `{name}`", credential.name())));
        }
        if value.trim() != value {
            return Err(invalid(format!("blanks around the value of `{name}`")));
        }
        let value = header_value(value);
        let value = value.ok_or_else(|| invalid(format!("the value of `{name}` is not visible ASCII and blanks")))?;
        let added = map.try_append(key, value);
        added.map_err(|_| invalid("too many headers".to_owned()))?;
    }
    Ok(map)
}

/// A value of visible ASCII and blanks. Other bytes mean something else to every server.
pub(crate) fn header_value(text: &str) -> Option<HeaderValue> {
    text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')).then(|| HeaderValue::from_str(text).ok())?
}

/// Headers that say where a request goes and where it ends, and those for one connection only (RFC 9110, 7.6.1).
pub(crate) fn set_by_host(name: &HeaderName) -> bool {
    const OTHERS: [&str; 4] = ["keep-alive", "proxy-connection", "http2-settings", "proxy-authenticate"];
    [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
    ]
    .contains(name)
        || OTHERS.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, url: &str) -> Request {
        Request::new(method, url)
    }

    #[track_caller]
    fn fault_of(request: Request) -> String {
        check(request, &EgressConfig::default()).unwrap_err().to_string()
    }

    fn with_header(name: &str, value: &str) -> Request {
        Request { headers: vec![(name.to_owned(), value.to_owned())], ..request("GET", "https://a.example") }
    }

    #[test]
    fn methods_are_upper_case_tokens() {
        for method in ["GET", "POST", "PROPFIND", "M-SEARCH"] {
            assert_eq!(check(request(method, "https://a.example"), &EgressConfig::default()).unwrap().method, method);
        }
        assert_eq!(fault_of(request("get", "https://a.example")), "method: write `GET` in upper case");
        assert_eq!(fault_of(request("G T", "https://a.example")), "method: `G T` is no method");
        assert_eq!(fault_of(request("", "https://a.example")), "method: `` is no method");
        assert_eq!(fault_of(request("CONNECT", "https://a.example")), "method: CONNECT is not for agents");
        assert_eq!(fault_of(request("TRACE", "https://a.example")), "method: TRACE is not for agents");
    }

    #[test]
    fn urls_are_absolute_and_without_user() {
        for (url, fault) in [
            ("/v1", "url: relative URL without a base"),
            ("file:///etc/passwd", "url: only https and http"),
            ("data:,x", "url: only https and http"),
            ("https://me@a.example", "url: no user and password"),
            ("https://:secret@a.example", "url: no user and password"),
            ("https://", "url: empty host"),
            ("https://./", "url: empty host"),
        ] {
            let found = fault_of(request("GET", url));
            assert!(found.starts_with(fault), "{url}: {found}");
            assert!(!found.contains("secret"), "{found}");
        }
    }

    #[test]
    fn a_dot_after_the_host_is_left_out() {
        let checked = check(request("GET", "https://a.example.:8443/x"), &EgressConfig::default()).unwrap();
        assert_eq!(checked.url.as_str(), "https://a.example:8443/x");
    }

    #[test]
    fn headers_of_the_host_and_broken_ones_are_named() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "CONNECTION",
            "keep-alive",
            "Proxy-Connection",
            "Proxy-Authorization",
            "TE",
            "Trailer",
            "Upgrade",
        ] {
            assert_eq!(fault_of(with_header(name, "x")), format!("headers: the host sets `{name}` itself"));
        }
        assert_eq!(fault_of(with_header("a b", "x")), "headers: `a b` is no header name");
        assert_eq!(fault_of(with_header("", "x")), "headers: `` is no header name");
        assert_eq!(fault_of(with_header("a", " x")), "headers: blanks around the value of `a`");
        for value in ["x\r\nHost: evil.example", "x\u{0}", "caf\u{e9}", "x\u{7f}y"] {
            assert_eq!(
                fault_of(with_header("a", value)),
                "headers: the value of `a` is not visible ASCII and blanks",
                "{value:?}"
            );
        }
        let good = check(with_header("X-A", "a\tb c"), &EgressConfig::default()).unwrap();
        assert_eq!(good.headers["x-a"], "a\tb c");
    }

    #[test]
    fn a_header_that_the_credential_fills_is_refused() {
        let site = "https://a.example".parse().unwrap();
        let credential = Credential::new("key", &[("X-Key", "hunter2")], [site]).unwrap();
        let request = Request { credential: Some(credential), ..with_header("x-key", "mine") };
        assert_eq!(fault_of(request), "headers: the credential `key` fills `x-key`");
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let site = "https://a.example".parse().unwrap();
        let request = Request {
            url: "https://a.example/path?key=hunter2".to_owned(),
            body: Some("hunter2".into()),
            credential: Some(Credential::new("key", &[("x-key", "hunter2")], [site]).unwrap()),
            ..with_header("Authorization", "Bearer hunter2")
        };
        let shown = format!("{request:?}");
        assert!(shown.contains("https://a.example/path") && shown.contains("Authorization"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn time_and_size_are_bounded() {
        let config = EgressConfig { head_bytes_max: 100, ..EgressConfig::default() };
        let slow = Request { timeout: Some(Duration::from_millis(120_001)), ..request("GET", "https://a.example") };
        assert!(fault_of(slow).starts_with("timeout: at most 120 s"));
        let long = Request { timeout: Some(Duration::from_secs(120)), ..request("GET", "https://a.example") };
        assert_eq!(check(long, &config).unwrap().time, Duration::from_secs(120));
        assert_eq!(check(request("GET", "https://a.example"), &config).unwrap().time, Duration::from_secs(60));
        let large = check(with_header("a", &"x".repeat(83)), &config).unwrap_err().to_string();
        assert_eq!(large, "headers: url and headers have 101 bytes, the most is 100");
        check(with_header("a", &"x".repeat(82)), &config).unwrap();
    }

    #[test]
    fn the_key_of_the_agent_wins() {
        let config = EgressConfig::default();
        let ours = Request { idempotency_key: Some("ours".to_owned()), ..request("POST", "https://a.example") };
        assert_eq!(check(ours.clone(), &config).unwrap().headers["idempotency-key"], "ours");
        assert!(!ours.sets_idempotency_key(), "the host's key is not the agent's promise");
        let theirs = vec![("Idempotency-Key".to_owned(), "theirs".to_owned())];
        let both = Request { headers: theirs, ..ours };
        assert!(both.sets_idempotency_key());
        let both = check(both, &config).unwrap();
        assert_eq!(both.headers.get_all("idempotency-key").iter().collect::<Vec<_>>(), ["theirs"]);
    }
}
