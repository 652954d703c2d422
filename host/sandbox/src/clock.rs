//! The time that a guest sees: that of the last recorded event, plus 1 µs for each reading of a WASI clock.
//!
//! Never here: the real time. It would differ between a run and its replay. Set by `guest.rs` after each host call, read
//! through the hooks of WASI and by `timers.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use crate::call::Moment;

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
    pub(crate) fn set(&self, time: Moment) {
        self.0.event_us.store(time.micros(), Ordering::Relaxed);
    }

    /// The latest time that the guest was shown: its last reading, or that of the last event.
    pub(crate) fn shown(&self) -> Moment {
        let read_us = self.0.next_us.load(Ordering::Relaxed).saturating_sub(1);
        Moment::from_micros(self.0.event_us.load(Ordering::Relaxed).max(read_us))
    }

    /// Lets no later reading be earlier than this: a wait until then is over.
    pub(crate) fn reach(&self, time: Moment) {
        self.0.next_us.fetch_max(time.micros(), Ordering::Relaxed);
    }

    /// Reads the time, which moves it. One guest runs on one thread at a time: two relaxed steps are enough.
    pub(crate) fn read(&self) -> Moment {
        let shown = self.0.event_us.load(Ordering::Relaxed).max(self.0.next_us.load(Ordering::Relaxed));
        self.0.next_us.store(shown.saturating_add(1), Ordering::Relaxed);
        Moment::from_micros(shown)
    }
}

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.read().micros())
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1000
    }

    fn now(&self) -> u64 {
        self.read().micros().saturating_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use crate::call::Moment;

    fn us(micros: u64) -> Moment {
        Moment::from_micros(micros)
    }

    #[test]
    fn readings_move_by_a_microsecond_and_never_back() {
        let clock = Clock::default();
        clock.set(us(5000));
        assert_eq!((clock.read(), clock.read()), (us(5000), us(5001)));
        clock.set(us(7000));
        assert_eq!(clock.read(), us(7000));
        clock.set(us(7000));
        assert_eq!(clock.read(), us(7001));
        clock.set(us(6000));
        assert_eq!(clock.read(), us(7002));
    }

    #[test]
    fn what_was_shown_is_the_last_event_or_a_later_reading() {
        let clock = Clock::default();
        assert_eq!(clock.shown(), us(0));
        clock.set(us(5000));
        assert_eq!(clock.shown(), us(5000), "an event counts without a reading");
        assert_eq!(clock.shown(), us(5000), "asking does not move it");
        for _ in 0..3 {
            clock.read();
        }
        assert_eq!(clock.shown(), us(5002));
        clock.set(us(5001));
        assert_eq!(clock.shown(), us(5002));
        clock.set(us(9000));
        assert_eq!(clock.shown(), us(9000));
    }
}
