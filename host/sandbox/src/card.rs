//! What an agent says of itself, and the rules it must keep.
//!
//! Never here: the A2A card that clients see; the host makes it from this. Made by `describe.rs`.

use std::collections::HashSet;

use kennel_protocol::types::JsonObject;

use crate::bindings::exports::kennel::agent::card as wit;
use crate::convert::take;
use crate::limits::Limits;

/// How the agent answers a first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// Always with a task.
    Task,
    /// Always with a bare message: no task, nothing stored.
    Message,
    /// With a bare message if it is fast and has no effect, else with a task.
    Auto,
}

/// What happens to a message for a task that is WORKING and has not asked for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailbox {
    /// It is refused.
    Refuse,
    /// It is kept for `task.next-message`.
    Queue,
}

/// One thing the agent can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skill {
    /// Unique within the description.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it does and when to pick it.
    pub description: String,
    /// Key words.
    pub tags: Vec<String>,
    /// Prompts that show the skill at work.
    pub examples: Vec<String>,
    /// Media types; empty: those of the agent.
    pub input_modes: Vec<String>,
    /// Media types; empty: those of the agent.
    pub output_modes: Vec<String>,
}

/// Who stands behind the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Name of the organization.
    pub organization: String,
    /// Its home page, an absolute URL.
    pub url: String,
}

/// An A2A extension that the agent understands.
#[derive(Clone, Debug)]
pub struct Extension {
    /// One URI per breaking version.
    pub uri: String,
    /// How the agent uses it.
    pub description: String,
    /// Whether a client must name it.
    pub required: bool,
    /// Parameters of the extension.
    pub params: Option<JsonObject>,
}

/// What to expect; nothing depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hints {
    /// A stream is worth opening.
    pub streams: bool,
    /// May ask with INPUT_REQUIRED or AUTH_REQUIRED.
    pub asks: bool,
    /// Milliseconds that a task usually takes.
    pub typical_ms: Option<u32>,
}

/// A setting that the agent reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As given to `config.get`.
    pub name: String,
    /// What it does, for the operator.
    pub description: String,
    /// Whether the agent cannot do without it.
    pub required: bool,
}

/// Something the agent asks for. A request is not a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `http`, `credential`, `peer`, `kv`, or one that this host does not know: shown and not granted.
    pub kind: String,
    /// What exactly, in the form of its kind.
    pub name: String,
    /// One sentence for the operator.
    pub reason: String,
}

/// What an agent says of itself: the result of `describe`, with all rules of `card.wit` checked.
#[derive(Clone, Debug)]
pub struct AgentDescription {
    /// For people; not the name under which the host serves the agent.
    pub name: String,
    /// What the agent is for.
    pub description: String,
    /// The agent's own version.
    pub version: String,
    /// Absent: the operator is shown.
    pub provider: Option<Provider>,
    /// Absolute URL.
    pub documentation_url: Option<String>,
    /// Absolute URL.
    pub icon_url: Option<String>,
    /// Media types, at least one.
    pub input_modes: Vec<String>,
    /// Media types, at least one.
    pub output_modes: Vec<String>,
    /// At least one.
    pub skills: Vec<Skill>,
    /// A2A extensions.
    pub extensions: Vec<Extension>,
    /// How the first message is answered.
    pub reply_mode: ReplyMode,
    /// Messages while the agent works.
    pub mailbox: Mailbox,
    /// What to expect.
    pub hints: Hints,
    /// Settings that the agent reads.
    pub settings: Vec<Setting>,
    /// What the agent asks for beyond the task itself.
    pub requests: Vec<Request>,
    /// Members without a field yet; unknown ones are ignored.
    pub extra: Option<JsonObject>,
}

/// A rule that a card breaks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    /// The field as written in `card.wit`, with the index in a list.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) reason: String,
}

impl Breach {
    fn new(field: impl Into<String>, reason: impl Into<String>) -> Breach {
        Breach { field: field.into(), reason: reason.into() }
    }
}

impl AgentDescription {
    /// Takes over what `describe` returned, if it keeps the rules.
    pub(crate) fn new(card: wit::Card, limits: &Limits) -> Result<AgentDescription, Breach> {
        check(&card)?;
        let extensions = card.extensions.into_iter().enumerate();
        let extensions = extensions.map(|(index, extension)| to_extension(index, extension, limits));
        let extensions = extensions.collect::<Result<Vec<_>, Breach>>()?;
        Ok(AgentDescription {
            name: card.name,
            description: card.description,
            version: card.version,
            provider: card.provider.map(to_provider),
            documentation_url: card.documentation_url,
            icon_url: card.icon_url,
            input_modes: card.default_input_modes,
            output_modes: card.default_output_modes,
            skills: card.skills.into_iter().map(to_skill).collect(),
            extensions,
            reply_mode: to_reply_mode(card.reply_mode),
            mailbox: to_mailbox(card.mailbox),
            hints: to_hints(card.hints),
            settings: card.settings.into_iter().map(to_setting).collect(),
            requests: card.requests.into_iter().map(to_request).collect(),
            extra: to_object("extra", card.extra, limits)?,
        })
    }
}

fn check(card: &wit::Card) -> Result<(), Breach> {
    not_empty("name", &card.name)?;
    at_least_one("default-input-modes", &card.default_input_modes)?;
    at_least_one("default-output-modes", &card.default_output_modes)?;
    at_least_one("skills", &card.skills)?;
    let mut ids = HashSet::new();
    for (index, skill) in card.skills.iter().enumerate() {
        let field = format!("skills[{index}].id");
        not_empty(&field, &skill.id)?;
        if !ids.insert(skill.id.as_str()) {
            return Err(Breach::new(field, format!("`{}` is the id of an earlier skill", skill.id)));
        }
    }
    absolute("provider.url", card.provider.as_ref().map(|provider| provider.url.as_str()))?;
    absolute("documentation-url", card.documentation_url.as_deref())?;
    absolute("icon-url", card.icon_url.as_deref())?;
    for (index, setting) in card.settings.iter().enumerate() {
        not_empty(&format!("settings[{index}].name"), &setting.name)?;
    }
    for (index, request) in card.requests.iter().enumerate() {
        check_request(&format!("requests[{index}].name"), request)?;
    }
    Ok(())
}

/// `http` has a form of its own; the other kinds are names, and unknown kinds are none of our business.
fn check_request(field: &str, request: &wit::Request) -> Result<(), Breach> {
    not_empty(field, &request.name)?;
    if request.kind != "http" {
        return Ok(());
    }
    let target = request.name.split_once(' ').map(|(_method, target)| target);
    let is_url = |target: &str| ["https://", "http://"].iter().any(|scheme| target.starts_with(scheme));
    if target.is_some_and(is_url) {
        return Ok(());
    }
    Err(Breach::new(field, "must be a method or `*`, a blank, and `https://host`"))
}

fn not_empty(field: &str, text: &str) -> Result<(), Breach> {
    if text.is_empty() { Err(Breach::new(field, "must not be empty")) } else { Ok(()) }
}

fn at_least_one<T>(field: &str, list: &[T]) -> Result<(), Breach> {
    if list.is_empty() { Err(Breach::new(field, "needs at least one entry")) } else { Ok(()) }
}

fn absolute(field: &str, url: Option<&str>) -> Result<(), Breach> {
    if url.is_none_or(take::is_absolute_url) {
        return Ok(());
    }
    Err(Breach::new(field, "must be an absolute URL, such as https://example.org/agent"))
}

fn to_object(field: &str, text: Option<String>, limits: &Limits) -> Result<Option<JsonObject>, Breach> {
    take::object(field, text, limits).map_err(|error| Breach::new(error.code, error.message))
}

fn to_extension(index: usize, extension: wit::Extension, limits: &Limits) -> Result<Extension, Breach> {
    not_empty(&format!("extensions[{index}].uri"), &extension.uri)?;
    Ok(Extension {
        uri: extension.uri,
        description: extension.description,
        required: extension.required,
        params: to_object(&format!("extensions[{index}].params"), extension.params, limits)?,
    })
}

fn to_provider(provider: wit::Provider) -> Provider {
    Provider { organization: provider.organization, url: provider.url }
}

fn to_skill(skill: wit::Skill) -> Skill {
    Skill {
        id: skill.id,
        name: skill.name,
        description: skill.description,
        tags: skill.tags,
        examples: skill.examples,
        input_modes: skill.input_modes,
        output_modes: skill.output_modes,
    }
}

fn to_setting(setting: wit::Setting) -> Setting {
    Setting { name: setting.name, description: setting.description, required: setting.required }
}

fn to_request(request: wit::Request) -> Request {
    Request { kind: request.kind, name: request.name, reason: request.reason }
}

fn to_hints(hints: wit::Hints) -> Hints {
    Hints { streams: hints.streams, asks: hints.asks, typical_ms: hints.typical_ms }
}

fn to_reply_mode(mode: wit::ReplyMode) -> ReplyMode {
    match mode {
        wit::ReplyMode::Task => ReplyMode::Task,
        wit::ReplyMode::Message => ReplyMode::Message,
        wit::ReplyMode::Auto => ReplyMode::Auto,
    }
}

fn to_mailbox(mailbox: wit::Mailbox) -> Mailbox {
    match mailbox {
        wit::Mailbox::Refuse => Mailbox::Refuse,
        wit::Mailbox::Queue => Mailbox::Queue,
    }
}
