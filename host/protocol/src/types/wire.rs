//! How A2A objects become JSON and back: the rules of ProtoJSON, written once.
//!
//! Plain serde derives do not fit: they read JSON arrays as structs, refuse null, and know neither the second spelling
//! of names nor fields that are left out by their value. So [`object!`] makes both directions from one table of fields.
//! Each field names its wire name and when it is written:
//! `required` (always), `plain` (unless it holds its default), `present` (if it was set, even to a default).

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, Unexpected, Visitor};

/// A type that can be a field of an A2A object.
pub(crate) trait Wire: Sized {
    /// What a missing or null member means. None: the member may not be missing.
    fn absent() -> Option<Self>;

    /// Whether a `plain` field of this value is left out.
    fn is_absent(&self) -> bool;

    /// Reads a member, null included.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Reads one member by the rules of its type.
pub(crate) struct Slot<T>(pub(crate) PhantomData<T>);

impl<'de, T: Wire> DeserializeSeed<'de> for Slot<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer)
    }
}

/// Types whose default is their absence.
macro_rules! absent_as_default {
    ($([$($generics:tt)*] $ty:ty),* $(,)?) => {$(
        impl<$($generics)*> $crate::types::wire::Wire for $ty {
            fn absent() -> Option<Self> {
                Some(<$ty>::default())
            }

            fn is_absent(&self) -> bool {
                *self == <$ty>::default()
            }

            fn read<'de, D: serde::de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(<Option<$ty> as serde::de::Deserialize>::deserialize(deserializer)?.unwrap_or_default())
            }
        }
    )*};
}

/// Types whose presence is tracked by an `Option` of ours; null and missing are both none.
macro_rules! absent_as_none {
    ($($ty:ty),* $(,)?) => {$(
        impl $crate::types::wire::Wire for Option<$ty> {
            fn absent() -> Option<Self> {
                Some(None)
            }

            fn is_absent(&self) -> bool {
                self.is_none()
            }

            fn read<'de, D: serde::de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                serde::de::Deserialize::deserialize(deserializer)
            }
        }
    )*};
}

absent_as_default!([] String, [] bool);
absent_as_none!(bool);

impl<T: for<'any> Deserialize<'any>> Wire for Vec<T> {
    fn absent() -> Option<Self> {
        Some(Vec::new())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or_default())
    }
}

impl<T: for<'any> Deserialize<'any>> Wire for BTreeMap<String, T> {
    fn absent() -> Option<Self> {
        Some(BTreeMap::new())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or_default())
    }
}

/// proto3 does not track the presence of most strings: empty is absent.
impl Wire for Option<String> {
    fn absent() -> Option<Self> {
        Some(None)
    }

    fn is_absent(&self) -> bool {
        self.as_ref().is_none_or(String::is_empty)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
    }
}

/// An int32 as ProtoJSON reads it: a number, a decimal string, or a float without a fraction.
struct Int32(i32);

impl<'de> Deserialize<'de> for Int32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Int32Visitor)
    }
}

struct Int32Visitor;

impl Visitor<'_> for Int32Visitor {
    type Value = Int32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of 32 bits")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Int32, E> {
        i32::try_from(number).map(Int32).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Int32, E> {
        i32::try_from(number).map(Int32).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the range and the absence of a fraction are checked before")]
    fn visit_f64<E: Error>(self, number: f64) -> Result<Int32, E> {
        let is_int32 = number.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number);
        if is_int32 { Ok(Int32(number as i32)) } else { Err(E::invalid_value(Unexpected::Float(number), &self)) }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Int32, E> {
        // Rust would also take a leading plus sign, which JSON numbers do not have.
        let number = if text.starts_with('+') { None } else { text.parse().ok() };
        number.map(Int32).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl Wire for Option<i32> {
    fn absent() -> Option<Self> {
        Some(None)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Int32>::deserialize(deserializer)?.map(|number| number.0))
    }
}

impl Wire for i32 {
    fn absent() -> Option<Self> {
        Some(0)
    }

    fn is_absent(&self) -> bool {
        *self == 0
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(<Option<i32> as Wire>::read(deserializer)?.unwrap_or_default())
    }
}

/// Reads the name of a member and says at once which one it is, so that no name is ever copied.
pub(crate) fn member_name<'de, D, K, F>(deserializer: D, which: F) -> Result<K, D::Error>
where
    D: Deserializer<'de>,
    F: FnOnce(&str) -> K,
{
    struct NameVisitor<F>(F);

    impl<K, F: FnOnce(&str) -> K> Visitor<'_> for NameVisitor<F> {
        type Value = K;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a member")
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<K, E> {
            Ok((self.0)(name))
        }
    }

    deserializer.deserialize_identifier(NameVisitor(which))
}

/// An A2A object: a struct of public fields with both directions of its JSON.
macro_rules! object {
    ($(
        $(#[doc = $doc:literal])*
        $(#[derive($($derive:ident),*)])?
        pub struct $name:ident {$(
            $(#[doc = $field_doc:literal])*
            #[wire($camel:literal, $kind:ident)]
            pub $field:ident: $ty:ty,
        )*}
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        $(#[derive($($derive),*)])?
        pub struct $name {$(
            $(#[doc = $field_doc])*
            pub $field: $ty,
        )*}

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                $(
                    if object!(@written $kind self.$field) {
                        map.serialize_entry($camel, &self.$field)?;
                    }
                )*
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[allow(non_camel_case_types, reason = "the variants are the names of the fields")]
                enum Key { $($field,)* Unknown }

                impl<'de> serde::Deserialize<'de> for Key {
                    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                        $crate::types::wire::member_name(deserializer, |name| {
                            $(if name == $camel || name == stringify!($field) { return Key::$field; })*
                            Key::Unknown
                        })
                    }
                }

                struct ObjectVisitor;

                impl<'de> serde::de::Visitor<'de> for ObjectVisitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        use serde::de::Error;
                        $(let mut $field: Option<$ty> = None;)*
                        while let Some(key) = map.next_key::<Key>()? {
                            match key {
                                $(Key::$field => {
                                    if $field.is_some() {
                                        return Err(A::Error::duplicate_field($camel));
                                    }
                                    $field = Some(map.next_value_seed(object!(@seed $kind $ty))?);
                                })*
                                Key::Unknown => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok($name {$(
                            $field: match $field.or_else(<$ty as $crate::types::wire::Wire>::absent) {
                                Some(value) => value,
                                None => return Err(A::Error::missing_field($camel)),
                            },
                        )*})
                    }
                }

                deserializer.deserialize_map(ObjectVisitor)
            }
        }
    )*};
    (@written required $self:ident.$field:ident) => { true };
    (@written plain $self:ident.$field:ident) => { !$crate::types::wire::Wire::is_absent(&$self.$field) };
    (@written present $self:ident.$field:ident) => { $self.$field.is_some() };
    (@seed required $ty:ty) => { $crate::types::wire::Slot(std::marker::PhantomData::<$ty>) };
    (@seed plain $ty:ty) => { $crate::types::wire::Slot(std::marker::PhantomData::<$ty>) };
    (@seed present $ty:ty) => { std::marker::PhantomData::<$ty> };
}

/// A oneof that is an object of exactly one member; the member's name says which. Unknown members are ignored as in any
/// object, and a null one is not set.
macro_rules! union {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident {$(
            $(#[doc = $variant_doc:literal])*
            #[wire($camel:literal, $snake:literal)]
            $variant:ident($ty:ty),
        )*}
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {$(
            $(#[doc = $variant_doc])*
            $variant($ty),
        )*}

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(Some(1))?;
                match self {
                    $($name::$variant(value) => map.serialize_entry($camel, value)?,)*
                }
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                enum Member { $($variant,)* Unknown }

                impl<'de> serde::Deserialize<'de> for Member {
                    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                        $crate::types::wire::member_name(deserializer, |name| {
                            $(if name == $camel || name == $snake { return Member::$variant; })*
                            Member::Unknown
                        })
                    }
                }

                struct UnionVisitor;

                impl<'de> serde::de::Visitor<'de> for UnionVisitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        use serde::de::Error;
                        const MEMBERS: &[&str] = &[$($camel),*];
                        let mut found = None;
                        while let Some(key) = map.next_key::<Member>()? {
                            let value = match key {
                                $(Member::$variant => map.next_value::<Option<$ty>>()?.map($name::$variant),)*
                                Member::Unknown => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                    None
                                }
                            };
                            if value.is_some() && found.is_some() {
                                return Err(A::Error::custom(format_args!("must have only one of {MEMBERS:?}")));
                            }
                            found = found.or(value);
                        }
                        found.ok_or_else(|| A::Error::custom(format_args!("must have one of {MEMBERS:?}")))
                    }
                }

                deserializer.deserialize_map(UnionVisitor)
            }
        }
    };
}

/// An enum of the protocol: written by name, read by name or number. The first value is the number 0, which proto3 does
/// not tell from absence.
macro_rules! proto_enum {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident {
            $(#[doc = $zero_doc:literal])*
            $zero:ident = 0 $zero_text:literal,
            $($(#[doc = $variant_doc:literal])* $variant:ident = $number:literal $text:literal,)*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $zero_doc])*
            #[default]
            $zero = 0,
            $($(#[doc = $variant_doc])* $variant = $number,)*
        }

        impl $name {
            /// All values, by number.
            pub const ALL: &[$name] = &[$name::$zero, $($name::$variant,)*];

            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $name::$zero => $zero_text,
                    $($name::$variant => $text,)*
                }
            }

            /// The number in the proto.
            #[must_use]
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// The value with this number in the proto.
            #[must_use]
            pub fn from_number(number: u64) -> Option<$name> {
                $name::ALL.iter().copied().find(|value| u64::from(value.number()) == number)
            }

            /// The value with this name on the wire, exactly as it is written.
            #[must_use]
            pub fn from_name(name: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|value| value.as_str() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct EnumVisitor;

                impl serde::de::Visitor<'_> for EnumVisitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a name such as ", $zero_text, $(", ", $text,)* " or its number"))
                    }

                    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<$name, E> {
                        $name::from_name(name)
                            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(name), &self))
                    }

                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$name, E> {
                        $name::from_number(number)
                            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
                    }
                }

                deserializer.deserialize_any(EnumVisitor)
            }
        }

        absent_as_default!([] $name);

        impl $crate::types::wire::Wire for Option<$name> {
            fn absent() -> Option<Self> {
                Some(None)
            }

            fn is_absent(&self) -> bool {
                self.is_none_or(|value| value == $name::$zero)
            }

            fn read<'de, D: serde::de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = <Option<$name> as serde::de::Deserialize>::deserialize(deserializer)?;
                Ok(value.filter(|value| *value != $name::$zero))
            }
        }
    };
}
