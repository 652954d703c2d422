//! The accept loop: connections with bounds on headers and patience, and an orderly end.
//!
//! Our own loop because slow clients must be cut off before a request exists, and because every connection needs TCP_NODELAY: without
//! it the first event of a stream comes 44 ms late.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::HostLimits;

/// How long connections may take to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(5);
/// After a failed accept (no file descriptor left, for one) the next try waits.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A serving listener.
pub struct Server {
    connections: TaskTracker,
    /// No more connections.
    refusing: CancellationToken,
    /// Connections end after the request they are in.
    ending: CancellationToken,
}

/// Serves a router on a listener until [`Server::stop_accepting`].
pub fn serve(listener: TcpListener, router: Router, limits: &HostLimits) -> Server {
    let server = Server {
        connections: TaskTracker::new(),
        refusing: CancellationToken::new(),
        ending: CancellationToken::new(),
    };
    let accept = Accept {
        listener,
        router,
        builder: Arc::new(builder(limits)),
        places: Arc::new(Semaphore::new(limits.connections_max)),
        connections: server.connections.clone(),
        ending: server.ending.clone(),
    };
    let refusing = server.refusing.clone();
    server.connections.spawn(async move {
        refusing.run_until_cancelled(accept.run()).await;
    });
    server
}

impl Server {
    /// Closes the listener. Requests under way go on.
    pub fn stop_accepting(&self) {
        self.refusing.cancel();
    }

    /// Ends idle connections at once and others after their request; waits a little, then leaves the rest.
    pub async fn end(&self) {
        self.refusing.cancel();
        self.ending.cancel();
        self.connections.close();
        if tokio::time::timeout(GOODBYE_MAX, self.connections.wait()).await.is_err() {
            tracing::info!(connections = self.connections.len(), "connections that do not end are left");
        }
    }
}

fn builder(limits: &HostLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time_max)
        .max_headers(limits.headers_max)
        .max_buf_size(limits.header_bytes_max.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(1_000)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX));
    builder
}

struct Accept {
    listener: TcpListener,
    router: Router,
    builder: Arc<Builder<TokioExecutor>>,
    places: Arc<Semaphore>,
    connections: TaskTracker,
    ending: CancellationToken,
}

impl Accept {
    async fn run(self) {
        loop {
            // Without a place nothing is accepted: clients wait in the kernel's queue, which is bounded too.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((socket, _)) => {
                    let connection = self.connection(socket);
                    self.connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn connection(&self, socket: TcpStream) -> impl Future<Output = ()> + Send + use<> {
        let service = TowerToHyperService::new(self.router.clone());
        let (builder, ending) = (Arc::clone(&self.builder), self.ending.clone());
        async move {
            // A socket that does not take the option still works.
            socket.set_nodelay(true).ok();
            let serving = builder.serve_connection(TokioIo::new(socket), service);
            let mut serving = std::pin::pin!(serving);
            tokio::select! {
                _ = serving.as_mut() => return,
                () = ending.cancelled() => serving.as_mut().graceful_shutdown(),
            }
            // How a client's connection ends is its own affair.
            serving.await.ok();
        }
    }
}
