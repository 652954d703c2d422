//! Where a request may go: scheme, host and port, without the path. A rule has one, and a credential has those it is
//! for.
//!
//! Never here: methods and paths; that is `rule`. Addresses: a site is about names, and `guard` about where they lead.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// One host, or with `*.` all hosts below it at any depth, at one port of one scheme: `https://api.example.com`,
/// `https://*.example.com:8443`, `http://127.0.0.1:8080`; with `:*` at any port: `http://127.0.0.1:*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    scheme: Scheme,
    host: HostPattern,
    /// None: any.
    port: Option<u16>,
}

/// Text that is no rule or no site, with the cure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {cure}")]
pub struct RuleError {
    text: String,
    cure: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scheme {
    Http,
    Https,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum HostPattern {
    Only(Host<String>),
    /// Any host that ends with a dot and this name.
    Below(String),
}

impl Site {
    /// Whether the url is at this site. A url with a user name or a password is nowhere.
    #[must_use]
    pub fn covers(&self, url: &Url) -> bool {
        url.scheme() == self.scheme.name()
            && url.username().is_empty()
            && url.password().is_none()
            && self.port.is_none_or(|only| url.port_or_known_default() == Some(only))
            && host(url).is_some_and(|host| self.host.covers(&host))
    }

    /// Reads `url`, which may have a path but nothing after it, and gives the path apart. `text` is what the author
    /// wrote.
    pub(crate) fn parse(url: &str, text: &str) -> Result<(Site, Url), RuleError> {
        let error = |cure: &str| RuleError::new(text, cure);
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| error("write https:// before the host (or http://, if the service has nothing else)"))?;
        let scheme = match scheme {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(error("only https:// and http:// can be reached")),
        };
        let authority = rest.split('/').next().unwrap_or(rest);
        if authority.contains('@') {
            return Err(error("leave out the user before `@`; secrets belong into a credential"));
        }
        if rest.contains(['?', '#']) {
            return Err(error("leave out `?` and `#` and what follows: only host and path are compared"));
        }
        if rest.contains('\\') || rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(error("leave out blanks and backslashes"));
        }
        let any_port = authority.ends_with(":*");
        let rest = &if any_port { rest.replacen(":*", "", 1) } else { rest.to_owned() };
        let (below, rest) = rest.strip_prefix("*.").map_or((false, rest.as_str()), |rest| (true, rest));
        if rest.contains('*') {
            let cure =
                "`*` stands only before the first dot of the host or as its port; a path covers all that is below it";
            return Err(error(cure));
        }
        let url = Url::parse(&format!("{}://{rest}", scheme.name())).map_err(|fault| error(&fault.to_string()))?;
        let port = url.port_or_known_default().filter(|port| *port != 0);
        let port = port.ok_or_else(|| error("write a port from 1 to 65535, or none"))?;
        let host = host(&url).ok_or_else(|| error("write a host"))?;
        let host = match (below, host) {
            (false, host) => HostPattern::Only(host),
            (true, Host::Domain(name)) => HostPattern::Below(name),
            (true, Host::Ipv4(_) | Host::Ipv6(_)) => return Err(error("leave out `*.` before an address")),
        };
        Ok((Site { scheme, host, port: (!any_port).then_some(port) }, url))
    }
}

impl RuleError {
    pub(crate) fn new(text: &str, cure: &str) -> RuleError {
        RuleError { text: text.to_owned(), cure: cure.to_owned() }
    }
}

impl HostPattern {
    fn covers(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (HostPattern::Only(only), host) => only == host,
            (HostPattern::Below(above), Host::Domain(name)) => {
                let below = name.strip_suffix(above.as_str()).and_then(|rest| rest.strip_suffix('.'));
                below.is_some_and(|rest| !rest.is_empty())
            }
            (HostPattern::Below(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// The host without the dot that may end it: to the name system both are the same.
fn host(url: &Url) -> Option<Host<String>> {
    match url.host()? {
        Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            (!name.is_empty()).then(|| Host::Domain(name.to_owned()))
        }
        address @ (Host::Ipv4(_) | Host::Ipv6(_)) => Some(address.to_owned()),
    }
}

impl FromStr for Site {
    type Err = RuleError;

    /// Reads `https://host[:port]`.
    fn from_str(text: &str) -> Result<Site, RuleError> {
        let (site, url) = Site::parse(text, text)?;
        if url.path() != "/" {
            return Err(RuleError::new(text, "leave out the path"));
        }
        Ok(site)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.name())?;
        match &self.host {
            HostPattern::Only(host) => write!(f, "{host}")?,
            HostPattern::Below(name) => write!(f, "*.{name}")?,
        }
        match self.port {
            None => write!(f, ":*"),
            Some(port) if port == self.scheme.port() => Ok(()),
            Some(port) => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_scheme_host_and_port() {
        for (site, url, expected) in [
            ("https://api.example.com", "https://api.example.com/", true),
            ("https://api.example.com", "https://api.example.com:443/x?y#z", true),
            ("https://api.example.com:443", "https://api.example.com/", true),
            ("http://127.0.0.1:*", "http://127.0.0.1:8080/", true),
            ("http://127.0.0.1:*", "https://127.0.0.1:8080/", false),
            ("https://*.example.com:*", "https://api.example.com:8443/", true),
            ("https://*.example.com:*", "https://example.com:8443/", false),
            ("https://api.example.com", "https://API.Example.COM/", true),
            ("https://API.example.com", "https://api.example.com/", true),
            ("https://api.example.com", "https://api.example.com./", true),
            ("https://api.example.com.", "https://api.example.com/", true),
            ("https://api.example.com", "https://api.example.com../", false),
            ("https://api.example.com", "http://api.example.com/", false),
            ("https://api.example.com", "http://api.example.com:443/", false),
            ("https://api.example.com", "https://api.example.com:444/", false),
            ("https://api.example.com", "https://example.com/", false),
            ("https://api.example.com", "https://api.example.com.evil.org/", false),
            ("https://api.example.com", "https://evil.org/api.example.com", false),
            ("https://api.example.com", "https://evil.org\\@api.example.com/", false),
            ("https://api.example.com", "https://api.example.com@evil.org/", false),
            ("https://api.example.com", "https://me@api.example.com/", false),
            ("https://api.example.com", "https://:x@api.example.com/", false),
            ("https://api.example.com", "https://a%70i.example.com/", true),
            ("https://bücher.example", "https://xn--bcher-kva.example/", true),
            ("https://api.example.com", "https://\u{ff41}pi.example.com/", true),
            ("https://api.example.com", "ftp://api.example.com/", false),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/", true),
            ("http://127.0.0.1:8080", "http://0x7f.1:8080/", true),
            ("http://[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080/", true),
            ("http://127.0.0.1", "http://localhost/", false),
        ] {
            let site: Site = site.parse().unwrap();
            assert_eq!(site.covers(&url.parse().unwrap()), expected, "{site} {url}");
        }
    }

    #[test]
    fn a_star_covers_what_is_below_at_any_depth() {
        for (url, expected) in [
            ("https://a.example.com/", true),
            ("https://a.b.example.com/", true),
            ("https://a.example.com./", true),
            ("https://example.com/", false),
            ("https://.example.com/", false),
            ("https://badexample.com/", false),
            ("https://a.example.com.evil.org/", false),
            ("https://a.example.com:8443/", false),
        ] {
            let site: Site = "https://*.example.com".parse().unwrap();
            assert_eq!(site.covers(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_cure() {
        for (text, cure) in [
            ("api.example.com", "write https:// before the host"),
            ("ftp://api.example.com", "only https:// and http://"),
            ("https://me:secret@api.example.com", "leave out the user before `@`"),
            ("https://@api.example.com", "leave out the user before `@`"),
            ("https://api.example.com?x", "leave out `?` and `#`"),
            ("https://api.example.com#x", "leave out `?` and `#`"),
            ("https://api.example.com\\x", "leave out blanks and backslashes"),
            ("https://api.\texample.com", "leave out blanks and backslashes"),
            ("https://*", "`*` stands only before the first dot"),
            ("https://a*.example.com", "`*` stands only before the first dot"),
            ("https://*.*.example.com", "`*` stands only before the first dot"),
            ("https://*.127.0.0.1", "leave out `*.` before an address"),
            ("https://", "empty host"),
            ("https://.", "write a host"),
            ("https://api.example.com:99999", "invalid port number"),
            ("https://api.example.com:0", "write a port from 1 to 65535"),
            ("https://api.example.com/v1", "leave out the path"),
        ] {
            let error = text.parse::<Site>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}`: {cure}")), "{error}");
        }
    }

    #[test]
    fn a_site_is_printed_in_its_shortest_form() {
        for (text, printed) in [
            ("https://API.example.com:443", "https://api.example.com"),
            ("http://*.Example.com:8080", "http://*.example.com:8080"),
            ("http://[0:0::1]:80", "http://[::1]"),
        ] {
            assert_eq!(text.parse::<Site>().unwrap().to_string(), printed);
        }
    }
}
