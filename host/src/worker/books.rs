//! What a checkpoint keeps besides the agent's bytes: a host that reads the checkpoint goes on with the same artifacts and numbers.

use serde::{Deserialize, Serialize};

use super::{artifacts, pendings};

/// The books of a task at a checkpoint.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Books {
    pub(crate) artifacts: artifacts::Books,
    pub(crate) pendings: pendings::Books,
}

impl Books {
    /// The form of the row.
    pub(crate) fn text(&self) -> String {
        // Texts and numbers under text keys: it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the form of the row.
    pub(crate) fn read(text: &str) -> Result<Books, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// For another task that begins with the checkpoint: it has sent nothing yet, so artifacts that are open begin anew, and what was under
    /// way is the other task's.
    pub(crate) fn begun_anew(self) -> Books {
        Books { artifacts: self.artifacts.begun_anew(), pendings: self.pendings.begun_anew() }
    }
}
