//! Messages: those that exist, and drafts of those that the agent wants to send.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::kennel::agent::types::{Draft, Message, Role};
use crate::error::Result;
use crate::metadata;
use crate::part::{Part, data_of, text_of};
use crate::peer::TaskRef;

impl Message {
    /// The text of all parts, each on a line of its own; data parts as JSON, files left out.
    pub fn text(&self) -> String {
        text_of(&self.parts)
    }

    /// The value of the first data part; none without one. A value of another shape is an error with the code `data`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        data_of(&self.parts)
    }

    /// A value of the message's metadata; keys of an A2A extension are its URI.
    pub fn metadata_value<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        metadata::get(self.metadata.as_deref(), key)
    }
}

/// Wherever a message is wanted, a text or a part will do: `task.say("working")`.
impl Draft {
    /// A message of these parts.
    pub fn new(parts: impl IntoIterator<Item = impl Into<Part>>) -> Self {
        let parts = parts.into_iter().map(Into::into).collect();
        Self { parts, metadata: None, extensions: Vec::new(), reference_task_ids: Vec::new() }
    }

    /// Adds a part.
    #[must_use]
    pub fn part(mut self, part: impl Into<Part>) -> Self {
        self.parts.push(part.into());
        self
    }

    /// Points the reader to another task. What has no task, as a bare message, is left out.
    #[must_use]
    pub fn refer(mut self, task: &(impl TaskRef + ?Sized)) -> Self {
        self.reference_task_ids.extend(task.task_id().map(str::to_owned));
        self
    }

    /// Sets a value in the message's metadata; keys of an A2A extension are its URI.
    pub fn with_metadata(mut self, key: &str, value: impl Serialize) -> Result<Self> {
        metadata::set(&mut self.metadata, key, value)?;
        Ok(self)
    }

    /// Names an A2A extension that the message uses.
    #[must_use]
    pub fn extension(mut self, uri: impl Into<String>) -> Self {
        self.extensions.push(uri.into());
        self
    }
}

impl From<Part> for Draft {
    fn from(part: Part) -> Self {
        Self::new([part])
    }
}

/// Passes on what somebody else said: a peer's question to the client, for example. Its parts, and nothing else.
impl From<&Message> for Draft {
    fn from(message: &Message) -> Self {
        Self::new(message.parts.iter().cloned())
    }
}

impl From<&str> for Draft {
    fn from(text: &str) -> Self {
        Part::text(text).into()
    }
}

impl From<String> for Draft {
    fn from(text: String) -> Self {
        Part::text(text).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_made_of_a_text_a_part_or_several() {
        assert_eq!(Draft::from("hi").parts, [Part::text("hi")]);
        assert_eq!(Draft::new(["a", "b"]).part(Part::raw(vec![1])).parts.len(), 3);
    }

    #[test]
    fn a_draft_names_tasks_and_extensions() {
        let draft = Draft::from("hi").refer("task-1").extension("https://example.com/x").with_metadata("k", 1).unwrap();
        assert_eq!(draft.reference_task_ids, ["task-1"]);
        assert_eq!(draft.extensions, ["https://example.com/x"]);
        assert_eq!(draft.metadata.as_deref(), Some(r#"{"k":1}"#));
    }
}
