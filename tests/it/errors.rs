//! The errors of JSON-RPC: which one a client meets when, its code, its name, its details, and that nothing else is in it. That every
//! kind is met is in `coverage`.

use kennel_protocol::ErrorKind;
use serde_json::{Value, json};

use crate::harness::{Kennel, call, id_of, message, message_to};
use crate::http::Request;
use crate::wire::check_details;

/// A bare message for the agent that requires an extension.
pub(crate) fn strict(text: &str) -> Request {
    call("strict", "SendMessage", message(text)).header("a2a-extensions", "urn:other:1, urn:kennel:test:1")
}

fn start() -> Kennel {
    Kennel::start(&["mischief", "echo", "strict"])
}

/// An error response has its members and no others, and its details say which error it is.
pub(crate) fn check(response: &Value, kind: ErrorKind) {
    check_coded(response, kind, kind);
}

/// The same for an error that has the code of another, as those do that 0.3 had no code for.
pub(crate) fn check_coded(response: &Value, kind: ErrorKind, coded: ErrorKind) {
    let members: Vec<&String> = response.as_object().unwrap().keys().collect();
    assert_eq!(members, ["error", "id", "jsonrpc"], "{response:#}");
    let error = &response["error"];
    let members: Vec<&String> = error.as_object().unwrap().keys().collect();
    assert_eq!(members, ["code", "data", "message"], "{response:#}");
    assert_eq!(error["code"], coded.jsonrpc_code(), "{response:#}");
    check_details(error, "data", kind);
}

fn fails(kennel: &Kennel, request: &Request, kind: ErrorKind) -> Value {
    let reply = kennel.send(request);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let response = reply.json();
    check(&response, kind);
    response
}

fn body(kennel: &Kennel, body: &str, kind: ErrorKind) -> Value {
    fails(kennel, &Request::post("/agents/echo", body), kind)
}

#[test]
fn a_version_that_is_not_served_is_refused_in_every_method() {
    let kennel = Kennel::start(&["echo"]);
    for method in ["SendMessage", "SendStreamingMessage", "GetTask", "ListTasks", "SubscribeToTask", "DoWhatever"] {
        let request = call("echo", method, message("hello"));
        for version in ["1", "1.1", "1.5", "2.0", "99.0", "abc", "1.0.x", "v1.0", "0.2"] {
            let response =
                fails(&kennel, &request.clone().header("a2a-version", version), ErrorKind::VersionNotSupported);
            assert_eq!(response["error"]["data"][0]["metadata"]["supportedVersions"], "1.0,0.3", "{response:#}");
            assert_eq!(response["id"], 1);
        }
    }
    assert_eq!(kennel.result("echo", "ListTasks", json!({}))["totalSize"], 0, "nothing was made");
}

#[test]
fn a_client_of_1_0_that_does_not_say_so_is_told() {
    let kennel = Kennel::start(&["echo"]);
    for method in ["SendMessage", "SendStreamingMessage", "GetTask", "ListTasks", "SubscribeToTask"] {
        let request = call("echo", method, message("hello"));
        for request in [request.clone().without("a2a-version"), request.header("a2a-version", "")] {
            let response = fails(&kennel, &request, ErrorKind::VersionNotSupported);
            let text = response["error"]["message"].as_str().unwrap();
            assert!(text.contains("A2A-Version: 1.0"), "{text}");
        }
    }
    for version in ["", "0.3", "0.3.0"] {
        let request = call("echo", "DoWhatever", json!({})).header("a2a-version", version);
        fails(&kennel, &request, ErrorKind::MethodNotFound);
    }
    assert_eq!(kennel.result("echo", "ListTasks", json!({}))["totalSize"], 0, "nothing was made");
}

#[test]
fn version_1_0_is_served_whichever_way_it_is_said() {
    let kennel = Kennel::start(&["echo"]);
    let mut request = call("echo", "ListTasks", json!({}));
    for version in ["1.0", " 1.0 ", "1.0.1"] {
        let reply = kennel.send(&request.clone().header("a2a-version", version));
        assert_eq!(reply.json()["result"]["totalSize"], 0, "{version:?}");
    }
    request.path = "/agents/echo?A2A-Version=1.0".to_owned();
    assert_eq!(kennel.send(&request.clone().without("a2a-version")).json()["result"]["totalSize"], 0);
    fails(&kennel, &request.clone().header("a2a-version", "99.0"), ErrorKind::VersionNotSupported);
    request.path = "/agents/echo?A2A-Version=99.0".to_owned();
    fails(&kennel, &request.clone().without("a2a-version"), ErrorKind::VersionNotSupported);
    let reply = kennel.send(&request.header("a2a-version", "1.0"));
    assert_eq!(reply.json()["result"]["totalSize"], 0, "the header goes before the url");
}

#[test]
fn only_json_is_taken() {
    let kennel = Kennel::start(&["echo"]);
    let request = call("echo", "ListTasks", json!({}));
    for given in ["text/plain", "application/xml", "application/x-www-form-urlencoded", "json", ""] {
        fails(&kennel, &request.clone().header("content-type", given), ErrorKind::ContentTypeNotSupported);
    }
    fails(&kennel, &request.clone().without("content-type"), ErrorKind::ContentTypeNotSupported);
    for given in ["application/json; charset=utf-8", "Application/JSON", "application/a2a+json"] {
        let reply = kennel.send(&request.clone().header("content-type", given));
        assert_eq!(reply.json()["result"]["totalSize"], 0, "{given}");
    }
}

#[test]
fn what_does_not_parse_has_no_id() {
    let kennel = Kennel::start(&["echo"]);
    for text in
        ["", " ", "nonsense", "{", r#"{"jsonrpc":"2.0","id":1,"method":"ListTasks""#, "[1,", "{}{}", "\u{feff}{}"]
    {
        assert_eq!(body(&kennel, text, ErrorKind::Parse)["id"], Value::Null, "{text:?}");
    }
    let broken = Request::post("/agents/echo", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".to_vec());
    assert_eq!(fails(&kennel, &broken, ErrorKind::Parse)["id"], Value::Null, "not UTF-8");
}

#[test]
fn json_that_is_no_request_is_refused() {
    let kennel = Kennel::start(&["echo"]);
    for (text, id) in [
        ("1", Value::Null),
        ("null", Value::Null),
        (r#""text""#, Value::Null),
        ("{}", Value::Null),
        (r#"{"id":7,"method":"ListTasks"}"#, json!(7)),
        (r#"{"jsonrpc":"1.0","id":7,"method":"ListTasks"}"#, json!(7)),
        (r#"{"jsonrpc":2.0,"id":7,"method":"ListTasks"}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":"a"}"#, json!("a")),
        (r#"{"jsonrpc":"2.0","id":"a","method":""}"#, json!("a")),
        (r#"{"jsonrpc":"2.0","id":"a","method":7}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ListTasks"}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"ListTasks"}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ListTasks"}"#, Value::Null),
    ] {
        assert_eq!(body(&kennel, text, ErrorKind::InvalidRequest)["id"], id, "{text}");
    }
}

#[test]
fn batches_are_refused() {
    let kennel = Kennel::start(&["echo"]);
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"ListTasks","params":{}}"#;
    for text in ["[]".to_owned(), format!("[{one}]"), format!(" \n[{one},{one}]")] {
        assert_eq!(body(&kennel, &text, ErrorKind::InvalidRequest)["id"], Value::Null);
    }
}

#[test]
fn methods_have_exactly_one_name() {
    let kennel = Kennel::start(&["echo"]);
    for method in
        ["DoWhatever", "sendMessage", "message/send", "tasks/get", "SendMessage ", "agent/getAuthenticatedExtendedCard"]
    {
        let response = fails(&kennel, &call("echo", method, json!({})), ErrorKind::MethodNotFound);
        assert_eq!(response["error"]["data"][0]["metadata"]["method"], method);
    }
}

#[test]
fn params_are_an_object() {
    let kennel = Kennel::start(&["echo"]);
    for params in ["[]", r#"["id"]"#, "7", r#""id""#, "true"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{params}}}"#);
        body(&kennel, &text, ErrorKind::InvalidParams);
    }
    for params in ["", r#","params":{}"#, r#","params":null"#] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ListTasks"{params}}}"#);
        assert_eq!(kennel.send(&Request::post("/agents/echo", text)).json()["result"]["totalSize"], 0, "{params}");
    }
}

#[test]
fn the_id_comes_back_as_it_was_written() {
    let kennel = Kennel::start(&["echo", "hello"]);
    for id in [r#""text""#, r#""é\n\"✓""#, "0", "-7", "1.5", "12345678901234567890123", "1e400", "null", r#""""#] {
        for (agent, method, params) in [
            ("echo", "ListTasks", json!({})),
            ("echo", "GetTask", json!({ "id": "none" })),
            ("echo", "GetTask", json!({})),
            ("hello", "SendMessage", message("Ada")),
            ("echo", "SendMessage", message("hello")),
            ("echo", "SendStreamingMessage", message("hello")),
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
            let reply = kennel.send(&Request::post(&format!("/agents/{agent}"), text));
            let expected = format!(r#""id":{id},"#);
            assert!(reply.text().contains(&expected), "{method} with id {id}: {}", reply.text());
            let events = reply.text().matches("\"jsonrpc\"").count();
            assert_eq!(reply.text().matches(&expected).count(), events, "in every event: {}", reply.text());
        }
    }
}

#[test]
fn a_notification_is_carried_out_and_not_answered() {
    let kennel = Kennel::start(&["echo"]);
    let params = message("hello");
    let text = json!({ "jsonrpc": "2.0", "method": "SendMessage", "params": params }).to_string();
    let reply = kennel.send(&Request::post("/agents/echo", text));
    assert_eq!((reply.status, reply.body.as_slice()), (204, [].as_slice()));
    assert_eq!(kennel.result("echo", "ListTasks", json!({}))["totalSize"], 1);
    for text in [r#"{"jsonrpc":"2.0","method":"DoWhatever"}"#, r#"{"jsonrpc":"2.0","method":"GetTask","params":[]}"#] {
        let reply = kennel.send(&Request::post("/agents/echo", text));
        assert_eq!((reply.status, reply.body.as_slice()), (204, [].as_slice()), "not even its error: {text}");
    }
}

#[test]
fn a_notification_is_not_kept_waiting() {
    let kennel = Kennel::start(&["mischief"]);
    let text = json!({ "jsonrpc": "2.0", "method": "SendMessage", "params": message("sleep 20000") }).to_string();
    let began = std::time::Instant::now();
    assert_eq!(kennel.send(&Request::post("/agents/mischief", text)).status, 204);
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn paths_and_verbs_that_are_not_there_are_said_by_http_in_the_protocols_form() {
    let kennel = Kennel::start(&["echo", "hello"]);
    let body = json!({ "jsonrpc": "2.0", "id": "ours", "method": "SendMessage", "params": message("hi") }).to_string();
    for path in ["/agents/nobody", "/agents/No%20Body", "/agents/%20", "/agents/nobody/", "/"] {
        let reply = kennel.send(&Request::post(path, body.as_str()));
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
        let response = reply.json();
        check(&response, ErrorKind::MethodNotFound);
        assert!([json!("ours"), Value::Null].contains(&response["id"]), "{path}: {response}");
    }
    for verb in ["GET", "PUT", "DELETE", "PATCH"] {
        let reply = kennel.send(&Request::new(verb, "/agents/echo"));
        assert_eq!(reply.status, 405, "{verb}");
        assert!(reply.header("allow").is_some_and(|allow| allow.contains("POST")), "{:?}", reply.headers);
        check(&reply.json(), ErrorKind::InvalidRequest);
    }
    let reply = kennel.send(&Request::post("/agents/echo/.well-known/agent-card.json", "{}"));
    assert_eq!(reply.status, 405);
    let reply = kennel.send(&Request::post("/agents/echo/", call("echo", "ListTasks", json!({})).body));
    assert_eq!(reply.json()["result"]["totalSize"], 0, "a slash at the end does no harm");
}

#[test]
fn required_extensions_must_be_asked_for() {
    let kennel = start();
    let reply = kennel.send(&strict("hello")).json();
    assert!(reply["result"]["message"].is_object(), "among others: {reply:#}");
    for given in ["", "urn:other:1", "urn:kennel:test:10", "urn:kennel:TEST:1"] {
        let response =
            fails(&kennel, &strict("hello").header("a2a-extensions", given), ErrorKind::ExtensionSupportRequired);
        assert_eq!(response["error"]["data"][0]["metadata"]["extension"], "urn:kennel:test:1");
    }
}

#[test]
fn media_types_outside_the_input_modes_are_refused() {
    let kennel = Kennel::start(&["echo"]);
    let given = |media_type: &str| {
        let mut params = message("hello");
        params["message"]["parts"].as_array_mut().unwrap().push(json!({ "text": "more", "mediaType": media_type }));
        call("echo", "SendMessage", params)
    };
    let response = fails(&kennel, &given("image/png"), ErrorKind::ContentTypeNotSupported);
    assert_eq!(response["error"]["data"][0]["metadata"]["mediaType"], "image/png");
    let reply = kennel.send(&given("Text/Plain; charset=utf-8")).json();
    assert_eq!(reply["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{reply:#}");
}

#[test]
fn an_error_before_the_first_event_is_no_stream() {
    let kennel = Kennel::start(&["echo"]);
    let id = id_of(&kennel.ask("echo", "hello"));
    for (method, params, kind) in [
        ("SendStreamingMessage", json!({}), ErrorKind::InvalidParams),
        ("SendStreamingMessage", message_to("none", "hi"), ErrorKind::TaskNotFound),
        ("SendStreamingMessage", message_to(&id, "hi"), ErrorKind::UnsupportedOperation),
        ("SubscribeToTask", json!({ "id": "none" }), ErrorKind::TaskNotFound),
        ("SubscribeToTask", json!({ "id": id }), ErrorKind::UnsupportedOperation),
    ] {
        fails(&kennel, &call("echo", method, params), kind);
    }
}

#[test]
fn a_bare_agents_failure_is_told_by_kind_and_code_and_no_more() {
    let mut kennel = start();
    let response = fails(&kennel, &strict("fail"), ErrorKind::Internal);
    assert_eq!(response["error"]["message"], "Strict was asked to fail.");
    let metadata = &response["error"]["data"][0]["metadata"];
    assert_eq!(*metadata, json!({ "kind": "failed", "code": "strict", "retryable": "false" }), "{response:#}");
    let response = fails(&kennel, &strict("panic"), ErrorKind::Internal);
    assert!(!response.to_string().contains("secret"), "{response:#}");
    assert_eq!(response["error"]["data"][0]["metadata"]["code"], "panic");
    let response = fails(&kennel, &strict("publish"), ErrorKind::Internal);
    assert_eq!(response["error"]["data"][0]["metadata"]["kind"], "denied", "{response:#}");
    assert!(kennel.stderr().contains("a secret of strict"), "the operator sees it");
    kennel.stop();
}
