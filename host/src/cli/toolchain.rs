//! Makes sure that the Rust on this machine can compile for agents, and says what to do where it cannot.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

/// What agents are compiled for.
pub(super) const TARGET: &str = "wasm32-wasip2";

/// A question to a tool that is on this machine.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// The download of a standard library.
const DOWNLOAD_TIME_MAX: Duration = Duration::from_secs(600);

/// The toolchain cannot compile agents. Its text says why; [`ToolchainError::cure`] what to do.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// The tool is not there at all.
    #[error("{tool} is not installed, or not in PATH")]
    Missing {
        /// Its name.
        tool: &'static str,
    },
    /// The tool is there and does not work in this folder.
    #[error("{tool} does not work in {folder}: {words}")]
    Broken {
        /// Its name.
        tool: &'static str,
        /// Where it was run: a `rust-toolchain.toml` may choose another toolchain there.
        folder: PathBuf,
        /// What it said.
        words: String,
    },
    /// The standard library for agents is missing and could not be added.
    #[error("the Rust toolchain has no standard library for {TARGET}, and it could not be added: {words}")]
    NoTarget {
        /// Why not.
        words: String,
    },
}

impl ToolchainError {
    /// What to do about it.
    #[must_use]
    pub fn cure(&self) -> &'static str {
        match self {
            ToolchainError::Missing { .. } => "install Rust from https://rustup.rs and open a new shell",
            ToolchainError::Broken { .. } => {
                "run rustc --version in that folder, and install the toolchain it asks for"
            }
            ToolchainError::NoTarget { .. } => {
                "with a network connection, run: rustup target add wasm32-wasip2 (without rustup: install the package of \
                 your system that brings Rust's standard library for that target)"
            }
        }
    }
}

/// Adds the standard library for agents to the toolchain that is active in the folder, unless it is there.
pub(super) async fn ensure_target(folder: &Path, report: &mut dyn FnMut(&str)) -> Result<(), ToolchainError> {
    if has_target(folder).await? {
        return Ok(());
    }
    report(&format!("adding the standard library for {TARGET} to the Rust toolchain"));
    let no_target = |words: String| ToolchainError::NoTarget { words };
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]);
    match output(rustup, folder, DOWNLOAD_TIME_MAX).await {
        Ok(output) if output.status.success() => {}
        Ok(output) => return Err(no_target(last_words(&output))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(no_target("there is no rustup on this machine".to_owned()));
        }
        Err(error) => return Err(no_target(error.to_string())),
    }
    // rustup may manage another toolchain than the one that is first in PATH.
    match has_target(folder).await? {
        true => Ok(()),
        false => Err(no_target("rustup added it to another toolchain than the rustc in PATH".to_owned())),
    }
}

/// Runs a tool in the folder and collects what it says.
pub(super) async fn ask(tool: &'static str, args: &[&str], folder: &Path) -> Result<Vec<u8>, ToolchainError> {
    let broken = |words: String| ToolchainError::Broken { tool, folder: folder.to_owned(), words };
    let mut command = Command::new(tool);
    command.args(args);
    match output(command, folder, ANSWER_TIME_MAX).await {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => Err(broken(last_words(&output))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ToolchainError::Missing { tool }),
        Err(error) => Err(broken(error.to_string())),
    }
}

async fn has_target(folder: &Path) -> Result<bool, ToolchainError> {
    let printed = ask("rustc", &["--print", "target-libdir", "--target", TARGET], folder).await?;
    Ok(Path::new(String::from_utf8_lossy(&printed).trim()).is_dir())
}

async fn output(mut command: Command, folder: &Path, time_max: Duration) -> io::Result<Output> {
    command.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(time_max, command.output()).await {
        Ok(output) => output,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer after {} s", time_max.as_secs()))),
    }
}

/// The line on which the tools of Rust say what is wrong; what comes before is progress, and after it advice.
fn last_words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let mut lines = text.lines().map(str::trim);
    let error = lines.clone().find_map(|line| line.strip_prefix("error: "));
    let words = error.or_else(|| lines.rfind(|line| !line.is_empty()));
    words.map_or_else(|| output.status.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_tool_is_told_from_one_that_does_not_work() {
        let missing = ask("kennel-no-such-tool", &[], Path::new("/")).await.unwrap_err();
        assert_eq!(missing.to_string(), "kennel-no-such-tool is not installed, or not in PATH");
        let broken = ask("rustc", &["--no-such-flag"], Path::new("/")).await.unwrap_err();
        assert!(matches!(&broken, ToolchainError::Broken { words, .. } if words.contains("no-such-flag")), "{broken}");
    }

    #[tokio::test]
    async fn a_target_that_is_there_is_not_added() {
        // The workspace names the target in its rust-toolchain.toml.
        let mut reported = Vec::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        ensure_target(folder, &mut |line| reported.push(line.to_owned())).await.unwrap();
        assert_eq!(reported, Vec::<String>::new());
    }
}
