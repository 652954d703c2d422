//! Tasks that tasks have sent: the link from child to parent, and the word that a child has come to a stop.
//!
//! The word is a row in the parent's inbox, written in the transaction of the stop, so that no stop is ever missed. Never here: what a
//! parent makes of it.

use kennel_protocol::types::TaskState;
use kennel_protocol::{AgentId, Seq, TaskId};
use rusqlite::Connection;

use crate::claims::id;
use crate::db::{query, text};
use crate::error::StoreError;
use crate::inbox::{self, ChildStop};
use crate::rows::NewTask;
use crate::sql::{SetStatement, run_state, state_of, uint};
use crate::wake::TaskKey;

/// How a task is linked to the one that sent its first message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The task that sent it, of the same tenant.
    pub task: TaskId,
    /// The task at the top of the tree.
    pub root: TaskId,
}

/// How many tasks a task has sent, and how many there are in its tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Family {
    /// Sent by the task itself.
    pub children: u64,
    /// Below the task at the top.
    pub tree: u64,
}

const CHILD: SetStatement =
    SetStatement { head: "INSERT INTO child (tenant, task, parent, root) VALUES ", columns: 4, tail: "" };

/// For the test that prepares every statement.
#[cfg(test)]
pub(crate) const SETS: &[&SetStatement] = &[&CHILD];

/// Links new tasks to those that sent them.
pub(crate) fn link(connection: &Connection, creates: &[(&NewTask, i64)]) -> Result<(), rusqlite::Error> {
    let children: Vec<(&TaskKey, &Parent)> =
        creates.iter().filter_map(|(new, _)| Some((&new.key, new.parent.as_ref()?))).collect();
    CHILD
        .run(connection, &children, |query, (key, parent)| {
            let query = query.bind(key.tenant.as_str()).bind(key.task.as_str()).bind(parent.task.as_str());
            query.bind(parent.root.as_str())
        })
        .map(drop)
}

/// Tells the parent of a task, if it has one that is not over, that the task has come to a stop. Returns whom to poke.
pub(crate) fn tell(connection: &Connection, key: &TaskKey, seq: u64) -> Result<Option<TaskKey>, rusqlite::Error> {
    let parent = query(
        connection,
        "SELECT child.parent, task.rev FROM child JOIN task ON task.tenant = child.tenant \
         AND task.id = child.parent JOIN run ON run.tenant = child.tenant AND run.task = child.parent \
         WHERE child.tenant = ? AND child.task = ?",
    )?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .optional(|row| Ok((id::<TaskId>(text(row, 0)?)?, row.get::<_, i64>(1)?)))?;
    let Some((task, rev)) = parent else { return Ok(None) };
    let parent = TaskKey { tenant: key.tenant.clone(), task };
    inbox::put_stop(connection, &parent, rev, &ChildStop { task: key.task.clone(), seq: Seq::new(seq) })?;
    query(
        connection,
        "UPDATE run SET state = ?, due_ms = 0 WHERE tenant = ? AND task = ? AND state = ? AND listens IN (2, 3)",
    )?
    .bind(run_state::READY)
    .bind(parent.tenant.as_str())
    .bind(parent.task.as_str())
    .bind(run_state::PARKED)
    .execute()?;
    Ok(Some(parent))
}

/// How large a task's family is.
pub(crate) fn family(connection: &Connection, key: &TaskKey, root: &TaskId) -> Result<Family, StoreError> {
    query(
        connection,
        "SELECT (SELECT count(*) FROM child WHERE tenant = ?1 AND parent = ?2), \
         (SELECT count(*) FROM child WHERE tenant = ?1 AND root = ?3)",
    )?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(root.as_str())
    .one(|row| Ok(Family { children: uint(row.get(0)?), tree: uint(row.get(1)?) }))
    .map_err(StoreError::from)
}

/// The tasks that a task has sent, with the agents that work on them and how they stand.
pub(crate) fn children(
    connection: &Connection,
    key: &TaskKey,
) -> Result<Vec<(TaskId, AgentId, TaskState)>, StoreError> {
    query(
        connection,
        "SELECT child.task, task.agent, task.state FROM child JOIN task ON task.tenant = child.tenant \
         AND task.id = child.task WHERE child.tenant = ? AND child.parent = ? ORDER BY child.task",
    )?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .all(|row| Ok((id(text(row, 0)?)?, id(text(row, 1)?)?, state_of(row.get(2)?)?)))
}
