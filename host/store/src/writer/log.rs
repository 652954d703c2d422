//! The length of SQLite's write-ahead log. SQLite begins the log anew by itself, but only at a moment when no reader is in it, and
//! readers that never pause leave none: the log then grows without end, and every read and checkpoint gets slower with it.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::Entry;

/// Bytes written between two looks.
const LOOK_EVERY_BYTES: usize = 16 << 20;
/// What an entry writes besides its contents: about two pages.
const ENTRY_BYTES: usize = 8 << 10;
/// Pages in the log from which readers are waited for: twice those at which SQLite tries by itself.
const PAGES_MAX: i64 = 8_000;

/// How much has been written since the last look.
#[derive(Default)]
pub(super) struct Log {
    bytes: usize,
}

impl Log {
    /// Notes a group, and shortens the log if it has grown too long.
    pub(super) async fn grown_by(&mut self, entries: &[Entry], connection: &mut SqliteConnection) {
        self.bytes += entries.iter().map(|entry| entry.op.bytes() + ENTRY_BYTES).sum::<usize>();
        if self.bytes < LOOK_EVERY_BYTES {
            return;
        }
        self.bytes = 0;
        if let Err(error) = shorten(connection).await {
            tracing::warn!(%error, "the database's log could not be shortened; trying again later");
        }
    }
}

/// Waits, for a moment, until the readers that are in the log have left it; those that come meanwhile do not enter it.
async fn shorten(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let pages: i64 = sqlx::query("PRAGMA wal_checkpoint(NOOP)").fetch_one(&mut *connection).await?.try_get(1)?;
    if pages < PAGES_MAX {
        return Ok(());
    }
    sqlx::query("PRAGMA busy_timeout = 250").execute(&mut *connection).await?;
    let restarted = sqlx::query("PRAGMA wal_checkpoint(RESTART)").fetch_one(&mut *connection).await;
    sqlx::query("PRAGMA busy_timeout = 5000").execute(&mut *connection).await?;
    let busy: i64 = restarted?.try_get(0)?;
    tracing::debug!(pages, busy, "readers were waited for, so that the database's log begins anew");
    Ok(())
}
