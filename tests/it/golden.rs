//! Determinism: the same seed makes the same calls, and so does a repetition; also that of journals which former releases wrote.
//!
//! A golden journal is the text of all rows of one finished task, in `tests/golden/`. The test puts it into a database without its last
//! event and lets this host repeat the work with the plugin as it is built now: every call must be the recorded one, and the end the
//! same. New ones: `KENNEL_GOLDEN=write cargo test --test it golden`; one that is there is never written again.

use std::path::PathBuf;

use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{Connection, OptionalExtension};
use serde_json::{Map, Value, json};

use crate::checker::{CallRow, Database};
use crate::crashes::{Course, Deed, When, events, warm};
use crate::harness::Kennel;

/// Name of the golden journal, and what made it.
const GOLDEN: &[(&str, Deed)] = &[
    ("0001-interview", Deed { agent: "interview", text: "begin", lines: &["Ada", "red"], when: When::Asked }),
    ("0001-countdown", Deed { agent: "countdown", text: "2 every 5ms", lines: &[], when: When::Asked }),
    ("0001-clock", Deed { agent: "mischief", text: "clock", lines: &[], when: When::Asked }),
    ("0001-checkpoint", Deed { agent: "mischief", text: "checkpoint 2", lines: &[], when: When::Asked }),
    ("0001-mailbox", Deed { agent: "mischief", text: "mailbox", lines: &["one", "two", "done"], when: When::Working }),
];

/// What else is run twice: the other plugins, and a fixture that reads clocks and looks.
const TWICE: &[Deed] = &[
    Deed { agent: "echo", text: "hello", lines: &[], when: When::Asked },
    Deed {
        agent: "auto",
        text: "a text that is long enough to be read as a task of its own",
        lines: &[],
        when: When::Asked,
    },
    Deed { agent: "mischief", text: "history", lines: &[], when: When::Asked },
    Deed { agent: "wanderer", text: "look", lines: &[], when: When::Asked },
    Deed { agent: "wanderer", text: "wasi", lines: &[], when: When::Asked },
    Deed { agent: "wanderer", text: "values", lines: &[], when: When::Asked },
];

/// The tables of a golden journal, and the column that names the task in each.
const TABLES: &[(&str, &str)] = &[("task", "id"), ("event", "task"), ("inbox", "task"), ("journal", "task")];

fn database(kennel: &Kennel) -> Connection {
    Connection::open(kennel.data_folder().join("kennel.db")).unwrap()
}

fn only_task(connection: &Connection) -> String {
    connection.query_row("SELECT id FROM task", [], |row| row.get(0)).unwrap()
}

/// Runs a deed to its end, on a host that is stopped then.
fn run(kennel: &mut Kennel, deed: Deed) -> Vec<Value> {
    kennel.launch();
    let mut course = Course::new(deed);
    assert!(course.go_on(kennel), "{deed:?}");
    kennel.stop();
    course.ended(kennel.data_folder())
}

/// Makes a finished task one that was just accepted.
fn begin_again(connection: &Connection, task: &str) {
    for sql in [
        "DELETE FROM journal WHERE task = ?1",
        "DELETE FROM body WHERE task = ?1",
        "DELETE FROM event WHERE task = ?1 AND seq > 1",
        "DELETE FROM inbox WHERE task = ?1 AND n > 0",
        "UPDATE task SET state = 1, rev = 1, ver = 1, calls = 0, open = 0 WHERE id = ?1",
    ] {
        connection.execute(sql, [task]).unwrap();
    }
    make_ready(connection, task);
}

/// Takes the end of a finished task away, so that it must be found again by a repetition.
pub(crate) fn forget_end(connection: &Connection, task: &str) {
    for sql in [
        "DELETE FROM body WHERE task = ?1",
        "DELETE FROM event WHERE task = ?1 AND seq = (SELECT rev FROM task WHERE id = ?1)",
        "UPDATE task SET state = 2, rev = rev - 1, ver = ver + 1 WHERE id = ?1",
    ] {
        assert!(connection.execute(sql, [task]).unwrap() > 0 || sql.contains("body"), "{sql}");
    }
    make_ready(connection, task);
}

fn make_ready(connection: &Connection, task: &str) {
    let sql = "INSERT INTO run (tenant, task, agent, state, priority, due_ms, attempts) \
               SELECT tenant, id, agent, 0, 0, 0, 0 FROM task WHERE id = ?";
    assert_eq!(connection.execute(sql, [task]).unwrap(), 1);
}

/// A row without its times: call, request, result; and the hash, unless the request had a time in it.
fn timeless(row: &CallRow) -> (String, String, String, Option<Vec<u8>>) {
    let result = String::from_utf8_lossy(row.result.as_deref().unwrap_or_default()).into_owned();
    let request = without_times(&row.request);
    let hash = (request == row.request).then(|| row.hash.clone());
    (row.call.clone(), request, without_times(&result), hash)
}

/// Numbers of thirteen digits and more are milliseconds and microseconds of our days.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        out.push_str(if (13..=16).contains(&digits.len()) { "[time]" } else { &digits });
        digits.clear();
        out.push(c);
    }
    out
}

#[test]
fn the_same_seed_makes_the_same_calls_and_so_does_a_repetition() {
    for deed in GOLDEN.iter().map(|(_, deed)| deed).chain(TWICE) {
        let mut kennel = warm(&[deed.agent]);
        let first = run(&mut kennel, *deed);
        let connection = database(&kennel);
        let task = only_task(&connection);
        let recorded = rows(&connection, &task);
        assert!(!recorded.is_empty(), "{deed:?} leaves a journal");
        forget_end(&connection, &task);
        assert_eq!(run(&mut kennel, *deed), first, "{deed:?} repeated");
        assert_eq!(rows(&connection, &task), recorded, "{deed:?}: a repetition writes nothing");
        begin_again(&connection, &task);
        assert_eq!(run(&mut kennel, *deed), first, "{deed:?} again");
        let again = rows(&connection, &task);
        let (recorded, again): (Vec<_>, Vec<_>) =
            (recorded.iter().map(timeless).collect(), again.iter().map(timeless).collect());
        assert_eq!(again, recorded, "{deed:?} with the same seed");
    }
}

fn rows(connection: &Connection, task: &str) -> Vec<CallRow> {
    std::mem::take(&mut Database::of(connection).tasks.get_mut(task).unwrap().journal)
}

fn file(name: &str) -> PathBuf {
    crate::plugins::workspace().join("tests/golden").join(format!("{name}.json"))
}

/// All rows of a task as text that people can read, and compare.
fn dump(connection: &Connection, task: &str) -> Value {
    let mut tables = Map::new();
    for (table, key) in TABLES {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} WHERE {key} = ?")).unwrap();
        let names: Vec<String> = statement.column_names().iter().map(|name| (*name).to_owned()).collect();
        let rows = statement.query_map([task], |row| {
            let cells = names.iter().enumerate().map(|(n, name)| (name.clone(), text_of(row.get_ref_unwrap(n))));
            Ok(cells.collect::<Map<_, _>>())
        });
        tables.insert((*table).to_owned(), rows.unwrap().map(|row| row.unwrap().into()).collect::<Vec<Value>>().into());
    }
    tables.into()
}

fn text_of(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => std::str::from_utf8(text).unwrap().into(),
        ValueRef::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.is_empty() => json!({ "utf8": text }),
            _ => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
        },
    }
}

fn cell_of(text: &Value) -> Cell {
    match text {
        Value::Null => Cell::Null,
        Value::String(text) => Cell::Text(text.clone()),
        Value::Object(bytes) => Cell::Blob(match bytes.get("utf8") {
            Some(text) => text.as_str().unwrap().as_bytes().to_vec(),
            None => unhex(bytes["hex"].as_str().unwrap()),
        }),
        number => Cell::Integer(number.as_i64().unwrap()),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Puts a golden task into a database, pinned to the agent as it is built now. It has a life before it still.
fn load(connection: &Connection, golden: &Value) -> String {
    for (table, _) in TABLES {
        for row in golden[table].as_array().unwrap() {
            let row = row.as_object().unwrap();
            let columns: Vec<&str> = row.keys().map(String::as_str).collect();
            let places = vec!["?"; columns.len()].join(", ");
            let sql = format!("INSERT INTO {table} ({}) VALUES ({places})", columns.join(", "));
            connection.execute(&sql, rusqlite::params_from_iter(row.values().map(cell_of))).unwrap();
        }
    }
    let task = golden["task"][0]["id"].as_str().unwrap().to_owned();
    let agent = golden["task"][0]["agent"].as_str().unwrap();
    let digest: Option<Vec<u8>> =
        connection.query_row("SELECT digest FROM agent WHERE name = ?", [agent], |row| row.get(0)).optional().unwrap();
    let pinned = "UPDATE task SET digest = ?, expires_ms = 1 << 50 WHERE id = ?";
    connection.execute(pinned, rusqlite::params![digest.expect("the agent"), task]).unwrap();
    task
}

/// Writes a golden journal that is not there yet.
fn write(name: &str, deed: Deed) {
    let mut kennel = warm(&[deed.agent]);
    run(&mut kennel, deed);
    let connection = database(&kennel);
    let golden = dump(&connection, &only_task(&connection));
    std::fs::create_dir_all(file(name).parent().unwrap()).unwrap();
    std::fs::write(file(name), serde_json::to_string_pretty(&golden).unwrap() + "\n").unwrap();
}

#[test]
fn golden_journals_are_repeated_to_their_ends() {
    let writes = std::env::var_os("KENNEL_GOLDEN").is_some_and(|value| value == "write");
    for (name, deed) in GOLDEN {
        if writes && !file(name).exists() {
            write(name, *deed);
        }
        let text = std::fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let golden: Value = serde_json::from_str(&text).unwrap();
        let mut kennel = warm(&[deed.agent]);
        kennel.launch();
        kennel.stop();
        let connection = database(&kennel);
        let task = load(&connection, &golden);
        let expected = events(&Database::of(&connection), &task);
        let recorded = rows(&connection, &task);
        forget_end(&connection, &task);
        kennel.launch();
        kennel.reaches(deed.agent, &task, "TASK_STATE_COMPLETED");
        kennel.stop();
        assert_eq!(events(&Database::of(&connection), &task), expected, "{name}");
        assert_eq!(rows(&connection, &task), recorded, "{name}: nothing new was recorded");
    }
}

#[test]
fn a_golden_journal_with_another_seed_is_found_out() {
    let (name, deed) = &GOLDEN[2];
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(file(name)).unwrap()).unwrap();
    let mut kennel = warm(&[deed.agent]);
    kennel.launch();
    kennel.stop();
    let connection = database(&kennel);
    let task = load(&connection, &golden);
    let seed = r#"json_set(CAST(request AS TEXT), '$.entry.seed', printf('%064d', 7))"#;
    connection.execute(&format!("UPDATE task SET request = CAST({seed} AS BLOB)"), []).unwrap();
    forget_end(&connection, &task);
    kennel.launch();
    let failed = kennel.reaches(deed.agent, &task, "TASK_STATE_FAILED");
    assert_eq!(failed["status"]["message"]["metadata"]["urn:kennel:error:1"]["code"], "journal");
}
