//! `kennel serve`: a host on a data folder and an agents folder, until it is told to stop.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use kennel_egress::EgressConfig;
use kennel_protocol::AgentId;
use kennel_store::{Crash, Pokes};
use tokio::signal::unix::{SignalKind, signal};

use crate::Host;
use crate::config::{self, HostLimits, JsonType, Pace, Settings, TaskLimits, Trial};

const EXAMPLES: &str = "\
Examples:
  kennel serve --data data --agents agents
  kennel serve --listen 0.0.0.0:8080 --public-url https://agents.example.com --data /var/lib/kennel --agents /srv/agents
  kennel serve --listen 127.0.0.1:0 --data data --agents agents --default-agent echo";

/// What `kennel serve` takes.
#[derive(Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 takes a free one, and the first line on stdout names it
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Folder of the database; made if it is not there
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder of the agents: NAME.wasm is served at /agents/NAME
    #[arg(long, value_name = "DIR")]
    agents: PathBuf,
    /// What agents may do outside, their settings and credentials: a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The agent that is also served at the root; without this option the only one is
    #[arg(long, value_name = "NAME")]
    default_agent: Option<AgentId>,
    /// Base of the urls in agent cards, when clients reach this host by another address
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Media type of HTTP+JSON answers where the client does not accept exactly one: application/json for clients of A2A 1.0.0
    #[arg(long, default_value = "application/a2a+json", value_name = "TYPE")]
    json_type: JsonType,
    /// Seconds that running work may go on after SIGTERM
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    drain: u64,
    /// Agents alive at once; more tasks wait for a place
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    instances: u32,
    /// Memory of all agents together beyond 2 MiB for each; one that needs more waits for its turn
    #[arg(long, default_value_t = 1_024, value_name = "MIB")]
    agent_memory: usize,
    /// Memory of one agent; a task keeps the bound that it began under
    #[arg(long, default_value_t = 128, value_name = "MIB")]
    memory_per_agent: usize,
    /// Memory for bodies of agents' requests to services, of all together; one that does not fit waits for its turn
    #[arg(long, default_value_t = 256, value_name = "MIB")]
    http_memory: usize,
    /// Processor time that an agent may use in one go, in milliseconds; what is repeated after a restart does not count
    #[arg(long, default_value_t = 30_000, value_name = "MS")]
    agent_cpu: u64,
    /// Recorded calls of an agent since its last checkpoint, after which its task fails
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    journal_rows: u32,
    /// Milliseconds that a task which waits keeps its instance; then it only costs rows
    #[arg(long, default_value_t = 60_000, value_name = "MS")]
    park_after: u64,
    /// Find everything by polling; for tests
    #[arg(long, hide = true)]
    no_pokes: bool,
    #[command(flatten)]
    trial: TrialArgs,
}

/// Faults on purpose, for tests.
#[derive(Args)]
struct TrialArgs {
    /// End as by kill -9 right after the N-th COMMIT of an agent's work; for tests
    #[arg(long, hide = true, value_name = "N")]
    test_crash_after: Option<u32>,
    /// End as by kill -9 right before the N-th COMMIT of an agent's work; for tests
    #[arg(long, hide = true, value_name = "N", conflicts_with = "test_crash_after")]
    test_crash_before: Option<u32>,
    /// Panic in the store's writer at the N-th COMMIT of an agent's work; for tests
    #[arg(long, hide = true, value_name = "N", conflicts_with_all = ["test_crash_after", "test_crash_before"])]
    test_panic_at: Option<u32>,
    /// Commit each effect of an agent by itself; for tests
    #[arg(long, hide = true)]
    test_commit_each: bool,
    /// Pages that the database may have; for tests
    #[arg(long, hide = true, value_name = "N")]
    test_max_pages: Option<u32>,
    /// Bytes of a part, of tasks that begin now; for tests
    #[arg(long, hide = true, value_name = "BYTES")]
    test_part_bytes: Option<usize>,
    /// End as by kill -9 when an agent logs this text; for tests
    #[arg(long, hide = true, value_name = "TEXT")]
    test_abort_on: Option<String>,
}

impl From<TrialArgs> for Trial {
    fn from(args: TrialArgs) -> Trial {
        let crash = args.test_crash_after.map(Crash::After).or(args.test_crash_before.map(Crash::Before));
        let crash = crash.or(args.test_panic_at.map(Crash::Panic));
        Trial {
            store: kennel_store::Trial { crash, pages_max: args.test_max_pages },
            pace: if args.test_commit_each { Pace::Each } else { Pace::Merged },
            abort_on: args.test_abort_on,
            part_bytes_max: args.test_part_bytes,
        }
    }
}

/// Serves until SIGTERM or SIGINT, then drains.
pub(crate) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let limits = HostLimits {
        drain: Duration::from_secs(args.drain),
        live_instances_max: args.instances,
        guest_memory_bytes_max: args.agent_memory << 20,
        instance_memory_bytes_max: args.memory_per_agent << 20,
        grace: Duration::from_millis(args.park_after),
        agent_cpu_max: Duration::from_millis(args.agent_cpu),
        task: TaskLimits { journal_rows_max: args.journal_rows, ..TaskLimits::default() },
        ..HostLimits::default()
    };
    let configured = args.config.as_deref().map(config::read).transpose()?.unwrap_or_default();
    let settings = Settings {
        listen: args.listen,
        data: args.data,
        agents: args.agents,
        default_agent: args.default_agent,
        public_url: args.public_url,
        json_type: args.json_type,
        limits,
        agent_grants: configured.agents,
        config_file: args.config,
        egress: EgressConfig { bodies_bytes_max: args.http_memory << 20, ..configured.egress },
        pokes: if args.no_pokes { Pokes::Off } else { Pokes::On },
        trial: args.trial.into(),
    };
    // Before anything is served, so that a signal during the start is not lost.
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    // A start may wait a minute for a former host; what is given up here is as good as never begun.
    let host = tokio::select! {
        host = Host::start(settings) => host?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    announce(host.address()).context("cannot write to stdout")?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: no new work; running work may end"),
        _ = interrupt.recv() => tracing::info!("SIGINT: no new work; running work may end"),
        error = host.broken() => return Err(error.into()),
    }
    tokio::select! {
        () = host.stop() => Ok(()),
        _ = interrupt.recv() => anyhow::bail!("interrupted a second time; running work goes on at the next start"),
    }
}

/// The first line on stdout, once requests are answered.
fn announce(address: SocketAddr) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening http://{address}")?;
    stdout.flush()
}
