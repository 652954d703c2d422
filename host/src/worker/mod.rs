//! The worker: takes runs, from the broker as values and from the store by claims, and supervises each to its end.
//!
//! At start nothing special runs: the same loops find what a former host left, and the journal of each task leads a fresh instance to
//! where the last one stood.

mod activation;
mod artifacts;
pub(crate) mod authorize;
mod bare;
mod body;
mod books;
mod course;
mod event;
mod finish;
mod inbox;
mod journal;
mod kv;
mod lane;
mod logs;
mod outside;
mod peers;
mod pendings;
mod progress;
pub(crate) mod rehearse;
mod remote;
pub(crate) mod retry;
mod run;
mod supervise;
pub(crate) mod verdict;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use kennel_protocol::types::{Message, TaskState};
use kennel_protocol::{Seq, Ver};
use kennel_sandbox::Limits;
use kennel_sandbox::call::GuestError;
use kennel_store::{Attempt, Claimable, ClaimedRun, JournalEnd, Scope, Store, StoreError, TaskView};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::{Broker, Hold, Slot};
use crate::config::{Allowed, HostLimits, Trial};
use crate::gate::Gate;
use crate::registry::{Registry, Version};
use crate::work::{Accept, Assignment, Entry, Past, Remote, RequestFacts, TaskFacts, Work};
use event::Subject;
use lane::{Close, Lane, Start};

/// Runs claimed at once.
const CLAIMS_MAX: usize = 32;
/// How often leases without a holder are looked for.
const ORPHANS_EVERY: Duration = Duration::from_secs(5);
/// How long a host has lived before it tries suspects. One that is ended again and again for a reason that is no agent's (no memory, a
/// person, a machine) so blames nobody; one that an agent ends finds that agent as well a second later.
const SUSPECTS_AFTER: Duration = Duration::from_secs(1);
/// How long a run waits whose component cannot be loaded.
const LOAD_RETRY: Duration = Duration::from_secs(5);
/// How long a run waits that only a newer host can go on with.
const NEWER_HOST_RETRY: Duration = Duration::from_secs(60);

/// What a worker is made of.
pub(crate) struct Parts {
    /// The host's store.
    pub store: Arc<Store>,
    /// Slots and holds.
    pub broker: Arc<Broker<Work>>,
    /// Components by digest.
    pub registry: Arc<Registry>,
    /// Bounds.
    pub limits: HostLimits,
    /// What a test does on purpose.
    pub trial: Trial,
    /// Bounds of one activation.
    pub sandbox_limits: Limits,
    /// How many guests wait for memory.
    pub memory_pressure: watch::Receiver<usize>,
    /// What the operator allows agents.
    pub allowed: Allowed,
    /// The way out.
    pub gate: Arc<Gate>,
}

/// The worker of one host.
pub(crate) struct Worker {
    pub(crate) store: Arc<Store>,
    pub(crate) broker: Arc<Broker<Work>>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) limits: HostLimits,
    pub(crate) trial: Trial,
    pub(crate) sandbox_limits: Limits,
    pub(crate) memory_pressure: watch::Receiver<usize>,
    pub(crate) allowed: Allowed,
    pub(crate) gate: Arc<Gate>,
    /// Where sockets are served.
    pub(crate) runtime: tokio::runtime::Handle,
    /// Commits on their way, and timers of lanes. Closed: the host gives up on a store that does not take them.
    pub(crate) commits: TaskTracker,
    /// Supervisors.
    tasks: TaskTracker,
    /// Of the runs that got nowhere when they were last tried, one at a time runs: it may be what ends the host.
    suspects: Arc<Semaphore>,
    began: Instant,
    /// Steps with agents elsewhere.
    remotes: remote::Remotes,
    /// Stops the loops: nothing new is taken, and what waits leaves.
    pub(crate) stopping: CancellationToken,
    /// Ends what runs.
    pub(crate) drained: CancellationToken,
}

impl Worker {
    /// Starts the loops.
    pub(crate) fn start(parts: Parts) -> Arc<Worker> {
        let worker = Arc::new(Worker {
            store: parts.store,
            broker: parts.broker,
            registry: parts.registry,
            limits: parts.limits,
            trial: parts.trial,
            sandbox_limits: parts.sandbox_limits,
            memory_pressure: parts.memory_pressure,
            allowed: parts.allowed,
            gate: parts.gate,
            runtime: tokio::runtime::Handle::current(),
            commits: TaskTracker::new(),
            tasks: TaskTracker::new(),
            suspects: Arc::new(Semaphore::new(1)),
            began: Instant::now(),
            remotes: remote::Remotes::default(),
            stopping: CancellationToken::new(),
            drained: CancellationToken::new(),
        });
        let taker = Arc::downgrade(&worker);
        worker.broker.taken_by(move |work| taker.upgrade().is_some_and(|worker| worker.take(work)));
        worker.tasks.spawn(Arc::clone(&worker).claim_runs());
        worker.tasks.spawn(Arc::clone(&worker).look_for_orphans());
        worker.tasks.spawn(Arc::clone(&worker).follow_allowed());
        worker
    }

    /// Takes nothing new, lets what runs go on for the drain time, then gives the rest back.
    pub(crate) async fn drain(&self) {
        self.stopping.cancel();
        self.broker.close();
        self.tasks.close();
        if tokio::time::timeout(self.limits.drain, self.tasks.wait()).await.is_err() {
            tracing::info!(tasks = self.broker.held().len(), "the drain time is over; running tasks are given back");
        }
        self.drained.cancel();
        // A store that takes no commits must not keep the host from ending: what is not on disk was never shown.
        self.commits.close();
        self.tasks.wait().await;
        self.commits.wait().await;
    }

    /// Starts on new work that the service hands over with a slot.
    fn take(self: Arc<Self>, work: Work) -> bool {
        if self.stopping.is_cancelled() {
            return false;
        }
        let tasks = self.tasks.clone();
        match work {
            // A pointer: the future has 8 KiB, which would be moved several times on the way.
            Work::Task(assignment) => tasks.spawn(Box::pin(supervise::supervise(self, *assignment))),
            Work::Bare(bare) => tasks.spawn(bare::answer(self, *bare)),
        };
        true
    }

    /// Runs that are due in the store: queued ones, and those of a former host.
    async fn claim_runs(self: Arc<Self>) {
        while self.stopping.run_until_cancelled(self.store.wakes().due(self.store.clock().now())).await.is_some() {
            if let Err(error) = self.claim_due().await {
                tracing::warn!(%error, "due runs could not be claimed; trying again");
            }
        }
    }

    /// Claims while there are slots and due runs.
    async fn claim_due(self: &Arc<Self>) -> Result<(), StoreError> {
        while !self.stopping.is_cancelled() && self.store.has_due(Claimable::Sound).await? {
            let mut slots: Vec<Slot> = Vec::new();
            while let Some(slot) = self.broker.try_slot().filter(|_| slots.len() < CLAIMS_MAX) {
                slots.push(slot);
            }
            if slots.is_empty() {
                // Many at once: each place that comes free is claimed, and what waits gives way in the same commits.
                (0..CLAIMS_MAX).for_each(|_| self.broker.press());
                if self.broker.free() > 0 {
                    // It came free before anybody knew that it was wanted.
                    continue;
                }
                return Ok(());
            }
            let limit = u32::try_from(slots.len()).unwrap_or(u32::MAX);
            for (run, slot) in self.store.claim(Claimable::Sound, limit).await?.into_iter().zip(slots) {
                self.take_up(run, slot, None).await?;
            }
        }
        self.claim_suspect().await
    }

    /// Claims one run that got nowhere before, unless one is being tried.
    async fn claim_suspect(self: &Arc<Self>) -> Result<(), StoreError> {
        if self.began.elapsed() < SUSPECTS_AFTER {
            return Ok(());
        }
        let Ok(permit) = Arc::clone(&self.suspects).try_acquire_owned() else { return Ok(()) };
        if self.stopping.is_cancelled() || !self.store.has_due(Claimable::Suspect).await? {
            return Ok(());
        }
        let Some(slot) = self.broker.try_slot() else {
            self.broker.press();
            return Ok(());
        };
        match self.store.claim(Claimable::Suspect, 1).await?.pop() {
            Some(run) => self.take_up(run, slot, Some(permit)).await,
            None => Ok(()),
        }
    }

    /// Gives a slot back. Only if somebody found none are due runs looked for: a look costs as much as a short task.
    fn free(&self, slot: Slot) {
        drop(slot);
        if self.broker.was_wanted() {
            self.store.wakes().poke_due();
        }
    }

    /// Starts on a claimed run.
    async fn take_up(
        self: &Arc<Self>,
        run: ClaimedRun,
        slot: Slot,
        suspect: Option<OwnedSemaphorePermit>,
    ) -> Result<(), StoreError> {
        match self.broker.hold(run.claim.key()) {
            Some(hold) => drop(self.tasks.spawn(Arc::clone(self).resume(run, slot, hold, suspect))),
            // This host holds an older claim of it, which is fenced now and ends by itself.
            None => drop(self.store.give_back(&run.claim, Attempt::DoesNotCount, "held", LOAD_RETRY).await?),
        }
        Ok(())
    }

    /// Leases of this host that nobody here holds: their claim was lost between the store and us.
    async fn look_for_orphans(self: Arc<Self>) {
        while self.stopping.run_until_cancelled(tokio::time::sleep(ORPHANS_EVERY)).await.is_some() {
            match self.store.give_back_orphans(&self.broker.held()).await {
                Ok(0) => {}
                Ok(given_back) => tracing::warn!(tasks = given_back, "leases without a holder were given back"),
                Err(error) => tracing::warn!(%error, "leases could not be looked over; trying again"),
            }
        }
    }

    /// Wakes tasks that wait for what the operator has given meanwhile: at the start, and whenever something else is allowed.
    async fn follow_allowed(self: Arc<Self>) {
        let mut changes = self.allowed.watch();
        changes.mark_changed();
        while let Some(Ok(())) = self.stopping.run_until_cancelled(changes.changed()).await {
            if let Err(error) = authorize::wake_granted(&self.store, &self.allowed).await {
                tracing::warn!(%error, "tasks that wait for a credential could not be looked over; trying again");
                changes.mark_changed();
                self.stopping.run_until_cancelled(tokio::time::sleep(LOAD_RETRY)).await;
            }
        }
    }

    /// Goes on with a claimed run.
    async fn resume(self: Arc<Self>, run: ClaimedRun, slot: Slot, hold: Hold, suspect: Option<OwnedSemaphorePermit>) {
        match self.next_step(&run).await {
            Ok(Next::Run(ready)) => {
                let Ready { view, message, version, journal } = *ready;
                let facts = task_facts(&view);
                let past = Past { journal, inbox: view.inbox, attempts: run.attempts, suspect };
                let (claim, at, fold) = (run.claim, run.at, view.fold);
                let (accept, auto) = (Accept::Done, None);
                let assignment =
                    Assignment { claim, at, fold, facts, message, version, slot, hold, past, accept, auto };
                supervise::supervise(self, assignment).await;
            }
            Ok(Next::Step(view, remote)) => {
                // It needs no instance, and harms no host.
                drop(suspect);
                self.free(slot);
                remote::step(Arc::clone(&self), remote::Claimed { run, view: *view, remote: *remote, hold }).await;
            }
            Ok(Next::End(view, state, error)) => self.end(&run, *view, state, error).await,
            Ok(Next::GiveBack { attempt, reason, after }) => {
                drop(hold);
                self.give_back(&run, attempt, &reason, after).await;
            }
            Ok(Next::Nothing) => {}
            Err(error) => {
                tracing::warn!(task.id = %run.claim.key().task, %error, "a claimed run could not be read");
                self.give_back(&run, Attempt::DoesNotCount, "it could not be read", LOAD_RETRY).await;
            }
        }
    }

    async fn give_back(&self, run: &ClaimedRun, attempt: Attempt, reason: &str, after: Duration) {
        if let Err(error) = self.store.give_back(&run.claim, attempt, reason, after).await {
            tracing::warn!(task.id = %run.claim.key().task, %error, "a lease was not given back");
        }
    }

    /// What is to become of a claimed run.
    async fn next_step(&self, run: &ClaimedRun) -> Result<Next, StoreError> {
        let key = run.claim.key();
        let Some(mut view) = self.store.held_task(&run.claim).await? else { return Ok(Next::Nothing) };
        let journal = self.store.journal_end(key).await?;
        let waiting = self.store.waiting(key).await?;
        if run.at.ver == Ver::new(1) && waiting.is_some_and(|waiting| waiting.cancel.is_some()) {
            return Ok(Next::End(Box::new(view), TaskState::Canceled, None));
        }
        let RequestFacts { entry, remote, .. } = task_facts(&view).request;
        let attempts = if remote.is_some() { 0 } else { run.attempts };
        if let Some(error) = hopeless(&view, entry.as_ref(), &journal, attempts, self.limits.task.attempts_max) {
            return Ok(Next::End(Box::new(view), TaskState::Failed, Some(error)));
        }
        if !entry.as_ref().is_none_or(Entry::is_known) {
            let reason = "its journal needs a newer version of Kennel".to_owned();
            return Ok(Next::GiveBack { attempt: Attempt::DoesNotCount, reason, after: NEWER_HOST_RETRY });
        }
        if let Some(remote) = remote {
            return Ok(Next::Step(Box::new(view), Box::new(remote)));
        }
        let version = match self.registry.version(&run.digest).await {
            Ok(version) => version,
            Err(error) => {
                tracing::error!(task.id = %key.task, %error, "the component of a task cannot be loaded");
                let reason = error.to_string();
                return Ok(Next::GiveBack { attempt: Attempt::Counts, reason, after: LOAD_RETRY });
            }
        };
        let Some(first) = view.inbox.first_mut() else { return Ok(Next::Nothing) };
        let mut message = first.message.clone();
        self.store.complete_message(&key.tenant, &mut message).await?;
        Ok(Next::Run(Box::new(Ready { view, message, version, journal })))
    }

    /// Ends a claimed task without running it.
    async fn end(&self, run: &ClaimedRun, view: TaskView, state: TaskState, error: Option<GuestError>) {
        let key = run.claim.key();
        let subject = Subject { task: key.task.clone(), context: view.row.context.clone() };
        let now = self.store.clock().now();
        let calls = self.store.journal_end(key).await.map_or(0, |journal| journal.last);
        let event = match &error {
            Some(error) => subject.failed(error, calls + 1, now),
            None => subject.status(state, None, now),
        };
        if state != TaskState::Completed {
            let scope = Scope { tenant: key.tenant.clone(), owner: view.row.owner.clone(), agent: None };
            if let Err(error) = peers::cancel_children(&self.store, key, &scope).await {
                tracing::warn!(task.id = %key.task, %error, "tasks that a task had sent were not asked to stop");
                return self.give_back(run, Attempt::DoesNotCount, "its end could not be written", LOAD_RETRY).await;
            }
        }
        let pace = self.trial.pace;
        let start = Start { at: run.at, fold: view.fold, calls, pace, tried: false, suspect: None };
        let lane = Lane::new(Arc::clone(&self.store), run.claim.clone(), self.commits.clone(), start, Accept::Done);
        let ended = match lane.push(event, Close::Finish).await {
            Ok(_) => lane.flush().await,
            Err(dead) => Err(dead),
        };
        if ended.is_err() {
            self.give_back(run, Attempt::DoesNotCount, "its end could not be written", LOAD_RETRY).await;
        }
    }
}

/// What is to become of a claimed run.
enum Next {
    /// It runs.
    Run(Box<Ready>),
    /// An agent elsewhere works on it: the next step with it.
    Step(Box<TaskView>, Box<Remote>),
    /// It is over without running: in this state, perhaps with this error.
    End(Box<TaskView>, TaskState, Option<GuestError>),
    /// Not now.
    GiveBack { attempt: Attempt, reason: String, after: Duration },
    /// The task is gone.
    Nothing,
}

/// All that a claimed run needs.
struct Ready {
    view: TaskView,
    message: Message,
    version: Arc<Version>,
    journal: JournalEnd,
}

/// Why a task cannot be continued, if it cannot.
fn hopeless(
    view: &TaskView,
    entry: Option<&Entry>,
    journal: &JournalEnd,
    attempts: u32,
    attempts_max: u32,
) -> Option<GuestError> {
    if journal.last != journal.counted {
        let text = format!("The task's journal has {} rows and should have {}.", journal.last, journal.counted);
        return Some(supervise::host_failure("journal", &text));
    }
    if entry.is_none() && view.rev > Seq::FIRST {
        let text = "The host was restarted while the agent was at work, and the work could not be continued.";
        let mut error = supervise::host_failure("host-restarted", text);
        error.retryable = true;
        return Some(error);
    }
    let text = || format!("The agent was started {} times and got no further.", attempts - 1);
    (attempts > attempts_max).then(|| supervise::host_failure("attempts", &text()))
}

pub(crate) fn task_facts(view: &TaskView) -> TaskFacts {
    let row = &view.row;
    let request = RequestFacts::read(&row.request);
    TaskFacts {
        owner: row.owner.clone(),
        context: row.context.clone(),
        agent: row.agent.clone(),
        created: row.created,
        expires: row.expires,
        request,
    }
}
