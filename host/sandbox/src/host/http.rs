//! `http`: requests to other services.

use crate::bindings::kennel::agent::http::{Host, Piece, Request, Response, ResponseHead};
use crate::call::{Answer, Call};
use crate::convert::{http, take};
use crate::guest::{Failure, Guest};

impl Host for Guest {
    async fn fetch(&mut self, request: Request) -> Result<Response, Failure> {
        let request = http::request(request, &self.facts.limits)?;
        self.call_response(Call::HttpFetch { request }).await
    }

    async fn start(&mut self, request: Request) -> Result<u32, Failure> {
        let request = http::request(request, &self.facts.limits)?;
        self.call_pending(Call::HttpStart { request }).await
    }

    async fn take(&mut self, exchange: u32) -> Result<Response, Failure> {
        self.call_response(Call::HttpTake { exchange }).await
    }

    async fn open(&mut self, request: Request) -> Result<u32, Failure> {
        let request = http::request(request, &self.facts.limits)?;
        self.call_pending(Call::HttpOpen { request }).await
    }

    async fn head(&mut self, exchange: u32) -> Result<ResponseHead, Failure> {
        match self.call(Call::HttpHead { exchange }).await? {
            Answer::Head(head) => Ok(http::head(*head, &self.facts.limits)?),
            other => Err(self.misfit(&other)),
        }
    }

    async fn read(&mut self, exchange: u32, timeout: Option<f64>) -> Result<Option<Piece>, Failure> {
        let timeout = take::timeout(timeout)?;
        match self.call(Call::HttpRead { exchange, timeout }).await? {
            Answer::Piece(piece) => Ok(piece.map(|piece| http::piece(piece, &self.facts.limits)).transpose()?),
            other => Err(self.misfit(&other)),
        }
    }

    async fn abort(&mut self, exchange: u32) -> Result<(), Failure> {
        self.call_done(Call::HttpAbort { exchange }).await
    }
}

impl Guest {
    async fn call_response(&mut self, call: Call) -> Result<Response, Failure> {
        match self.call(call).await? {
            Answer::Response(response) => Ok(http::response(*response, &self.facts.limits)?),
            other => Err(self.misfit(&other)),
        }
    }
}
