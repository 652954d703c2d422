//! What the journal of a task says that an agent elsewhere works on: the interface that the card led to, each message with what came of
//! it, and the request to stop. One row each; everything that a claim must know of former ones is read from here.

use kennel_protocol::types::{Task, TaskStatus};
use kennel_protocol::{ContextId, Digest, TaskId, Timestamp};
use kennel_sandbox::call::{GuestError, Moment};
use kennel_store::{JournalRow, NewAnswer, NewCall, Store, StoreError, Stored, TaskKey};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// The card was read.
pub(crate) const CARD: &str = "remote.card";
/// A message was sent.
pub(crate) const SEND: &str = "remote.send";
/// The task there was asked to stop.
pub(crate) const CANCEL: &str = "remote.cancel";

/// A message that leaves: the request of its row.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Leaving {
    /// The same whenever it is sent again.
    pub(super) message_id: String,
    /// Its number in the inbox.
    pub(super) n: u32,
    /// The prompt that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) prompt: Option<String>,
}

/// What came of a row.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Came {
    /// The interface.
    Interface(Interface),
    /// A task works on the message.
    Task(There),
    /// The message was answered without a task.
    Bare(Option<ContextId>),
    /// The request to stop was heard.
    Heard,
    /// Nothing more is tried.
    Error(GuestError),
}

/// An interface of an agent elsewhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Interface {
    pub(super) endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<String>,
}

/// A task where it lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct There {
    pub(crate) task: TaskId,
    pub(crate) context: ContextId,
}

/// Where the work stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stand {
    /// The last row.
    pub(super) last: u32,
    pub(super) interface: Option<Interface>,
    /// The row of a message of which nothing is known yet.
    pub(super) under_way: Option<(u32, Leaving)>,
    /// The task there.
    pub(crate) there: Option<There>,
    /// It was answered by a bare message, of this conversation.
    pub(crate) bare: Option<Option<ContextId>>,
    /// The prompt that was answered last.
    pub(super) answered: Option<String>,
    /// Whether the task there was asked to stop.
    pub(super) canceled: bool,
    /// When something came of a row last, in microseconds.
    pub(super) since_us: u64,
}

impl Stand {
    /// Reads the journal of a task.
    pub(crate) async fn read(store: &Store, key: &TaskKey) -> Result<Stand, StoreError> {
        let mut stand = Stand::default();
        for row in store.journal_after(key, 0, u32::MAX).await? {
            stand.add(&row)?;
        }
        Ok(stand)
    }

    fn add(&mut self, row: &JournalRow) -> Result<(), StoreError> {
        let corrupt = |error: serde_json::Error| StoreError::Corrupt(format!("row {} of a journal: {error}", row.idx));
        self.last = row.idx;
        if row.call == SEND {
            let leaving: Leaving = serde_json::from_str(&row.request).map_err(corrupt)?;
            self.answered.clone_from(&leaving.prompt);
            self.under_way = Some((row.idx, leaving));
        }
        let Some((result, at_us)) = &row.answer else { return Ok(()) };
        if row.call == SEND {
            self.under_way = None;
        }
        self.since_us = *at_us;
        match serde_json::from_slice(result).map_err(corrupt)? {
            Came::Interface(interface) => self.interface = Some(interface),
            Came::Task(there) => self.there = Some(there),
            Came::Bare(context) => self.bare = Some(context),
            Came::Heard => self.canceled = true,
            Came::Error(_) => {}
        }
        Ok(())
    }

    /// The task as its sender knows it: by the names that it has there.
    pub(crate) fn as_there(&self, mut task: Task) -> Task {
        let Some(there) = &self.there else { return task };
        task.id.clone_from(&there.task);
        task.context_id.clone_from(&there.context);
        if let Some(said) = &mut task.status.message {
            said.task_id = Some(there.task.clone());
            said.context_id = Some(there.context.clone());
        }
        task
    }
}

/// A row without a result.
pub(super) fn row<T: Serialize>(idx: u32, call: &'static str, request: &T, now: Timestamp) -> NewCall {
    // Our own small types: they always write themselves.
    let request = serde_json::to_string(request).unwrap_or_default();
    NewCall {
        idx,
        generation: 1,
        call,
        hash: sha2::Sha256::digest(&request).into(),
        request,
        answer: None,
        seq: None,
        due: None,
        asked_us: Moment::from(now).micros(),
        cpu_us: 0,
    }
}

pub(super) fn came(came: &Came, now: Timestamp) -> NewAnswer {
    let result = Stored::plain(serde_json::to_vec(came).unwrap_or_default());
    NewAnswer { result, at_us: Moment::from(now).micros() }
}

/// By what a prompt is known again. None: it shows nothing by which it could be.
pub(super) fn prompt_of(status: &TaskStatus) -> Option<String> {
    let id = status.message.as_ref().map(|message| message.message_id.as_str()).filter(|id| !id.is_empty());
    let at = status.timestamp.map(|at| at.to_string());
    if id.is_none() && at.is_none() {
        return None;
    }
    let text = format!("{} {}", id.unwrap_or_default(), at.unwrap_or_default());
    let digest = Digest::from_bytes(sha2::Sha256::digest(text).into()).to_string();
    Some(digest.chars().take(16).collect())
}
