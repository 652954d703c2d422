//! Who works on what: claims, leases given back, and the end by force.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use kennel_protocol::{AgentId, Digest, Epoch, Seq, TaskId, TenantId, Timestamp, Ver};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

use crate::error::StoreError;
use crate::inbox;
use crate::rows::{Attempt, Claim, ClaimedRun, Committed, Position};
use crate::sql::{int, run_state, small, state_of, uint};
use crate::wake::TaskKey;
use crate::writer::{ClaimOrder, EndByForce, GiveBack, see};

/// Hands out due runs, oldest first within a priority. Every claim moves the epoch: whoever held the task before can write nothing.
pub(crate) async fn claim(
    connection: &mut SqliteConnection,
    order: &ClaimOrder,
) -> Result<Vec<ClaimedRun>, sqlx::Error> {
    let due = sqlx::query(
        "SELECT tenant, task FROM run \
         WHERE state IN (0, 2) AND priority IN (-1, 0) AND due_ms IS NOT NULL AND due_ms <= ? \
         ORDER BY priority, due_ms LIMIT ?",
    )
    .bind(order.now.millis())
    .bind(i64::from(order.limit))
    .fetch_all(&mut *connection)
    .await?;
    let mut claimed = Vec::with_capacity(due.len());
    for row in due {
        let (tenant, task): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        claimed.push(lease(connection, order, &tenant, &task).await?);
    }
    Ok(claimed)
}

/// Whether anything could be claimed now.
pub(crate) async fn has_due(readers: &SqlitePool, now: Timestamp) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "SELECT 1 FROM run WHERE state IN (0, 2) AND priority IN (-1, 0) AND due_ms IS NOT NULL AND due_ms <= ? LIMIT 1",
    )
    .bind(now.millis())
    .fetch_optional(readers)
    .await?;
    Ok(row.is_some())
}

async fn lease(
    connection: &mut SqliteConnection,
    order: &ClaimOrder,
    tenant: &str,
    task: &str,
) -> Result<ClaimedRun, sqlx::Error> {
    let run = sqlx::query(
        "UPDATE run SET state = ?, host = ?, due_ms = NULL, attempts = attempts + 1 WHERE tenant = ? AND task = ? \
         RETURNING attempts",
    )
    .bind(run_state::LEASED)
    .bind(&*order.host)
    .bind(tenant)
    .bind(task)
    .fetch_one(&mut *connection)
    .await?;
    let row = sqlx::query(
        "UPDATE task SET epoch = epoch + 1 WHERE tenant = ? AND id = ? RETURNING tenant, id, epoch, ver, rev, agent, digest",
    )
    .bind(tenant)
    .bind(task)
    .fetch_one(connection)
    .await?;
    claimed_run(&row, small(run.try_get(0)?))
}

fn claimed_run(row: &SqliteRow, attempts: u32) -> Result<ClaimedRun, sqlx::Error> {
    let key = TaskKey { tenant: id::<TenantId>(row.try_get(0)?)?, task: id::<TaskId>(row.try_get(1)?)? };
    Ok(ClaimedRun {
        claim: Claim { key, epoch: Epoch::new(uint(row.try_get(2)?)) },
        at: Position { ver: Ver::new(uint(row.try_get(3)?)), rev: Seq::new(uint(row.try_get(4)?)) },
        agent: id::<AgentId>(row.try_get(5)?)?,
        digest: digest(row.try_get(6)?)?,
        attempts,
    })
}

/// An id that this store wrote itself.
pub(crate) fn id<T: std::str::FromStr>(text: &str) -> Result<T, sqlx::Error>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// A digest that this store wrote itself.
pub(crate) fn digest(bytes: &[u8]) -> Result<Digest, sqlx::Error> {
    let bytes: [u8; 32] = bytes.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Digest::from_bytes(bytes))
}

/// Gives a lease back, if it is still held: somebody claims the run again.
pub(crate) async fn give_back(connection: &mut SqliteConnection, back: &GiveBack) -> Result<Committed, sqlx::Error> {
    let key = &back.claim.key;
    let Some(seen) = see(connection, key).await? else { return Ok(Committed::Fenced) };
    if seen.epoch != int(back.claim.epoch.get()) {
        return Ok(Committed::Fenced);
    }
    let forgiven = match back.attempt {
        Attempt::Counts => 0_i64,
        Attempt::DoesNotCount => 1,
    };
    sqlx::query(
        "UPDATE run SET state = ?, host = NULL, due_ms = ?, attempts = max(attempts - ?, 0), last_error = ? \
         WHERE tenant = ? AND task = ? AND state = ?",
    )
    .bind(run_state::READY)
    .bind(back.due.millis())
    .bind(forgiven)
    .bind(back.reason.as_str())
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(run_state::LEASED)
    .execute(connection)
    .await?;
    let at = Position { ver: Ver::new(uint(seen.ver)), rev: Seq::new(uint(seen.rev)) };
    Ok(Committed::Applied(at))
}

/// Ends a task CANCELED over the head of its activation. Only the epoch is compared: commits on their way do not save it, but a
/// completion that was committed first wins.
pub(crate) async fn end_by_force(
    connection: &mut SqliteConnection,
    end: &EndByForce,
    commit_id: i64,
) -> Result<Committed, sqlx::Error> {
    let key = &end.claim.key;
    let Some(seen) = see(connection, key).await? else { return Ok(Committed::Fenced) };
    let state = state_of(seen.state).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    if seen.epoch != int(end.claim.epoch.get()) || state.is_terminal() {
        return Ok(Committed::Fenced);
    }
    let last = inbox::LastWord { key, event: &end.event, at_ms: end.at.millis() };
    inbox::end(connection, &seen, &last, commit_id).await?;
    let at = Position { ver: Ver::new(uint(seen.ver) + 1), rev: Seq::new(uint(seen.rev) + 1) };
    Ok(Committed::Applied(at))
}

/// Leases of this host that nobody held when it last looked. A lease becomes an orphan's only at the second look: the first may have
/// come between the commit that took it and its holder's entry into the list of what is held.
#[derive(Debug, Default)]
pub(crate) struct Suspects(Mutex<HashSet<(TaskKey, Epoch)>>);

impl Suspects {
    /// The leases that nobody holds now, as nobody did at the look before.
    pub(crate) fn look(&self, leases: Vec<Claim>, held: &HashSet<TaskKey>) -> Vec<Claim> {
        let unheld: Vec<Claim> = leases.into_iter().filter(|claim| !held.contains(&claim.key)).collect();
        let now = unheld.iter().map(|claim| (claim.key.clone(), claim.epoch)).collect();
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), now);
        unheld.into_iter().filter(|claim| before.contains(&(claim.key.clone(), claim.epoch))).collect()
    }
}

/// What is leased to this host.
pub(crate) async fn leases(readers: &SqlitePool) -> Result<Vec<Claim>, StoreError> {
    let rows = sqlx::query(
        "SELECT run.tenant, run.task, task.epoch FROM run JOIN task ON task.tenant = run.tenant AND task.id = run.task \
         WHERE run.state = 1 AND run.host = ?",
    )
    .bind(crate::HOST)
    .fetch_all(readers)
    .await?;
    rows.iter()
        .map(|row| {
            let key = TaskKey { tenant: id(row.try_get(0)?)?, task: id(row.try_get(1)?)? };
            Ok(Claim { key, epoch: Epoch::new(uint(row.try_get(2)?)) })
        })
        .collect()
}

/// Runs of the former incarnation of this host: their instances are gone.
pub(crate) async fn reclaim_all(connection: &mut SqliteConnection, now_ms: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query("UPDATE run SET state = ?, host = NULL, due_ms = ? WHERE state = 1")
        .bind(run_state::READY)
        .bind(now_ms)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
