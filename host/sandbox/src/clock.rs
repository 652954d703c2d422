//! The time that a guest sees: that of the last recorded event, plus 1 µs for each reading of a WASI clock.
//!
//! Never here: the real time. It would differ between a run and its replay. Set by `guest.rs` after each host call, read
//! through the hooks of WASI.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// Both clocks of one instance. Clones share the time.
///
/// Invariant: readings never go back, although many readings may overtake the next event: then they go on by 1 µs from
/// where they are. All of it depends only on the readings and on the recorded times, so a replay sees the same.
#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<Times>);

#[derive(Default)]
struct Times {
    /// The time of the last event, in microseconds since 1970.
    event_us: AtomicU64,
    /// What the next reading shows at least.
    next_us: AtomicU64,
}

impl Clock {
    /// Sets the time of the last event.
    pub(crate) fn set(&self, time: Duration) {
        self.0.event_us.store(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Reads the time, which moves it. One guest runs on one thread at a time: two relaxed steps are enough.
    fn read(&self) -> Duration {
        let shown = self.0.event_us.load(Ordering::Relaxed).max(self.0.next_us.load(Ordering::Relaxed));
        self.0.next_us.store(shown.saturating_add(1), Ordering::Relaxed);
        Duration::from_micros(shown)
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        self.read()
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1000
    }

    fn now(&self) -> u64 {
        u64::try_from(self.read().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Clock;

    #[test]
    fn readings_move_by_a_microsecond_and_never_back() {
        let clock = Clock::default();
        clock.set(Duration::from_millis(5));
        assert_eq!(clock.read(), Duration::from_micros(5000));
        assert_eq!(clock.read(), Duration::from_micros(5001));
        clock.set(Duration::from_millis(7));
        assert_eq!(clock.read(), Duration::from_micros(7000));
        clock.set(Duration::from_millis(7));
        assert_eq!(clock.read(), Duration::from_micros(7001));
        clock.set(Duration::from_millis(6));
        assert_eq!(clock.read(), Duration::from_micros(7002));
    }
}
