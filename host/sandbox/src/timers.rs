//! Waiting in WASI: `wasi:clocks/monotonic-clock` and `wasi:io/poll`, at the clock of the run.
//!
//! A subscription is a deadline at the guest's own clock, or a response of `wasi:http`. A wait in which nothing is ready is one call:
//! [`Call::WaitAny`] if a response in flight is among what is waited for, else [`Call::Poll`]. The worker records it, and a replay
//! does not wait again. All else is ready: streams are written to and read from without waiting, and there is nothing else to
//! subscribe to, because sockets, name look-up and files are refused.
//!
//! Never here: the real time, and timers that fire. The implementation of wasmtime-wasi has both, so these two interfaces
//! take its place in the linker; handles stay of its type, since streams make them too. Linked by `engine.rs`.

use std::collections::HashMap;
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::HostMonotonicClock;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::bindings::io::poll;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::call::{Answer, Call, ErrorKind, Moment, Pending};
use crate::convert::take;
use crate::guest::{Failure, Guest};
use crate::wasi_http::{Exchange, Readiness};

const NANOS_PER_MICRO: u64 = 1000;

const MICROS_PER_MILLI: u64 = 1000;

/// What the pollables of one instance wait for, by the number of their handle. Bounded by `resources_max`, as handles are.
#[derive(Default)]
pub(crate) struct Awaited(HashMap<u32, Source>);

#[derive(Clone)]
enum Source {
    /// Ready when the guest's clock has reached it.
    Time(Moment),
    /// Ready when the host says so.
    Response(Exchange),
}

impl Awaited {
    /// The pollable waits for the response.
    pub(crate) fn add_response(&mut self, pollable: &Resource<DynPollable>, exchange: Exchange) {
        self.0.insert(pollable.rep(), Source::Response(exchange));
    }

    /// What a pollable waits for: the start of time for what is always ready.
    fn source(&self, pollable: &Resource<DynPollable>) -> Source {
        self.0.get(&pollable.rep()).cloned().unwrap_or(Source::Time(Moment::default()))
    }

    /// Pollables that wait for something and were not dropped yet.
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
        self.wait(&pollables).await
    }
}

impl poll::HostPollable for Guest {
    /// Of a timer it is a reading of the clock like others: it moves the clock by 1 µs, so that a loop until it is ready ends.
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        match self.awaited.source(&pollable) {
            Source::Time(due) => Ok(due <= self.clock.read()),
            Source::Response(exchange) => self.is_ready(&exchange).await,
        }
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.wait(&[pollable]).await.map(drop)
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.awaited.0.remove(&pollable.rep());
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
        self.awaited.0.insert(pollable.rep(), Source::Time(due));
        Ok(pollable)
    }

    /// Waits until one is ready, and returns the indices of all that are.
    async fn wait(&mut self, pollables: &[Resource<DynPollable>]) -> wasmtime::Result<Vec<u32>> {
        // A stream that had no room to write to is ready when there is some. That is no call: a replay has memory too.
        self.account.admit_wanted().await;
        let sources: Vec<Source> = pollables.iter().map(|pollable| self.awaited.source(pollable)).collect();
        let in_flight = in_flight(&sources);
        let now = self.clock.read();
        let ready = ready(&sources, now);
        if !ready.is_empty() {
            return self.look_too(&sources, &in_flight, now).await.map(|found| found.unwrap_or(ready));
        }
        match (&in_flight[..], earliest(&sources)) {
            ([], Some(until)) => self.wait_until(until).await?,
            ([], None) => return Err(wasmtime::Error::new(Failure::Trap(UNFINISHED))),
            (in_flight, until) => self.wait_for_one(in_flight, until, now).await?,
        }
        let ready = self::ready(&sources, self.clock.read());
        if ready.is_empty() {
            // The worker says that the time has come and shows an earlier one.
            return Err(wasmtime::Error::new(self.misfit(&Answer::Done)));
        }
        Ok(ready)
    }

    /// Whether a response can be taken. Asks the worker if only it knows.
    pub(crate) async fn is_ready(&mut self, exchange: &Exchange) -> wasmtime::Result<bool> {
        match exchange.readiness() {
            Readiness::Ready => Ok(true),
            Readiness::Unfinished => Ok(false),
            Readiness::Unknown(pending) => self.wait_any(&[(pending, exchange.clone())], Some(Duration::ZERO)).await,
        }
    }

    /// What is ready when something is already: a guest that polls with a timer of zero wants to know of its responses.
    async fn look_too(
        &mut self,
        sources: &[Source],
        in_flight: &[(Pending, Exchange)],
        now: Moment,
    ) -> wasmtime::Result<Option<Vec<u32>>> {
        if in_flight.is_empty() || !self.wait_any(in_flight, Some(Duration::ZERO)).await? {
            return Ok(None);
        }
        Ok(Some(ready(sources, now)))
    }

    async fn wait_until(&mut self, until: Moment) -> wasmtime::Result<()> {
        self.call_done(Call::Poll { until }).await.map_err(refused)
    }

    async fn wait_for_one(
        &mut self,
        in_flight: &[(Pending, Exchange)],
        until: Option<Moment>,
        now: Moment,
    ) -> wasmtime::Result<()> {
        let timeout = until.map(|until| {
            // Whole milliseconds, as the contract counts time-outs; rounded up, so that it is never too short.
            let micros = until.micros().saturating_sub(now.micros());
            Duration::from_millis(micros.div_ceil(MICROS_PER_MILLI))
        });
        let is_ready = self.wait_any(in_flight, timeout).await?;
        if let (false, Some(until)) = (is_ready, until) {
            // The time is up, and the record of it may be some microseconds before the timer.
            self.clock.reach(until);
        }
        Ok(())
    }

    /// Asks the worker for the first of several responses, and remembers it. False when the time is up.
    async fn wait_any(
        &mut self,
        in_flight: &[(Pending, Exchange)],
        timeout: Option<Duration>,
    ) -> wasmtime::Result<bool> {
        let pendings = in_flight.iter().map(|(pending, _)| *pending).collect();
        let answer = match self.call(Call::WaitAny { pendings, timeout }).await {
            Ok(answer) => answer,
            // WASI has no error for a task that was asked to stop. To take a response still works then, so all are
            // given as ready: taking one waits for it, or tells that it was given up.
            Err(Failure::Guest(error)) if error.kind == ErrorKind::Canceled => {
                in_flight.iter().for_each(|(_, exchange)| exchange.set_ready());
                return Ok(true);
            }
            Err(failure) => return Err(refused(failure)),
        };
        let found = match &answer {
            Answer::Ready(None) if timeout.is_some() => return Ok(false),
            Answer::Ready(Some(index)) => in_flight.get(take::count(*index)),
            _ => None,
        };
        match found {
            Some((_, exchange)) => {
                exchange.set_ready();
                Ok(true)
            }
            None => Err(wasmtime::Error::new(self.misfit(&answer))),
        }
    }
}

/// A wait that would never end.
const UNFINISHED: &str = "wasi:io/poll waits for a response whose request body was not finished";

/// WASI has no error to say that a wait is refused.
fn refused(failure: Failure) -> wasmtime::Error {
    wasmtime::Error::new(failure).context("wasi:io/poll was refused")
}

/// Indices of what is ready, as far as it is known.
fn ready(sources: &[Source], now: Moment) -> Vec<u32> {
    let is_ready = |source: &Source| match source {
        Source::Time(due) => *due <= now,
        Source::Response(exchange) => exchange.readiness() == Readiness::Ready,
    };
    (0..).zip(sources).filter(|(_, source)| is_ready(source)).map(|(index, _)| index).collect()
}

/// Responses of which only the worker knows, each once.
fn in_flight(sources: &[Source]) -> Vec<(Pending, Exchange)> {
    let mut list: Vec<(Pending, Exchange)> = Vec::new();
    for source in sources {
        if let Source::Response(exchange) = source
            && let Readiness::Unknown(pending) = exchange.readiness()
            && !list.iter().any(|(held, _)| *held == pending)
        {
            list.push((pending, exchange.clone()));
        }
    }
    list
}

/// When the first timer is due.
fn earliest(sources: &[Source]) -> Option<Moment> {
    let times = sources.iter().filter_map(|source| match source {
        Source::Time(due) => Some(*due),
        Source::Response(_) => None,
    });
    times.min()
}
