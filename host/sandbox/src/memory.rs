//! The bound on memory of one instance, which remembers that it refused: a guest that gets no memory dies in ways that
//! look like something else.
//!
//! Never here: address space of the pool (`engine.rs`). Called by wasmtime, read by `trap.rs` and `run.rs`.

use wasmtime::ResourceLimiter;

/// Host bytes of one table element.
const ELEMENT_BYTES: usize = size_of::<usize>();

/// Counts linear memories and tables of one store together.
pub(crate) struct Memory {
    bytes_max: usize,
    bytes: usize,
    peak: usize,
    refused: bool,
}

impl Memory {
    /// A store without memories so far.
    pub(crate) fn new(bytes_max: usize) -> Memory {
        Memory { bytes_max, bytes: 0, peak: 0, refused: false }
    }

    /// Whether a growth was refused at any time.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// The most bytes that were there at once.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    fn grow(&mut self, by: usize, in_bounds: bool) -> bool {
        let wanted = self.bytes.saturating_add(by);
        if !in_bounds || wanted > self.bytes_max {
            self.refused = true;
            return false;
        }
        self.bytes = wanted;
        self.peak = self.peak.max(wanted);
        true
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, wasmtime::Error> {
        let in_bounds = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(self.grow(desired.saturating_sub(current), in_bounds))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> Result<(), wasmtime::Error> {
        // Counted as if it had happened when `memory_growing` allowed it: the call does not say how much it was, and a
        // host without memory has no reason to be exact.
        self.refused = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, wasmtime::Error> {
        let in_bounds = maximum.is_none_or(|maximum| desired <= maximum);
        let by = desired.saturating_sub(current).saturating_mul(ELEMENT_BYTES);
        Ok(self.grow(by, in_bounds))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> Result<(), wasmtime::Error> {
        self.refused = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::ResourceLimiter;

    use super::Memory;

    #[test]
    fn memories_and_tables_share_one_bound() {
        let mut memory = Memory::new(1000);
        assert!(memory.memory_growing(0, 600, None).unwrap());
        assert!(memory.table_growing(0, 25, None).unwrap(), "25 elements have 200 bytes");
        assert!(!memory.refused());
        assert!(!memory.memory_growing(600, 900, None).unwrap());
        assert!(memory.refused());
        assert_eq!(memory.peak(), 800);
    }

    #[test]
    fn a_growth_that_failed_later_is_remembered() {
        let mut memory = Memory::new(1000);
        assert!(memory.memory_growing(0, 900, None).unwrap());
        memory.memory_grow_failed(wasmtime::Error::msg("no room")).unwrap();
        assert!(memory.refused());
    }

    #[test]
    fn a_guest_that_grows_beyond_its_own_maximum_is_told_no() {
        let mut memory = Memory::new(1000);
        assert!(!memory.memory_growing(0, 500, Some(400)).unwrap());
    }
}
