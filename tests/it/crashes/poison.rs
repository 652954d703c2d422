//! Journals that were damaged on the disk: the task that needs one ends FAILED by name, the others go on, and nothing is done twice.

use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use super::warm;
use crate::harness::{Kennel, state_of, status_text, until};
use crate::http::WAIT;

/// What is done to a journal, in words of the test, as SQL on the task `?1`, and what the failure says.
const POISONS: &[(&str, &str, &str)] = &[
    (
        "the hash of a call is another",
        "UPDATE journal SET hash = zeroblob(32) WHERE task = ?1 AND idx = 2",
        "at call 2",
    ),
    ("a hash is too short", "UPDATE journal SET hash = x'00' WHERE task = ?1 AND idx = 2", "cannot be read"),
    (
        "a call has another name",
        "UPDATE journal SET call = 'task.sleep' WHERE task = ?1 AND idx = 2",
        "at call 2 the journal has `task.sleep`",
    ),
    ("a row in the middle is missing", "DELETE FROM journal WHERE task = ?1 AND idx = 3", "Row 3"),
    ("the first row is missing", "DELETE FROM journal WHERE task = ?1 AND idx = 1", "Row 1"),
    (
        "the last row is missing",
        "DELETE FROM journal WHERE task = ?1 AND idx = (SELECT calls FROM task WHERE id = ?1)",
        "rows and should have",
    ),
    ("all rows are missing", "DELETE FROM journal WHERE task = ?1", "has 0 rows"),
    (
        "a row too many",
        "INSERT INTO journal SELECT tenant, task, idx + 1, generation, call, hash, request, result, blobs, seq, due_ms, \
      asked_us, answered_us, cpu_us FROM journal WHERE task = ?1 ORDER BY idx DESC LIMIT 1",
        "rows and should have",
    ),
    (
        "a result is cut",
        "UPDATE journal SET result = substr(result, 1, length(result) - 1) WHERE task = ?1 AND idx = 2",
        "Row 2 of the task's journal cannot be read",
    ),
    (
        "a result is empty",
        "UPDATE journal SET result = x'' WHERE task = ?1 AND idx = 2",
        "Row 2 of the task's journal cannot be read",
    ),
    (
        "a result is missing",
        "UPDATE journal SET result = NULL, answered_us = NULL WHERE task = ?1 AND idx = 2",
        "Row 2 of the task's journal has no result",
    ),
    (
        "a result is another call's",
        "UPDATE journal SET result = CAST('{\"answer\":{\"message\":null}}' AS BLOB) WHERE task = ?1 AND idx = 1",
        "Row 1",
    ),
    ("the generation is another", "UPDATE journal SET generation = 2 WHERE task = ?1 AND idx = 2", "Row 2"),
];

/// Three steps, and then a sleep of which it is woken.
const TEXT: &str = "sleeper";

#[test]
fn a_poisoned_journal_fails_its_own_task_by_name() {
    let mut kennel = warm(&["wanderer", "countdown"]);
    kennel.launch();
    let mut tasks = Vec::new();
    for _ in POISONS {
        tasks.push(kennel.begin("wanderer", TEXT));
    }
    let sound = kennel.begin("wanderer", TEXT);
    for task in tasks.iter().chain([&sound]) {
        kennel.reaches_text("wanderer", task, "begun");
        asleep(kennel.data_folder(), task);
    }
    kennel.kill9();
    let connection = Connection::open(kennel.data_folder().join("kennel.db")).unwrap();
    for (task, (what, sql, _)) in tasks.iter().zip(POISONS) {
        assert!(connection.execute(sql, [task]).unwrap() > 0, "{what}: nothing was changed");
    }
    connection.close().unwrap();
    kennel.launch();
    for (task, (what, _, says)) in tasks.iter().zip(POISONS) {
        let failed = until(what, WAIT, || {
            Some(kennel.task("wanderer", task)).filter(|task| state_of(task) == "TASK_STATE_FAILED")
        });
        let error = &failed["status"]["message"]["metadata"]["urn:kennel:error:1"];
        assert_eq!(error["code"], "journal", "{what}: {failed:#}");
        assert!(status_text(&failed).contains(says), "{what}: {}", status_text(&failed));
        let names: Vec<&Value> = failed["artifacts"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["begun"], "{what}: nothing was done twice, and nothing new");
    }
    assert_eq!(state_of(&kennel.reaches("wanderer", &sound, "TASK_STATE_COMPLETED")), "TASK_STATE_COMPLETED");
    assert_eq!(state_of(&kennel.ask("countdown", "1 every 5ms")), "TASK_STATE_COMPLETED");
    // Unreadable rows are errors for the operator, so it does not end as a host without faults.
    assert!(kennel.stderr().contains("a row of a journal cannot be read"));
    kennel.kill9();
}

/// Waits until a task's sleep is on disk.
fn asleep(data: &Path, task: &str) {
    let connection = Connection::open(data.join("kennel.db")).unwrap();
    until("its sleep", WAIT, || {
        let calls: i64 = connection.query_row("SELECT calls FROM task WHERE id = ?", [task], |row| row.get(0)).unwrap();
        (calls == 4).then_some(())
    });
}

#[test]
fn a_message_that_a_journal_names_and_that_is_missing_fails_its_task() {
    let mut kennel = Kennel::start(&["interview"]);
    let task = crate::harness::id_of(&kennel.ask("interview", "begin"));
    kennel.answer("interview", &task, "Ada");
    kennel.kill9();
    let connection = Connection::open(kennel.data_folder().join("kennel.db")).unwrap();
    assert_eq!(connection.execute("DELETE FROM inbox WHERE task = ? AND n = 1", [&task]).unwrap(), 1);
    connection.close().unwrap();
    kennel.launch();
    let failed = kennel.reaches("interview", &task, "TASK_STATE_FAILED");
    assert_eq!(failed["status"]["message"]["metadata"]["urn:kennel:error:1"]["code"], "journal");
    assert!(status_text(&failed).contains("Message 1"), "{failed:#}");
}
