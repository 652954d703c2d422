//! A fixture: an agent of bare messages that requires an extension and does what bare agents must not do.

use kennel::prelude::*;

/// Does what the text says, and greets otherwise.
#[kennel::agent(reply = message, extensions = [("urn:kennel:test:1", "Clients must ask for it.", required)])]
fn strict(task: Task) -> Result<Outcome> {
    match task.text().as_str() {
        "done" => done(),
        "fail" => Err(fail("strict", "Strict was asked to fail.")),
        "panic" => panic!("a secret of strict"),
        "publish" => {
            task.publish("denied", "no task, no artifact")?;
            done()
        }
        _ => reply("Hello."),
    }
}
