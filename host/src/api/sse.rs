//! Server-sent events: `id:` is the event's seq, so a reconnect continues exactly there; a comment goes out when nothing else does.

use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use kennel_protocol::Error;
use kennel_protocol::types::SendMessageResponse;
use tokio_util::sync::CancellationToken;

use super::form::Form;
use crate::stream::{StreamItem, TaskStream};

/// A stream on its way to one client.
struct Sending {
    events: TaskStream,
    form: Form,
    every: Duration,
    closing: CancellationToken,
}

/// The events of a task.
pub(crate) fn task(events: TaskStream, form: Form, every: Duration, closing: CancellationToken) -> Response {
    let sending = Sending { events, form, every, closing };
    let frames = stream::unfold(Some(sending), |sending| async move {
        let mut sending = sending?;
        match sending.next().await? {
            Next::Frame(frame) => Some((Ok(frame), Some(sending))),
            Next::Last(frame) => Some((Ok(frame), None)),
            Next::Broken => Some((Err(std::io::Error::other("the stream cannot go on")), None)),
        }
    });
    response(Body::from_stream(frames))
}

/// One event, then the end.
pub(crate) fn single(form: &Form, answer: &SendMessageResponse) -> Response {
    match form.only_event(answer) {
        Ok(event) => response(Body::from(event)),
        Err(error) => form.refuse(&error),
    }
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
        let event = match next {
            Ok(Some(StreamItem { seq, body })) => self.form.event(seq, &body, self.events.is_over()),
            Ok(None) => return None,
            Err(fault) => {
                tracing::error!(error = %fault, "a stream broke off");
                Err(Error::internal())
            }
        };
        Some(match event {
            Ok(event) => Next::Frame(event),
            Err(error) => self.form.broken(&error).map_or(Next::Broken, Next::Last),
        })
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
