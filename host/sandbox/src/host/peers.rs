//! `peers`: messages to other agents.

use crate::bindings::kennel::agent::peers::{Answer as PeerAnswer, Draft, Host, SendOptions};
use crate::call::{Answer, Call};
use crate::convert::{give, peers, take};
use crate::guest::{Failure, Guest};

impl Host for Guest {
    async fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        match self.call_names(Call::PeerNames).await {
            Ok(names) => Ok(names),
            // The contract has no error here: an agent that is refused knows nobody.
            Err(Failure::Guest(_)) => Ok(Vec::new()),
            Err(failure) => Err(wasmtime::Error::new(failure)),
        }
    }

    async fn card(&mut self, to: String) -> Result<String, Failure> {
        match self.call(Call::PeerCard { to }).await? {
            Answer::Card(card) => Ok(give::json(&card, &self.facts.limits)?),
            other => Err(self.misfit(&other)),
        }
    }

    async fn send(&mut self, to: String, message: Draft, options: SendOptions) -> Result<u32, Failure> {
        let message = take::draft(message, &self.facts.limits)?;
        let options = peers::options(options, &self.facts.limits)?;
        self.call_pending(Call::PeerSend { to, message, options }).await
    }

    async fn take(&mut self, sent: u32) -> Result<PeerAnswer, Failure> {
        match self.call(Call::PeerTake { sent }).await? {
            Answer::Peer(answer) => Ok(peers::answer(answer, &self.facts.limits)?),
            other => Err(self.misfit(&other)),
        }
    }

    async fn cancel(&mut self, sent: u32, reason: Option<String>) -> Result<(), Failure> {
        self.call_done(Call::PeerCancel { sent, reason }).await
    }
}
