//! From an address that somebody typed to the interface that this client can use (protocol.md section 10).
//!
//! The address may be that of a card, of an agent, or of an agent's interface. Agents on Kennel have their card below
//! their own address; elsewhere there is one per server, at its root.

use kennel_protocol::ProtocolVersion;
use kennel_protocol::types::{AgentCard, AgentInterface};
use reqwest::Url;

use crate::error::ClientError;
use crate::options::Options;
use crate::transport::Transport;

const WELL_KNOWN: &str = ".well-known/agent-card.json";

/// A card and where it was found.
#[derive(Clone, Debug)]
pub struct FoundCard {
    /// Where it was found.
    pub url: String,
    /// The card as this client understands it.
    pub card: AgentCard,
    /// The card as it was served, with members that this client does not know. Signatures hold for this form only.
    pub text: String,
}

/// Finds the card of the agent at the address, without using it.
///
/// # Errors
/// `Invalid` if there is no card, else why it could not be read.
pub async fn find_card(url: &str, options: &Options) -> Result<FoundCard, ClientError> {
    let url = parse(url)?;
    let transport = Transport::new(&url, options.clone())?;
    let mut first_miss = None;
    for place in places(&url)?.into_iter().filter(|place| transport.admits(&place.url)) {
        match read_card(&transport, &place.url).await {
            Ok(found) if place.fits(&found.card, &url) => return Ok(found),
            Ok(_) => {}
            Err(error @ ClientError::Invalid(_)) => {
                first_miss.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    let why = first_miss.map(|error| error.to_string()).unwrap_or_default();
    Err(ClientError::Invalid(format!("no agent card for {url} ({why})")))
}

/// The first interface of the card that this client speaks; the one that was asked for comes before all others.
pub(crate) fn choose(found: &FoundCard, asked: &str) -> Result<AgentInterface, ClientError> {
    let usable = |interface: &&AgentInterface| {
        interface.protocol_binding == "JSONRPC"
            && ProtocolVersion::parse(Some(&interface.protocol_version)) == Ok(ProtocolVersion::V1_0)
    };
    let interfaces = || found.card.supported_interfaces.iter().filter(usable);
    let named = interfaces().find(|interface| same_address(&interface.url, asked));
    named.or_else(|| interfaces().next()).cloned().ok_or_else(|| {
        let offered: Vec<String> = found
            .card
            .supported_interfaces
            .iter()
            .map(|interface| format!("{} {}", interface.protocol_binding, interface.protocol_version))
            .collect();
        ClientError::Invalid(format!("{} offers {}, but no JSONRPC 1.0", found.url, offered.join(", ")))
    })
}

/// Reads an absolute HTTP address. One without a scheme is what people type for a server in reach.
pub(crate) fn parse(text: &str) -> Result<Url, ClientError> {
    let text = text.trim();
    let absolute = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url: Url =
        absolute.parse().map_err(|error| ClientError::Invalid(format!("{text:?} is no address: {error}")))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(ClientError::Invalid(format!("{text:?} is no address of HTTP or HTTPS"))),
    }
}

/// Whether credentials meant for one address may go to the other: the same origin, or the same host with TLS added.
pub(crate) fn trusts(asked: &Url, interface: &Url) -> bool {
    asked.origin() == interface.origin()
        || (asked.host() == interface.host() && asked.scheme() == "http" && interface.scheme() == "https")
}

/// A place where a card may be.
struct Place {
    url: Url,
    /// The place belongs to the server, not to the agent: the card there must name the address that was asked for.
    shared: bool,
}

impl Place {
    fn fits(&self, card: &AgentCard, asked: &Url) -> bool {
        let mut interfaces = card.supported_interfaces.iter();
        !self.shared || interfaces.any(|interface| same_address(&interface.url, asked.as_str()))
    }
}

/// Where to look, in this order.
fn places(url: &Url) -> Result<Vec<Place>, ClientError> {
    let own = |url: Url| Place { url, shared: false };
    if url.path().ends_with(".json") {
        return Ok(vec![own(url.clone())]);
    }
    let mut below = url.clone();
    below.set_query(None);
    below.set_path(&format!("{}/{WELL_KNOWN}", url.path().trim_end_matches('/')));
    let mut places = vec![own(below), own(url.clone())];
    if url.path() != "/" {
        let root = url.join(&format!("/{WELL_KNOWN}"));
        let root = root.map_err(|error| ClientError::Invalid(format!("{url} is no address: {error}")))?;
        places.push(Place { url: root, shared: true });
    }
    Ok(places)
}

async fn read_card(transport: &Transport, url: &Url) -> Result<FoundCard, ClientError> {
    let answer = transport.get(url).await?;
    if let Some(error) = answer.status_error(url) {
        return Err(error);
    }
    let not_a_card = |why: String| ClientError::Invalid(format!("{url} is no agent card: {why}"));
    let text = String::from_utf8(answer.body).map_err(|error| not_a_card(error.to_string()))?;
    let card: AgentCard = serde_json::from_str(&text).map_err(|error| not_a_card(error.to_string()))?;
    // Every member has a default, so any object reads as a card; only one with interfaces is one of 1.0.
    if card.supported_interfaces.is_empty() {
        return Err(not_a_card("it names no supportedInterfaces, which A2A 1.0 requires".to_owned()));
    }
    Ok(FoundCard { url: url.to_string(), card, text })
}

fn same_address(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(url: &str, binding: &str, version: &str) -> AgentInterface {
        AgentInterface {
            url: url.to_owned(),
            protocol_binding: binding.to_owned(),
            protocol_version: version.to_owned(),
            tenant: None,
        }
    }

    fn found(interfaces: Vec<AgentInterface>) -> FoundCard {
        let card = AgentCard { supported_interfaces: interfaces, ..AgentCard::default() };
        FoundCard { url: "http://h/card".to_owned(), card, text: String::new() }
    }

    #[test]
    fn addresses_are_read_as_people_type_them() {
        assert_eq!(parse("localhost:8420/agents/echo").unwrap().as_str(), "http://localhost:8420/agents/echo");
        assert_eq!(parse(" https://example.com ").unwrap().as_str(), "https://example.com/");
        for text in ["", "ftp://example.com", "http://", "unix:///run/kennel"] {
            assert!(matches!(parse(text), Err(ClientError::Invalid(_))), "{text}");
        }
    }

    #[test]
    fn cards_are_looked_for_below_the_address_then_at_it_then_at_the_root() {
        let shown = |text: &str| -> Vec<String> {
            places(&parse(text).unwrap()).unwrap().into_iter().map(|place| place.url.path().to_owned()).collect()
        };
        let card = "/.well-known/agent-card.json";
        assert_eq!(shown("h/agents/echo/"), [&format!("/agents/echo{card}"), "/agents/echo/", card]);
        assert_eq!(shown("h"), [card, "/"]);
        assert_eq!(shown("h/x/card.json"), ["/x/card.json"]);
    }

    #[test]
    fn the_card_of_the_server_counts_only_if_it_names_the_address() {
        let asked = parse("http://h/a2a/").unwrap();
        let place = Place { url: asked.clone(), shared: true };
        assert!(place.fits(&found(vec![interface("http://h/a2a", "JSONRPC", "1.0")]).card, &asked));
        assert!(!place.fits(&found(vec![interface("http://h/other", "JSONRPC", "1.0")]).card, &asked));
    }

    #[test]
    fn the_first_interface_that_fits_is_chosen() {
        let offered = [
            interface("http://h/grpc", "GRPC", "1.0"),
            interface("http://h/old", "JSONRPC", "0.3"),
            interface("http://h/one", "JSONRPC", "1.0.1"),
            interface("http://h/two", "JSONRPC", "1.0"),
        ];
        assert_eq!(choose(&found(offered.to_vec()), "http://h/").unwrap().url, "http://h/one");
        assert_eq!(choose(&found(offered.to_vec()), "http://h/two/").unwrap().url, "http://h/two");
        let error = choose(&found(offered[..2].to_vec()), "http://h/old").unwrap_err();
        assert_eq!(error.to_string(), "http://h/card offers GRPC 1.0, JSONRPC 0.3, but no JSONRPC 1.0");
    }

    #[test]
    fn credentials_stay_with_the_host_they_were_given_for() {
        let asked = parse("http://h:80/a").unwrap();
        for (url, expected) in
            [("http://h/b", true), ("https://h/a", true), ("http://h:81/a", false), ("http://evil/a", false)]
        {
            assert_eq!(trusts(&asked, &parse(url).unwrap()), expected, "{url}");
        }
        assert!(!trusts(&parse("https://h/a").unwrap(), &parse("http://h/a").unwrap()));
    }
}
