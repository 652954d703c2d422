//! Guests made of a few lines of text, a worker that writes everything down, and a sandbox in a folder of its own.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kennel_protocol::types::{Message, Part, Role};
use kennel_protocol::{TaskId, Timestamp};
use tempfile::TempDir;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::budget::Budget;
use crate::call::{Answer, Call, CallFuture, ErrorKind, GuestError, HostCalls, LogLine, Moment, Refusal, Seen};
use crate::guest::{Counts, Facts, Failure, Guest};
use crate::memory::Memory;
use crate::meter::Meter;
use crate::{Agent, Finished, Limits, Run, Running, Sandbox, SandboxConfig, TaskInfo, Turn};

/// A core module. Texts below 4096 are the guest's own; there the card begins.
pub(super) struct GuestText {
    pub(super) imports: &'static str,
    pub(super) pages: u32,
    pub(super) data: &'static str,
    /// Other items of the module.
    pub(super) items: &'static str,
    /// Body of `run`, which has the turn's address as its parameter and returns that of the result. The result at 0 is
    /// `completed` without a message.
    pub(super) run: &'static str,
    pub(super) card: Card,
}

/// What the guest says of itself; only what tests vary.
#[derive(Clone)]
pub(super) struct Card {
    pub(super) skill_ids: Vec<&'static str>,
    pub(super) modes: Vec<&'static str>,
    pub(super) icon_url: Option<&'static str>,
    pub(super) extra: Option<&'static str>,
}

impl Default for Card {
    fn default() -> Card {
        Card { skill_ids: vec!["one"], modes: vec!["text/plain"], icon_url: None, extra: None }
    }
}

impl Default for GuestText {
    fn default() -> GuestText {
        GuestText { imports: "", pages: 1, data: "", items: "", run: "i32.const 0", card: Card::default() }
    }
}

/// A guest whose `run` has this body.
pub(super) fn guest(run: &'static str) -> Bytes {
    GuestText { run, ..GuestText::default() }.component()
}

const CARD_AT: usize = 4096;

impl GuestText {
    pub(super) fn component(&self) -> Bytes {
        component_of(&self.module())
    }

    fn module(&self) -> String {
        let GuestText { imports, pages, data, items, run, .. } = self;
        let card = escape(&self.card.bytes());
        format!(
            r#"(module
                {imports}
                (memory (export "memory") {pages})
                (data (i32.const 1024) "{data}")
                (data (i32.const {CARD_AT}) "{card}")
                (global $heap (mut i32) (i32.const 16384))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                    (global.set $heap (i32.add (local.get $at) (local.get 3)))
                    (local.get $at))
                {items}
                (func (export "kennel:agent/card@0.1.0#describe") (result i32) (i32.const {CARD_AT}))
                (func (export "kennel:agent/agent@0.1.0#run") (param $turn i32) (result i32) {run}))"#
        )
    }
}

/// What guests of these tests use of WASI: the linker takes a part of an interface for the interface.
const WASI: &str = "
    package test:guest;

    world guest {
        include kennel:agent/plugin@0.1.0;
        import wasi:clocks/monotonic-clock@0.2.6;
        import wasi:clocks/wall-clock@0.2.6;
        import wasi:io/poll@0.2.6;
        import wasi:random/insecure@0.2.6;
        import wasi:random/insecure-seed@0.2.6;
        import wasi:cli/stdin@0.2.6;
        import wasi:random/random@0.2.6;
        import wasi:cli/environment@0.2.6;
        import wasi:cli/stderr@0.2.6;
        import wasi:http/types@0.2.6;
        import wasi:http/outgoing-handler@0.2.6;
    }

    package wasi:clocks@0.2.6 {
        interface monotonic-clock {
            use wasi:io/poll@0.2.6.{pollable};
            type duration = u64;
            now: func() -> u64;
            subscribe-instant: func(when: u64) -> pollable;
            subscribe-duration: func(when: u64) -> pollable;
        }
        interface wall-clock {
            record datetime { seconds: u64, nanoseconds: u32 }
            now: func() -> datetime;
        }
    }

    package wasi:random@0.2.6 {
        interface random { get-random-u64: func() -> u64; }
        interface insecure { get-insecure-random-u64: func() -> u64; }
        interface insecure-seed { insecure-seed: func() -> tuple<u64, u64>; }
    }

    package wasi:io@0.2.6 {
        interface error { resource error; }
        interface poll {
            resource pollable {
                ready: func() -> bool;
                block: func();
            }
            poll: func(in: list<borrow<pollable>>) -> list<u32>;
        }
        interface streams {
            use error.{error};
            use poll.{pollable};
            variant stream-error { last-operation-failed(error), closed }
            resource input-stream {
                subscribe: func() -> pollable;
                read: func(len: u64) -> result<list<u8>, stream-error>;
            }
            resource output-stream {
                subscribe: func() -> pollable;
                blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
            }
        }
    }

    package wasi:cli@0.2.6 {
        interface environment {
            get-environment: func() -> list<tuple<string, string>>;
            get-arguments: func() -> list<string>;
        }
        interface stdin {
            use wasi:io/streams@0.2.6.{input-stream};
            get-stdin: func() -> input-stream;
        }
        interface stderr {
            use wasi:io/streams@0.2.6.{output-stream};
            get-stderr: func() -> output-stream;
        }
    }
";

/// Wraps a core module into a component of our world, as the build of a language does.
pub(super) fn component_of(module: &str) -> Bytes {
    let mut module = wat::parse_str(module).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit")).unwrap();
    let package = resolve.push_str("test.wit", &format!("{WASI}{}", http())).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap().into()
}

/// `wasi:http` as programs of an older toolchain know it.
fn http() -> String {
    let text = include_str!("../../wit/http.wit");
    text[text.find("package wasi:http").unwrap()..].replace("0.2.12", "0.2.6")
}

fn escape(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:02x}").unwrap();
        text
    })
}

/// A record of the canonical ABI: fields in place, texts and lists behind them.
struct Record(Vec<u8>);

impl Record {
    fn number(&mut self, at: usize, number: usize) {
        self.0[at..at + 4].copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
    }

    fn reserve(&mut self, bytes: usize) -> usize {
        let at = self.0.len().next_multiple_of(4);
        self.0.resize(at + bytes, 0);
        at
    }

    fn text(&mut self, at: usize, text: &str) {
        let start = self.reserve(text.len());
        self.0[start..start + text.len()].copy_from_slice(text.as_bytes());
        self.number(at, CARD_AT + start);
        self.number(at + 4, text.len());
    }

    fn option(&mut self, at: usize, text: Option<&str>) {
        if let Some(text) = text {
            self.0[at] = 1;
            self.text(at + 4, text);
        }
    }

    fn list(&mut self, at: usize, stride: usize, texts: &[&str]) {
        let start = self.reserve(stride * texts.len());
        self.number(at, CARD_AT + start);
        self.number(at + 4, texts.len());
        for (index, text) in texts.iter().enumerate() {
            self.text(start + stride * index, text);
        }
    }
}

impl Card {
    fn bytes(&self) -> Vec<u8> {
        let mut memory = Record(vec![0; 144]);
        memory.text(0, "tester");
        memory.text(8, "Does one thing.");
        memory.text(16, "1.2.3");
        memory.option(56, self.icon_url);
        memory.list(68, 8, &self.modes);
        memory.list(76, 8, &self.modes);
        memory.list(84, 56, &self.skill_ids);
        memory.option(132, self.extra);
        memory.0
    }
}

/// What a worker of a test saw.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) calls: Vec<Call>,
    /// What came with each call.
    pub(super) seen: Vec<Seen>,
    pub(super) lines: Vec<LogLine>,
}

/// The time of a worker before its first call, and what passes until each answer.
pub(super) const START: Moment = Moment::from_micros(1_000_000_000);
pub(super) const STEP: Duration = Duration::from_secs(1);

type Answerer = Box<dyn FnMut(&Call) -> Option<Result<Answer, Refusal>> + Send>;

/// A worker that writes down what it sees. `answer` gives nothing for a call that waits for ever.
pub(super) struct Worker {
    notes: Arc<Mutex<Notes>>,
    answer: Answerer,
    now: Moment,
    /// Calls that are still answered from a record.
    recorded: usize,
}

impl Worker {
    pub(super) fn new() -> (Box<Worker>, Arc<Mutex<Notes>>) {
        Worker::answering(|call| Some(Ok(done(call))))
    }

    /// One with a record of the first calls.
    pub(super) fn repeating(recorded: usize) -> (Box<Worker>, Arc<Mutex<Notes>>) {
        let (worker, notes) = Worker::new();
        (Box::new(Worker { recorded, ..*worker }), notes)
    }

    pub(super) fn answering(
        answer: impl FnMut(&Call) -> Option<Result<Answer, Refusal>> + Send + 'static,
    ) -> (Box<Worker>, Arc<Mutex<Notes>>) {
        let notes = Arc::default();
        let worker = Worker { notes: Arc::clone(&notes), answer: Box::new(answer), now: START, recorded: 0 };
        (Box::new(worker), notes)
    }

    pub(super) fn refusing(error: GuestError) -> (Box<Worker>, Arc<Mutex<Notes>>) {
        Worker::answering(move |_| Some(Err(Refusal::Guest(error.clone()))))
    }
}

/// The plainest answer to each call.
pub(super) fn done(call: &Call) -> Answer {
    match call {
        Call::History { .. } => Answer::Messages(Vec::new()),
        Call::RelatedIds { .. } => Answer::TaskIds(Vec::new()),
        Call::NextMessage { .. } => Answer::Message(None),
        Call::CancelRequested => Answer::Cancel(None),
        Call::Publish { .. } | Call::OpenArtifact { .. } => Answer::ArtifactId("made".parse().unwrap()),
        Call::RequireInput { .. } => Answer::Input(crate::call::Input::TimedOut),
        Call::RequireAuth { .. } => Answer::Auth(crate::call::Auth::TimedOut),
        _ => Answer::Done,
    }
}

impl HostCalls for Worker {
    fn call(&mut self, call: Call, seen: Seen) -> CallFuture<'_> {
        let answer = (self.answer)(&call);
        // As a journal does: no record is earlier than what the guest was shown, and time passes.
        self.now = self.now.after(STEP).max(seen.shown);
        if let Call::Poll { until } = &call {
            self.now = self.now.max(*until);
        }
        self.recorded = self.recorded.saturating_sub(1);
        let mut notes = self.notes.lock().unwrap();
        notes.calls.push(call);
        notes.seen.push(seen);
        match answer {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => Box::pin(std::future::pending()),
        }
    }

    fn log(&mut self, line: LogLine) {
        self.notes.lock().unwrap().lines.push(line);
    }

    fn now(&self) -> Moment {
        self.now
    }

    fn is_live(&self) -> bool {
        self.recorded == 0
    }
}

/// A sandbox whose folder is gone with it.
pub(super) struct Home {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) dir: TempDir,
}

impl Home {
    pub(super) fn new() -> Home {
        let dir = tempfile::tempdir().unwrap();
        Home { sandbox: open(&dir), dir }
    }

    /// One whose guests have so much memory together.
    pub(super) fn with_memory(guest_memory_bytes_max: usize) -> Home {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::new(SandboxConfig { guest_memory_bytes_max, ..config(&dir) }).unwrap();
        Home { sandbox, dir }
    }

    /// The files of compiled components.
    pub(super) fn compiled(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path().join("cache")).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "cwasm")).collect();
        paths.sort();
        paths
    }

    pub(super) async fn agent(&self, component: &Bytes) -> Agent {
        self.sandbox.compile(component.clone()).await.unwrap()
    }

    /// Compiles the guest and runs it once with a worker that answers everything.
    pub(super) async fn run(&self, component: &Bytes) -> (Finished, Arc<Mutex<Notes>>) {
        let (worker, seen) = Worker::new();
        let agent = self.agent(component).await;
        (start(&agent, worker, Limits::default()).finish().await, seen)
    }
}

pub(super) fn open(dir: &TempDir) -> Arc<Sandbox> {
    Sandbox::new(config(dir)).unwrap()
}

fn config(dir: &TempDir) -> SandboxConfig {
    SandboxConfig {
        guest_threads: 2,
        live_instances_max: 50,
        guest_memory_bytes_max: 1 << 30,
        cache_dir: dir.path().join("cache"),
        limits: Limits::default(),
    }
}

pub(super) fn start(agent: &Agent, worker: Box<dyn HostCalls>, limits: Limits) -> Running {
    agent.run(run(worker, limits))
}

pub(super) fn run(calls: Box<dyn HostCalls>, limits: Limits) -> Run {
    Run {
        turn: Turn { message: message(), checkpoint: None, generation: 1 },
        info: info(),
        settings: BTreeMap::from([("color".to_owned(), "red".to_owned())]),
        credentials: vec!["weather".to_owned(), "mail".to_owned()],
        seed: [7; 32],
        limits,
        replay_cpu_max: Duration::from_secs(10),
        calls,
    }
}

/// The state of an instance without the instance, for host functions that are called by hand.
pub(super) fn state(calls: Box<dyn HostCalls>, limits: Limits) -> Guest {
    let facts = Facts {
        info: None,
        settings: BTreeMap::new(),
        credentials: ["weather".to_owned(), "mail".to_owned()].into(),
        limits: Arc::new(limits),
    };
    let memory = Memory::new(&facts.limits, Budget::new(0), Arc::default());
    Guest::new(facts, [0; 32], calls, Counts { meter: Arc::new(Meter::new()), memory })
}

fn message() -> Message {
    Message {
        message_id: "m1".to_owned(),
        context_id: Some("c1".parse().unwrap()),
        task_id: Some("t1".parse().unwrap()),
        role: Role::User,
        parts: vec![Part::text("hello")],
        ..Message::default()
    }
}

fn info() -> TaskInfo {
    TaskInfo {
        task_id: "t1".parse::<TaskId>().unwrap(),
        context_id: "c1".parse().unwrap(),
        agent: "tester".parse().unwrap(),
        tenant: "default".parse().unwrap(),
        caller: "alice".parse().unwrap(),
        parent_task_id: None,
        accepted_output_modes: Vec::new(),
        extensions: Vec::new(),
        request_metadata: None,
        created: Timestamp::from_millis(999_000),
        expires: Timestamp::from_millis(9_000_000),
    }
}

/// The guest gets an error of this kind and code.
#[track_caller]
pub(super) fn check_error<T: std::fmt::Debug>(result: Result<T, Failure>, kind: ErrorKind, code: &str) {
    match result.unwrap_err() {
        Failure::Guest(error) => {
            assert_eq!((error.kind, error.code.as_str()), (kind, code), "{error:?}");
            assert!(error.message.ends_with('.'), "{error:?}");
        }
        other => panic!("{other:?}"),
    }
}

/// The import of `log.emit`.
pub(super) const LOG: &str = r#"(import "kennel:agent/log@0.1.0" "emit" (func $emit (param i32 i32 i32 i32 i32)))"#;
