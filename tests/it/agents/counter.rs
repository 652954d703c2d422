//! A fixture: an agent that keeps values and says what it found.

use kennel::kv::{Kv, Scope, Swapped};
use kennel::prelude::*;

/// `add n` counts up n times, `tell n` also tells how far it is, `mark` writes before and after a question, `own` looks at its own changes, `scope operation` does one
/// thing to one scope.
#[kennel::agent(asks = true, kv = [agent, context, caller, tenant])]
fn counter(task: Task) -> Result<Outcome> {
    let text = task.text();
    match text.split(' ').collect::<Vec<_>>().as_slice() {
        ["add", n] => add(task.kv(Scope::Agent), n.parse().or_fail("arguments", "Say how often.")?),
        ["tell", n] => tell(&task, n.parse().or_fail("arguments", "Say how often.")?),
        ["mark"] => mark(&task),
        ["own"] => own(task.kv(Scope::Agent)),
        ["agent", rest @ ..] => once(task.kv(Scope::Agent), rest),
        ["context", rest @ ..] => once(task.kv(Scope::Context), rest),
        ["caller", rest @ ..] => once(task.kv(Scope::Caller), rest),
        ["tenant", rest @ ..] => once(task.kv(Scope::Tenant), rest),
        _ => Err(fail("arguments", "Counter does not know this.")),
    }
}

fn add(kv: Kv, n: u32) -> Result<Outcome> {
    let mut count = 0;
    for _ in 0..n {
        count = kv.update("count", |old: Option<u32>| old.unwrap_or(0) + 1)?;
    }
    done_with(count.to_string())
}

/// Its events and its values are on their way at the same time.
fn tell(task: &Task, n: u8) -> Result<Outcome> {
    for done in 1..=n {
        task.status().progress(done).send()?;
        task.kv(Scope::Agent).put("told", done)?;
        task.kv(Scope::Agent).update("count", |old: Option<u32>| old.unwrap_or(0) + 1)?;
    }
    done_with(n.to_string())
}

/// What stands before the question must not be written again when this is repeated.
fn mark(task: &Task) -> Result<Outcome> {
    let kv = task.kv(Scope::Agent);
    let put = kv.put_bytes("put", b"mine")?;
    let swapped = matches!(kv.swap("swap", None, b"mine")?, Swapped::Done(_));
    kv.put_bytes("gone", b"mine")?;
    let deleted = kv.delete("gone")?;
    let before = kv.update("steps", |old: Option<u32>| old.unwrap_or(0) + 1)?;
    task.ask("Shall I go on?").text()?;
    let after = kv.update("steps", |old: Option<u32>| old.unwrap_or(0) + 1)?;
    let theirs = kv.entry("put")?.is_some_and(|entry| entry.version != put);
    done_with(format!("{before} {after} swapped {swapped} deleted {deleted} theirs {theirs}"))
}

/// Everything is seen at once by whoever did it.
fn own(kv: Kv) -> Result<Outcome> {
    let mut said = Vec::new();
    for n in 0..100_u32 {
        kv.put(&format!("own/{n:02}"), n)?;
    }
    said.push(kv.keys("own/")?.len().to_string());
    let first = kv.put_bytes("own/00", b"first")?;
    let second = kv.put_bytes("own/00", b"second")?;
    said.push((first != second).to_string());
    said.push(kv.entry("own/00")?.is_some_and(|entry| entry.version == second && entry.value == b"second").to_string());
    said.push(matches!(kv.swap("own/00", Some(&first), b"third")?, Swapped::Conflict(Some(_))).to_string());
    said.push(matches!(kv.swap("own/00", Some(&second), b"third")?, Swapped::Done(_)).to_string());
    said.push(kv.delete("own/00")?.to_string());
    said.push(kv.delete("own/00")?.to_string());
    said.push(matches!(kv.swap("own/00", Some(&second), b"fourth")?, Swapped::Conflict(None)).to_string());
    said.push(kv.keys("own/")?.len().to_string());
    done_with(said.join(" "))
}

fn once(kv: Kv, operation: &[&str]) -> Result<Outcome> {
    match operation {
        ["put", key, value] => kv.put_bytes(key, value.as_bytes()).and_then(done_with),
        ["fill", key, bytes] => {
            let bytes = bytes.parse().or_fail("arguments", "Say how many bytes.")?;
            kv.put_bytes(key, &vec![7; bytes]).and_then(done_with)
        }
        ["get", key] => done_with(match kv.entry(key)? {
            Some(entry) if entry.value.len() > 100 => format!("{} bytes", entry.value.len()),
            Some(entry) => String::from_utf8_lossy(&entry.value).into_owned(),
            None => "nothing".to_owned(),
        }),
        ["delete", key] => done_with(kv.delete(key)?.to_string()),
        ["keys"] => done_with(kv.keys("")?.join(" ")),
        _ => Err(fail("arguments", "Counter does not know this operation.")),
    }
}
