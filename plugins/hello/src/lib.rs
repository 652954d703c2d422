//! An agent that answers with a bare message: no task, nothing stored, the fastest way to answer.

use kennel::prelude::*;

/// Greets whoever writes, by the name in the message.
#[kennel::agent(reply = message, examples = ["Ada"], tags = ["example"], typical_ms = 1)]
fn hello(task: Task) -> Result<Outcome> {
    match task.text().trim() {
        "" => reply("Hello, stranger."),
        name => reply(format!("Hello, {name}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kennel::test::Runner;

    #[test]
    fn it_greets_by_name_and_without_one() {
        assert_eq!(Runner::new(" Ada\n").run(hello).result(), &reply("Hello, Ada."));
        assert_eq!(Runner::new("").run(hello).result(), &reply("Hello, stranger."));
    }
}
