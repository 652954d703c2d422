//! Runs agents: WebAssembly components of the world `kennel:agent/plugin`, on wasmtime, with every bound kept.
//!
//! A [`Sandbox`] is made once. [`Sandbox::compile`] makes an [`Agent`] of a component's bytes, [`Agent::run`] starts a run
//! of one task in a fresh instance, [`Running::finish`] tells how it ended. What the guest asks for on its way goes to the
//! caller's [`call::HostCalls`], one [`call::Call`] at a time.
//!
//! ```no_run
//! use kennel_sandbox::{End, Limits, Run, Sandbox, SandboxConfig};
//!
//! # async fn example(bytes: bytes::Bytes, run: Run) -> Result<(), Box<dyn std::error::Error>> {
//! let sandbox = Sandbox::new(SandboxConfig {
//!     guest_threads: 2,
//!     live_instances_max: 1000,
//!     guest_memory_bytes_max: 1 << 30,
//!     cache_dir: "cache".into(),
//!     limits: Limits::default(),
//! })?;
//! let agent = sandbox.compile(bytes).await?;
//! let running = agent.run(run);
//! let control = running.control(); // control.stop() from anywhere ends the run soon.
//! match running.finish().await.end {
//!     End::Outcome(outcome) => println!("{} ended well: {outcome:?}", agent.card().name),
//!     End::Error(error) => println!("it says: {}", error.message),
//!     End::Trap(trap) => println!("{} ({})", trap.public, trap.operator),
//!     End::Stopped | End::Abandoned | End::HostFault => println!("nobody is told"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Never here: storage, HTTP, names of agents, policy. Nobody outside this crate knows wasmtime, and its errors do not
//! leave it. Called by the host's registry (loading) and worker (running).

#![warn(missing_docs)]

pub mod call;

mod sandbox;

mod run;

mod card;
mod limits;
mod load;
mod trap;

mod describe;
mod guest;
mod host;

mod convert;

mod bindings;

mod budget;
mod clock;
mod console;
mod memory;
mod meter;
mod random;
mod ticker;
mod timers;
mod wasi;
mod wasi_http;

mod cache;
mod deserialize;
mod engine;

#[cfg(test)]
mod tests;

pub use card::{AgentDescription, Extension, Hints, Mailbox, Provider, ReplyMode, Request, Setting, Skill};
pub use limits::Limits;
pub use load::LoadError;
pub use run::{Control, End, Finished, Outcome, Run, Running, TaskInfo, Turn};
pub use sandbox::{Agent, Sandbox, SandboxConfig, SandboxError};
pub use trap::{Trap, TrapReason};
