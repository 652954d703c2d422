//! The bound on memory of one instance, which remembers that it refused: a guest that gets no memory dies in ways that
//! look like something else.
//!
//! Never here: address space of the pool (`engine.rs`), and what all instances have together (`budget.rs`, which is asked
//! here). Called by wasmtime, read by `trap.rs` and `run.rs`.

use std::sync::Arc;

use wasmtime::ResourceLimiterAsync;

use crate::budget::{Budget, Reservation};
use crate::limits::Limits;

/// Host bytes of one table element.
const ELEMENT_BYTES: usize = size_of::<usize>();

/// Counts linear memories and tables of one store together.
pub(crate) struct Memory {
    bytes_max: usize,
    /// Bytes that it may have without a reservation.
    base_bytes: usize,
    bytes: usize,
    peak: usize,
    refused: bool,
    budget: Budget,
    reservation: Arc<Reservation>,
}

impl Memory {
    /// A store without memories so far, and what it will hold of the budget.
    pub(crate) fn new(limits: &Limits, budget: Budget, reservation: Arc<Reservation>) -> Memory {
        let Limits { memory_bytes_max: bytes_max, memory_base_bytes: base_bytes, .. } = *limits;
        Memory { bytes_max, base_bytes, bytes: 0, peak: 0, refused: false, budget, reservation }
    }

    /// Whether a growth was refused at any time.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// The most bytes that were there at once.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    /// What must be dropped after the memories, and not before.
    pub(crate) fn reservation(&self) -> Arc<Reservation> {
        Arc::clone(&self.reservation)
    }

    /// Cancel safe: nothing is counted before the wait is over.
    async fn grow(&mut self, by: usize, in_bounds: bool) -> bool {
        let wanted = self.bytes.saturating_add(by);
        if !in_bounds || wanted > self.bytes_max {
            self.refused = true;
            return false;
        }
        if wanted > self.base_bytes {
            self.budget.reserve(&self.reservation, self.bytes_max).await;
        }
        self.bytes = wanted;
        self.peak = self.peak.max(wanted);
        true
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
