//! The bound on memory of all instances together: who needs more than a small guest reserves all it may ever need, once,
//! and waits for its turn if that is not free.
//!
//! Nobody holds a part and waits for the rest, so the wait cannot go round in a circle. It ends when holders end; whoever
//! runs them is told that somebody waits.
//!
//! Never here: the bound on one instance and its count of bytes (`memory.rs`, which asks here). Made by `sandbox.rs`, one
//! for runs and one for descriptions; held by `run.rs`.

use std::sync::{Arc, OnceLock, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Bytes that one permit stands for: fine enough for any limit that an operator sets.
const PERMIT_BYTES: usize = 1024 * 1024;

/// Memory to be shared out. Clones share it.
#[derive(Clone)]
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    permits_max: u32,
    /// Growths that wait now.
    waiting: watch::Sender<usize>,
}

/// What one instance holds of the budget: nothing, or enough for the rest of its life.
#[derive(Default)]
pub(crate) struct Reservation(OnceLock<OwnedSemaphorePermit>);

/// Tells whether a reservation is held, without keeping it.
#[derive(Clone)]
pub(crate) struct Holding(Weak<Reservation>);

impl Budget {
    /// So many bytes, rounded down to permits; at least one.
    pub(crate) fn new(bytes_max: usize) -> Budget {
        let permits_max = permits(bytes_max / PERMIT_BYTES);
        let permits = Arc::new(Semaphore::new(usize::try_from(permits_max).unwrap_or(Semaphore::MAX_PERMITS)));
        Budget { permits, permits_max, waiting: watch::Sender::new(0) }
    }

    /// Follows how many growths wait.
    pub(crate) fn waiting(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    /// Reserves so many bytes, or all there are if that is less; does nothing for who holds a reservation. Waits in the
    /// order of the asking. Cancel safe: who is dropped leaves the queue and holds nothing.
    pub(crate) async fn reserve(&self, reservation: &Reservation, bytes: usize) {
        if reservation.is_held() {
            return;
        }
        let count = permits(bytes.div_ceil(PERMIT_BYTES)).min(self.permits_max);
        // Does not pass those who wait: what becomes free is theirs before anybody sees it.
        let permit = match Arc::clone(&self.permits).try_acquire_many_owned(count) {
            Ok(permit) => Some(permit),
            Err(_) => {
                let _waiting = Waiting::new(&self.waiting);
                Arc::clone(&self.permits).acquire_many_owned(count).await.ok()
            }
        };
        // None only if the semaphore were closed, which nobody does.
        if let Some(permit) = permit {
            // Set for the first time: it was not held, and one instance grows one thing at a time.
            let _set = reservation.0.set(permit);
        }
    }

    /// Bytes that nobody has reserved.
    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> usize {
        self.permits.available_permits() * PERMIT_BYTES
    }
}

fn permits(count: usize) -> u32 {
    let max = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
    u32::try_from(count).unwrap_or(max).clamp(1, max)
}

impl Reservation {
    /// Whether it is more than nothing.
    pub(crate) fn is_held(&self) -> bool {
        self.0.get().is_some()
    }

    /// What tells of it while it lasts.
    pub(crate) fn holding(self: &Arc<Reservation>) -> Holding {
        Holding(Arc::downgrade(self))
    }
}

impl Holding {
    /// Whether the reservation exists still and is more than nothing.
    pub(crate) fn is_held(&self) -> bool {
        self.0.upgrade().is_some_and(|reservation| reservation.is_held())
    }
}

/// Counts one growth that waits, until it is dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl Waiting<'_> {
    fn new(count: &watch::Sender<usize>) -> Waiting<'_> {
        count.send_modify(|count| *count += 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::{Budget, PERMIT_BYTES, Reservation};

    const MIB: usize = PERMIT_BYTES;

    #[test]
    fn a_reservation_is_taken_once_and_given_back_with_its_owner() {
        let budget = Budget::new(10 * MIB);
        let owner = Arc::new(Reservation::default());
        let holding = owner.holding();
        assert!(!holding.is_held());
        budget.reserve(&owner, 4 * MIB - 1).now_or_never().unwrap();
        assert!(holding.is_held());
        assert_eq!(budget.free_bytes(), 6 * MIB, "a part of a permit counts whole");
        budget.reserve(&owner, 4 * MIB).now_or_never().unwrap();
        assert_eq!(budget.free_bytes(), 6 * MIB);
        drop(owner);
        assert!(!holding.is_held());
        assert_eq!(budget.free_bytes(), 10 * MIB);
    }

    #[test]
    fn who_wants_more_than_there_is_gets_all() {
        let budget = Budget::new(3 * MIB + 5);
        let owner = Reservation::default();
        budget.reserve(&owner, 128 * MIB).now_or_never().unwrap();
        assert_eq!(budget.free_bytes(), 0);
        let nothing = Budget::new(0);
        let owner = Reservation::default();
        nothing.reserve(&owner, MIB).now_or_never().unwrap();
        assert!(owner.is_held());
    }

    #[test]
    fn those_who_wait_are_counted_and_served_in_order() {
        let budget = Budget::new(4 * MIB);
        let waiting = budget.waiting();
        let [first, second, third] = [(); 3].map(|()| Reservation::default());
        budget.reserve(&first, 3 * MIB).now_or_never().unwrap();
        let mut large = Box::pin(budget.reserve(&second, 4 * MIB));
        let mut small = Box::pin(budget.reserve(&third, MIB));
        assert!(large.as_mut().now_or_never().is_none());
        assert!(small.as_mut().now_or_never().is_none(), "a free permit is kept for who came first");
        assert_eq!(*waiting.borrow(), 2);
        drop(first);
        assert!(small.as_mut().now_or_never().is_none());
        large.as_mut().now_or_never().unwrap();
        assert_eq!(*waiting.borrow(), 1);
        drop(large);
        drop(second);
        small.as_mut().now_or_never().unwrap();
        assert_eq!(*waiting.borrow(), 0);
    }

    #[test]
    fn who_gives_up_leaves_the_queue() {
        let budget = Budget::new(4 * MIB);
        let [first, second, third] = [(); 3].map(|()| Reservation::default());
        budget.reserve(&first, 3 * MIB).now_or_never().unwrap();
        let mut large = Box::pin(budget.reserve(&second, 4 * MIB));
        assert!(large.as_mut().now_or_never().is_none());
        drop(large);
        assert_eq!(*budget.waiting().borrow(), 0);
        assert!(!second.is_held());
        budget.reserve(&third, MIB).now_or_never().unwrap();
        assert_eq!(budget.free_bytes(), 0);
    }
}
