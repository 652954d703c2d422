//! One activation: a fresh instance works on one task until it ends, is stopped, or breaks a limit.
//!
//! Never here: what becomes of the end; the worker decides. Called by the worker through `Agent::run`.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use kennel_protocol::types::{JsonObject, Message};
use kennel_protocol::{AgentId, ContextId, PrincipalId, TaskId, TenantId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use wasmtime::Store;

use crate::bindings::exports::kennel::agent::agent as wit;
use crate::bindings::{Plugin, PluginPre};
use crate::budget::{Budget, Holding, Reservation};
use crate::call::{Draft, GuestError, HostCalls, Moment};
use crate::convert::{give, take};
use crate::describe::Denied;
use crate::guest::{Counts, Facts, Guest};
use crate::limits::Limits;
use crate::memory::Memory;
use crate::meter::{CpuBudget, Halt, Meter};
use crate::ticker::Beat;
use crate::trap::{Evidence, Trap};

/// What a run starts from.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The message that started the task.
    pub message: Message,
    /// The bytes of the last checkpoint.
    pub checkpoint: Option<Bytes>,
    /// 1 for the first run; one more after each checkpoint.
    pub generation: u32,
}

/// What is fixed for the whole task: the answer of `task.info`.
#[derive(Clone, Debug)]
pub struct TaskInfo {
    /// Reserved from the start.
    pub task_id: TaskId,
    /// Shared by all tasks of the conversation.
    pub context_id: ContextId,
    /// The name under which the agent is served.
    pub agent: AgentId,
    /// Whose data this is.
    pub tenant: TenantId,
    /// A stable name of the caller within its tenant.
    pub caller: PrincipalId,
    /// The task that sent the first message, if it runs on this host.
    pub parent_task_id: Option<TaskId>,
    /// Media types the client takes; empty: any.
    pub accepted_output_modes: Vec<String>,
    /// URIs of the A2A extensions that are active.
    pub extensions: Vec<String>,
    /// Metadata of the first send request.
    pub request_metadata: Option<JsonObject>,
    /// When the first message was accepted.
    pub created: Timestamp,
    /// When the host ends the task at the latest.
    pub expires: Timestamp,
}

/// All that an activation needs.
pub struct Run {
    /// What it starts from.
    pub turn: Turn,
    /// What is fixed for the task.
    pub info: TaskInfo,
    /// The operator's settings for the agent.
    pub settings: BTreeMap<String, String>,
    /// Names of the credentials that the agent may use, as they were when the generation began, so that a replay sees the
    /// same. A name that `task.require-auth` grants on the way is added here.
    pub credentials: Vec<String>,
    /// Secret to the task and stored with it: all randomness of the guest comes from it.
    pub seed: [u8; 32],
    /// What this activation may use, from where it is live.
    pub limits: Limits,
    /// Thread CPU time for repeating what is recorded, until [`HostCalls::is_live`] turns true: three times what was
    /// recorded and a second. The repetition may meet a slower machine, but one that takes longer will not end.
    pub replay_cpu_max: Duration,
    /// What carries its work.
    pub calls: Box<dyn HostCalls>,
}

/// How a run ended when it ended well.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// COMPLETED, with a last status message.
    Completed(Option<Draft>),
    /// REJECTED, with the reason.
    Rejected(Draft),
    /// CANCELED by the agent itself.
    Canceled(Option<Draft>),
    /// A bare message and no task.
    Reply(Draft),
    /// Not an end: the next generation starts from these bytes.
    Checkpoint(Bytes),
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum End {
    /// `run` returned an outcome.
    Outcome(Outcome),
    /// `run` returned an error.
    Error(GuestError),
    /// The guest was ended by force because of what it did.
    Trap(Trap),
    /// [`Control::stop`] was called.
    Stopped,
    /// A call was answered by [`crate::call::Refusal::Abandon`], or broke the host: the work must be tried again.
    Abandoned,
    /// As `Abandoned`, but nothing that the guest did is the reason: [`crate::call::Refusal::HostFault`], or there was no memory for an
    /// instance.
    HostFault,
}

/// A run that is over, its instance gone.
pub struct Finished {
    /// How it ended.
    pub end: End,
    /// Thread CPU time of the guest and of the host functions it called, waits left out.
    pub cpu: Duration,
    /// The part of it since the run was live, which `cpu_live_max` bounds.
    pub live_cpu: Duration,
    /// The most bytes of memory it had.
    pub memory_peak_bytes: usize,
    /// The latest time that the guest was shown: whoever goes on for it must not be shown an earlier one.
    pub shown: Moment,
    /// What the run was started with.
    pub calls: Box<dyn HostCalls>,
}

/// A run under way. Dropping it stops the run.
pub struct Running {
    control: Control,
    task: JoinHandle<Finished>,
}

/// Stops a run and tells what it uses. Clones control the same run.
#[derive(Clone)]
pub struct Control {
    meter: Arc<Meter>,
    beat: Beat,
    holding: Holding,
}

/// What a run takes of its host.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) beat: Beat,
    /// One permit for each instance that may live.
    pub(crate) instances: Arc<Semaphore>,
    /// What they may have together.
    pub(crate) budget: Budget,
}

impl Control {
    /// Ends the run soon: a waiting guest at once, a computing one when it yields, which this call hastens.
    /// Does nothing to a run that is over.
    pub fn stop(&self) {
        self.meter.stop();
        self.beat.kick();
    }

    /// Thread CPU time used so far, repeated work included.
    pub fn cpu(&self) -> Duration {
        self.meter.cpu()
    }

    /// Whether the run has reserved memory that other guests may be waiting for. It does so when it grows beyond
    /// `memory_base_bytes`, and keeps it until its instance is gone.
    pub fn holds_memory(&self) -> bool {
        self.holding.is_held()
    }
}

impl Running {
    /// What stops the run from elsewhere.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Waits for the end. Cancel safe in so far as dropping the future stops the run.
    pub async fn finish(mut self) -> Finished {
        match (&mut self.task).await {
            Ok(finished) => finished,
            // A panic of ours, not of a guest or a host call: those were caught. The caller fails as if it were its own.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The guest threads are gone, because the process ends.
                Err(_) => Finished {
                    end: End::HostFault,
                    cpu: self.control.cpu(),
                    live_cpu: self.control.meter.live_cpu(),
                    memory_peak_bytes: 0,
                    shown: Moment::from_micros(0),
                    calls: Box::new(Denied),
                },
            },
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.task.is_finished() {
            self.control.stop();
        }
    }
}

/// Starts a run on the guest threads. `keep` lives as long as the run does.
pub(crate) fn start<K: Send + 'static>(
    guests: &tokio::runtime::Handle,
    place: Place,
    plugin: PluginPre<Guest>,
    run: Run,
    keep: K,
) -> Running {
    let meter = Arc::new(Meter::new());
    let reservation = Arc::new(Reservation::default());
    let control = Control { meter: Arc::clone(&meter), beat: place.beat.clone(), holding: reservation.holding() };
    let task = guests.spawn(async move {
        let memory = Memory::new(&run.limits, place.budget.clone(), reservation);
        let finished = activate(&place, &plugin, run, Counts { meter, memory }).await;
        drop(keep);
        finished
    });
    Running { control, task }
}

async fn activate(place: &Place, plugin: &PluginPre<Guest>, run: Run, counts: Counts) -> Finished {
    let meter = Arc::clone(&counts.meter);
    let budget = CpuBudget { replay_max: run.replay_cpu_max, live_max: run.limits.cpu_live_max };
    let limits = Arc::new(run.limits);
    let facts = Facts {
        info: Some(run.info),
        settings: run.settings,
        credentials: run.credentials.into_iter().collect(),
        limits: Arc::clone(&limits),
    };
    let guest = Guest::new(facts, run.seed, run.calls, counts);
    let turn = give::turn(run.turn);
    let mut instance = Instance::new(place, plugin, guest);
    let called = instance.drive(&meter, budget, Entry::Run(&turn)).await;
    let end = match called {
        Ok(Value::Run(Ok(outcome))) => match take::outcome(outcome, &limits) {
            Ok(outcome) => End::Outcome(outcome),
            Err(error) => End::Trap(Trap::invalid_outcome(&error, &limits)),
        },
        Ok(Value::Run(Err(error))) => End::Error(take::error(&error, &limits)),
        Ok(Value::Card(_)) => End::Abandoned,
        Err(cut) => cut.into_end(&limits, budget),
    };
    let shown = instance.store.data().shown();
    let (calls, memory_peak_bytes) = instance.finish();
    Finished { end, cpu: meter.cpu(), live_cpu: meter.live_cpu(), memory_peak_bytes, shown, calls }
}

/// Which export to call.
#[derive(Clone, Copy)]
pub(crate) enum Entry<'a> {
    Run(&'a wit::Turn),
    Describe,
}

/// What an export returned.
pub(crate) enum Value {
    Run(Result<wit::Outcome, crate::bindings::kennel::agent::types::Error>),
    Card(Box<crate::bindings::exports::kennel::agent::card::Card>),
}

/// Why an export did not return.
pub(crate) enum Cut {
    Trap(Trap),
    Cpu,
    ReplayCpu,
    Stopped,
    Abandoned,
    HostFault,
}

impl Cut {
    fn into_end(self, limits: &Limits, budget: CpuBudget) -> End {
        match self {
            Cut::Trap(trap) => End::Trap(trap),
            Cut::Cpu => End::Trap(Trap::cpu(limits)),
            Cut::ReplayCpu => End::Trap(Trap::replay_cpu(budget.replay_max)),
            Cut::Stopped => End::Stopped,
            Cut::Abandoned => End::Abandoned,
            Cut::HostFault => End::HostFault,
        }
    }
}

/// A store with at most one instance in it, used for one call.
pub(crate) struct Instance<'a> {
    // Field order is drop order: the permit and the reservation must outlive the instance, whose slot and memory they
    // stand for. A store drops its data first, so what the data holds of the reservation does not do.
    store: Store<Guest>,
    _reservation: Arc<Reservation>,
    place: &'a Place,
    plugin: &'a PluginPre<Guest>,
    permit: Option<OwnedSemaphorePermit>,
}

/// An error of the guest, and whether it got as far as running code of its own.
struct Broken {
    error: wasmtime::Error,
    instantiated: bool,
}

impl<'a> Instance<'a> {
    pub(crate) fn new(place: &'a Place, plugin: &'a PluginPre<Guest>, guest: Guest) -> Instance<'a> {
        let call_bytes_max = guest.facts.limits.call_bytes_max;
        let resources_max = guest.facts.limits.resources_max;
        let reservation = guest.memory.reservation();
        let mut store = Store::new(plugin.engine(), guest);
        store.limiter_async(|guest| &mut guest.memory);
        store.set_hostcall_fuel(call_bytes_max);
        store.set_max_component_handles(resources_max);
        // Yield at the next tick and at each one after it.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        Instance { store, _reservation: reservation, place, plugin, permit: None }
    }

    /// Waits for a place to live. Done by [`Instance::drive`] too, for who has none.
    pub(crate) async fn admit(&mut self) {
        if self.permit.is_none() {
            // Closed only when the process ends; then the run goes on without a permit and is dropped with its thread.
            self.permit = Arc::clone(&self.place.instances).acquire_owned().await.ok();
        }
    }

    /// Makes the instance and calls the export. Whatever cuts it short, the call's future is dropped when this returns,
    /// and with it everything the guest was in the middle of.
    pub(crate) async fn drive(&mut self, meter: &Meter, budget: CpuBudget, entry: Entry<'_>) -> Result<Value, Cut> {
        let live = self.place.beat.live();
        // The future of a guest with its host calls is large, and a panic in a host function must end this run only.
        let call = AssertUnwindSafe(Box::pin(self.call(entry))).catch_unwind();
        let called = meter.run(call, budget).await;
        drop(live);
        match called {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(broken))) => Err(self.judge(&broken)),
            Ok(Err(_panic)) => {
                tracing::error!("a host function panicked, the run is given up");
                Err(Cut::Abandoned)
            }
            Err(Halt::Stopped) => Err(Cut::Stopped),
            Err(Halt::Cpu) => Err(Cut::Cpu),
            Err(Halt::ReplayCpu) => Err(Cut::ReplayCpu),
        }
    }

    /// Ends the store and with it the instance; returns the calls and the most bytes of memory.
    pub(crate) fn finish(self) -> (Box<dyn HostCalls>, usize) {
        let guest = self.store.into_data();
        let peak = guest.memory.peak();
        (guest.finish(), peak)
    }

    async fn call(&mut self, entry: Entry<'_>) -> Result<Value, Broken> {
        self.admit().await;
        let plugin = self.plugin.instantiate_async(&mut self.store).await;
        let plugin = plugin.map_err(|error| Broken { error, instantiated: false })?;
        self.enter(&plugin, entry).await.map_err(|error| Broken { error, instantiated: true })
    }

    async fn enter(&mut self, plugin: &Plugin, entry: Entry<'_>) -> wasmtime::Result<Value> {
        match entry {
            Entry::Run(turn) => {
                let returned = plugin.kennel_agent_agent().call_run(&mut self.store, turn).await?;
                Ok(Value::Run(returned))
            }
            Entry::Describe => {
                let card = plugin.kennel_agent_card().call_describe(&mut self.store).await?;
                Ok(Value::Card(Box::new(card)))
            }
        }
    }

    fn judge(&mut self, broken: &Broken) -> Cut {
        if let Some(cut) = self.store.data_mut().abandoned() {
            return cut;
        }
        let guest = self.store.data();
        let memory_refused = guest.memory.refused();
        // An instance that could not even be made, by no fault of the guest: no slot, or no memory of the machine.
        if !broken.instantiated && !memory_refused && broken.error.downcast_ref::<wasmtime::Trap>().is_none() {
            tracing::error!(error = %format!("{:#}", broken.error), "cannot make an instance, the run is given up");
            return Cut::HostFault;
        }
        let last_words = guest.console.last_words();
        let evidence = Evidence { memory_refused, last_words: &last_words, limits: &guest.facts.limits };
        Cut::Trap(Trap::judge(&broken.error, &evidence))
    }
}
