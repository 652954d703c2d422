//! Where the host comes in: the trait that the attribute implements, and the glue from there to the two exports of the world.
//!
//! Nothing here runs natively; `Agent::card` does, so that a test can look at a card.

use std::marker::PhantomData;
use std::panic::PanicHookInfo;

use crate::bindings::exports::kennel::agent::{agent, card};
use crate::card::Card;
use crate::error::Result;
use crate::host::log;
use crate::outcome::{Outcome, Turn};
use crate::task::Task;

/// An agent: what `#[kennel::agent]` makes of a function, under the name `KennelAgent` beside it.
///
/// A component has exactly one. Tests use it to look at the card:
///
/// ```
/// use kennel::{Agent, prelude::*};
///
/// /// Gives back what it is sent.
/// #[kennel::agent]
/// fn echo(task: Task) -> Result<Outcome> {
///     done_with(task.text())
/// }
///
/// assert_eq!(KennelAgent::card().description, "Gives back what it is sent.");
/// ```
pub trait Agent {
    /// What the agent is and what it asks for. Constant: the host calls it once for each build.
    fn card() -> Card;

    /// Works on one task, from its start or from its last checkpoint.
    fn run(task: Task) -> Result<Outcome>;
}

/// An agent in the shape that the bindings export. The attribute names it; nobody else needs it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Exported<A>(PhantomData<A>);

impl<A: Agent> agent::Guest for Exported<A> {
    fn run(turn: Turn) -> Result<Outcome> {
        std::panic::set_hook(Box::new(tell_operator));
        A::run(Task::new(turn))
    }
}

impl<A: Agent> card::Guest for Exported<A> {
    fn describe() -> Card {
        A::card()
    }
}

/// Writes a panic to the operator's log. The standard hook would ask WASI for the environment first, and its text would have no
/// place in the line of the task it belongs to.
fn tell_operator(panic: &PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("a value that is not text");
    let Some(place) = panic.location() else { return log::emit(log::Level::Error, &format!("panic: {text}"), &[]) };
    let fields = [
        log::Field { name: "file".into(), value: place.file().into() },
        log::Field { name: "line".into(), value: place.line().to_string() },
    ];
    log::emit(log::Level::Error, &format!("panic at {place}: {text}"), &fields);
}
