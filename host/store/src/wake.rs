//! Wake-ups after a commit: an id, and no data but a short task at its stop. Whoever is woken reads the store again.
//!
//! A poke may be lost (they can all be switched off): a sweep reads where the watched tasks stand twice a second and pokes for
//! what moved unseen. One statement sweeps for everybody, so a waiting stream or agent costs no reads of its own.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kennel_protocol::fold::Fold;
use kennel_protocol::{Seq, TaskId, TenantId, Timestamp};
use rusqlite::Connection;
use tokio::sync::{Notify, watch};

use crate::claims::id;
use crate::db::{Readers, query, text};
use crate::error::StoreError;

/// How long anybody waits for a poke before looking anyway.
pub const FALLBACK_POLL: Duration = Duration::from_millis(500);

/// Timers of parked runs that are kept in mind, so that they are not late: the next ones only, because the poll finds all others.
const TIMERS_MAX: usize = 1024;
/// How far away such a timer may be.
const TIMER_WITHIN_MS: i64 = 10_000;

/// A task within its tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskKey {
    /// Whose data it is.
    pub tenant: TenantId,
    /// The task.
    pub task: TaskId,
}

/// Whether committed changes are announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pokes {
    /// The normal case.
    On,
    /// Everything is found by polling; used by tests to show that nothing depends on a poke.
    Off,
}

/// What was committed for a task: counted, so that a watcher sees that something is new, not what. The one thing that is handed on
/// is a short task at its stop.
#[derive(Clone, Debug, Default)]
struct Marks {
    inbox: u64,
    /// News after which whoever waits for a stop looks.
    looks: u64,
    /// Whether anything but its log has been committed since it is watched: a message, a child, or nobody knows what.
    beside: bool,
    stop: Option<Stop>,
}

/// A task as the commit that brought it to a stop left it.
///
/// It travels with the acknowledgement of that commit, so it is as good as the rows that the COMMIT has written: nobody has it before.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Its log after that commit.
    pub rev: Seq,
    /// All of its log, folded.
    pub fold: Arc<Fold>,
}

/// What moved in a task.
#[derive(Clone, Debug)]
pub(crate) enum Moved {
    /// Its log, by a commit without a stop.
    Step,
    /// Its log, up to a stop.
    Stop(Stop),
    /// Its log only, perhaps up to a stop.
    Log,
    /// Its inbox, and perhaps its log.
    Inbox,
    /// Its children: nobody waits for that.
    Children,
}

impl Marks {
    /// Notes what moved. False: nobody waits for that.
    fn note(&mut self, moved: Moved) -> bool {
        self.beside |= matches!(moved, Moved::Inbox | Moved::Children);
        self.inbox += u64::from(matches!(moved, Moved::Inbox));
        self.looks += u64::from(matches!(moved, Moved::Stop(_) | Moved::Log | Moved::Inbox));
        let nobody_waits = matches!(moved, Moved::Children);
        match moved {
            Moved::Step => {}
            Moved::Stop(stop) if !self.beside => self.stop = Some(stop),
            Moved::Stop(_) | Moved::Log | Moved::Inbox | Moved::Children => self.stop = None,
        }
        !nobody_waits
    }
}

/// Who waits for what. One per store.
#[derive(Debug)]
pub struct Wakes {
    pokes: Pokes,
    tasks: Mutex<HashMap<TaskKey, watch::Sender<Marks>>>,
    due: Notify,
    /// When runs become due, in milliseconds UTC.
    timers: Mutex<BinaryHeap<Reverse<i64>>>,
}

impl Wakes {
    pub(crate) fn new(pokes: Pokes) -> Arc<Wakes> {
        Arc::new(Wakes { pokes, tasks: Mutex::new(HashMap::new()), due: Notify::new(), timers: Mutex::default() })
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<TaskKey, watch::Sender<Marks>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers interest in a task. Register before reading, then wait: a commit in between is not missed.
    pub(crate) fn subscribe(self: &Arc<Self>, key: &TaskKey) -> Subscription {
        let receiver = match self.tasks().entry(key.clone()) {
            Entry::Occupied(known) => known.get().subscribe(),
            Entry::Vacant(free) => {
                let (sender, receiver) = watch::channel(Marks::default());
                free.insert(sender);
                receiver
            }
        };
        let (inbox, looks) = {
            let marks = receiver.borrow();
            (marks.inbox, marks.looks)
        };
        Subscription { key: key.clone(), receiver: Some(receiver), inbox, looks, wakes: Arc::clone(self) }
    }

    /// Tasks that somebody waits for.
    #[cfg(test)]
    pub(crate) fn watched(&self) -> usize {
        self.tasks().len()
    }

    /// Says that something of this task was committed.
    pub(crate) fn poke(&self, key: &TaskKey, moved: Moved) {
        if self.pokes == Pokes::On {
            self.announce(key, moved);
        }
    }

    fn announce(&self, key: &TaskKey, moved: Moved) {
        if let Some(sender) = self.tasks().get(key) {
            sender.send_if_modified(|marks| marks.note(moved));
        }
    }

    /// Says that a run may be claimed.
    pub fn poke_due(&self) {
        if self.pokes == Pokes::On {
            self.due.notify_one();
        }
    }

    /// Says that a run was parked until a moment.
    pub(crate) fn park(&self, now: Timestamp, due: Timestamp) {
        let mut timers = self.timers();
        if self.pokes == Pokes::On
            && timers.len() < TIMERS_MAX
            && due.millis().saturating_sub(now.millis()) < TIMER_WITHIN_MS
        {
            timers.push(Reverse(due.millis()));
        }
    }

    fn timers(&self) -> MutexGuard<'_, BinaryHeap<Reverse<i64>>> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a run may have become due, at most for the fallback poll.
    pub async fn due(&self, now: Timestamp) {
        let next = self.timers().peek().map(|Reverse(due)| due.saturating_sub(now.millis()));
        let next = next.map_or(FALLBACK_POLL, |left| Duration::from_millis(u64::try_from(left).unwrap_or(0)));
        // The time-out is as good an end as the poke: both mean "look".
        if tokio::time::timeout(next.min(FALLBACK_POLL), self.due.notified()).await.is_err() && next <= FALLBACK_POLL {
            self.timers().pop();
        }
    }
}

/// Where a task stood when the sweep last looked.
type Stand = (i64, i64);

/// What finds the pokes that were lost.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    seen: HashMap<TaskKey, Stand>,
}

impl Sweep {
    /// Looks once at all watched tasks and pokes for those that moved since the last look. A task seen for the first time is poked too:
    /// it may have moved since its watcher read it.
    pub(crate) async fn look(&mut self, wakes: &Wakes, readers: &Readers) -> Result<(), StoreError> {
        let mut by_tenant: HashMap<TenantId, Vec<TaskId>> = HashMap::new();
        for key in wakes.tasks().keys() {
            by_tenant.entry(key.tenant.clone()).or_default().push(key.task.clone());
        }
        let mut now = HashMap::with_capacity(self.seen.len());
        for (tenant, tasks) in by_tenant {
            let stands = readers.read(move |connection| stands(connection, &tenant, &tasks)).await?;
            for (key, stand) in stands {
                if let Some(moved) = moved(self.seen.get(&key), &stand) {
                    wakes.announce(&key, moved);
                }
                now.insert(key, stand);
            }
        }
        self.seen = now;
        Ok(())
    }
}

fn moved(before: Option<&Stand>, now: &Stand) -> Option<Moved> {
    match before {
        Some(before) if before == now => None,
        Some((_, inbox)) if *inbox == now.1 => Some(Moved::Log),
        Some(_) | None => Some(Moved::Inbox),
    }
}

fn stands(connection: &Connection, tenant: &TenantId, tasks: &[TaskId]) -> Result<Vec<(TaskKey, Stand)>, StoreError> {
    let wanted = serde_json::to_string(tasks).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    query(
        connection,
        "SELECT id, rev, (SELECT max(n) FROM inbox WHERE inbox.tenant = ?1 AND inbox.task = task.id) \
         FROM task WHERE tenant = ?1 AND id IN (SELECT value FROM json_each(?2))",
    )?
    .bind(tenant.as_str())
    .bind(wanted)
    .all(|row| {
        let key = TaskKey { tenant: tenant.clone(), task: id(text(row, 0)?)? };
        Ok((key, (row.get(1)?, row.get(2)?)))
    })
}

/// Interest in one task; dropped, it is forgotten. A clone has seen what its original has.
#[derive(Clone, Debug)]
pub struct Subscription {
    key: TaskKey,
    receiver: Option<watch::Receiver<Marks>>,
    inbox: u64,
    looks: u64,
    wakes: Arc<Wakes>,
}

impl Subscription {
    /// Waits until something of the task may have been committed since the last return. Cancel safe.
    pub async fn changed(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            // The sender lives in the map as long as this subscription does.
            receiver.changed().await.ok();
        }
    }

    /// Waits until the task may have come to a stop since the last return. Returned: a short task where it stands, if nothing but its
    /// log has been committed since anybody watched it; for whoever watches it since before it was made, that is all of the task. None:
    /// read it. Cancel safe.
    pub async fn stopped(&mut self) -> Option<Stop> {
        let before = self.looks;
        let marks = self.receiver.as_mut()?.wait_for(|marks| marks.looks != before).await.ok()?;
        self.looks = marks.looks;
        marks.stop.clone()
    }

    /// Waits until something may have come to the task's inbox since the last return. Cancel safe.
    pub async fn inbox_changed(&mut self) {
        let Some(receiver) = &mut self.receiver else { return };
        let before = self.inbox;
        if let Ok(marks) = receiver.wait_for(|marks| marks.inbox != before).await {
            self.inbox = marks.inbox;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut tasks = self.wakes.tasks();
        self.receiver = None;
        if let Entry::Occupied(known) = tasks.entry(self.key.clone())
            && known.get().receiver_count() == 0
        {
            known.remove();
        }
    }
}
