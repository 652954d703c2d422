//! Both dialects, both ways: each line is what a client of 0.3 sends or sees, beside what it means.

use serde_json::{Value, json};

use super::{Old, dual_card, request};
use crate::operation::{Binding, Operation};
use crate::types::{
    AgentCard, AgentInterface, ListTaskPushNotificationConfigsResponse, SecurityRequirement, SecurityScheme,
    SendMessageRequest, SendMessageResponse, StreamResponse, StringList, Task, TaskPushNotificationConfig, TaskState,
};
use crate::{ErrorKind, parse};

fn read(operation: Operation, binding: Binding, params: &Value) -> Value {
    serde_json::from_str(&request(operation, binding, &params.to_string()).unwrap()).unwrap()
}

fn written<T: super::Answer>(value: &T, binding: Binding) -> Value {
    serde_json::to_value(Old::new(value, binding)).unwrap()
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A message with every kind of part, as 1.0 has it.
fn modern() -> Value {
    json!({
        "messageId": "m", "contextId": "c", "taskId": "t", "role": "ROLE_USER",
        "parts": [
            { "text": "hello", "metadata": { "n": 1 } },
            { "raw": "AAECAw==", "filename": "a.bin", "mediaType": "application/octet-stream" },
            { "url": "https://example.com/a", "mediaType": "text/plain" },
            { "data": { "deep": [1, 2.50] } },
        ],
        "metadata": { "urn:x": 1 },
        "extensions": ["urn:x"],
    })
}

/// The same over JSON-RPC.
fn rpc() -> Value {
    json!({
        "kind": "message", "messageId": "m", "contextId": "c", "taskId": "t", "role": "user",
        "parts": [
            { "kind": "text", "text": "hello", "metadata": { "n": 1 } },
            { "kind": "file", "file": { "bytes": "AAECAw==", "name": "a.bin", "mimeType": "application/octet-stream" } },
            { "kind": "file", "file": { "uri": "https://example.com/a", "mimeType": "text/plain" } },
            { "kind": "data", "data": { "deep": [1, 2.50] } },
        ],
        "metadata": { "urn:x": 1 },
        "extensions": ["urn:x"],
    })
}

/// The same over HTTP+JSON.
fn proto() -> Value {
    json!({
        "messageId": "m", "contextId": "c", "taskId": "t", "role": "ROLE_USER",
        "content": [
            { "text": "hello", "metadata": { "n": 1 } },
            { "file": { "fileWithBytes": "QUFFQ0F3PT0=", "name": "a.bin", "mimeType": "application/octet-stream" } },
            { "file": { "fileWithUri": "https://example.com/a", "mimeType": "text/plain" } },
            { "data": { "data": { "deep": [1, 2.50] } } },
        ],
        "metadata": { "urn:x": 1 },
        "extensions": ["urn:x"],
    })
}

#[test]
fn messages_mean_the_same_in_every_dialect() {
    for (binding, message) in [(Binding::JsonRpc, rpc()), (Binding::HttpJson, proto())] {
        let params = json!({ "message": message, "metadata": { "k": true }, "unknown": 1 });
        let translated = read(Operation::SendMessage, binding, &params);
        assert_eq!(translated, json!({ "message": modern(), "metadata": { "k": true } }));
        let request: SendMessageRequest = parse::request(&translated.to_string()).unwrap();
        assert_eq!(written(&request.message, binding), message, "and back again");
    }
}

#[test]
fn what_sdks_spell_otherwise_is_read_too() {
    let once =
        json!({ "message": { "content": [{ "file": { "file_with_bytes": "/+8=", "mime_type": "a/b" } }], "role": 1 } });
    let read = read(Operation::SendMessage, Binding::HttpJson, &once);
    assert_eq!(read["message"], json!({ "parts": [{ "raw": "/+8=", "mediaType": "a/b" }], "role": 1 }));
}

#[test]
fn numbers_of_any_length_and_the_order_of_members_survive() {
    let params = r#"{"message":{"metadata":{"z":12345678901234567890123.0,"a":1}}}"#;
    assert_eq!(request(Operation::SendMessage, Binding::JsonRpc, params).unwrap(), params);
}

#[test]
fn blocking_is_the_inverse_of_returning_immediately() {
    for (binding, configuration, immediately) in [
        (Binding::JsonRpc, json!({ "blocking": true }), None),
        (Binding::JsonRpc, json!({ "blocking": false }), Some(true)),
        (Binding::JsonRpc, json!({}), None),
        (Binding::JsonRpc, json!({ "blocking": null }), None),
        (Binding::HttpJson, json!({ "blocking": true }), None),
        (Binding::HttpJson, json!({ "historyLength": 1 }), Some(true)),
    ] {
        let params = json!({ "configuration": configuration });
        let read = read(Operation::SendMessage, binding, &params);
        assert_eq!(read["configuration"].get("returnImmediately"), immediately.map(Value::from).as_ref(), "{read}");
    }
    let read = read(Operation::SendMessage, Binding::HttpJson, &json!({ "message": {} }));
    assert_eq!(read, json!({ "message": {} }), "without a configuration nothing is said");
}

#[test]
fn wrong_shapes_are_left_for_the_parser_of_1_0() {
    for (params, field) in [
        (json!({ "message": "hi" }), "message"),
        (json!({ "message": { "messageId": "m", "role": "user", "parts": "hi" } }), "message.parts"),
        (json!({ "message": { "messageId": "m", "role": "user", "parts": [{ "kind": "tune" }] } }), "message.parts[0]"),
        (json!({ "message": { "messageId": "m", "role": "us", "parts": [{ "text": "a" }] } }), "message.role"),
        (json!({ "message": rpc(), "configuration": { "blocking": "yes" } }), "configuration.returnImmediately"),
    ] {
        let text = request(Operation::SendMessage, Binding::JsonRpc, &params.to_string()).unwrap();
        let error = parse::request::<SendMessageRequest>(&text).unwrap_err();
        assert_eq!(error.violations[0].field, field, "{params}: {error}");
    }
    assert_eq!(request(Operation::SendMessage, Binding::JsonRpc, "{").unwrap_err().kind, ErrorKind::Parse);
    assert_eq!(request(Operation::SendMessage, Binding::JsonRpc, "[7]").unwrap(), "[7]");
}

#[test]
fn webhooks_are_nested_and_name_their_schemes_in_a_list() {
    let nested = json!({ "id": "c1", "url": "https://example.com", "token": "x", "authentication": { "schemes": ["Bearer", "Basic"], "credentials": "s" } });
    let flat = json!({ "id": "c1", "taskId": "t1", "url": "https://example.com", "token": "x", "authentication": { "scheme": "Bearer", "credentials": "s" } });
    let rpc = json!({ "taskId": "t1", "pushNotificationConfig": nested });
    assert_eq!(read(Operation::CreateTaskPushNotificationConfig, Binding::JsonRpc, &rpc), flat);
    let proto = json!({ "parent": "tasks/t1", "configId": "c1", "config": { "name": "tasks/t1/pushNotificationConfigs/c1", "pushNotificationConfig": nested } });
    let mut of_path = flat.clone();
    of_path.as_object_mut().unwrap().remove("taskId");
    assert_eq!(
        read(Operation::CreateTaskPushNotificationConfig, Binding::HttpJson, &proto),
        of_path,
        "the path names the task"
    );
    let inline = read(
        Operation::SendMessage,
        Binding::JsonRpc,
        &json!({ "configuration": { "pushNotificationConfig": nested } }),
    );
    assert_eq!(inline["configuration"]["taskPushNotificationConfig"], of_path);
    let ids = json!({ "id": "t1", "pushNotificationConfigId": "c1" });
    let read_ids = read(Operation::GetTaskPushNotificationConfig, Binding::JsonRpc, &ids);
    assert_eq!(read_ids, json!({ "taskId": "t1", "id": "c1" }));
    let config: TaskPushNotificationConfig = from(flat);
    let back = json!({ "id": "c1", "url": "https://example.com", "token": "x", "authentication": { "schemes": ["Bearer"], "credentials": "s" } });
    assert_eq!(written(&config, Binding::JsonRpc), json!({ "taskId": "t1", "pushNotificationConfig": back }));
    let named = json!({ "name": "tasks/t1/pushNotificationConfigs/c1", "pushNotificationConfig": back });
    assert_eq!(written(&config, Binding::HttpJson), named);
    let list = ListTaskPushNotificationConfigsResponse { configs: vec![config], next_page_token: String::new() };
    assert!(written(&list, Binding::JsonRpc).is_array());
    assert_eq!(written(&list, Binding::HttpJson), json!({ "configs": [named] }));
}

#[test]
fn tasks_and_events_have_kinds_or_names_of_the_proto() {
    let task: Task = from(json!({
        "id": "t", "contextId": "c",
        "status": { "state": "TASK_STATE_INPUT_REQUIRED", "timestamp": "2026-08-01T12:00:00.000Z" },
        "artifacts": [{ "artifactId": "a", "name": "n", "parts": [{ "data": 7 }] }],
        "history": [{ "messageId": "m", "role": "ROLE_AGENT", "parts": [{ "text": "hi" }] }],
    }));
    insta::assert_json_snapshot!(written(&SendMessageResponse::Task(task.clone()), Binding::JsonRpc));
    insta::assert_json_snapshot!(written(&SendMessageResponse::Task(task), Binding::HttpJson));
    let event: StreamResponse = from(
        json!({ "statusUpdate": { "taskId": "t", "contextId": "c", "status": { "state": "TASK_STATE_CANCELED" } } }),
    );
    let last = serde_json::to_value(Old::last(&event, Binding::JsonRpc)).unwrap();
    assert_eq!(
        last,
        json!({ "kind": "status-update", "taskId": "t", "contextId": "c", "status": { "state": "canceled" }, "final": true })
    );
    let of_proto = written(&event, Binding::HttpJson);
    assert_eq!(
        of_proto,
        json!({ "statusUpdate": { "taskId": "t", "contextId": "c", "status": { "state": "TASK_STATE_CANCELLED" }, "final": false } })
    );
    let event: StreamResponse = from(
        json!({ "artifactUpdate": { "taskId": "t", "contextId": "c", "artifact": { "artifactId": "a", "parts": [] }, "lastChunk": true } }),
    );
    let update = written(&event, Binding::JsonRpc);
    assert_eq!(
        (&update["kind"], &update["lastChunk"], update.get("append")),
        (&json!("artifact-update"), &json!(true), None)
    );
    let message: SendMessageResponse = from(json!({ "message": modern() }));
    assert_eq!(
        (&written(&message, Binding::JsonRpc), &written(&message, Binding::HttpJson)["msg"]),
        (&rpc(), &proto())
    );
}

#[test]
fn every_state_has_a_name_of_its_own() {
    let name = |state: TaskState, binding| {
        let status = crate::types::TaskStatus { state, ..Default::default() };
        written(&status, binding)["state"].as_str().unwrap().to_owned()
    };
    let rpc: Vec<String> = TaskState::ALL.iter().map(|state| name(*state, Binding::JsonRpc)).collect();
    let expected = "unknown submitted working completed failed canceled input-required rejected auth-required";
    assert_eq!(rpc.join(" "), expected);
    assert_eq!(name(TaskState::Canceled, Binding::HttpJson), "TASK_STATE_CANCELLED");
    assert_eq!(name(TaskState::Failed, Binding::HttpJson), "TASK_STATE_FAILED");
}

#[test]
fn a_dual_card_has_the_members_of_both_versions() {
    let interface = |binding: Binding, version: &str| AgentInterface {
        url: "https://example.com/a".to_owned(),
        protocol_binding: binding.as_str().to_owned(),
        tenant: None,
        protocol_version: version.to_owned(),
    };
    let mut card = AgentCard { name: "a".to_owned(), ..AgentCard::default() };
    card.supported_interfaces = vec![interface(Binding::JsonRpc, "1.0")];
    assert_eq!(dual_card(&card), None, "an agent without 0.3 says nothing of it");
    card.supported_interfaces.extend(Binding::ALL.map(|binding| interface(binding, "0.3")));
    let scheme: SecurityScheme = from(json!({ "apiKeySecurityScheme": { "location": "header", "name": "X-Key" } }));
    card.security_schemes.insert("key".to_owned(), scheme);
    let scopes = [("key".to_owned(), StringList { list: vec!["read".to_owned()] })].into();
    card.security_requirements = vec![SecurityRequirement { schemes: scopes }];
    let dual = Value::Object(dual_card(&card).unwrap());
    for (name, expected) in [
        ("protocolVersion", json!("0.3.0")),
        ("url", json!("https://example.com/a")),
        ("preferredTransport", json!("JSONRPC")),
        ("supportsAuthenticatedExtendedCard", json!(false)),
        ("security", json!([{ "key": ["read"] }])),
        (
            "additionalInterfaces",
            json!([
                { "url": "https://example.com/a", "transport": "JSONRPC" },
                { "url": "https://example.com/a", "transport": "HTTP+JSON" },
            ]),
        ),
    ] {
        assert_eq!(dual[name], expected, "{name}");
    }
    let key = &dual["securitySchemes"]["key"];
    assert_eq!((&key["type"], &key["in"], &key["name"]), (&json!("apiKey"), &json!("header"), &json!("X-Key")));
    let same: AgentCard = from(dual);
    assert_eq!(same, card, "a client of 1.0 reads the very same card");
}
