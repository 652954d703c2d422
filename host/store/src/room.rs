//! Room in memory for large tasks: what is read for a client is held until the client has taken it, and clients may be slow.
//!
//! Small reads pass by. A large one takes room for what it reads before it reads, and waits for those before it to give theirs back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kennel_protocol::{Digest, TenantId};
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::db::query;
use crate::error::StoreError;
use crate::sql::uint;
use crate::wake::TaskKey;

/// Stored bytes of a task up to which a read needs no room.
pub(crate) const SMALL_BYTES_MAX: u64 = 1 << 20;
/// Stored bytes of all tasks that are read for clients at once, beyond small ones. An answer holds each about three times: as it was read,
/// as objects and as text. A task that alone has more takes all the room there is.
pub(crate) const LARGE_BYTES_MAX: u64 = 256 << 20;
/// What room is counted in.
const UNIT_BYTES: u64 = 64 << 10;
/// How long a large read waits for room.
const WAIT: Duration = Duration::from_secs(10);
/// What a client that got none is told.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The room that something takes; given back when the last clone is dropped. The default takes none.
#[derive(Clone, Debug, Default)]
pub struct Room(Vec<Arc<OwnedSemaphorePermit>>);

impl Room {
    /// Both.
    #[must_use]
    pub fn and(mut self, other: Room) -> Room {
        self.0.extend(other.0);
        self
    }

    /// Bytes that keep the room until the last clone of them is dropped.
    pub fn keep(self, bytes: Vec<u8>) -> Bytes {
        if self.0.is_empty() { Bytes::from(bytes) } else { Bytes::from_owner(Kept { bytes, _room: self }) }
    }

    /// Stored bytes for which it was taken.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|permit| permit.num_permits() as u64 * UNIT_BYTES).sum()
    }
}

struct Kept {
    bytes: Vec<u8>,
    _room: Room,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// All the room there is.
#[derive(Debug)]
pub(crate) struct Rooms {
    free: Arc<Semaphore>,
    all: u32,
    wait: Duration,
}

impl Default for Rooms {
    fn default() -> Rooms {
        Rooms::of(LARGE_BYTES_MAX, WAIT)
    }
}

impl Rooms {
    /// Room for this many bytes, and how long a read waits for its part.
    pub(crate) fn of(bytes: u64, wait: Duration) -> Rooms {
        let all = units(bytes);
        Rooms { free: Arc::new(Semaphore::new(all as usize)), all, wait }
    }

    /// Room for this many bytes, now or soon. Cancel safe.
    pub(crate) async fn take(&self, bytes: u64) -> Result<Room, StoreError> {
        if bytes <= SMALL_BYTES_MAX {
            return Ok(Room::default());
        }
        let taking = Arc::clone(&self.free).acquire_many_owned(units(bytes).min(self.all));
        match tokio::time::timeout(self.wait, taking).await {
            Ok(Ok(permit)) => Ok(Room(vec![Arc::new(permit)])),
            Ok(Err(_)) | Err(_) => Err(StoreError::Crowded { retry_after: RETRY_AFTER }),
        }
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// Stored bytes of a task's rows: its folded body and the events after it, and messages.
pub(crate) fn of_rows(connection: &Connection, key: &TaskKey) -> Result<u64, StoreError> {
    let sum = query(
        connection,
        "SELECT coalesce((SELECT length(body) FROM body WHERE tenant = ?1 AND task = ?2), 0) \
         + coalesce((SELECT sum(length(body)) FROM event WHERE tenant = ?1 AND task = ?2 \
         AND seq > coalesce((SELECT seq FROM body WHERE tenant = ?1 AND task = ?2), 0)), 0) \
         + coalesce((SELECT sum(length(body)) FROM inbox WHERE tenant = ?1 AND task = ?2), 0)",
    )?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .one(|row| row.get::<_, i64>(0))?;
    Ok(uint(sum))
}

/// Bytes of contents that stand apart.
pub(crate) fn of_contents(connection: &Connection, tenant: &TenantId, digests: &[Digest]) -> Result<u64, StoreError> {
    let mut sum = 0;
    for digest in digests {
        sum += query(connection, "SELECT coalesce(sum(length(bytes)), 0) FROM blob WHERE tenant = ? AND digest = ?")?
            .bind(tenant.as_str())
            .bind(digest.as_bytes().as_slice())
            .one(|row| row.get::<_, i64>(0))?;
    }
    Ok(uint(sum))
}
