//! Server-sent events: `id:` is the event's seq, so a reconnect continues exactly there; a comment goes out when nothing else does.

use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use kennel_protocol::Error;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::error;
use crate::stream::{StreamItem, TaskStream};

/// A stream on its way to one client.
struct Sending {
    events: TaskStream,
    id: Box<RawValue>,
    every: Duration,
    closing: CancellationToken,
}

/// The events of a task, each in a JSON-RPC response that repeats the request's id.
pub(crate) fn task(events: TaskStream, id: Box<RawValue>, every: Duration, closing: CancellationToken) -> Response {
    let sending = Sending { events, id, every, closing };
    let frames = stream::unfold(Some(sending), |sending| async move {
        let mut sending = sending?;
        match sending.next().await? {
            Next::Frame(frame) => Some((Ok(frame), Some(sending))),
            Next::Last(frame) => Some((Ok(frame), None)),
            Next::Broken => Some((Err(std::io::Error::other("the host is stopping")), None)),
        }
    });
    response(Body::from_stream(frames))
}

/// One event, then the end.
pub(crate) fn single(id: &RawValue, body: &str) -> Response {
    response(Body::from(result_frame(None, id, body)))
}

fn response(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        // A proxy that gathers a stream breaks it.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

impl Sending {
    /// What goes out next; none: the task's stream has come to its end.
    async fn next(&mut self) -> Option<Next> {
        let next = tokio::select! {
            next = self.events.next() => next,
            () = tokio::time::sleep(self.every) => return Some(Next::Frame(Bytes::from_static(b": keep-alive\n\n"))),
            // What was committed before the host stopped still goes out.
            () = self.closing.cancelled() => match self.events.next_stored().await {
                Ok(None) if !self.events.is_over() => return Some(Next::Broken),
                stored => stored,
            },
        };
        match next {
            Ok(Some(StreamItem { seq, body })) => {
                // Stored by serde_json, so it is UTF-8 and has no line break.
                let body = String::from_utf8_lossy(&body);
                Some(Next::Frame(result_frame(Some(seq.get()), &self.id, &body).into()))
            }
            Ok(None) => None,
            Err(fault) => {
                tracing::error!(error = %fault, "a stream broke off");
                let body = error::body(Some(&self.id), &Error::internal());
                Some(Next::Last(format!("data: {body}\n\n").into()))
            }
        }
    }
}

/// What goes out on a stream.
enum Next {
    Frame(Bytes),
    /// Nothing after it.
    Last(Bytes),
    /// The connection breaks: a stream that ended in order would tell the client that the task is over.
    Broken,
}

fn result_frame(seq: Option<u64>, id: &RawValue, body: &str) -> String {
    let position = seq.map(|seq| format!("id: {seq}\n")).unwrap_or_default();
    format!("{position}data: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{body}}}\n\n", id.get())
}
