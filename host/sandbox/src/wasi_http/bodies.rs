//! Bodies, whole and in memory: one is written until it is finished, the other is there before it is read. So their streams never
//! wait, but for memory: what is kept counts as the guest's own.
//!
//! Never here: when a request is sent; a finished body is told to `exchange.rs`. Part of what `mod.rs` links.

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, InputStream, OutputStream, Pollable, StreamError, StreamResult,
    subscribe,
};

use super::{Exchange, Fields};
use crate::bindings::wasi_http::wasi::http::types::{
    ErrorCode, HostFutureTrailers, HostIncomingBody, HostOutgoingBody,
};
use crate::guest::Guest;
use crate::memory::{Account, Share};

/// Bytes that a guest is told it may write at once.
const WRITE_BYTES: usize = 64 * 1024;

/// The handle to the body of a request.
pub struct OutgoingBody {
    exchange: Exchange,
    /// As the headers promise.
    length: Option<u64>,
    is_written: bool,
}

impl OutgoingBody {
    pub(super) fn new(exchange: Exchange, length: Option<u64>) -> OutgoingBody {
        OutgoingBody { exchange, length, is_written: false }
    }
}

/// Where a guest writes.
struct BodyWriter {
    exchange: Exchange,
    account: Account,
    bytes_max: usize,
}

#[wasmtime_wasi::async_trait]
impl Pollable for BodyWriter {
    /// When there is memory to write to. Functions of streams that wait come here; `wasi:io/poll` asks the account itself.
    async fn ready(&mut self) {
        self.account.admit(WRITE_BYTES).await;
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for BodyWriter {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if !self.account.ask(bytes.len()) {
            return Err(StreamError::trap("more was written than check-write allowed"));
        }
        self.exchange.write(&bytes, self.bytes_max)
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match (self.exchange.is_body_open(), self.account.ask(WRITE_BYTES)) {
            (false, _) => Err(StreamError::Closed),
            (true, true) => Ok(WRITE_BYTES),
            (true, false) => Ok(0),
        }
    }
}

impl HostOutgoingBody for Guest {
    fn write(&mut self, body: Resource<OutgoingBody>) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        let (account, bytes_max) = (self.account.clone(), self.facts.limits.call_bytes_max);
        let table = self.wasi.table();
        let held = table.get_mut(&body)?;
        if std::mem::replace(&mut held.is_written, true) {
            return Ok(Err(()));
        }
        let writer = BodyWriter { exchange: held.exchange.clone(), account, bytes_max };
        // A child: a body with an open stream cannot be finished.
        Ok(Ok(table.push_child::<DynOutputStream, _>(Box::new(writer), &body)?))
    }

    async fn finish(
        &mut self,
        body: Resource<OutgoingBody>,
        trailers: Option<Resource<Fields>>,
    ) -> wasmtime::Result<Result<(), ErrorCode>> {
        let OutgoingBody { exchange, length, .. } = self.wasi.table().delete(body)?;
        let trailers = trailers.map(|trailers| self.wasi.table().delete(trailers)).transpose()?;
        if trailers.is_some_and(|trailers| !trailers.is_empty()) {
            exchange.fail_body(ErrorCode::InternalError(Some("trailers are not sent".to_owned())));
        }
        let written = u64::try_from(exchange.body_bytes()).unwrap_or(u64::MAX);
        if length.is_some_and(|length| length != written) {
            exchange.fail_body(ErrorCode::HttpRequestBodySize(Some(written)));
        }
        match exchange.finish_body() {
            Ok(()) => self.send(&exchange).await.map(Ok),
            Err(code) => Ok(Err(code)),
        }
    }

    /// A body that is dropped is not a shorter body: the request is not sent.
    fn drop(&mut self, body: Resource<OutgoingBody>) -> wasmtime::Result<()> {
        let body = self.wasi.table().delete(body)?;
        let text = "the body of the request was dropped before it was finished";
        body.exchange.fail_body(ErrorCode::InternalError(Some(text.to_owned())));
        Ok(())
    }
}

/// The body of a response, until somebody reads it.
pub struct IncomingBody {
    pub(super) unread: Option<(Bytes, Share)>,
}

/// Where a guest reads.
struct BodyReader {
    rest: Bytes,
    _share: Share,
}

#[wasmtime_wasi::async_trait]
impl Pollable for BodyReader {
    /// Always: all of it is in memory.
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl InputStream for BodyReader {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.rest.is_empty() {
            return Err(StreamError::Closed);
        }
        Ok(self.rest.split_to(size.min(self.rest.len())))
    }
}

impl HostIncomingBody for Guest {
    fn stream(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<Result<Resource<DynInputStream>, ()>> {
        let table = self.wasi.table();
        let Some((rest, share)) = table.get_mut(&body)?.unread.take() else { return Ok(Err(())) };
        let reader = BodyReader { rest, _share: share };
        Ok(Ok(table.push_child::<DynInputStream, _>(Box::new(reader), &body)?))
    }

    fn finish(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<Resource<FutureTrailers>> {
        let table = self.wasi.table();
        table.delete(body)?;
        Ok(table.push(FutureTrailers { is_taken: false })?)
    }

    fn drop(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<()> {
        self.wasi.table().delete(body)?;
        Ok(())
    }
}

/// What comes behind a body: nothing, at once.
pub struct FutureTrailers {
    is_taken: bool,
}

#[wasmtime_wasi::async_trait]
impl Pollable for FutureTrailers {
    /// Always: there are none.
    async fn ready(&mut self) {}
}

impl HostFutureTrailers for Guest {
    fn subscribe(&mut self, trailers: Resource<FutureTrailers>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.wasi.table(), trailers)
    }

    fn get(
        &mut self,
        trailers: Resource<FutureTrailers>,
    ) -> wasmtime::Result<Option<Result<Result<Option<Resource<Fields>>, ErrorCode>, ()>>> {
        let trailers = self.wasi.table().get_mut(&trailers)?;
        match std::mem::replace(&mut trailers.is_taken, true) {
            false => Ok(Some(Ok(Ok(None)))),
            true => Ok(Some(Err(()))),
        }
    }

    fn drop(&mut self, trailers: Resource<FutureTrailers>) -> wasmtime::Result<()> {
        self.wasi.table().delete(trailers)?;
        Ok(())
    }
}
