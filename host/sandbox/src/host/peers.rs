//! `peers`: not carried yet. The list of names is empty, every other function answers `unavailable`.

use super::not_offered;
use crate::bindings::kennel::agent::peers::{Answer, Draft, Host, SendOptions};
use crate::guest::{Failure, Guest};

impl Host for Guest {
    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn card(&mut self, _to: String) -> Result<String, Failure> {
        Err(not_offered("peers").into())
    }

    fn send(&mut self, _to: String, _message: Draft, _options: SendOptions) -> Result<u32, Failure> {
        Err(not_offered("peers").into())
    }

    fn take(&mut self, _sent: u32) -> Result<Answer, Failure> {
        Err(not_offered("peers").into())
    }

    fn cancel(&mut self, _sent: u32, _reason: Option<String>) -> Result<(), Failure> {
        Err(not_offered("peers").into())
    }
}
