//! One group, one transaction: the accepts and commits by set-statements, the rest one by one, then COMMIT.
//!
//! A group whose data SQLite refuses is halved until the faulty entry stands alone. A COMMIT that failed without saying
//! whether it took is looked up by its commit ids: the group is one transaction, so one row tells for all.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::{CommitOp, Entry, Op, Outcome, Writer};
use crate::error::{StoreError, is_data_fault};
use crate::rows::{Canceling, Committed, Delivered, NewTask, Route};
use crate::{accept, blob, claims, commit, inbox, registry};

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
    Statement(sqlx::Error),
    /// At COMMIT, and it did not take.
    NotCommitted(sqlx::Error),
}

/// Writes the entries and returns their outcomes in the same order.
pub(super) async fn write(writer: &mut Writer, entries: &[Entry]) -> Vec<Result<Outcome, StoreError>> {
    let mut outcomes = Vec::with_capacity(entries.len());
    // Parts still to be written, the leftmost on top, so that outcomes come in order.
    let mut parts = vec![entries];
    while let Some(part) = parts.pop() {
        match attempt(writer, part).await {
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

async fn attempt(writer: &mut Writer, entries: &[Entry]) -> Result<Vec<Outcome>, Fault> {
    #[cfg(test)]
    writer.faults.transactions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    sqlx::query("BEGIN IMMEDIATE").execute(&mut writer.connection).await.map_err(Fault::Statement)?;
    match apply(&mut writer.connection, entries).await {
        Ok(outcomes) => finish(writer, entries, outcomes).await,
        Err(error) => {
            roll_back(&mut writer.connection).await;
            Err(Fault::Statement(error))
        }
    }
}

async fn finish(writer: &mut Writer, entries: &[Entry], outcomes: Vec<Outcome>) -> Result<Vec<Outcome>, Fault> {
    let Err(error) = commit_transaction(writer).await else { return Ok(outcomes) };
    roll_back(&mut writer.connection).await;
    match took(&mut writer.connection, entries, &outcomes).await {
        Ok(true) => {
            tracing::warn!(%error, "a COMMIT reported an error but took");
            Ok(outcomes)
        }
        Ok(false) | Err(_) => Err(Fault::NotCommitted(error)),
    }
}

async fn commit_transaction(writer: &mut Writer) -> Result<(), sqlx::Error> {
    #[cfg(test)]
    {
        use std::sync::atomic::Ordering;
        if writer.faults.fail_commit.swap(false, Ordering::Relaxed) {
            return Err(sqlx::Error::WorkerCrashed);
        }
        if writer.faults.lose_commit_answer.swap(false, Ordering::Relaxed) {
            sqlx::query("COMMIT").execute(&mut writer.connection).await?;
            return Err(sqlx::Error::WorkerCrashed);
        }
    }
    sqlx::query("COMMIT").execute(&mut writer.connection).await.map(drop)
}

/// After a COMMIT that took, or a failed one that SQLite has rolled back itself, there is nothing to roll back.
async fn roll_back(connection: &mut SqliteConnection) {
    sqlx::query("ROLLBACK").execute(connection).await.ok();
}

/// Whether the group's transaction took: any entry that stamped its commit id on a task row can tell. A group without one is
/// answered as not written; each of its entries may be handed in again (a message is recognised, a request to stop stands once, a
/// lease is found without a holder).
async fn took(connection: &mut SqliteConnection, entries: &[Entry], outcomes: &[Outcome]) -> Result<bool, sqlx::Error> {
    for (entry, outcome) in entries.iter().zip(outcomes) {
        let (true, Some(key)) = (is_stamped(&entry.op, outcome), entry.op.key()) else { continue };
        let row = sqlx::query("SELECT 1 FROM task WHERE tenant = ? AND id = ? AND commit_id = ?")
            .bind(key.tenant.as_str())
            .bind(key.task.as_str())
            .bind(entry.commit_id)
            .fetch_optional(connection)
            .await?;
        return Ok(row.is_some());
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
        | Outcome::Written => false,
    }
}

/// All statements of a group.
async fn apply(connection: &mut SqliteConnection, entries: &[Entry]) -> Result<Vec<Outcome>, sqlx::Error> {
    let creates: Vec<(&NewTask, i64)> = entries
        .iter()
        .filter_map(|entry| match &entry.op {
            Op::Create(new) => Some((&**new, entry.commit_id)),
            _ => None,
        })
        .collect();
    accept::create(connection, &creates).await?;
    let commits: Vec<(&CommitOp, i64)> = entries
        .iter()
        .filter_map(|entry| match &entry.op {
            Op::Commit(op) => Some((&**op, entry.commit_id)),
            _ => None,
        })
        .collect();
    let mut committed = commit::commit(connection, &commits).await?.into_iter();
    let mut outcomes = Vec::with_capacity(entries.len());
    for entry in entries {
        outcomes.push(match &entry.op {
            Op::Create(_) => Outcome::Created,
            Op::Commit(_) => {
                // One outcome a commit, in the same order.
                Outcome::Committed(committed.next().unwrap_or(Committed::Fenced))
            }
            other => apply_one(connection, other, entry.commit_id).await?,
        });
    }
    Ok(outcomes)
}

/// What is too rare, or looks too much before it writes, for a set-statement.
async fn apply_one(connection: &mut SqliteConnection, op: &Op, commit_id: i64) -> Result<Outcome, sqlx::Error> {
    Ok(match op {
        Op::Create(_) | Op::Commit(_) => Outcome::Written,
        Op::Deliver(delivery) => Outcome::Delivered(inbox::deliver(connection, delivery, commit_id).await?),
        Op::Cancel(order) => Outcome::Canceling(inbox::cancel(connection, order, commit_id).await?),
        Op::EndByForce(end) => Outcome::EndedByForce(claims::end_by_force(connection, end, commit_id).await?),
        Op::Claim(order) => Outcome::Claimed(claims::claim(connection, order).await?),
        Op::GiveBack(back) => Outcome::GivenBack(claims::give_back(connection, back).await?),
        Op::Blob(chunk) => {
            blob::write(connection, chunk).await?;
            Outcome::Written
        }
        Op::SetAgent(set) => {
            registry::set(connection, set).await?;
            Outcome::Written
        }
        Op::RemoveAgent(tenant, name) => {
            registry::remove(connection, tenant, name).await?;
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
pub(crate) async fn see(
    connection: &mut SqliteConnection,
    key: &crate::wake::TaskKey,
) -> Result<Option<Seen>, sqlx::Error> {
    let row = sqlx::query("SELECT state, rev, ver, epoch, open, owner, agent FROM task WHERE tenant = ? AND id = ?")
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        Ok(Seen {
            state: row.try_get(0)?,
            rev: row.try_get(1)?,
            ver: row.try_get(2)?,
            epoch: row.try_get(3)?,
            open: row.try_get::<i64, _>(4)? != 0,
            owner: row.try_get(5)?,
            agent: row.try_get(6)?,
        })
    })
    .transpose()
}
