//! Requests per second and latency of a whole host over loopback, beside the same work without storage.
//!
//! `cargo bench -p kennel --bench load` starts the built binary on a fresh data folder and drives it over keep-alive connections:
//! the durable echo task (SQLite, `synchronous=FULL`), the bare message, and, for comparison, the echo component on bare axum and
//! wasmtime with host functions that answer from memory. Client and server share the machine. Each row runs for `--seconds` (5).

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and a fault ends it"
)]

mod server;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use kennel_protocol::types::{Message, SendMessageRequest, TaskState};
use kennel_protocol::{AgentId, ContextId, PrincipalId, TaskId, TenantId, Timestamp};
use kennel_sandbox::call::{Answer, Call, CallFuture, HostCalls, LogLine, Moment, Seen};
use kennel_sandbox::{Agent, Limits, Run, Sandbox, SandboxConfig, TaskInfo, Turn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use server::{Server, build_agents};

const CONNECTIONS: [usize; 4] = [1, 16, 64, 128];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--bare-server") {
        return runtime().block_on(bare_server(Path::new(&arguments[at + 1])));
    }
    // `cargo test --benches` only asks that it starts.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let seconds = arguments.iter().position(|argument| argument == "--seconds");
    let seconds: u64 = seconds.map_or(5, |at| arguments[at + 1].parse().expect("a number of seconds"));
    runtime().block_on(bench(Duration::from_secs(seconds)));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads for the bench")
}

async fn bench(time: Duration) {
    let folder = tempfile::tempdir().expect("a folder for the bench");
    let agents = build_agents(folder.path(), &["echo", "hello"]);
    println!("{:<34} {:>5} {:>10} {:>9} {:>9} {:>14}", "what", "conns", "per s", "p50 ms", "p99 ms", "CPU s / 1,000");
    let mut kennel = Server::kennel(&folder.path().join("data"), &agents, &[]);
    for (what, agent) in [("durable echo task, FULL", "echo"), ("bare message", "hello")] {
        for connections in CONNECTIONS {
            let row = drive(&kennel, agent, connections, time).await;
            println!("{what:<34} {connections:>5} {row}");
        }
    }
    kennel.stop();
    let mut bare = bare(&agents.join("echo.wasm"));
    for connections in CONNECTIONS {
        let row = drive(&bare, "echo", connections, time).await;
        println!("{:<34} {connections:>5} {row}", "echo on bare axum + wasmtime");
    }
    bare.stop();
}

/// The same work on bare axum and wasmtime.
fn bare(component: &Path) -> Server {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.arg("--bare-server").arg(component);
    Server::start(command)
}

struct Row {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    cpu_per_1000: f64,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "{:>10.0} {:>9.2} {:>9.2} {:>14.3}", self.per_second, ms(self.p50), ms(self.p99), self.cpu_per_1000)
    }
}

async fn drive(server: &Server, agent: &str, connections: usize, time: Duration) -> Row {
    // A second of warm-up, not counted.
    run(server, agent, connections, Duration::from_secs(1)).await;
    let cpu = server.cpu();
    let started = Instant::now();
    let mut latencies = run(server, agent, connections, time).await;
    let (elapsed, cpu) = (started.elapsed(), server.cpu() - cpu);
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    Row {
        per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
        cpu_per_1000: cpu.as_secs_f64() * 1000.0 / latencies.len() as f64,
    }
}

async fn run(server: &Server, agent: &str, connections: usize, time: Duration) -> Vec<Duration> {
    let until = Instant::now() + time;
    let clients: Vec<_> =
        (0..connections).map(|_| client(server.address.clone(), agent.to_owned(), until)).map(spawn).collect();
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await.expect("a client ends"));
    }
    all
}

#[expect(clippy::disallowed_methods, reason = "the bench awaits every client")]
fn spawn<F: Future<Output = Vec<Duration>> + Send + 'static>(client: F) -> tokio::task::JoinHandle<Vec<Duration>> {
    tokio::spawn(client)
}

/// One keep-alive connection, one request after another.
async fn client(address: String, agent: String, until: Instant) -> Vec<Duration> {
    let mut socket = TcpStream::connect(&address).await.expect("the server accepts");
    socket.set_nodelay(true).ok();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"hello"}]}}}"#;
    let request = format!(
        "POST /agents/{agent} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\na2a-version: 1.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut latencies = Vec::new();
    let mut buffer = Vec::with_capacity(16 << 10);
    while Instant::now() < until {
        let started = Instant::now();
        socket.write_all(request.as_bytes()).await.expect("the server reads");
        read_response(&mut socket, &mut buffer).await;
        latencies.push(started.elapsed());
    }
    latencies
}

/// Reads one response with a content length; anything but a result ends the bench.
async fn read_response(socket: &mut TcpStream, buffer: &mut Vec<u8>) {
    buffer.clear();
    let mut end = None;
    loop {
        let read = socket.read_buf(buffer).await.expect("the server answers");
        assert!(read > 0, "the server closed the connection");
        if end.is_none()
            && let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
            end = Some(head + 4 + length.unwrap_or_else(|| panic!("no content length in {text}")));
        }
        if end.is_some_and(|end| buffer.len() >= end) {
            break;
        }
    }
    let text = String::from_utf8_lossy(buffer);
    assert!(text.contains("\"result\""), "not a result: {text}");
}

/// The same work without storage: parse, a fresh instance with its host calls, an answer of about the same size.
async fn bare_server(component: &Path) {
    let cache = tempfile::tempdir().expect("a cache folder");
    let config = SandboxConfig {
        guest_threads: 2,
        live_instances_max: 1000,
        guest_memory_bytes_max: 1 << 30,
        cache_dir: cache.path().to_owned(),
        limits: Limits::default(),
    };
    let sandbox = Sandbox::new(config).expect("a sandbox");
    let bytes = Bytes::from(std::fs::read(component).expect("the component"));
    let agent = Arc::new(sandbox.compile(bytes).await.expect("the component loads"));
    let router = Router::new().route("/agents/{agent}", post(move |body: Bytes| bare_echo(Arc::clone(&agent), body)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("listening http://{}", listener.local_addr().expect("an address"));
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |socket| drop(socket.set_nodelay(true))), router)
        .await
        .expect("it serves until it is killed");
}

async fn bare_echo(agent: Arc<Agent>, body: Bytes) -> ([(&'static str, &'static str); 1], String) {
    #[derive(serde::Deserialize)]
    struct Envelope {
        id: u64,
        params: Box<serde_json::value::RawValue>,
    }
    let envelope: Envelope = serde_json::from_slice(&body).expect("a request of the bench");
    let request: SendMessageRequest = kennel_protocol::parse::request(envelope.params.get()).expect("a message");
    let said = run_bare(&agent, request.message).await;
    let id = envelope.id;
    ([("content-type", "application/json")], format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{said}}}"#))
}

async fn run_bare(agent: &Agent, message: Message) -> String {
    let now = Timestamp::from_millis(0);
    let agent_id: AgentId = "echo".parse().expect("a name");
    let info = TaskInfo {
        task_id: TaskId::generate(),
        context_id: ContextId::generate(),
        agent: agent_id,
        tenant: TenantId::default_tenant(),
        caller: PrincipalId::anonymous(),
        parent_task_id: None,
        accepted_output_modes: Vec::new(),
        extensions: Vec::new(),
        request_metadata: None,
        created: now,
        expires: now,
    };
    let (tell, told) = tokio::sync::oneshot::channel();
    let calls = Box::new(InMemory { events: Vec::new(), tell: Some(tell) });
    let turn = Turn { message, checkpoint: None, generation: 1 };
    let (settings, credentials) = Default::default();
    let run = Run {
        turn,
        info,
        settings,
        credentials,
        seed: [0; 32],
        limits: Limits::default(),
        replay_cpu_max: Duration::ZERO,
        calls,
    };
    drop(agent.run(run).finish().await);
    told.await.unwrap_or_default()
}

/// Host functions that only remember.
struct InMemory {
    events: Vec<String>,
    tell: Option<tokio::sync::oneshot::Sender<String>>,
}

impl HostCalls for InMemory {
    fn call(&mut self, call: Call, _: Seen) -> CallFuture<'_> {
        let answer = match call {
            Call::Publish { artifact } => {
                self.events.push(serde_json::to_string(&artifact).unwrap_or_default());
                "artifact-1".parse().map(Answer::ArtifactId).expect("an id")
            }
            _ => {
                self.events.push(format!("{{\"state\":\"{}\"}}", TaskState::Working));
                Answer::Done
            }
        };
        Box::pin(async move { Ok(answer) })
    }

    fn log(&mut self, _: LogLine) {}

    fn now(&self) -> Moment {
        Moment::default()
    }

    fn is_live(&self) -> bool {
        true
    }
}

impl Drop for InMemory {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            tell.send(format!("[{}]", self.events.join(","))).ok();
        }
    }
}
