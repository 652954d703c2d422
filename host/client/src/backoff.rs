//! How long to wait before the next attempt. Computes only; the stream does the waiting.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use crate::options::Resume;

/// The longest that a server's own wish to be left alone is obeyed; after that the attempt is made anyway.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// The state between attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    rule: Resume,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(rule: Resume) -> Backoff {
        Backoff { rule, tries: 0 }
    }

    /// Things go well: the next break starts from the shortest wait.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }

    /// A connection that held longer than the longest wait worked, even if no event came meanwhile.
    pub(crate) fn connection_held(&mut self, age: Duration) {
        if age > self.rule.delay_max {
            self.reset();
        }
    }

    /// The server's `retry:` field moves the shortest wait, within the longest.
    pub(crate) fn suggest(&mut self, delay: Duration) {
        self.rule.delay_min = delay.min(self.rule.delay_max);
    }

    /// Counts an attempt and says how long to wait before it. None: it has been tried often enough.
    pub(crate) fn next(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        if self.tries >= self.rule.tries_max {
            return None;
        }
        let doubled = self.rule.delay_min.saturating_mul(1 << self.tries.min(16));
        self.tries += 1;
        let delay = jittered(doubled.min(self.rule.delay_max));
        Some(delay.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX)))
    }
}

/// Between half and all of the delay, so that the clients of a server that restarts do not come back in one moment.
/// The hasher's random keys are all the randomness that this needs.
fn jittered(delay: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 1024;
    let half = delay / 2;
    half + half.mul_f64(f64::from(u32::try_from(random).unwrap_or_default()) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Resume {
        Resume { tries_max: 4, delay_min: Duration::from_millis(100), delay_max: Duration::from_millis(300) }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_then_end() {
        let mut backoff = Backoff::new(rule());
        for most in [100, 200, 300, 300] {
            let delay = backoff.next(None).unwrap();
            assert!(delay <= Duration::from_millis(most) && delay >= Duration::from_millis(most / 2), "{delay:?}");
        }
        assert_eq!(backoff.next(None), None);
        backoff.reset();
        assert!(backoff.next(None).unwrap() <= Duration::from_millis(100));
    }

    #[test]
    fn a_server_may_ask_for_patience_but_not_for_ever() {
        let mut backoff = Backoff::new(rule());
        assert_eq!(backoff.next(Some(Duration::from_secs(2))), Some(Duration::from_secs(2)));
        assert_eq!(backoff.next(Some(Duration::from_secs(86_400))), Some(RETRY_AFTER_MAX));
        backoff.suggest(Duration::from_secs(9));
        assert!(backoff.next(None).unwrap() <= Duration::from_millis(300));
    }

    #[test]
    fn only_a_connection_that_held_counts_as_success() {
        let mut backoff = Backoff::new(Resume { tries_max: 1, ..rule() });
        backoff.next(None).unwrap();
        backoff.connection_held(Duration::from_millis(10));
        assert_eq!(backoff.next(None), None);
        backoff.connection_held(Duration::from_secs(1));
        assert!(backoff.next(None).is_some());
    }
}
