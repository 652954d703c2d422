//! A fixture: an agent that waits for its client a given time and says what came of it.

use kennel::ask::Auth;
use kennel::prelude::*;

/// `ask ms`, `must ms`, `auth ms` or `mail ms`: waits so many milliseconds.
#[kennel::agent(asks = true, credentials = ["vault"])]
fn patience(task: Task) -> Result<Outcome> {
    let text = task.text();
    let (word, time) = text.split_once(' ').unwrap_or((text.as_str(), "0"));
    let time = milliseconds(time.parse().or_fail("arguments", "Say how many milliseconds.")?);
    let answer = match word {
        "ask" => task.ask("Are you there?").timeout(time).answer()?.map(|reply| reply.text()),
        "must" => Some(task.ask("Are you there?").timeout(time).text()?),
        "mail" => task.next_message(time)?.map(|message| message.text()),
        _ => match task.require_auth("vault", "I need the vault.").timeout(time).answer()? {
            Auth::Reply(message) => Some(message.text()),
            Auth::Granted(_) | Auth::TimedOut => None,
        },
    };
    done_with(answer.unwrap_or_else(|| "Nobody came.".to_owned()))
}
