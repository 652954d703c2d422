//! Slow JSON answers: a newline every few seconds before the body. JSON allows blanks there, and clients that drop a connection without
//! bytes (the Python SDK after 5 s) hold on.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

type Answer = Pin<Box<dyn Future<Output = String> + Send>>;

/// Answers as soon as the body is there; begins with newlines if that takes longer than `every`.
pub(crate) async fn json(answer: impl Future<Output = String> + Send + 'static, every: Duration) -> Response {
    let mut answer: Answer = Box::pin(answer);
    if let Ok(body) = tokio::time::timeout(every, &mut answer).await {
        return ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    let beats = stream::unfold(Some(answer), move |waiting| async move {
        let mut answer = waiting?;
        // The first newline goes at once: one interval has passed already.
        let beat = Bytes::from_static(b"\n");
        match tokio::time::timeout(every, &mut answer).await {
            Ok(body) => Some((Ok::<_, Infallible>(Bytes::from(format!("\n{body}"))), None)),
            Err(_) => Some((Ok(beat), Some(answer))),
        }
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(beats)).into_response()
}
