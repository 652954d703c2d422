//! What a test does to a running store on purpose: end the process at a commit, or run out of room. Nothing of it in service.

use crate::writer::{Entry, Op};

/// Faults that a test asks for; none by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trial {
    /// Ends the process at a commit.
    pub crash: Option<Crash>,
    /// Pages that the database may have: a write that needs more finds the disk full.
    pub pages_max: Option<u32>,
}

/// Where the process ends, as by kill -9 but for [`Crash::Panic`]: nothing is told, flushed or closed. Counted are the groups that hold a commit of a claim
/// holder, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The COMMIT of this group has not begun.
    Before(u32),
    /// The COMMIT of this group has returned, and nobody knows yet.
    After(u32),
    /// Not the process ends by itself, but the writer panics before the COMMIT of this group.
    Panic(u32),
}

/// The groups counted so far.
#[derive(Debug, Default)]
pub(crate) struct Crashing {
    at: Option<Crash>,
    groups: u32,
}

impl Crashing {
    pub(crate) fn new(at: Option<Crash>) -> Crashing {
        Crashing { at, groups: 0 }
    }

    /// A group is about to be committed.
    pub(crate) fn before(&mut self, entries: &[Entry]) {
        self.groups += u32::from(entries.iter().any(|entry| matches!(entry.op(), Op::Commit(_))));
        self.end_if(Crash::Before(self.groups));
        assert!(self.at != Some(Crash::Panic(self.groups)), "a test asked the writer to panic");
    }

    /// It has been committed.
    pub(crate) fn after(&self) {
        self.end_if(Crash::After(self.groups));
    }

    fn end_if(&self, stands: Crash) {
        if self.at == Some(stands) {
            std::process::abort();
        }
    }
}
