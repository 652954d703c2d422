//! `kennel tasks show`: what there is to know of one task.

use std::io;

use kennel_protocol::Digest;
use kennel_protocol::types::{Artifact, Content, Part};
use kennel_store::{Artifacts, TaskView};
use serde_json::json;

use super::list::{run_object, stands};
use super::words::{between, count, moment, short};
use super::{Found, Out, events, unread};
use crate::cli::a2a::print::{name_of, plain};

/// Characters of a text.
const TEXT_MAX: usize = 120;

/// Writes one task.
pub(super) async fn show(found: &Found, out: &mut Out<'_>) -> anyhow::Result<()> {
    let view = &found.task.view;
    let mut task = view.task(None, Artifacts::Show);
    found.inspector.complete(&found.key.tenant, &mut task).await.map_err(unread)?;
    if out.is_json() {
        out.json(&object(found, &task))?;
        return Ok(());
    }
    facts(found, out)?;
    work(found, out)?;
    field(out, "history", &count(task.history.len() as u64, "message"))?;
    for inbound in &view.inbox {
        let taken = if inbound.taken.is_some() { "taken" } else { "waits" };
        let said = short(&events::text_of(&inbound.message.parts), TEXT_MAX);
        field(out, if inbound.n == 0 { "inbox" } else { "" }, &format!("{}  {taken}  {said}", inbound.n))?;
    }
    if let Some((n, _)) = &found.task.cancel {
        field(out, "", &format!("{n}  request to stop"))?;
    }
    for (at, artifact) in task.artifacts.iter().flatten().enumerate() {
        field(out, if at == 0 { "artifacts" } else { "" }, &artifact_line(artifact))?;
    }
    Ok(())
}

fn field(out: &mut Out<'_>, name: &str, value: &str) -> io::Result<()> {
    out.line(&format!("{name:12}{value}"))
}

/// What is fixed, and where it stands for its client.
fn facts(found: &Found, out: &mut Out<'_>) -> io::Result<()> {
    let row = &found.task.view.row;
    let now = out.now;
    field(out, "task", row.key.task.as_str())?;
    field(out, "context", row.context.as_str())?;
    let version = match found.request().remote {
        Some(_) => "elsewhere".to_owned(),
        None => format!("sha-256 {}", begin_of(&row.digest)),
    };
    field(out, "agent", &format!("{}  {version}", row.agent))?;
    field(out, "owner", if row.owner.is_anonymous() { "anonymous" } else { row.owner.as_str() })?;
    if let Some(retry) = found.request().retry {
        field(out, "retry of", retry.of.as_str())?;
    }
    field(out, "created", &format!("{} ({} ago)", moment(row.created, now), between(row.created, now)))?;
    if !row.state.is_terminal() {
        field(out, "expires", &format!("{} (in {})", moment(row.expires, now), between(now, row.expires)))?;
    }
    let state = format!("{} since {}", name_of(row.state), moment(row.status_at, now));
    field(out, "state", &state)?;
    if let Some(code) = found.code() {
        field(out, "code", &plain(&code))?;
    }
    let said = found.said().map(|said| events::text_of(&said.parts)).unwrap_or_default();
    if !said.is_empty() {
        field(out, "says", &short(&said, TEXT_MAX))?;
    }
    Ok(())
}

/// Where its run and its journal stand.
fn work(found: &Found, out: &mut Out<'_>) -> io::Result<()> {
    if let Some(run) = &found.task.run {
        let stands = stands(run, out.now);
        field(out, "run", &format!("{stands}; {}", count(u64::from(run.attempts), "attempt")))?;
        if let Some(error) = &run.last_error {
            field(out, "last error", &short(error, TEXT_MAX))?;
        }
    }
    let journal = &found.task.journal;
    let generation = journal.checkpoint.as_ref().map_or(1, |row| row.generation);
    field(out, "journal", &format!("{}, generation {generation}", count(u64::from(journal.last), "row")))?;
    if journal.last != journal.counted {
        field(out, "", &format!("damaged: it should have {}", count(u64::from(journal.counted), "row")))?;
    }
    field(out, "events", &found.task.view.rev.to_string())
}

fn artifact_line(artifact: &Artifact) -> String {
    let name = artifact.name.as_deref().unwrap_or(artifact.artifact_id.as_str());
    let parts = count(artifact.parts.len() as u64, "part");
    format!("{}  {parts}, {}", short(name, TEXT_MAX), count(bytes_of(&artifact.parts) as u64, "byte"))
}

fn bytes_of(parts: &[Part]) -> usize {
    let bytes = parts.iter().map(|part| match &part.content {
        Content::Text(text) | Content::Url(text) => text.len(),
        Content::Raw(bytes) => bytes.len(),
        Content::Data(json) => json.get().len(),
    });
    bytes.sum()
}

/// As much of a digest as a person compares.
pub(super) fn begin_of(digest: &Digest) -> String {
    digest.to_string().chars().take(16).collect()
}

fn object(found: &Found, task: &kennel_protocol::types::Task) -> serde_json::Value {
    let TaskView { row, rev, inbox, .. } = &found.task.view;
    let journal = &found.task.journal;
    let inbox = inbox.iter().map(|inbound| {
        let message = &inbound.message.message_id;
        json!({ "n": inbound.n, "messageId": message, "atEvent": inbound.at_seq.get(), "taken": inbound.taken.is_some() })
    });
    json!({
        "task": task,
        "agent": row.agent,
        "tenant": row.key.tenant,
        "owner": row.owner,
        "digest": row.digest,
        "created": row.created,
        "expires": row.expires,
        "retryOf": found.request().retry.map(|retry| retry.of),
        "errorCode": found.code(),
        "events": rev.get(),
        "run": found.task.run.as_ref().map(run_object),
        "cancelRequested": found.task.cancel.is_some(),
        "journal": {
            "rows": journal.last,
            "counted": journal.counted,
            "generation": journal.checkpoint.as_ref().map_or(1, |row| row.generation),
        },
        "inbox": inbox.collect::<Vec<_>>(),
    })
}
