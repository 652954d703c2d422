//! Who works on what: claims, leases given back, and the end by force.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use kennel_protocol::{AgentId, Digest, Epoch, Seq, TaskId, TenantId, Timestamp, Ver};
use rusqlite::{Connection, Row};

use crate::db::{bytes, decode, query, text};
use crate::error::StoreError;
use crate::inbox;
use crate::rows::{Attempt, Claim, Claimable, ClaimedRun, Committed, Position};
use crate::sql::{int, run_state, small, state_of, uint};
use crate::wake::TaskKey;
use crate::writer::{ClaimOrder, EndByForce, GiveBack, see};

/// Due runs of both kinds, claimed and looked for. A run is a suspect from its second try without progress on: it may be what ended the
/// host. The sound ones go oldest first within a priority, the suspects least suspected first: when hosts end for a reason that is no
/// agent's, no single task is blamed for all of them.
const SOUND: &str = "SELECT tenant, task FROM run \
                     WHERE state IN (0, 2) AND priority IN (-1, 0) AND due_ms IS NOT NULL AND due_ms <= ? AND attempts < 2 \
                     ORDER BY priority, due_ms LIMIT ?";
const SUSPECTS: &str = "SELECT tenant, task FROM run INDEXED BY run_suspect \
                        WHERE attempts >= 2 AND state IN (0, 2) AND due_ms IS NOT NULL AND due_ms <= ? \
                        ORDER BY attempts, priority, due_ms LIMIT ?";

/// For the tests of statements.
#[cfg(test)]
pub(crate) const DUE: &[&str] = &[SOUND, SUSPECTS];

/// The statement for one kind.
fn due(of: Claimable) -> &'static str {
    match of {
        Claimable::Sound => SOUND,
        Claimable::Suspect => SUSPECTS,
    }
}

/// Hands out due runs, either suspects or the others. Every claim moves the epoch: whoever held the
/// task before can write nothing.
pub(crate) fn claim(connection: &Connection, order: &ClaimOrder) -> Result<Vec<ClaimedRun>, rusqlite::Error> {
    let due = query(connection, due(order.of))?
        .bind(order.now.millis())
        .bind(i64::from(order.limit))
        .all(|row| Ok::<(String, String), rusqlite::Error>((row.get(0)?, row.get(1)?)))?;
    due.iter().map(|(tenant, task)| lease(connection, order, tenant, task)).collect()
}

/// Whether any run of a kind could be claimed now.
pub(crate) fn has_due(connection: &Connection, of: Claimable, now: Timestamp) -> Result<bool, StoreError> {
    Ok(query(connection, due(of))?.bind(now.millis()).bind(1_i64).exists()?)
}

fn lease(connection: &Connection, order: &ClaimOrder, tenant: &str, task: &str) -> Result<ClaimedRun, rusqlite::Error> {
    let attempts = query(
        connection,
        "UPDATE run SET state = ?, host = ?, due_ms = NULL, attempts = attempts + 1 WHERE tenant = ? AND task = ? \
         RETURNING attempts",
    )?
    .bind(run_state::LEASED)
    .bind(&*order.host)
    .bind(tenant)
    .bind(task)
    .one(|row| Ok(small(row.get(0)?)))?;
    query(connection, "UPDATE task SET epoch = epoch + 1 WHERE tenant = ? AND id = ? RETURNING tenant, id, epoch, ver, rev, agent, digest")?
    .bind(tenant)
    .bind(task)
    .one(|row| claimed_run(row, attempts))
}

fn claimed_run(row: &Row<'_>, attempts: u32) -> Result<ClaimedRun, rusqlite::Error> {
    let key = TaskKey { tenant: id::<TenantId>(text(row, 0)?)?, task: id::<TaskId>(text(row, 1)?)? };
    Ok(ClaimedRun {
        claim: Claim { key, epoch: Epoch::new(uint(row.get(2)?)) },
        at: Position { ver: Ver::new(uint(row.get(3)?)), rev: Seq::new(uint(row.get(4)?)) },
        agent: id::<AgentId>(text(row, 5)?)?,
        digest: digest(bytes(row, 6)?)?,
        attempts,
    })
}

/// An id that this store wrote itself.
pub(crate) fn id<T: std::str::FromStr>(text: &str) -> Result<T, rusqlite::Error>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(decode)
}

/// A digest that this store wrote itself.
pub(crate) fn digest(bytes: &[u8]) -> Result<Digest, rusqlite::Error> {
    let bytes: [u8; 32] = bytes.try_into().map_err(decode)?;
    Ok(Digest::from_bytes(bytes))
}

/// Gives a lease back, if it is still held: somebody claims the run again.
pub(crate) fn give_back(connection: &Connection, back: &GiveBack) -> Result<Committed, rusqlite::Error> {
    let key = &back.claim.key;
    let Some(seen) = see(connection, key)? else { return Ok(Committed::Fenced) };
    if seen.epoch != int(back.claim.epoch.get()) {
        return Ok(Committed::Fenced);
    }
    let forgiven = match back.attempt {
        Attempt::Counts => 0_i64,
        Attempt::DoesNotCount => 1,
    };
    query(
        connection,
        "UPDATE run SET state = ?, host = NULL, due_ms = ?, attempts = max(attempts - ?, 0), last_error = ? \
         WHERE tenant = ? AND task = ? AND state = ?",
    )?
    .bind(run_state::READY)
    .bind(back.due.millis())
    .bind(forgiven)
    .bind(back.reason.as_str())
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(run_state::LEASED)
    .execute()?;
    let at = Position { ver: Ver::new(uint(seen.ver)), rev: Seq::new(uint(seen.rev)) };
    Ok(Committed::Applied(at))
}

/// Ends a task CANCELED over the head of its activation. Only the epoch is compared: commits on their way do not save it, but a
/// completion that was committed first wins.
pub(crate) fn end_by_force(
    connection: &Connection,
    end: &EndByForce,
    commit_id: i64,
    told: &mut Vec<TaskKey>,
) -> Result<Committed, rusqlite::Error> {
    let key = &end.claim.key;
    let Some(seen) = see(connection, key)? else { return Ok(Committed::Fenced) };
    let state = state_of(seen.state).map_err(decode)?;
    if seen.epoch != int(end.claim.epoch.get()) || state.is_terminal() {
        return Ok(Committed::Fenced);
    }
    let last = inbox::LastWord { key, event: &end.event, at_ms: end.at.millis() };
    told.extend(inbox::end(connection, &seen, &last, commit_id)?);
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
pub(crate) fn leases(connection: &Connection) -> Result<Vec<Claim>, StoreError> {
    query(
        connection,
        "SELECT run.tenant, run.task, task.epoch FROM run JOIN task ON task.tenant = run.tenant AND task.id = run.task \
         WHERE run.state = 1 AND run.host = ?",
    )?
    .bind(crate::HOST)
    .all(|row| {
        let key = TaskKey { tenant: id(text(row, 0)?)?, task: id(text(row, 1)?)? };
        Ok(Claim { key, epoch: Epoch::new(uint(row.get(2)?)) })
    })
}

/// Runs of the former incarnation of this host: their instances are gone.
pub(crate) fn reclaim_all(connection: &Connection, now_ms: i64) -> Result<usize, rusqlite::Error> {
    query(connection, "UPDATE run SET state = ?, host = NULL, due_ms = ? WHERE state = 1")?
        .bind(run_state::READY)
        .bind(now_ms)
        .execute()
}
