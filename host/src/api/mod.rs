//! The wire: HTTP in, service calls out. The only place that knows JSON-RPC, HTTP+JSON, SSE and HTTP. `jsonrpc` and `rest` take a
//! request apart, `call` carries it out, `form` spells the answer.

mod jsonrpc;
mod rest;

mod call;
mod card;
mod form;
mod heartbeat;
mod request;
mod server;
mod sse;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use kennel_protocol::Caller;
use tokio_util::sync::CancellationToken;

use crate::config::{HostLimits, JsonType};
use crate::service::Service;

pub use server::{Server, serve};

/// What every request needs. Handed to each as one pointer: the parts are many, and some count their owners under a lock.
pub struct App {
    pub(crate) service: Service,
    pub(crate) limits: HostLimits,
    /// Base of the urls in cards, without a slash at the end.
    pub(crate) base_url: Arc<str>,
    /// The media type of HTTP+JSON where the client does not choose.
    pub(crate) json_type: JsonType,
    /// Ends streams when the host stops.
    pub(crate) closing: CancellationToken,
}

impl App {
    /// The operations behind their urls.
    pub fn new(
        service: Service,
        limits: HostLimits,
        base_url: &str,
        json_type: JsonType,
        closing: CancellationToken,
    ) -> App {
        App { service, limits, base_url: base_url.trim_end_matches('/').into(), json_type, closing }
    }

    /// Who sent a request. Until keys are configured there is one caller: the anonymous principal.
    fn caller(&self) -> Caller {
        Caller::anonymous()
    }
}

/// The product on one page.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/agents/{agent}", post(jsonrpc::agent).fallback(jsonrpc::wrong_method))
        .route("/agents/{agent}/", post(jsonrpc::agent).fallback(jsonrpc::wrong_method))
        .route("/agents/{agent}/.well-known/agent-card.json", get(card::agent))
        .route("/agents/{agent}/.well-known/agent.json", get(card::agent))
        .route("/agents/{agent}/{*path}", any(rest::agent))
        .route("/", post(jsonrpc::root).fallback(jsonrpc::wrong_method))
        .route("/.well-known/agent-card.json", get(card::root))
        .route("/.well-known/agent.json", get(card::root))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .fallback(rest::root)
        .method_not_allowed_fallback(rest::wrong_method)
        .with_state(Arc::new(app))
}

/// Not ready: a load balancer sends its requests elsewhere.
async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.closing.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::CACHE_CONTROL, "no-store")], "stopping\n").into_response();
    }
    ([(header::CACHE_CONTROL, "no-store")], "ready\n").into_response()
}
