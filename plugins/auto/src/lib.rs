//! An agent in the reply mode `auto`: what is quick is answered with a bare message, what is not becomes a task. Which of the two
//! it is decides itself by what the agent does: the first thing that a client can see opens the task.

use std::hint::black_box;

use kennel::prelude::*;

/// How many characters are worth a task.
const LONG: usize = 40;

/// How many steps take longer than the 50 ms in which `auto` answers without a task: each waits for the one before, so even
/// a very fast processor needs about 150 ms.
const SLOW_STEPS: u32 = 150_000_000;

/// Greets at once. A long text is read as a task, and the word "slow" makes it think first.
#[kennel::agent(reply = auto, examples = ["Ada", "slow"], tags = ["example"])]
fn auto(task: Task) -> Result<Outcome> {
    let text = task.text();
    if text.trim() == "slow" {
        return reply(format!("Hello after {} steps.", think(SLOW_STEPS)));
    }
    if text.chars().count() <= LONG {
        return reply(format!("Hello, {}.", text.trim()));
    }
    task.say("That is long, let me read it.")?;
    task.publish("words", text.split_whitespace().count().to_string())?;
    done()
}

/// Computes for a while, and cannot be optimised away.
fn think(steps: u32) -> u32 {
    let mut state = black_box(1_u32);
    for _ in 0..steps {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
    }
    black_box(state);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use kennel::test::Runner;

    #[test]
    fn a_short_text_does_nothing_that_would_open_a_task() {
        let run = Runner::new("Ada").run(auto);
        assert_eq!((run.result(), run.calls().len()), (&reply("Hello, Ada."), 0));
    }

    #[test]
    fn a_long_text_is_a_task() {
        let run = Runner::new("one two three ".repeat(10)).run(auto);
        assert_eq!((run.artifact("words").as_text().as_str(), run.said().len()), ("30", 1));
    }
}
