//! One group, one transaction: the accepts and commits by set-statements, the rest one by one, then COMMIT.
//!
//! A group whose data SQLite refuses is halved until the faulty entry stands alone. A COMMIT that failed without saying
//! whether it took is looked up by its commit ids: the group is one transaction, so one row tells for all.

use rusqlite::Connection;

use super::{CommitOp, Entry, Op, Outcome, Writer};
use crate::db::query;
use crate::error::{StoreError, is_data_fault};
use crate::rows::{Canceling, Committed, Delivered, NewTask, Route};
use crate::wake::TaskKey;
use crate::{accept, blob, claims, commit, inbox, kv, registry};

/// Faults that tests ask for.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The next COMMIT takes, but reports a failure.
    pub(crate) lose_commit_answer: std::sync::atomic::AtomicBool,
    /// The next COMMIT does not take and reports a failure.
    pub(crate) fail_commit: std::sync::atomic::AtomicBool,
    /// Transactions begun.
    pub(crate) transactions: std::sync::atomic::AtomicU32,
}

/// Where an attempt failed.
enum Fault {
    /// Before COMMIT: nothing is written.
    Statement(rusqlite::Error),
    /// At COMMIT, and it did not take.
    NotCommitted(rusqlite::Error),
}

/// Writes the entries and returns their outcomes in the same order.
pub(super) fn write(writer: &mut Writer, entries: &[Entry]) -> Vec<Result<Outcome, StoreError>> {
    let mut outcomes = Vec::with_capacity(entries.len());
    // Parts still to be written, the leftmost on top, so that outcomes come in order.
    let mut parts = vec![entries];
    while let Some(part) = parts.pop() {
        match attempt(writer, part) {
            Ok(done) => outcomes.extend(done.into_iter().map(Ok)),
            Err(Fault::Statement(error)) if is_data_fault(&error) && part.len() > 1 => {
                let (left, right) = part.split_at(part.len() / 2);
                parts.push(right);
                parts.push(left);
            }
            Err(Fault::Statement(error) | Fault::NotCommitted(error)) => {
                tracing::error!(error = %error, entries = part.len(), "a group was not written");
                let error = StoreError::from(error);
                outcomes.extend(part.iter().map(|_| Err(error.clone())));
            }
        }
    }
    outcomes
}

fn attempt(writer: &mut Writer, entries: &[Entry]) -> Result<Vec<Outcome>, Fault> {
    #[cfg(test)]
    writer.faults.transactions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    run(&writer.connection, "BEGIN IMMEDIATE").map_err(Fault::Statement)?;
    let mut told = Vec::new();
    match apply(&writer.connection, entries, &mut told) {
        Ok(outcomes) => {
            let outcomes = finish(writer, entries, outcomes)?;
            writer.told.append(&mut told);
            Ok(outcomes)
        }
        Err(error) => {
            roll_back(&writer.connection);
            Err(Fault::Statement(error))
        }
    }
}

fn finish(writer: &mut Writer, entries: &[Entry], outcomes: Vec<Outcome>) -> Result<Vec<Outcome>, Fault> {
    writer.crashing.before(entries);
    let Err(error) = commit_transaction(writer) else {
        writer.crashing.after();
        return Ok(outcomes);
    };
    roll_back(&writer.connection);
    match took(&writer.connection, entries, &outcomes) {
        Ok(true) => {
            tracing::warn!(%error, "a COMMIT reported an error but took");
            Ok(outcomes)
        }
        Ok(false) | Err(_) => Err(Fault::NotCommitted(error)),
    }
}

fn commit_transaction(writer: &mut Writer) -> Result<(), rusqlite::Error> {
    #[cfg(test)]
    {
        use std::sync::atomic::Ordering;
        if writer.faults.fail_commit.swap(false, Ordering::Relaxed) {
            return Err(lost());
        }
        if writer.faults.lose_commit_answer.swap(false, Ordering::Relaxed) {
            run(&writer.connection, "COMMIT")?;
            return Err(lost());
        }
    }
    run(&writer.connection, "COMMIT")
}

fn run(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    query(connection, sql)?.execute().map(drop)
}

/// What a test sees for a COMMIT whose answer is lost.
#[cfg(test)]
fn lost() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
    rusqlite::Error::SqliteFailure(code, Some("the answer was lost".to_owned()))
}

/// After a COMMIT that took, or a failed one that SQLite has rolled back itself, there is nothing to roll back.
fn roll_back(connection: &Connection) {
    run(connection, "ROLLBACK").ok();
}

/// Whether the group's transaction took: an entry that stamped its commit id on a task row can tell, the last because a first commit
/// stamps over the accept before it. A group without one is
/// answered as not written; each of its entries may be handed in again (a message is recognised, a request to stop stands once, a
/// lease is found without a holder).
fn took(connection: &Connection, entries: &[Entry], outcomes: &[Outcome]) -> Result<bool, rusqlite::Error> {
    for (entry, outcome) in entries.iter().zip(outcomes).rev() {
        let (true, Some(key)) = (is_stamped(&entry.op, outcome), entry.op.key()) else { continue };
        return query(connection, "SELECT 1 FROM task WHERE tenant = ? AND id = ? AND commit_id = ?")?
            .bind(key.tenant.as_str())
            .bind(key.task.as_str())
            .bind(entry.commit_id)
            .exists();
    }
    Ok(false)
}

/// Whether an entry left its commit id on its task.
fn is_stamped(op: &Op, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Created
        | Outcome::Committed(Committed::Applied(_))
        | Outcome::EndedByForce(Committed::Applied(_))
        | Outcome::Canceling(Canceling::Ended) => true,
        Outcome::Delivered(Delivered::Accepted { .. }) => {
            matches!(op, Op::Deliver(delivery) if matches!(delivery.route, Route::Answer(_)))
        }
        Outcome::Committed(_)
        | Outcome::EndedByForce(_)
        | Outcome::Canceling(_)
        | Outcome::Delivered(_)
        | Outcome::Claimed(_)
        | Outcome::GivenBack(_)
        | Outcome::Woken
        | Outcome::Changed(_)
        | Outcome::Written => false,
    }
}

/// All statements of a group.
fn apply(connection: &Connection, entries: &[Entry], told: &mut Vec<TaskKey>) -> Result<Vec<Outcome>, rusqlite::Error> {
    let creates: Vec<(&NewTask, i64)> = entries
        .iter()
        .filter_map(|entry| match &entry.op {
            Op::Create(new) => Some((&**new, entry.commit_id)),
            _ => None,
        })
        .collect();
    accept::create(connection, &creates)?;
    let commits: Vec<(&CommitOp, i64)> = entries
        .iter()
        .filter_map(|entry| match &entry.op {
            Op::Commit(op) => Some((&**op, entry.commit_id)),
            _ => None,
        })
        .collect();
    let mut committed = commit::commit(connection, &commits, told)?.into_iter();
    let mut outcomes = Vec::with_capacity(entries.len());
    for entry in entries {
        outcomes.push(match &entry.op {
            Op::Create(_) => Outcome::Created,
            Op::Commit(_) => {
                // One outcome a commit, in the same order.
                Outcome::Committed(committed.next().unwrap_or(Committed::Fenced))
            }
            other => apply_one(connection, other, entry.commit_id, told)?,
        });
    }
    Ok(outcomes)
}

/// What is too rare, or looks too much before it writes, for a set-statement.
fn apply_one(
    connection: &Connection,
    op: &Op,
    commit_id: i64,
    told: &mut Vec<TaskKey>,
) -> Result<Outcome, rusqlite::Error> {
    Ok(match op {
        Op::Create(_) | Op::Commit(_) | Op::Late(_) | Op::Close => Outcome::Written,
        Op::Again(again) => {
            accept::again(connection, again, commit_id)?;
            Outcome::Created
        }
        Op::Deliver(delivery) => Outcome::Delivered(inbox::deliver(connection, delivery, commit_id, told)?),
        Op::Cancel(order) => Outcome::Canceling(inbox::cancel(connection, order, commit_id, told)?),
        Op::EndByForce(end) => Outcome::EndedByForce(claims::end_by_force(connection, end, commit_id, told)?),
        Op::Claim(order) => Outcome::Claimed(claims::claim(connection, order)?),
        Op::GiveBack(back) => Outcome::GivenBack(claims::give_back(connection, back)?),
        Op::Wake(wake) => {
            inbox::make_ready(connection, &wake.key, wake.at.millis())?;
            Outcome::Woken
        }
        Op::Blob(chunk) => {
            blob::write(connection, chunk)?;
            Outcome::Written
        }
        Op::Kv(change) => Outcome::Changed(kv::change(connection, change)?),
        Op::SetAgent(set) => {
            registry::set(connection, set)?;
            Outcome::Written
        }
        Op::RemoveAgent(tenant, name) => {
            registry::remove(connection, tenant, name)?;
            Outcome::Written
        }
    })
}

/// A task row as the writer sees it before it decides.
pub(crate) struct Seen {
    pub(crate) state: i64,
    pub(crate) rev: i64,
    pub(crate) ver: i64,
    pub(crate) epoch: i64,
    pub(crate) open: bool,
    pub(crate) owner: String,
    pub(crate) agent: String,
}

/// Reads a task row inside the writer's transaction.
pub(crate) fn see(connection: &Connection, key: &crate::wake::TaskKey) -> Result<Option<Seen>, rusqlite::Error> {
    query(connection, "SELECT state, rev, ver, epoch, open, owner, agent FROM task WHERE tenant = ? AND id = ?")?
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .optional(|row| {
            Ok(Seen {
                state: row.get(0)?,
                rev: row.get(1)?,
                ver: row.get(2)?,
                epoch: row.get(3)?,
                open: row.get::<_, i64>(4)? != 0,
                owner: row.get(5)?,
                agent: row.get(6)?,
            })
        })
}
