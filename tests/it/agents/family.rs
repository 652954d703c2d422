//! A fixture: an agent that sends tasks, to itself too, and leaves them in all the ways there are.

use kennel::prelude::*;

/// `nest n`, `many n`, `hasty`, `fail`, `complete`, `wait`: sends tasks as the word says.
#[kennel::agent(peers = [("family", "To send to itself."), ("mischief", "To wait for it."), ("hello", "To greet.")])]
fn family(task: Task) -> Result<Outcome> {
    let text = task.text();
    let (word, number) = text.split_once(' ').unwrap_or((text.as_str(), "0"));
    let number: u32 = number.parse().or_fail("arguments", "A number is missing.")?;
    match word {
        "nest" if number == 0 => task.publish("depth", "bottom")?,
        "nest" => {
            let below = task.peer("family").ask(format!("nest {}", number - 1))?.text();
            task.publish("depth", format!("{number} {below}"))?
        }
        "many" => {
            let mut children = Vec::new();
            for n in 0..number {
                children.push(task.peer("family").send(format!("leaf {n}"))?);
            }
            let mut answers = Vec::new();
            for child in children {
                answers.push(child.done()?.text());
            }
            task.publish("all", answers.join(" "))?
        }
        "leaf" => task.publish("leaf", format!("leaf-{number}"))?,
        "hasty" => {
            let sent = task.peer("mischief").timeout(milliseconds(500)).send("sleep 3600000")?;
            sent.done()?;
            task.publish("never", "never")?
        }
        "greet" => {
            let answer = task.peer("hello").ask("Ada")?;
            task.publish("greeting", answer.text())?
        }
        "stranger" => {
            task.peer("echo").send("hello")?.done()?;
            task.publish("never", "never")?
        }
        "fail" => {
            drop(task.peer("mischief").send("sleep 3600000")?);
            return Err(fail("family", "It was asked to fail."));
        }
        "complete" => {
            drop(task.peer("mischief").send("sleep 3600000")?);
            return done();
        }
        _ => {
            task.peer("mischief").send("sleep 3600000")?.done()?;
            task.publish("never", "never")?
        }
    };
    done()
}
