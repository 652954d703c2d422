//! HTTP+JSON: paths, verbs, queries, media types and the forms that only this binding has. What it shares with the others is in
//! `coverage` and `equivalence`.

use std::time::{Duration, Instant};

use kennel_protocol::{Binding, ErrorKind, Operation, ProtocolVersion};
use serde_json::{Value, json};

use crate::events::Events;
use crate::harness::{Kennel, fresh, id_of, message, state_of, text_of};
use crate::http::{Reply, Request};
use crate::wire::{Wire, encoded};

const REST: Wire = Wire { binding: Binding::HttpJson, version: ProtocolVersion::V1_0 };

fn get(path: &str) -> Request {
    Request::new("GET", path).header("a2a-version", "1.0")
}

fn post(path: &str, body: &Value) -> Request {
    Request::post(path, body.to_string())
}

/// The reply to a GET below the agent `echo`.
fn echo(kennel: &Kennel, path: &str) -> Reply {
    kennel.send(&get(&format!("/agents/echo/{path}")))
}

#[test]
fn every_route_of_the_table_is_served_with_and_without_a_tenant_and_at_the_root() {
    let kennel = Kennel::start(&["echo"]);
    let id = id_of(&kennel.ask("echo", "hello"));
    for operation in Operation::ALL {
        for route in operation.routes(ProtocolVersion::V1_0) {
            for base in ["/agents/echo", "/agents/echo/acme", "/agents/echo/t%2Facme%2Fecho", "", "/acme"] {
                let mut params = json!({ "id": id, "taskId": id });
                if matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage) {
                    params = message("hello");
                }
                let reply = kennel.send(&REST.routed(base, route.verb, route.path, &params));
                let reason = match operation {
                    Operation::CancelTask => "TASK_NOT_CANCELABLE",
                    Operation::SubscribeToTask | Operation::GetExtendedAgentCard => "UNSUPPORTED_OPERATION",
                    Operation::CreateTaskPushNotificationConfig
                    | Operation::GetTaskPushNotificationConfig
                    | Operation::ListTaskPushNotificationConfigs
                    | Operation::DeleteTaskPushNotificationConfig => "PUSH_NOTIFICATION_NOT_SUPPORTED",
                    _ => {
                        assert_eq!(reply.status, 200, "{} {base}/{}: {}", route.verb, route.path, reply.text());
                        continue;
                    }
                };
                let refused = REST.outcome(&reply).unwrap_err();
                assert_eq!(refused.reason, reason, "{} {base}/{}", route.verb, route.path);
            }
        }
    }
}

#[test]
fn at_the_root_the_tenant_names_the_agent_on_every_wire() {
    let kennel = Kennel::with(&["echo", "hello"]).arg("--default-agent").arg("echo").start();
    let greeted = kennel.send(&post("/hello/message:send", &message("Ada"))).json();
    assert_eq!(text_of(&greeted["message"]), "Hello, Ada.");
    let mut params = message("Ada");
    params["tenant"] = json!("hello");
    let greeted = kennel.send(&post("/message:send", &params)).json();
    assert_eq!(text_of(&greeted["message"]), "Hello, Ada.");
    let envelope = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params });
    let greeted = kennel.send(&post("/", &envelope)).json();
    assert_eq!(text_of(&greeted["result"]["message"]), "Hello, Ada.");
    let echoed = kennel.send(&post("/nobody/message:send", &message("Ada"))).json();
    assert_eq!(text_of(&echoed["task"]["artifacts"][0]), "Ada", "a tenant that names nobody leaves the default agent");
    let echoed = kennel.send(&post("/agents/echo/hello/message:send", &message("Ada"))).json();
    assert_eq!(text_of(&echoed["task"]["artifacts"][0]), "Ada", "the url of an agent has named it already");
}

#[test]
fn paths_and_verbs_that_are_not_there_are_told_in_this_bindings_form() {
    let kennel = Kennel::start(&["echo", "hello"]);
    let nowhere =
        ["/nowhere", "/agents/", "/agents/echo/tasks/", "/agents/echo/v2/a/tasks", "/agents/echo/message:sent"];
    for path in nowhere.into_iter().chain(["/agents/%FF/tasks", "/agents//tasks"]) {
        for verb in ["GET", "POST"] {
            let reply = kennel.send(&Request::new(verb, path));
            assert_eq!(reply.status, 404, "{verb} {path}: {}", reply.text());
            REST.check(&reply, ErrorKind::MethodNotFound);
        }
    }
    for path in ["/agents/nobody/message:send", "/message:send", "/agents/nobody/message:stream"] {
        REST.check(&kennel.send(&post(path, &message("hi"))), ErrorKind::MethodNotFound);
    }
    for (verb, path, allow) in [
        ("GET", "message:send", "POST"),
        ("DELETE", "tasks", "GET"),
        ("POST", "tasks/t1", "GET"),
        ("GET", "tasks/t1:cancel", "POST"),
        ("PUT", "acme/tasks/t1:subscribe", "POST, GET"),
        ("PATCH", "tasks/t1/pushNotificationConfigs", "POST, GET"),
    ] {
        let reply = kennel.send(&Request::new(verb, &format!("/agents/echo/{path}")));
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{verb} {path}: {}", reply.text());
        let error = &reply.json()["error"];
        assert_eq!((&error["code"], &error["status"]), (&json!(405), &json!("INVALID_ARGUMENT")), "{error:#}");
    }
}

#[test]
fn the_version_is_asked_for_by_header_or_url() {
    let kennel = Kennel::start(&["echo"]);
    let none = Request::new("GET", "/agents/echo/tasks");
    let said = |version: &str| none.clone().header("a2a-version", version);
    for request in [none.clone(), said("99.0"), said(""), said("0.3")] {
        REST.check(&kennel.send(&request), ErrorKind::VersionNotSupported);
    }
    for path in ["tasks?A2A-Version=1.0", "tasks?a2a-version=1.0.7"] {
        assert_eq!(kennel.send(&Request::new("GET", &format!("/agents/echo/{path}"))).status, 200, "{path}");
    }
    let stream = post("/agents/echo/message:stream", &message("hi")).without("a2a-version");
    REST.check(&kennel.send(&stream), ErrorKind::VersionNotSupported);
    assert_eq!(echo(&kennel, "tasks").json()["totalSize"], 0, "nothing was made");
}

#[test]
fn answers_come_in_the_type_that_is_accepted_and_else_in_the_operators() {
    let ours = "application/a2a+json";
    for (arg, preset) in [(ours, ours), ("application/json", "application/json")] {
        let kennel = Kennel::with(&["echo"]).arg("--json-type").arg(arg).start();
        let typed = |request: Request| kennel.send(&request).header("content-type").unwrap().to_owned();
        assert_eq!(typed(get("/agents/echo/tasks")), preset);
        assert_eq!(typed(get("/agents/echo/tasks/none")), preset, "errors too");
        for (accept, expected) in [
            ("*/*", preset),
            ("application/json, text/plain, */*", preset),
            ("application/json, application/a2a+json", preset),
            ("text/html", preset),
            ("application/json", "application/json"),
            ("application/json; q=0.9, text/plain", "application/json"),
            ("Application/A2A+JSON", ours),
            ("application/a2a+json, */*;q=0.1", ours),
        ] {
            assert_eq!(typed(get("/agents/echo/tasks").header("accept", accept)), expected, "{accept}");
        }
        for given in [ours, "application/json", "application/json; charset=utf-8"] {
            let request = post("/agents/echo/message:send", &message("hi")).header("content-type", given);
            assert_eq!(typed(request), preset, "the type of the request does not choose");
        }
    }
}

#[test]
fn a_body_of_another_type_is_refused() {
    let kennel = Kennel::start(&["echo"]);
    let request = post("/agents/echo/message:send", &message("hi"));
    for given in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let reply = kennel.send(&request.clone().header("content-type", given));
        assert_eq!(reply.status, 415, "{given}: {}", reply.text());
        assert_eq!(reply.json()["error"]["code"], 415);
        assert_eq!(REST.outcome(&reply).unwrap_err().reason, "CONTENT_TYPE_NOT_SUPPORTED");
    }
    assert_eq!(kennel.send(&request.without("content-type")).status, 415);
    assert_eq!(echo(&kennel, "tasks").json()["totalSize"], 0, "nothing was made");
}

#[test]
fn bodies_of_cancel_and_subscribe_may_be_empty() {
    let kennel = Kennel::start(&["interview"]);
    for body in ["", "{}", "null", " ", r#"{"id":"another","unknown":1}"#] {
        let id = kennel.begin("interview", "begin");
        kennel.reaches("interview", &id, "TASK_STATE_INPUT_REQUIRED");
        let to = |verb: &str| {
            let request = Request::post(&format!("/agents/interview/tasks/{id}:{verb}"), body);
            if body.is_empty() { request.without("content-type") } else { request }
        };
        let mut events = Events::new(kennel.open(&to("subscribe")));
        assert_eq!(events.next_event().unwrap().task_id(), id, "the path goes before the body: {body:?}");
        let canceled = kennel.send(&to("cancel")).json();
        assert_eq!((state_of(&canceled), &canceled["id"]), ("TASK_STATE_CANCELED", &json!(id)), "{body:?}");
        assert_eq!(events.rest().last().unwrap().state(), "TASK_STATE_CANCELED");
    }
    for (body, kind) in
        [("[]", ErrorKind::InvalidParams), ("{", ErrorKind::Parse), (r#"{"metadata":7}"#, ErrorKind::InvalidParams)]
    {
        REST.check(&kennel.send(&Request::post("/agents/interview/tasks/t1:cancel", body)), kind);
    }
    for body in ["", "{"] {
        REST.check(&kennel.send(&Request::post("/agents/interview/message:send", body)), ErrorKind::Parse);
    }
}

#[test]
fn queries_are_read_by_the_rules_of_json() {
    let kennel = Kennel::start(&["echo"]);
    let mut params = message("hello");
    params["message"]["contextId"] = json!("a b&c/ü+");
    let task = kennel.result("echo", "SendMessage", params)["task"].take();
    let since = task["status"]["timestamp"].as_str().unwrap();
    let context = encoded("a b&c/ü+");
    let offset = since.replace('Z', "+00:00");
    for (query, found) in [
        (String::new(), 1),
        (format!("?contextId={context}&pageSize=1&historyLength=0&includeArtifacts=true"), 1),
        (format!("?context_id={context}&page_size=1&history_length=0&include_artifacts=1"), 1),
        ("?contextId=another".to_owned(), 0),
        ("?status=TASK_STATE_COMPLETED&unknown=1&unknown=2".to_owned(), 1),
        ("?status=3".to_owned(), 1),
        ("?status=TASK_STATE_WORKING".to_owned(), 0),
        ("?pageToken=&tenant=&contextId=".to_owned(), 1),
        (format!("?statusTimestampAfter={}", encoded(since)), 1),
        (format!("?statusTimestampAfter={offset}"), 1),
        ("?statusTimestampAfter=2999-01-01T00:00:00Z".to_owned(), 0),
        ("?includeArtifacts=True".to_owned(), 1),
        ("?includeArtifacts=false".to_owned(), 1),
    ] {
        let listed = echo(&kennel, &format!("tasks{query}")).json();
        assert_eq!(listed["totalSize"], found, "{query}: {listed:#}");
        let with = ["=true", "=1", "=True"].iter().any(|yes| query.ends_with(yes));
        assert_eq!(listed["tasks"][0].get("artifacts").is_some(), with, "{query}");
    }
    for (query, field) in [
        ("pageSize=0", "pageSize"),
        ("pageSize=many", "pageSize"),
        ("page_size=1.5", "pageSize"),
        ("pageSize=", "pageSize"),
        ("pageSize=1&pageSize=2", ""),
        ("pageSize=1&page_size=1", ""),
        ("historyLength=-1", "historyLength"),
        ("status=TASK_STATE_BUSY", "status"),
        ("status=99", "status"),
        ("status=working", "status"),
        ("includeArtifacts=yes", "includeArtifacts"),
        ("statusTimestampAfter=yesterday", "statusTimestampAfter"),
        ("pageToken=junk", "pageToken"),
        ("contextId=%00", "contextId"),
    ] {
        let fault = REST.check(&echo(&kennel, &format!("tasks?{query}")), ErrorKind::InvalidParams);
        let named = fault.violations[0]["field"].as_str().unwrap();
        assert!(named == field || field.is_empty(), "{query}: {fault:?}");
        if field.is_empty() {
            assert!(fault.message.contains("pageSize"), "{query}: {fault:?}");
        }
    }
}

#[test]
fn ids_in_paths_may_be_encoded() {
    let kennel = Kennel::start(&["echo"]);
    let task = kennel.ask("echo", "hello");
    let id = id_of(&task);
    let spelled: String = id.bytes().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(echo(&kennel, &format!("tasks/{spelled}")).json(), task);
    assert_eq!(echo(&kennel, &format!("tasks/{id}?id=another")).json(), task, "the path goes before the query");
    for (path, named) in
        [("a%2Fb", "a/b"), ("a%3Acancel", "a:cancel"), ("caf%C3%A9%20%E2%9C%93", "café ✓"), ("a+b", "a+b")]
    {
        let fault = REST.check(&echo(&kennel, &format!("tasks/{path}")), ErrorKind::TaskNotFound);
        assert_eq!(fault.metadata, json!({ "taskId": named }));
    }
    for path in ["%FF", "%0A"] {
        let fault = REST.check(&echo(&kennel, &format!("tasks/{path}")), ErrorKind::InvalidParams);
        assert_eq!(fault.violations[0]["field"], "id", "{fault:?}");
    }
    let long = REST.check(&echo(&kennel, &format!("tasks/{}", "x".repeat(257))), ErrorKind::InvalidParams);
    assert_eq!(long.violations[0]["field"], "id");
}

#[test]
fn a_stream_is_bare_and_resumes_behind_the_last_event() {
    let kennel = Kennel::start(&["countdown"]);
    let mut params = message("3 every 200ms");
    params["message"]["messageId"] = json!(fresh("m"));
    let mut stream = REST.stream(&kennel, "countdown", Operation::SendStreamingMessage, &params);
    assert_eq!(
        (stream.header("content-type"), stream.header("cache-control")),
        (Some("text/event-stream"), Some("no-cache"))
    );
    let first = stream.next_event().unwrap();
    assert_eq!(first.json.as_object().unwrap().keys().collect::<Vec<_>>(), ["task"], "no envelope: {}", first.text);
    let seen = stream.next_event().unwrap();
    drop(stream);
    let path = format!("/agents/countdown/tasks/{}:subscribe", first.task_id());
    for request in [get(&path), Request::post(&path, "{}")] {
        let rest = Events::new(kennel.open(&request.header("last-event-id", "2"))).rest();
        assert_eq!(rest[0].id, Some(seen.id.unwrap() + 1), "no Task first, nothing twice");
        assert_eq!(rest.last().unwrap().state(), "TASK_STATE_COMPLETED");
    }
    REST.check(&kennel.send(&get(&path)), ErrorKind::UnsupportedOperation);
    REST.check(&kennel.send(&get("/agents/countdown/tasks/none:subscribe")), ErrorKind::TaskNotFound);
}

#[test]
fn a_silent_stream_is_kept_alive_and_a_blocking_call_begins_with_its_answer() {
    let kennel = Kennel::start(&["mischief"]);
    let mut stream = REST.stream(&kennel, "mischief", Operation::SendStreamingMessage, &message("sleep 8000"));
    let began = Instant::now();
    let sent = kennel.send(&post("/agents/mischief/message:send", &message("sleep 4500")));
    assert!(began.elapsed() > Duration::from_secs(4), "it waited");
    assert_eq!((sent.status, sent.body.first()), (200, Some(&b'{')), "no newline before it");
    stream.rest();
    assert!(stream.comments.len() >= 2, "{:?}", stream.comments);
    let slow = kennel.begin("mischief", "ignore-cancel");
    kennel.reaches("mischief", &slow, "TASK_STATE_WORKING");
    let canceled = kennel.send(&post(&format!("/agents/mischief/tasks/{slow}:cancel"), &json!({})));
    assert_eq!((state_of(&canceled.json()), canceled.body.first()), ("TASK_STATE_CANCELED", Some(&b'{')));
}

#[test]
fn a_body_beyond_its_bounds_is_refused_in_this_bindings_form() {
    let kennel = Kennel::start(&["echo"]);
    let mut body = message("hi").to_string().into_bytes();
    body.resize(16 << 20, b' ');
    let just = Request::post("/agents/echo/message:send", body.clone());
    assert_eq!(kennel.send(&just).status, 200);
    body.push(b' ');
    for request in [
        Request::post("/agents/echo/message:send", body.clone()),
        Request::post("/agents/echo/message:send", body).chunked(),
    ] {
        let reply = kennel.send(&request);
        let error = &reply.json()["error"];
        assert_eq!((reply.status, &error["code"]), (413, &json!(413)), "{error:#}");
        assert!(error["message"].as_str().unwrap().contains("16777216"), "it names the limit: {error:#}");
    }
    let invalid = Request::post("/agents/echo/message:send", b"{\"message\":\"\xff\"}".to_vec());
    REST.check(&kennel.send(&invalid), ErrorKind::Parse);
}
