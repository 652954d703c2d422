//! Which A2A version a request speaks (protocol.md section 4). Read at the edge, before anything else of the request.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// What the `supportedVersions` of a refusal says.
pub const SUPPORTED: &str = "1.0,0.3";

/// A version of the protocol that this crate has names for. Which ones an agent serves is the operator's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// 0.3, which is also what a request without a version means.
    V0_3,
    /// 1.0.
    V1_0,
}

impl ProtocolVersion {
    /// All versions, the oldest first.
    pub const ALL: [ProtocolVersion; 2] = [ProtocolVersion::V0_3, ProtocolVersion::V1_0];

    /// Reads the value of `A2A-Version`. Absent or empty MUST be read as 0.3; a patch number MUST NOT matter.
    ///
    /// # Errors
    /// `VersionNotSupported`, with `supportedVersions` in its metadata.
    pub fn parse(value: Option<&str>) -> Result<ProtocolVersion, Error> {
        let text = value.unwrap_or_default().trim();
        if text.is_empty() {
            return Ok(ProtocolVersion::V0_3);
        }
        let mut numbers = text.split('.');
        let version = match (numbers.next(), numbers.next()) {
            (Some("1"), Some("0")) => Some(ProtocolVersion::V1_0),
            (Some("0"), Some("3")) => Some(ProtocolVersion::V0_3),
            (Some(_) | None, Some(_) | None) => None,
        };
        let patch_is_plausible = match (numbers.next(), numbers.next()) {
            (None, None) => true,
            (Some(patch), None) => !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()),
            (Some(_) | None, Some(_)) => false,
        };
        version.filter(|_| patch_is_plausible).ok_or_else(|| not_supported(text))
    }

    /// `1.0` or `0.3`: the form of cards and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ProtocolVersion::V0_3 => "0.3",
            ProtocolVersion::V1_0 => "1.0",
        }
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn not_supported(requested: &str) -> Error {
    // The value is the client's: cut, so that an answer cannot be blown up with it.
    let requested: String = requested.chars().take(32).collect();
    Error::new(ErrorKind::VersionNotSupported, format!("A2A version {requested} is not supported"))
        .with("supportedVersions", SUPPORTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_matched_by_major_and_minor() {
        for (value, version) in [
            (None, ProtocolVersion::V0_3),
            (Some(""), ProtocolVersion::V0_3),
            (Some(" "), ProtocolVersion::V0_3),
            (Some("0.3"), ProtocolVersion::V0_3),
            (Some("0.3.0"), ProtocolVersion::V0_3),
            (Some("1.0"), ProtocolVersion::V1_0),
            (Some("1.0.7"), ProtocolVersion::V1_0),
            (Some(" 1.0 "), ProtocolVersion::V1_0),
        ] {
            assert_eq!(ProtocolVersion::parse(value).unwrap(), version, "{value:?}");
        }
    }

    #[test]
    fn other_versions_are_refused_with_the_supported_ones() {
        for value in ["1", "1.", "1.5", "2.0", "99.0", "abc", "1.0.x", "1.0.", "1.0.1.1", "0.30", "01.0", "v1.0"] {
            let error = ProtocolVersion::parse(Some(value)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::VersionNotSupported, "{value}");
            assert_eq!(error.metadata["supportedVersions"], "1.0,0.3");
        }
    }
}
