//! The objects of A2A 1.0 (`a2a.proto`), one struct each, with the JSON form of ProtoJSON.
//!
//! Reading is lenient where ProtoJSON is (both spellings of names, null for absent, numbers as text, unknown members)
//! and strict where it matters (unknown enum names, two members of a oneof, duplicate members). Writing is exact:
//! camelCase, defaults left out except REQUIRED fields and presence-tracked ones that were set.
//! What a well-formed object must also obey is in [`parse`](crate::parse).

#[macro_use]
pub(crate) mod wire;

mod card;
mod event;
mod json;
mod message;
mod push;
mod request;
mod security;
mod task;

pub use card::{AgentCapabilities, AgentCard, AgentCardSignature, AgentExtension, AgentInterface, AgentProvider};
pub use card::{AgentSkill, SecurityRequirement, StringList};
pub use event::{SendMessageResponse, StreamResponse, TaskArtifactUpdateEvent, TaskStatusUpdateEvent};
pub use json::{InvalidJson, JsonObject, JsonValue};
pub use message::{Artifact, Content, Message, Part, Role};
pub use push::{
    AuthenticationInfo, DeleteTaskPushNotificationConfigRequest, GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest, ListTaskPushNotificationConfigsResponse, TaskPushNotificationConfig,
};
pub use request::{
    CancelTaskRequest, GetExtendedAgentCardRequest, GetTaskRequest, ListTasksRequest, ListTasksResponse,
    SendMessageConfiguration, SendMessageRequest, SubscribeToTaskRequest,
};
pub use security::{
    ApiKeySecurityScheme, AuthorizationCodeOAuthFlow, ClientCredentialsOAuthFlow, DeviceCodeOAuthFlow,
    HttpAuthSecurityScheme, ImplicitOAuthFlow, MutualTlsSecurityScheme, OAuth2SecurityScheme, OAuthFlows,
    OpenIdConnectSecurityScheme, PasswordOAuthFlow, SecurityScheme,
};
pub use task::{Task, TaskState, TaskStatus};
