//! Names of things as types, so that a task id cannot be passed where a context id is meant.
//!
//! Textual ids are opaque: compared, never taken apart. One rule covers them all (see [`InvalidId`]); it is checked when
//! an id comes in, so whoever holds one need not check again. New ids are made here and nowhere else.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::types::wire::Wire;

/// The most bytes of UTF-8 that a textual id may have.
pub const ID_BYTES_MAX: usize = 256;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// More than [`ID_BYTES_MAX`] bytes.
    #[error("must have at most {ID_BYTES_MAX} bytes")]
    TooLong,
    /// Control characters would corrupt logs, headers and event streams.
    #[error("must not contain control characters")]
    ControlCharacter,
    /// A [`Digest`] is 64 hexadecimal digits.
    #[error("must be 64 hexadecimal digits")]
    NotADigest,
}

/// The rule for every textual id that must name something.
fn check_named(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    check_form(text)
}

/// The rule without the demand for a name.
fn check_form(text: &str) -> Result<(), InvalidId> {
    if text.len() > ID_BYTES_MAX {
        return Err(InvalidId::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidId::ControlCharacter);
    }
    Ok(())
}

/// Reads a string without copying it first, whether the parser could borrow it or not.
struct TextVisitor<F>(F);

impl<T, F: FnOnce(&str) -> Result<T, InvalidId>> Visitor<'_> for TextVisitor<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

macro_rules! text_id {
    ($(#[doc = $doc:literal])* $name:ident, $check:ident) => {
        $(#[doc = $doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                $check(text)?;
                Ok($name(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.as_str())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(TextVisitor(str::parse::<$name>))
            }
        }
    };
}

/// Ids that are fields of A2A objects. There an empty string, null and a missing member all mean "not set", so the type
/// has that one extra value; it cannot be parsed from text, and validation refuses it where an id is REQUIRED.
macro_rules! field_id {
    ($name:ident) => {
        impl $name {
            /// The id of an object that has none yet. Not a name of anything: the host makes one or refuses the object.
            #[must_use]
            pub fn unset() -> Self {
                $name("".into())
            }

            /// Whether this is [`Self::unset`].
            #[must_use]
            pub fn is_unset(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl Wire for $name {
            fn absent() -> Option<Self> {
                Some(Self::unset())
            }

            fn is_absent(&self) -> bool {
                self.is_unset()
            }

            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(<Option<$name> as Wire>::read(deserializer)?.unwrap_or_else(Self::unset))
            }
        }

        impl Wire for Option<$name> {
            fn absent() -> Option<Self> {
                Some(None)
            }

            fn is_absent(&self) -> bool {
                self.as_ref().is_none_or($name::is_unset)
            }

            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match <Option<String> as Wire>::read(deserializer)? {
                    Some(text) => text.parse().map(Some).map_err(D::Error::custom),
                    None => Ok(None),
                }
            }
        }
    };
}

macro_rules! made_id {
    ($name:ident) => {
        impl $name {
            /// A new id that no one else has: a UUID of version 7, so that ids sort by the time they were made.
            #[must_use]
            pub fn generate() -> Self {
                $name(uuid::Uuid::now_v7().to_string().into())
            }
        }
    };
}

text_id! {
    /// Names a task. Always made by the server.
    TaskId, check_named
}
text_id! {
    /// Names a conversation. A client may bring its own; it is kept verbatim.
    ContextId, check_named
}
text_id! {
    /// Names a message; made by whoever sends it. Not unique across tasks.
    MessageId, check_named
}
text_id! {
    /// Names an artifact within its task.
    ArtifactId, check_named
}
text_id! {
    /// The name under which the operator serves an agent.
    AgentId, check_named
}
text_id! {
    /// Whose data something is.
    TenantId, check_named
}
text_id! {
    /// A stable name of a caller within its tenant. The empty name is the anonymous caller.
    PrincipalId, check_form
}

field_id!(TaskId);
field_id!(ContextId);
field_id!(ArtifactId);
made_id!(TaskId);
made_id!(ContextId);
made_id!(MessageId);
made_id!(ArtifactId);

impl TenantId {
    /// The tenant of a server that knows only one: `default`.
    #[must_use]
    pub fn default_tenant() -> TenantId {
        TenantId("default".into())
    }
}

impl PrincipalId {
    /// The caller without a name.
    #[must_use]
    pub fn anonymous() -> PrincipalId {
        PrincipalId("".into())
    }

    /// Whether this is the caller without a name.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.0.is_empty()
    }
}

macro_rules! number {
    ($(#[doc = $doc:literal])* $name:ident) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The first number that is given out. Zero stands before it.
            pub const FIRST: $name = $name(1);

            /// A number read back from where it was stored.
            #[must_use]
            pub const fn new(number: u64) -> $name {
                $name(number)
            }

            /// The plain number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number after this one. Saturates: 2^64 steps do not happen.
            #[must_use]
            pub const fn next(self) -> $name {
                $name(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<$name, Self::Err> {
                text.parse().map($name)
            }
        }
    };
}

number! {
    /// The place of an event in its task, dense from 1. The order of events comes from here, never from time.
    Seq
}
number! {
    /// The fencing token of a task's claim: a writer with an older one is refused.
    Epoch
}
number! {
    /// How often a task has been committed; the guard of optimistic writes.
    Ver
}

/// A SHA-256 sum: names a component or a blob by its content. The text form is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// A sum computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// The 32 bytes of the sum.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Digest, InvalidId> {
        // The digits are checked first: `from_str_radix` would also take a sign.
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidId::NotADigest);
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = text.get(index * 2..index * 2 + 2).ok_or(InvalidId::NotADigest)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidId::NotADigest)?;
        }
        Ok(Digest(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor(str::parse::<Digest>))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_ids_must_name_something_and_fit_into_a_line() {
        assert_eq!("".parse::<TaskId>(), Err(InvalidId::Empty));
        assert_eq!("a\nb".parse::<ContextId>(), Err(InvalidId::ControlCharacter));
        assert_eq!("a\u{85}b".parse::<ContextId>(), Err(InvalidId::ControlCharacter));
        assert_eq!("x".repeat(257).parse::<AgentId>(), Err(InvalidId::TooLong));
        assert_eq!("x".repeat(256).parse::<AgentId>().unwrap().as_str().len(), 256);
        assert_eq!("any text, ünïcode too".parse::<ContextId>().unwrap().to_string(), "any text, ünïcode too");
    }

    #[test]
    fn only_a_principal_may_be_nameless() {
        assert!("".parse::<PrincipalId>().unwrap().is_anonymous());
        assert_eq!("".parse::<TenantId>(), Err(InvalidId::Empty));
        assert_eq!("\0".parse::<PrincipalId>(), Err(InvalidId::ControlCharacter));
    }

    #[test]
    fn made_ids_are_valid_and_sort_by_time() {
        let first = TaskId::generate();
        let second = TaskId::generate();
        assert!(first < second);
        assert_eq!(first.as_str().parse::<TaskId>().unwrap(), first);
        assert!(!ArtifactId::generate().is_unset());
        assert!(ArtifactId::unset().is_unset());
    }

    #[test]
    fn ids_are_plain_strings_and_numbers_in_json() {
        let id: TaskId = serde_json::from_str(r#""t\u0031""#).unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), r#""t1""#);
        assert!(serde_json::from_str::<TaskId>(r#""""#).is_err());
        assert!(serde_json::from_str::<TaskId>("5").is_err());
        assert_eq!(serde_json::to_string(&(Seq::FIRST.next(), Epoch::new(7), Ver::default())).unwrap(), "[2,7,0]");
        assert_eq!("18446744073709551615".parse::<Seq>().unwrap().next().get(), u64::MAX);
    }

    #[test]
    fn debug_names_the_kind_of_id() {
        assert_eq!(format!("{:?}", "t1".parse::<TaskId>().unwrap()), r#"TaskId("t1")"#);
    }

    #[test]
    fn digests_are_64_hexadecimal_digits() {
        let text = "00ff".repeat(16);
        assert_eq!(text.to_uppercase().parse::<Digest>().unwrap().to_string(), text);
        for bad in ["", "00", &"0g".repeat(32), &"+1".repeat(32), &"ü".repeat(32)] {
            assert_eq!(bad.parse::<Digest>(), Err(InvalidId::NotADigest));
        }
    }

    proptest! {
        #[test]
        fn digests_round_trip(bytes: [u8; 32]) {
            let digest = Digest::from_bytes(bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
            let json = serde_json::to_string(&digest).unwrap();
            prop_assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        }
    }
}
