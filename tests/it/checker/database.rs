//! What the checker reads of a database: all rows of all tasks.

use std::collections::BTreeMap;
use std::path::Path;

use kennel_protocol::Seq;
use kennel_protocol::fold::Fold;
use kennel_protocol::types::{Content, JsonValue, Message, Part, StreamResponse, TaskState};
use rusqlite::{Connection, OpenFlags, Row};

/// A database.
#[derive(Debug, Default)]
pub(crate) struct Database {
    /// By id.
    pub tasks: BTreeMap<String, TaskRows>,
}

/// The rows of one task.
#[derive(Debug, Default)]
pub(crate) struct TaskRows {
    pub id: String,
    pub state: i64,
    pub rev: i64,
    pub open: bool,
    pub calls: i64,
    pub events: Vec<EventRow>,
    /// The seq and the bytes of the folded view.
    pub body: Option<(i64, Vec<u8>)>,
    pub inbox: Vec<InboxRow>,
    pub journal: Vec<CallRow>,
    /// Number of its state, and when it is due.
    pub run: Option<(i64, Option<i64>)>,
    /// Blobs that events name and that are not there in full.
    pub blobs_missing: Vec<String>,
    /// What events and messages name instead of holding it, by digest.
    pub contents: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug)]
pub(crate) struct EventRow {
    pub seq: i64,
    pub blobs: i64,
    pub body: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct InboxRow {
    pub n: i64,
    pub is_cancel: bool,
    pub at_seq: i64,
    pub taken_seq: Option<i64>,
    pub message_id: String,
    pub body: Vec<u8>,
}

/// A row of the journal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallRow {
    pub idx: i64,
    pub generation: i64,
    pub call: String,
    pub hash: Vec<u8>,
    pub request: String,
    pub result: Option<Vec<u8>>,
    pub blobs: i64,
    pub seq: Option<i64>,
    pub asked_us: i64,
    pub answered_us: Option<i64>,
}

impl Database {
    /// Reads a file, changing nothing.
    pub(crate) fn read(path: &Path) -> Database {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        Database::of(&connection)
    }

    /// Reads by a connection.
    pub(crate) fn of(connection: &Connection) -> Database {
        let mut database = Database::default();
        let tasks = rows(connection, "SELECT id, state, rev, open, calls FROM task", |row| TaskRows {
            id: row.get_unwrap(0),
            state: row.get_unwrap(1),
            rev: row.get_unwrap(2),
            open: row.get_unwrap(3),
            calls: row.get_unwrap(4),
            ..TaskRows::default()
        });
        database.tasks = tasks.into_iter().map(|task| (task.id.clone(), task)).collect();
        database.read_log(connection);
        database.read_work(connection);
        database.look_for_blobs(connection);
        database
    }

    fn read_log(&mut self, connection: &Connection) {
        for (task, event) in rows(connection, "SELECT task, seq, blobs, body FROM event ORDER BY task, seq", |row| {
            (key(row), EventRow { seq: row.get_unwrap(1), blobs: row.get_unwrap(2), body: row.get_unwrap(3) })
        }) {
            self.task(task).events.push(event);
        }
        for (task, body) in rows(connection, "SELECT task, seq, body FROM body", |row| {
            (key(row), (row.get_unwrap(1), row.get_unwrap(2)))
        }) {
            self.task(task).body = Some(body);
        }
        let sql = "SELECT task, n, kind, at_seq, taken_seq, message_id, body FROM inbox ORDER BY task, n";
        for (task, message) in rows(connection, sql, |row| {
            let message = InboxRow {
                n: row.get_unwrap(1),
                is_cancel: row.get_unwrap::<_, i64>(2) == 1,
                at_seq: row.get_unwrap(3),
                taken_seq: row.get_unwrap(4),
                message_id: row.get_unwrap(5),
                body: row.get_unwrap(6),
            };
            (key(row), message)
        }) {
            self.task(task).inbox.push(message);
        }
    }

    fn read_work(&mut self, connection: &Connection) {
        let sql = "SELECT task, idx, generation, call, hash, request, result, blobs, seq, asked_us, answered_us FROM journal \
                   ORDER BY task, idx";
        for (task, call) in rows(connection, sql, |row| {
            let call = CallRow {
                idx: row.get_unwrap(1),
                generation: row.get_unwrap(2),
                call: row.get_unwrap(3),
                hash: row.get_unwrap(4),
                request: row.get_unwrap(5),
                result: row.get_unwrap(6),
                blobs: row.get_unwrap(7),
                seq: row.get_unwrap(8),
                asked_us: row.get_unwrap(9),
                answered_us: row.get_unwrap(10),
            };
            (key(row), call)
        }) {
            self.task(task).journal.push(call);
        }
        for (task, run) in rows(connection, "SELECT task, state, due_ms FROM run", |row| {
            (key(row), (row.get_unwrap(1), row.get_unwrap(2)))
        }) {
            self.task(task).run = Some(run);
        }
    }

    fn look_for_blobs(&mut self, connection: &Connection) {
        for task in self.tasks.values_mut() {
            let bodies = task.events.iter().map(|event| &event.body).chain(task.inbox.iter().map(|one| &one.body));
            let digests: Vec<String> = bodies.flat_map(|body| blobs_in(&String::from_utf8_lossy(body))).collect();
            let pieces = "SELECT bytes FROM blob WHERE lower(hex(digest)) = ? ORDER BY n";
            for digest in &digests {
                let mut statement = connection.prepare_cached(pieces).unwrap();
                let found = statement.query_map([digest], |row| row.get::<_, Vec<u8>>(0)).unwrap();
                task.contents.insert(digest.clone(), found.flat_map(|piece| piece.unwrap()).collect());
            }
            let sql = "SELECT count(*), max(n) + 1 FROM blob WHERE lower(hex(digest)) = ?";
            task.blobs_missing = digests;
            task.blobs_missing.retain(|digest| {
                let found: (i64, Option<i64>) =
                    connection.query_row(sql, [digest], |row| Ok((row.get_unwrap(0), row.get_unwrap(1)))).unwrap();
                found.1 != Some(found.0)
            });
        }
    }

    /// Rows without a task row are the task's all the same: what it lacks is found.
    fn task(&mut self, id: String) -> &mut TaskRows {
        self.tasks.entry(id.clone()).or_insert_with(|| TaskRows { id, ..TaskRows::default() })
    }
}

fn key(row: &Row<'_>) -> String {
    row.get_unwrap(0)
}

fn rows<T>(connection: &Connection, sql: &str, read: impl Fn(&Row<'_>) -> T) -> Vec<T> {
    let mut statement = connection.prepare(sql).unwrap();
    let found = statement.query_map([], |row| Ok(read(row))).unwrap();
    found.map(|row| row.unwrap()).collect()
}

/// The digests of `kennel:blob/KIND/SHA256` in a text.
fn blobs_in(text: &str) -> Vec<String> {
    let urls = text.split("kennel:blob/").skip(1).filter_map(|rest| rest.split_once('/'));
    urls.map(|(_, rest)| rest.chars().take_while(char::is_ascii_hexdigit).collect()).collect()
}

impl TaskRows {
    /// The task's state, if its number is one.
    pub(crate) fn state(&self) -> Option<TaskState> {
        TaskState::from_number(u64::try_from(self.state).ok()?)
    }

    /// An event, if it reads.
    pub(crate) fn event(&self, seq: i64) -> Option<&EventRow> {
        self.events.iter().find(|event| event.seq == seq)
    }

    /// The view at a rev.
    pub(crate) fn fold(&self, rev: i64) -> Result<Fold, String> {
        let mut fold = Fold::default();
        for event in self.events.iter().take_while(|event| event.seq <= rev) {
            let read: StreamResponse = serde_json::from_slice(&event.body).map_err(|error| error.to_string())?;
            let seq = Seq::new(u64::try_from(event.seq).unwrap());
            fold.apply(seq, &read).map_err(|error| error.to_string())?;
        }
        Ok(fold)
    }

    /// The bytes of an event as readers get them.
    pub(crate) fn whole(&self, event: &EventRow) -> Vec<u8> {
        if event.blobs == 0 {
            return event.body.clone();
        }
        let mut read: StreamResponse = serde_json::from_slice(&event.body).unwrap();
        match &mut read {
            StreamResponse::StatusUpdate(update) => {
                self.complete(update.status.message.iter_mut().flat_map(|message| &mut message.parts));
            }
            StreamResponse::ArtifactUpdate(update) => self.complete(&mut update.artifact.parts),
            StreamResponse::Task(_) | StreamResponse::Message(_) => {}
        }
        serde_json::to_vec(&read).unwrap()
    }

    /// Puts contents back where they are named only.
    pub(crate) fn complete<'a>(&self, parts: impl IntoIterator<Item = &'a mut Part>) {
        for part in parts {
            let Content::Url(url) = &part.content else { continue };
            let Some((kind, digest)) = url.strip_prefix("kennel:blob/").and_then(|name| name.split_once('/')) else {
                continue;
            };
            let bytes = self.contents.get(digest).cloned().unwrap_or_default();
            part.content = match kind {
                "raw" => Content::Raw(bytes.into()),
                "text" => Content::Text(String::from_utf8(bytes).unwrap()),
                _ => Content::Data(JsonValue::from_text(&String::from_utf8(bytes).unwrap()).unwrap()),
            };
        }
    }

    /// What clients had said at a rev.
    pub(crate) fn said(&self, rev: i64) -> Vec<(Seq, Message)> {
        let messages = self.inbox.iter().filter(|message| !message.is_cancel && message.at_seq <= rev);
        messages
            .map(|message| {
                (Seq::new(u64::try_from(message.at_seq).unwrap()), serde_json::from_slice(&message.body).unwrap())
            })
            .collect()
    }
}
