//! A fixture: an agent that tells the bounds that it has, and does what it does by them.

use kennel::prelude::*;

const MIB: usize = 1 << 20;

/// Looks at its bounds, asks, looks again and says what it has seen.
#[kennel::agent(asks = true)]
fn measure(task: Task) -> Result<Outcome> {
    let before = look(&task)?;
    task.ask("Go on?").text()?;
    done_with(format!("{before}; {}", look(&task)?))
}

/// Whether 48 MiB of memory are to be had, and a part of 2 MiB; each says by a call that it was so.
fn look(task: &Task) -> Result<String> {
    let memory = Vec::<u8>::new().try_reserve_exact(48 * MIB).is_ok();
    if memory {
        task.say("There is room.")?;
    }
    let part = match task.publish("two", Part::raw(vec![7; 2 * MIB])) {
        Ok(_) => "sent".to_owned(),
        Err(error) => error.code,
    };
    Ok(format!("{memory} {part}"))
}
