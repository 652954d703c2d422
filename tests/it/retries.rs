//! `kennel tasks retry` and `kennel tasks replay`, and the socket on which a running host is asked.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Kennel, id_of, message_to, state_of, status_text, text_of};
use crate::plugins;
use crate::tasks::{objects, refused, run, serving, shown};

const COMPLETED: &str = "TASK_STATE_COMPLETED";
const FAILED: &str = "TASK_STATE_FAILED";
const INPUT_REQUIRED: &str = "TASK_STATE_INPUT_REQUIRED";

/// A task of stumble that has failed: its id.
fn stumbled(kennel: &Kennel, text: &str) -> String {
    let id = id_of(&kennel.ask("agent", text));
    let failed = kennel.answer("agent", &id, "blue");
    assert_eq!(state_of(&failed), FAILED, "{failed:#}");
    id
}

/// Puts another component under the name, and waits until it serves.
fn replace(kennel: &Kennel, plugin: &str) {
    plugins::copy(&plugins::file(plugin), &kennel.agent_file("agent"));
    kennel.says("done=Replaced");
}

#[test]
fn a_retry_begins_anew_with_the_new_version_and_asks_nothing_twice() {
    for text in ["begin", "checkpoint"] {
        let kennel = Kennel::with(&[]).agent_as("agent", "stumble").arg("--park-after").arg("100").start();
        let data = kennel.data_folder().to_owned();
        let old = stumbled(&kennel, text);
        replace(&kennel, "steady");
        let before = kennel.task("agent", &old);
        let retried = objects(&data, &["retry", &old]).remove(0);
        assert_eq!((&retried["retryOf"], &retried["messages"]), (&json!(old), &json!(1)), "{retried:#}");
        assert_eq!(retried["fromCheckpoint"], json!(text == "checkpoint"));
        let new = retried["taskId"].as_str().unwrap().to_owned();
        assert_eq!(retried["contextId"], before["contextId"]);
        // The first question has its answer; the second is new.
        let asks = kennel.reaches("agent", &new, INPUT_REQUIRED);
        assert_eq!(status_text(&asks), "And another?");
        assert_eq!(text_of(&asks["artifacts"][0]), "blue");
        let mut kennel = kennel;
        kennel.kill9();
        kennel.launch();
        let done = kennel.answer("agent", &new, "red");
        let kept = if text == "checkpoint" { "kept" } else { "" };
        assert_eq!((state_of(&done), status_text(&done)), (COMPLETED, format!("blue red {kept} of {old}")));
        assert_eq!(kennel.task("agent", &old), before, "terminal stays final");
        assert!(shown(&data, &["show", &new]).contains(&format!("retry of    {old}")));
        let said: Vec<String> = done["history"].as_array().unwrap().iter().map(text_of).collect();
        assert!(said.starts_with(&[text.to_owned(), "blue".to_owned()]), "{said:?}");
    }
}

#[test]
fn a_retry_of_the_same_version_comes_as_far_and_can_be_retried() {
    let kennel = Kennel::with(&[]).agent_as("agent", "stumble").start();
    let data = kennel.data_folder();
    let mut id = stumbled(&kennel, "begin");
    replace(&kennel, "steady");
    let digest = objects(data, &["show", &id])[0]["digest"].clone();
    for _ in 0..2 {
        let retried = objects(data, &["retry", &id, "--same-version"]).remove(0);
        assert_eq!(retried["digest"], digest);
        id = retried["taskId"].as_str().unwrap().to_owned();
        let failed = kennel.reaches("agent", &id, FAILED);
        assert_eq!(text_of(&failed["artifacts"][0]), "blue", "its client was not asked");
    }
}

#[test]
fn a_retry_hears_what_its_client_said_while_the_former_worked() {
    let kennel = serving(&["mischief"]);
    let old = kennel.begin("mischief", "mailbox");
    kennel.reaches("mischief", &old, "TASK_STATE_WORKING");
    let mail = |task: &str, text: &str| {
        let mut params = message_to(task, text);
        params["configuration"] = json!({ "returnImmediately": true });
        kennel.result("mischief", "SendMessage", params);
    };
    mail(&old, "one");
    mail(&old, "two");
    assert_eq!(state_of(&kennel.cancel("mischief", &old)), "TASK_STATE_CANCELED");
    let retried = objects(kennel.data_folder(), &["retry", &old]).remove(0);
    let new = retried["taskId"].as_str().unwrap();
    mail(new, "done");
    let done = kennel.reaches("mischief", new, COMPLETED);
    assert_eq!(text_of(&done["artifacts"][0]), "one\ntwo");
}

#[test]
fn an_answer_that_its_agent_did_not_live_to_hear_is_not_asked_for_again() {
    let mut kennel = Kennel::with(&[]).agent_as("agent", "stumble").start();
    let data = kennel.data_folder().to_owned();
    let old = stumbled(&kennel, "begin");
    kennel.stop();
    // As if it had ended between the accept of the answer and the call that takes it.
    let connection = rusqlite::Connection::open(data.join("kennel.db")).unwrap();
    for statement in [
        "UPDATE journal SET result = NULL, answered_us = NULL WHERE idx = 1",
        "DELETE FROM journal WHERE idx = 2",
        "UPDATE inbox SET taken_seq = NULL WHERE n = 1",
    ] {
        assert_eq!(connection.execute(statement, []).unwrap(), 1, "{statement}");
    }
    connection.close().unwrap();
    kennel.launch();
    let retried = objects(&data, &["retry", &old]).remove(0);
    let failed = kennel.reaches("agent", retried["taskId"].as_str().unwrap(), FAILED);
    assert_eq!(text_of(&failed["artifacts"][0]), "blue");
}

#[test]
fn a_journal_of_a_newer_release_is_left_alone_by_every_verb() {
    let mut kennel = Kennel::with(&["interview"]).agent_as("agent", "stumble").start();
    let data = kennel.data_folder().to_owned();
    let asked = id_of(&kennel.ask("interview", "begin"));
    let old = stumbled(&kennel, "begin");
    kennel.stop();
    let connection = rusqlite::Connection::open(data.join("kennel.db")).unwrap();
    let newer = "UPDATE task SET request = CAST(json_set(CAST(request AS TEXT), '$.entry.format', 99) AS BLOB)";
    assert_eq!(connection.execute(newer, []).unwrap(), 2);
    connection.close().unwrap();
    assert_eq!(objects(&data, &["why", &asked])[0]["case"], "needs-newer");
    for verb in ["retry", "replay"] {
        let error = refused(&data, &[verb, &old]);
        assert!(error.contains("recorded by a newer kennel; use that release or a newer one"), "{error}");
    }
    for verb in ["show", "events", "journal"] {
        shown(&data, &[verb, &old]);
    }
}

#[test]
fn a_question_that_is_asked_otherwise_is_asked_again() {
    let kennel = Kennel::with(&[]).agent_as("agent", "stumble").start();
    let data = kennel.data_folder().to_owned();
    let old = stumbled(&kennel, "begin");
    replace(&kennel, "interview");
    let retried = objects(&data, &["retry", &old]).remove(0);
    let asks = kennel.reaches("agent", retried["taskId"].as_str().unwrap(), INPUT_REQUIRED);
    assert_eq!(status_text(&asks), "What is your name?", "the answer to another question is none");
}

/// A request on the operator's socket: the status line and the rest.
fn asked(data: &Path, method: &str, path: &str, body: &str) -> (String, String) {
    let mut stream = UnixStream::connect(data.join("kennel.sock")).unwrap();
    let length = body.len();
    let head = "Host: kennel\r\nConnection: close\r\nContent-Type: application/json";
    write!(stream, "{method} {path} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (status, rest) = answer.split_once("\r\n").unwrap();
    (status.to_owned(), rest.to_owned())
}

#[test]
fn the_operators_socket_refuses_with_problem_details() {
    let kennel = Kennel::start(&["echo"]);
    let data = kennel.data_folder();
    let done = id_of(&kennel.ask("echo", "hello"));
    let active = json!({ "version": "active" }).to_string();
    let retry = |task: &str| format!("/tasks/{task}/retry");
    for (method, path, body, status, detail) in [
        ("POST", retry(&done), active.as_str(), "409", "is completed"),
        ("POST", retry("nobody"), &active, "404", "there is no task nobody"),
        ("POST", retry(&done), "{", "400", "JSON"),
        ("POST", retry(&done), r#"{"version":"new"}"#, "422", "unknown variant"),
        ("GET", retry(&done), "", "405", "POST"),
        ("POST", "/nothing".to_owned(), "", "404", "/tasks/ID/retry"),
    ] {
        let (found, rest) = asked(data, method, &path, body);
        assert!(found.contains(status), "{path} {body}: {found}\n{rest}");
        assert!(rest.contains("content-type: application/problem+json") && rest.contains(detail), "{path}: {rest}");
    }
}

#[test]
fn without_a_host_a_retry_waits_for_one() {
    let mut kennel = Kennel::with(&[]).agent_as("agent", "stumble").start();
    let data = kennel.data_folder().to_owned();
    let old = stumbled(&kennel, "begin");
    kennel.stop();
    assert!(!data.join("kennel.sock").exists(), "a host that ends takes its socket away");
    let text = shown(&data, &["retry", &old]);
    let new = text.split_whitespace().nth(1).unwrap().to_owned();
    assert!(text.contains("with 1 message of its client that is not asked for again"), "{text}");
    assert!(text.contains("no host runs on this folder"), "{text}");
    assert!(shown(&data, &["why", &new]).contains("no host runs on this data folder"));
    kennel.launch();
    let failed = kennel.reaches("agent", &new, FAILED);
    assert_eq!(text_of(&failed["artifacts"][0]), "blue");
}

#[test]
fn a_retry_is_refused_with_a_cure() {
    let kennel = Kennel::with(&["echo", "interview"]).agent_as("agent", "stumble").start();
    let data = kennel.data_folder();
    let done = id_of(&kennel.ask("echo", "hello"));
    let error = refused(data, &["retry", &done]);
    assert!(error.contains("is completed; send its message again"), "{error}");
    let asked = id_of(&kennel.ask("interview", "begin"));
    let error = refused(data, &["retry", &asked]);
    assert!(error.contains("is not over") && error.contains("kennel tasks why"), "{error}");
    let old = stumbled(&kennel, "begin");
    std::fs::remove_file(kennel.agent_file("agent")).unwrap();
    kennel.says("an agent was taken out");
    let error = refused(data, &["retry", &old]);
    assert!(error.contains("agent agent is not served any more") && error.contains("--same-version"), "{error}");
    assert!(shown(data, &["retry", &old, "--same-version"]).contains("tries"));
}

#[test]
fn the_operators_socket_is_the_operators_alone_and_survives_a_power_cut() {
    let mut kennel = Kennel::with(&[]).agent_as("agent", "stumble").start();
    let socket = kennel.data_folder().join("kennel.sock");
    let old = stumbled(&kennel, "begin");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    kennel.kill9();
    assert!(socket.exists());
    // The socket of a host that is gone is nobody's: the verb takes the host's place.
    assert!(shown(kennel.data_folder(), &["retry", &old]).contains("no host runs on this folder"));
    kennel.launch();
    assert!(!shown(kennel.data_folder(), &["retry", &old]).contains("no host runs on this folder"));
}

#[test]
fn a_replay_repeats_what_is_recorded_and_touches_nothing() {
    let mut kennel = serving(&["interview", "mischief", "countdown"]);
    let data = kennel.data_folder().to_owned();
    let asked = id_of(&kennel.ask("interview", "begin"));
    let done = id_of(&kennel.ask("interview", "begin"));
    for word in ["Ada", "red"] {
        kennel.answer("interview", &done, word);
    }
    let generations = id_of(&kennel.ask("mischief", "checkpoint 2"));
    let panicked = id_of(&kennel.ask("mischief", "panic"));
    let counted = id_of(&kennel.ask("countdown", "3 every 10ms"));
    for hosted in [true, false] {
        let before = kennel_files(&data);
        for (task, text) in [
            (&asked, "0 calls repeated alike; the task then waits in task.require-input  {\"prompt\":"),
            (&done, "3 calls repeated alike; the task then ended as recorded: COMPLETED  Thank you."),
            (&generations, "1 call repeated alike in 3 generations; the task then ended as recorded: COMPLETED"),
            (&panicked, "0 calls repeated alike; the task then ended as recorded: FAILED  panic: The agent stopped"),
            (&counted, "the task then ended as recorded: COMPLETED"),
        ] {
            let said = shown(&data, &["replay", task]);
            assert!(said.contains(text), "{hosted}: {said}");
        }
        assert_eq!(kennel_files(&data), before, "nothing is touched");
        if hosted {
            kennel.stop();
        }
    }
}

/// The files of a data folder that a look must not change, with their contents. SQLite's own index of its log may be made.
fn kennel_files(data: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for folder in [data.to_owned(), data.join("compiled")] {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_file() && !name.contains("kennel.db-") {
                files.push((name, std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_replay_shows_the_first_difference() {
    let kennel = Kennel::with(&["interview"]).agent_as("agent", "stumble").start();
    let data = kennel.data_folder();
    let done = id_of(&kennel.ask("interview", "begin"));
    for word in ["Ada", "red"] {
        kennel.answer("interview", &done, word);
    }
    let component = |name: &str| plugins::file(name).to_str().unwrap().to_owned();
    let differs = run(data, &["replay", &done, "--component", &component("echo")]);
    let text = String::from_utf8(differs.stdout).unwrap();
    assert_eq!(differs.status.code(), Some(1), "{text}");
    assert!(text.starts_with("0 calls repeated alike; call 1 differs:\n  expected  task.require-input  {"), "{text}");
    assert!(text.contains("\n  found     task.update-status  {"), "{text}");
    let differs = run(data, &["replay", &done, "-o", "json", "--component", &component("echo")]);
    let object: Value = serde_json::from_slice(&differs.stdout).unwrap();
    assert_eq!((&object["verdict"], &object["idx"], &object["calls"]), (&json!("diverged"), &json!(1), &json!(0)));
    assert_eq!(object["expected"]["call"], "task.require-input");
    let failed = stumbled(&kennel, "checkpoint");
    let better = shown(data, &["replay", &failed, "--component", &component("steady")]);
    assert!(
        better.starts_with("2 calls repeated alike in 2 generations; then it goes another way than recorded:"),
        "{better}"
    );
    assert!(
        better.contains("\n  recorded  FAILED  stumble: I stumbled.\n  found     task.require-input  {"),
        "{better}"
    );
    let ended = run(data, &["replay", &done, "--component", &component("chatter")]);
    let text = String::from_utf8(ended.stdout).unwrap();
    assert!(
        text.contains("call 1 differs") && text.contains("\n  found     FAILED  arguments: Say how often."),
        "{text}"
    );
}

#[test]
fn a_damaged_journal_is_named_and_an_unknown_component_refused() {
    let mut kennel = Kennel::start(&["interview"]);
    let data = kennel.data_folder().to_owned();
    let done = id_of(&kennel.ask("interview", "begin"));
    for word in ["Ada", "red"] {
        kennel.answer("interview", &done, word);
    }
    let error = refused(&data, &["replay", &done, "--component", "/nowhere/new.wasm"]);
    assert!(error.contains("cannot read /nowhere/new.wasm") && error.contains("kennel build"), "{error}");
    let text = data.join("no.wasm");
    std::fs::write(&text, "no component").unwrap();
    refused(&data, &["replay", &done, "--component", text.to_str().unwrap()]);
    kennel.stop();
    let change = |statement: &str| {
        let connection = rusqlite::Connection::open(data.join("kennel.db")).unwrap();
        assert_eq!(connection.execute(statement, []).unwrap(), 1);
    };
    change("UPDATE journal SET result = x'7b' WHERE idx = 3");
    let output = run(&data, &["replay", &done]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("then the journal is damaged: Row 3 of the task's journal cannot be read."), "{text}");
    change("DELETE FROM journal WHERE idx = 2");
    let output = run(&data, &["replay", &done]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("then the journal is damaged: Row 2 of the task's journal is missing."), "{text}");
    assert!(shown(&data, &["show", &done]).contains("journal     3 rows"));
}
