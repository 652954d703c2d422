//! A fixture: an agent of bare messages that calls a service in all the ways there are and answers with what it said.

use std::time::Instant;

use kennel::http::Piece;
use kennel::kv::Scope;
use kennel::prelude::*;
use kennel::wait::Pending;

/// `URL`, or `WORD URL..`: calls the urls as the word says.
#[kennel::agent(
    reply = message,
    http = [("GET http://127.0.0.1:*", "To call the test's servers.")],
    kv = [agent],
    settings = ["tone"],
)]
fn courier(task: Task) -> Result<Outcome> {
    let text = task.text();
    let mut words = text.split_whitespace();
    let word = words.next().unwrap_or_default();
    let urls: Vec<&str> = words.collect();
    let said = match word {
        "race" => race(&task, &urls)?,
        "pieces" => pieces(&task, urls[0])?,
        "late" => late(&task, urls[0])?,
        "slept" => slept(&task)?,
        "denied" => denied(&task),
        "kept" => kept(&task)?,
        url => task.get(url).fetch()?.text(),
    };
    task.sleep(milliseconds(5))?;
    reply(said)
}

/// Starts all, says which came first, takes both when both are there.
fn race(task: &Task, urls: &[&str]) -> Result<String> {
    let mut exchanges = Vec::new();
    for url in urls {
        exchanges.push(task.get(*url).start()?);
    }
    let things: Vec<&dyn Pending> = exchanges.iter().map(|exchange| exchange as &dyn Pending).collect();
    let first = task.wait_any(&things, None)?.unwrap_or_default();
    let all = task.wait_all(&things, seconds(20))?;
    let mut texts = vec![format!("first {first}, all {all}")];
    for exchange in exchanges {
        texts.push(exchange.take()?.text());
    }
    Ok(texts.join(" "))
}

/// Reads a body piece by piece.
fn pieces(task: &Task, url: &str) -> Result<String> {
    let mut body = task.get(url).open()?;
    let status = body.head()?.status;
    let (mut pieces, mut bytes) = (0, 0);
    while let Piece::Data(piece) = body.read()? {
        pieces += 1;
        bytes += piece.len();
    }
    Ok(format!("{status} in pieces {} of {bytes} bytes", pieces > 1))
}

/// Gives up on a service that takes its time.
fn late(task: &Task, url: &str) -> Result<String> {
    let exchange = task.get(url).start()?;
    let came = task.wait_any(&[&exchange as &dyn Pending], milliseconds(50))?;
    exchange.abort()?;
    Ok(format!("{came:?}"))
}

/// Ordinary sleep of ordinary code.
fn slept(task: &Task) -> Result<String> {
    std::thread::sleep(std::time::Duration::from_millis(60));
    let began = Instant::now();
    let long = task.sleep(seconds(11)).err().map(|error| error.code).unwrap_or_default();
    Ok(format!("{long} at once {}", began.elapsed().as_secs() < 5))
}

/// What needs a task.
fn denied(task: &Task) -> String {
    let codes = [
        task.publish("a", "b").err(),
        task.say("hello").err(),
        task.ask("Who?").text().err(),
        task.next_message(milliseconds(1)).err(),
        task.history(1).err(),
    ];
    codes.map(|error| error.map_or_else(|| "works".to_owned(), |error| error.code)).join(" ")
}

/// What is left of an agent without a task.
fn kept(task: &Task) -> Result<String> {
    let kv = task.kv(Scope::Agent);
    kv.put("k", "v")?;
    log::info("kept");
    let (value, tone) = (kv.get::<String>("k")?.unwrap_or_default(), task.setting("tone").unwrap_or_default());
    Ok(format!("{value} {tone} {} {}", task.random(8).len(), task.info().task_id.is_empty()))
}
