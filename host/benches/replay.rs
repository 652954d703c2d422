//! What a repetition costs: microseconds for each row of a journal, from the answer of a client to the first new call of its agent.
//!
//! `cargo bench -p kennel --bench replay` lets an agent make 0, 1,000 and 10,000 calls and then wait, kills the host, starts it again and
//! answers. The answer is accepted, the worker claims the task, a fresh instance repeats its calls, and the next call ends the task. What
//! more rows take longer, in time and in CPU of the host, is theirs. The time is the median of `--tasks`
//! (25) tasks, the CPU time their mean.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and a fault ends it"
)]

mod server;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kennel_client::{Client, user_message};
use kennel_protocol::types::{Part, SendMessageRequest, SendMessageResponse, Task, TaskState};
use kennel_protocol::{ContextId, TaskId};

use server::{Server, build_agents};

const ROWS: [u32; 3] = [0, 1_000, 10_000];

/// Reads and writes of durable values: rows without events, so that nothing but the repetition grows with their number.
const KINDS: [&str; 2] = ["reads", "writes"];

const AGENT: &str = r#"
use kennel::kv::Scope;
use kennel::prelude::*;

/// Makes the calls that it is asked for, waits for a word, and makes one more.
#[kennel::agent(asks = true, streams = true, kv = [agent])]
fn repeater(task: Task) -> Result<Outcome> {
    let text = task.text();
    let (kind, calls) = text.split_once(' ').or_fail("arguments", "Say what and how often.")?;
    let calls: u32 = calls.parse()?;
    let kv = task.kv(Scope::Agent);
    for _ in 0..calls {
        match kind {
            "reads" => drop(kv.get::<u32>("none")?),
            _ => drop(kv.put("some", &calls)?),
        }
    }
    task.ask("Go on?").text()?;
    task.publish("word", "on")?;
    done()
}
"#;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` only asks that it starts.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let tasks = arguments.iter().position(|argument| argument == "--tasks");
    let tasks: usize = tasks.map_or(25, |at| arguments[at + 1].parse().expect("a number of tasks"));
    tokio::runtime::Runtime::new().expect("threads for the bench").block_on(bench(tasks));
}

async fn bench(count: usize) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the bench");
    let agents = build_agents(folder.path(), &[&fixture(folder.path())]);
    let data = folder.path().join("data");
    println!("{:<8} {:>7} {:>11} {:>11} {:>13}", "rows of", "rows", "ms", "us a row", "CPU us a row");
    for kind in KINDS {
        let (mut warm, mut waiting) = (Vec::new(), Vec::new());
        {
            let mut server = Server::kennel(&data, &agents, &[]);
            let client = client(&server);
            for _ in 0..count {
                warm.push(begin(&client, kind, 0).await);
            }
            for rows in ROWS {
                let mut tasks = Vec::new();
                for _ in 0..count {
                    tasks.push(begin(&client, kind, rows).await);
                }
                waiting.push((rows, tasks));
            }
            server.stop();
        }
        let server = Server::kennel(&data, &agents, &[]);
        let client = client(&server);
        // Not counted: the first of a host are slower.
        answer(&server, &client, &warm).await;
        let mut least = None;
        for (rows, tasks) in waiting {
            let (took, cpu) = answer(&server, &client, &tasks).await;
            let (least_took, least_cpu) = *least.get_or_insert((took, cpu));
            let each = |took: Duration, least: Duration| {
                took.saturating_sub(least).as_secs_f64() * 1e6 / f64::from(rows.max(1))
            };
            println!(
                "{kind:<8} {rows:>7} {:>11.2} {:>11.2} {:>13.2}",
                took.as_secs_f64() * 1e3,
                each(took, least_took),
                each(cpu, least_cpu)
            );
        }
    }
}

/// A task whose journal has this many rows, and which waits.
async fn begin(client: &Client, kind: &str, rows: u32) -> Task {
    let task = stopped(client, &format!("{kind} {rows}"), None).await;
    assert_eq!(task.status.state, TaskState::InputRequired);
    task
}

/// The median time from answer to end, and the host's CPU time for each.
async fn answer(server: &Server, client: &Client, tasks: &[Task]) -> (Duration, Duration) {
    let mut times = Vec::new();
    let cpu = server.cpu();
    for task in tasks {
        let begun = Instant::now();
        let ended = stopped(client, "on", Some((task.id.clone(), task.context_id.clone()))).await;
        times.push(begun.elapsed());
        assert_eq!(ended.status.state, TaskState::Completed);
    }
    let cpu = (server.cpu() - cpu) / u32::try_from(tasks.len()).expect("not that many");
    times.sort_unstable();
    (times[times.len() / 2], cpu)
}

/// A crate as `kennel new` makes it, with the bench's agent.
fn fixture(folder: &Path) -> String {
    let mut new = Command::new(env!("CARGO_BIN_EXE_kennel"));
    let made = new.args(["new", "repeater", "--dir"]).arg(folder).output().expect("kennel new starts");
    assert!(made.status.success(), "{made:?}");
    let made = folder.join("repeater");
    std::fs::write(made.join("src/lib.rs"), AGENT).expect("the agent is written");
    made.to_string_lossy().into_owned()
}

fn client(server: &Server) -> Client {
    Client::at(&server.agent("repeater")).expect("a client")
}

/// Sends a text and waits for the task's next stop.
async fn stopped(client: &Client, text: &str, to: Option<(TaskId, ContextId)>) -> Task {
    let mut message = user_message(vec![Part::text(text)]);
    (message.task_id, message.context_id) = to.unzip();
    match client.send(SendMessageRequest { message, ..SendMessageRequest::default() }).await {
        Ok(SendMessageResponse::Task(task)) => task,
        other => panic!("not a task: {other:?}"),
    }
}
