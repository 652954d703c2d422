//! Artifacts: the results of a task, published whole or in pieces.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::kennel::agent::artifact::Heading;
pub use crate::bindings::kennel::agent::types::Artifact;
use crate::error::Result;
use crate::host::artifact as host;
use crate::metadata;
use crate::part::{Part, data_of, text_of};

/// Made by name and content, refined by the methods, published by [`Task::publish_artifact`](crate::Task::publish_artifact).
impl Artifact {
    /// An artifact of one part. Its name should stay the same when a later task refines the same thing.
    pub fn new(name: impl Into<String>, part: impl Into<Part>) -> Self {
        Self {
            artifact_id: None,
            name: Some(name.into()),
            description: None,
            parts: vec![part.into()],
            metadata: None,
            extensions: Vec::new(),
        }
    }

    /// Plain text.
    pub fn text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(name, Part::text(text))
    }

    /// Any value as JSON: a `json!(..)` or a type that derives `Serialize`.
    pub fn data(name: impl Into<String>, value: impl Serialize) -> Result<Self> {
        Ok(Self::new(name, Part::data(value)?))
    }

    /// A file. The name of the file is the name of the artifact.
    pub fn file(name: impl Into<String>, media_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let name = name.into();
        Self::new(name.clone(), Part::raw(bytes).media_type(media_type).filename(name))
    }

    /// A place where the content can be fetched.
    pub fn url(name: impl Into<String>, url: impl Into<String>) -> Self {
        Self::new(name, Part::url(url))
    }

    /// Sets the id, which must be unique within the task. Publishing the same id again replaces the artifact.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.artifact_id = Some(id.into());
        self
    }

    /// Says what the artifact is, for people and models.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Adds a part.
    #[must_use]
    pub fn part(mut self, part: impl Into<Part>) -> Self {
        self.parts.push(part.into());
        self
    }

    /// Sets a value in the artifact's metadata; keys of an A2A extension are its URI.
    pub fn with_metadata(mut self, key: &str, value: impl Serialize) -> Result<Self> {
        metadata::set(&mut self.metadata, key, value)?;
        Ok(self)
    }

    /// Names an A2A extension that the artifact uses.
    #[must_use]
    pub fn extension(mut self, uri: impl Into<String>) -> Self {
        self.extensions.push(uri.into());
        self
    }

    /// The text of all parts, each on a line of its own; data parts as JSON, files left out.
    pub fn as_text(&self) -> String {
        text_of(&self.parts)
    }

    /// The value of the first data part; none without one.
    pub fn as_data<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        data_of(&self.parts)
    }

    /// A value of the artifact's metadata.
    pub fn metadata_value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        metadata::get(self.metadata.as_deref(), key)
    }
}

/// Wherever a heading is wanted, a name will do: `task.open("log")`.
impl Heading {
    /// The heading of an artifact with this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { artifact_id: None, name: Some(name.into()), description: None, metadata: None, extensions: Vec::new() }
    }

    /// Sets the id, which must be unique within the task.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.artifact_id = Some(id.into());
        self
    }

    /// Says what the artifact is, for people and models.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Sets a value in the artifact's metadata; keys of an A2A extension are its URI.
    pub fn with_metadata(mut self, key: &str, value: impl Serialize) -> Result<Self> {
        metadata::set(&mut self.metadata, key, value)?;
        Ok(self)
    }

    /// Names an A2A extension that the artifact uses.
    #[must_use]
    pub fn extension(mut self, uri: impl Into<String>) -> Self {
        self.extensions.push(uri.into());
        self
    }
}

impl From<&str> for Heading {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for Heading {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

/// An artifact that is sent in pieces, from [`Task::open`](crate::Task::open).
///
/// Dropping it sends nothing: it stays open, and the host closes it when the run ends. So it may also be closed by a later
/// generation of the task, which finds it again by its id.
#[derive(Debug)]
#[must_use = "an artifact that is only opened is never seen"]
pub struct OpenArtifact {
    id: String,
}

impl OpenArtifact {
    pub(crate) fn open(heading: &Heading) -> Result<Self> {
        Ok(Self { id: host::open(heading)? })
    }

    /// An artifact that this task opened before its last checkpoint.
    pub fn again(id: impl Into<String>) -> Self {
        Self { id: id.into() }
    }

    /// Its id: what a checkpoint keeps.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Adds a piece. Clients that stream get it within 50 ms; small pieces may come joined.
    pub fn append(&mut self, part: impl Into<Part>) -> Result<()> {
        host::append(&self.id, &[part.into()])
    }

    /// Marks the last piece as the last and closes the artifact.
    pub fn close(self) -> Result<()> {
        host::close(&self.id, &[])
    }

    /// Sends a last piece and closes the artifact.
    pub fn close_with(self, part: impl Into<Part>) -> Result<()> {
        host::close(&self.id, &[part.into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;

    #[test]
    fn artifacts_are_made_by_what_they_hold() {
        assert_eq!(Artifact::text("a", "x").part("y").as_text(), "x\ny");
        assert_eq!(Artifact::data("a", [1]).unwrap().as_data::<Vec<u8>>().unwrap(), Some(vec![1]));
        assert_eq!(Artifact::url("a", "https://x").parts, [Part::url("https://x")]);
    }

    #[test]
    fn a_file_has_its_name_twice_and_its_type() {
        let file = Artifact::file("a.csv", "text/csv", "1;2").description("Numbers.").id("numbers");
        assert_eq!((file.name.as_deref(), file.artifact_id.as_deref()), (Some("a.csv"), Some("numbers")));
        let part = &file.parts[0];
        assert_eq!((part.filename.as_deref(), part.media_type.as_deref()), (Some("a.csv"), Some("text/csv")));
        assert_eq!(part.content, Content::Raw(b"1;2".to_vec()));
    }

    #[test]
    fn a_heading_is_a_name_with_what_is_known() {
        let heading = Heading::from("log").description("What was done.").with_metadata("k", true).unwrap();
        assert_eq!(heading.name.as_deref(), Some("log"));
        assert_eq!(heading.metadata.as_deref(), Some(r#"{"k":true}"#));
    }
}
