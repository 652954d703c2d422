//! What an author needs and has not: the SDK, the WIT files and the examples, carried in the binary.
//!
//! Their manifests inherit from this repository's workspace, which is not there elsewhere. So they are written out with the
//! inherited values in place: versions stand in the root manifest only, and an author's own manifest stays small.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};
use toml::{Table, Value};

/// The Rust SDK with its macros.
#[derive(RustEmbed)]
#[folder = "../sdk/rust"]
#[prefix = "sdk/rust/"]
struct Sdk;

/// The contract, from which the SDK makes its bindings.
#[derive(RustEmbed)]
#[folder = "../wit"]
#[prefix = "wit/"]
struct Wit;

#[derive(RustEmbed)]
#[folder = "../plugins/echo"]
#[prefix = "plugins/echo/"]
struct Echo;

#[derive(RustEmbed)]
#[folder = "../plugins/hello"]
#[prefix = "plugins/hello/"]
struct Hello;

#[derive(RustEmbed)]
#[folder = "../plugins/countdown"]
#[prefix = "plugins/countdown/"]
struct Countdown;

#[derive(RustEmbed)]
#[folder = "../plugins/interview"]
#[prefix = "plugins/interview/"]
struct Interview;

const ROOT_MANIFEST: &str = include_str!("../../../Cargo.toml");

/// The versions that the SDK was tested with. Cargo drops from a copy what the copy does not need.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// Holds the sum of the lock file that was written: the lock file itself is cargo's to change.
const LOCK_MARK: &str = ".kennel-lock";

/// The embedded examples.
pub const EXAMPLES: [&str; 4] = ["echo", "hello", "countdown", "interview"];

/// Something could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The file system refused.
    #[error("cannot write {path}")]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A manifest in this binary cannot stand alone; a fault of the build.
    #[error("the embedded manifest {path} cannot be used: {reason}")]
    Manifest {
        /// Its path in the repository.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A file as it is to be written, with its path below the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) content: Cow<'static, [u8]>,
}

/// Writes the SDK, the WIT files and the examples as one workspace, and says where the crates of the examples are. Files that
/// are there already and the same are not touched, so that cargo sees no change.
///
/// # Errors
/// A file cannot be written.
pub fn write_examples(dir: &Path) -> Result<Vec<PathBuf>, EmbeddedError> {
    let mut files = sdk_files()?;
    for file in [embedded::<Echo>(), embedded::<Hello>(), embedded::<Countdown>(), embedded::<Interview>()].concat() {
        files.push(standing_alone(file)?);
    }
    files.push(File { path: "Cargo.toml".to_owned(), content: examples_manifest()?.into_bytes().into() });
    for file in &files {
        write_if_changed(&dir.join(&file.path), &file.content)?;
    }
    write_lock_once(dir)?;
    Ok(EXAMPLES.iter().map(|name| dir.join("plugins").join(name)).collect())
}

/// The SDK and the WIT files, in the places that they need relative to each other.
pub(super) fn sdk_files() -> Result<Vec<File>, EmbeddedError> {
    let files = embedded::<Sdk>().into_iter().filter(|file| !file.path.starts_with("sdk/rust/tests/"));
    files.chain(embedded::<Wit>()).map(standing_alone).collect()
}

/// The lock file for a new crate.
pub(super) fn lock_file() -> File {
    File { path: "Cargo.lock".to_owned(), content: LOCK.as_bytes().into() }
}

/// A value of `[workspace.package]`.
pub(super) fn workspace_value(key: &str) -> Result<String, EmbeddedError> {
    let root = root()?;
    let value = lookup(&root, &["workspace", "package", key]).and_then(Value::as_str).map(str::to_owned);
    value.ok_or_else(|| broken("Cargo.toml", format!("no workspace.package.{key}")))
}

/// The `[profile.plugin]` of this repository as text.
pub(super) fn plugin_profile() -> Result<String, EmbeddedError> {
    let root = root()?;
    let profile = lookup(&root, &["profile", "plugin"]).ok_or_else(|| broken("Cargo.toml", "no profile.plugin"))?;
    let tables = nested(&["profile", "plugin"], profile.clone());
    toml::to_string(&tables).map_err(|error| broken("Cargo.toml", error.to_string()))
}

/// Writes a file with its folders.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), EmbeddedError> {
    let failed = |source| EmbeddedError::Write { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, content).map_err(failed)
}

fn write_if_changed(path: &Path, content: &[u8]) -> Result<(), EmbeddedError> {
    if std::fs::read(path).is_ok_and(|current| current == content) {
        return Ok(());
    }
    write(path, content)
}

/// Writes the lock file unless it was written before: cargo has since dropped from it what the examples do not need.
fn write_lock_once(dir: &Path) -> Result<(), EmbeddedError> {
    let sum = Sha256::digest(LOCK).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (mark, lock) = (dir.join(LOCK_MARK), dir.join("Cargo.lock"));
    if lock.exists() && std::fs::read_to_string(&mark).is_ok_and(|written| written == sum) {
        return Ok(());
    }
    write(&lock, LOCK.as_bytes())?;
    write(&mark, sum.as_bytes())
}

fn embedded<E: RustEmbed>() -> Vec<File> {
    E::iter().filter_map(|path| Some(File { content: E::get(&path)?.data, path: path.into_owned() })).collect()
}

/// A manifest with the inherited values in place; every other file as it is.
fn standing_alone(file: File) -> Result<File, EmbeddedError> {
    let Some(folder) = file.path.strip_suffix("Cargo.toml") else { return Ok(file) };
    let text = String::from_utf8_lossy(&file.content);
    let text = resolve(&text, folder.matches('/').count()).map_err(|reason| broken(&file.path, reason))?;
    Ok(File { content: text.into_bytes().into(), path: file.path })
}

/// The root of the examples. Its members are named, so that a folder left by another version is not one of them.
fn examples_manifest() -> Result<String, EmbeddedError> {
    let members = EXAMPLES.map(|name| format!("\"plugins/{name}\"")).join(", ");
    Ok(format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n{}", plugin_profile()?))
}

fn root() -> Result<Table, EmbeddedError> {
    ROOT_MANIFEST.parse().map_err(|error: toml::de::Error| broken("Cargo.toml", error.message()))
}

fn broken(path: &str, reason: impl Into<String>) -> EmbeddedError {
    EmbeddedError::Manifest { path: path.to_owned(), reason: reason.into() }
}

/// Puts what a member inherits into its manifest. `depth` is how many folders it lies below the root. What only this
/// repository's own checks need is left out.
fn resolve(manifest: &str, depth: usize) -> Result<String, String> {
    let root: Table = ROOT_MANIFEST.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let mut manifest: Table = manifest.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    manifest.remove("dev-dependencies");
    manifest.remove("lints");
    for (section, source) in [("package", "package"), ("dependencies", "dependencies")] {
        let Some(Value::Table(entries)) = manifest.get_mut(section) else { continue };
        for (name, value) in entries.iter_mut().filter(|(_, value)| inherits(value)) {
            let inherited = lookup(&root, &["workspace", source, name]);
            let inherited = inherited.ok_or_else(|| format!("{section}.{name} inherits what is not there"))?;
            *value = if section == "package" { inherited.clone() } else { dependency(value, inherited, depth) };
        }
    }
    toml::to_string(&manifest).map_err(|error| error.to_string())
}

fn inherits(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// A dependency as cargo understands one that inherits: the member's features are added, paths are the root's.
fn dependency(member: &Value, root: &Value, depth: usize) -> Value {
    let mut table = match root {
        Value::Table(table) => table.clone(),
        version => nested(&["version"], version.clone()),
    };
    if let Some(Value::String(path)) = table.get_mut("path") {
        path.insert_str(0, &"../".repeat(depth));
    }
    for (key, value) in member.as_table().into_iter().flatten().filter(|(key, _)| *key != "workspace") {
        match (table.get_mut(key), value) {
            (Some(Value::Array(features)), Value::Array(more)) => features.extend(more.iter().cloned()),
            _ => drop(table.insert(key.clone(), value.clone())),
        }
    }
    Value::Table(table)
}

fn lookup<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (last, folders) = path.split_last()?;
    let step = |table: &'a Table, name: &&str| table.get(*name).and_then(Value::as_table);
    folders.iter().try_fold(table, step)?.get(*last)
}

/// A value under a path of keys.
fn nested(path: &[&str], value: Value) -> Table {
    let wrapped =
        path.iter().rev().fold(value, |inner, key| Value::Table(Table::from_iter([((*key).to_owned(), inner)])));
    match wrapped {
        Value::Table(table) => table,
        _ => Table::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(files: &'a [File], path: &str) -> &'a str {
        let file = files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("no {path}"));
        std::str::from_utf8(&file.content).unwrap()
    }

    #[test]
    fn manifests_stand_alone_and_their_versions_are_the_roots() {
        let files = sdk_files().unwrap();
        for path in ["sdk/rust/Cargo.toml", "sdk/rust/macros/Cargo.toml"] {
            let text = find(&files, path);
            assert!(!text.contains("workspace") && !text.contains("dev-dependencies"), "{text}");
        }
        let sdk: Table = find(&files, "sdk/rust/Cargo.toml").parse().unwrap();
        let root: Table = ROOT_MANIFEST.parse().unwrap();
        let edition = lookup(&root, &["workspace", "package", "edition"]);
        assert_eq!(lookup(&sdk, &["package", "edition"]), edition);
        let macros = lookup(&sdk, &["dependencies", "kennel-macros", "path"]).unwrap();
        assert_eq!(macros.as_str(), Some("../../sdk/rust/macros"));
    }

    #[test]
    fn the_sdk_comes_whole_and_without_its_tests() {
        let files = sdk_files().unwrap();
        for path in ["sdk/rust/src/lib.rs", "sdk/rust/macros/src/lib.rs", "wit/world.wit"] {
            assert!(!find(&files, path).is_empty());
        }
        assert!(files.iter().all(|file| !file.path.starts_with("sdk/rust/tests/")));
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let embedded = |folder: &str| files.iter().filter(|file| file.path.starts_with(folder)).count();
        for folder in ["wit/", "sdk/rust/src/", "sdk/rust/macros/src/"] {
            let there = count(&workspace.join(folder));
            assert_eq!(embedded(folder), there, "a new file in {folder} needs a new build of this crate");
        }
    }

    /// How many files a folder holds, with those in the folders below it.
    fn count(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
    }

    #[test]
    fn features_of_a_member_are_added_to_those_of_the_root() {
        let member: Value = Value::Table("workspace = true\nfeatures = [\"b\"]\noptional = true".parse().unwrap());
        let root = Value::Table("version = \"1\"\npath = \"x/y\"\nfeatures = [\"a\"]".parse().unwrap());
        let resolved = dependency(&member, &root, 2);
        let expected: Table =
            "version = \"1\"\npath = \"../../x/y\"\nfeatures = [\"a\", \"b\"]\noptional = true".parse().unwrap();
        assert_eq!(resolved, Value::Table(expected));
        assert_eq!(dependency(&member, &Value::String("2".to_owned()), 0).get("version").unwrap().as_str(), Some("2"));
    }

    #[test]
    fn examples_are_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let crates = write_examples(folder.path()).unwrap();
        assert_eq!(crates.len(), EXAMPLES.len());
        let modified = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
        let paths: Vec<PathBuf> = crates.iter().map(|path| path.join("Cargo.toml")).collect();
        let before: Vec<_> = paths.iter().map(|path| modified(path)).collect();
        // What cargo leaves behind stays; what somebody changed is set right.
        std::fs::write(folder.path().join("Cargo.lock"), "pruned").unwrap();
        std::fs::write(folder.path().join("wit/world.wit"), "broken").unwrap();
        write_examples(folder.path()).unwrap();
        assert_eq!(paths.iter().map(|path| modified(path)).collect::<Vec<_>>(), before);
        assert_eq!(std::fs::read_to_string(folder.path().join("Cargo.lock")).unwrap(), "pruned");
        assert_ne!(std::fs::read_to_string(folder.path().join("wit/world.wit")).unwrap(), "broken");
    }

    #[test]
    fn the_examples_share_one_workspace_with_the_profile_for_plugins() {
        let manifest: Table = examples_manifest().unwrap().parse().unwrap();
        assert_eq!(lookup(&manifest, &["workspace", "members"]).unwrap().as_array().unwrap().len(), EXAMPLES.len());
        assert_eq!(lookup(&manifest, &["profile", "plugin", "inherits"]).unwrap().as_str(), Some("release"));
    }
}
