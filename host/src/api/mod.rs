//! The wire: HTTP in, service calls out. The only place that knows JSON-RPC, SSE and HTTP.

mod card;
mod error;
mod heartbeat;
mod jsonrpc;
mod server;
mod sse;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use kennel_protocol::Caller;
use tokio_util::sync::CancellationToken;

use crate::config::HostLimits;
use crate::service::Service;

pub use server::{Server, serve};

/// What every request needs.
#[derive(Clone)]
pub struct App {
    pub(crate) service: Service,
    pub(crate) limits: HostLimits,
    /// Base of the urls in cards, without a slash at the end.
    pub(crate) base_url: Arc<str>,
    /// Ends streams when the host stops.
    pub(crate) closing: CancellationToken,
}

impl App {
    /// The operations behind their urls.
    pub fn new(service: Service, limits: HostLimits, base_url: &str, closing: CancellationToken) -> App {
        App { service, limits, base_url: base_url.trim_end_matches('/').into(), closing }
    }

    /// Who sent a request. Until keys are configured there is one caller: the anonymous principal.
    fn caller(&self) -> Caller {
        Caller::anonymous()
    }
}

/// The product on one page.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/agents/{agent}", post(jsonrpc::agent))
        .route("/agents/{agent}/", post(jsonrpc::agent))
        .route("/agents/{agent}/.well-known/agent-card.json", get(card::agent))
        .route("/", post(jsonrpc::root))
        .route("/.well-known/agent-card.json", get(card::root))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::wrong_method)
        .with_state(app)
}

/// Not ready: a load balancer sends its requests elsewhere.
async fn ready(State(app): State<App>) -> Response {
    if app.closing.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::CACHE_CONTROL, "no-store")], "stopping\n").into_response();
    }
    ([(header::CACHE_CONTROL, "no-store")], "ready\n").into_response()
}
