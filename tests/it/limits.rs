//! Bounds of the host itself: bodies, headers, patience, places for agents. Each is told in the protocol's own form where HTTP lets
//! it, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kennel_protocol::ErrorKind;
use serde_json::{Value, json};

use crate::errors::check;
use crate::harness::{Kennel, call, id_of, message, state_of, text_of};
use crate::http::{Request, WAIT};
use crate::plugins;

const BODY_MAX: usize = 16 << 20;

/// A request that is padded to a size; blanks are JSON.
fn padded(size: usize) -> Request {
    let mut body = call("echo", "ListTasks", json!({})).body;
    body.resize(size, b' ');
    Request::post("/agents/echo", body)
}

#[test]
fn a_body_over_16_mib_is_refused_in_the_protocols_form() {
    let kennel = Kennel::start(&["echo"]);
    assert_eq!(kennel.send(&padded(BODY_MAX)).json()["result"]["totalSize"], 0, "just fits");
    let reply = kennel.send(&padded(BODY_MAX + 1));
    assert_eq!(reply.status, 413, "{}", reply.text());
    check(&reply.json(), ErrorKind::InvalidRequest);
    let text = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(text.contains("16777216"), "it names the limit: {text}");
    let chunked = padded(BODY_MAX + 1).chunked();
    assert_eq!(kennel.send(&chunked).status, 413, "also without a length");
    assert_eq!(kennel.result("echo", "ListTasks", json!({}))["totalSize"], 0, "the host serves on");
}

/// A request whose metadata is nested so that the whole has this many levels.
fn nested(levels: usize) -> String {
    let inner = levels - 3;
    let value = format!("{}1{}", "[".repeat(inner), "]".repeat(inner));
    format!(r#"{{"jsonrpc":"2.0","id":"deep","method":"ListTasks","params":{{"x":{{"y":{value}}}}}}}"#)
}

#[test]
fn json_of_65_levels_is_refused() {
    let kennel = Kennel::start(&["echo"]);
    let reply = kennel.send(&Request::post("/agents/echo", nested(64)));
    assert_eq!(reply.json()["result"]["totalSize"], 0, "{}", reply.text());
    for levels in [65, 1_000, 1_000_000] {
        let reply = kennel.send(&Request::post("/agents/echo", nested(levels)));
        check(&reply.json(), ErrorKind::InvalidRequest);
    }
    let brackets = json!("[{".repeat(1_000));
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ListTasks","params":{{"x":{brackets}}}}}"#);
    let reply = kennel.send(&Request::post("/agents/echo", text));
    assert_eq!(reply.json()["result"]["totalSize"], 0, "brackets in texts do not count");
}

#[test]
fn too_many_or_too_large_headers_are_refused() {
    let kennel = Kennel::start(&["echo"]);
    let request = call("echo", "ListTasks", json!({}));
    let many = (0..120).fold(request.clone(), |request, n| request.header(&format!("x-{n}"), "1"));
    assert_eq!(kennel.send(&many).status, 431);
    let large = request.clone().header("x-large", &"x".repeat(40 << 10));
    assert_eq!(kennel.send(&large).status, 431);
    assert_eq!(kennel.send(&request).json()["result"]["totalSize"], 0, "the host serves on");
}

/// Opens a connection, sends a text, and waits until the server closes it: what it said and when.
fn dawdle(kennel: &Kennel, sent: &str, wait: Duration) -> (String, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(kennel.address()).unwrap();
    stream.set_read_timeout(Some(wait)).unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap_or_else(|error| panic!("still open after {wait:?}: {error}"));
    (said, began.elapsed())
}

#[test]
fn clients_that_do_not_send_their_headers_are_cut_off() {
    let kennel = Kennel::start(&["echo"]);
    let (_, took) = dawdle(&kennel, "POST /agents/echo HTTP/1.1\r\nhost: here\r\n", WAIT);
    assert!(took > Duration::from_secs(8) && took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn clients_that_do_not_send_their_body_are_told_so() {
    let kennel = Kennel::start(&["echo"]);
    let head = "POST /agents/echo HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-type: application/json\r\n\
                a2a-version: 1.0\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\":";
    let (said, took) = dawdle(&kennel, head, Duration::from_secs(90));
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    let body: Value = serde_json::from_str(said.split_once("\r\n\r\n").unwrap().1).unwrap();
    check(&body, ErrorKind::InvalidRequest);
    assert!(took > Duration::from_secs(55), "{took:?}");
}

#[test]
fn a_body_that_breaks_off_does_no_harm() {
    let kennel = Kennel::start(&["echo"]);
    for sent in ["POST /agents/echo HTTP/1.1\r\ncontent-length: 9\r\n\r\n{", "nonsense\r\n\r\n", "\0\u{1}\u{2}"] {
        let mut stream = TcpStream::connect(kennel.address()).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
    }
    assert_eq!(state_of(&kennel.ask("echo", "hello")), "TASK_STATE_COMPLETED");
}

#[test]
fn tasks_without_a_place_wait_and_bare_messages_are_asked_to_come_back() {
    let mut kennel = Kennel::with(&["mischief", "hello"]).arg("--instances").arg("3").start();
    let busy: Vec<String> = (0..3).map(|_| kennel.begin("mischief", "spin")).collect();
    for id in &busy {
        kennel.reaches("mischief", id, "TASK_STATE_WORKING");
    }
    let [first, second, third] = ["first", "second", "third"].map(|text| kennel.begin("mischief", text));
    let reply = kennel.send(&call("hello", "SendMessage", message("Ada")));
    check(&reply.json(), ErrorKind::Unavailable);
    assert_eq!(state_of(&kennel.task("mischief", &first)), "TASK_STATE_SUBMITTED", "it waits for a place");
    let canceled = kennel.cancel("mischief", &second);
    assert_eq!(state_of(&canceled), "TASK_STATE_CANCELED", "a task that nobody began is over at once");
    kennel.cancel("mischief", &busy[0]);
    for id in [first, third] {
        kennel.reaches("mischief", &id, "TASK_STATE_COMPLETED");
    }
    let again = kennel.begin("mischief", "spin");
    kennel.reaches("mischief", &again, "TASK_STATE_WORKING");
    let last = kennel.begin("mischief", "last");
    kennel.kill9();
    plugins::copy(&plugins::file("echo"), &kennel.agent_file("mischief"));
    kennel.launch();
    for id in busy[1..].iter().chain([&again]) {
        kennel.cancel("mischief", id);
    }
    let task = kennel.reaches("mischief", &last, "TASK_STATE_COMPLETED");
    let said = task["history"].as_array().unwrap().len();
    assert_eq!(said, 1, "nobody had begun it, so it runs, on the code it was accepted for; echo says a word: {task:#}");
    assert!(kennel.result("hello", "SendMessage", message("Ada"))["message"].is_object());
}

#[test]
fn tasks_that_wait_give_their_place_to_tasks_that_work() {
    let kennel = Kennel::with(&["mischief", "interview"]).arg("--instances").arg("2").start();
    let asleep: Vec<String> = (0..5).map(|_| kennel.begin("mischief", "sleep 4000")).collect();
    let asked: Vec<String> = (0..5).map(|_| kennel.begin("interview", "begin")).collect();
    for id in &asked {
        kennel.reaches("interview", id, "TASK_STATE_INPUT_REQUIRED");
    }
    for id in &asked {
        kennel.answer("interview", id, "Ada");
        assert_eq!(text_of(&kennel.answer("interview", id, "red")["artifacts"][0]), "Ada likes red.");
    }
    for id in &asleep {
        let task = kennel.reaches("mischief", id, "TASK_STATE_COMPLETED");
        assert_eq!(text_of(&task["artifacts"][0]), "Good morning.");
    }
}

#[test]
fn an_agent_that_records_without_end_is_warned_of_and_stopped() {
    let kennel = Kennel::with(&["labourer"]).arg("--journal-rows").arg("200").start();
    let task = kennel.ask("labourer", "endless");
    let error = &task["status"]["message"]["metadata"]["urn:kennel:error:1"];
    assert_eq!((state_of(&task), &error["code"]), ("TASK_STATE_FAILED", &json!("journal-rows")), "{task:#}");
    let text = text_of(&task["status"]["message"]);
    assert!(text.contains("200") && text.contains("checkpoint"), "{text}");
    kennel.says("many calls without a checkpoint");
}

#[test]
fn work_that_is_repeated_does_not_count_against_the_bound_on_processor_time() {
    let kennel = Kennel::start(&["labourer"]);
    let measured = id_of(&kennel.ask("labourer", "labour 1"));
    // Room for three shares, so that a busier moment of the machine is no fault of the agent.
    let bound = 3 * recorded_time(&kennel, &measured);
    let mut kennel = Kennel::with(&["labourer"]).arg("--agent-cpu").arg(&bound.as_millis().to_string()).start();
    let task = kennel.ask("labourer", "toil");
    let code = &task["status"]["message"]["metadata"]["urn:kennel:error:1"]["code"];
    assert_eq!(code, "cpu", "work without end is too much: {task:#}");
    let mut task = kennel.ask("labourer", "labour 40");
    let id = id_of(&task);
    let mut share = 1;
    while recorded_time(&kennel, &id) < 3 * bound {
        assert_eq!(text_of(&task["status"]["message"]), format!("Share {share} is done. On?"));
        kennel.kill9();
        kennel.launch();
        task = kennel.answer("labourer", &id, "yes");
        share += 1;
    }
    kennel.kill9();
    kennel.launch();
    let task = kennel.answer("labourer", &id, "enough");
    assert_eq!(state_of(&task), "TASK_STATE_COMPLETED", "repeating {share} shares is free: {task:#}");
}

/// Processor time of all that a task's journal records.
fn recorded_time(kennel: &Kennel, task: &str) -> Duration {
    let database = rusqlite::Connection::open(kennel.data_folder().join("kennel.db")).unwrap();
    let sql = "SELECT sum(cpu_us) FROM journal WHERE task = ?1";
    let micros: i64 = database.query_row(sql, [task], |row| row.get(0)).unwrap();
    Duration::from_micros(micros.unsigned_abs())
}
