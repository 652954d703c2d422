//! The frame of JSON-RPC 2.0 around a request and around an answer.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use kennel_protocol::ErrorKind;
use reqwest::Url;

use crate::error::{ClientError, RemoteError};
use crate::transport::Answer;

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a P,
}

/// Either member may be missing or null; the rest of the object is ignored.
#[derive(Deserialize)]
struct Response<'a> {
    #[serde(default)]
    id: Value,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<ErrorObject>,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

/// The text of a request.
pub(crate) fn request<P: Serialize>(id: u64, method: &str, params: &P) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(&Request { jsonrpc: "2.0", id, method, params })
        .map_err(|error| ClientError::Invalid(format!("the request cannot be written as JSON: {error}")))
}

/// The result in an ordinary answer, or the error that stands in its place.
pub(crate) fn answer<T: DeserializeOwned>(answer: &Answer, id: u64, url: &Url) -> Result<T, ClientError> {
    if let Some(error) = answer.status_error(url) {
        // A refusal at the door says more in its body, if that is JSON-RPC.
        let refused = refusal(answer);
        return Err(match (error, refused) {
            (ClientError::Auth { url, .. }, Some(refused)) => ClientError::Auth { url, message: refused.message },
            (_, Some(refused)) => failure(refused, url),
            (error, None) => error,
        });
    }
    response(&answer.body, id, url)
}

/// The result in the text of a response object.
pub(crate) fn response<T: DeserializeOwned>(text: &[u8], id: u64, url: &Url) -> Result<T, ClientError> {
    let malformed = |what: &str| ClientError::Invalid(format!("{url} does not answer in JSON-RPC: {what}"));
    let response: Response<'_> = serde_json::from_slice(text).map_err(|error| malformed(&error.to_string()))?;
    if let Some(error) = response.error {
        return Err(failure(remote(error), url));
    }
    let result = response.result.ok_or_else(|| malformed("neither a result nor an error"))?;
    if response.id != id {
        return Err(malformed("the id is not the one of the request"));
    }
    serde_json::from_str(result.get())
        .map_err(|error| ClientError::Invalid(format!("the answer of {url} is not A2A 1.0: {error}")))
}

fn refusal(answer: &Answer) -> Option<RemoteError> {
    let response: Response<'_> = serde_json::from_slice(&answer.body).ok()?;
    response.error.map(|error| RemoteError { retry_after: answer.retry_after(), ..remote(error) })
}

fn remote(error: ErrorObject) -> RemoteError {
    RemoteError { code: error.code, message: error.message, data: error.data, retry_after: None }
}

/// Servers may refuse credentials with status 200; to the caller it is all one.
fn failure(error: RemoteError, url: &Url) -> ClientError {
    match error.kind() {
        Some(ErrorKind::Unauthenticated | ErrorKind::Forbidden) => {
            ClientError::Auth { url: url.to_string(), message: error.message }
        }
        Some(_) | None => ClientError::Protocol(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};
    use serde_json::json;

    fn url() -> Url {
        "http://agent.test/".parse().unwrap()
    }

    fn read(status: u16, body: &str) -> Result<Value, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        answer(&Answer { status, headers, body: body.as_bytes().to_vec() }, 3, &url())
    }

    #[test]
    fn a_request_is_one_object() {
        let text = request(3, "GetTask", &json!({ "id": "t" })).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            r#"{"jsonrpc":"2.0","id":3,"method":"GetTask","params":{"id":"t"}}"#
        );
    }

    #[test]
    fn results_and_errors_are_told_apart() {
        assert_eq!(read(200, r#"{"jsonrpc":"2.0","id":3,"result":{"a":1},"error":null}"#).unwrap(), json!({ "a": 1 }));
        let error = read(200, r#"{"id":3,"error":{"code":-32001,"message":"Task not found"}}"#).unwrap_err();
        assert_eq!(error.to_string(), "Task not found (code -32001)");
    }

    #[test]
    fn refusals_at_the_door_keep_their_words() {
        let refused = r#"{"id":null,"error":{"code":-32010,"message":"Authentication required"}}"#;
        for status in [200, 401] {
            assert!(
                matches!(read(status, refused), Err(ClientError::Auth { message, .. }) if message == "Authentication required")
            );
        }
        assert!(matches!(read(403, "no"), Err(ClientError::Auth { message, .. }) if message == "HTTP 403 Forbidden"));
        let limited = read(429, r#"{"id":3,"error":{"code":-32012,"message":"Too many requests"}}"#).unwrap_err();
        assert_eq!(limited.retry_after().map(|delay| delay.as_secs()), Some(7));
        assert!(limited.is_transient());
    }

    #[test]
    fn answers_that_are_no_answers_are_invalid_or_worth_another_try() {
        assert!(matches!(read(502, "<html>"), Err(ClientError::Unreachable { .. })));
        for (status, body) in [
            (200, "<html>"),
            (200, "{}"),
            (200, r#"{"id":4,"result":{}}"#),
            (404, ""),
            (302, ""),
            (200, r#"{"id":3,"result":null}"#),
        ] {
            assert!(matches!(read(status, body), Err(ClientError::Invalid(_))), "{status} {body}");
        }
    }
}
