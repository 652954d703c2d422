//! What clients say to tasks that exist: messages and requests to stop.
//!
//! Both decide inside the writer's transaction, so that a message is never accepted on a task that finished meanwhile.

use bytes::Bytes;
use kennel_protocol::Seq;
use kennel_protocol::types::TaskState;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::blob::{self, BlobUse};
use crate::rows::{CancelOrder, Canceling, Delivered, Delivery, Inbound, NewEvent, OpenAnswer, Route, Stored};
use crate::sql::{inbox_kind, int, priority, run_state, small, state_number, state_of, uint};
use crate::wake::TaskKey;
use crate::writer::{Seen, see};

/// Takes a message, or says why not.
pub(crate) async fn deliver(
    connection: &mut SqliteConnection,
    delivery: &Delivery,
    commit_id: i64,
) -> Result<Delivered, sqlx::Error> {
    let Some(seen) = see(connection, &delivery.key).await? else { return Ok(Delivered::NotFound) };
    if seen.owner != delivery.owner.as_str() || seen.agent != delivery.agent.as_str() {
        return Ok(Delivered::NotFound);
    }
    if let Some(first) = same_message(connection, &delivery.key, &delivery.message).await? {
        return Ok(first);
    }
    let state = state(&seen)?;
    if state.is_terminal() {
        return Ok(Delivered::Terminal(state));
    }
    match &delivery.route {
        Route::Answer(answer) if seen.open && int(answer.rev.get()) == seen.rev => {
            close_prompt(connection, delivery, answer, &seen, commit_id).await
        }
        Route::Queue if !seen.open => {
            let n = insert(connection, delivery, seen.rev, Taken::NotYet).await?;
            make_ready(connection, &delivery.key, delivery.at.millis()).await?;
            Ok(Delivered::Accepted { n, at_seq: Seq::new(uint(seen.rev)) })
        }
        Route::Repeat if !seen.open => Ok(Delivered::NotWaiting(state)),
        Route::Answer(_) | Route::Queue | Route::Repeat => Ok(Delivered::Moved),
    }
}

fn state(seen: &Seen) -> Result<TaskState, sqlx::Error> {
    state_of(seen.state).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// The same message id and body on one task is one message.
async fn same_message(
    connection: &mut SqliteConnection,
    key: &TaskKey,
    message: &Inbound,
) -> Result<Option<Delivered>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT n, at_seq FROM inbox WHERE tenant = ? AND task = ? AND kind = ? AND message_id = ? AND hash = ? \
         ORDER BY n LIMIT 1",
    )
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(inbox_kind::MESSAGE)
    .bind(message.message_id.as_str())
    .bind(message.hash.as_slice())
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok(Delivered::Repeated { n: small(row.try_get(0)?), at_seq: Seq::new(uint(row.try_get(1)?)) }))
        .transpose()
}

/// The one case in which a client's accept writes the log: the task waits for it, so no claim holder does.
async fn close_prompt(
    connection: &mut SqliteConnection,
    delivery: &Delivery,
    answer: &OpenAnswer,
    seen: &Seen,
    commit_id: i64,
) -> Result<Delivered, sqlx::Error> {
    let rev = seen.rev + 1;
    let fits = !answer.state.is_interrupted();
    sqlx::query(
        "UPDATE task SET state = ?, status_ms = ?, rev = ?, ver = ver + 1, open = ?, commit_id = ? \
         WHERE tenant = ? AND id = ?",
    )
    .bind(state_number(answer.state))
    .bind(delivery.at.millis())
    .bind(rev)
    .bind(i64::from(!fits))
    .bind(commit_id)
    .bind(delivery.key.tenant.as_str())
    .bind(delivery.key.task.as_str())
    .execute(&mut *connection)
    .await?;
    append(connection, &delivery.key, rev, &answer.event).await?;
    let n = if fits {
        insert(connection, delivery, rev, Taken::NotYet).await?
    } else {
        // An answer that does not fit is the host's: the agent never sees it. In the history it stands before the prompt that it
        // brought about again.
        insert(connection, delivery, seen.rev, Taken::ByTheHost(rev)).await?
    };
    if fits {
        make_ready(connection, &delivery.key, delivery.at.millis()).await?;
    }
    Ok(Delivered::Accepted { n, at_seq: Seq::new(uint(rev)) })
}

/// Appends one event.
async fn append(
    connection: &mut SqliteConnection,
    key: &TaskKey,
    seq: i64,
    event: &NewEvent,
) -> Result<(), sqlx::Error> {
    let stored = &event.stored;
    sqlx::query("INSERT INTO event (tenant, task, seq, stop, blobs, body) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .bind(seq)
        .bind(event.stop.map_or(0, state_number))
        .bind(i64::from(stored.blobs))
        .bind(stored.body.as_ref())
        .execute(&mut *connection)
        .await?;
    let uses: Vec<BlobUse<'_>> = stored.digests.iter().map(|digest| BlobUse::of_task(key, digest)).collect();
    blob::count(connection, &uses).await
}

enum Taken {
    NotYet,
    /// At this rev.
    ByTheHost(i64),
}

async fn insert(
    connection: &mut SqliteConnection,
    delivery: &Delivery,
    at_seq: i64,
    taken: Taken,
) -> Result<u32, sqlx::Error> {
    let key = &delivery.key;
    let stored = &delivery.message.stored;
    let n = next_number(connection, key).await?;
    sqlx::query(
        "INSERT INTO inbox (tenant, task, n, kind, at_seq, taken_seq, message_id, hash, blobs, body) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(n)
    .bind(inbox_kind::MESSAGE)
    .bind(at_seq)
    .bind(match taken {
        Taken::NotYet => None,
        Taken::ByTheHost(rev) => Some(rev),
    })
    .bind(delivery.message.message_id.as_str())
    .bind(delivery.message.hash.as_slice())
    .bind(i64::from(stored.blobs))
    .bind(stored.body.as_ref())
    .execute(&mut *connection)
    .await?;
    let uses: Vec<BlobUse<'_>> = stored.digests.iter().map(|digest| BlobUse::of_task(key, digest)).collect();
    blob::count(connection, &uses).await?;
    Ok(small(n))
}

async fn next_number(connection: &mut SqliteConnection, key: &TaskKey) -> Result<i64, sqlx::Error> {
    sqlx::query("SELECT coalesce(max(n), -1) + 1 FROM inbox WHERE tenant = ? AND task = ?")
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .fetch_one(connection)
        .await?
        .try_get(0)
}

/// A parked run has something to go on with; a ready or leased one finds it by itself.
async fn make_ready(connection: &mut SqliteConnection, key: &TaskKey, now_ms: i64) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE run SET state = ?, due_ms = ? WHERE tenant = ? AND task = ? AND state = ?")
        .bind(run_state::READY)
        .bind(now_ms)
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .bind(run_state::PARKED)
        .execute(connection)
        .await
        .map(drop)
}

/// Moves a run to the front, also one that is leased: it stays there when it is released or given back before it has stopped.
async fn make_first(connection: &mut SqliteConnection, key: &TaskKey) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE run SET priority = ? WHERE tenant = ? AND task = ?")
        .bind(priority::CANCEL)
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .execute(connection)
        .await
        .map(drop)
}

/// Asks a task to stop. One nobody has begun is over at once; one that runs is asked; one that is parked is woken to be asked.
pub(crate) async fn cancel(
    connection: &mut SqliteConnection,
    order: &CancelOrder,
    commit_id: i64,
) -> Result<Canceling, sqlx::Error> {
    let key = &order.key;
    let Some(seen) = see(connection, key).await? else { return Ok(Canceling::NotFound) };
    if seen.owner != order.owner.as_str() || seen.agent != order.agent.as_str() {
        return Ok(Canceling::NotFound);
    }
    let state = state(&seen)?;
    if state.is_terminal() {
        return Ok(Canceling::Terminal(state));
    }
    if run_state_of(connection, key).await? == Some(run_state::READY) && !seen.open {
        let last = LastWord { key, event: &order.event, at_ms: order.at.millis() };
        end(connection, &seen, &last, commit_id).await?;
        return Ok(Canceling::Ended);
    }
    if !cancel_waits(connection, key).await? {
        let n = next_number(connection, key).await?;
        sqlx::query(
            "INSERT INTO inbox (tenant, task, n, kind, at_seq, taken_seq, message_id, hash, blobs, body) \
             VALUES (?, ?, ?, ?, ?, NULL, '', x'', 0, ?)",
        )
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .bind(n)
        .bind(inbox_kind::CANCEL)
        .bind(seen.rev)
        .bind(order.body.as_ref())
        .execute(&mut *connection)
        .await?;
    }
    make_first(connection, key).await?;
    make_ready(connection, key, order.at.millis()).await?;
    Ok(Canceling::Asked)
}

async fn run_state_of(connection: &mut SqliteConnection, key: &TaskKey) -> Result<Option<i64>, sqlx::Error> {
    let row = sqlx::query("SELECT state FROM run WHERE tenant = ? AND task = ?")
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}

async fn cancel_waits(connection: &mut SqliteConnection, key: &TaskKey) -> Result<bool, sqlx::Error> {
    sqlx::query("SELECT 1 FROM inbox WHERE tenant = ? AND task = ? AND kind = ? LIMIT 1")
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .bind(inbox_kind::CANCEL)
        .fetch_optional(connection)
        .await
        .map(|row| row.is_some())
}

/// The CANCELED event of a task that is taken over.
pub(crate) struct LastWord<'a> {
    pub(crate) key: &'a TaskKey,
    pub(crate) event: &'a Bytes,
    pub(crate) at_ms: i64,
}

/// Takes the task over (epoch + 1) and ends it CANCELED in the same transaction.
pub(crate) async fn end(
    connection: &mut SqliteConnection,
    seen: &Seen,
    last: &LastWord<'_>,
    commit_id: i64,
) -> Result<(), sqlx::Error> {
    let key = last.key;
    sqlx::query(
        "UPDATE task SET state = ?, status_ms = ?, rev = rev + 1, ver = ver + 1, epoch = epoch + 1, open = 0, \
         commit_id = ? WHERE tenant = ? AND id = ?",
    )
    .bind(state_number(TaskState::Canceled))
    .bind(last.at_ms)
    .bind(commit_id)
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .execute(&mut *connection)
    .await?;
    let event = NewEvent { stored: Stored::plain(last.event.clone()), stop: Some(TaskState::Canceled) };
    append(connection, key, seen.rev + 1, &event).await?;
    sqlx::query("DELETE FROM run WHERE tenant = ? AND task = ?")
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .execute(connection)
        .await
        .map(drop)
}
