//! A fixture: an agent of bare messages that calls a service and answers with what it said.

use kennel::prelude::*;

/// Calls the url in the message.
#[kennel::agent(reply = message, http = [("GET http://127.0.0.1:*", "To call the test's servers.")])]
fn courier(task: Task) -> Result<Outcome> {
    let said = task.get(task.text()).fetch()?.text();
    task.sleep(milliseconds(5))?;
    reply(said)
}
