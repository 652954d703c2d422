//! JSON-RPC 2.0 (protocol 7): bytes to a request of `protocol`, one service call, and the result back in the envelope.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kennel_protocol::parse::{ParseLimits, check_depth, request as parse_request};
use kennel_protocol::types::{CancelTaskRequest, SendMessageRequest, SendMessageResponse, SubscribeToTaskRequest};
use kennel_protocol::{AgentId, Error, ProtocolVersion};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{App, error, heartbeat, sse};
use crate::service::SendStream;

const VERSION: &str = "a2a-version";
const EXTENSIONS: &str = "a2a-extensions";

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

/// Service parameters given in the url.
#[derive(Deserialize)]
pub(crate) struct Parameters {
    #[serde(rename = "A2A-Version")]
    version: Option<String>,
}

/// A request to a named agent.
pub(crate) async fn agent(
    State(app): State<App>,
    Path(name): Path<String>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match name.parse() {
        Ok(agent) => call(app, agent, parameters, headers, body).await,
        Err(_) => no_agent(None, &name),
    }
}

/// A request to the default agent.
pub(crate) async fn root(
    State(app): State<App>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match app.service.registry().default_agent() {
        Some(agent) => call(app, agent, parameters, headers, body).await,
        None => no_agent(None, "at the root (see --default-agent)"),
    }
}

fn no_agent(id: Option<&RawValue>, name: &str) -> Response {
    let error = Error::method_not_found(&format!("agent {name}"));
    error::with_status(StatusCode::NOT_FOUND, id, &error)
}

/// A request that was read and whose envelope is right.
struct Call {
    app: App,
    agent: AgentId,
    id: Box<RawValue>,
    /// Without an id there is no answer.
    notification: bool,
    method: String,
    params: String,
    headers: HeaderMap,
}

async fn call(
    app: App,
    agent: AgentId,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(error) = content_type(&headers) {
        return error::respond(None, &error);
    }
    let bytes = match read(&app, body).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal,
    };
    let envelope = match envelope(&bytes) {
        Ok(envelope) => envelope,
        Err((id, error)) => return error::respond(id.as_deref(), &error),
    };
    let notification = envelope.id.is_none();
    let call = Call {
        id: envelope.id.unwrap_or_else(null),
        notification,
        method: envelope.method.unwrap_or_default(),
        params: envelope.params.map_or_else(|| "{}".to_owned(), |params| params.get().to_owned()),
        app,
        agent,
        headers,
    };
    let asked = parameters.map_err(|fault| Error::invalid_request(format!("the query does not read: {fault}")));
    if let Err(error) = asked.and_then(|Query(asked)| version(&call.headers, asked)) {
        return error::respond(Some(&call.id), &error);
    }
    let notification = call.notification;
    let response = dispatch(call).await;
    if notification {
        return StatusCode::NO_CONTENT.into_response();
    }
    response
}

fn null() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

/// JSON in any of its spellings.
fn content_type(headers: &HeaderMap) -> Result<(), Error> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let bare = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if bare == "application/json" || (bare.starts_with("application/") && bare.ends_with("+json")) {
        return Ok(());
    }
    let given = if given.is_empty() { "(none)" } else { given };
    Err(Error::content_type_not_supported(given))
}

/// The whole body, within its bounds of size and time.
async fn read(app: &App, body: Body) -> Result<Bytes, Response> {
    let limits = &app.limits;
    let reading = Limited::new(body, limits.body_bytes_max).collect();
    match tokio::time::timeout(limits.body_time_max, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(fault)) if fault.is::<LengthLimitError>() => {
            let text = format!("the request body is larger than {} bytes", limits.body_bytes_max);
            Err(error::with_status(StatusCode::PAYLOAD_TOO_LARGE, None, &Error::invalid_request(text)))
        }
        Ok(Err(_)) => Err(error::respond(None, &Error::parse("the request body broke off"))),
        Err(_) => {
            let text = format!("the request body took longer than {} s", limits.body_time_max.as_secs());
            Err(error::with_status(StatusCode::REQUEST_TIMEOUT, None, &Error::invalid_request(text)))
        }
    }
}

/// Takes the envelope apart. An error carries the id if it could be read.
fn envelope(bytes: &[u8]) -> Result<Envelope, (Option<Box<RawValue>>, Error)> {
    let text = std::str::from_utf8(bytes).map_err(|_| (None, Error::parse("the request is not UTF-8")))?;
    check_depth(bytes, ParseLimits::DEFAULT.depth_max).map_err(|error| (None, error))?;
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

/// The version that the request asks for: the header first, then the url. Absent means 0.3.
fn version(headers: &HeaderMap, parameters: Parameters) -> Result<(), Error> {
    let header = headers.get(VERSION).map(|given| given.to_str().unwrap_or("?").to_owned());
    let asked = header.filter(|given| !given.trim().is_empty()).or(parameters.version);
    match ProtocolVersion::parse(asked.as_deref()) {
        Ok(ProtocolVersion::V1_0) => Ok(()),
        Ok(ProtocolVersion::V0_3) | Err(_) => {
            let asked = asked.unwrap_or_else(|| "0.3 (no A2A-Version header)".to_owned());
            let text = format!("A2A version {asked} is not served here; send the header A2A-Version: 1.0");
            Err(Error::new(kennel_protocol::ErrorKind::VersionNotSupported, text).with("supportedVersions", "1.0"))
        }
    }
}

/// The extensions that the client asks for, from all headers of the name.
fn extensions(headers: &HeaderMap) -> Vec<String> {
    let given = headers.get_all(EXTENSIONS).iter().filter_map(|given| given.to_str().ok());
    let uris = given.flat_map(|given| given.split(',')).map(str::trim).filter(|uri| !uri.is_empty());
    uris.map(str::to_owned).collect()
}

/// The methods of A2A 1.0, by their names.
async fn dispatch(call: Call) -> Response {
    match call.method.as_str() {
        "SendMessage" => send_message(call).await,
        "SendStreamingMessage" => send_streaming_message(call).await,
        "GetTask" => get_task(call).await,
        "ListTasks" => list_tasks(call).await,
        "CancelTask" => cancel_task(call).await,
        "SubscribeToTask" => subscribe_to_task(call).await,
        "CreateTaskPushNotificationConfig"
        | "GetTaskPushNotificationConfig"
        | "ListTaskPushNotificationConfigs"
        | "DeleteTaskPushNotificationConfig" => error::respond(Some(&call.id), &Error::push_not_supported()),
        "GetExtendedAgentCard" => {
            let error = Error::unsupported("this agent has no extended card");
            error::respond(Some(&call.id), &error)
        }
        other => error::respond(Some(&call.id), &Error::method_not_found(other)),
    }
}

impl Call {
    fn refuse(&self, error: &Error) -> Response {
        error::respond(Some(&self.id), error)
    }

    fn answer<T: Serialize>(&self, result: Result<T, Error>) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], respond(&self.id, result)).into_response()
    }

    /// Whether a first message can go anywhere: the agent may be unknown here, or taken out.
    fn starts_nowhere(&self, request: &SendMessageRequest) -> bool {
        request.message.task_id.is_none() && self.app.service.registry().active(&self.agent).is_none()
    }
}

/// A response object, with the id as the client wrote it.
fn respond<T: Serialize>(id: &RawValue, result: Result<T, Error>) -> String {
    match result.map(|result| serde_json::to_string(&result)) {
        Ok(Ok(body)) => format!(r#"{{"jsonrpc":"2.0","id":{},"result":{body}}}"#, id.get()),
        Ok(Err(fault)) => {
            tracing::error!(error = %fault, "a result does not serialize");
            error::body(Some(id), &Error::internal())
        }
        Err(error) => error::body(Some(id), &error),
    }
}

async fn send_message(call: Call) -> Response {
    let mut request: SendMessageRequest = match parse_request(&call.params) {
        Ok(request) => request,
        Err(error) => return call.refuse(&error),
    };
    if call.notification {
        // Nobody waits for an answer, so nothing is waited for.
        request.configuration.get_or_insert_default().return_immediately = true;
    }
    if call.starts_nowhere(&request) {
        return no_agent(Some(&call.id), call.agent.as_str());
    }
    let every = call.app.limits.keep_alive;
    let answer = async move {
        let Call { app, agent, id, headers, .. } = call;
        let caller = app.caller();
        respond(&id, app.service.send_message(&caller, &agent, request, extensions(&headers)).await)
    };
    heartbeat::json(answer, every).await
}

async fn send_streaming_message(call: Call) -> Response {
    let request: SendMessageRequest = match parse_request(&call.params) {
        Ok(request) => request,
        Err(error) => return call.refuse(&error),
    };
    if call.starts_nowhere(&request) {
        return no_agent(Some(&call.id), call.agent.as_str());
    }
    let caller = call.app.caller();
    let extensions = extensions(&call.headers);
    match call.app.service.send_streaming_message(&caller, &call.agent, request, extensions).await {
        Ok(SendStream::Task(events)) => {
            sse::task(*events, call.id, call.app.limits.keep_alive, call.app.closing.clone())
        }
        Ok(SendStream::Message(message)) => match serde_json::to_string(&SendMessageResponse::Message(*message)) {
            Ok(body) => sse::single(&call.id, &body),
            Err(_) => call.refuse(&Error::internal()),
        },
        Err(error) => call.refuse(&error),
    }
}

async fn get_task(call: Call) -> Response {
    let request = match parse_request(&call.params) {
        Ok(request) => request,
        Err(error) => return call.refuse(&error),
    };
    let caller = call.app.caller();
    call.answer(call.app.service.get_task(&caller, &call.agent, &request).await)
}

async fn list_tasks(call: Call) -> Response {
    let request = match parse_request(&call.params) {
        Ok(request) => request,
        Err(error) => return call.refuse(&error),
    };
    let caller = call.app.caller();
    call.answer(call.app.service.list_tasks(&caller, &call.agent, &request).await)
}

async fn cancel_task(call: Call) -> Response {
    let request: CancelTaskRequest = match parse_request(&call.params) {
        Ok(request) => request,
        Err(error) => return call.refuse(&error),
    };
    let every = call.app.limits.keep_alive;
    let answer = async move {
        let Call { app, agent, id, .. } = call;
        let caller = app.caller();
        respond(&id, app.service.cancel_task(&caller, &agent, &request).await)
    };
    heartbeat::json(answer, every).await
}

async fn subscribe_to_task(call: Call) -> Response {
    let request: SubscribeToTaskRequest = match parse_request(&call.params) {
        Ok(request) => request,
        Err(error) => return call.refuse(&error),
    };
    let caller = call.app.caller();
    let last = call.headers.get("last-event-id").and_then(|given| given.to_str().ok());
    match call.app.service.subscribe(&caller, &call.agent, &request, last).await {
        Ok(events) => sse::task(events, call.id, call.app.limits.keep_alive, call.app.closing.clone()),
        Err(error) => call.refuse(&error),
    }
}
