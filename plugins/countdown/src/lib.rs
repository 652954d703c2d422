//! An agent that takes its time: progress, an artifact in pieces, durable sleep. It survives a restart in the middle, and when
//! somebody cancels it, `sleep` fails with `canceled` and `?` ends the task; no line of it is about that.

use kennel::prelude::*;
use serde::Deserialize;

/// The longest way down; more would be a joke on the reader.
const FROM_MAX: u32 = 60;

/// What to count: a data part of this shape says it, or a text as "3 every 100ms".
#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Plan {
    from: u32,
    step_ms: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self { from: 5, step_ms: 1_000 }
    }
}

/// Counts down to zero, a line for each step: from the number in the message, by default from 5 with a second between.
/// Can be canceled at any time.
#[kennel::agent(
    examples = ["5", "3 every 100ms"],
    tags = ["example"],
    streams = true,
    typical_ms = 5_000,
    input_modes = ["text/plain", "application/json"],
)]
fn countdown(task: Task) -> Result<Outcome> {
    let plan = match task.data()? {
        Some(plan) => plan,
        None => from_text(&task.text())?,
    };
    if plan.from > FROM_MAX {
        return refuse(format!("I count from {FROM_MAX} at most."));
    }
    let mut lines = task.open("countdown")?;
    for left in (1..=plan.from).rev() {
        let done = 100 * (plan.from - left) / plan.from;
        task.progress(u8::try_from(done)?, format!("{left} to go"))?;
        lines.append(format!("{left}\n"))?;
        task.sleep(milliseconds(plan.step_ms))?;
    }
    lines.close_with("0\n")?;
    done_with("Lift-off.")
}

/// Reads "3", "3 every 100ms" or nothing.
fn from_text(text: &str) -> Result<Plan> {
    let mut plan = Plan::default();
    let (from, step) = text.split_once("every").unwrap_or((text, ""));
    if !from.trim().is_empty() {
        plan.from = from.trim().parse().or_fail("from", "Say a number to count from, as 5.")?;
    }
    if !step.trim().is_empty() {
        let number = step.trim().trim_end_matches("ms").trim_end();
        plan.step_ms = number.parse().or_fail("step", "Say a step in milliseconds, as 5 every 100ms.")?;
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kennel::info::TaskState;
    use kennel::test::Runner;

    #[test]
    fn it_counts_with_a_second_between() {
        let run = Runner::new("3").run(countdown);
        assert_eq!((run.artifact("countdown").as_text().as_str(), run.elapsed()), ("3\n2\n1\n0\n", seconds(3)));
        assert_eq!(run.text(), "Lift-off.");
    }

    #[test]
    fn it_stops_when_it_is_canceled_and_what_was_counted_stays() {
        let run = Runner::new("5").cancel_after(milliseconds(1_500)).run(countdown);
        assert_eq!((run.state(), run.artifact("countdown").as_text().as_str()), (TaskState::Canceled, "5\n4\n"));
    }

    #[test]
    fn it_refuses_to_count_for_hours() {
        assert_eq!(Runner::new("61").run(countdown).state(), TaskState::Rejected);
        let plan = kennel::Part::data(json!({ "from": 2, "step_ms": 10 })).unwrap();
        assert_eq!(Runner::new(plan).run(countdown).elapsed(), milliseconds(20));
    }

    #[test]
    fn plans_are_read_from_text() {
        assert_eq!(from_text(""), Ok(Plan { from: 5, step_ms: 1_000 }));
        assert_eq!(from_text(" 7\n"), Ok(Plan { from: 7, step_ms: 1_000 }));
        assert_eq!(from_text("3 every 100ms"), Ok(Plan { from: 3, step_ms: 100 }));
        assert_eq!(from_text("many").unwrap_err().code, "from");
        assert_eq!(from_text("3 every day").unwrap_err().code, "step");
    }
}
