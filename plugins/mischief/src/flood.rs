//! Deeds that make too many things, or too large ones. The limits they meet are the host's; those that a call answers come back
//! as errors and end the task with their names.

use kennel::prelude::*;

use crate::{Words, number};

const MIB: usize = 1 << 20;

/// `flood-events n`: says n things.
pub(crate) fn events(task: &Task, words: &mut Words<'_>) -> Result<Outcome> {
    for n in 0..number(words)? {
        task.say(format!("event {n}"))?;
    }
    done()
}

/// `flood-logs n`: writes n lines for the operator.
pub(crate) fn logs(_: &Task, words: &mut Words<'_>) -> Result<Outcome> {
    for n in 0..number(words)? {
        log::field("n", n).info("a line of a flood");
    }
    done()
}

/// Prints instead of logging.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what is printed must reach the operator too")]
pub(crate) fn stdout(_: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    println!("mischief on standard output");
    eprintln!("mischief on standard error");
    done()
}

/// `big bytes`: publishes one raw part of that size.
pub(crate) fn big(task: &Task, words: &mut Words<'_>) -> Result<Outcome> {
    let size = number(words)?;
    task.publish("big", bytes(usize::try_from(size)?))?;
    done()
}

/// `chunks n bytes`: publishes an artifact in n pieces of that size.
pub(crate) fn chunks(task: &Task, words: &mut Words<'_>) -> Result<Outcome> {
    let (count, size) = (number(words)?, number(words)?);
    let piece = "x".repeat(usize::try_from(size)?);
    let mut artifact = task.open("chunks")?;
    for _ in 0..count {
        artifact.append(piece.as_str())?;
    }
    artifact.close()?;
    done()
}

/// Publishes a part that is larger than a part may be.
pub(crate) fn too_much(task: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    task.publish("too-much", bytes(8 * MIB + 1))?;
    done()
}

/// Hands over more than one call may carry, in parts that are each small enough.
pub(crate) fn too_much_call(task: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    let artifact = Artifact::new("too-much-call", bytes(6 * MIB)).part(bytes(6 * MIB)).part(bytes(6 * MIB));
    task.publish_artifact(artifact)?;
    done()
}

/// Ends with a message whose part is larger than a part may be.
pub(crate) fn too_much_outcome(_: &Task, _: &mut Words<'_>) -> Result<Outcome> {
    done_with(bytes(8 * MIB + 1))
}

fn bytes(size: usize) -> Part {
    Part::raw(vec![b'x'; size]).media_type("application/octet-stream")
}
