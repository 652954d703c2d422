//! `http`: not carried yet. Every function answers `unavailable`, so that agents which can do without go on.

use super::not_offered;
use crate::bindings::kennel::agent::http::{Host, Piece, Request, Response, ResponseHead};
use crate::guest::{Failure, Guest};

impl Host for Guest {
    fn fetch(&mut self, _request: Request) -> Result<Response, Failure> {
        Err(not_offered("http").into())
    }

    fn start(&mut self, _request: Request) -> Result<u32, Failure> {
        Err(not_offered("http").into())
    }

    fn take(&mut self, _exchange: u32) -> Result<Response, Failure> {
        Err(not_offered("http").into())
    }

    fn open(&mut self, _request: Request) -> Result<u32, Failure> {
        Err(not_offered("http").into())
    }

    fn head(&mut self, _exchange: u32) -> Result<ResponseHead, Failure> {
        Err(not_offered("http").into())
    }

    fn read(&mut self, _exchange: u32, _timeout: Option<f64>) -> Result<Option<Piece>, Failure> {
        Err(not_offered("http").into())
    }

    fn abort(&mut self, _exchange: u32) -> Result<(), Failure> {
        Err(not_offered("http").into())
    }
}
