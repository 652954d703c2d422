//! The checker, checked: one fault of each kind in a copy of a good database, or in a good record.

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{Database, Effect, KINDS, Record, Violation, check, violations};
use crate::client::Client;
use crate::harness::{Kennel, id_of};
use crate::service::{Service, allow};

/// A good database with tasks of many kinds, and what its clients noted.
struct Good {
    folder: TempDir,
    record: Record,
    /// Asked twice and answered; over.
    asked: String,
    /// Its stream is log 0.
    counted: String,
    /// Sleeps for a day.
    asleep: String,
    /// Has a checkpoint.
    begun_again: String,
    /// Has a body of its own.
    long: String,
    /// Has called a service twice at the same time.
    calling: String,
}

impl Good {
    fn new() -> Good {
        let folder = TempDir::with_prefix("kennel-check-").unwrap();
        let mut kennel = Kennel::with(&["interview", "countdown", "mischief", "caller"]).data(folder.path()).stopped();
        allow(&mut kennel, &["caller"]);
        kennel.launch();
        let record = Record::default();
        let client = Client::of(&kennel, &record);
        let (counted, log) = client.stream("countdown", "2 every 5ms").unwrap();
        client.resume("countdown", &counted, log).unwrap();
        let asked = client.begin("interview", "begin").unwrap();
        for word in ["Ada", "red"] {
            kennel.reaches("interview", &asked, "TASK_STATE_INPUT_REQUIRED");
            assert!(client.reply("interview", &asked, word).unwrap());
        }
        kennel.reaches("interview", &asked, "TASK_STATE_COMPLETED");
        client.task("interview", &asked).unwrap();
        let canceled = client.begin("mischief", "compensate").unwrap();
        kennel.reaches("mischief", &canceled, "TASK_STATE_WORKING");
        assert!(client.cancel("mischief", &canceled).unwrap());
        let begun_again = id_of(&kennel.ask("mischief", "checkpoint 2"));
        let long = id_of(&kennel.ask("mischief", "flood-events 80"));
        kennel.ask("mischief", "big 200000");
        let asleep = client.begin("mischief", "sleep 86400000").unwrap();
        kennel.reaches("mischief", &asleep, "TASK_STATE_WORKING");
        let mail = client.begin("mischief", "mailbox").unwrap();
        kennel.reaches("mischief", &mail, "TASK_STATE_WORKING");
        client.reply("mischief", &mail, "hello").unwrap();
        let service = Service::start();
        let urls = format!("{} {}", service.url("say/a"), service.url("say/b"));
        let calling = id_of(&kennel.ask("caller", &format!("both {urls}")));
        kennel.ask("caller", &format!("get {}", service.url("say/c")));
        kennel.stop();
        service.tell(&record);
        Good { folder, record, asked, counted, asleep, begun_again, long, calling }
    }

    /// What the checker finds in a copy in which something was changed; `{asked}` and the others stand for ids.
    fn after(&self, statements: &str) -> Vec<Violation> {
        let mut sql = statements.to_owned();
        for (name, id) in [
            ("{asked}", &self.asked),
            ("{counted}", &self.counted),
            ("{asleep}", &self.asleep),
            ("{begun_again}", &self.begun_again),
            ("{long}", &self.long),
            ("{calling}", &self.calling),
        ] {
            sql = sql.replace(name, &format!("'{id}'"));
        }
        let copy = self.folder.path().join("copy.db");
        std::fs::copy(self.folder.path().join("kennel.db"), &copy).unwrap();
        let connection = Connection::open(&copy).unwrap();
        let before: i64 = connection.query_row("SELECT total_changes()", [], |row| row.get(0)).unwrap();
        connection.execute_batch(&sql).unwrap();
        let changed: i64 = connection.query_row("SELECT total_changes()", [], |row| row.get(0)).unwrap();
        assert!(changed > before, "nothing was changed by {sql}");
        violations(&self.record, &Database::of(&connection))
    }
}

/// A fault of the database and its name.
const SEEDED: &[(&str, &str)] = &[
    (
        "lost-task",
        "DELETE FROM task WHERE id = {asked}; DELETE FROM event WHERE task = {asked}; \
      DELETE FROM inbox WHERE task = {asked}; DELETE FROM journal WHERE task = {asked}; DELETE FROM body WHERE task = {asked}",
    ),
    ("lost-message", "UPDATE inbox SET message_id = 'other' WHERE task = {asked} AND n = 1"),
    (
        "lost-cancel",
        "UPDATE inbox SET kind = 0 WHERE kind = 1; UPDATE task SET state = 2 WHERE id IN (SELECT task FROM inbox)",
    ),
    ("lost-end", "UPDATE task SET state = 4 WHERE id = {asked}"),
    ("stream-beyond", "DELETE FROM event WHERE task = {counted} AND seq = (SELECT rev FROM task WHERE id = {counted})"),
    ("stream-bytes", "UPDATE event SET body = CAST(replace(body, 'to go', 'TO GO') AS BLOB) WHERE task = {counted}"),
    (
        "stream-snapshot",
        "UPDATE inbox SET body = CAST(replace(body, '2 every', '3 every') AS BLOB) WHERE task = {counted}",
    ),
    ("seq-gap", "DELETE FROM event WHERE task = {asked} AND seq = 3"),
    ("seq-gap", "UPDATE task SET rev = rev + 1 WHERE id = {asleep}"),
    ("task-row", "UPDATE task SET state = 6 WHERE id = {asleep}"),
    ("task-row", "UPDATE task SET open = 1 WHERE id = {asleep}"),
    ("body-fold", "UPDATE body SET body = CAST(replace(body, 'event 7', 'event 8') AS BLOB) WHERE task = {long}"),
    (
        "illegal-step",
        "UPDATE event SET body = (SELECT body FROM event WHERE task = {asked} AND seq = 3) \
      WHERE task = {asked} AND seq = 2",
    ),
    (
        "after-end",
        "UPDATE event SET body = (SELECT body FROM event WHERE task = {asked} ORDER BY seq DESC LIMIT 1) \
      WHERE task = {asked} AND seq = 4",
    ),
    ("no-run", "DELETE FROM run WHERE task = {asleep}"),
    (
        "run-of-ended",
        "INSERT INTO run (tenant, task, agent, state, priority, due_ms, attempts) \
      SELECT tenant, id, agent, 2, 0, NULL, 0 FROM task WHERE id = {asked}",
    ),
    ("run-state", "UPDATE run SET state = 4 WHERE task = {asleep}"),
    ("run-state", "UPDATE run SET state = 0, due_ms = NULL WHERE task = {asleep}"),
    ("inbox-gap", "UPDATE inbox SET n = 7 WHERE task = {asked} AND n = 1"),
    ("inbox-seq", "UPDATE inbox SET at_seq = 99 WHERE task = {asked} AND n = 2"),
    ("inbox-seq", "UPDATE inbox SET taken_seq = 1 WHERE task = {asked} AND n = 2"),
    ("journal-gap", "UPDATE journal SET idx = 99 WHERE task = {asked} AND idx = 2"),
    ("journal-count", "DELETE FROM journal WHERE task = {asked} AND idx = (SELECT calls FROM task WHERE id = {asked})"),
    ("journal-generation", "UPDATE journal SET generation = 1 WHERE task = {begun_again} AND idx = 2"),
    ("journal-result", "UPDATE journal SET result = NULL, answered_us = NULL WHERE task = {asked} AND idx = 1"),
    ("journal-result", "UPDATE journal SET result = x'7b' WHERE task = {asked} AND idx = 1"),
    ("journal-seq", "UPDATE journal SET seq = 99 WHERE task = {asked} AND seq IS NOT NULL"),
    ("journal-seq", "UPDATE journal SET seq = 2 WHERE task = {asked} AND seq IS NOT NULL"),
    ("journal-time", "UPDATE journal SET answered_us = asked_us - 1 WHERE task = {asked} AND idx = 1"),
    ("journal-time", "UPDATE journal SET asked_us = 1, answered_us = 2 WHERE task = {asked} AND idx = 2"),
    ("journal-message", "UPDATE inbox SET taken_seq = NULL WHERE task = {asked} AND n = 1"),
    ("blob", "DELETE FROM blob WHERE digest NOT IN (SELECT digest FROM version)"),
    ("journal-result", "UPDATE journal SET result = NULL WHERE task = {calling} AND call = 'http.start'"),
    ("effect-intent", "DELETE FROM journal WHERE task = {calling} AND call = 'http.start'"),
    ("effect-shared", "UPDATE journal SET request = replace(request, 'say/c', 'say/d') WHERE call = 'http.fetch'"),
    (
        "effect-late",
        "UPDATE journal SET answered_us = asked_us - 60000000 WHERE task = {calling} AND call = 'http.start'",
    ),
];

/// Faults of a record.
type Forgery = fn(&mut Vec<(u64, String, String)>);

const FORGED: &[(&str, Forgery)] = &[
    ("stream-gap", |frames| drop(frames.remove(2))),
    ("stream-repeat", |frames| frames.insert(2, frames[2].clone())),
    ("stream-repeat", |frames| frames.swap(2, 3)),
    ("stream-bytes", |frames| frames[2].2.push(' ')),
    ("stream-beyond", |frames| frames.push((99, frames[0].1.clone(), frames[2].2.clone()))),
    ("lost-task", |frames| frames[2].1.push('x')),
    ("stream-snapshot", |frames| frames[0].2 = frames[0].2.replace("2 every", "3 every")),
];

/// Faults of what a service saw.
type Misserving = fn(&mut Vec<Effect>);

const MISSERVED: &[(&str, Misserving)] = &[
    ("effect-result", |effects| drop(effects.pop())),
    ("effect-result", Vec::clear),
    ("effect-key", |effects| effects.push(Effect { key: Some("0".repeat(32)), ..effects[0].clone() })),
    ("effect-key", |effects| effects[1].key = None),
    ("effect-shared", |effects| effects[1] = Effect { key: effects[0].key.clone(), ..effects[1].clone() }),
    ("effect-intent", |effects| effects.push(Effect { key: None, method: "PUT".to_owned(), ..effects[0].clone() })),
    ("effect-late", |effects| effects.push(Effect { at_us: effects[2].at_us + 60_000_000, ..effects[2].clone() })),
];

fn kinds(found: &[Violation]) -> Vec<&'static str> {
    found.iter().map(|violation| violation.kind).collect()
}

#[test]
fn the_checker_names_a_seeded_fault_of_each_kind() {
    let good = Good::new();
    check(&good.record, good.folder.path());
    assert!(good.record.frames() > 6 && good.record.messages() > 4, "there is something to check");
    let mut missed = Vec::new();
    for (kind, statements) in SEEDED {
        let found = good.after(statements);
        if !kinds(&found).contains(kind) {
            missed.push(format!("{kind} by {statements}: {found:?}"));
        }
    }
    for (kind, forgery) in FORGED {
        let mut kept = Vec::new();
        good.record.forge(|frames| {
            kept.clone_from(frames);
            forgery(frames);
        });
        let found = violations(&good.record, &Database::read(&good.folder.path().join("kennel.db")));
        if !kinds(&found).contains(kind) {
            missed.push(format!("{kind}: {found:?}"));
        }
        good.record.forge(|frames| *frames = kept);
    }
    for (kind, fault) in MISSERVED {
        let mut kept = Vec::new();
        good.record.forge_effects(|effects| {
            kept.clone_from(effects);
            fault(effects);
        });
        let found = violations(&good.record, &Database::read(&good.folder.path().join("kennel.db")));
        if !kinds(&found).contains(kind) {
            missed.push(format!("{kind} at a service: {found:?}"));
        }
        good.record.forge_effects(|effects| *effects = kept);
    }
    assert!(missed.is_empty(), "not found:\n{}", missed.join("\n"));
    check(&good.record, good.folder.path());
    let seeded = SEEDED.iter().map(|(kind, _)| kind).chain(FORGED.iter().map(|(kind, _)| kind));
    let seeded = seeded.chain(MISSERVED.iter().map(|(kind, _)| kind));
    let seeded: std::collections::BTreeSet<_> = seeded.collect();
    let unseeded: Vec<_> = KINDS.iter().filter(|kind| !seeded.contains(kind)).collect();
    assert!(unseeded.is_empty(), "no fault is seeded for {unseeded:?}");
}

#[test]
fn every_kind_is_looked_for_in_code() {
    let folder = crate::plugins::workspace().join("tests/it/checker");
    let code: String = ["tasks.rs", "record.rs", "outside.rs"].iter().map(|file| read(&folder.join(file))).collect();
    for kind in KINDS {
        assert!(code.contains(&format!("\"{kind}\"")), "{kind}");
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
