//! Durable values. A change goes through the commit of a claim holder, in the transaction of its call's row; runs without a task
//! change values by an entry of their own.
//!
//! Never here: whose values a scope's name means and who may use them (the worker decides both), and what a value holds.

use std::collections::HashSet;

use bytes::Bytes;
use kennel_protocol::TenantId;
use rusqlite::Connection;

use crate::db::{bytes, query};
use crate::error::StoreError;
use crate::sql::{SetStatement, int, uint};

/// Where a value stands within its tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KvKey {
    /// Who shares it: any text that names the same for the same.
    pub scope: String,
    /// Its name there.
    pub key: String,
}

/// A change of a value.
#[derive(Clone, Debug)]
pub struct KvWrite {
    /// Where.
    pub at: KvKey,
    /// The entry after it; none deletes.
    pub entry: Option<KvEntry>,
}

impl KvWrite {
    /// About how much it writes.
    pub fn bytes(&self) -> usize {
        self.at.key.len() + self.entry.as_ref().map_or(0, |entry| entry.value.len())
    }
}

/// A value and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvEntry {
    /// As written.
    pub value: Bytes,
    /// Never the same for two writes.
    pub version: String,
}

/// What must be so at the moment of the write, or nothing is written.
#[derive(Clone, Debug)]
pub struct KvExpect {
    /// Where.
    pub at: KvKey,
    /// The version that stands there; none: there is no entry.
    pub version: Option<String>,
}

/// Which keys of a scope are listed.
#[derive(Clone, Debug)]
pub struct KvRange {
    /// Who shares them.
    pub scope: String,
    /// How they begin.
    pub prefix: String,
    /// The last key of the page before.
    pub after: Option<String>,
    /// At most.
    pub limit: u32,
}

/// How full a scope is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvUse {
    /// Bytes of all its keys and values.
    pub total: u64,
    /// Of these, the bytes of the entry that was asked for.
    pub entry: u64,
}

/// A change for an op of its own: of a run without a task.
#[derive(Clone, Debug)]
pub(crate) struct KvChange {
    pub(crate) tenant: TenantId,
    pub(crate) write: KvWrite,
    pub(crate) expect: Option<KvExpect>,
}

/// By how much the totals change. Reads what the writes replace, so it goes before them.
const TOTAL: SetStatement = SetStatement {
    head: "WITH v (tenant, scope, key, bytes) AS (VALUES ",
    columns: 4,
    tail: ") INSERT INTO kv_total (tenant, scope, bytes) SELECT v.tenant, v.scope, sum(v.bytes - coalesce((SELECT length(kv.key) + \
           length(kv.value) FROM kv WHERE kv.tenant = v.tenant AND kv.scope = v.scope AND kv.key = v.key), 0)) FROM v WHERE true \
           GROUP BY v.tenant, v.scope ON CONFLICT (tenant, scope) DO UPDATE SET bytes = kv_total.bytes + excluded.bytes",
};

const PUT: SetStatement = SetStatement {
    head: "INSERT INTO kv (tenant, scope, key, version, value) VALUES ",
    columns: 5,
    tail: " ON CONFLICT (tenant, scope, key) DO UPDATE SET version = excluded.version, value = excluded.value",
};

const DELETE: SetStatement =
    SetStatement { head: "DELETE FROM kv WHERE (tenant, scope, key) IN (VALUES ", columns: 3, tail: ")" };

/// For the test that prepares every statement.
#[cfg(test)]
pub(crate) const SETS: &[&SetStatement] = &[&TOTAL, &PUT, &DELETE];

/// Writes changes, later ones over earlier ones.
pub(crate) fn write(connection: &Connection, writes: &[(&TenantId, &KvWrite)]) -> Result<(), rusqlite::Error> {
    // One change a key, the last: so the totals count each key once, and the order of the rest does not matter.
    let mut keys = HashSet::new();
    let mut last: Vec<(&TenantId, &KvWrite)> = writes.to_vec();
    last.reverse();
    last.retain(|(tenant, write)| keys.insert((*tenant, &write.at)));
    TOTAL.run(connection, &last, |query, (tenant, write)| {
        let query = query.bind(tenant.as_str()).bind(write.at.scope.as_str()).bind(write.at.key.as_bytes());
        query.bind(if write.entry.is_some() { int(write.bytes() as u64) } else { 0 })
    })?;
    let put: Vec<(&TenantId, &KvKey, &KvEntry)> =
        last.iter().filter_map(|(tenant, write)| Some((*tenant, &write.at, write.entry.as_ref()?))).collect();
    PUT.run(connection, &put, |query, (tenant, at, entry)| {
        let query = query.bind(tenant.as_str()).bind(at.scope.as_str()).bind(at.key.as_bytes());
        query.bind(entry.version.as_str()).bind(entry.value.as_ref())
    })?;
    last.retain(|(_, write)| write.entry.is_none());
    DELETE
        .run(connection, &last, |query, (tenant, write)| {
            query.bind(tenant.as_str()).bind(write.at.scope.as_str()).bind(write.at.key.as_bytes())
        })
        .map(drop)
}

/// Whether an expectation is met now, inside the writer's transaction.
pub(crate) fn meets(connection: &Connection, tenant: &TenantId, expect: &KvExpect) -> Result<bool, rusqlite::Error> {
    let version: Option<String> =
        query(connection, "SELECT version FROM kv WHERE tenant = ? AND scope = ? AND key = ?")?
            .bind(tenant.as_str())
            .bind(expect.at.scope.as_str())
            .bind(expect.at.key.as_bytes())
            .optional(|row| row.get(0))?;
    Ok(version == expect.version)
}

/// Carries a change out if what it expects is so; says whether it was.
pub(crate) fn change(connection: &Connection, change: &KvChange) -> Result<bool, rusqlite::Error> {
    if let Some(expect) = &change.expect
        && !meets(connection, &change.tenant, expect)?
    {
        return Ok(false);
    }
    write(connection, &[(&change.tenant, &change.write)])?;
    Ok(true)
}

/// The entry of a key.
pub(crate) fn entry(connection: &Connection, tenant: &TenantId, at: &KvKey) -> Result<Option<KvEntry>, StoreError> {
    let entry = query(connection, "SELECT value, version FROM kv WHERE tenant = ? AND scope = ? AND key = ?")?
        .bind(tenant.as_str())
        .bind(at.scope.as_str())
        .bind(at.key.as_bytes())
        .optional(|row| Ok(KvEntry { value: row.get::<_, Vec<u8>>(0)?.into(), version: row.get(1)? }))?;
    Ok(entry)
}

/// Keys in the order of their bytes.
pub(crate) fn keys(connection: &Connection, tenant: &TenantId, range: &KvRange) -> Result<Vec<String>, StoreError> {
    let (from, to) = bounds(range);
    query(
        connection,
        "SELECT key FROM kv WHERE tenant = ? AND scope = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?",
    )?
    .bind(tenant.as_str())
    .bind(range.scope.as_str())
    .bind(from)
    .bind(to)
    .bind(i64::from(range.limit))
    .all(|row| {
        let key = std::str::from_utf8(bytes(row, 0)?);
        key.map(str::to_owned).map_err(|_| StoreError::Corrupt("the key of a value is not UTF-8".to_owned()))
    })
}

/// The first bytes that are listed, and the first after them that are not.
fn bounds(range: &KvRange) -> (Vec<u8>, Vec<u8>) {
    let prefix = range.prefix.as_bytes().to_vec();
    let mut to = prefix.clone();
    // No byte of a text is 255, so the last one can be counted up.
    match to.last_mut() {
        Some(last) => *last += 1,
        None => to.push(u8::MAX),
    }
    // The bytes that follow next on the last key.
    let next = range.after.as_ref().map(|after| [after.as_bytes(), &[0]].concat());
    (next.map_or_else(|| prefix.clone(), |next| next.max(prefix.clone())), to)
}

/// How full a scope is, and how much of that an entry takes.
pub(crate) fn used(connection: &Connection, tenant: &TenantId, at: &KvKey) -> Result<KvUse, StoreError> {
    let used = query(
        connection,
        "SELECT coalesce((SELECT bytes FROM kv_total WHERE tenant = ?1 AND scope = ?2), 0), \
         coalesce((SELECT length(key) + length(value) FROM kv WHERE tenant = ?1 AND scope = ?2 AND key = ?3), 0)",
    )?
    .bind(tenant.as_str())
    .bind(at.scope.as_str())
    .bind(at.key.as_bytes())
    .one(|row| Ok(KvUse { total: uint(row.get(0)?), entry: uint(row.get(1)?) }))?;
    Ok(used)
}
