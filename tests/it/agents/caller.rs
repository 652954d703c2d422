//! A fixture: an agent that calls other services in all the ways there are.

use kennel::http::{AfterCrash, Piece};
use kennel::prelude::*;
use kennel::wait::Pending;

/// `WORD URL..`: calls the urls as the word says and publishes what came of it.
#[kennel::agent(
    http = [("* http://127.0.0.1:*", "To call the test's servers."), ("GET http://localhost:*", "The same by name.")],
    credentials = [("api", "To be known at the service.")],
)]
fn caller(task: Task) -> Result<Outcome> {
    let text = task.text();
    let mut words = text.split_whitespace();
    let word = words.next().unwrap_or_default();
    let urls: Vec<&str> = words.collect();
    let url = *urls.first().or_fail("arguments", "A url is missing.")?;
    let answer = match word {
        "get" => task.get(url).fetch()?.text(),
        "post" => task.post(url).body("order").fetch()?.text(),
        "post-repeat" => task.post(url).body("order").after_crash(AfterCrash::Repeat).fetch()?.text(),
        "credential" => task.get(url).credential("api").fetch()?.text(),
        "hasty" => task.get(url).timeout(milliseconds(300)).fetch()?.text(),
        "race" => race(&task, &urls)?,
        "both" => both(&task, &urls)?,
        "crowd" => crowd(&task, &urls, false)?,
        "hoard" => crowd(&task, &urls, true)?,
        "lengths" => lengths(&task, &urls)?,
        "orders" => orders(&task, &urls)?,
        "stream" => stream(&task, url)?,
        "steps" => steps(&task, &urls)?,
        "after-checkpoint" => return after_checkpoint(&task, url),
        _ => return refuse("I do not know that word."),
    };
    task.publish("answer", answer)?;
    done()
}

/// Starts all, says which came first, and takes them in the order given.
fn race(task: &Task, urls: &[&str]) -> Result<String> {
    let mut exchanges = Vec::new();
    for url in urls {
        exchanges.push(task.get(*url).start()?);
    }
    let things: Vec<&dyn Pending> = exchanges.iter().map(|exchange| exchange as &dyn Pending).collect();
    let first = task.wait_any(&things, None)?.unwrap_or_default();
    let mut texts = vec![format!("first {first}")];
    for exchange in exchanges {
        texts.push(exchange.take()?.text());
    }
    Ok(texts.join(" "))
}

/// A call that may be made again under its key when a host ended before its answer was stored.
fn order(task: &Task, url: &str) -> kennel::http::Request {
    task.post(url).body("order").after_crash(AfterCrash::Repeat)
}

/// Starts all and waits until all are there.
fn both(task: &Task, urls: &[&str]) -> Result<String> {
    let mut exchanges = Vec::new();
    for url in urls {
        exchanges.push(order(task, url).start()?);
    }
    let things: Vec<&dyn Pending> = exchanges.iter().map(|exchange| exchange as &dyn Pending).collect();
    task.wait_all(&things, None)?;
    let mut texts = Vec::new();
    for exchange in exchanges {
        texts.push(exchange.take()?.text());
    }
    Ok(texts.join(" "))
}

/// Starts all with little time; says of each how many bytes came, or which error. `hoard`: takes none before all are there.
fn crowd(task: &Task, urls: &[&str], hoard: bool) -> Result<String> {
    let mut exchanges = Vec::new();
    for url in urls {
        exchanges.push(task.get(*url).timeout(seconds(3)).start()?);
    }
    if hoard {
        let things: Vec<&dyn Pending> = exchanges.iter().map(|exchange| exchange as &dyn Pending).collect();
        task.wait_all(&things, None)?;
    }
    let taken = exchanges.into_iter().map(|exchange| match exchange.take() {
        Ok(response) => response.body.len().to_string(),
        Err(error) => format!("{} {}", error.code, error.retryable),
    });
    Ok(taken.collect::<Vec<_>>().join(", "))
}

/// Starts all, waits until all are there, says how many bytes came.
fn lengths(task: &Task, urls: &[&str]) -> Result<String> {
    let started = urls.iter().map(|url| task.get(*url).start());
    let exchanges = started.collect::<Result<Vec<_>>>()?;
    let things: Vec<&dyn Pending> = exchanges.iter().map(|exchange| exchange as &dyn Pending).collect();
    task.wait_all(&things, None)?;
    let taken = exchanges.into_iter().map(|exchange| Ok(exchange.take()?.body.len().to_string()));
    Ok(taken.collect::<Result<Vec<_>>>()?.join(", "))
}

/// Sends a large order that is not answered, and another beside it: what becomes of that.
fn orders(task: &Task, urls: &[&str]) -> Result<String> {
    let order = |url: &str, time| task.post(url).body(vec![7; 900_000]).timeout(time).after_crash(AfterCrash::Repeat).start();
    let first = order(urls[0], seconds(20))?;
    let second = order(urls[1], seconds(1));
    first.abort()?;
    Ok(second.err().map_or_else(|| "sent".to_owned(), |error| format!("{} {}", error.code, error.retryable)))
}

/// Passes a slow body on piece by piece.
fn stream(task: &Task, url: &str) -> Result<String> {
    let mut body = task.get(url).open()?;
    let status = body.head()?.status;
    let mut out = task.open("body")?;
    let mut pieces = 0;
    loop {
        match body.read()? {
            Piece::Data(bytes) => {
                pieces += 1;
                out.append(String::from_utf8_lossy(&bytes).into_owned())?;
            }
            Piece::End => break out.close()?,
            Piece::Interrupted => {
                out.close()?;
                return Ok(format!("{status} interrupted"));
            }
        }
    }
    Ok(format!("{status} complete {}", pieces > 1))
}

/// Calls one after the other, and shows each answer.
fn steps(task: &Task, urls: &[&str]) -> Result<String> {
    let mut all = Vec::new();
    for url in urls {
        let text = order(task, url).fetch()?.text();
        task.say(text.clone())?;
        all.push(text);
    }
    Ok(all.join(" "))
}

/// One call before a checkpoint and one after: their keys must differ. What was started before is taken after.
fn after_checkpoint(task: &Task, url: &str) -> Result<Outcome> {
    if task.generation() == 1 {
        order(task, url).fetch()?;
        let exchange = order(task, url).start()?;
        return checkpoint(exchange.pending().to_string());
    }
    let number = String::from_utf8(task.checkpoint().unwrap_or_default().to_vec())?;
    let early = kennel::http::Exchange::again(number.parse()?).take()?.text();
    let late = order(task, url).fetch()?.text();
    task.publish("answer", format!("{early} {late}"))?;
    done()
}
