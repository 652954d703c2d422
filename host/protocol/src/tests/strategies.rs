//! Any value of any A2A type that has a wire form. Left out are values that mean the same as another one, such as an
//! empty string where a missing one is meant: they do not come back as they went.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::str::FromStr;

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use crate::Timestamp;
use crate::types::*;

/// Texts with what JSON, base64 and UTF-8 stumble over.
pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z]{1,8}", 1 => "[\"\\\\/\n\t\u{0}\u{7f}äß€\u{1F415}]{1,4}"]
}

fn id<T: FromStr + Debug>() -> impl Strategy<Value = T> {
    prop_oneof!["[a-zA-Z0-9-]{1,12}", "[ -~]{1,6}", "[€\u{1F415} ]{1,3}"]
        .prop_filter_map("an id", |text| text.parse::<T>().ok())
}

/// Numbers are such that every reader of JSON gets the same double.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        any::<i16>().prop_map(|quarters| (f64::from(quarters) / 4.0).into()),
        text().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            btree_map(text(), inner, 0..4).prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

pub(super) fn json_value() -> impl Strategy<Value = JsonValue> {
    value().prop_map(|value| JsonValue::from_value(&value))
}

pub(super) fn json_object() -> impl Strategy<Value = JsonObject> {
    btree_map(text(), value(), 1..4).prop_map(|map| JsonObject::from_map(map.into_iter().collect()))
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..3)
}

fn text_map() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..3)
}

/// The peer demands scopes also where the proto does not.
fn some_texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 1..3)
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (0..4_102_444_800_000_i64).prop_map(Timestamp::from_millis)
}

fn state() -> impl Strategy<Value = TaskState> {
    prop::sample::select(TaskState::ALL)
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        prop_oneof![text(), Just(String::new())].prop_map(Content::Text),
        vec(any::<u8>(), 0..20).prop_map(|bytes| Content::Raw(bytes.into())),
        text().prop_map(Content::Url),
        json_value().prop_map(Content::Data),
    ]
}

prop_compose! {
    pub(super) fn part()(
        content in content(),
        metadata in of(json_object()),
        filename in of(text()),
        media_type in of(text()),
    ) -> Part {
        Part { content, metadata, filename, media_type }
    }
}

prop_compose! {
    pub(super) fn message()(
        message_id in text(),
        context_id in of(id()),
        task_id in of(id()),
        role in prop::sample::select(Role::ALL),
        parts in vec(part(), 0..3),
        metadata in of(json_object()),
        extensions in texts(),
        reference_task_ids in texts(),
    ) -> Message {
        Message { message_id, context_id, task_id, role, parts, metadata, extensions, reference_task_ids }
    }
}

prop_compose! {
    pub(super) fn artifact()(
        artifact_id in id(),
        name in of(text()),
        description in of(text()),
        parts in vec(part(), 0..3),
        metadata in of(json_object()),
        extensions in texts(),
    ) -> Artifact {
        Artifact { artifact_id, name, description, parts, metadata, extensions }
    }
}

prop_compose! {
    fn status()(state in state(), message in of(message()), timestamp in of(timestamp())) -> TaskStatus {
        TaskStatus { state, message, timestamp }
    }
}

prop_compose! {
    pub(super) fn task()(
        id in id(),
        context_id in id(),
        status in status(),
        artifacts in of(vec(artifact(), 0..3)),
        history in vec(message(), 0..3),
        metadata in of(json_object()),
    ) -> Task {
        Task { id, context_id, status, artifacts, history, metadata }
    }
}

prop_compose! {
    fn status_update()(
        task_id in id(),
        context_id in id(),
        status in status(),
        metadata in of(json_object()),
    ) -> TaskStatusUpdateEvent {
        TaskStatusUpdateEvent { task_id, context_id, status, metadata }
    }
}

prop_compose! {
    fn artifact_update()(
        task_id in id(),
        context_id in id(),
        artifact in artifact(),
        append: bool,
        last_chunk: bool,
        metadata in of(json_object()),
    ) -> TaskArtifactUpdateEvent {
        TaskArtifactUpdateEvent { task_id, context_id, artifact, append, last_chunk, metadata }
    }
}

pub(super) fn stream_response() -> impl Strategy<Value = StreamResponse> {
    prop_oneof![
        task().prop_map(StreamResponse::Task),
        message().prop_map(StreamResponse::Message),
        status_update().prop_map(StreamResponse::StatusUpdate),
        artifact_update().prop_map(StreamResponse::ArtifactUpdate),
    ]
}

pub(super) fn send_response() -> impl Strategy<Value = SendMessageResponse> {
    prop_oneof![task().prop_map(SendMessageResponse::Task), message().prop_map(SendMessageResponse::Message)]
}

prop_compose! {
    fn authentication()(scheme in text(), credentials in of(text())) -> AuthenticationInfo {
        AuthenticationInfo { scheme, credentials }
    }
}

prop_compose! {
    pub(super) fn push_config()(
        tenant in of(text()),
        id in of(text()),
        task_id in of(id()),
        url in text(),
        token in of(text()),
        authentication in of(authentication()),
    ) -> TaskPushNotificationConfig {
        TaskPushNotificationConfig { tenant, id, task_id, url, token, authentication }
    }
}

prop_compose! {
    fn configuration()(
        accepted_output_modes in texts(),
        task_push_notification_config in of(push_config()),
        history_length in of(any::<i32>()),
        return_immediately: bool,
    ) -> SendMessageConfiguration {
        SendMessageConfiguration {
            accepted_output_modes,
            task_push_notification_config,
            history_length,
            return_immediately,
        }
    }
}

prop_compose! {
    pub(super) fn send_request()(
        tenant in of(text()),
        message in message(),
        configuration in of(configuration()),
        metadata in of(json_object()),
    ) -> SendMessageRequest {
        SendMessageRequest { tenant, message, configuration, metadata }
    }
}

prop_compose! {
    pub(super) fn get_request()(tenant in of(text()), id in id(), history_length in of(any::<i32>())) -> GetTaskRequest {
        GetTaskRequest { tenant, id, history_length }
    }
}

prop_compose! {
    pub(super) fn list_request()(
        tenant in of(text()),
        context_id in of(id()),
        status in of(state().prop_filter("0 is none", |state| *state != TaskState::Unspecified)),
        page_size in of(any::<i32>()),
        page_token in of(text()),
        history_length in of(any::<i32>()),
        status_timestamp_after in of(timestamp()),
        include_artifacts in of(any::<bool>()),
    ) -> ListTasksRequest {
        ListTasksRequest {
            tenant,
            context_id,
            status,
            page_size,
            page_token,
            history_length,
            status_timestamp_after,
            include_artifacts,
        }
    }
}

prop_compose! {
    pub(super) fn list_response()(
        tasks in vec(task(), 0..3),
        next_page_token in prop_oneof![text(), Just(String::new())],
        page_size: i32,
        total_size: i32,
    ) -> ListTasksResponse {
        ListTasksResponse { tasks, next_page_token, page_size, total_size }
    }
}

prop_compose! {
    pub(super) fn cancel_request()(tenant in of(text()), id in id(), metadata in of(json_object())) -> CancelTaskRequest {
        CancelTaskRequest { tenant, id, metadata }
    }
}

prop_compose! {
    pub(super) fn subscribe_request()(tenant in of(text()), id in id()) -> SubscribeToTaskRequest {
        SubscribeToTaskRequest { tenant, id }
    }
}

prop_compose! {
    pub(super) fn list_push_request()(
        task_id in id(),
        page_size in of(1..i32::MAX),
        page_token in of(text()),
        tenant in of(text()),
    ) -> ListTaskPushNotificationConfigsRequest {
        ListTaskPushNotificationConfigsRequest { task_id, page_size, page_token, tenant }
    }
}

prop_compose! {
    pub(super) fn list_push_response()(
        configs in vec(push_config(), 0..3),
        next_page_token in prop_oneof![text(), Just(String::new())],
    ) -> ListTaskPushNotificationConfigsResponse {
        ListTaskPushNotificationConfigsResponse { configs, next_page_token }
    }
}

prop_compose! {
    pub(super) fn get_push_request()(
        tenant in of(text()),
        task_id in id(),
        id in text(),
    ) -> GetTaskPushNotificationConfigRequest {
        GetTaskPushNotificationConfigRequest { tenant, task_id, id }
    }
}

fn oauth_flows() -> impl Strategy<Value = OAuthFlows> {
    prop_oneof![
        (text(), text(), of(text()), text_map(), any::<bool>()).prop_map(
            |(authorization_url, token_url, refresh_url, scopes, pkce_required)| OAuthFlows::AuthorizationCode(
                AuthorizationCodeOAuthFlow { authorization_url, token_url, refresh_url, scopes, pkce_required }
            )
        ),
        (text(), of(text()), text_map()).prop_map(|(token_url, refresh_url, scopes)| OAuthFlows::ClientCredentials(
            ClientCredentialsOAuthFlow { token_url, refresh_url, scopes }
        )),
        (text(), of(text()), some_texts()).prop_map(|(authorization_url, refresh_url, scopes)| OAuthFlows::Implicit(
            ImplicitOAuthFlow { authorization_url, refresh_url, scopes }
        )),
        (text(), of(text()), some_texts()).prop_map(|(token_url, refresh_url, scopes)| OAuthFlows::Password(
            PasswordOAuthFlow { token_url, refresh_url, scopes }
        )),
        (text(), text(), of(text()), text_map()).prop_map(
            |(device_authorization_url, token_url, refresh_url, scopes)| OAuthFlows::DeviceCode(DeviceCodeOAuthFlow {
                device_authorization_url,
                token_url,
                refresh_url,
                scopes
            })
        ),
    ]
}

fn security_scheme() -> impl Strategy<Value = SecurityScheme> {
    prop_oneof![
        (of(text()), text(), text()).prop_map(|(description, location, name)| SecurityScheme::ApiKey(
            ApiKeySecurityScheme { description, location, name }
        )),
        (of(text()), text(), of(text())).prop_map(|(description, scheme, bearer_format)| SecurityScheme::HttpAuth(
            HttpAuthSecurityScheme { description, scheme, bearer_format }
        )),
        (of(text()), oauth_flows(), of(text())).prop_map(|(description, flows, oauth2_metadata_url)| {
            SecurityScheme::OAuth2(OAuth2SecurityScheme { description, flows, oauth2_metadata_url })
        }),
        (of(text()), text()).prop_map(|(description, open_id_connect_url)| SecurityScheme::OpenIdConnect(
            OpenIdConnectSecurityScheme { description, open_id_connect_url }
        )),
        of(text()).prop_map(|description| SecurityScheme::MutualTls(MutualTlsSecurityScheme { description })),
    ]
}

fn requirements() -> impl Strategy<Value = Vec<SecurityRequirement>> {
    let one = btree_map(text(), texts().prop_map(|list| StringList { list }), 0..3);
    vec(one.prop_map(|schemes| SecurityRequirement { schemes }), 0..3)
}

prop_compose! {
    fn skill()(
        (id, name, description) in (text(), text(), text()),
        tags in texts(),
        examples in texts(),
        input_modes in texts(),
        output_modes in texts(),
        security_requirements in requirements(),
    ) -> AgentSkill {
        AgentSkill { id, name, description, tags, examples, input_modes, output_modes, security_requirements }
    }
}

prop_compose! {
    fn interface()(
        url in text(),
        protocol_binding in prop_oneof![text(), Just("JSONRPC".to_owned())],
        tenant in of(text()),
        protocol_version in text(),
    ) -> AgentInterface {
        AgentInterface { url, protocol_binding, tenant, protocol_version }
    }
}

prop_compose! {
    fn extension()(
        uri in text(),
        description in of(text()),
        required: bool,
        params in of(json_object()),
    ) -> AgentExtension {
        AgentExtension { uri, description, required, params }
    }
}

prop_compose! {
    fn capabilities()(
        streaming in of(any::<bool>()),
        push_notifications in of(any::<bool>()),
        extensions in vec(extension(), 0..2),
        extended_agent_card in of(any::<bool>()),
    ) -> AgentCapabilities {
        AgentCapabilities { streaming, push_notifications, extensions, extended_agent_card }
    }
}

prop_compose! {
    fn signature()(protected in text(), signature in text(), header in of(json_object())) -> AgentCardSignature {
        AgentCardSignature { protected, signature, header }
    }
}

/// Presence of these two is tracked, so empty is not absent.
fn tracked() -> impl Strategy<Value = Option<String>> {
    of(prop_oneof![text(), Just(String::new())])
}

prop_compose! {
    pub(super) fn card()(
        (name, description, version) in (text(), text(), text()),
        supported_interfaces in vec(interface(), 0..3),
        provider in of((text(), text()).prop_map(|(url, organization)| AgentProvider { url, organization })),
        (documentation_url, icon_url) in (tracked(), tracked()),
        capabilities in capabilities(),
        security_schemes in btree_map(text(), security_scheme(), 0..3),
        security_requirements in requirements(),
        (default_input_modes, default_output_modes) in (texts(), texts()),
        skills in vec(skill(), 0..3),
        signatures in vec(signature(), 0..2),
    ) -> AgentCard {
        AgentCard {
            name,
            description,
            supported_interfaces,
            provider,
            version,
            documentation_url,
            capabilities,
            security_schemes,
            security_requirements,
            default_input_modes,
            default_output_modes,
            skills,
            signatures,
            icon_url,
        }
    }
}
