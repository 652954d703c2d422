//! A fixture: a parent that goes on while its child is held by a service, and that can be held after each of its calls. It is its own
//! child, under the name `ward`.

use kennel::kv::Scope;
use kennel::prelude::*;
use kennel::wait::Pending;

/// `hold URL`: shows what the url says. `guard URL [GATE]`: lets `ward` hold that url and calls on, and after each call waits for a
/// gate, if there are any: the url with a number behind it. In the end it shows what the ward has shown.
#[kennel::agent(
    kv = [agent],
    peers = [("ward", "To have a child.")],
    http = [("GET http://127.0.0.1:*", "To be held by the test's servers.")],
)]
fn guardian(task: Task) -> Result<Outcome> {
    let text = task.text();
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["hold", url] => {
            task.publish("held", task.get(*url).fetch()?.text())?;
            done()
        }
        ["guard", url] => guard(&task, url, || Ok(())),
        ["guard", url, gate] => {
            let mut stops = 0;
            guard(&task, url, || {
                stops += 1;
                task.get(format!("{gate}{stops}")).fetch().map(drop)
            })
        }
        _ => refuse("I do not know that word."),
    }
}

fn guard(task: &Task, url: &str, mut stop: impl FnMut() -> Result<()>) -> Result<Outcome> {
    let ward = task.peer("ward").send(format!("hold {url}"))?;
    stop()?;
    task.say("sent")?;
    stop()?;
    task.kv(Scope::Agent).put("steps", 1)?;
    stop()?;
    task.history(10)?;
    stop()?;
    task.sleep(milliseconds(1))?;
    stop()?;
    // What this finds depends on the moment, and must stay what it was.
    let found = task.wait_any(&[&ward as &dyn Pending], milliseconds(1))?;
    task.kv(Scope::Agent).put("found", found)?;
    stop()?;
    task.publish("kept", "kept")?;
    stop()?;
    let shown = ward.done()?.text();
    task.publish("ward", shown)?;
    done()
}
