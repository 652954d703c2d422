//! The length of SQLite's write-ahead log. SQLite begins the log anew by itself, but only at a moment when no reader is in it, and
//! readers that never pause leave none: the log then grows without end, and every read and checkpoint gets slower with it.

use std::time::Duration;

use rusqlite::Connection;

use super::Entry;
use crate::open::BUSY_WAIT;

/// Bytes written between two looks.
const LOOK_EVERY_BYTES: usize = 16 << 20;
/// What an entry writes besides its contents: about two pages.
const ENTRY_BYTES: usize = 8 << 10;
/// Pages in the log from which readers are waited for: twice those at which SQLite tries by itself.
const PAGES_MAX: i64 = 8_000;
/// How long readers are waited for; one that takes longer is waited for another time.
const READERS_WAIT: Duration = Duration::from_millis(250);

/// How much has been written since the last look.
#[derive(Default)]
pub(super) struct Log {
    bytes: usize,
}

impl Log {
    /// Notes a group, and shortens the log if it has grown too long.
    pub(super) fn grown_by(&mut self, entries: &[Entry], connection: &Connection) {
        self.bytes += entries.iter().map(|entry| entry.op.bytes() + ENTRY_BYTES).sum::<usize>();
        if self.bytes < LOOK_EVERY_BYTES {
            return;
        }
        self.bytes = 0;
        if let Err(error) = shorten(connection) {
            tracing::warn!(%error, "the database's log could not be shortened; trying again later");
        }
    }
}

/// Waits, for a moment, until the readers that are in the log have left it; those that come meanwhile do not enter it.
fn shorten(connection: &Connection) -> Result<(), rusqlite::Error> {
    let pages: i64 = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))?;
    if pages < PAGES_MAX {
        return Ok(());
    }
    connection.busy_timeout(READERS_WAIT)?;
    let restarted = connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get::<_, i64>(0));
    connection.busy_timeout(BUSY_WAIT)?;
    tracing::debug!(pages, busy = restarted?, "readers were waited for, so that the database's log begins anew");
    Ok(())
}
