//! The bound on memory of one instance, which remembers that it refused: a guest that gets no memory dies in ways that
//! look like something else. Bytes that the host keeps for a guest, such as bodies of `wasi:http`, count as memory of the guest.
//!
//! Never here: address space of the pool (`engine.rs`), and what all instances have together (`budget.rs`, which is asked
//! here). Called by wasmtime and `wasi_http/*.rs`, read by `trap.rs` and `run.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use wasmtime::ResourceLimiterAsync;

use crate::budget::{Budget, Reservation};
use crate::limits::Limits;

/// Host bytes of one table element.
const ELEMENT_BYTES: usize = size_of::<usize>();

/// Counts linear memories and tables of one store together, and what the host keeps for it.
pub(crate) struct Memory {
    account: Account,
    refused: bool,
}

/// The memory of one instance. Clones are the same account. One guest runs on one thread at a time: relaxed steps are enough.
#[derive(Clone)]
pub(crate) struct Account(Arc<Book>);

struct Book {
    bytes_max: usize,
    /// Bytes that it may have without a reservation.
    base_bytes: usize,
    bytes: AtomicUsize,
    peak: AtomicUsize,
    /// Somebody who could not wait was told that there is no room yet.
    wanted: AtomicBool,
    budget: Budget,
    reservation: Arc<Reservation>,
}

/// Bytes that the host keeps for a guest, until it is dropped.
pub(crate) struct Share {
    account: Account,
    bytes: usize,
}

impl Memory {
    /// A store without memories so far, and what it will hold of the budget.
    pub(crate) fn new(limits: &Limits, budget: Budget, reservation: Arc<Reservation>) -> Memory {
        let account = Account(Arc::new(Book {
            bytes_max: limits.memory_bytes_max,
            base_bytes: limits.memory_base_bytes,
            bytes: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            wanted: AtomicBool::new(false),
            budget,
            reservation,
        }));
        Memory { account, refused: false }
    }

    /// Whether a growth was refused at any time.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// The most bytes that were there at once.
    pub(crate) fn peak(&self) -> usize {
        self.account.0.peak.load(Ordering::Relaxed)
    }

    /// What must be dropped after the memories, and not before.
    pub(crate) fn reservation(&self) -> Arc<Reservation> {
        Arc::clone(&self.account.0.reservation)
    }

    /// Where the host's bytes for this guest are counted.
    pub(crate) fn account(&self) -> Account {
        self.account.clone()
    }

    /// Cancel safe: nothing is counted before the wait is over.
    async fn grow(&mut self, by: usize, in_bounds: bool) -> bool {
        if !in_bounds || !self.account.fits(by) {
            self.refused = true;
            return false;
        }
        self.account.admit(by).await;
        self.account.add(by);
        true
    }
}

impl Account {
    /// An empty share.
    pub(crate) fn share(&self) -> Share {
        Share { account: self.clone(), bytes: 0 }
    }

    /// Waits until so many bytes more may be had; whether they fit is another question. Cancel safe.
    pub(crate) async fn admit(&self, by: usize) {
        if !self.is_admitted(by) {
            self.0.budget.reserve(&self.0.reservation, self.0.bytes_max).await;
        }
    }

    /// Whether [`Account::admit`] would not wait. If not, the next [`Account::admit_wanted`] does.
    pub(crate) fn ask(&self, by: usize) -> bool {
        let is_admitted = self.is_admitted(by);
        self.0.wanted.store(!is_admitted, Ordering::Relaxed);
        is_admitted
    }

    /// Waits for what somebody asked for who could not wait.
    pub(crate) async fn admit_wanted(&self) {
        if self.0.wanted.swap(false, Ordering::Relaxed) {
            self.0.budget.reserve(&self.0.reservation, self.0.bytes_max).await;
        }
    }

    /// What there is now.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    fn fits(&self, by: usize) -> bool {
        self.bytes().saturating_add(by) <= self.0.bytes_max
    }

    fn is_admitted(&self, by: usize) -> bool {
        self.bytes().saturating_add(by) <= self.0.base_bytes || self.0.reservation.is_held()
    }

    fn add(&self, by: usize) {
        let bytes = self.0.bytes.fetch_add(by, Ordering::Relaxed).saturating_add(by);
        self.0.peak.fetch_max(bytes, Ordering::Relaxed);
    }
}

impl Share {
    /// Counts more, if it fits. Whoever takes much waits for [`Account::admit`] before.
    #[must_use]
    pub(crate) fn grow(&mut self, by: usize) -> bool {
        if !self.account.fits(by) {
            return false;
        }
        self.account.add(by);
        self.bytes = self.bytes.saturating_add(by);
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.account.0.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[wasmtime_wasi::async_trait]
impl ResourceLimiterAsync for Memory {
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, wasmtime::Error> {
        let in_bounds = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(self.grow(desired.saturating_sub(current), in_bounds).await)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> Result<(), wasmtime::Error> {
        // Counted as if it had happened when `memory_growing` allowed it: the call does not say how much it was, and a
        // host without memory has no reason to be exact.
        self.refused = true;
        Ok(())
    }

    async fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, wasmtime::Error> {
        let in_bounds = maximum.is_none_or(|maximum| desired <= maximum);
        let by = desired.saturating_sub(current).saturating_mul(ELEMENT_BYTES);
        Ok(self.grow(by, in_bounds).await)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> Result<(), wasmtime::Error> {
        self.refused = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;
    use wasmtime::ResourceLimiterAsync;

    use super::Memory;
    use crate::budget::{Budget, Reservation};
    use crate::limits::Limits;

    const MIB: usize = 1024 * 1024;

    fn memory(bytes_max: usize, budget: &Budget) -> Memory {
        let limits = Limits { memory_bytes_max: bytes_max, memory_base_bytes: 2 * MIB, ..Limits::default() };
        Memory::new(&limits, budget.clone(), Arc::new(Reservation::default()))
    }

    /// The answer to a growth, or nothing if it waits.
    fn grow(memory: &mut Memory, current: usize, desired: usize) -> Option<bool> {
        memory.memory_growing(current, desired, None).now_or_never().map(|answer| answer.unwrap())
    }

    #[test]
    fn memories_and_tables_share_one_bound() {
        let mut memory = memory(1000, &Budget::new(MIB));
        assert_eq!(grow(&mut memory, 0, 600), Some(true));
        let table = memory.table_growing(0, 25, None).now_or_never().unwrap();
        assert!(table.unwrap(), "25 elements have 200 bytes");
        assert!(!memory.refused());
        assert_eq!(grow(&mut memory, 600, 900), Some(false));
        assert!(memory.refused());
        assert_eq!(memory.peak(), 800);
    }

    #[test]
    fn a_growth_that_failed_later_is_remembered() {
        let mut memory = memory(1000, &Budget::new(MIB));
        assert_eq!(grow(&mut memory, 0, 900), Some(true));
        memory.memory_grow_failed(wasmtime::Error::msg("no room")).unwrap();
        assert!(memory.refused());
    }

    #[test]
    fn a_guest_that_grows_beyond_its_own_maximum_is_told_no() {
        let mut memory = memory(1000, &Budget::new(MIB));
        assert!(!memory.memory_growing(0, 500, Some(400)).now_or_never().unwrap().unwrap());
    }

    #[test]
    fn only_more_than_the_base_needs_a_reservation_and_then_of_all() {
        let budget = Budget::new(20 * MIB);
        let mut memory = memory(8 * MIB, &budget);
        assert_eq!(grow(&mut memory, 0, 2 * MIB), Some(true));
        assert_eq!(budget.free_bytes(), 20 * MIB);
        assert_eq!(grow(&mut memory, 2 * MIB, 9 * MIB), Some(false));
        assert_eq!(budget.free_bytes(), 20 * MIB, "what is refused anyway reserves nothing");
        assert_eq!(grow(&mut memory, 2 * MIB, 3 * MIB), Some(true));
        assert_eq!(budget.free_bytes(), 12 * MIB);
        assert_eq!(grow(&mut memory, 3 * MIB, 8 * MIB), Some(true));
        assert_eq!(budget.free_bytes(), 12 * MIB);
        assert_eq!(memory.peak(), 8 * MIB);
    }

    #[test]
    fn a_growth_that_waits_is_not_counted_until_it_may_happen() {
        let budget = Budget::new(8 * MIB);
        let (mut first, mut second) = (memory(8 * MIB, &budget), memory(8 * MIB, &budget));
        assert_eq!(grow(&mut first, 0, 3 * MIB), Some(true));
        assert_eq!(grow(&mut second, 0, MIB), Some(true));
        assert_eq!(grow(&mut second, MIB, 3 * MIB), None);
        assert_eq!((second.peak(), second.refused()), (MIB, false));
        drop(first);
        assert_eq!(grow(&mut second, MIB, 3 * MIB), Some(true));
        assert_eq!(second.peak(), 3 * MIB);
    }

    #[test]
    fn a_reservation_lasts_as_long_as_whoever_shares_it() {
        let budget = Budget::new(8 * MIB);
        let mut memory = memory(8 * MIB, &budget);
        assert_eq!(grow(&mut memory, 0, 3 * MIB), Some(true));
        let reservation = memory.reservation();
        drop(memory);
        assert_eq!(budget.free_bytes(), 0);
        drop(reservation);
        assert_eq!(budget.free_bytes(), 8 * MIB);
    }
}
