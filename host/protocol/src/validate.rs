//! The rules of requests beyond their form: what is REQUIRED, what is in range, what a well-formed value looks like.
//!
//! Rules that need to know the agent, the task or the operator are the service's. Nothing here is applied to what is
//! read back from the store or comes from an agent.

use crate::ids::{MessageId, TaskId, TenantId};
use crate::parse::{ParseLimits, Validate, Violations};
use crate::types::{
    AuthenticationInfo, CancelTaskRequest, Content, DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest, GetTaskPushNotificationConfigRequest, GetTaskRequest, JsonObject,
    ListTaskPushNotificationConfigsRequest, ListTasksRequest, Message, Part, Role, SendMessageConfiguration,
    SendMessageRequest, SubscribeToTaskRequest, TaskPushNotificationConfig,
};

const REQUIRED: &str = "is required";

/// Such values pass by the grammar, and would then break the strict readers among agents and clients.
pub(crate) const UNREADABLE: &str = "must not have lone surrogates or numbers beyond doubles";

/// Longest webhook URL or secret that is taken, in bytes: what common HTTP servers still read as a header.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// Longest media type that is taken, in bytes.
const MEDIA_TYPE_BYTES_MAX: usize = 256;

impl Validate for SendMessageRequest {
    fn validate(&self, violations: &mut Violations) {
        tenant(self.tenant.as_deref(), violations);
        if self.message == Message::default() {
            violations.add("message", REQUIRED);
        } else {
            violations.within("message", |violations| message(&self.message, violations));
        }
        if let Some(configuration) = &self.configuration {
            violations.within("configuration", |violations| configuration.validate(violations));
        }
        metadata(self.metadata.as_ref(), violations);
    }
}

impl Validate for SendMessageConfiguration {
    fn validate(&self, violations: &mut Violations) {
        history_length(self.history_length, violations);
        if let Some(config) = &self.task_push_notification_config {
            violations.within("taskPushNotificationConfig", |violations| push_config(config, violations));
        }
    }
}

impl Validate for GetTaskRequest {
    fn validate(&self, violations: &mut Violations) {
        tenant(self.tenant.as_deref(), violations);
        task_id("id", &self.id, violations);
        history_length(self.history_length, violations);
    }
}

impl Validate for ListTasksRequest {
    fn validate(&self, violations: &mut Violations) {
        tenant(self.tenant.as_deref(), violations);
        if self.page_size.is_some_and(|size| !(1..=100).contains(&size)) {
            violations.add("pageSize", "must be from 1 to 100");
        }
        history_length(self.history_length, violations);
    }
}

impl Validate for CancelTaskRequest {
    fn validate(&self, violations: &mut Violations) {
        tenant(self.tenant.as_deref(), violations);
        task_id("id", &self.id, violations);
        metadata(self.metadata.as_ref(), violations);
    }
}

impl Validate for SubscribeToTaskRequest {
    fn validate(&self, violations: &mut Violations) {
        tenant(self.tenant.as_deref(), violations);
        task_id("id", &self.id, violations);
    }
}

impl Validate for GetExtendedAgentCardRequest {
    fn validate(&self, violations: &mut Violations) {
        tenant(self.tenant.as_deref(), violations);
    }
}

/// As the request to create one: the task must be named. Inside SendMessage it need not be.
impl Validate for TaskPushNotificationConfig {
    fn validate(&self, violations: &mut Violations) {
        if self.task_id.is_none() {
            violations.add("taskId", REQUIRED);
        }
        push_config(self, violations);
    }
}

impl Validate for GetTaskPushNotificationConfigRequest {
    fn validate(&self, violations: &mut Violations) {
        tenant(self.tenant.as_deref(), violations);
        task_id("taskId", &self.task_id, violations);
        required_id("id", &self.id, violations);
    }
}

impl Validate for DeleteTaskPushNotificationConfigRequest {
    fn validate(&self, violations: &mut Violations) {
        tenant(self.tenant.as_deref(), violations);
        task_id("taskId", &self.task_id, violations);
        required_id("id", &self.id, violations);
    }
}

impl Validate for ListTaskPushNotificationConfigsRequest {
    fn validate(&self, violations: &mut Violations) {
        tenant(self.tenant.as_deref(), violations);
        task_id("taskId", &self.task_id, violations);
        if self.page_size.is_some_and(|size| !(0..=100).contains(&size)) {
            violations.add("pageSize", "must be from 1 to 100");
        }
    }
}

fn message(message: &Message, violations: &mut Violations) {
    required_id("messageId", &message.message_id, violations);
    match message.role {
        Role::User => {}
        Role::Unspecified => violations.add("role", REQUIRED),
        Role::Agent => violations.add("role", "must be ROLE_USER in a request"),
    }
    if message.parts.is_empty() {
        violations.add("parts", "must have at least one part");
    }
    if message.parts.len() > ParseLimits::DEFAULT.parts_max {
        violations.add("parts", format!("must have at most {} parts", ParseLimits::DEFAULT.parts_max));
    } else {
        for (index, held) in message.parts.iter().enumerate() {
            violations.within(&format!("parts[{index}]"), |violations| part(held, violations));
        }
    }
    metadata(message.metadata.as_ref(), violations);
    for (index, id) in message.reference_task_ids.iter().enumerate() {
        if let Err(error) = id.parse::<TaskId>() {
            violations.add(&format!("referenceTaskIds[{index}]"), error.to_string());
        }
    }
}

fn part(part: &Part, violations: &mut Violations) {
    match &part.content {
        Content::Url(url) if url.is_empty() => violations.add("url", "must not be empty"),
        Content::Url(url) if is_reserved(url) => violations.add("url", "must not use the scheme kennel"),
        Content::Data(value) if !value.is_readable() => violations.add("data", UNREADABLE),
        Content::Url(_) | Content::Text(_) | Content::Raw(_) | Content::Data(_) => {}
    }
    if part.media_type.as_deref().is_some_and(|text| !is_media_type(text)) {
        violations.add("mediaType", "must be a media type such as text/plain");
    }
    metadata(part.metadata.as_ref(), violations);
}

/// URLs of this scheme name blobs of the host; a client's would reach data that is not its own. Blanks and line breaks
/// are skipped as the readers of URLs do.
pub(crate) fn is_reserved(url: &str) -> bool {
    const SCHEME: &str = "kennel:";
    let start = url.trim_start_matches(|character: char| character <= ' ');
    let scheme = start.chars().filter(|character| !matches!(character, '\t' | '\n' | '\r'));
    scheme.take(SCHEME.len()).map(|character| character.to_ascii_lowercase()).eq(SCHEME.chars())
}

/// `type/subtype` of token characters; parameters may be anything printable.
fn is_media_type(text: &str) -> bool {
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_token = |token: &str| !token.is_empty() && token.bytes().all(is_token_byte);
    text.len() <= MEDIA_TYPE_BYTES_MAX
        && !parameters.chars().any(char::is_control)
        && essence.trim().split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn push_config(config: &TaskPushNotificationConfig, violations: &mut Violations) {
    tenant(config.tenant.as_deref(), violations);
    if let Some(id) = &config.id {
        required_id("id", id, violations);
    }
    if config.url.is_empty() {
        violations.add("url", REQUIRED);
    } else if !is_http_url(&config.url) {
        violations.add("url", "must be an absolute http or https URL");
    }
    header_text("token", config.token.as_deref(), violations);
    if let Some(authentication) = &config.authentication {
        violations.within("authentication", |violations| self::authentication(authentication, violations));
    }
}

fn authentication(authentication: &AuthenticationInfo, violations: &mut Violations) {
    if authentication.scheme.is_empty() {
        violations.add("scheme", REQUIRED);
    } else if !authentication.scheme.bytes().all(is_token_byte) {
        violations.add("scheme", "must be the name of an HTTP authentication scheme");
    }
    header_text("credentials", authentication.credentials.as_deref(), violations);
}

/// Enough to refuse slips early; whether the address may be called is decided where it is called.
fn is_http_url(url: &str) -> bool {
    let rest = url
        .split_once("://")
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"));
    rest.is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with(['/', '?', '#']))
        && url.len() <= LINE_BYTES_MAX
        && !url.chars().any(|character| character.is_control() || character == ' ')
}

/// The value becomes an HTTP header, so it must not be able to end one.
fn header_text(field: &str, text: Option<&str>, violations: &mut Violations) {
    let Some(text) = text else { return };
    if text.chars().any(char::is_control) {
        violations.add(field, "must not contain control characters");
    }
    if text.len() > LINE_BYTES_MAX {
        violations.add(field, format!("must have at most {LINE_BYTES_MAX} bytes"));
    }
}

fn tenant(tenant: Option<&str>, violations: &mut Violations) {
    if let Some(Err(error)) = tenant.map(str::parse::<TenantId>) {
        violations.add("tenant", error.to_string());
    }
}

fn task_id(field: &str, id: &TaskId, violations: &mut Violations) {
    if id.is_unset() {
        violations.add(field, REQUIRED);
    }
}

/// Ids that the client makes and that are kept as text obey the rule of all ids.
fn required_id(field: &str, id: &str, violations: &mut Violations) {
    if id.is_empty() {
        violations.add(field, REQUIRED);
    } else if let Err(error) = id.parse::<MessageId>() {
        violations.add(field, error.to_string());
    }
}

fn history_length(length: Option<i32>, violations: &mut Violations) {
    if length.is_some_and(i32::is_negative) {
        violations.add("historyLength", "must not be negative");
    }
}

pub(crate) fn metadata(metadata: Option<&JsonObject>, violations: &mut Violations) {
    let limit = ParseLimits::DEFAULT.metadata_bytes_max;
    let Some(metadata) = metadata else { return };
    if metadata.get().len() > limit {
        violations.add("metadata", format!("must have at most {limit} bytes"));
    } else if !metadata.as_value().is_readable() {
        violations.add("metadata", UNREADABLE);
    }
}
