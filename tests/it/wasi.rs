//! An ordinary client of `wasi:http`, which knows nothing of Kennel: under the rules of `http`, with keys, in the journal, and the same
//! after any end of its host.

use crate::checker::{Record, check};
use crate::crashes::{Course, Deed, When, events_by, in_parallel, warm};
use crate::harness::{Kennel, state_of, status_text, text_of, until};
use crate::http::WAIT;
use crate::service::{Service, allow};
use crate::tasks::{objects, shown};

const COMPLETED: &str = "TASK_STATE_COMPLETED";

fn stopped_host() -> Kennel {
    let mut kennel = warm(&["scout"]);
    allow(&mut kennel, &["scout"]);
    kennel
}

fn answers(task: &serde_json::Value) -> [String; 2] {
    assert_eq!(state_of(task), COMPLETED, "{task:#}");
    [text_of(&task["artifacts"][0]), text_of(&task["artifacts"][1])]
}

/// Function and answer of each call that is recorded.
fn calls(kennel: &Kennel, task: &str) -> Vec<(String, serde_json::Value)> {
    let rows = objects(kennel.data_folder(), &["journal", task]);
    rows.into_iter().map(|mut row| (row["call"].as_str().unwrap().to_owned(), row["result"].take())).collect()
}

#[test]
fn an_ordinary_client_is_denied_what_nobody_has_allowed() {
    let service = Service::start();
    let kennel = Kennel::start(&["scout"]);
    let task = kennel.ask("scout", &format!("{} {} 500", service.url("say/a"), service.url("say/b")));
    assert_eq!(state_of(&task), "TASK_STATE_FAILED");
    assert!(status_text(&task).contains("HttpRequestDenied"), "{task:#}");
    kennel.says(&format!("the operator has not granted `GET {}", service.origin()));
    assert!(service.seen().is_empty());
}

#[test]
fn an_ordinary_client_asks_two_services_at_once() {
    let (service, record) = (Service::start(), Record::default());
    let mut kennel = stopped_host();
    kennel.launch();
    let task = kennel.begin("scout", &format!("{} {} 60000", service.url("hold/a"), service.url("hold/b")));
    // Neither has its answer.
    service.has(2);
    service.open("b");
    service.open("a");
    assert_eq!(answers(&kennel.reaches("scout", &task, COMPLETED)), ["a", "b"]);
    let keys: Vec<_> = service.seen().iter().map(|seen| seen.header("idempotency-key").map(str::len)).collect();
    assert_eq!(keys, [Some(32), Some(32)]);
    let text = shown(kennel.data_folder(), &["journal", &task]);
    for part in ["http.start", "wait.any", "http.take", "/hold/a", "/hold/b"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    kennel.stop();
    service.tell(&record);
    check(&record, kennel.data_folder());
}

#[test]
fn an_ordinary_client_does_not_wait_longer_than_it_wants() {
    let (service, record) = (Service::start(), Record::default());
    let mut kennel = stopped_host();
    kennel.launch();
    let task = kennel.ask("scout", &format!("{} {} 100", service.url("say/a"), service.url("hold/b")));
    assert_eq!(answers(&task), ["a", "Nobody answered in time."]);
    let id = crate::harness::id_of(&task);
    let names: Vec<String> = calls(&kennel, &id).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.iter().filter(|name| *name == "http.start").count(), 2, "{names:?}");
    assert!(names.contains(&"http.abort".to_owned()), "{names:?}");
    let text = shown(kennel.data_folder(), &["replay", &id]);
    assert!(text.contains("repeated alike") || text.contains("the same"), "{text}");
    kennel.stop();
    service.tell(&record);
    check(&record, kennel.data_folder());
}

#[test]
fn an_ordinary_client_goes_on_where_its_host_was_killed() {
    let (service, record) = (Service::start(), Record::default());
    let mut kennel = stopped_host();
    kennel.launch();
    let task = kennel.begin("scout", &format!("{} {} 60000", service.url("say/a"), service.url("hold/b")));
    service.has(2);
    until("the answer of the first", WAIT, || {
        calls(&kennel, &task).iter().any(|(name, result)| name == "http.take" && !result.is_null()).then_some(())
    });
    kennel.kill9();
    service.open("b");
    kennel.launch();
    assert_eq!(answers(&kennel.reaches("scout", &task, COMPLETED)), ["a", "b"]);
    let seen = service.seen();
    let keys = |path: &str| -> Vec<Option<String>> {
        let those = seen.iter().filter(|seen| seen.line.contains(path));
        those.map(|seen| seen.header("idempotency-key").map(str::to_owned)).collect()
    };
    assert_eq!(keys("/say/a").len(), 1, "its answer was recorded: {seen:#?}");
    let again = keys("/hold/b");
    assert!(again.len() == 2 && again[0] == again[1] && again[0].is_some(), "sent again under its key: {again:?}");
    kennel.stop();
    service.tell(&record);
    check(&record, kennel.data_folder());
}

/// Runs the client to its end, on a host that ends at a commit and on the next: its events, and whether the first host ended.
fn ended_at(path: &str, patience: u32, faults: &[&str]) -> (Vec<String>, bool) {
    let service = Service::start();
    let mut kennel = stopped_host();
    let text: &'static str = format!("{} {} {patience}", service.url("say/a"), service.url(path)).leak();
    let mut course = Course::new(Deed { agent: "scout", text, lines: &[], when: When::Asked });
    kennel.launch_on_trial(&[&["--test-commit-each"][..], faults].concat());
    let ended = !course.go_on(&mut kennel);
    if ended {
        kennel.dies();
        kennel.launch();
        assert!(course.go_on(&mut kennel), "{faults:?}");
    }
    kennel.stop();
    service.tell(&course.record);
    let database = check(&course.record, kennel.data_folder());
    (events_by(&database, &course.task(), &service), ended)
}

#[test]
fn no_end_of_a_host_changes_what_an_ordinary_client_says() {
    // One that answers, and one that never does.
    let second = [("wait/20/b", 60_000), ("hold/b", 50)];
    let faults = ["--test-crash-after", "--test-crash-before"];
    let lives: Vec<_> = second.iter().flat_map(|second| faults.map(|fault| (*second, fault))).collect();
    in_parallel(&lives, |((path, patience), fault)| {
        let (undisturbed, _) = ended_at(path, *patience, &[]);
        let mut ends = 0;
        for n in 1.. {
            let (events, ended) = ended_at(path, *patience, &[fault, &n.to_string()]);
            assert_eq!(events, undisturbed, "{path} with {fault} {n}");
            if !ended {
                break;
            }
            ends += 1;
        }
        assert!(ends > 6, "hardly any host ended: {ends}");
    });
}
