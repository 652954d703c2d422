//! A store on a folder of its own, the objects that go into it, and a claim holder that writes as the worker's lane does.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::future::join_all;
use kennel_protocol::fold::Fold;
use kennel_protocol::types::{
    Artifact, Message, Part, Role, StreamResponse, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus,
    TaskStatusUpdateEvent,
};
use kennel_protocol::{AgentId, ContextId, Digest, PrincipalId, Seq, TaskId, TenantId, Timestamp, Ver};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::Claimable;
use crate::{
    CancelOrder, Claim, ClaimedRun, Clock, Commit, Committed, Delivery, EventRow, Inbound, NewEvent, NewTask,
    OpenAnswer, Pokes, Position, Route, RunChange, Scope, Start, Store, StoreError, StoreOptions, Stored, TaskKey,
    TaskView, Trial, Wait, claim_of,
};

/// Where every test's clock begins.
pub(super) const EPOCH_MS: i64 = 1_800_000_000_000;

/// A store of its own, with a clock that is moved by hand.
pub(super) struct Lab {
    pub(super) store: Store,
    pub(super) clock: Clock,
    folder: TempDir,
}

impl Lab {
    pub(super) async fn new() -> Lab {
        Lab::with(Pokes::On).await
    }

    pub(super) async fn with(pokes: Pokes) -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_millis(EPOCH_MS));
        let options = StoreOptions { pokes, clock: clock.clone(), trial: Trial::default() };
        let store = Store::open(folder.path(), options).await.unwrap();
        Lab { store, clock, folder }
    }

    /// Closes the store and leaves its files.
    pub(super) async fn closed(self) -> TempDir {
        self.store.close().await;
        self.folder
    }

    /// Closes the store and opens it again, as a restart does. Time goes on, as it does in life: numbers made from it never repeat.
    pub(super) async fn reopened(self) -> Lab {
        let clock = self.clock.clone();
        let folder = self.closed().await;
        clock.advance_ms(1);
        let options = StoreOptions { pokes: Pokes::On, clock: clock.clone(), trial: Trial::default() };
        let store = Store::open(folder.path(), options).await.unwrap();
        Lab { store, clock, folder }
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.path().join("kennel.db")
    }

    /// A connection behind the store's back: looks at rows, and damages them.
    pub(super) fn raw(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    /// A single number out of the database.
    pub(super) fn number(&self, sql: &str) -> i64 {
        self.raw().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Changes rows behind the store's back; returns how many.
    pub(super) fn change(&self, sql: &str) -> usize {
        change(&self.database(), sql)
    }

    /// The run row of a task.
    pub(super) fn run(&self, key: &TaskKey) -> Option<RunRow> {
        let sql = "SELECT state, priority, due_ms, attempts, host FROM run WHERE tenant = ? AND task = ?";
        let row = self.raw().query_row(sql, params![key.tenant.as_str(), key.task.as_str()], |row| {
            Ok(RunRow {
                state: row.get(0)?,
                priority: row.get(1)?,
                due_ms: row.get(2)?,
                attempts: row.get(3)?,
                host: row.get(4)?,
            })
        });
        row.optional().unwrap()
    }

    /// Transactions that the writer has begun.
    pub(super) fn transactions(&self) -> u32 {
        self.store.faults.transactions.load(Ordering::Relaxed)
    }

    /// Accepts a task with a slot and returns its holder.
    pub(super) async fn held(&self, tenant: &str) -> Holder {
        let new = new_task(&key(tenant), Start::Leased);
        self.store.accept(new.clone()).await.unwrap();
        Holder::of(&new)
    }

    /// Accepts a task without a slot.
    pub(super) async fn queued(&self, tenant: &str) -> TaskKey {
        let key = key(tenant);
        self.store.accept(new_task(&key, Start::Ready)).await.unwrap();
        key
    }

    /// Claims one run, a suspect if no other is there.
    pub(super) async fn claimed(&self) -> Option<ClaimedRun> {
        match self.store.claim(Claimable::Sound, 1).await.unwrap().pop() {
            None => self.store.claim(Claimable::Suspect, 1).await.unwrap().pop(),
            claimed => claimed,
        }
    }

    pub(super) async fn view(&self, key: &TaskKey) -> TaskView {
        self.store.task(&scope(key), &key.task).await.unwrap().unwrap()
    }

    pub(super) async fn events(&self, key: &TaskKey) -> Vec<EventRow> {
        self.store.events_after(key, Seq::new(0), 10_000).await.unwrap()
    }

    /// Everything of the database that a refused write may not have changed, as text.
    pub(super) fn everything(&self) -> String {
        let raw = self.raw();
        let mut all = String::new();
        for table in ["task", "body", "event", "run", "inbox", "journal", "kv", "kv_total", "blob", "blob_use"] {
            let mut rows = raw.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let columns = rows.column_count();
            let mut rows = rows.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values: Vec<rusqlite::types::Value> = (0..columns).map(|column| row.get(column).unwrap()).collect();
                all.push_str(&format!("{table}: {values:?}\n"));
            }
        }
        all
    }
}

/// Changes a database that nobody has open.
pub(super) fn change(database: &Path, sql: &str) -> usize {
    Connection::open(database).unwrap().execute(sql, []).unwrap()
}

/// A row of `run`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunRow {
    pub(super) state: i64,
    pub(super) priority: i64,
    pub(super) due_ms: Option<i64>,
    pub(super) attempts: i64,
    pub(super) host: Option<String>,
}

/// Runs futures so that all of them have handed in their entry before the writer takes its first group. Needs the
/// current-thread runtime of `#[tokio::test]`, where the writer cannot run meanwhile.
pub(super) async fn at_once<T>(all: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    // Without a budget: tokio would let the writer in after 128 sends.
    tokio::task::unconstrained(join_all(all)).await
}

pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(EPOCH_MS + ms)
}

pub(super) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

pub(super) fn key(tenant_name: &str) -> TaskKey {
    TaskKey { tenant: tenant(tenant_name), task: TaskId::generate() }
}

pub(super) fn owner() -> PrincipalId {
    "alice".parse().unwrap()
}

pub(super) fn agent() -> AgentId {
    "echo".parse().unwrap()
}

pub(super) fn context() -> ContextId {
    "talk".parse().unwrap()
}

pub(super) fn digest() -> Digest {
    Digest::from_bytes([7; 32])
}

pub(super) fn scope(key: &TaskKey) -> Scope {
    Scope { tenant: key.tenant.clone(), owner: owner(), agent: Some(agent()) }
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).unwrap().into()
}

/// What the accept of a task writes, as the service makes it.
pub(super) fn new_task(key: &TaskKey, start: Start) -> NewTask {
    new_task_at(key, start, at(0))
}

pub(super) fn new_task_at(key: &TaskKey, start: Start, created: Timestamp) -> NewTask {
    NewTask {
        key: key.clone(),
        owner: owner(),
        context: context(),
        agent: agent(),
        digest: digest(),
        created,
        expires: Timestamp::from_millis(created.millis() + 3_600_000),
        request: Bytes::from_static(b"{}"),
        event: json(&first_event(key, created)),
        message: inbound(&client_message(key, "m0", "begin")),
        start,
        parent: None,
    }
}

/// Event 1: the Task, without history.
pub(super) fn first_event(key: &TaskKey, created: Timestamp) -> StreamResponse {
    StreamResponse::Task(Task {
        id: key.task.clone(),
        context_id: context(),
        status: TaskStatus { state: TaskState::Submitted, message: None, timestamp: Some(created) },
        artifacts: None,
        history: Vec::new(),
        metadata: None,
    })
}

pub(super) fn client_message(key: &TaskKey, id: &str, text: &str) -> Message {
    Message {
        message_id: id.to_owned(),
        context_id: Some(context()),
        task_id: Some(key.task.clone()),
        role: Role::User,
        parts: vec![Part::text(text)],
        ..Message::default()
    }
}

pub(super) fn agent_message(id: &str) -> Message {
    Message { message_id: id.to_owned(), role: Role::Agent, parts: vec![Part::text(id)], ..Message::default() }
}

pub(super) fn inbound(message: &Message) -> Inbound {
    let body = json(message);
    let hash = Sha256::digest(&body).into();
    Inbound { message_id: message.message_id.clone(), hash, stored: Stored::plain(body) }
}

/// A status update; `said` is the id of the agent's message in it.
pub(super) fn status(key: &TaskKey, state: TaskState, said: Option<&str>) -> StreamResponse {
    StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
        task_id: key.task.clone(),
        context_id: context(),
        status: TaskStatus { state, message: said.map(agent_message), timestamp: Some(at(0)) },
        metadata: None,
    })
}

/// A piece of an artifact.
pub(super) fn piece(key: &TaskKey, artifact: &str, text: &str, append: bool) -> StreamResponse {
    StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
        task_id: key.task.clone(),
        context_id: context(),
        artifact: Artifact {
            artifact_id: artifact.parse().unwrap(),
            parts: vec![Part::text(text)],
            ..Artifact::default()
        },
        append,
        last_chunk: false,
        metadata: None,
    })
}

pub(super) fn new_event(event: &StreamResponse) -> NewEvent {
    let state = match event {
        StreamResponse::StatusUpdate(update) => Some(update.status.state),
        StreamResponse::Task(task) => Some(task.status.state),
        StreamResponse::ArtifactUpdate(_) | StreamResponse::Message(_) => None,
    };
    NewEvent { stored: Stored::plain(json(event)), stop: state.filter(|state| state.is_stop()) }
}

/// Somebody who holds a claim, with what it believes of the log.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) claim: Claim,
    pub(super) at: Position,
    pub(super) fold: Fold,
}

impl Holder {
    /// The holder of a task that was accepted with a slot.
    pub(super) fn of(new: &NewTask) -> Holder {
        let mut fold = Fold::default();
        fold.apply(Seq::FIRST, &serde_json::from_slice(&new.event).unwrap()).unwrap();
        let at = Position { ver: Ver::new(1), rev: Seq::FIRST };
        Holder { claim: claim_of(new).unwrap(), at, fold }
    }

    pub(super) fn key(&self) -> &TaskKey {
        self.claim.key()
    }

    /// A commit of these events, as the lane makes it.
    pub(super) fn commit(&self, events: &[StreamResponse], run: RunChange) -> Commit {
        let fold = self.folded(events);
        Commit {
            at: self.at,
            events: events.iter().map(new_event).collect(),
            calls: Vec::new(),
            journal: 0,
            answers: Vec::new(),
            kv: Vec::new(),
            kv_expect: None,
            state: fold.status.state,
            status_at: fold.status.timestamp.unwrap(),
            open: fold.status.state.is_interrupted(),
            body: None,
            stop: None,
            taken: Vec::new(),
            run,
        }
    }

    pub(super) fn folded(&self, events: &[StreamResponse]) -> Fold {
        let mut fold = self.fold.clone();
        for (event, seq) in events.iter().zip(self.at.rev.get() + 1..) {
            fold.apply(Seq::new(seq), event).unwrap();
        }
        fold
    }

    /// The holder after a commit of these events, whether it has been made or not.
    pub(super) fn after(&self, events: &[StreamResponse]) -> Holder {
        let at = Position { ver: self.at.ver.next(), rev: Seq::new(self.at.rev.get() + events.len() as u64) };
        Holder { claim: self.claim.clone(), at, fold: self.folded(events) }
    }

    /// Writes events and goes on behind them.
    pub(super) async fn write(&mut self, store: &Store, events: &[StreamResponse], run: RunChange) -> Position {
        let after = self.after(events);
        let committed = store.commit(&self.claim, self.commit(events, run)).await.unwrap();
        assert_eq!(committed, Committed::Applied(after.at));
        *self = after;
        self.at
    }

    /// Writes one status.
    pub(super) async fn show(&mut self, store: &Store, state: TaskState, said: Option<&str>) -> Position {
        let run = if state.is_terminal() { RunChange::Finish } else { RunChange::Keep };
        let event = status(self.key(), state, said);
        self.write(store, &[event], run).await
    }

    /// Gives the run up without an end.
    pub(super) async fn release(&mut self, store: &Store, due: Option<Timestamp>) -> Result<Committed, StoreError> {
        let committed = store
            .commit(
                &self.claim,
                self.commit(&[], RunChange::Release(Wait { due, listens: Some(Seq::new(0)), children: false })),
            )
            .await;
        if let Ok(Committed::Applied(at)) = &committed {
            self.at = *at;
        }
        committed
    }
}

pub(super) fn delivery(key: &TaskKey, message: &Message, route: Route) -> Delivery {
    Delivery { key: key.clone(), owner: owner(), agent: agent(), message: inbound(message), at: at(0), route }
}

/// The answer to a prompt seen at a rev, as the service makes it: WORKING if it fits, else the prompt again.
pub(super) fn answer(key: &TaskKey, rev: Seq, state: TaskState) -> Route {
    let said = state.is_interrupted().then_some("prompt-again");
    Route::Answer(OpenAnswer { rev, event: new_event(&status(key, state, said)), state })
}

pub(super) fn cancel_order(key: &TaskKey) -> CancelOrder {
    CancelOrder {
        key: key.clone(),
        owner: owner(),
        agent: agent(),
        body: Bytes::from_static(b"{\"source\":\"client\"}"),
        event: json(&status(key, TaskState::Canceled, None)),
        at: at(0),
    }
}
