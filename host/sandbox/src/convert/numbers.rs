//! Whole numbers on their way to a guest.
//!
//! A2A clients that hold data as ProtoJSON values have doubles only, and write 2 as `2.0`. A guest that reads an integer would refuse
//! that, so numbers that are whole are given as integers; all else stays as the client wrote it.

/// Doubles count whole numbers exactly up to here.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The same JSON with each whole number below 2^53 written without fraction and exponent. The text is valid JSON.
pub(crate) fn whole(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '-' | '0'..='9' => number_length(rest),
            _ => first.len_utf8(),
        };
        let (token, later) = rest.split_at(length);
        match integer(token) {
            Some(number) => out.push_str(&number.to_string()),
            None => out.push_str(token),
        }
        rest = later;
    }
    out
}

/// Bytes of the string that the text begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn number_length(text: &str) -> usize {
    let ends = |byte: u8| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    text.bytes().position(ends).unwrap_or(text.len())
}

/// The integer that a number with a fraction or an exponent stands for.
fn integer(token: &str) -> Option<i64> {
    if !token.starts_with(|c: char| c == '-' || c.is_ascii_digit()) || !token.contains(['.', 'e', 'E']) {
        return None;
    }
    let number: f64 = token.parse().ok()?;
    if number.fract() != 0.0 || number.abs() >= EXACT_MAX {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53, so every bit fits")]
    Some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn whole_numbers_become_integers_and_all_else_stays() {
        let given = r#"{"a":2.0,"b":[1e3,-0.5,1.5e300,12345678901234567890],"c":"2.0 \" 3.0","é":-4.00}"#;
        let told = r#"{"a":2,"b":[1000,-0.5,1.5e300,12345678901234567890],"c":"2.0 \" 3.0","é":-4}"#;
        assert_eq!(whole(given), told);
        assert_eq!(whole("7.0"), "7");
        assert_eq!(whole("true"), "true");
    }
}
