//! The exact text that goes out.

use crate::types::*;
use crate::{ArtifactId, Timestamp};

fn written<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

fn task() -> Task {
    Task {
        id: "t1".parse().unwrap(),
        context_id: "c1".parse().unwrap(),
        status: TaskStatus {
            state: TaskState::Submitted,
            message: None,
            timestamp: Some(Timestamp::from_millis(1_785_585_600_000)),
        },
        artifacts: None,
        history: Vec::new(),
        metadata: None,
    }
}

#[test]
fn a_task_has_its_required_members_and_no_empty_ones() {
    insta::assert_snapshot!(written(&StreamResponse::Task(task())), @r#"{"task":{"id":"t1","contextId":"c1","status":{"state":"TASK_STATE_SUBMITTED","timestamp":"2026-08-01T12:00:00.000Z"}}}"#);
}

#[test]
fn included_artifacts_are_written_even_if_there_are_none() {
    let included = Task { artifacts: Some(Vec::new()), ..task() };
    insta::assert_snapshot!(written(&included), @r#"{"id":"t1","contextId":"c1","status":{"state":"TASK_STATE_SUBMITTED","timestamp":"2026-08-01T12:00:00.000Z"},"artifacts":[]}"#);
}

#[test]
fn required_members_are_written_even_if_empty() {
    insta::assert_snapshot!(written(&Message::default()), @r#"{"messageId":"","role":"ROLE_UNSPECIFIED","parts":[]}"#);
    insta::assert_snapshot!(written(&Artifact::default()), @r#"{"artifactId":"","parts":[]}"#);
    insta::assert_snapshot!(written(&ListTasksResponse::default()), @r#"{"tasks":[],"nextPageToken":"","pageSize":0,"totalSize":0}"#);
    insta::assert_snapshot!(written(&ListTaskPushNotificationConfigsResponse::default()), @"{}");
    insta::assert_snapshot!(written(&AgentCard::default()), @r#"{"name":"","description":"","supportedInterfaces":[],"version":"","capabilities":{},"defaultInputModes":[],"defaultOutputModes":[],"skills":[]}"#);
}

#[test]
fn tracked_members_are_written_if_they_were_set() {
    let card = AgentCard {
        icon_url: Some(String::new()),
        capabilities: AgentCapabilities { streaming: Some(false), ..AgentCapabilities::default() },
        ..AgentCard::default()
    };
    let tree: serde_json::Value = serde_json::from_str(&written(&card)).unwrap();
    assert_eq!(tree["iconUrl"], "");
    assert_eq!(tree["capabilities"], serde_json::json!({"streaming": false}));
    let request = GetTaskRequest { tenant: Some(String::new()), id: "t1".parse().unwrap(), history_length: Some(0) };
    insta::assert_snapshot!(written(&request), @r#"{"id":"t1","historyLength":0}"#);
}

#[test]
fn every_kind_of_part_is_written_by_its_member() {
    let metadata = JsonObject::from_text("{}").ok();
    let parts = [
        Part::text("a\n"),
        Part { filename: Some("f".to_owned()), ..Part::new(Content::Raw(vec![251, 255, 0].into())) },
        Part { media_type: Some("text/html".to_owned()), ..Part::new(Content::Url("https://x".to_owned())) },
        Part { metadata, filename: Some(String::new()), ..Part::data(JsonValue::null()) },
    ];
    insta::assert_snapshot!(written(&parts), @r#"[{"text":"a\n"},{"raw":"+/8A","filename":"f"},{"url":"https://x","mediaType":"text/html"},{"data":null,"metadata":{}}]"#);
}

#[test]
fn artifact_events_leave_false_flags_out() {
    let mut event = TaskArtifactUpdateEvent {
        task_id: "t1".parse().unwrap(),
        context_id: "c1".parse().unwrap(),
        artifact: Artifact { artifact_id: ArtifactId::unset(), ..Artifact::default() },
        append: false,
        last_chunk: false,
        metadata: None,
    };
    insta::assert_snapshot!(written(&event), @r#"{"taskId":"t1","contextId":"c1","artifact":{"artifactId":"","parts":[]}}"#);
    event.append = true;
    event.last_chunk = true;
    insta::assert_snapshot!(written(&event), @r#"{"taskId":"t1","contextId":"c1","artifact":{"artifactId":"","parts":[]},"append":true,"lastChunk":true}"#);
}

#[test]
fn a_full_card() {
    let json = include_str!("card.json");
    let card: AgentCard = serde_json::from_str(json).unwrap();
    let written: serde_json::Value = serde_json::to_value(&card).unwrap();
    assert_eq!(written, serde_json::from_str::<serde_json::Value>(json).unwrap());
}
