//! Lengths of time as authors write them, and the one place where they become the milliseconds of the boundary.

use std::time::{Duration, SystemTime};

/// The largest whole number that a float of the boundary holds exactly; longer times are cut to it (285,000 years).
const MILLISECONDS_MAX: u64 = 1 << 53;

/// This many days.
pub const fn days(n: u32) -> Duration {
    Duration::from_secs(n as u64 * 86_400)
}

/// This many hours.
pub const fn hours(n: u32) -> Duration {
    Duration::from_secs(n as u64 * 3_600)
}

/// This many minutes.
pub const fn minutes(n: u32) -> Duration {
    Duration::from_secs(n as u64 * 60)
}

/// This many seconds.
pub const fn seconds(n: u32) -> Duration {
    Duration::from_secs(n as u64)
}

/// This many milliseconds.
pub const fn milliseconds(n: u32) -> Duration {
    Duration::from_millis(n as u64)
}

/// A duration of the boundary. Rounded up, so that a wait is never too short.
pub(crate) fn to_ms(time: Duration) -> f64 {
    let whole = time.as_nanos().div_ceil(1_000_000);
    u64::try_from(whole).unwrap_or(u64::MAX).min(MILLISECONDS_MAX) as f64
}

/// An optional duration of the boundary.
pub(crate) fn to_ms_option(time: impl Into<Option<Duration>>) -> Option<f64> {
    time.into().map(to_ms)
}

/// A moment of the boundary. Moments before 1970 do not exist there.
pub(crate) fn to_time_ms(time: SystemTime) -> f64 {
    to_ms(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// The moment that a time of the boundary names.
pub(crate) fn from_time_ms(time: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + from_ms(time)
}

/// The duration that milliseconds of the boundary mean.
pub(crate) fn from_ms(time: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the contract says a whole number from 0 to 2^53, and the cast saturates"
    )]
    let whole = (time as u64).min(MILLISECONDS_MAX);
    Duration::from_millis(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_up_and_stay_exact() {
        assert_eq!(to_ms(days(7)), 604_800_000.0);
        assert_eq!(to_ms(Duration::from_nanos(1)), 1.0);
        assert_eq!(to_ms(Duration::ZERO), 0.0);
        assert_eq!(to_ms(Duration::MAX), 9_007_199_254_740_992.0);
        assert_eq!(to_ms_option(None), None);
        assert_eq!(to_ms_option(minutes(1) + hours(1)), Some(3_660_000.0));
    }

    #[test]
    fn moments_survive_the_boundary() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(1_763_626_620_123);
        assert_eq!(to_time_ms(moment), 1_763_626_620_123.0);
        assert_eq!(from_time_ms(to_time_ms(moment)), moment);
        assert_eq!(to_time_ms(SystemTime::UNIX_EPOCH - seconds(1)), 0.0);
        assert_eq!(from_time_ms(f64::NAN), SystemTime::UNIX_EPOCH);
    }
}
