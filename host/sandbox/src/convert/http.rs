//! Values of `http` in both directions. Method, headers and body of a request are checked for their form here; the url is only
//! looked for, because one reader must decide what it means, and that is who sends it.
//!
//! Never here: whether a request may be sent. Called by `host/http.rs` and by the way that `wasi:http` takes.

use bytes::Bytes;

use super::give::check_size;
use super::take::{invalid, limit, timeout};
use crate::bindings::kennel::agent::http as wit;
use crate::call::{AfterCrash, GuestError, HttpHead, HttpPiece, HttpRequest, HttpResponse};
use crate::limits::{Limits, bytes_text};

type Result<T> = std::result::Result<T, GuestError>;

/// A request that a guest wants to send.
pub(crate) fn request(request: wit::Request, limits: &Limits) -> Result<HttpRequest> {
    let request = HttpRequest {
        method: request.method,
        url: request.url,
        headers: request.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        body: request.body.map(Bytes::from),
        credential: request.credential,
        timeout: timeout(request.timeout)?,
        redirects: request.redirects,
        after_crash: match request.after_crash {
            wit::AfterCrash::ByMethod => AfterCrash::ByMethod,
            wit::AfterCrash::Repeat => AfterCrash::Repeat,
            wit::AfterCrash::Report => AfterCrash::Report,
        },
    };
    check(&request, limits)?;
    Ok(request)
}

/// The rules of the contract about the form of a request.
pub(crate) fn check(request: &HttpRequest, limits: &Limits) -> Result<()> {
    let HttpRequest { method, url, headers, body, .. } = request;
    if !is_token(method) || method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(invalid("method", "A method is one word in upper case, for example GET."));
    }
    if url.is_empty() {
        return Err(invalid("url", "A URL must not be empty."));
    }
    for (name, value) in headers {
        header(name, value)?;
    }
    if body.as_ref().is_some_and(|body| body.len() > limits.call_bytes_max) {
        let message = format!("A request body has at most {}.", bytes_text(limits.call_bytes_max));
        return Err(limit("call-bytes", message));
    }
    Ok(())
}

fn header(name: &str, value: &str) -> Result<()> {
    if !is_token(name) {
        return Err(invalid("headers", format!("`{}` is no header name.", name.escape_debug())));
    }
    let is_text = value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    if !is_text || value.trim() != value {
        let message = format!("The value of `{name}` must be visible ASCII and blanks, without blanks around it.");
        return Err(invalid("headers", message));
    }
    Ok(())
}

/// A token of RFC 9110, section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

/// A whole response, if one call can carry it.
pub(crate) fn response(response: HttpResponse, limits: &Limits) -> Result<wit::Response> {
    let HttpResponse { head, body } = response;
    check_size(head_bytes(&head).saturating_add(body.len()), limits)?;
    let HttpHead { status, headers: pairs, url } = head;
    Ok(wit::Response { status, headers: headers(pairs), body: Vec::from(body), url })
}

/// How a response begins, if one call can carry it.
pub(crate) fn head(head: HttpHead, limits: &Limits) -> Result<wit::ResponseHead> {
    check_size(head_bytes(&head), limits)?;
    let HttpHead { status, headers: pairs, url } = head;
    Ok(wit::ResponseHead { status, headers: headers(pairs), url })
}

/// What reading gives, if one call can carry it.
pub(crate) fn piece(piece: HttpPiece, limits: &Limits) -> Result<wit::Piece> {
    match piece {
        HttpPiece::Data(bytes) => {
            check_size(bytes.len(), limits)?;
            Ok(wit::Piece::Data(Vec::from(bytes)))
        }
        HttpPiece::End => Ok(wit::Piece::End),
        HttpPiece::Interrupted => Ok(wit::Piece::Interrupted),
    }
}

fn headers(pairs: Vec<(String, String)>) -> Vec<wit::Header> {
    pairs.into_iter().map(|(name, value)| wit::Header { name, value }).collect()
}

/// Bytes of the texts of a head.
pub(crate) fn head_bytes(head: &HttpHead) -> usize {
    let pairs = head.headers.iter().map(|(name, value)| name.len().saturating_add(value.len()));
    pairs.fold(head.url.len(), usize::saturating_add)
}
