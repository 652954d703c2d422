//! Bodies: when they are sent, what keeps them from it, and whose memory they take.

use super::*;

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
    assert_eq!(guest.account.bytes(), 5);
    HostOutgoingBody::finish(&mut guest, body, None).await.unwrap().unwrap();
    assert_eq!(guest.account.bytes(), 0, "the worker has it");
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
    let limits = Limits { call_bytes_max: 8, memory_bytes_max: 10, ..Limits::default() };
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
    assert_eq!(guest.account.bytes(), 0, "it is given back");
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
    assert_eq!(guest.account.bytes(), 0);
    assert!(notes.lock().unwrap().calls.is_empty());
    // A response that is larger than a call may be: its head counts.
    let future = get(&mut guest).await;
    assert!(matches!(read(&mut guest, &future).await, Err(ErrorCode::HttpResponseBodySize(None))));
    // Two responses: the second waits until there is room, which is too late.
    let mut guest = state(worker_of_six(), Limits { call_bytes_max: 100, ..limits });
    let (first, second) = (get(&mut guest).await, get(&mut guest).await);
    let kept = told(&mut guest, &first).await.unwrap().unwrap().unwrap();
    assert_eq!(guest.account.bytes(), 6);
    assert!(matches!(read(&mut guest, &second).await, Err(ErrorCode::HttpResponseBodySize(None))));
    HostIncomingResponse::drop(&mut guest, kept).unwrap();
    assert_eq!(guest.account.bytes(), 0);
}

/// The writer has no room until the guest waits for it.
#[tokio::test]
async fn a_large_body_takes_memory_that_is_shared_out() {
    let limits = Limits { memory_base_bytes: 64 * 1024, ..Limits::default() };
    let mut guest = state(worker_of_six(), limits);
    let request = with(&mut guest, Method::Post, &[]);
    let body = body_of(&mut guest, &request);
    let stream = HostOutgoingBody::write(&mut guest, borrow(&body)).unwrap().unwrap();
    let writable = |guest: &mut Guest| guest.wasi.table().get_mut(&stream).unwrap().check_write().unwrap();
    assert_eq!(writable(&mut guest), 64 * 1024);
    guest.wasi.table().get_mut(&stream).unwrap().write(Bytes::from_static(&[0; 1000])).unwrap();
    assert_eq!(writable(&mut guest), 0);
    let more = guest.wasi.table().get_mut(&stream).unwrap().write(Bytes::from_static(&[0; 65_536]));
    assert!(matches!(more, Err(StreamError::Trap(_))));
    assert!(!guest.memory.reservation().is_held());
    let timer = guest.subscribe_duration(0).unwrap();
    guest.block(timer).await.unwrap();
    assert!(guest.memory.reservation().is_held());
    assert_eq!(writable(&mut guest), 64 * 1024);
    assert_eq!(guest.account.bytes(), 1000);
    // The same where a function of the stream itself waits, and for a response.
    let limits = Limits { memory_base_bytes: 4, ..Limits::default() };
    let mut guest = state(worker_of_six(), limits.clone());
    let request = with(&mut guest, Method::Post, &[]);
    let body = body_of(&mut guest, &request);
    let stream = HostOutgoingBody::write(&mut guest, borrow(&body)).unwrap().unwrap();
    let held = guest.wasi.table().get_mut(&stream).unwrap();
    held.blocking_write_and_flush(Bytes::from_static(&[0; 100_000])).await.unwrap();
    assert!(guest.memory.reservation().is_held() && guest.memory.peak() == 100_000);
    let mut guest = state(worker_of_six(), limits);
    let future = get(&mut guest).await;
    assert_eq!(read(&mut guest, &future).await.unwrap().1, b"123456");
    assert!(guest.memory.reservation().is_held());
}

fn worker_of_six() -> Box<Worker> {
    let answer = |call: &Call| match call {
        Call::HttpStart { .. } => Answer::Pending(1),
        Call::HttpTake { .. } => response(b"123456"),
        _ => Answer::Ready(Some(0)),
    };
    Worker::answering(move |call| Some(Ok(answer(call)))).0
}
