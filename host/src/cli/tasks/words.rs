//! Times, lengths of time and texts as an operator reads them. All times are UTC.

use kennel_protocol::Timestamp;
use serde_json::Value;

use crate::cli::a2a::print::plain;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A length of time in its two largest units: `4 s`, `2 min`, `3 h 20 min`, `6 days 23 h`.
pub(super) fn length(ms: i64) -> String {
    let ms = ms.max(0);
    let days = |n: i64| if n == 1 { "1 day".to_owned() } else { format!("{n} days") };
    let with = |large: String, rest: i64, unit: &str| match rest {
        0 => large,
        rest => format!("{large} {rest} {unit}"),
    };
    match ms {
        DAY.. => with(days(ms / DAY), ms % DAY / HOUR, "h"),
        HOUR.. => with(format!("{} h", ms / HOUR), ms % HOUR / MINUTE, "min"),
        MINUTE.. => format!("{} min", ms / MINUTE),
        // A moment that is still to come is never zero seconds away.
        1.. => format!("{} s", (ms + SECOND - 1) / SECOND),
        _ => "0 s".to_owned(),
    }
}

/// The time from one moment to another.
pub(super) fn between(from: Timestamp, to: Timestamp) -> String {
    length(to.millis().saturating_sub(from.millis()))
}

/// A moment: the time alone if it is today.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (at.to_string(), now.to_string());
    let time = at.get(11..19).unwrap_or_default();
    match (at.get(..10), now.get(..10)) {
        (Some(day), Some(today)) if day == today => format!("{time} UTC"),
        (Some(day), _) => format!("{day} {time} UTC"),
        (None, _) => at,
    }
}

/// A moment of microseconds since 1970.
pub(super) fn of_micros(us: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(us / 1_000).unwrap_or(i64::MAX))
}

/// A text on one line, at most so many characters, harmless to a terminal.
pub(super) fn short(text: &str, chars_max: usize) -> String {
    let line = plain(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= chars_max {
        return line;
    }
    let cut: String = line.chars().take(chars_max.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

/// JSON for people: without members that say nothing. A text that is no JSON, because it was cut, stays as it is.
pub(super) fn object(text: &str) -> String {
    serde_json::from_str::<Value>(text).map_or_else(|_| text.to_owned(), |value| telling(value).to_string())
}

fn telling(value: Value) -> Value {
    let says_something = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => true,
    };
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| says_something(value));
            Value::Object(members.map(|(name, value)| (name, telling(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(telling).collect()),
        value => value,
    }
}

/// A number and its noun: `1 event`, `3 events`.
pub(super) fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_their_two_largest_units() {
        let lengths = [0, 1, 999, 1_000, 4_000, 119_000, HOUR, HOUR + 20 * MINUTE, DAY, 7 * DAY - 1];
        let texts = lengths.map(length);
        assert_eq!(texts, ["0 s", "1 s", "1 s", "1 s", "4 s", "1 min", "1 h", "1 h 20 min", "1 day", "6 days 23 h"]);
        assert_eq!(length(-5), "0 s");
    }

    #[test]
    fn a_moment_of_today_is_a_time() {
        let now: Timestamp = "2026-08-01T12:00:00.000Z".parse().unwrap();
        assert_eq!(moment("2026-08-01T09:03:04.999Z".parse().unwrap(), now), "09:03:04 UTC");
        assert_eq!(moment("2026-07-31T23:59:59.000Z".parse().unwrap(), now), "2026-07-31 23:59:59 UTC");
    }

    #[test]
    fn texts_are_one_harmless_line() {
        assert_eq!(short("a\n b\u{1b}[31m", 20), "a b\u{FFFD}[31m");
        assert_eq!(short("abcdef", 4), "abc…");
        assert_eq!(short("äöü", 3), "äöü");
        assert_eq!(object(r#"{"a":null,"b":{"c":[],"d":[null,{"e":null}]}}"#), r#"{"b":{"d":[null,{}]}}"#);
        assert_eq!(object("null"), "null");
        assert_eq!(object("{\"a\":"), "{\"a\":");
        assert_eq!([count(1, "event"), count(0, "event")], ["1 event", "0 events"]);
    }
}
