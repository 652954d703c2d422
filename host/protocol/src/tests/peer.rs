//! The Rust SDK of the A2A project reads what we write and writes what we read.

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::strategies;
use crate::types::*;

/// Ours, through the peer's type, is ours again. Compared as trees, because the peer orders members anew.
fn check<Ours, Theirs>(value: &Ours) -> Result<(), TestCaseError>
where
    Ours: Serialize + DeserializeOwned,
    Theirs: Serialize + DeserializeOwned,
{
    let ours = serde_json::to_value(value).unwrap();
    let text = serde_json::to_string(value).unwrap();
    let theirs: Theirs =
        serde_json::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
    let back = serde_json::to_string(&theirs).unwrap();
    let back: Ours = serde_json::from_str(&back).map_err(|error| TestCaseError::fail(format!("{error}: {back}")))?;
    prop_assert_eq!(serde_json::to_value(&back).unwrap(), ours);
    Ok(())
}

macro_rules! agrees {
    ($($name:ident: $strategy:expr, $ours:ty, $theirs:ty;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]
            $(#[test]
            fn $name(value in $strategy) {
                check::<$ours, $theirs>(&value)?;
            })*
        }
    };
}

agrees! {
    tasks: strategies::task(), Task, a2a::Task;
    messages: strategies::message(), Message, a2a::Message;
    artifacts: strategies::artifact(), Artifact, a2a::Artifact;
    stream_responses: strategies::stream_response(), StreamResponse, a2a::StreamResponse;
    send_responses: strategies::send_response(), SendMessageResponse, a2a::SendMessageResponse;
    send_requests: strategies::send_request(), SendMessageRequest, a2a::SendMessageRequest;
    get_requests: strategies::get_request(), GetTaskRequest, a2a::GetTaskRequest;
    list_requests: strategies::list_request(), ListTasksRequest, a2a::ListTasksRequest;
    list_responses: strategies::list_response(), ListTasksResponse, a2a::ListTasksResponse;
    cancel_requests: strategies::cancel_request(), CancelTaskRequest, a2a::CancelTaskRequest;
    subscribe_requests: strategies::subscribe_request(), SubscribeToTaskRequest, a2a::SubscribeToTaskRequest;
    push_configs: strategies::push_config(), TaskPushNotificationConfig, a2a::TaskPushNotificationConfig;
    list_push_responses: strategies::list_push_response(),
        ListTaskPushNotificationConfigsResponse, a2a::ListTaskPushNotificationConfigsResponse;
    cards: strategies::card(), AgentCard, a2a::AgentCard;
}

#[test]
fn what_the_peer_builds_is_what_we_read() {
    let mut message = a2a::Message::new(
        a2a::Role::User,
        vec![
            a2a::Part::text("hello").with_media_type("text/plain"),
            a2a::Part::raw(vec![0, 255, 62, 63]).with_filename("f.bin"),
            a2a::Part::url("https://example.com/f.pdf"),
            a2a::Part::data(Value::Null),
        ],
    );
    message.task_id = Some("t1".to_owned());
    let text = serde_json::to_string(&message).unwrap();
    let ours: Message = serde_json::from_str(&text).unwrap();
    assert_eq!(ours.role, Role::User);
    assert_eq!(ours.task_id, "t1".parse().ok());
    let contents: Vec<Content> = ours.parts.into_iter().map(|part| part.content).collect();
    assert_eq!(
        contents,
        [
            Content::Text("hello".to_owned()),
            Content::Raw(vec![0, 255, 62, 63].into()),
            Content::Url("https://example.com/f.pdf".to_owned()),
            Content::Data(JsonValue::null()),
        ]
    );
}
