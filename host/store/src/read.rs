//! Reading tasks: one statement, so one moment. The reader pool is read-only and never waits for the writer.

use std::collections::HashMap;

use bytes::Bytes;
use kennel_protocol::fold::Fold;
use kennel_protocol::types::{Artifact, Message, Part, StreamResponse, Task, TaskState};
use kennel_protocol::{AgentId, Epoch, Seq, TaskId, TenantId, Timestamp, Ver};
use rusqlite::{Connection, Row};

use crate::claims::{digest, id};
use crate::db::{Query, bytes, query, text};
use crate::error::StoreError;
use crate::inbox::ChildStop;
use crate::room::Room;
use crate::rows::{Position, Scope, TaskRow};
use crate::sql::{inbox_kind, int, small, state_number, state_of, uint};
use crate::wake::TaskKey;

/// One client message as the store holds it.
#[derive(Clone, Debug)]
pub struct InboxMessage {
    /// Number in the inbox; 0 made the task.
    pub n: u32,
    /// Readers from this rev on see it.
    pub at_seq: Seq,
    /// Rev at which the agent had taken it.
    pub taken: Option<Seq>,
    /// The message; large contents may stand elsewhere.
    pub message: Message,
}

/// A task at one rev.
#[derive(Clone, Debug)]
pub struct TaskView {
    /// The narrow row. Its state is the newest; the view's own is in the fold.
    pub row: TaskRow,
    /// The rev that the view shows.
    pub rev: Seq,
    /// Status, artifacts, agent messages.
    pub fold: Fold,
    /// Client messages, in order.
    pub inbox: Vec<InboxMessage>,
    /// Whether some content stands in `blob`.
    pub blobs: bool,
    /// Tasks that it has sent, in the order of their ids.
    pub children: Vec<TaskId>,
    /// The room that it takes, if it is large and was read for a client.
    pub room: Room,
}

/// Whether a Task shows its artifacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artifacts {
    /// All of them; an empty list if there are none.
    Show,
    /// The member is absent if there are none.
    ShowAny,
    /// Left out.
    Omit,
}

impl TaskView {
    /// The view as an A2A Task. `history_length`: newest messages shown; none shows all. Contents in `blob` are still named, not
    /// given: see `Store::complete`.
    pub fn task(&self, history_length: Option<u32>, artifacts: Artifacts) -> Task {
        let artifacts = match artifacts {
            Artifacts::Show => Some(self.fold.artifacts.clone()),
            Artifacts::ShowAny if !self.fold.artifacts.is_empty() => Some(self.fold.artifacts.clone()),
            Artifacts::ShowAny | Artifacts::Omit => None,
        };
        Task {
            id: self.row.key.task.clone(),
            context_id: self.row.context.clone(),
            status: self.fold.status.clone(),
            artifacts,
            history: self.history(history_length),
            metadata: None,
        }
    }

    /// Client and agent messages, oldest first, the newest `length` of them.
    pub fn history(&self, length: Option<u32>) -> Vec<Message> {
        if length == Some(0) {
            return Vec::new();
        }
        let client: Vec<(Seq, Message)> =
            self.inbox.iter().map(|inbound| (inbound.at_seq, inbound.message.clone())).collect();
        newest(self.fold.history(&client), length)
    }
}

/// The newest `length` messages; none: all.
pub fn newest(mut history: Vec<Message>, length: Option<u32>) -> Vec<Message> {
    if let Some(length) = length {
        let surplus = history.len().saturating_sub(length as usize);
        history.drain(..surplus);
    }
    history
}

/// What ListTasks asks for, within a scope.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Exact context.
    pub context: Option<String>,
    /// Exact state.
    pub state: Option<TaskState>,
    /// Status recorded at or after.
    pub since: Option<Timestamp>,
    /// The last task of the page before.
    pub after: Option<(Timestamp, TaskId)>,
    /// Tasks in a page.
    pub limit: u32,
}

/// A page of tasks.
#[derive(Clone, Debug)]
pub struct Page {
    /// Newest status first.
    pub tasks: Vec<TaskView>,
    /// Whether more follow.
    pub more: bool,
    /// Matches of the filter over all pages.
    pub total: u64,
}

/// One event of the log.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Its number.
    pub seq: Seq,
    /// The terminal or interrupted state that it shows.
    pub stop: Option<TaskState>,
    /// The StreamResponse, complete.
    pub body: Bytes,
}

/// Columns of the one statement: kind, task, n, seven integers, three texts, two blobs.
/// Kinds: 0 task, 1 body, 2 event, 3 inbox, 4 count, 5 child.
/// The wanted ids come first in each join: only so are the events before the body skipped in the index, not read and dropped.
const TASKS: &str = "\
SELECT 0 AS kind, task.id AS task, rev AS n, ver AS a, epoch AS b, open AS c, state AS d, status_ms AS e, \
created_ms AS f, expires_ms AS g, owner AS t, context AS u, agent AS v, digest AS p, request AS q \
FROM want CROSS JOIN task WHERE task.tenant = ?1 AND task.id = want.id \
UNION ALL SELECT 1, task, seq, blobs, 0, 0, 0, 0, 0, 0, '', '', '', x'', body \
FROM want CROSS JOIN body WHERE tenant = ?1 AND task = want.id AND seq <= ?2 \
UNION ALL SELECT 2, task, seq, blobs, stop, 0, 0, 0, 0, 0, '', '', '', x'', body \
FROM want CROSS JOIN event WHERE tenant = ?1 AND task = want.id AND seq <= ?2 AND seq > coalesce((SELECT seq FROM body \
WHERE body.tenant = ?1 AND body.task = want.id AND body.seq <= ?2), 0) \
UNION ALL SELECT 3, task, n, blobs, at_seq, coalesce(taken_seq, -1), 0, 0, 0, 0, message_id, '', '', x'', body \
FROM want CROSS JOIN inbox WHERE tenant = ?1 AND task = want.id AND kind = 0 AND at_seq <= ?2 \
UNION ALL SELECT 5, parent, 0, 0, 0, 0, 0, 0, 0, 0, task, '', '', x'', x'' \
FROM want CROSS JOIN child WHERE tenant = ?1 AND parent = want.id";

pub(crate) fn task_sql() -> String {
    format!("WITH want (id) AS (SELECT ?3) {TASKS}")
}

/// Reads one task as it was at a rev; none: as it is now.
pub(crate) fn task(connection: &Connection, key: &TaskKey, at: Option<Seq>) -> Result<Option<TaskView>, StoreError> {
    let query = query(connection, &task_sql())?
        .bind(key.tenant.as_str())
        .bind(at.map_or(i64::MAX, |seq| int(seq.get())))
        .bind(key.task.as_str());
    Ok(views(query, key, u64::MAX)?.and_then(|(mut views, _)| views.pop()))
}

/// Stored bytes of the tasks in a page: with more, they are read one after the other, and the page ends when they are that large.
pub(crate) const PAGE_BYTES_MAX: u64 = 16 << 20;
/// Bytes of events that are read at once, unless one alone has more.
pub(crate) const EVENTS_BYTES_MAX: usize = 4 << 20;

/// The texts of a list, of its tasks and of their ids alone: only what is asked for stands in it, because a term that may be absent keeps SQLite from seeking, and one
/// that is not in the index makes it read every row.
pub(crate) fn list_sql(scope: &Scope, filter: &ListFilter) -> [String; 2] {
    let mut matches = String::from("tenant = ?1 AND owner = ?3");
    let terms = [
        (scope.agent.is_some(), " AND agent = ?4"),
        (filter.context.is_some(), " AND context = ?5"),
        (filter.state.is_some(), " AND state = ?6"),
        (filter.since.is_some(), " AND status_ms >= ?7"),
    ];
    matches.extend(terms.iter().filter(|(asked, _)| *asked).map(|(_, term)| *term));
    // The conversation's own index where one is asked for: it is short, and sorted. Else the one that has the tasks of each state in
    // the order of the answer.
    let index = if filter.context.is_some() { "task_context" } else { "task_list" };
    let by_state = scope.agent.is_some() && filter.context.is_none() && filter.state.is_none();
    let after = if filter.after.is_some() { " AND (status_ms, id) < (?8, ?9)" } else { "" };
    let range = format!("SELECT id, status_ms FROM task INDEXED BY {index} WHERE {matches}{after}");
    let page = if by_state {
        // SQLite merges the states and reads of each only what the page shows.
        let ranges: Vec<String> = states().map(|state| format!("{range} AND state = {state}")).collect();
        ranges.join(" UNION ALL ")
    } else {
        range
    };
    let total = if filter.context.is_none() && filter.since.is_none() {
        format!("coalesce(sum(tasks), 0) FROM tally WHERE {matches}")
    } else if by_state {
        let states: Vec<String> = states().map(|state| state.to_string()).collect();
        let states = states.join(", ");
        format!("count(*) FROM task INDEXED BY {index} WHERE {matches} AND state IN ({states})")
    } else {
        format!("count(*) FROM task INDEXED BY {index} WHERE {matches}")
    };
    let want = format!("WITH want (id, at) AS MATERIALIZED ({page} ORDER BY status_ms DESC, id DESC LIMIT ?10)");
    [
        format!("{want} {TASKS} UNION ALL SELECT 4, '', (SELECT {total}), 0, 0, 0, 0, 0, 0, 0, '', '', '', x'', x''"),
        format!("{want} SELECT id, at FROM want UNION ALL SELECT '', (SELECT {total})"),
    ]
}

/// Numbers of the states that a task can be in.
fn states() -> impl Iterator<Item = i64> {
    TaskState::ALL.iter().copied().map(state_number)
}

/// A page that was read, or one that is too large to be read at once.
pub(crate) enum Listed {
    /// All of it.
    Page(Page),
    /// The ids of its tasks, and the page without them.
    Large(Vec<TaskId>, Page),
}

/// Reads a page of tasks of one owner.
pub(crate) fn list(connection: &Connection, scope: &Scope, filter: &ListFilter) -> Result<Listed, StoreError> {
    let [tasks_sql, ids_sql] = list_sql(scope, filter);
    let limit = filter.limit as usize;
    let any = TaskKey { tenant: scope.tenant.clone(), task: TaskId::generate() };
    if let Some((mut tasks, total)) = views(bound(query(connection, &tasks_sql)?, scope, filter), &any, PAGE_BYTES_MAX)?
    {
        tasks.sort_by(|a, b| (b.row.status_at, &b.row.key.task).cmp(&(a.row.status_at, &a.row.key.task)));
        let more = tasks.len() > limit;
        tasks.truncate(limit);
        return Ok(Listed::Page(Page { tasks, more, total }));
    }
    let mut total = 0;
    let mut ids = Vec::new();
    bound(query(connection, &ids_sql)?, scope, filter).all(|row| {
        match text(row, 0)? {
            "" => total = uint(row.get(1)?),
            task => ids.push((row.get::<_, i64>(1)?, id::<TaskId>(task)?)),
        }
        Ok::<(), StoreError>(())
    })?;
    ids.sort_by(|a, b| b.cmp(a));
    let more = ids.len() > limit;
    let ids = ids.into_iter().take(limit).map(|(_, task)| task).collect();
    Ok(Listed::Large(ids, Page { tasks: Vec::new(), more, total }))
}

/// The values of a list.
fn bound<'c>(query: Query<'c>, scope: &Scope, filter: &ListFilter) -> Query<'c> {
    query
        .bind(scope.tenant.as_str())
        .bind(i64::MAX)
        .bind(scope.owner.as_str())
        .bind(scope.agent.as_ref().map(|agent| agent.as_str()))
        .bind(filter.context.as_deref())
        .bind(filter.state.map(state_number))
        .bind(filter.since.map(|since| since.millis()))
        .bind(filter.after.as_ref().map(|(at, _)| at.millis()))
        .bind(filter.after.as_ref().map(|(_, task)| task.as_str()))
        .bind(i64::from(filter.limit) + 1)
}

/// The pieces of a task before they are put together.
#[derive(Default)]
struct Pieces {
    row: Option<TaskRow>,
    body: Option<(Seq, Fold)>,
    events: Vec<(Seq, StreamResponse)>,
    inbox: Vec<InboxMessage>,
    blobs: bool,
    children: Vec<TaskId>,
}

/// Places of the columns in [`TASKS`].
mod column {
    pub(super) const KIND: usize = 0;
    pub(super) const TASK: usize = 1;
    pub(super) const N: usize = 2;
    pub(super) const A: usize = 3;
    pub(super) const B: usize = 4;
    pub(super) const C: usize = 5;
    pub(super) const D: usize = 6;
    pub(super) const E: usize = 7;
    pub(super) const F: usize = 8;
    pub(super) const G: usize = 9;
    pub(super) const T: usize = 10;
    pub(super) const U: usize = 11;
    pub(super) const V: usize = 12;
    pub(super) const P: usize = 13;
    pub(super) const Q: usize = 14;
}

/// None: there are more than `bytes_max` stored bytes.
fn views(query: Query<'_>, key: &TaskKey, bytes_max: u64) -> Result<Option<(Vec<TaskView>, u64)>, StoreError> {
    let mut pieces: HashMap<String, Pieces> = HashMap::new();
    let (mut total, mut read) = (0, 0);
    query.while_some(|row| {
        read += bytes(row, column::Q)?.len() as u64;
        if read > bytes_max {
            return Ok(None);
        }
        let n: i64 = row.get(column::N)?;
        let kind: i64 = row.get(column::KIND)?;
        if kind == 4 {
            total = uint(n);
            return Ok(Some(()));
        }
        let task = text(row, column::TASK)?;
        if !pieces.contains_key(task) {
            pieces.insert(task.to_owned(), Pieces::default());
        }
        let Some(known) = pieces.get_mut(task) else { return Ok(Some(())) };
        known.blobs |= kind != 0 && row.get::<_, i64>(column::A)? > 0;
        match kind {
            0 => known.row = Some(task_row(row, key)?),
            1 => known.body = Some((Seq::new(uint(n)), parse(bytes(row, column::Q)?)?)),
            2 => known.events.push((Seq::new(uint(n)), parse(bytes(row, column::Q)?)?)),
            5 => known.children.push(id(text(row, column::T)?)?),
            _ => known.inbox.push(inbox_message(row, n)?),
        }
        Ok::<_, StoreError>(Some(()))
    })?;
    if read > bytes_max {
        return Ok(None);
    }
    let views = pieces.into_values().filter_map(|pieces| view(pieces).transpose());
    Ok(Some((views.collect::<Result<_, _>>()?, total)))
}

fn task_row(row: &Row<'_>, key: &TaskKey) -> Result<TaskRow, StoreError> {
    let number = |column: usize| row.get::<_, i64>(column);
    Ok(TaskRow {
        key: TaskKey { tenant: key.tenant.clone(), task: id(text(row, column::TASK)?)? },
        owner: id(text(row, column::T)?)?,
        context: id(text(row, column::U)?)?,
        agent: id(text(row, column::V)?)?,
        digest: digest(bytes(row, column::P)?)?,
        state: state_of(number(column::D)?)?,
        status_at: Timestamp::from_millis(number(column::E)?),
        created: Timestamp::from_millis(number(column::F)?),
        expires: Timestamp::from_millis(number(column::G)?),
        at: Position { ver: Ver::new(uint(number(column::A)?)), rev: Seq::new(uint(number(column::N)?)) },
        epoch: Epoch::new(uint(number(column::B)?)),
        open: number(column::C)? != 0,
        request: Bytes::copy_from_slice(bytes(row, column::Q)?),
    })
}

fn inbox_message(row: &Row<'_>, n: i64) -> Result<InboxMessage, StoreError> {
    let taken: i64 = row.get(column::C)?;
    Ok(InboxMessage {
        n: small(n),
        at_seq: Seq::new(uint(row.get(column::B)?)),
        taken: (taken >= 0).then(|| Seq::new(uint(taken))),
        message: parse(bytes(row, column::Q)?)?,
    })
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn view(mut pieces: Pieces) -> Result<Option<TaskView>, StoreError> {
    let Some(row) = pieces.row else { return Ok(None) };
    pieces.events.sort_by_key(|(seq, _)| *seq);
    pieces.inbox.sort_by_key(|inbound| inbound.n);
    pieces.children.sort();
    let (mut rev, mut fold) = pieces.body.unwrap_or_default();
    for (seq, event) in &pieces.events {
        if *seq != rev.next() {
            return Err(StoreError::Corrupt(format!("task {} has no event {}", row.key.task, rev.next())));
        }
        fold.apply(*seq, event).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        rev = *seq;
    }
    if rev < Seq::FIRST {
        return Err(StoreError::Corrupt(format!("task {} has no event {}", row.key.task, Seq::FIRST)));
    }
    let Pieces { inbox, blobs, children, .. } = pieces;
    Ok(Some(TaskView { row, rev, fold, inbox, blobs, children, room: Room::default() }))
}

/// Bytes of events after a seq, at most `limit`, and fewer where they are large, with what stands elsewhere named, not given.
pub(crate) fn events_after(
    connection: &Connection,
    key: &TaskKey,
    after: Seq,
    limit: u32,
) -> Result<Vec<(EventRow, bool)>, StoreError> {
    let mut read = 0;
    query(
        connection,
        "SELECT seq, stop, blobs, body FROM event WHERE tenant = ? AND task = ? AND seq > ? ORDER BY seq LIMIT ?",
    )?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(int(after.get()))
    .bind(i64::from(limit))
    .while_some(|row| {
        let seq = Seq::new(uint(row.get(0)?));
        if read > EVENTS_BYTES_MAX {
            return Ok(None);
        }
        let stop = match row.get::<_, i64>(1)? {
            0 => None,
            number => Some(state_of(number)?),
        };
        let body = Bytes::copy_from_slice(bytes(row, 3)?);
        read += body.len();
        Ok(Some((EventRow { seq, stop, body }, row.get::<_, i64>(2)? > 0)))
    })
}

/// Where a blocking call that brought message `n` ends: the first stop after it was taken. Looks at events after `seen` only and says
/// up to where it has looked.
pub(crate) fn stop_after(
    connection: &Connection,
    key: &TaskKey,
    n: u32,
    seen: Seq,
) -> Result<(Option<Seq>, Seq), StoreError> {
    let rows = query(
        connection,
        "SELECT task.rev, inbox.taken_seq, event.seq, event.stop FROM task \
         LEFT JOIN inbox ON inbox.tenant = ?1 AND inbox.task = ?2 AND inbox.n = ?3 \
         LEFT JOIN event ON event.tenant = ?1 AND event.task = ?2 AND event.seq > ?4 AND event.stop <> 0 \
         WHERE task.tenant = ?1 AND task.id = ?2 ORDER BY event.seq",
    )?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(i64::from(n))
    .bind(int(seen.get()))
    .all(|row| Ok::<_, StoreError>((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let mut rev = seen;
    for (last, taken, seq, state) in rows {
        rev = Seq::new(uint(last)).max(rev);
        let (taken, Some(seq), Some(state)): (Option<i64>, Option<i64>, Option<i64>) = (taken, seq, state) else {
            continue;
        };
        if state_of(state)?.is_terminal() || taken.is_some_and(|taken| taken <= seq) {
            return Ok((Some(Seq::new(uint(seq))), rev));
        }
    }
    Ok((None, rev))
}

/// The first stop of a task at a seq or after it.
pub(crate) fn first_stop(connection: &Connection, key: &TaskKey, since: Seq) -> Result<Option<Seq>, StoreError> {
    query(
        connection,
        "SELECT seq FROM event WHERE tenant = ? AND task = ? AND seq >= ? AND stop <> 0 ORDER BY seq LIMIT 1",
    )?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str())
    .bind(int(since.get()))
    .optional(|row| Ok(Seq::new(uint(row.get(0)?))))
    .map_err(StoreError::from)
}

/// Ids of other tasks of the same owner in one context, newest status first.
pub(crate) fn related_ids(
    connection: &Connection,
    scope: &Scope,
    context: &str,
    except: &TaskId,
    limit: u32,
) -> Result<Vec<TaskId>, StoreError> {
    query(
        connection,
        "SELECT id FROM task WHERE tenant = ? AND owner = ? AND context = ? AND id <> ? \
         ORDER BY status_ms DESC, id DESC LIMIT ?",
    )?
    .bind(scope.tenant.as_str())
    .bind(scope.owner.as_str())
    .bind(context)
    .bind(except.as_str())
    .bind(i64::from(limit))
    .all(|row| Ok(id(text(row, 0)?)?))
}

/// A parked task that has asked for authorization.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The task.
    pub key: TaskKey,
    /// Its agent.
    pub agent: AgentId,
    /// The event that asks.
    pub prompt: StreamResponse,
}

/// Parked tasks that have asked for authorization, ordered by id. `agents`: only theirs.
pub(crate) fn asking(
    connection: &Connection,
    tenant: &TenantId,
    agents: Option<&[AgentId]>,
    (after, limit): (&str, u32),
) -> Result<Vec<Asking>, StoreError> {
    let agents = agents.map(serde_json::to_string).transpose();
    query(
        connection,
        "SELECT run.task, run.agent, event.body FROM run \
         JOIN task ON task.tenant = run.tenant AND task.id = run.task \
         JOIN event ON event.tenant = run.tenant AND event.task = run.task AND event.seq = task.rev \
         WHERE run.tenant = ?1 AND run.task > ?2 AND run.state = 2 AND task.state = ?3 \
         AND (?4 IS NULL OR run.agent IN (SELECT value FROM json_each(?4))) ORDER BY run.task LIMIT ?5",
    )?
    .bind(tenant.as_str())
    .bind(after)
    .bind(state_number(TaskState::AuthRequired))
    .bind(agents.map_err(|error| StoreError::Corrupt(error.to_string()))?)
    .bind(i64::from(limit))
    .all(|row| {
        let key = TaskKey { tenant: tenant.clone(), task: id(text(row, 0)?)? };
        Ok::<_, StoreError>(Asking { key, agent: id(text(row, 1)?)?, prompt: parse(bytes(row, 2)?)? })
    })
}

/// What waits in a task's inbox for its agent.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Messages not taken, in order.
    pub messages: Vec<InboxMessage>,
    /// The request to stop, if there is one, with its number; bytes as the service wrote them.
    pub cancel: Option<(u32, Bytes)>,
    /// Children that came to a stop, with their numbers in the inbox.
    pub children: Vec<(u32, ChildStop)>,
    /// Where the log stands.
    pub at: Position,
    /// Fencing token now.
    pub epoch: Epoch,
    /// Whether a message's content stands in `blob`.
    pub blobs: bool,
}

/// Reads what waits for an agent, at one moment.
pub(crate) fn waiting(connection: &Connection, key: &TaskKey) -> Result<Option<Waiting>, StoreError> {
    let query = query(connection, "SELECT task.ver, task.rev, task.epoch, inbox.n, inbox.kind, inbox.at_seq, inbox.taken_seq, inbox.blobs, inbox.body \
         FROM task LEFT JOIN inbox ON inbox.tenant = ?1 AND inbox.task = ?2 AND (inbox.taken_seq IS NULL OR inbox.kind = 1) \
         WHERE task.tenant = ?1 AND task.id = ?2 ORDER BY inbox.n")?
    .bind(key.tenant.as_str())
    .bind(key.task.as_str());
    let mut found = None;
    query.all(|row| {
        let waiting = match &mut found {
            Some(waiting) => waiting,
            none => none.insert(Waiting {
                messages: Vec::new(),
                cancel: None,
                children: Vec::new(),
                at: Position { ver: Ver::new(uint(row.get(0)?)), rev: Seq::new(uint(row.get(1)?)) },
                epoch: Epoch::new(uint(row.get(2)?)),
                blobs: false,
            }),
        };
        let Some(n) = row.get::<_, Option<i64>>(3)? else { return Ok(()) };
        let body = bytes(row, 8)?;
        let kind = row.get::<_, i64>(4)?;
        if kind == inbox_kind::CANCEL {
            waiting.cancel = Some((small(n), Bytes::copy_from_slice(body)));
        } else if kind == inbox_kind::CHILD {
            waiting.children.push((small(n), parse(body)?));
        } else {
            waiting.blobs |= row.get::<_, i64>(7)? > 0;
            let at_seq = Seq::new(uint(row.get(5)?));
            waiting.messages.push(InboxMessage { n: small(n), at_seq, taken: None, message: parse(body)? });
        }
        Ok::<(), StoreError>(())
    })?;
    Ok(found)
}

/// All parts of an event.
pub(crate) fn event_parts(event: &mut StreamResponse) -> Vec<&mut Part> {
    match event {
        StreamResponse::Task(task) => task_parts(task),
        StreamResponse::Message(message) => message.parts.iter_mut().collect(),
        StreamResponse::StatusUpdate(update) => {
            update.status.message.iter_mut().flat_map(|message| message.parts.iter_mut()).collect()
        }
        StreamResponse::ArtifactUpdate(update) => update.artifact.parts.iter_mut().collect(),
    }
}

/// All parts of a task.
pub(crate) fn task_parts(task: &mut Task) -> Vec<&mut Part> {
    let status = task.status.message.iter_mut().flat_map(|message| message.parts.iter_mut());
    let history = task.history.iter_mut().flat_map(|message| message.parts.iter_mut());
    let artifacts = task.artifacts.iter_mut().flatten().flat_map(|artifact: &mut Artifact| artifact.parts.iter_mut());
    status.chain(history).chain(artifacts).collect()
}
