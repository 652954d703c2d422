//! Slow JSON answers: over JSON-RPC a newline every few seconds before the body. JSON allows blanks there, and clients that drop a
//! connection without bytes (the Python SDK after 5 s) hold on. HTTP+JSON cannot: its status says how the call went, and must come first.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use kennel_protocol::Error;
use kennel_protocol::v0_3::Answer;

use super::form::{Envelope, Form};
use crate::service::Held;

const BEAT: Bytes = Bytes::from_static(b"\n");

/// Something that takes its time.
pub(crate) type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Answers as soon as the body is there; where the form allows it, begins with newlines if that takes longer than `every`.
pub(crate) async fn answer<T>(answer: Waiting<Result<Held<T>, Error>>, form: Form, every: Duration) -> Response
where
    T: Answer + Send + 'static,
{
    match form.envelope {
        Envelope::HttpJson(_) => form.answer(answer.await),
        Envelope::JsonRpc(_) => json(Box::pin(async move { form.bytes(answer.await) }), every).await,
    }
}

async fn json(mut answer: Waiting<Bytes>, every: Duration) -> Response {
    if let Ok(body) = tokio::time::timeout(every, &mut answer).await {
        return ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    // One interval has passed already, so the first newline goes at once.
    let first = stream::once(async { Ok::<_, Infallible>(BEAT) });
    let rest = stream::unfold(Some(answer), move |waiting| async move {
        let mut answer = waiting?;
        match tokio::time::timeout(every, &mut answer).await {
            Ok(body) => Some((Ok(body), None)),
            Err(_) => Some((Ok(BEAT), Some(answer))),
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(first.chain(rest))).into_response()
}
