//! The state of one instance on the host's side, and the one way from a host function to [`HostCalls`].
//!
//! Never here: rules about values (`convert.rs`) and the functions themselves (`host/*.rs`). Made by `run.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chacha20::ChaCha20Rng;
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::call::{Answer, Call, GuestError, HostCalls, Moment, Pending, Refusal, Seen};
use crate::clock::Clock;
use crate::console::Console;
use crate::convert::give;
use crate::limits::Limits;
use crate::memory::{Account, Memory};
use crate::meter::Meter;
use crate::random::{Stream, generator};
use crate::run::{Cut, TaskInfo};
use crate::timers::Awaited;
use crate::wasi::Wasi;

/// Why a host function has no value to return.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The guest gets the error.
    #[error("{}", .0.message)]
    Guest(GuestError),
    /// The run is over; the guest gets nothing.
    #[error("the host gave the run up")]
    Abandon,
    /// The guest broke the contract where no error can be returned; the text is for the operator.
    #[error("{0}")]
    Trap(&'static str),
}

impl From<GuestError> for Failure {
    fn from(error: GuestError) -> Failure {
        Failure::Guest(error)
    }
}

/// What stays the same during a run.
pub(crate) struct Facts {
    /// None while a component is described.
    pub(crate) info: Option<TaskInfo>,
    pub(crate) settings: BTreeMap<String, String>,
    /// Grows when the guest is told of a grant.
    pub(crate) credentials: BTreeSet<String>,
    pub(crate) limits: Arc<Limits>,
}

/// What is counted of an instance.
pub(crate) struct Counts {
    pub(crate) meter: Arc<Meter>,
    pub(crate) memory: Memory,
}

/// The data of a wasmtime store.
pub(crate) struct Guest {
    pub(crate) facts: Facts,
    pub(crate) console: Console,
    pub(crate) memory: Memory,
    pub(crate) random: ChaCha20Rng,
    pub(crate) clock: Clock,
    pub(crate) wasi: Wasi,
    pub(crate) awaited: Awaited,
    /// What the host keeps for it counts as its memory.
    pub(crate) account: Account,
    meter: Arc<Meter>,
    calls: Box<dyn HostCalls>,
    live: bool,
    abandoned: Option<Cut>,
}

impl Guest {
    /// State for a fresh instance.
    pub(crate) fn new(facts: Facts, seed: [u8; 32], calls: Box<dyn HostCalls>, counts: Counts) -> Guest {
        let Counts { meter, memory } = counts;
        let clock = Clock::default();
        let console = Console::new(&facts.limits);
        let wasi = Wasi::new(&facts.limits, &clock, &console, seed);
        let random = generator(seed, Stream::Ambient);
        let account = memory.account();
        let mut guest = Guest {
            facts,
            console,
            memory,
            random,
            clock,
            wasi,
            awaited: Awaited::default(),
            account,
            meter,
            calls,
            live: false,
            abandoned: None,
        };
        guest.follow();
        guest
    }

    /// Carries one call out, or says why not. Cancel safe: so are implementations of [`HostCalls::call`].
    pub(crate) async fn call(&mut self, call: Call) -> Result<Answer, Failure> {
        self.pass_on_lines();
        // A repeated call costs a microsecond or two; asking for its processor time would be a quarter of that.
        let cpu = if self.live { self.meter.live_cpu_inside() } else { Duration::ZERO };
        let seen = Seen { shown: self.clock.shown(), cpu };
        let answer = self.calls.call(call, seen).await;
        self.follow();
        answer.map_err(|refusal| match refusal {
            Refusal::Guest(error) => Failure::Guest(error),
            Refusal::Abandon => self.abandon(Cut::Abandoned),
            Refusal::HostFault => self.abandon(Cut::HostFault),
        })
    }

    /// As [`Guest::call`], for calls that answer nothing.
    pub(crate) async fn call_done(&mut self, call: Call) -> Result<(), Failure> {
        match self.call(call).await? {
            Answer::Done => Ok(()),
            other => Err(self.misfit(&other)),
        }
    }

    /// As [`Guest::call`], for calls that name what they began.
    pub(crate) async fn call_pending(&mut self, call: Call) -> Result<Pending, Failure> {
        match self.call(call).await? {
            Answer::Pending(pending) => Ok(pending),
            other => Err(self.misfit(&other)),
        }
    }

    /// As [`Guest::call`], for calls that answer yes or no.
    pub(crate) async fn call_flag(&mut self, call: Call) -> Result<bool, Failure> {
        match self.call(call).await? {
            Answer::Flag(flag) => Ok(flag),
            other => Err(self.misfit(&other)),
        }
    }

    /// As [`Guest::call`], for calls that answer a list of names.
    pub(crate) async fn call_names(&mut self, call: Call) -> Result<Vec<String>, Failure> {
        match self.call(call).await? {
            Answer::Names(names) => Ok(give::names(names, &self.facts.limits)?),
            other => Err(self.misfit(&other)),
        }
    }

    /// An answer that does not belong to its call: a fault of the host, so the work must be tried again elsewhere.
    pub(crate) fn misfit(&mut self, answer: &Answer) -> Failure {
        tracing::error!(?answer, "the host answered a guest's call with an answer of another call");
        self.abandon(Cut::Abandoned)
    }

    /// The time of the last record.
    pub(crate) fn event_time(&self) -> Moment {
        self.calls.now()
    }

    /// Hands waiting lines to the operator's log. Done before calls, so that lines and events stay in order.
    pub(crate) fn pass_on_lines(&mut self) {
        for line in self.console.take() {
            self.calls.log(line);
        }
    }

    /// Why the host gave the run up, if it did.
    pub(crate) fn abandoned(&mut self) -> Option<Cut> {
        self.abandoned.take()
    }

    /// Ends the state: the last lines go out, the calls go back to who started the run.
    pub(crate) fn finish(mut self) -> Box<dyn HostCalls> {
        for line in self.console.finish() {
            self.calls.log(line);
        }
        self.calls
    }

    /// The latest time that the guest was shown.
    pub(crate) fn shown(&self) -> Moment {
        self.clock.shown()
    }

    /// Takes over what a record changes: the time, and whether there is anything left to repeat.
    fn follow(&mut self) {
        self.clock.set(self.calls.now());
        if !self.live && self.calls.is_live() {
            self.live = true;
            self.meter.go_live();
            self.console.unmute();
        }
    }

    fn abandon(&mut self, cut: Cut) -> Failure {
        self.abandoned = Some(cut);
        Failure::Abandon
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.view()
    }
}
