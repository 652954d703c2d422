//! Who may run now: slots for live instances, the set of tasks this host holds, and the way on which new work reaches the worker.
//!
//! A new task's message goes through here as a value while its accept commits; everything else is claimed from the store.
//! Never here: what the work is about, HTTP, SQL.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use kennel_store::TaskKey;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The right to have one instance alive. Waiting instances keep it, so the bound is one on memory.
#[derive(Debug)]
pub struct Slot {
    _live: OwnedSemaphorePermit,
}

/// A held task; dropped, this host does not hold it any more.
#[derive(Debug)]
pub struct Hold {
    key: TaskKey,
    held: Arc<Mutex<HashSet<TaskKey>>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        lock(&self.held).remove(&self.key);
    }
}

fn lock(held: &Mutex<HashSet<TaskKey>>) -> MutexGuard<'_, HashSet<TaskKey>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts on work that is handed over. False: nothing is taken any more.
type Take<W> = dyn Fn(W) -> bool + Send + Sync;

/// Slots and holds of one host. `W` is the work that is handed over.
pub struct Broker<W> {
    live: Arc<Semaphore>,
    held: Arc<Mutex<HashSet<TaskKey>>>,
    take: OnceLock<Box<Take<W>>>,
    pressed: Notify,
    /// Whether somebody found no slot since this was last asked.
    wanted: AtomicBool,
}

impl<W> Broker<W> {
    /// A broker for at most `live_max` instances. Nobody takes work yet.
    pub fn new(live_max: usize) -> Broker<W> {
        let live = Arc::new(Semaphore::new(live_max));
        let (held, take) = (Arc::default(), OnceLock::new());
        Broker { live, held, take, pressed: Notify::new(), wanted: AtomicBool::new(false) }
    }

    /// Names who starts on work that is handed over, once. It must not block.
    pub fn taken_by(&self, take: impl Fn(W) -> bool + Send + Sync + 'static) {
        self.take.get_or_init(|| Box::new(take));
    }

    /// A slot, if one is free now.
    pub fn try_slot(&self) -> Option<Slot> {
        let live = Arc::clone(&self.live).try_acquire_owned().ok()?;
        Some(Slot { _live: live })
    }

    /// Waits for a slot. None: the host is closing.
    pub async fn slot(&self) -> Option<Slot> {
        let live = Arc::clone(&self.live).acquire_owned().await.ok()?;
        Some(Slot { _live: live })
    }

    /// Slots that are free now.
    pub fn free(&self) -> usize {
        self.live.available_permits()
    }

    /// Somebody wants a slot and there is none: the instance that has waited longest should go.
    pub fn press(&self) {
        self.wanted.store(true, Ordering::SeqCst);
        self.pressed.notify_one();
    }

    /// Whether somebody found no slot since the last call: then one that has come free is worth telling.
    pub fn was_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst) && self.wanted.swap(false, Ordering::SeqCst)
    }

    /// Waits until an instance that waits should give its slot up. Whoever has waited longest is told first.
    pub async fn pressed(&self) {
        self.pressed.notified().await;
    }

    /// Marks a task as held by this host: before its lease is written, so that nobody takes it for an orphan. None: it is held already.
    pub fn hold(&self, key: &TaskKey) -> Option<Hold> {
        let fresh = lock(&self.held).insert(key.clone());
        fresh.then(|| Hold { key: key.clone(), held: Arc::clone(&self.held) })
    }

    /// The tasks that this host holds.
    pub fn held(&self) -> HashSet<TaskKey> {
        lock(&self.held).clone()
    }

    /// Hands work to the worker, which starts on it at once. False: the host is closing, and nothing of it happens.
    pub fn hand_over(&self, work: W) -> bool {
        self.take.get().is_some_and(|take| take(work))
    }

    /// No slot is given out any more.
    pub fn close(&self) {
        self.live.close();
    }
}
