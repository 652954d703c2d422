//! The forms of answers: one request's results, errors and events as its binding spells them. The one table from kinds of errors to
//! codes is `protocol::error`; here they get their places.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use kennel_protocol::{Error, ErrorKind};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::config::JsonType;

/// How the answers to one request are spelled.
pub(crate) enum Form {
    /// In the envelope of JSON-RPC (protocol 7), with the id as the client wrote it. None: a notification, or an id that cannot be read.
    JsonRpc(Option<Box<RawValue>>),
    /// Bare (protocol 8).
    HttpJson(JsonType),
}

impl Form {
    /// Bare, in the type that the client accepts, else in the operator's.
    pub(crate) fn http_json(headers: &HeaderMap, preset: JsonType) -> Form {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|given| given.to_str().ok());
        let ranges: Vec<String> =
            accepted.flat_map(|given| given.split(',')).map(|range| bare_type(range).to_ascii_lowercase()).collect();
        let names = |json: JsonType| ranges.iter().any(|range| range == json.as_str());
        let chosen = match (names(JsonType::A2a), names(JsonType::Plain)) {
            (true, false) => JsonType::A2a,
            (false, true) if !ranges.iter().any(|range| range.ends_with("/*")) => JsonType::Plain,
            _ => preset,
        };
        Form::HttpJson(chosen)
    }

    /// The form of what is no operation, such as a card.
    pub(crate) const fn plain() -> Form {
        Form::HttpJson(JsonType::Plain)
    }

    /// The media type of answers that are no streams.
    pub(crate) const fn media_type(&self) -> HeaderValue {
        match self {
            Form::JsonRpc(_) | Form::HttpJson(JsonType::Plain) => HeaderValue::from_static(JsonType::Plain.as_str()),
            Form::HttpJson(JsonType::A2a) => HeaderValue::from_static(JsonType::A2a.as_str()),
        }
    }

    /// A whole answer.
    pub(crate) fn answer<T: Serialize>(&self, result: Result<T, Error>) -> Response {
        match result.and_then(|result| written(&result)) {
            Ok(body) => ([(header::CONTENT_TYPE, self.media_type())], self.result(&body)).into_response(),
            Err(error) => self.refuse(&error),
        }
    }

    /// The same as text, for bindings whose status does not depend on it.
    pub(crate) fn text<T: Serialize>(&self, result: Result<T, Error>) -> String {
        match result.and_then(|result| written(&result)) {
            Ok(body) => self.result(&body),
            Err(error) => self.error(status_of(&error), &error),
        }
    }

    /// An error with the status that its binding has for it: to JSON-RPC all is well with HTTP.
    pub(crate) fn refuse(&self, error: &Error) -> Response {
        let status = match self {
            Form::JsonRpc(_) => StatusCode::OK,
            Form::HttpJson(_) => status_of(error),
        };
        self.refuse_with(status, error)
    }

    /// An error that HTTP has a word of its own for.
    pub(crate) fn refuse_with(&self, status: StatusCode, error: &Error) -> Response {
        let headers = [(header::CONTENT_TYPE, self.media_type())];
        let mut response = (status, headers, self.error(status, error)).into_response();
        if let Some(delay) = error.retry_after
            && let Ok(seconds) = delay.as_secs().max(1).to_string().parse()
        {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }

    /// One event of a stream: an object as JSON without line breaks.
    pub(crate) fn event(&self, seq: Option<u64>, body: &str) -> Bytes {
        let position = seq.map(|seq| format!("id: {seq}\n")).unwrap_or_default();
        format!("{position}data: {}\n\n", self.result(body)).into()
    }

    /// The event that ends a stream which broke off. None: the binding has no such event, so that the connection breaks.
    pub(crate) fn broken(&self, error: &Error) -> Option<Bytes> {
        match self {
            Form::JsonRpc(_) => Some(format!("data: {}\n\n", self.error(StatusCode::OK, error)).into()),
            Form::HttpJson(_) => None,
        }
    }

    fn result(&self, body: &str) -> String {
        match self {
            Form::JsonRpc(id) => format!(r#"{{"jsonrpc":"2.0","id":{},"result":{body}}}"#, text_of(id.as_deref())),
            Form::HttpJson(_) => body.to_owned(),
        }
    }

    /// Its members and never more: strict clients refuse others.
    fn error(&self, status: StatusCode, error: &Error) -> String {
        let (message, details) = (&error.message, error.details());
        match self {
            Form::JsonRpc(id) => {
                let object = json!({ "code": error.jsonrpc_code(), "message": message, "data": details });
                format!(r#"{{"jsonrpc":"2.0","id":{},"error":{object}}}"#, text_of(id.as_deref()))
            }
            Form::HttpJson(_) => {
                let (code, status) = (status.as_u16(), error.grpc_status());
                json!({ "error": { "code": code, "status": status, "message": message, "details": details } })
                    .to_string()
            }
        }
    }
}

/// No such path or agent.
pub(crate) fn nowhere(what: &str) -> Error {
    Error::method_not_found(what)
}

/// The path is there, the verb is not.
pub(crate) fn wrong_verb(path: &str, verbs: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, format!("{path} does not answer this HTTP method; it answers {verbs}"))
}

/// A media type without its parameters.
pub(super) fn bare_type(given: &str) -> &str {
    given.split(';').next().unwrap_or_default().trim()
}

fn text_of(id: Option<&RawValue>) -> &str {
    id.map_or("null", RawValue::get)
}

fn status_of(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn written<T: Serialize>(result: &T) -> Result<String, Error> {
    serde_json::to_string(result).map_err(|fault| {
        tracing::error!(error = %fault, "a result does not serialize");
        Error::internal()
    })
}
