//! An agent that ends its host: it is found and stopped, and nobody else's task suffers.
//!
//! No guest can do that by any way we know; a hidden flag of the host does it when an agent logs a certain text.

use std::time::{Duration, Instant};

use super::in_parallel;
use crate::checker::{Record, check};
use crate::client::Client;
use crate::harness::{Kennel, is_without_pokes, until};
use crate::http::WAIT;

const FATAL: &[&str] = &["--test-abort-on", "the end of this host"];
/// Tasks of others.
const GOOD: usize = 200;
/// Starts that it may take until the culprit is found.
const RESTARTS_MAX: usize = 6;

/// Kinds of good tasks: agent, text, and whether the agent asks.
const KINDS: &[(&str, &str, bool)] = &[
    ("interview", "begin", true),
    ("mischief", "sleep 1500", false),
    ("wanderer", "long 40", false),
    ("mischief", "mailbox", false),
];

#[test]
fn an_agent_that_ends_its_host_is_found_and_nobody_else_is_harmed() {
    let mut kennel = Kennel::with(&["interview", "mischief", "wanderer"]).agent_as("culprit", "wanderer").stopped();
    let record = Record::default();
    kennel.launch_on_trial(FATAL);
    let client = Client::of(&kennel, &record);
    let good: Vec<(usize, String)> = (0..GOOD)
        .map(|n| (n % KINDS.len(), client.begin(KINDS[n % KINDS.len()].0, KINDS[n % KINDS.len()].1).unwrap()))
        .collect();
    // Its answer may be lost with its host.
    client.begin("culprit", "culprit").ok();
    kennel.dies();
    let began = Instant::now();
    let mut restarts = 0;
    loop {
        restarts += 1;
        assert!(restarts <= RESTARTS_MAX, "the culprit goes on after {RESTARTS_MAX} restarts");
        kennel.launch_on_trial(FATAL);
        if lives(&mut kennel, &record) {
            break;
        }
        kennel.dies();
    }
    let found_ms = began.elapsed().as_millis();
    let client = Client::of(&kennel, &record);
    let culprit = client.call("culprit", "ListTasks", serde_json::json!({})).unwrap()["result"]["tasks"][0].clone();
    let error = &culprit["status"]["message"]["metadata"]["urn:kennel:error:1"];
    assert_eq!((&culprit["status"]["state"], &error["code"]), (&"TASK_STATE_FAILED".into(), &"attempts".into()));
    in_parallel(&good, |(kind, task)| {
        let (agent, text, asks) = KINDS[*kind];
        let lines: &[&str] = if asks { &["Ada", "red"] } else { &["done"] };
        for line in lines.iter().filter(|_| asks || text == "mailbox") {
            if asks {
                kennel.reaches(agent, task, "TASK_STATE_INPUT_REQUIRED");
            }
            assert!(client.reply(agent, task, line).unwrap(), "{agent} {text}");
        }
        kennel.reaches(agent, task, "TASK_STATE_COMPLETED");
    });
    eprintln!("culprit: {restarts} restarts, found after {found_ms} ms, all done after {:?}", began.elapsed());
    assert!(began.elapsed() < patience(), "nobody waits for a suspect that only waits itself");
    kennel.stop();
    check(&record, kennel.data_folder());
}

/// A wait would keep its instance for a minute, and there are many. Without pokes each suspect is found by the poll, twice a second.
fn patience() -> Duration {
    let polls = if is_without_pokes() { u32::try_from(GOOD).unwrap() } else { 0 };
    Duration::from_secs(45) + polls * Duration::from_millis(500)
}

/// Whether the host lives until the culprit is over.
fn lives(kennel: &mut Kennel, record: &Record) -> bool {
    let client = Client::of(kennel, record);
    until("the culprit's end, or its host's", WAIT, || {
        if kennel.is_dead() {
            return Some(false);
        }
        let listed = client.call("culprit", "ListTasks", serde_json::json!({})).ok()?;
        (listed["result"]["tasks"][0]["status"]["state"] == "TASK_STATE_FAILED").then_some(true)
    })
}
