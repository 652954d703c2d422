//! A card that clients of both versions read.

use serde_json::{Map, Value, json};

use crate::types::{AgentCard, AgentInterface, SecurityRequirement};
use crate::version::ProtocolVersion;

/// The version as cards of 0.3 write it.
const VERSION: &str = "0.3.0";

/// The card of 1.0 with the members that 0.3 asks for added; none of them has another meaning in 1.0, whose clients ignore them.
/// None: the card has no interface of 0.3, or does not serialize.
#[must_use]
pub fn dual_card(card: &AgentCard) -> Option<Map<String, Value>> {
    let is_old = |interface: &&AgentInterface| interface.protocol_version == ProtocolVersion::V0_3.as_str();
    let interfaces: Vec<&AgentInterface> = card.supported_interfaces.iter().filter(is_old).collect();
    let first = interfaces.first()?;
    let Ok(Value::Object(mut dual)) = serde_json::to_value(card) else { return None };
    let others: Vec<Value> = interfaces
        .iter()
        .map(|interface| json!({ "url": interface.url, "transport": interface.protocol_binding }))
        .collect();
    dual.insert("protocolVersion".to_owned(), VERSION.into());
    dual.insert("url".to_owned(), first.url.as_str().into());
    dual.insert("preferredTransport".to_owned(), first.protocol_binding.as_str().into());
    dual.insert("additionalInterfaces".to_owned(), others.into());
    let extended = card.capabilities.extended_agent_card == Some(true);
    dual.insert("supportsAuthenticatedExtendedCard".to_owned(), extended.into());
    if !card.security_requirements.is_empty() {
        dual.insert("security".to_owned(), security(&card.security_requirements));
    }
    if let Some(Value::Object(schemes)) = dual.get_mut("securitySchemes") {
        schemes.values_mut().for_each(flatten);
    }
    if let Some(Value::Array(skills)) = dual.get_mut("skills") {
        for (skill, of) in skills.iter_mut().zip(&card.skills).filter(|(_, of)| !of.security_requirements.is_empty()) {
            if let Value::Object(skill) = skill {
                skill.insert("security".to_owned(), security(&of.security_requirements));
            }
        }
    }
    Some(dual)
}

/// `[{"scheme": ["scope"]}]`
fn security(requirements: &[SecurityRequirement]) -> Value {
    let each = requirements.iter().map(|requirement| {
        let schemes = requirement.schemes.iter().map(|(name, scopes)| (name.clone(), json!(scopes.list)));
        Value::Object(schemes.collect())
    });
    each.collect()
}

/// Adds the members of OpenAPI to a scheme of 1.0, which wraps its own in the name of its kind.
fn flatten(scheme: &mut Value) {
    let Value::Object(scheme) = scheme else { return };
    let Some((kind, Value::Object(inner))) = scheme.iter().next().map(|(kind, inner)| (kind.clone(), inner.clone()))
    else {
        return;
    };
    let old = match kind.as_str() {
        "apiKeySecurityScheme" => "apiKey",
        "httpAuthSecurityScheme" => "http",
        "oauth2SecurityScheme" => "oauth2",
        "openIdConnectSecurityScheme" => "openIdConnect",
        "mtlsSecurityScheme" => "mutualTLS",
        _ => return,
    };
    scheme.insert("type".to_owned(), old.into());
    for (name, value) in inner {
        let name = if name == "location" { "in".to_owned() } else { name };
        scheme.insert(name, value);
    }
}
