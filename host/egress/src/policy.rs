//! What one agent may send: what its card requests and the operator grants, both.
//!
//! Never here: where the rules come from, and where names lead; that is `guard`. Made by the worker for each agent it
//! runs.

use http::Method;
use url::{Host, Url};

use crate::error::Denied;
use crate::rule::Rule;

/// What one agent may send. Without rules on either side: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    requested: Vec<Rule>,
    granted: Vec<Rule>,
}

impl Policy {
    /// Joins the rules of the card and those of the operator: a request must fit one of each.
    #[must_use]
    pub fn new(requested: Vec<Rule>, granted: Vec<Rule>) -> Policy {
        Policy { requested, granted }
    }

    /// Says whether the agent may send such a request. Pure: nothing is looked up or sent.
    ///
    /// # Errors
    /// [`Denied::NotRequested`] before [`Denied::NotGranted`]: an author can see the first in a test.
    pub fn check(&self, method: &Method, url: &Url) -> Result<(), Denied> {
        let fits = |rules: &[Rule]| rules.iter().any(|rule| rule.covers(method, url));
        let near = |rules: &[Rule]| rules.iter().find(|rule| rule.covers_but_for_path(method, url)).cloned();
        let rule = || format!("{method} {}", origin(url));
        if !fits(&self.requested) {
            return Err(Denied::NotRequested { rule: rule(), near: near(&self.requested) });
        }
        if !fits(&self.granted) {
            return Err(Denied::NotGranted { rule: rule(), near: near(&self.granted) });
        }
        Ok(())
    }
}

/// Scheme, host and port as a rule would name them. Without the path, which may hold secrets.
pub(crate) fn origin(url: &Url) -> String {
    let host = match url.host() {
        Some(Host::Domain(name)) => name.strip_suffix('.').unwrap_or(name).to_owned(),
        Some(address) => address.to_string(),
        None => String::new(),
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}", url.scheme())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rules: &[&str]) -> Vec<Rule> {
        rules.iter().map(|rule| rule.parse().unwrap()).collect()
    }

    #[track_caller]
    fn check(policy: &Policy, method: &Method, url: &str) -> Result<(), String> {
        policy.check(method, &url.parse().unwrap()).map_err(|denied| denied.to_string())
    }

    #[test]
    fn nothing_is_allowed_without_rules() {
        let denied = check(&Policy::default(), &Method::GET, "https://api.example.com/secret?key=1").unwrap_err();
        assert_eq!(denied, "the card does not request `GET https://api.example.com`");
    }

    #[test]
    fn only_what_both_sides_name_is_allowed() {
        let requested = rules(&["GET https://a.example", "GET https://b.example/v1"]);
        let policy = Policy::new(requested, rules(&["* https://b.example", "* https://c.example"]));
        let not_granted = check(&policy, &Method::GET, "https://a.example/x").unwrap_err();
        assert_eq!(not_granted, "the operator has not granted `GET https://a.example`");
        let not_requested = check(&policy, &Method::GET, "https://c.example/x").unwrap_err();
        assert_eq!(not_requested, "the card does not request `GET https://c.example`");
        check(&policy, &Method::GET, "https://b.example/v1/x").unwrap();
        check(&policy, &Method::POST, "https://b.example/v1/x").unwrap_err();
        check(&policy, &Method::GET, "http://b.example/v1/x").unwrap_err();
    }

    #[test]
    fn a_rule_that_only_fails_by_its_path_is_named() {
        let requested = rules(&["* https://b.example:8443/v1"]);
        let policy = Policy::new(requested.clone(), rules(&["GET https://b.example:8443/v1/public"]));
        assert_eq!(
            check(&policy, &Method::GET, "https://b.example.:8443/v1/..%2fv2").unwrap_err(),
            "the card does not request `GET https://b.example:8443`: the path is not below `* https://b.example:8443/v1`"
        );
        assert_eq!(
            check(&policy, &Method::GET, "https://b.example:8443/v1/private").unwrap_err(),
            "the operator has not granted `GET https://b.example:8443`: \
             the path is not below `GET https://b.example:8443/v1/public`"
        );
    }

    #[test]
    fn a_url_with_a_user_is_denied() {
        let policy = Policy::new(rules(&["* https://b.example"]), rules(&["* https://b.example"]));
        let denied = check(&policy, &Method::GET, "https://me:secret@b.example/").unwrap_err();
        assert_eq!(denied, "the card does not request `GET https://b.example`");
    }
}
