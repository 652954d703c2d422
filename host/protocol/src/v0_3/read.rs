//! Requests of 0.3 as the JSON of 1.0. Only shapes are changed here: what is wrong in them is left for the parser of 1.0 to refuse.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::Error;
use crate::operation::{Binding, Operation};
use crate::parse::camel;
use crate::types::{JsonObject, JsonValue};

/// Translates the parameters of an operation: those of JSON-RPC, or the body of HTTP+JSON.
///
/// # Errors
/// `Parse` if the text is not JSON.
pub fn request(operation: Operation, binding: Binding, params: &str) -> Result<String, Error> {
    let value = JsonValue::from_text(params).map_err(|fault| Error::parse(format!("Invalid JSON: {fault}")))?;
    let translated = match operation {
        Operation::SendMessage | Operation::SendStreamingMessage => send(value, binding),
        Operation::CreateTaskPushNotificationConfig => push_config_of_task(value),
        Operation::GetTaskPushNotificationConfig | Operation::DeleteTaskPushNotificationConfig => {
            renamed(value, &[("id", "taskId"), ("pushNotificationConfigId", "id")])
        }
        Operation::ListTaskPushNotificationConfigs => renamed(value, &[("id", "taskId")]),
        Operation::GetTask
        | Operation::ListTasks
        | Operation::CancelTask
        | Operation::SubscribeToTask
        | Operation::GetExtendedAgentCard => value,
    };
    Ok(translated.get().to_owned())
}

/// Translates the members of an object, by their camelCase names; a member is dropped by none. What is no object stays as it is.
fn each(value: JsonValue, mut member: impl FnMut(&str, JsonValue) -> Vec<(&'static str, JsonValue)>) -> JsonValue {
    let Ok(object) = JsonObject::try_from(value.clone()) else { return value };
    let members = object.members().into_iter().flat_map(|(name, value)| member(&camel(&name), value));
    JsonObject::from_members(members).into()
}

/// The same value under another name.
fn one(name: &'static str, value: JsonValue) -> Vec<(&'static str, JsonValue)> {
    vec![(name, value)]
}

fn renamed(value: JsonValue, names: &[(&str, &'static str)]) -> JsonValue {
    each(value, |given, value| {
        let name = names.iter().find(|(old, _)| *old == given);
        name.map(|(_, new)| (*new, value)).into_iter().collect()
    })
}

fn text(value: &JsonValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn boolean(value: bool) -> JsonValue {
    JsonValue::from_value(&value.into())
}

/// The items of a list translated; what is no list stays as it is.
fn items(value: JsonValue, item: impl Fn(JsonValue) -> JsonValue) -> JsonValue {
    match serde_json::from_str::<Vec<JsonValue>>(value.get()) {
        Ok(items) => JsonValue::of(&items.into_iter().map(item).collect::<Vec<_>>()).unwrap_or(value),
        Err(_) => value,
    }
}

fn send(value: JsonValue, binding: Binding) -> JsonValue {
    each(value, |name, value| match name {
        "message" | "request" => one("message", message(value, binding)),
        "configuration" => one("configuration", configuration(value, binding)),
        "metadata" => one("metadata", value),
        _ => Vec::new(),
    })
}

fn configuration(value: JsonValue, binding: Binding) -> JsonValue {
    let mut waits = None;
    let translated = each(value, |name, value| match name {
        "acceptedOutputModes" => one("acceptedOutputModes", value),
        "historyLength" => one("historyLength", value),
        "pushNotificationConfig" | "pushNotification" => one("taskPushNotificationConfig", push_config(value)),
        "blocking" => {
            waits = serde_json::from_str::<bool>(value.get()).ok();
            // What is no boolean is refused under the name that it has now.
            if waits.is_some() || value == JsonValue::null() { Vec::new() } else { one("returnImmediately", value) }
        }
        _ => Vec::new(),
    });
    // ProtoJSON leaves false out; over JSON-RPC its absence says nothing, and waiting is what clients count on.
    let waits = waits.unwrap_or(binding == Binding::JsonRpc);
    match JsonObject::try_from(translated.clone()) {
        Ok(object) if !waits => object.with("returnImmediately", &boolean(true)).into(),
        Ok(_) | Err(_) => translated,
    }
}

fn message(value: JsonValue, binding: Binding) -> JsonValue {
    each(value, |name, value| match name {
        "messageId" => one("messageId", value),
        "contextId" => one("contextId", value),
        "taskId" => one("taskId", value),
        "role" => one("role", role(value)),
        "parts" | "content" => one("parts", items(value, |item| part(item, binding))),
        "metadata" => one("metadata", value),
        "extensions" => one("extensions", value),
        "referenceTaskIds" => one("referenceTaskIds", value),
        _ => Vec::new(),
    })
}

fn role(value: JsonValue) -> JsonValue {
    match text(&value).as_deref() {
        Some("user") => JsonValue::from_value(&"ROLE_USER".into()),
        Some("agent") => JsonValue::from_value(&"ROLE_AGENT".into()),
        Some(_) | None => value,
    }
}

fn part(value: JsonValue, binding: Binding) -> JsonValue {
    each(value, |name, value| match name {
        "text" => one("text", value),
        "file" => file(&value),
        "data" if binding == Binding::HttpJson => one("data", data(value)),
        "data" => one("data", value),
        "metadata" => one("metadata", value),
        _ => Vec::new(),
    })
}

/// In the proto the data of a part is an object within an object.
fn data(value: JsonValue) -> JsonValue {
    let inner = JsonObject::try_from(value.clone()).ok().and_then(|object| object.member("data"));
    inner.unwrap_or(value)
}

/// A file's members stand in the part itself now.
fn file(value: &JsonValue) -> Vec<(&'static str, JsonValue)> {
    let Ok(object) = JsonObject::try_from(value.clone()) else { return Vec::new() };
    let member = |(name, value): (String, JsonValue)| match camel(&name).as_str() {
        "bytes" => Some(("raw", value)),
        "fileWithBytes" => Some(("raw", unwrapped(value))),
        "uri" | "fileWithUri" => Some(("url", value)),
        "mimeType" => Some(("mediaType", value)),
        "name" => Some(("filename", value)),
        _ => None,
    };
    object.members().into_iter().filter_map(member).collect()
}

/// SDKs of 0.3 put the base64 text of a file into the field of bytes, so that JSON has it encoded twice. What has been encoded once is
/// taken as well.
fn unwrapped(value: JsonValue) -> JsonValue {
    let outer = text(&value).and_then(|text| STANDARD.decode(text).ok());
    let inner = outer.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| STANDARD.decode(text).is_ok());
    inner.map_or(value, |text| JsonValue::from_value(&text.into()))
}

fn push_config(value: JsonValue) -> JsonValue {
    each(value, |name, value| match name {
        "id" => one("id", value),
        "url" => one("url", value),
        "token" => one("token", value),
        "authentication" => one("authentication", authentication(value)),
        _ => Vec::new(),
    })
}

/// Of several schemes the first counts.
fn authentication(value: JsonValue) -> JsonValue {
    each(value, |name, value| match name {
        "schemes" => {
            let schemes = serde_json::from_str::<Vec<JsonValue>>(value.get()).unwrap_or_default();
            schemes.into_iter().next().map(|scheme| ("scheme", scheme)).into_iter().collect()
        }
        "credentials" => one("credentials", value),
        _ => Vec::new(),
    })
}

/// `{taskId, pushNotificationConfig}`, or over HTTP+JSON `{parent, configId, config: {pushNotificationConfig}}`, whose task is in the path.
fn push_config_of_task(value: JsonValue) -> JsonValue {
    let Ok(object) = JsonObject::try_from(value.clone()) else { return value };
    let mut flat = JsonObject::empty();
    for (name, value) in object.members() {
        let inner = match camel(&name).as_str() {
            "pushNotificationConfig" => push_config(value),
            "config" => push_config_of_task(value),
            "configId" => JsonObject::empty().with("id", &value).into(),
            "taskId" => JsonObject::empty().with("taskId", &value).into(),
            _ => continue,
        };
        let members = JsonObject::try_from(inner).map(|inner| inner.members()).unwrap_or_default();
        flat = members.into_iter().fold(flat, |flat, (name, value)| flat.with(&name, &value));
    }
    flat.into()
}
