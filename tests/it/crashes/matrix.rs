//! The crash matrix: each deed, ended at each of its commits in turn.

use std::sync::Mutex;
use std::time::Instant;

use super::{Course, Deed, When, in_parallel};
use crate::harness::Kennel;

const EACH: &str = "--test-commit-each";

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
];

/// Runs a deed through hosts that are started with these arguments, one after the other, and then through one without faults.
fn run(deed: Deed, pace: &[&str], lives: &[&[&str]]) -> (Vec<serde_json::Value>, usize) {
    let mut kennel = Kennel::with(&[deed.agent]).stopped();
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
    for n in 1.. {
        let (events, deaths) = run(deed, pace, &[&[fault, &n.to_string()]]);
        assert_eq!(events, undisturbed, "{deed:?} with {fault} {n}");
        if deaths == 0 {
            return n - 1;
        }
    }
    unreachable!("a run needs a finite number of commits")
}

fn matrix(name: &str, deeds: &[Deed], pace: &[&str], fault: &str) {
    let began = Instant::now();
    let positions = Mutex::new(Vec::new());
    in_parallel(deeds, |deed| {
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
