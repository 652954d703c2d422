//! What services recorded, beside the journals of those who called them: no effect without an intent, no result without an effect, and
//! each call under one key of its own.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Findings;
use super::database::{CallRow, Database};

/// A request as a service saw it.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    pub method: String,
    pub url: String,
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// When it came: microseconds since 1970.
    pub at_us: i64,
}

/// The log of one service.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// Scheme and authority.
    pub origin: String,
    pub effects: Vec<Effect>,
}

/// A row of a journal that sends a request.
struct Intent<'a> {
    task: &'a str,
    row: &'a CallRow,
    key: String,
    method: &'a str,
    url: &'a str,
}

/// Compares the logs of services with all rows.
pub(crate) fn check(services: &[Served], database: &Database, findings: &mut Findings) {
    for served in services {
        let intents = intents(&served.origin, database);
        for effect in &served.effects {
            check_effect(effect, &intents, findings);
        }
        for intent in &intents {
            check_result(intent, &served.effects, findings);
        }
    }
}

/// The intents whose requests go to an origin.
fn intents<'a>(origin: &str, database: &'a Database) -> Vec<Intent<'a>> {
    let rows = database.tasks.values().flat_map(|task| task.journal.iter().map(move |row| (task.id.as_str(), row)));
    let sends = rows.filter(|(_, row)| matches!(row.call.as_str(), "http.fetch" | "http.start" | "http.open"));
    let all = sends.filter_map(|(task, row)| {
        let (method, url) = (member(&row.request, "method")?, member(&row.request, "url")?);
        let key = own_key(&row.request).unwrap_or_else(|| key(task, row.idx));
        Some(Intent { task, row, key, method, url })
    });
    let there = |url: &str| url.strip_prefix(origin).is_some_and(|path| path.starts_with('/'));
    all.filter(|intent| there(intent.url)).collect()
}

/// A text of a request. It may be cut at its end, behind both of those that are asked for.
fn member<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = request.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

/// The key that the agent itself has set.
fn own_key(request: &str) -> Option<String> {
    let read: Value = serde_json::from_str(request).ok()?;
    let named = |header: &&Value| header[0].as_str().is_some_and(|name| name.eq_ignore_ascii_case("idempotency-key"));
    read["request"]["headers"].as_array()?.iter().find(named)?[1].as_str().map(str::to_owned)
}

/// The key of a call, as services know it: the same in every release, or a call could be carried out twice across an upgrade.
fn key(task: &str, idx: i64) -> String {
    let mut hash = Sha256::new();
    hash.update("kennel-outside-key");
    // The timeline: no database was restored here.
    hash.update(0_u32.to_le_bytes());
    hash.update(u32::try_from(idx).unwrap().to_le_bytes());
    hash.update(task);
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Each effect has its intent, and a key has one intent.
fn check_effect(effect: &Effect, intents: &[Intent<'_>], findings: &mut Findings) {
    let same = |intent: &&Intent<'_>| intent.method == effect.method && intent.url == effect.url;
    let shown = format!("{} {} under the key {:?}", effect.method, effect.url, effect.key);
    if let Some(intent) = intents.iter().find(|intent| effect.key.as_ref() == Some(&intent.key)) {
        findings.unless(same(&intent), "effect-shared", intent.task, || {
            format!("{shown} came, which is the key of {} {}", intent.method, intent.url)
        });
    } else if let Some(intent) = intents.iter().find(same) {
        let known = &intent.key;
        findings.add("effect-key", intent.task, format!("{shown} came, and row {} has {known}", intent.row.idx));
    } else {
        findings.add("effect-intent", "no task", format!("{shown} came, and no row is its intent"));
    }
}

/// What came of an intent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    /// A response: the service was there.
    Response,
    /// Nobody knows, and nobody will ask again.
    Unknown,
    /// It may not even have left.
    Error,
}

/// Each result has its effect, and no effect comes after it.
fn check_result(intent: &Intent<'_>, effects: &[Effect], findings: &mut Findings) {
    let Some(came) = came(intent.row) else { return };
    let own: Vec<&Effect> = effects.iter().filter(|effect| effect.key.as_ref() == Some(&intent.key)).collect();
    let shown = format!("row {} ({} {})", intent.row.idx, intent.method, intent.url);
    findings.unless(came != Came::Response || !own.is_empty(), "effect-result", intent.task, || {
        format!("{shown} has a response, and the service has not seen it")
    });
    let Some(answered_us) = intent.row.answered_us.filter(|_| came != Came::Error) else { return };
    // The host notes milliseconds.
    let late = own.iter().any(|effect| effect.at_us / 1000 > answered_us / 1000);
    findings.unless(!late, "effect-late", intent.task, || format!("{shown} came again after its result was stored"));
}

fn came(row: &CallRow) -> Option<Came> {
    let result = row.result.as_ref()?;
    if row.blobs > 0 {
        // Only a response is so large.
        return Some(Came::Response);
    }
    let read: Value = serde_json::from_slice(result).ok()?;
    let outcome = read.get("exchange").or(read.get("head"));
    if read["answer"]["response"].is_object() || outcome.is_some_and(|outcome| outcome["Ok"].is_object()) {
        return Some(Came::Response);
    }
    let error = read.get("error").or(outcome.and_then(|outcome| outcome.get("Err")))?;
    Some(if error["kind"] == "unknown-outcome" { Came::Unknown } else { Came::Error })
}
