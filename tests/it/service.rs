//! A service that agents call. It records what it is asked; its log is one side of what the checker compares.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::checker::{Effect, Record};
use crate::harness::{Kennel, until};
use crate::http::WAIT;

/// One request as the service saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// When it was there: microseconds since 1970, by the clock that the host has too.
    pub at_us: i64,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn method_and_path(&self) -> (&str, &str) {
        let mut words = self.line.split(' ');
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }
}

/// A service that records what it is asked. `/say/WORD` answers at once, `/wait/MS/WORD` after a while, `/hold/NAME` not before
/// `open(NAME)`, `/hang` not before `release`, `/count` with the number of the request, `/pieces/N/MS` in pieces,
/// `/large/N` N bytes.
pub(crate) struct Service {
    pub address: SocketAddr,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    seen: Mutex<Vec<Seen>>,
    /// Names that are not held any more.
    opened: Mutex<BTreeSet<String>>,
}

impl Service {
    pub(crate) fn start() -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = Service { address: listener.local_addr().unwrap(), log: Arc::default() };
        let log = Arc::clone(&service.log);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || serve(stream.unwrap(), &log));
            }
        });
        service
    }

    /// Scheme and authority.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.origin())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().unwrap().clone()
    }

    /// Waits until so many requests have come.
    pub(crate) fn has(&self, count: usize) {
        until(&format!("{count} requests"), WAIT, || (self.seen().len() >= count).then_some(()));
    }

    /// Waits until something was asked for.
    pub(crate) fn is_asked_for(&self, path: &str) {
        let line = format!(" /{path} ");
        until(&line, WAIT, || self.seen().iter().any(|seen| seen.line.contains(&line)).then_some(()));
    }

    /// Lets `/hang` answer.
    pub(crate) fn release(&self) {
        self.open("hang");
    }

    /// Lets `/hold/NAME` answer.
    pub(crate) fn open(&self, name: &str) {
        self.log.opened.lock().unwrap().insert(name.to_owned());
    }

    /// Hands its log to the checker.
    pub(crate) fn tell(&self, record: &Record) {
        let origin = self.origin();
        let effects = self.seen().into_iter().map(|seen| {
            let (method, path) = seen.method_and_path();
            Effect {
                method: method.to_owned(),
                url: format!("{origin}{path}"),
                key: seen.header("idempotency-key").map(str::to_owned),
                at_us: seen.at_us,
            }
        });
        record.served(&origin, effects.collect());
    }
}

/// An operator who allows these agents to call this machine.
pub(crate) fn allow(kennel: &mut Kennel, agents: &[&str]) {
    let mut text = "[egress]\nallow-private = [\"127.0.0.0/8\", \"::1/128\"]\n".to_owned();
    for agent in agents {
        text.push_str(&format!("[agents.{agent}]\nhttp = [\"* http://127.0.0.1:*\"]\n"));
    }
    kennel.configure(&text);
}

fn serve(mut stream: TcpStream, log: &Log) {
    let Some(request) = read_request(&mut stream) else { return };
    let path = request.method_and_path().1.to_owned();
    let number = {
        let mut all = log.seen.lock().unwrap();
        all.push(request);
        all.len()
    };
    let words: Vec<&str> = path.split('/').skip(1).collect();
    let said = match words.as_slice() {
        ["say", word] => (*word).to_owned(),
        ["count"] => number.to_string(),
        ["wait", ms, word] => {
            rest(ms.parse().unwrap());
            (*word).to_owned()
        }
        ["large", bytes] => "x".repeat(bytes.parse().unwrap()),
        ["hang"] => {
            hold(log, "hang");
            "released".to_owned()
        }
        ["hold", name] => {
            hold(log, name);
            (*name).to_owned()
        }
        ["reports", "today"] if times(log, "today HTTP") < 2 => {
            stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok();
            return;
        }
        ["reports", "today"] => return pieces(&mut stream, 3, 50),
        ["reports", "today", "title"] => "Today".to_owned(),
        ["pieces", count, ms] => return pieces(&mut stream, count.parse().unwrap(), ms.parse().unwrap()),
        ["elsewhere"] => {
            let head = "HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/secret\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(head.as_bytes()).ok();
            return;
        }
        _ => "nothing".to_owned(),
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", said.len());
    // A client that was killed does not read it.
    stream.write_all(format!("{head}{said}").as_bytes()).ok();
}

fn times(log: &Log, text: &str) -> usize {
    log.seen.lock().unwrap().iter().filter(|seen| seen.line.contains(text)).count()
}

/// Until the test says otherwise.
fn hold(log: &Log, name: &str) {
    while !log.opened.lock().unwrap().contains(name) {
        rest(5);
    }
}

/// A service that takes its time.
#[expect(clippy::disallowed_methods, reason = "slow on purpose")]
pub(crate) fn rest(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn pieces(stream: &mut TcpStream, count: u32, ms: u64) {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).ok();
    for n in 1..=count {
        let piece = format!("piece {n}\n");
        stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).ok();
        rest(ms);
    }
    stream.write_all(b"0\r\n\r\n").ok();
}

fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let mut lines = head.lines();
        let line = lines.next()?.to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
        if body.len() >= length {
            return Some(Seen { line, headers, body: body.to_owned(), at_us: now_us() });
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "compared with what the host notes by the same clock")]
fn now_us() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}
