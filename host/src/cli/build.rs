//! `kennel build`: from crates to components in one folder, where `kennel serve` finds them.
//!
//! Cargo compiles; this file says what, finds what came out, and puts it in place so that a server that watches the folder sees
//! whole components only.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::toolchain::{self, TARGET, ToolchainError};

/// What `kennel build` was told.
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// Folders of agents, each a crate.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Where the components go, one NAME.wasm for each agent.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Where cargo keeps what it has compiled; otherwise where it always does.
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
}

/// A component that is in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The name of the package, and the agent's.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// From the start of cargo until it was in place.
    pub duration: Duration,
}

/// There is no new component. Those that were ready before are in their places.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The toolchain cannot compile agents.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// The path holds no crate of an agent.
    #[error("{path} is not the crate of an agent: {reason}")]
    NotAnAgent {
        /// The path as it was given.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// The code does not compile. Cargo has said why.
    #[error("cargo could not build {names}")]
    Compile {
        /// The packages that were to be built.
        names: String,
    },
    /// The file system refused.
    #[error("cannot write {path}")]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Builds the agents and says with which code to exit.
pub async fn run(args: BuildArgs) -> ExitCode {
    let mut stdout = io::stdout();
    // A line that nobody reads is no reason to stop building.
    let mut report = |line: &str| drop(writeln!(stdout, "{line}"));
    let Err(error) = build_agents(&args.paths, &args.out, args.target_dir.as_deref(), &mut report).await else {
        return ExitCode::SUCCESS;
    };
    drop(explain(&error, &mut io::stderr()));
    ExitCode::FAILURE
}

/// Builds the agents of the given crates and puts each component into `out` as soon as it is ready. Cargo's own output goes
/// to standard error; lines about progress go to `report`. Crates of one workspace are built in one call of cargo.
///
/// # Errors
/// See [`BuildError`].
pub async fn build_agents(
    paths: &[PathBuf],
    out: &Path,
    target_dir: Option<&Path>,
    report: &mut dyn FnMut(&str),
) -> Result<Vec<Built>, BuildError> {
    let workspaces = group(paths).await?;
    let write = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Write { path, source }
    };
    tokio::fs::create_dir_all(out).await.map_err(write(out))?;
    // Cargo runs elsewhere, so its paths must be whole.
    let target_dir = target_dir.map(|path| std::path::absolute(path).map_err(write(path))).transpose()?;
    let mut built = Vec::new();
    for workspace in &workspaces {
        toolchain::ensure_target(&workspace.root, report).await?;
        let cargo = workspace.cargo(target_dir.as_deref(), report)?;
        built.extend(workspace.collect(cargo, out, report).await?);
    }
    Ok(built)
}

/// Crates that are built together.
#[derive(Debug)]
struct Workspace {
    root: PathBuf,
    packages: Vec<Package>,
}

/// What `cargo metadata` says of interest.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    targets: Vec<CargoTarget>,
}

#[derive(Clone, Debug, Deserialize)]
struct CargoTarget {
    crate_types: Vec<String>,
}

/// One line of `cargo build --message-format json`.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    package_id: String,
    target: Option<CargoTarget>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Sorts the crates by workspace, each once, in the order given.
async fn group(paths: &[PathBuf]) -> Result<Vec<Workspace>, BuildError> {
    let mut workspaces: Vec<Workspace> = Vec::new();
    for path in paths {
        let (root, package) = find_package(path).await?;
        let known = workspaces.iter().flat_map(|workspace| &workspace.packages);
        match known.clone().find(|known| known.name == package.name) {
            Some(known) if known.id == package.id => continue,
            Some(known) => {
                let reason = format!("{} has the same name, {}", known.manifest_path.display(), known.name);
                return Err(BuildError::NotAnAgent { path: path.clone(), reason });
            }
            None => {}
        }
        match workspaces.iter_mut().find(|workspace| workspace.root == root) {
            Some(workspace) => workspace.packages.push(package),
            None => workspaces.push(Workspace { root, packages: vec![package] }),
        }
    }
    Ok(workspaces)
}

/// The package at the path, and the root of its workspace.
async fn find_package(path: &Path) -> Result<(PathBuf, Package), BuildError> {
    let not_an_agent = |reason: String| BuildError::NotAnAgent { path: path.to_owned(), reason };
    let folder = if path.ends_with("Cargo.toml") { path.parent().unwrap_or(path) } else { path };
    let manifest = folder.join("Cargo.toml").canonicalize().map_err(|_| not_an_agent("no Cargo.toml".to_owned()))?;
    let folder = manifest.parent().unwrap_or(&manifest);
    let metadata = match toolchain::ask("cargo", &["metadata", "--no-deps", "--format-version", "1"], folder).await {
        Ok(metadata) => metadata,
        Err(ToolchainError::Broken { words, .. }) => {
            // Where cargo itself works, it is the manifest that it does not like.
            toolchain::ask("cargo", &["--version"], folder).await?;
            return Err(not_an_agent(words));
        }
        Err(error) => return Err(error.into()),
    };
    let metadata: Metadata = serde_json::from_slice(&metadata).map_err(|error| not_an_agent(error.to_string()))?;
    let package = metadata.packages.into_iter().find(|package| package.manifest_path == manifest);
    let package =
        package.ok_or_else(|| not_an_agent("it is a workspace: name the folders of its agents".to_owned()))?;
    if !package.targets.iter().any(CargoTarget::is_component) {
        return Err(not_an_agent("its Cargo.toml lacks [lib] with crate-type = [\"cdylib\"]".to_owned()));
    }
    Ok((metadata.workspace_root, package))
}

impl CargoTarget {
    fn is_component(&self) -> bool {
        self.crate_types.iter().any(|kind| kind == "cdylib")
    }
}

impl Workspace {
    fn names(&self) -> String {
        self.packages.iter().map(|package| package.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Starts cargo for all packages.
    fn cargo(&self, target_dir: Option<&Path>, report: &mut dyn FnMut(&str)) -> Result<Child, BuildError> {
        let manifest = self.root.join("Cargo.toml");
        let profile = match std::fs::read_to_string(&manifest) {
            Ok(text) if has_plugin_profile(&text) => "plugin",
            Ok(_) | Err(_) => {
                report(&format!("{} has no profile `plugin`: building with `release`", manifest.display()));
                "release"
            }
        };
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--target", TARGET, "--profile", profile, "--message-format", "json-render-diagnostics"]);
        for package in &self.packages {
            cargo.args(["--package", &package.id]);
        }
        if let Some(target_dir) = target_dir {
            cargo.arg("--target-dir").arg(target_dir);
        }
        let cargo = cargo.current_dir(&self.root).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        cargo.spawn().map_err(|_| ToolchainError::Missing { tool: "cargo" }.into())
    }

    /// Puts each component in place when cargo says that it is ready. There is no deadline: only its author knows how long
    /// a crate may take, and dropping this stops cargo.
    async fn collect(
        &self,
        mut cargo: Child,
        out: &Path,
        report: &mut dyn FnMut(&str),
    ) -> Result<Vec<Built>, BuildError> {
        let start = Instant::now();
        let failed = || BuildError::Compile { names: self.names() };
        let mut lines = BufReader::new(cargo.stdout.take().ok_or_else(failed)?).lines();
        let mut built = Vec::new();
        while let Some(line) = lines.next_line().await.map_err(|_| failed())? {
            let Some((package, component)) = self.component(&line) else { continue };
            let path = out.join(format!("{}.wasm", package.name));
            let bytes =
                place(&component, &path).await.map_err(|source| BuildError::Write { path: path.clone(), source })?;
            built.push(Built { name: package.name.clone(), path, bytes, duration: start.elapsed() });
        }
        let status = cargo.wait().await;
        // Not before cargo is done: until then it draws its progress in the last line of the terminal.
        built.iter().for_each(|built| report(&line_of(built)));
        match status {
            Ok(status) if status.success() && built.len() == self.packages.len() => Ok(built),
            Ok(_) | Err(_) => Err(failed()),
        }
    }

    /// The component that a line of cargo announces, if it is one of ours.
    fn component(&self, line: &str) -> Option<(&Package, PathBuf)> {
        let message: Message = serde_json::from_str(line).ok()?;
        if message.reason != "compiler-artifact" || !message.target?.is_component() {
            return None;
        }
        let package = self.packages.iter().find(|package| package.id == message.package_id)?;
        let is_component = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
        Some((package, message.filenames.into_iter().find(is_component)?))
    }
}

fn has_plugin_profile(manifest: &str) -> bool {
    let manifest: Result<toml::Table, _> = manifest.parse();
    manifest.is_ok_and(|manifest| manifest.get("profile").is_some_and(|profiles| profiles.get("plugin").is_some()))
}

/// Copies beside its place and renames, so that nobody ever sees half a component. The name on the way does not end in
/// `.wasm`: a watcher leaves it alone.
async fn place(component: &Path, path: &Path) -> io::Result<u64> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let on_the_way = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let copied = async {
        let bytes = tokio::fs::copy(component, &on_the_way).await?;
        tokio::fs::rename(&on_the_way, path).await?;
        Ok(bytes)
    };
    let outcome = copied.await;
    if outcome.is_err() {
        // The failure is told already; a file left behind would only add to it.
        drop(tokio::fs::remove_file(&on_the_way).await);
    }
    outcome
}

fn line_of(built: &Built) -> String {
    let seconds = built.duration.as_secs_f64();
    format!("built {} -> {} ({}, {seconds:.1} s)", built.name, built.path.display(), size(built.bytes))
}

/// A size as people say it.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} KB", bytes.div_ceil(1_000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// Writes the error with its cause and, where there is one, its cure.
fn explain(error: &BuildError, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "error: {error}")?;
    match error {
        BuildError::Write { source, .. } => writeln!(to, "cause: {source}"),
        BuildError::Toolchain(error) => writeln!(to, "cure:  {}", error.cure()),
        BuildError::NotAnAgent { .. } => writeln!(to, "cure:  kennel new NAME makes a crate that can be built"),
        BuildError::Compile { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Workspace {
        let target = CargoTarget { crate_types: vec!["cdylib".to_owned()] };
        let package = Package {
            id: "path+file:///a/my-agent#0.1.0".to_owned(),
            name: "my-agent".to_owned(),
            manifest_path: "/a/my-agent/Cargo.toml".into(),
            targets: vec![target],
        };
        Workspace { root: "/a".into(), packages: vec![package] }
    }

    #[test]
    fn a_component_is_known_by_its_package_and_its_kind() {
        let line = |package: &str, kind: &str, file: &str| {
            serde_json::json!({
                "reason": "compiler-artifact", "package_id": package, "target": { "crate_types": [kind] }, "filenames": [file],
            })
            .to_string()
        };
        let workspace = workspace();
        let ours = "path+file:///a/my-agent#0.1.0";
        let found = workspace.component(&line(ours, "cdylib", "/t/my_agent.wasm")).unwrap();
        assert_eq!((found.0.name.as_str(), found.1.to_str()), ("my-agent", Some("/t/my_agent.wasm")));
        for other in [
            line("path+file:///b#0.1.0", "cdylib", "/t/b.wasm"),
            line(ours, "bin", "/t/my_agent.wasm"),
            line(ours, "cdylib", "/t/libmy_agent.so"),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
            "no json".to_owned(),
        ] {
            assert!(workspace.component(&other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_profile_of_plugins_is_used_where_it_is() {
        assert!(has_plugin_profile("[profile.plugin]\ninherits = \"release\""));
        assert!(!has_plugin_profile("[profile.release]\nlto = true"));
        assert!(!has_plugin_profile("[profile"));
    }

    #[test]
    fn the_line_says_what_where_and_how_large() {
        let built = Built {
            name: "echo".to_owned(),
            path: "agents/echo.wasm".into(),
            bytes: 73_021,
            duration: Duration::from_millis(1_234),
        };
        assert_eq!(line_of(&built), "built echo -> agents/echo.wasm (74 KB, 1.2 s)");
        assert_eq!([size(999), size(1_000), size(2_750_000)], ["999 bytes", "1 KB", "2.7 MB"]);
    }

    #[tokio::test]
    async fn a_component_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to.wasm"));
        assert!(place(&from, &to).await.is_err());
        std::fs::write(&from, "new").unwrap();
        std::fs::write(&to, "old").unwrap();
        assert_eq!(place(&from, &to).await.unwrap(), 3);
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn what_is_no_agent_is_refused_before_anything_is_built() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |manifest: Option<&'static str>| {
            let path = folder.path().to_owned();
            async move {
                if let Some(manifest) = manifest {
                    std::fs::create_dir_all(path.join("src")).unwrap();
                    std::fs::write(path.join("src/lib.rs"), "").unwrap();
                    std::fs::write(path.join("Cargo.toml"), manifest).unwrap();
                }
                build_agents(&[path], Path::new("/nowhere"), None, &mut |_| {}).await.unwrap_err().to_string()
            }
        };
        assert!(refused(None).await.ends_with("no Cargo.toml"));
        assert!(refused(Some("[workspace]")).await.contains("it is a workspace"));
        let library = "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
        assert!(refused(Some(library)).await.contains("crate-type = [\"cdylib\"]"));
        assert!(refused(Some("[package")).await.contains("is not the crate of an agent"));
    }
}
