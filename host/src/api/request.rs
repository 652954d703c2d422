//! What both HTTP bindings read of a request in the same way: type, bytes, version, extensions.

use axum::body::Body;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kennel_protocol::parse::{ParseLimits, check_depth};
use kennel_protocol::version::SUPPORTED;
use kennel_protocol::{Error, ErrorKind, ProtocolVersion};

use super::form::{Refusal, bare_type};
use crate::config::HostLimits;

const VERSION: &str = "a2a-version";
/// The header of 1.0, and that of 0.3.
pub(crate) const EXTENSIONS: [&str; 2] = ["a2a-extensions", "x-a2a-extensions"];
const LAST_EVENT_ID: &str = "last-event-id";

/// JSON in any of its spellings.
pub(crate) fn content_type(headers: &HeaderMap) -> Result<(), Error> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let bare = bare_type(given).to_ascii_lowercase();
    if bare == "application/json" || (bare.starts_with("application/") && bare.ends_with("+json")) {
        return Ok(());
    }
    let given = if given.is_empty() { "(none)" } else { given };
    Err(Error::content_type_not_supported(given))
}

/// The whole body, within its bounds of size and time.
pub(crate) async fn body(limits: &HostLimits, body: Body) -> Result<Bytes, Refusal> {
    let reading = Limited::new(body, limits.body_bytes_max).collect();
    match tokio::time::timeout(limits.body_time_max, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(fault)) if fault.is::<LengthLimitError>() => {
            let text = format!("the request body is larger than {} bytes", limits.body_bytes_max);
            Err(Refusal::with(StatusCode::PAYLOAD_TOO_LARGE, Error::invalid_request(text)))
        }
        Ok(Err(_)) => Err(Error::parse("the request body broke off").into()),
        Err(_) => {
            let text = format!("the request body took longer than {} s", limits.body_time_max.as_secs());
            Err(Refusal::with(StatusCode::REQUEST_TIMEOUT, Error::invalid_request(text)))
        }
    }
}

/// A body as text, not nested too deep for those who read it.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::parse("the request is not UTF-8"))?;
    check_depth(bytes, ParseLimits::DEFAULT.depth_max)?;
    Ok(text)
}

/// The parameters of the url, in their order.
pub(crate) fn query(uri: &Uri) -> Result<Vec<(String, String)>, Error> {
    let read = Query::<Vec<(String, String)>>::try_from_uri(uri);
    read.map(|Query(parameters)| parameters)
        .map_err(|fault| Error::invalid_request(format!("the query does not read: {fault}")))
}

/// The version that the request asks for: the header first, then the url. Absent means 0.3.
pub(crate) fn version(headers: &HeaderMap, query: &[(String, String)]) -> Result<ProtocolVersion, Error> {
    let header = headers.get(VERSION).map(|given| given.to_str().unwrap_or("?"));
    let in_url = || query.iter().find(|(name, _)| name.eq_ignore_ascii_case(VERSION)).map(|(_, value)| value.as_str());
    ProtocolVersion::parse(header.filter(|given| !given.trim().is_empty()).or_else(in_url))
}

/// What is asked for has this name in 1.0 alone, and the request speaks 0.3: most likely its client has forgotten to say what it speaks.
pub(crate) fn version_is_missing(name: &str) -> Error {
    let text = format!("{name} is of A2A 1.0, but this is a request of 0.3; send the header A2A-Version: 1.0");
    Error::new(ErrorKind::VersionNotSupported, text).with("supportedVersions", SUPPORTED)
}

/// The extensions that the client asks for, from all headers of both names: 0.3 has the second.
pub(crate) fn extensions(headers: &HeaderMap) -> Vec<String> {
    let given = EXTENSIONS.iter().flat_map(|name| headers.get_all(*name)).filter_map(|given| given.to_str().ok());
    let uris = given.flat_map(|given| given.split(',')).map(str::trim).filter(|uri| !uri.is_empty());
    uris.map(str::to_owned).collect()
}

/// Where a stream was left, as the client says it.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Option<String> {
    headers.get(LAST_EVENT_ID).and_then(|given| given.to_str().ok()).map(str::to_owned)
}
