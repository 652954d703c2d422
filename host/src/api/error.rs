//! Errors on the wire. The one table from kinds to codes is `protocol::error`; here they get their forms.

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use kennel_protocol::Error;
use serde_json::json;
use serde_json::value::RawValue;

/// A JSON-RPC error object: code, message, data; never more.
pub(crate) fn object(error: &Error) -> serde_json::Value {
    json!({ "code": error.jsonrpc_code(), "message": error.message, "data": error.details() })
}

/// A JSON-RPC response that carries an error. `id`: as the client wrote it; null where it could not be read.
pub(crate) fn body(id: Option<&RawValue>, error: &Error) -> String {
    let id = id.map_or("null", RawValue::get);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{}}}"#, object(error))
}

/// An error at the level of JSON-RPC: HTTP says 200.
pub(crate) fn respond(id: Option<&RawValue>, error: &Error) -> Response {
    with_status(StatusCode::OK, id, error)
}

/// An error that HTTP has a word for, in the protocol's own form all the same.
pub(crate) fn with_status(status: StatusCode, id: Option<&RawValue>, error: &Error) -> Response {
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body(id, error)).into_response();
    if let Some(delay) = error.retry_after
        && let Ok(seconds) = delay.as_secs().max(1).to_string().parse()
    {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// No such path.
pub(crate) async fn no_such_path(uri: Uri) -> Response {
    let error = Error::method_not_found(uri.path());
    with_status(StatusCode::NOT_FOUND, None, &error)
}

/// The path is there, the verb is not.
pub(crate) async fn wrong_method(uri: Uri) -> Response {
    let text = format!("{} does not answer this HTTP method; A2A over JSON-RPC is POST", uri.path());
    with_status(StatusCode::METHOD_NOT_ALLOWED, None, &Error::invalid_request(text))
}
