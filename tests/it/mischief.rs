//! Agents that misbehave: each ends as it should, says so in one public sentence, and disturbs nobody else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Kennel, id_of, is_over, message, message_to, state_of, status_text, text_of};

const COMPLETED: &str = "TASK_STATE_COMPLETED";
const FAILED: &str = "TASK_STATE_FAILED";

/// The words of mischief that end a task by themselves: word, state, code of the failure, public text.
const ENDS: &[(&str, &str, &str, &str)] = &[
    ("allocate", FAILED, "memory", "The agent ran out of memory (limit 128 MiB)."),
    ("recurse", FAILED, "stack", "The agent ran out of stack."),
    ("recurse-frames", FAILED, "stack", "The agent ran out of stack."),
    ("panic", FAILED, "panic", "The agent stopped unexpectedly."),
    ("trap", FAILED, "unreachable", "The agent stopped unexpectedly."),
    ("too-much", FAILED, "part-bytes", ""),
    ("too-much-call", FAILED, "call-bytes", "The agent sent too much in one call (limit 16 MiB)."),
    ("too-much-outcome", FAILED, "invalid-outcome", "The agent returned an invalid result."),
    ("fail", FAILED, "mischief", "Mischief was asked for."),
    ("reply", FAILED, "invalid-agent-response", "The agent answered with a bare message, but it had opened a task."),
    ("flood-logs 3000", COMPLETED, "", ""),
    ("stdout", COMPLETED, "", ""),
    ("checkpoint 3", COMPLETED, "", ""),
    ("clock", COMPLETED, "", ""),
    ("sleep 50", COMPLETED, "", ""),
    ("echo", COMPLETED, "", ""),
    ("chunks 100 1000", COMPLETED, "", ""),
    ("history", COMPLETED, "", ""),
    ("references", COMPLETED, "", ""),
    ("reject", "TASK_STATE_REJECTED", "", "Not even mischief does that."),
];

/// Words that other tests send: they need more than one message, or a long time.
const ELSEWHERE: &[&str] =
    &["spin", "flood-events", "big", "auth", "ask-schema", "mailbox", "ignore-cancel", "compensate"];

/// The failure in a status message.
fn failure(task: &Value) -> &Value {
    &task["status"]["message"]["metadata"]["urn:kennel:error:1"]
}

#[test]
fn every_word_of_mischief_is_tested() {
    let code = std::fs::read_to_string(crate::plugins::workspace().join("plugins/mischief/src/lib.rs")).unwrap();
    let deeds = code.split_once("const DEEDS").unwrap().1.split_once("];").unwrap().0;
    let mut words: Vec<&str> =
        deeds.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next()).collect();
    words.sort_unstable();
    let first = |word: &&'static str| word.split(' ').next().unwrap();
    let ours = ENDS.iter().map(|(word, ..)| first(word)).filter(|word| *word != "echo");
    let mut tested: Vec<&str> = ours.chain(ELSEWHERE.iter().copied()).collect();
    tested.sort_unstable();
    assert_eq!(words, tested);
}

#[test]
fn every_word_ends_in_its_state_with_a_public_reason() {
    let kennel = Kennel::start(&["mischief"]);
    for (word, state, code, text) in ENDS {
        let task = kennel.ask("mischief", word);
        assert_eq!(state_of(&task), *state, "{word}: {task:#}");
        if *state == FAILED {
            assert_eq!(failure(&task)["code"], *code, "{word}: {task:#}");
            assert_eq!(failure(&task)["retryable"], json!(*word == "fail"), "{word}");
            assert!(failure(&task)["kind"].is_string(), "{word}");
        }
        let said = status_text(&task);
        assert!(text.is_empty() || said == *text, "{word} says {said:?}");
        assert_eq!(kennel.task("mischief", &id_of(&task)), task);
    }
    assert_eq!(state_of(&kennel.ask("mischief", "after all that")), COMPLETED);
}

#[test]
fn what_a_panic_says_is_for_the_operator_alone() {
    let kennel = Kennel::start(&["mischief"]);
    let mut events = kennel.stream("mischief", "SendStreamingMessage", message("panic"));
    let seen = events.rest();
    let task = kennel.task("mischief", &seen[0].task_id());
    let list = kennel.result("mischief", "ListTasks", json!({ "includeArtifacts": true }));
    let shown = format!("{task} {list} {}", seen.iter().map(|event| event.text.as_str()).collect::<String>());
    for secret in ["secret", "harm.rs", "wasm backtrace", "mischief panics"] {
        assert!(!shown.contains(secret), "{secret:?} reached a client: {shown}");
    }
    kennel.says("a secret of the operator");
    let said = kennel.stderr();
    assert!(said.contains("wasm backtrace") && said.contains("mischief.wasm!"), "no backtrace in\n{said}");
    assert!(said.contains(&seen[0].task_id()), "the operator sees which task it was");
}

#[test]
fn a_spinning_agent_is_ended_by_its_processor_time_while_others_answer() {
    let kennel = Kennel::start(&["mischief", "echo"]);
    let id = kennel.begin("mischief", "spin");
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    let task = loop {
        let asked = Instant::now();
        assert_eq!(state_of(&kennel.ask("echo", "still there?")), COMPLETED);
        slowest = slowest.max(asked.elapsed());
        let task = kennel.task("mischief", &id);
        if is_over(&task) {
            break task;
        }
        assert!(began.elapsed() < Duration::from_secs(150), "it spins for ever: {task:#}");
        crate::harness::pause();
    };
    assert_eq!((state_of(&task), &failure(&task)["code"]), (FAILED, &json!("cpu")), "{task:#}");
    assert_eq!(status_text(&task), "The agent used too much processor time (limit 30s).");
    assert!(began.elapsed() >= Duration::from_secs(25), "it had its time: {:?}", began.elapsed());
    assert!(slowest < Duration::from_secs(5), "another agent answered after {slowest:?}");
}

/// Resident memory of the host now, in MiB.
fn memory_mib(kennel: &Kennel) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", kennel.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn agents_that_take_all_memory_leave_the_host_small_and_others_served() {
    let kennel = Kennel::with(&["mischief", "echo"]).arg("--agent-memory").arg("256").start();
    let (mut largest, mut slowest) = (0, Duration::ZERO);
    std::thread::scope(|scope| {
        let greedy = [(); 16]
            .map(|()| scope.spawn(|| (0..2).all(|_| failure(&kennel.ask("mischief", "allocate"))["code"] == "memory")));
        while !greedy.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            largest = largest.max(memory_mib(&kennel));
            let asked = Instant::now();
            assert_eq!(state_of(&kennel.ask("echo", "still there?")), COMPLETED);
            slowest = slowest.max(asked.elapsed());
        }
        assert!(greedy.into_iter().all(|one| one.join().unwrap()));
    });
    // Two of the sixteen have their 128 MiB at a time.
    assert!(largest < 500, "the host grew to {largest} MiB");
    assert!(slowest < Duration::from_secs(5), "another agent answered after {slowest:?}");
}

#[test]
fn a_flood_of_events_ends_at_the_limit_and_all_are_kept() {
    let kennel = Kennel::start(&["mischief"]);
    let events = kennel.stream("mischief", "SendStreamingMessage", message("flood-events 20000")).rest();
    let ids: Vec<u64> = events.iter().map(|event| event.id.unwrap()).collect();
    assert_eq!(ids, (1..=10_000).collect::<Vec<u64>>());
    let task = kennel.task("mischief", &events[0].task_id());
    assert_eq!((state_of(&task), &failure(&task)["code"]), (FAILED, &json!("events")), "{}", task["status"]);
    assert_eq!(failure(&task)["kind"], "limit");
    let history = task["history"].as_array().unwrap();
    assert_eq!(text_of(&history[1]), "event 0");
    let last = kennel.resume("mischief", &id_of(&task), "9998").rest();
    assert_eq!(last, events[9_998..]);
}

#[test]
fn a_flood_of_logs_is_cut_and_counted() {
    let kennel = Kennel::start(&["mischief"]);
    assert_eq!(state_of(&kennel.ask("mischief", "flood-logs 3000")), COMPLETED);
    kennel.says("2000 more log lines of this activation were dropped.");
    assert_eq!(kennel.stderr().matches("a line of a flood").count(), 1000);
}

#[test]
fn what_an_agent_prints_reaches_the_operator() {
    let kennel = Kennel::start(&["mischief"]);
    kennel.ask("mischief", "stdout");
    kennel.says("mischief on standard output");
    kennel.says("mischief on standard error");
}

#[test]
fn an_agent_starts_again_from_its_checkpoints() {
    let kennel = Kennel::start(&["mischief"]);
    for (n, said) in [(0, "1 after "), (1, "2 after 1"), (7, "8 after 7")] {
        let task = kennel.ask("mischief", &format!("checkpoint {n}"));
        assert_eq!(text_of(&task["artifacts"][0]), said, "{task:#}");
    }
}

#[test]
fn surroundings_are_the_hosts_and_differ_from_task_to_task() {
    let kennel = Kennel::start(&["mischief"]);
    let facts = |task: Value| task["artifacts"][0]["parts"][0]["data"].clone();
    let (one, other) = (facts(kennel.ask("mischief", "clock")), facts(kennel.ask("mischief", "clock")));
    assert!(one["random"] != other["random"] && one["hash"] != other["hash"], "{one} {other}");
    let (ours, wasi) = (one["now_ms"].as_i64().unwrap(), one["wasi_now_ms"].as_i64().unwrap());
    assert!((ours - wasi).abs() < 1_000, "one clock: {one}");
}

#[test]
fn words_with_wrong_arguments_fail_in_the_agents_own_words() {
    let kennel = Kennel::start(&["mischief"]);
    for (text, said) in [("big", "A number is missing."), ("sleep soon", "soon is not a number.")] {
        let task = kennel.ask("mischief", text);
        assert_eq!((state_of(&task), status_text(&task).as_str()), (FAILED, said));
        assert_eq!(failure(&task)["code"], "arguments");
    }
}

#[test]
fn large_parts_come_back_byte_for_byte() {
    let mut kennel = Kennel::start(&["mischief"]);
    let mut streams = Vec::new();
    for mib in [2, 8] {
        let size = mib << 20;
        let events = kennel.stream("mischief", "SendStreamingMessage", message(&format!("big {size}"))).rest();
        let part = &events.iter().find(|event| event.kind() == "artifactUpdate").unwrap().result()["artifactUpdate"]["artifact"]
            ["parts"][0];
        assert_eq!(part["mediaType"], "application/octet-stream");
        assert_eq!(part["raw"].as_str().unwrap(), base64_of_x(size), "in the stream");
        streams.push(events);
    }
    kennel.restart();
    for (events, mib) in streams.iter().zip([2, 8]) {
        let id = events[0].task_id();
        let task = kennel.task("mischief", &id);
        assert!(task["artifacts"][0]["parts"][0]["raw"] == base64_of_x(mib << 20), "GetTask, after a restart");
        assert!(kennel.resume("mischief", &id, "1").rest() == events[1..], "the stream, after a restart");
    }
    let list = kennel.result("mischief", "ListTasks", json!({ "includeArtifacts": true, "pageSize": 2 }));
    assert!(list["tasks"][1]["artifacts"][0]["parts"][0]["raw"] == base64_of_x(2 << 20), "and in a list");
}

/// The base64 of so many `x`: groups of three are all alike.
fn base64_of_x(size: usize) -> String {
    let tail = ["", "eA==", "eHg="][size % 3];
    "eHh4".repeat(size / 3) + tail
}

#[test]
fn large_messages_of_clients_come_back_byte_for_byte() {
    let mut kennel = Kennel::start(&["mischief"]);
    let parts = json!([
        { "text": "echo" },
        { "raw": base64_of_x(2 << 20), "filename": "two" },
        { "raw": base64_of_x(8 << 20), "filename": "eight" },
    ]);
    let mut params = message("");
    params["message"]["parts"] = parts.clone();
    let task = kennel.result("mischief", "SendMessage", params)["task"].take();
    assert_eq!(state_of(&task), COMPLETED, "{}", task["status"]);
    assert!(task["history"][0]["parts"] == parts, "in the answer");
    let mut events = kennel.stream("mischief", "SendStreamingMessage", {
        let mut params = message("ask-schema");
        params["message"]["parts"].as_array_mut().unwrap().push(parts[1].clone());
        params
    });
    let first = events.next_event().unwrap();
    assert!(first.result()["task"]["history"][0]["parts"][1] == parts[1], "in a stream's first Task");
    let mut answer = message_to(&first.task_id(), "");
    answer["message"]["parts"] = json!([{ "data": { "date": "today" } }, parts[1]]);
    let answered = kennel.result("mischief", "SendMessage", answer)["task"].take();
    assert_eq!(state_of(&answered), COMPLETED);
    kennel.restart();
    assert!(kennel.task("mischief", &id_of(&task))["history"][0]["parts"] == parts, "after a restart");
    let history = kennel.task("mischief", &first.task_id())["history"].take();
    assert!(history[2]["parts"][1] == parts[1], "an answer's part as well");
}

#[test]
fn pieces_of_a_large_artifact_are_all_there() {
    let kennel = Kennel::start(&["mischief"]);
    let task = kennel.ask("mischief", "chunks 500 10000");
    let text = text_of(&task["artifacts"][0]);
    assert_eq!(text.len(), 5_000_000, "{}", task["status"]);
    assert!(text.bytes().all(|byte| byte == b'x'));
    assert!(text_of(&kennel.task("mischief", &id_of(&task))["artifacts"][0]) == text);
}

#[test]
fn what_a_task_says_is_bounded_in_bytes() {
    let kennel = Kennel::start(&["chatter"]);
    let ask = |times: &str| {
        let mut params = message(times);
        params["configuration"] = json!({ "historyLength": 0 });
        kennel.result("chatter", "SendMessage", params)["task"].take()
    };
    assert_eq!(state_of(&ask("4")), COMPLETED);
    let task = ask("5");
    assert_eq!(state_of(&task), FAILED);
    assert_eq!(task["status"]["message"]["metadata"]["urn:kennel:error:1"]["code"], "message-bytes");
}
