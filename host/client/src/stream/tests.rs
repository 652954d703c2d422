//! Streams over real connections that break.

use std::time::Duration;

use kennel_protocol::types::{Part, SendMessageRequest, StreamResponse, TaskState};
use serde_json::json;

use super::{EventStream, StreamEvent};
use crate::error::ClientError;
use crate::options::{Deadlines, Options, Resume};
use crate::testing::{Server, Step, answer, chunk, event, status, stream_end, stream_head, task};
use crate::{Client, user_message};

fn client(server: &Server) -> Client {
    let resume = Resume { tries_max: 3, delay_min: Duration::from_millis(1), delay_max: Duration::from_millis(5) };
    let deadlines = Deadlines { stream_silence: Duration::from_millis(300), ..Deadlines::default() };
    Client::at_with(&server.url, Options { resume, deadlines, ..Options::default() }).unwrap()
}

fn hello() -> SendMessageRequest {
    SendMessageRequest { message: user_message(vec![Part::text("hello")]), ..SendMessageRequest::default() }
}

/// A connection on which the events arrive, then the given steps.
fn connection(request: u64, events: &[(Option<u64>, StreamResponse)], then: Vec<Step>) -> Vec<Step> {
    let mut steps = vec![stream_head()];
    steps.extend(events.iter().map(|(id, content)| chunk(&event(*id, request, content))));
    steps.extend(then);
    steps
}

/// Reads to the end; shows each event as its number and state.
async fn read(stream: &mut EventStream) -> Result<Vec<String>, ClientError> {
    let mut shown = Vec::new();
    while let Some(StreamEvent { id, event }) = stream.next().await? {
        let id = id.map_or("-".to_owned(), |id| id.to_string());
        shown.push(match event {
            StreamResponse::Task(task) => format!("{id} task {}", task.status.state),
            StreamResponse::StatusUpdate(update) => format!("{id} {}", update.status.state),
            StreamResponse::Message(message) => format!("{id} message {}", message.message_id),
            StreamResponse::ArtifactUpdate(update) => format!("{id} artifact {}", update.artifact.artifact_id),
        });
    }
    Ok(shown)
}

#[tokio::test]
async fn a_stream_that_is_cut_goes_on_where_it_was() {
    let working = status(TaskState::Working);
    let half = event(Some(3), 1, &working);
    let server = Server::start(vec![
        // Cut in the middle of an event, and of the chunk that carries it.
        connection(
            1,
            &[(Some(1), task(TaskState::Submitted)), (Some(2), working.clone())],
            vec![Step::Write(format!("{:x}\r\n{}", half.len(), &half[..half.len() / 2]).into_bytes())],
        ),
        // Not there.
        vec![],
        // Says again what is known, then is closed early.
        connection(
            3,
            &[(Some(2), working.clone()), (Some(3), working.clone())],
            vec![chunk(": bye\n\n"), stream_end()],
        ),
        connection(4, &[(Some(4), status(TaskState::Completed))], vec![Step::Hang]),
    ])
    .await;
    let mut stream = client(&server).stream(hello()).await.unwrap();
    let shown = read(&mut stream).await.unwrap();
    let expected = ["1 task TASK_STATE_SUBMITTED", "2 TASK_STATE_WORKING", "3 TASK_STATE_WORKING"];
    assert_eq!(shown[..3], expected);
    assert_eq!(shown[3..], ["4 TASK_STATE_COMPLETED"]);
    assert_eq!((stream.last_event_id(), stream.task_id().unwrap().as_str()), (Some(4), "t"));
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[0].body["method"], "SendStreamingMessage");
    assert!(!seen[0].head.contains("last-event-id"));
    assert_eq!(seen[3].body["method"], "SubscribeToTask");
    assert_eq!(seen[3].body["params"], json!({ "id": "t" }));
    for (request, last) in [(1, 2), (2, 2), (3, 3)] {
        assert!(seen[request].head.contains(&format!("last-event-id: {last}")), "{}", seen[request].head);
    }
    assert!(seen.iter().all(|request| request.head.contains("a2a-version: 1.0")));
    assert!(seen.iter().all(|request| request.head.contains("accept: text/event-stream")));
}

#[tokio::test]
async fn a_silent_connection_is_replaced_and_keep_alives_are_no_silence() {
    let keep_alives = [chunk(": keep-alive\n\n"), Step::Wait(Duration::from_millis(100))].into_iter().cycle();
    let alive = keep_alives.take(10).chain([chunk(&event(Some(2), 1, &status(TaskState::Working))), Step::Hang]);
    let server = Server::start(vec![
        connection(1, &[(Some(1), task(TaskState::Working))], alive.collect()),
        connection(2, &[(Some(3), status(TaskState::Completed))], vec![]),
    ])
    .await;
    let mut stream = client(&server).stream(hello()).await.unwrap();
    assert_eq!(read(&mut stream).await.unwrap().len(), 3);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn attempts_to_resume_are_bounded_and_then_the_stream_is_over() {
    let server = Server::start(vec![connection(1, &[(Some(1), task(TaskState::Working))], vec![])]).await;
    let mut stream = client(&server).stream(hello()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    assert!(matches!(stream.next().await, Err(ClientError::Unreachable { .. })));
    assert_eq!(stream.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_message_is_never_sent_twice() {
    let server = Server::start(vec![vec![stream_head(), chunk(": hello\n\n")], vec![stream_head()]]).await;
    let mut stream = client(&server).stream(hello()).await.unwrap();
    assert!(matches!(stream.next().await, Err(ClientError::Unreachable { .. })));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_task_that_ended_unseen_is_read_instead() {
    let refusal = json!({ "jsonrpc": "2.0", "id": 2, "error": { "code": -32004, "message": "it has ended" } });
    let StreamResponse::Task(done) = task(TaskState::Completed) else { unreachable!() };
    let found = json!({ "jsonrpc": "2.0", "id": 3, "result": done });
    let server = Server::start(vec![
        connection(1, &[(None, task(TaskState::Working))], vec![]),
        answer("200 OK", &refusal.to_string()),
        answer("200 OK", &found.to_string()),
    ])
    .await;
    let mut stream = client(&server).stream(hello()).await.unwrap();
    let shown = read(&mut stream).await.unwrap();
    assert_eq!(shown, ["- task TASK_STATE_WORKING", "- task TASK_STATE_COMPLETED"]);
}

#[tokio::test]
async fn a_stream_of_a_message_ends_at_a_question_however_it_is_closed() {
    for end in [vec![stream_end()], vec![]] {
        let events = [(Some(1), task(TaskState::Working)), (Some(2), status(TaskState::InputRequired))];
        let server = Server::start(vec![connection(1, &events, end)]).await;
        let mut stream = client(&server).stream(hello()).await.unwrap();
        assert_eq!(read(&mut stream).await.unwrap().len(), 2);
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_bare_message_is_the_whole_stream() {
    let message = StreamResponse::Message(user_message(vec![Part::text("hi")]));
    let server = Server::start(vec![connection(1, &[(None, message)], vec![Step::Hang])]).await;
    let mut stream = client(&server).stream(hello()).await.unwrap();
    assert_eq!(read(&mut stream).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_error_in_the_stream_ends_it_unless_it_passes() {
    let error = |code: i64, reason: &str| {
        let error = json!({ "code": code, "message": "no", "data": [{ "reason": reason }] });
        chunk(&format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "id": 1, "error": error })))
    };
    let begin = [(Some(1), task(TaskState::Working))];
    let server = Server::start(vec![
        connection(1, &begin, vec![error(-32603, "UNAVAILABLE"), stream_end()]),
        connection(2, &[(Some(2), status(TaskState::Working))], vec![error(-32006, "INVALID_AGENT_RESPONSE")]),
    ])
    .await;
    let mut stream = client(&server).subscribe("t".parse().unwrap(), None).await.unwrap();
    stream.next().await.unwrap().unwrap();
    stream.next().await.unwrap().unwrap();
    let error = stream.next().await.unwrap_err();
    assert_eq!(error.to_string(), "no (code -32006)");
    assert_eq!(stream.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_refusal_to_stream_comes_at_once() {
    let refusal = json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32001, "message": "Task not found" } });
    let server = Server::start(vec![answer("200 OK", &refusal.to_string())]).await;
    let error = client(&server).subscribe("t".parse().unwrap(), Some(4)).await.unwrap_err();
    assert_eq!(error.to_string(), "Task not found (code -32001)");
    assert!(server.seen()[0].head.contains("last-event-id: 4"));
}

#[tokio::test]
async fn an_event_that_is_not_a2a_is_an_error_not_a_gap() {
    let server = Server::start(vec![vec![stream_head(), chunk("data: [DONE]\n\n")]]).await;
    let mut stream = client(&server).stream(hello()).await.unwrap();
    assert!(matches!(stream.next().await, Err(ClientError::Invalid(_))));
}
