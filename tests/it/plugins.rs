//! The compiled agents: those in `plugins/`, and fixtures that are one file each in `tests/it/agents/`.
//!
//! Built by `kennel new` and `kennel build`, as any author does, by the first test process that finds them missing or older than
//! their sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// What agents are made from, in the workspace.
const SOURCES: &[&str] = &[
    "plugins",
    "sdk",
    "wit",
    "tests/it/agents",
    "host/src/cli/template",
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
];

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("host/ is in the workspace")
}

/// The names of all plugins: the folders in `plugins/`.
pub(crate) fn names() -> Vec<String> {
    let entries = list(&workspace().join("plugins")).into_iter().filter(|path| path.join("Cargo.toml").is_file());
    entries.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
}

/// The fixtures: name and source.
fn fixtures() -> Vec<(String, PathBuf)> {
    let sources = list(&workspace().join("tests/it/agents"));
    sources.into_iter().filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path))).collect()
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// The file of a compiled agent.
pub(crate) fn file(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let file = BUILT.get_or_init(build).join(format!("{name}.wasm"));
    assert!(file.is_file(), "no agent named {name}: there are {:?}", all());
    file
}

/// Copies a compiled agent with its age, so that the host does not wait whether more of it comes.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).expect("the agent is copied");
    let age = std::fs::metadata(from).and_then(|metadata| metadata.modified()).expect("its age");
    let copy = std::fs::File::options().write(true).open(to).expect("the copy");
    copy.set_modified(age).expect("the age is kept");
}

fn all() -> Vec<String> {
    names().into_iter().chain(fixtures().into_iter().map(|(name, _)| name)).collect()
}

fn build() -> PathBuf {
    let target = workspace().join("target").join("agents");
    let (out, stamp) = (target.join("tests"), target.join("tests.stamp"));
    std::fs::create_dir_all(&target).expect("the target folder");
    // Held until the end of this function: other test processes wait here and then find the stamp.
    let lock = std::fs::File::create(target.join("tests.lock")).expect("the lock file");
    lock.lock().expect("the lock");
    if is_newer(&stamp) {
        return out;
    }
    // Written before the build, so that a source that changes meanwhile is newer.
    let next = target.join("tests.stamp.next");
    std::fs::write(&next, all().join("\n")).expect("the stamp");
    let mut crates: Vec<PathBuf> = names().iter().map(|name| workspace().join("plugins").join(name)).collect();
    crates.extend(fixtures().iter().map(|(name, source)| fixture(&target.join("fixtures"), name, source)));
    let mut build = kennel("build");
    build.args(&crates).arg("--out").arg(&out).arg("--target-dir").arg(&target);
    run(&mut build);
    std::fs::rename(&next, &stamp).expect("the stamp");
    out
}

/// A crate as `kennel new` makes it, with the fixture's code.
fn fixture(folder: &Path, name: &str, source: &Path) -> PathBuf {
    let path = folder.join(name);
    match std::fs::remove_dir_all(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", path.display()),
        _ => {}
    }
    std::fs::create_dir_all(folder).expect("the folder of the fixtures");
    run(kennel("new").arg(name).arg("--dir").arg(folder));
    std::fs::copy(source, path.join("src").join("lib.rs")).expect("the code");
    // The versions that the workspace uses are on this machine already.
    std::fs::copy(workspace().join("Cargo.lock"), path.join("Cargo.lock")).expect("the lock file");
    path
}

fn kennel(command: &str) -> Command {
    let mut kennel = Command::new(env!("CARGO_BIN_EXE_kennel"));
    kennel.arg(command).current_dir(workspace());
    kennel
}

fn run(command: &mut Command) {
    let output = command.output().expect("the binary starts");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}:\n{}{}", said(&output.stdout), said(&output.stderr));
}

/// Whether everything that agents are made from is older than the stamp.
fn is_newer(stamp: &Path) -> bool {
    let Ok(built) = std::fs::metadata(stamp).and_then(|metadata| metadata.modified()) else { return false };
    std::fs::read_to_string(stamp).is_ok_and(|names| names == all().join("\n"))
        && SOURCES.iter().all(|source| newest(&workspace().join(source)).is_none_or(|changed| changed < built))
}

fn newest(path: &Path) -> Option<SystemTime> {
    let metadata = std::fs::metadata(path).ok()?;
    if metadata.is_file() {
        return metadata.modified().ok();
    }
    std::fs::read_dir(path).ok()?.filter_map(|entry| newest(&entry.ok()?.path())).max()
}
