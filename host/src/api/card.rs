//! Agent cards: what the agent says of itself, and what the host adds: interfaces, capabilities.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use kennel_protocol::extension::OF_THE_HOST;
use kennel_protocol::types::{AgentCapabilities, AgentCard, AgentExtension, AgentInterface, AgentProvider, AgentSkill};
use kennel_protocol::{AgentId, Binding, Error, ProtocolVersion, Timestamp, v0_3};
use kennel_sandbox::{AgentDescription, Extension, ReplyMode, Skill};
use sha2::{Digest, Sha256};

use super::form::Form;
use super::{App, request};

/// How long clients may keep a card: a hot replacement shows within this time.
const MAX_AGE: &str = "public, max-age=60";

/// The card of a named agent.
pub(crate) async fn agent(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    match name.parse() {
        Ok(name) => serve(&app, &name, (&headers, &uri), &format!("/agents/{name}")),
        Err(_) => missing(&name),
    }
}

/// The card of the default agent.
pub(crate) async fn root(State(app): State<Arc<App>>, headers: HeaderMap, uri: Uri) -> Response {
    match app.service.registry().default_agent() {
        Some(name) => serve(&app, &name, (&headers, &uri), &format!("/agents/{name}")),
        None => {
            let names: Vec<String> =
                app.service.registry().names().iter().map(|name| format!("/agents/{name}")).collect();
            let text =
                format!("no agent is served at the root; choose one with --default-agent, or use {}", names.join(", "));
            Form::plain().refuse_with(StatusCode::NOT_FOUND, &Error::invalid_request(text))
        }
    }
}

fn missing(name: &str) -> Response {
    let error = Error::invalid_request(format!("no agent named {name} is served here"));
    Form::plain().refuse_with(StatusCode::NOT_FOUND, &error)
}

fn serve(app: &App, name: &AgentId, (headers, uri): (&HeaderMap, &Uri), path: &str) -> Response {
    let Some(version) = app.service.registry().active(name) else { return missing(name.as_str()) };
    let card = card(version.agent.card(), &format!("{}{path}", app.base_url));
    let body = match written(&card, headers, uri) {
        Ok(body) => body,
        Err(error) => return Form::plain().refuse(&error),
    };
    let hash = Sha256::digest(&body);
    let etag: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{etag}\"");
    let caching = [
        (header::CACHE_CONTROL, MAX_AGE.to_owned()),
        (header::ETAG, etag.clone()),
        (header::LAST_MODIFIED, http_date(version.loaded)),
        (header::VARY, "A2A-Version".to_owned()),
    ];
    if is_known(headers.get(header::IF_NONE_MATCH), &etag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Whether the client has this very card. A weak tag will do: the bytes follow from the content.
fn is_known(given: Option<&HeaderValue>, etag: &str) -> bool {
    let Some(given) = given.and_then(|given| given.to_str().ok()) else { return false };
    given.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// RFC 9110, section 5.6.7.
fn http_date(at: Timestamp) -> String {
    let seconds = std::time::Duration::from_secs(u64::try_from(at.millis() / 1000).unwrap_or(0));
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + seconds)
}

/// Where an agent answers, in the order of preference: the newer version first, and a slow call over JSON-RPC can be kept alive, one
/// over HTTP+JSON cannot.
fn interfaces(url: &str) -> Vec<AgentInterface> {
    let interface = |version: ProtocolVersion, binding: Binding| AgentInterface {
        url: url.to_owned(),
        protocol_binding: binding.as_str().to_owned(),
        tenant: None,
        protocol_version: version.as_str().to_owned(),
    };
    let newest_first = ProtocolVersion::ALL.into_iter().rev();
    newest_first.flat_map(|version| Binding::ALL.map(|binding| interface(version, binding))).collect()
}

/// A client of 0.3 says nothing of versions when it asks for a card, and refuses one of 1.0 alone; who names 1.0 gets that alone.
fn written(card: &AgentCard, headers: &HeaderMap, uri: &Uri) -> Result<String, Error> {
    let asked = request::query(uri).and_then(|query| request::version(headers, &query));
    let dual = if asked == Ok(ProtocolVersion::V0_3) { v0_3::dual_card(card) } else { None };
    let written = dual.map_or_else(|| serde_json::to_string(card), |dual| serde_json::to_string(&dual));
    written.map_err(|_| Error::internal())
}

fn card(agent: &AgentDescription, url: &str) -> AgentCard {
    AgentCard {
        name: agent.name.clone(),
        description: agent.description.clone(),
        supported_interfaces: interfaces(url),
        provider: agent
            .provider
            .as_ref()
            .map(|provider| AgentProvider { url: provider.url.clone(), organization: provider.organization.clone() }),
        version: agent.version.clone(),
        documentation_url: agent.documentation_url.clone(),
        capabilities: AgentCapabilities {
            streaming: Some(true),
            push_notifications: Some(false),
            extensions: extensions(agent),
            extended_agent_card: Some(false),
        },
        default_input_modes: agent.input_modes.clone(),
        default_output_modes: agent.output_modes.clone(),
        skills: agent.skills.iter().map(skill).collect(),
        icon_url: agent.icon_url.clone(),
        ..AgentCard::default()
    }
}

/// All that a card declares.
pub(crate) fn extensions(agent: &AgentDescription) -> Vec<AgentExtension> {
    agent.extensions.iter().map(extension).chain(own_extensions(agent)).collect()
}

/// What the host adds: data that it puts into the metadata of tasks. An agent that answers with bare messages has none.
fn own_extensions(agent: &AgentDescription) -> impl Iterator<Item = AgentExtension> {
    let own = OF_THE_HOST.iter().filter(|_| agent.reply_mode != ReplyMode::Message);
    own.filter(|(uri, _)| agent.extensions.iter().all(|theirs| theirs.uri != *uri)).map(|(uri, description)| {
        let (uri, description) = ((*uri).to_owned(), Some((*description).to_owned()));
        AgentExtension { uri, description, required: false, params: None }
    })
}

fn extension(extension: &Extension) -> AgentExtension {
    AgentExtension {
        uri: extension.uri.clone(),
        description: Some(extension.description.clone()),
        required: extension.required,
        params: extension.params.clone(),
    }
}

fn skill(skill: &Skill) -> AgentSkill {
    AgentSkill {
        id: skill.id.clone(),
        name: skill.name.clone(),
        description: skill.description.clone(),
        tags: skill.tags.clone(),
        examples: skill.examples.clone(),
        input_modes: skill.input_modes.clone(),
        output_modes: skill.output_modes.clone(),
        ..AgentSkill::default()
    }
}
