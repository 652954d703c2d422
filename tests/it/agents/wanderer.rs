//! A fixture: an agent that does what is hard to repeat: it looks without waiting, reads clocks in between, leaves things open, and
//! waits in every way. Its first word says what.

use std::hint::black_box;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kennel::prelude::*;

/// Does what the first word says.
#[kennel::agent(asks = true, streams = true, mailbox = queue, credentials = ["vault"])]
fn wanderer(task: Task) -> Result<Outcome> {
    let text = task.text();
    match text.split(' ').next().unwrap_or_default() {
        "look" => look(&task),
        "leave-open" => leave_open(&task),
        "wasi" => wasi(&task),
        "deaf" => deaf(&task),
        "unheard" => unheard(&task),
        "break" => break_down(&task),
        "generations" => generations(&task),
        "values" => values(&task),
        "mail" => mail(&task),
        "heavy" => heavy(&task),
        "culprit" => culprit(&task),
        "sleeper" => sleeper(&task),
        "long" => long(&task, &text),
        _ => refuse("I do not know that way."),
    }
}

/// Milliseconds of the agent's own clock.
fn now_ms(task: &Task) -> Result<Value> {
    let time = task.now().duration_since(UNIX_EPOCH)?;
    Ok(json!({ "now_ms": time.as_micros().to_string() }))
}

/// Looks that find nothing, with clock readings before and after: what they show must not depend on when they looked.
fn look(task: &Task) -> Result<Outcome> {
    for n in 0..3 {
        task.say(format!("step {n}"))?;
        let canceled = task.canceled().is_some();
        let mail = task.next_message(Duration::ZERO)?.is_some();
        let mut facts = now_ms(task)?;
        facts["found"] = json!([canceled, mail]);
        task.publish(format!("look-{n}"), Part::data(facts)?)?;
    }
    done()
}

/// Two artifacts that the host must close, each once.
fn leave_open(task: &Task) -> Result<Outcome> {
    let mut first = task.open("first")?;
    let mut second = task.open("second")?;
    first.append("1")?;
    second.append("2")?;
    first.append("1")?;
    std::mem::forget((first, second));
    done()
}

/// The waits and clocks of an ordinary program.
#[expect(clippy::disallowed_methods, reason = "an ordinary program does so")]
fn wasi(task: &Task) -> Result<Outcome> {
    for n in 0..2 {
        std::thread::sleep(Duration::from_millis(3));
        let random = std::hash::RandomState::new();
        let hash = std::hash::BuildHasher::hash_one(&random, n).to_string();
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros().to_string();
        task.publish(format!("wasi-{n}"), Part::data(json!({ "hash": hash, "now_ms": now_ms }))?)?;
    }
    done()
}

/// Questions and waits that nobody answers in time.
fn deaf(task: &Task) -> Result<Outcome> {
    let answer = task.ask("Is there anybody?").timeout(milliseconds(30)).answer()?;
    let mail = task.next_message(milliseconds(30))?;
    let again = task.ask("And now?").timeout(milliseconds(30)).answer()?;
    task.sleep_until(task.now() + Duration::from_millis(10))?;
    done_with(format!("{} {} {}", answer.is_some(), mail.is_some(), again.is_some()))
}

/// Calls that are refused, which it survives.
fn unheard(task: &Task) -> Result<Outcome> {
    let related = task.related("no-such-task").is_err();
    task.say("refused")?;
    let asleep = task.sleep(days(400)).is_err();
    let open = kennel::OpenArtifact::again("never-opened").append("x").is_err();
    task.publish("refused", format!("{related} {asleep} {open}"))?;
    done()
}

/// Effects, and then a panic.
#[expect(clippy::panic, reason = "the panic is the purpose")]
fn break_down(task: &Task) -> Result<Outcome> {
    let mut artifact = task.open("half")?;
    artifact.append("half of it")?;
    task.say("and then")?;
    panic!("on purpose")
}

/// A checkpoint right after many readings of the clock, which must not go back.
#[expect(clippy::disallowed_methods, reason = "an ordinary program does so")]
fn generations(task: &Task) -> Result<Outcome> {
    let generation = task.generation();
    let before: u128 = match task.checkpoint() {
        Some(bytes) => String::from_utf8(bytes.to_vec())?.parse()?,
        None => 0,
    };
    let begins = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    if begins <= before {
        return refuse("The clock went back.");
    }
    task.say(format!("generation {generation}"))?;
    for _ in 0..30_000 {
        black_box(SystemTime::now());
    }
    let ends = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    if generation < 3 { checkpoint(ends.to_string()) } else { done() }
}

/// Values that are written late.
fn values(task: &Task) -> Result<Outcome> {
    let mut seen = 0;
    for n in 0..3 {
        seen += task.history(10)?.len() + task.related_ids(10)?.len();
        task.say(format!("value {n}"))?;
        seen += task.history(10)?.len();
    }
    task.history(10)?;
    done_with(format!("saw {seen}"))
}

/// Takes messages by looking for them, until one says "done".
fn mail(task: &Task) -> Result<Outcome> {
    let mut lines = Vec::new();
    loop {
        match task.next_message(Duration::ZERO)?.map(|message| message.text()) {
            Some(text) if text == "done" => break,
            Some(text) => {
                task.say(format!("got {text}"))?;
                lines.push(text);
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
        if task.canceled().is_some() {
            return canceled();
        }
    }
    task.publish("mail", lines.join(" "))?;
    done()
}

/// Large things everywhere: what it reads back, and what it starts again from.
fn heavy(task: &Task) -> Result<Outcome> {
    if let Some(kept) = task.checkpoint() {
        task.publish("kept", kept.len().to_string())?;
        return done();
    }
    task.publish("large", "x".repeat(150_000))?;
    task.say("y".repeat(90_000))?;
    let read: usize = task.history(10)?.iter().map(|message| message.text().len()).sum();
    task.say(format!("read {read}"))?;
    checkpoint(vec![7; 200_000])
}

/// Ends its host, in a test that asks for it.
fn culprit(task: &Task) -> Result<Outcome> {
    task.say("Here I am.")?;
    task.say("Look at me.")?;
    // On disk by now: an agent may be that quick that its task is not accepted yet.
    task.sleep(milliseconds(1))?;
    log::info("the end of this host");
    task.say("That was nothing.")?;
    done()
}

/// Three effects, and then a sleep.
fn sleeper(task: &Task) -> Result<Outcome> {
    task.say("one")?;
    task.say("two")?;
    task.publish("begun", "begun")?;
    task.sleep(milliseconds(1_500))?;
    task.publish("rested", "rested")?;
    done()
}

/// `long n`: n effects with a little sleep between them.
fn long(task: &Task, text: &str) -> Result<Outcome> {
    let steps: u32 = text.split(' ').nth(1).unwrap_or("3").parse().or_fail("arguments", "Say how many steps.")?;
    let mut artifact = task.open("steps")?;
    for n in 0..steps {
        artifact.append(format!("{n}\n"))?;
        task.sleep(milliseconds(4))?;
    }
    artifact.close()?;
    done()
}
