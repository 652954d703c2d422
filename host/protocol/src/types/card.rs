//! What an agent says about itself. Cards are served exactly as written here, and signed in this form.

use std::collections::BTreeMap;

use super::json::JsonObject;
use super::security::SecurityScheme;

object! {
    /// The public description of an agent.
    #[derive(Default)]
    pub struct AgentCard {
        /// For people.
        #[wire("name", required)]
        pub name: String,
        /// What the agent is for.
        #[wire("description", required)]
        pub description: String,
        /// Where and how it can be reached; the first is preferred.
        #[wire("supportedInterfaces", required)]
        pub supported_interfaces: Vec<AgentInterface>,
        /// Who offers it.
        #[wire("provider", plain)]
        pub provider: Option<AgentProvider>,
        /// The agent's own version.
        #[wire("version", required)]
        pub version: String,
        /// Where to read more.
        #[wire("documentationUrl", present)]
        pub documentation_url: Option<String>,
        /// What of the protocol it offers.
        #[wire("capabilities", required)]
        pub capabilities: AgentCapabilities,
        /// Ways to authenticate, by name.
        #[wire("securitySchemes", plain)]
        pub security_schemes: BTreeMap<String, SecurityScheme>,
        /// Alternatives: any one suffices.
        #[wire("securityRequirements", plain)]
        pub security_requirements: Vec<SecurityRequirement>,
        /// Media types it takes.
        #[wire("defaultInputModes", required)]
        pub default_input_modes: Vec<String>,
        /// Media types it gives.
        #[wire("defaultOutputModes", required)]
        pub default_output_modes: Vec<String>,
        /// What it can do.
        #[wire("skills", required)]
        pub skills: Vec<AgentSkill>,
        /// Over this card without this field.
        #[wire("signatures", plain)]
        pub signatures: Vec<AgentCardSignature>,
        /// A picture.
        #[wire("iconUrl", present)]
        pub icon_url: Option<String>,
    }

    /// One address of an agent.
    #[derive(Default)]
    pub struct AgentInterface {
        /// Absolute for the HTTP bindings, `host:port` for gRPC.
        #[wire("url", required)]
        pub url: String,
        /// `JSONRPC`, `HTTP+JSON`, `GRPC`, or a URI.
        #[wire("protocolBinding", required)]
        pub protocol_binding: String,
        /// What a client must echo in every request.
        #[wire("tenant", plain)]
        pub tenant: Option<String>,
        /// `1.0` or `0.3`.
        #[wire("protocolVersion", required)]
        pub protocol_version: String,
    }

    /// Who offers an agent.
    #[derive(Default)]
    pub struct AgentProvider {
        /// Its site.
        #[wire("url", required)]
        pub url: String,
        /// Its name.
        #[wire("organization", required)]
        pub organization: String,
    }

    /// What of the protocol an agent offers. None is not said, which means no.
    #[derive(Default)]
    pub struct AgentCapabilities {
        /// SendStreamingMessage and SubscribeToTask.
        #[wire("streaming", plain)]
        pub streaming: Option<bool>,
        /// Webhooks.
        #[wire("pushNotifications", plain)]
        pub push_notifications: Option<bool>,
        /// Extensions of the protocol.
        #[wire("extensions", plain)]
        pub extensions: Vec<AgentExtension>,
        /// GetExtendedAgentCard.
        #[wire("extendedAgentCard", plain)]
        pub extended_agent_card: Option<bool>,
    }

    /// An extension that an agent supports.
    #[derive(Default)]
    pub struct AgentExtension {
        /// Its name.
        #[wire("uri", plain)]
        pub uri: String,
        /// How the agent uses it.
        #[wire("description", plain)]
        pub description: Option<String>,
        /// Whether a client must ask for it.
        #[wire("required", plain)]
        pub required: bool,
        /// Its settings.
        #[wire("params", plain)]
        pub params: Option<JsonObject>,
    }

    /// Something an agent can do.
    #[derive(Default)]
    pub struct AgentSkill {
        /// Unique within the card.
        #[wire("id", required)]
        pub id: String,
        /// For people.
        #[wire("name", required)]
        pub name: String,
        /// For people and models.
        #[wire("description", required)]
        pub description: String,
        /// Words to find it by.
        #[wire("tags", required)]
        pub tags: Vec<String>,
        /// What one could say to it.
        #[wire("examples", plain)]
        pub examples: Vec<String>,
        /// Replaces the card's default.
        #[wire("inputModes", plain)]
        pub input_modes: Vec<String>,
        /// Replaces the card's default.
        #[wire("outputModes", plain)]
        pub output_modes: Vec<String>,
        /// Alternatives: any one suffices.
        #[wire("securityRequirements", plain)]
        pub security_requirements: Vec<SecurityRequirement>,
    }

    /// A detached JWS over the card.
    #[derive(Default)]
    pub struct AgentCardSignature {
        /// The protected header, base64url.
        #[wire("protected", required)]
        pub protected: String,
        /// The signature, base64url.
        #[wire("signature", required)]
        pub signature: String,
        /// The unprotected header.
        #[wire("header", plain)]
        pub header: Option<JsonObject>,
    }

    /// One sufficient set of schemes: all of them together.
    #[derive(Default)]
    pub struct SecurityRequirement {
        /// Scopes by the name of the scheme.
        #[wire("schemes", plain)]
        pub schemes: BTreeMap<String, StringList>,
    }

    /// A list where protobuf has no nested lists.
    #[derive(Default)]
    pub struct StringList {
        /// The strings.
        #[wire("list", plain)]
        pub list: Vec<String>,
    }
}

absent_as_default!([] AgentCapabilities);
absent_as_none!(AgentProvider);
