//! The store alone: short tasks a second, and a page of a long list. `cargo bench -p kennel-store`; figures, no verdicts.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its figures and ends at the first fault")]

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kennel_protocol::types::{
    Artifact, Message, Part, Role, StreamResponse, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus,
    TaskStatusUpdateEvent,
};
use kennel_protocol::{Digest, Seq, TaskId, TenantId, Timestamp, Ver};
use kennel_store::{
    Clock, Commit, Inbound, ListFilter, NewEvent, NewTask, Pokes, Position, RunChange, Scope, Start, Store,
    StoreOptions, Stored, TaskKey, Trial, claim_of,
};

/// Tasks in the list.
const LISTED: usize = 100_000;
/// One of this many listed tasks is of another conversation, and one is never begun.
const FEW: usize = 1_000;
/// How often each page is read.
const READS: usize = 101;

fn json<T: serde::Serialize>(value: &T) -> Stored {
    Stored::plain(serde_json::to_vec(value).unwrap())
}

fn scope() -> Scope {
    Scope { tenant: TenantId::default_tenant(), owner: "alice".parse().unwrap(), agent: Some("echo".parse().unwrap()) }
}

fn new_task(text: &str, context: &str, now: Timestamp) -> NewTask {
    let key = TaskKey { tenant: TenantId::default_tenant(), task: TaskId::generate() };
    let first = StreamResponse::Task(Task {
        id: key.task.clone(),
        context_id: context.parse().unwrap(),
        status: TaskStatus { state: TaskState::Submitted, message: None, timestamp: Some(now) },
        artifacts: None,
        history: Vec::new(),
        metadata: None,
    });
    let message = Message {
        message_id: key.task.to_string(),
        task_id: Some(key.task.clone()),
        role: Role::User,
        parts: vec![Part::text(text)],
        ..Message::default()
    };
    NewTask {
        owner: scope().owner,
        context: context.parse().unwrap(),
        agent: "echo".parse().unwrap(),
        digest: Digest::from_bytes([0; 32]),
        created: now,
        expires: Timestamp::from_millis(now.millis() + 3_600_000),
        request: "{}".into(),
        event: json(&first).body,
        message: Inbound { message_id: key.task.to_string(), hash: [0; 32], stored: json(&message) },
        parent: None,
        start: Start::Leased,
        key,
    }
}

fn status(key: &TaskKey, state: TaskState, now: Timestamp) -> NewEvent {
    let event = StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
        task_id: key.task.clone(),
        context_id: "talk".parse().unwrap(),
        status: TaskStatus { state, message: None, timestamp: Some(now) },
        metadata: None,
    });
    NewEvent { stored: json(&event), stop: Some(state).filter(|state| state.is_stop()) }
}

fn artifact(key: &TaskKey, text: &str) -> NewEvent {
    let event = StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
        task_id: key.task.clone(),
        context_id: "talk".parse().unwrap(),
        artifact: Artifact {
            artifact_id: "echo".parse().unwrap(),
            parts: vec![Part::text(text)],
            ..Artifact::default()
        },
        append: false,
        last_chunk: true,
        metadata: None,
    });
    NewEvent { stored: json(&event), stop: None }
}

/// A short task from accept to end, as the host writes it: two groups.
async fn echo(store: &Store, text: &str) {
    let now = store.clock().now();
    let new = new_task(text, "talk", now);
    let key = new.key.clone();
    let claim = claim_of(&new).unwrap();
    store.accept(new).await.unwrap();
    let commit = Commit {
        at: Position { ver: Ver::new(1), rev: Seq::FIRST },
        events: vec![
            status(&key, TaskState::Working, now),
            artifact(&key, text),
            status(&key, TaskState::Completed, now),
        ],
        calls: Vec::new(),
        journal: 0,
        answers: Vec::new(),
        kv: Vec::new(),
        kv_expect: None,
        state: TaskState::Completed,
        status_at: now,
        open: false,
        body: None,
        stop: None,
        taken: Vec::new(),
        run: RunChange::Finish,
    };
    store.commit(&claim, commit).await.unwrap();
}

/// A short task; a few in a conversation of their own, and a few that nobody has begun.
async fn listed(store: &Store, n: usize) {
    match n % FEW {
        0 => store.accept(new_task("later", "short", store.clock().now())).await.unwrap(),
        _ => echo(store, "listed").await,
    }
}

/// What the kernel says this process has sent to the disk; zero where it does not say.
fn bytes_written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or_default()
}

async fn opened(folder: &Path) -> Store {
    Store::open(folder, StoreOptions { pokes: Pokes::On, clock: Clock::system(), trial: Trial::default() })
        .await
        .unwrap()
}

/// User and system time of this process so far; zero where the kernel does not say.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Short tasks, `at_once` of them at any time.
async fn tasks(store: &Store, count: usize, at_once: usize, bytes: usize) {
    let text = "x".repeat(bytes);
    let (begun, written_before, cpu_before) = (Instant::now(), bytes_written(), cpu());
    futures_util::stream::iter(0..count).for_each_concurrent(at_once, |_| echo(store, &text)).await;
    let count = count as f64;
    println!(
        "short tasks of {bytes} bytes, {at_once} at once: {:.0}/s, {:.1} KiB written for each, {:.1} CPU ms for 1,000",
        count / begun.elapsed().as_secs_f64(),
        (bytes_written() - written_before) as f64 / count / 1024.0,
        (cpu() - cpu_before).as_secs_f64() * 1e6 / count,
    );
}

/// The median of many reads of one page.
async fn page(store: &Store, filter: &ListFilter) -> (Duration, u64) {
    let mut took = Vec::with_capacity(READS);
    let mut total = 0;
    for _ in 0..READS {
        let begun = Instant::now();
        total = store.list(&scope(), filter).await.unwrap().total;
        took.push(begun.elapsed());
    }
    took.sort();
    (took.into_iter().nth(READS / 2).unwrap(), total)
}

/// Where the page begins that shows the oldest of the list.
async fn late(store: &Store) -> Option<(Timestamp, TaskId)> {
    let mut filter = ListFilter { limit: 1_000, ..ListFilter::default() };
    for _ in 0..LISTED / 1_000 - 1 {
        let page = store.list(&scope(), &filter).await.unwrap();
        filter.after = page.tasks.last().map(|view| (view.row.status_at, view.row.key.task.clone()));
    }
    filter.after
}

async fn pages(store: &Store) {
    let first = ListFilter { limit: 50, ..ListFilter::default() };
    let newest = store.list(&scope(), &first).await.unwrap();
    let since = newest.tasks.last().map(|view| view.row.status_at);
    let of = |state| ListFilter { state: Some(state), ..first.clone() };
    for (name, filter) in [
        ("first page", first.clone()),
        ("late page", ListFilter { after: late(store).await, ..first.clone() }),
        ("page of the state that most are in", of(TaskState::Completed)),
        ("page of a state that few are in", of(TaskState::Submitted)),
        ("page of a state that none is in", of(TaskState::Failed)),
        ("page of the last moment", ListFilter { since, ..first.clone() }),
        ("page since the first moment", ListFilter { since: Some(Timestamp::from_millis(0)), ..first.clone() }),
        ("page of a short conversation", ListFilter { context: Some("short".to_owned()), ..first.clone() }),
        ("page of a conversation of nearly all", ListFilter { context: Some("talk".to_owned()), ..first.clone() }),
    ] {
        let (took, total) = page(store, &filter).await;
        println!("list, {name} of 50, {total} matches: {:.2} ms", took.as_secs_f64() * 1e3);
    }
}

fn main() {
    // `cargo test --benches` only asks that it starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let store = opened(folder.path()).await;
        futures_util::stream::iter(0..LISTED).for_each_concurrent(128, |n| listed(&store, n)).await;
        pages(&store).await;
        for (at_once, count, bytes) in
            [(1, 500, 20), (16, 8_000, 20), (64, 30_000, 20), (128, 60_000, 20), (128, 20_000, 1_500)]
        {
            tasks(&store, count, at_once, bytes).await;
        }
        let begun = Instant::now();
        store.close().await;
        drop(store);
        println!("close: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        let store = opened(folder.path()).await;
        println!("open: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
        store.close().await;
        let size = std::fs::metadata(folder.path().join("kennel.db")).unwrap().len();
        println!("file: {} MiB", size >> 20);
    });
}
