//! Opening: one host a folder, files that are refused and why, and what a restart finds.

use std::path::Path;

use kennel_protocol::types::TaskState::{Completed, InputRequired, Working};
use kennel_protocol::{Epoch, Timestamp};

use super::lab::{EPOCH_MS, Lab, answer, change, client_message, delivery, key, scope};
use crate::{Clock, Delivered, OpenError, Pokes, RunChange, Store, StoreOptions, Trial, open};

async fn opened(folder: &Path) -> Result<Store, OpenError> {
    let clock = Clock::manual(Timestamp::from_millis(EPOCH_MS + 1));
    Store::open(folder, StoreOptions { pokes: Pokes::On, clock, trial: Trial::default() }).await
}

/// Opens a folder that must be refused.
async fn refused(folder: &Path) -> OpenError {
    match opened(folder).await {
        Ok(_) => panic!("{} was opened", folder.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_second_host_is_kept_out_of_the_folder_until_the_first_has_closed() {
    let lab = Lab::new().await;
    let folder = lab.database().parent().unwrap().to_owned();
    let error = refused(&folder).await;
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("kennel.lock") && text.contains("--data"), "{text}");
    // The first host is not disturbed.
    lab.queued("t").await;
    let lab = lab.reopened().await;
    assert!(lab.claimed().await.is_some());
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_numbers_and_left_as_it_is() {
    let folder = Lab::new().await.closed().await;
    let database = folder.path().join("kennel.db");
    change(&database, "PRAGMA user_version = 7");
    let before = std::fs::read(&database).unwrap();
    let error = refused(folder.path()).await;
    assert!(matches!(error, OpenError::Newer { found: 7, known: 6, .. }), "{error}");
    assert!(error.to_string().contains("schema 7, this one knows 6"), "{error}");
    assert!(std::fs::read(&database).unwrap() == before);
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_what_to_do() {
    let lab = Lab::new().await;
    for _ in 0..200 {
        lab.queued("t").await;
    }
    let folder = lab.closed().await;
    let database = folder.path().join("kennel.db");
    let whole = std::fs::read(&database).unwrap();
    assert!(opened(folder.path()).await.is_ok());
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 8192].fill(0xA5);
    let mut shorter = whole.clone();
    shorter.truncate(whole.len() - 16_384);
    for (damage, bytes) in [("torn", torn), ("shorter", shorter), ("no database", b"what is this? ".repeat(1_000))] {
        std::fs::write(&database, &bytes).unwrap();
        let error = refused(folder.path()).await;
        assert!(matches!(error, OpenError::Corrupt { .. }), "{damage}: {error}");
        assert!(error.to_string().contains("restore the last backup"), "{damage}: {error}");
        assert!(error.to_string().contains("kennel.db"), "{damage}: {error}");
        assert!(std::fs::read(&database).unwrap() == bytes, "{damage}: nothing is repaired silently");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_or_used_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let database_is_a_folder = folder.path().join("data");
    std::fs::create_dir_all(database_is_a_folder.join("kennel.db")).unwrap();
    for path in [file.join("data"), file, database_is_a_folder] {
        let error = refused(&path).await;
        assert!(matches!(error, OpenError::Path { .. }), "{error}");
        assert!(error.to_string().contains("check that the folder exists"), "{error}");
    }
}

#[tokio::test]
async fn a_store_that_was_closed_is_one_file() {
    let lab = Lab::new().await;
    lab.queued("t").await;
    lab.store.task(&scope(&key("t")), &key("t").task).await.unwrap();
    let folder = lab.closed().await;
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["kennel.db", "kennel.lock"], "a copy of kennel.db alone would have lost what stood in its log");
}

#[tokio::test]
async fn what_was_answered_is_in_the_files_before_anything_is_closed() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    // As after a kill -9: the files as they are now, without what only lives in memory.
    let copy = tempfile::tempdir().unwrap();
    for name in ["kennel.db", "kennel.db-wal"] {
        std::fs::copy(lab.database().with_file_name(name), copy.path().join(name)).unwrap();
    }
    let store = opened(copy.path()).await.unwrap();
    let view = store.held_task(&holder.claim).await.unwrap().unwrap();
    assert_eq!((view.rev, view.row.at, view.row.state), (holder.at.rev, holder.at, Working));
    store.close().await;
}

#[tokio::test]
async fn runs_of_the_former_incarnation_are_ready_again_and_their_claims_fenced() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    let mut parked = lab.held("t").await;
    parked.show(&lab.store, Working, None).await;
    parked.release(&lab.store, None).await.unwrap();
    let mut ended = lab.held("t").await;
    ended.show(&lab.store, Completed, None).await;

    let lab = lab.reopened().await;
    let run = lab.run(holder.key()).unwrap();
    assert_eq!((run.state, run.due_ms, run.host, run.attempts), (0, Some(EPOCH_MS + 1), None, 1));
    assert_eq!(lab.run(parked.key()).unwrap().state, 2);
    let again = lab.claimed().await.unwrap();
    assert_eq!((again.claim.key(), again.claim.epoch(), again.attempts), (holder.key(), Epoch::new(2), 2));
    assert_eq!(again.at, holder.at, "it goes on where the log stands");
    assert!(lab.claimed().await.is_none());
    let late = lab.store.commit(&holder.claim, holder.commit(&[], RunChange::Keep)).await.unwrap();
    assert_eq!(late, crate::Committed::Fenced);
}

#[tokio::test]
async fn a_prompt_that_was_open_at_the_restart_can_still_be_answered() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    holder.show(&lab.store, InputRequired, Some("prompt")).await;
    let lab = lab.reopened().await;
    let message = client_message(holder.key(), "m1", "yes");
    let answered = delivery(holder.key(), &message, answer(holder.key(), holder.at.rev, Working));
    assert!(matches!(lab.store.deliver(answered).await.unwrap(), Delivered::Accepted { n: 1, .. }));
    assert_eq!(lab.store.waiting(holder.key()).await.unwrap().unwrap().messages.len(), 1);
}

#[tokio::test]
async fn a_restart_changes_nothing_of_what_clients_saw() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, Some("a1")).await;
    holder.show(&lab.store, Completed, Some("a2")).await;
    let (view, events) = (lab.view(holder.key()).await, lab.events(holder.key()).await);
    let lab = lab.reopened().await;
    let (after, again) = (lab.view(holder.key()).await, lab.events(holder.key()).await);
    assert_eq!((after.fold.clone(), after.rev, after.row.at), (view.fold.clone(), view.rev, view.row.at));
    assert_eq!(after.history(None), view.history(None));
    let bodies = |rows: &[crate::EventRow]| rows.iter().map(|row| row.body.clone()).collect::<Vec<_>>();
    assert_eq!(bodies(&again), bodies(&events));
}

#[tokio::test]
async fn the_writer_syncs_its_log_and_readers_can_write_nothing() {
    let lab = Lab::new().await;
    let database = lab.database();
    let writer = open::writer(&database).unwrap();
    assert_eq!(writer.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0)).unwrap(), "wal");
    assert_eq!(writer.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0)).unwrap(), 2);
    assert_eq!(writer.pragma_query_value(None, "wal_autocheckpoint", |row| row.get::<_, i64>(0)).unwrap(), 4000);
    let readers = open::readers(&database).unwrap();
    for write in ["DELETE FROM task", "PRAGMA user_version = 5", "CREATE TABLE t (a)"] {
        let written = readers.read(move |connection| Ok(connection.execute_batch(write)?)).await;
        let refused = written.unwrap_err().to_string();
        assert!(refused.contains("readonly database"), "{write}: {refused}");
    }
    readers.close();
    writer.close().unwrap();
}

#[test]
fn sqlite_is_built_with_the_flags_of_the_workspace() {
    // PRAGMA compile_options does not tell of fdatasync, so this asks whether the flags reached the build at all.
    let flags = option_env!("LIBSQLITE3_FLAGS").unwrap_or_default();
    for flag in ["-DHAVE_FDATASYNC=1", "-DSQLITE_DEFAULT_MEMSTATUS=0", "-USQLITE_ENABLE_MEMORY_MANAGEMENT"] {
        assert!(flags.contains(flag), "build inside the workspace, or set LIBSQLITE3_FLAGS: {flags:?}");
    }
}

#[tokio::test]
async fn the_schema_is_the_one_that_was_agreed_on() {
    let lab = Lab::new().await;
    let raw = lab.raw();
    let mut rows = raw.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name").unwrap();
    let rows = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let found: Vec<String> = rows.map(|sql| sql.unwrap() + ";\n").collect();
    let found = found.join("\n");
    let agreed = include_str!("schema.sql");
    assert!(found == agreed, "the schema differs from tests/schema.sql; if that is meant, write this there:\n{found}");
}
