//! One supervisor per running task: starts the guest, brings it what arrives, takes the instance away while it waits, ends it when its
//! time is over, and writes its end.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kennel_egress::Policy;
use kennel_protocol::TaskId;
use kennel_protocol::state::Step;
use kennel_protocol::types::TaskState;
use kennel_sandbox::call::{GuestError, Moment};
use kennel_sandbox::{AgentDescription, Control, End, Finished, Outcome, ReplyMode, Run, Trap, Turn};
use kennel_store::{Attempt, CHECKPOINT, JournalEnd, NewAnswer, NewCall, Scope, StoreError, Subscription, Wait};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::activation::{self, Activation, Facts};
use super::artifacts::Artifacts;
use super::books::Books;
use super::course::Course;
use super::event::Subject;
use super::finish::{Ending, Last, last};
use super::inbox::{Inbox, Mailroom};
use super::journal::{Begin, Journal, Source};
use super::kv::Values;
use super::lane::{Dead, Lane, Start, When};
use super::outside::Grants;
use super::pendings::{Pendings, outcome_of};
use super::progress::ProgressGate;
use super::{Worker, bare, peers, run};
use crate::broker::Hold;
use crate::config::AgentGrants;
use crate::work::{Accept, Assignment, BareEnd, Opening, Past, SeenLimits, TaskFacts};

/// In the reply mode `auto` a run that takes longer becomes a task.
const AUTO_OPENS_AFTER: Duration = Duration::from_millis(50);
/// How long queued effects may take to reach the disk before a task is ended by force.
const FORCE_FLUSH_MAX: Duration = Duration::from_secs(1);
/// How long a run that was given up waits for its next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a wait keeps its instance that was reached by a run which got no further than the one before. It has done nothing to
/// its host, so it is given up, which forgives the tries: else a task that only waits would count as what ends the host, and would
/// keep the others that are suspected from their turn. Long enough for a wait that ends at once.
const TRIED_GRACE: Duration = Duration::from_millis(5);
/// What a repetition may cost: this many times the CPU time that was recorded…
pub(super) const REPLAY_FACTOR: u32 = 3;
/// …and this much, for runs too short to be measured.
pub(super) const REPLAY_LEAST: Duration = Duration::from_secs(1);

/// What a supervised run came to.
enum Over {
    /// The guest ended, or was ended for what it did.
    Ended(Box<Finished>),
    /// It did not end in its grace.
    Forced,
    /// Another holder has the task.
    Lost,
    /// The instance is not worth its place: it waits, or the host is stopping.
    Leave,
}

/// Everything of one running task.
struct Supervisor {
    worker: Arc<Worker>,
    facts: Arc<Facts>,
    lane: Lane,
    gate: ProgressGate,
    artifacts: Arc<Mutex<Artifacts>>,
    pendings: Arc<Pendings>,
    mailroom: Mailroom,
    subscription: Subscription,
    /// When the task must be over whatever the agent does.
    force_at: Option<Instant>,
    /// When its lifetime is over.
    expires: kennel_protocol::Timestamp,
    expires_at: Option<Instant>,
    opening: Option<Opening>,
    hold: Option<Hold>,
    /// Rows of the inbox about children that have been dealt with.
    heard: HashSet<u32>,
}

/// Runs a task from where it stands to its end, to a long wait, or until the host gives it up.
pub(crate) async fn supervise(worker: Arc<Worker>, assignment: Assignment) {
    let Assignment { claim, at, fold, facts, message, version, slot, hold, past, accept, auto } = assignment;
    let Past { journal, inbox, attempts, suspect } = past;
    let key = claim.key().clone();
    let begun = fold.status.state != TaskState::Submitted;
    let pace = worker.trial.pace;
    let tried = attempts > 1;
    let start = Start { at, fold, calls: journal.last, pace, tried, suspect };
    let known = matches!(accept, Accept::Done);
    let lane = Lane::new(Arc::clone(&worker.store), claim, worker.commits.clone(), start, accept);
    let credentials = version.agent.card().requests.iter().filter(|request| request.kind == "credential");
    let names = (key.tenant.clone(), key.task.clone());
    let values =
        Values::new(Arc::clone(&worker.store), names, &facts, version.agent.card(), worker.limits.kv_bytes_max);
    let allowed = worker.allowed.all();
    let limits = seen_limits(&facts).task(worker.limits.task);
    let shared = Arc::new(Facts {
        store: Arc::clone(&worker.store),
        subject: Subject { task: key.task.clone(), context: facts.context.clone() },
        scope: Scope { tenant: key.tenant.clone(), owner: facts.owner.clone(), agent: None },
        limits,
        seen_limits: SeenLimits::of(&worker.sandbox_limits, &worker.limits.task),
        abort_on: worker.trial.abort_on.clone(),
        agent: facts.agent.clone(),
        credentials: credentials.map(|request| request.name.clone()).collect(),
        values,
        begun: AtomicBool::new(begun),
        course: Arc::new(Course::default()),
        grants: grants(AgentGrants::of(&allowed, facts.agent.as_str()), version.agent.card()),
        all_grants: allowed,
        egress: Arc::clone(&worker.gate),
        runtime: worker.runtime.clone(),
        registry: Arc::clone(&worker.registry),
        lineage: facts.request.lineage.clone(),
        past: inbox,
        retry: facts.request.retry.clone(),
    });
    let (opening, reply) = auto.unzip();
    let life_ms = facts.expires.millis().saturating_sub(worker.store.clock().now().millis());
    let mut supervisor = Supervisor {
        gate: ProgressGate::new(lane.clone(), worker.commits.clone()),
        artifacts: Arc::new(Mutex::new(Artifacts::new(limits))),
        pendings: Arc::default(),
        mailroom: Mailroom::new(Arc::clone(&worker.store), key.clone(), worker.limits.task.cancel_grace),
        // Before the first read, so that nothing that comes from now on is missed.
        subscription: worker.store.subscribe(&key),
        force_at: None,
        expires: facts.expires,
        expires_at: Instant::now().checked_add(Duration::from_millis(u64::try_from(life_ms).unwrap_or(0))),
        opening,
        hold: Some(hold),
        heard: HashSet::new(),
        facts: shared,
        lane,
        worker: Arc::clone(&worker),
    };
    let parts = run::Parts { tenant: key.tenant.clone(), task: key.task.clone(), facts, message };
    // What waits in the inbox goes before a deadline that has passed meanwhile.
    if !known || !supervisor.look_into_inbox().await {
        supervisor.run_to_end(&version.agent, parts, journal, reply).await;
    }
    // Nobody is there any more who could take what is still under way.
    supervisor.pendings.close();
    drop(supervisor);
    worker.free(slot);
    if tried {
        // The next suspect may have its turn.
        worker.store.wakes().poke_due();
    }
}

/// The bounds that a task began under.
fn seen_limits(facts: &TaskFacts) -> SeenLimits {
    facts.request.entry.as_ref().map(|entry| entry.limits.clone()).unwrap_or_default()
}

/// What an agent may do outside: what its card asks for, as far as the operator allows it.
pub(super) fn grants(granted: AgentGrants, card: &AgentDescription) -> Grants {
    let asked = card.requests.iter().filter(|request| request.kind == "http");
    // A rule that does not read asks for nothing; loading an agent says so.
    let asked = asked.filter_map(|request| request.name.parse().ok()).collect();
    // Agents of the same host serve the same operator: what the card asks for is granted.
    let peers = card.requests.iter().filter(|request| request.kind == "peer");
    let peers = peers.map(|request| request.name.clone()).collect();
    let credentials = card.requests.iter().filter(|request| request.kind == "credential");
    let names = credentials.map(|request| request.name.clone()).collect();
    Grants { asked: names, policy: Arc::new(Policy::new(asked, granted.http)), credentials: granted.credentials, peers }
}

impl Supervisor {
    /// Generation after generation, until one is not a checkpoint.
    async fn run_to_end(
        &mut self,
        agent: &kennel_sandbox::Agent,
        parts: run::Parts,
        journal: JournalEnd,
        mut reply: Option<tokio::sync::oneshot::Sender<BareEnd>>,
    ) {
        let mut replay_cpu_max = REPLAY_FACTOR * Duration::from_micros(journal.cpu_us) + REPLAY_LEAST;
        let (mut turn, mut begin) = match self.first_turn(&parts, journal).await {
            Ok(first) => first,
            Err(error @ StoreError::Corrupt(_)) => {
                let error = host_failure("journal", &format!("The task's checkpoint cannot be read: {error}."));
                return self.end(End::Error(error), None).await;
            }
            Err(_) => {
                let reason = "its checkpoint could not be read";
                return self.give_back(Attempt::DoesNotCount, reason, RETRY_AFTER).await;
            }
        };
        let info = run::info(&parts);
        let entry = parts.facts.request.entry.clone().unwrap_or_default();
        loop {
            if self.opening.is_none() && self.facts.begin(&self.lane).await.is_err() {
                return self.give_back(Attempt::DoesNotCount, "the store refused the task", RETRY_AFTER).await;
            }
            let running = agent.run(Run {
                turn: turn.clone(),
                info: info.clone(),
                settings: entry.settings.clone(),
                credentials: entry.credentials.clone(),
                seed: run::seed(&parts, begin.generation),
                limits: entry.limits.sandbox(&self.worker.sandbox_limits),
                replay_cpu_max,
                calls: Box::new(self.activation(&turn, begin)),
            });
            let control = running.control();
            let mut finish = std::pin::pin!(running.finish());
            let finished = match self.watch(finish.as_mut(), &control).await {
                Over::Ended(finished) => *finished,
                over => {
                    control.stop();
                    // What it did until now is in the lane; nothing comes after.
                    let finished = finish.await;
                    match (over, &finished.end) {
                        (Over::Lost, _) => return,
                        (Over::Forced, _) => return self.end_by_force().await,
                        (Over::Leave | Over::Ended(_), End::Stopped) => return self.leave().await,
                        // It ended just then.
                        (Over::Leave | Over::Ended(_), _) => finished,
                    }
                }
            };
            let shown = finished.shown;
            match self.judge(finished.end) {
                End::Outcome(Outcome::Checkpoint(bytes)) => {
                    match self.checkpoint(&bytes, begin.generation, shown).await {
                        Ok(next) => {
                            turn = Turn { message: turn.message, checkpoint: Some(bytes), generation: next.generation };
                            begin = next;
                            replay_cpu_max = REPLAY_LEAST;
                        }
                        Err(Dead) => {
                            let reason = "a checkpoint could not be written";
                            return self.give_back(Attempt::DoesNotCount, reason, RETRY_AFTER).await;
                        }
                    }
                }
                end if self.opening.is_some() => return self.end(end, reply.take()).await,
                end => return self.end(in_task(end, agent.card().reply_mode), None).await,
            }
        }
    }

    /// Where the task stands: at its first message, or at its last checkpoint.
    async fn first_turn(&self, parts: &run::Parts, journal: JournalEnd) -> Result<(Turn, Begin), StoreError> {
        let message = parts.message.clone();
        let Some((row, (bytes, _))) = journal.checkpoint.and_then(|row| row.answer.clone().map(|answer| (row, answer)))
        else {
            let now = Moment::from(parts.facts.created);
            let begin =
                Begin { generation: 1, idx: 0, last: journal.last, now, rows_max: self.facts.limits.journal_rows_max };
            return Ok((Turn { message, checkpoint: None, generation: 1 }, begin));
        };
        self.restore(&row.request).await?;
        let now = Moment::from_micros(row.asked_us);
        let begin = Begin {
            generation: row.generation,
            idx: row.idx,
            last: journal.last,
            now,
            rows_max: self.facts.limits.journal_rows_max,
        };
        Ok((Turn { message, checkpoint: Some(bytes), generation: row.generation }, begin))
    }

    /// Goes on from the books of a checkpoint.
    async fn restore(&self, books: &str) -> Result<(), StoreError> {
        let corrupt =
            |error: &dyn std::fmt::Display| StoreError::Corrupt(format!("the books of a checkpoint: {error}"));
        let books = Books::read(books).map_err(|error| corrupt(&error))?;
        self.artifacts().restore(books.artifacts);
        self.pendings.restore(&books.pendings);
        for open in books.pendings.open {
            let row = self.worker.store.journal_after(self.lane.claim().key(), open.1 - 1, 1).await?.pop();
            let recorded = row.and_then(|row| row.answer).map(|(result, _)| serde_json::from_slice(&result));
            let recorded = recorded.transpose().map_err(|error| corrupt(&error))?;
            self.pendings.restore_one(open, recorded.and_then(outcome_of));
        }
        Ok(())
    }

    fn artifacts(&self) -> std::sync::MutexGuard<'_, Artifacts> {
        self.artifacts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn activation(&self, turn: &Turn, begin: Begin) -> Activation {
        let facts = &self.facts;
        let key = self.lane.claim().key().clone();
        let taken = facts.past.iter().filter(|inbound| begin.generation > 1 && inbound.taken.is_some());
        let mut references = activation::references(&turn.message);
        references.extend(taken.flat_map(|inbound| activation::references(&inbound.message)));
        let kept = facts.retry.iter().filter(|retry| retry.begin == begin.idx);
        Activation {
            facts: Arc::clone(facts),
            lane: self.lane.clone(),
            journal: Journal::new(Source::Store(Arc::clone(&facts.store)), key, Arc::clone(&facts.course), begin),
            gate: self.gate.clone(),
            artifacts: Arc::clone(&self.artifacts),
            pendings: Arc::clone(&self.pendings),
            settled: false,
            inbox: Inbox::new(self.mailroom.watch()),
            values: facts.values.clone(),
            opening: self.opening.clone(),
            references,
            kept: kept.flat_map(|retry| retry.answers.clone()).collect(),
            told: false,
            canceled: None,
        }
    }

    /// Waits for the guest, and meanwhile brings it what arrives and keeps its time.
    async fn watch(&mut self, mut finish: Pin<&mut impl Future<Output = Finished>>, control: &Control) -> Over {
        let mut opens_at = self.opening.as_ref().map(|_| Instant::now() + AUTO_OPENS_AFTER);
        let mut course = self.facts.course.watch();
        let (stopping, drained) = (self.worker.stopping.clone(), self.worker.drained.clone());
        let broker = Arc::clone(&self.worker.broker);
        let mut pressure = self.worker.memory_pressure.clone();
        let mut allowed = self.worker.allowed.watch();
        allowed.mark_changed();
        let mut leaves_at = None;
        loop {
            let stand = *course.borrow_and_update();
            let waits = stand.wait.is_some();
            leaves_at = leaves_at.filter(|_| waits).or_else(|| waits.then(|| Instant::now() + self.grace()));
            if stand.live && self.force_at.is_none() && self.mailroom.cancel().is_some() {
                // The grace is for new work: repeating what was done before does not use it up.
                self.force_at = Instant::now().checked_add(self.facts.limits.cancel_grace);
            }
            tokio::select! {
                finished = &mut finish => return Over::Ended(Box::new(finished)),
                changed = course.changed() => if changed.is_err() { return Over::Leave },
                () = self.subscription.inbox_changed() => {
                    if self.look_into_inbox().await {
                        control.stop();
                        return Over::Lost;
                    }
                }
                () = at(self.force_at) => return Over::Forced,
                () = at(self.expires_at) => {
                    self.expires_at = None;
                    self.mailroom.deadline(self.worker.store.clock().now());
                }
                () = at(opens_at) => {
                    opens_at = None;
                    if !self.open().await {
                        return Over::Lost;
                    }
                }
                () = at(leaves_at), if waits => return Over::Leave,
                () = broker.pressed(), if waits => return Over::Leave,
                // Seen once the wait has begun, also if it changed before.
                _ = allowed.changed(), if waits && self.asks() => if self.is_outdated() { return Over::Leave },
                () = short_of(&mut pressure), if waits && control.holds_memory() => return Over::Leave,
                () = stopping.cancelled(), if stand.wait.is_some_and(|wait| self.outlasts_drain(wait)) => return Over::Leave,
                () = drained.cancelled() => return Over::Leave,
            }
        }
    }

    /// Whether the task waits for authorization.
    fn asks(&self) -> bool {
        self.lane.with_fold(|fold, _| fold.status.state == TaskState::AuthRequired)
    }

    /// Whether the operator allows something else by now: a fresh activation finds it.
    fn is_outdated(&self) -> bool {
        !Arc::ptr_eq(&self.facts.all_grants, &self.worker.allowed.all())
    }

    /// How long a wait keeps its instance.
    fn grace(&self) -> Duration {
        match self.lane.is_tried() {
            true => TRIED_GRACE,
            false => self.worker.limits.grace,
        }
    }

    /// Whether a wait is none that ends by itself before a stopping host does.
    fn outlasts_drain(&self, wait: Wait) -> bool {
        let left = wait.due.map(|due| due.millis().saturating_sub(self.worker.store.clock().now().millis()));
        let drain_ms = i64::try_from(self.worker.limits.drain.as_millis()).unwrap_or(i64::MAX);
        wait.listens.is_some() || left.is_none_or(|left| left > drain_ms)
    }

    /// Makes the task of an `auto` run exist. False: the store refused it.
    async fn open(&self) -> bool {
        match &self.opening {
            Some(opening) => opening.open().await && self.facts.begin(&self.lane).await.is_ok(),
            None => true,
        }
    }

    /// Reads what came. True: another holder has the task.
    async fn look_into_inbox(&mut self) -> bool {
        let stops = loop {
            match self.mailroom.refresh().await {
                Ok(stops) => break stops,
                Err(error) => {
                    tracing::warn!(task.id = %self.facts.subject.task, %error, "an inbox could not be read; trying again");
                    tokio::time::sleep(kennel_store::FALLBACK_POLL).await;
                }
            }
        };
        for (n, stop) in stops {
            if self.heard.insert(n) {
                // Where the child stands is read from its log: the row has done its work.
                self.pendings.child_stopped(&stop.task, stop.seq);
                self.lane.take(n);
            }
        }
        self.mailroom.fenced(self.lane.claim().epoch())
    }

    /// What a run's end is worth: a broken journal goes before it, and one that comes before the journal's end is no end.
    fn judge(&self, end: End) -> End {
        if let Some(error) = self.facts.course.broken() {
            return End::Error(error);
        }
        let ended = matches!(end, End::Outcome(_) | End::Error(_));
        if ended && !self.facts.course.stand().live {
            let text = format!(
                "The work could not be repeated: the agent ended where the journal has call {}.",
                self.facts.course.next()
            );
            return End::Error(host_failure("journal", &text));
        }
        end
    }

    /// Writes what the next generation starts from.
    async fn checkpoint(&mut self, bytes: &Bytes, generation: u32, shown: Moment) -> Result<Begin, Dead> {
        self.gate.settle().await?;
        let idx = self.facts.course.count();
        // Readings move a guest's clock by themselves, perhaps beyond ours: the next generation's must not go back.
        let now = shown.after(Duration::from_micros(1)).max(self.worker.store.clock().now().into());
        let books = Books { artifacts: self.artifacts().books(), pendings: self.pendings.books() };
        let result = self.lane.stored(bytes.to_vec()).await?;
        let generation = generation.saturating_add(1);
        let row = NewCall {
            idx,
            generation,
            call: CHECKPOINT,
            hash: Sha256::digest(bytes).into(),
            request: books.text(),
            answer: Some(NewAnswer { result, at_us: now.micros() }),
            seq: None,
            due: None,
            asked_us: now.micros(),
            cpu_us: 0,
        };
        self.lane.record(row, When::Now { taken: None }).await?;
        self.lane.flush().await?;
        // Messages that the last generation took are not handed out again.
        self.look_into_inbox().await;
        Ok(Begin { generation, idx, last: idx, now, rows_max: self.facts.limits.journal_rows_max })
    }

    /// Gives the instance's place up: the task waits in the store, or goes on at the next claim.
    async fn leave(&mut self) {
        // Progress that was held back is not left to a timer of somebody who is gone.
        self.gate.settle().await.ok();
        // What the agent has not seen yet would wake nobody.
        let wait = self.facts.course.stand().wait.filter(|wait| !(wait.children && self.pendings.have_news()));
        let Some(wait) = wait else {
            return self.give_back(Attempt::DoesNotCount, "the host stopped", Duration::ZERO).await;
        };
        let due = wait.due.map_or(self.expires, |due| due.min(self.expires));
        // Before the commit after which somebody may claim it.
        self.hold = None;
        if self.lane.release(Wait { due: Some(due), ..wait }).await.is_err() {
            return self
                .give_back(Attempt::DoesNotCount, "something came when it was about to wait", Duration::ZERO)
                .await;
        }
        // Looked at after the commit: what is allowed from now on finds it parked.
        if self.asks()
            && self.is_outdated()
            && let Err(error) = self.worker.store.wake(self.lane.claim().key()).await
        {
            tracing::warn!(task.id = %self.facts.subject.task, %error, "a task that waits for a credential was not woken");
        }
    }

    async fn end(&mut self, end: End, reply: Option<tokio::sync::oneshot::Sender<BareEnd>>) {
        if let End::Trap(trap) = &end {
            report_trap(&self.facts.subject.task, trap);
        }
        let Some(end) = self.end_unopened(end, reply).await else { return };
        // A fault of the host is no try of the agent's.
        let is_excused = matches!(end, End::HostFault) || self.lane.is_excused();
        let canceled = self.mailroom.cancel().is_some();
        let last = last(end, canceled);
        if matches!(last, Last::None) {
            let attempt = if is_excused { Attempt::DoesNotCount } else { Attempt::Counts };
            return self.give_back(attempt, "the run was given up", RETRY_AFTER).await;
        }
        if !matches!(last, Last::State(Step::Complete | Step::Reject, ..)) && self.cancel_children().await.is_err() {
            let reason = "the tasks it had sent were not asked to stop";
            return self.give_back(Attempt::DoesNotCount, reason, RETRY_AFTER).await;
        }
        if self.finish(last).await.is_err() {
            self.give_back(Attempt::DoesNotCount, "the end could not be written", RETRY_AFTER).await;
        }
    }

    /// The reply mode `auto`: a bare reply of a task that never opened is the answer; in one that did, it is its last message. Anything
    /// else opens the task, so that there is one that can end.
    async fn end_unopened(&mut self, end: End, reply: Option<tokio::sync::oneshot::Sender<BareEnd>>) -> Option<End> {
        let Some(opening) = self.opening.clone() else { return Some(end) };
        if let End::Outcome(Outcome::Reply(draft)) = end {
            if !opening.abandon().await {
                return Some(End::Outcome(Outcome::Completed(Some(draft))));
            }
            let message = bare::message(&self.facts.subject, draft);
            if let Some(reply) = reply {
                // A client that went away does not hear it.
                reply.send(BareEnd::Reply(Box::new(message))).ok();
            }
            return None;
        }
        self.open().await.then_some(end)
    }

    async fn finish(&self, last: Last) -> Result<(), Dead> {
        let call = self.facts.course.next();
        let ending = Ending { facts: &self.facts, lane: &self.lane, gate: &self.gate, call };
        ending.write(&self.artifacts, last).await
    }

    /// Before the end is written: a host that dies in between does it again.
    async fn cancel_children(&self) -> Result<(), StoreError> {
        peers::cancel_children(&self.worker.store, self.lane.claim().key(), &self.facts.scope).await
    }

    /// Epoch + 1 and CANCELED. What was queued may go first, for a moment; a completion that is on disk wins.
    async fn end_by_force(&self) {
        tokio::time::timeout(FORCE_FLUSH_MAX, self.lane.flush()).await.ok();
        if let Err(error) = self.cancel_children().await {
            tracing::warn!(task.id = %self.facts.subject.task, %error, "tasks that it had sent were not asked to stop");
        }
        let event = self.facts.subject.status(TaskState::Canceled, None, self.worker.store.clock().now());
        let event = Bytes::from(serde_json::to_vec(&event).unwrap_or_default());
        while let Err(error) = self.worker.store.end_by_force(self.lane.claim(), event.clone()).await {
            tracing::warn!(task.id = %self.facts.subject.task, %error, "the end by force waits for the store");
            if self.worker.commits.is_closed() {
                return;
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    async fn give_back(&mut self, attempt: Attempt, reason: &str, after: Duration) {
        self.lane.flush().await.ok();
        self.hold = None;
        let given = self.worker.store.give_back(self.lane.claim(), attempt, reason, after).await;
        if let Err(error) = given {
            // The lease is found without a holder within 5 s, or at the next start.
            tracing::warn!(task.id = %self.facts.subject.task, %error, "a lease was not given back");
        }
    }
}

/// The reply of an agent that may answer without a task, where there is one (the client did not want to wait, it runs again, another
/// agent sent it), is the task's last message.
fn in_task(end: End, mode: ReplyMode) -> End {
    match end {
        End::Outcome(Outcome::Reply(draft)) if mode != ReplyMode::Task => End::Outcome(Outcome::Completed(Some(draft))),
        end => end,
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Waits until guests wait for memory.
async fn short_of(memory: &mut watch::Receiver<usize>) {
    if memory.wait_for(|waiting| *waiting > 0).await.is_err() {
        std::future::pending().await
    }
}

/// The operator sees the panic text and the backtrace; the client got one public sentence.
pub(crate) fn report_trap(task: &TaskId, trap: &Trap) {
    tracing::warn!(task.id = %task, reason = trap.reason.name(), "an agent was ended: {}\n{}", trap.public, trap.operator);
}

/// FAILED without a run: the reason is the host's.
pub(crate) fn host_failure(code: &str, text: &str) -> GuestError {
    GuestError::new(kennel_sandbox::call::ErrorKind::Failed, code, text)
}
