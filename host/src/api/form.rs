//! The forms of answers: one request's results, errors and events as its binding spells them. The one table from kinds of errors to
//! codes is `protocol::error`; here they get their places.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use kennel_protocol::types::{SendMessageResponse, StreamResponse};
use kennel_protocol::v0_3::{Answer, Old};
use kennel_protocol::{Binding, Error, ErrorKind, ProtocolVersion, Seq};
use serde_json::json;
use serde_json::value::RawValue;

use crate::config::JsonType;
use crate::service::Held;

/// How the answers to one request are spelled.
pub(crate) struct Form {
    pub(crate) envelope: Envelope,
    pub(crate) version: ProtocolVersion,
}

/// What is around an answer.
pub(crate) enum Envelope {
    /// That of JSON-RPC (protocol 7), with the id as the client wrote it. None: a notification, or an id that cannot be read.
    JsonRpc(Option<Box<RawValue>>),
    /// Nothing (protocol 8).
    HttpJson(JsonType),
}

impl Form {
    /// JSON-RPC, before more is known.
    pub(crate) const fn json_rpc(id: Option<Box<RawValue>>) -> Form {
        Form { envelope: Envelope::JsonRpc(id), version: ProtocolVersion::V1_0 }
    }

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
        Form { envelope: Envelope::HttpJson(chosen), version: ProtocolVersion::V1_0 }
    }

    /// The same form in a version; 0.3 has one media type.
    pub(crate) fn in_version(mut self, version: ProtocolVersion) -> Form {
        if let (Envelope::HttpJson(json), ProtocolVersion::V0_3) = (&mut self.envelope, version) {
            *json = JsonType::Plain;
        }
        Form { version, ..self }
    }

    /// The form of what is no operation, such as a card.
    pub(crate) const fn plain() -> Form {
        Form { envelope: Envelope::HttpJson(JsonType::Plain), version: ProtocolVersion::V1_0 }
    }

    const fn binding(&self) -> Binding {
        match self.envelope {
            Envelope::JsonRpc(_) => Binding::JsonRpc,
            Envelope::HttpJson(_) => Binding::HttpJson,
        }
    }

    /// The media type of answers that are no streams.
    pub(crate) const fn media_type(&self) -> HeaderValue {
        match &self.envelope {
            Envelope::JsonRpc(_) | Envelope::HttpJson(JsonType::Plain) => {
                HeaderValue::from_static(JsonType::Plain.as_str())
            }
            Envelope::HttpJson(JsonType::A2a) => HeaderValue::from_static(JsonType::A2a.as_str()),
        }
    }

    /// A whole answer.
    pub(crate) fn answer<T: Answer>(&self, result: Result<Held<T>, Error>) -> Response {
        match result.and_then(|held| self.held(held)) {
            Ok(body) => ([(header::CONTENT_TYPE, self.media_type())], body).into_response(),
            Err(error) => self.refuse(&error),
        }
    }

    /// The same as bytes, for bindings whose status does not depend on it.
    pub(crate) fn bytes<T: Answer>(&self, result: Result<Held<T>, Error>) -> Bytes {
        let body = result.and_then(|held| self.held(held));
        body.unwrap_or_else(|error| self.error(status_of(&error), &error).into())
    }

    /// Written once: a large result is in memory as it was read and as text, no more.
    fn held<T: Answer>(&self, Held { value, room }: Held<T>) -> Result<Bytes, Error> {
        // A text that grows by doubling is twice in memory while it moves.
        let mut body = Vec::with_capacity(usize::try_from(room.bytes()).unwrap_or(0));
        self.write_result(&value, &mut body)?;
        drop(value);
        Ok(room.keep(body))
    }

    /// A refusal in full.
    pub(crate) fn refused(&self, refusal: &Refusal) -> Response {
        match refusal.status {
            Some(status) => self.refuse_with(status, &refusal.error),
            None => self.refuse(&refusal.error),
        }
    }

    /// An error with the status that its binding has for it: to JSON-RPC all is well with HTTP.
    pub(crate) fn refuse(&self, error: &Error) -> Response {
        let status = match &self.envelope {
            Envelope::JsonRpc(_) => StatusCode::OK,
            Envelope::HttpJson(_) => status_of(error),
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

    /// An event of a task: its StreamResponse as it is stored, so JSON of 1.0 in one line. `last`: the stream ends after it.
    pub(crate) fn event(&self, seq: Seq, stored: &[u8], last: bool) -> Result<Bytes, Error> {
        let body = match self.version {
            ProtocolVersion::V1_0 => String::from_utf8_lossy(stored),
            ProtocolVersion::V0_3 => {
                let event = serde_json::from_slice::<StreamResponse>(stored).map_err(|fault| unwritten(&fault))?;
                let old = if last { Old::last(&event, self.binding()) } else { Old::new(&event, self.binding()) };
                serde_json::to_string(&old).map_err(|fault| unwritten(&fault))?.into()
            }
        };
        let (before, after) = self.around_a_result();
        Ok(format!("id: {seq}\ndata: {before}{body}{after}\n\n").into())
    }

    /// The only event of a stream that is about no task.
    pub(crate) fn only_event(&self, answer: &SendMessageResponse) -> Result<Bytes, Error> {
        let mut event = b"data: ".to_vec();
        self.write_result(answer, &mut event)?;
        event.extend_from_slice(b"\n\n");
        Ok(event.into())
    }

    fn write_result<T: Answer>(&self, answer: &T, out: &mut Vec<u8>) -> Result<(), Error> {
        let (before, after) = self.around_a_result();
        out.extend_from_slice(before.as_bytes());
        let written = match self.version {
            ProtocolVersion::V1_0 => serde_json::to_writer(&mut *out, answer),
            ProtocolVersion::V0_3 => serde_json::to_writer(&mut *out, &Old::new(answer, self.binding())),
        };
        written.map_err(|fault| unwritten(&fault))?;
        out.extend_from_slice(after.as_bytes());
        Ok(())
    }

    /// The event that ends a stream which broke off. None: the binding has no such event, so that the connection breaks.
    pub(crate) fn broken(&self, error: &Error) -> Option<Bytes> {
        match &self.envelope {
            Envelope::JsonRpc(_) => Some(format!("data: {}\n\n", self.error(StatusCode::OK, error)).into()),
            Envelope::HttpJson(_) => None,
        }
    }

    /// 0.3 ends at -32007; what has no code there yet is an invalid request.
    fn code(&self, error: &Error) -> i32 {
        let is_new = matches!(error.kind, ErrorKind::ExtensionSupportRequired | ErrorKind::VersionNotSupported);
        match self.version {
            ProtocolVersion::V0_3 if is_new => ErrorKind::InvalidRequest.jsonrpc_code(),
            ProtocolVersion::V0_3 | ProtocolVersion::V1_0 => error.jsonrpc_code(),
        }
    }

    fn around_a_result(&self) -> (String, &'static str) {
        match &self.envelope {
            Envelope::JsonRpc(id) => (format!(r#"{{"jsonrpc":"2.0","id":{},"result":"#, text_of(id.as_deref())), "}"),
            Envelope::HttpJson(_) => (String::new(), ""),
        }
    }

    /// Its members and never more: strict clients refuse others.
    fn error(&self, status: StatusCode, error: &Error) -> String {
        let (message, details) = (&error.message, error.details());
        match &self.envelope {
            Envelope::JsonRpc(id) => {
                let object = json!({ "code": self.code(error), "message": message, "data": details });
                format!(r#"{{"jsonrpc":"2.0","id":{},"error":{object}}}"#, text_of(id.as_deref()))
            }
            Envelope::HttpJson(_) => {
                let (code, status) = (status.as_u16(), error.grpc_status());
                json!({ "error": { "code": code, "status": status, "message": message, "details": details } })
                    .to_string()
            }
        }
    }
}

/// An error, and what HTTP calls it where it has a word of its own.
pub(crate) struct Refusal {
    pub(crate) status: Option<StatusCode>,
    pub(crate) error: Error,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal { status: None, error }
    }
}

impl Refusal {
    /// With a status whatever the binding.
    pub(crate) const fn with(status: StatusCode, error: Error) -> Refusal {
        Refusal { status: Some(status), error }
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

fn unwritten(fault: &serde_json::Error) -> Error {
    tracing::error!(error = %fault, "a result does not serialize");
    Error::internal()
}
