//! What values must look like, for comparisons that leave out what differs from run to run.

use serde_json::Value;

/// A UUID in its usual spelling.
pub(crate) fn is_uuid(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && text.chars().all(|c| c == '-' || matches!(c, '0'..='9' | 'a'..='f'))
}

/// `YYYY-MM-DDTHH:mm:ss.sssZ`.
pub(crate) fn is_timestamp(value: &Value) -> bool {
    let pattern = "0000-00-00T00:00:00.000Z";
    value.as_str().is_some_and(|text| {
        text.len() == pattern.len()
            && text.chars().zip(pattern.chars()).all(|(c, p)| if p == '0' { c.is_ascii_digit() } else { c == p })
    })
}

/// Puts names in place of ids and times, after a look at their form.
pub(crate) fn redact(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(redact).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), redacted(name, value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn redacted(name: &str, value: &Value) -> Value {
    match name {
        "id" | "taskId" | "contextId" if is_uuid(value) => format!("[{name}]").into(),
        "timestamp" if is_timestamp(value) => "[timestamp]".into(),
        "messageId" if value.as_str().is_some_and(is_agents) => "[agent's message]".into(),
        "messageId" => "[client's message]".into(),
        _ => redact(value),
    }
}

/// The id of an agent's message: its task's and the number of the call.
fn is_agents(id: &str) -> bool {
    id.rsplit_once('-').is_some_and(|(task, call)| is_uuid(&task.into()) && call.parse::<u64>().is_ok())
}
