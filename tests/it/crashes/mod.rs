//! Hosts that end at a chosen commit: whatever the moment, the events of a task are in the end those of an undisturbed run.
//!
//! Here is what the tests share: deeds, the client that brings each to its end through any number of hosts, and what is compared.

mod arrivals;
mod children;
mod culprit;
mod full;
mod kills;
mod matrix;
mod poison;

use std::io;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::checker::{Database, Log, Record, check};
use crate::client::Client;
use crate::harness::{Kennel, is_over, pause, state_of};
use crate::service::Service;

/// Something that an agent does, and what its client says meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed {
    pub agent: &'static str,
    pub text: &'static str,
    /// What the client says, in order.
    pub lines: &'static [&'static str],
    /// When it says the next.
    pub when: When,
}

impl Deed {
    /// How it ends.
    pub(crate) fn end(&self) -> &'static str {
        match self.text {
            "fail" | "break" => "FAILED",
            "compensate" => "CANCELED",
            _ => "COMPLETED",
        }
    }
}

/// When a client says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// The agent asks.
    Asked,
    /// The agent works and keeps a mailbox.
    Working,
    /// The agent works: it is asked to stop, once.
    Stop,
}

/// One task on its way through hosts that end.
pub(crate) struct Course {
    deed: Deed,
    pub record: Record,
    log: Log,
    task: Option<String>,
    /// Lines that were acknowledged.
    said: usize,
}

impl Course {
    pub(crate) fn new(deed: Deed) -> Course {
        let record = Record::default();
        let log = record.follow();
        Course { deed, record, log, task: None, said: 0 }
    }

    /// Goes on at this host. True: the task is over; false: the host is.
    pub(crate) fn go_on(&mut self, kennel: &mut Kennel) -> bool {
        let over = self.try_to_go_on(kennel);
        match over {
            Ok(()) => true,
            Err(error) => {
                let gone = (0..500).any(|_| {
                    kennel.is_dead() || {
                        pause();
                        false
                    }
                });
                assert!(gone, "{error}, and the host lives: {:?}", self.deed);
                false
            }
        }
    }

    fn try_to_go_on(&mut self, kennel: &Kennel) -> io::Result<()> {
        let task = self.begin(kennel)?;
        let following = Client::of(kennel, &self.record);
        let (log, deed, mut said) = (self.log, self.deed, self.said);
        let over = std::thread::scope(|threads| {
            // A stream that breaks is resumed at the next host.
            threads.spawn(|| following.resume(deed.agent, &task, log).ok());
            converse(&Client::of(kennel, &self.record), deed, &task, &mut said)
        });
        self.said = said;
        over
    }

    /// The task. It is made once, although the answer to that may be lost.
    fn begin(&mut self, kennel: &Kennel) -> io::Result<String> {
        if let Some(task) = &self.task {
            return Ok(task.clone());
        }
        let client = Client::of(kennel, &self.record);
        let listed = client.call(self.deed.agent, "ListTasks", json!({}))?;
        let task = match listed["result"]["tasks"].get(0) {
            Some(task) => task["id"].as_str().expect("an id").to_owned(),
            None => {
                let envelope = client.send_as(self.deed.agent, "m-0", None, self.deed.text)?;
                envelope["result"]["task"]["id"].as_str().unwrap_or_else(|| panic!("{envelope}")).to_owned()
            }
        };
        Ok(self.task.insert(task).clone())
    }

    /// The task, once it was made.
    pub(crate) fn task(&self) -> String {
        self.task.clone().expect("a task")
    }

    /// Nothing is wrong, and the task's events.
    pub(crate) fn ended(&self, data: &Path) -> Vec<Value> {
        let database = check(&self.record, data);
        events(&database, &self.task())
    }
}

/// Says what the deed says until the task is over.
fn converse(client: &Client<'_>, deed: Deed, task: &str, said: &mut usize) -> io::Result<()> {
    loop {
        let found = client.task(deed.agent, task)?;
        if is_over(&found) {
            return Ok(());
        }
        let asked = state_of(&found).ends_with("_REQUIRED");
        let works = state_of(&found) == "TASK_STATE_WORKING";
        match deed.lines.get(*said) {
            Some(_) if deed.when == When::Stop && works => {
                client.cancel(deed.agent, task)?;
            }
            Some(line) if deed.when == When::Asked && asked || deed.when == When::Working && works => {
                let id = format!("m-{}", *said + 1);
                let answer = client.send_as(deed.agent, &id, Some(task), line)?;
                *said += usize::from(answer.get("error").is_none());
            }
            _ => pause(),
        }
    }
}

/// The events of a task, with names in place of what differs from run to run.
pub(crate) fn events(database: &Database, task: &str) -> Vec<Value> {
    let rows = &database.tasks[task];
    let context = serde_json::from_slice::<Value>(&rows.events[0].body).unwrap()["task"]["contextId"].clone();
    let context = context.as_str().unwrap().to_owned();
    let texts = rows.events.iter().map(|event| String::from_utf8(event.body.clone()).unwrap());
    texts
        .map(|text| text.replace(task, "[task]").replace(&context, "[context]"))
        .map(|text| redacted(&serde_json::from_str(&text).unwrap()))
        .collect()
}

/// As [`events`], of a task that names a service.
pub(crate) fn events_by(database: &Database, task: &str, service: &Service) -> Vec<String> {
    let origin = service.origin();
    events(database, task).iter().map(|event| event.to_string().replace(&origin, "[service]")).collect()
}

/// Times and randomness are those of a task, not of an agent.
fn redacted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(redacted).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match name.as_str() {
                "timestamp" | "now_ms" | "wasi_now_ms" | "random" | "hash" => {
                    (name.clone(), json!(format!("[{name}]")))
                }
                _ => (name.clone(), redacted(value)),
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// A host that does not run yet and need not compile these agents: one host has done so for all tests.
pub(crate) fn warm(agents: &[&str]) -> Kennel {
    static COMPILED: OnceLock<TempDir> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        let folder = TempDir::with_prefix("kennel-compiled-").unwrap();
        let plugins = ["echo", "countdown", "interview", "auto", "mischief", "trip", "booking", "scout"];
        let fixtures = ["wanderer", "counter", "guardian", "clerk"];
        Kennel::with(&plugins).agents(&fixtures).data(folder.path()).start().stop();
        folder
    });
    // Places for few instances: making room for many is most of a start.
    let mut host = Kennel::with(agents).arg("--instances").arg("16");
    if agents.contains(&"trip") {
        host = ["flight", "hotel", "activity"].iter().fold(host, |host, name| host.agent_as(name, "booking"));
    }
    if agents.contains(&"guardian") || agents.contains(&"clerk") {
        host = host.agent_as("ward", "guardian");
    }
    let kennel = host.stopped();
    let folder = kennel.data_folder().join("compiled");
    std::fs::create_dir_all(&folder).unwrap();
    for entry in std::fs::read_dir(compiled.path().join("compiled")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    kennel
}

/// Runs the jobs on a few threads; a job that panics ends the test.
pub(crate) fn in_parallel<T: Sync>(jobs: &[T], work: impl Fn(&T) + Sync) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let next = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(job);
                }
            });
        }
    });
}
