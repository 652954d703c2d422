//! The smallest agent that shows its work: one status, one artifact, done.

use kennel::prelude::*;

/// Gives back what it is sent.
#[kennel::agent(examples = ["hello"], tags = ["example"])]
fn echo(task: Task) -> Result<Outcome> {
    task.say("working")?;
    task.publish("echo", task.text())?;
    done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kennel::test::Runner;

    #[test]
    fn it_says_that_it_works_and_gives_back_what_it_was_sent() {
        let run = Runner::new("hello").run(echo);
        assert_eq!((run.said(), run.artifact("echo").as_text()), (vec!["working".to_owned()], "hello".to_owned()));
    }
}
