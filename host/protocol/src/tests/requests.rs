//! What a client is told about a request that breaks a rule.

use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::strategies;
use crate::ErrorKind;
use crate::parse::{ParseLimits, Validate, check_depth, request};
use crate::types::*;

/// The fields at fault with what is wrong, one per line.
fn faults<T: DeserializeOwned + Validate>(json: &str) -> String {
    match request::<T>(json) {
        Ok(_) => "none".to_owned(),
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::InvalidParams, "{error}");
            let lines: Vec<String> =
                error.violations.iter().map(|found| format!("{}: {}", found.field, found.description)).collect();
            lines.join("\n")
        }
    }
}

fn send(message: &str) -> String {
    format!(r#"{{"message":{{"messageId":"m","role":"ROLE_USER",{message}}}}}"#)
}

#[test]
fn a_plain_request_is_taken() {
    let json = send(r#""parts":[{"text":"hi"}],"metadata":{"urn:kennel:x":1}"#);
    assert_eq!(request::<SendMessageRequest>(&json).unwrap().message.parts, [Part::text("hi")]);
    request::<ListTasksRequest>("{}").unwrap();
    request::<GetExtendedAgentCardRequest>("{}").unwrap();
}

#[test]
fn required_fields_are_named_all_at_once() {
    insta::assert_snapshot!(faults::<SendMessageRequest>("{}"), @"message: is required");
    insta::assert_snapshot!(faults::<SendMessageRequest>(r#"{"message":{"taskId":"t"}}"#), @r"
    message.messageId: is required
    message.role: is required
    message.parts: must have at least one part
    ");
    insta::assert_snapshot!(faults::<GetTaskRequest>(r#"{"historyLength":-1}"#), @r"
    id: is required
    historyLength: must not be negative
    ");
    insta::assert_snapshot!(faults::<CancelTaskRequest>("{}"), @"id: is required");
    insta::assert_snapshot!(faults::<SubscribeToTaskRequest>("{}"), @"id: is required");
    insta::assert_snapshot!(faults::<GetTaskPushNotificationConfigRequest>("{}"), @r"
    taskId: is required
    id: is required
    ");
    insta::assert_snapshot!(faults::<DeleteTaskPushNotificationConfigRequest>(r#"{"taskId":"t"}"#), @"id: is required");
    insta::assert_snapshot!(faults::<ListTaskPushNotificationConfigsRequest>(r#"{"pageSize":-1}"#), @r"
    taskId: is required
    pageSize: must be from 1 to 100
    ");
    insta::assert_snapshot!(faults::<TaskPushNotificationConfig>(r#"{"authentication":{}}"#), @r"
    taskId: is required
    url: is required
    authentication.scheme: is required
    ");
}

#[test]
fn what_cannot_be_read_is_named_by_its_path() {
    let text = |json: &str| faults::<SendMessageRequest>(json);
    insta::assert_snapshot!(text(&send(r#""parts":[{"text":"a"},{"text":5}]"#)), @"message.parts[1].text: invalid type: integer `5`, expected a string");
    insta::assert_snapshot!(text(&send(r#""parts":[{"text":"a","url":"b"}]"#)), @"message.parts[0]: must have only one of text, raw, url and data");
    insta::assert_snapshot!(text(&send(r#""parts":[{}]"#)), @"message.parts[0]: must have one of text, raw, url and data");
    insta::assert_snapshot!(text(&send(r#""parts":[{"raw":"?"}]"#)), @"message.parts[0].raw: must be base64");
    insta::assert_snapshot!(text(&send(r#""parts":[],"reference_task_ids":[5]"#)), @"message.referenceTaskIds[0]: invalid type: integer `5`, expected a string");
    insta::assert_snapshot!(text(&send(r#""parts":[],"task_id":"a\nb""#)), @"message.taskId: must not contain control characters");
    insta::assert_snapshot!(text(&send(r#""parts":[],"metadata":[]"#)), @"message.metadata: must be a JSON object");
    insta::assert_snapshot!(text(r#"{"message":{"role":"user"}}"#), @r#"message.role: invalid value: string "user", expected a name such as ROLE_UNSPECIFIED, ROLE_USER, ROLE_AGENT or its number"#);
    insta::assert_snapshot!(text(r#"{"configuration":{"historyLength":1.5}}"#), @"configuration.historyLength: invalid value: floating point `1.5`, expected a whole number of 32 bits");
    insta::assert_snapshot!(text(r#"{"message":{"messageId":"a","messageId":"b"}}"#), @"message: duplicate field `messageId`");
    insta::assert_snapshot!(text("[]"), @": invalid type: sequence, expected an object");
    insta::assert_snapshot!(faults::<ListTasksRequest>(r#"{"statusTimestampAfter":"now"}"#), @"statusTimestampAfter: must be an RFC 3339 timestamp such as 2026-08-01T12:00:00.000Z");
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(300));
    insta::assert_snapshot!(faults::<GetTaskRequest>(&long), @"id: must have at most 256 bytes");
}

#[test]
fn a_quoted_value_is_cut() {
    let json = format!(r#"{{"status":"{}"}}"#, "x".repeat(10_000));
    assert!(faults::<ListTasksRequest>(&json).len() < 300);
}

#[test]
fn what_is_not_json_is_a_parse_error() {
    for json in ["", "{", "{}x", "{'a':1}", "\u{feff}{}"] {
        assert_eq!(request::<ListTasksRequest>(json).unwrap_err().kind, ErrorKind::Parse, "{json}");
    }
}

#[test]
fn messages_obey_their_rules() {
    insta::assert_snapshot!(faults::<SendMessageRequest>(r#"{"tenant":"a\u0000","message":{"messageId":"a\u0007","role":2,"parts":[{"text":"x","mediaType":"text"},{"url":""}],"referenceTaskIds":["ok",""]}}"#), @r"
    tenant: must not contain control characters
    message.messageId: must not contain control characters
    message.role: must be ROLE_USER in a request
    message.parts[0].mediaType: must be a media type such as text/plain
    message.parts[1].url: must not be empty
    message.referenceTaskIds[1]: must not be empty
    ");
}

#[test]
fn media_types_are_checked_for_their_shape() {
    let faulty = |media_type: &str| {
        faults::<SendMessageRequest>(&send(&format!(r#""parts":[{{"text":"x","mediaType":"{media_type}"}}]"#)))
            != "none"
    };
    for good in
        ["text/plain", "text/plain; charset=utf-8", "application/vnd.api+json", "image/svg+xml;q=\\\"a b\\\"", "*/*"]
    {
        assert!(!faulty(good), "{good}");
    }
    for bad in ["text", "/", "text/", "/plain", "a/b/c", "te xt/plain", "text/pläin", "text/plain;\\n", ";"] {
        assert!(faulty(bad), "{bad}");
    }
}

#[test]
fn urls_of_our_own_scheme_are_refused() {
    for url in ["kennel:x", "KENNEL://blob/1", " kennel:x", "\\u0001kennel:x", "ken\\tnel:x"] {
        let json = send(&format!(r#""parts":[{{"url":"{url}"}}]"#));
        assert_eq!(
            faults::<SendMessageRequest>(&json),
            "message.parts[0].url: must not use the scheme kennel",
            "{url}"
        );
    }
    for url in ["https://example.com/kennel:x", "kennels:x", "kennel"] {
        assert_eq!(faults::<SendMessageRequest>(&send(&format!(r#""parts":[{{"url":"{url}"}}]"#))), "none");
    }
}

#[test]
fn opaque_values_must_be_readable_by_everybody() {
    for value in [r#""\ud800""#, "1e999", r#"{"a":[{"\udc00":1}]}"#] {
        let json = send(&format!(r#""parts":[{{"data":{value}}},{{"data":1}}],"metadata":{{"k":{value}}}"#));
        insta::allow_duplicates! {
            insta::assert_snapshot!(faults::<SendMessageRequest>(&json), @r"
            message.parts[0].data: must not have lone surrogates or numbers beyond doubles
            message.metadata: must not have lone surrogates or numbers beyond doubles
            ");
        }
    }
    let json = send(r#""parts":[{"data":["\ud83d\udc15",1e308,-0.0,123456789012345678901234567890,null,true,{}]}]"#);
    assert_eq!(faults::<SendMessageRequest>(&json), "none");
}

#[test]
fn counts_and_sizes_are_limited() {
    let parts = |count: usize| send(&format!(r#""parts":[{}]"#, vec![r#"{"text":""}"#; count].join(",")));
    assert_eq!(faults::<SendMessageRequest>(&parts(256)), "none");
    assert_eq!(faults::<SendMessageRequest>(&parts(257)), "message.parts: must have at most 256 parts");

    let metadata = |bytes: usize| format!(r#""metadata":{{"k":"{}"}}"#, "x".repeat(bytes - 8));
    let json = send(&format!(r#""parts":[{{"text":"",{}}}],{}"#, metadata(65_537), metadata(65_536)));
    assert_eq!(faults::<SendMessageRequest>(&json), "message.parts[0].metadata: must have at most 65536 bytes");
    let json = format!(r#"{{"id":"t",{}}}"#, metadata(65_537));
    assert_eq!(faults::<CancelTaskRequest>(&json), "metadata: must have at most 65536 bytes");

    let bad = send(&format!(r#""parts":[{}]"#, vec![r#"{"url":""}"#; 200].join(",")));
    assert_eq!(faults::<SendMessageRequest>(&bad).lines().count(), ParseLimits::DEFAULT.violations_max);
}

#[test]
fn pages_have_1_to_100_tasks() {
    for (size, fine) in [(-1, false), (0, false), (1, true), (100, true), (101, false)] {
        assert_eq!(faults::<ListTasksRequest>(&format!(r#"{{"pageSize":{size}}}"#)) == "none", fine, "{size}");
    }
}

#[test]
fn webhooks_obey_their_rules() {
    let config = |url: &str, rest: &str| {
        faults::<TaskPushNotificationConfig>(&format!(r#"{{"taskId":"t","url":"{url}"{rest}}}"#))
    };
    for url in ["http://localhost:8080/hook", "HTTPS://example.com", "https://[::1]/x?y#z"] {
        assert_eq!(config(url, ""), "none", "{url}");
    }
    for url in ["hook", "ftp://example.com", "http://", "http:///x", "https://a b", "https://a\\nb"] {
        assert_eq!(config(url, ""), "url: must be an absolute http or https URL", "{url}");
    }
    let rest = r#","id":"a\n","token":"a\r\nX: y","authentication":{"scheme":"Be arer","credentials":"a\n"}"#;
    insta::assert_snapshot!(config("http://a", rest), @r"
    id: must not contain control characters
    token: must not contain control characters
    authentication.scheme: must be the name of an HTTP authentication scheme
    authentication.credentials: must not contain control characters
    ");
    let inline = r#"{"message":{"messageId":"m","role":1,"parts":[{"text":""}]},"configuration":{"historyLength":-1,"taskPushNotificationConfig":{"url":"x"}}}"#;
    insta::assert_snapshot!(faults::<SendMessageRequest>(inline), @r"
    configuration.historyLength: must not be negative
    configuration.taskPushNotificationConfig.url: must be an absolute http or https URL
    ");
}

#[test]
fn depth_is_counted_outside_of_strings() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(check_depth(nested(64).as_bytes(), 64).is_ok());
    let error = check_depth(nested(65).as_bytes(), 64).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert!(check_depth(format!(r#"["{}\\\"[["]"#, "[{".repeat(100)).as_bytes(), 1).is_ok());
    assert!(check_depth(br#"["\\",[]]"#, 1).is_err());
    assert!(check_depth(b"[],[],{}", 1).is_ok());
    assert!(check_depth(b"]]]][", 1).is_ok());
    assert!(check_depth("[{".repeat(1_000_000).as_bytes(), 64).is_err());
}

proptest! {
    #[test]
    fn depth_is_that_of_the_parsed_value(value in strategies::json_value()) {
        fn depth(value: &serde_json::Value) -> usize {
            match value {
                serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
                serde_json::Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
                serde_json::Value::Null
                | serde_json::Value::Bool(_)
                | serde_json::Value::Number(_)
                | serde_json::Value::String(_) => 0,
            }
        }
        let depth = depth(&value.to_value().unwrap());
        prop_assert!(check_depth(value.get().as_bytes(), depth).is_ok());
        prop_assert!(depth == 0 || check_depth(value.get().as_bytes(), depth - 1).is_err());
    }

    #[test]
    fn any_request_of_ours_is_either_taken_or_explained(value in strategies::send_request()) {
        let json = serde_json::to_string(&value).unwrap();
        match request::<SendMessageRequest>(&json) {
            Ok(read) => prop_assert_eq!(read, value),
            Err(error) => prop_assert!(!error.violations.is_empty()),
        }
    }

    #[test]
    fn junk_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(check_depth(&bytes, 4));
        drop(request::<SendMessageRequest>(&String::from_utf8_lossy(&bytes)));
    }
}
