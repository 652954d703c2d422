//! `wait.any` and `wait.all`, and the names of credentials: by hand, without a guest.

use std::time::Duration;

use super::fixture::{Worker, check_error, state};
use crate::Limits;
use crate::bindings::kennel::agent::config::Host as _;
use crate::bindings::kennel::agent::task::{AuthRequest, Host as _};
use crate::bindings::kennel::agent::types::{Content, Draft, Part};
use crate::bindings::kennel::agent::wait::Host as _;
use crate::call::{Answer, Auth, Call, ErrorKind, GuestError, Refusal};
use crate::guest::{Failure, Guest};

fn answering(answer: Answer) -> Guest {
    state(Worker::answering(move |_| Some(Ok(answer.clone()))).0, Limits::default())
}

#[tokio::test]
async fn a_wait_for_one_gives_its_index() {
    let (worker, notes) = Worker::answering(|_| Some(Ok(Answer::Ready(Some(1)))));
    let mut guest = state(worker, Limits::default());
    assert_eq!(guest.any(vec![7, 9], Some(1500.0)).await.unwrap(), Some(1));
    assert_eq!(guest.any(vec![7, 9], None).await.unwrap(), Some(1));
    let calls = std::mem::take(&mut notes.lock().unwrap().calls);
    assert!(matches!(&calls[..], [
        Call::WaitAny { pendings: first, timeout: Some(time) },
        Call::WaitAny { pendings: second, timeout: None },
    ] if *first == [7, 9] && *second == [7, 9] && *time == Duration::from_millis(1500)));
    assert_eq!(answering(Answer::Ready(None)).any(vec![1], Some(0.0)).await.unwrap(), None);
}

#[tokio::test]
async fn a_wait_for_all_is_true_or_late() {
    let (worker, notes) = Worker::answering(|_| Some(Ok(Answer::Flag(true))));
    assert!(state(worker, Limits::default()).all(vec![3, 4], None).await.unwrap());
    let calls = std::mem::take(&mut notes.lock().unwrap().calls);
    assert!(matches!(&calls[..], [Call::WaitAll { pendings, timeout: None }] if *pendings == [3, 4]), "{calls:?}");
    assert!(!answering(Answer::Flag(false)).all(vec![3], Some(0.0)).await.unwrap());
}

#[tokio::test]
async fn a_wait_for_nothing_needs_a_time_out() {
    let (worker, notes) = Worker::answering(|_| Some(Ok(Answer::Ready(None))));
    let mut guest = state(worker, Limits { pendings_max: 2, ..Limits::default() });
    check_error(guest.any(Vec::new(), None).await, ErrorKind::Invalid, "pendings");
    check_error(guest.all(Vec::new(), None).await, ErrorKind::Invalid, "pendings");
    check_error(guest.any(vec![1, 2, 3], None).await, ErrorKind::Limit, "pendings");
    check_error(guest.all(vec![1, 2, 3], None).await, ErrorKind::Limit, "pendings");
    check_error(guest.any(vec![1], Some(0.5)).await, ErrorKind::Invalid, "timeout");
    check_error(guest.all(vec![1], Some(-1.0)).await, ErrorKind::Invalid, "timeout");
    assert!(notes.lock().unwrap().calls.is_empty());
    assert_eq!(guest.any(Vec::new(), Some(5.0)).await.unwrap(), None);
    assert_eq!(notes.lock().unwrap().calls.len(), 1);
}

#[tokio::test]
async fn a_wait_answers_only_with_what_was_waited_for() {
    for answer in [Answer::Done, Answer::Ready(Some(2))] {
        let mut guest = answering(answer);
        assert!(matches!(guest.any(vec![1, 2], None).await, Err(Failure::Abandon)));
        assert!(guest.abandoned().is_some());
    }
    assert!(matches!(answering(Answer::Done).all(vec![1], None).await, Err(Failure::Abandon)));
    let error = GuestError::new(ErrorKind::NotFound, "pending", "There is no pending 5.");
    let mut guest = state(Worker::refusing(error).0, Limits::default());
    check_error(guest.any(vec![5], None).await, ErrorKind::NotFound, "pending");
    check_error(guest.all(vec![5], None).await, ErrorKind::NotFound, "pending");
}

fn prompt() -> Draft {
    let content = Content::Text("May I?".to_owned());
    Draft {
        parts: vec![Part { content, media_type: None, filename: None, metadata: None }],
        metadata: None,
        extensions: Vec::new(),
        reference_task_ids: Vec::new(),
    }
}

#[tokio::test]
async fn names_of_credentials_are_sorted_and_grow_with_a_grant() {
    let (worker, notes) = Worker::answering(|call| match call {
        Call::RequireAuth { .. } => Some(Ok(Answer::Auth(Auth::Granted("news".to_owned())))),
        _ => Some(Err(Refusal::Abandon)),
    });
    let mut guest = state(worker, Limits::default());
    assert_eq!(guest.credentials().unwrap(), ["mail", "weather"]);
    let request = AuthRequest { credential: "news".to_owned(), scopes: Vec::new(), url: None, timeout: None };
    guest.require_auth(prompt(), request).await.unwrap();
    assert_eq!(guest.credentials().unwrap(), ["mail", "news", "weather"]);
    assert_eq!(notes.lock().unwrap().calls.len(), 1, "the names are no call");
}
