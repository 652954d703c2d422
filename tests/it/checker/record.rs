//! What clients were told: acknowledgements, and the frames of each stream in the order in which they came.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use kennel_protocol::Seq;
use kennel_protocol::fold::Fold;
use kennel_protocol::types::{Message, StreamResponse, Task};
use serde_json::Value;

use super::Findings;
use super::database::{Database, TaskRows};
use super::outside::{self, Effect, Served};
use crate::events::Event;

/// The record of all clients of one test. Shared by reference.
#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<Facts>);

#[derive(Debug, Default)]
struct Facts {
    /// Task and message id of each message that was acknowledged.
    messages: Vec<(String, String)>,
    /// Tasks whose request to stop was acknowledged.
    cancels: Vec<String>,
    /// Task and state of each end that was shown.
    ends: Vec<(String, String)>,
    logs: Vec<Vec<Frame>>,
    /// What services saw.
    services: Vec<Served>,
}

/// One event as it came.
#[derive(Clone, Debug)]
struct Frame {
    id: u64,
    task: String,
    /// The StreamResponse, byte for byte.
    body: String,
    is_task: bool,
}

/// One client's view of one task: a stream and all that resumed it. A number in the record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log(usize);

impl Record {
    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message was acknowledged: it made the task, or went to it.
    pub(crate) fn accepted(&self, task: &str, message_id: &str) {
        self.facts().messages.push((task.to_owned(), message_id.to_owned()));
    }

    /// A request to stop was acknowledged.
    pub(crate) fn canceled(&self, task: &str) {
        self.facts().cancels.push(task.to_owned());
    }

    /// A Task was shown. Only its end counts: anything else may have changed since.
    pub(crate) fn shown(&self, task: &Value) {
        if crate::harness::is_over(task) {
            let state = crate::harness::state_of(task).to_owned();
            self.facts().ends.push((crate::harness::id_of(task), state));
        }
    }

    /// A client begins to follow a task.
    pub(crate) fn follow(&self) -> Log {
        let mut facts = self.facts();
        facts.logs.push(Vec::new());
        Log(facts.logs.len() - 1)
    }

    /// An event came.
    pub(crate) fn saw(&self, log: Log, event: &Event) {
        let frame = Frame {
            id: event.id.expect("an event has an id"),
            task: event.task_id(),
            body: result_of(&event.text).to_owned(),
            is_task: event.kind() == "task",
        };
        self.facts().logs[log.0].push(frame);
    }

    /// What a service saw of the agents.
    pub(crate) fn served(&self, origin: &str, effects: Vec<Effect>) {
        self.facts().services.push(Served { origin: origin.to_owned(), effects });
    }

    /// The id to resume after.
    pub(crate) fn last(&self, log: Log) -> Option<u64> {
        self.facts().logs[log.0].last().map(|frame| frame.id)
    }

    /// Events seen by all.
    pub(crate) fn frames(&self) -> usize {
        self.facts().logs.iter().map(Vec::len).sum()
    }

    /// Messages acknowledged.
    pub(crate) fn messages(&self) -> usize {
        self.facts().messages.len()
    }

    /// Changes the first log: id, task and body of each event. For the checker's own tests.
    pub(super) fn forge(&self, change: impl FnOnce(&mut Vec<(u64, String, String)>)) {
        let mut facts = self.facts();
        let frames = &mut facts.logs[0];
        let mut plain: Vec<_> = frames.iter().map(|one| (one.id, one.task.clone(), one.body.clone())).collect();
        change(&mut plain);
        *frames = plain
            .into_iter()
            .map(|(id, task, body)| Frame { id, task, is_task: body.starts_with("{\"task\""), body })
            .collect();
    }

    /// Changes what the first service saw. For the checker's own tests.
    pub(super) fn forge_effects(&self, change: impl FnOnce(&mut Vec<Effect>)) {
        change(&mut self.facts().services[0].effects);
    }
}

/// The member `result` of a JSON-RPC response, byte for byte.
fn result_of(text: &str) -> &str {
    let (_, rest) = text.split_once("\"result\":").unwrap_or_else(|| panic!("no result in {text}"));
    rest.strip_suffix('}').unwrap_or_else(|| panic!("an end in {text}"))
}

/// Compares the record with the database.
pub(crate) fn check(record: &Record, database: &Database, findings: &mut Findings) {
    let facts = record.facts();
    for (task, message) in &facts.messages {
        let Some(rows) = database.tasks.get(task) else {
            findings.add("lost-task", task, format!("message {message} was acknowledged, and its task is not there"));
            continue;
        };
        let there = rows.inbox.iter().any(|row| row.message_id == *message);
        findings.unless(there, "lost-message", task, || format!("message {message} was acknowledged and is not there"));
    }
    for task in &facts.cancels {
        let heard = database.tasks.get(task).is_some_and(|rows| {
            rows.inbox.iter().any(|row| row.is_cancel) || rows.state().is_some_and(|state| state.is_terminal())
        });
        findings
            .unless(heard, "lost-cancel", task, || "a request to stop was acknowledged and is not there".to_owned());
    }
    for (task, state) in &facts.ends {
        let found = database.tasks.get(task).and_then(TaskRows::state).map_or("", |state| state.as_str());
        findings.unless(found == state, "lost-end", task, || format!("shown as {state}, and it is {found}"));
    }
    let mut bytes: BTreeMap<(String, u64), String> = BTreeMap::new();
    for log in &facts.logs {
        check_log(log, database, &mut bytes, findings);
    }
    outside::check(&facts.services, database, findings);
}

fn check_log(log: &[Frame], database: &Database, bytes: &mut BTreeMap<(String, u64), String>, findings: &mut Findings) {
    for pair in log.windows(2) {
        let (before, next) = (&pair[0], &pair[1]);
        let kind = if next.id > before.id + 1 { "stream-gap" } else { "stream-repeat" };
        findings
            .unless(next.id == before.id + 1, kind, &next.task, || format!("event {} after {}", next.id, before.id));
    }
    for frame in log {
        let Some(rows) = database.tasks.get(&frame.task) else {
            findings.add("lost-task", &frame.task, "a stream showed it, and it is not there");
            continue;
        };
        let seq = i64::try_from(frame.id).unwrap_or(i64::MAX);
        let Some(event) = rows.event(seq) else {
            findings.add("stream-beyond", &frame.task, format!("event {} was shown and is not there", frame.id));
            continue;
        };
        if frame.is_task {
            check_snapshot(frame, rows, seq, findings);
            continue;
        }
        let first = bytes.entry((frame.task.clone(), frame.id)).or_insert_with(|| frame.body.clone());
        let same = *first == frame.body && rows.whole(event) == frame.body.as_bytes();
        findings
            .unless(same, "stream-bytes", &frame.task, || format!("event {} differs from what is stored", frame.id));
    }
}

/// The Task that opens a stream is the fold of the events up to its id, and its history that of both sides.
fn check_snapshot(frame: &Frame, rows: &TaskRows, rev: i64, findings: &mut Findings) {
    let Ok(StreamResponse::Task(task)) = serde_json::from_str(&frame.body) else {
        findings.add("stream-snapshot", &frame.task, format!("the Task at {rev} does not read"));
        return;
    };
    let Ok(mut fold) = rows.fold(rev) else { return };
    rows.complete(fold.status.message.iter_mut().flat_map(|message| &mut message.parts));
    rows.complete(fold.artifacts.iter_mut().flat_map(|artifact| &mut artifact.parts));
    rows.complete(fold.messages.iter_mut().flat_map(|(_, message)| &mut message.parts));
    let mut said = rows.said(rev);
    rows.complete(said.iter_mut().flat_map(|(_, message)| &mut message.parts));
    let Task { status, artifacts, history, .. } = task;
    let same = status == fold.status
        && artifacts.unwrap_or_default() == fold.artifacts
        && is_history(&history, &fold, said, rev);
    findings.unless(same, "stream-snapshot", &frame.task, || {
        let expected = (&fold.status, &fold.artifacts, fold.history(&rows.said(rev)));
        format!("the Task at {rev} is not what events and messages add up to: {}\n{expected:?}", frame.body)
    });
}

/// Messages that came at this very rev may have come after the look.
fn is_history(shown: &[Message], fold: &Fold, mut said: Vec<(Seq, Message)>, rev: i64) -> bool {
    loop {
        if shown == fold.history(&said) {
            return true;
        }
        if said.pop_if(|(at, _)| i64::try_from(at.get()) == Ok(rev)).is_none() {
            return false;
        }
    }
}
