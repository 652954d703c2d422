//! `peers`: by hand, without a guest.

use std::time::Duration;

use kennel_protocol::types::{JsonValue, Message, Task};
use serde_json::json;

use super::fixture::{Worker, check_error, state};
use crate::Limits;
use crate::bindings::kennel::agent::peers::{Answer as Given, ContextChoice, Host as _, SendOptions};
use crate::bindings::kennel::agent::types::{Content, Draft, Part, TaskState};
use crate::call::{Answer, Call, ErrorKind, GuestError, PeerAnswer, Refusal};
use crate::guest::{Failure, Guest};

fn draft(texts: &[&str]) -> Draft {
    let part = |text: &&str| Part {
        content: Content::Text((*text).to_owned()),
        media_type: None,
        filename: None,
        metadata: None,
    };
    Draft {
        parts: texts.iter().map(part).collect(),
        metadata: None,
        extensions: Vec::new(),
        reference_task_ids: Vec::new(),
    }
}

fn options() -> SendOptions {
    SendOptions {
        context: ContextChoice::Same,
        task_id: None,
        accepted_output_modes: vec!["text/plain".to_owned()],
        metadata: Some(r#"{"a":1}"#.to_owned()),
        credential: None,
        timeout: Some(5000.0),
    }
}

fn said() -> Message {
    serde_json::from_value(json!({"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "hello"}]})).unwrap()
}

fn task() -> Task {
    let status = json!({"state": "TASK_STATE_COMPLETED"});
    let parts = json!([{"text": "a result"}]);
    let artifacts = json!([{"artifactId": "a", "parts": parts}]);
    serde_json::from_value(json!({"id": "t2", "contextId": "c1", "status": status, "artifacts": artifacts})).unwrap()
}

fn answering(answer: Answer) -> Guest {
    limited(answer, Limits::default())
}

fn limited(answer: Answer, limits: Limits) -> Guest {
    state(Worker::answering(move |_| Some(Ok(answer.clone()))).0, limits)
}

#[tokio::test]
async fn names_and_cards_are_asked_for() {
    let (worker, notes) = Worker::answering(|call| {
        Some(Ok(match call {
            Call::PeerNames => Answer::Names(vec!["echo".to_owned()]),
            _ => Answer::Card(JsonValue::from_text(r#"{"name":"Echo","n":2.0}"#).unwrap()),
        }))
    });
    let mut guest = state(worker, Limits::default());
    assert_eq!(guest.names().await.unwrap(), ["echo"]);
    assert_eq!(guest.card("echo".to_owned()).await.unwrap(), r#"{"name":"Echo","n":2}"#);
    let calls = &notes.lock().unwrap().calls;
    assert!(matches!(&calls[..], [Call::PeerNames, Call::PeerCard { to }] if to == "echo"), "{calls:?}");
}

#[tokio::test]
async fn an_agent_that_is_refused_knows_nobody() {
    let error = GuestError::new(ErrorKind::Denied, "reply-mode", "It has no task.");
    assert!(state(Worker::refusing(error).0, Limits::default()).names().await.unwrap().is_empty());
    let (worker, _) = Worker::answering(|_| Some(Err(Refusal::Abandon)));
    assert!(state(worker, Limits::default()).names().await.is_err());
}

#[tokio::test]
async fn a_message_is_sent_with_its_options() {
    let (worker, notes) = Worker::answering(|_| Some(Ok(Answer::Pending(4))));
    let mut guest = state(worker, Limits::default());
    assert_eq!(guest.send("echo".to_owned(), draft(&["hi"]), options()).await.unwrap(), 4);
    let fresh = SendOptions {
        context: ContextChoice::Fresh,
        task_id: Some("t7".to_owned()),
        accepted_output_modes: Vec::new(),
        metadata: None,
        credential: Some("mail".to_owned()),
        timeout: None,
    };
    guest.send("echo".to_owned(), draft(&["hi"]), fresh).await.unwrap();
    let notes = notes.lock().unwrap();
    let sent = notes.calls.iter().map(|call| match call {
        Call::PeerSend { to, message, options } => (to.as_str(), message, options),
        other => panic!("{other:?}"),
    });
    let sent: Vec<_> = sent.collect();
    let (to, message, first) = sent[0];
    assert_eq!((to, message.parts.len(), first.same_context), ("echo", 1, true));
    assert_eq!((first.timeout, first.accepted_output_modes.len()), (Some(Duration::from_secs(5)), 1));
    assert_eq!(first.metadata.as_ref().unwrap().get(), r#"{"a":1}"#);
    assert!(first.task_id.is_none() && first.credential.is_none());
    let second = sent[1].2;
    assert_eq!((second.task_id.as_deref(), second.credential.as_deref()), (Some("t7"), Some("mail")));
    assert!(!second.same_context && second.timeout.is_none() && second.metadata.is_none());
}

#[tokio::test]
async fn the_answer_is_a_message_or_a_task() {
    let (worker, notes) = Worker::answering(|_| Some(Ok(Answer::Peer(PeerAnswer::Message(Box::new(said()))))));
    let given = state(worker, Limits::default()).take(4).await.unwrap();
    assert!(matches!(given, Given::Message(message) if message.message_id == "m" && message.parts.len() == 1));
    assert!(matches!(notes.lock().unwrap().calls[..], [Call::PeerTake { sent: 4 }]));
    match answering(Answer::Peer(PeerAnswer::Task(Box::new(task())))).take(4).await.unwrap() {
        Given::Task(given) => {
            assert_eq!((given.task_id.as_str(), given.artifacts.len()), ("t2", 1));
            assert!(matches!(given.state, TaskState::Completed));
        }
        Given::Message(message) => panic!("{message:?}"),
    }
}

#[tokio::test]
async fn a_peer_is_asked_to_stop() {
    let (worker, notes) = Worker::answering(|_| Some(Ok(Answer::Done)));
    state(worker, Limits::default()).cancel(4, Some("enough".to_owned())).await.unwrap();
    let calls = &notes.lock().unwrap().calls;
    let is_expected = |reason: &Option<String>| reason.as_deref() == Some("enough");
    assert!(matches!(&calls[..], [Call::PeerCancel { sent: 4, reason }] if is_expected(reason)), "{calls:?}");
}

#[tokio::test]
async fn a_message_that_breaks_a_rule_never_reaches_the_worker() {
    let (worker, notes) = Worker::answering(|_| Some(Ok(Answer::Pending(4))));
    let mut guest = state(worker, Limits { message_parts_max: 1, metadata_bytes_max: 20, ..Limits::default() });
    let with = |metadata: &str| SendOptions { metadata: Some(metadata.to_owned()), ..options() };
    let own = Draft { metadata: Some(r#"{"urn:kennel:x":1}"#.to_owned()), ..draft(&["a"]) };
    for (draft, options, kind, code) in [
        (draft(&[]), options(), ErrorKind::Invalid, "parts"),
        (draft(&["a", "b"]), options(), ErrorKind::Limit, "message-parts"),
        (own, options(), ErrorKind::Invalid, "metadata"),
        (draft(&["a"]), with("[]"), ErrorKind::Invalid, "options.metadata"),
        (draft(&["a"]), with(r#"{"urn:kennel:x":1}"#), ErrorKind::Invalid, "options.metadata"),
        (draft(&["a"]), with(r#"{"a":"123456789012345"}"#), ErrorKind::Limit, "metadata-bytes"),
        (draft(&["a"]), SendOptions { timeout: Some(-1.0), ..options() }, ErrorKind::Invalid, "timeout"),
    ] {
        check_error(guest.send("echo".to_owned(), draft, options).await, kind, code);
    }
    assert!(notes.lock().unwrap().calls.is_empty());
}

#[tokio::test]
async fn more_than_one_call_can_carry_is_an_error() {
    let small = Limits { call_bytes_max: 4, ..Limits::default() };
    for answer in [PeerAnswer::Message(Box::new(said())), PeerAnswer::Task(Box::new(task()))] {
        check_error(limited(Answer::Peer(answer), small.clone()).take(1).await, ErrorKind::Limit, "call-bytes");
    }
    let card = Answer::Card(JsonValue::from_text(r#"{"a":1}"#).unwrap());
    check_error(limited(card, small).card("echo".to_owned()).await, ErrorKind::Limit, "call-bytes");
}

#[tokio::test]
async fn errors_are_passed_on_and_other_answers_end_the_run() {
    let error = GuestError::new(ErrorKind::NotFound, "peer", "There is no such agent.");
    let mut guest = state(Worker::refusing(error).0, Limits::default());
    let echo = || "echo".to_owned();
    check_error(guest.card(echo()).await, ErrorKind::NotFound, "peer");
    check_error(guest.send(echo(), draft(&["a"]), options()).await, ErrorKind::NotFound, "peer");
    check_error(guest.take(1).await, ErrorKind::NotFound, "peer");
    check_error(guest.cancel(1, None).await, ErrorKind::NotFound, "peer");
    let wrong = || answering(Answer::Message(None));
    assert!(wrong().names().await.is_err());
    assert!(matches!(wrong().card(echo()).await, Err(Failure::Abandon)));
    assert!(matches!(wrong().send(echo(), draft(&["a"]), options()).await, Err(Failure::Abandon)));
    assert!(matches!(wrong().take(1).await, Err(Failure::Abandon)));
    assert!(matches!(wrong().cancel(1, None).await, Err(Failure::Abandon)));
}
