//! Agents in handler style: state and question survive from turn to turn, and only they do.

use kennel::Value;
use kennel::handler::{ask, end};
use kennel::info::TaskState;
use kennel::prelude::*;
use kennel::test::{Run, Runner};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Order {
    items: Vec<String>,
    sure: bool,
}

/// Takes an order, thing by thing.
#[kennel::agent(asks = true)]
fn shop(task: Task) -> Result<Outcome> {
    task.on_message(|order: &mut Order, said| match said.text().as_str() {
        "that is all" => {
            order.sure = true;
            ask(task.ask("Sure?").one_of(["yes", "no"]).timeout(hours(1)))
        }
        "yes" if order.sure => {
            task.publish("order", order.items.join(", "))?;
            end(done())
        }
        "never mind" => end(refuse("As you like.")),
        item => {
            order.items.push(item.to_owned());
            order.sure = false;
            task.say("noted")?;
            ask(format!("{} things. What else?", order.items.len()))
        }
    })
}

fn order() -> Runner {
    Runner::new("bread").answer("milk").answer("that is all")
}

#[test]
fn each_message_is_a_turn_and_its_state_is_there_at_the_next() {
    let run = order().answer("perhaps").answer("yes").run(shop);
    assert_eq!(run.artifact("order").as_text(), "bread, milk");
    assert_eq!(run.asked(), ["1 things. What else?", "2 things. What else?", "Sure?"]);
    assert_eq!((run.generations(), run.state()), (4, TaskState::Completed), "{run}");
}

#[test]
fn a_turn_makes_as_many_calls_as_any_other() {
    let mut script = Runner::new("thing");
    for n in 0..100 {
        script = script.answer(format!("thing {n}"));
    }
    let run = script.answer("never mind").run(shop);
    let longest = |run: &Run| run.calls().split(|call| call.starts_with("checkpoint")).map(<[String]>::len).max();
    assert_eq!((longest(&run), run.generations()), (Some(2), 102), "the journal of a generation does not grow");
}

#[test]
fn a_question_keeps_its_choices_and_its_time_out() {
    let run = order().no_answer().run(shop);
    assert_eq!((run.error().code.as_str(), run.elapsed()), ("no-answer", hours(1)));
    let run = order().cancel().run(shop);
    assert_eq!(run.state(), TaskState::Canceled);
}

#[test]
fn a_question_keeps_all_its_parts() {
    let question = || {
        let parts = [Part::text("a"), Part::raw([1, 2]).media_type("image/png").filename("b"), Part::url("https://c")];
        Draft::new(parts)
            .part(Part::data(json!({"d": 1})).unwrap())
            .refer("t-1")
            .extension("urn:x")
            .with_metadata("k", 1)
    };
    let run = Runner::new("x").answer("y").run(|task| {
        task.on_message(|turns: &mut u32, _| {
            *turns += 1;
            if *turns == 1 { ask(question()?) } else { end(done()) }
        })
    });
    let asked = &run.messages()[1];
    let question = question().unwrap();
    assert_eq!((&asked.parts, &asked.metadata), (&question.parts, &question.metadata));
    assert_eq!((&asked.extensions, &asked.reference_task_ids), (&question.extensions, &question.reference_task_ids));
}

#[test]
fn a_state_of_another_form_is_an_error_that_says_so() {
    let run = Runner::new("x").run(|task| match task.checkpoint() {
        None => checkpoint("{}"),
        Some(_) => task.on_message(|_: &mut Value, _| end(done())),
    });
    assert_eq!(run.error().code, "handler.state");
}
