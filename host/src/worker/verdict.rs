//! What a rehearsal can come to. Never here: how it comes to it (`rehearse.rs`). Read by the command line.

use kennel_protocol::Digest;
use kennel_protocol::types::{Content, JsonObject, Part, TaskState};
use kennel_store::{CHECKPOINT, JournalRow};
use serde::Serialize;
use sha2::Digest as _;

use super::event::ERROR_KEY;

/// What a rehearsal came to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rehearsal {
    /// The component that ran.
    pub(crate) component: Digest,
    /// Calls that were repeated alike.
    pub(crate) calls: u32,
    /// Generations that were begun.
    pub(crate) generations: u32,
    /// Where it ended.
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

/// Where a rehearsal ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub(crate) enum Verdict {
    /// The first call that is not as recorded.
    Diverged {
        /// Its place in the journal.
        idx: u32,
        /// What the journal has there.
        expected: Deed,
        /// What the component did.
        found: Deed,
    },
    /// A row that cannot be repeated by anybody.
    Damaged {
        /// Which, and what is wrong with it.
        reason: String,
    },
    /// All calls alike, and then the end that is recorded.
    Ended {
        /// The end.
        end: Deed,
    },
    /// All calls alike, and then something else than the recorded failure or request to stop.
    Better {
        /// The recorded end.
        recorded: Deed,
        /// What the component does instead.
        found: Deed,
    },
    /// All calls alike; the last is a wait.
    Waits {
        /// The wait.
        wait: Deed,
        /// The recorded end, if the task was ended while it waited.
        #[serde(skip_serializing_if = "Option::is_none")]
        ended: Option<Deed>,
    },
    /// All calls alike; then the component goes on.
    GoesOn {
        /// Its next call, or the end it comes to.
        next: Deed,
    },
}

/// A call, or an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Deed {
    /// The function as the WIT names it, or the state of the end.
    pub(crate) call: String,
    /// Its arguments (JSON, cut), or the text of the end.
    pub(crate) arguments: String,
}

impl Verdict {
    /// Whether the component does what is recorded, as far as that goes.
    pub(crate) fn is_alike(&self) -> bool {
        !matches!(self, Verdict::Diverged { .. } | Verdict::Damaged { .. })
    }
}

pub(super) fn deed_of(row: &JournalRow) -> Deed {
    if row.call == CHECKPOINT {
        return checkpoint_deed(row.hash);
    }
    Deed { call: row.call.clone(), arguments: row.request.clone() }
}

pub(super) fn checkpoint_deed(hash: [u8; 32]) -> Deed {
    Deed { call: CHECKPOINT.to_owned(), arguments: format!("sha-256 {}", Digest::from_bytes(hash)) }
}

pub(super) fn end_deed(state: TaskState, code: Option<&str>, text: &str) -> Deed {
    let state = state.as_str().trim_start_matches("TASK_STATE_");
    let arguments = match code {
        Some(code) => format!("{code}: {text}"),
        None => text.to_owned(),
    };
    Deed { call: state.to_owned(), arguments }
}

/// The code of a failure, as it stands in a message's metadata.
pub(crate) fn code_of(metadata: &JsonObject) -> Option<String> {
    let error = JsonObject::from_text(metadata.member(ERROR_KEY)?.get()).ok()?;
    serde_json::from_str(error.member("code")?.get()).ok()
}

/// Parts as one text that two of them can be compared by.
pub(super) fn text_of(parts: &[Part]) -> String {
    let texts = parts.iter().map(|part| match &part.content {
        Content::Text(text) | Content::Url(text) => text.clone(),
        Content::Data(json) => json.get().to_owned(),
        Content::Raw(bytes) => format!("sha-256 {}", Digest::from_bytes(sha2::Sha256::digest(bytes).into())),
    });
    texts.collect::<Vec<_>>().join(" ")
}
