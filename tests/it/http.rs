//! A small HTTP/1.1 client on a plain socket, so that a test sees what is on the wire: when bytes come, in which pieces, with which
//! headers. Every read has a deadline. One request per connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long anything may take that a test waits for. Far beyond what it takes on a busy machine.
pub(crate) const WAIT: Duration = Duration::from_secs(60);

/// A request to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    chunked: bool,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Request {
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            chunked: false,
        }
    }

    /// A POST of JSON text as a client of A2A 1.0 sends it.
    pub(crate) fn post(path: &str, body: impl Into<Vec<u8>>) -> Request {
        Request::new("POST", path)
            .header("content-type", "application/json")
            .header("a2a-version", "1.0")
            .with_body(body.into())
    }

    pub(crate) fn with_body(mut self, body: Vec<u8>) -> Request {
        self.body = body;
        self
    }

    /// Sets a header, instead of one that is there.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Request {
        self = self.without(name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Request {
        self.headers.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        self
    }

    /// Sends the body in one chunk, without saying before how long it is.
    pub(crate) fn chunked(mut self) -> Request {
        self.chunked = true;
        self.header("transfer-encoding", "chunked")
    }

    /// Connects and sends it. A server may answer before it has read all of a body that it refuses, so that is no fault yet.
    pub(crate) fn write(
        &self,
        address: SocketAddr,
        wait: Duration,
    ) -> std::io::Result<(TcpStream, std::io::Result<()>)> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(wait))?;
        stream.write_all(self.head(address).as_bytes())?;
        let end: &[u8] = if self.chunked { b"\r\n0\r\n\r\n" } else { b"" };
        let sent = stream.write_all(&self.body).and_then(|()| stream.write_all(end));
        Ok((stream, sent))
    }

    fn head(&self, address: SocketAddr) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.chunked && (self.method != "GET" || !self.body.is_empty()) {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head += "\r\n";
        if self.chunked {
            head.push_str(&format!("{:x}\r\n", self.body.len()));
        }
        head
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is UTF-8")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{fault}: HTTP {} with {text:?}", self.status))
    }
}

/// An answer whose head is there and whose body is read piece by piece.
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    wire: Wire,
    length: Length,
}

enum Length {
    Chunked,
    Left(usize),
    UntilClose,
    Over,
}

impl Answer {
    /// Sends a request and waits for the head of the answer.
    pub(crate) fn to(address: SocketAddr, request: &Request, wait: Duration) -> std::io::Result<Answer> {
        let deadline = Instant::now() + wait;
        let (stream, sent) = request.write(address, wait)?;
        let mut wire = Wire { stream, buffer: Vec::new() };
        let head = match (wire.until(b"\r\n\r\n", deadline), sent) {
            (Ok(head), _) => head,
            (Err(_), Err(unsent)) => return Err(unsent),
            (Err(unread), Ok(())) => return Err(unread),
        };
        Ok(Answer::read(&String::from_utf8_lossy(&head), wire))
    }

    fn read(head: &str, wire: Wire) -> Answer {
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let status = status.unwrap_or_else(|| panic!("not an HTTP answer: {head:?}"));
        let length = match (find(&headers, "transfer-encoding"), find(&headers, "content-length")) {
            _ if status == 204 || status == 304 => Length::Over,
            (Some("chunked"), _) => Length::Chunked,
            (_, Some(length)) => Length::Left(length.parse().expect("a length")),
            _ => Length::UntilClose,
        };
        Answer { status, headers, wire, length }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The next piece of the body; none: it is over.
    pub(crate) fn piece(&mut self, deadline: Instant) -> std::io::Result<Option<Vec<u8>>> {
        match self.length {
            Length::Over => Ok(None),
            Length::Chunked => {
                let piece = self.wire.chunk(deadline)?;
                if piece.is_empty() {
                    self.length = Length::Over;
                }
                Ok((!piece.is_empty()).then_some(piece))
            }
            Length::Left(left) => {
                let piece = self.wire.exactly(left, deadline)?;
                self.length = Length::Over;
                Ok(Some(piece))
            }
            Length::UntilClose => {
                let piece = self.wire.rest(deadline)?;
                self.length = Length::Over;
                Ok(Some(piece))
            }
        }
    }

    /// The whole body.
    pub(crate) fn finish(mut self, wait: Duration) -> std::io::Result<Reply> {
        let deadline = Instant::now() + wait;
        let mut body = Vec::new();
        while let Some(piece) = self.piece(deadline)? {
            body.extend(piece);
        }
        Ok(Reply { status: self.status, headers: self.headers, body })
    }
}

/// Sends a request and reads the whole answer.
pub(crate) fn exchange(address: SocketAddr, request: &Request, wait: Duration) -> std::io::Result<Reply> {
    Answer::to(address, request, wait)?.finish(wait)
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    /// Reads more. False: the other side has closed.
    fn fill(&mut self, deadline: Instant) -> std::io::Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left))?;
        let mut bytes = vec![0; 64 << 10];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Ok(count > 0)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(std::io::Error::new(ErrorKind::TimedOut, "nothing came before the deadline"))
            }
            Err(error) => Err(error),
        }
    }

    fn more(&mut self, deadline: Instant) -> std::io::Result<()> {
        match self.fill(deadline)? {
            true => Ok(()),
            false => Err(std::io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
        }
    }

    /// Takes what comes before a mark, and the mark.
    fn until(&mut self, mark: &[u8], deadline: Instant) -> std::io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|window| window == mark) {
                let taken: Vec<u8> = self.buffer.drain(..at + mark.len()).collect();
                return Ok(taken[..at].to_vec());
            }
            self.more(deadline)?;
        }
    }

    /// Takes the next chunk whole, so that a deadline in the middle of one loses nothing. Empty: the last.
    fn chunk(&mut self, deadline: Instant) -> std::io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let size = String::from_utf8_lossy(&self.buffer[..end]);
                let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
                let (from, to) = (end + 2, end + 2 + size);
                if self.buffer.len() >= to + 2 {
                    let whole: Vec<u8> = self.buffer.drain(..to + 2).collect();
                    return Ok(whole[from..to].to_vec());
                }
            }
            self.more(deadline)?;
        }
    }

    fn exactly(&mut self, count: usize, deadline: Instant) -> std::io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            self.more(deadline)?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    fn rest(&mut self, deadline: Instant) -> std::io::Result<Vec<u8>> {
        while self.fill(deadline)? {}
        Ok(std::mem::take(&mut self.buffer))
    }
}
