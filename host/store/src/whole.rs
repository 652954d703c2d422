//! Rows with their large contents put back: what both the host's store and an operator's look at it read.
//!
//! Never here: SQL; the statements are in `read.rs` and `journal.rs`. Called by `store.rs` and `inspect.rs`.

use bytes::Bytes;
use kennel_protocol::types::StreamResponse;
use kennel_protocol::{Seq, TenantId};

use crate::blob;
use crate::db::Readers;
use crate::error::StoreError;
use crate::journal::{self, JournalEnd, JournalRow};
use crate::read::{self, EventRow};
use crate::wake::TaskKey;

/// Events after a seq, complete, at most `limit`, and fewer where they are large; none only if there are none.
pub(crate) async fn events_after(
    readers: &Readers,
    key: &TaskKey,
    after: Seq,
    limit: u32,
) -> Result<Vec<EventRow>, StoreError> {
    let wanted = key.clone();
    let rows = readers.read(move |connection| read::events_after(connection, &wanted, after, limit)).await?;
    let mut events = Vec::with_capacity(rows.len());
    let mut bytes = 0;
    for (mut row, blobs) in rows {
        if bytes > read::EVENTS_BYTES_MAX {
            break;
        }
        if blobs || row.seq == Seq::FIRST {
            row.body = event(readers, key, &row).await?;
        }
        bytes += row.body.len();
        events.push(row);
    }
    Ok(events)
}

/// The first event is stored without the message that made the task: that is inbox 0.
async fn event(readers: &Readers, key: &TaskKey, row: &EventRow) -> Result<Bytes, StoreError> {
    let mut event: StreamResponse = read::parse(&row.body)?;
    if let StreamResponse::Task(task) = &mut event {
        let (key, seq) = (key.clone(), row.seq);
        let view = readers.read(move |connection| read::task(connection, &key, Some(seq))).await?;
        task.history = view.map(|view| view.history(None)).unwrap_or_default();
    }
    blob::put_back(readers, &key.tenant, read::event_parts(&mut event)).await?;
    serde_json::to_vec(&event).map(Bytes::from).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// Rows of a task's journal after a number, at most `limit`, in order.
pub(crate) async fn journal_after(
    readers: &Readers,
    key: &TaskKey,
    idx: u32,
    limit: u32,
) -> Result<Vec<JournalRow>, StoreError> {
    let wanted = key.clone();
    let rows = readers.read(move |connection| journal::after(connection, &wanted, idx, limit)).await?;
    let mut complete = Vec::with_capacity(rows.len());
    for (mut row, blobs) in rows {
        if blobs {
            put_back(readers, &key.tenant, &mut row).await?;
        }
        complete.push(row);
    }
    Ok(complete)
}

/// Where a task's journal stands.
pub(crate) async fn journal_end(readers: &Readers, key: &TaskKey) -> Result<JournalEnd, StoreError> {
    let wanted = key.clone();
    let (mut end, blobs) = readers.read(move |connection| journal::end(connection, &wanted)).await?;
    if let Some(row) = end.checkpoint.as_mut().filter(|_| blobs) {
        put_back(readers, &key.tenant, row).await?;
    }
    Ok(end)
}

/// Puts a large result back into its row.
pub(crate) async fn put_back(readers: &Readers, tenant: &TenantId, row: &mut JournalRow) -> Result<(), StoreError> {
    if let Some((result, _)) = &mut row.answer {
        *result = blob::fetch(readers, tenant, result).await?;
    }
    Ok(())
}
