//! How far an activation is: what its supervisor watches. Written by the activation, which runs on a guest thread.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use kennel_sandbox::call::GuestError;
use kennel_store::Wait;
use tokio::sync::watch;

/// Where an activation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stand {
    /// Everything recorded has been repeated: what it does from here on is new.
    pub(crate) live: bool,
    /// What it waits for. Stays when the activation is dropped in the middle of the wait.
    pub(crate) wait: Option<Wait>,
}

/// One task's activations, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Course {
    stand: watch::Sender<Stand>,
    /// Why the host ends the task although its agent would go on.
    broken: Mutex<Option<GuestError>>,
    /// Rows of the journal so far, repeated ones included.
    calls: AtomicU32,
}

impl Course {
    /// Watches where the activation stands.
    pub(crate) fn watch(&self) -> watch::Receiver<Stand> {
        self.stand.subscribe()
    }

    /// Where the activation stands.
    pub(crate) fn stand(&self) -> Stand {
        *self.stand.borrow()
    }

    /// A fresh activation begins after `calls` rows.
    pub(crate) fn begin(&self, calls: u32, live: bool) {
        self.calls.store(calls, Ordering::Relaxed);
        self.stand.send_replace(Stand { live, wait: None });
    }

    /// Everything recorded has been repeated.
    pub(crate) fn go_live(&self) {
        self.stand.send_if_modified(|stand| !std::mem::replace(&mut stand.live, true));
    }

    /// The activation waits from now on.
    pub(crate) fn wait(&self, wait: Wait) {
        self.stand.send_modify(|stand| stand.wait = Some(wait));
    }

    /// The wait is over.
    pub(crate) fn go_on(&self) {
        self.stand.send_modify(|stand| stand.wait = None);
    }

    /// One more row; returns its number.
    pub(crate) fn count(&self) -> u32 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The number that the next row will have. Ids made by the host come from it.
    pub(crate) fn next(&self) -> u32 {
        self.calls.load(Ordering::Relaxed) + 1
    }

    /// Ends the task with this error, whatever the agent does.
    pub(crate) fn fail(&self, error: GuestError) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Why the host ends the task.
    pub(crate) fn broken(&self) -> Option<GuestError> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
