//! Values of the calls of `http`. Never here: whether a request may be sent. Used by `mod.rs`.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::form::{base64, base64_if_some};

/// May the host send a request again whose answer it did not record? The WIT enum `after-crash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterCrash {
    /// As the method says.
    ByMethod,
    /// Yes.
    Repeat,
    /// No: the call fails with `unknown-outcome`.
    Report,
}

/// A request to another service. Method, headers and body have their form; the url is read by whoever sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HttpRequest {
    /// Upper case.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Names and values in order.
    pub headers: Vec<(String, String)>,
    /// None sends no body.
    #[serde(with = "base64_if_some")]
    pub body: Option<Bytes>,
    /// A credential that the host puts in.
    pub credential: Option<String>,
    /// For the whole exchange.
    pub timeout: Option<Duration>,
    /// How many to follow.
    pub redirects: Option<u8>,
    /// What becomes of it after a crash.
    pub after_crash: AfterCrash,
}

/// How a response begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HttpHead {
    /// 100 to 599.
    pub status: u16,
    /// As received, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Where it came from, after redirects.
    pub url: String,
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HttpResponse {
    /// How it begins.
    pub head: HttpHead,
    /// Decompressed.
    #[serde(with = "base64")]
    pub body: Bytes,
}

/// What reading from a response gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpPiece {
    /// Some bytes.
    Data(#[serde(with = "base64")] Bytes),
    /// The body is complete.
    End,
    /// The host stopped in the middle of it.
    Interrupted,
}
