//! Where messages to agents elsewhere go, and who may send them there: what the sender's card asks for and its operator grants, both.
//!
//! Asked again whenever something leaves, so a grant that was taken back holds at once. Never here: connections (`exchange.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use kennel_egress::{Credential, Policy, Rule};
use kennel_sandbox::call::{ErrorKind, GuestError};

use crate::config::AgentGrants;
use crate::work::Remote;

/// An address, and what may go there.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// As the sender named it, for people.
    pub(crate) to: String,
    /// Of a card, of the place below which a card is, or of an interface.
    pub(crate) url: String,
    /// What may be requested on the way: the card, and the interface that it names.
    pub(crate) policy: Arc<Policy>,
    /// Goes into every request.
    pub(crate) credential: Option<Credential>,
}

/// Whether an agent means one elsewhere by a name. The operator's names go before those of this host's agents.
pub(crate) fn is_elsewhere(all: &BTreeMap<String, AgentGrants>, agent: &str, to: &str) -> bool {
    let mut granted = ["*", agent].into_iter().filter_map(|of| all.get(of));
    to.contains("://") || granted.any(|granted| granted.peers.contains_key(to))
}

/// The place, if the sender may send messages there.
pub(crate) fn place(granted: &AgentGrants, remote: &Remote) -> Result<Place, GuestError> {
    let to = &remote.to;
    let own = remote.credential.as_deref().map(|name| credential(granted, name)).transpose()?;
    if to.contains("://") {
        // One that does not read asks for nothing; loading an agent says so.
        let asked = remote.asked.iter().filter(|asked| asked.contains("://"));
        let asked = asked.filter_map(|asked| Rule::below(asked).ok()).collect();
        let policy = Arc::new(Policy::new(asked, granted.peer_urls.clone()));
        return Ok(Place { to: to.clone(), url: to.clone(), policy, credential: own });
    }
    if !remote.asked.contains(to) {
        return Err(denied(format!("the card does not ask for the peer {to}")));
    }
    let peer = granted.peers.get(to).ok_or_else(|| denied(format!("the operator has not granted the peer {to}")))?;
    let rules = || vec![peer.origin.clone()];
    let policy = Arc::new(Policy::new(rules(), rules()));
    Ok(Place { to: to.clone(), url: peer.url.clone(), policy, credential: own.or_else(|| peer.credential.clone()) })
}

fn credential(granted: &AgentGrants, name: &str) -> Result<Credential, GuestError> {
    granted.credentials.get(name).cloned().ok_or_else(|| {
        let text = format!("the operator has not given this agent a credential named {name}");
        GuestError::new(ErrorKind::Denied, "credential", text)
    })
}

pub(crate) fn denied(text: String) -> GuestError {
    GuestError::new(ErrorKind::Denied, "peer", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RemotePeer;

    fn granted() -> AgentGrants {
        let origin = Rule::below("https://partner.example").unwrap();
        let peer = RemotePeer { url: "https://partner.example/agents/a".to_owned(), origin, credential: None };
        let urls = vec![Rule::below("https://a.example/agents").unwrap()];
        AgentGrants { peers: [("partner".to_owned(), peer)].into(), peer_urls: urls, ..AgentGrants::default() }
    }

    fn remote(to: &str, asked: &[&str]) -> Remote {
        let asked = asked.iter().map(|asked| (*asked).to_owned()).collect();
        Remote { to: to.to_owned(), sender: "a".parse().unwrap(), asked, credential: None, context: None }
    }

    #[test]
    fn a_name_needs_the_card_and_the_operator() {
        let error = |granted: &AgentGrants, asked: &[&str]| place(granted, &remote("partner", asked)).unwrap_err();
        assert_eq!(error(&granted(), &["*"]).message, "the card does not ask for the peer partner");
        let nothing = AgentGrants::default();
        assert_eq!(error(&nothing, &["partner"]).message, "the operator has not granted the peer partner");
        let found = place(&granted(), &remote("partner", &["partner"])).unwrap();
        assert_eq!(found.url, "https://partner.example/agents/a");
    }

    #[test]
    fn a_credential_is_given_by_name_or_not_at_all() {
        let named = Remote { credential: Some("key".to_owned()), ..remote("partner", &["partner"]) };
        assert_eq!(place(&granted(), &named).unwrap_err().code, "credential");
    }
}
