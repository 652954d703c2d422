//! A fixture: an agent that sends messages to agents of other hosts, and shows what came of them.

use kennel::peer::Answer;
use kennel::prelude::*;

/// `WORD TO TEXT..`: sends the text to the peer as the word says.
#[kennel::agent(
    asks = true,
    peers = [
        ("partner", "An agent that the operator names."),
        ("stranger", "Another, for which there is no grant."),
        ("http://127.0.0.1:*/agents", "Agents of the test's servers."),
        ("http://localhost:*", "The same by name."),
        ("http://10.0.0.1", "An address that is not public."),
    ],
    credentials = [("key", "To be known at the peer.")],
)]
fn messenger(task: Task) -> Result<Outcome> {
    let said = task.text();
    let mut words = said.splitn(3, ' ');
    let (word, to) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let text = words.next().unwrap_or_default();
    match word {
        "ask" => drop(task.publish("answer", task.peer(to).ask(text)?.text())?),
        "take" => show(&task, &task.peer(to).send(text)?.take()?)?,
        "key" => show(&task, &task.peer(to).credential("key").send(text)?.take()?)?,
        "ada" => {
            let answer = task.peer(to).send(text)?.answering(|question| Ok(format!("Ada to {}", question.text())));
            show(&task, &answer.done()?)?
        }
        "pass" => {
            let answer = task.peer(to).send(text)?.answering(|question| task.ask(question).text());
            show(&task, &answer.done()?)?
        }
        "hasty" => show(&task, &task.peer(to).timeout(milliseconds(1_500)).send(text)?.take()?)?,
        "stop" => {
            let sent = task.peer(to).send(text)?;
            task.sleep(milliseconds(500))?;
            sent.cancel(Some("enough"))?;
            show(&task, &sent.take()?)?
        }
        "twice" => {
            let first = task.peer(to).ask(text)?;
            let second = task.peer(to).refer(&first).ask(text)?;
            task.publish("answer", format!("{} {}", context(&first), context(&second)))?;
        }
        "race" => {
            let first = race([task.peer(to).send("20")?, task.peer(text).send("hello")?])?;
            show(&task, &first)?
        }
        "names" => drop(task.publish("names", task.peers().join(" "))?),
        "card" => {
            let card = task.peer_card(to)?;
            task.publish("card", card["name"].as_str().unwrap_or("none"))?;
        }
        _ => return refuse("I do not know that word."),
    }
    done()
}

fn context(answer: &Answer) -> String {
    answer.task().map(|task| task.context_id.clone()).unwrap_or_default()
}

/// What the peer answered: its kind, the id of its task, its last words and its results.
fn show(task: &Task, answer: &Answer) -> Result<()> {
    let text = match answer {
        Answer::Message(message) => format!("message {}", message.text()),
        Answer::Task(there) => {
            let said = there.status_message.as_ref().map(Message::text).unwrap_or_default();
            task.publish("id", there.task_id.clone())?;
            let state = format!("{:?}", there.state);
            let state = state.rsplit("::").next().unwrap_or_default().to_owned();
            format!("{state} {said}|{}", there.text())
        }
    };
    task.publish("answer", text)?;
    Ok(())
}
