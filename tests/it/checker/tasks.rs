//! What the rows of each task must add up to.

use kennel_protocol::fold::Fold;
use kennel_protocol::state::{self, Step};
use kennel_protocol::types::{StreamResponse, TaskState};

use super::Findings;
use super::database::{CallRow, TaskRows};

/// Numbers of `run.state` that a task which goes on may have: ready, leased, parked, held.
const GOES_ON: std::ops::RangeInclusive<i64> = 0..=3;

/// Looks at one task.
pub(crate) fn check(task: &TaskRows, findings: &mut Findings) {
    log(task, findings);
    run(task, findings);
    inbox(task, findings);
    journal(task, findings);
    for digest in &task.blobs_missing {
        findings.add("blob", &task.id, format!("an event names {digest}, which is not there in full"));
    }
}

/// Events, the task row and the body.
fn log(task: &TaskRows, findings: &mut Findings) {
    let dense = task.events.iter().map(|event| event.seq).eq(1..=task.rev);
    let seqs = || task.events.iter().map(|event| event.seq).collect::<Vec<_>>();
    findings.unless(dense && task.rev > 0, "seq-gap", &task.id, || format!("rev {} and events {:?}", task.rev, seqs()));
    steps(task, findings);
    if let Ok(fold) = task.fold(i64::MAX) {
        row(task, &fold, findings);
    }
    let Some((seq, body)) = &task.body else { return };
    let held = serde_json::from_slice::<Fold>(body).map_err(|error| error.to_string());
    let same = held.is_ok() && held == task.fold(*seq) && *seq <= task.rev;
    findings.unless(same, "body-fold", &task.id, || format!("the body at {seq} is not what the events add up to"));
}

fn row(task: &TaskRows, fold: &Fold, findings: &mut Findings) {
    let state = fold.status.state;
    let same = task.state() == Some(state) && task.open == state.is_interrupted();
    findings.unless(same, "task-row", &task.id, || {
        format!("the row says {:?}, open {}, and the events {state:?}", task.state(), task.open)
    });
}

/// Each event is a legal step from the one before, and the end is the end.
fn steps(task: &TaskRows, findings: &mut Findings) {
    let mut stands = None;
    for event in &task.events {
        let read = serde_json::from_slice::<StreamResponse>(&event.body);
        let Some((step, to)) = read.as_ref().ok().and_then(|read| step(stands, read)) else {
            findings.add("illegal-step", &task.id, format!("event {} is none of a task", event.seq));
            return;
        };
        if stands.is_some_and(TaskState::is_terminal) {
            findings.add("after-end", &task.id, format!("event {} comes after the end", event.seq));
            return;
        }
        match state::next(stands, step) {
            Ok(state) if to.is_none_or(|to| to == state) => stands = Some(state),
            Ok(state) => {
                findings.add("illegal-step", &task.id, format!("event {} leads to {state:?}, not {to:?}", event.seq));
                return;
            }
            Err(illegal) => {
                findings.add("illegal-step", &task.id, format!("event {}: {illegal}", event.seq));
                return;
            }
        }
    }
}

/// Which step an event is, and the state that it says.
fn step(from: Option<TaskState>, event: &StreamResponse) -> Option<(Step, Option<TaskState>)> {
    let (step, to) = match event {
        StreamResponse::ArtifactUpdate(_) => return Some((Step::Artifact, None)),
        StreamResponse::Message(_) => return None,
        StreamResponse::Task(task) => (Step::Accept, task.status.state),
        StreamResponse::StatusUpdate(update) => {
            let to = update.status.state;
            let step = match to {
                TaskState::Working => match from {
                    Some(TaskState::Submitted) => Step::Start,
                    Some(TaskState::InputRequired | TaskState::AuthRequired) => Step::Answer,
                    _ => Step::Update,
                },
                TaskState::InputRequired => Step::RequireInput,
                TaskState::AuthRequired => Step::RequireAuth,
                TaskState::Completed => Step::Complete,
                TaskState::Failed => Step::Fail,
                TaskState::Canceled => Step::Cancel,
                TaskState::Rejected => Step::Reject,
                TaskState::Submitted | TaskState::Unspecified => return None,
            };
            (step, to)
        }
    };
    Some((step, Some(to)))
}

fn run(task: &TaskRows, findings: &mut Findings) {
    let over = task.state().is_some_and(TaskState::is_terminal);
    match task.run {
        None => findings
            .unless(over, "no-run", &task.id, || "the task is not over, and nobody will go on with it".to_owned()),
        Some((state, due)) => {
            findings
                .unless(!over, "run-of-ended", &task.id, || format!("the task is over and has a run in state {state}"));
            // A ready run without a time is claimed by nobody.
            let sound = GOES_ON.contains(&state) && (state != 0 || due.is_some());
            findings.unless(sound, "run-state", &task.id, || format!("a run in state {state}, due {due:?}"));
        }
    }
}

fn inbox(task: &TaskRows, findings: &mut Findings) {
    let numbers: Vec<i64> = task.inbox.iter().map(|message| message.n).collect();
    let dense = numbers.iter().copied().eq(0..numbers.len() as i64);
    let first = task.inbox.first().is_some_and(|message| !message.is_cancel && message.at_seq == 1);
    findings.unless(dense && first, "inbox-gap", &task.id, || format!("the inbox has {numbers:?}"));
    let mut before = 0;
    for message in &task.inbox {
        let known = |seq: i64| (1..=task.rev).contains(&seq);
        let sound = known(message.at_seq)
            && message.at_seq >= before
            && message.taken_seq.is_none_or(|taken| known(taken) && taken >= message.at_seq);
        findings.unless(sound, "inbox-seq", &task.id, || {
            format!("message {} at {}, taken at {:?}, rev {}", message.n, message.at_seq, message.taken_seq, task.rev)
        });
        before = message.at_seq;
    }
}

fn journal(task: &TaskRows, findings: &mut Findings) {
    let rows = &task.journal;
    let numbers = || rows.iter().map(|row| row.idx).collect::<Vec<_>>();
    let dense = rows.iter().map(|row| row.idx).eq(1..=rows.len() as i64);
    findings.unless(dense, "journal-gap", &task.id, || format!("rows {:?}", numbers()));
    findings.unless(task.calls == rows.len() as i64, "journal-count", &task.id, || {
        format!("the task counts {} rows and has {}", task.calls, rows.len())
    });
    let (mut generation, mut seq, mut at_us) = (1, 0, 0);
    for row in rows {
        let expected = generation + i64::from(row.call == "checkpoint");
        findings.unless(row.generation == expected, "journal-generation", &task.id, || {
            format!("row {} is of generation {}, not {expected}", row.idx, row.generation)
        });
        generation = row.generation;
        result(task, row, findings);
        if let Some(own) = row.seq {
            let sound = own > seq && task.event(own).is_some();
            findings
                .unless(sound, "journal-seq", &task.id, || format!("row {} names event {own} after {seq}", row.idx));
            seq = own;
        }
        let sound = row.asked_us >= at_us && row.answered_us.is_none_or(|answered| answered >= row.asked_us);
        findings.unless(sound, "journal-time", &task.id, || {
            format!("row {} asked at {}, answered at {:?}, after {at_us}", row.idx, row.asked_us, row.answered_us)
        });
        // What came of an exchange came beside the agent.
        at_us = row.answered_us.filter(|_| !begins(row)).unwrap_or(row.asked_us);
    }
}

/// Whether a row stands for something that goes on beside the agent.
fn begins(row: &CallRow) -> bool {
    matches!(row.call.as_str(), "http.start" | "http.open")
}

/// Only the last row may be under way, and those of exchanges; a message that a row names is there and taken.
fn result(task: &TaskRows, row: &CallRow, findings: &mut Findings) {
    let last = task.journal.last().is_some_and(|last| last.idx == row.idx);
    let whole = row.result.is_some() == row.answered_us.is_some() && (last || begins(row) || row.result.is_some());
    findings.unless(whole, "journal-result", &task.id, || format!("row {} ({}) has no result", row.idx, row.call));
    let Some(result) = row.result.as_ref().filter(|_| row.call != "checkpoint" && row.blobs == 0) else { return };
    let Ok(result) = serde_json::from_slice::<serde_json::Value>(result) else {
        findings.add("journal-result", &task.id, format!("row {} ({}) does not read", row.idx, row.call));
        return;
    };
    let Some(n) = result.get("message").and_then(serde_json::Value::as_i64) else { return };
    let taken = task.inbox.iter().any(|message| message.n == n && !message.is_cancel && message.taken_seq.is_some());
    findings
        .unless(taken, "journal-message", &task.id, || format!("row {} took message {n}, which is not taken", row.idx));
}
