//! What a host that ends leaves behind, in order or by force, and what the next one makes of it.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Kennel, call, id_of, is_over, message, message_to, state_of, status_text, text_of, until};
use crate::http::{Answer, Request, WAIT, exchange};
use crate::tasks::shown;

const COMPLETED: &str = "TASK_STATE_COMPLETED";

/// How a host is made to end.
#[derive(Clone, Copy, Debug)]
enum End {
    Ordered,
    PowerCut,
}

fn end(kennel: &mut Kennel, how: End) {
    match how {
        End::Ordered => kennel.stop(),
        End::PowerCut => kennel.kill9(),
    }
}

#[test]
fn stored_tasks_are_the_same_after_any_end() {
    for how in [End::Ordered, End::PowerCut] {
        let mut kennel = Kennel::start(&["mischief", "echo"]);
        let mut before: Vec<(&str, Value)> = Vec::new();
        for (agent, text) in
            [("echo", "hello"), ("mischief", "fail"), ("mischief", "reject"), ("mischief", "chunks 9 9")]
        {
            before.push((agent, kennel.ask(agent, text)));
        }
        let canceled = kennel.begin("mischief", "compensate");
        kennel.reaches("mischief", &canceled, "TASK_STATE_WORKING");
        before.push(("mischief", kennel.cancel("mischief", &canceled)));
        let listed = kennel.result("mischief", "ListTasks", json!({ "includeArtifacts": true }));
        end(&mut kennel, how);
        kennel.launch();
        for (agent, task) in &before {
            assert_eq!(kennel.task(agent, &id_of(task)), *task, "{how:?}");
        }
        let again = kennel.result("mischief", "ListTasks", json!({ "includeArtifacts": true }));
        assert_eq!(again, listed, "{how:?}");
        assert_eq!(state_of(&kennel.ask("echo", "again")), COMPLETED, "{how:?}");
    }
}

/// Everything that a countdown from `n` publishes.
fn counted(n: u32) -> String {
    (0..=n).rev().map(|left| format!("{left}\n")).collect()
}

#[test]
fn work_that_had_begun_goes_on_where_it_was() {
    for how in [End::Ordered, End::PowerCut] {
        let mut kennel = Kennel::start(&["countdown", "interview", "mischief"]);
        let counting = kennel.begin("countdown", "7 every 700ms");
        kennel.reaches_text("countdown", &counting, "6\n");
        let asked = id_of(&kennel.ask("interview", "begin"));
        let authorizing = id_of(&kennel.ask("mischief", "auth"));
        let mail = kennel.begin("mischief", "mailbox");
        kennel.reaches("mischief", &mail, "TASK_STATE_WORKING");
        kennel.result("mischief", "SendMessage", no_wait(&mail, "before"));
        end(&mut kennel, how);
        kennel.launch();
        let asked_again = kennel.answer("interview", &asked, "Ada");
        assert_eq!(text_of(&asked_again["status"]["message"]), "Hello Ada. Red or blue?", "{how:?}");
        let summed_up = kennel.answer("interview", &asked, "red");
        assert_eq!(text_of(&summed_up["artifacts"][0]), "Ada likes red.", "{how:?}");
        let authorized = kennel.answer("mischief", &authorizing, "the key");
        assert_eq!(text_of(&authorized["status"]["message"]), "the key", "{how:?}");
        for word in ["after", "done"] {
            kennel.result("mischief", "SendMessage", no_wait(&mail, word));
        }
        let mailed = kennel.reaches("mischief", &mail, COMPLETED);
        assert_eq!(text_of(&mailed["artifacts"][0]), "before\nafter", "{how:?}");
        let task = kennel.reaches("countdown", &counting, COMPLETED);
        assert_eq!(text_of(&task["artifacts"][0]), counted(7), "{how:?}: each line once");
    }
}

/// Params of a message to a task that is not waited for.
fn no_wait(task: &str, text: &str) -> Value {
    let mut params = message_to(task, text);
    params["configuration"] = json!({ "returnImmediately": true });
    params
}

#[test]
fn nothing_that_was_answered_is_lost_when_the_power_goes() {
    let mut kennel = Kennel::start(&["echo"]);
    let mut known: Vec<String> = Vec::new();
    for round in 1..=3 {
        let address = kennel.address();
        let answered = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Ok(reply) = exchange(address, &call("echo", "SendMessage", message("hello")), WAIT) {
                        answered.lock().unwrap().push(id_of(&reply.json()["result"]["task"]));
                    }
                });
            }
            until("some answers", WAIT, || (answered.lock().unwrap().len() > round * 7).then_some(()));
            kennel.kill9();
        });
        let answered = answered.into_inner().unwrap();
        known.extend(answered);
        kennel.launch();
        for id in &known {
            assert_eq!(state_of(&kennel.task("echo", id)), COMPLETED, "answered, so it is there");
        }
    }
    until("an end of every task", WAIT, || {
        let unfinished = ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"];
        let left =
            unfinished.map(|state| kennel.result("echo", "ListTasks", json!({ "status": state }))["totalSize"].take());
        (left == [json!(0), json!(0)]).then_some(())
    });
}

#[test]
fn an_accepted_message_is_carried_out_whenever_the_power_went() {
    let mut kennel = Kennel::start(&["echo"]);
    let mut tasks = Vec::new();
    for _ in 0..4 {
        // Not waited for: the end comes while the accept's first run is being written, or before.
        tasks.push(kennel.begin("echo", "hello"));
        kennel.kill9();
        kennel.launch();
    }
    for id in tasks {
        let task = until("its end", WAIT, || Some(kennel.task("echo", &id)).filter(is_over));
        assert_eq!((state_of(&task), text_of(&task["artifacts"][0]).as_str()), (COMPLETED, "hello"));
    }
}

#[test]
fn short_work_comes_to_its_end_before_the_host_does() {
    let mut kennel = Kennel::with(&["countdown", "interview"]).drain(20).start();
    let waiting = id_of(&kennel.ask("interview", "begin"));
    let address = kennel.address();
    let request = call("countdown", "SendMessage", message("4 every 700ms"));
    let mut events = kennel.stream("countdown", "SendStreamingMessage", message("4 every 700ms"));
    let streamed = events.next_event().unwrap().task_id();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| exchange(address, &request, WAIT).unwrap().json()["result"]["task"].take());
        until("both at work", WAIT, || {
            let working = kennel.result("countdown", "ListTasks", json!({ "status": "TASK_STATE_WORKING" }));
            (working["totalSize"] == 2).then_some(())
        });
        kennel.terminate();
        until("no new connections", WAIT, || TcpStream::connect(address).is_err().then_some(()));
        let task = client.join().unwrap();
        assert_eq!((state_of(&task), text_of(&task["artifacts"][0]).as_str()), (COMPLETED, "4\n3\n2\n1\n0\n"));
        assert_eq!(events.rest().last().unwrap().state(), COMPLETED, "streams end with their tasks");
    });
    let began = Instant::now();
    assert!(kennel.ended().success());
    assert!(began.elapsed() < Duration::from_secs(10), "a task that waits for its client holds nothing up");
    kennel.launch();
    assert_eq!(state_of(&kennel.task("countdown", &streamed)), COMPLETED);
    assert_eq!(text_of(&kennel.answer("interview", &waiting, "Ada")["status"]["message"]), "Hello Ada. Red or blue?");
}

#[test]
fn long_work_is_left_after_the_drain_time_and_its_clients_are_told_how_it_stands() {
    let mut kennel = Kennel::with(&["mischief"]).drain(1).start();
    let address = kennel.address();
    let mut events = kennel.stream("mischief", "SendStreamingMessage", message("spin"));
    let id = events.next_event().unwrap().task_id();
    std::thread::scope(|scope| {
        let client =
            scope.spawn(|| exchange(address, &call("mischief", "SendMessage", message("sleep 3600000")), WAIT));
        until("both at work", WAIT, || {
            let working = kennel.result("mischief", "ListTasks", json!({ "status": "TASK_STATE_WORKING" }));
            (working["totalSize"] == 2).then_some(())
        });
        let began = Instant::now();
        kennel.terminate();
        let task = client.join().unwrap().unwrap().json()["result"]["task"].take();
        assert!(!is_over(&task), "it goes on at the next start: {task:#}");
        while let Ok(Some(event)) = events.try_next(WAIT) {
            assert!(!["TASK_STATE_FAILED", COMPLETED].contains(&event.state()), "{}", event.text);
        }
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    });
    assert!(kennel.ended().success());
    kennel.launch();
    assert_eq!(state_of(&kennel.task("mischief", &id)), "TASK_STATE_WORKING");
    assert_eq!(state_of(&kennel.cancel("mischief", &id)), "TASK_STATE_CANCELED");
}

#[test]
fn a_stream_that_the_end_broke_is_resumed_where_it_was() {
    for how in [End::Ordered, End::PowerCut] {
        let mut kennel = Kennel::start(&["interview", "countdown"]);
        let waiting = id_of(&kennel.ask("interview", "begin"));
        let mut asked = kennel.subscribe("interview", &waiting);
        let mut seen = vec![asked.next_event().unwrap()];
        let mut counting = kennel.stream("countdown", "SendStreamingMessage", message("6 every 500ms"));
        let mut counted = counting.until("a piece", |event| event.kind() == "artifactUpdate");
        end(&mut kennel, how);
        for (events, seen) in [(&mut asked, &mut seen), (&mut counting, &mut counted)] {
            let broken = loop {
                match events.try_next(WAIT) {
                    Ok(Some(event)) => seen.push(event),
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            };
            assert!(broken, "{how:?}: an end in order would say that the task is over");
        }
        kennel.launch();
        for word in ["Ada", "red"] {
            kennel.answer("interview", &waiting, word);
        }
        for (agent, mut seen) in [("interview", seen), ("countdown", counted)] {
            let last = seen.last().unwrap().id.unwrap();
            seen.extend(kennel.resume(agent, &seen[0].task_id(), &last.to_string()).rest());
            let ids: Vec<u64> = seen.iter().map(|event| event.id.unwrap()).collect();
            assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "{how:?}: no gap and no repeat: {ids:?}");
            assert_eq!(seen.last().unwrap().state(), COMPLETED, "{how:?}");
        }
    }
}

#[test]
fn a_second_host_waits_until_the_first_has_ended() {
    let mut first = Kennel::with(&["echo"]).start();
    let task = first.ask("echo", "hello");
    let mut second = Kennel::with(&["echo"]).data(first.data_folder()).stopped();
    second.spawn();
    second.says("another kennel still has this data folder; waiting until it has ended");
    assert_eq!(state_of(&first.ask("echo", "still serving")), COMPLETED);
    first.stop();
    second.listens();
    assert_eq!(second.task("echo", &id_of(&task)), task);
    assert_eq!(second.stderr().matches("another kennel").count(), 1, "said once");
    second.stop();
    first.launch();
}

#[test]
fn a_second_host_takes_over_from_one_that_was_killed() {
    let mut first = Kennel::with(&["echo"]).start();
    let task = first.ask("echo", "hello");
    let mut second = Kennel::with(&["echo"]).data(first.data_folder()).stopped();
    second.spawn();
    second.says("another kennel");
    first.kill9();
    second.listens();
    assert_eq!(second.task("echo", &id_of(&task)), task);
}

#[test]
fn a_damaged_database_is_refused_with_a_cure() {
    let mut kennel = Kennel::start(&["echo"]);
    kennel.ask("echo", "hello");
    kennel.stop();
    let database = kennel.data_folder().join("kennel.db");
    let whole = std::fs::read(&database).unwrap();
    let mut torn = whole.clone();
    torn[4096..].fill(0x5a);
    for bytes in [b"this is no database, but some text of more than one hundred bytes".repeat(9), torn] {
        std::fs::write(&database, bytes).unwrap();
        let (status, said) = kennel.launch_in_vain();
        assert_eq!(status.code(), Some(1));
        assert!(said.contains("kennel.db is damaged") && said.contains("restore the last backup"), "{said}");
    }
    std::fs::write(&database, whole).unwrap();
    kennel.launch();
    assert_eq!(kennel.result("echo", "ListTasks", json!({}))["totalSize"], 1);
}

#[test]
fn a_database_is_looked_over_beside_a_host_and_without_one() {
    let doctor = |data: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_kennel")).args(["doctor", "--data"]).arg(data).output().unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
        (output.status.code(), said)
    };
    let mut kennel = Kennel::start(&["echo"]);
    for n in 0..50 {
        kennel.ask("echo", &format!("hello {n}"));
    }
    let data = kennel.data_folder().to_owned();
    let (code, said) = doctor(&data);
    assert!(code == Some(0) && said.contains("is whole"), "{code:?} {said}");
    kennel.stop();
    let database = data.join("kennel.db");
    let whole = std::fs::read(&database).unwrap();
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 8192].fill(0xA5);
    std::fs::write(&database, torn).unwrap();
    let (code, said) = doctor(&data);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("damaged") && said.contains("restore the last backup"), "{said}");
    std::fs::write(&database, whole).unwrap();
    assert_eq!(doctor(&data).0, Some(0));
    assert_eq!(doctor(&data.join("nowhere")).0, Some(1));
    kennel.launch();
}

#[test]
fn a_host_whose_writer_panics_ends_and_says_so() {
    let mut kennel = Kennel::with(&["echo"]).stopped();
    kennel.launch_on_trial(&["--test-panic-at", "1"]);
    // Its end is never written, and its accept only if that was no part of the same transaction; the answer is lost with the host.
    let asked = exchange(kennel.address(), &call("echo", "SendMessage", message("hello")), WAIT);
    assert!(asked.is_err() || !asked.unwrap().text().contains(COMPLETED));
    let (status, said) = kennel.ends();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("panicked") && said.contains("the writer of the database panicked"), "{said}");
    kennel.launch();
    until("the end of the work that had begun", WAIT, || {
        let listed = kennel.result("echo", "ListTasks", json!({}));
        listed["tasks"].as_array().unwrap().iter().all(|task| state_of(task) == COMPLETED).then_some(())
    });
    assert_eq!(state_of(&kennel.ask("echo", "hello again")), COMPLETED);
}

/// Runs a statement in the database of a host that does not run.
fn execute(database: &Path, statement: &str) {
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.execute_batch(statement).unwrap();
    connection.close().unwrap();
}

/// The number of a database's schema.
fn schema_of(database: &Path) -> i64 {
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[test]
fn a_database_of_a_newer_release_is_refused() {
    let mut kennel = Kennel::start(&["echo"]);
    kennel.ask("echo", "hello");
    kennel.stop();
    let database = kennel.data_folder().join("kennel.db");
    let written = schema_of(&database);
    execute(&database, "PRAGMA user_version = 9999");
    let (status, said) = kennel.launch_in_vain();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("was written by a newer kennel (schema 9999"), "{said}");
    execute(&database, &format!("PRAGMA user_version = {written}"));
    kennel.launch();
    assert_eq!(kennel.result("echo", "ListTasks", json!({}))["totalSize"], 1, "nothing was touched");
}

#[test]
fn a_data_folder_that_is_none_is_refused_with_a_cure() {
    let kennel = Kennel::with(&[]).stopped();
    std::fs::write(kennel.data_folder(), "a file").unwrap();
    let (status, said) = kennel.launch_in_vain();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("cannot use ") && said.contains("check that the folder exists"), "{said}");
}

#[test]
fn compiled_agents_that_were_tampered_with_are_compiled_again() {
    let mut kennel = Kennel::start(&["echo"]);
    kennel.stop();
    let mut compiled = 0;
    for entry in std::fs::read_dir(kennel.data_folder().join("compiled")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if bytes.len() > 4096 {
            let middle = bytes.len() / 2;
            bytes[middle..middle + 64].fill(0xcc);
            std::fs::write(&path, bytes).unwrap();
            compiled += 1;
        }
    }
    assert!(compiled > 0, "nothing is kept");
    kennel.launch();
    assert_eq!(state_of(&kennel.ask("echo", "hello")), COMPLETED);
}

#[test]
fn an_order_to_stop_during_the_start_is_heard() {
    let first = Kennel::start(&[]);
    let mut second = Kennel::with(&[]).data(first.data_folder()).stopped();
    second.spawn();
    second.says("another kennel");
    second.terminate();
    let began = Instant::now();
    assert!(second.ended().success());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(first.send(&Request::new("GET", "/livez")).status, 200);
}

#[test]
fn a_connection_that_is_idle_does_not_hold_the_end_up() {
    let mut kennel = Kennel::start(&["echo"]);
    let mut idle = Vec::new();
    for _ in 0..5 {
        idle.push(TcpStream::connect(kennel.address()).unwrap());
    }
    let request = Request::new("GET", "/livez").header("connection", "keep-alive");
    let answer = Answer::to(kennel.address(), &request, WAIT).unwrap();
    let began = Instant::now();
    kennel.stop();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop((answer, idle));
}

#[test]
fn a_task_is_repeated_under_the_limits_that_it_began_under() {
    let (large, small) = (
        ["--memory-per-agent", "96", "--test-part-bytes", "4000000"],
        ["--memory-per-agent", "32", "--test-part-bytes", "1000000"],
    );
    for (begun, then, seen) in [(large, small, "true sent"), (small, large, "false part-bytes")] {
        let mut kennel = Kennel::with(&["measure"]).stopped();
        kennel.launch_on_trial(&begun);
        let id = id_of(&kennel.ask("measure", "begin"));
        kennel.kill9();
        kennel.launch_on_trial(&then);
        let done = kennel.answer("measure", &id, "yes");
        assert_eq!(state_of(&done), COMPLETED, "{done:#}");
        assert_eq!(status_text(&done), format!("{seen}; {seen}"), "begun under {begun:?}, repeated under {then:?}");
        let replayed = shown(kennel.data_folder(), &["replay", &id]);
        assert!(replayed.contains("the task then ended as recorded"), "{replayed}");
        let new = id_of(&kennel.ask("measure", "begin"));
        let other = kennel.answer("measure", &new, "yes");
        assert!(!status_text(&other).contains(seen), "a new task has the new limits: {other:#}");
    }
}

/// The percents that a task's events tell, in order.
fn percents(kennel: &Kennel, id: &str) -> Vec<u64> {
    let events = kennel.resume("pacer", id, "1").rest();
    let parts = events.iter().flat_map(|event| {
        let message = &event.result()["statusUpdate"]["status"]["message"];
        message["parts"].as_array().cloned().unwrap_or_default()
    });
    parts.filter_map(|part| part["data"]["percent"].as_u64()).collect()
}

#[test]
fn the_last_progress_is_shown_whenever_the_host_ends() {
    for fault in ["--test-crash-after", "--test-crash-before"] {
        for n in 1.. {
            let mut kennel = Kennel::with(&["pacer"]).stopped();
            kennel.launch_on_trial(&[fault, &n.to_string()]);
            let answered = exchange(kennel.address(), &call("pacer", "SendMessage", message("go")), WAIT).ok();
            let died = answered.is_none() || kennel.is_dead();
            if died {
                kennel.dies();
                kennel.launch();
            }
            let listed = kennel.result("pacer", "ListTasks", json!({}));
            let id = match listed["tasks"].get(0) {
                Some(task) => id_of(task),
                None => kennel.begin("pacer", "go"),
            };
            kennel.reaches("pacer", &id, COMPLETED);
            let told = percents(&kennel, &id);
            assert!(told.is_sorted_by(|a, b| a < b), "{fault} {n}: each once and in order: {told:?}");
            let last = [30, 70, 90].iter().all(|percent| told.contains(percent));
            assert!(last, "{fault} {n}: the last ones always: {told:?}");
            if !died {
                assert!(n > 3, "{fault}: hardly any host died");
                break;
            }
        }
    }
}

#[test]
fn a_store_that_does_not_answer_costs_a_task_no_try() {
    let mut kennel = Kennel::start(&["counter"]);
    kennel.stop();
    let connection = rusqlite::Connection::open(kennel.data_folder().join("kennel.db")).unwrap();
    // Before the statements are prepared, so that the host finds it missing.
    connection.execute("ALTER TABLE kv RENAME TO kv_away", []).unwrap();
    kennel.launch();
    let id = kennel.begin("counter", "agent get nothing");
    // One try a second: more than a task has.
    until("seven tries", WAIT, || (kennel.stderr().matches("a read for an agent failed").count() >= 7).then_some(()));
    assert_eq!(state_of(&kennel.task("counter", &id)), "TASK_STATE_WORKING");
    connection.execute("ALTER TABLE kv_away RENAME TO kv", []).unwrap();
    assert_eq!(status_text(&kennel.reaches("counter", &id, COMPLETED)), "nothing");
}
