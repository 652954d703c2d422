//! A whole host: its parts made and joined, and taken apart again in the right order.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kennel_sandbox::{Limits, Sandbox, SandboxConfig, SandboxError};
use kennel_store::{Clock, OpenError, Store, StoreOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::api::{self, App, Server};
use crate::broker::Broker;
use crate::config::{Allowed, Settings};
use crate::gate::Gate;
use crate::registry::{Folder, FolderError, Registry};
use crate::service::{self, Service};
use crate::work::SeenLimits;
use crate::worker::authorize::Authority;
use crate::worker::retry::Bounds;
use crate::worker::{Parts, Worker};

/// How long a start waits for a former host that is still draining.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// How often it looks.
const LOCK_LOOK: Duration = Duration::from_millis(200);

/// Why a host does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The agents folder.
    #[error(transparent)]
    Agents(#[from] FolderError),
    /// The store's writer is gone: nothing can be accepted or shown any more.
    #[error(
        "the writer of the database panicked, in the words above; nothing can be written any more, so this host ends. What was answered is \
         on disk: start it again, and running work goes on"
    )]
    Writer,
    /// The address.
    #[error("cannot listen on {address}: {source}; choose another with --listen (port 0 takes a free one)")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// The system's words.
        source: std::io::Error,
    },
}

/// A running host.
pub struct Host {
    address: SocketAddr,
    server: Server,
    worker: Arc<Worker>,
    admin: Option<Admin>,
    store: Arc<Store>,
    closing: CancellationToken,
    following: JoinHandle<()>,
}

impl Host {
    /// Opens the store, loads the agents, starts the worker and listens: in this order, so that the first request finds
    /// everything there.
    pub async fn start(settings: Settings) -> Result<Host, ServeError> {
        let clock = Clock::system();
        let store = Arc::new(open(&settings, &clock).await?);
        let sandbox_limits = sandbox_limits(&settings);
        let seen_limits = SeenLimits::of(&sandbox_limits, &settings.limits.task);
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let sandbox = Sandbox::new(SandboxConfig {
            guest_threads: cores,
            live_instances_max: settings.limits.live_instances_max,
            guest_memory_bytes_max: settings.limits.guest_memory_bytes_max,
            cache_dir: settings.data.join("compiled"),
            limits: sandbox_limits.clone(),
        })?;
        let allowed = Allowed::new(settings.agent_grants);
        let memory_pressure = sandbox.memory_pressure();
        let registry =
            Arc::new(Registry::new(Arc::clone(&store), sandbox, settings.default_agent.clone(), allowed.clone()));
        let mut folder = Folder::new(&settings.agents, Arc::clone(&registry), settings.limits.compiled_bytes_max);
        folder.load().await?;
        let live_max = usize::try_from(settings.limits.live_instances_max).unwrap_or(usize::MAX);
        let broker = Arc::new(Broker::new(live_max));
        let parts = Parts {
            store: Arc::clone(&store),
            broker: Arc::clone(&broker),
            registry: Arc::clone(&registry),
            limits: settings.limits.clone(),
            trial: settings.trial.clone(),
            sandbox_limits,
            memory_pressure,
            allowed: allowed.clone(),
            gate: Arc::new(Gate::new(settings.egress.clone())),
        };
        let worker = Worker::start(parts);
        let (listener, address) = listen(settings.listen).await?;
        let closing = CancellationToken::new();
        let base_url = settings.public_url.unwrap_or_else(|| format!("http://{address}"));
        let service = Service::new(service::Parts {
            store: Arc::clone(&store),
            broker,
            registry,
            limits: settings.limits.clone(),
            seen_limits: seen_limits.clone(),
            allowed: allowed.clone(),
            closing: closing.clone(),
        });
        let app = App::new(service, settings.limits.clone(), &base_url, settings.json_type, closing.clone());
        let server = api::serve(listener, api::router(app), &settings.limits);
        let bounds = Bounds { life_max: settings.limits.task.life_max, seen: seen_limits };
        let authority = Authority { allowed, file: settings.config_file };
        let admin = operators_socket(&settings.data, &store, bounds, authority);
        #[expect(clippy::disallowed_methods, reason = "awaited in stop")]
        let following = tokio::spawn(folder.follow(closing.clone()));
        Ok(Host { address, server, worker, admin, store, closing, following })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when the host has lost its store, with the reason to end.
    pub async fn broken(&self) -> ServeError {
        self.store.broken().await;
        ServeError::Writer
    }

    /// Stops in order: no new connections, running work for the drain time, streams, connections, the store.
    pub async fn stop(self) {
        self.server.stop_accepting();
        if let Some(admin) = self.admin {
            admin.stop().await;
        }
        self.worker.drain().await;
        self.closing.cancel();
        self.server.end().await;
        // It ends at the same token and holds nothing that could fail.
        self.following.await.ok();
        self.store.close().await;
    }
}

/// What one activation may use.
fn sandbox_limits(settings: &Settings) -> Limits {
    let usual = Limits::default();
    Limits {
        cpu_live_max: settings.limits.agent_cpu_max,
        memory_bytes_max: settings.limits.instance_memory_bytes_max,
        part_bytes_max: settings.trial.part_bytes_max.unwrap_or(usual.part_bytes_max),
        ..usual
    }
}

/// The operator's socket; a host that cannot have it (its path is too long, for one) serves without.
fn operators_socket(data: &Path, store: &Arc<Store>, bounds: Bounds, authority: Authority) -> Option<Admin> {
    admin::serve(data, Arc::clone(store), bounds, authority)
        .inspect_err(|error| {
            tracing::warn!(
                socket = %admin::socket(data).display(), %error,
                "no socket for the operator: `kennel tasks retry` works only while this host is stopped, and `resume` not at all"
            );
        })
        .ok()
}

/// Opens the store; beside a host that is still draining it waits, and says so.
async fn open(settings: &Settings, clock: &Clock) -> Result<Store, OpenError> {
    let started = tokio::time::Instant::now();
    let mut said = false;
    loop {
        let options = StoreOptions { pokes: settings.pokes, clock: clock.clone(), trial: settings.trial.store };
        match Store::open(&settings.data, options).await {
            Err(OpenError::Locked { path }) if started.elapsed() < LOCK_WAIT => {
                if !said {
                    said = true;
                    tracing::warn!(lock = %path.display(), "another kennel still has this data folder; waiting until it has ended");
                }
                tokio::time::sleep(LOCK_LOOK).await;
            }
            opened => return opened,
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let fault = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    Ok((listener, address))
}
