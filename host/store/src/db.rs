//! SQLite without ceremony: a query with its values, and the readers' threads.
//!
//! The driver is called directly, on threads of the store's own. Behind an asynchronous driver every statement, and every row of an answer,
//! is a message to another thread and back; for a task of ten small statements that cost more than the statements.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::types::{ToSql, Type};
use rusqlite::{CachedStatement, Connection, Row, RowIndex};
use tokio::sync::{mpsc, oneshot};

use crate::error::StoreError;

/// A prepared statement on its way to being run: values first, in order.
pub(crate) struct Query<'c> {
    statement: CachedStatement<'c>,
    bound: usize,
    fault: Option<rusqlite::Error>,
}

/// Prepares a statement, or takes it from the connection's cache.
pub(crate) fn query<'c>(connection: &'c Connection, sql: &str) -> rusqlite::Result<Query<'c>> {
    Ok(Query { statement: connection.prepare_cached(sql)?, bound: 0, fault: None })
}

impl Query<'_> {
    /// The next value. A fault shows when the statement is run.
    pub(crate) fn bind(mut self, value: impl ToSql) -> Self {
        self.bound += 1;
        if let Err(error) = self.statement.raw_bind_parameter(self.bound, value) {
            self.fault.get_or_insert(error);
        }
        self
    }

    fn ready(&mut self) -> rusqlite::Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }

    /// Runs it and returns how many rows it changed.
    pub(crate) fn execute(mut self) -> rusqlite::Result<usize> {
        self.ready()?;
        self.statement.raw_execute()
    }

    /// All rows.
    pub(crate) fn all<T, E: From<rusqlite::Error>>(
        self,
        mut read: impl FnMut(&Row<'_>) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        self.while_some(|row| read(row).map(Some))
    }

    /// Rows up to the first of which nothing is made; those behind it are not read.
    pub(crate) fn while_some<T, E: From<rusqlite::Error>>(
        mut self,
        mut read: impl FnMut(&Row<'_>) -> Result<Option<T>, E>,
    ) -> Result<Vec<T>, E> {
        self.ready()?;
        let mut rows = self.statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let Some(made) = read(row)? else { break };
            found.push(made);
        }
        Ok(found)
    }

    /// The first row, if there is one.
    pub(crate) fn optional<T>(
        mut self,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.ready()?;
        let mut rows = self.statement.raw_query();
        rows.next()?.map(read).transpose()
    }

    /// The one row that there must be.
    pub(crate) fn one<T>(self, read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.optional(read)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// Whether there is a row.
    pub(crate) fn exists(self) -> rusqlite::Result<bool> {
        Ok(self.optional(|_| Ok(()))?.is_some())
    }
}

/// A text of a row, where it stands.
pub(crate) fn text<'r>(row: &'r Row<'_>, column: impl RowIndex) -> rusqlite::Result<&'r str> {
    row.get_ref(column)?.as_str().map_err(decode)
}

/// Bytes of a row, where they stand.
pub(crate) fn bytes<'r>(row: &'r Row<'_>, column: impl RowIndex) -> rusqlite::Result<&'r [u8]> {
    row.get_ref(column)?.as_blob().map_err(decode)
}

/// A value is there but is not what it should be.
pub(crate) fn decode(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, Box::new(error))
}

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Reads waiting for a thread. A reader that finds no place waits: reads are short.
const JOBS_MAX: usize = 1024;

/// Threads with a read-only connection each. They see the newest commit at the start of each statement.
#[derive(Debug)]
pub(crate) struct Readers {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    /// Starts `threads` readers on connections that `connect` makes.
    pub(crate) fn start(
        database: &Path,
        threads: usize,
        connect: impl Fn(&Path) -> rusqlite::Result<Connection>,
    ) -> rusqlite::Result<Readers> {
        let (jobs, waiting) = mpsc::channel::<Job>(JOBS_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut running = Vec::with_capacity(threads);
        for n in 0..threads {
            let connection = connect(database)?;
            let waiting = Arc::clone(&waiting);
            let thread = std::thread::Builder::new().name(format!("kennel-read-{n}"));
            let thread = thread.spawn(move || work(&connection, &waiting));
            running.push(thread.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?);
        }
        Ok(Readers { jobs: Mutex::new(Some(jobs)), threads: Mutex::new(running) })
    }

    /// Runs a read on one of the threads. Cancel safe: a read that nobody waits for any more is not run, or forgotten.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Unavailable("the store is closed".to_owned());
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)?;
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            if !tell.is_closed() {
                // Whoever asked may go away meanwhile.
                tell.send(read(connection)).ok();
            }
        });
        jobs.send(job).await.map_err(|_| closed())?;
        told.await.map_err(|_| StoreError::Unavailable("a read did not end".to_owned()))?
    }

    /// Ends the threads after the reads that wait. Blocks for as long as those take.
    pub(crate) fn close(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader of the store panicked");
            }
        }
    }
}

/// One thread takes a job at a time; the lock is held while it waits for one, not while it works.
fn work(connection: &Connection, waiting: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(job) = job else { return };
        // A read that panics must not take its thread with it: the next ones would wait for ever. It has changed nothing.
        if std::panic::catch_unwind(AssertUnwindSafe(|| job(connection))).is_err() {
            tracing::error!("a read of the store panicked");
        }
    }
}
