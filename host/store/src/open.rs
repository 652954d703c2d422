//! Opening the database: the lock, the version of SQLite and of the schema, the writer's connection and the readers' pool.

use std::cmp::Ordering;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs4::fs_std::FileExt;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::db::Readers;
use crate::error::{OpenError, StoreError, is_corrupt, is_interrupted};

/// The schema, step by step; a step that was released is never edited.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_tasks.sql"),
    include_str!("../migrations/0002_journal.sql"),
    include_str!("../migrations/0003_kv.sql"),
    include_str!("../migrations/0004_child.sql"),
    include_str!("../migrations/0005_tally.sql"),
    include_str!("../migrations/0006_checkpoint.sql"),
];

/// The name of the database in its folder.
const DATABASE: &str = "kennel.db";
/// First SQLite without the WAL-reset bug, as text and as its own number.
const SQLITE_NEEDED: (&str, i32) = ("3.51.3", 3_051_003);
/// Readers at once. Two cores read faster than that many clients can ask.
const READERS: usize = 4;
/// How long a connection waits for one of another process, such as a backup, that has locked the file.
pub(crate) const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long a start looks over the file.
const CHECK_TIME: Duration = Duration::from_millis(100);
/// Steps of SQLite between two looks at the clock.
const CHECK_STEPS: i32 = 1_000;
/// Faults that a whole look tells of.
const FAULTS_MAX: u32 = 20;
/// KiB of pages that each connection keeps. The system keeps the file in memory too, so this need only hold what is used all the time;
/// mapping the file instead would make all of it look like the host's own memory.
const CACHE_KIB: i64 = 16 << 10;
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
        Ok(Files { database: folder.join(DATABASE), lock: folder.join("kennel.lock") })
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

/// A connection with the settings that all of them have.
fn connect(database: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(database, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A plan follows from its text alone: else some statements are prepared again for each value that is bound to them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// The writer's connection, with the schema brought up to date.
pub(crate) fn writer(database: &Path) -> Result<Connection, OpenError> {
    let fault = |error: rusqlite::Error| refuse(database, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = connect(database, flags).map_err(fault)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(fault)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
    // A checkpoint every 16 MiB of WAL instead of every 4: each page is then written back once for many commits.
    connection.pragma_update(None, "wal_autocheckpoint", 4000).map_err(fault)?;
    check_file(&connection, database)?;
    migrate(&mut connection, database)?;
    Ok(connection)
}

/// Bounds the database's size; never below what it has.
pub(crate) fn bound(connection: &Connection, pages: u32) -> rusqlite::Result<()> {
    connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
}

/// Brings the schema up to date, one transaction a step. The number of the last step stands in the file's header.
fn migrate(connection: &mut Connection, database: &Path) -> Result<(), OpenError> {
    let fault = |error: rusqlite::Error| refuse(database, &error);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(fault)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::Newer { path: database.to_owned(), found, known });
    }
    for (number, step) in (1_i64..).zip(MIGRATIONS) {
        if number > found {
            let transaction = connection.transaction().map_err(fault)?;
            transaction.execute_batch(step).map_err(fault)?;
            transaction.pragma_update(None, "user_version", number).map_err(fault)?;
            transaction.commit().map_err(fault)?;
        }
    }
    Ok(())
}

/// A look over the file, as far as it gets in [`CHECK_TIME`]: a damaged one is refused before anybody is served from it. Header, length and
/// schema are looked at whatever the size, and a small file from end to end. Of a large one the rest is [`look_over`]'s: reading
/// gigabytes would keep every restart from its work, and an end by kill -9 damages nothing.
fn check_file(connection: &Connection, database: &Path) -> Result<(), OpenError> {
    let until = Instant::now() + CHECK_TIME;
    let fault = |error: rusqlite::Error| refuse(database, &error);
    connection.progress_handler(CHECK_STEPS, Some(move || Instant::now() >= until)).map_err(fault)?;
    let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    connection.progress_handler(0, None::<fn() -> bool>).map_err(fault)?;
    match found {
        Ok(found) if found == "ok" => Ok(()),
        Ok(reason) => Err(OpenError::Corrupt { path: database.to_owned(), reason }),
        Err(error) if is_interrupted(&error) => {
            tracing::debug!(database = %database.display(), "too large to be looked over whole at a start");
            Ok(())
        }
        Err(error) => Err(fault(error)),
    }
}

/// Looks at every page and row, however long that takes. Returns what is wrong, the first few faults of it.
pub(crate) fn look_over(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut check = connection.prepare(&format!("PRAGMA integrity_check({FAULTS_MAX})"))?;
    let found = check.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<String>, _>>();
    match found {
        Ok(found) => Ok(found.into_iter().filter(|line| line != "ok").collect()),
        Err(error) if is_corrupt(&error) => Ok(vec![error.to_string()]),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn refuse(database: &Path, error: &rusqlite::Error) -> OpenError {
    let path = database.to_owned();
    if is_corrupt(error) {
        return OpenError::Corrupt { path, reason: error.to_string() };
    }
    OpenError::Path { path, reason: error.to_string() }
}

/// The readers. They can write nothing.
pub(crate) fn readers(database: &Path) -> Result<Readers, OpenError> {
    let connect = |database: &Path| connect(database, OpenFlags::SQLITE_OPEN_READ_ONLY);
    Readers::start(database, READERS, connect).map_err(|error| refuse(database, &error))
}

/// One reader of a database that may be in use by a host. Takes no lock and brings no schema up to date.
pub(crate) fn onlooker(folder: &Path) -> Result<Readers, OpenError> {
    let database = folder.join(DATABASE);
    if !database.is_file() {
        return Err(OpenError::Missing { path: database });
    }
    let connect = |database: &Path| connect(database, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let fault = |error: rusqlite::Error| refuse(&database, &error);
    let connection = connect(&database).map_err(fault)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(fault)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match found.cmp(&known) {
        Ordering::Greater => Err(OpenError::Newer { path: database, found, known }),
        Ordering::Less => Err(OpenError::Older { path: database, found, known }),
        Ordering::Equal => Readers::start(&database, 1, connect).map_err(fault),
    }
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
