//! HTTP+JSON (protocol 8): verb, path, query and body to the JSON of a request, which is then read as that of any binding.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use kennel_protocol::operation::{Found, Target};
use kennel_protocol::parse::camel;
use kennel_protocol::types::{JsonObject, JsonValue};
use kennel_protocol::{Binding, Error, Operation, ProtocolVersion, v0_3};
use percent_encoding::percent_decode_str;

use super::call::{Call, Place};
use super::form::{Form, Refusal, nowhere, wrong_verb};
use super::{App, request};

/// A request below the url of a named agent.
pub(crate) async fn agent(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // Not axum's path: what is encoded in a segment must stay one.
    let below = uri.path().strip_prefix("/agents/").and_then(|path| path.split_once('/'));
    let (name, path) = below.unwrap_or_default();
    let agent = decoded(name).and_then(|name| name.parse().ok());
    let form = Form::http_json(&headers, app.json_type);
    match agent {
        Some(agent) => {
            answer(app, Place::Agent(agent), form, Arrived { method, path, uri: &uri, headers: &headers, body }).await
        }
        None => form.refuse(&nowhere(&format!("agent {name}"))),
    }
}

/// Any other path: those below the root, and those that are not there.
pub(crate) async fn root(
    State(app): State<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let path = uri.path().strip_prefix('/').unwrap_or_default();
    let form = Form::http_json(&headers, app.json_type);
    answer(app, Place::Root, form, Arrived { method, path, uri: &uri, headers: &headers, body }).await
}

/// The path is there, the verb is not: cards and probes.
pub(crate) async fn wrong_method(uri: Uri) -> Response {
    Form::plain().refuse_with(StatusCode::METHOD_NOT_ALLOWED, &wrong_verb(uri.path(), "GET"))
}

/// A request as it came.
struct Arrived<'r> {
    method: Method,
    /// Below the url of the interface.
    path: &'r str,
    uri: &'r Uri,
    headers: &'r HeaderMap,
    body: Body,
}

async fn answer(app: Arc<App>, place: Place, form: Form, arrived: Arrived<'_>) -> Response {
    let Arrived { method, path, uri, headers, body } = arrived;
    let query = match request::query(uri) {
        Ok(query) => query,
        Err(error) => return form.refuse(&error),
    };
    let asked = request::version(headers, &query);
    let version = *asked.as_ref().unwrap_or(&ProtocolVersion::V1_0);
    // The path first: nobody who looks for something else wants to hear of versions.
    let target = match (Found::at(version, method.as_str(), path), asked) {
        (Found::Operation(target), Ok(_)) => target,
        (Found::Operation(_), Err(error)) => return form.refuse(&error),
        (Found::OtherVerbs(verbs), _) => return other_verbs(&form, uri, &verbs.join(", ")),
        (Found::Nothing, _) => return elsewhere(version, &form, &method, uri, path),
    };
    let form = form.in_version(version);
    let params = if method == Method::POST {
        posted(&app, headers, body).await.and_then(|posted| Ok(merged(version, posted, &target)?))
    } else {
        from_url(&target, &query).map_err(Refusal::from)
    };
    let params = match params {
        Ok(params) => params,
        Err(refusal) => return form.refused(&refusal),
    };
    let (extensions, last_event_id) = (request::extensions(headers), request::last_event_id(headers));
    let call = Call { app, place, form, notification: false, extensions, last_event_id };
    call.perform(target.operation, &params).await
}

/// Nothing in this version: perhaps the client has not said which one it speaks, unless it uses a path that only 0.3 can mean.
fn elsewhere(version: ProtocolVersion, form: &Form, method: &Method, uri: &Uri, path: &str) -> Response {
    if version == ProtocolVersion::V1_0 || path.starts_with("v1/") {
        return form.refuse(&nowhere(uri.path()));
    }
    match Found::at(ProtocolVersion::V1_0, method.as_str(), path) {
        Found::Operation(_) => form.refuse(&request::version_is_missing(uri.path())),
        Found::OtherVerbs(verbs) => other_verbs(form, uri, &verbs.join(", ")),
        Found::Nothing => form.refuse(&nowhere(uri.path())),
    }
}

fn other_verbs(form: &Form, uri: &Uri, verbs: &str) -> Response {
    let mut response = form.refuse_with(StatusCode::METHOD_NOT_ALLOWED, &wrong_verb(uri.path(), verbs));
    if let Ok(verbs) = HeaderValue::from_str(verbs) {
        response.headers_mut().insert(header::ALLOW, verbs);
    }
    response
}

/// The body of a POST as text. Where there is none, its type does not matter.
async fn posted(app: &App, headers: &HeaderMap, body: Body) -> Result<String, Refusal> {
    let bytes = request::body(&app.limits, body).await?;
    if !bytes.is_empty() {
        request::content_type(headers).map_err(|error| Refusal::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))?;
    }
    Ok(request::text(&bytes).map(str::to_owned)?)
}

/// A body in the shape of 1.0, with what the path says, which goes before.
fn merged(version: ProtocolVersion, posted: String, target: &Target<'_>) -> Result<String, Error> {
    let may_be_empty = matches!(target.operation, Operation::CancelTask | Operation::SubscribeToTask);
    let posted = match posted.trim() {
        "" if may_be_empty => "{}".to_owned(),
        "null" => "{}".to_owned(),
        _ => posted,
    };
    let posted = match version {
        ProtocolVersion::V1_0 => posted,
        ProtocolVersion::V0_3 => v0_3::request(target.operation, Binding::HttpJson, &posted)?,
    };
    let fields = fields(target)?;
    if fields.is_empty() {
        return Ok(posted);
    }
    let value = JsonValue::from_text(&posted).map_err(|fault| Error::parse(format!("Invalid JSON: {fault}")))?;
    let object = JsonObject::try_from(value).map_err(|_| Error::invalid("", "must be an object"))?;
    let merged = fields.into_iter().fold(object, |object, (name, value)| object.with(name, &text(&value)));
    Ok(merged.get().to_owned())
}

/// What path and query say, as an object.
fn from_url(target: &Target<'_>, query: &[(String, String)]) -> Result<String, Error> {
    let fields = fields(target)?;
    let in_query = query.iter().map(|(name, value)| (camel(name), value.as_str()));
    let in_query = in_query.filter(|(name, _)| !fields.iter().any(|(field, _)| field == name));
    let in_query = in_query.map(|(name, value)| (text(&name), parameter(&name, value)));
    let members = fields.iter().map(|(name, value)| (text(name), text(value))).chain(in_query);
    // Written by hand, so that a parameter given twice is met by the parser of requests as a member given twice.
    let members: Vec<String> = members.map(|(name, value)| format!("{name}:{value}")).collect();
    Ok(format!("{{{}}}", members.join(",")))
}

/// The fields in the path, decoded.
fn fields(target: &Target<'_>) -> Result<Vec<(&'static str, String)>, Error> {
    let tenant = target.tenant.map(|tenant| ("tenant", tenant));
    let fields = tenant.into_iter().chain(target.fields.iter().copied());
    let read = |(name, value): (&'static str, &str)| {
        let value = decoded(value).ok_or_else(|| Error::invalid(name, "must be UTF-8 when it is percent-decoded"))?;
        Ok((name, value))
    };
    fields.map(read).collect()
}

fn decoded(segment: &str) -> Option<String> {
    percent_decode_str(segment).decode_utf8().ok().map(Cow::into_owned)
}

/// A parameter of the query as the JSON that its field has. What does not fit stays text, which the parser of requests refuses by
/// the name of the field, or ignores with a field that it does not know.
fn parameter(name: &str, value: &str) -> JsonValue {
    match name {
        "includeArtifacts" => match value.to_ascii_lowercase().as_str() {
            "true" | "1" => JsonValue::from_value(&true.into()),
            "false" | "0" => JsonValue::from_value(&false.into()),
            _ => text(value),
        },
        // Enums have numbers too.
        "status" => value.parse::<u8>().map_or_else(|_| text(value), |number| JsonValue::from_value(&number.into())),
        // A plus sign that nobody has encoded arrives as a blank.
        "statusTimestampAfter" => text(&value.replace(' ', "+")),
        _ => text(value),
    }
}

fn text(value: &str) -> JsonValue {
    JsonValue::from_value(&value.into())
}
