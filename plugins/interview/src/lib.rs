//! An agent that asks. Days may pass between question and answer, and the host may restart: the code stays a straight line.

use kennel::prelude::*;

/// Asks two questions and sums up the answers.
#[kennel::agent(asks = true, examples = ["interview me"], tags = ["example"])]
fn interview(task: Task) -> Result<Outcome> {
    let name = task.ask("What is your name?").timeout(days(7)).text()?;
    let color = task.ask(format!("Hello {name}. Red or blue?")).one_of(["red", "blue"]).text()?;
    task.publish("summary", format!("{name} likes {color}."))?;
    done_with("Thank you.")
}
