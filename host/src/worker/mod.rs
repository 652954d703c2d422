//! The worker: takes runs, from the broker as values and from the store by claims, and supervises each to its end.
//!
//! At start nothing special runs: the same loops find what a former host left. Until the journal exists, a task that had shown
//! more than its accept cannot go on from there and ends FAILED with the code `host-restarted`.

mod activation;
mod artifacts;
mod bare;
mod event;
mod finish;
mod inbox;
mod lane;
mod logs;
mod progress;
mod run;
mod supervise;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kennel_protocol::Seq;
use kennel_protocol::types::TaskState;
use kennel_sandbox::Limits;
use kennel_sandbox::call::GuestError;
use kennel_store::{Attempt, ClaimedRun, Store, StoreError, TaskView};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::{Broker, Hold, Slot};
use crate::config::HostLimits;
use crate::registry::Registry;
use crate::work::{Assignment, RequestFacts, TaskFacts, Work};
use event::Subject;
use lane::{Close, Lane};

/// Runs claimed at once.
const CLAIMS_MAX: usize = 32;
/// How often leases without a holder are looked for.
const ORPHANS_EVERY: Duration = Duration::from_secs(5);
/// How long a run waits whose component cannot be loaded.
const LOAD_RETRY: Duration = Duration::from_secs(5);

/// How often a stopping host looks whether anything still runs.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

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
    /// Bounds of one activation.
    pub sandbox_limits: Limits,
    /// Secret of this host, from which tasks get their random seeds.
    pub seed_key: [u8; 32],
}

/// The worker of one host.
pub(crate) struct Worker {
    pub(crate) store: Arc<Store>,
    pub(crate) broker: Arc<Broker<Work>>,
    registry: Arc<Registry>,
    pub(crate) limits: HostLimits,
    pub(crate) sandbox_limits: Limits,
    pub(crate) seed_key: [u8; 32],
    /// Commits on their way, and timers of lanes. Closed: the host gives up on a store that does not take them.
    pub(crate) commits: TaskTracker,
    /// Supervisors.
    tasks: TaskTracker,
    /// How many of them wait for a client's message, so that no drain time would bring them to an end.
    pub(crate) waiting: Arc<AtomicUsize>,
    /// Stops the loops: nothing new is taken.
    stopping: CancellationToken,
    /// Ends what runs.
    pub(crate) drained: CancellationToken,
}

impl Worker {
    /// Starts the loops.
    pub(crate) fn start(parts: Parts, work: mpsc::Receiver<Work>) -> Arc<Worker> {
        let worker = Arc::new(Worker {
            store: parts.store,
            broker: parts.broker,
            registry: parts.registry,
            limits: parts.limits,
            sandbox_limits: parts.sandbox_limits,
            seed_key: parts.seed_key,
            commits: TaskTracker::new(),
            tasks: TaskTracker::new(),
            waiting: Arc::default(),
            stopping: CancellationToken::new(),
            drained: CancellationToken::new(),
        });
        worker.tasks.spawn(Arc::clone(&worker).take_work(work));
        worker.tasks.spawn(Arc::clone(&worker).claim_runs());
        worker.tasks.spawn(Arc::clone(&worker).look_for_orphans());
        worker
    }

    /// Takes nothing new, lets what runs go on for the drain time, then gives the rest back.
    pub(crate) async fn drain(&self) {
        self.stopping.cancel();
        self.broker.close();
        self.tasks.close();
        if tokio::time::timeout(self.limits.drain, self.idle()).await.is_err() {
            tracing::info!(tasks = self.broker.held().len(), "the drain time is over; running tasks are given back");
        }
        self.drained.cancel();
        // A store that takes no commits must not keep the host from ending: what is not on disk was never shown.
        self.commits.close();
        self.tasks.wait().await;
        self.commits.wait().await;
    }

    /// Waits until nothing runs but what waits for a client.
    async fn idle(&self) {
        while self.tasks.len() > self.waiting.load(Ordering::Relaxed) {
            tokio::time::timeout(DRAIN_LOOK, self.tasks.wait()).await.ok();
        }
    }

    /// New work that the service hands over with a slot.
    async fn take_work(self: Arc<Self>, mut work: mpsc::Receiver<Work>) {
        while let Some(Some(next)) = self.stopping.run_until_cancelled(work.recv()).await {
            let worker = Arc::clone(&self);
            match next {
                Work::Task(assignment) => self.tasks.spawn(supervise::supervise(worker, *assignment)),
                Work::Bare(bare) => self.tasks.spawn(bare::answer(worker, *bare)),
            };
        }
    }

    /// Runs that are due in the store: queued ones, and those of a former host.
    async fn claim_runs(self: Arc<Self>) {
        while self.stopping.run_until_cancelled(self.store.wakes().due()).await.is_some() {
            if let Err(error) = self.claim_due().await {
                tracing::warn!(%error, "due runs could not be claimed; trying again");
            }
        }
    }

    /// Claims while there are slots and due runs.
    async fn claim_due(self: &Arc<Self>) -> Result<(), StoreError> {
        while !self.stopping.is_cancelled() && self.store.has_due().await? {
            let mut slots: Vec<Slot> = Vec::new();
            while let Some(slot) = self.broker.try_slot().filter(|_| slots.len() < CLAIMS_MAX) {
                slots.push(slot);
            }
            if slots.is_empty() {
                return Ok(());
            }
            let limit = u32::try_from(slots.len()).unwrap_or(u32::MAX);
            for (run, slot) in self.store.claim(limit).await?.into_iter().zip(slots) {
                let Some(hold) = self.broker.hold(&run.claim.key().clone()) else {
                    // This host holds an older claim of it, which is fenced now and ends by itself.
                    self.store.give_back(&run.claim, Attempt::DoesNotCount, "held", LOAD_RETRY).await?;
                    continue;
                };
                self.tasks.spawn(Arc::clone(self).resume(run, slot, hold));
            }
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

    /// Goes on with a claimed run.
    async fn resume(self: Arc<Self>, run: ClaimedRun, slot: Slot, hold: Hold) {
        match self.assignment(&run, slot, hold).await {
            Ok(Some(assignment)) => supervise::supervise(self, assignment).await,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(task.id = %run.claim.key().task, %error, "a claimed run could not be read");
                self.give_back(&run, Attempt::DoesNotCount, "it could not be read").await;
            }
        }
    }

    async fn give_back(&self, run: &ClaimedRun, attempt: Attempt, reason: &str) {
        if let Err(error) = self.store.give_back(&run.claim, attempt, reason, LOAD_RETRY).await {
            tracing::warn!(task.id = %run.claim.key().task, %error, "a lease was not given back");
        }
    }

    /// All that a claimed run needs. None: it has been ended or given back.
    async fn assignment(
        self: &Arc<Self>,
        run: &ClaimedRun,
        slot: Slot,
        hold: Hold,
    ) -> Result<Option<Assignment>, StoreError> {
        let Some(mut view) = self.store.held_task(&run.claim).await? else { return Ok(None) };
        let waiting = self.store.waiting(run.claim.key()).await?;
        if waiting.is_some_and(|waiting| waiting.cancel.is_some()) {
            self.end(run, view, TaskState::Canceled, None).await;
            return Ok(None);
        }
        if view.rev > Seq::FIRST || run.attempts > self.limits.task.attempts_max {
            let error = interrupted(&view, run.attempts);
            self.end(run, view, TaskState::Failed, Some(error)).await;
            return Ok(None);
        }
        let version = match self.registry.version(&run.digest).await {
            Ok(version) => version,
            Err(error) => {
                tracing::error!(task.id = %run.claim.key().task, %error, "the component of a task cannot be loaded");
                self.give_back(run, Attempt::Counts, &error.to_string()).await;
                return Ok(None);
            }
        };
        let Some(first) = view.inbox.first_mut() else { return Ok(None) };
        let mut message = first.message.clone();
        self.store.complete_message(&run.claim.key().tenant, &mut message).await?;
        let facts = task_facts(&view);
        let (claim, at, fold) = (run.claim.clone(), run.at, view.fold);
        Ok(Some(Assignment { claim, at, fold, facts, message, version, slot, hold, accepted: None, auto: None }))
    }

    /// Ends a claimed task without running it.
    async fn end(&self, run: &ClaimedRun, view: TaskView, state: TaskState, error: Option<GuestError>) {
        let key = run.claim.key();
        let subject = Subject { task: key.task.clone(), context: view.row.context.clone() };
        let now = self.store.clock().now();
        let event = match &error {
            Some(error) => subject.failed(error, view.rev.get() << 16, now),
            None => subject.status(state, None, now),
        };
        let lane =
            Lane::new(Arc::clone(&self.store), run.claim.clone(), self.commits.clone(), (run.at, view.fold), None);
        let ended = match lane.push(event, Close::Finish).await {
            Ok(_) => lane.flush().await,
            Err(dead) => Err(dead),
        };
        if ended.is_err() {
            self.give_back(run, Attempt::DoesNotCount, "its end could not be written").await;
        }
    }
}

/// Why a task that was interrupted is not run again.
fn interrupted(view: &TaskView, attempts: u32) -> GuestError {
    if view.rev > Seq::FIRST {
        let text = "The host was restarted while the agent was at work, and the work could not be continued.";
        let mut error = supervise::host_failure("host-restarted", text);
        error.retryable = true;
        return error;
    }
    supervise::host_failure("attempts", &format!("The agent was started {attempts} times without an end."))
}

fn task_facts(view: &TaskView) -> TaskFacts {
    let row = &view.row;
    // Written by this host's service; a task whose facts do not read is run without them.
    let request: RequestFacts = serde_json::from_slice(&row.request).unwrap_or_default();
    TaskFacts {
        owner: row.owner.clone(),
        context: row.context.clone(),
        agent: row.agent.clone(),
        created: row.created,
        expires: row.expires,
        request,
    }
}
