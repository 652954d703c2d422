//! Whether a scripted answer meets the schema of a question.
//!
//! The host checks with a whole JSON Schema validator. A test needs what agents ask for: the keywords below. Others are met by
//! everything, so a test never fails for an answer that the host would take.

use serde_json::{Map, Value};

use crate::part::Content;
use crate::{Draft, Part};

/// The value in an answer that meets the schema: the host tries the first data part, then the text as JSON, then as a string.
pub(super) fn value_in(answer: &Draft, schema: &Value) -> Option<Value> {
    let data = answer.parts.iter().find_map(|part| match &part.content {
        Content::Data(json) => serde_json::from_str(json).ok(),
        Content::Text(_) | Content::Raw(_) | Content::Url(_) => None,
    });
    let text = answer.parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join("\n");
    let read = serde_json::from_str(&text).ok();
    [data, read, Some(Value::String(text))].into_iter().flatten().find(|value| meets(value, schema))
}

fn meets(value: &Value, schema: &Value) -> bool {
    match schema {
        Value::Bool(all) => *all,
        Value::Object(keywords) => keywords.iter().all(|(keyword, rule)| keeps(value, keyword, rule, keywords)),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => true,
    }
}

fn keeps(value: &Value, keyword: &str, rule: &Value, all: &Map<String, Value>) -> bool {
    match keyword {
        "type" => list(rule).any(|name| has_type(value, name)),
        "enum" => list(rule).any(|one| one == value),
        "const" => rule == value,
        "anyOf" => list(rule).any(|one| meets(value, one)),
        "allOf" => list(rule).all(|one| meets(value, one)),
        "oneOf" => list(rule).filter(|one| meets(value, one)).count() == 1,
        "not" => !meets(value, rule),
        "minimum" => number(value).zip(number(rule)).is_none_or(|(value, least)| value >= least),
        "maximum" => number(value).zip(number(rule)).is_none_or(|(value, most)| value <= most),
        "minLength" => length(value).zip(number(rule)).is_none_or(|(length, least)| length >= least),
        "maxLength" => length(value).zip(number(rule)).is_none_or(|(length, most)| length <= most),
        "minItems" => items(value).zip(number(rule)).is_none_or(|(items, least)| items.len() as f64 >= least),
        "maxItems" => items(value).zip(number(rule)).is_none_or(|(items, most)| items.len() as f64 <= most),
        "items" => items(value).is_none_or(|items| items.iter().all(|item| meets(item, rule))),
        "required" => value
            .as_object()
            .is_none_or(|object| list(rule).filter_map(Value::as_str).all(|member| object.contains_key(member))),
        "properties" => members(value, rule).all(|(member, rule)| meets(member, rule)),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            let known = |name: &str| all.get("properties").is_some_and(|properties| properties.get(name).is_some());
            object.iter().filter(|(name, _)| !known(name)).all(|(_, member)| meets(member, rule))
        }),
        _ => true,
    }
}

fn has_type(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    }
}

/// The elements of a list, or the one thing that stands for a list of one.
fn list(rule: &Value) -> impl Iterator<Item = &Value> {
    rule.as_array().map_or(std::slice::from_ref(rule), Vec::as_slice).iter()
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}

fn length(value: &Value) -> Option<f64> {
    value.as_str().map(|text| text.chars().count() as f64)
}

fn items(value: &Value) -> Option<&Vec<Value>> {
    value.as_array()
}

/// The members of a value that a schema names, each with its rule.
fn members<'a>(value: &'a Value, rules: &'a Value) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    let rules = rules.as_object().into_iter().flatten();
    rules.filter_map(move |(name, rule)| Some((value.get(name)?, rule)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn keywords_that_agents_use_are_checked() {
        let schema = json!({
            "type": "object", "required": ["date"], "additionalProperties": false,
            "properties": { "date": { "type": "string", "minLength": 8 }, "people": { "type": "integer", "minimum": 1, "maximum": 9 } },
        });
        for good in [json!({"date": "20260501"}), json!({"date": "20260501", "people": 2})] {
            assert!(meets(&good, &schema), "{good}");
        }
        let bad = [
            json!("20260501"),
            json!({}),
            json!({"date": "1"}),
            json!({"date": "20260501", "people": 0}),
            json!({"date": "20260501", "people": 1.5}),
            json!({"date": "20260501", "pets": 1}),
        ];
        for bad in bad {
            assert!(!meets(&bad, &schema), "{bad}");
        }
        assert!(meets(&json!([1, 2]), &json!({ "items": { "enum": [1, 2] }, "minItems": 2 })));
        assert!(!meets(&json!([1, 3]), &json!({ "items": { "enum": [1, 2] } })));
        assert!(meets(&json!(1), &json!({ "oneOf": [{ "const": 1 }, { "type": "string" }], "future": 1 })));
        assert!(!meets(&json!(1), &json!(false)));
    }

    #[test]
    fn a_value_is_found_where_the_host_looks_for_it() {
        let number = json!({ "type": "number" });
        assert_eq!(value_in(&Draft::from("x").part(Part::data(7).unwrap()), &number), Some(json!(7)));
        assert_eq!(value_in(&"8".into(), &number), Some(json!(8)));
        assert_eq!(value_in(&"red".into(), &json!({ "enum": ["red"] })), Some(json!("red")));
        assert_eq!(value_in(&"many".into(), &number), None);
    }
}
