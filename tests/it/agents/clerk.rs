//! A fixture: an agent that makes every call there is, in an order that does not change, and shows what each answered.

use kennel::ask::Auth;
use kennel::http::Piece;
use kennel::kv::{Kv, Scope};
use kennel::prelude::*;

/// Makes the calls of its first word. The second is a service, for those that need one.
#[kennel::agent(
    asks = true,
    mailbox = queue,
    kv = [agent],
    credentials = ["vault"],
    peers = [("ward", "To have children.")],
    http = [("GET http://127.0.0.1:*", "To call the test's servers.")],
)]
fn clerk(task: Task) -> Result<Outcome> {
    let text = task.text();
    let (word, service) = text.split_once(' ').unwrap_or((text.as_str(), ""));
    let answers = match word {
        "fixed" => fixed(&task)?,
        "reads" => reads(&task)?,
        "many" => many(&task)?,
        "says" => says(&task)?,
        "asks" => asks(&task)?,
        "mail" => json!([task.next_message(None)?.map(|message| message.text())]),
        "stop" => stop(&task)?,
        "shows" => shows(&task)?,
        "fetches" => fetches(&task, service)?,
        "pieces" => pieces(&task, service)?,
        "peers" => peers(&task, service)?,
        "waits" => waits(&task)?,
        "keeps" => keeps(&task.kv(Scope::Agent))?,
        _ => return refuse("I do not know that word."),
    };
    task.publish_artifact(Artifact::data("answers", answers)?.id("answers"))?;
    if word == "stop" { canceled() } else { done() }
}

/// What follows from how the task began. It is said before and after an effect: a repetition in which it differs is found out.
fn fixed(task: &Task) -> Result<Value> {
    let look = || {
        log::info("looking");
        let info = task.info();
        json!({
            "agent": info.agent, "task": info.task_id, "setting": task.setting("tone"), "settings": task.settings(),
            "credentials": task.credentials(), "random": task.random(8),
            "now_ms": format!("{:?}", task.now()),
        })
    };
    task.publish("before", Part::data(look())?)?;
    Ok(look())
}

fn reads(task: &Task) -> Result<Value> {
    let unknown = task.related("nobody").map(|_| ()).map_err(|error| error.code);
    Ok(json!([task.history(10)?.len(), task.related_ids(10)?, unknown.err()]))
}

/// Many answers before one effect.
fn many(task: &Task) -> Result<Value> {
    let mut found = 0;
    for _ in 0..20 {
        found += task.related_ids(10)?.len();
    }
    Ok(json!(found))
}

fn says(task: &Task) -> Result<Value> {
    task.say("one")?;
    task.say("two")?;
    Ok(Value::Null)
}

fn asks(task: &Task) -> Result<Value> {
    let color = task.ask("Red or blue?").one_of(["red", "blue"]).text()?;
    let key = match task.require_auth("vault", "I need the vault.").answer()? {
        Auth::Reply(message) => message.text(),
        Auth::Granted(name) => name,
        Auth::TimedOut => "nobody".to_owned(),
    };
    Ok(json!([color, key]))
}

/// Looks, waits until it is asked to stop, and looks again.
fn stop(task: &Task) -> Result<Value> {
    // It may come that early.
    task.canceled();
    let waited = task.sleep(days(1)).map_err(|error| error.is_canceled());
    Ok(json!([waited.err(), task.canceled().is_some()]))
}

fn shows(task: &Task) -> Result<Value> {
    let whole = task.publish("whole", "whole")?;
    let mut open = task.open("pieces")?;
    open.append("one")?;
    let id = open.id().to_owned();
    open.close_with("two")?;
    Ok(json!([whole, id]))
}

fn fetches(task: &Task, service: &str) -> Result<Value> {
    let fetched = task.get(format!("{service}/say/a")).fetch()?.text();
    let taken = task.get(format!("{service}/say/b")).start()?.take()?.text();
    task.get(format!("{service}/say/c")).start()?.abort()?;
    Ok(json!([fetched, taken]))
}

/// What was not read when the host ended is lost, so it shows the beginning only.
fn pieces(task: &Task, service: &str) -> Result<Value> {
    let mut body = task.get(format!("{service}/say/d")).open()?;
    let status = body.head()?.status;
    while let Piece::Data(_) = body.read()? {}
    Ok(json!(status))
}

fn peers(task: &Task, service: &str) -> Result<Value> {
    let card: Value = task.peer_card("ward")?;
    let answered = task.peer("ward").ask(format!("hold {service}/say/e"))?.text();
    let given_up = task.peer("ward").send(format!("hold {service}/hold/never"))?;
    given_up.cancel(Some("enough"))?;
    let state = given_up.take()?.task().map(|task| format!("{:?}", task.state));
    Ok(json!([task.peers(), card["name"], answered, state]))
}

fn waits(task: &Task) -> Result<Value> {
    let any = task.wait_any(&[], milliseconds(1))?;
    let all = task.wait_all(&[], milliseconds(1))?;
    task.sleep(milliseconds(1))?;
    task.sleep_until(task.now() + milliseconds(100))?;
    // The clock of WASI.
    std::thread::sleep(milliseconds(1));
    Ok(json!([any, all]))
}

fn keeps(kv: &Kv) -> Result<Value> {
    let put = kv.put_bytes("a", b"1")?.is_empty();
    let swapped = format!("{:?}", kv.swap("b", None, b"2")?).starts_with("Done");
    let got = kv.entry("a")?.map(|entry| entry.value);
    let deleted = kv.delete("a")?;
    Ok(json!([put, swapped, got, deleted, kv.keys("")?]))
}
