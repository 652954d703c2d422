//! Doing something again: how often, and how long to wait between.

use std::time::Duration;

use crate::error::Result;
use crate::task::Task;
use crate::time::{minutes, seconds};

/// How often something is tried, and how long the agent sleeps between: [`Task::retry`](crate::Task::retry) takes it, or just the
/// number of tries. The sleep doubles each time; a random part of up to half of it is left out, so that many agents that failed
/// together do not come back together.
///
/// ```
/// # use kennel::prelude::*;
/// # use kennel::Backoff;
/// # fn prices(task: &Task) -> Result<String> {
/// let backoff = Backoff::new(8).first(milliseconds(200)).most(seconds(30));
/// let prices = task.retry(backoff, || task.get("https://api.example.com/prices").fetch()?.ok())?;
/// # Ok(prices.text())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    tries: u32,
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// This many tries, at least one; a second after the first, and at most a minute.
    pub fn new(tries: u32) -> Self {
        Self { tries: tries.max(1), first: seconds(1), most: minutes(1) }
    }

    /// How long to sleep after the first try.
    #[must_use]
    pub fn first(mut self, time: Duration) -> Self {
        self.first = time;
        self
    }

    /// The longest sleep.
    #[must_use]
    pub fn most(mut self, time: Duration) -> Self {
        self.most = time;
        self
    }

    pub(crate) fn run<T>(self, task: &Task, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        for tried in 1..self.tries {
            match work() {
                Err(error) if error.retryable && !error.is_canceled() => task.sleep(self.sleep(task, tried))?,
                end => return end,
            }
        }
        work()
    }

    /// Between half and the whole of the first time, doubled for each try before.
    fn sleep(self, task: &Task, tried: u32) -> Duration {
        let whole = self.first.saturating_mul(2_u32.saturating_pow(tried - 1)).min(self.most);
        let dice = task.random(1).first().copied().unwrap_or_default();
        whole - (whole / 2).mul_f64(f64::from(dice) / 255.0)
    }
}

impl From<u32> for Backoff {
    fn from(tries: u32) -> Self {
        Self::new(tries)
    }
}
