//! Waiting for several things at once: messages to peers and HTTP exchanges that are under way.

use std::time::Duration;

use crate::error::Result;
use crate::host::wait;
use crate::time::to_ms_option;

/// Something the host is working on for this task.
///
/// Its number stays good across parking and checkpoints until its answer has been taken, so it may be kept in a checkpoint.
pub trait Pending {
    /// The number by which the host knows it; unique within the task.
    fn pending(&self) -> u32;
}

pub(crate) fn any(things: &[&dyn Pending], timeout: Option<Duration>) -> Result<Option<usize>> {
    let first = wait::any(&numbers(things), to_ms_option(timeout))?;
    Ok(first.and_then(|index| usize::try_from(index).ok()))
}

pub(crate) fn all(things: &[&dyn Pending], timeout: Option<Duration>) -> Result<bool> {
    wait::all(&numbers(things), to_ms_option(timeout))
}

fn numbers(things: &[&dyn Pending]) -> Vec<u32> {
    things.iter().map(|thing| thing.pending()).collect()
}
