//! One request from its first byte to its response: what was written, whether it was sent, and what came of it.
//!
//! Never here: waiting for several, which is `timers.rs`, and bytes of streams, which are `bodies.rs`. Part of what `mod.rs`
//! links.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynPollable, Pollable, StreamError, StreamResult, subscribe};

use super::{Fields, IncomingBody, OutgoingRequest, RequestOptions};
use crate::bindings::wasi_http::wasi::http::outgoing_handler;
use crate::bindings::wasi_http::wasi::http::types::{ErrorCode, HostFutureIncomingResponse, HostIncomingResponse};
use crate::call::{Answer, Call, ErrorKind, GuestError, HttpRequest, HttpResponse, Pending};
use crate::convert::http::{check, head_bytes};
use crate::guest::{Failure, Guest};
use crate::memory::Share;

/// A request and its response, shared by the resources that the guest has of them.
#[derive(Clone, Default)]
pub(crate) struct Exchange(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    body: Body,
    /// Handed over, and waiting for its body.
    head: Option<HttpRequest>,
    response: Response,
}

#[derive(Default)]
enum Body {
    /// There is none.
    #[default]
    None,
    /// Being written.
    Open(Written),
    /// Complete.
    Finished(Written),
    /// It cannot be sent.
    Failed(ErrorCode),
}

struct Written {
    bytes: Vec<u8>,
    share: Share,
}

#[derive(Clone, Default)]
enum Response {
    /// The request was not sent yet.
    #[default]
    NotSent,
    /// The host works on it.
    InFlight { pending: Pending, is_ready: bool },
    /// It could not be sent, and nobody was told yet.
    Failed(ErrorCode),
    /// Told once. That is all.
    Over,
}

/// Whether the response can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It can, or nothing more will come.
    Ready,
    /// Only the host knows, by this number.
    Unknown(Pending),
    /// The guest has to finish the request first.
    Unfinished,
}

impl Exchange {
    /// One guest runs on one thread at a time, and no lock is held over a wait.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the body, once.
    pub(super) fn open_body(&self, share: Share) -> Result<(), ()> {
        let mut state = self.state();
        match state.body {
            Body::None => {
                state.body = Body::Open(Written { bytes: Vec::new(), share });
                Ok(())
            }
            Body::Open(_) | Body::Finished(_) | Body::Failed(_) => Err(()),
        }
    }

    /// Adds to an open body. A body that is too large is not sent.
    pub(super) fn write(&self, bytes: &[u8], bytes_max: usize) -> StreamResult<()> {
        let mut state = self.state();
        let Body::Open(Written { bytes: written, share }) = &mut state.body else { return Err(StreamError::Closed) };
        if written.len().saturating_add(bytes.len()) <= bytes_max && share.grow(bytes.len()) {
            written.extend_from_slice(bytes);
            return Ok(());
        }
        drop(state);
        let code = ErrorCode::HttpRequestBodySize(None);
        self.fail_body(code.clone());
        Err(StreamError::LastOperationFailed(wasmtime::Error::new(code)))
    }

    /// Whether a body was begun; one that was not has no bytes, whatever the headers promise.
    fn has_body(&self) -> bool {
        !matches!(self.state().body, Body::None)
    }

    pub(super) fn is_body_open(&self) -> bool {
        matches!(self.state().body, Body::Open(_))
    }

    /// Bytes written so far.
    pub(super) fn body_bytes(&self) -> usize {
        match &self.state().body {
            Body::Open(written) | Body::Finished(written) => written.bytes.len(),
            Body::None | Body::Failed(_) => 0,
        }
    }

    /// The body cannot be sent, for the first reason that there is; nor can the request.
    pub(super) fn fail_body(&self, code: ErrorCode) {
        let mut state = self.state();
        if matches!(state.body, Body::Failed(_)) {
            return;
        }
        if state.head.take().is_some() {
            state.response = Response::Failed(code.clone());
        }
        state.body = Body::Failed(code);
    }

    /// The body is complete, or it failed before.
    pub(super) fn finish_body(&self) -> Result<(), ErrorCode> {
        let mut state = self.state();
        match std::mem::take(&mut state.body) {
            Body::Failed(code) => {
                state.body = Body::Failed(code.clone());
                Err(code)
            }
            Body::Open(written) | Body::Finished(written) => {
                state.body = Body::Finished(written);
                Ok(())
            }
            Body::None => Ok(()),
        }
    }

    /// Whether the response can be taken.
    pub(crate) fn readiness(&self) -> Readiness {
        match self.state().response {
            Response::NotSent => Readiness::Unfinished,
            Response::InFlight { pending, is_ready: false } => Readiness::Unknown(pending),
            Response::InFlight { is_ready: true, .. } | Response::Failed(_) | Response::Over => Readiness::Ready,
        }
    }

    /// The host said that it can be taken. It stays so.
    pub(crate) fn set_ready(&self) {
        if let Response::InFlight { is_ready, .. } = &mut self.state().response {
            *is_ready = true;
        }
    }

    /// Takes over the request, whose body may still be written.
    fn hand_over(&self, head: HttpRequest) -> Result<(), ErrorCode> {
        let mut state = self.state();
        if let Body::Failed(code) = &state.body {
            return Err(code.clone());
        }
        state.head = Some(head);
        Ok(())
    }

    /// The request to send, if it was handed over and its body is complete.
    fn complete(&self) -> Option<HttpRequest> {
        let mut state = self.state();
        if matches!(state.body, Body::Open(_)) {
            return None;
        }
        let head = state.head.take()?;
        let body = match std::mem::take(&mut state.body) {
            // Many clients finish an empty body where they mean none; the host adds a length where the method needs one.
            Body::Finished(written) if !written.bytes.is_empty() => Some(Bytes::from(written.bytes)),
            Body::None | Body::Open(_) | Body::Finished(_) | Body::Failed(_) => None,
        };
        Some(HttpRequest { body, ..head })
    }

    fn set(&self, response: Response) {
        self.state().response = response;
    }

    /// What came of it, which is told once.
    fn take_response(&self) -> Response {
        std::mem::replace(&mut self.state().response, Response::Over)
    }
}

/// The handle to a response that is not there yet.
pub struct FutureResponse {
    exchange: Exchange,
}

#[wasmtime_wasi::async_trait]
impl Pollable for FutureResponse {
    /// Only the functions that `timers.rs` replaces would call it.
    async fn ready(&mut self) {}
}

/// A response that is there.
pub struct IncomingResponse {
    status: u16,
    headers: Fields,
    body: Option<(Bytes, Share)>,
}

impl outgoing_handler::Host for Guest {
    async fn handle(
        &mut self,
        request: Resource<OutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<Result<Resource<FutureResponse>, ErrorCode>> {
        let request = self.wasi.table().delete(request)?;
        let options = options.map(|options| self.wasi.table().delete(options)).transpose()?;
        let exchange = request.exchange.clone();
        let head = match request.head(options.unwrap_or_default()) {
            Ok(head) => head,
            Err(code) => return Ok(Err(code)),
        };
        if !exchange.has_body() && request.promises_body() {
            return Ok(Err(ErrorCode::HttpRequestBodySize(Some(0))));
        }
        if let Err(error) = check(&head, &self.facts.limits) {
            return Ok(Err(self.http_error(&error)));
        }
        if let Err(code) = exchange.hand_over(head) {
            return Ok(Err(code));
        }
        self.send(&exchange).await?;
        // What is known at once is told at once.
        if let Some(code) = exchange.failed_at_once() {
            return Ok(Err(code));
        }
        Ok(Ok(self.wasi.table().push(FutureResponse { exchange })?))
    }
}

impl Exchange {
    fn failed_at_once(&self) -> Option<ErrorCode> {
        match &self.state().response {
            Response::Failed(code) => Some(code.clone()),
            Response::NotSent | Response::InFlight { .. } | Response::Over => None,
        }
    }
}

impl Guest {
    /// Sends the request, if it is complete now.
    pub(super) async fn send(&mut self, exchange: &Exchange) -> wasmtime::Result<()> {
        let Some(request) = exchange.complete() else { return Ok(()) };
        match self.call_pending(Call::HttpStart { request }).await {
            Ok(pending) => exchange.set(Response::InFlight { pending, is_ready: false }),
            Err(Failure::Guest(error)) => {
                let code = self.http_error(&error);
                exchange.set(Response::Failed(code));
            }
            Err(failure) => return Err(wasmtime::Error::new(failure)),
        }
        Ok(())
    }

    async fn take_response(&mut self, exchange: Pending) -> wasmtime::Result<Result<IncomingResponse, ErrorCode>> {
        let received = match self.call(Call::HttpTake { exchange }).await {
            Ok(Answer::Response(response)) => self.keep(*response).await,
            Ok(other) => return Err(wasmtime::Error::new(self.misfit(&other))),
            Err(Failure::Guest(error)) => Err(error),
            Err(failure) => return Err(wasmtime::Error::new(failure)),
        };
        Ok(received.map_err(|error| self.http_error(&error)))
    }

    /// Keeps a response until it is read, if there is room for it.
    async fn keep(&mut self, response: HttpResponse) -> Result<IncomingResponse, GuestError> {
        let HttpResponse { head, body } = response;
        if head_bytes(&head).saturating_add(body.len()) > self.facts.limits.call_bytes_max {
            return Err(GuestError::new(ErrorKind::Limit, "call-bytes", "The response is larger than a call may be."));
        }
        let mut share = self.account.share();
        self.account.admit(body.len()).await;
        if !share.grow(body.len()) {
            let message = "There is no memory for the response: read and drop those that came before.";
            return Err(GuestError::new(ErrorKind::Limit, "memory-bytes", message));
        }
        let headers = Fields::received(head.headers);
        Ok(IncomingResponse { status: head.status, headers, body: Some((body, share)) })
    }
}

impl HostFutureIncomingResponse for Guest {
    fn subscribe(&mut self, future: Resource<FutureResponse>) -> wasmtime::Result<Resource<DynPollable>> {
        let table = self.wasi.table();
        let exchange = table.get(&future)?.exchange.clone();
        let pollable = subscribe(table, future)?;
        self.awaited.add_response(&pollable, exchange);
        Ok(pollable)
    }

    async fn get(
        &mut self,
        future: Resource<FutureResponse>,
    ) -> wasmtime::Result<Option<Result<Result<Resource<IncomingResponse>, ErrorCode>, ()>>> {
        let exchange = self.wasi.table().get(&future)?.exchange.clone();
        if !self.is_ready(&exchange).await? {
            return Ok(None);
        }
        let told = match exchange.take_response() {
            Response::InFlight { pending, .. } => self.take_response(pending).await?,
            Response::Failed(code) => Err(code),
            Response::NotSent | Response::Over => return Ok(Some(Err(()))),
        };
        Ok(Some(Ok(match told {
            Ok(response) => Ok(self.wasi.table().push(response)?),
            Err(code) => Err(code),
        })))
    }

    /// A response that nobody will take is not waited for. A request that is not finished will not be sent.
    async fn drop(&mut self, future: Resource<FutureResponse>) -> wasmtime::Result<()> {
        let FutureResponse { exchange } = self.wasi.table().delete(future)?;
        exchange.state().head = None;
        let Response::InFlight { pending, .. } = exchange.take_response() else { return Ok(()) };
        match self.call_done(Call::HttpAbort { exchange: pending }).await {
            Ok(()) | Err(Failure::Guest(_)) => Ok(()),
            Err(failure) => Err(wasmtime::Error::new(failure)),
        }
    }
}

impl HostIncomingResponse for Guest {
    fn status(&mut self, response: Resource<IncomingResponse>) -> wasmtime::Result<u16> {
        Ok(self.wasi.table().get(&response)?.status)
    }

    fn headers(&mut self, response: Resource<IncomingResponse>) -> wasmtime::Result<Resource<Fields>> {
        let headers = self.wasi.table().get(&response)?.headers.clone();
        Ok(self.wasi.table().push(headers)?)
    }

    fn consume(
        &mut self,
        response: Resource<IncomingResponse>,
    ) -> wasmtime::Result<Result<Resource<IncomingBody>, ()>> {
        let table = self.wasi.table();
        match table.get_mut(&response)?.body.take() {
            Some(unread) => Ok(Ok(table.push(IncomingBody { unread: Some(unread) })?)),
            None => Ok(Err(())),
        }
    }

    fn drop(&mut self, response: Resource<IncomingResponse>) -> wasmtime::Result<()> {
        self.wasi.table().delete(response)?;
        Ok(())
    }
}
