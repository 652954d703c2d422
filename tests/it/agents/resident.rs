//! A fixture: an agent that cannot do without a setting.

use kennel::prelude::*;

/// Says where it is.
#[kennel::agent(settings = [("city", "Where it is.", required), "street"])]
fn resident(task: Task) -> Result<Outcome> {
    let city = task.setting("city").unwrap_or_else(|| "nowhere".to_owned());
    done_with(format!("I live in {city}."))
}
