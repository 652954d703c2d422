//! One rule about requests, as it stands on an agent's card and in the operator's grants.
//!
//! Never here: who wrote the rule and what follows from it; that is `policy`.

use std::fmt;
use std::str::FromStr;

use http::Method;
use url::Url;

use crate::site::{RuleError, Site};

/// Layers of percent-encoding that are taken off to see whether a path climbs. Nobody honest uses more than two.
const LAYERS_MAX: usize = 4;

/// A method or `*`, and where it may be used: `GET https://api.example.com/v1`, `* https://*.example.com`,
/// `* http://127.0.0.1:*`.
///
/// A path covers itself and all that is below it, by whole segments: `/v1` covers `/v1/users` and not `/v10`. A slash
/// at its end says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// None: any.
    method: Option<Method>,
    site: Site,
    /// The segments of the path as the url has them; empty: any path.
    prefix: Vec<String>,
}

impl Rule {
    /// The rule of any method to a url and all below it: `https://host[:port][/prefix]`.
    ///
    /// # Errors
    /// What is wrong with the url.
    pub fn below(url: &str) -> Result<Rule, RuleError> {
        format!("* {url}").parse()
    }

    /// Whether a request with this method to this url is what the rule is about.
    #[must_use]
    pub fn covers(&self, method: &Method, url: &Url) -> bool {
        self.covers_but_for_path(method, url) && self.covers_path(url)
    }

    /// Whether only the path keeps the rule from covering the request, or nothing.
    pub(crate) fn covers_but_for_path(&self, method: &Method, url: &Url) -> bool {
        self.method.as_ref().is_none_or(|only| only == method) && self.site.covers(url)
    }

    fn covers_path(&self, url: &Url) -> bool {
        let Some(mut segments) = url.path_segments() else { return false };
        self.prefix.is_empty()
            || (self.prefix.iter().all(|prefix| segments.next() == Some(prefix)) && !climbs(url.path()))
    }
}

/// Whether a server could read `..` in the path. The url has none left in the open, but many servers decode first and
/// normalise then, some of them twice, or drop parameters (`..;x`). What cannot be read is taken for a trick.
fn climbs(path: &str) -> bool {
    let mut path = path.to_owned();
    for _ in 0..LAYERS_MAX {
        let Some(decoded) = decode(&path) else { return true };
        if decoded == path {
            return path.split(['/', '\\']).any(is_parent);
        }
        path = decoded;
    }
    true
}

fn is_parent(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or(segment);
    name.trim_matches(|c: char| c.is_whitespace() || c.is_control()) == ".."
}

/// Takes off one layer of percent-encoding; none if the bytes are no text, as in the overlong forms of `.` and `/`.
fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.split_at_checked(2).filter(|_| *first == b'%');
        let byte = hex.and_then(|(digits, after)| Some((hex_byte(digits)?, after)));
        // A percent sign that stands for itself is kept.
        let (byte, after) = byte.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0u8, |value, digit| {
        let digit = char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())?;
        Some(value << 4 | digit)
    })
}

impl FromStr for Rule {
    type Err = RuleError;

    /// Reads `METHOD https://host[:port][/prefix]`.
    fn from_str(text: &str) -> Result<Rule, RuleError> {
        let error = |cure: &str| RuleError::new(text, cure);
        let (method, target) = text
            .split_once(' ')
            .ok_or_else(|| error("write a method or `*`, one blank and a url, like `GET https://api.example.com`"))?;
        let method = match method {
            "*" => None,
            name if name.bytes().any(|byte| byte.is_ascii_lowercase()) => {
                return Err(error("write the method in upper case"));
            }
            name => Some(Method::from_bytes(name.as_bytes()).map_err(|_| error("write a method, like `GET`, or `*`"))?),
        };
        let (site, url) = Site::parse(target, text)?;
        let dots = target.split('/').skip(3).any(|segment| matches!(segment, "." | ".."));
        if dots || climbs(target) || !target.trim_end_matches('/').ends_with(url.path().trim_end_matches('/')) {
            return Err(error("write the path as the service sees it: without dot segments, and encoded where needed"));
        }
        let mut prefix: Vec<String> = url.path_segments().into_iter().flatten().map(str::to_owned).collect();
        if prefix.last().is_some_and(String::is_empty) {
            prefix.pop();
        }
        Ok(Rule { method, site, prefix })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_ref().map_or("*", Method::as_str), self.site)?;
        self.prefix.iter().try_for_each(|segment| write!(f, "/{segment}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: &str, method: &str, url: &str, expected: bool) {
        let rule: Rule = rule.parse().unwrap();
        let covers = rule.covers(&Method::from_bytes(method.as_bytes()).unwrap(), &url.parse().unwrap());
        assert_eq!(covers, expected, "{rule} {method} {url}");
    }

    #[test]
    fn the_method_is_the_one_of_the_rule() {
        check("GET https://h.example", "GET", "https://h.example/x", true);
        check("GET https://h.example", "POST", "https://h.example/x", false);
        check("GET https://h.example", "HEAD", "https://h.example/x", false);
        check("* https://h.example", "PURGE", "https://h.example/x", true);
    }

    #[test]
    fn a_prefix_covers_whole_segments() {
        for (path, expected) in [
            ("/v1", true),
            ("/v1/", true),
            ("/v1/users", true),
            ("/v1/users/7?x=/../y#/../z", true),
            ("/v1?x", true),
            ("/v1//users", true),
            ("/v10", false),
            ("/v", false),
            ("/", false),
            ("/V1", false),
            ("//v1", false),
            ("/v2/v1", false),
        ] {
            check("GET https://h.example/v1", "GET", &format!("https://h.example{path}"), expected);
            check("GET https://h.example/v1/", "GET", &format!("https://h.example{path}"), expected);
            check("GET https://h.example/", "GET", &format!("https://h.example{path}"), true);
        }
    }

    #[test]
    fn no_way_of_writing_leads_out_of_a_prefix() {
        for (path, expected) in [
            ("/v1/../v2", false),
            ("/v1/%2e%2e/v2", false),
            ("/v1/.%2E/v2", false),
            ("/v1/..%2fv2", false),
            ("/v1/..%5cv2", false),
            ("/v1/..\\v2", false),
            ("/v1%2f..%2fv2", false),
            ("/v1/%252e%252e%252fv2", false),
            ("/v1/%25252e%25252e/v2", false),
            ("/v1/%252525252e%252525252e/v2", false),
            ("/v1/..;/v2", false),
            ("/v1/..;a=b/v2", false),
            ("/v1/..%3b/v2", false),
            ("/v1/..%00/v2", false),
            ("/v1/..%20/v2", false),
            ("/v1/%c0%ae%c0%ae/v2", false),
            ("/v1/%c0%2f", false),
            ("/v2/../v1/x", true),
            ("/v1/a/../b", true),
            ("/v1/./b", true),
            ("/v1/a..b/..c/d..", true),
            ("/v1/group%2Fproject", true),
            ("/v1/100%", true),
            ("/v1/100%25", true),
            ("/v1/caf%C3%A9", true),
        ] {
            check("GET https://h.example/v1", "GET", &format!("https://h.example{path}"), expected);
        }
    }

    #[test]
    fn without_a_prefix_any_path_is_covered() {
        check("GET https://h.example", "GET", "https://h.example/v1/..%2f..%2fx", true);
    }

    #[test]
    fn a_mistake_is_named_with_its_cure() {
        for (text, cure) in [
            ("https://h.example", "write a method or `*`, one blank and a url"),
            ("get https://h.example", "write the method in upper case"),
            ("G(T https://h.example", "write a method"),
            (" https://h.example", "write a method"),
            ("GET  https://h.example", "only https:// and http://"),
            ("GET h.example", "write https:// before the host"),
            ("GET https://h.example/v1/*", "`*` stands only before the first dot of the host or as its port"),
            ("GET https://h.*:80", "`*` stands only before the first dot"),
            ("GET https://h.example/v1?key=1", "leave out `?` and `#`"),
            ("GET https://h.example/v1/../v2", "write the path as the service sees it"),
            ("GET https://h.example/v1/%2e%2e/v2", "write the path as the service sees it"),
            ("GET https://h.example/./v2", "write the path as the service sees it"),
            ("GET https://h.example/v1/%2e/v2", "write the path as the service sees it"),
            ("GET https://h.example/caf\u{e9}", "write the path as the service sees it"),
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}`: {cure}")), "{error}");
        }
    }

    #[test]
    fn a_rule_is_printed_in_its_shortest_form() {
        for (text, printed) in [
            ("GET https://API.example.com:443/v1/", "GET https://api.example.com/v1"),
            ("* http://*.example.com:8080/", "* http://*.example.com:8080"),
            ("* http://127.0.0.1:*/v1/", "* http://127.0.0.1:*/v1"),
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), printed);
        }
    }
}
