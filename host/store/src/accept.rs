//! The accept of new tasks: task, event 1, inbox 0 and run of each, in the transaction that makes them exist.

use kennel_protocol::types::TaskState;
use rusqlite::Connection;

use crate::blob::{self, BlobUse};
use crate::child;
use crate::commit;
use crate::journal;
use crate::rows::{NewTask, OldMessage, Start};
use crate::sql::{SetStatement, inbox_kind, priority, run_state, state_number};
use crate::writer::Again;

const TASK: SetStatement = SetStatement {
    head: "INSERT INTO task (tenant, id, owner, context, agent, digest, state, status_ms, created_ms, expires_ms, \
           rev, ver, epoch, open, commit_id, request) VALUES ",
    columns: 16,
    tail: "",
};

const INBOX: SetStatement = SetStatement {
    head: "INSERT INTO inbox (tenant, task, n, kind, at_seq, taken_seq, message_id, hash, blobs, body) VALUES ",
    columns: 10,
    tail: "",
};

const RUN: SetStatement = SetStatement {
    head: "INSERT INTO run (tenant, task, agent, state, priority, due_ms, host, attempts) VALUES ",
    columns: 8,
    tail: "",
};

/// For the test that prepares every statement.
#[cfg(test)]
pub(crate) const SETS: &[&SetStatement] = &[&TASK, &INBOX, &RUN];

/// Inserts all of them.
pub(crate) fn create(connection: &Connection, creates: &[(&NewTask, i64)]) -> Result<(), rusqlite::Error> {
    TASK.run(connection, creates, |query, (new, commit_id)| {
        let created = new.created.millis();
        query
            .bind(new.key.tenant.as_str())
            .bind(new.key.task.as_str())
            .bind(new.owner.as_str())
            .bind(new.context.as_str())
            .bind(new.agent.as_str())
            .bind(new.digest.as_bytes().as_slice())
            .bind(state_number(TaskState::Submitted))
            .bind(created)
            .bind(created)
            .bind(new.expires.millis())
            .bind(1_i64)
            .bind(1_i64)
            .bind(epoch(new.start))
            .bind(0_i64)
            .bind(*commit_id)
            .bind(new.request.as_ref())
    })?;
    commit::EVENT.run(connection, creates, |query, (new, _)| {
        let query = query.bind(new.key.tenant.as_str()).bind(new.key.task.as_str());
        query.bind(1_i64).bind(0_i64).bind(0_i64).bind(new.event.as_ref())
    })?;
    INBOX.run(connection, creates, |query, (new, _)| {
        let stored = &new.message.stored;
        let query = query.bind(new.key.tenant.as_str()).bind(new.key.task.as_str());
        let query = query.bind(0_i64).bind(inbox_kind::MESSAGE).bind(1_i64).bind(1_i64);
        let query = query.bind(new.message.message_id.as_str()).bind(new.message.hash.as_slice());
        query.bind(i64::from(stored.blobs)).bind(stored.body.as_ref())
    })?;
    RUN.run(connection, creates, |query, (new, _)| {
        let leased = new.start == Start::Leased;
        let query = query.bind(new.key.tenant.as_str()).bind(new.key.task.as_str()).bind(new.agent.as_str());
        let query = query.bind(if leased { run_state::LEASED } else { run_state::READY }).bind(priority::WORK);
        query
            .bind((!leased).then_some(new.created.millis()))
            .bind(leased.then_some(crate::HOST))
            .bind(i64::from(leased))
    })?;
    child::link(connection, creates)?;
    let uses: Vec<BlobUse<'_>> = creates
        .iter()
        .flat_map(|(new, _)| new.message.stored.digests.iter().map(|digest| BlobUse::of_task(&new.key, digest)))
        .collect();
    blob::count(connection, &uses)
}

fn epoch(start: Start) -> i64 {
    match start {
        Start::Leased => 1,
        Start::Ready => 0,
    }
}

/// As [`create`], of one task that takes over what a former one was told.
pub(crate) fn again(connection: &Connection, again: &Again, commit_id: i64) -> Result<(), rusqlite::Error> {
    let Again { new, past } = again;
    create(connection, &[(new, commit_id)])?;
    let messages: Vec<(i64, &OldMessage)> = (1..).zip(&past.messages).collect();
    INBOX.run(connection, &messages, |query, (n, old)| {
        let stored = &old.message.stored;
        let query = query.bind(new.key.tenant.as_str()).bind(new.key.task.as_str());
        let query = query.bind(*n).bind(inbox_kind::MESSAGE).bind(1_i64).bind((!old.waits).then_some(1_i64));
        let query = query.bind(old.message.message_id.as_str()).bind(old.message.hash.as_slice());
        query.bind(i64::from(stored.blobs)).bind(stored.body.as_ref())
    })?;
    if let Some(checkpoint) = &past.checkpoint {
        journal::begin(connection, &new.key, checkpoint)?;
    }
    let named = past.messages.iter().flat_map(|old| &old.message.stored.digests);
    let kept = past.checkpoint.iter().filter_map(|row| row.answer.as_ref()).flat_map(|answer| &answer.result.digests);
    let uses: Vec<BlobUse<'_>> = named.chain(kept).map(|digest| BlobUse::of_task(&new.key, digest)).collect();
    blob::count(connection, &uses)
}
