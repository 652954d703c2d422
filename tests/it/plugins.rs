//! The compiled plugins, built once: by the first test process that finds them missing or older than their sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("host/ is in the workspace")
}

/// The names of all plugins: the folders in `plugins/`.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(workspace().join("plugins"))
        .expect("plugins/")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The file of a compiled plugin.
pub(crate) fn file(name: &str) -> PathBuf {
    let file = folder().join(format!("{name}.wasm"));
    assert!(file.is_file(), "no plugin named {name}: there are {:?}", names());
    file
}

/// Copies a compiled plugin with its age, so that the host does not wait whether more of it comes.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).expect("the agent is copied");
    let age = std::fs::metadata(from).and_then(|metadata| metadata.modified()).expect("its age");
    let copy = std::fs::File::options().write(true).open(to).expect("the copy");
    copy.set_modified(age).expect("the age is kept");
}

/// The folder with all compiled plugins.
pub(crate) fn folder() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build)
}

fn build() -> PathBuf {
    let target = workspace().join("target").join("agents");
    std::fs::create_dir_all(&target).expect("the target folder");
    // Held until the end of this function: other test processes wait here and then find the stamp.
    let lock = std::fs::File::create(target.join("tests.lock")).expect("the lock file");
    lock.lock().expect("the lock");
    let stamp = target.join("tests.stamp");
    let built = target.join("wasm32-wasip2").join("plugin");
    if is_newer(&stamp) {
        return built;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace()).args(["build", "--quiet", "--target", "wasm32-wasip2", "--profile", "plugin"]);
    cargo.arg("--target-dir").arg(&target);
    for name in names() {
        cargo.args(["-p", &name]);
    }
    // Written before the build, so that a source that changes meanwhile is newer.
    let next = target.join("tests.stamp.next");
    std::fs::write(&next, names().join("\n")).expect("the stamp");
    install_target();
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "the plugins do not build: {cargo:?}");
    std::fs::rename(&next, &stamp).expect("the stamp");
    built
}

/// rustup adds it by `rust-toolchain.toml`, but not on every machine.
fn install_target() {
    let installed = Command::new("rustup").args(["target", "list", "--installed"]).current_dir(workspace()).output();
    let Ok(installed) = installed else { return };
    if !String::from_utf8_lossy(&installed.stdout).contains("wasm32-wasip2") {
        let added = Command::new("rustup").args(["target", "add", "wasm32-wasip2"]).current_dir(workspace()).status();
        assert!(
            added.is_ok_and(|status| status.success()),
            "the target wasm32-wasip2 cannot be added; try: rustup target add wasm32-wasip2"
        );
    }
}

/// Whether everything that plugins are made from is older than the stamp.
fn is_newer(stamp: &Path) -> bool {
    let Ok(built) = std::fs::metadata(stamp).and_then(|metadata| metadata.modified()) else { return false };
    if std::fs::read_to_string(stamp).ok() != Some(names().join("\n")) {
        return false;
    }
    let sources = ["plugins", "sdk", "wit", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"];
    sources.iter().all(|source| newest(&workspace().join(source)).is_none_or(|changed| changed < built))
}

fn newest(path: &Path) -> Option<SystemTime> {
    let metadata = std::fs::metadata(path).ok()?;
    if metadata.is_file() {
        return metadata.modified().ok();
    }
    std::fs::read_dir(path).ok()?.filter_map(|entry| newest(&entry.ok()?.path())).max()
}
