//! Opening the database: the lock, the version of SQLite and of the schema, the writer's connection and the readers' pool.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs4::fs_std::FileExt;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row};

use crate::error::{OpenError, is_corrupt};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// First SQLite without the WAL-reset bug, as text and as its own number.
const SQLITE_NEEDED: (&str, i32) = ("3.51.3", 3_051_003);
/// Readers at once. Two cores read faster than that many clients can ask.
const READERS: u32 = 4;
/// Statements each connection keeps prepared: some thirty texts, the set-statements nine sizes each.
pub(crate) const STATEMENTS: usize = 256;

/// The files of a host's data folder.
pub(crate) struct Files {
    pub(crate) database: PathBuf,
    lock: PathBuf,
}

impl Files {
    pub(crate) fn of(folder: &Path) -> Result<Files, OpenError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| OpenError::Path { path: folder.to_owned(), reason: error.to_string() })?;
        Ok(Files { database: folder.join("kennel.db"), lock: folder.join("kennel.lock") })
    }

    /// Takes the lock that keeps a second host away from the same file. It is released when the file is closed, also by kill -9.
    pub(crate) fn lock(&self) -> Result<File, OpenError> {
        let path = |error: std::io::Error| OpenError::Path { path: self.lock.clone(), reason: error.to_string() };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.lock).map_err(path)?;
        match FileExt::try_lock_exclusive(&file) {
            Ok(true) => Ok(file),
            Ok(false) => Err(OpenError::Locked { path: self.lock.clone() }),
            Err(error) => Err(path(error)),
        }
    }
}

/// Refuses a library that can corrupt the file.
pub(crate) fn check_library() -> Result<(), OpenError> {
    check_version(SqliteVersion::linked())
}

struct SqliteVersion {
    number: i32,
    text: String,
}

impl SqliteVersion {
    fn linked() -> SqliteVersion {
        let (version, number) = (libsqlite3_sys::SQLITE_VERSION, libsqlite3_sys::SQLITE_VERSION_NUMBER);
        SqliteVersion { number, text: String::from_utf8_lossy(version.to_bytes()).into_owned() }
    }
}

fn check_version(found: SqliteVersion) -> Result<(), OpenError> {
    let (needed, number) = SQLITE_NEEDED;
    if found.number < number {
        return Err(OpenError::OldSqlite { found: found.text, needed });
    }
    Ok(())
}

fn options(database: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(database)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(STATEMENTS)
        // A checkpoint every 16 MiB of WAL instead of every 4: each page is then written back once for many commits.
        .pragma("wal_autocheckpoint", "4000")
        .pragma("cache_size", "-65536")
        .pragma("mmap_size", "268435456")
        .pragma("temp_store", "MEMORY")
}

/// The writer's connection, with the schema brought up to date.
pub(crate) async fn writer(database: &Path) -> Result<SqliteConnection, OpenError> {
    let fault = |error: sqlx::Error| refuse(database, &error);
    let mut connection = options(database).connect().await.map_err(fault)?;
    check_file(&mut connection, database).await?;
    match MIGRATIONS.run(&mut connection).await {
        Ok(()) => Ok(connection),
        Err(MigrateError::VersionMissing(found)) => Err(newer(database, found)),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Err(fault(error)),
        Err(other) => Err(OpenError::Corrupt { path: database.to_owned(), reason: other.to_string() }),
    }
}

fn newer(database: &Path, found: i64) -> OpenError {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    OpenError::Newer { path: database.to_owned(), found, known }
}

/// A quick look over the file: a damaged one is refused before anybody is served from it.
async fn check_file(connection: &mut SqliteConnection, database: &Path) -> Result<(), OpenError> {
    let row =
        sqlx::query("PRAGMA quick_check(1)").fetch_one(connection).await.map_err(|error| refuse(database, &error))?;
    let found: String = row.try_get(0).map_err(|error| refuse(database, &error))?;
    if found == "ok" {
        return Ok(());
    }
    Err(OpenError::Corrupt { path: database.to_owned(), reason: found })
}

pub(crate) fn refuse(database: &Path, error: &sqlx::Error) -> OpenError {
    let path = database.to_owned();
    if is_corrupt(error) {
        return OpenError::Corrupt { path, reason: error.to_string() };
    }
    OpenError::Path { path, reason: error.to_string() }
}

/// The readers. They see the newest commit at the start of each statement and can write nothing.
pub(crate) async fn readers(database: &Path) -> Result<SqlitePool, OpenError> {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(Duration::from_secs(10))
        // A connection to a file does not go stale: no ping before each use.
        .test_before_acquire(false)
        .connect_with(options(database).read_only(true).create_if_missing(false))
        .await
        .map_err(|error| refuse(database, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_sqlite_is_refused_by_name() {
        let old = SqliteVersion { number: 3_051_002, text: "3.51.2".to_owned() };
        let refused = check_version(old).unwrap_err().to_string();
        assert!(refused.contains("3.51.2") && refused.contains("3.51.3"), "{refused}");
        assert!(check_library().is_ok());
    }
}
