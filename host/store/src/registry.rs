//! Which version of an agent is the active one, and the components themselves (as blobs).

use kennel_protocol::{AgentId, Digest, TenantId};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use crate::blob::{self, BlobUse};
use crate::claims;
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

pub(crate) async fn set(connection: &mut SqliteConnection, set: &SetAgent) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO version (digest, size, loaded_ms) VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING")
        .bind(set.digest.as_bytes().as_slice())
        .bind(i64::try_from(set.size).unwrap_or(i64::MAX))
        .bind(set.at.millis())
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO agent (tenant, name, digest, changed_ms) VALUES (?, ?, ?, ?) \
         ON CONFLICT (tenant, name) DO UPDATE SET digest = excluded.digest, changed_ms = excluded.changed_ms",
    )
    .bind(set.tenant.as_str())
    .bind(set.name.as_str())
    .bind(set.digest.as_bytes().as_slice())
    .bind(set.at.millis())
    .execute(&mut *connection)
    .await?;
    blob::count(connection, &[BlobUse::of_version(&set.tenant, &set.digest)]).await
}

pub(crate) async fn remove(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    name: &AgentId,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM agent WHERE tenant = ? AND name = ?")
        .bind(tenant.as_str())
        .bind(name.as_str())
        .execute(connection)
        .await
        .map(drop)
}

pub(crate) async fn all(readers: &SqlitePool, tenant: &TenantId) -> Result<Vec<AgentRow>, StoreError> {
    let rows = sqlx::query("SELECT name, digest FROM agent WHERE tenant = ? ORDER BY name")
        .bind(tenant.as_str())
        .fetch_all(readers)
        .await?;
    rows.iter()
        .map(|row| Ok(AgentRow { name: claims::id(row.try_get(0)?)?, digest: claims::digest(row.try_get(1)?)? }))
        .collect()
}
