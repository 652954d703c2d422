//! `kennel tasks`: the verbs that look, beside a running host and without one. Retry and replay are in `retries.rs`.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{Kennel, id_of, until};
use crate::http::WAIT;

/// `kennel tasks ARGS --data DATA`.
pub(crate) fn run(data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kennel"));
    command.arg("tasks").args(args).arg("--data").arg(data);
    command.output().expect("the binary starts")
}

/// What a verb that must succeed writes.
#[track_caller]
pub(crate) fn shown(data: &Path, args: &[&str]) -> String {
    let output = run(data, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The objects that a verb writes.
#[track_caller]
pub(crate) fn objects(data: &Path, args: &[&str]) -> Vec<Value> {
    let text = shown(data, &[args, &["-o", "json"]].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The error of a verb that must fail.
#[track_caller]
pub(crate) fn refused(data: &Path, args: &[&str]) -> String {
    let output = run(data, args);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {error}{}", String::from_utf8_lossy(&output.stdout));
    assert!(error.starts_with("error: "), "{error}");
    error
}

pub(crate) fn serving(agents: &[&str]) -> Kennel {
    Kennel::with(agents).arg("--park-after").arg("100").start()
}

#[test]
fn tasks_are_listed_newest_first_with_and_without_a_host() {
    let mut kennel = serving(&["echo", "interview"]);
    let echoed = id_of(&kennel.ask("echo", "hello"));
    let asked = id_of(&kennel.ask("interview", "begin"));
    let data = kennel.data_folder().to_owned();
    let parked = || {
        shown(&data, &["ls"]).lines().nth(1).is_some_and(|line| line.contains("parked, due in 6 days")).then_some(())
    };
    until("a parked run", WAIT, parked);
    for hosted in [true, false] {
        let listed = shown(&data, &["ls"]);
        let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["TASK", "AGENT", "STATE", "AGE", "RUN", "ATTEMPTS", "EVENTS"], "{listed}");
        assert_eq!(lines[1][..3], [asked.as_str(), "interview", "input-required"], "{hosted} {listed}");
        assert_eq!(lines[2][..3], [echoed.as_str(), "echo", "completed"], "{listed}");
        assert_eq!(lines.len(), 3, "{listed}");
        for (filter, found) in [
            (&["ls", "--agent", "echo"][..], &echoed),
            (&["ls", "--state", "input-required"], &asked),
            (&["ls", "--limit", "1"], &asked),
        ] {
            let found_ids: Vec<Value> = objects(&data, filter).into_iter().map(|task| task["taskId"].clone()).collect();
            assert_eq!(found_ids, [json!(found)], "{filter:?}");
        }
        let context = objects(&data, &["ls", "--agent", "echo"])[0]["contextId"].as_str().unwrap().to_owned();
        assert_eq!(objects(&data, &["ls", "--context", &context])[0]["taskId"], json!(echoed));
        assert!(objects(&data, &["ls", "--agent", "nobody"]).is_empty());
        if hosted {
            kennel.stop();
        }
    }
}

#[test]
fn a_task_is_shown_with_its_run_its_messages_and_its_artifacts() {
    let mut kennel = serving(&["interview"]);
    let asked = id_of(&kennel.ask("interview", "begin"));
    kennel.answer("interview", &asked, "Ada");
    let data = kennel.data_folder().to_owned();
    until("a parked run", WAIT, || shown(&data, &["show", &asked]).contains("parked").then_some(()));
    for hosted in [true, false] {
        let text = shown(&data, &["show", &asked]);
        for line in [
            &format!("task        {asked}"),
            "agent       interview  sha-256 ",
            "owner       anonymous",
            "state       input-required since ",
            "says        Hello Ada. Red or blue?",
            "run         parked, due in ",
            "journal     2 rows, generation 1",
            "events      5",
            "inbox       0  taken  begin",
            "            1  taken  Ada",
        ] {
            assert!(text.contains(line), "{hosted}: {line}\n{text}");
        }
        let shown = &objects(&data, &["show", &asked])[0];
        assert_eq!((&shown["task"]["id"], &shown["run"]["state"]), (&json!(asked), &json!("parked")), "{shown:#}");
        if hosted {
            kennel.stop();
        }
    }
    kennel.launch();
    let done = kennel.answer("interview", &asked, "red");
    let shown_at_end = shown(&data, &["show", &asked]);
    assert!(shown_at_end.contains("artifacts   summary  1 part, 14 bytes"), "{shown_at_end}");
    let object = &objects(&data, &["show", &asked])[0];
    assert_eq!((&object["task"]["status"], &object["run"]), (&done["status"], &Value::Null));
    assert_eq!(object["task"]["artifacts"], done["artifacts"]);
}

#[test]
fn events_are_shown_as_clients_were_told() {
    let kennel = serving(&["interview"]);
    let asked = id_of(&kennel.ask("interview", "begin"));
    for word in ["Ada", "red"] {
        kennel.answer("interview", &asked, word);
    }
    let data = kennel.data_folder();
    let streamed: Vec<Value> =
        kennel.resume("interview", &asked, "0").rest().iter().map(|event| event.result().clone()).collect();
    assert_eq!(objects(data, &["events", &asked]), streamed);
    assert_eq!(objects(data, &["events", &asked, "--after", "3"]), streamed[3..]);
    let text = shown(data, &["events", &asked]);
    let lines: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(lines[0].starts_with("1 ") && lines[0].ends_with("UTC task submitted begin"), "{text}");
    assert!(lines[2].ends_with("UTC status input-required What is your name?"), "{text}");
    assert!(lines[6].ends_with("7 - artifact summary: Ada likes red."), "{text}");
}

#[test]
fn the_journal_is_shown_with_results_and_times() {
    let kennel = serving(&["interview", "mischief"]);
    let asked = id_of(&kennel.ask("interview", "begin"));
    kennel.answer("interview", &asked, "Ada");
    let data = kennel.data_folder();
    let text = shown(data, &["journal", &asked]);
    let lines: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], "generation 1", "{text}");
    assert!(lines[1].starts_with("1 task.require-input ") && lines[1].contains(" ms event 3 until "), "{text}");
    assert!(lines[2].contains("What is your name?"), "{text}");
    assert_eq!(lines[3], "-> message 1 “Ada”", "{text}");
    assert!(lines[4].starts_with("2* task.require-input waits since "), "{text}");
    assert_eq!(lines[6], "-> not yet", "{text}");
    let rows = objects(data, &["journal", &asked]);
    assert_eq!((&rows[0]["result"], &rows[0]["waits"]), (&json!({ "message": 1 }), &json!(false)));
    assert!(rows[0]["ms"].as_f64().unwrap() > 0.0, "{rows:#?}");
    assert_eq!((&rows[1]["result"], &rows[1]["waits"], &rows[1]["ms"]), (&Value::Null, &json!(true), &Value::Null));
    let generations = id_of(&kennel.ask("mischief", "checkpoint 2"));
    let text = shown(data, &["journal", &generations]);
    assert_eq!(text.lines().filter(|line| line.starts_with("generation ")).count(), 2, "{text}");
    assert!(text.contains("generation 3\n    2  checkpoint"), "{text}");
}

/// Waits until `why` gives this case: the sentence.
fn why(data: &Path, task: &str, case: &str) -> String {
    let mut last = Value::Null;
    let found = crate::harness::wait_for(WAIT, || {
        last = objects(data, &["why", task]).remove(0);
        (last["case"] == case).then(|| last["why"].as_str().unwrap().to_owned())
    });
    found.unwrap_or_else(|| panic!("not {case}: {last}"))
}

#[test]
fn why_says_what_each_task_waits_for() {
    let mut kennel = serving(&["interview", "mischief", "echo", "patience"]);
    let data = kennel.data_folder().to_owned();
    let asked = id_of(&kennel.ask("interview", "begin"));
    let sleeping = kennel.begin("mischief", "sleep 3600000");
    let authorizing = id_of(&kennel.ask("mischief", "auth"));
    let mailing = kennel.begin("mischief", "mailbox");
    let spinning = kennel.begin("mischief", "spin");
    let refused = id_of(&kennel.ask("mischief", "reject"));
    let failed = id_of(&kennel.ask("mischief", "fail"));
    let done = id_of(&kennel.ask("echo", "hello"));
    let sentence = why(&data, &asked, "waits-for-answer");
    assert!(sentence.starts_with("It waits for its client's answer to “What is your name?” since "), "{sentence}");
    assert!(sentence.ends_with("; in 6 days 23 h it goes on without one."), "{sentence}");
    assert!(why(&data, &sleeping, "sleeps").starts_with("It sleeps until "));
    assert!(why(&data, &authorizing, "waits-for-credential").contains("“I need the vault"));
    assert!(why(&data, &mailing, "waits-for-message").starts_with("It waits for its client's next message since "));
    assert!(why(&data, &spinning, "runs").starts_with("It runs since "));
    assert!(why(&data, &refused, "rejected").ends_with("“Not even mischief does that.”."));
    assert!(why(&data, &failed, "failed").ends_with(": mischief, Mischief was asked for."));
    assert!(why(&data, &done, "completed").starts_with("It is completed since "));
    let text = shown(&data, &["why", &done]);
    assert_eq!(text.lines().count(), 1, "{text}");
    kennel.kill9();
    assert!(why(&data, &spinning, "interrupted").contains("`kennel serve` goes on with it"));
    assert!(why(&data, &asked, "waits-for-answer").ends_with("(no host runs on this data folder now)."));
}

#[test]
fn ids_may_be_cut_where_no_other_begins_alike() {
    let kennel = serving(&["echo"]);
    let data = kennel.data_folder();
    let first = id_of(&kennel.ask("echo", "hello"));
    let unique = &first[..first.len() - 4];
    assert_eq!(objects(data, &["why", unique])[0]["taskId"], json!(first));
    let second = id_of(&kennel.ask("echo", "hello"));
    let both: String = first.chars().zip(second.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    let error = refused(data, &["show", &both]);
    assert!(error.contains("begins the ids of several tasks") && error.contains(&first), "{error}");
    for verb in ["show", "events", "journal", "why", "retry", "replay"] {
        let error = refused(data, &[verb, "nobody"]);
        assert!(error.contains("there is no task nobody") && error.contains("kennel tasks ls"), "{error}");
    }
}

#[test]
fn what_cannot_be_looked_at_is_refused_with_a_cure() {
    let mut kennel = serving(&["echo"]);
    let data = kennel.data_folder().to_owned();
    let nothing = tempfile::tempdir().unwrap();
    let error = refused(nothing.path(), &["ls"]);
    assert!(error.contains("there is no database at") && error.contains("--data"), "{error}");
    assert!(std::fs::read_dir(nothing.path()).unwrap().next().is_none(), "nothing is made");
    kennel.stop();
    let database = data.join("kennel.db");
    let version = |version: i64| {
        let connection = rusqlite::Connection::open(&database).unwrap();
        let before = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
        before
    };
    let ours = version(9_999);
    let error = refused(&data, &["ls"]);
    assert!(error.contains("was written by a newer kennel (schema 9999"), "{error}");
    version(1);
    let error = refused(&data, &["ls"]);
    assert!(error.contains("was written by an older kennel (schema 1") && error.contains("kennel serve"), "{error}");
    version(ours);
    let whole = std::fs::read(&database).unwrap();
    std::fs::write(&database, b"this is no database, but some text of more than one hundred bytes".repeat(9)).unwrap();
    let error = refused(&data, &["ls"]);
    assert!(error.contains("kennel.db is damaged") && error.contains("restore the last backup"), "{error}");
    std::fs::write(&database, whole).unwrap();
}

#[test]
fn help_begins_with_examples() {
    for verb in ["ls", "show", "events", "journal", "why", "retry", "replay"] {
        let output = Command::new(env!("CARGO_BIN_EXE_kennel")).args(["tasks", verb, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.starts_with(&format!("Examples:\n  kennel tasks {verb} ")), "{help}");
    }
}
