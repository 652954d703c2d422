//! A fixture: an agent that says too much.

use kennel::prelude::*;

/// Says as many large messages as it is asked for.
#[kennel::agent(examples = ["6"])]
fn chatter(task: Task) -> Result<Outcome> {
    let times: u32 = task.text().trim().parse().or_fail("arguments", "Say how often.")?;
    for time in 0..times {
        task.say(format!("{time} {}", "x".repeat(7 << 20)))?;
    }
    done()
}
