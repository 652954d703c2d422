//! `kennel tasks ls`: one line a task.

use std::io;

use kennel_protocol::Timestamp;
use kennel_store::{RunRow, RunState, TaskFilter, TaskLine};
use serde_json::json;

use super::Out;
use super::words::{between, short};
use crate::cli::a2a::print::name_of;

const HEAD: [&str; 7] = ["TASK", "AGENT", "STATE", "AGE", "RUN", "ATTEMPTS", "EVENTS"];
/// Characters of an agent's name.
const NAME_MAX: usize = 24;

/// Writes the tasks.
pub(super) fn list(tasks: &[TaskLine], filter: &TaskFilter, out: &mut Out<'_>) -> io::Result<()> {
    if out.is_json() {
        return tasks.iter().try_for_each(|task| out.json(&object(task)));
    }
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(tasks.iter().map(|task| row(task, out.now)));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        out.line(&cells.collect::<Vec<_>>().join("  "))?;
    }
    if tasks.len() == filter.limit as usize {
        out.line(&format!("(the newest {}; --limit shows more)", tasks.len()))?;
    }
    Ok(())
}

fn row(task: &TaskLine, now: Timestamp) -> [String; 7] {
    [
        task.task.to_string(),
        short(task.agent.as_str(), NAME_MAX),
        name_of(task.state),
        between(task.created, now),
        task.run.as_ref().map_or_else(|| "-".to_owned(), |run| stands(run, now)),
        task.run.as_ref().map_or_else(|| "-".to_owned(), |run| run.attempts.to_string()),
        task.rev.to_string(),
    ]
}

/// Where a run stands, and when it goes on by itself.
pub(super) fn stands(run: &RunRow, now: Timestamp) -> String {
    let name = state_name(run.state);
    match run.due {
        Some(due) if due > now => format!("{name}, due in {}", between(now, due)),
        Some(_) if run.state == RunState::Parked => format!("{name}, due"),
        Some(_) | None => name.to_owned(),
    }
}

pub(super) fn state_name(state: RunState) -> &'static str {
    match state {
        RunState::Ready => "ready",
        RunState::Leased => "leased",
        RunState::Parked => "parked",
        RunState::Held => "held",
        RunState::Dead => "dead",
    }
}

fn object(task: &TaskLine) -> serde_json::Value {
    json!({
        "taskId": task.task,
        "agent": task.agent,
        "contextId": task.context,
        "state": task.state,
        "statusAt": task.status_at,
        "created": task.created,
        "run": task.run.as_ref().map(run_object),
        "events": task.rev.get(),
        "calls": task.calls,
    })
}

/// A run as an object.
pub(super) fn run_object(run: &RunRow) -> serde_json::Value {
    json!({
        "state": state_name(run.state),
        "due": run.due,
        "host": run.host,
        "attempts": run.attempts,
        "lastError": run.last_error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::a2a::print::Form;
    use kennel_protocol::Seq;
    use kennel_protocol::types::TaskState;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let at = Timestamp::from_millis;
        let run = RunRow {
            state: RunState::Parked,
            due: Some(at(90_000)),
            first: false,
            host: None,
            attempts: 1,
            last_error: None,
        };
        let line = |task: &str, state, run| TaskLine {
            task: task.parse().unwrap(),
            agent: "echo".parse().unwrap(),
            context: "c".parse().unwrap(),
            state,
            status_at: at(0),
            created: at(0),
            rev: Seq::new(12),
            calls: 0,
            run,
        };
        let tasks = [line("t-long", TaskState::InputRequired, Some(run)), line("t", TaskState::Completed, None)];
        let mut to = Vec::new();
        let mut out = Out { to: &mut to, form: Form::Text, now: at(30_000) };
        list(&tasks, &TaskFilter { limit: 2, ..TaskFilter::default() }, &mut out).unwrap();
        let expected = "\
TASK    AGENT  STATE           AGE   RUN                   ATTEMPTS  EVENTS
t-long  echo   input-required  30 s  parked, due in 1 min  1         12
t       echo   completed       30 s  -                     -         12
(the newest 2; --limit shows more)
";
        assert_eq!(String::from_utf8(to).unwrap(), expected);
    }
}
