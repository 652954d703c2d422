//! How many bytes a long stream of small pieces costs on the disk. A process of its own, because it asks the kernel what this
//! process has written.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use kennel_protocol::fold::Fold;
use kennel_protocol::types::{
    Artifact, Message, Part, Role, StreamResponse, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus,
    TaskStatusUpdateEvent,
};
use kennel_protocol::{ContextId, Digest, Seq, TaskId, TenantId, Timestamp, Ver};
use kennel_store::{
    Claim, Clock, Commit, Committed, Inbound, NewEvent, NewTask, Pokes, Position, RunChange, Start, Store,
    StoreOptions, Stored, TaskKey, Trial, claim_of,
};

const PIECES: u64 = 2_000;
const PIECE_BYTES: usize = 1 << 10;

/// The thresholds of the worker's lane: rows that gather behind a commit in flight, and when the folded body is written again.
const ROWS_MAX: u64 = 64;
const FOLD_EVENTS: u64 = 64;
const FOLD_BYTES: usize = 256 << 10;

fn bytes_written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap().parse().unwrap()
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

/// A claim holder that commits as the lane does: in order, one commit in flight, what gathered behind it in one.
struct Writer {
    claim: Claim,
    at: Position,
    fold: Fold,
    tail: (u64, usize),
    body_bytes: usize,
}

impl Writer {
    async fn accepted(store: &Store) -> Writer {
        let key = TaskKey { tenant: TenantId::default_tenant(), task: TaskId::generate() };
        let context = ContextId::generate();
        let now = store.clock().now();
        let status = TaskStatus { state: TaskState::Submitted, message: None, timestamp: Some(now) };
        let first = StreamResponse::Task(Task {
            id: key.task.clone(),
            context_id: context.clone(),
            status,
            artifacts: None,
            history: Vec::new(),
            metadata: None,
        });
        let message = Message {
            message_id: "m".to_owned(),
            role: Role::User,
            parts: vec![Part::text("go")],
            ..Message::default()
        };
        let new = NewTask {
            key,
            owner: "alice".parse().unwrap(),
            context,
            agent: "echo".parse().unwrap(),
            digest: Digest::from_bytes([0; 32]),
            created: now,
            expires: Timestamp::from_millis(now.millis() + 1_000),
            request: "{}".into(),
            event: json(&first).into(),
            message: Inbound { message_id: "m".to_owned(), hash: [0; 32], stored: Stored::plain(json(&message)) },
            parent: None,
            start: Start::Leased,
        };
        store.accept(new.clone()).await.unwrap();
        let mut fold = Fold::default();
        fold.apply(Seq::FIRST, &first).unwrap();
        let at = Position { ver: Ver::new(1), rev: Seq::FIRST };
        Writer { claim: claim_of(&new).unwrap(), at, fold, tail: (0, 0), body_bytes: 0 }
    }

    async fn write(&mut self, store: &Store, events: Vec<StreamResponse>, run: RunChange) {
        let mut stored = Vec::new();
        for (event, seq) in events.iter().zip(self.at.rev.get() + 1..) {
            self.fold.apply(Seq::new(seq), event).unwrap();
            let body = json(event);
            self.tail = (self.tail.0 + 1, self.tail.1 + body.len());
            stored.push(NewEvent { stored: Stored::plain(body), stop: None });
        }
        let status = &self.fold.status;
        let commit = Commit {
            at: self.at,
            events: stored,
            calls: Vec::new(),
            journal: 0,
            answers: Vec::new(),
            kv: Vec::new(),
            kv_expect: None,
            state: status.state,
            status_at: status.timestamp.unwrap(),
            open: false,
            body: self.body_if_due(run == RunChange::Finish),
            stop: None,
            taken: Vec::new(),
            run,
        };
        match store.commit(&self.claim, commit).await.unwrap() {
            Committed::Applied(at) => self.at = at,
            lost => panic!("{lost:?}"),
        }
    }

    fn body_if_due(&mut self, stop: bool) -> Option<Stored> {
        let (events, bytes) = self.tail;
        let grown = (events >= FOLD_EVENTS || bytes >= FOLD_BYTES) && bytes >= self.body_bytes / 2;
        if !grown && !stop {
            return None;
        }
        let body = json(&self.fold);
        (self.tail, self.body_bytes) = ((0, 0), body.len());
        Some(Stored::plain(body))
    }

    fn piece(&self, append: bool) -> StreamResponse {
        StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
            task_id: self.claim.key().task.clone(),
            context_id: "talk".parse().unwrap(),
            artifact: Artifact {
                artifact_id: "r".parse().unwrap(),
                parts: vec![Part::text("x".repeat(PIECE_BYTES))],
                ..Artifact::default()
            },
            append,
            last_chunk: false,
            metadata: None,
        })
    }

    fn status(&self, state: TaskState) -> StreamResponse {
        StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
            task_id: self.claim.key().task.clone(),
            context_id: "talk".parse().unwrap(),
            status: TaskStatus { state, message: None, timestamp: self.fold.status.timestamp },
            metadata: None,
        })
    }
}

/// Bytes written for each byte of content, from the accept to the closed file.
async fn weight(rows: u64) -> f64 {
    // Not /tmp, which may live in memory and then counts nothing.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = StoreOptions { pokes: Pokes::On, clock: Clock::system(), trial: Trial::default() };
    let store = Store::open(folder.path(), options).await.unwrap();
    let before = bytes_written();
    let mut writer = Writer::accepted(&store).await;
    writer.write(&store, vec![writer.status(TaskState::Working)], RunChange::Keep).await;
    let mut sent = 0;
    while sent < PIECES {
        let now = rows.min(PIECES - sent);
        let pieces = (sent..sent + now).map(|index| writer.piece(index > 0)).collect();
        writer.write(&store, pieces, RunChange::Keep).await;
        sent += now;
    }
    writer.write(&store, vec![writer.status(TaskState::Completed)], RunChange::Finish).await;
    store.close().await;
    let content = PIECES * PIECE_BYTES as u64;
    let written = bytes_written() - before;
    assert!(written > content, "the kernel counts what is written to {}", folder.path().display());
    written as f64 / content as f64
}

#[tokio::test]
async fn two_thousand_pieces_of_one_kibibyte_write_less_than_ten_times_their_bytes() {
    // What a lane commits whose agent publishes faster than the disk syncs. A slower one merges less and weighs more.
    let weight = weight(ROWS_MAX).await;
    assert!(weight < 10.0, "{weight:.1} bytes were written for each byte of content");
}
