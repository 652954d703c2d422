//! What tasks that wait for their clients cost a host: memory, the start after a kill -9, and the way from an answer to the next question.
//!
//! `cargo bench -p kennel --bench waiting -- --tasks 1000000` (100,000 without the option). One task is made by a real host and parked; its
//! rows, as they stand, are then written again under other ids. The host that is measured finds them as it would find its own.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and a fault ends it"
)]

mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use kennel_client::{Client, user_message};
use kennel_protocol::types::{ListTasksRequest, Part, SendMessageRequest, SendMessageResponse, Task, TaskState};
use kennel_protocol::{ContextId, TaskId};
use rusqlite::{Connection, params};

use server::{Server, build_agents};

/// Tasks that are answered after each start.
const ANSWERS: u32 = 200;
/// Tasks written in one transaction.
const AT_ONCE: u32 = 50_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo test --benches` only asks that it starts.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let tasks = arguments.iter().position(|argument| argument == "--tasks");
    let tasks: u32 = tasks.map_or(100_000, |at| arguments[at + 1].parse().expect("a number of tasks"));
    tokio::runtime::Runtime::new().expect("threads for the bench").block_on(bench(tasks));
}

async fn bench(tasks: u32) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the bench");
    let agents = build_agents(folder.path(), &["interview"]);
    let data = folder.path().join("data");
    let first = parked(&data, &agents).await;
    let begun = Instant::now();
    multiply(&data.join("kennel.db"), &first, tasks);
    let size = std::fs::metadata(data.join("kennel.db")).map_or(0, |file| file.len());
    println!("{tasks} waiting tasks, written in {:.0} s: {} MiB", begun.elapsed().as_secs_f64(), size >> 20);
    for start in ["first start", "after kill -9"] {
        let begun = Instant::now();
        let mut server = Server::kennel(&data, &agents, &[]);
        let listening = begun.elapsed();
        let client = Client::at(&server.agent("interview")).expect("a client");
        let idle = server.memory();
        let listed = list(&client, tasks).await;
        let part = if start == "first start" { 0 } else { 1 };
        let times = wake(&client, tasks, part).await;
        let busy = server.memory();
        println!("{start}: listening after {:.0} ms, a page of 50 in {:.2} ms", ms(listening), ms(listed));
        println!(
            "  answer to next question: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
            ms(times[times.len() / 2]),
            ms(times[times.len() * 99 / 100]),
            ms(times[times.len() - 1])
        );
        println!(
            "  resident {} MiB at first ({} without files), {} MiB after {ANSWERS} answers ({} without files), at most {} MiB",
            idle.resident, idle.own, busy.resident, busy.own, busy.peak
        );
        server.stop();
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A task that waits for its client without an instance, made by a host that has then stopped.
async fn parked(data: &Path, agents: &Path) -> Task {
    let mut server = Server::kennel(data, agents, &["--park-after", "1"]);
    let client = Client::at(&server.agent("interview")).expect("a client");
    let task = say(&client, "begin", None).await;
    assert_eq!(task.status.state, TaskState::InputRequired);
    let database = Connection::open(data.join("kennel.db")).expect("the host's database");
    let until = Instant::now() + Duration::from_secs(10);
    while database.query_row("SELECT state FROM run", [], |row| row.get::<_, i64>(0)).expect("one run") != 2 {
        assert!(Instant::now() < until, "the task is not parked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.stop();
    task
}

/// The id of the n-th task, and of its conversation.
fn id(n: u32) -> String {
    format!("01900000-0000-7000-8000-{n:012x}")
}

/// Writes all rows of a task again, for each of the others.
fn multiply(database: &Path, first: &Task, tasks: u32) {
    let mut database = Connection::open(database).expect("the database");
    // What is written here is made again if the machine fails.
    database.pragma_update(None, "synchronous", "OFF").expect("a setting");
    let mut begin = 1;
    while begin <= tasks {
        let end = tasks.min(begin + AT_ONCE - 1);
        let transaction = database.transaction().expect("a transaction");
        for table in ["task", "event", "inbox", "run", "journal", "body"] {
            let again = again(&transaction, table);
            let rows = params![first.id.as_str(), first.context_id.as_str(), begin, end];
            transaction.execute(&again, rows).unwrap_or_else(|error| panic!("{table}: {error}"));
        }
        transaction.commit().expect("a commit");
        begin = end + 1;
    }
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
}

/// The statement for a table: its columns as they are, but for the ids, also where they stand in JSON.
fn again(database: &Connection, table: &str) -> String {
    let mut columns = database.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).expect("a table");
    let columns: Vec<String> =
        columns.query_map([], |row| row.get(0)).expect("columns").map(|name| name.expect("a name")).collect();
    let new = "printf('01900000-0000-7000-8000-%012x', k)";
    let values: Vec<String> = columns
        .iter()
        .map(|column| match column.as_str() {
            "id" | "task" | "context" => new.to_owned(),
            "body" => format!("CAST(replace(replace(CAST(body AS TEXT), ?1, {new}), ?2, {new}) AS BLOB)"),
            other => other.to_owned(),
        })
        .collect();
    let of = if table == "task" { "id" } else { "task" };
    format!(
        "WITH RECURSIVE others (k) AS (VALUES (?3) UNION ALL SELECT k + 1 FROM others WHERE k < ?4) \
         INSERT INTO {table} ({}) SELECT {} FROM others CROSS JOIN {table} WHERE {of} = ?1 AND ?2 <> ''",
        columns.join(", "),
        values.join(", ")
    )
}

/// The median time of a page of 50.
async fn list(client: &Client, tasks: u32) -> Duration {
    let mut times = Vec::new();
    for _ in 0..21 {
        let begun = Instant::now();
        let page = client.list_tasks(ListTasksRequest::default()).await.expect("a page");
        times.push(begun.elapsed());
        assert!(u32::try_from(page.total_size).is_ok_and(|total| total >= tasks), "{}", page.total_size);
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// Answers tasks all over the list, each once, and returns how long each took, sorted.
async fn wake(client: &Client, tasks: u32, part: u32) -> Vec<Duration> {
    let mut times = Vec::new();
    for n in 0..ANSWERS {
        let id = id((2 * n + part) * (tasks / (2 * ANSWERS)) + 1);
        let to = (id.parse().expect("an id"), id.parse().expect("an id"));
        let begun = Instant::now();
        let asked = say(client, "Ada", Some(to)).await;
        times.push(begun.elapsed());
        let said = serde_json::to_string(&asked.status).expect("JSON");
        assert!(said.contains("Hello Ada"), "{said}");
    }
    times.sort_unstable();
    times
}

/// Sends a text and waits for the task's next stop.
async fn say(client: &Client, text: &str, to: Option<(TaskId, ContextId)>) -> Task {
    let mut message = user_message(vec![Part::text(text)]);
    (message.task_id, message.context_id) = to.unzip();
    match client.send(SendMessageRequest { message, ..SendMessageRequest::default() }).await {
        Ok(SendMessageResponse::Task(task)) => task,
        other => panic!("not a task: {other:?}"),
    }
}
