//! Waiting in WASI: `wasi:clocks/monotonic-clock` and `wasi:io/poll`, at the clock of the run.
//!
//! A subscription is a deadline at the guest's own clock. A wait in which nothing is ready is one [`Call::Poll`]: the worker
//! records it, and a replay does not wait again. All that is not a timer is ready: streams are written to and read from
//! without waiting, and there is nothing else to subscribe to, because sockets, name look-up and files are refused.
//!
//! Never here: the real time, and timers that fire. The implementation of wasmtime-wasi has both, so these two interfaces
//! take its place in the linker; handles stay of its type, since streams make them too. Linked by `engine.rs`.

use std::collections::HashMap;

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::HostMonotonicClock;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::bindings::io::poll;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::call::{Answer, Call, Moment};
use crate::guest::{Failure, Guest};

const NANOS_PER_MICRO: u64 = 1000;

/// When the timers of one instance are due, by the number of their handle. Bounded by `resources_max`, as handles are.
#[derive(Default)]
pub(crate) struct Timers(HashMap<u32, Moment>);

impl Timers {
    /// When a pollable is ready: the start of time for what is not a timer.
    fn due(&self, pollable: &Resource<DynPollable>) -> Moment {
        self.0.get(&pollable.rep()).copied().unwrap_or_default()
    }

    /// Timers that were not dropped yet.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Puts both interfaces into a linker that has those of wasmtime-wasi.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    poll::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    monotonic_clock::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(HostMonotonicClock::now(&self.clock))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(self.clock.resolution())
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe(Moment::from_micros(when.div_ceil(NANOS_PER_MICRO)))
    }

    fn subscribe_duration(&mut self, time: u64) -> wasmtime::Result<Resource<DynPollable>> {
        // Rounded up: a sleep is never too short.
        let micros = time.div_ceil(NANOS_PER_MICRO);
        self.subscribe(Moment::from_micros(self.clock.shown().micros().saturating_add(micros)))
    }
}

impl poll::Host for Guest {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() {
            return Err(wasmtime::Error::new(Failure::Trap("wasi:io/poll.poll was given an empty list")));
        }
        let due: Vec<Moment> = pollables.iter().map(|pollable| self.timers.due(pollable)).collect();
        self.wait(&due).await
    }
}

impl poll::HostPollable for Guest {
    /// A reading of the clock like others: it moves the clock by 1 µs, so that a loop until a timer is ready ends.
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        Ok(self.timers.due(&pollable) <= self.clock.read())
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let due = self.timers.due(&pollable);
        self.wait(&[due]).await.map(drop)
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.timers.0.remove(&pollable.rep());
        poll::HostPollable::drop(self.wasi.view().table, pollable)
    }
}

/// What stands in the table for a timer.
struct Timer;

#[wasmtime_wasi::async_trait]
impl Pollable for Timer {
    /// Only the functions that are replaced here would call it. If one were not, nothing would wait on the host's clock.
    async fn ready(&mut self) {}
}

impl Guest {
    fn subscribe(&mut self, due: Moment) -> wasmtime::Result<Resource<DynPollable>> {
        let table = self.wasi.view().table;
        let timer = table.push(Timer)?;
        let pollable = subscribe(table, timer)?;
        self.timers.0.insert(pollable.rep(), due);
        Ok(pollable)
    }

    /// Waits until one is due, and returns the indices of all that are.
    async fn wait(&mut self, due: &[Moment]) -> wasmtime::Result<Vec<u32>> {
        let ready = passed(due, self.clock.read());
        if !ready.is_empty() {
            return Ok(ready);
        }
        let until = due.iter().copied().min().unwrap_or_default();
        let waited = self.call_done(Call::Poll { until }).await;
        // WASI has no error to say that a wait is refused.
        waited.map_err(|failure| wasmtime::Error::new(failure).context("wasi:io/poll was refused"))?;
        let ready = passed(due, self.clock.read());
        if ready.is_empty() {
            // The worker says that the time has come and shows an earlier one.
            return Err(wasmtime::Error::new(self.misfit(&Answer::Done)));
        }
        Ok(ready)
    }
}

/// Indices of the moments that are not after `now`.
fn passed(due: &[Moment], now: Moment) -> Vec<u32> {
    (0..).zip(due).filter(|(_, due)| **due <= now).map(|(index, _)| index).collect()
}
