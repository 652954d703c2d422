//! The store as its callers see it.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use kennel_protocol::types::{Message, StreamResponse, Task, TaskState};
use kennel_protocol::{AgentId, Digest, Epoch, Seq, TaskId, TenantId, Timestamp};
use rusqlite::Connection;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::child::{self, Family};
use crate::clock::Clock;
use crate::db::Readers;
use crate::error::{OpenError, StoreError};
use crate::journal::{JournalEnd, JournalRow};
use crate::kv::{KvChange, KvEntry, KvExpect, KvKey, KvRange, KvUse, KvWrite};
use crate::read::{Asking, EventRow, ListFilter, Listed, Page, TaskView, Waiting};
use crate::registry::AgentRow;
use crate::room::{Room, Rooms, SMALL_BYTES_MAX};
use crate::rows::{
    Attempt, CancelOrder, Canceling, Claim, Claimable, ClaimedRun, Commit, Committed, Delivered, Delivery, NewTask,
    Scope, Start, Stored, TakenOver,
};
use crate::trial::Trial;
use crate::wake::{FALLBACK_POLL, Pokes, Subscription, Sweep, TaskKey, Wakes};
use crate::writer::{
    self, Again, Callback, ClaimOrder, CommitOp, EndByForce, GiveBack, InLine, LateOp, Op, Outcome, SetAgent, Wake,
    WriterHandle,
};
use crate::{blob, claims, kv, open, read, registry, room, whole};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Whether commits are announced.
    pub pokes: Pokes,
    /// The clock of the host.
    pub clock: Clock,
    /// Faults that a test asks for.
    pub trial: Trial,
}

/// The database of one host. Shared by reference; closed by [`Store::close`].
#[derive(Debug)]
pub struct Store {
    handle: WriterHandle,
    closing: CancellationToken,
    broken: CancellationToken,
    running: Mutex<Option<Running>>,
    readers: Arc<Readers>,
    pub(crate) rooms: Rooms,
    wakes: Arc<Wakes>,
    clock: Clock,
    suspects: claims::Suspects,
    #[cfg(test)]
    pub(crate) faults: Arc<writer::Faults>,
    /// Released when the store is dropped, by kill -9 too.
    _lock: File,
}

/// What runs beside the callers.
#[derive(Debug)]
struct Running {
    writing: oneshot::Receiver<Connection>,
    sweeping: JoinHandle<()>,
}

/// A claim of a task that is about to be accepted with a slot: epoch 1. None if it is to queue.
pub fn claim_of(new: &NewTask) -> Option<Claim> {
    (new.start == Start::Leased).then(|| Claim { key: new.key.clone(), epoch: Epoch::new(1) })
}

impl Store {
    /// Opens or makes the database in a folder. Errors name cause and cure; nothing is repaired silently. Runs of the former
    /// incarnation of this host are claimable again when it returns.
    pub async fn open(folder: &Path, options: StoreOptions) -> Result<Store, OpenError> {
        let (path, now, trial) = (folder.to_owned(), options.clock.now(), options.trial);
        let opened = tokio::task::spawn_blocking(move || open_files(&path, now, trial)).await;
        let fault = |reason: String| OpenError::Path { path: folder.to_owned(), reason };
        let Opened { connection, readers, lock } = opened.map_err(|error| fault(error.to_string()))??;
        let readers = Arc::new(readers);
        let wakes = Wakes::new(options.pokes);
        let (closing, broken) = (CancellationToken::new(), CancellationToken::new());
        #[cfg(test)]
        let faults = Arc::new(writer::Faults::default());
        let (handle, writing) = writer::start(writer::Parts {
            connection,
            wakes: Arc::clone(&wakes),
            now,
            crash: trial.crash,
            broken: broken.clone(),
            #[cfg(test)]
            faults: Arc::clone(&faults),
        })
        .map_err(|error| fault(error.to_string()))?;
        #[expect(clippy::disallowed_methods, reason = "awaited in close")]
        let sweeping = tokio::spawn(sweep(Arc::clone(&wakes), Arc::clone(&readers), closing.clone()));
        Ok(Store {
            handle,
            closing,
            broken,
            running: Mutex::new(Some(Running { writing, sweeping })),
            readers,
            rooms: Rooms::default(),
            wakes,
            clock: options.clock,
            suspects: claims::Suspects::default(),
            #[cfg(test)]
            faults,
            _lock: lock,
        })
    }

    /// Writes what is queued and closes the files. Later writes answer `Unavailable`.
    pub async fn close(&self) {
        self.closing.cancel();
        let Some(running) = self.running.lock().await.take() else { return };
        if let Err(error) = running.sweeping.await {
            tracing::error!(%error, "the sweep for lost wake-ups did not end well");
        }
        // Everything queued before it is written first, however long that takes.
        while let Err(StoreError::Busy { .. }) = self.handle.write(Op::Close).await {}
        let connection = running.writing.await.ok();
        let readers = Arc::clone(&self.readers);
        let closed = tokio::task::spawn_blocking(move || close_files(connection, &readers)).await;
        if let Err(error) = closed {
            tracing::error!(%error, "the store did not close well");
        }
    }

    /// The host's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns when the writer has panicked: then nothing is written any more, and the process should end.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Registers interest in a task's commits; before reading, so that none is missed.
    pub fn subscribe(&self, key: &TaskKey) -> Subscription {
        self.wakes.subscribe(key)
    }

    /// Wake-ups for whoever claims runs.
    pub fn wakes(&self) -> &Arc<Wakes> {
        &self.wakes
    }

    /// Makes a task exist. Returned means on disk.
    pub async fn accept(&self, new: NewTask) -> Result<(), StoreError> {
        self.begin_accept(new).await?.on_disk().await
    }

    /// Puts the accept of a task in line. Commits of its claim that are handed in once this has returned come after it, perhaps in the
    /// same transaction.
    pub async fn begin_accept(&self, new: NewTask) -> Result<Accepting, StoreError> {
        self.handle.line_up(Op::Create(Box::new(new))).await.map(Accepting)
    }

    /// The one write path of a claim holder.
    pub async fn commit(&self, claim: &Claim, commit: impl Into<Arc<Commit>>) -> Result<Committed, StoreError> {
        let op = CommitOp { claim: claim.clone(), commit: commit.into(), now: self.clock.now() };
        match self.handle.write(Op::Commit(Box::new(op))).await? {
            Outcome::Committed(committed) => Ok(committed),
            other => Err(unexpected(&other)),
        }
    }

    /// As [`Store::commit`], of what there is to write by the time at which the writer comes to it: `make` is called then, and `then` with
    /// what came of it, once it is on disk. Both on the writer's thread, so they must be short. None from `make`: there is nothing to
    /// write any more, and the answer is `Fenced`.
    pub fn commit_late(
        &self,
        claim: &Claim,
        make: impl FnOnce() -> Option<Arc<Commit>> + Send + 'static,
        then: impl FnOnce(Result<Committed, StoreError>) + Send + 'static,
    ) {
        let late = LateOp { claim: claim.clone(), make: Box::new(make), now: self.clock.now() };
        let then = Callback::new(move |outcome| {
            then(outcome.and_then(|outcome| match outcome {
                Outcome::Committed(committed) => Ok(committed),
                other => Err(unexpected(&other)),
            }));
        });
        self.handle.write_then(Op::Late(Box::new(late)), then);
    }

    /// As [`Store::accept`], of a task that takes over what a former one was told.
    pub async fn accept_again(&self, new: NewTask, past: TakenOver) -> Result<(), StoreError> {
        self.handle.write(Op::Again(Box::new(Again { new, past }))).await.map(drop)
    }

    /// Takes a client's message for a task that exists, or says why not.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Delivered, StoreError> {
        match self.handle.write(Op::Deliver(Box::new(delivery))).await? {
            Outcome::Delivered(delivered) => Ok(delivered),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes a request to stop.
    pub async fn cancel(&self, order: CancelOrder) -> Result<Canceling, StoreError> {
        match self.handle.write(Op::Cancel(Box::new(order))).await? {
            Outcome::Canceling(canceling) => Ok(canceling),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends a task CANCELED over the head of its activation; `Fenced` if it was over already or is somebody else's.
    pub async fn end_by_force(&self, claim: &Claim, event: Bytes) -> Result<Committed, StoreError> {
        let end = EndByForce { claim: claim.clone(), event, at: self.clock.now() };
        match self.handle.write(Op::EndByForce(Box::new(end))).await? {
            Outcome::EndedByForce(committed) => Ok(committed),
            other => Err(unexpected(&other)),
        }
    }

    /// Claims due runs of a kind, at most `limit`.
    pub async fn claim(&self, of: Claimable, limit: u32) -> Result<Vec<ClaimedRun>, StoreError> {
        let order = ClaimOrder { host: crate::HOST.into(), of, limit, now: self.clock.now() };
        match self.handle.write(Op::Claim(order)).await? {
            Outcome::Claimed(runs) => Ok(runs),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether any run of a kind could be claimed now; reads only, so that an idle host writes nothing.
    pub async fn has_due(&self, of: Claimable) -> Result<bool, StoreError> {
        let now = self.clock.now();
        self.readers.read(move |connection| claims::has_due(connection, of, now)).await
    }

    /// Gives a lease back. `after` is how long nobody should claim it.
    pub async fn give_back(
        &self,
        claim: &Claim,
        attempt: Attempt,
        reason: &str,
        after: std::time::Duration,
    ) -> Result<Committed, StoreError> {
        let after_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        let due = Timestamp::from_millis(self.clock.now().millis().saturating_add(after_ms));
        let back = GiveBack { claim: claim.clone(), attempt, reason: reason.to_owned(), due };
        match self.handle.write(Op::GiveBack(Box::new(back))).await? {
            Outcome::GivenBack(committed) => Ok(committed),
            other => Err(unexpected(&other)),
        }
    }

    /// A parked run may be claimed at once: it has something to go on with that does not stand in its inbox. Any other run is left alone.
    pub async fn wake(&self, key: &TaskKey) -> Result<(), StoreError> {
        let wake = Wake { key: key.clone(), at: self.clock.now() };
        self.handle.write(Op::Wake(Box::new(wake))).await.map(drop)
    }

    /// Parked tasks that have asked for authorization, ordered by id. `agents`: only theirs.
    pub async fn asking(
        &self,
        tenant: &TenantId,
        agents: Option<Vec<AgentId>>,
        after: Option<&TaskId>,
        limit: u32,
    ) -> Result<Vec<Asking>, StoreError> {
        let (tenant, after) = (tenant.clone(), after.map(TaskId::to_string).unwrap_or_default());
        self.readers.read(move |connection| read::asking(connection, &tenant, agents.as_deref(), (&after, limit))).await
    }

    /// Gives back runs that are leased to this host and that it holds neither now nor held at the call before; returns how many.
    pub async fn give_back_orphans(&self, held: &HashSet<TaskKey>) -> Result<usize, StoreError> {
        let orphans = self.suspects.look(self.readers.read(claims::leases).await?, held);
        let mut given_back = 0;
        for claim in &orphans {
            let back =
                self.give_back(claim, Attempt::DoesNotCount, "nobody held it", std::time::Duration::ZERO).await?;
            given_back += usize::from(matches!(back, Committed::Applied(_)));
        }
        Ok(given_back)
    }

    /// A task as it is now, if it is within the scope.
    pub async fn task(&self, scope: &Scope, task: &TaskId) -> Result<Option<TaskView>, StoreError> {
        self.task_at(scope, task, None).await
    }

    /// A task as it was at a rev.
    pub async fn task_at(&self, scope: &Scope, task: &TaskId, at: Option<Seq>) -> Result<Option<TaskView>, StoreError> {
        let key = scope.key(task);
        let view = self.readers.read(move |connection| read::task(connection, &key, at)).await?;
        Ok(view.filter(|view| scope.has(&view.row)))
    }

    /// As [`Store::task_at`] (none: as it is now), for a client that may be slow: a large task takes room, which is given back with the view.
    pub async fn task_for_client(
        &self,
        scope: &Scope,
        task: &TaskId,
        at: Option<Seq>,
    ) -> Result<Option<TaskView>, StoreError> {
        let key = scope.key(task);
        let small = self.readers.read(move |connection| match room::of_rows(connection, &key)? {
            bytes if bytes > SMALL_BYTES_MAX => Ok(Err(bytes)),
            _ => read::task(connection, &key, at).map(Ok),
        });
        let view = match small.await? {
            Ok(view) => view.filter(|view| scope.has(&view.row)),
            Err(bytes) => {
                let room = self.rooms.take(bytes).await?;
                self.task_at(scope, task, at).await?.map(|view| TaskView { room, ..view })
            }
        };
        Ok(view)
    }

    /// A task for its own claim holder.
    pub async fn held_task(&self, claim: &Claim) -> Result<Option<TaskView>, StoreError> {
        let key = claim.key.clone();
        self.readers.read(move |connection| read::task(connection, &key, None)).await
    }

    /// A task for the operator, whoever owns it.
    pub async fn anyones_task(&self, key: &TaskKey) -> Result<Option<TaskView>, StoreError> {
        let key = key.clone();
        self.readers.read(move |connection| read::task(connection, &key, None)).await
    }

    /// A page of tasks, newest status first. One whose tasks are large is shorter than was asked for.
    pub async fn list(&self, scope: &Scope, filter: &ListFilter) -> Result<Page, StoreError> {
        let (of, wanted) = (scope.clone(), filter.clone());
        let (ids, mut page) = match self.readers.read(move |connection| read::list(connection, &of, &wanted)).await? {
            Listed::Page(page) => return Ok(page),
            Listed::Large(ids, page) => (ids, page),
        };
        let mut bytes = 0;
        for id in ids {
            if bytes >= read::PAGE_BYTES_MAX {
                page.more = true;
                break;
            }
            match self.task_for_client(scope, &id, None).await {
                Ok(view) => {
                    bytes += view.as_ref().map_or(0, |view| view.room.bytes());
                    page.tasks.extend(view);
                }
                Err(StoreError::Crowded { .. }) if !page.tasks.is_empty() => {
                    page.more = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }

    /// Ids of the owner's other tasks in a context.
    pub async fn related_ids(
        &self,
        scope: &Scope,
        context: &str,
        except: &TaskId,
        limit: u32,
    ) -> Result<Vec<TaskId>, StoreError> {
        let (scope, context, except) = (scope.clone(), context.to_owned(), except.clone());
        self.readers.read(move |connection| read::related_ids(connection, &scope, &context, &except, limit)).await
    }

    /// Events after a seq, complete, at most `limit`, and fewer where they are large; none only if there are none.
    pub async fn events_after(&self, key: &TaskKey, after: Seq, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        whole::events_after(&self.readers, key, after, limit).await
    }

    /// Where a blocking call that brought message `n` ends, looking at events after `seen`; and up to where was looked.
    pub async fn stop_after(&self, key: &TaskKey, n: u32, seen: Seq) -> Result<(Option<Seq>, Seq), StoreError> {
        let key = key.clone();
        self.readers.read(move |connection| read::stop_after(connection, &key, n, seen)).await
    }

    /// How many tasks a task has sent, and how many there are below the top of its tree.
    pub async fn family(&self, key: &TaskKey, root: &TaskId) -> Result<Family, StoreError> {
        let (key, root) = (key.clone(), root.clone());
        self.readers.read(move |connection| child::family(connection, &key, &root)).await
    }

    /// The tasks that a task has sent, with the agents that work on them and how they stand.
    pub async fn children(&self, key: &TaskKey) -> Result<Vec<(TaskId, AgentId, TaskState)>, StoreError> {
        let key = key.clone();
        self.readers.read(move |connection| child::children(connection, &key)).await
    }

    /// The first stop of a task at a seq or after it.
    pub async fn first_stop(&self, key: &TaskKey, since: Seq) -> Result<Option<Seq>, StoreError> {
        let key = key.clone();
        self.readers.read(move |connection| read::first_stop(connection, &key, since)).await
    }

    /// What waits for the agent in a task's inbox.
    pub async fn waiting(&self, key: &TaskKey) -> Result<Option<Waiting>, StoreError> {
        let wanted = key.clone();
        let mut waiting = self.readers.read(move |connection| read::waiting(connection, &wanted)).await?;
        if let Some(found) = waiting.as_mut().filter(|found| found.blobs) {
            for inbound in &mut found.messages {
                self.complete_message(&key.tenant, &mut inbound.message).await?;
            }
        }
        Ok(waiting)
    }

    /// Moves the large contents of an event to their own rows, before the event's row is written.
    pub async fn cut_out(&self, tenant: &TenantId, event: &mut StreamResponse) -> Result<Vec<Digest>, StoreError> {
        blob::cut_out(&self.handle, tenant, read::event_parts(event)).await
    }

    /// As [`Store::cut_out`], for a client's message.
    pub async fn cut_out_message(&self, tenant: &TenantId, message: &mut Message) -> Result<Vec<Digest>, StoreError> {
        blob::cut_out(&self.handle, tenant, message.parts.iter_mut().collect()).await
    }

    /// Puts large contents back into a task.
    pub async fn complete(&self, tenant: &TenantId, task: &mut Task) -> Result<(), StoreError> {
        blob::put_back(&self.readers, tenant, read::task_parts(task)).await
    }

    /// As [`Store::complete`], for a client that may be slow: large contents take room.
    pub async fn complete_for_client(&self, tenant: &TenantId, task: &mut Task) -> Result<Room, StoreError> {
        let parts = read::task_parts(task);
        let digests: Vec<Digest> = parts.iter().flat_map(|part| blob::named(std::slice::from_ref(*part))).collect();
        if digests.is_empty() {
            return Ok(Room::default());
        }
        let of = tenant.clone();
        let bytes = self.readers.read(move |connection| room::of_contents(connection, &of, &digests)).await?;
        let room = self.rooms.take(bytes).await?;
        blob::put_back(&self.readers, tenant, parts).await?;
        Ok(room)
    }

    /// Puts large contents back into a message.
    pub async fn complete_message(&self, tenant: &TenantId, message: &mut Message) -> Result<(), StoreError> {
        blob::put_back(&self.readers, tenant, message.parts.iter_mut().collect()).await
    }

    /// Rows of a task's journal after a number, at most `limit`, in order.
    pub async fn journal_after(&self, key: &TaskKey, idx: u32, limit: u32) -> Result<Vec<JournalRow>, StoreError> {
        whole::journal_after(&self.readers, key, idx, limit).await
    }

    /// Where a task's journal stands.
    pub async fn journal_end(&self, key: &TaskKey) -> Result<JournalEnd, StoreError> {
        whole::journal_end(&self.readers, key).await
    }

    /// Makes bytes that may be large ready for a row: above 64 KiB they are written apart, and the row names them.
    pub async fn stored(&self, tenant: &TenantId, bytes: Bytes) -> Result<Stored, StoreError> {
        blob::stored(&self.handle, tenant, bytes).await
    }

    /// A durable value.
    pub async fn kv_entry(&self, tenant: &TenantId, at: &KvKey) -> Result<Option<KvEntry>, StoreError> {
        let (tenant, at) = (tenant.clone(), at.clone());
        self.readers.read(move |connection| kv::entry(connection, &tenant, &at)).await
    }

    /// Keys of a scope, in the order of their bytes.
    pub async fn kv_keys(&self, tenant: &TenantId, range: KvRange) -> Result<Vec<String>, StoreError> {
        let tenant = tenant.clone();
        self.readers.read(move |connection| kv::keys(connection, &tenant, &range)).await
    }

    /// How full the scope of a key is.
    pub async fn kv_used(&self, tenant: &TenantId, at: &KvKey) -> Result<KvUse, StoreError> {
        let (tenant, at) = (tenant.clone(), at.clone());
        self.readers.read(move |connection| kv::used(connection, &tenant, &at)).await
    }

    /// Changes a value for a run that has no task, and so no journal. False: it is not what was expected, and nothing was written.
    pub async fn kv_change(
        &self,
        tenant: &TenantId,
        write: KvWrite,
        expect: Option<KvExpect>,
    ) -> Result<bool, StoreError> {
        let change = KvChange { tenant: tenant.clone(), write, expect };
        match self.handle.write(Op::Kv(Box::new(change))).await? {
            Outcome::Changed(changed) => Ok(changed),
            other => Err(unexpected(&other)),
        }
    }

    /// Stores a component and makes it the active version of an agent.
    pub async fn set_agent(&self, tenant: &TenantId, name: &AgentId, component: Bytes) -> Result<Digest, StoreError> {
        let size = component.len() as u64;
        let digest = blob::put(&self.handle, tenant, component).await?;
        let set = SetAgent { tenant: tenant.clone(), name: name.clone(), digest, size, at: self.clock.now() };
        self.handle.write(Op::SetAgent(Box::new(set))).await?;
        Ok(digest)
    }

    /// Takes an agent out of the registry; its versions stay for the tasks that are pinned to them.
    pub async fn remove_agent(&self, tenant: &TenantId, name: &AgentId) -> Result<(), StoreError> {
        self.handle.write(Op::RemoveAgent(tenant.clone(), name.clone())).await.map(drop)
    }

    /// The agents that were active when the host last ran.
    pub async fn agents(&self, tenant: &TenantId) -> Result<Vec<AgentRow>, StoreError> {
        let tenant = tenant.clone();
        self.readers.read(move |connection| registry::all(connection, &tenant)).await
    }

    /// The versions that are active, and those that tasks go on with. Looks at each task that is not over.
    pub async fn needed_versions(&self, tenant: &TenantId) -> Result<HashSet<Digest>, StoreError> {
        let tenant = tenant.clone();
        self.readers.read(move |connection| registry::needed(connection, &tenant)).await
    }

    /// The bytes of a component.
    pub async fn component(&self, tenant: &TenantId, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        let (tenant, digest) = (tenant.clone(), *digest);
        self.readers.read(move |connection| blob::get(connection, &tenant, &digest)).await
    }
}

/// An accept that is in line.
#[derive(Debug)]
pub struct Accepting(InLine);

impl Accepting {
    /// Returns when the task is on disk. Dropped, the accept still happens.
    pub async fn on_disk(self) -> Result<(), StoreError> {
        self.0.written().await.map(drop)
    }
}

impl Drop for Store {
    /// One that was not closed ends its parts too; nothing waits for them.
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// What opening a folder gives.
struct Opened {
    connection: Connection,
    readers: Readers,
    lock: File,
}

/// All of opening that touches the disk: it blocks.
fn open_files(folder: &Path, now: Timestamp, trial: Trial) -> Result<Opened, OpenError> {
    open::check_library()?;
    let files = open::Files::of(folder)?;
    let lock = files.lock()?;
    let connection = open::writer(&files.database)?;
    let reclaimed = claims::reclaim_all(&connection, now.millis());
    let reclaimed = reclaimed.map_err(|error| open::refuse(&files.database, &error))?;
    if reclaimed > 0 {
        tracing::info!(tasks = reclaimed, "tasks of the former run of this host go on");
    }
    if let Some(pages) = trial.pages_max {
        open::bound(&connection, pages).map_err(|error| open::refuse(&files.database, &error))?;
    }
    let readers = open::readers(&files.database)?;
    Ok(Opened { connection, readers, lock })
}

/// The writer's connection last: it then moves all of the log into the database file, which readers cannot.
fn close_files(connection: Option<Connection>, readers: &Readers) {
    readers.close();
    match connection.map(Connection::close) {
        Some(Ok(())) => {}
        Some(Err((_, error))) => {
            tracing::warn!(%error, "the database did not close cleanly; it recovers at the next start");
        }
        None => tracing::error!("the writer panicked"),
    }
}

/// Finds what pokes have missed, until the store closes.
async fn sweep(wakes: Arc<Wakes>, readers: Arc<Readers>, closing: CancellationToken) {
    let mut sweep = Sweep::default();
    while closing.run_until_cancelled(tokio::time::sleep(FALLBACK_POLL)).await.is_some() {
        if let Err(error) = sweep.look(&wakes, &readers).await {
            tracing::warn!(%error, "watched tasks could not be read; looking again");
        }
    }
}

/// The writer answers each op with the outcome of its kind.
fn unexpected(outcome: &Outcome) -> StoreError {
    StoreError::Unavailable(format!("the writer gave an answer of the wrong kind: {outcome:?}"))
}
