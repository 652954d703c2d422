//! `types`: no functions, only the place where the generator asks what a failure means for the guest.

use crate::bindings::kennel::agent::types::{Error, Host};
use crate::convert::give;
use crate::guest::{Failure, Guest};

impl Host for Guest {
    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<Error> {
        match failure {
            Failure::Guest(error) => Ok(give::error(error)),
            Failure::Abandon | Failure::Trap(_) => Err(wasmtime::Error::new(failure)),
        }
    }
}
