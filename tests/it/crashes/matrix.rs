//! The crash matrix: each deed, ended at each of its commits in turn. One deed alone: `KENNEL_ONLY=TEXT cargo test --test it matrix`. Ends
//! right before a commit are tried at every other position, because those after the one before are nearly the same; at each of them with
//! `KENNEL_ALL=1`.

use std::sync::Mutex;
use std::time::Instant;

use serde_json::Value;

use super::{Course, Deed, When, in_parallel, warm};

const EACH: &str = "--test-commit-each";
const BEFORE: &str = "--test-crash-before";

/// Every plugin, and every word of mischief, that does something a crash could spoil.
const DEEDS: &[Deed] = &[
    Deed { agent: "echo", text: "hello", lines: &[], when: When::Asked },
    Deed { agent: "countdown", text: "2 every 5ms", lines: &[], when: When::Asked },
    Deed { agent: "interview", text: "begin", lines: &["Ada", "green", "red"], when: When::Asked },
    Deed {
        agent: "auto",
        text: "a text that is long enough to be read as a task of its own",
        lines: &[],
        when: When::Asked,
    },
    Deed { agent: "mischief", text: "chunks 3 10", lines: &[], when: When::Asked },
    Deed { agent: "mischief", text: "mailbox", lines: &["one", "two", "done"], when: When::Working },
    Deed { agent: "mischief", text: "checkpoint 2", lines: &[], when: When::Asked },
    Deed { agent: "mischief", text: "auth", lines: &["the key"], when: When::Asked },
    Deed { agent: "mischief", text: "ask-schema", lines: &["{\"date\": 1}"], when: When::Asked },
    Deed { agent: "mischief", text: "history", lines: &[], when: When::Asked },
    Deed { agent: "mischief", text: "references", lines: &[], when: When::Asked },
    Deed { agent: "mischief", text: "clock", lines: &[], when: When::Asked },
    Deed { agent: "mischief", text: "compensate", lines: &["stop"], when: When::Stop },
    Deed { agent: "mischief", text: "sleep 20", lines: &[], when: When::Asked },
    Deed { agent: "mischief", text: "flood-events 4", lines: &[], when: When::Asked },
    Deed { agent: "mischief", text: "big 100000", lines: &[], when: When::Asked },
    Deed { agent: "mischief", text: "fail", lines: &[], when: When::Asked },
    Deed { agent: "counter", text: "add 3", lines: &[], when: When::Asked },
    Deed { agent: "counter", text: "mark", lines: &["go on"], when: When::Asked },
    Deed { agent: "wanderer", text: "look", lines: &[], when: When::Asked },
    Deed { agent: "wanderer", text: "leave-open", lines: &[], when: When::Asked },
    Deed { agent: "wanderer", text: "wasi", lines: &[], when: When::Asked },
    Deed { agent: "wanderer", text: "deaf", lines: &[], when: When::Asked },
    Deed { agent: "wanderer", text: "unheard", lines: &[], when: When::Asked },
    Deed { agent: "wanderer", text: "break", lines: &[], when: When::Asked },
    Deed { agent: "wanderer", text: "generations", lines: &[], when: When::Asked },
    Deed { agent: "wanderer", text: "values", lines: &[], when: When::Asked },
    Deed { agent: "wanderer", text: "heavy", lines: &[], when: When::Asked },
];

/// Those that wait, and so are taken apart and put together again also without an end of their host.
const WAITERS: &[Deed] = &[
    Deed { agent: "countdown", text: "2 every 25ms", lines: &[], when: When::Asked },
    Deed { agent: "interview", text: "begin", lines: &["Ada", "red"], when: When::Asked },
    Deed { agent: "mischief", text: "mailbox", lines: &["one", "two", "done"], when: When::Working },
    Deed { agent: "mischief", text: "compensate", lines: &["stop"], when: When::Stop },
    Deed { agent: "wanderer", text: "wasi", lines: &[], when: When::Asked },
    Deed { agent: "wanderer", text: "deaf", lines: &[], when: When::Asked },
];

/// What makes as many commits as it waits, which is never the same: it is ended at some of them.
const RESTLESS: Deed =
    Deed { agent: "wanderer", text: "mail", lines: &["one", "two", "three", "done"], when: When::Working };

/// Runs a deed through hosts that are started with these arguments, one after the other, and then through one without faults.
fn run(deed: Deed, pace: &[&str], lives: &[&[&str]]) -> (Vec<Value>, usize) {
    let mut kennel = warm(&[deed.agent]);
    let mut course = Course::new(deed);
    let mut deaths = 0;
    for fault in lives {
        kennel.launch_on_trial(&[pace, fault].concat());
        if course.go_on(&mut kennel) {
            break;
        }
        kennel.dies();
        deaths += 1;
    }
    if deaths == lives.len() {
        kennel.launch_on_trial(pace);
        assert!(course.go_on(&mut kennel), "{deed:?} with {lives:?}");
    }
    kennel.stop();
    (course.ended(kennel.data_folder()), deaths)
}

/// Runs a deed undisturbed, and then with an end at each commit until there are none left; returns how many there were.
fn ended_at_each_commit(deed: Deed, pace: &[&str], fault: &str) -> usize {
    let (undisturbed, _) = run(deed, pace, &[]);
    let last = undisturbed.last().unwrap()["statusUpdate"]["status"]["state"].clone();
    assert_eq!(last, format!("TASK_STATE_{}", deed.end()), "{deed:?} undisturbed");
    let step = if fault == BEFORE && std::env::var_os("KENNEL_ALL").is_none() { 2 } else { 1 };
    for n in (1..).step_by(step) {
        let (events, deaths) = run(deed, pace, &[&[fault, &n.to_string()]]);
        compare(&events, &undisturbed, &format!("{deed:?} with {fault} {n}"));
        if deaths == 0 {
            return n - 1;
        }
    }
    unreachable!("a run needs a finite number of commits")
}

/// Shows the first event that differs only: all of them would fill pages.
fn compare(events: &[Value], undisturbed: &[Value], what: &str) {
    for n in 0..events.len().max(undisturbed.len()) {
        assert_eq!(events.get(n), undisturbed.get(n), "{what}: event {}", n + 1);
    }
}

fn matrix(name: &str, deeds: &[Deed], pace: &[&str], fault: &str) {
    let began = Instant::now();
    let positions = Mutex::new(Vec::new());
    let only = std::env::var_os("KENNEL_ONLY");
    let chosen = |deed: &&Deed| only.as_ref().is_none_or(|only| deed.text == only);
    let deeds: Vec<Deed> = deeds.iter().filter(chosen).copied().collect();
    in_parallel(&deeds, |deed| {
        let ends = ended_at_each_commit(*deed, pace, fault);
        positions.lock().unwrap().push((deed.text, ends));
    });
    let positions = positions.into_inner().unwrap();
    let all: usize = positions.iter().map(|(_, ends)| ends).sum();
    eprintln!("{name}: {} deeds, {all} ends in {:?}: {positions:?}", deeds.len(), began.elapsed());
    assert!(all >= 2 * deeds.len(), "hardly any host ended: {positions:?}");
}

#[test]
fn a_host_that_ends_after_any_commit_changes_no_event() {
    matrix("after", DEEDS, &[EACH], "--test-crash-after");
}

#[test]
fn a_host_that_ends_before_any_commit_changes_no_event() {
    matrix("before", DEEDS, &[EACH], BEFORE);
}

/// A parent and its children end with their host together. Every third commit: a trip takes its time.
#[test]
fn a_family_that_ends_with_its_host_says_what_it_would_have_said() {
    let trip = Deed { agent: "trip", text: "alone to Oslo", lines: &[], when: When::Asked };
    let (undisturbed, _) = run(trip, &[EACH], &[]);
    let mut ends = 0;
    for n in (1..).step_by(3) {
        let (events, deaths) = run(trip, &[EACH], &[&["--test-crash-after", &n.to_string()]]);
        compare(&events, &undisturbed, &format!("{trip:?} with an end at {n}"));
        if deaths == 0 {
            break;
        }
        ends += 1;
    }
    assert!(ends > 8, "hardly any host ended: {ends}");
}

/// As it is in service: what gathers behind a commit is merged. Progress is left out: which of it is shown depends on time.
#[test]
fn a_host_that_ends_at_any_merged_commit_changes_no_event() {
    let deeds: Vec<Deed> = DEEDS.iter().filter(|deed| deed.agent != "countdown").copied().collect();
    matrix("merged", &deeds, &[], "--test-crash-after");
}

/// A host that ends after each single commit, over and over: each life gets one commit further, so nothing is given up.
#[test]
fn hosts_that_each_live_for_one_commit_bring_a_task_to_its_end() {
    let began = Instant::now();
    let deaths = Mutex::new(Vec::new());
    in_parallel(DEEDS, |deed| {
        let (undisturbed, _) = run(*deed, &[EACH], &[]);
        let lives = vec![["--test-crash-after", "1"].as_slice(); 40];
        let (events, died) = run(*deed, &[EACH], &lives);
        compare(&events, &undisturbed, &format!("{deed:?} after {died} lives"));
        deaths.lock().unwrap().push((deed.text, died));
    });
    eprintln!("one commit a life: {:?} in {:?}", deaths.into_inner().unwrap(), began.elapsed());
}

#[test]
fn tasks_that_give_their_instance_up_at_every_wait_are_the_same_after_any_end() {
    matrix("parked", WAITERS, &[EACH, "--park-after", "1"], "--test-crash-after");
}

#[test]
fn messages_found_by_looking_are_found_once() {
    let undisturbed = ["got one", "got two", "got three", "one two three"];
    let positions: Vec<u32> = (1..=12).collect();
    in_parallel(&positions, |n| {
        let (events, _) = run(RESTLESS, &[EACH], &[&["--test-crash-after", &n.to_string()]]);
        assert_eq!(
            events.last().unwrap()["statusUpdate"]["status"]["state"],
            "TASK_STATE_COMPLETED",
            "after commit {n}"
        );
        assert_eq!(events.iter().filter_map(said).collect::<Vec<_>>(), undisturbed, "ended after commit {n}");
    });
}

/// What an event says or publishes.
fn said(event: &Value) -> Option<&str> {
    let message = &event["statusUpdate"]["status"]["message"]["parts"][0]["text"];
    message.as_str().or(event["artifactUpdate"]["artifact"]["parts"][0]["text"].as_str())
}

/// More rows than are read at once, large ones, and a large answer of a client.
#[test]
fn long_journals_and_large_contents_are_repeated() {
    let large: &'static str = "z".repeat(100_000).leak();
    let history: &'static str = format!("history {large}").leak();
    let jobs = [
        (Deed { agent: "mischief", text: "flood-events 1300", lines: &[], when: When::Asked }, [4, 12, 19]),
        (Deed { agent: "mischief", text: history, lines: &[], when: When::Asked }, [1, 2, 3]),
        (
            Deed { agent: "interview", text: "begin", lines: Vec::leak(vec![large, "red"]), when: When::Asked },
            [2, 3, 4],
        ),
    ];
    in_parallel(&jobs, |(deed, positions)| {
        let (undisturbed, _) = run(*deed, &[], &[]);
        for n in positions {
            let (events, _) = run(*deed, &[], &[&["--test-crash-after", &n.to_string()]]);
            compare(&events, &undisturbed, &format!("{} ended after commit {n}", deed.agent));
        }
    });
}
