//! The journal's table, seen from outside: what each function of the contract leaves in the journal, live, when the host ends before and
//! after each commit, and in a repetition. The host's own table is `kind` in `worker/journal.rs`.

use std::collections::BTreeSet;
use std::sync::Mutex;

use rusqlite::Connection;

use crate::checker::{CallRow, Database, Record, TaskRows, check};
use crate::crashes::{Course, Deed, When, events_by, in_parallel, warm};
use crate::golden::forget_end;
use crate::harness::{Kennel, is_over, until};
use crate::http::WAIT;
use crate::service::{Service, allow};

const EACH: &str = "--test-commit-each";

/// What a call leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    /// No row: the answer follows from how the task began.
    Nothing,
    /// Call and answer.
    Value,
    /// Call and answer, in the transaction of what it changes.
    Effect,
    /// Call and answer, in the transaction of the event that it writes.
    Event,
    /// The call before the wait; the answer fills the row.
    Wait,
    /// The same, and the event that the call writes.
    Prompt,
    /// The call before anything leaves; what comes of it fills the row whenever it comes.
    Start,
    /// Call and answer, and only if the answer is news.
    Look,
}

/// Each function, what it leaves, and the word of the clerk that calls it.
const TABLE: &[(&str, Row, &str)] = &[
    ("task.info", Row::Nothing, "fixed"),
    ("task.history", Row::Value, "reads"),
    ("task.related", Row::Value, "reads"),
    ("task.related-ids", Row::Value, "reads"),
    ("task.update-status", Row::Event, "says"),
    ("task.require-input", Row::Prompt, "asks"),
    ("task.require-auth", Row::Prompt, "asks"),
    ("task.next-message", Row::Wait, "mail"),
    ("task.cancel-requested", Row::Look, "stop"),
    ("artifact.publish", Row::Event, "shows"),
    ("artifact.open", Row::Effect, "shows"),
    ("artifact.append", Row::Event, "shows"),
    ("artifact.close", Row::Event, "shows"),
    ("http.fetch", Row::Wait, "fetches"),
    ("http.start", Row::Start, "fetches"),
    ("http.take", Row::Wait, "fetches"),
    ("http.abort", Row::Effect, "fetches"),
    ("http.open", Row::Start, "pieces"),
    ("http.head", Row::Wait, "pieces"),
    ("http.read", Row::Wait, "pieces"),
    ("peers.names", Row::Value, "peers"),
    ("peers.card", Row::Value, "peers"),
    ("peers.send", Row::Wait, "peers"),
    ("peers.take", Row::Wait, "peers"),
    ("peers.cancel", Row::Value, "peers"),
    ("wait.any", Row::Wait, "waits"),
    ("wait.all", Row::Wait, "waits"),
    ("wait.sleep", Row::Wait, "waits"),
    ("wait.sleep-until", Row::Wait, "waits"),
    ("wasi.poll", Row::Wait, "waits"),
    ("kv.get", Row::Value, "keeps"),
    ("kv.put", Row::Effect, "keeps"),
    ("kv.swap", Row::Effect, "keeps"),
    ("kv.delete", Row::Effect, "keeps"),
    ("kv.keys", Row::Value, "keeps"),
    ("config.get", Row::Nothing, "fixed"),
    ("config.names", Row::Nothing, "fixed"),
    ("config.credentials", Row::Nothing, "fixed"),
    ("ambient.now", Row::Nothing, "fixed"),
    ("ambient.random", Row::Nothing, "fixed"),
    ("log.emit", Row::Nothing, "fixed"),
];

/// A word of the clerk, and its client.
struct Job {
    word: &'static str,
    lines: &'static [&'static str],
    when: When,
    /// Whether each run makes the same commits: nothing goes on beside the clerk.
    steady: bool,
}

const JOBS: &[Job] = &[
    Job { word: "fixed", lines: &[], when: When::Asked, steady: true },
    Job { word: "reads", lines: &[], when: When::Asked, steady: true },
    Job { word: "says", lines: &[], when: When::Asked, steady: true },
    Job { word: "asks", lines: &["red", "the key"], when: When::Asked, steady: true },
    Job { word: "mail", lines: &["hello"], when: When::Working, steady: true },
    Job { word: "stop", lines: &["stop"], when: When::Stop, steady: false },
    Job { word: "shows", lines: &[], when: When::Asked, steady: true },
    Job { word: "fetches", lines: &[], when: When::Asked, steady: false },
    Job { word: "pieces", lines: &[], when: When::Asked, steady: false },
    Job { word: "peers", lines: &[], when: When::Asked, steady: false },
    Job { word: "waits", lines: &[], when: When::Asked, steady: true },
    Job { word: "keeps", lines: &[], when: When::Asked, steady: true },
];

/// What a call leaves; the functions of this test only.
fn row_of(call: &str) -> Row {
    TABLE.iter().find(|(name, ..)| *name == call).unwrap_or_else(|| panic!("{call} is not in the table")).1
}

/// The functions that the contract gives to agents.
fn functions() -> BTreeSet<String> {
    let mut functions = BTreeSet::new();
    for entry in std::fs::read_dir(crate::plugins::workspace().join("wit")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let Some((_, body)) = text.split_once("\ninterface ") else { continue };
        let name = body.split([' ', '{']).next().unwrap();
        let lines = body.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        let names = lines.filter_map(|line| line.split_once(": func(")).map(|(function, _)| function);
        functions.extend(names.map(|function| format!("{name}.{function}")));
    }
    // What agents give to the host.
    functions.retain(|name| name != "agent.run" && name != "card.describe");
    functions
}

#[test]
fn every_function_of_the_contract_stands_in_the_table() {
    let listed: Vec<&str> = TABLE.iter().map(|(name, ..)| *name).collect();
    let table: BTreeSet<String> =
        listed.iter().filter(|name| !name.starts_with("wasi.")).map(|name| (*name).to_owned()).collect();
    assert_eq!(table, functions());
    assert_eq!(listed.len(), listed.iter().collect::<BTreeSet<_>>().len(), "each once");
    for (name, _, word) in TABLE {
        assert!(JOBS.iter().any(|job| job.word == *word), "{name}: nobody says {word}");
    }
}

/// A clerk at work.
struct Scene {
    kennel: Kennel,
    service: Service,
    course: Course,
}

/// What the database held when a host had ended: rows of the clerk, and how many values were kept.
struct Snapshot {
    rows: Option<TaskRows>,
    values: usize,
}

impl Scene {
    fn new(job: &Job) -> Scene {
        let service = Service::start();
        let mut kennel = warm(&["clerk"]);
        allow(&mut kennel, &["clerk", "ward"]);
        let text: &'static str = format!("{} {}", job.word, service.origin()).leak();
        let deed = Deed { agent: "clerk", text, lines: job.lines, when: job.when };
        Scene { kennel, service, course: Course::new(deed) }
    }

    /// Works until the task or its host is over. True: the task.
    fn live(&mut self, faults: &[&str]) -> bool {
        self.kennel.launch_on_trial(&[&[EACH][..], faults].concat());
        let over = self.course.go_on(&mut self.kennel);
        if over {
            self.kennel.stop();
        } else {
            self.kennel.dies();
        }
        over
    }

    fn snapshot(&self) -> Snapshot {
        let connection = Connection::open(self.kennel.data_folder().join("kennel.db")).unwrap();
        let task = clerks(&connection);
        let values = connection.query_row("SELECT count(*) FROM kv", [], |row| row.get::<_, i64>(0)).unwrap();
        let rows = task.and_then(|task| Database::of(&connection).tasks.remove(&task));
        Snapshot { rows, values: usize::try_from(values).unwrap() }
    }

    /// Nothing is wrong: the clerk's events.
    fn ended(&self, record: &Record) -> Vec<String> {
        self.service.tell(record);
        let database = check(record, self.kennel.data_folder());
        events_by(&database, &self.course.task(), &self.service)
    }
}

/// The clerk's task.
fn clerks(connection: &Connection) -> Option<String> {
    connection.query_row("SELECT id FROM task WHERE agent = 'clerk'", [], |row| row.get(0)).ok()
}

impl Snapshot {
    fn calls(&self) -> &[CallRow] {
        self.rows.as_ref().map_or(&[], |rows| &rows.journal)
    }

    /// Each row has the shape of its kind, whatever the moment.
    fn check(&self, what: &str) {
        let Some(rows) = &self.rows else { return };
        let mut values = 0;
        for row in &rows.journal {
            let what = format!("{what}, row {} ({})", row.idx, row.call);
            let last = row.idx == rows.calls;
            let (is_answered, has_event) = (row.result.is_some(), row.seq.is_some());
            match row_of(&row.call) {
                Row::Nothing => panic!("{what}: it leaves no row"),
                Row::Value | Row::Effect | Row::Look => assert!(is_answered && !has_event, "{what}"),
                Row::Event => assert!(is_answered && has_event, "{what}"),
                Row::Wait => assert!((is_answered || last) && !has_event, "{what}"),
                Row::Prompt => assert!((is_answered || last) && has_event, "{what}"),
                Row::Start => assert!(!has_event, "{what}"),
            }
            let event = row.seq.map(|seq| rows.event(seq));
            assert!(event.is_none_or(|event| event.is_some()), "{what}: in the transaction of its event");
            match row.call.as_str() {
                "kv.put" | "kv.swap" => values += 1,
                "kv.delete" => values -= 1,
                _ => {}
            }
        }
        assert_eq!(self.values, values, "{what}: values change in the transactions of their rows");
        self.check_events(rows, what);
    }

    /// What an agent shows is in the log with its row, or not at all.
    fn check_events(&self, rows: &TaskRows, what: &str) {
        let of_rows: BTreeSet<i64> = rows.journal.iter().filter_map(|row| row.seq).collect();
        for event in &rows.events {
            let text = String::from_utf8_lossy(&event.body);
            let is_agents = text.contains("artifactUpdate") || text.contains("ROLE_AGENT");
            assert_eq!(is_agents, of_rows.contains(&event.seq), "{what}: event {} {text}", event.seq);
        }
    }
}

/// An undisturbed life, and its repetition: events, and the calls that were recorded.
fn undisturbed(job: &Job) -> (Vec<String>, Vec<CallRow>) {
    let mut scene = Scene::new(job);
    assert!(scene.live(&[]), "{}", job.word);
    let live = scene.snapshot();
    live.check(job.word);
    let events = scene.ended(&scene.course.record);
    let connection = Connection::open(scene.kennel.data_folder().join("kennel.db")).unwrap();
    forget_end(&connection, &scene.course.task());
    connection.close().unwrap();
    let asked = scene.service.seen().len();
    scene.kennel.launch();
    until("the end of the repetition", WAIT, || {
        is_over(&scene.kennel.task("clerk", &scene.course.task())).then_some(())
    });
    scene.kennel.stop();
    // Its end has a time of its own, which no client was told yet.
    assert_eq!(scene.ended(&Record::default()), events, "{}: repeated", job.word);
    assert_eq!(scene.snapshot().calls(), live.calls(), "{}: a repetition writes nothing", job.word);
    assert_eq!(scene.service.seen().len(), asked, "{}: a repetition asks nobody", job.word);
    (events, live.calls().to_vec())
}

/// A life whose first host ends at a commit: what it left, if it did.
fn ended_at(job: &Job, fault: &str, n: usize, expected: &[String]) -> Option<Snapshot> {
    let mut scene = Scene::new(job);
    let mut left = None;
    let what = format!("{} with {fault} {n}", job.word);
    if !scene.live(&[fault, &n.to_string()]) {
        let snapshot = scene.snapshot();
        snapshot.check(&what);
        left = Some(snapshot);
        assert!(scene.live(&[]), "{what}");
    }
    assert_eq!(scene.ended(&scene.course.record), expected, "{what}");
    scene.snapshot().check(&what);
    left
}

/// The host ended before the row of each call was there, and after; and in the middle of each call that has one.
fn check_positions(job: &Job, calls: &[CallRow], left: &[Snapshot]) {
    let stood: BTreeSet<usize> = left.iter().map(|snapshot| snapshot.calls().len()).collect();
    let missed: Vec<usize> = (0..calls.len()).filter(|count| !stood.contains(count)).collect();
    let may_miss = if job.steady { 0 } else { calls.len() / 2 };
    assert!(missed.len() <= may_miss, "{}: no host ended at {missed:?} of {stood:?}", job.word);
    let begun = |call: &CallRow| {
        let under_way =
            |snapshot: &Snapshot| snapshot.calls().iter().any(|row| row.call == call.call && row.result.is_none());
        left.iter().any(under_way)
    };
    for call in calls.iter().filter(|_| job.steady) {
        let waits = matches!(row_of(&call.call), Row::Wait | Row::Prompt | Row::Start);
        assert_eq!(begun(call), waits, "{}: {} under way", job.word, call.call);
    }
}

#[test]
fn each_call_leaves_its_row_and_answers_alike_live_after_any_end_and_repeated() {
    let seen = Mutex::new(BTreeSet::new());
    in_parallel(JOBS, |job| {
        let (events, calls) = undisturbed(job);
        let mut left = Vec::new();
        for fault in ["--test-crash-before", "--test-crash-after"] {
            let ends = (1..).map_while(|n| ended_at(job, fault, n, &events));
            left.extend(ends);
        }
        check_positions(job, &calls, &left);
        seen.lock().unwrap().extend(calls.into_iter().map(|row| (job.word, row.call)));
    });
    let seen = seen.into_inner().unwrap();
    for (name, row, word) in TABLE {
        assert_eq!(seen.contains(&(*word, (*name).to_owned())), *row != Row::Nothing, "{name}, called by {word}");
    }
}

/// In service values wait for the next effect: twenty answers cost no commit of their own.
#[test]
fn values_are_written_with_the_next_effect() {
    let mut kennel = Kennel::start(&["clerk"]);
    let task = crate::harness::id_of(&kennel.ask("clerk", "many"));
    kennel.stop();
    let connection = Connection::open(kennel.data_folder().join("kennel.db")).unwrap();
    let sql = "SELECT calls, ver FROM task WHERE id = ?";
    let (calls, commits): (i64, i64) =
        connection.query_row(sql, [&task], |row| Ok((row.get_unwrap(0), row.get_unwrap(1)))).unwrap();
    assert_eq!(calls, 21);
    assert!(commits <= 5, "accept, WORKING, artifact, end: {commits} commits");
}
