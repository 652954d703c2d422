//! The one write path of a claim holder: guard, events, journal, values, body, inbox, run.
//!
//! The guard is the first statement: only where epoch and ver are as the writer believes does anything else happen.
//! A commit updates rows of its own task only, besides the durable values that its agent changes.

use std::collections::HashSet;

use kennel_protocol::{Epoch, Seq, TenantId, Timestamp, Ver};
use rusqlite::Connection;

use crate::blob::{self, BlobUse};
use crate::db::query;
use crate::kv::KvWrite;
use crate::rows::{Committed, Position, RunChange, Stored, Wait};
use crate::sql::{SetStatement, int, run_state, state_number, uint};
use crate::wake::TaskKey;
use crate::writer::CommitOp;
use crate::{child, journal, kv};

const GUARD: SetStatement = SetStatement {
    head: "WITH v (tenant, id, epoch, ver, state, status_ms, rev, open, calls, commit_id) AS (VALUES ",
    columns: 10,
    tail: ") UPDATE task SET state = v.state, status_ms = v.status_ms, rev = v.rev, ver = task.ver + 1, open = v.open, \
           calls = v.calls, commit_id = v.commit_id FROM v WHERE task.tenant = v.tenant AND task.id = v.id AND task.epoch = v.epoch \
           AND task.ver = v.ver RETURNING commit_id",
};

/// Events of a log; the first one of each is written by its accept.
pub(crate) const EVENT: SetStatement =
    SetStatement { head: "INSERT INTO event (tenant, task, seq, stop, blobs, body) VALUES ", columns: 6, tail: "" };

const BODY: SetStatement = SetStatement {
    head: "INSERT INTO body (tenant, task, seq, blobs, body) VALUES ",
    columns: 5,
    tail: " ON CONFLICT (tenant, task) DO UPDATE SET seq = excluded.seq, blobs = excluded.blobs, body = excluded.body",
};

const TAKEN: SetStatement = SetStatement {
    head: "WITH v (tenant, task, n, seq) AS (VALUES ",
    columns: 4,
    tail: ") UPDATE inbox SET taken_seq = v.seq FROM v \
           WHERE inbox.tenant = v.tenant AND inbox.task = v.task AND inbox.n = v.n",
};

const FINISH: SetStatement =
    SetStatement { head: "DELETE FROM run WHERE (tenant, task) IN (VALUES ", columns: 2, tail: ")" };

/// For the test that prepares every statement.
#[cfg(test)]
pub(crate) const SETS: &[&SetStatement] = &[&GUARD, &EVENT, &BODY, &TAKEN, &FINISH];

/// A commit with what the statements need at hand.
pub(crate) struct Planned<'a> {
    pub(crate) op: &'a CommitOp,
    commit_id: i64,
    /// The rev after it.
    rev: u64,
}

impl Planned<'_> {
    pub(crate) fn key(&self) -> &TaskKey {
        &self.op.claim.key
    }

    /// Its changes of durable values.
    fn writes(&self) -> impl Iterator<Item = (&TenantId, &KvWrite)> {
        self.op.commit.kv.iter().map(|write| (&self.key().tenant, write))
    }

    /// The last of its events that is a stop.
    fn last_stop(&self) -> Option<u64> {
        let first = self.op.commit.at.rev.get() + 1;
        let stops = self.op.commit.events.iter().zip(first..).filter(|(event, _)| event.stop.is_some());
        stops.map(|(_, seq)| seq).last()
    }

    fn applied(&self) -> Committed {
        let ver = Ver::new(self.op.commit.at.ver.get() + 1);
        Committed::Applied(Position { ver, rev: Seq::new(self.rev) })
    }
}

/// Applies the commits whose guard holds; one outcome each, in order. `told`: tasks whose children came to a stop.
pub(crate) fn commit(
    connection: &Connection,
    commits: &[(&CommitOp, i64)],
    told: &mut Vec<TaskKey>,
) -> Result<Vec<Committed>, rusqlite::Error> {
    let planned: Vec<Planned<'_>> = commits
        .iter()
        .map(|(op, commit_id)| Planned {
            op,
            commit_id: *commit_id,
            rev: op.commit.at.rev.get() + op.commit.events.len() as u64,
        })
        .collect();
    let held = hold(connection, &planned)?;
    let applied: Vec<&Planned<'_>> = planned.iter().filter(|plan| held.contains(&plan.commit_id)).collect();
    write_log(connection, &applied)?;
    journal::write(connection, &applied)?;
    write_run(connection, &applied)?;
    for plan in &applied {
        if let Some(seq) = plan.last_stop() {
            told.extend(child::tell(connection, plan.key(), seq)?);
        }
    }
    let mut outcomes = Vec::with_capacity(planned.len());
    for plan in &planned {
        outcomes.push(if held.contains(&plan.commit_id) { plan.applied() } else { why_not(connection, plan)? });
    }
    Ok(outcomes)
}

/// Moves the task rows whose guard holds, changes durable values, and returns the commit ids of those that held.
///
/// A commit that expects something of a value comes after those that do not, by itself: each sees what the ones before it wrote.
fn hold(connection: &Connection, planned: &[Planned<'_>]) -> Result<HashSet<i64>, rusqlite::Error> {
    let (expecting, plain): (Vec<&Planned<'_>>, Vec<_>) =
        planned.iter().partition(|plan| plan.op.commit.kv_expect.is_some());
    let mut held = guard(connection, &plain)?;
    let of_held = plain.iter().filter(|plan| held.contains(&plan.commit_id));
    kv::write(connection, &of_held.flat_map(|plan| plan.writes()).collect::<Vec<_>>())?;
    for plan in expecting {
        let Some(expect) = &plan.op.commit.kv_expect else { continue };
        if kv::meets(connection, &plan.key().tenant, expect)? && !guard(connection, &[plan])?.is_empty() {
            kv::write(connection, &plan.writes().collect::<Vec<_>>())?;
            held.insert(plan.commit_id);
        }
    }
    Ok(held)
}

/// Moves the task rows whose guard holds and returns the commit ids of those.
fn guard(connection: &Connection, planned: &[&Planned<'_>]) -> Result<HashSet<i64>, rusqlite::Error> {
    let held = GUARD.run(connection, planned, |query, plan| {
        let commit = &plan.op.commit;
        query
            .bind(plan.key().tenant.as_str())
            .bind(plan.key().task.as_str())
            .bind(int(plan.op.claim.epoch.get()))
            .bind(int(commit.at.ver.get()))
            .bind(state_number(commit.state))
            .bind(commit.status_at.millis())
            .bind(int(plan.rev))
            .bind(i64::from(commit.open))
            .bind(i64::from(commit.journal))
            .bind(plan.commit_id)
    })?;
    Ok(held.into_iter().collect())
}

/// Events, folded bodies, what the agent has taken, and the blobs that the events name.
fn write_log(connection: &Connection, applied: &[&Planned<'_>]) -> Result<(), rusqlite::Error> {
    let events: Vec<_> = applied
        .iter()
        .flat_map(|plan| {
            let first = plan.op.commit.at.rev.get() + 1;
            plan.op.commit.events.iter().zip(first..).map(|(event, seq)| (plan.key(), seq, event))
        })
        .collect();
    EVENT.run(connection, &events, |query, (key, seq, event)| {
        let query = query.bind(key.tenant.as_str()).bind(key.task.as_str()).bind(int(*seq));
        query
            .bind(event.stop.map_or(0, state_number))
            .bind(i64::from(event.stored.blobs))
            .bind(event.stored.body.as_ref())
    })?;
    let bodies: Vec<(&Planned<'_>, &Stored)> =
        applied.iter().filter_map(|plan| plan.op.commit.body.as_ref().map(|body| (*plan, body))).collect();
    BODY.run(connection, &bodies, |query, (plan, body)| {
        let query = query.bind(plan.key().tenant.as_str()).bind(plan.key().task.as_str()).bind(int(plan.rev));
        query.bind(i64::from(body.blobs)).bind(body.body.as_ref())
    })?;
    let taken: Vec<(&Planned<'_>, u32)> =
        applied.iter().flat_map(|plan| plan.op.commit.taken.iter().map(|n| (*plan, *n))).collect();
    TAKEN.run(connection, &taken, |query, (plan, n)| {
        let query = query.bind(plan.key().tenant.as_str()).bind(plan.key().task.as_str());
        query.bind(i64::from(*n)).bind(int(plan.rev))
    })?;
    let uses: Vec<BlobUse<'_>> = applied.iter().flat_map(|plan| uses(plan)).collect();
    blob::count(connection, &uses)
}

/// The blobs that the rows of a commit name.
fn uses<'a>(plan: &'a Planned<'_>) -> impl Iterator<Item = BlobUse<'a>> {
    let commit = &plan.op.commit;
    let events = commit.events.iter().map(|event| &event.stored);
    let calls = commit.calls.iter().filter_map(|call| call.answer.as_ref()).map(|answer| &answer.result);
    let answers = commit.answers.iter().map(|(_, answer)| &answer.result);
    let stored = events.chain(calls).chain(answers);
    stored.flat_map(|stored| stored.digests.iter().map(|digest| BlobUse::of_task(plan.key(), digest)))
}

fn write_run(connection: &Connection, applied: &[&Planned<'_>]) -> Result<(), rusqlite::Error> {
    let finished: Vec<&Planned<'_>> =
        applied.iter().filter(|plan| plan.op.commit.run == RunChange::Finish).copied().collect();
    FINISH.run(connection, &finished, |query, plan| {
        query.bind(plan.key().tenant.as_str()).bind(plan.key().task.as_str())
    })?;
    for plan in applied {
        match plan.op.commit.run {
            RunChange::Progress => forgive(connection, plan.key())?,
            RunChange::Release(wait) => release(connection, plan, wait)?,
            RunChange::Keep | RunChange::Finish => {}
        }
    }
    Ok(())
}

/// The agent got further than at its last try: earlier tries are forgotten.
fn forgive(connection: &Connection, key: &TaskKey) -> Result<(), rusqlite::Error> {
    query(connection, "UPDATE run SET attempts = 0, last_error = NULL WHERE tenant = ? AND task = ?")?
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .execute()
        .map(drop)
}

/// Ready if a request to stop, a message that the wait is for or a due timer is there, else parked: decided here, inside the
/// transaction, because what came between the decision and the commit would wake nobody.
fn release(connection: &Connection, plan: &Planned<'_>, wait: Wait) -> Result<(), rusqlite::Error> {
    let key = plan.key();
    let now = plan.op.now.millis();
    let due_ms = wait.due.map(Timestamp::millis);
    let waiting = query(
        connection,
        "SELECT 1 FROM inbox WHERE tenant = ? AND task = ? AND taken_seq IS NULL \
         AND (kind = 1 OR kind = 0 AND at_seq > ? OR kind = 2 AND ?) LIMIT 1",
    )?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(wait.listens.map_or(i64::MAX, |since| int(since.get())))
    .bind(i64::from(wait.children))
    .exists()?;
    // A wait is harmless, so earlier tries are forgiven. One that is over already is none: this try does not count, the others do.
    let (state, due_ms, forgiven) = if waiting || due_ms.is_some_and(|due| due <= now) {
        (run_state::READY, Some(now), 1)
    } else {
        (run_state::PARKED, due_ms, i64::MAX)
    };
    query(
        connection,
        "UPDATE run SET state = ?, due_ms = ?, listens = ?, host = NULL, attempts = max(attempts - ?, 0), last_error = NULL \
         WHERE tenant = ? AND task = ?",
    )?
    .bind(state)
    .bind(due_ms)
    .bind(i64::from(wait.listens.is_some()) + 2 * i64::from(wait.children))
    .bind(forgiven)
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .execute()
    .map(drop)
}

/// Why the guard did not hold.
fn why_not(connection: &Connection, plan: &Planned<'_>) -> Result<Committed, rusqlite::Error> {
    let row = query(connection, "SELECT epoch, ver, commit_id FROM task WHERE tenant = ? AND id = ?")?
        .bind(plan.key().tenant.as_str())
        .bind(plan.key().task.as_str())
        .optional(|row| Ok((Epoch::new(uint(row.get(0)?)), Ver::new(uint(row.get(1)?)), row.get::<_, i64>(2)?)))?;
    let Some((epoch, ver, commit_id)) = row else { return Ok(Committed::Fenced) };
    if commit_id == plan.commit_id {
        // Handed in again after an answer was lost: it had been applied.
        return Ok(plan.applied());
    }
    if epoch != plan.op.claim.epoch {
        return Ok(Committed::Fenced);
    }
    // Where the guard would have held, it was the value.
    Ok(if ver == plan.op.commit.at.ver { Committed::Conflict } else { Committed::Moved })
}
