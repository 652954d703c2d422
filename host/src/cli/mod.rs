//! The command line. Everything a command does is in its own file; this one has the table.

mod a2a;
pub mod build;
mod demo;
mod doctor;
pub mod embedded;
pub mod new;
mod serve;
mod tasks;
mod toolchain;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const EXAMPLES: &str = "\
Examples:
  kennel demo                                     see it work: build the example agents, serve them, talk to them
  kennel new my-agent                             begin an agent of your own
  kennel build my-agent --out agents              compile it to agents/my-agent.wasm
  kennel serve --data data --agents agents        serve every agent in a folder
  kennel a2a send http://127.0.0.1:8080/agents/my-agent hello
  kennel tasks ls --data data                     what the host's tasks do, also while it runs";

/// Runs other people's A2A agents safely: each is a WebAssembly component in its own sandbox, and Kennel is the A2A server around it.
#[derive(Parser)]
#[command(name = "kennel", version, before_help = EXAMPLES, before_long_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the agents in a folder
    Serve(serve::ServeArgs),
    /// See it work: build the example agents, serve them and talk to them
    Demo(demo::DemoArgs),
    /// Begin an agent of your own
    New(new::NewArgs),
    /// Compile agents to components
    Build(build::BuildArgs),
    /// Talk to an A2A agent
    A2a(a2a::A2aArgs),
    /// Look a host's database over, from end to end
    Doctor(doctor::DoctorArgs),
    /// Look at a host's tasks, try them again, rehearse them
    Tasks(tasks::TasksArgs),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("kennel").build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::anyhow!("cannot start threads: {error}")),
    };
    runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => ended(serve::run(args).await),
            Command::Demo(args) => ended(demo::run(args).await),
            Command::New(args) => new::run(&args),
            Command::Build(args) => build::run(args).await,
            Command::A2a(args) => a2a::run(args).await,
            Command::Doctor(args) => doctor::run(args).await,
            Command::Tasks(args) => tasks::run(args).await,
        }
    })
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// One line with the whole chain: what was tried and why it did not work.
fn fail(error: &anyhow::Error) -> ExitCode {
    // A closed stderr leaves nobody to tell.
    writeln!(std::io::stderr(), "error: {error:#}").ok();
    ExitCode::FAILURE
}

/// Lines for the operator go to stderr; stdout is for what a command answers.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("KENNEL_LOG").unwrap_or_else(|_| EnvFilter::new("info,guest=info"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    // Set once, at the start of the process.
    tracing_subscriber::registry().with(filter).with(lines).try_init().ok();
}
