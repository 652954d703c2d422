//! What a task has published and said: bounds, and the artifacts that are being sent in pieces.

use std::collections::HashMap;

use kennel_protocol::ArtifactId;
use kennel_protocol::types::{Artifact, Content, Part};
use kennel_sandbox::call::{ErrorKind, GuestError, Heading};
use serde::{Deserialize, Serialize};

use crate::config::TaskLimits;

/// An artifact between `open` and `close`.
#[derive(Clone, Serialize, Deserialize)]
struct Piecewise {
    heading: Heading,
    /// Whether the first piece has been sent.
    begun: bool,
}

/// One piece on its way out.
pub(crate) struct Piece {
    pub(crate) artifact: Artifact,
    pub(crate) append: bool,
}

/// The artifacts of one task, and how much it has said.
pub(crate) struct Artifacts {
    limits: TaskLimits,
    books: Books,
}

/// What a checkpoint keeps of them.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Books {
    open: HashMap<ArtifactId, Piecewise>,
    /// In the order in which they were opened, so that the host closes them in the same order.
    order: Vec<ArtifactId>,
    known: HashMap<ArtifactId, usize>,
    bytes: usize,
    /// Bytes of the agent's messages.
    said: usize,
}

impl Artifacts {
    pub(crate) fn new(limits: TaskLimits) -> Artifacts {
        Artifacts { limits, books: Books::default() }
    }

    /// The books as they stand.
    pub(crate) fn books(&self) -> Books {
        self.books.clone()
    }

    /// Goes on from books that were kept.
    pub(crate) fn restore(&mut self, books: Books) {
        self.books = books;
    }

    /// Takes the parts of a message.
    pub(crate) fn say(&mut self, parts: &[Part]) -> Result<(), GuestError> {
        let total = self.books.said + size_of(parts);
        if total > self.limits.message_bytes_max {
            let text = format!("the messages of a task have at most {} bytes", self.limits.message_bytes_max);
            return Err(GuestError::new(ErrorKind::Limit, "message-bytes", text));
        }
        self.books.said = total;
        Ok(())
    }

    /// Takes a whole artifact; an id that exists is replaced.
    pub(crate) fn publish(&mut self, artifact: &Artifact) -> Result<(), GuestError> {
        let id = &artifact.artifact_id;
        if self.books.open.contains_key(id) {
            return Err(invalid("artifact-id", format!("artifact {id} is still open; close it first")));
        }
        let replaced = self.books.known.get(id).copied();
        let size = size_of(&artifact.parts);
        self.grow(replaced.is_none(), size, replaced.unwrap_or(0))?;
        self.books.known.insert(id.clone(), size);
        Ok(())
    }

    /// Begins an artifact in pieces.
    pub(crate) fn open(&mut self, id: ArtifactId, heading: Heading) -> Result<(), GuestError> {
        if self.books.known.contains_key(&id) {
            return Err(invalid("artifact-id", format!("artifact {id} is in use")));
        }
        self.grow(true, 0, 0)?;
        self.books.known.insert(id.clone(), 0);
        self.books.order.push(id.clone());
        self.books.open.insert(id, Piecewise { heading, begun: false });
        Ok(())
    }

    /// The next piece of an open artifact.
    pub(crate) fn append(&mut self, id: &ArtifactId, parts: Vec<Part>) -> Result<Piece, GuestError> {
        let size = size_of(&parts);
        if !self.books.open.contains_key(id) {
            return Err(not_open(id));
        }
        self.grow(false, size, 0)?;
        if let Some(known) = self.books.known.get_mut(id) {
            *known += size;
        }
        let Some(piecewise) = self.books.open.get_mut(id) else { return Err(not_open(id)) };
        let append = std::mem::replace(&mut piecewise.begun, true);
        Ok(Piece { artifact: piecewise.artifact(id, parts, append), append })
    }

    /// The last piece; without parts it is an empty text.
    pub(crate) fn close(&mut self, id: &ArtifactId, parts: Vec<Part>) -> Result<Piece, GuestError> {
        let parts = if parts.is_empty() { empty_text() } else { parts };
        let piece = self.append(id, parts)?;
        self.books.open.remove(id);
        self.books.order.retain(|open| open != id);
        Ok(piece)
    }

    /// The oldest artifact still open.
    pub(crate) fn next_open(&self) -> Option<ArtifactId> {
        self.books.order.first().cloned()
    }

    fn grow(&mut self, one_more: bool, bytes: usize, freed: usize) -> Result<(), GuestError> {
        if one_more && self.books.known.len() >= self.limits.artifacts_max {
            let text = format!("a task has at most {} artifacts", self.limits.artifacts_max);
            return Err(GuestError::new(ErrorKind::Limit, "artifacts", text));
        }
        let total = self.books.bytes.saturating_sub(freed) + bytes;
        if total > self.limits.artifact_bytes_max {
            let text = format!("the artifacts of a task have at most {} bytes", self.limits.artifact_bytes_max);
            return Err(GuestError::new(ErrorKind::Limit, "artifact-bytes", text));
        }
        self.books.bytes = total;
        Ok(())
    }
}

impl Books {
    /// For another task that begins with them: it has sent nothing yet, so what is open begins anew.
    pub(crate) fn begun_anew(self) -> Books {
        let Books { mut open, mut order, .. } = self;
        open.values_mut().for_each(|piecewise| piecewise.begun = false);
        order.retain(|id| open.contains_key(id));
        let known = order.iter().map(|id| (id.clone(), 0)).collect();
        Books { open, order, known, ..Books::default() }
    }
}

impl Piecewise {
    /// Name, description and metadata go with the first piece only.
    fn artifact(&self, id: &ArtifactId, parts: Vec<Part>, append: bool) -> Artifact {
        let heading = (!append).then_some(&self.heading);
        Artifact {
            artifact_id: id.clone(),
            name: heading.and_then(|heading| heading.name.clone()),
            description: heading.and_then(|heading| heading.description.clone()),
            parts,
            metadata: heading.and_then(|heading| heading.metadata.clone()),
            extensions: heading.map(|heading| heading.extensions.clone()).unwrap_or_default(),
        }
    }
}

fn size_of(parts: &[Part]) -> usize {
    parts
        .iter()
        .map(|part| match &part.content {
            Content::Text(text) | Content::Url(text) => text.len(),
            Content::Raw(bytes) => bytes.len(),
            Content::Data(json) => json.get().len(),
        })
        .sum()
}

fn empty_text() -> Vec<Part> {
    vec![Part { content: Content::Text(String::new()), metadata: None, filename: None, media_type: None }]
}

fn not_open(id: &ArtifactId) -> GuestError {
    GuestError::new(ErrorKind::NotFound, "artifact-id", format!("artifact {id} is not open"))
}

fn invalid(field: &str, text: String) -> GuestError {
    GuestError::new(ErrorKind::Invalid, field, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Vec<Part> {
        vec![Part { content: Content::Text(text.to_owned()), metadata: None, filename: None, media_type: None }]
    }

    fn heading(name: &str) -> Heading {
        let name = Some(name.to_owned());
        Heading { artifact_id: None, name, description: None, metadata: None, extensions: Vec::new() }
    }

    #[test]
    fn another_task_that_begins_with_a_checkpoint_sends_open_artifacts_from_their_beginning() {
        let id = |id: &str| id.parse::<ArtifactId>().unwrap();
        let mut old = Artifacts::new(TaskLimits::default());
        for name in ["open", "closed"] {
            old.open(id(name), heading(name)).unwrap();
            assert!(!old.append(&id(name), part("1")).unwrap().append);
        }
        old.close(&id("closed"), Vec::new()).unwrap();
        old.say(&part("hello")).unwrap();
        let mut new = Artifacts::new(TaskLimits::default());
        new.restore(old.books().begun_anew());
        let piece = new.append(&id("open"), part("2")).unwrap();
        assert_eq!((piece.append, piece.artifact.name.as_deref()), (false, Some("open")));
        // What was sent as a whole is the former task's; its id is free here.
        new.open(id("closed"), heading("closed")).unwrap();
        assert_eq!((new.books.bytes, new.books.said), (1, 0));
    }
}
