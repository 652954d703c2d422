//! JSON-RPC 2.0 (protocol 7): bytes to a request of `protocol`, one service call, and the result back in the envelope.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use kennel_protocol::{Binding, Error, Operation, ProtocolVersion, v0_3};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::call::{Call, Place};
use super::form::{Form, nowhere, wrong_verb};
use super::{App, request};

/// The members of a request. Others are ignored.
#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    jsonrpc: Option<String>,
    /// None: a notification. Null is an id.
    #[serde(default, deserialize_with = "present")]
    id: Option<Box<RawValue>>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    params: Option<Box<RawValue>>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// A request to a named agent.
pub(crate) async fn agent(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match name.parse() {
        Ok(agent) => call(app, Place::Agent(agent), &uri, &headers, body).await,
        Err(_) => Form::json_rpc(None).refuse_with(StatusCode::NOT_FOUND, &nowhere(&format!("agent {name}"))),
    }
}

/// A request at the root.
pub(crate) async fn root(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap, body: Body) -> Response {
    call(app, Place::Root, &uri, &headers, body).await
}

/// The url is that of an agent, the verb is not.
pub(crate) async fn wrong_method(uri: Uri) -> Response {
    Form::json_rpc(None).refuse_with(StatusCode::METHOD_NOT_ALLOWED, &wrong_verb(uri.path(), "POST"))
}

async fn call(app: Arc<App>, place: Place, uri: &Uri, headers: &HeaderMap, body: Body) -> Response {
    let unread = Form::json_rpc(None);
    if let Err(error) = request::content_type(headers) {
        return unread.refuse(&error);
    }
    let bytes = match request::body(&app.limits, body).await {
        Ok(bytes) => bytes,
        Err(refusal) => return unread.refused(&refusal),
    };
    let envelope = match envelope(&bytes) {
        Ok(envelope) => envelope,
        Err((id, error)) => return Form::json_rpc(id).refuse(&error),
    };
    let notification = envelope.id.is_none();
    let response = dispatch(app, place, envelope, uri, headers).await;
    if notification {
        return StatusCode::NO_CONTENT.into_response();
    }
    response
}

async fn dispatch(app: Arc<App>, place: Place, envelope: Envelope, uri: &Uri, headers: &HeaderMap) -> Response {
    let Envelope { id, method, params, .. } = envelope;
    let notification = id.is_none();
    let form = Form::json_rpc(id);
    let version = match request::query(uri).and_then(|query| request::version(headers, &query)) {
        Ok(version) => version,
        Err(error) => return form.refuse(&error),
    };
    let form = form.in_version(version);
    let method = method.unwrap_or_default();
    let Some(operation) = Operation::of_method(version, &method) else {
        return Form { version: ProtocolVersion::V1_0, ..form }.refuse(&no_such_method(version, &method));
    };
    let params = params.as_deref().map_or("{}", RawValue::get);
    let params = match version {
        ProtocolVersion::V1_0 => Cow::Borrowed(params),
        ProtocolVersion::V0_3 => match v0_3::request(operation, Binding::JsonRpc, params) {
            Ok(params) => Cow::Owned(params),
            Err(error) => return form.refuse(&error),
        },
    };
    let (extensions, last_event_id) = (request::extensions(headers), request::last_event_id(headers));
    let call = Call { app, place, form, notification, extensions, last_event_id };
    call.perform(operation, &params).await
}

fn no_such_method(version: ProtocolVersion, method: &str) -> Error {
    let of_another = ProtocolVersion::ALL.into_iter().find(|other| Operation::of_method(*other, method).is_some());
    match (version, of_another) {
        (ProtocolVersion::V0_3, Some(ProtocolVersion::V1_0)) => request::version_is_missing(method),
        _ => Error::method_not_found(method),
    }
}

/// Takes the envelope apart. An error carries the id if it could be read.
fn envelope(bytes: &[u8]) -> Result<Envelope, (Option<Box<RawValue>>, Error)> {
    let text = request::text(bytes).map_err(|error| (None, error))?;
    if text.trim_start().starts_with('[') {
        let error = match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Error::invalid_request("batches are not served; send one request at a time"),
            Err(fault) => Error::parse(format!("the request is not JSON: {fault}")),
        };
        return Err((None, error));
    }
    let envelope: Envelope = serde_json::from_str(text).map_err(|fault| match fault.classify() {
        serde_json::error::Category::Data => (None, Error::invalid_request(format!("not a JSON-RPC request: {fault}"))),
        _ => (None, Error::parse(format!("the request is not JSON: {fault}"))),
    })?;
    let refuse = |text: &str| Err((envelope.id.clone(), Error::invalid_request(text)));
    let id = envelope.id.as_deref().map_or("null", RawValue::get);
    if !(id == "null" || id.starts_with('"') || id.starts_with(|c: char| c == '-' || c.is_ascii_digit())) {
        return Err((None, Error::invalid_request("the id must be a string, a number or null")));
    }
    if envelope.jsonrpc.as_deref() != Some("2.0") {
        return refuse("the member jsonrpc must be \"2.0\"");
    }
    if envelope.method.as_deref().is_none_or(str::is_empty) {
        return refuse("the member method is missing");
    }
    Ok(envelope)
}
