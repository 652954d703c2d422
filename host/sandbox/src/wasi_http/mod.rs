//! `wasi:http` for ordinary clients: a request is kept until its body is finished, then it is one call of the worker, under the
//! rules of `kennel:agent/http`; its response is a second call, and is read from memory.
//!
//! | of the guest | call |
//! |---|---|
//! | `handle`, when there is no body or it is finished; else `outgoing-body.finish` | `HttpStart` |
//! | a poll with a response in flight, `pollable.ready` (see `timers.rs`) | `WaitAny` |
//! | `future-incoming-response.get` of one that is ready | `HttpTake` |
//! | a future dropped before that | `HttpAbort` |
//!
//! All else happens in the state of the instance, so a replay makes the same calls for the same answers. Redirects are the
//! client's. There are no trailers, and no requests to answer.
//!
//! Never here: sending, and whether a request may be sent. Linked by `engine.rs`.

#![allow(unreachable_pub, reason = "the generator names the resources in modules of its own, which are public")]

mod bodies;
mod errors;
mod exchange;
mod fields;
mod inbound;
mod request;

use wasmtime::component::{HasSelf, Linker, Resource};

use crate::bindings::wasi_http::wasi::http::{outgoing_handler, types};
use crate::guest::Guest;

pub use bodies::{FutureTrailers, IncomingBody, OutgoingBody};
pub(crate) use exchange::{Exchange, Readiness};
pub use exchange::{FutureResponse, IncomingResponse};
pub use fields::Fields;
pub use inbound::Never;
pub use request::{OutgoingRequest, RequestOptions};

/// Puts both interfaces into a linker.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    outgoing_handler::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl types::Host for Guest {
    fn http_error_code(&mut self, error: Resource<types::IoError>) -> wasmtime::Result<Option<types::ErrorCode>> {
        Ok(self.wasi.table().get(&error)?.downcast_ref::<types::ErrorCode>().cloned())
    }
}
