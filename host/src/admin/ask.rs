//! The asking side of the operator's socket: one request, one answer.

use std::io;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::{Problem, socket};

/// How long a host may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What came of a question.
pub(crate) enum Asked<T> {
    /// The host did it.
    Done(T),
    /// The host said why not.
    Refused(Problem),
    /// No host listens in this folder.
    Nobody,
}

/// Whether a host listens in a data folder.
pub(crate) async fn is_served(data: &Path) -> bool {
    UnixStream::connect(socket(data)).await.is_ok()
}

/// Asks the host of a data folder to do something.
pub(crate) async fn ask<T: DeserializeOwned>(data: &Path, path: &str, order: &impl Serialize) -> io::Result<Asked<T>> {
    let stream = match UnixStream::connect(socket(data)).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(Asked::Nobody);
        }
        Err(error) => return Err(error),
    };
    match tokio::time::timeout(ANSWER_MAX, exchange(stream, path, order)).await {
        Ok(answer) => answer,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {} s", ANSWER_MAX.as_secs()))),
    }
}

async fn exchange<T: DeserializeOwned>(stream: UnixStream, path: &str, order: &impl Serialize) -> io::Result<Asked<T>> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let request = Request::post(path)
        .header(header::HOST, "kennel")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(serde_json::to_vec(order)?))
        .map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        if status.is_success() {
            return Ok(Asked::Done(serde_json::from_slice(&body)?));
        }
        let problem = serde_json::from_slice(&body);
        problem.map(Asked::Refused).map_err(|_| io::Error::other(format!("the host answered {status}")))
    };
    // The connection does the work while the answer is waited for; it does not end before it.
    tokio::select! {
        answer = answer => answer,
        ended = connection => Err(ended.err().map_or_else(|| io::ErrorKind::UnexpectedEof.into(), io::Error::other)),
    }
}
