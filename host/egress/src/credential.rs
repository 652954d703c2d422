//! A secret that the host puts into a request for an agent that knows only its name.
//!
//! The value is in the header and nowhere else: it is marked as sensitive, so that neither `Debug` nor errors show it,
//! and HTTP/2 does not compress it. Never here: where secrets are kept. Made by the worker for each request that names
//! one.

use http::header::{HeaderName, HeaderValue};
use url::Url;

use crate::request::{header_value, set_by_host};
use crate::site::Site;

/// Headers with secret values, and the sites they are for.
#[derive(Clone, Debug)]
pub struct Credential {
    name: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    sites: Vec<Site>,
}

/// A credential that cannot be sent. Says nothing of its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credential `{credential}` cannot be used: {cure}")]
pub struct CredentialError {
    credential: String,
    cure: String,
}

impl Credential {
    /// Makes a credential that fills these headers, pairs of name and value, at these sites and nowhere else.
    ///
    /// # Errors
    /// A name that is no header name or belongs to the host; a value with characters that no header can carry.
    pub fn new(
        name: &str,
        headers: &[(&str, &str)],
        sites: impl IntoIterator<Item = Site>,
    ) -> Result<Credential, CredentialError> {
        let error = |cure: String| CredentialError { credential: name.to_owned(), cure };
        let read = |(header, value): &(&str, &str)| {
            let header_name: HeaderName = header.parse().map_err(|_| error(format!("`{header}` is no header name")))?;
            if set_by_host(&header_name) {
                return Err(error(format!("the host sets `{header}` itself")));
            }
            let value = header_value(value.trim());
            let mut value = value.ok_or_else(|| error(format!("the value of `{header}` is not visible ASCII")))?;
            value.set_sensitive(true);
            Ok((header_name, value))
        };
        let headers = headers.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Credential { name: name.to_owned(), headers, sites: sites.into_iter().collect() })
    }

    /// By what agents call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_for(&self, url: &Url) -> bool {
        self.sites.iter().any(|site| site.covers(url))
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_never_shown() {
        let site: Site = "https://api.example.com".parse().unwrap();
        let credential = Credential::new("api", &[("x-key", "hunter2")], [site]).unwrap();
        assert_eq!(credential.headers()[0].1, "hunter2");
        assert!(!format!("{credential:#?}").contains("hunter2"), "{credential:?}");
        let error = Credential::new("api", &[("x-key", "hunter2\u{e9}")], []).unwrap_err();
        assert_eq!(error.to_string(), "the credential `api` cannot be used: the value of `x-key` is not visible ASCII");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }

    #[test]
    fn the_hosts_own_headers_are_refused() {
        for name in ["Host", "content-length", "Connection", "a b", ""] {
            assert!(Credential::new("api", &[(name, "x")], []).is_err(), "{name}");
        }
    }
}
