//! Slow JSON answers: a newline every few seconds before the body. JSON allows blanks there, and clients that drop a connection without
//! bytes (the Python SDK after 5 s) hold on.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

const BEAT: Bytes = Bytes::from_static(b"\n");

type Answer = Pin<Box<dyn Future<Output = String> + Send>>;

/// Answers as soon as the body is there; begins with newlines if that takes longer than `every`.
pub(crate) async fn json(answer: impl Future<Output = String> + Send + 'static, every: Duration) -> Response {
    let mut answer: Answer = Box::pin(answer);
    if let Ok(body) = tokio::time::timeout(every, &mut answer).await {
        return ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    // One interval has passed already, so the first newline goes at once.
    let first = stream::once(async { Ok::<_, Infallible>(BEAT) });
    let rest = stream::unfold(Some(answer), move |waiting| async move {
        let mut answer = waiting?;
        match tokio::time::timeout(every, &mut answer).await {
            Ok(body) => Some((Ok(Bytes::from(body)), None)),
            Err(_) => Some((Ok(BEAT), Some(answer))),
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(first.chain(rest))).into_response()
}
