//! `wasi:http` as a component uses it, from the first header to the last byte.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::call::{Answer, Call, ErrorKind, GuestError, HttpHead, HttpResponse, Refusal};
use crate::tests::fixture::{GuestText, Home, Notes, Worker, start};
use crate::{End, Limits, Outcome};

macro_rules! imports {
    ($more:literal) => {
        concat!(
            r#"
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $in (param i64) (result i32)))
    (import "wasi:io/poll@0.2.6" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]input-stream.read" (func $read (param i32 i64 i32)))
    (import "wasi:http/types@0.2.6" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.6" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
    (import "wasi:http/types@0.2.6" "[method]outgoing-request.set-authority"
        (func $authority (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/outgoing-handler@0.2.6" "handle" (func $handle (param i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.6" "[method]future-incoming-response.subscribe"
        (func $subscribe (param i32) (result i32)))
    (import "wasi:http/types@0.2.6" "[method]future-incoming-response.get" (func $get (param i32 i32)))
    (import "wasi:http/types@0.2.6" "[resource-drop]future-incoming-response" (func $drop (param i32)))
    (import "wasi:http/types@0.2.6" "[method]incoming-response.status" (func $status (param i32) (result i32)))
    (import "wasi:http/types@0.2.6" "[method]incoming-response.consume" (func $consume (param i32 i32)))
    (import "wasi:http/types@0.2.6" "[method]incoming-body.stream" (func $stream (param i32 i32)))"#,
            $more
        )
    };
}

/// `$send` hands over a request to the authority at 1024 and returns the future. `$take` gives a response that is ready, as the
/// bytes of a checkpoint.
const ITEMS: &str = "
    (func $expect (param i32) (if (i32.eqz (local.get 0)) (then unreachable)))
    (func $send (result i32)
        (local $request i32)
        (local.set $request (call $request (call $fields)))
        (call $expect
            (i32.eqz (call $authority (local.get $request) (i32.const 1) (i32.const 1024) (i32.const 9))))
        (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 600))
        (call $expect (i32.eqz (i32.load8_u (i32.const 600))))
        (i32.load (i32.const 608)))
    (func $take (param $future i32)
        (local $response i32)
        (call $get (local.get $future) (i32.const 600))
        (call $expect (i32.eq (i32.load8_u (i32.const 600)) (i32.const 1)))
        (call $expect (i32.eqz (i32.load8_u (i32.const 608))))
        (call $expect (i32.eqz (i32.load8_u (i32.const 616))))
        (local.set $response (i32.load (i32.const 624)))
        (call $expect (i32.eq (call $status (local.get $response)) (i32.const 404)))
        (call $consume (local.get $response) (i32.const 600))
        (call $stream (i32.load (i32.const 604)) (i32.const 600))
        (call $read (i32.load (i32.const 604)) (i64.const 100) (i32.const 600))
        (call $expect (i32.eqz (i32.load8_u (i32.const 600))))
        (i32.store8 (i32.const 4) (i32.const 4))
        (i32.store (i32.const 8) (i32.load (i32.const 604)))
        (i32.store (i32.const 12) (i32.load (i32.const 608))))";

fn client(run: &'static str) -> GuestText {
    GuestText { imports: imports!(""), items: ITEMS, data: "a.example", run, ..GuestText::default() }
}

/// The same for the profile with concurrency, which is chosen by what a component imports.
fn concurrent_client(run: &'static str) -> GuestText {
    let imports = imports!(r#"(import "$root" "[waitable-set-new]" (func $new (result i32)))"#);
    GuestText { imports, ..client(run) }
}

fn answer(call: &Call) -> Answer {
    match call {
        Call::HttpStart { .. } => Answer::Pending(7),
        Call::WaitAny { .. } => Answer::Ready(Some(0)),
        Call::HttpTake { .. } => {
            let head = HttpHead { status: 404, headers: Vec::new(), url: "https://a.example/".to_owned() };
            Answer::Response(Box::new(HttpResponse { head, body: Bytes::from_static(b"no such thing") }))
        }
        _ => Answer::Done,
    }
}

/// Sends, waits at most a minute, takes.
const FETCH: &str = "(local $future i32)
    (local.set $future (call $send))
    (i32.store (i32.const 512) (call $in (i64.const 60000000000)))
    (i32.store (i32.const 516) (call $subscribe (local.get $future)))
    (call $poll (i32.const 512) (i32.const 2) (i32.const 520))
    (call $expect (i32.eq (i32.load (i32.const 524)) (i32.const 1)))
    (call $expect (i32.eq (i32.load (i32.load (i32.const 520))) (i32.const 1)))
    (call $take (local.get $future))
    (i32.const 0)";

async fn fetch(home: &Home, client: &GuestText) -> (End, Arc<Mutex<Notes>>) {
    let agent = home.agent(&client.component()).await;
    let (worker, notes) = Worker::answering(|call| Some(Ok(answer(call))));
    (start(&agent, worker, Limits::default()).finish().await.end, notes)
}

#[tokio::test]
async fn a_response_reaches_the_guest_and_a_replay_makes_the_same_calls() {
    let home = Home::new();
    let (end, notes) = fetch(&home, &client(FETCH)).await;
    assert!(
        matches!(&end, End::Outcome(Outcome::Checkpoint(bytes)) if **bytes == *b"no such thing"),
        "{end:?}: {:?}",
        notes.lock().unwrap().calls
    );
    let calls = format!("{:?}", notes.lock().unwrap().calls);
    let names: Vec<_> = notes.lock().unwrap().calls.iter().map(Call::name).collect();
    assert_eq!(names, ["http.start", "wait.any", "http.take"]);
    assert!(calls.contains("https://a.example/") && calls.contains("60s"), "{calls}");
    for client in [client(FETCH), concurrent_client(FETCH)] {
        let (_, again) = fetch(&home, &client).await;
        assert_eq!(format!("{:?}", again.lock().unwrap().calls), calls);
    }
    let concurrent = home.compiled().iter().filter(|path| path.to_string_lossy().contains("-concurrent-")).count();
    assert_eq!(concurrent, 1, "the last one was of the other profile");
}

#[tokio::test]
async fn a_future_that_is_dropped_gives_its_request_up() {
    let home = Home::new();
    let agent = home.agent(&client("(call $drop (call $send)) (i32.const 0)").component()).await;
    let (worker, notes) = Worker::answering(|call| Some(Ok(answer(call))));
    let end = start(&agent, worker, Limits::default()).finish().await.end;
    assert!(matches!(end, End::Outcome(Outcome::Completed(None))), "{end:?}");
    assert!(matches!(notes.lock().unwrap().calls[..], [Call::HttpStart { .. }, Call::HttpAbort { exchange: 7 }]));
}

#[tokio::test]
async fn a_request_that_the_worker_gives_up_abandons_the_run() {
    let home = Home::new();
    let agent = home.agent(&client(FETCH).component()).await;
    for refused in ["http.start", "wait.any", "http.take"] {
        let (worker, _) = Worker::answering(move |call| {
            Some(if call.name() == refused { Err(Refusal::Abandon) } else { Ok(answer(call)) })
        });
        let end = start(&agent, worker, Limits::default()).finish().await.end;
        assert!(matches!(end, End::Abandoned), "{refused}: {end:?}");
    }
    let error = GuestError::new(ErrorKind::Denied, "http", "The operator has not granted it.");
    let (worker, notes) = Worker::refusing(error);
    let end = start(&agent, worker, Limits::default()).finish().await.end;
    assert!(matches!(end, End::Trap(_)), "this guest expects a response: {end:?}");
    assert_eq!(notes.lock().unwrap().lines[0].message, "wasi:http: The operator has not granted it.");
}
