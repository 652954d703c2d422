//! `wait`: for pendings, and for time.

use crate::bindings::kennel::agent::wait::Host;
use crate::call::{Answer, Call};
use crate::convert::take;
use crate::guest::{Failure, Guest};

impl Host for Guest {
    async fn any(&mut self, pendings: Vec<u32>, timeout: Option<f64>) -> Result<Option<u32>, Failure> {
        let timeout = take::timeout(timeout)?;
        let pendings = take::pendings(pendings, timeout, &self.facts.limits)?;
        let count = pendings.len();
        match self.call(Call::WaitAny { pendings, timeout }).await? {
            Answer::Ready(index) if index.is_none_or(|index| take::count(index) < count) => Ok(index),
            other => Err(self.misfit(&other)),
        }
    }

    async fn all(&mut self, pendings: Vec<u32>, timeout: Option<f64>) -> Result<bool, Failure> {
        let timeout = take::timeout(timeout)?;
        let pendings = take::pendings(pendings, timeout, &self.facts.limits)?;
        self.call_flag(Call::WaitAll { pendings, timeout }).await
    }

    async fn sleep(&mut self, time: f64) -> Result<(), Failure> {
        let time = take::duration("time", time)?;
        self.call_done(Call::Sleep { time }).await
    }

    async fn sleep_until(&mut self, time: f64) -> Result<(), Failure> {
        let at = take::time("time", time)?;
        self.call_done(Call::SleepUntil { at }).await
    }
}
