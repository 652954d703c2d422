//! Parts: the pieces that messages and artifacts are made of.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::kennel::agent::types::{Content, Part};
use crate::error::{Result, fail};
use crate::metadata;

impl Part {
    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Content::Text(text.into()).into()
    }

    /// File bytes. Name their type with [`media_type`](Self::media_type). At most 8 MiB; larger results go in pieces, by
    /// [`Task::open`](crate::Task::open).
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Content::Raw(bytes.into()).into()
    }

    /// Where file content can be fetched. The host never fetches it on its own.
    pub fn url(url: impl Into<String>) -> Self {
        Content::Url(url.into()).into()
    }

    /// Any value as JSON: a `json!(..)` or a type that derives `Serialize`.
    pub fn data(value: impl Serialize) -> Result<Self> {
        Ok(Content::Data(serde_json::to_string(&value)?).into())
    }

    /// Names the MIME type of the content.
    #[must_use]
    pub fn media_type(mut self, media_type: impl Into<String>) -> Self {
        self.media_type = Some(media_type.into());
        self
    }

    /// Names the file, without a path.
    #[must_use]
    pub fn filename(mut self, name: impl Into<String>) -> Self {
        self.filename = Some(name.into());
        self
    }

    /// Sets a value in the part's metadata; keys of an A2A extension are its URI.
    pub fn with_metadata(mut self, key: &str, value: impl Serialize) -> Result<Self> {
        metadata::set(&mut self.metadata, key, value)?;
        Ok(self)
    }

    /// A value of the part's metadata.
    pub fn metadata_value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        metadata::get(self.metadata.as_deref(), key)
    }

    /// The text of a text part, or the JSON of a data part.
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) | Content::Data(text) => Some(text),
            Content::Raw(_) | Content::Url(_) => None,
        }
    }

    /// The bytes of a file part.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Raw(bytes) => Some(bytes),
            Content::Text(_) | Content::Url(_) | Content::Data(_) => None,
        }
    }
}

impl From<Content> for Part {
    fn from(content: Content) -> Self {
        Self { content, media_type: None, filename: None, metadata: None }
    }
}

impl From<&str> for Part {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

/// The text of all parts that have one, each on a line of its own: text as it is, data as JSON.
pub(crate) fn text_of(parts: &[Part]) -> String {
    parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join("\n")
}

/// The value of the first data part, if there is one.
pub(crate) fn data_of<T: DeserializeOwned>(parts: &[Part]) -> Result<Option<T>> {
    let data = parts.iter().find_map(|part| match &part.content {
        Content::Data(json) => Some(json),
        Content::Text(_) | Content::Raw(_) | Content::Url(_) => None,
    });
    data.map(|json| parse(json)).transpose()
}

/// A value from JSON, with an error that a client understands.
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| fail("data", format!("The data is not what was expected: {error}.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn parts_carry_their_content_and_what_is_known_of_it() {
        let part = Part::raw(*b"PNG").media_type("image/png").filename("a.png");
        assert_eq!(part.as_bytes(), Some(&b"PNG"[..]));
        assert_eq!((part.media_type.as_deref(), part.filename.as_deref()), (Some("image/png"), Some("a.png")));
        assert_eq!(part.as_text(), None);
        assert_eq!(Part::url("https://example.com/a").content, Content::Url("https://example.com/a".into()));
    }

    #[test]
    fn text_leaves_files_out_and_shows_data_as_json() {
        let parts = [Part::text("a"), Part::raw(vec![1]), Part::data(json!({"n": 1})).unwrap(), "b".into()];
        assert_eq!(text_of(&parts), "a\n{\"n\":1}\nb");
        assert_eq!(text_of(&[]), "");
    }

    #[test]
    fn data_is_the_first_data_part() {
        let parts = [Part::text("5"), Part::data([1, 2]).unwrap(), Part::data(3).unwrap()];
        assert_eq!(data_of::<Vec<u8>>(&parts).unwrap(), Some(vec![1, 2]));
        assert_eq!(data_of::<u8>(&[Part::text("5")]).unwrap(), None);
        assert_eq!(data_of::<u8>(&parts).unwrap_err().code, "data");
    }

    #[test]
    fn metadata_is_set_and_read_by_key() {
        let part = Part::text("x").with_metadata("lang", "en").unwrap();
        assert_eq!(part.metadata_value::<String>("lang").unwrap().as_deref(), Some("en"));
    }
}
