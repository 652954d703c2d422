//! `wasi:http` by hand, without a guest: which calls the worker gets, and when.

mod bodies;
mod component;
mod parts;
mod waits;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as _;
use wasmtime_wasi::p2::bindings::io::poll::{Host as _, HostPollable};
use wasmtime_wasi::p2::{DynOutputStream, DynPollable, StreamError};

use crate::Limits;
use crate::bindings::wasi_http::wasi::http::outgoing_handler::Host as _;
use crate::bindings::wasi_http::wasi::http::types::{
    ErrorCode, HeaderError, Host as _, HostFields, HostFutureIncomingResponse, HostFutureTrailers, HostIncomingBody,
    HostIncomingResponse, HostOutgoingBody, HostOutgoingRequest, HostOutgoingResponse, HostRequestOptions, Method,
    Scheme,
};
use crate::call::{
    AfterCrash, Answer, Call, ErrorKind, GuestError, HttpHead, HttpRequest, HttpResponse, LogLevel, Moment, Refusal,
};
use crate::guest::Guest;
use crate::tests::fixture::{Notes, START, Worker, state};
use crate::wasi_http::{Fields, FutureResponse, IncomingResponse, OutgoingBody, OutgoingRequest};

fn borrow<T: 'static>(resource: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(resource.rep())
}

fn response(body: &'static [u8]) -> Answer {
    let headers = vec![("Content-Type".to_owned(), "text/plain".to_owned()), ("a".to_owned(), "1".to_owned())];
    let head = HttpHead { status: 200, headers, url: "https://a.example/x".to_owned() };
    Answer::Response(Box::new(HttpResponse { head, body: Bytes::from_static(body) }))
}

/// Answers requests with numbers from 1 on and hands out responses; the rest is asked of `wait`.
fn worker(mut wait: impl FnMut(&Call) -> Result<Answer, Refusal> + Send + 'static) -> (Guest, Arc<Mutex<Notes>>) {
    let mut pending = 0;
    let (worker, notes) = Worker::answering(move |call| {
        Some(match call {
            Call::HttpStart { .. } => {
                pending += 1;
                Ok(Answer::Pending(pending))
            }
            Call::HttpTake { exchange: 1 } => Ok(response(b"one")),
            Call::HttpTake { .. } => Ok(response(b"other")),
            Call::HttpAbort { .. } | Call::Poll { .. } => Ok(Answer::Done),
            other => wait(other),
        })
    });
    (state(worker, Limits::default()), notes)
}

/// One whose first response in the list is ready.
fn quick() -> (Guest, Arc<Mutex<Notes>>) {
    worker(|_| Ok(Answer::Ready(Some(0))))
}

fn names(notes: &Mutex<Notes>) -> Vec<&'static str> {
    notes.lock().unwrap().calls.iter().map(Call::name).collect()
}

fn with(guest: &mut Guest, method: Method, headers: &[(&str, &str)]) -> Resource<OutgoingRequest> {
    let entries = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let fields = guest.from_list(entries).unwrap().unwrap();
    let request = HostOutgoingRequest::new(guest, fields).unwrap();
    guest.set_method(borrow(&request), method).unwrap().unwrap();
    guest.set_authority(borrow(&request), Some("a.example".to_owned())).unwrap().unwrap();
    guest.set_path_with_query(borrow(&request), Some("/x?y=1".to_owned())).unwrap().unwrap();
    request
}

async fn get(guest: &mut Guest) -> Resource<FutureResponse> {
    let request = with(guest, Method::Get, &[]);
    guest.handle(request, None).await.unwrap().unwrap()
}

fn body_of(guest: &mut Guest, request: &Resource<OutgoingRequest>) -> Resource<OutgoingBody> {
    HostOutgoingRequest::body(guest, borrow(request)).unwrap().unwrap()
}

fn write(guest: &mut Guest, body: &Resource<OutgoingBody>, pieces: &[&'static str]) -> Result<(), StreamError> {
    let stream: Resource<DynOutputStream> = HostOutgoingBody::write(guest, borrow(body)).unwrap().unwrap();
    assert!(HostOutgoingBody::write(guest, borrow(body)).unwrap().is_err(), "there is one stream");
    let table = guest.wasi.table();
    let mut written = Ok(());
    for piece in pieces {
        written = written.and_then(|()| table.get_mut(&stream).unwrap().write(Bytes::from_static(piece.as_bytes())));
    }
    table.delete(stream).unwrap();
    written
}

fn pollable(guest: &mut Guest, future: &Resource<FutureResponse>) -> Resource<DynPollable> {
    HostFutureIncomingResponse::subscribe(guest, borrow(future)).unwrap()
}

type Told = Option<Result<Result<Resource<IncomingResponse>, ErrorCode>, ()>>;

async fn told(guest: &mut Guest, future: &Resource<FutureResponse>) -> Told {
    HostFutureIncomingResponse::get(guest, borrow(future)).await.unwrap()
}

/// Status and body of a response, read as a program would.
async fn read(guest: &mut Guest, future: &Resource<FutureResponse>) -> Result<(u16, Vec<u8>), ErrorCode> {
    let told = told(guest, future).await;
    let response = told.expect("it was not ready").expect("it was taken before")?;
    let status = guest.status(borrow(&response)).unwrap();
    let body = guest.consume(borrow(&response)).unwrap().unwrap();
    assert!(guest.consume(borrow(&response)).unwrap().is_err(), "there is one body");
    let stream = guest.stream(borrow(&body)).unwrap().unwrap();
    assert!(guest.stream(borrow(&body)).unwrap().is_err(), "there is one stream");
    let table = guest.wasi.table();
    let mut bytes = Vec::new();
    // Two bytes at a time.
    while let Ok(piece) = table.get_mut(&stream).unwrap().read(2) {
        assert!((1..=2).contains(&piece.len()));
        bytes.extend_from_slice(&piece);
    }
    assert!(matches!(table.get_mut(&stream).unwrap().read(2), Err(StreamError::Closed)));
    table.delete(stream).unwrap();
    HostIncomingResponse::drop(guest, response).unwrap();
    let trailers = HostIncomingBody::finish(guest, body).unwrap();
    assert!(matches!(HostFutureTrailers::get(guest, borrow(&trailers)).unwrap(), Some(Ok(Ok(None)))));
    assert!(matches!(HostFutureTrailers::get(guest, borrow(&trailers)).unwrap(), Some(Err(()))));
    HostFutureTrailers::drop(guest, trailers).unwrap();
    Ok((status, bytes))
}

#[tokio::test]
async fn a_request_without_a_body_is_sent_when_it_is_handed_over() {
    let (mut guest, notes) = quick();
    let future = get(&mut guest).await;
    let expected = HttpRequest {
        method: "GET".to_owned(),
        url: "https://a.example/x?y=1".to_owned(),
        headers: Vec::new(),
        body: None,
        credential: None,
        timeout: None,
        redirects: Some(0),
        after_crash: AfterCrash::ByMethod,
    };
    assert!(
        matches!(&notes.lock().unwrap().calls[..], [Call::HttpStart { request }] if *request == expected),
        "{:?}",
        notes.lock().unwrap().calls
    );
    let pollable = pollable(&mut guest, &future);
    guest.block(borrow(&pollable)).await.unwrap();
    assert_eq!(read(&mut guest, &future).await.unwrap(), (200, b"one".to_vec()));
    assert!(matches!(told(&mut guest, &future).await, Some(Err(()))), "it is told once");
    assert!(HostPollable::ready(&mut guest, borrow(&pollable)).await.unwrap(), "and stays ready");
    HostPollable::drop(&mut guest, pollable).unwrap();
    HostFutureIncomingResponse::drop(&mut guest, future).await.unwrap();
    assert_eq!(names(&notes), ["http.start", "wait.any", "http.take"]);
    assert!(matches!(&notes.lock().unwrap().calls[1], Call::WaitAny { pendings, timeout: None } if *pendings == [1]));
    assert!(guest.wasi.table().is_empty() && guest.awaited.count() == 0 && guest.account.bytes() == 0);
}

#[tokio::test]
async fn a_request_that_is_refused_has_a_code_and_a_line_for_the_operator() {
    let denied = GuestError::new(ErrorKind::Denied, "http", "The operator has not granted it.");
    let (worker, notes) = Worker::refusing(denied);
    let mut guest = state(worker, Limits::default());
    let request = with(&mut guest, Method::Get, &[]);
    assert!(matches!(guest.handle(request, None).await.unwrap(), Err(ErrorCode::HttpRequestDenied)));
    // With a body, the future tells.
    let request = with(&mut guest, Method::Post, &[]);
    let body = body_of(&mut guest, &request);
    let future = guest.handle(request, None).await.unwrap().unwrap();
    HostOutgoingBody::finish(&mut guest, body, None).await.unwrap().unwrap();
    let response = pollable(&mut guest, &future);
    guest.block(response).await.unwrap();
    assert!(matches!(read(&mut guest, &future).await, Err(ErrorCode::HttpRequestDenied)));
    assert!(matches!(told(&mut guest, &future).await, Some(Err(()))));
    assert_eq!(names(&notes), ["http.start", "http.start"]);
    guest.pass_on_lines();
    let line = &notes.lock().unwrap().lines[0];
    assert_eq!((line.level, line.message.as_str()), (LogLevel::Warn, "wasi:http: The operator has not granted it."));
}

#[tokio::test]
async fn a_response_that_fails_has_a_code() {
    let (worker, _) = Worker::answering(|call| {
        Some(match call {
            Call::HttpStart { .. } => Ok(Answer::Pending(1)),
            Call::HttpTake { .. } => {
                Err(Refusal::Guest(GuestError::new(ErrorKind::TimedOut, "http", "No response came.")))
            }
            _ => Ok(Answer::Ready(Some(0))),
        })
    });
    let mut guest = state(worker, Limits::default());
    let future = get(&mut guest).await;
    assert!(matches!(read(&mut guest, &future).await, Err(ErrorCode::HttpResponseTimeout)));
    assert!(matches!(told(&mut guest, &future).await, Some(Err(()))));
}

#[tokio::test]
async fn a_response_that_nobody_takes_is_given_up() {
    let (mut guest, notes) = quick();
    let future = get(&mut guest).await;
    HostFutureIncomingResponse::drop(&mut guest, future).await.unwrap();
    assert!(matches!(notes.lock().unwrap().calls[1], Call::HttpAbort { exchange: 1 }));
    assert!(guest.wasi.table().is_empty());
    let error = GuestError::new(ErrorKind::NotFound, "pending", "There is no pending 1.");
    let mut guest = state(
        Worker::answering(move |call| {
            Some(match call {
                Call::HttpStart { .. } => Ok(Answer::Pending(1)),
                _ => Err(Refusal::Guest(error.clone())),
            })
        })
        .0,
        Limits::default(),
    );
    let future = get(&mut guest).await;
    HostFutureIncomingResponse::drop(&mut guest, future).await.unwrap();
}
