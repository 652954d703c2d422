//! A disk without room, a database that somebody else locks, a log that readers hold on to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kennel_protocol::types::TaskState::{Completed, Working};
use rusqlite::Connection;

use super::lab::{EPOCH_MS, Holder, Lab, at_once, key, new_event, new_task, piece, status};
use crate::wake::Wakes;
use crate::writer::{self, CommitOp, Faults, Op, Outcome, WriterHandle};
use crate::{Committed, Pokes, RunChange, Start, StoreError, open};

/// A writer of its own on a database that may not grow by more than some pages.
fn writer_with_room_for(lab: &Lab, pages: i64) -> WriterHandle {
    let connection = open::writer(&lab.database()).unwrap();
    let used: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    connection.pragma_update(None, "max_page_count", used + pages).unwrap();
    start(connection)
}

fn start(connection: Connection) -> WriterHandle {
    let (handle, _) = writer::start(writer::Parts {
        connection,
        wakes: Wakes::new(Pokes::On),
        now: kennel_protocol::Timestamp::from_millis(EPOCH_MS + 1),
        crash: None,
        broken: Default::default(),
        faults: Arc::new(Faults::default()),
    })
    .unwrap();
    handle
}

fn commit(holder: &Holder, text: &str) -> Op {
    let events = [status(holder.key(), Working, None), piece(holder.key(), "r", text, false)];
    let commit = holder.commit(&events, RunChange::Keep);
    Op::Commit(Box::new(CommitOp { claim: holder.claim.clone(), commit: commit.into(), now: super::lab::at(0) }))
}

#[tokio::test]
async fn a_full_disk_refuses_what_does_not_fit_and_takes_what_does() {
    let lab = Lab::new().await;
    let (large, small) = (lab.held("t").await, lab.held("t").await);
    let writer = writer_with_room_for(&lab, 40);
    let before = lab.everything();
    for _ in 0..3 {
        let refused = writer.write(commit(&large, &"x".repeat(1 << 20))).await;
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
        assert_eq!(lab.everything(), before, "nothing of it is there");
    }
    let taken = writer.write(commit(&small, "x")).await;
    assert!(matches!(taken, Ok(Outcome::Committed(Committed::Applied(_)))), "{taken:?}");
    let taken = writer.write(commit(&large, "x")).await;
    assert!(matches!(taken, Ok(Outcome::Committed(Committed::Applied(_)))), "{taken:?}");
}

#[tokio::test]
async fn a_group_that_does_not_fit_is_refused_whole_and_each_entry_may_come_again() {
    let lab = Lab::new().await;
    let writer = writer_with_room_for(&lab, 60);
    let news: Vec<_> = (0..400).map(|_| new_task(&key("t"), Start::Ready)).collect();
    let accept = |index: usize| writer.write(Op::Create(Box::new(news[index].clone())));
    let accepted = at_once((0..256).map(accept)).await;
    assert!(accepted.iter().all(|accepted| matches!(accepted, Err(StoreError::Full))));
    assert_eq!(lab.number("SELECT count(*) FROM task"), 0);
    // Alone they fit, until there is no room left; then every answer still tells what is there.
    let mut stored = 0;
    for index in 0..400 {
        match accept(index).await {
            Ok(_) => stored += 1,
            Err(error) => assert!(matches!(error, StoreError::Full), "{error}"),
        }
    }
    assert!((50..400).contains(&stored), "{stored}");
    for table in ["task", "event", "inbox", "run"] {
        assert_eq!(lab.number(&format!("SELECT count(*) FROM {table}")), stored, "{table}");
    }
}

#[tokio::test]
async fn a_database_that_somebody_else_locks_for_a_moment_is_waited_for() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let other = lab.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (faults, before) = (Arc::clone(&lab.store.faults), lab.transactions());
    let release = std::thread::spawn(move || {
        // The writer is at its BEGIN once the transaction is counted.
        while faults.transactions.load(Ordering::Relaxed) == before {
            std::thread::yield_now();
        }
        other.execute_batch("ROLLBACK").unwrap();
    });
    let event = status(holder.key(), Completed, None);
    let committed = lab.store.commit(&holder.claim, holder.commit(&[event], RunChange::Finish)).await;
    release.join().unwrap();
    assert!(matches!(committed.unwrap(), Committed::Applied(_)));
    holder = holder.after(&[status(holder.key(), Completed, None)]);
    assert_eq!(lab.view(holder.key()).await.rev, holder.at.rev);
}

/// Reads in two transactions that overlap, so that at no time nobody is in the log.
fn read_without_a_pause(mut one: Connection, mut two: Connection, over: &AtomicBool) {
    one.execute_batch("BEGIN; SELECT * FROM run").unwrap();
    while !over.load(Ordering::Relaxed) {
        two.execute_batch("BEGIN; SELECT * FROM run").unwrap();
        one.execute_batch("COMMIT").unwrap();
        std::mem::swap(&mut one, &mut two);
    }
}

#[tokio::test]
async fn readers_that_never_pause_do_not_let_the_log_grow_without_end() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    let over = Arc::new(AtomicBool::new(false));
    let (one, two, until) = (lab.raw(), lab.raw(), Arc::clone(&over));
    let reading = std::thread::spawn(move || read_without_a_pause(one, two, &until));
    let text = "x".repeat(120_000);
    let mut largest = 0;
    for index in 0..640 {
        // The view is not folded here: the bytes in the log are what this is about.
        let mut commit = holder.commit(&[], RunChange::Keep);
        commit.events = vec![new_event(&piece(holder.key(), "r", &text, index > 0))];
        let Committed::Applied(at) = lab.store.commit(&holder.claim, commit).await.unwrap() else { panic!() };
        holder.at = at;
        let log = std::fs::metadata(lab.database().with_file_name("kennel.db-wal")).unwrap().len();
        largest = largest.max(log >> 20);
    }
    over.store(true, Ordering::Relaxed);
    reading.join().unwrap();
    assert!(largest < 64, "of 77 MB, the log held {largest} MiB");
}
