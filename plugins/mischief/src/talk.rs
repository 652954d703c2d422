//! Deeds that end, ask or wait in all the ways there are, some of them wrong.

use std::hint::black_box;

use kennel::ask::Auth;
use kennel::prelude::*;

use crate::{Words, number};

/// Fails with a code of its own, as something that another try may mend.
pub(crate) fn fails(_: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    Err(fail("mischief", "Mischief was asked for.").retryable())
}

/// Refuses.
pub(crate) fn reject(_: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    refuse("Not even mischief does that.")
}

/// Answers with a bare message, which an agent that answers with tasks must not do.
pub(crate) fn replies(_: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    reply("This is no task.")
}

/// `checkpoint n`: starts again n times, each time from a checkpoint, then says which generation it is.
pub(crate) fn checkpoints(task: &Task, words: &mut Words<'_>) -> Result<Outcome> {
    if task.generation() <= number(words)? {
        return checkpoint(task.generation().to_string());
    }
    let kept = String::from_utf8(task.checkpoint().unwrap_or_default().to_vec())?;
    task.publish("generation", format!("{} after {kept}", task.generation()))?;
    done()
}

/// Asks for a credential, and ends with what came of it.
pub(crate) fn auth(task: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    let asked = task.require_auth("vault", "I need the vault to show what asking looks like.").scopes(["read"]);
    match asked.answer()? {
        Auth::Granted(credential) => done_with(format!("granted {credential}")),
        Auth::Reply(message) => done_with(message.text()),
        Auth::TimedOut => refuse("Nobody came."),
    }
}

/// Asks for an object with a date, and publishes it.
pub(crate) fn ask_schema(task: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    let schema = json!({ "type": "object", "required": ["date"] });
    let answer: Value = task.ask("On which date?").schema(schema).value()?;
    task.publish("answer", Part::data(answer)?)?;
    done()
}

/// Takes messages while it works, until one says "done", and publishes them.
pub(crate) fn mailbox(task: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    let mut lines = Vec::new();
    while let Some(message) = task.next_message(None)? {
        match message.text() {
            text if text == "done" => break,
            text => lines.push(text),
        }
    }
    task.publish("mail", lines.join("\n"))?;
    done()
}

/// `sleep ms`: waits and tells nobody, then publishes.
pub(crate) fn sleep(task: &Task, words: &mut Words<'_>) -> Result<Outcome> {
    task.sleep(milliseconds(number(words)?))?;
    task.publish("slept", "Good morning.")?;
    done()
}

/// Waits; when it is asked to stop it computes on instead, until the host ends it by force.
pub(crate) fn ignore_cancel(task: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    match task.sleep(days(1)) {
        Err(error) if error.is_canceled() => loop {
            black_box(());
        },
        other => other.and_then(|()| done()),
    }
}

/// Waits; when it is asked to stop it undoes its work first.
pub(crate) fn compensate(task: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    match task.sleep(days(1)) {
        Err(error) if error.is_canceled() => {
            let reason = task.canceled().and_then(|request| request.reason).unwrap_or_default();
            task.publish("undone", format!("undone: {reason}"))?;
            canceled()
        }
        other => other.and_then(|()| done()),
    }
}
