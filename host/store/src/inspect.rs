//! An operator's look at a store: read only, beside a running host or without one. Takes no lock, writes no row, sees every owner. Of a
//! database that nobody has open, SQLite leaves an empty log and its index behind; the next host takes them up.
//!
//! Never here: what a body or a call means, and any decision about a task. Called by the command line.

use std::path::Path;

use bytes::Bytes;
use kennel_protocol::types::{Message, Task, TaskState};
use kennel_protocol::{AgentId, ContextId, Digest, Seq, TaskId, TenantId, Timestamp};
use rusqlite::{Connection, Row};

use crate::claims::id;
use crate::db::{Readers, query, text};
use crate::error::{OpenError, StoreError};
use crate::journal::{self, JournalEnd, JournalRow};
use crate::read::{self, EventRow, TaskView};
use crate::sql::{run_state, small, state_number, state_of, uint};
use crate::wake::TaskKey;
use crate::{blob, open, whole};

/// Ids that begin alike and are named when an id is not clear.
const ALIKE_MAX: i64 = 5;

/// A database opened for reading. Sees what is committed.
#[derive(Debug)]
pub struct Inspector {
    readers: Readers,
}

/// Which tasks are listed.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Of this agent.
    pub agent: Option<AgentId>,
    /// Of this conversation.
    pub context: Option<ContextId>,
    /// In this state.
    pub state: Option<TaskState>,
    /// At most this many.
    pub limit: u32,
}

/// A task in a list.
#[derive(Clone, Debug)]
pub struct TaskLine {
    /// The task.
    pub task: TaskId,
    /// Its agent.
    pub agent: AgentId,
    /// Its conversation.
    pub context: ContextId,
    /// Where it stands.
    pub state: TaskState,
    /// Since when.
    pub status_at: Timestamp,
    /// When it was accepted.
    pub created: Timestamp,
    /// Its last event.
    pub rev: Seq,
    /// Rows of its journal.
    pub calls: u32,
    /// Where its run stands; none once it is over.
    pub run: Option<RunRow>,
}

/// Who works on a task, or when somebody will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Where it stands.
    pub state: RunState,
    /// When it may be claimed.
    pub due: Option<Timestamp>,
    /// Whether it goes before all that only works.
    pub first: bool,
    /// Who holds it.
    pub host: Option<String>,
    /// Claims since the last progress.
    pub attempts: u32,
    /// Why it was given back the last time.
    pub last_error: Option<String>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It waits for a host.
    Ready,
    /// A host works on it.
    Leased,
    /// Its agent waits, without an instance.
    Parked,
    /// This release cannot go on with it.
    Held,
    /// It is given up.
    Dead,
}

/// All that is known of one task, at one moment.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// The task; large contents are named.
    pub view: TaskView,
    /// Where its run stands; none once it is over.
    pub run: Option<RunRow>,
    /// The request to stop, if there is one, with its number in the inbox.
    pub cancel: Option<(u32, Bytes)>,
    /// Where its journal stands.
    pub journal: JournalEnd,
    /// The last row of its journal; a large result is named.
    pub last: Option<JournalRow>,
    /// Runs that are claimed before its own.
    pub ahead: u64,
    /// Runs that a host holds.
    pub leased: u64,
}

impl Inspector {
    /// Opens the database in a folder. Errors name cause and cure.
    pub async fn open(folder: &Path) -> Result<Inspector, OpenError> {
        let path = folder.to_owned();
        let opened = tokio::task::spawn_blocking(move || open::onlooker(&path)).await;
        let fault =
            |error: tokio::task::JoinError| OpenError::Path { path: folder.to_owned(), reason: error.to_string() };
        Ok(Inspector { readers: opened.map_err(fault)?? })
    }

    /// Looks at every page and row of the database, however long that takes: what is wrong, the first few faults of it.
    pub async fn look_over(&self) -> Result<Vec<String>, StoreError> {
        self.readers.read(open::look_over).await
    }

    /// Tasks, newest first.
    pub async fn tasks(&self, tenant: &TenantId, filter: &TaskFilter) -> Result<Vec<TaskLine>, StoreError> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.readers.read(move |connection| tasks(connection, &tenant, &filter)).await
    }

    /// Ids that begin with a text, a few of them.
    pub async fn beginning(&self, tenant: &TenantId, text: &str) -> Result<Vec<TaskId>, StoreError> {
        let (tenant, text) = (tenant.clone(), text.to_owned());
        self.readers.read(move |connection| beginning(connection, &tenant, &text)).await
    }

    /// One task.
    pub async fn task(&self, key: &TaskKey) -> Result<Option<Inspected>, StoreError> {
        let wanted = key.clone();
        let found = self.readers.read(move |connection| inspect(connection, &wanted)).await?;
        let Some((mut found, blobs)) = found else { return Ok(None) };
        if let Some(row) = found.journal.checkpoint.as_mut().filter(|_| blobs) {
            whole::put_back(&self.readers, &key.tenant, row).await?;
        }
        Ok(Some(found))
    }

    /// Events after a seq, complete, at most `limit`, and fewer where they are large; none only if there are none.
    pub async fn events_after(&self, key: &TaskKey, after: Seq, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        whole::events_after(&self.readers, key, after, limit).await
    }

    /// Rows of a task's journal after a number, at most `limit`, in order.
    pub async fn journal_after(&self, key: &TaskKey, idx: u32, limit: u32) -> Result<Vec<JournalRow>, StoreError> {
        whole::journal_after(&self.readers, key, idx, limit).await
    }

    /// The first checkpoint after a row.
    pub async fn next_checkpoint(&self, key: &TaskKey, idx: u32) -> Result<Option<JournalRow>, StoreError> {
        let wanted = key.clone();
        let found = self.readers.read(move |connection| journal::next_checkpoint(connection, &wanted, idx)).await?;
        let Some((mut row, blobs)) = found else { return Ok(None) };
        if blobs {
            whole::put_back(&self.readers, &key.tenant, &mut row).await?;
        }
        Ok(Some(row))
    }

    /// Microseconds of thread CPU time recorded after one row and up to another.
    pub async fn cpu_us(&self, key: &TaskKey, after: u32, last: u32) -> Result<u64, StoreError> {
        let wanted = key.clone();
        self.readers.read(move |connection| journal::cpu_us(connection, &wanted, after, last)).await
    }

    /// The bytes of a component.
    pub async fn component(&self, tenant: &TenantId, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        let (tenant, digest) = (tenant.clone(), *digest);
        self.readers.read(move |connection| blob::get(connection, &tenant, &digest)).await
    }

    /// Puts large contents back into a task.
    pub async fn complete(&self, tenant: &TenantId, task: &mut Task) -> Result<(), StoreError> {
        blob::put_back(&self.readers, tenant, read::task_parts(task)).await
    }

    /// Puts large contents back into a message.
    pub async fn complete_message(&self, tenant: &TenantId, message: &mut Message) -> Result<(), StoreError> {
        blob::put_back(&self.readers, tenant, message.parts.iter_mut().collect()).await
    }
}

impl Drop for Inspector {
    /// Its connection is closed when this returns, so that a store which is closed later is the last.
    fn drop(&mut self) {
        self.readers.close();
    }
}

fn tasks(connection: &Connection, tenant: &TenantId, filter: &TaskFilter) -> Result<Vec<TaskLine>, StoreError> {
    query(
        connection,
        "SELECT task.id, task.agent, task.context, task.state, task.status_ms, task.created_ms, task.rev, task.calls, \
         run.state, run.due_ms, run.priority, run.host, run.attempts, run.last_error \
         FROM task LEFT JOIN run ON run.tenant = task.tenant AND run.task = task.id \
         WHERE task.tenant = ?1 AND (?2 IS NULL OR task.agent = ?2) AND (?3 IS NULL OR task.context = ?3) \
         AND (?4 IS NULL OR task.state = ?4) ORDER BY task.id DESC LIMIT ?5",
    )?
    .bind(tenant.as_str())
    .bind(filter.agent.as_ref().map(AgentId::as_str))
    .bind(filter.context.as_ref().map(ContextId::as_str))
    .bind(filter.state.map(state_number))
    .bind(i64::from(filter.limit))
    .all(|row| {
        Ok(TaskLine {
            task: id(text(row, 0)?)?,
            agent: id(text(row, 1)?)?,
            context: id(text(row, 2)?)?,
            state: state_of(row.get(3)?)?,
            status_at: Timestamp::from_millis(row.get(4)?),
            created: Timestamp::from_millis(row.get(5)?),
            rev: Seq::new(uint(row.get(6)?)),
            calls: small(row.get(7)?),
            run: run(row, 8)?,
        })
    })
}

/// The run that stands in six columns from `first` on.
fn run(row: &Row<'_>, first: usize) -> Result<Option<RunRow>, StoreError> {
    let Some(number) = row.get::<_, Option<i64>>(first)? else { return Ok(None) };
    Ok(Some(RunRow {
        state: run_state(number)?,
        due: row.get::<_, Option<i64>>(first + 1)?.map(Timestamp::from_millis),
        first: row.get::<_, i64>(first + 2)? < crate::sql::priority::WORK,
        host: row.get(first + 3)?,
        attempts: small(row.get(first + 4)?),
        last_error: row.get(first + 5)?,
    }))
}

fn run_state(number: i64) -> Result<RunState, StoreError> {
    Ok(match number {
        run_state::READY => RunState::Ready,
        run_state::LEASED => RunState::Leased,
        run_state::PARKED => RunState::Parked,
        3 => RunState::Held,
        4 => RunState::Dead,
        other => return Err(StoreError::Corrupt(format!("no run state has the number {other}"))),
    })
}

fn beginning(connection: &Connection, tenant: &TenantId, begin: &str) -> Result<Vec<TaskId>, StoreError> {
    query(connection, "SELECT id FROM task WHERE tenant = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?")?
        .bind(tenant.as_str())
        .bind(begin)
        .bind(format!("{begin}{}", char::MAX))
        .bind(ALIKE_MAX)
        .all(|row| Ok(id(text(row, 0)?)?))
}

/// Several statements, one transaction, so one moment. With whether the checkpoint's result names a blob.
fn inspect(connection: &Connection, key: &TaskKey) -> Result<Option<(Inspected, bool)>, StoreError> {
    // Ends when it is dropped; nothing was written.
    let _moment = connection.unchecked_transaction()?;
    let Some(view) = read::task(connection, key, None)? else { return Ok(None) };
    let run = query(
        connection,
        "SELECT state, due_ms, priority, host, attempts, last_error FROM run WHERE tenant = ? AND task = ?",
    )?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .all(|row| run(row, 0))?;
    let run = run.into_iter().flatten().next();
    let (journal, blobs) = journal::end(connection, key)?;
    let last = journal::after(connection, key, journal.last.saturating_sub(1), 1)?.pop().map(|(row, _)| row);
    let cancel = read::waiting(connection, key)?.and_then(|waiting| waiting.cancel);
    let ahead = match run.as_ref().and_then(|run| Some((run, run.due?))) {
        Some((run, due)) => ahead(connection, run, due)?,
        None => 0,
    };
    let leased = query(connection, "SELECT count(*) FROM run WHERE state = 1 AND host = ?")?
        .bind(crate::HOST)
        .one(|row| Ok(uint(row.get(0)?)))?;
    Ok(Some((Inspected { view, run, cancel, journal, last, ahead, leased }, blobs)))
}

/// How many runs are claimed before one that is due.
fn ahead(connection: &Connection, run: &RunRow, due: Timestamp) -> Result<u64, StoreError> {
    let priority = if run.first { crate::sql::priority::CANCEL } else { crate::sql::priority::WORK };
    let ahead = query(
        connection,
        "SELECT count(*) FROM run WHERE state IN (0, 2) AND priority IN (-1, 0) AND due_ms IS NOT NULL \
         AND (priority, due_ms) < (?, ?)",
    )?
    .bind(priority)
    .bind(due.millis())
    .one(|row| Ok(uint(row.get(0)?)))?;
    Ok(ahead)
}
