//! What clients say to tasks that exist: messages and requests to stop.
//!
//! Both decide inside the writer's transaction, so that a message is never accepted on a task that finished meanwhile.

use bytes::Bytes;
use kennel_protocol::types::TaskState;
use kennel_protocol::{Seq, TaskId};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::blob::{self, BlobUse};
use crate::child;
use crate::db::{decode, query};
use crate::rows::{CancelOrder, Canceling, Delivered, Delivery, Inbound, NewEvent, OpenAnswer, Route, Stored};
use crate::sql::{inbox_kind, int, priority, run_state, small, state_number, state_of, uint};
use crate::wake::TaskKey;
use crate::writer::{Seen, see};

/// Takes a message, or says why not.
pub(crate) fn deliver(
    connection: &Connection,
    delivery: &Delivery,
    commit_id: i64,
    told: &mut Vec<TaskKey>,
) -> Result<Delivered, rusqlite::Error> {
    let Some(seen) = see(connection, &delivery.key)? else { return Ok(Delivered::NotFound) };
    if seen.owner != delivery.owner.as_str() || seen.agent != delivery.agent.as_str() {
        return Ok(Delivered::NotFound);
    }
    if let Some(first) = same_message(connection, &delivery.key, &delivery.message)? {
        return Ok(first);
    }
    let state = state(&seen)?;
    if state.is_terminal() {
        return Ok(Delivered::Terminal(state));
    }
    match &delivery.route {
        Route::Answer(answer) if seen.open && int(answer.rev.get()) == seen.rev => {
            let delivered = close_prompt(connection, delivery, answer, &seen, commit_id)?;
            if answer.state.is_stop() {
                told.extend(child::tell(connection, &delivery.key, uint(seen.rev) + 1)?);
            }
            Ok(delivered)
        }
        Route::Queue if !seen.open => {
            let n = insert(connection, delivery, seen.rev, Taken::NotYet)?;
            wake_listener(connection, &delivery.key, delivery.at.millis())?;
            Ok(Delivered::Accepted { n, at_seq: Seq::new(uint(seen.rev)) })
        }
        Route::Repeat if !seen.open => Ok(Delivered::NotWaiting(state)),
        Route::Answer(_) | Route::Queue | Route::Repeat => Ok(Delivered::Moved),
    }
}

fn state(seen: &Seen) -> Result<TaskState, rusqlite::Error> {
    state_of(seen.state).map_err(decode)
}

/// The same message id and body on one task is one message.
fn same_message(
    connection: &Connection,
    key: &TaskKey,
    message: &Inbound,
) -> Result<Option<Delivered>, rusqlite::Error> {
    query(
        connection,
        "SELECT n, at_seq FROM inbox WHERE tenant = ? AND task = ? AND kind = ? AND message_id = ? AND hash = ? \
         ORDER BY n LIMIT 1",
    )?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(inbox_kind::MESSAGE)
    .bind(message.message_id.as_str())
    .bind(message.hash.as_slice())
    .optional(|row| Ok(Delivered::Repeated { n: small(row.get(0)?), at_seq: Seq::new(uint(row.get(1)?)) }))
}

/// The one case in which a client's accept writes the log: the task waits for it, so no claim holder does.
fn close_prompt(
    connection: &Connection,
    delivery: &Delivery,
    answer: &OpenAnswer,
    seen: &Seen,
    commit_id: i64,
) -> Result<Delivered, rusqlite::Error> {
    let rev = seen.rev + 1;
    let fits = !answer.state.is_interrupted();
    query(
        connection,
        "UPDATE task SET state = ?, status_ms = ?, rev = ?, ver = ver + 1, open = ?, commit_id = ? \
         WHERE tenant = ? AND id = ?",
    )?
    .bind(state_number(answer.state))
    .bind(delivery.at.millis())
    .bind(rev)
    .bind(i64::from(!fits))
    .bind(commit_id)
    .bind(delivery.key.tenant.as_str())
    .bind(delivery.key.task.as_str())
    .execute()?;
    append(connection, &delivery.key, rev, &answer.event)?;
    let n = if fits {
        insert(connection, delivery, rev, Taken::NotYet)?
    } else {
        // An answer that does not fit is the host's: the agent never sees it. In the history it stands before the prompt that it
        // brought about again.
        insert(connection, delivery, seen.rev, Taken::ByTheHost(rev))?
    };
    if fits {
        make_ready(connection, &delivery.key, delivery.at.millis())?;
    }
    Ok(Delivered::Accepted { n, at_seq: Seq::new(uint(rev)) })
}

/// Appends one event.
fn append(connection: &Connection, key: &TaskKey, seq: i64, event: &NewEvent) -> Result<(), rusqlite::Error> {
    let stored = &event.stored;
    query(connection, "INSERT INTO event (tenant, task, seq, stop, blobs, body) VALUES (?, ?, ?, ?, ?, ?)")?
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .bind(seq)
        .bind(event.stop.map_or(0, state_number))
        .bind(i64::from(stored.blobs))
        .bind(stored.body.as_ref())
        .execute()?;
    let uses: Vec<BlobUse<'_>> = stored.digests.iter().map(|digest| BlobUse::of_task(key, digest)).collect();
    blob::count(connection, &uses)
}

#[derive(Clone, Copy)]
enum Taken {
    NotYet,
    /// At this rev.
    ByTheHost(i64),
}

fn insert(connection: &Connection, delivery: &Delivery, at_seq: i64, taken: Taken) -> Result<u32, rusqlite::Error> {
    let key = &delivery.key;
    let stored = &delivery.message.stored;
    let n = next_number(connection, key)?;
    query(
        connection,
        "INSERT INTO inbox (tenant, task, n, kind, at_seq, taken_seq, message_id, hash, blobs, body) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
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
    .execute()?;
    let uses: Vec<BlobUse<'_>> = stored.digests.iter().map(|digest| BlobUse::of_task(key, digest)).collect();
    blob::count(connection, &uses)?;
    Ok(small(n))
}

fn next_number(connection: &Connection, key: &TaskKey) -> Result<i64, rusqlite::Error> {
    query(connection, "SELECT coalesce(max(n), -1) + 1 FROM inbox WHERE tenant = ? AND task = ?")?
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .one(|row| row.get(0))
}

/// A parked run has something to go on with; a ready or leased one finds it by itself.
pub(crate) fn make_ready(connection: &Connection, key: &TaskKey, now_ms: i64) -> Result<(), rusqlite::Error> {
    query(connection, "UPDATE run SET state = ?, due_ms = ? WHERE tenant = ? AND task = ? AND state = ?")?
        .bind(run_state::READY)
        .bind(now_ms)
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .bind(run_state::PARKED)
        .execute()
        .map(drop)
}

/// As [`make_ready`], of a run whose agent waits for a message.
fn wake_listener(connection: &Connection, key: &TaskKey, now_ms: i64) -> Result<(), rusqlite::Error> {
    query(
        connection,
        "UPDATE run SET state = ?, due_ms = ? WHERE tenant = ? AND task = ? AND state = ? AND listens IN (1, 3)",
    )?
    .bind(run_state::READY)
    .bind(now_ms)
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(run_state::PARKED)
    .execute()
    .map(drop)
}

/// That a child has come to a stop: the body of its row in the parent's inbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildStop {
    /// The child.
    pub task: TaskId,
    /// Where its log stopped.
    pub seq: Seq,
}

/// Tells a parent that a child has come to a stop.
pub(crate) fn put_stop(
    connection: &Connection,
    parent: &TaskKey,
    rev: i64,
    stop: &ChildStop,
) -> Result<(), rusqlite::Error> {
    let body = serde_json::to_vec(stop).map_err(decode)?;
    put(connection, parent, rev, inbox_kind::CHILD, &body)
}

/// Puts a row of the host's own into an inbox: what is no client's message.
fn put(connection: &Connection, key: &TaskKey, rev: i64, kind: i64, body: &[u8]) -> Result<(), rusqlite::Error> {
    let n = next_number(connection, key)?;
    query(
        connection,
        "INSERT INTO inbox (tenant, task, n, kind, at_seq, taken_seq, message_id, hash, blobs, body) \
         VALUES (?, ?, ?, ?, ?, NULL, '', x'', 0, ?)",
    )?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(n)
    .bind(kind)
    .bind(rev)
    .bind(body)
    .execute()
    .map(drop)
}

/// Moves a run to the front, also one that is leased: it stays there when it is released or given back before it has stopped. One
/// that was given back until later is not waited for.
fn make_first(connection: &Connection, key: &TaskKey, now_ms: i64) -> Result<(), rusqlite::Error> {
    query(
        connection,
        "UPDATE run SET priority = ?, due_ms = CASE state WHEN ? THEN min(due_ms, ?) ELSE due_ms END \
         WHERE tenant = ? AND task = ?",
    )?
    .bind(priority::CANCEL)
    .bind(run_state::READY)
    .bind(now_ms)
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .execute()
    .map(drop)
}

/// Asks a task to stop. One whose agent has done nothing yet is over at once; one that runs is asked; one that is parked, or was
/// interrupted by a restart, is woken to be asked: its agent may have something to undo.
pub(crate) fn cancel(
    connection: &Connection,
    order: &CancelOrder,
    commit_id: i64,
    told: &mut Vec<TaskKey>,
) -> Result<Canceling, rusqlite::Error> {
    let key = &order.key;
    let Some(seen) = see(connection, key)? else { return Ok(Canceling::NotFound) };
    if seen.owner != order.owner.as_str() || seen.agent != order.agent.as_str() {
        return Ok(Canceling::NotFound);
    }
    let state = state(&seen)?;
    if state.is_terminal() {
        return Ok(Canceling::Terminal(state));
    }
    if run_state_of(connection, key)? == Some(run_state::READY) && seen.ver == 1 {
        let last = LastWord { key, event: &order.event, at_ms: order.at.millis() };
        told.extend(end(connection, &seen, &last, commit_id)?);
        return Ok(Canceling::Ended);
    }
    if !cancel_waits(connection, key)? {
        put(connection, key, seen.rev, inbox_kind::CANCEL, &order.body)?;
    }
    make_first(connection, key, order.at.millis())?;
    make_ready(connection, key, order.at.millis())?;
    Ok(Canceling::Asked)
}

fn run_state_of(connection: &Connection, key: &TaskKey) -> Result<Option<i64>, rusqlite::Error> {
    query(connection, "SELECT state FROM run WHERE tenant = ? AND task = ?")?
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .optional(|row| row.get(0))
}

fn cancel_waits(connection: &Connection, key: &TaskKey) -> Result<bool, rusqlite::Error> {
    query(connection, "SELECT 1 FROM inbox WHERE tenant = ? AND task = ? AND kind = ? LIMIT 1")?
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .bind(inbox_kind::CANCEL)
        .exists()
}

/// The CANCELED event of a task that is taken over.
pub(crate) struct LastWord<'a> {
    pub(crate) key: &'a TaskKey,
    pub(crate) event: &'a Bytes,
    pub(crate) at_ms: i64,
}

/// Takes the task over (epoch + 1) and ends it CANCELED in the same transaction. Returns the parent that was told, if it has one.
pub(crate) fn end(
    connection: &Connection,
    seen: &Seen,
    last: &LastWord<'_>,
    commit_id: i64,
) -> Result<Option<TaskKey>, rusqlite::Error> {
    let key = last.key;
    query(
        connection,
        "UPDATE task SET state = ?, status_ms = ?, rev = rev + 1, ver = ver + 1, epoch = epoch + 1, open = 0, \
         commit_id = ? WHERE tenant = ? AND id = ?",
    )?
    .bind(state_number(TaskState::Canceled))
    .bind(last.at_ms)
    .bind(commit_id)
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .execute()?;
    let event = NewEvent { stored: Stored::plain(last.event.clone()), stop: Some(TaskState::Canceled) };
    append(connection, key, seen.rev + 1, &event)?;
    query(connection, "DELETE FROM run WHERE tenant = ? AND task = ?")?
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .execute()?;
    child::tell(connection, key, uint(seen.rev) + 1)
}
