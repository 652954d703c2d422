//! CancelTask: whatever an agent does, it ends in bounded time, and what it still wants to say is heard.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Kennel, call, id_of, state_of, text_of};
use crate::http::WAIT;

const CANCELED: &str = "TASK_STATE_CANCELED";

/// Until an agent that does not listen is ended by force: the grace of 10 s and 2 s more, and what a busy machine needs.
const FORCED_MAX: Duration = Duration::from_secs(16);

/// Cancels and says how long it took.
fn timed(kennel: &Kennel, agent: &str, id: &str) -> (Value, Duration) {
    let began = Instant::now();
    (kennel.cancel(agent, id), began.elapsed())
}

#[test]
fn a_waiting_agent_is_canceled_at_once() {
    let kennel = Kennel::start(&["mischief", "interview", "countdown"]);
    for (agent, text, state) in [
        ("mischief", "sleep 3600000", "TASK_STATE_WORKING"),
        ("mischief", "mailbox", "TASK_STATE_WORKING"),
        ("mischief", "auth", "TASK_STATE_AUTH_REQUIRED"),
        ("interview", "begin", "TASK_STATE_INPUT_REQUIRED"),
        ("countdown", "60 every 1000ms", "TASK_STATE_WORKING"),
    ] {
        let id = kennel.begin(agent, text);
        kennel.reaches(agent, &id, state);
        let (task, took) = timed(&kennel, agent, &id);
        assert_eq!(state_of(&task), CANCELED, "{agent} {text}: {task:#}");
        assert!(took < Duration::from_secs(5), "{agent} {text}: {took:?}");
        assert_eq!(kennel.task(agent, &id), task);
    }
}

#[test]
fn agents_that_do_not_listen_are_ended_by_force_while_others_answer() {
    let kennel = Kennel::start(&["mischief", "echo"]);
    let ids = ["spin", "ignore-cancel", "spin"].map(|word| {
        let id = kennel.begin("mischief", word);
        kennel.reaches("mischief", &id, "TASK_STATE_WORKING");
        id
    });
    std::thread::scope(|scope| {
        let cancels = ids.each_ref().map(|id| scope.spawn(|| timed(&kennel, "mischief", id)));
        let mut slowest = Duration::ZERO;
        while !cancels.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let began = Instant::now();
            assert_eq!(state_of(&kennel.ask("echo", "still there?")), "TASK_STATE_COMPLETED");
            slowest = slowest.max(began.elapsed());
        }
        assert!(slowest < Duration::from_secs(5), "another agent answered after {slowest:?}");
        for cancel in cancels {
            let (task, took) = cancel.join().unwrap();
            assert!(took < FORCED_MAX, "{took:?}");
            // Where the processor is much in demand, the answer may come before the end.
            kennel.reaches("mischief", &id_of(&task), CANCELED);
        }
    });
}

#[test]
fn a_cancel_that_waits_sends_newlines() {
    let kennel = Kennel::start(&["mischief"]);
    let id = kennel.begin("mischief", "ignore-cancel");
    kennel.reaches("mischief", &id, "TASK_STATE_WORKING");
    let mut answer = kennel.open(&call("mischief", "CancelTask", json!({ "id": id })));
    let deadline = Instant::now() + WAIT;
    let mut body = Vec::new();
    while let Some(piece) = answer.piece(deadline).unwrap() {
        body.extend(piece);
    }
    let text = String::from_utf8(body).unwrap();
    assert!(text.starts_with("\n\n"), "{text:?}");
    let envelope: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(envelope["result"]["id"], id);
    kennel.reaches("mischief", &id, CANCELED);
}

#[test]
fn an_agent_may_undo_its_work_and_hears_the_reason() {
    let kennel = Kennel::start(&["mischief"]);
    let id = kennel.begin("mischief", "compensate");
    kennel.reaches("mischief", &id, "TASK_STATE_WORKING");
    let mut events = kennel.subscribe("mischief", &id);
    let params = json!({ "id": id, "metadata": { "reason": "too late", "more": 1 } });
    let task = kennel.result("mischief", "CancelTask", params);
    assert_eq!((state_of(&task), text_of(&task["artifacts"][0]).as_str()), (CANCELED, "undone: too late"));
    let seen = events.rest();
    let kinds: Vec<&str> = seen.iter().map(crate::events::Event::kind).collect();
    assert_eq!(kinds, ["task", "artifactUpdate", "statusUpdate"], "streams show the undoing, then the end");
    assert_eq!(seen[2].state(), CANCELED);
}

#[test]
fn a_task_that_is_over_cannot_be_canceled() {
    let kennel = Kennel::start(&["mischief"]);
    let canceled = kennel.begin("mischief", "sleep 3600000");
    kennel.cancel("mischief", &canceled);
    let over = ["echo", "fail", "reject"].map(|word| id_of(&kennel.ask("mischief", word)));
    for (id, state) in over.iter().chain([&canceled]).zip(["COMPLETED", "FAILED", "REJECTED", "CANCELED"]) {
        let before = kennel.task("mischief", id);
        let error = kennel.error("mischief", "CancelTask", json!({ "id": id }));
        assert_eq!(error["code"], -32002, "{error:#}");
        let metadata = json!({ "taskId": id, "state": format!("TASK_STATE_{state}") });
        assert_eq!(error["data"][0]["metadata"], metadata);
        assert_eq!(kennel.task("mischief", id), before, "it stays as it was");
    }
}

#[test]
fn a_second_cancel_has_the_same_effect_as_the_first() {
    let kennel = Kennel::start(&["mischief"]);
    let id = kennel.begin("mischief", "compensate");
    kennel.reaches("mischief", &id, "TASK_STATE_WORKING");
    std::thread::scope(|scope| {
        let cancels: Vec<_> =
            (0..6).map(|_| scope.spawn(|| kennel.rpc("mischief", "CancelTask", json!({ "id": id })))).collect();
        for cancel in cancels {
            let envelope = cancel.join().unwrap();
            let canceled = state_of(&envelope["result"]) == CANCELED;
            assert!(canceled || envelope["error"]["code"] == -32002, "{envelope:#}");
        }
    });
    let task = kennel.task("mischief", &id);
    assert_eq!(task["artifacts"].as_array().unwrap().len(), 1, "undone once: {task:#}");
}

#[test]
fn many_cancels_at_once_all_arrive() {
    let kennel = Kennel::start(&["mischief"]);
    let ids: Vec<String> = (0..40).map(|_| kennel.begin("mischief", "sleep 3600000")).collect();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for id in &ids {
            let kennel = &kennel;
            scope.spawn(move || assert_eq!(state_of(&kennel.cancel("mischief", id)), CANCELED));
        }
    });
    assert!(began.elapsed() < FORCED_MAX, "{:?}", began.elapsed());
    let left = kennel.result("mischief", "ListTasks", json!({ "status": "TASK_STATE_WORKING" }));
    assert_eq!(left["totalSize"], 0, "{left:#}");
}

#[test]
fn a_cancel_beside_the_end_tells_which_came_first() {
    let kennel = Kennel::start(&["countdown"]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for wait_ms in (0..40).step_by(2) {
                    let id = kennel.begin("countdown", &format!("1 every {wait_ms}ms"));
                    let envelope = kennel.rpc("countdown", "CancelTask", json!({ "id": id }));
                    let task = kennel.task("countdown", &id);
                    let told = match envelope.get("error") {
                        None => state_of(&envelope["result"]).to_owned(),
                        Some(error) => error["data"][0]["metadata"]["state"].as_str().unwrap().to_owned(),
                    };
                    assert_eq!(state_of(&task), told, "{envelope:#}");
                    assert!([CANCELED, "TASK_STATE_COMPLETED"].contains(&state_of(&task)), "{task:#}");
                }
            });
        }
    });
}

#[test]
fn what_is_not_listened_to_stays_canceled() {
    let kennel = Kennel::start(&["mischief"]);
    let id = kennel.begin("mischief", "spin");
    kennel.reaches("mischief", &id, "TASK_STATE_WORKING");
    let mut events = kennel.subscribe("mischief", &id);
    kennel.cancel("mischief", &id);
    let seen = events.rest();
    assert_eq!(seen.last().unwrap().state(), CANCELED, "streams end with it");
    assert_eq!(seen.iter().filter(|event| event.state() == CANCELED).count(), 1);
    let task = kennel.task("mischief", &id);
    assert_eq!((state_of(&task), task.get("artifacts")), (CANCELED, None), "{task:#}");
    assert_eq!(kennel.error("mischief", "CancelTask", json!({ "id": id }))["code"], -32002);
}
