//! A fixture: an agent that computes much and calls often.

use std::hint::black_box;

use kennel::prelude::*;

/// Steps of one share of work: less than a tenth of a second on the machines of today.
const STEPS: u64 = 100_000_000;

/// `labour n`: n shares of work, each followed by a question; `enough` ends it. `toil`: works for ever. `endless`: looks for related tasks
/// for ever.
#[kennel::agent]
fn labourer(task: Task) -> Result<Outcome> {
    let text = task.text();
    if text == "endless" {
        loop {
            task.related_ids(10)?;
        }
    }
    while text == "toil" {
        work();
    }
    let shares: u32 = text.trim_start_matches("labour ").parse().or_fail("arguments", "Say how many shares.")?;
    for share in 1..=shares {
        work();
        if task.ask(format!("Share {share} is done. On?")).text()? == "enough" {
            break;
        }
    }
    done()
}

/// Cannot be optimised away.
fn work() {
    let mut state = black_box(1_u64);
    for _ in 0..STEPS {
        state ^= state << 13;
        state ^= state >> 7;
    }
    black_box(state);
}
