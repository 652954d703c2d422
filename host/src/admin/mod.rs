//! What an operator may ask a running host to do: HTTP/1.1 with JSON on the socket `kennel.sock` in the data folder.
//!
//! Only what has to be written by the one writer is asked for here; who only looks opens the database. Whoever may open the socket is the
//! operator: it has mode 0600. Never here: A2A. Served by `host`, asked by the command line ([`ask`]).

mod ask;

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path as Segments, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use kennel_protocol::{TaskId, TenantId};
use kennel_store::{Store, StoreError, TaskKey};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::worker::authorize::{Authority, ResumeError};
use crate::worker::retry::{self, Bounds, RetryError, Version};

pub(crate) use ask::{Asked, ask, is_served};

/// The name of the socket in the data folder.
const SOCKET: &str = "kennel.sock";
/// A folder that nobody else can enter, in which the socket is made before it gets its mode.
const NURSERY: &str = ".sock";

/// A serving socket.
pub(crate) struct Admin {
    path: PathBuf,
    closing: CancellationToken,
    serving: JoinHandle<()>,
}

/// What the operations work with.
#[derive(Clone)]
struct Desk {
    store: Arc<Store>,
    bounds: Bounds,
    authority: Authority,
}

/// The body of a retry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryOrder {
    /// The component of the new task.
    pub(crate) version: Version,
}

/// An error by RFC 9457.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    /// Cause and cure.
    pub(crate) detail: String,
}

/// Where the socket of a data folder is.
pub(crate) fn socket(data: &Path) -> PathBuf {
    data.join(SOCKET)
}

/// Listens in a data folder. The caller has its lock, so a socket that is there is a former host's.
pub(crate) fn serve(data: &Path, store: Arc<Store>, bounds: Bounds, authority: Authority) -> io::Result<Admin> {
    let path = socket(data);
    let listener = bind(data, &path)?;
    let router = router(Desk { store, bounds, authority });
    let closing = CancellationToken::new();
    let closed = closing.clone();
    #[expect(clippy::disallowed_methods, reason = "awaited in stop")]
    let serving = tokio::spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(closed.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::warn!(%error, "the operator's socket is closed; `kennel tasks retry` and `resume` need a restart");
        }
    });
    Ok(Admin { path, closing, serving })
}

fn router(desk: Desk) -> Router {
    Router::new()
        .route("/tasks/{task}/retry", post(retry_task))
        .route("/tasks/{task}/resume", post(resume_task))
        .fallback(async || {
            let detail = "there are POST /tasks/ID/retry and POST /tasks/ID/resume";
            Problem::new(StatusCode::NOT_FOUND, "No such operation", detail)
        })
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Another method", "operations are asked for with POST")
        })
        .with_state(desk)
}

/// A socket that never had another mode than 0600: it is made where nobody can reach it, and moved.
fn bind(data: &Path, path: &Path) -> io::Result<UnixListener> {
    let nursery = data.join(NURSERY);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&nursery)?;
    let made = nursery.join("s");
    match std::fs::remove_file(&made) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&made)?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&made, path)?;
    std::fs::remove_dir(&nursery)?;
    Ok(listener)
}

impl Admin {
    /// Ends what is asked for now, and takes the socket away.
    pub(crate) async fn stop(self) {
        self.closing.cancel();
        // It ends at the token and holds nothing that could fail.
        self.serving.await.ok();
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the operator's socket was gone already");
        }
    }
}

/// `POST /tasks/{id}/retry`
async fn retry_task(
    State(desk): State<Desk>,
    task: Result<Segments<TaskId>, PathRejection>,
    order: Result<Json<RetryOrder>, JsonRejection>,
) -> Result<Response, Problem> {
    let Segments(task) = task.map_err(|error| Problem::new(error.status(), "No task id", &error.body_text()))?;
    let Json(order) = order.map_err(|error| Problem::new(error.status(), "Not an order", &error.body_text()))?;
    let key = TaskKey { tenant: TenantId::default_tenant(), task };
    let retried = retry::retry(&desk.store, desk.bounds.clone(), &key, order.version).await?;
    tracing::info!(task.id = %retried.task_id, retry_of = %retried.retry_of, "an operator made a task again");
    Ok((StatusCode::CREATED, Json(retried)).into_response())
}

/// `POST /tasks/{id}/resume`
async fn resume_task(
    State(desk): State<Desk>,
    task: Result<Segments<TaskId>, PathRejection>,
) -> Result<Response, Problem> {
    let Segments(task) = task.map_err(|error| Problem::new(error.status(), "No task id", &error.body_text()))?;
    let key = TaskKey { tenant: TenantId::default_tenant(), task };
    let resumed = desk.authority.resume(&desk.store, &key).await?;
    tracing::info!(task.id = %resumed.task_id, credential = resumed.credential, "an operator gave a task what it asked for");
    Ok(Json(resumed).into_response())
}

impl From<ResumeError> for Problem {
    fn from(error: ResumeError) -> Problem {
        let (status, title) = match &error {
            ResumeError::NotFound(_) => (StatusCode::NOT_FOUND, "No such task"),
            ResumeError::NotAsking { .. } => (StatusCode::CONFLICT, "Nothing to give"),
            ResumeError::NoFile | ResumeError::NotGiven { .. } => (StatusCode::CONFLICT, "Not given"),
            ResumeError::Unreadable(_) => (StatusCode::UNPROCESSABLE_ENTITY, "The configuration does not read"),
            ResumeError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "Not read"),
        };
        Problem::new(status, title, &error.to_string())
    }
}

impl From<RetryError> for Problem {
    fn from(error: RetryError) -> Problem {
        let (status, title) = match &error {
            RetryError::NotFound(_) => (StatusCode::NOT_FOUND, "No such task"),
            RetryError::NotOver { .. } | RetryError::Completed(_) | RetryError::Elsewhere { .. } => {
                (StatusCode::CONFLICT, "Nothing to try again")
            }
            RetryError::NotServed(_) => (StatusCode::CONFLICT, "No version to run"),
            RetryError::Newer(_) | RetryError::Unreadable { .. } => (StatusCode::CONFLICT, "It cannot be read"),
            RetryError::Store(StoreError::Busy { .. } | StoreError::Full) => {
                (StatusCode::SERVICE_UNAVAILABLE, "Not written")
            }
            RetryError::Store(_) | RetryError::Random(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Not written"),
        };
        Problem::new(status, title, &error.to_string())
    }
}

impl Problem {
    fn new(status: StatusCode, title: &str, detail: &str) -> Problem {
        let (title, detail) = (title.to_owned(), detail.to_owned());
        Problem { kind: "about:blank".to_owned(), title, status: status.as_u16(), detail }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
    }
}
