//! A fixture: an agent that gets something done and then fails. `steady` is its next version.

use kennel::prelude::*;

/// Asks for a word, shows it and fails; told "checkpoint", it leaves one first.
#[kennel::agent(asks = true)]
fn stumble(task: Task) -> Result<Outcome> {
    if task.text() == "checkpoint" && task.generation() == 1 {
        return checkpoint("kept");
    }
    let word = task.ask("Which word?").text()?;
    task.publish("word", word)?;
    Err(fail("stumble", "I stumbled."))
}
