//! A fixture: an agent that answers with a message or a task, and looks at values and changes them.

use kennel::kv::Scope;
use kennel::prelude::*;

/// `put`, `swap` and `delete` change one value; anything else only looks.
#[kennel::agent(reply = auto, kv = [agent])]
fn recall(task: Task) -> Result<Outcome> {
    let kv = task.kv(Scope::Agent);
    match task.text().as_str() {
        "put" => kv.put("k", "put")?,
        "swap" => drop(kv.update("k", |_: Option<String>| "swap".to_owned())?),
        "delete" => drop(kv.delete("k")?),
        _ => {
            let keys = kv.keys("")?.len();
            let value = kv.get::<String>("k")?.unwrap_or_else(|| "nothing".to_owned());
            return reply(format!("{keys} keys, {value}"));
        }
    }
    reply(task.text())
}
