//! The checker: whether what clients were told and what the database holds agree, and whether the database keeps its own promises.
//!
//! Its input is the record of clients (what was acknowledged, each frame of each stream) and of services (each call that came), and the
//! file. All fault tests end with it. It
//! gives each fault a name of [`KINDS`]; `faults.rs` seeds a fault of each kind and shows that it is found.

mod database;
mod faults;
mod outside;
mod record;
mod tasks;

use std::fmt;
use std::path::Path;

pub(crate) use database::{CallRow, Database, TaskRows};
pub(crate) use outside::Effect;
pub(crate) use record::{Log, Record};

/// The faults that are looked for.
pub(crate) const KINDS: &[&str] = &[
    "lost-task",
    "lost-message",
    "lost-cancel",
    "lost-end",
    "stream-gap",
    "stream-repeat",
    "stream-bytes",
    "stream-beyond",
    "stream-snapshot",
    "seq-gap",
    "task-row",
    "body-fold",
    "illegal-step",
    "after-end",
    "no-run",
    "run-of-ended",
    "run-state",
    "inbox-gap",
    "inbox-seq",
    "journal-gap",
    "journal-count",
    "journal-generation",
    "journal-result",
    "journal-seq",
    "journal-time",
    "journal-message",
    "blob",
    "effect-intent",
    "effect-key",
    "effect-shared",
    "effect-result",
    "effect-late",
];

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// One of [`KINDS`].
    pub kind: &'static str,
    /// The task that it is about.
    pub task: String,
    /// What was found.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: {}", self.kind, self.task, self.text)
    }
}

/// Collects violations.
#[derive(Default)]
pub(crate) struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, kind: &'static str, task: &str, text: impl Into<String>) {
        assert!(KINDS.contains(&kind), "{kind} stands in the list");
        self.0.push(Violation { kind, task: task.to_owned(), text: text.into() });
    }

    fn unless(&mut self, holds: bool, kind: &'static str, task: &str, text: impl FnOnce() -> String) {
        if !holds {
            self.add(kind, task, text());
        }
    }
}

/// All that is wrong.
pub(crate) fn violations(record: &Record, database: &Database) -> Vec<Violation> {
    let mut findings = Findings::default();
    for task in database.tasks.values() {
        tasks::check(task, &mut findings);
    }
    record::check(record, database, &mut findings);
    findings.0
}

/// Nothing may be wrong. `data`: the data folder of a host that does not run.
pub(crate) fn check(record: &Record, data: &Path) -> Database {
    let database = Database::read(&data.join("kennel.db"));
    let found = violations(record, &database);
    let shown: Vec<String> = found.iter().take(20).map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), shown.join("\n"));
    database
}
