//! What a guest says of a request before it hands it over, and how that reads in the contract's terms.
//!
//! The rules of the contract about method, headers and body are kept in `convert/http.rs`; the url is read by who sends it. Here is
//! only what must hold for the parts to be put together. Called by `exchange.rs`.

use std::time::Duration;

use wasmtime::component::Resource;

use super::{Exchange, Fields, OutgoingBody};
use crate::bindings::wasi_http::wasi::http::types::{
    ErrorCode, HostOutgoingRequest, HostRequestOptions, Method, Scheme,
};
use crate::call::{AfterCrash, HttpRequest};
use crate::convert::http::is_token;
use crate::guest::Guest;

/// Bytes of a url's parts: no more than headers may have.
const PART_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a method or a scheme that has no name in WASI.
const WORD_BYTES_MAX: usize = 64;

/// The longest time that the contract lets a request ask for.
const TIME_MAX: Duration = Duration::from_secs(120);

/// A request that is not handed over yet.
pub struct OutgoingRequest {
    method: Method,
    scheme: Option<Scheme>,
    authority: Option<String>,
    path: Option<String>,
    headers: Fields,
    pub(super) exchange: Exchange,
}

/// Times that a guest allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestOptions {
    connect: Option<Duration>,
    first_byte: Option<Duration>,
    between_bytes: Option<Duration>,
}

impl RequestOptions {
    /// For the whole exchange. Without a bound on the first byte there is none on the whole: the others alone say nothing of a
    /// service that thinks. Times beyond the contract's are cut to it, since many clients set an hour and mean none.
    fn timeout(self) -> Option<Duration> {
        let rest = self.connect.unwrap_or_default().saturating_add(self.between_bytes.unwrap_or_default());
        let time = self.first_byte?.saturating_add(rest);
        // Whole milliseconds, as the journal keeps it, and never shorter than asked for.
        let millis = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Some(Duration::from_millis(millis).min(TIME_MAX))
    }
}

impl OutgoingRequest {
    /// The request without its body, or why there is none.
    pub(super) fn head(&self, options: RequestOptions) -> Result<HttpRequest, ErrorCode> {
        let authority = self.authority.as_deref().ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let scheme = match &self.scheme {
            None | Some(Scheme::Https) => "https",
            Some(Scheme::Http) => "http",
            Some(Scheme::Other(name)) => name,
        };
        let path = self.path.as_deref().unwrap_or("/");
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(HttpRequest {
            method: method_name(&self.method).to_owned(),
            url: format!("{scheme}://{authority}{slash}{path}"),
            headers: self.headers()?,
            body: None,
            credential: None,
            timeout: options.timeout(),
            redirects: Some(0),
            after_crash: AfterCrash::ByMethod,
        })
    }

    /// Whether the headers promise bytes.
    pub(super) fn promises_body(&self) -> bool {
        self.headers.content_length() != Ok(None) && self.headers.content_length() != Ok(Some(0))
    }

    /// The headers as text, without the length: the host counts for itself.
    fn headers(&self) -> Result<Vec<(String, String)>, ErrorCode> {
        let wanted = self.headers.iter().filter(|(name, _)| name != "content-length");
        let pairs = wanted.map(|(name, value)| {
            let text = String::from_utf8(value.clone()).ok();
            text.map(|text| (name.clone(), text.trim().to_owned())).ok_or_else(|| {
                let text = format!("the value of `{name}` is not visible ASCII and blanks");
                ErrorCode::InternalError(Some(text))
            })
        });
        pairs.collect()
    }
}

fn method_name(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    }
}

/// Whether a part of a url can stand at its place: nothing in it ends the part.
fn is_part(text: &str, ends: &[char]) -> bool {
    let is_sound = |character: char| !character.is_control() && character != ' ' && !ends.contains(&character);
    text.len() <= PART_BYTES_MAX && text.chars().all(is_sound)
}

fn is_authority(text: &str) -> bool {
    !text.is_empty() && is_part(text, &['/', '\\', '?', '#', '@'])
}

fn is_path(text: &str) -> bool {
    text.starts_with(['/', '?']) && is_part(text, &['#'])
}

fn is_scheme(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.len() <= WORD_BYTES_MAX && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(is_part)
}

impl HostOutgoingRequest for Guest {
    fn new(&mut self, headers: Resource<Fields>) -> wasmtime::Result<Resource<OutgoingRequest>> {
        let headers = self.wasi.table().delete(headers)?.fixed();
        let request = OutgoingRequest {
            method: Method::Get,
            scheme: None,
            authority: None,
            path: None,
            headers,
            exchange: Exchange::default(),
        };
        Ok(self.wasi.table().push(request)?)
    }

    fn body(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Result<Resource<OutgoingBody>, ()>> {
        let request = self.wasi.table().get(&request)?;
        let Ok(length) = request.headers.content_length() else { return Ok(Err(())) };
        let exchange = request.exchange.clone();
        if exchange.open_body(self.account.share()).is_err() {
            return Ok(Err(()));
        }
        Ok(Ok(self.wasi.table().push(OutgoingBody::new(exchange, length))?))
    }

    fn method(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Method> {
        Ok(self.wasi.table().get(&request)?.method.clone())
    }

    fn set_method(&mut self, request: Resource<OutgoingRequest>, method: Method) -> wasmtime::Result<Result<(), ()>> {
        if matches!(&method, Method::Other(name) if !is_token(name) || name.len() > WORD_BYTES_MAX) {
            return Ok(Err(()));
        }
        self.wasi.table().get_mut(&request)?.method = method;
        Ok(Ok(()))
    }

    fn path_with_query(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Option<String>> {
        Ok(self.wasi.table().get(&request)?.path.clone())
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<OutgoingRequest>,
        path: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        // An empty path is none.
        let path = path.filter(|path| !path.is_empty());
        if path.as_deref().is_some_and(|path| !is_path(path)) {
            return Ok(Err(()));
        }
        self.wasi.table().get_mut(&request)?.path = path;
        Ok(Ok(()))
    }

    fn scheme(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Option<Scheme>> {
        Ok(self.wasi.table().get(&request)?.scheme.clone())
    }

    fn set_scheme(
        &mut self,
        request: Resource<OutgoingRequest>,
        scheme: Option<Scheme>,
    ) -> wasmtime::Result<Result<(), ()>> {
        if matches!(&scheme, Some(Scheme::Other(name)) if !is_scheme(name)) {
            return Ok(Err(()));
        }
        self.wasi.table().get_mut(&request)?.scheme = scheme;
        Ok(Ok(()))
    }

    fn authority(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Option<String>> {
        Ok(self.wasi.table().get(&request)?.authority.clone())
    }

    fn set_authority(
        &mut self,
        request: Resource<OutgoingRequest>,
        authority: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        if authority.as_deref().is_some_and(|authority| !is_authority(authority)) {
            return Ok(Err(()));
        }
        self.wasi.table().get_mut(&request)?.authority = authority;
        Ok(Ok(()))
    }

    fn headers(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Resource<Fields>> {
        let headers = self.wasi.table().get(&request)?.headers.clone();
        Ok(self.wasi.table().push(headers)?)
    }

    fn drop(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<()> {
        self.wasi.table().delete(request)?;
        Ok(())
    }
}

impl HostRequestOptions for Guest {
    fn new(&mut self) -> wasmtime::Result<Resource<RequestOptions>> {
        Ok(self.wasi.table().push(RequestOptions::default())?)
    }

    fn connect_timeout(&mut self, options: Resource<RequestOptions>) -> wasmtime::Result<Option<u64>> {
        Ok(nanos(self.wasi.table().get(&options)?.connect))
    }

    fn set_connect_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        time: Option<u64>,
    ) -> wasmtime::Result<Result<(), ()>> {
        self.wasi.table().get_mut(&options)?.connect = time.map(Duration::from_nanos);
        Ok(Ok(()))
    }

    fn first_byte_timeout(&mut self, options: Resource<RequestOptions>) -> wasmtime::Result<Option<u64>> {
        Ok(nanos(self.wasi.table().get(&options)?.first_byte))
    }

    fn set_first_byte_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        time: Option<u64>,
    ) -> wasmtime::Result<Result<(), ()>> {
        self.wasi.table().get_mut(&options)?.first_byte = time.map(Duration::from_nanos);
        Ok(Ok(()))
    }

    fn between_bytes_timeout(&mut self, options: Resource<RequestOptions>) -> wasmtime::Result<Option<u64>> {
        Ok(nanos(self.wasi.table().get(&options)?.between_bytes))
    }

    fn set_between_bytes_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        time: Option<u64>,
    ) -> wasmtime::Result<Result<(), ()>> {
        self.wasi.table().get_mut(&options)?.between_bytes = time.map(Duration::from_nanos);
        Ok(Ok(()))
    }

    fn drop(&mut self, options: Resource<RequestOptions>) -> wasmtime::Result<()> {
        self.wasi.table().delete(options)?;
        Ok(())
    }
}

fn nanos(time: Option<Duration>) -> Option<u64> {
    time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(connect: u64, first_byte: Option<u64>, between_bytes: u64) -> RequestOptions {
        let time = Duration::from_nanos;
        RequestOptions {
            connect: Some(time(connect)),
            first_byte: first_byte.map(time),
            between_bytes: Some(time(between_bytes)),
        }
    }

    #[test]
    fn times_become_one_for_the_whole_exchange() {
        assert_eq!(RequestOptions::default().timeout(), None);
        assert_eq!(options(1_000_000_000, None, 1_000_000_000).timeout(), None);
        assert_eq!(options(1, Some(2_000_000), 0).timeout(), Some(Duration::from_millis(3)));
        assert_eq!(options(1_000_000, Some(2_000_000), 4_000_000).timeout(), Some(Duration::from_millis(7)));
        assert_eq!(options(u64::MAX, Some(u64::MAX), 1).timeout(), Some(TIME_MAX));
    }

    #[test]
    fn parts_of_a_url_stay_at_their_place() {
        for authority in ["a.example", "a.example:8080", "[::1]:80", "bücher.example"] {
            assert!(is_authority(authority), "{authority}");
        }
        for authority in ["", "a/b", "a?b", "a#b", "a\\b", "me@a", "a b", "a\nb", &"a".repeat(70_000)] {
            assert!(!is_authority(authority), "{authority}");
        }
        for path in ["/", "/a/b?c=d", "?c", "//b"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["a", "", "/a b", "/a#b", "/a\r\n"] {
            assert!(!is_path(path), "{path}");
        }
        assert!(is_scheme("web+a") && !is_scheme("") && !is_scheme("1a") && !is_scheme("a:b"));
    }
}
