//! What agents do outside: rules, keys, races, streams, and what a kill -9 in the middle of a call comes to.

use serde_json::{Value, json};

use crate::checker::{Record, check};
use crate::harness::{Kennel, call, id_of, message, state_of, text_of};
use crate::http::{WAIT, exchange};
use crate::service::{Service, rest};

const COMPLETED: &str = "TASK_STATE_COMPLETED";
const FAILED: &str = "TASK_STATE_FAILED";

/// What the service saw and what the journals hold belong together, and nothing else is wrong.
fn sound(mut kennel: Kennel, service: &Service) {
    kennel.stop();
    let record = Record::default();
    service.tell(&record);
    check(&record, kennel.data_folder());
}

/// A host whose operator allows the caller this machine.
fn host(extra: &str) -> Kennel {
    let mut kennel = stopped_with(extra);
    kennel.launch();
    kennel
}

fn stopped_host() -> Kennel {
    stopped_with("")
}

fn stopped_with(extra: &str) -> Kennel {
    let mut kennel = Kennel::with(&["caller"]).stopped();
    let grants = format!(
        "[egress]\nallow-private = [\"127.0.0.0/8\", \"::1/128\"]\n[agents.caller]\nhttp = [\"* http://127.0.0.1:*\"]\n{extra}"
    );
    kennel.configure(&grants);
    kennel
}

fn answer(task: &Value) -> String {
    assert_eq!(state_of(task), COMPLETED, "{task:#}");
    text_of(&task["artifacts"].as_array().unwrap().last().unwrap().clone())
}

/// Kind and text of a failure.
fn failure(task: &Value) -> (String, String) {
    let (kind, _, text) = error(task);
    (kind, text)
}

/// Kind, code and text of a failure.
fn error(task: &Value) -> (String, String, String) {
    assert_eq!(state_of(task), FAILED, "{task:#}");
    let error = &task["status"]["message"]["metadata"]["urn:kennel:error:1"];
    let member = |name: &str| error[name].as_str().unwrap().to_owned();
    (member("kind"), member("code"), text_of(&task["status"]["message"]))
}

#[test]
fn an_agent_calls_a_service_under_a_key_of_its_own() {
    let (kennel, service) = (host(""), Service::start());
    for word in ["get", "post"] {
        assert_eq!(answer(&kennel.ask("caller", &format!("{word} {}", service.url("say/hello")))), "hello");
    }
    let seen = service.seen();
    assert_eq!((seen[1].line.as_str(), seen[1].body.as_str()), ("POST /say/hello HTTP/1.1", "order"));
    let keys: Vec<&str> = seen.iter().map(|seen| seen.header("idempotency-key").unwrap()).collect();
    assert!(keys[0] != keys[1] && keys.iter().all(|key| key.len() == 32), "{keys:?}");
    sound(kennel, &service);
}

#[test]
fn an_agent_of_bare_messages_calls_a_service_too() {
    let service = Service::start();
    let mut kennel = Kennel::with(&["courier"]).stopped();
    kennel.configure(
        "[egress]\nallow-private = [\"127.0.0.0/8\"]\n[agents.\"*\"]\nhttp = [\"GET http://127.0.0.1:*\"]\n\
         [agents.courier]\nsettings = { tone = \"calm\" }\n",
    );
    kennel.launch();
    let said = |text: &str| {
        let reply = kennel.result("courier", "SendMessage", message(text));
        text_of(&reply["message"])
    };
    assert_eq!(said(&service.url("say/hello")), "hello");
    assert_eq!(service.seen().len(), 1);
    let urls = format!("{} {}", service.url("wait/700/slow"), service.url("wait/100/quick"));
    assert_eq!(said(&format!("race {urls}")), "first 1, all true slow quick");
    assert_eq!(said(&format!("pieces {}", service.url("pieces/4/100"))), "200 in pieces true of 32 bytes");
    assert_eq!(said(&format!("late {}", service.url("hang"))), "None");
    let keys: Vec<_> = service.seen().iter().map(|seen| seen.header("idempotency-key").map(str::to_owned)).collect();
    assert!(keys[1] != keys[2] && keys.iter().all(Option::is_some), "{keys:?}");
    assert_eq!(said("kept"), "v calm 8 false");
    assert_eq!(said("slept"), "sleep at once true");
    assert_eq!(said("denied"), ["reply-mode"; 5].join(" "));
    assert_eq!(kennel.result("courier", "ListTasks", json!({}))["totalSize"], 0, "nothing of it is a task");
}

#[test]
fn what_is_not_allowed_is_denied_by_name() {
    let service = Service::start();
    let url = service.url("say/hello");
    let open = Kennel::start(&["caller"]);
    let (kind, code, text) = error(&open.ask("caller", &format!("get {url}")));
    assert_eq!((kind.as_str(), code.as_str()), ("denied", "http"), "{text}");
    assert!(text.contains("GET http://127.0.0.1") && text.contains("operator"), "{text}");
    let mut public = Kennel::with(&["caller"]).stopped();
    public.configure("[agents.caller]\nhttp = [\"* http://127.0.0.1:*\"]\n");
    public.launch();
    let (kind, text) = failure(&public.ask("caller", &format!("get {url}")));
    assert!(kind == "denied" && text.contains("private") || text.contains("address"), "{text}");
    let kennel = host("");
    let (kind, text) = failure(&kennel.ask("caller", "get http://localhost:1/"));
    assert!(kind == "denied" && text.contains("localhost"), "{text}");
    let (kind, text) = failure(&kennel.ask("caller", "get https://example.com/"));
    assert!(kind == "denied" && text.contains("card"), "{text}");
    let (kind, _) = failure(&kennel.ask("caller", &format!("get {}", service.url("elsewhere"))));
    assert_eq!(kind, "denied", "a redirect is a request of its own");
    let (kind, code, text) = error(&kennel.ask("caller", &format!("credential {url}")));
    assert_eq!((kind.as_str(), code.as_str()), ("denied", "credential"), "{text}");
    let (kind, _) = failure(&kennel.ask("caller", "get http://127.0.0.1:1/"));
    assert_eq!(kind, "unavailable");
    let (kind, _) = failure(&kennel.ask("caller", &format!("hasty {}", service.url("hang"))));
    assert_eq!(kind, "timed-out");
    assert_eq!(service.seen().len(), 2, "the redirect and the hasty one; nothing else left");
    sound(kennel, &service);
}

#[test]
fn a_credential_is_put_in_by_the_host() {
    let service = Service::start();
    let site = format!("http://{}", service.address);
    let mut kennel = Kennel::with(&["caller"]).stopped();
    std::fs::write(kennel.config_file("secret"), "Bearer s3cret\n").unwrap();
    kennel.configure(&format!(
        "[egress]\nallow-private = [\"127.0.0.0/8\"]\n[agents.caller]\nhttp = [\"* http://127.0.0.1:*\"]\n\
         [agents.caller.credentials.api]\nheader = \"authorization\"\nvalue-file = \"secret\"\nsites = [\"{site}\"]\n"
    ));
    kennel.launch();
    let task = kennel.ask("caller", &format!("credential {}", service.url("say/known")));
    assert_eq!(answer(&task), "known");
    assert_eq!(service.seen()[0].header("authorization"), Some("Bearer s3cret"));
    assert!(!task.to_string().contains("s3cret") && !kennel.stderr().contains("s3cret"));
    // Elsewhere it is not for.
    let other = Service::start();
    let (kind, code, text) = error(&kennel.ask("caller", &format!("credential {}", other.url("say/known"))));
    assert_eq!((kind.as_str(), code.as_str()), ("denied", "credential"), "{text}");
    assert!(other.seen().is_empty());
}

#[test]
fn several_calls_run_side_by_side() {
    let (kennel, service) = (host(""), Service::start());
    let urls = format!("{} {}", service.url("wait/700/slow"), service.url("wait/100/quick"));
    assert_eq!(answer(&kennel.ask("caller", &format!("race {urls}"))), "first 1 slow quick");
    assert_eq!(answer(&kennel.ask("caller", &format!("both {urls}"))), "slow quick");
    sound(kennel, &service);
}

#[test]
fn a_slow_body_is_passed_on_while_it_comes() {
    let (kennel, service) = (host(""), Service::start());
    let text = format!("stream {}", service.url("pieces/4/200"));
    let events = kennel.stream("caller", "SendStreamingMessage", message(&text)).rest();
    let pieces = events.iter().filter(|event| event.text.contains("piece ")).count();
    assert!(pieces > 1, "{events:#?}");
    let task = kennel.task("caller", &events[0].task_id());
    assert_eq!(answer(&task), "200 complete true");
    assert_eq!(text_of(&task["artifacts"][0]), "piece 1\npiece 2\npiece 3\npiece 4\n");
    sound(kennel, &service);
}

#[test]
fn a_report_is_fetched_with_retries_a_credential_and_line_by_line() {
    let service = Service::start();
    let refused = Kennel::start(&["fetcher"]);
    assert_eq!(failure(&refused.ask("fetcher", "/reports/today")).0, "denied");
    let mut kennel = Kennel::with(&["fetcher"]).stopped();
    std::fs::write(kennel.config_file("token"), "Bearer t0ken").unwrap();
    let site = format!("http://{}", service.address);
    kennel.configure(&format!(
        "[egress]\nallow-private = [\"127.0.0.0/8\"]\n[agents.fetcher]\nhttp = [\"GET {site}\"]\n\
         settings = {{ service = \"{site}\" }}\n[agents.fetcher.credentials.reports]\nheader = \"authorization\"\n\
         value-file = \"token\"\nsites = [\"{site}\"]\n"
    ));
    kennel.launch();
    let task = kennel.ask("fetcher", "/reports/today");
    assert_eq!(task["artifacts"][0]["name"], "Today", "{task:#}");
    assert_eq!(answer(&task), "piece 1\npiece 2\npiece 3\n");
    let seen = service.seen();
    assert_eq!(seen.len(), 3, "busy, again, and the title: {seen:#?}");
    assert!(seen.iter().all(|seen| seen.header("authorization") == Some("Bearer t0ken")));
    sound(kennel, &service);
}

#[test]
fn a_call_whose_answer_was_not_recorded_is_decided_by_its_method() {
    for (word, expected) in [("get", true), ("post", false), ("post-repeat", true)] {
        let (mut kennel, service) = (host(""), Service::start());
        let id = kennel.begin("caller", &format!("{word} {}", service.url("hang")));
        service.has(1);
        kennel.kill9();
        service.release();
        kennel.launch();
        if expected {
            let task = kennel.reaches("caller", &id, COMPLETED);
            assert_eq!(answer(&task), "released");
            let seen = service.seen();
            assert_eq!(seen.len(), 2, "{word}: sent again");
            let keys: Vec<_> = seen.iter().map(|seen| seen.header("idempotency-key")).collect();
            assert_eq!(keys[0], keys[1], "{word}: under the same key");
        } else {
            let (kind, text) = failure(&kennel.reaches("caller", &id, FAILED));
            assert!(kind == "unknown-outcome" && text.contains("POST"), "{text}");
            assert_eq!(service.seen().len(), 1, "{word}: not sent again");
        }
        sound(kennel, &service);
    }
}

#[test]
fn calls_that_were_answered_are_not_made_again() {
    let (mut kennel, service) = (host(""), Service::start());
    let urls = ["say/a", "say/b", "hang"].map(|path| service.url(path)).join(" ");
    let id = kennel.begin("caller", &format!("steps {urls}"));
    service.has(3);
    kennel.kill9();
    service.release();
    kennel.launch();
    let task = kennel.reaches("caller", &id, COMPLETED);
    assert_eq!(answer(&task), "a b released");
    let paths: Vec<String> = service.seen().iter().map(|seen| seen.line.clone()).collect();
    assert_eq!(paths.iter().filter(|line| line.contains("/say/")).count(), 2, "{paths:?}");
    sound(kennel, &service);
}

#[test]
fn calls_beside_each_other_go_on_after_a_kill() {
    let (mut kennel, service) = (host(""), Service::start());
    let id = kennel.begin("caller", &format!("both {} {}", service.url("say/a"), service.url("hang")));
    service.has(2);
    rest(200);
    kennel.kill9();
    service.release();
    kennel.launch();
    assert_eq!(answer(&kennel.reaches("caller", &id, COMPLETED)), "a released");
    let first = service.seen().iter().filter(|seen| seen.line.contains("/say/a")).count();
    assert_eq!(first, 1, "its answer was recorded");
    sound(kennel, &service);
}

#[test]
fn a_body_that_the_kill_cut_off_is_interrupted_and_what_was_read_stays() {
    let (mut kennel, service) = (host(""), Service::start());
    let id = kennel.begin("caller", &format!("stream {}", service.url("pieces/100/150")));
    kennel.reaches_text("caller", &id, "piece 2\n");
    kennel.kill9();
    kennel.launch();
    let task = kennel.reaches("caller", &id, COMPLETED);
    assert_eq!(answer(&task), "200 interrupted");
    assert!(text_of(&task["artifacts"][0]).starts_with("piece 1\npiece 2\n"), "{task:#}");
    assert_eq!(service.seen().len(), 1);
    sound(kennel, &service);
}

#[test]
fn keys_differ_across_checkpoints_and_numbers_go_on() {
    for kill in [false, true] {
        let (mut kennel, service) = (host(""), Service::start());
        let id = kennel.begin("caller", &format!("after-checkpoint {}", service.url("count")));
        if kill {
            service.has(3);
            kennel.kill9();
            kennel.launch();
        }
        let task = kennel.reaches("caller", &id, COMPLETED);
        assert!(answer(&task).starts_with("2 "), "{task:#}");
        let mut keys: Vec<String> =
            service.seen().iter().filter_map(|seen| seen.header("idempotency-key").map(str::to_owned)).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 3, "three calls, three keys");
        assert_eq!(id_of(&task), id);
        sound(kennel, &service);
    }
}

/// Brings a task to its end on a host that dies after or before its `n`-th commit, and then on one that does not: the task, and whether the first died.
fn with_a_death(kennel: &mut Kennel, text: &str, fault: &str, n: usize) -> (Value, bool) {
    kennel.launch_on_trial(&["--test-commit-each", fault, &n.to_string()]);
    let send = call("caller", "SendMessage", message(text));
    // The answer is lost when the host dies; the task is there, or was not acknowledged and is sent again.
    let answered = exchange(kennel.address(), &send, WAIT).ok();
    let died = answered.is_none() || kennel.is_dead();
    if died {
        kennel.dies();
        kennel.launch();
    }
    let listed = kennel.result("caller", "ListTasks", json!({}));
    let id = match listed["tasks"].get(0) {
        Some(task) => id_of(task),
        None => kennel.begin("caller", text),
    };
    (kennel.reaches("caller", &id, COMPLETED), died)
}

/// The keys under which a service was called, in order, repeats left out, by path.
fn keys(service: &Service) -> Vec<(String, String)> {
    let mut keys = Vec::new();
    for seen in service.seen() {
        let key = (seen.line.clone(), seen.header("idempotency-key").unwrap().to_owned());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

#[test]
fn no_crash_position_changes_what_a_caller_says_or_the_key_of_a_call() {
    let (after, before) = ("--test-crash-after", "--test-crash-before");
    let steps = ["say/a", "say/b", "say/c"].as_slice();
    let both = ["say/a", "wait/20/b"].as_slice();
    for (word, paths, fault) in
        [("steps", steps, after), ("steps", steps, before), ("both", both, after), ("both", both, before)]
    {
        let mut deaths = 0;
        for n in 1.. {
            let service = Service::start();
            let mut kennel = stopped_host();
            let urls: Vec<String> = paths.iter().map(|path| service.url(path)).collect();
            let (task, died) = with_a_death(&mut kennel, &format!("{word} {}", urls.join(" ")), fault, n);
            let words: Vec<&str> = paths.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
            assert_eq!(answer(&task), words.join(" "), "{word}, {fault}, death at commit {n}");
            let keys = keys(&service);
            assert_eq!(
                keys.len(),
                paths.len(),
                "{word}, {fault}, death at commit {n}: one key for each call: {keys:?}"
            );
            let sent = service.seen().len();
            assert!(
                sent <= paths.len() + paths.len() * usize::from(died),
                "{word}, {fault}, death at commit {n}: {sent}"
            );
            sound(kennel, &service);
            if !died {
                break;
            }
            deaths += 1;
        }
        assert!(deaths > 2 * paths.len(), "{word}, {fault}: hardly any host died: {deaths}");
    }
}

#[test]
fn a_credential_that_the_operator_has_given_need_not_be_asked_for() {
    let mut kennel = Kennel::with(&["mischief"]).stopped();
    std::fs::write(kennel.config_file("secret"), "s3cret").unwrap();
    kennel.configure(
        "[agents.mischief.credentials.vault]\nheader = \"x-vault\"\nvalue-file = \"secret\"\nsites = [\"https://example.com\"]\n",
    );
    kennel.launch();
    let task = kennel.ask("mischief", "auth");
    assert_eq!(
        (state_of(&task), text_of(&task["status"]["message"]).as_str()),
        (COMPLETED, "granted vault"),
        "{task:#}"
    );
}

#[test]
fn the_bodies_of_all_requests_have_one_bound() {
    let service = Service::start();
    let mut kennel = Kennel::with(&["caller"]).arg("--http-memory").arg("1").stopped();
    kennel
        .configure("[egress]\nallow-private = [\"127.0.0.0/8\"]\n[agents.caller]\nhttp = [\"* http://127.0.0.1:*\"]\n");
    kennel.launch();
    let large = [service.url("large/700000"), service.url("large/700000"), service.url("large/10000")].join(" ");
    // Each waits until the one before is on the disk, whether anybody has taken it or not.
    assert_eq!(answer(&kennel.ask("caller", &format!("crowd {large}"))), "700000, 700000, 10000");
    assert_eq!(answer(&kennel.ask("caller", &format!("hoard {large}"))), "700000, 700000, 10000");
    let order = format!("orders {} {}", service.url("hang"), service.url("say/hello"));
    assert_eq!(answer(&kennel.ask("caller", &order)), "http-bodies true", "a request's body takes room as well");
    service.release();
    assert_eq!(answer(&kennel.ask("caller", &format!("crowd {large}"))), "700000, 700000, 10000", "all is given back");
}

#[test]
fn a_large_response_that_nobody_has_taken_is_there_after_a_kill() {
    let (mut kennel, service) = (host(""), Service::start());
    let id = kennel.begin(
        "caller",
        &format!("lengths {} {} {}", service.url("large/300000"), service.url("large/20000"), service.url("hang")),
    );
    service.has(3);
    rest(300);
    kennel.kill9();
    service.release();
    kennel.launch();
    assert_eq!(answer(&kennel.reaches("caller", &id, COMPLETED)), "300000, 20000, 8");
    assert_eq!(service.seen().len(), 4, "only what had no answer is sent again");
}
