//! What can go wrong in the store, named by what the caller does next.

use std::path::PathBuf;
use std::time::Duration;

/// A store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or file cannot be made or read.
    #[error("cannot use {path}: {reason}; check that the folder exists, is writable and has room")]
    Path {
        /// What was tried.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A look at a folder in which no host has ever run.
    #[error("there is no database at {path}; name the folder that `kennel serve` was given with --data")]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// Written by an earlier release, and opened for reading only.
    #[error(
        "{path} was written by an older kennel (schema {found}, this one knows {known}); start `kennel serve` on it once"
    )]
    Older {
        /// The database.
        path: PathBuf,
        /// Schema number found.
        found: i64,
        /// Schema number needed.
        known: i64,
    },
    /// Another host has it.
    #[error("{path} is in use by another kennel; stop that one or choose another --data folder")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Written by a later release.
    #[error(
        "{path} was written by a newer kennel (schema {found}, this one knows {known}); use that release or a newer one"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Schema number found.
        found: i64,
        /// Newest schema number known.
        known: i64,
    },
    /// The SQLite library has the WAL-reset bug.
    #[error(
        "SQLite {found} can corrupt a database in WAL mode; kennel needs {needed} or newer: build with the bundled library"
    )]
    OldSqlite {
        /// Version linked.
        found: String,
        /// Version needed.
        needed: &'static str,
    },
    /// The file is damaged.
    #[error("{path} is damaged ({reason}); restore the last backup, or move the file away to start empty")]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
}

/// A call of the store failed. Nothing of it was written, except where `Unavailable` cannot say.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The writer's queue is full.
    #[error("the store has too much to write; try again in {} ms", retry_after.as_millis())]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too much is being read at once.
    #[error("too many large tasks are being read; try again in {} ms", retry_after.as_millis())]
    Crowded {
        /// When to try again.
        retry_after: Duration,
    },
    /// No room on the disk.
    #[error("the store is full; nothing was written")]
    Full,
    /// The store is closing or failing.
    #[error("the store did not answer: {0}")]
    Unavailable(String),
    /// Stored bytes do not read as what they should be.
    #[error("stored data does not read: {0}")]
    Corrupt(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        match code(&error) {
            Some(SQLITE_FULL) => StoreError::Full,
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => StoreError::Corrupt(error.to_string()),
            _ if does_not_read(&error) => StoreError::Corrupt(error.to_string()),
            _ => StoreError::Unavailable(error.to_string()),
        }
    }
}

const SQLITE_INTERRUPT: i32 = 9;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_MISMATCH: i32 = 20;
const SQLITE_TOOBIG: i32 = 18;
const SQLITE_NOTADB: i32 = 26;

/// The primary result code of SQLite, if the error is its own.
fn code(error: &rusqlite::Error) -> Option<i32> {
    Some(error.sqlite_error()?.extended_code & 0xff)
}

/// Whether a row is there but is not what it should be.
fn does_not_read(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::QueryReturnedNoRows
    )
}

/// Whether the fault lies in one entry's data, or in the row it asks for, so that leaving that entry out helps.
pub(crate) fn is_data_fault(error: &rusqlite::Error) -> bool {
    matches!(code(error), Some(SQLITE_CONSTRAINT | SQLITE_MISMATCH | SQLITE_TOOBIG)) || does_not_read(error)
}

/// Whether the file itself is damaged.
pub(crate) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(code(error), Some(SQLITE_CORRUPT | SQLITE_NOTADB))
}

/// Whether the statement was broken off by ourselves.
pub(crate) fn is_interrupted(error: &rusqlite::Error) -> bool {
    code(error) == Some(SQLITE_INTERRUPT)
}
