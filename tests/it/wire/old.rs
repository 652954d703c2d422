//! Clients of 0.3: what they send for a request of 1.0, and what they understand of an answer, told in the words of 1.0. Written for
//! itself, so that a slip of the server's own translation shows.

use kennel_protocol::{Binding, Operation};
use serde_json::{Map, Value, json};

/// A request.
pub(super) fn request(binding: Binding, operation: Operation, params: &Value) -> Value {
    match operation {
        Operation::SendMessage | Operation::SendStreamingMessage => {
            let mut old = params.clone();
            old["message"] = message(binding, &params["message"]);
            if let Some(configuration) = old.get_mut("configuration").and_then(Value::as_object_mut) {
                let immediately = configuration.remove("returnImmediately").is_some_and(|given| given == true);
                configuration.insert("blocking".to_owned(), json!(!immediately));
            }
            old
        }
        Operation::GetTaskPushNotificationConfig | Operation::DeleteTaskPushNotificationConfig => {
            json!({ "id": params["taskId"], "pushNotificationConfigId": params["id"] })
        }
        Operation::ListTaskPushNotificationConfigs => json!({ "id": params["taskId"] }),
        Operation::CreateTaskPushNotificationConfig => {
            json!({ "taskId": params["taskId"], "pushNotificationConfig": { "url": params["url"] } })
        }
        _ => params.clone(),
    }
}

fn message(binding: Binding, message: &Value) -> Value {
    let mut old = message.clone();
    let parts: Vec<Value> = message["parts"].as_array().unwrap().iter().map(|given| part(binding, given)).collect();
    let members = old.as_object_mut().unwrap();
    members.remove("parts");
    match binding {
        Binding::JsonRpc => {
            members.insert("kind".to_owned(), json!("message"));
            members.insert("role".to_owned(), json!("user"));
            members.insert("parts".to_owned(), json!(parts));
        }
        Binding::HttpJson => drop(members.insert("content".to_owned(), json!(parts))),
    }
    old
}

fn part(binding: Binding, part: &Value) -> Value {
    // The parts that tests of all wires send: text, and one with a media type, which only files had.
    let old = match part.get("mediaType") {
        None => json!({ "kind": "text", "text": part["text"] }),
        Some(kind) if binding == Binding::JsonRpc => {
            json!({ "kind": "file", "file": { "uri": "https://example.com", "mimeType": kind } })
        }
        Some(kind) => json!({ "file": { "fileWithUri": "https://example.com", "mimeType": kind } }),
    };
    match (binding, old) {
        (Binding::HttpJson, Value::Object(mut old)) => {
            old.remove("kind");
            Value::Object(old)
        }
        (_, old) => old,
    }
}

/// The answer to a call: a task, a message, or a union of the proto.
pub(super) fn answer(value: &Value) -> Value {
    match value["kind"].as_str() {
        Some("message") => union(value, false),
        // SendMessage and GetTask answer alike over JSON-RPC: both readings are given.
        Some("task") => {
            let task = object(value);
            let mut both = task.clone();
            both["task"] = task;
            both
        }
        Some(other) => panic!("what is {other}: {value:#}"),
        None if value.get("task").is_some() || value.get("msg").is_some() => union(value, false),
        None => object(value),
    }
}

/// An event, with or without the name of its member.
pub(super) fn union(value: &Value, is_event: bool) -> Value {
    let name = |kind: &str| match kind {
        "task" => "task",
        "message" | "msg" => "message",
        "status-update" | "statusUpdate" => "statusUpdate",
        "artifact-update" | "artifactUpdate" => "artifactUpdate",
        other => panic!("an unknown member: {other}"),
    };
    let (kind, inner) = match value["kind"].as_str() {
        Some(kind) => (kind, value),
        None => value.as_object().unwrap().iter().next().map(|(kind, inner)| (kind.as_str(), inner)).unwrap(),
    };
    let is_status = name(kind) == "statusUpdate";
    assert_eq!(is_event && is_status, inner.get("final").is_some_and(Value::is_boolean), "final: {value:#}");
    Value::Object(Map::from_iter([(name(kind).to_owned(), object(inner))]))
}

/// The same object with the names of 1.0.
fn object(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(object).collect(),
        Value::Object(members) => {
            let members = members.iter().filter(|(name, _)| *name != "kind");
            members
                .map(|(name, value)| if name == "content" { ("parts", value) } else { (name.as_str(), value) })
                .map(|(name, value)| {
                    (
                        name.to_owned(),
                        match (name, value.as_str()) {
                            ("state", Some(state)) => json!(modern_state(state)),
                            ("role", Some("user")) => json!("ROLE_USER"),
                            ("role", Some("agent")) => json!("ROLE_AGENT"),
                            _ => object(value),
                        },
                    )
                })
                .collect::<Map<_, _>>()
                .into()
        }
        other => other.clone(),
    }
}

fn modern_state(state: &str) -> String {
    match state {
        "TASK_STATE_CANCELLED" => "TASK_STATE_CANCELED".to_owned(),
        state if state.starts_with("TASK_STATE_") => state.to_owned(),
        state => format!("TASK_STATE_{}", state.to_uppercase().replace('-', "_")),
    }
}
