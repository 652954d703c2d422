//! Which version of an agent is the active one, and the components themselves (as blobs).

use std::collections::HashSet;

use kennel_protocol::{AgentId, Digest, TenantId};
use rusqlite::Connection;

use crate::blob::{self, BlobUse};
use crate::claims;
use crate::db::{bytes, query, text};
use crate::error::StoreError;
use crate::writer::SetAgent;

/// An agent as the registry remembers it over restarts.
#[derive(Clone, Debug)]
pub struct AgentRow {
    /// The name it is served under.
    pub name: AgentId,
    /// Its active version.
    pub digest: Digest,
}

pub(crate) fn set(connection: &Connection, set: &SetAgent) -> Result<(), rusqlite::Error> {
    query(
        connection,
        "INSERT INTO version (digest, size, loaded_ms) VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING",
    )?
    .bind(set.digest.as_bytes().as_slice())
    .bind(i64::try_from(set.size).unwrap_or(i64::MAX))
    .bind(set.at.millis())
    .execute()?;
    query(
        connection,
        "INSERT INTO agent (tenant, name, digest, changed_ms) VALUES (?, ?, ?, ?) \
         ON CONFLICT (tenant, name) DO UPDATE SET digest = excluded.digest, changed_ms = excluded.changed_ms",
    )?
    .bind(set.tenant.as_str())
    .bind(set.name.as_str())
    .bind(set.digest.as_bytes().as_slice())
    .bind(set.at.millis())
    .execute()?;
    blob::count(connection, &[BlobUse::of_version(&set.tenant, &set.digest)])
}

pub(crate) fn remove(connection: &Connection, tenant: &TenantId, name: &AgentId) -> Result<(), rusqlite::Error> {
    query(connection, "DELETE FROM agent WHERE tenant = ? AND name = ?")?
        .bind(tenant.as_str())
        .bind(name.as_str())
        .execute()
        .map(drop)
}

pub(crate) fn all(connection: &Connection, tenant: &TenantId) -> Result<Vec<AgentRow>, StoreError> {
    query(connection, "SELECT name, digest FROM agent WHERE tenant = ? ORDER BY name")?
        .bind(tenant.as_str())
        .all(|row| Ok(AgentRow { name: claims::id(text(row, 0)?)?, digest: claims::digest(bytes(row, 1)?)? }))
}

/// The versions that are active, and those that tasks go on with.
pub(crate) fn needed(connection: &Connection, tenant: &TenantId) -> Result<HashSet<Digest>, StoreError> {
    let digests = query(
        connection,
        "SELECT digest FROM agent WHERE tenant = ?1 UNION SELECT task.digest FROM run \
         JOIN task ON task.tenant = run.tenant AND task.id = run.task WHERE run.tenant = ?1",
    )?
    .bind(tenant.as_str())
    .all(|row| Ok::<_, StoreError>(claims::digest(bytes(row, 0)?)?))?;
    Ok(digests.into_iter().collect())
}
