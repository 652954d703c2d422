//! The smallest agent that shows its work: one status, one artifact, done.

use kennel::prelude::*;

/// Gives back what it is sent.
#[kennel::agent(examples = ["hello"], tags = ["example"])]
fn echo(task: Task) -> Result<Outcome> {
    task.say("working")?;
    task.publish("echo", task.text())?;
    done()
}
