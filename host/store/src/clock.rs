//! The one clock of the host: milliseconds that never go back within a process.
//!
//! Order never comes from it: that is what seq and n are for.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::UNIX_EPOCH;

use kennel_protocol::Timestamp;

/// A clock as a value: cheap to clone, all clones share the last reading.
#[derive(Clone, Debug)]
pub struct Clock {
    last_ms: Arc<AtomicI64>,
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    System,
    Manual,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock { last_ms: Arc::new(AtomicI64::new(0)), source: Source::System }
    }

    /// A clock that stands still until it is moved; for tests.
    pub fn manual(start: Timestamp) -> Clock {
        Clock { last_ms: Arc::new(AtomicI64::new(start.millis())), source: Source::Manual }
    }

    /// The time now; never earlier than any reading before.
    pub fn now(&self) -> Timestamp {
        let reading = match self.source {
            Source::System => system_ms(),
            Source::Manual => self.last_ms.load(Ordering::Relaxed),
        };
        let before = self.last_ms.fetch_max(reading, Ordering::Relaxed);
        Timestamp::from_millis(before.max(reading))
    }

    /// Moves a manual clock forward. A system clock keeps its own time.
    pub fn advance_ms(&self, by: i64) {
        if let Source::Manual = self.source {
            self.last_ms.fetch_add(by, Ordering::Relaxed);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the place the rule points to")]
fn system_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
