//! A way to the network that is not the client's own: whoever gives it decides what may leave, by which addresses, and how much comes
//! back. So a host's guard stands in one place, whatever protocol is spoken through it.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

/// A request on its way out.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Upper case.
    pub method: &'static str,
    /// Absolute, `https` or `http`.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// None: no body.
    pub body: Option<Bytes>,
}

/// The whole answer to a request, of any status.
#[derive(Clone, Debug)]
pub struct Received {
    /// 100 to 599.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Bytes,
}

/// What comes of a request. The error is the cause of [`ClientError::Unreachable`](crate::ClientError::Unreachable), where the giver
/// of the way finds it again.
pub type Carried = Pin<Box<dyn Future<Output = Result<Received, Box<dyn Error + Send + Sync>>> + Send>>;

/// Carries requests.
pub trait Way: fmt::Debug + Send + Sync {
    /// Whether anything may be sent to this address; a card is not looked for where it may not be.
    fn admits(&self, url: &str) -> bool;

    /// Sends a request and reads the whole answer. Follows no redirects.
    fn carry(&self, request: Outgoing) -> Carried;
}
