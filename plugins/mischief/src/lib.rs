//! The fixture for misbehaviour: an agent that does on request whatever a host must survive, answer or refuse.
//!
//! The first word of the message says what; words after it are arguments. Kennel's tests send these words; operators may too,
//! to see what a limit looks like. Never install it where others pay for the machine.
//!
//! | Words | What happens | Where |
//! |---|---|---|
//! | `spin`, `allocate`, `recurse`, `recurse-frames`, `panic`, `trap` | the instance is used up or broken | `harm` |
//! | `flood-events n`, `flood-logs n`, `stdout` | many small things | `flood` |
//! | `big bytes`, `chunks n bytes`, `too-much`, `too-much-call`, `too-much-outcome` | large things | `flood` |
//! | `fail`, `reject`, `reply`, `checkpoint n` | outcomes, also one that is wrong here | `talk` |
//! | `auth`, `ask-schema`, `mailbox` | questions, and messages while it works | `talk` |
//! | `sleep ms`, `ignore-cancel`, `compensate` | waiting, and what a cancel does to it | `talk` |
//! | `history`, `references`, `clock` | what it sees, published | `facts` |
//! | `echo`, and everything else | gives back the text | here |

mod facts;
mod flood;
mod harm;
mod talk;

use kennel::prelude::*;

/// Does what the first word says, with the rest as its arguments.
type Deed = fn(&Task, &mut Words<'_>) -> Result<Outcome>;

/// Arguments: the words after the first.
type Words<'a> = std::str::SplitWhitespace<'a>;

const DEEDS: &[(&str, Deed)] = &[
    ("spin", harm::spin),
    ("allocate", harm::allocate),
    ("recurse", harm::recurse),
    ("recurse-frames", harm::recurse_frames),
    ("panic", harm::panic),
    ("trap", harm::trap),
    ("flood-events", flood::events),
    ("flood-logs", flood::logs),
    ("stdout", flood::stdout),
    ("big", flood::big),
    ("chunks", flood::chunks),
    ("too-much", flood::too_much),
    ("too-much-call", flood::too_much_call),
    ("too-much-outcome", flood::too_much_outcome),
    ("fail", talk::fails),
    ("reject", talk::reject),
    ("reply", talk::replies),
    ("checkpoint", talk::checkpoints),
    ("auth", talk::auth),
    ("ask-schema", talk::ask_schema),
    ("mailbox", talk::mailbox),
    ("sleep", talk::sleep),
    ("ignore-cancel", talk::ignore_cancel),
    ("compensate", talk::compensate),
    ("history", facts::history),
    ("references", facts::references),
    ("clock", facts::clock),
];

/// Misbehaves on request, for the tests of a host. The first word says how; anything unknown is given back.
#[kennel::agent(
    examples = ["spin", "flood-events 100", "sleep 500"],
    tags = ["test"],
    asks = true,
    streams = true,
    mailbox = queue,
    credentials = [("vault", "To show what asking for a credential looks like.")],
    output_modes = ["text/plain", "application/json", "application/octet-stream"],
)]
fn mischief(task: Task) -> Result<Outcome> {
    let text = task.text();
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    match DEEDS.iter().find(|(word, _)| *word == first) {
        Some((_, deed)) => deed(&task, &mut words),
        None => echo(&task),
    }
}

fn echo(task: &Task) -> Result<Outcome> {
    task.publish("echo", task.text())?;
    done()
}

/// The next argument as a number.
fn number(words: &mut Words<'_>) -> Result<u32> {
    let word = words.next().or_fail("arguments", "A number is missing.")?;
    word.parse().or_fail("arguments", format!("{word} is not a number."))
}
