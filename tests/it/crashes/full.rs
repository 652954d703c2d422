//! A full disk: writes are refused with an error that says so, reads and streams go on, and every task goes on by itself once there
//! is room.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::checker::{Record, check};
use crate::client::Client;
use crate::durability::compile;
use crate::harness::{Kennel, id_of, message, state_of, text_of, until};
use crate::http::WAIT;

const COMPLETED: &str = "TASK_STATE_COMPLETED";
const INPUT_REQUIRED: &str = "TASK_STATE_INPUT_REQUIRED";

/// Writes to the database find no room while the gate file exists.
const NO_ROOM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refused(int file) {
    char link[64], path[512];
    const char *gate = getenv("GATE");
    if (!gate || access(gate, F_OK) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "kennel.db") != 0;
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    if (refused(file)) { errno = ENOSPC; return -1; }
    return real(file, bytes, count, at);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
    return pwrite64(file, bytes, count, at);
}
"#;

/// Sends large messages until there is no room for the next: its error, and how many were taken.
fn fill(client: &Client<'_>) -> (Value, Vec<String>) {
    let text = "x".repeat(3_000);
    let mut taken = Vec::new();
    let refused = until("no room", WAIT, || {
        let envelope = client.send_as("echo", &crate::harness::fresh("fill"), None, &text).unwrap();
        match envelope.get("error") {
            Some(error) => Some(error.clone()),
            None => {
                taken.push(id_of(&envelope["result"]["task"]));
                None
            }
        }
    });
    (refused, taken)
}

fn is_retryable(error: &Value) {
    assert!(error["message"].as_str().unwrap().contains("no room"), "{error:#}");
    assert!(error["data"].to_string().contains("\"UNAVAILABLE\""), "{error:#}");
}

/// The pages of a database.
fn pages(data: &Path) -> u32 {
    let connection = Connection::open(data.join("kennel.db")).unwrap();
    connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap()
}

/// What must work although nothing can be written.
fn reads_go_on(kennel: &Kennel, asked: &str, done: &Value) {
    assert_eq!(kennel.task("echo", &id_of(done)), *done);
    assert_eq!(state_of(&kennel.task("interview", asked)), INPUT_REQUIRED);
    assert!(kennel.result("echo", "ListTasks", json!({}))["totalSize"].as_u64().unwrap() > 0);
    let mut stream = kennel.subscribe("interview", asked);
    assert_eq!(stream.next_event().unwrap().state(), INPUT_REQUIRED);
    stream.next_comment(WAIT);
}

/// All that was accepted comes to its end.
fn all_goes_on(kennel: &Kennel, client: &Client<'_>, asked: &str, taken: &[String], working: &str) {
    for task in taken {
        kennel.reaches("echo", task, COMPLETED);
    }
    for line in ["Ada", "red"] {
        kennel.reaches("interview", asked, INPUT_REQUIRED);
        assert!(client.reply("interview", asked, line).unwrap());
    }
    let summed_up = kennel.reaches("interview", asked, COMPLETED);
    assert_eq!(text_of(&summed_up["artifacts"][0]), "Ada likes red.");
    let counted = kennel.reaches("wanderer", working, COMPLETED);
    let lines: String = (0..60).map(|n| format!("{n}\n")).collect();
    assert_eq!(text_of(&counted["artifacts"][0]), lines, "each line once");
}

#[test]
fn a_full_database_refuses_writes_and_loses_nothing() {
    let mut kennel = Kennel::start(&["echo", "interview", "wanderer"]);
    let record = Record::default();
    let asked = Client::of(&kennel, &record).begin("interview", "begin").unwrap();
    kennel.reaches("interview", &asked, INPUT_REQUIRED);
    let done = kennel.ask("echo", "before");
    kennel.stop();
    let bound = (pages(kennel.data_folder()) + 40).to_string();
    kennel.launch_on_trial(&["--test-max-pages", &bound]);
    let client = Client::of(&kennel, &record);
    let working = client.begin("wanderer", "long 60").unwrap();
    let (refused, taken) = fill(&client);
    is_retryable(&refused);
    let envelope =
        client.call("interview", "SendMessage", crate::harness::message_to(&asked, &"y".repeat(9_000))).unwrap();
    is_retryable(&envelope["error"]);
    is_retryable(&client.call("echo", "SendMessage", message(&"z".repeat(9_000))).unwrap()["error"]);
    reads_go_on(&kennel, &asked, &done);
    // That there is no room is an error for the operator, so it does not end as a host without faults.
    kennel.says("a commit waits for the store");
    kennel.kill9();
    kennel.launch();
    let client = Client::of(&kennel, &record);
    all_goes_on(&kennel, &client, &asked, &taken, &working);
    eprintln!("a full database: {} tasks were accepted before it was", taken.len());
    kennel.stop();
    check(&record, kennel.data_folder());
}

#[test]
fn a_disk_that_was_full_for_a_while_stops_nobody_for_longer() {
    let folder = TempDir::with_prefix("kennel-full-").unwrap();
    let (library, gate) = (folder.path().join("full.so"), folder.path().join("gate"));
    compile(NO_ROOM, &library);
    let mut kennel = Kennel::with(&["echo", "interview", "wanderer"])
        .variable("LD_PRELOAD", &library)
        .variable("GATE", &gate)
        .start();
    let record = Record::default();
    let client = Client::of(&kennel, &record);
    let asked = client.begin("interview", "begin").unwrap();
    kennel.reaches("interview", &asked, INPUT_REQUIRED);
    let done = kennel.ask("echo", "before");
    let working = client.begin("wanderer", "long 60").unwrap();
    kennel.reaches_text("wanderer", &working, "3\n");
    std::fs::write(&gate, "").unwrap();
    let (refused, taken) = fill(&client);
    is_retryable(&refused);
    is_retryable(
        &client.call("interview", "SendMessage", crate::harness::message_to(&asked, "lost")).unwrap()["error"],
    );
    is_retryable(&client.call("wanderer", "CancelTask", json!({ "id": working })).unwrap()["error"]);
    reads_go_on(&kennel, &asked, &done);
    kennel.says("a commit waits for the store");
    let stood = text_of(&kennel.task("wanderer", &working)["artifacts"][0]);
    std::fs::remove_file(&gate).unwrap();
    all_goes_on(&kennel, &client, &asked, &taken, &working);
    assert!(stood.len() < 150, "it stood still meanwhile: {stood}");
    let again = until("the next", Duration::from_secs(5), || Some(kennel.ask("echo", "after")));
    assert_eq!(state_of(&again), COMPLETED);
    kennel.kill9();
    check(&record, kennel.data_folder());
}
