//! A fixture: an agent of bare messages that counts them.

use kennel::kv::Scope;
use kennel::prelude::*;

/// Says how many messages it has had in this context. `forget` begins anew, `all` counts in a scope that it has not asked for.
#[kennel::agent(reply = message, kv = [context])]
fn tally(task: Task) -> Result<Outcome> {
    let kv = task.kv(Scope::Context);
    match task.text().as_str() {
        "forget" => reply(kv.delete("count")?.to_string()),
        "all" => reply(task.kv(Scope::Agent).update("count", |old: Option<u32>| old.unwrap_or(0) + 1)?.to_string()),
        _ => reply(kv.update("count", |old: Option<u32>| old.unwrap_or(0) + 1)?.to_string()),
    }
}
