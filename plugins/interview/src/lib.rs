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

#[cfg(test)]
mod tests {
    use super::*;
    use kennel::test::Runner;

    #[test]
    fn two_answers_become_a_summary() {
        let run = Runner::new("interview me").answer("Ada").answer("green").answer("red").run(interview);
        assert_eq!(run.asked(), ["What is your name?", "Hello Ada. Red or blue?"]);
        assert_eq!(run.artifact("summary").as_text(), "Ada likes red.");
        assert_eq!(run.text(), "Thank you.");
    }

    #[test]
    fn it_waits_a_week_for_a_name() {
        let run = Runner::new("interview me").no_answer().run(interview);
        assert_eq!((run.error().code.as_str(), run.elapsed()), ("no-answer", days(7)));
    }
}
