//! A process of the built binary, and what the kernel says about it. Part of each bench that needs one.

#![allow(dead_code, reason = "each bench uses what it needs")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server process and where it listens.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: String,
}

/// Memory of a process, in MiB.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    /// All that is resident, and the most that ever was.
    pub(crate) resident: u64,
    pub(crate) peak: u64,
    /// Its own, without the pages of files.
    pub(crate) own: u64,
}

impl Server {
    /// A host on a data folder, with further options.
    pub(crate) fn kennel(data: &Path, agents: &Path, options: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kennel"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .arg("--agents")
            .arg(agents)
            .args(options);
        Server::start(command)
    }

    /// Any program whose first line says where it listens.
    pub(crate) fn start(mut command: Command) -> Server {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the server starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server says where it listens");
        let address = line.trim().strip_prefix("listening http://").expect("an address").to_owned();
        Server { process, address }
    }

    /// The url of an agent.
    pub(crate) fn agent(&self, name: &str) -> String {
        format!("http://{}/agents/{name}", self.address)
    }

    /// User and system time so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// What it holds.
    pub(crate) fn memory(&self) -> Memory {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok());
            kib.unwrap_or_default() >> 10
        };
        Memory { resident: of("VmRSS"), peak: of("VmHWM"), own: of("RssAnon") }
    }

    /// Ends it as kill -9 does.
    pub(crate) fn stop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Agents compiled by the binary under test: names of `plugins/`, or paths of crates.
pub(crate) fn build_agents(folder: &Path, crates: &[&str]) -> PathBuf {
    let out = folder.join("agents");
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let crates = crates.iter().map(|name| plugins.join(name));
    let mut build = Command::new(env!("CARGO_BIN_EXE_kennel"));
    // Kept from run to run: most of it is the SDK.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-agents");
    let built = build.arg("build").args(crates).arg("--out").arg(&out).arg("--target-dir").arg(target).status();
    assert!(built.expect("kennel build starts").success(), "the agents must build");
    out
}
