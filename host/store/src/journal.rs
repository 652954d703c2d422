//! The journal of a task: what its agent asked and what it was told, one row a call.
//!
//! Rows go in through the commit of the claim holder only, in the transaction of the call's effect. Never here: what a call or a
//! result means; both are bytes.

use bytes::Bytes;
use kennel_protocol::{Seq, Timestamp};
use rusqlite::{Connection, Row};

use crate::commit::Planned;
use crate::db::{bytes, query};
use crate::error::StoreError;
use crate::rows::Stored;
use crate::sql::{SetStatement, int, small, uint};
use crate::wake::TaskKey;

/// The name of the row that begins a generation: its result holds the bytes that the agent left.
pub const CHECKPOINT: &str = "checkpoint";

/// A call on its way to the journal.
#[derive(Clone, Debug)]
pub struct NewCall {
    /// Dense from 1 over all generations.
    pub idx: u32,
    /// Counts checkpoints, from 1.
    pub generation: u32,
    /// The function as the WIT names it.
    pub call: &'static str,
    /// sha-256 of function and arguments.
    pub hash: [u8; 32],
    /// The arguments for people, JSON, cut.
    pub request: String,
    /// What came of it; none while it is under way.
    pub answer: Option<NewAnswer>,
    /// The event that it wrote.
    pub seq: Option<Seq>,
    /// When its wait ends by itself.
    pub due: Option<Timestamp>,
    /// Microseconds since 1970, UTC.
    pub asked_us: u64,
    /// Microseconds of thread CPU time since the call before.
    pub cpu_us: u64,
}

impl NewCall {
    /// About how much it writes.
    pub fn bytes(&self) -> usize {
        self.request.len() + self.answer.as_ref().map_or(0, |answer| answer.result.body.len())
    }
}

/// What came of a call.
#[derive(Clone, Debug)]
pub struct NewAnswer {
    /// JSON, or the name of a blob that holds it.
    pub result: Stored,
    /// Microseconds since 1970, UTC.
    pub at_us: u64,
}

/// A call as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRow {
    /// Dense from 1 over all generations.
    pub idx: u32,
    /// Counts checkpoints, from 1.
    pub generation: u32,
    /// The function as the WIT names it.
    pub call: String,
    /// sha-256 of function and arguments.
    pub hash: [u8; 32],
    /// The arguments for people, JSON, cut.
    pub request: String,
    /// What came of it and when (microseconds since 1970, UTC); none while it is under way.
    pub answer: Option<(Bytes, u64)>,
    /// The event that it wrote.
    pub seq: Option<Seq>,
    /// When its wait ends by itself.
    pub due: Option<Timestamp>,
    /// Microseconds since 1970, UTC.
    pub asked_us: u64,
    /// Microseconds of thread CPU time since the call before.
    pub cpu_us: u64,
}

/// Where a journal stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalEnd {
    /// The last row's number; 0 if there is none.
    pub last: u32,
    /// The number that the last commit says it has.
    pub counted: u32,
    /// The row that began the generation; none in the first.
    pub checkpoint: Option<JournalRow>,
    /// Microseconds of thread CPU time recorded in this generation.
    pub cpu_us: u64,
}

const CALL: SetStatement = SetStatement {
    head: "INSERT INTO journal (tenant, task, idx, generation, call, hash, request, result, blobs, seq, due_ms, asked_us, \
           answered_us, cpu_us) VALUES ",
    columns: 14,
    tail: "",
};

const ANSWER: SetStatement = SetStatement {
    head: "WITH v (tenant, task, idx, result, blobs, answered_us) AS (VALUES ",
    columns: 6,
    tail: ") UPDATE journal SET result = v.result, blobs = v.blobs, answered_us = v.answered_us FROM v \
           WHERE journal.tenant = v.tenant AND journal.task = v.task AND journal.idx = v.idx",
};

/// For the test that prepares every statement.
#[cfg(test)]
pub(crate) const SETS: &[&SetStatement] = &[&CALL, &ANSWER];

/// Writes the calls and answers of commits whose guard held.
pub(crate) fn write(connection: &Connection, applied: &[&Planned<'_>]) -> Result<(), rusqlite::Error> {
    let calls: Vec<(&TaskKey, &NewCall)> =
        applied.iter().flat_map(|plan| plan.op.commit.calls.iter().map(|call| (plan.key(), call))).collect();
    insert(connection, &calls)?;
    let answers: Vec<(&TaskKey, u32, &NewAnswer)> = applied
        .iter()
        .flat_map(|plan| plan.op.commit.answers.iter().map(|(idx, answer)| (plan.key(), *idx, answer)))
        .collect();
    ANSWER
        .run(connection, &answers, |query, (key, idx, answer)| {
            let query = query.bind(key.tenant.as_str()).bind(key.task.as_str()).bind(i64::from(*idx));
            let result = &answer.result;
            query.bind(result.body.as_ref()).bind(i64::from(result.blobs)).bind(int(answer.at_us))
        })
        .map(drop)
}

/// Writes calls.
fn insert(connection: &Connection, calls: &[(&TaskKey, &NewCall)]) -> Result<(), rusqlite::Error> {
    CALL.run(connection, calls, |query, (key, call)| {
        let query = query.bind(key.tenant.as_str()).bind(key.task.as_str());
        let query = query.bind(i64::from(call.idx)).bind(i64::from(call.generation)).bind(call.call);
        let query = query.bind(call.hash.as_slice()).bind(call.request.as_str());
        let answer = call.answer.as_ref();
        query
            .bind(answer.map(|answer| answer.result.body.as_ref()))
            .bind(answer.map_or(0, |answer| i64::from(answer.result.blobs)))
            .bind(call.seq.map(|seq| int(seq.get())))
            .bind(call.due.map(Timestamp::millis))
            .bind(int(call.asked_us))
            .bind(answer.map(|answer| int(answer.at_us)))
            .bind(int(call.cpu_us))
    })
    .map(drop)
}

/// Writes the first row of a new task's journal.
pub(crate) fn begin(connection: &Connection, key: &TaskKey, call: &NewCall) -> Result<(), rusqlite::Error> {
    insert(connection, &[(key, call)])?;
    query(connection, "UPDATE task SET calls = ? WHERE tenant = ? AND id = ?")?
        .bind(i64::from(call.idx))
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .execute()
        .map(drop)
}

/// The columns of [`row`], in order.
const COLUMNS: &str = "idx, generation, call, hash, request, result, blobs, seq, due_ms, asked_us, answered_us, cpu_us";

pub(crate) fn after_sql() -> String {
    format!("SELECT {COLUMNS} FROM journal WHERE tenant = ? AND task = ? AND idx > ? ORDER BY idx LIMIT ?")
}

/// They have an index of their own: a walk over 10,000 rows to find none would be a third of what a repetition costs.
const CHECKPOINTS: &str = "INDEXED BY journal_checkpoint";

pub(crate) fn checkpoint_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM journal {CHECKPOINTS} WHERE tenant = ? AND task = ? AND call = 'checkpoint' ORDER BY idx DESC LIMIT 1"
    )
}

/// The first checkpoint after a row.
pub(crate) fn next_checkpoint_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM journal {CHECKPOINTS} WHERE tenant = ? AND task = ? AND idx > ? AND call = 'checkpoint' ORDER BY idx LIMIT 1"
    )
}

/// As [`next_checkpoint_sql`]; with whether its result names a blob.
pub(crate) fn next_checkpoint(
    connection: &Connection,
    key: &TaskKey,
    idx: u32,
) -> Result<Option<(JournalRow, bool)>, StoreError> {
    let rows = query(connection, &next_checkpoint_sql())?
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .bind(i64::from(idx))
        .all(row)?;
    Ok(rows.into_iter().next())
}

/// Microseconds of thread CPU time recorded after one row and up to another.
pub(crate) fn cpu_us(connection: &Connection, key: &TaskKey, after: u32, last: u32) -> Result<u64, StoreError> {
    let sum = query(
        connection,
        "SELECT coalesce(sum(cpu_us), 0) FROM journal WHERE tenant = ? AND task = ? AND idx > ? AND idx <= ?",
    )?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(i64::from(after))
    .bind(i64::from(last))
    .one(|row| Ok(uint(row.get(0)?)))?;
    Ok(sum)
}

/// A row, and whether its result names a blob.
fn row(row: &Row<'_>) -> Result<(JournalRow, bool), StoreError> {
    let hash = <[u8; 32]>::try_from(bytes(row, 3)?)
        .map_err(|_| StoreError::Corrupt("a row of the journal has a hash of the wrong length".to_owned()))?;
    let result = row.get::<_, Option<Vec<u8>>>(5)?.map(Bytes::from);
    let answered_us: Option<i64> = row.get(10)?;
    let found = JournalRow {
        idx: small(row.get(0)?),
        generation: small(row.get(1)?),
        call: row.get(2)?,
        hash,
        request: row.get(4)?,
        answer: result.zip(answered_us.map(uint)),
        seq: row.get::<_, Option<i64>>(7)?.map(|seq| Seq::new(uint(seq))),
        due: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_millis),
        asked_us: uint(row.get(9)?),
        cpu_us: uint(row.get(11)?),
    };
    Ok((found, row.get::<_, i64>(6)? > 0))
}

/// Rows after a number, at most `limit`, in order; each with whether its result names a blob.
pub(crate) fn after(
    connection: &Connection,
    key: &TaskKey,
    idx: u32,
    limit: u32,
) -> Result<Vec<(JournalRow, bool)>, StoreError> {
    query(connection, &after_sql())?
        .bind(key.tenant.as_str())
        .bind(key.task.as_str())
        .bind(i64::from(idx))
        .bind(i64::from(limit))
        .all(row)
}

/// Where a journal stands; with whether the checkpoint's result names a blob.
pub(crate) fn end(connection: &Connection, key: &TaskKey) -> Result<(JournalEnd, bool), StoreError> {
    let checkpoint =
        query(connection, &checkpoint_sql())?.bind(key.tenant.as_str()).bind(key.task.as_str()).all(row)?.pop();
    let (checkpoint, blobs) = checkpoint.map_or((None, false), |(row, blobs)| (Some(row), blobs));
    let since = checkpoint.as_ref().map_or(0, |row| row.idx);
    let (last, cpu_us, counted) = query(
        connection,
        "SELECT coalesce(max(idx), ?3), coalesce(sum(cpu_us), 0), \
         coalesce((SELECT calls FROM task WHERE tenant = ?1 AND id = ?2), 0) FROM journal WHERE tenant = ?1 AND task = ?2 AND idx > ?3",
    )?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(i64::from(since))
    .one(|row| Ok((small(row.get(0)?), uint(row.get(1)?), small(row.get(2)?))))?;
    Ok((JournalEnd { last, counted, checkpoint, cpu_us }, blobs))
}
