//! Deeds that publish what the agent sees, so that a test can compare it with what the host was told.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use kennel::message::Role;
use kennel::prelude::*;

use crate::Words;

/// Publishes the messages of the task, oldest first.
pub(crate) fn history(task: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    let role = |role| if role == Role::User { "user" } else { "agent" };
    let messages = task.history(1_000)?;
    let lines: Vec<Value> = messages.iter().map(|one| json!({ "role": role(one.role), "text": one.text() })).collect();
    task.publish("history", Part::data(lines)?)?;
    done()
}

/// Publishes the texts of the artifacts of all tasks that the message refers to.
pub(crate) fn references(task: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    let texts: Vec<String> = task.references().iter().map(|id| Ok(task.related(id)?.text())).collect::<Result<_>>()?;
    task.publish("references", texts.join("\n"))?;
    done()
}

/// Publishes what a program takes from its surroundings: all of it must be the same in a replay.
pub(crate) fn clock(task: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    let random: String = task.random(8).iter().map(|byte| format!("{byte:02x}")).collect();
    #[expect(clippy::disallowed_methods, reason = "it must be the same in a replay as well")]
    let wasi_now = SystemTime::now();
    let facts = json!({
        "now_ms": milliseconds_of(task.now())?,
        "random": random,
        "wasi_now_ms": milliseconds_of(wasi_now)?,
        "hash": RandomState::new().hash_one("mischief").to_string(),
    });
    task.publish("clock", Part::data(facts)?)?;
    done()
}

fn milliseconds_of(time: SystemTime) -> Result<u64> {
    Ok(u64::try_from(time.duration_since(UNIX_EPOCH)?.as_millis())?)
}
