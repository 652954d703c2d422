//! The second matrix: something arrives (an answer, a message, a request to stop, the end of a sleep) while the host that was ended at a
//! commit starts again and repeats the work; and that host is ended too, at its first commits.

use std::sync::Mutex;
use std::time::Instant;

use super::{Course, Deed, When, in_parallel, warm};
use crate::checker::{Record, check};
use crate::client::Client;
use crate::harness::until;
use crate::http::WAIT;

const EACH: &str = "--test-commit-each";

/// What arrives, and to whom. The client speaks as soon as the host listens, so its words come while the work is repeated.
const DEEDS: &[Deed] = &[
    Deed { agent: "interview", text: "begin", lines: &["Ada", "red"], when: When::Asked },
    Deed { agent: "mischief", text: "mailbox", lines: &["one", "two", "done"], when: When::Working },
    Deed { agent: "mischief", text: "auth", lines: &["the key"], when: When::Asked },
    Deed { agent: "mischief", text: "compensate", lines: &["stop"], when: When::Stop },
    Deed { agent: "countdown", text: "2 every 20ms", lines: &["stop"], when: When::Stop },
    Deed { agent: "wanderer", text: "long 3", lines: &["stop"], when: When::Stop },
    Deed { agent: "wanderer", text: "deaf", lines: &["too late?"], when: When::Asked },
    Deed { agent: "wanderer", text: "wasi", lines: &[], when: When::Asked },
    Deed { agent: "mischief", text: "sleep 60", lines: &[], when: When::Asked },
];

/// Ends the first host at its `n`-th commit and the second at its `m`-th. None: the first came through. Else how the task ended.
fn run(deed: Deed, n: u32, m: u32) -> Option<String> {
    let mut kennel = warm(&[deed.agent]);
    let mut course = Course::new(deed);
    let mut ended = 0;
    for (fault, at) in [("--test-crash-after", n), ("--test-crash-before", m)] {
        kennel.launch_on_trial(&[EACH, fault, &at.to_string()]);
        if course.go_on(&mut kennel) {
            break;
        }
        kennel.dies();
        ended += 1;
    }
    if ended == 2 {
        kennel.launch_on_trial(&[EACH]);
        assert!(course.go_on(&mut kennel), "{deed:?} with {n} and {m}");
    }
    kennel.stop();
    let events = course.ended(kennel.data_folder());
    let last = events.last().unwrap()["statusUpdate"]["status"]["state"].as_str().unwrap().to_owned();
    (ended > 0).then_some(last)
}

/// How a deed may end: a request to stop may come too late.
fn may_end(deed: &Deed, state: &str) -> bool {
    let canceled = state == "TASK_STATE_CANCELED";
    let completed = state == "TASK_STATE_COMPLETED";
    match deed.when {
        When::Stop => canceled || completed && deed.text != "compensate",
        When::Asked | When::Working => completed,
    }
}

#[test]
fn a_request_to_stop_that_an_agent_ignores_is_enforced_by_the_next_host_too() {
    let mut kennel = warm(&["mischief"]);
    let record = Record::default();
    kennel.launch();
    let client = Client::of(&kennel, &record);
    let task = client.begin("mischief", "ignore-cancel").unwrap();
    kennel.reaches("mischief", &task, "TASK_STATE_WORKING");
    std::thread::scope(|threads| {
        threads.spawn(|| client.cancel("mischief", &task).ok());
        // It was told, and computes on.
        let connection = rusqlite::Connection::open(kennel.data_folder().join("kennel.db")).unwrap();
        until("its answer", WAIT, || {
            let sql = "SELECT 1 FROM journal WHERE task = ? AND result IS NOT NULL";
            connection.query_row(sql, [&task], |_| Ok(())).ok()
        });
        kennel.kill9();
    });
    kennel.launch();
    let canceled = kennel.reaches("mischief", &task, "TASK_STATE_CANCELED");
    assert!(canceled["artifacts"].is_null(), "{canceled:#}");
    kennel.stop();
    check(&record, kennel.data_folder());
}

#[test]
fn what_arrives_while_work_is_repeated_is_heard_once() {
    let began = Instant::now();
    let ends = Mutex::new(Vec::new());
    in_parallel(DEEDS, |deed| {
        for n in 1.. {
            // The first commits of the second life, in turn.
            let Some(state) = run(*deed, n, 1 + n % 3) else { break };
            assert!(may_end(deed, &state), "{deed:?} ended {state} with {n}");
            ends.lock().unwrap().push((deed.text, state));
        }
    });
    let ends = ends.into_inner().unwrap();
    eprintln!("arrivals: {} deeds, {} double ends in {:?}", DEEDS.len(), ends.len(), began.elapsed());
    assert!(ends.len() >= 3 * DEEDS.len(), "{ends:?}");
}
