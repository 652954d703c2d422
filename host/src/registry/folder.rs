//! The agents folder: `NAME.wasm` is served as NAME for as long as it lies there.
//!
//! Looked over a few times a second instead of watched: it costs a stat per file, and it works on every file system and in every
//! container alike. A file counts once it has stood still for a moment, so half a copy is seldom read, and does no harm if it is:
//! it is refused, the version before serves on, and the rest of the copy makes it new again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use kennel_protocol::AgentId;
use tokio_util::sync::CancellationToken;

use super::{Installed, Registry, RegistryError};

/// How often the folder is looked over.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A file older than this is not being copied any more.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// Looks before the host serves: enough to let a copy that is under way come to its end.
const FIRST_LOOKS: u32 = 6;

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the agents folder {path}: {source}; make it, or name another with --agents")]
pub struct FolderError {
    /// The folder.
    path: PathBuf,
    source: std::io::Error,
}

/// How a file looked: another look means another content.
type Stamp = (u64, Option<SystemTime>);

/// What is known of the files.
pub(crate) struct Folder {
    path: PathBuf,
    registry: Arc<Registry>,
    /// As seen at the last look.
    seen: HashMap<AgentId, Stamp>,
    /// As read, whether it could be loaded or not.
    read: HashMap<AgentId, Stamp>,
    /// Refused for what the operator had not set.
    unset: HashSet<AgentId>,
    /// Files whose names cannot be served, so that each is said once.
    misnamed: HashSet<PathBuf>,
    /// Bytes of compiled components that are kept though nobody needs them.
    compiled_bytes_max: u64,
    /// Whether something was loaded since the compiled components were last looked at.
    untidy: bool,
}

struct Found {
    name: AgentId,
    path: PathBuf,
    stamp: Stamp,
}

impl Folder {
    /// A folder that has not been looked at.
    pub(crate) fn new(path: &Path, registry: Arc<Registry>, compiled_bytes_max: u64) -> Folder {
        let (seen, read, unset, misnamed) = Default::default();
        let path = path.to_owned();
        Folder { path, registry, seen, read, unset, misnamed, compiled_bytes_max, untidy: false }
    }

    /// Loads what lies in the folder before the host begins to serve.
    pub(crate) async fn load(&mut self) -> Result<(), FolderError> {
        for _ in 0..FIRST_LOOKS {
            self.look().await?;
            if self.seen.len() == self.read.len() {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if let Err(error) = self.registry.forget_missing().await {
            tracing::warn!(%error, "the stored agents could not be compared with the folder");
        }
        Ok(())
    }

    /// Follows the folder until the host stops.
    pub(crate) async fn follow(mut self, stopping: CancellationToken) {
        let mut readable = true;
        let mut allowed = self.registry.allowed.watch();
        while stopping.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            if allowed.has_changed().is_ok_and(|changed| changed) {
                allowed.mark_unchanged();
                // Perhaps set by now: read again.
                for name in self.unset.drain() {
                    self.read.remove(&name);
                }
            }
            match self.look().await {
                Ok(()) => readable = true,
                Err(error) if readable => {
                    readable = false;
                    tracing::warn!(%error, "the agents serve on; looking again");
                }
                Err(_) => {}
            }
            if std::mem::take(&mut self.untidy) {
                self.registry.tidy(self.compiled_bytes_max).await;
            }
        }
    }

    /// One look: what is new or changed is loaded, what is gone is taken out.
    async fn look(&mut self) -> Result<(), FolderError> {
        let found = self.list().map_err(|source| FolderError { path: self.path.clone(), source })?;
        let names: HashSet<&AgentId> = found.iter().map(|file| &file.name).collect();
        let gone: Vec<AgentId> = self.seen.keys().filter(|name| !names.contains(name)).cloned().collect();
        for name in gone {
            self.remove(&name).await;
        }
        for file in found {
            let settled = self.seen.insert(file.name.clone(), file.stamp) == Some(file.stamp) || is_old(file.stamp);
            if settled && self.read.get(&file.name) != Some(&file.stamp) {
                self.load_file(file).await;
            }
        }
        Ok(())
    }

    fn list(&mut self) -> std::io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            let Some(stem) = stem(&path) else { continue };
            // A file may go between the listing and this look.
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            if !metadata.is_file() {
                continue;
            }
            match name_of(&stem) {
                Some(name) => found.push(Found { name, stamp: (metadata.len(), metadata.modified().ok()), path }),
                None if self.misnamed.insert(path.clone()) => {
                    tracing::warn!(
                        file = %path.display(),
                        "not served: a file's name is the agent's, of lower-case letters, digits, '-', '_' and '.'"
                    );
                }
                None => {}
            }
        }
        Ok(found)
    }

    async fn load_file(&mut self, file: Found) {
        let bytes = match tokio::fs::read(&file.path).await {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => {
                tracing::warn!(file = %file.path.display(), %error, "an agent's file cannot be read; looking again");
                return;
            }
        };
        // Read while it changed: the stamp is another now, and the next look reads it again.
        self.read.insert(file.name.clone(), file.stamp);
        let name = &file.name;
        match self.registry.install(name, bytes).await {
            Ok(Installed::Same) => {}
            Ok(done) => {
                self.untidy = true;
                tracing::info!(agent.id = %name, ?done, "an agent is served");
            }
            Err(error) => {
                tracing::warn!(agent.id = %name, file = %file.path.display(), "an agent is refused: {error}");
                if let RegistryError::Settings(_) = error {
                    self.unset.insert(name.clone());
                }
                self.keep_former(name).await;
            }
        }
    }

    /// After a restart a refused file must not take away the version that served before.
    async fn keep_former(&self, name: &AgentId) {
        if self.registry.active(name).is_some() {
            return;
        }
        match self.registry.restore(name).await {
            Ok(true) => tracing::info!(agent.id = %name, "the version that was active before serves on"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(agent.id = %name, %error, "the version that was active before cannot be loaded")
            }
        }
    }

    async fn remove(&mut self, name: &AgentId) {
        match self.registry.remove(name).await {
            Ok(()) => {
                self.seen.remove(name);
                self.read.remove(name);
                tracing::info!(agent.id = %name, "an agent was taken out: no new tasks");
            }
            Err(error) => tracing::warn!(agent.id = %name, %error, "an agent could not be taken out; trying again"),
        }
    }
}

/// The name before `.wasm`; none for other files and hidden ones, which copying tools use for half a copy.
fn stem(path: &Path) -> Option<String> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".wasm")?;
    (!stem.is_empty() && !stem.starts_with('.')).then(|| stem.to_owned())
}

/// A name that can stand in a url as it is.
fn name_of(stem: &str) -> Option<AgentId> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if !stem.chars().all(fits) {
        return None;
    }
    stem.parse().ok()
}

fn is_old((_, modified): Stamp) -> bool {
    modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age > SETTLED_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_can_stand_in_a_url_are_served() {
        assert_eq!(stem(Path::new("/agents/echo.wasm")).as_deref(), Some("echo"));
        assert_eq!(stem(Path::new("/agents/.echo.wasm")), None);
        assert_eq!(stem(Path::new("/agents/echo.wasm.part")), None);
        assert!(name_of("my-agent_2").is_some());
        assert!(name_of("My Agent").is_none());
        assert!(name_of("a/b").is_none());
    }
}
