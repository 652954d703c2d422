//! Deeds that use up or break the instance. None of them returns: the host must end each and tell the operator why.

use std::hint::black_box;

use kennel::prelude::*;

use crate::Words;

/// How much a step of `allocate` takes: small enough that the limit is met closely.
const STEP_BYTES: usize = 1 << 20;

/// Computes until it is stopped.
pub(crate) fn spin(_: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    loop {
        black_box(());
    }
}

/// Takes memory, and writes to it, until there is none.
pub(crate) fn allocate(_: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1_u8; STEP_BYTES]));
    }
}

/// Calls itself until the stack of calls is full.
pub(crate) fn recurse(_: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    done_with(deeper(black_box(0)).to_string())
}

/// Needs no memory of its own, and cannot be made a loop: what comes back is turned once more.
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    if depth == u64::MAX { 0 } else { deeper(depth + 1).rotate_left(1) ^ depth }
}

/// Calls itself with large frames until the stack in memory is full, which looks like a wild access.
pub(crate) fn recurse_frames(_: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    done_with(wider(0).to_string())
}

/// A frame that is needed again after the call.
fn wider(depth: u64) -> u64 {
    let frame = black_box([depth; 1_024]);
    if depth == u64::MAX { 0 } else { wider(depth + 1).wrapping_add(black_box(frame).iter().sum()) }
}

/// Panics with a text that only the operator may see.
#[expect(clippy::panic, reason = "the panic is the purpose")]
pub(crate) fn panic(_: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    panic!("mischief panics: a secret of the operator")
}

/// Traps without a word.
pub(crate) fn trap(_: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort()
}
