//! An agent whose HTTP client knows nothing of Kennel: the crate `wstd`, which speaks `wasi:http` on any host. Its requests are under
//! the same rules, keys and journal as those of `task.get`.

use kennel::prelude::*;
use wstd::future::FutureExt;
use wstd::http::{Body, Client, Request};
use wstd::runtime::{block_on, spawn};
use wstd::time::Duration;

/// Asks two services at the same time, and waits so many milliseconds for the second. The message: URL URL MILLISECONDS.
#[kennel::agent(
    examples = ["http://127.0.0.1:8099/news http://127.0.0.1:8099/weather 500"],
    tags = ["example"],
    http = [("GET http://127.0.0.1:*", "To ask services on this machine.")],
)]
fn scout(task: Task) -> Result<Outcome> {
    let text = task.text();
    let words: Vec<&str> = text.split_whitespace().collect();
    let [first, second, patience] = words.as_slice() else { return refuse("Say two urls and milliseconds.") };
    let patience = Duration::from_millis(patience.parse().or_fail("arguments", "The last word is a number.")?);
    task.say("asking")?;
    let (first, second) = block_on(async {
        let first = spawn(get((*first).to_owned()));
        let second = spawn(get((*second).to_owned()).timeout(patience));
        (first.await, second.await)
    });
    // The error of the time-out is the outer one.
    let second = second.unwrap_or_else(|_| Ok("Nobody answered in time.".to_owned()))?;
    for (name, text) in [("first", first?), ("second", second)] {
        // Ids of its own: those that the host makes count calls, and how often such a client looks depends on how fast answers come.
        task.publish_artifact(Artifact::text(name, text).id(name))?;
    }
    done()
}

async fn get(url: String) -> Result<String> {
    let request = Request::get(url).body(Body::empty())?;
    let mut response = Client::new().send(request).await.map_err(|error| failed(&error))?;
    Ok(response.body_mut().str_contents().await.map_err(|error| failed(&error))?.to_owned())
}

fn failed(error: &wstd::http::Error) -> Error {
    fail("http", error.to_string())
}
