//! A server for tests that says exactly what a test lets it say, byte by byte, and breaks where the test wants it to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kennel_protocol::types::{StreamResponse, Task, TaskState, TaskStatus, TaskStatusUpdateEvent};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the server does on one connection, in this order, after it has read the request. Then it closes.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends these bytes.
    Write(Vec<u8>),
    /// Sends nothing for a while.
    Wait(Duration),
    /// Sends nothing more and keeps the connection.
    Hang,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The request line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// Answers the first connection with the first script and so on; later ones are closed unanswered.
pub(crate) struct Server {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(scripts: Vec<Vec<Step>>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/agents/test", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, scripts, Arc::clone(&seen)));
        Server { url, seen, _tasks: tasks }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, scripts: Vec<Vec<Step>>, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut connections = JoinSet::new();
    let mut scripts = scripts.into_iter();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let Some(script) = scripts.next() else { continue };
        let request = read(&mut stream).await;
        seen.lock().unwrap().push(request);
        connections.spawn(play(stream, script));
    }
}

async fn play(mut stream: TcpStream, script: Vec<Step>) {
    for step in script {
        match step {
            // The client may have left; what it did is for the test to judge.
            Step::Write(bytes) => drop(stream.write_all(&bytes).await),
            Step::Wait(time) => tokio::time::sleep(time).await,
            Step::Hang => std::future::pending().await,
        }
    }
}

async fn read(stream: &mut TcpStream) -> Seen {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap();
        assert!(count > 0, "the request ends too early");
        bytes.extend_from_slice(&piece[..count]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body = &bytes[end + 4..];
        if body.len() == length.map_or(0, |length| length.parse().unwrap()) {
            return Seen { head, body: serde_json::from_slice(body).unwrap_or_default() };
        }
    }
}

/// A whole answer.
pub(crate) fn answer(status: &str, body: &str) -> Vec<Step> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    vec![Step::Write([head.as_bytes(), body.as_bytes()].concat())]
}

/// The head of a stream, which then goes on in chunks.
pub(crate) fn stream_head() -> Step {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\
                connection: close\r\n\r\n";
    Step::Write(head.into())
}

pub(crate) fn chunk(text: &str) -> Step {
    Step::Write(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
}

/// The proper end of a stream. A connection that closes without it was cut.
pub(crate) fn stream_end() -> Step {
    chunk("")
}

/// An event as text. The request id is that of the n-th request of a client.
pub(crate) fn event(id: Option<u64>, request: u64, event: &StreamResponse) -> String {
    let data = json!({ "jsonrpc": "2.0", "id": request, "result": event });
    match id {
        Some(id) => format!("id: {id}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    }
}

pub(crate) fn task(state: TaskState) -> StreamResponse {
    StreamResponse::Task(Task {
        id: "t".parse().unwrap(),
        context_id: "c".parse().unwrap(),
        status: TaskStatus { state, ..TaskStatus::default() },
        artifacts: None,
        history: Vec::new(),
        metadata: None,
    })
}

pub(crate) fn status(state: TaskState) -> StreamResponse {
    StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
        task_id: "t".parse().unwrap(),
        context_id: "c".parse().unwrap(),
        status: TaskStatus { state, ..TaskStatus::default() },
        metadata: None,
    })
}
