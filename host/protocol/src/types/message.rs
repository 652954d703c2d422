//! What is said and what is made: messages, parts and artifacts.

use std::fmt;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};
use bytes::Bytes;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::json::{JsonObject, JsonValue};
use super::wire::member_name;
use crate::ids::{ArtifactId, ContextId, TaskId};

proto_enum! {
    /// Who wrote a message.
    pub enum Role {
        /// Not said; refused in requests.
        Unspecified = 0 "ROLE_UNSPECIFIED",
        /// The client side.
        User = 1 "ROLE_USER",
        /// The agent side.
        Agent = 2 "ROLE_AGENT",
    }
}

object! {
    /// One message of the exchange between a client and an agent.
    #[derive(Default)]
    pub struct Message {
        /// Made by the sender. Text, because a stored message keeps whatever its sender wrote.
        #[wire("messageId", required)]
        pub message_id: String,
        /// The conversation. Always set by a server; optional from a client.
        #[wire("contextId", plain)]
        pub context_id: Option<ContextId>,
        /// The task, if there is one.
        #[wire("taskId", plain)]
        pub task_id: Option<TaskId>,
        /// Who wrote it.
        #[wire("role", required)]
        pub role: Role,
        /// The content; at least one.
        #[wire("parts", required)]
        pub parts: Vec<Part>,
        /// Keys are URIs of extensions by convention.
        #[wire("metadata", plain)]
        pub metadata: Option<JsonObject>,
        /// URIs of the extensions that this message uses.
        #[wire("extensions", plain)]
        pub extensions: Vec<String>,
        /// Other tasks that give context.
        #[wire("referenceTaskIds", plain)]
        pub reference_task_ids: Vec<String>,
    }

    /// A result of a task.
    pub struct Artifact {
        /// Unique within the task. [`ArtifactId::unset`] until the host has made one.
        #[wire("artifactId", required)]
        pub artifact_id: ArtifactId,
        /// Stable across refinements in later tasks.
        #[wire("name", plain)]
        pub name: Option<String>,
        /// For people and models.
        #[wire("description", plain)]
        pub description: Option<String>,
        /// The content; at least one.
        #[wire("parts", required)]
        pub parts: Vec<Part>,
        /// Keys are URIs of extensions by convention.
        #[wire("metadata", plain)]
        pub metadata: Option<JsonObject>,
        /// URIs of the extensions that this artifact uses.
        #[wire("extensions", plain)]
        pub extensions: Vec<String>,
    }
}

absent_as_default!([] Message, [] Artifact);
absent_as_none!(Message, Vec<Artifact>);

impl Default for Artifact {
    fn default() -> Artifact {
        Artifact {
            artifact_id: ArtifactId::unset(),
            name: None,
            description: None,
            parts: Vec::new(),
            metadata: None,
            extensions: Vec::new(),
        }
    }
}

/// What a part holds: exactly one of four.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Bytes of a file; base64 on the wire.
    Raw(Bytes),
    /// Where the content of a file is.
    Url(String),
    /// Any JSON value, null included.
    Data(JsonValue),
}

/// A piece of content. A file is `Raw` or `Url` with a filename and a media type.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The content itself.
    pub content: Content,
    /// Keys are URIs of extensions by convention.
    pub metadata: Option<JsonObject>,
    /// Name for people.
    pub filename: Option<String>,
    /// Media type of the content.
    pub media_type: Option<String>,
}

impl Part {
    /// A part with this content and nothing else.
    #[must_use]
    pub fn new(content: Content) -> Part {
        Part { content, metadata: None, filename: None, media_type: None }
    }

    /// A part of plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Part {
        Part::new(Content::Text(text.into()))
    }

    /// A part of structured data.
    #[must_use]
    pub fn data(value: JsonValue) -> Part {
        Part::new(Content::Data(value))
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.content {
            Content::Text(text) => map.serialize_entry("text", text)?,
            Content::Raw(bytes) => map.serialize_entry("raw", &STANDARD.encode(bytes))?,
            Content::Url(url) => map.serialize_entry("url", url)?,
            Content::Data(value) => map.serialize_entry("data", value)?,
        }
        if let Some(metadata) = &self.metadata {
            map.serialize_entry("metadata", metadata)?;
        }
        if let Some(filename) = self.filename.as_ref().filter(|text| !text.is_empty()) {
            map.serialize_entry("filename", filename)?;
        }
        if let Some(media_type) = self.media_type.as_ref().filter(|text| !text.is_empty()) {
            map.serialize_entry("mediaType", media_type)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PartVisitor)
    }
}

/// The members of a part.
#[derive(Clone, Copy)]
enum Member {
    Text,
    Raw,
    Url,
    Data,
    Metadata,
    Filename,
    MediaType,
    Unknown,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        member_name(deserializer, |name| match name {
            "text" => Member::Text,
            "raw" => Member::Raw,
            "url" => Member::Url,
            "data" => Member::Data,
            "metadata" => Member::Metadata,
            "filename" => Member::Filename,
            "mediaType" | "media_type" => Member::MediaType,
            _ => Member::Unknown,
        })
    }
}

/// Reads a part. Not made by `object!` because the oneof has no name of its own on the wire, and because null is a value
/// of `data` only.
struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part, A::Error> {
        let (mut content, mut metadata, mut filename, mut media_type) = (None, None, None, None);
        while let Some(member) = map.next_key()? {
            match member {
                Member::Text | Member::Raw | Member::Url | Member::Data => {
                    let read = read_content(member, &mut map)?;
                    if read.is_some() && content.is_some() {
                        return Err(A::Error::custom("must have only one of text, raw, url and data"));
                    }
                    content = content.or(read);
                }
                Member::Metadata => set_once(&mut metadata, "metadata", map.next_value()?)?,
                Member::Filename => set_once(&mut filename, "filename", map.next_value()?)?,
                Member::MediaType => set_once(&mut media_type, "mediaType", map.next_value()?)?,
                Member::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let not_empty = |text: &String| !text.is_empty();
        Ok(Part {
            content: content.ok_or_else(|| A::Error::custom("must have one of text, raw, url and data"))?,
            metadata: metadata.flatten(),
            filename: filename.flatten().filter(not_empty),
            media_type: media_type.flatten().filter(not_empty),
        })
    }
}

/// Reads a member of the oneof; none if it is null and null is not a value of it.
fn read_content<'de, A: MapAccess<'de>>(member: Member, map: &mut A) -> Result<Option<Content>, A::Error> {
    match member {
        Member::Text => Ok(map.next_value::<Option<String>>()?.map(Content::Text)),
        Member::Raw => Ok(map.next_value::<Option<Base64>>()?.map(|bytes| Content::Raw(bytes.0))),
        Member::Url => Ok(map.next_value::<Option<String>>()?.map(Content::Url)),
        Member::Data => Ok(Some(Content::Data(map.next_value()?))),
        Member::Metadata | Member::Filename | Member::MediaType | Member::Unknown => Ok(None),
    }
}

fn set_once<T, E: serde::de::Error>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        Some(_) => Err(E::duplicate_field(name)),
        None => Ok(()),
    }
}

/// Bytes as ProtoJSON reads them: standard or URL-safe alphabet, padding optional.
struct Base64(Bytes);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64Visitor;

        impl Visitor<'_> for Base64Visitor {
            type Value = Base64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a base64 string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Base64, E> {
                const CONFIG: GeneralPurposeConfig =
                    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
                const LENIENT_STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, CONFIG);
                const LENIENT_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, CONFIG);
                let engine = if text.contains(['-', '_']) { LENIENT_URL_SAFE } else { LENIENT_STANDARD };
                let bytes = engine.decode(text).map_err(|_| E::custom("must be base64"))?;
                Ok(Base64(bytes.into()))
            }
        }

        deserializer.deserialize_str(Base64Visitor)
    }
}
