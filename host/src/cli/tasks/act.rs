//! `kennel tasks retry`, `resume` and `replay`: the verbs that do more than look. `replay` writes nothing all the same.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use kennel_store::{Clock, OpenError, Pokes, Store, StoreOptions, TaskKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::show::begin_of;
use super::words::{count, object, short};
use super::{Found, Out};
use crate::admin::{self, Asked, RetryOrder};
use crate::config::TaskLimits;
use crate::work::SeenLimits;
use crate::worker::authorize::Resumed;
use crate::worker::rehearse::{Rehearsed, rehearse};
use crate::worker::retry::{self, Bounds, Retried, Version};
use crate::worker::verdict::{Deed, Rehearsal, Verdict};

/// Characters of arguments side by side.
const TEXT_MAX: usize = 400;

/// Makes a task again: through the running host, or in its place.
pub(super) async fn retry(found: Found, data: &Path, same_version: bool, out: &mut Out<'_>) -> anyhow::Result<()> {
    let version = if same_version { Version::Same } else { Version::Active };
    let Found { inspector, key, .. } = found;
    // A store that is opened below cleans up at its end only if nobody else looks.
    drop(inspector);
    let path = format!("/tasks/{}/retry", key.task);
    let (retried, hosted) = match ask(data, &path, &RetryOrder { version }).await? {
        Asked::Done(retried) => (retried, true),
        Asked::Refused(problem) => bail!("{}", problem.detail),
        Asked::Nobody => (without_host(&key, data, version).await?, false),
    };
    if out.is_json() {
        out.json(&retried)?;
    } else {
        told(&retried, hosted, out)?;
    }
    Ok(())
}

/// Asks the running host.
async fn ask<T: DeserializeOwned>(data: &Path, path: &str, order: &impl Serialize) -> anyhow::Result<Asked<T>> {
    admin::ask(data, path, order).await.with_context(|| {
        let socket = admin::socket(data);
        format!("the host at {} did not answer; look at its log, or stop it and try again", socket.display())
    })
}

/// Lets a task go on that waits for a credential. Without a host there is nothing to do: one that starts finds it.
pub(super) async fn resume(found: Found, data: &Path, out: &mut Out<'_>) -> anyhow::Result<()> {
    let path = format!("/tasks/{}/resume", found.key.task);
    let resumed: Resumed = match ask(data, &path, &()).await? {
        Asked::Done(resumed) => resumed,
        Asked::Refused(problem) => bail!("{}", problem.detail),
        Asked::Nobody => bail!(
            "no host runs on {}; start `kennel serve` with a configuration that has the credential, and the task goes on by itself",
            data.display()
        ),
    };
    if out.is_json() {
        return Ok(out.json(&resumed)?);
    }
    let Resumed { task_id, agent, credential } = resumed;
    out.line(&format!("task {task_id} goes on: {agent} has the credential {credential}"))?;
    Ok(())
}

/// In the place of a host: with its lock, for a moment.
async fn without_host(key: &TaskKey, data: &Path, version: Version) -> anyhow::Result<Retried> {
    let options = StoreOptions { pokes: Pokes::Off, clock: Clock::system(), trial: Default::default() };
    let store = match Store::open(data, options).await {
        Err(OpenError::Locked { .. }) => bail!(
            "a host has {} but does not listen on {}: it is starting, stopping or could not make the socket; try again, or stop it",
            data.display(),
            admin::socket(data).display()
        ),
        opened => opened?,
    };
    let bounds = Bounds { life_max: TaskLimits::default().life_max, seen: SeenLimits::default() };
    let retried = retry::retry(&store, bounds, key, version).await;
    store.close().await;
    Ok(retried?)
}

fn told(retried: &Retried, hosted: bool, out: &mut Out<'_>) -> std::io::Result<()> {
    let Retried { task_id, agent, digest, retry_of, from_checkpoint, messages, .. } = retried;
    out.line(&format!("task {task_id} tries {retry_of} again"))?;
    let begins = if *from_checkpoint { "its last checkpoint" } else { "its first message" };
    let heard = match messages {
        0 => String::new(),
        n => format!(", with {} of its client that {} not asked for again", count(*n as u64, "message"), are(*n)),
    };
    out.line(&format!("  it begins at {begins}{heard}"))?;
    out.line(&format!("  {agent}, sha-256 {}", begin_of(digest)))?;
    if !hosted {
        out.line("  no host runs on this folder; it begins when `kennel serve` does")?;
    }
    Ok(())
}

fn are(n: usize) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

/// Repeats the journal, and says where it differs.
pub(super) async fn replay(found: Found, component: Option<&Path>, out: &mut Out<'_>) -> anyhow::Result<ExitCode> {
    let component = match component {
        Some(file) => {
            let bytes = tokio::fs::read(file).await;
            let bytes =
                bytes.with_context(|| format!("cannot read {}; `kennel build` makes components", file.display()))?;
            Some(Bytes::from(bytes))
        }
        None => None,
    };
    // Not the host's cache: its folder is left as it is.
    let cache = tempfile::Builder::new().prefix("kennel-replay-").tempdir();
    let cache = cache.context("cannot make a temporary folder; set TMPDIR to one with room")?;
    let Found { inspector, key, task } = found;
    let rehearsed = Rehearsed { inspector: Arc::new(inspector), key, task };
    let rehearsal = rehearse(rehearsed, component, cache.path()).await?;
    if out.is_json() {
        out.json(&rehearsal)?;
    } else {
        for line in said(&rehearsal) {
            out.line(&line)?;
        }
    }
    Ok(if rehearsal.verdict.is_alike() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a rehearsal came to, for people.
fn said(rehearsal: &Rehearsal) -> Vec<String> {
    let alike = format!("{} repeated alike", count(u64::from(rehearsal.calls), "call"));
    let alike = match rehearsal.generations {
        0 | 1 => alike,
        n => format!("{alike} in {n} generations"),
    };
    match &rehearsal.verdict {
        Verdict::Diverged { idx, expected, found } => vec![
            format!("{alike}; call {idx} differs:"),
            format!("  expected  {}", deed(expected)),
            format!("  found     {}", deed(found)),
        ],
        Verdict::Damaged { reason } => vec![format!("{alike}; then the journal is damaged: {reason}")],
        Verdict::Ended { end } => vec![format!("{alike}; the task then ended as recorded: {}", deed(end))],
        Verdict::Better { recorded, found } => vec![
            format!("{alike}; then it goes another way than recorded:"),
            format!("  recorded  {}", deed(recorded)),
            format!("  found     {}", deed(found)),
        ],
        Verdict::Waits { wait, ended } => {
            let mut lines = vec![format!("{alike}; the task then waits in {}", deed(wait))];
            lines.extend(ended.as_ref().map(|end| format!("  it was ended while it waited: {}", deed(end))));
            lines
        }
        Verdict::GoesOn { next } => vec![format!("{alike}; the task then goes on with {}", deed(next))],
    }
}

fn deed(deed: &Deed) -> String {
    let Deed { call, arguments } = deed;
    match short(&object(arguments), TEXT_MAX) {
        text if text.is_empty() || text == "null" => call.clone(),
        text => format!("{call}  {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a(call: &str, arguments: &str) -> Deed {
        Deed { call: call.to_owned(), arguments: arguments.to_owned() }
    }

    #[track_caller]
    fn check(generations: u32, verdict: Verdict, text: &str) {
        let component = kennel_protocol::Digest::from_bytes([0; 32]);
        let rehearsal = Rehearsal { component, calls: 3, generations, verdict };
        assert_eq!(said(&rehearsal).join("\n"), text);
    }

    #[test]
    fn each_verdict_has_its_words() {
        let end = a("COMPLETED", "Thank you.");
        check(
            1,
            Verdict::Ended { end: end.clone() },
            "3 calls repeated alike; the task then ended as recorded: COMPLETED  Thank you.",
        );
        let wait = a("wait.sleep", "{\"time\":5}");
        check(
            2,
            Verdict::Waits { wait: wait.clone(), ended: None },
            "3 calls repeated alike in 2 generations; the task then waits in wait.sleep  {\"time\":5}",
        );
        check(
            1,
            Verdict::GoesOn { next: a("task.cancel-requested", "null") },
            "3 calls repeated alike; the task then goes on with task.cancel-requested",
        );
        check(
            1,
            Verdict::Damaged { reason: "Row 4 of the task's journal is missing.".to_owned() },
            "3 calls repeated alike; then the journal is damaged: Row 4 of the task's journal is missing.",
        );
        check(
            1,
            Verdict::Diverged { idx: 4, expected: wait, found: end.clone() },
            "3 calls repeated alike; call 4 differs:\n  expected  wait.sleep  {\"time\":5}\n  found     COMPLETED  Thank you.",
        );
        check(
            1,
            Verdict::Better { recorded: a("FAILED", "panic: x"), found: end },
            "3 calls repeated alike; then it goes another way than recorded:\n  recorded  FAILED  panic: x\n  found     COMPLETED  Thank you.",
        );
    }
}
