//! `wait`: time passes, and pendings become ready once there are interfaces that make some.

use crate::bindings::kennel::agent::wait::Host;
use crate::call::{Call, ErrorKind, GuestError};
use crate::convert::take;
use crate::guest::{Failure, Guest};

impl Host for Guest {
    async fn any(&mut self, pendings: Vec<u32>, timeout: Option<f64>) -> Result<Option<u32>, Failure> {
        self.wait_for_nothing(&pendings, timeout).await?;
        Ok(None)
    }

    async fn all(&mut self, pendings: Vec<u32>, timeout: Option<f64>) -> Result<bool, Failure> {
        self.wait_for_nothing(&pendings, timeout).await?;
        Ok(false)
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

impl Guest {
    /// No interface makes pendings yet, so every number is unknown and an empty list waits for its time-out.
    async fn wait_for_nothing(&mut self, pendings: &[u32], timeout: Option<f64>) -> Result<(), Failure> {
        let timeout = take::timeout(timeout)?;
        if let Some(number) = pendings.first() {
            let message = format!("There is no pending {number}.");
            return Err(GuestError::new(ErrorKind::NotFound, "pending", message).into());
        }
        let Some(time) = timeout else {
            let message = "An empty list without a time-out would wait for ever.";
            return Err(GuestError::new(ErrorKind::Invalid, "pendings", message).into());
        };
        self.call_done(Call::Sleep { time }).await
    }
}
