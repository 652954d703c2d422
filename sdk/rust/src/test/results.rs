//! What lasts: the artifacts of the run, and values of `kv`.

use super::script::shown;
use super::world::World;
use crate::Artifact;
use crate::bindings::kennel::agent::artifact::Heading;
use crate::bindings::kennel::agent::kv::{Entry, Scope, Swapped};
use crate::error::{Error, ErrorKind, Result};
use crate::part::{Content, Part};

impl World {
    pub(super) fn publish(&mut self, artifact: &Artifact) -> Result<String> {
        let id = self.artifact_id(artifact.artifact_id.as_deref());
        let name = artifact.name.as_deref().unwrap_or(&id);
        self.note(format!("publish {name}: {}", shown(&artifact.parts)));
        if artifact.parts.is_empty() || self.open_artifacts.contains(&id) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "artifact",
                "The artifact has no parts, or is being appended to.",
            ));
        }
        let artifact = Artifact { artifact_id: Some(id.clone()), ..artifact.clone() };
        match self.artifact_mut(&id) {
            Some(old) => *old = artifact,
            None => self.record.artifacts.push(artifact),
        }
        Ok(id)
    }

    pub(super) fn open_artifact(&mut self, heading: &Heading) -> Result<String> {
        let id = self.artifact_id(heading.artifact_id.as_deref());
        self.note(format!("open {}", heading.name.as_deref().unwrap_or(&id)));
        if self.artifact_mut(&id).is_some() {
            return Err(Error::new(ErrorKind::Invalid, "artifact-id", format!("There is an artifact {id} already.")));
        }
        let Heading { name, description, metadata, extensions, .. } = heading.clone();
        let artifact_id = Some(id.clone());
        self.record.artifacts.push(Artifact {
            artifact_id,
            name,
            description,
            parts: Vec::new(),
            metadata,
            extensions,
        });
        self.open_artifacts.insert(id.clone());
        Ok(id)
    }

    pub(super) fn append(&mut self, id: &str, parts: &[Part]) -> Result<()> {
        if parts.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "parts", "There is nothing to append."));
        }
        self.add(&format!("append {id}"), id, parts)
    }

    pub(super) fn close_artifact(&mut self, id: &str, parts: &[Part]) -> Result<()> {
        self.add(&format!("close {id}"), id, parts)?;
        self.open_artifacts.remove(id);
        Ok(())
    }

    fn add(&mut self, call: &str, id: &str, parts: &[Part]) -> Result<()> {
        self.note(if parts.is_empty() { call.to_owned() } else { format!("{call}: {}", shown(parts)) });
        let open = self.open_artifacts.contains(id);
        match self.artifact_mut(id) {
            Some(artifact) if open => parts.iter().for_each(|part| join(&mut artifact.parts, part)),
            _ => return Err(Error::new(ErrorKind::NotFound, "artifact-id", format!("The artifact {id} is not open."))),
        }
        Ok(())
    }

    fn artifact_id(&self, given: Option<&str>) -> String {
        given.map_or_else(|| format!("artifact-{}", self.record.artifacts.len() + 1), str::to_owned)
    }

    fn artifact_mut(&mut self, id: &str) -> Option<&mut Artifact> {
        self.record.artifacts.iter_mut().find(|artifact| artifact.artifact_id.as_deref() == Some(id))
    }
}

/// Adds a piece. Plain text goes on where plain text ended, as a reader of the stream sees it.
fn join(parts: &mut Vec<Part>, piece: &Part) {
    let plain = |part: &Part| part.media_type.is_none() && part.filename.is_none() && part.metadata.is_none();
    match (parts.last_mut().filter(|last| plain(last)), &piece.content) {
        (Some(Part { content: Content::Text(text), .. }), Content::Text(more)) if plain(piece) => text.push_str(more),
        _ => parts.push(piece.clone()),
    }
}

impl World {
    pub(super) fn kv_get(&mut self, scope: Scope, key: &str) -> Result<Option<Entry>> {
        let result = self.may_keep(scope).map(|()| self.entry(scope, key));
        self.came(&format!("kv get {}/{key}", name(scope)), result, shown_entry)
    }

    pub(super) fn kv_put(&mut self, scope: Scope, key: &str, value: &[u8]) -> Result<String> {
        let result = self.may_keep(scope).map(|()| self.write(scope, key, value.to_vec()));
        self.came(&format!("kv put {}/{key} {}", name(scope), shown_bytes(value)), result, |_| "written".to_owned())
    }

    pub(super) fn kv_swap(&mut self, scope: Scope, key: &str, expected: Option<&str>, value: &[u8]) -> Result<Swapped> {
        let result = self.may_keep(scope).map(|()| {
            let rival = self.script.rivals.front().is_some_and(|(one, name, _)| *one == scope && name == key);
            if let Some((scope, key, value)) = if rival { self.script.rivals.pop_front() } else { None } {
                self.note(format!("somebody else writes {}/{key} {}", name(scope), shown_bytes(&value)));
                self.write(scope, &key, value);
            }
            let now = self.entry(scope, key);
            if now.as_ref().map(|entry| entry.version.as_str()) == expected {
                Swapped::Done(self.write(scope, key, value.to_vec()))
            } else {
                Swapped::Conflict(now)
            }
        });
        let call = format!("kv swap {}/{key} {}", name(scope), shown_bytes(value));
        self.came(&call, result, |swapped| match swapped {
            Swapped::Done(_) => "written".to_owned(),
            Swapped::Conflict(now) => format!("conflict with {}", shown_entry(now)),
        })
    }

    pub(super) fn kv_delete(&mut self, scope: Scope, key: &str) -> Result<bool> {
        let place = (name(scope), key.to_owned());
        let result = self.may_keep(scope).map(|()| self.values.remove(&place).is_some());
        self.came(&format!("kv delete {}/{key}", name(scope)), result, bool::to_string)
    }

    pub(super) fn kv_keys(
        &mut self,
        scope: Scope,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>> {
        let result = self.may_keep(scope).map(|()| {
            let keys = self.values.keys().filter(|(place, key)| *place == name(scope) && key.starts_with(prefix));
            let keys = keys.map(|(_, key)| key).filter(|key| after.is_none_or(|after| key.as_str() > after));
            keys.take(limit as usize).cloned().collect::<Vec<_>>()
        });
        self.came(&format!("kv keys {}/{prefix}*", name(scope)), result, |keys| keys.join(" "))
    }

    /// Writes a value and gives its version.
    pub(super) fn write(&mut self, scope: Scope, key: &str, value: Vec<u8>) -> String {
        self.writes += 1;
        let version = format!("version-{}", self.writes);
        self.values.insert((name(scope), key.to_owned()), (value, version.clone()));
        version
    }

    fn entry(&self, scope: Scope, key: &str) -> Option<Entry> {
        let (value, version) = self.values.get(&(name(scope), key.to_owned()))?.clone();
        Some(Entry { value, version })
    }

    fn may_keep(&self, scope: Scope) -> Result<()> {
        let code = format!("kv.{}", name(scope));
        if !self.granted("kv", |asked| asked == name(scope)) {
            return Err(Self::denied(&code, format!("The card does not request kv {}.", name(scope))));
        }
        if scope == Scope::Caller && self.script.caller.is_empty() {
            return Err(Self::denied(&code, "An anonymous caller has no values.".to_owned()));
        }
        Ok(())
    }
}

/// The name of a scope, as in the WIT.
pub(super) fn name(scope: Scope) -> &'static str {
    match scope {
        Scope::Agent => "agent",
        Scope::Context => "context",
        Scope::Caller => "caller",
        Scope::Tenant => "tenant",
    }
}

fn shown_entry(entry: &Option<Entry>) -> String {
    entry.as_ref().map_or_else(|| "none".to_owned(), |entry| shown_bytes(&entry.value))
}

/// Bytes for people: most are JSON or text.
pub(super) fn shown_bytes(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| format!("[{} bytes]", bytes.len()), str::to_owned)
}
