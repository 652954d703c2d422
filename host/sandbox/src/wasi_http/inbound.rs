//! The side of a server, which agents do not have here: clients reach them by A2A. The resources are linked, because programs
//! name them, and there is never one.
//!
//! Never here: anything that works. Part of what `mod.rs` links.

use wasmtime::component::Resource;

use super::{Fields, IncomingBody, OutgoingBody};
use crate::bindings::wasi_http::wasi::http::types::{
    ErrorCode, HostIncomingRequest, HostOutgoingResponse, HostResponseOutparam, Method, Scheme,
};
use crate::guest::{Failure, Guest};

/// A resource that cannot be.
pub enum Never {}

fn no_server<T>() -> wasmtime::Result<T> {
    Err(wasmtime::Error::new(Failure::Trap("agents answer no requests of wasi:http")))
}

impl HostIncomingRequest for Guest {
    fn method(&mut self, _: Resource<Never>) -> wasmtime::Result<Method> {
        no_server()
    }

    fn path_with_query(&mut self, _: Resource<Never>) -> wasmtime::Result<Option<String>> {
        no_server()
    }

    fn scheme(&mut self, _: Resource<Never>) -> wasmtime::Result<Option<Scheme>> {
        no_server()
    }

    fn authority(&mut self, _: Resource<Never>) -> wasmtime::Result<Option<String>> {
        no_server()
    }

    fn headers(&mut self, _: Resource<Never>) -> wasmtime::Result<Resource<Fields>> {
        no_server()
    }

    fn consume(&mut self, _: Resource<Never>) -> wasmtime::Result<Result<Resource<IncomingBody>, ()>> {
        no_server()
    }

    fn drop(&mut self, _: Resource<Never>) -> wasmtime::Result<()> {
        no_server()
    }
}

impl HostOutgoingResponse for Guest {
    fn new(&mut self, _: Resource<Fields>) -> wasmtime::Result<Resource<Never>> {
        no_server()
    }

    fn status_code(&mut self, _: Resource<Never>) -> wasmtime::Result<u16> {
        no_server()
    }

    fn set_status_code(&mut self, _: Resource<Never>, _: u16) -> wasmtime::Result<Result<(), ()>> {
        no_server()
    }

    fn headers(&mut self, _: Resource<Never>) -> wasmtime::Result<Resource<Fields>> {
        no_server()
    }

    fn body(&mut self, _: Resource<Never>) -> wasmtime::Result<Result<Resource<OutgoingBody>, ()>> {
        no_server()
    }

    fn drop(&mut self, _: Resource<Never>) -> wasmtime::Result<()> {
        no_server()
    }
}

impl HostResponseOutparam for Guest {
    fn set(&mut self, _: Resource<Never>, _: Result<Resource<Never>, ErrorCode>) -> wasmtime::Result<()> {
        no_server()
    }

    fn drop(&mut self, _: Resource<Never>) -> wasmtime::Result<()> {
        no_server()
    }
}
