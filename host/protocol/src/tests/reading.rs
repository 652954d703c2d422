//! Where reading is lenient and where it is strict (protocol.md section 3).

use serde::de::DeserializeOwned;

use crate::Timestamp;
use crate::types::*;

fn read<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn refusal<T: DeserializeOwned>(json: &str) -> String {
    match serde_json::from_str::<T>(json) {
        Ok(_) => panic!("was read: {json}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn both_spellings_of_names_are_read() {
    let camel: Message = read(
        r#"{"messageId":"m","contextId":"c","taskId":"t","role":"ROLE_USER","parts":[{"text":"x","mediaType":"text/plain"}],"referenceTaskIds":["r"]}"#,
    );
    let snake: Message = read(
        r#"{"message_id":"m","context_id":"c","task_id":"t","role":"ROLE_USER","parts":[{"text":"x","media_type":"text/plain"}],"reference_task_ids":["r"]}"#,
    );
    assert_eq!(camel, snake);
    let event = |name: &str| format!(r#"{{"{name}":{{"taskId":"t","contextId":"c","status":{{"state":2}}}}}}"#);
    assert_eq!(read::<StreamResponse>(&event("statusUpdate")), read::<StreamResponse>(&event("status_update")));
}

#[test]
fn null_is_absent_except_in_data() {
    let message: Message = read(
        r#"{"messageId":null,"contextId":null,"taskId":null,"role":null,"parts":null,"metadata":null,"extensions":null,"referenceTaskIds":null}"#,
    );
    assert_eq!(message, Message::default());
    let part: Part = read(r#"{"text":null,"raw":null,"url":null,"data":null,"metadata":null,"filename":null}"#);
    assert_eq!(part, Part::data(JsonValue::null()));
    let request: ListTasksRequest = read(
        r#"{"tenant":null,"contextId":null,"status":null,"pageSize":null,"pageToken":null,"historyLength":null,"statusTimestampAfter":null,"includeArtifacts":null}"#,
    );
    assert_eq!(request, ListTasksRequest::default());
    assert_eq!(read::<SendMessageRequest>(r#"{"message":null,"configuration":null}"#), SendMessageRequest::default());
    assert_eq!(
        read::<SendMessageResponse>(r#"{"task":null,"message":{}}"#),
        SendMessageResponse::Message(Message::default())
    );
}

#[test]
fn an_empty_string_is_absent_where_presence_is_not_tracked() {
    let request: ListTasksRequest =
        read(r#"{"tenant":"","contextId":"","status":"TASK_STATE_UNSPECIFIED","pageToken":""}"#);
    assert_eq!(request, ListTasksRequest::default());
    let part: Part = read(r#"{"text":"","filename":"","mediaType":""}"#);
    assert_eq!(part, Part::text(""));
    let card: AgentCard = read(r#"{"iconUrl":""}"#);
    assert_eq!(card.icon_url.as_deref(), Some(""));
    assert!(read::<GetTaskRequest>(r#"{"id":""}"#).id.is_unset());
    assert!(read::<GetTaskRequest>("{}").id.is_unset());
}

#[test]
fn enums_are_read_by_name_or_number() {
    assert_eq!(read::<TaskState>(r#""TASK_STATE_AUTH_REQUIRED""#), TaskState::AuthRequired);
    for state in TaskState::ALL {
        assert_eq!(read::<TaskState>(&state.number().to_string()), *state);
        assert_eq!(TaskState::from_name(state.as_str()), Some(*state));
    }
    for bad in
        [r#""WORKING""#, r#""task_state_working""#, r#""TASK_STATE_CANCELLED""#, r#""""#, "9", "-1", "1.5", "true"]
    {
        refusal::<TaskState>(bad);
    }
    assert!(refusal::<ListTasksRequest>(r#"{"status":"DONE"}"#).contains("TASK_STATE_WORKING"));
}

#[test]
fn integers_are_read_in_the_forms_of_protojson() {
    let length = |json: &str| serde_json::from_str::<ListTasksRequest>(&format!(r#"{{"historyLength":{json}}}"#));
    for (json, number) in [
        ("0", 0),
        ("5", 5),
        (r#""5""#, 5),
        (r#""-5""#, -5),
        ("5.0", 5),
        ("5e0", 5),
        ("1e3", 1000),
        ("-0.0", 0),
        ("2147483647", i32::MAX),
        ("-2147483648", i32::MIN),
        ("2147483647.0", i32::MAX),
    ] {
        assert_eq!(length(json).unwrap().history_length, Some(number), "{json}");
    }
    for json in
        ["5.5", "2147483648", "-2147483649", "1e10", "true", r#""5.5""#, r#""""#, r#"" 5""#, r#""+5""#, "[5]", "{}"]
    {
        assert!(length(json).is_err(), "{json}");
    }
}

#[test]
fn booleans_are_nothing_but_booleans() {
    for json in ["1", r#""true""#, "[]"] {
        refusal::<SendMessageConfiguration>(&format!(r#"{{"returnImmediately":{json}}}"#));
    }
}

#[test]
fn bytes_are_read_in_both_alphabets_with_or_without_padding() {
    for text in ["+/+/AA==", "+/+/AA", "-_-_AA==", "-_-_AA", "\\u002b/+/AA=="] {
        let part: Part = read(&format!(r#"{{"raw":"{text}"}}"#));
        assert_eq!(part.content, Content::Raw(vec![251, 255, 191, 0].into()), "{text}");
    }
    assert_eq!(read::<Part>(r#"{"raw":""}"#).content, Content::Raw(bytes::Bytes::new()));
    for text in ["A", "AB C", "AA=A", "-/AA", "ä"] {
        assert!(refusal::<Part>(&format!(r#"{{"raw":"{text}"}}"#)).contains("must be base64"), "{text}");
    }
}

#[test]
fn a_part_has_exactly_one_content() {
    for json in [r#"{"text":"a","url":"b"}"#, r#"{"data":null,"text":"a"}"#, r#"{"text":"a","text":"a"}"#] {
        assert!(refusal::<Part>(json).contains("only one of"), "{json}");
    }
    for json in ["{}", r#"{"text":null}"#, r#"{"metadata":{}}"#, r#"{"kind":"text"}"#] {
        assert!(refusal::<Part>(json).contains("must have one of"), "{json}");
    }
}

#[test]
fn unknown_members_are_ignored_at_every_depth() {
    let request: SendMessageRequest = read(
        r#"{"x":{"y":[1]},"message":{"x":1,"messageId":"m","parts":[{"x":[],"text":"a"}],"kind":"message"},"configuration":{"blocking":true}}"#,
    );
    assert_eq!(request.message.parts, [Part::text("a")]);
    assert_eq!(request.configuration, Some(SendMessageConfiguration::default()));
    read::<StreamResponse>(r#"{"kind":"x","message":{}}"#);
}

#[test]
fn duplicate_members_are_refused() {
    for json in [
        r#"{"messageId":"a","messageId":"a"}"#,
        r#"{"messageId":"a","message_id":"a"}"#,
        r#"{"metadata":{},"metadata":{}}"#,
        r#"{"taskId":null,"taskId":"t"}"#,
    ] {
        assert!(refusal::<Message>(json).contains("duplicate field"), "{json}");
    }
    assert!(refusal::<Part>(r#"{"text":"a","filename":null,"filename":"b"}"#).contains("duplicate field"));
}

#[test]
fn unions_have_exactly_one_member() {
    assert!(refusal::<StreamResponse>(r#"{"message":{},"task":{}}"#).contains("only one of"));
    assert!(refusal::<StreamResponse>("{}").contains("must have one of"));
    assert!(refusal::<SecurityScheme>(r#"{"unknownSecurityScheme":{}}"#).contains("must have one of"));
    assert!(refusal::<OAuth2SecurityScheme>("{}").contains("missing field `flows`"));
}

#[test]
fn arrays_are_not_objects() {
    for json in ["[]", r#"["t1"]"#, "null", "1", r#""t1""#] {
        refusal::<GetTaskRequest>(json);
        refusal::<ListTasksRequest>(json);
        refusal::<Part>(json);
        refusal::<StreamResponse>(json);
        refusal::<JsonObject>(json);
    }
    refusal::<Message>(r#"{"metadata":[]}"#);
    refusal::<Message>(r#"{"parts":{"text":"a"}}"#);
    refusal::<Message>(r#"{"extensions":[null]}"#);
}

#[test]
fn timestamps_are_read_with_offsets() {
    let request: ListTasksRequest = read(r#"{"statusTimestampAfter":"1970-01-01T02:00:00.5+02:00"}"#);
    assert_eq!(request.status_timestamp_after, Some(Timestamp::from_millis(500)));
    assert!(refusal::<ListTasksRequest>(r#"{"statusTimestampAfter":"yesterday"}"#).contains("RFC 3339"));
    refusal::<ListTasksRequest>(r#"{"statusTimestampAfter":0}"#);
}

#[test]
fn opaque_values_are_kept_as_text_on_one_line() {
    let part: Part = read("{\"data\": {\"b\" : 1.00, \"a\":12345678901234567890} }");
    assert_eq!(part.content, Content::Data(JsonValue::from_text(r#"{"b" : 1.00, "a":12345678901234567890}"#).unwrap()));
    let spread = "{\n  \"a b\": [1, \"x \\\" \\\\\", \"\\n\"],\r\n\t\"c\": {}\n}";
    assert_eq!(JsonValue::from_text(spread).unwrap().get(), r#"{"a b":[1,"x \" \\","\n"],"c":{}}"#);
    assert_eq!(JsonValue::from_text(" null ").unwrap(), JsonValue::null());
    for bad in ["", "{", "1 2", "{a:1}", "\"\n\""] {
        assert!(JsonValue::from_text(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn members_of_opaque_objects_are_found_by_name() {
    let object = JsonObject::from_text(r#"{"a":1,"\u0062":{"a":2},"a":[3]}"#).unwrap();
    assert_eq!(object.member("a").unwrap().get(), "[3]");
    assert_eq!(object.member("b").unwrap().get(), r#"{"a":2}"#);
    assert_eq!(object.member("c"), None);
    assert_eq!(object.with("b", &JsonValue::null()).get(), r#"{"a":[3],"b":null}"#);
    assert_eq!(JsonObject::empty().with("\"", &JsonValue::null()).get(), r#"{"\"":null}"#);
    assert!(JsonObject::from_text("{ }").unwrap().is_empty());
    assert!(!object.is_empty());
    assert!(JsonObject::from_text("[]").is_err());
}
