//! `http`: by hand, without a guest.

use std::time::Duration;

use bytes::Bytes;

use super::fixture::{Worker, check_error, state};
use crate::Limits;
use crate::bindings::kennel::agent::http::{AfterCrash, Header, Host as _, Piece, Request};
use crate::call::{
    AfterCrash as Crash, Answer, Call, ErrorKind, GuestError, HttpHead, HttpPiece, HttpRequest, HttpResponse,
};
use crate::guest::{Failure, Guest};

fn request() -> Request {
    Request {
        method: "POST".to_owned(),
        url: "https://api.example.com/v1".to_owned(),
        headers: vec![header("Accept", "text/html; q=1"), header("x-a", "")],
        body: Some(vec![1, 2, 3]),
        credential: Some("mail".to_owned()),
        timeout: Some(2500.0),
        redirects: Some(0),
        after_crash: AfterCrash::Report,
    }
}

fn asked() -> HttpRequest {
    HttpRequest {
        method: "POST".to_owned(),
        url: "https://api.example.com/v1".to_owned(),
        headers: vec![("Accept".to_owned(), "text/html; q=1".to_owned()), ("x-a".to_owned(), String::new())],
        body: Some(Bytes::from_static(&[1, 2, 3])),
        credential: Some("mail".to_owned()),
        timeout: Some(Duration::from_millis(2500)),
        redirects: Some(0),
        after_crash: Crash::Report,
    }
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

fn head() -> HttpHead {
    HttpHead {
        status: 404,
        headers: vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())],
        url: "https://b.example/".to_owned(),
    }
}

fn response() -> Answer {
    Answer::Response(Box::new(HttpResponse { head: head(), body: Bytes::from_static(b"none") }))
}

fn answering(answer: Answer) -> Guest {
    limited(answer, Limits::default())
}

fn limited(answer: Answer, limits: Limits) -> Guest {
    state(Worker::answering(move |_| Some(Ok(answer.clone()))).0, limits)
}

#[tokio::test]
async fn a_request_is_sent_as_it_is_and_its_response_comes_back() {
    let (worker, notes) = Worker::answering(|_| Some(Ok(response())));
    let mut guest = state(worker, Limits::default());
    let fetched = guest.fetch(request()).await.unwrap();
    assert_eq!((fetched.status, fetched.url.as_str(), &fetched.body[..]), (404, "https://b.example/", &b"none"[..]));
    let pairs: Vec<_> = fetched.headers.iter().map(|header| (header.name.as_str(), header.value.as_str())).collect();
    assert_eq!(pairs, [("a", "1"), ("a", "2")]);
    assert_eq!(guest.take(5).await.unwrap().body, b"none");
    let notes = notes.lock().unwrap();
    assert!(
        matches!(&notes.calls[..], [Call::HttpFetch { request }, Call::HttpTake { exchange: 5 }] if *request == asked()),
        "{:?}",
        notes.calls
    );
}

#[tokio::test]
async fn a_request_in_parallel_has_a_number() {
    let (worker, notes) = Worker::answering(|_| Some(Ok(Answer::Pending(6))));
    let mut guest = state(worker, Limits::default());
    assert_eq!(guest.start(request()).await.unwrap(), 6);
    let plain = Request { headers: Vec::new(), body: None, credential: None, timeout: None, ..request() };
    let plain = Request { redirects: None, after_crash: AfterCrash::ByMethod, ..plain };
    assert_eq!(guest.open(plain).await.unwrap(), 6);
    let notes = notes.lock().unwrap();
    let plain = HttpRequest { headers: Vec::new(), body: None, credential: None, timeout: None, ..asked() };
    let plain = HttpRequest { redirects: None, after_crash: Crash::ByMethod, ..plain };
    match &notes.calls[..] {
        [Call::HttpStart { request: first }, Call::HttpOpen { request: second }] => {
            assert_eq!((first, second), (&asked(), &plain));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_response_is_read_in_pieces() {
    assert_eq!(answering(Answer::Head(Box::new(head()))).head(3).await.unwrap().status, 404);
    let (worker, notes) = Worker::answering(|_| Some(Ok(Answer::Piece(Some(HttpPiece::Data(Bytes::from("ab")))))));
    let read = state(worker, Limits::default()).read(3, Some(20.0)).await.unwrap();
    assert!(matches!(read, Some(Piece::Data(bytes)) if bytes == b"ab"));
    let calls = std::mem::take(&mut notes.lock().unwrap().calls);
    let time = Duration::from_millis(20);
    assert!(matches!(calls[..], [Call::HttpRead { exchange: 3, timeout: Some(given) }] if given == time), "{calls:?}");
    let read = answering(Answer::Piece(Some(HttpPiece::End))).read(3, None).await.unwrap();
    assert!(matches!(read, Some(Piece::End)));
    let read = answering(Answer::Piece(Some(HttpPiece::Interrupted))).read(3, None).await.unwrap();
    assert!(matches!(read, Some(Piece::Interrupted)));
    assert!(answering(Answer::Piece(None)).read(3, Some(0.0)).await.unwrap().is_none());
    answering(Answer::Done).abort(3).await.unwrap();
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_never_reaches_the_worker() {
    let (worker, notes) = Worker::answering(|_| Some(Ok(response())));
    let mut guest = state(worker, Limits { call_bytes_max: 10, ..Limits::default() });
    let method = |method: &str| Request { method: method.to_owned(), ..request() };
    let with = |name: &str, value: &str| Request { headers: vec![header(name, value)], ..request() };
    for (request, kind, code) in [
        (method(""), ErrorKind::Invalid, "method"),
        (method("get"), ErrorKind::Invalid, "method"),
        (method("GET /"), ErrorKind::Invalid, "method"),
        (Request { url: String::new(), ..request() }, ErrorKind::Invalid, "url"),
        (with("", "a"), ErrorKind::Invalid, "headers"),
        (with("a b", "a"), ErrorKind::Invalid, "headers"),
        (with("a:", "a"), ErrorKind::Invalid, "headers"),
        (with("é", "a"), ErrorKind::Invalid, "headers"),
        (with("a", "é"), ErrorKind::Invalid, "headers"),
        (with("a", "b\r\nc: d"), ErrorKind::Invalid, "headers"),
        (with("a", " b"), ErrorKind::Invalid, "headers"),
        (Request { body: Some(vec![0; 11]), ..request() }, ErrorKind::Limit, "call-bytes"),
        (Request { timeout: Some(0.5), ..request() }, ErrorKind::Invalid, "timeout"),
    ] {
        check_error(guest.fetch(request.clone()).await, kind, code);
        check_error(guest.start(request.clone()).await, kind, code);
        check_error(guest.open(request).await, kind, code);
    }
    check_error(guest.read(1, Some(f64::NAN)).await, ErrorKind::Invalid, "timeout");
    assert!(notes.lock().unwrap().calls.is_empty());
}

#[tokio::test]
async fn more_than_one_call_can_carry_is_an_error() {
    let small = Limits { call_bytes_max: 20, ..Limits::default() };
    check_error(limited(response(), small.clone()).take(1).await, ErrorKind::Limit, "call-bytes");
    check_error(limited(response(), small.clone()).fetch(request()).await, ErrorKind::Limit, "call-bytes");
    let head = Answer::Head(Box::new(head()));
    check_error(limited(head, small.clone()).head(1).await, ErrorKind::Limit, "call-bytes");
    let piece = Answer::Piece(Some(HttpPiece::Data(Bytes::from_static(&[0; 21]))));
    check_error(limited(piece, small).read(1, None).await, ErrorKind::Limit, "call-bytes");
}

#[tokio::test]
async fn errors_are_passed_on_and_other_answers_end_the_run() {
    let error = GuestError::new(ErrorKind::UnknownOutcome, "http", "It may have been sent.");
    let refusing = || state(Worker::refusing(error.clone()).0, Limits::default());
    check_error(refusing().fetch(request()).await, ErrorKind::UnknownOutcome, "http");
    check_error(refusing().start(request()).await, ErrorKind::UnknownOutcome, "http");
    check_error(refusing().take(1).await, ErrorKind::UnknownOutcome, "http");
    check_error(refusing().open(request()).await, ErrorKind::UnknownOutcome, "http");
    check_error(refusing().head(1).await, ErrorKind::UnknownOutcome, "http");
    check_error(refusing().read(1, None).await, ErrorKind::UnknownOutcome, "http");
    check_error(refusing().abort(1).await, ErrorKind::UnknownOutcome, "http");
    let wrong = || answering(Answer::Message(None));
    assert!(matches!(wrong().fetch(request()).await, Err(Failure::Abandon)));
    assert!(matches!(wrong().start(request()).await, Err(Failure::Abandon)));
    assert!(matches!(wrong().take(1).await, Err(Failure::Abandon)));
    assert!(matches!(wrong().open(request()).await, Err(Failure::Abandon)));
    assert!(matches!(wrong().head(1).await, Err(Failure::Abandon)));
    assert!(matches!(wrong().read(1, None).await, Err(Failure::Abandon)));
    assert!(matches!(wrong().abort(1).await, Err(Failure::Abandon)));
}
