//! JSON that A2A carries without looking into it: data parts and metadata.
//!
//! It is kept as the text that came in, checked once and then copied: digits of numbers and the order of members
//! survive, and a body is not taken apart again on its way from the client to the agent, the store and the streams.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

/// The text is not what was asked for. Says where and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidJson(String);

/// One JSON value of any kind, null included, as its text. Cheap to clone. Two are equal if their texts are.
///
/// Invariant: the text is valid JSON without blanks around it and without line breaks, so it fits into one line of an
/// event stream. (A value that came with line breaks has lost all blanks between its tokens.)
#[derive(Clone)]
pub struct JsonValue(Arc<RawValue>);

impl JsonValue {
    /// Takes over a text that holds one JSON value.
    ///
    /// # Errors
    /// The text is not JSON.
    pub fn from_text(text: &str) -> Result<JsonValue, InvalidJson> {
        serde_json::from_str(text).map_err(|error| InvalidJson(error.to_string()))
    }

    /// The text of a parsed value.
    #[must_use]
    pub fn from_value(value: &serde_json::Value) -> JsonValue {
        // A value always has a text: its keys are strings and it holds no foreign types.
        serde_json::value::to_raw_value(value).map_or_else(|_| JsonValue::null(), JsonValue::from_raw)
    }

    /// The text of anything that serialises to JSON.
    ///
    /// # Errors
    /// The value's own, or a map whose keys are no strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<JsonValue, InvalidJson> {
        serde_json::value::to_raw_value(value).map(JsonValue::from_raw).map_err(|error| InvalidJson(error.to_string()))
    }

    /// The value `null`.
    #[must_use]
    pub fn null() -> JsonValue {
        JsonValue(Arc::from(RawValue::NULL.to_owned()))
    }

    /// The text of the value.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The parsed value.
    ///
    /// # Errors
    /// Deeper than 128 levels, or a text that is valid by the grammar alone (a lone surrogate, a number beyond doubles).
    pub fn to_value(&self) -> Result<serde_json::Value, InvalidJson> {
        serde_json::from_str(self.get()).map_err(|error| InvalidJson(error.to_string()))
    }

    /// Whether [`Self::to_value`] would succeed, found out without building the value. Reads the whole text once: meant
    /// for values that come in, so that those who read them later need not expect a failure.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        serde_json::from_str::<Readable>(self.get()).is_ok()
    }

    /// Whether the value is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        // The grammar of JSON tells an object by its first character.
        self.get().starts_with('{')
    }

    fn from_raw(raw: Box<RawValue>) -> JsonValue {
        if !raw.get().contains(['\n', '\r']) {
            return JsonValue(Arc::from(raw));
        }
        let compact = without_blanks(raw.get());
        JsonValue(Arc::from(RawValue::from_string(compact).unwrap_or(raw)))
    }
}

/// Drops the blanks between tokens. Needs valid JSON: strings are skipped by their quotes.
fn without_blanks(text: &str) -> String {
    let mut compact = String::with_capacity(text.len());
    let mut in_string = false;
    let mut escaped = false;
    for character in text.chars() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if matches!(character, ' ' | '\t' | '\n' | '\r') {
            continue;
        } else {
            in_string = character == '"';
        }
        compact.push(character);
    }
    compact
}

impl PartialEq for JsonValue {
    fn eq(&self, other: &JsonValue) -> bool {
        self.get() == other.get()
    }
}

impl Eq for JsonValue {}

impl fmt::Debug for JsonValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonValue({})", self.get())
    }
}

impl fmt::Display for JsonValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl Serialize for JsonValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(JsonValue::from_raw)
    }
}

/// A JSON object as its text; the metadata of A2A. Like [`JsonValue`] in every other way.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonObject(JsonValue);

impl JsonObject {
    /// Takes over a text that holds one JSON object.
    ///
    /// # Errors
    /// The text is not JSON, or not an object.
    pub fn from_text(text: &str) -> Result<JsonObject, InvalidJson> {
        JsonValue::from_text(text)?.try_into()
    }

    /// The text of a parsed object.
    #[must_use]
    pub fn from_map(map: serde_json::Map<String, serde_json::Value>) -> JsonObject {
        JsonObject(JsonValue::from_value(&serde_json::Value::Object(map)))
    }

    /// An object of the given members, in their order. Of two with one name the later one counts.
    #[must_use]
    pub fn from_members<K: AsRef<str>>(members: impl IntoIterator<Item = (K, JsonValue)>) -> JsonObject {
        let mut all = Members::default();
        for (key, value) in members {
            all.set(key.as_ref().to_owned(), value);
        }
        all.into_object()
    }

    /// The object without members.
    #[must_use]
    pub fn empty() -> JsonObject {
        JsonObject::from_map(serde_json::Map::new())
    }

    /// The text of the object.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The object as a value of any kind.
    #[must_use]
    pub fn as_value(&self) -> &JsonValue {
        &self.0
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.get().trim_start_matches('{').trim_start().starts_with('}')
    }

    /// The value of a member. Of several with the same name the last one counts, as for most readers of JSON.
    #[must_use]
    pub fn member(&self, key: &str) -> Option<JsonValue> {
        let mut reader = serde_json::Deserializer::from_str(self.get());
        reader.deserialize_map(MemberVisitor(key)).ok().flatten()
    }

    /// All members in their order. Nothing, if a name is valid by the grammar alone (a lone surrogate).
    #[must_use]
    pub fn members(&self) -> Vec<(String, JsonValue)> {
        self.read_members().list
    }

    /// The object with a member set: replaced in its place, or added at the end.
    #[must_use]
    pub fn with(&self, key: &str, value: &JsonValue) -> JsonObject {
        let mut members = self.read_members();
        members.set(key.to_owned(), value.clone());
        members.into_object()
    }

    fn read_members(&self) -> Members {
        let mut reader = serde_json::Deserializer::from_str(self.get());
        reader.deserialize_map(MembersVisitor).unwrap_or_default()
    }

    /// The parsed object.
    ///
    /// # Errors
    /// As for [`JsonValue::to_value`].
    pub fn to_map(&self) -> Result<serde_json::Map<String, serde_json::Value>, InvalidJson> {
        serde_json::from_str(self.get()).map_err(|error| InvalidJson(error.to_string()))
    }
}

impl TryFrom<JsonValue> for JsonObject {
    type Error = InvalidJson;

    fn try_from(value: JsonValue) -> Result<JsonObject, InvalidJson> {
        if value.is_object() { Ok(JsonObject(value)) } else { Err(InvalidJson("must be a JSON object".to_owned())) }
    }
}

impl From<JsonObject> for JsonValue {
    fn from(object: JsonObject) -> JsonValue {
        object.0
    }
}

impl fmt::Debug for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonObject({})", self.get())
    }
}

impl fmt::Display for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl Serialize for JsonObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        JsonValue::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

absent_as_none!(JsonObject);

/// Reads any value and keeps nothing. Unlike serde's `IgnoredAny` it makes the parser decode strings and numbers.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Readable)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Readable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_str<E>(self, _: &str) -> Result<Readable, E> {
        Ok(Readable)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Readable, A::Error> {
        while items.next_element::<Readable>()?.is_some() {}
        Ok(Readable)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Readable, A::Error> {
        while members.next_entry::<Readable, Readable>()?.is_some() {}
        Ok(Readable)
    }
}

/// Picks one member, skipping the values of the others unread.
struct MemberVisitor<'k>(&'k str);

impl<'de> Visitor<'de> for MemberVisitor<'_> {
    type Value = Option<JsonValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<JsonValue>, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<String>()? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Members in order with an index by name, so that an object of many names is taken apart in one pass.
#[derive(Default)]
struct Members {
    list: Vec<(String, JsonValue)>,
    index: HashMap<String, usize>,
}

impl Members {
    /// Replaces the member of this name in its place, or adds one at the end.
    fn set(&mut self, name: String, value: JsonValue) {
        let known = self.index.get(&name).and_then(|index| self.list.get_mut(*index));
        if let Some((_, held)) = known {
            *held = value;
            return;
        }
        self.index.insert(name.clone(), self.list.len());
        self.list.push((name, value));
    }

    fn into_object(self) -> JsonObject {
        let mut text = String::from("{");
        for (index, (name, value)) in self.list.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(JsonValue::from_value(&serde_json::Value::from(name.as_str())).get());
            text.push(':');
            text.push_str(value.get());
        }
        text.push('}');
        // Names are written by serde_json and values are valid by their invariant, so this is an object.
        JsonObject::from_text(&text).unwrap_or_else(|_| JsonObject::empty())
    }
}

/// Collects all members.
struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        while let Some((name, value)) = map.next_entry()? {
            members.set(name, value);
        }
        Ok(members)
    }
}
