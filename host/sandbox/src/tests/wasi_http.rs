//! `wasi:http` by hand, without a guest: which calls the worker gets, and when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as _;
use wasmtime_wasi::p2::bindings::io::poll::{Host as _, HostPollable};
use wasmtime_wasi::p2::{DynOutputStream, DynPollable, StreamError};

use super::fixture::{Notes, START, Worker, state};
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
    assert!(guest.wasi.table().is_empty() && guest.awaited.count() == 0 && guest.held.bytes() == 0);
}

#[tokio::test]
async fn a_request_with_a_body_is_sent_when_the_body_is_finished() {
    let (mut guest, notes) = quick();
    let request = with(&mut guest, Method::Post, &[("Content-Length", "5"), ("X-A", " b ")]);
    guest.set_scheme(borrow(&request), Some(Scheme::Http)).unwrap().unwrap();
    let body = body_of(&mut guest, &request);
    assert!(HostOutgoingRequest::body(&mut guest, borrow(&request)).unwrap().is_err(), "there is one body");
    let options = HostRequestOptions::new(&mut guest).unwrap();
    guest.set_first_byte_timeout(borrow(&options), Some(2_000_000_000)).unwrap().unwrap();
    guest.set_connect_timeout(borrow(&options), Some(1_000_000_000)).unwrap().unwrap();
    assert_eq!(guest.first_byte_timeout(borrow(&options)).unwrap(), Some(2_000_000_000));
    let future = guest.handle(request, Some(options)).await.unwrap().unwrap();
    let (response, timer) = (pollable(&mut guest, &future), guest.subscribe_duration(1_000_000).unwrap());
    // It is waited for, looked at, and asked for: there is nothing to ask the worker.
    assert!(!HostPollable::ready(&mut guest, borrow(&response)).await.unwrap());
    assert!(told(&mut guest, &future).await.is_none());
    assert_eq!(guest.poll(vec![borrow(&response), borrow(&timer)]).await.unwrap(), [1]);
    assert_eq!(names(&notes), ["wasi.poll"]);
    write(&mut guest, &body, &["he", "llo"]).unwrap();
    assert_eq!(guest.held.bytes(), 5);
    HostOutgoingBody::finish(&mut guest, body, None).await.unwrap().unwrap();
    assert_eq!(guest.held.bytes(), 0, "the worker has it");
    match &notes.lock().unwrap().calls[..] {
        [Call::Poll { .. }, Call::HttpStart { request }] => {
            assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "http://a.example/x?y=1"));
            assert_eq!(request.headers, [("x-a".to_owned(), "b".to_owned())], "the host counts the body itself");
            assert_eq!(request.body.as_deref(), Some(&b"hello"[..]));
            assert_eq!(request.timeout, Some(Duration::from_secs(3)));
        }
        other => panic!("{other:?}"),
    }
    guest.block(response).await.unwrap();
    assert_eq!(read(&mut guest, &future).await.unwrap().1, b"one");
}

#[tokio::test]
async fn a_body_may_be_finished_before_the_request_is_handed_over() {
    let (mut guest, notes) = quick();
    let request = with(&mut guest, Method::Put, &[]);
    let body = body_of(&mut guest, &request);
    write(&mut guest, &body, &["all"]).unwrap();
    HostOutgoingBody::finish(&mut guest, body, None).await.unwrap().unwrap();
    assert!(notes.lock().unwrap().calls.is_empty());
    guest.handle(request, None).await.unwrap().unwrap();
    let calls = std::mem::take(&mut notes.lock().unwrap().calls);
    assert!(matches!(&calls[..], [Call::HttpStart { request }] if request.body.as_deref() == Some(b"all")));
    // An empty body is none.
    let request = with(&mut guest, Method::Get, &[]);
    let body = body_of(&mut guest, &request);
    HostOutgoingBody::finish(&mut guest, body, None).await.unwrap().unwrap();
    guest.handle(request, None).await.unwrap().unwrap();
    let calls = std::mem::take(&mut notes.lock().unwrap().calls);
    assert!(matches!(&calls[..], [Call::HttpStart { request }] if request.body.is_none()), "{calls:?}");
}

#[tokio::test]
async fn waiting_for_a_request_that_is_not_finished_would_never_end() {
    let (mut guest, notes) = quick();
    let request = with(&mut guest, Method::Post, &[]);
    let body = body_of(&mut guest, &request);
    let future = guest.handle(request, None).await.unwrap().unwrap();
    let response = pollable(&mut guest, &future);
    let error = guest.block(borrow(&response)).await.unwrap_err();
    assert!(format!("{error:#}").contains("was not finished"), "{error:#}");
    HostPollable::drop(&mut guest, response).unwrap();
    HostFutureIncomingResponse::drop(&mut guest, future).await.unwrap();
    HostOutgoingBody::finish(&mut guest, body, None).await.unwrap().unwrap();
    assert!(notes.lock().unwrap().calls.is_empty(), "nobody would hear the response");
}

/// Two requests at once and a timer, in the manner of an async runtime: what is ready is handled, the rest is polled again.
async fn two_and_a_timer(guest: &mut Guest) -> Vec<String> {
    let futures = [get(guest).await, get(guest).await];
    let mut open: Vec<_> = futures.iter().map(|future| pollable(guest, future)).collect();
    open.push(guest.subscribe_duration(2_500_500_000).unwrap());
    let mut which: Vec<usize> = vec![0, 1, 2];
    let mut log = Vec::new();
    while !which.is_empty() {
        let list = which.iter().map(|index| borrow(&open[*index])).collect();
        let ready: Vec<_> = guest.poll(list).await.unwrap().iter().map(|at| which[*at as usize]).collect();
        for index in &ready {
            log.push(match futures.get(*index) {
                Some(future) => format!("{index}: {:?}", read(guest, future).await),
                None => format!("{index}: {}", guest.now().unwrap()),
            });
        }
        which.retain(|index| !ready.contains(index));
    }
    log
}

/// The second response comes first, then the time is up, then the first comes.
fn in_turn() -> (Guest, Arc<Mutex<Notes>>) {
    let mut script = [Some(1), None, Some(0)].into_iter();
    worker(move |call| match call {
        Call::WaitAny { .. } => Ok(Answer::Ready(script.next().unwrap())),
        other => panic!("{other:?}"),
    })
}

#[tokio::test]
async fn two_requests_and_a_timer_are_one_wait_and_the_same_in_a_replay() {
    let (mut guest, notes) = in_turn();
    let log = two_and_a_timer(&mut guest).await;
    assert_eq!(log.len(), 3);
    assert!(log[0].starts_with("1: Ok") && log[1].starts_with("2: ") && log[2].starts_with("0: Ok"), "{log:?}");
    let calls = format!("{:?}", notes.lock().unwrap().calls);
    assert_eq!(
        names(&notes),
        ["http.start", "http.start", "wait.any", "http.take", "wait.any", "wait.any", "http.take"]
    );
    match &notes.lock().unwrap().calls[..] {
        [
            _,
            _,
            Call::WaitAny { pendings: both, timeout: Some(first) },
            Call::HttpTake { exchange: 2 },
            second,
            third,
            _,
        ] => {
            // Two seconds passed with two requests, and the timer was set then; rounded up to a millisecond.
            assert_eq!((&both[..], *first), (&[1, 2][..], Duration::from_millis(2501)));
            assert!(matches!(second, Call::WaitAny { pendings, timeout: Some(_) } if *pendings == [1]), "{second:?}");
            assert!(matches!(third, Call::WaitAny { pendings, timeout: None } if *pendings == [1]), "{third:?}");
        }
        other => panic!("{other:?}"),
    }
    // The same answers, the same calls and the same sights.
    let (mut again, repeated) = in_turn();
    assert_eq!(two_and_a_timer(&mut again).await, log);
    assert_eq!(format!("{:?}", repeated.lock().unwrap().calls), calls);
}

#[tokio::test]
async fn when_the_time_is_up_the_timer_is_ready() {
    let (mut guest, notes) = worker(|_| Ok(Answer::Ready(None)));
    let future = get(&mut guest).await;
    let response = pollable(&mut guest, &future);
    // Ten hours; the record of the wait comes a second later, as those of this worker do.
    let timer = guest.subscribe_duration(36_000_000_000_000).unwrap();
    let due = START.after(Duration::from_secs(36_001));
    assert_eq!(guest.poll(vec![borrow(&response), borrow(&timer)]).await.unwrap(), [1]);
    assert!(guest.now().unwrap() > due.micros() * 1000, "the clock shows it");
    assert!(told(&mut guest, &future).await.is_none(), "the response goes on");
    let notes = notes.lock().unwrap();
    assert!(notes.seen.last().unwrap().shown >= due, "no later record is earlier");
    assert!(matches!(notes.calls.last(), Some(Call::WaitAny { timeout: Some(Duration::ZERO), .. })));
}

#[tokio::test]
async fn to_look_is_a_wait_of_no_time() {
    let mut answers = [None, None, Some(0)].into_iter();
    let (mut guest, notes) = worker(move |_| Ok(Answer::Ready(answers.next().unwrap())));
    let future = get(&mut guest).await;
    let response = pollable(&mut guest, &future);
    assert!(!HostPollable::ready(&mut guest, borrow(&response)).await.unwrap());
    // A poll with a timer that is due looks too.
    let timer = guest.subscribe_duration(0).unwrap();
    assert_eq!(guest.poll(vec![borrow(&response), borrow(&timer)]).await.unwrap(), [1]);
    assert_eq!(guest.poll(vec![borrow(&response), borrow(&timer), borrow(&response)]).await.unwrap(), [0, 1, 2]);
    assert!(HostPollable::ready(&mut guest, borrow(&response)).await.unwrap());
    guest.block(response).await.unwrap();
    assert_eq!(names(&notes), ["http.start", "wait.any", "wait.any", "wait.any"], "what is known is not asked again");
    let is_look =
        |call: &Call| matches!(call, Call::WaitAny { pendings, timeout: Some(Duration::ZERO) } if *pendings == [1]);
    assert!(notes.lock().unwrap().calls[1..].iter().all(is_look));
}

#[tokio::test]
async fn a_task_that_is_asked_to_stop_still_takes_its_responses() {
    let canceled = || Refusal::Guest(GuestError::new(ErrorKind::Canceled, "cancel", "Asked to stop."));
    let (mut guest, notes) = worker(move |_| Err(canceled()));
    let (future, other) = (get(&mut guest).await, get(&mut guest).await);
    let list = vec![pollable(&mut guest, &future), pollable(&mut guest, &other)];
    assert_eq!(guest.poll(list).await.unwrap(), [0, 1]);
    assert_eq!(read(&mut guest, &future).await.unwrap().1, b"one");
    assert_eq!(names(&notes), ["http.start", "http.start", "wait.any", "http.take"]);
}

#[tokio::test]
async fn other_refusals_and_answers_end_the_run() {
    let limit = || Refusal::Guest(GuestError::new(ErrorKind::Limit, "task-time", "A wait cannot outlast the task."));
    let answers: [fn() -> Result<Answer, Refusal>; 3] =
        [|| Ok(Answer::Ready(Some(1))), || Ok(Answer::Ready(None)), || Ok(Answer::Done)];
    for answer in answers {
        let (mut guest, _) = worker(move |_| answer());
        let future = get(&mut guest).await;
        let response = pollable(&mut guest, &future);
        guest.block(response).await.unwrap_err();
        assert!(guest.abandoned());
    }
    let (mut guest, _) = worker(move |_| Err(limit()));
    let future = get(&mut guest).await;
    let response = pollable(&mut guest, &future);
    let error = guest.block(response).await.unwrap_err();
    assert!(format!("{error:#}").contains("wasi:io/poll was refused"), "{error:#}");
    assert!(!guest.abandoned());
    let (worker, _) = Worker::answering(|_| Some(Ok(Answer::Done)));
    let mut guest = state(worker, Limits::default());
    let request = with(&mut guest, Method::Get, &[]);
    assert!(guest.handle(request, None).await.is_err() && guest.abandoned());
}

#[tokio::test]
async fn a_request_that_is_refused_has_a_code_and_a_line_for_the_operator() {
    let denied = GuestError::new(ErrorKind::Denied, "http.hosts", "The operator has not granted it.");
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
async fn a_body_that_is_not_whole_is_not_sent() {
    let (mut guest, notes) = quick();
    // Dropped.
    let request = with(&mut guest, Method::Post, &[]);
    let body = body_of(&mut guest, &request);
    let future = guest.handle(request, None).await.unwrap().unwrap();
    HostOutgoingBody::drop(&mut guest, body).unwrap();
    assert!(
        matches!(read(&mut guest, &future).await, Err(ErrorCode::InternalError(Some(text))) if text.contains("dropped"))
    );
    // Dropped before the request was handed over.
    let request = with(&mut guest, Method::Post, &[]);
    let body = body_of(&mut guest, &request);
    HostOutgoingBody::drop(&mut guest, body).unwrap();
    assert!(matches!(guest.handle(request, None).await.unwrap(), Err(ErrorCode::InternalError(_))));
    // Of another length than promised.
    let request = with(&mut guest, Method::Post, &[("content-length", "4")]);
    let body = body_of(&mut guest, &request);
    write(&mut guest, &body, &["abc"]).unwrap();
    let finished = HostOutgoingBody::finish(&mut guest, body, None).await.unwrap();
    assert!(matches!(finished, Err(ErrorCode::HttpRequestBodySize(Some(3)))));
    let request = with(&mut guest, Method::Post, &[("content-length", "4")]);
    assert!(matches!(guest.handle(request, None).await.unwrap(), Err(ErrorCode::HttpRequestBodySize(Some(0)))));
    let request = with(&mut guest, Method::Post, &[("content-length", "+4")]);
    assert!(HostOutgoingRequest::body(&mut guest, borrow(&request)).unwrap().is_err());
    // With trailers.
    let request = with(&mut guest, Method::Post, &[]);
    let body = body_of(&mut guest, &request);
    let future = guest.handle(request, None).await.unwrap().unwrap();
    let trailers = guest.from_list(vec![("a".to_owned(), b"b".to_vec())]).unwrap().unwrap();
    let finished = HostOutgoingBody::finish(&mut guest, body, Some(trailers)).await.unwrap();
    assert!(matches!(finished, Err(ErrorCode::InternalError(_))));
    assert!(matches!(read(&mut guest, &future).await, Err(ErrorCode::InternalError(_))));
    assert!(notes.lock().unwrap().calls.is_empty());
}

#[tokio::test]
async fn bodies_have_a_size_and_all_together_too() {
    let limits = Limits { call_bytes_max: 8, http_held_bytes_max: 10, ..Limits::default() };
    let (worker, notes) = Worker::answering(|call| {
        Some(Ok(match call {
            Call::HttpStart { .. } => Answer::Pending(1),
            Call::HttpTake { .. } => response(b"123456"),
            _ => Answer::Ready(Some(0)),
        }))
    });
    let mut guest = state(worker, limits.clone());
    let request = with(&mut guest, Method::Post, &[]);
    let body = body_of(&mut guest, &request);
    let error = match write(&mut guest, &body, &["12345", "6789"]).unwrap_err() {
        StreamError::LastOperationFailed(error) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(guest.held.bytes(), 0, "it is given back");
    let error = guest.wasi.table().push(error).unwrap();
    assert!(matches!(guest.http_error_code(error).unwrap(), Some(ErrorCode::HttpRequestBodySize(None))));
    let finished = HostOutgoingBody::finish(&mut guest, body, None).await.unwrap();
    assert!(matches!(finished, Err(ErrorCode::HttpRequestBodySize(None))));
    // Two that are fine, and too much together.
    let request = with(&mut guest, Method::Post, &[]);
    let body = body_of(&mut guest, &request);
    write(&mut guest, &body, &["12345678"]).unwrap();
    let other = with(&mut guest, Method::Post, &[]);
    let other_body = body_of(&mut guest, &other);
    write(&mut guest, &other_body, &["123"]).unwrap_err();
    HostOutgoingBody::drop(&mut guest, body).unwrap();
    assert_eq!(guest.held.bytes(), 0);
    assert!(notes.lock().unwrap().calls.is_empty());
    // A response that is larger than a call may be: its head counts.
    let future = get(&mut guest).await;
    assert!(matches!(read(&mut guest, &future).await, Err(ErrorCode::HttpResponseBodySize(None))));
    // Two responses: the second waits until there is room, which is too late.
    let mut guest = state(worker_of_six(), Limits { call_bytes_max: 100, ..limits });
    let (first, second) = (get(&mut guest).await, get(&mut guest).await);
    let kept = told(&mut guest, &first).await.unwrap().unwrap().unwrap();
    assert_eq!(guest.held.bytes(), 6);
    assert!(matches!(read(&mut guest, &second).await, Err(ErrorCode::HttpResponseBodySize(None))));
    HostIncomingResponse::drop(&mut guest, kept).unwrap();
    assert_eq!(guest.held.bytes(), 0);
}

fn worker_of_six() -> Box<Worker> {
    let answer = |call: &Call| match call {
        Call::HttpStart { .. } => Answer::Pending(1),
        Call::HttpTake { .. } => response(b"123456"),
        _ => Answer::Ready(Some(0)),
    };
    Worker::answering(move |call| Some(Ok(answer(call)))).0
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

#[tokio::test]
async fn a_request_needs_an_authority_and_sound_parts() {
    let (mut guest, notes) = quick();
    let fields = HostFields::new(&mut guest).unwrap();
    let request = HostOutgoingRequest::new(&mut guest, fields).unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert!(guest.set_authority(borrow(&request), text("a/b")).unwrap().is_err());
    assert!(guest.set_path_with_query(borrow(&request), text("a b")).unwrap().is_err());
    assert!(guest.set_method(borrow(&request), Method::Other("A B".to_owned())).unwrap().is_err());
    assert!(guest.set_scheme(borrow(&request), Some(Scheme::Other("a:".to_owned()))).unwrap().is_err());
    assert!(matches!(HostOutgoingRequest::method(&mut guest, borrow(&request)).unwrap(), Method::Get));
    assert!(HostOutgoingRequest::authority(&mut guest, borrow(&request)).unwrap().is_none());
    assert!(matches!(guest.handle(request, None).await.unwrap(), Err(ErrorCode::HttpRequestUriInvalid)));
    // Lower case is for the rules of the contract to refuse.
    let request = with(&mut guest, Method::Other("get".to_owned()), &[]);
    assert!(matches!(guest.handle(request, None).await.unwrap(), Err(ErrorCode::HttpRequestMethodInvalid)));
    let request = with(&mut guest, Method::Get, &[("a", "é")]);
    assert!(matches!(guest.handle(request, None).await.unwrap(), Err(ErrorCode::InternalError(_))));
    assert!(notes.lock().unwrap().calls.is_empty());
    let request = with(&mut guest, Method::Get, &[]);
    guest.set_path_with_query(borrow(&request), text("")).unwrap().unwrap();
    guest.handle(request, None).await.unwrap().unwrap();
    let notes = notes.lock().unwrap();
    assert!(matches!(&notes.calls[..], [Call::HttpStart { request }] if request.url == "https://a.example/"));
}

#[tokio::test]
async fn headers_are_built_and_read() {
    let (mut guest, _) = quick();
    let fields = HostFields::new(&mut guest).unwrap();
    let value = |text: &str| text.as_bytes().to_vec();
    let name = |text: &str| text.to_owned();
    guest.append(borrow(&fields), name("X-A"), value("1")).unwrap().unwrap();
    guest.append(borrow(&fields), name("x-a"), value("2")).unwrap().unwrap();
    HostFields::set(&mut guest, borrow(&fields), name("b"), vec![value("3")]).unwrap().unwrap();
    assert_eq!(HostFields::get(&mut guest, borrow(&fields), name("X-a")).unwrap(), [value("1"), value("2")]);
    assert!(guest.has(borrow(&fields), name("B")).unwrap() && !guest.has(borrow(&fields), name("c d")).unwrap());
    let copy = HostFields::clone(&mut guest, borrow(&fields)).unwrap();
    guest.delete(borrow(&fields), name("x-a")).unwrap().unwrap();
    assert_eq!(guest.entries(borrow(&fields)).unwrap(), [(name("b"), value("3"))]);
    assert_eq!(guest.entries(borrow(&copy)).unwrap().len(), 3, "a copy is its own");
    for (header, content, expected) in [
        ("a b", "1", HeaderError::InvalidSyntax),
        ("", "1", HeaderError::InvalidSyntax),
        ("a", "1\r\nb: 2", HeaderError::InvalidSyntax),
        ("Host", "a", HeaderError::Forbidden),
        ("connection", "a", HeaderError::Forbidden),
        ("Transfer-Encoding", "a", HeaderError::Forbidden),
    ] {
        let error = guest.append(borrow(&fields), name(header), value(content)).unwrap().unwrap_err();
        assert_eq!(format!("{error:?}"), format!("{expected:?}"), "{header}");
        let set = HostFields::set(&mut guest, borrow(&fields), name(header), vec![value(content)]).unwrap();
        assert!(set.is_err(), "{header}");
        assert!(guest.from_list(vec![(name(header), value(content))]).unwrap().is_err(), "{header}");
    }
    assert_eq!(guest.entries(borrow(&fields)).unwrap().len(), 1, "what is refused changes nothing");
    // Those of a request and of a response cannot be changed.
    let request = HostOutgoingRequest::new(&mut guest, copy).unwrap();
    let fixed = HostOutgoingRequest::headers(&mut guest, borrow(&request)).unwrap();
    let error = guest.append(borrow(&fixed), name("c"), value("1")).unwrap().unwrap_err();
    assert!(matches!(error, HeaderError::Immutable));
    assert!(guest.delete(borrow(&fixed), name("b")).unwrap().is_err());
    let future = get(&mut guest).await;
    let response = told(&mut guest, &future).await.unwrap().unwrap().unwrap();
    let received: Resource<Fields> = HostIncomingResponse::headers(&mut guest, borrow(&response)).unwrap();
    assert_eq!(guest.entries(borrow(&received)).unwrap()[0], (name("content-type"), value("text/plain")));
    assert!(guest.append(borrow(&received), name("c"), value("1")).unwrap().is_err());
    // The host does not hold them without end.
    let large = guest.append(borrow(&fields), name("large"), vec![b'a'; 65 * 1024]);
    assert!(large.unwrap_err().to_string().contains("64 KiB"));
}

#[tokio::test]
async fn there_are_no_requests_to_answer() {
    let (mut guest, _) = quick();
    let fields = HostFields::new(&mut guest).unwrap();
    assert!(HostOutgoingResponse::new(&mut guest, fields).unwrap_err().to_string().contains("no requests"));
    assert_eq!(guest.event_time(), START);
    assert!(Moment::default() < START);
}
