//! The sandbox of a host: engines, guest threads, tick and cache, and the agents loaded into it.
//!
//! Never here: names, versions and grants of agents; the registry knows those. Made once by `host::serve`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use kennel_protocol::Digest;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::bindings::PluginPre;
use crate::budget::Budget;
use crate::cache::Cache;
use crate::card::AgentDescription;
use crate::describe::describe;
use crate::engine::{DESCRIBING_INSTANCES_MAX, Profile, ProfileName};
use crate::guest::Guest;
use crate::limits::Limits;
use crate::load::{LoadError, Loaded, load};
use crate::run::{Place, Run, Running, start};
use crate::ticker::Ticker;

/// What a sandbox is made of.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// Threads that run guests. They are apart from those of HTTP and storage, which therefore stay quick.
    pub guest_threads: usize,
    /// Instances that live at once, waiting ones included; more wait for their turn. Linux allows about 10,000 with its
    /// usual `vm.max_map_count`.
    pub live_instances_max: u32,
    /// Bytes of memory that all guests have together, beyond the `memory_base_bytes` of each. One that needs more than its
    /// base reserves its `memory_bytes_max` at once, and waits if less is free; one whose limit is larger than all of this
    /// reserves all. Components that are being described have as much as one of them may use besides.
    pub guest_memory_bytes_max: usize,
    /// Where compiled components are kept. Private to this host: made with mode 0700.
    pub cache_dir: PathBuf,
    /// Bounds for loading, and the stack of all guests.
    pub limits: Limits,
}

/// Why a sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The folder for compiled components cannot be used.
    #[error("cannot use {path} for compiled components")]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Threads for guests or the tick cannot be started.
    #[error("cannot start threads for guests")]
    Threads(#[source] std::io::Error),
    /// The WebAssembly engine refuses this machine or these limits.
    #[error("cannot start the WebAssembly engine: {0}")]
    Engine(String),
}

/// Runs agents. Lives as long as the last [`Agent`] of it and the last run.
pub struct Sandbox {
    guests: Handle,
    /// Taken when the sandbox is dropped, which may happen on one of its own threads.
    runtime: Option<Runtime>,
    running: Place,
    describing: Place,
    /// Ticks until the sandbox is dropped. By then no guest runs: each holds the sandbox.
    _ticker: Ticker,
    /// What loading needs, shared with the thread that does it.
    workshop: Arc<Workshop>,
    /// One permit: compiling takes all the CPU there is, so one at a time must do.
    compiling: Arc<Semaphore>,
}

struct Workshop {
    profiles: Vec<Profile>,
    cache: Cache,
    limits: Limits,
}

/// A loaded component. Cheap to clone.
#[derive(Clone)]
pub struct Agent(Arc<Version>);

struct Version {
    digest: Digest,
    card: AgentDescription,
    plugin: PluginPre<Guest>,
    sandbox: Arc<Sandbox>,
}

impl Sandbox {
    /// Starts engines, guest threads and tick. Blocks for some milliseconds.
    pub fn new(config: SandboxConfig) -> Result<Arc<Sandbox>, SandboxError> {
        let SandboxConfig { guest_threads, live_instances_max, guest_memory_bytes_max, cache_dir, limits } = config;
        let cache = Cache::open(&cache_dir).map_err(|source| SandboxError::Cache { path: cache_dir, source })?;
        let profiles = [ProfileName::Plain, ProfileName::Concurrent];
        let profiles = profiles.into_iter().map(|name| Profile::new(name, &limits, live_instances_max));
        let profiles = profiles.collect::<wasmtime::Result<Vec<Profile>>>();
        let profiles = profiles.map_err(|error| SandboxError::Engine(format!("{error:#}")))?;
        let engines = profiles.iter().map(|profile| profile.engine.clone()).collect();
        let ticker = Ticker::start(engines).map_err(SandboxError::Threads)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(guest_threads.max(1))
            .thread_name("kennel-guest")
            .enable_time()
            .build()
            .map_err(SandboxError::Threads)?;
        let place = |instances_max, bytes_max| Place {
            beat: ticker.beat(),
            instances: Arc::new(Semaphore::new(usize::try_from(instances_max).unwrap_or(Semaphore::MAX_PERMITS))),
            budget: Budget::new(bytes_max),
        };
        Ok(Arc::new(Sandbox {
            guests: runtime.handle().clone(),
            runtime: Some(runtime),
            running: place(live_instances_max, guest_memory_bytes_max),
            describing: place(DESCRIBING_INSTANCES_MAX, limits.memory_bytes_max),
            _ticker: ticker,
            workshop: Arc::new(Workshop { profiles, cache, limits }),
            compiling: Arc::new(Semaphore::new(1)),
        }))
    }

    /// Loads a component: compiles it or takes it from the cache, links it and asks it what it is.
    ///
    /// The work is done on threads of the sandbox. A dropped future does not interrupt a compilation under way; its
    /// result stays in the cache.
    pub async fn compile(self: &Arc<Sandbox>, bytes: Bytes) -> Result<Agent, LoadError> {
        let Loaded { digest, plugin } = self.load(bytes).await?;
        let limits = self.workshop.limits.clone();
        let (place, described, sandbox) = (self.describing.clone(), plugin.clone(), Arc::clone(self));
        let described = self.guests.spawn(async move {
            let card = describe(place, described, limits).await;
            drop(sandbox);
            card
        });
        let card = described.await.map_err(|error| LoadError::Host(error.to_string()))??;
        Ok(Agent(Arc::new(Version { digest, card, plugin, sandbox: Arc::clone(self) })))
    }

    /// Bytes of all compiled components that are kept. Blocks: it looks at each file.
    pub fn compiled_bytes(&self) -> std::io::Result<u64> {
        self.workshop.cache.bytes()
    }

    /// Removes compiled components that are not needed, the oldest first, while there are more than `bytes_max` bytes of all; returns how
    /// many bytes went. One that is asked for later is compiled again. Blocks.
    pub fn prune_compiled(&self, needed: &HashSet<Digest>, bytes_max: u64) -> std::io::Result<u64> {
        self.workshop.cache.prune(needed, bytes_max)
    }

    /// How many guests wait for memory now: that of others which hold a reservation ([`crate::Control::holds_memory`]) and
    /// may do nothing with it but wait for a client. Await `wait_for(|waiting| *waiting > 0)`, and look again after each
    /// instance that was dropped.
    pub fn memory_pressure(&self) -> watch::Receiver<usize> {
        self.running.budget.waiting()
    }

    async fn load(&self, bytes: Bytes) -> Result<Loaded, LoadError> {
        let permit = Arc::clone(&self.compiling).acquire_owned().await;
        let permit = permit.map_err(|error| LoadError::Host(error.to_string()))?;
        let workshop = Arc::clone(&self.workshop);
        let (tx, rx) = oneshot::channel();
        let thread = std::thread::Builder::new().name("kennel-compile".to_owned()).spawn(move || {
            let loaded = load(&workshop.profiles, &workshop.cache, &bytes, &workshop.limits);
            drop(permit);
            // Nobody waits any more if the caller's future was dropped.
            let _unheard = tx.send(loaded);
        });
        thread.map_err(|error| LoadError::Host(error.to_string()))?;
        // The thread sends unless it panics, which a component that breaks the compiler would bring about.
        rx.await.map_err(|_| LoadError::Host("the compiler stopped unexpectedly".to_owned()))?
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The last run may drop the sandbox on a guest thread, where waiting for the threads is impossible.
            runtime.shutdown_background();
        }
    }
}

impl Agent {
    /// The sha-256 of the component's bytes.
    pub fn digest(&self) -> &Digest {
        &self.0.digest
    }

    /// What the agent says of itself.
    pub fn card(&self) -> &AgentDescription {
        &self.0.card
    }

    /// Starts a run in a fresh instance on the guest threads. It begins at once, or as soon as fewer than
    /// `live_instances_max` instances live.
    pub fn run(&self, run: Run) -> Running {
        let Version { plugin, sandbox, .. } = &*self.0;
        // The run holds the agent, so that engine, threads and tick outlive it.
        start(&sandbox.guests, sandbox.running.clone(), plugin.clone(), run, self.clone())
    }
}
