//! Instants as A2A writes them: milliseconds since 1970 in UTC, `YYYY-MM-DDTHH:mm:ss.sssZ` on the wire.
//!
//! There is no `now()` here: the clock is the store's, so that tests can set it.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::types::wire::Wire;

/// 0001-01-01T00:00:00.000Z, the first instant of `google.protobuf.Timestamp`.
const MILLIS_MIN: i64 = -62_135_596_800_000;
/// 9999-12-31T23:59:59.999Z, the last one.
const MILLIS_MAX: i64 = 253_402_300_799_999;

/// A moment, to the millisecond. Times serve people: the order of events comes from [`Seq`](crate::Seq) alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 instant of the years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an RFC 3339 timestamp such as 2026-08-01T12:00:00.000Z")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// A moment from its distance to 1970-01-01T00:00:00Z. Years outside 1 to 9999 have no wire form; they are brought
    /// to the nearest end.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Timestamp {
        if millis < MILLIS_MIN {
            Timestamp(MILLIS_MIN)
        } else if millis > MILLIS_MAX {
            Timestamp(MILLIS_MAX)
        } else {
            Timestamp(millis)
        }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z; negative before.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }
}

/// jiff's own instants end a day before ours, so that every offset fits; its civil times reach as far as we do.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = EPOCH.checked_add(SignedDuration::from_millis(self.0)).map_err(|_| fmt::Error)?;
        write!(f, "{civil:.3}Z")
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Takes 0 to 9 fraction digits, `Z` or an offset. Digits beyond the millisecond are cut off.
    fn from_str(text: &str) -> Result<Timestamp, InvalidTimestamp> {
        let (local, offset) = split_zone(text).ok_or(InvalidTimestamp)?;
        let civil: DateTime = local.parse().map_err(|_| InvalidTimestamp)?;
        let since = civil.duration_since(EPOCH) - offset;
        // Division rounds down, also before 1970, so that an order of instants never turns around.
        match i64::try_from(since.as_nanos().div_euclid(1_000_000)) {
            Ok(millis) if (MILLIS_MIN..=MILLIS_MAX).contains(&millis) => Ok(Timestamp(millis)),
            Ok(_) | Err(_) => Err(InvalidTimestamp),
        }
    }
}

/// Parts a text of the RFC's shape into the local time and its distance to UTC. jiff reads many more notations (blanks,
/// week dates, zone names); peers would not, so none of them gets through.
fn split_zone(text: &str) -> Option<(&str, SignedDuration)> {
    const PATTERN: &[u8] = b"0000-00-00T00:00:00";
    let (head, tail) = text.as_bytes().split_at_checked(PATTERN.len())?;
    let head_fits = head.iter().zip(PATTERN).all(|(byte, pattern)| match pattern {
        b'0' => byte.is_ascii_digit(),
        b'T' => byte.eq_ignore_ascii_case(&b'T'),
        exact => byte == exact,
    });
    let zone = without_fraction(tail);
    let local = text.get(..text.len() - zone.len())?;
    offset(zone).filter(|_| head_fits).map(|offset| (local, offset))
}

/// Drops a fraction of 1 to 9 digits, if there is one.
fn without_fraction(tail: &[u8]) -> &[u8] {
    let Some((b'.', rest)) = tail.split_first() else { return tail };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match rest.split_at_checked(digits) {
        Some((_, zone)) if (1..=9).contains(&digits) => zone,
        Some(_) | None => tail,
    }
}

/// `Z` or `+hh:mm`.
fn offset(zone: &[u8]) -> Option<SignedDuration> {
    match zone {
        [b'Z' | b'z'] => Some(SignedDuration::ZERO),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let hours = two_digits(*h1, *h2).filter(|hours| *hours < 24)?;
            let minutes = two_digits(*m1, *m2).filter(|minutes| *minutes < 60)?;
            let distance = SignedDuration::from_mins(hours * 60 + minutes);
            Some(if *sign == b'-' { -distance } else { distance })
        }
        _ => None,
    }
}

fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    Some(digit(tens)? * 10 + digit(ones)?)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Wire for Option<Timestamp> {
    fn absent() -> Option<Self> {
        Some(None)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_written_form_has_milliseconds_and_z() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1, "1970-01-01T00:00:00.001Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_785_585_600_120, "2026-08-01T12:00:00.120Z"),
            (MILLIS_MIN, "0001-01-01T00:00:00.000Z"),
            (MILLIS_MAX, "9999-12-31T23:59:59.999Z"),
            (i64::MIN, "0001-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn fractions_and_offsets_are_read() {
        for (text, millis) in [
            ("1970-01-01T00:00:01Z", 1000),
            ("1970-01-01t00:00:01z", 1000),
            ("1970-01-01T00:00:01.5Z", 1500),
            ("1970-01-01T00:00:01.123456789Z", 1123),
            ("1969-12-31T23:59:59.9999Z", -1),
            ("1970-01-01T01:00:01+01:00", 1000),
            ("1969-12-31T16:00:01.000-08:00", 1000),
            ("9999-12-31T23:59:59.999999999Z", MILLIS_MAX),
            ("9999-12-31T23:59:59-00:00", MILLIS_MAX - 999),
            ("0001-01-01T05:00:00+05:00", MILLIS_MIN),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().millis(), millis, "{text}");
        }
    }

    #[test]
    fn other_notations_are_refused() {
        for text in [
            "",
            "0",
            "2026-08-01",
            "2026-08-01T12:00:00",
            "2026-08-01 12:00:00Z",
            "2026-08-01T12:00Z",
            "2026-08-01T12:00:00.Z",
            "2026-08-01T12:00:00,5Z",
            "2026-08-01T12:00:00.0123456789Z",
            "2026-08-01T12:00:00+01",
            "2026-08-01T12:00:00 01:00",
            "2026-08-01T12:00:00Z[UTC]",
            "2026-13-01T12:00:00Z",
            "2026-02-30T12:00:00Z",
            "0000-12-31T23:59:59Z",
            "-000001-01-01T00:00:00Z",
            "2026-08-01T12:00:00ZZ",
            "2026-08-01T12:00:00+24:00",
            "2026-08-01T12:00:00+01:60",
            "2026-08-01T12:00:00+1a:00",
            "9999-12-31T23:59:59-00:01",
            "0001-01-01T00:00:00+00:01",
            "2026-08-01T12:00:00.€Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(InvalidTimestamp), "{text}");
        }
    }

    proptest! {
        #[test]
        fn timestamps_round_trip(millis in MILLIS_MIN..=MILLIS_MAX) {
            let timestamp = Timestamp::from_millis(millis);
            prop_assert_eq!(timestamp.to_string().parse::<Timestamp>().unwrap(), timestamp);
        }

        #[test]
        fn reading_never_panics(text in "\\PC*") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
