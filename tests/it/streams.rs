//! Streams: every event once and in order, resumed anywhere, alike for everybody, and never silent for long.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::events::{Event, Events};
use crate::harness::{Kennel, call, fresh, id_of, message, message_to, text_of, until};
use crate::http::WAIT;
use crate::shapes::redact;

/// Silence is broken after 3 s; on a busy machine a little later.
const BEAT: Duration = Duration::from_secs(3);
const BEAT_MAX: Duration = Duration::from_secs(5);

/// Sends a text and streams its task.
fn stream(kennel: &Kennel, agent: &str, text: &str) -> Events {
    kennel.stream(agent, "SendStreamingMessage", message(text))
}

/// All events of a new task: the first is the Task, the ids have no gap, all are about it, and time does not run backwards.
fn whole(kennel: &Kennel, agent: &str, text: &str) -> Vec<Event> {
    let events = stream(kennel, agent, text).rest();
    assert_eq!(events[0].kind(), "task");
    dense(&events, 1);
    let (task, context) = (events[0].task_id(), &events[0].result()["task"]["contextId"]);
    for event in &events[1..] {
        assert_eq!((event.task_id(), &event.result()[event.kind()]["contextId"]), (task.clone(), context));
    }
    let times = events.iter().filter_map(|event| event.result()[event.kind()]["status"]["timestamp"].as_str());
    assert!(times.is_sorted(), "{events:#?}");
    events
}

fn dense(events: &[Event], first: u64) {
    let ids: Vec<u64> = events.iter().map(|event| event.id.unwrap()).collect();
    let expected: Vec<u64> = (first..).take(events.len()).collect();
    assert_eq!(ids, expected, "ids are dense");
}

/// The text of a chunked artifact, put together as a client does.
fn joined(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events.iter().filter(|event| event.kind() == "artifactUpdate") {
        let update = &event.result()["artifactUpdate"];
        if update.get("append").is_none_or(|append| append == false) {
            text.clear();
        }
        text.push_str(&text_of(&update["artifact"]));
    }
    text
}

#[test]
fn a_stream_begins_with_the_task_and_ends_after_its_last_event() {
    let kennel = Kennel::start(&["echo"]);
    let mut events = stream(&kennel, "echo", "hello");
    assert_eq!(events.header("content-type"), Some("text/event-stream"));
    assert_eq!(events.header("cache-control"), Some("no-cache"));
    let events = events.rest();
    dense(&events, 1);
    let shown: Vec<String> = events
        .iter()
        .map(|event| {
            let state = event.state().trim_start_matches("TASK_STATE_");
            let update = &event.result()[event.kind()];
            let text = text_of(&update["artifact"]) + &text_of(&update["status"]["message"]);
            format!("{} {state} {text}", event.kind()).replace("  ", " ").trim_end().to_owned()
        })
        .collect();
    let expected = [
        "task SUBMITTED",
        "statusUpdate WORKING",
        "statusUpdate WORKING working",
        "artifactUpdate hello",
        "statusUpdate COMPLETED",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn every_event_has_its_members_and_no_others() {
    let kennel = Kennel::start(&["echo"]);
    let events = whole(&kennel, "echo", "hello");
    for event in &events {
        assert_eq!((&event.json["jsonrpc"], &event.json["id"]), (&json!("2.0"), &json!(1)));
        assert!(event.json.get("error").is_none());
    }
    let subject = json!({ "taskId": "[taskId]", "contextId": "[contextId]" });
    let with = |name: &str, value: Value| {
        let mut event = subject.clone();
        event[name] = value;
        event
    };
    let status = redact(&events[4].result()["statusUpdate"]);
    assert_eq!(status, with("status", json!({ "state": "TASK_STATE_COMPLETED", "timestamp": "[timestamp]" })));
    let artifact = redact(&events[3].result()["artifactUpdate"]);
    let mut expected =
        with("artifact", json!({ "artifactId": "artifact-2", "name": "echo", "parts": [{ "text": "hello" }] }));
    expected["lastChunk"] = json!(true);
    assert_eq!(artifact, expected, "append is false, so it is absent");
}

#[test]
fn a_bare_message_is_the_only_event_of_its_stream() {
    let kennel = Kennel::start(&["hello", "auto"]);
    for agent in ["hello", "auto"] {
        let events = stream(&kennel, agent, "Ada").rest();
        assert_eq!((events.len(), events[0].kind(), events[0].id), (1, "message", None));
        assert_eq!(text_of(&events[0].result()["message"]), "Hello, Ada.");
    }
    let events = whole(&kennel, "auto", "slow");
    assert_eq!(events.last().unwrap().state(), "TASK_STATE_COMPLETED");
}

#[test]
fn pieces_of_an_artifact_join_to_the_whole() {
    let kennel = Kennel::start(&["countdown"]);
    let events = whole(&kennel, "countdown", "4 every 50ms");
    assert_eq!(joined(&events), "4\n3\n2\n1\n0\n");
    let pieces: Vec<&Value> = events.iter().filter_map(|event| event.result().get("artifactUpdate")).collect();
    for (n, piece) in pieces.iter().enumerate() {
        assert_eq!(piece.get("append").is_some_and(|append| append == true), n > 0, "the first one creates: {piece:#}");
        let last = piece.get("lastChunk").is_some_and(|last| last == true);
        assert_eq!(last, n + 1 == pieces.len(), "only the last one is the last: {piece:#}");
    }
    let task = kennel.task("countdown", &events[0].task_id());
    assert_eq!(text_of(&task["artifacts"][0]), "4\n3\n2\n1\n0\n");
    assert_eq!(task["artifacts"].as_array().unwrap().len(), 1);
}

#[test]
fn progress_says_how_far_and_what() {
    let kennel = Kennel::start(&["countdown"]);
    let events = whole(&kennel, "countdown", "3 every 300ms");
    let progress: Vec<Value> = events
        .iter()
        .filter_map(|event| event.result()["statusUpdate"]["status"]["message"]["parts"].as_array())
        .flatten()
        .filter(|part| part["metadata"]["urn:kennel:progress:1"] == true)
        .map(|part| part["data"].clone())
        .collect();
    let said = |percent: u8, phase: &str| json!({ "percent": percent, "phase": phase });
    assert_eq!(progress, [said(0, "3 to go"), said(33, "2 to go"), said(66, "1 to go")]);
    let task = kennel.task("countdown", &events[0].task_id());
    let history = task["history"].as_array().unwrap();
    assert_eq!(history.len(), 1, "progress is no part of the conversation: {task:#}");
}

#[test]
fn a_finished_task_is_resumed_after_any_event() {
    let kennel = Kennel::start(&["countdown"]);
    let events = whole(&kennel, "countdown", "3 every 50ms");
    let task = events[0].task_id();
    for seen in 1..events.len() {
        let rest = kennel.resume("countdown", &task, &seen.to_string()).rest();
        assert_eq!(rest, events[seen..], "after {seen}: the same frames, then the end");
    }
    let again = kennel.resume("countdown", &task, "0").rest();
    assert_eq!(
        (again[0].kind(), again[0].state()),
        ("task", "TASK_STATE_SUBMITTED"),
        "event 1 is the task as it began"
    );
    assert_eq!(again[1..], events[1..]);
    let last = events.len().to_string();
    for given in [last.as_str(), "9999", "junk", "", "-1", "1.5", "99999999999999999999999"] {
        let request = call("countdown", "SubscribeToTask", json!({ "id": task })).header("last-event-id", given);
        let error = kennel.send(&request).json();
        assert_eq!(error["error"]["code"], -32004, "nothing is left after {given:?}: {error}");
    }
    assert_eq!(kennel.error("countdown", "SubscribeToTask", json!({ "id": task }))["code"], -32004);
}

#[test]
fn a_running_task_is_resumed_without_a_task_first() {
    let kennel = Kennel::start(&["interview"]);
    let begun = stream(&kennel, "interview", "begin").rest();
    let task = begun[0].task_id();
    let rev = begun.len();
    let rest = |mut events: Events| events.next_event().unwrap();
    for event in &begun[1..] {
        let seen = event.id.unwrap() - 1;
        assert_eq!(rest(kennel.resume("interview", &task, &seen.to_string())), *event);
    }
    for given in ["9999", "junk", ""] {
        let first = rest(kennel.resume("interview", &task, given));
        assert_eq!((first.kind(), first.id), ("task", Some(rev as u64)), "{given:?} says nothing: the Task first");
    }
    let first = rest(kennel.subscribe("interview", &task));
    assert_eq!((first.kind(), first.state()), ("task", "TASK_STATE_INPUT_REQUIRED"));
    let mut waiting = kennel.resume("interview", &task, &rev.to_string());
    kennel.answer("interview", &task, "Ada");
    let next = waiting.next_event().unwrap();
    assert_eq!((next.kind(), next.id), ("statusUpdate", Some(rev as u64 + 1)), "what comes next, without a Task");
}

#[test]
fn a_resumed_stream_goes_on_with_what_comes() {
    let kennel = Kennel::start(&["countdown"]);
    let mut first = stream(&kennel, "countdown", "6 every 200ms");
    let mut seen = first.until("a piece", |event| event.kind() == "artifactUpdate");
    let task = seen[0].task_id();
    drop(first);
    let last = seen.last().unwrap().id.unwrap();
    seen.extend(kennel.resume("countdown", &task, &last.to_string()).rest());
    dense(&seen, 1);
    assert_eq!(joined(&seen), "6\n5\n4\n3\n2\n1\n0\n");
    assert_eq!(seen.last().unwrap().state(), "TASK_STATE_COMPLETED", "closing a stream did not stop the task");
}

#[test]
fn all_subscribers_get_the_same_frames() {
    let kennel = Kennel::start(&["countdown"]);
    let mut sender = stream(&kennel, "countdown", "8 every 150ms");
    let task = sender.next_event().unwrap().task_id();
    let (all, late) = std::thread::scope(|scope| {
        let one = scope.spawn(|| kennel.subscribe("countdown", &task).rest());
        let two = scope.spawn(|| {
            kennel.reaches_text("countdown", &task, "7\n");
            kennel.subscribe("countdown", &task).rest()
        });
        let closed = scope.spawn(|| drop(kennel.subscribe("countdown", &task).next_event()));
        closed.join().unwrap();
        (vec![one.join().unwrap(), two.join().unwrap()], sender.rest())
    });
    for events in all {
        assert_eq!(events[0].kind(), "task");
        let after = events[0].id.unwrap();
        let expected: Vec<&Event> = late.iter().filter(|event| event.id.unwrap() > after).collect();
        assert_eq!(events[1..].iter().collect::<Vec<_>>(), expected, "no gap and no repeat after the Task at {after}");
        assert_eq!(events.last().unwrap().state(), "TASK_STATE_COMPLETED");
    }
}

#[test]
fn frames_are_the_same_after_a_restart() {
    let mut kennel = Kennel::start(&["countdown", "echo"]);
    let tasks = [whole(&kennel, "countdown", "5 every 20ms"), whole(&kennel, "echo", "hello")];
    kennel.restart();
    for (events, agent) in tasks.iter().zip(["countdown", "echo"]) {
        let again = kennel.resume(agent, &events[0].task_id(), "1").rest();
        assert_eq!(again, events[1..]);
    }
}

#[test]
fn the_stream_of_a_send_ends_where_input_is_asked_for_and_a_subscription_goes_on() {
    let kennel = Kennel::start(&["interview"]);
    let begun = stream(&kennel, "interview", "begin").rest();
    assert_eq!(begun.last().unwrap().state(), "TASK_STATE_INPUT_REQUIRED");
    let task = begun[0].task_id();
    let mut subscribed = kennel.subscribe("interview", &task);
    assert_eq!(subscribed.next_event().unwrap().kind(), "task");
    let second = kennel.stream("interview", "SendStreamingMessage", message_to(&task, "Ada")).rest();
    assert_eq!(second[0].kind(), "task", "every stream begins with the Task");
    assert_eq!(second[0].state(), "TASK_STATE_WORKING", "the answer is taken, the old prompt is gone");
    assert_eq!(second.last().unwrap().state(), "TASK_STATE_INPUT_REQUIRED");
    let third = call("interview", "SendStreamingMessage", message_to(&task, "red")).header("last-event-id", "1");
    let third = Events::new(kennel.open(&third)).rest();
    assert_eq!(third[0].kind(), "task", "the header means nothing to a send");
    assert_eq!(third.last().unwrap().state(), "TASK_STATE_COMPLETED");
    let seen = subscribed.rest();
    dense(&seen, begun.len() as u64 + 1);
    assert_eq!(seen.iter().filter(|event| event.state() == "TASK_STATE_INPUT_REQUIRED").count(), 1);
    assert_eq!(seen.last(), third.last());
}

#[test]
fn streams_stay_open_while_authorization_is_asked_for() {
    let kennel = Kennel::start(&["mischief"]);
    let mut sent = stream(&kennel, "mischief", "auth");
    let task = sent.next_event().unwrap().task_id();
    sent.until_state("TASK_STATE_AUTH_REQUIRED");
    let mut subscribed = kennel.subscribe("mischief", &task);
    assert_eq!(subscribed.next_event().unwrap().state(), "TASK_STATE_AUTH_REQUIRED");
    sent.next_comment(BEAT_MAX);
    kennel.answer("mischief", &task, "here you are");
    for mut events in [sent, subscribed] {
        assert_eq!(events.rest().last().unwrap().state(), "TASK_STATE_COMPLETED");
    }
}

#[test]
fn a_task_of_a_plain_send_can_be_subscribed_to() {
    let kennel = Kennel::start(&["countdown"]);
    let task = kennel.begin("countdown", "3 every 200ms");
    let events = kennel.subscribe("countdown", &task).rest();
    assert_eq!(events[0].kind(), "task");
    assert_eq!(events.last().unwrap().state(), "TASK_STATE_COMPLETED");
}

#[test]
fn a_silent_stream_sends_comments() {
    let kennel = Kennel::start(&["interview"]);
    let task = stream(&kennel, "interview", "begin").rest()[0].task_id();
    let mut events = kennel.subscribe("interview", &task);
    events.next_event().unwrap();
    let began = Instant::now();
    for n in 1..=2 {
        events.next_comment(BEAT_MAX);
        let passed = began.elapsed();
        assert!(passed >= BEAT * n - Duration::from_millis(200), "comment {n} came after {passed:?}");
    }
}

#[test]
fn a_slow_answer_begins_with_newlines() {
    let kennel = Kennel::start(&["mischief"]);
    let began = Instant::now();
    let mut answer = kennel.open(&call("mischief", "SendMessage", message("sleep 7000")));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let deadline = Instant::now() + WAIT;
    let (mut body, mut beats) = (Vec::new(), Vec::new());
    while let Some(piece) = answer.piece(deadline).unwrap() {
        if piece == b"\n" {
            beats.push(began.elapsed());
        }
        body.extend(piece);
    }
    assert!(beats.len() >= 2 && beats[0] < BEAT_MAX, "newlines at {beats:?}");
    let text = String::from_utf8(body).unwrap();
    assert!(text.trim_start_matches('\n').starts_with('{'), "{text}");
    let envelope: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(envelope["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED");
}

#[test]
fn a_client_that_goes_away_stops_nothing() {
    let kennel = Kennel::start(&["countdown"]);
    let mut params = message("4 every 200ms");
    params["message"]["contextId"] = json!("ours");
    let client = call("countdown", "SendMessage", params).write(kennel.address(), WAIT).unwrap();
    let task = until("the task", WAIT, || {
        let list = kennel.result("countdown", "ListTasks", json!({ "contextId": "ours" }));
        list["tasks"].get(0).map(id_of)
    });
    drop(client);
    kennel.reaches("countdown", &task, "TASK_STATE_COMPLETED");
}

#[test]
fn many_streams_at_once_lose_nothing() {
    let kennel = Kennel::start(&["mischief"]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut params = message("flood-events 400");
                params["message"]["messageId"] = json!(fresh("m"));
                let events = kennel.stream("mischief", "SendStreamingMessage", params).rest();
                dense(&events, 1);
                assert_eq!(events.len(), 403, "the task, working, 400 events, the end");
            });
        }
    });
}

#[test]
fn a_reader_that_is_slow_loses_nothing_and_holds_nobody_up() {
    let kennel = Kennel::start(&["mischief"]);
    let mut slow = stream(&kennel, "mischief", "chunks 600 20000");
    let task = slow.next_event().unwrap().task_id();
    let done = kennel.reaches("mischief", &task, "TASK_STATE_COMPLETED");
    let rest = slow.rest();
    dense(&rest, 2);
    assert!(joined(&rest) == text_of(&done["artifacts"][0]), "12 MB, read after the task was over");
}
