//! A2A 0.3 on the urls of 1.0: what its clients see on the wire. That every operation and error is met there too is in `coverage`.

use serde_json::{Value, json};

use crate::events::{Event, Events};
use crate::harness::{Kennel, fresh, message, state_of};
use crate::http::Request;

/// A JSON-RPC request as a client of 0.3 sends it: it names no version.
fn call(agent: &str, method: &str, params: &Value) -> Request {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    post(&format!("/agents/{agent}"), &body)
}

fn post(path: &str, body: &Value) -> Request {
    Request::post(path, body.to_string()).without("a2a-version")
}

fn said(text: &str) -> Value {
    let part = json!({ "kind": "text", "text": text });
    json!({ "message": { "kind": "message", "messageId": fresh("m"), "role": "user", "parts": [part] } })
}

fn content(text: &str) -> Value {
    json!({ "message": { "messageId": fresh("m"), "role": "ROLE_USER", "content": [{ "text": text }] } })
}

fn result(kennel: &Kennel, request: &Request) -> Value {
    let mut answer = kennel.send(request).json();
    assert!(answer.get("error").is_none(), "{answer:#}");
    answer["result"].take()
}

/// Kind, state and `final` of each event.
fn told(events: &[Event]) -> Vec<String> {
    let told = |event: &Event| {
        let one = event.result();
        format!("{} {} {}", one["kind"], one["status"]["state"], one["final"]).replace('"', "").replace(" null", "")
    };
    events.iter().map(told).collect()
}

#[test]
fn objects_have_kinds_and_lower_case_names_over_json_rpc() {
    let kennel = Kennel::start(&["echo", "hello"]);
    let task = result(&kennel, &call("echo", "message/send", &said("hello")));
    assert_eq!((&task["kind"], &task["status"]["state"]), (&json!("task"), &json!("completed")), "{task:#}");
    assert_eq!(task["artifacts"][0]["parts"], json!([{ "kind": "text", "text": "hello" }]));
    let (first, second) = (&task["history"][0], &task["history"][1]);
    assert_eq!((&first["kind"], &first["role"], &second["role"]), (&json!("message"), &json!("user"), &json!("agent")));
    assert_eq!(result(&kennel, &call("echo", "tasks/get", &json!({ "id": task["id"] }))), task);
    let get =
        call("echo", "tasks/get", &json!({ "id": task["id"], "historyLength": 0 })).header("a2a-version", "0.3.0");
    assert_eq!(result(&kennel, &get).get("history"), None);
    let greeting = result(&kennel, &call("hello", "message/send", &said("Ada")));
    assert_eq!((&greeting["kind"], &greeting["parts"][0]["text"]), (&json!("message"), &json!("Hello, Ada.")));
    let modern = kennel.task("echo", task["id"].as_str().unwrap());
    assert_eq!(state_of(&modern), "TASK_STATE_COMPLETED", "the same task, seen by a client of 1.0");
}

#[test]
fn the_last_event_of_a_stream_says_so() {
    let kennel = Kennel::start(&["echo", "interview"]);
    let stream = |agent: &str, params: &Value| {
        let events = Events::new(kennel.open(&call(agent, "message/stream", params))).rest();
        (told(&events), events)
    };
    let expected = [
        "task submitted",
        "status-update working false",
        "status-update working false",
        "artifact-update",
        "status-update completed true",
    ];
    assert_eq!(stream("echo", &said("hello")).0, expected);
    let (told_of_first, events) = stream("interview", &said("begin"));
    assert_eq!(told_of_first.last().unwrap(), "status-update input-required true", "the stream of a send ends there");
    let id = &events[0].json["result"]["id"];
    let mut watched = Events::new(kennel.open(&call("interview", "tasks/resubscribe", &json!({ "id": id }))));
    assert_eq!(told(&[watched.next_event().unwrap()]), ["task input-required"]);
    for answer in ["Ada", "red"] {
        let mut params = said(answer);
        params["message"]["taskId"] = id.clone();
        result(&kennel, &call("interview", "message/send", &params));
    }
    let rest = told(&watched.rest());
    assert!(rest.contains(&"status-update input-required false".to_owned()), "a subscription goes on: {rest:?}");
    assert_eq!(rest.last().unwrap(), "status-update completed true");
    let resumed = call("interview", "tasks/resubscribe", &json!({ "id": id })).header("last-event-id", "1");
    let again = Events::new(kennel.open(&resumed)).rest();
    assert_eq!((again[0].id, told(&again).last().unwrap().as_str()), (Some(2), "status-update completed true"));
}

#[test]
fn a_send_that_need_not_wait_does_not() {
    let kennel = Kennel::start(&["mischief"]);
    let mut params = said("sleep 60000");
    params["configuration"] = json!({ "blocking": false });
    let task = result(&kennel, &call("mischief", "message/send", &params));
    assert_ne!(task["status"]["state"], "completed", "{task:#}");
    let mut params = content("sleep 60000");
    params["configuration"] = json!({ "acceptedOutputModes": [] });
    let other = kennel.send(&post("/agents/mischief/v1/message:send", &params)).json();
    assert_ne!(other["task"]["status"]["state"], "TASK_STATE_COMPLETED", "ProtoJSON leaves false out: {other:#}");
    let canceled = result(&kennel, &call("mischief", "tasks/cancel", &json!({ "id": task["id"] })));
    assert_eq!((&canceled["kind"], &canceled["status"]["state"]), (&json!("task"), &json!("canceled")));
    let path = format!("/agents/mischief/v1/tasks/{}:cancel", other["task"]["id"].as_str().unwrap());
    let canceled = kennel.send(&post(&path, &json!({ "name": "tasks/x" }))).json();
    assert_eq!(canceled["status"]["state"], "TASK_STATE_CANCELLED", "{canceled:#}");
}

#[test]
fn http_json_is_that_of_the_proto() {
    let kennel = Kennel::start(&["echo", "hello"]);
    let reply = kennel.send(&post("/agents/echo/v1/message:send", &content("hello")));
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let task = reply.json()["task"].take();
    assert_eq!(task["history"][0]["content"], json!([{ "text": "hello" }]), "{task:#}");
    assert_eq!((&task["history"][0]["role"], task.get("kind")), (&json!("ROLE_USER"), None));
    let path = format!("/agents/echo/v1/tasks/{}", task["id"].as_str().unwrap());
    assert_eq!(kennel.send(&Request::new("GET", &path)).json(), task);
    let none = kennel.send(&Request::new("GET", &format!("{path}?historyLength=0"))).json();
    assert_eq!(none.get("history"), None);
    let greeting = kennel.send(&post("/agents/hello/v1/message:send", &content("Ada"))).json();
    assert_eq!(greeting["msg"]["content"][0]["text"], "Hello, Ada.");
    let events = Events::new(kennel.open(&post("/agents/echo/v1/message:stream", &content("hello")))).rest();
    let last = &events.last().unwrap().json["statusUpdate"];
    assert_eq!((&last["status"]["state"], &last["final"]), (&json!("TASK_STATE_COMPLETED"), &json!(true)), "{last:#}");
}

#[test]
fn versions_share_urls_and_nothing_else() {
    let kennel = Kennel::start(&["echo"]);
    let listed = call("echo", "tasks/list", &json!({}));
    assert_eq!(kennel.send(&listed).json()["error"]["code"], -32601, "0.3 has no lists");
    let modern = kennel.send(&call("echo", "message/send", &said("hi")).header("a2a-version", "1.0")).json();
    assert_eq!(modern["error"]["code"], -32601, "the version counts, not the name");
    let old = kennel.send(&post("/agents/echo/message:send", &message("hi")));
    assert_eq!((old.status, &old.json()["error"]["details"][0]["reason"]), (400, &json!("VERSION_NOT_SUPPORTED")));
    for path in ["/agents/echo/v1/tasks", "/agents/echo/acme/v1/message:send"] {
        assert_eq!(kennel.send(&Request::new("GET", path)).status, 404, "{path}");
    }
}

#[test]
fn extensions_are_asked_for_by_the_old_header_too() {
    let kennel = Kennel::start(&["strict"]);
    let request = call("strict", "message/send", &said("hello"));
    let refused = kennel.send(&request).json();
    assert_eq!(refused["error"]["code"], -32600, "0.3 has no code for it: {refused:#}");
    let taken = result(&kennel, &request.header("x-a2a-extensions", "urn:kennel:test:1"));
    assert_eq!(taken["kind"], "message");
}
