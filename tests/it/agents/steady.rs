//! A fixture: the next version of `stumble`, which asks for one word more and comes to its end.

use kennel::prelude::*;

/// Asks for a word, shows it, asks for another, and says from where it came.
#[kennel::agent(asks = true)]
fn steady(task: Task) -> Result<Outcome> {
    if task.text() == "checkpoint" && task.generation() == 1 {
        return checkpoint("kept");
    }
    let kept = String::from_utf8(task.checkpoint().unwrap_or_default().to_vec())?;
    let word = task.ask("Which word?").text()?;
    task.publish("word", word.clone())?;
    let another = task.ask("And another?").text()?;
    let origin: Option<String> = task.info().request_metadata_value("urn:kennel:retry:1")?;
    done_with(format!("{word} {another} {kept} of {}", origin.unwrap_or_default()))
}
