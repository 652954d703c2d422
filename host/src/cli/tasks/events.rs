//! `kennel tasks events`: the log of a task, one line an event.

use kennel_protocol::Seq;
use kennel_protocol::types::{Part, StreamResponse};

use super::words::{moment, short};
use super::{Found, Out, unread};
use crate::cli::a2a::print::{name_of, parts, plain, status_text};

/// Events read at once.
const PAGE: u32 = 512;
/// Characters of a text.
const TEXT_MAX: usize = 160;

/// Parts as one text.
pub(super) fn text_of(of: &[Part]) -> String {
    parts(of)
}

/// Writes the events after one.
pub(super) async fn events(found: &Found, after: u64, out: &mut Out<'_>) -> anyhow::Result<()> {
    let mut after = Seq::new(after);
    loop {
        let rows = found.inspector.events_after(&found.key, after, PAGE).await.map_err(unread)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.seq;
        for row in &rows {
            if out.is_json() {
                out.line(&String::from_utf8_lossy(&row.body))?;
                continue;
            }
            let line = match serde_json::from_slice(&row.body) {
                Ok(event) => line(row.seq, &event, out),
                Err(error) => format!("{:>5}  does not read: {error}", row.seq.get()),
            };
            out.line(&line)?;
        }
    }
}

fn line(seq: Seq, event: &StreamResponse, out: &Out<'_>) -> String {
    let at = |at: Option<kennel_protocol::Timestamp>| at.map(|at| moment(at, out.now)).unwrap_or_default();
    let (at, kind, text) = match event {
        StreamResponse::Task(task) => {
            let said = task.history.first().map(|message| parts(&message.parts)).unwrap_or_default();
            (at(task.status.timestamp), "task", format!("{}  {said}", name_of(task.status.state)))
        }
        StreamResponse::StatusUpdate(update) => {
            let said = status_text(update.status.message.as_ref());
            (at(update.status.timestamp), "status", format!("{}  {said}", name_of(update.status.state)))
        }
        StreamResponse::ArtifactUpdate(update) => {
            let artifact = &update.artifact;
            let name = artifact.name.as_deref().unwrap_or(artifact.artifact_id.as_str());
            let mark = if update.append { " +" } else { ":" };
            (String::new(), "artifact", format!("{}{mark} {}", plain(name), parts(&artifact.parts)))
        }
        StreamResponse::Message(message) => (String::new(), "message", parts(&message.parts)),
    };
    // Artifacts carry no time; theirs lies between those of their neighbours.
    let at = if at.is_empty() { "-" } else { &at };
    format!("{:>5}  {at:12}  {kind:8}  {}", seq.get(), short(&text, TEXT_MAX))
}
