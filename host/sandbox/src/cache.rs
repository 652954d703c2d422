//! Compiled components on disk, so that a restart compiles nothing.
//!
//! Never here: trust in the folder. Every file carries a MAC under a key of this host; one that does not fit, or cannot be
//! read, is as good as none. Called by `load.rs`, off the request path.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use hmac::{Hmac, Mac};
use kennel_protocol::Digest;
use sha2::Sha256;
use wasmtime::component::Component;

use crate::deserialize;
use crate::engine::Profile;

const KEY_FILE: &str = "cache.key";
const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;

/// A folder of compiled components and the key that vouches for them.
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
    /// Makes the names of temporary files unique within the process.
    written: AtomicU64,
}

/// A file of the folder.
struct Kept {
    name: String,
    /// The component; none: half a file that an end of the host has left.
    digest: Option<Digest>,
    bytes: u64,
    written: SystemTime,
}

/// Bytes that this host wrote itself: their MAC was checked.
pub(crate) struct Authentic<'a>(&'a [u8]);

impl Authentic<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0
    }
}

impl Cache {
    /// Opens the folder, and makes it and its key if need be.
    pub(crate) fn open(dir: &Path) -> io::Result<Cache> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let key = read_key(dir).or_else(|_| make_key(dir))?;
        Ok(Cache { dir: dir.to_owned(), key, written: AtomicU64::new(0) })
    }

    /// The compiled component, if there is a sound one.
    pub(crate) fn load(&self, profile: &Profile, digest: &Digest) -> Option<Component> {
        let name = file_name(profile, digest);
        let file = fs::read(self.dir.join(&name)).ok()?;
        let Some(image) = self.check(&name, &file) else {
            tracing::warn!(file = name, "a file of the compile cache is not ours or damaged, compiling again");
            return None;
        };
        deserialize::component(&profile.engine, &image)
            .inspect_err(
                |error| tracing::warn!(file = name, error = %format!("{error:#}"), "cannot load, compiling again"),
            )
            .ok()
    }

    /// Keeps a compiled component. Readers see the whole file or none.
    pub(crate) fn store(&self, profile: &Profile, digest: &Digest, component: &Component) -> io::Result<()> {
        let image = component.serialize().map_err(|error| io::Error::other(format!("{error:#}")))?;
        let name = file_name(profile, digest);
        let count = self.written.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!(".{name}.{}-{count}", std::process::id()));
        let written = write_private(&temporary, &[&self.mac(&name, &image).finalize().into_bytes(), &image])
            .and_then(|()| fs::rename(&temporary, self.dir.join(&name)));
        if written.is_err() {
            // Best effort: what is left has a name that nobody reads.
            let _removed = fs::remove_file(&temporary);
        }
        written
    }

    /// Removes what nobody needs, the oldest first, until the folder has no more than `bytes_max` bytes or only what is needed; returns
    /// how many bytes went. What was compiled for another processor or release is needed with its component: a host may go back to it.
    pub(crate) fn prune(&self, needed: &HashSet<Digest>, bytes_max: u64) -> io::Result<u64> {
        let mut files = self.files()?;
        let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let before = bytes;
        files.retain(|file| file.digest.is_none_or(|digest| !needed.contains(&digest)));
        files.sort_by_key(|file| file.written);
        for file in files {
            if bytes <= bytes_max {
                break;
            }
            fs::remove_file(self.dir.join(&file.name))?;
            bytes -= file.bytes;
            tracing::info!(
                file = file.name,
                bytes = file.bytes,
                "a compiled component that no agent and no task needs was removed"
            );
        }
        Ok(before - bytes)
    }

    /// Bytes of the folder.
    pub(crate) fn bytes(&self) -> io::Result<u64> {
        Ok(self.files()?.iter().map(|file| file.bytes).sum())
    }

    /// All files but the key.
    fn files(&self) -> io::Result<Vec<Kept>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            // One that went meanwhile needs no room; a name that is not UTF-8 is not ours.
            let (Ok(metadata), Ok(name)) = (entry.metadata(), entry.file_name().into_string()) else { continue };
            if name == KEY_FILE || !metadata.is_file() {
                continue;
            }
            let digest = name.split_once('-').and_then(|(digest, _)| digest.parse().ok());
            files.push(Kept { digest, bytes: metadata.len(), written: metadata.modified()?, name });
        }
        Ok(files)
    }

    fn check<'a>(&self, name: &str, file: &'a [u8]) -> Option<Authentic<'a>> {
        let (tag, image) = file.split_at_checked(MAC_BYTES)?;
        self.mac(name, image).verify_slice(tag).ok()?;
        Some(Authentic(image))
    }

    /// The name is part of it: a sound file under another name is another component, and must not load.
    fn mac(&self, name: &str, image: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(image);
        mac
    }
}

/// The component, how it was compiled, and by what: settings, processor features and version of wasmtime.
fn file_name(profile: &Profile, digest: &Digest) -> String {
    let mut hasher = DefaultHasher::new();
    profile.engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{digest}-{}-{:016x}.cwasm", profile.name.as_str(), hasher.finish())
}

/// The key, if it is whole and nobody else can have read it.
fn read_key(dir: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut file = File::open(dir.join(KEY_FILE))?;
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others can read the key"));
    }
    let mut key = [0; KEY_BYTES];
    file.read_exact(&mut key)?;
    Ok(key)
}

/// A new key; all files under the old one are void. Of two hosts that do this at once, the later one wins, and the other
/// compiles again.
fn make_key(dir: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let temporary = dir.join(format!(".{KEY_FILE}.{}", std::process::id()));
    write_private(&temporary, &[&key])?;
    fs::rename(&temporary, dir.join(KEY_FILE))?;
    Ok(key)
}

fn write_private(path: &Path, pieces: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    for piece in pieces {
        file.write_all(piece)?;
    }
    Ok(())
}
