//! Tasks that send tasks: each once whatever happens, awaited without a place, answered when they ask, canceled with their parent.

use serde_json::{Value, json};

use crate::harness::{Builder, Kennel, id_of, state_of, text_of, until};
use crate::http::WAIT;

const COMPLETED: &str = "TASK_STATE_COMPLETED";
const CANCELED: &str = "TASK_STATE_CANCELED";
const FAILED: &str = "TASK_STATE_FAILED";

fn travel() -> Builder {
    ["flight", "hotel", "activity"].iter().fold(Kennel::with(&["trip"]), |host, name| host.agent_as(name, "booking"))
}

fn tasks(kennel: &Kennel, agent: &str) -> Vec<Value> {
    kennel.result(agent, "ListTasks", json!({ "pageSize": 100 }))["tasks"].as_array().unwrap().clone()
}

/// The only task of an agent, once it is in this state.
fn only(kennel: &Kennel, agent: &str, state: &str) -> Value {
    until(&format!("one {state} of {agent}"), WAIT, || {
        let all = tasks(kennel, agent);
        (all.len() == 1 && state_of(&all[0]) == state).then(|| all[0].clone())
    })
}

fn check_trip(kennel: &Kennel, task: &Value) {
    assert_eq!(state_of(task), COMPLETED, "{task:#}");
    let lines: Vec<String> = text_of(&task["artifacts"][0]).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with("flight: ") && lines[1].starts_with("hotel: double room"), "{lines:?}");
    assert!(lines[3].contains("breakfast (added to: hotel: double room"), "{lines:?}");
    let counts = ["flight", "hotel", "activity"].map(|agent| tasks(kennel, agent).len());
    assert_eq!(counts, [1, 2, 1], "each message made one task");
    for agent in ["flight", "hotel", "activity"] {
        for child in tasks(kennel, agent) {
            assert_eq!(child["contextId"], task["contextId"], "one conversation");
        }
    }
}

#[test]
fn a_trip_is_booked_by_tasks_that_build_on_each_other() {
    let kennel = travel().start();
    let task = kennel.ask("trip", "three days in Rome");
    check_trip(&kennel, &task);
}

#[test]
fn a_booking_is_made_alone_too() {
    let kennel = Kennel::start(&["booking"]);
    assert_eq!(text_of(&kennel.ask("booking", "Rome")["artifacts"][0]), "booking: Rome");
}

#[test]
fn a_trip_without_anybody_to_ask_fails_by_name() {
    let kennel = Kennel::start(&["trip"]);
    let task = kennel.ask("trip", "three days in Rome");
    let error = &task["status"]["message"]["metadata"]["urn:kennel:error:1"];
    assert_eq!((state_of(&task), &error["kind"]), (FAILED, &json!("not-found")), "{task:#}");
    assert!(text_of(&task["status"]["message"]).contains("flight"), "{task:#}");
}

#[test]
fn a_trip_goes_on_whenever_the_power_goes() {
    let mut kennel = travel().start();
    let id = kennel.begin("trip", "three days in Rome");
    for count in [1, 2, 3, 4] {
        until("the next booking", WAIT, || {
            let begun: usize = ["flight", "hotel", "activity"].iter().map(|agent| tasks(&kennel, agent).len()).sum();
            (begun >= count).then_some(())
        });
        kennel.kill9();
        kennel.launch();
    }
    let task = kennel.reaches("trip", &id, COMPLETED);
    check_trip(&kennel, &task);
}

#[test]
fn parents_wait_without_a_place() {
    let kennel = Kennel::with(&["family", "mischief", "hello"]).arg("--instances").arg("1").start();
    let task = kennel.ask("family", "nest 5");
    assert_eq!(text_of(&task["artifacts"][0]), "5 4 3 2 1 bottom");
    let task = kennel.ask("family", "many 20");
    let expected: Vec<String> = (0..20).map(|n| format!("leaf-{n}")).collect();
    assert_eq!(text_of(&task["artifacts"][0]), expected.join(" "));
}

#[test]
fn tasks_send_one_another_to_a_depth_of_eight() {
    let kennel = Kennel::start(&["family", "mischief", "hello"]);
    assert_eq!(state_of(&kennel.ask("family", "nest 8")), COMPLETED);
    let task = kennel.ask("family", "nest 9");
    assert_eq!(state_of(&task), FAILED, "{task:#}");
}

#[test]
fn an_agent_sends_only_to_whom_its_card_names() {
    let kennel = Kennel::start(&["family", "mischief", "hello", "echo"]);
    let task = kennel.ask("family", "stranger");
    let error = &task["status"]["message"]["metadata"]["urn:kennel:error:1"];
    assert_eq!((state_of(&task), &error["kind"]), (FAILED, &json!("denied")), "{task:#}");
    assert!(text_of(&task["status"]["message"]).contains("echo"), "{task:#}");
    assert!(tasks(&kennel, "echo").is_empty());
    assert_eq!(text_of(&kennel.ask("family", "greet")["artifacts"][0]), "Hello, Ada.", "agents of bare messages too");
}

#[test]
fn children_end_with_a_parent_that_is_canceled_or_fails_and_not_with_one_that_completes() {
    let kennel = Kennel::start(&["family", "mischief", "hello"]);
    let waiting = kennel.begin("family", "wait");
    only(&kennel, "mischief", "TASK_STATE_WORKING");
    assert_eq!(state_of(&kennel.cancel("family", &waiting)), CANCELED);
    only(&kennel, "mischief", CANCELED);

    let kennel = Kennel::start(&["family", "mischief", "hello"]);
    assert_eq!(state_of(&kennel.ask("family", "fail")), FAILED);
    only(&kennel, "mischief", CANCELED);

    let kennel = Kennel::start(&["family", "mischief", "hello"]);
    assert_eq!(state_of(&kennel.ask("family", "complete")), COMPLETED);
    let child = only(&kennel, "mischief", "TASK_STATE_WORKING");
    kennel.cancel("mischief", &id_of(&child));
}

#[test]
fn a_child_that_takes_too_long_is_canceled() {
    let kennel = Kennel::start(&["family", "mischief", "hello"]);
    let task = kennel.ask("family", "hasty");
    let error = &task["status"]["message"]["metadata"]["urn:kennel:error:1"];
    assert_eq!((state_of(&task), &error["kind"]), (FAILED, &json!("timed-out")), "{task:#}");
    only(&kennel, "mischief", CANCELED);
}

#[test]
fn parent_and_children_name_each_other() {
    let kennel = travel().start();
    let task = kennel.ask("trip", "three days in Rome");
    let children = task["metadata"]["urn:kennel:family:1"]["children"].as_array().unwrap().clone();
    assert_eq!(children.len(), 4, "{task:#}");
    let flight = tasks(&kennel, "flight").remove(0);
    assert!(children.contains(&flight["id"]));
    let flight = kennel.task("flight", flight["id"].as_str().unwrap());
    assert_eq!(flight["metadata"]["urn:kennel:family:1"]["parent"], task["id"], "{flight:#}");
}
