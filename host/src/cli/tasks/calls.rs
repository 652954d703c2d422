//! `kennel tasks journal`: each recorded call with its arguments, what came of it, and how long it took.

use kennel_store::{CHECKPOINT, JournalRow};
use serde_json::{Value, json};

use super::words::{self, moment, of_micros, short};
use super::{Found, Out, events, unread};

/// Rows read at once.
const PAGE: u32 = 512;
/// Characters of arguments and results.
const TEXT_MAX: usize = 160;

/// Writes the whole journal.
pub(super) async fn calls(found: &Found, out: &mut Out<'_>) -> anyhow::Result<()> {
    let (mut at, mut generation) = (0, 0);
    loop {
        let rows = found.inspector.journal_after(&found.key, at, PAGE).await.map_err(unread)?;
        let Some(last) = rows.last() else { break };
        at = last.idx;
        for row in &rows {
            if out.is_json() {
                out.json(&object(row))?;
                continue;
            }
            if row.generation != generation {
                generation = row.generation;
                out.line(&format!("generation {generation}"))?;
            }
            for line in lines(row, found, out) {
                out.line(&line)?;
            }
        }
    }
    if at == 0 && !out.is_json() {
        out.line("(no calls)")?;
    }
    Ok(())
}

/// A row for people: what was called, when and how long; its arguments; what came of it.
fn lines(row: &JournalRow, found: &Found, out: &Out<'_>) -> [String; 3] {
    let asked = of_micros(row.asked_us);
    let took = match &row.answer {
        Some((_, answered_us)) => millis(row.asked_us, *answered_us),
        None => format!("waits since {}", moment(asked, out.now)),
    };
    let mark = if row.answer.is_none() { '*' } else { ' ' };
    let event = row.seq.map(|seq| format!("  event {seq}")).unwrap_or_default();
    let due = row.due.map(|due| format!("  until {}", moment(due, out.now))).unwrap_or_default();
    let head = format!("{:>5}{mark} {:22}  {:>12}{event}{due}", row.idx, row.call, took);
    if row.call == CHECKPOINT {
        let bytes = row.answer.as_ref().map_or(0, |(result, _)| result.len());
        return [head, String::new(), format!("       -> {bytes} bytes")].map(|line| line.trim_end().to_owned());
    }
    let arguments = format!("       {}", short(&words::object(&row.request), TEXT_MAX));
    let result = format!("       -> {}", short(&result(row, found), TEXT_MAX));
    [head, arguments, result]
}

/// What came of a call, in a few words.
fn result(row: &JournalRow, found: &Found) -> String {
    let Some((result, _)) = &row.answer else { return "not yet".to_owned() };
    let Ok(result) = serde_json::from_slice::<Value>(result) else { return "does not read".to_owned() };
    if let Some(n) = result.get("message").and_then(Value::as_u64) {
        let said = found.task.view.inbox.iter().find(|inbound| u64::from(inbound.n) == n);
        return match said {
            Some(inbound) => format!("message {n} “{}”", events::text_of(&inbound.message.parts)),
            None => format!("message {n}, which is missing"),
        };
    }
    if let Some(error) = result.get("error") {
        let text = |key| error.get(key).and_then(Value::as_str).unwrap_or_default();
        return format!("error {} ({}): {}", text("kind"), text("code"), text("message"));
    }
    match result.get("answer") {
        Some(Value::String(word)) => word.clone(),
        Some(answer) => answer.to_string(),
        None => result.to_string(),
    }
}

/// Milliseconds from one moment to another, to the microsecond.
fn millis(from_us: u64, to_us: u64) -> String {
    let us = to_us.saturating_sub(from_us);
    format!("{}.{:03} ms", us / 1_000, us % 1_000)
}

/// A row with nothing cut but what was cut when it was written.
fn object(row: &JournalRow) -> Value {
    let parsed = |text: &[u8]| -> Value {
        serde_json::from_slice(text).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(text).into_owned()))
    };
    let result = row.answer.as_ref().map(|(result, _)| match row.call.as_str() {
        // The agent's own bytes, whatever they are.
        CHECKPOINT => json!({ "bytes": result.len() }),
        _ => parsed(result),
    });
    let took_us = row.answer.as_ref().map(|(_, answered_us)| answered_us.saturating_sub(row.asked_us));
    json!({
        "idx": row.idx,
        "generation": row.generation,
        "call": row.call,
        "arguments": parsed(row.request.as_bytes()),
        "result": result,
        "waits": row.answer.is_none(),
        "ms": took_us.map(|us| Value::from(us as f64 / 1_000.0)),
        "askedAt": of_micros(row.asked_us),
        "answeredAt": row.answer.as_ref().map(|(_, answered_us)| of_micros(*answered_us)),
        "event": row.seq.map(kennel_protocol::Seq::get),
        "due": row.due,
        "cpuUs": row.cpu_us,
        "hash": kennel_protocol::Digest::from_bytes(row.hash),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_exact() {
        assert_eq!(millis(1_000, 2_234), "1.234 ms");
        assert_eq!(millis(0, 61_204_001), "61204.001 ms");
        assert_eq!(millis(5, 4), "0.000 ms");
    }
}
