//! A server that says exactly what a test lets it say, byte by byte, breaks where the test wants it to, and remembers
//! what it heard. One request per connection.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What the server does with one request, in this order. Then it closes the connection.
#[derive(Clone)]
pub(super) enum Step {
    Write(Vec<u8>),
    /// The same bytes again and again, until the other side goes.
    Repeat(Vec<u8>),
    /// Nothing until the test says so.
    Wait(Arc<Notify>),
    Hang,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The request line and the headers, names in lower case as the client writes them.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

pub(super) struct Server {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

type Script = Arc<dyn Fn(&Seen) -> Vec<Step> + Send + Sync>;

impl Server {
    /// Answers each request with what `script` makes of it.
    pub(super) async fn start(script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::new(script), Arc::clone(&seen)));
        Server { port, seen, _tasks: tasks }
    }

    /// Answers each request with the same response, then closes.
    pub(super) async fn saying(response: Vec<u8>) -> Server {
        Server::start(move |_| vec![Step::Write(response.clone())]).await
    }

    pub(super) fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Seen {
    pub(super) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        lines.filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// A response with `Content-Length`. `headers` are whole lines with their ends.
pub(super) fn response(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The head of a response whose body goes on until the connection ends.
pub(super) fn head(headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 x\r\nconnection: close\r\n{headers}\r\n").into_bytes()
}

async fn serve(listener: TcpListener, script: Script, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
        connections.spawn(async move {
            let Some(request) = read(&mut stream).await else { return };
            seen.lock().unwrap().push(request.clone());
            let _gone = play(&mut stream, script(&request)).await;
        });
    }
}

async fn play(stream: &mut TcpStream, steps: Vec<Step>) -> std::io::Result<()> {
    for step in steps {
        match step {
            Step::Write(bytes) => stream.write_all(&bytes).await?,
            Step::Repeat(bytes) => loop {
                stream.write_all(&bytes).await?;
            },
            Step::Wait(word) => word.notified().await,
            Step::Hang => std::future::pending().await,
        }
    }
    stream.shutdown().await
}

/// Reads one request; none if the client says nothing that could be one.
async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let mut seen = Seen { head, body: bytes[head_end + 4..].to_vec() };
    let length: usize = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    while seen.body.len() < length {
        if stream.read_buf(&mut seen.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(seen)
}
