//! Status updates that carry more than a text or a percentage.

use serde::Serialize;

use crate::error::Result;
use crate::host::task::{Progress, update_status};
use crate::message::Draft;
use crate::metadata;

/// A status update that is not sent yet, from [`Task::status`](crate::Task::status).
///
/// ```
/// # use kennel::prelude::*;
/// # fn tell(task: &Task) -> Result<()> {
/// task.status().say("Reading the second page.").progress(40).phase("read").send()
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use = "a status is sent by send"]
pub struct Status {
    message: Option<Draft>,
    progress: Option<Progress>,
    metadata: Option<String>,
}

impl Status {
    /// Says something to the client.
    pub fn say(mut self, message: impl Into<Draft>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Tells how far the work is: 0 to 100. It may go down if the work turns out to be longer.
    pub fn progress(mut self, percent: u8) -> Self {
        self.progress_mut().percent = Some(percent);
        self
    }

    /// Names the current step, for people.
    pub fn phase(mut self, phase: impl Into<String>) -> Self {
        self.progress_mut().phase = Some(phase.into());
        self
    }

    /// Sets a value in the metadata of the update; keys of an A2A extension are its URI.
    pub fn with_metadata(mut self, key: &str, value: impl Serialize) -> Result<Self> {
        metadata::set(&mut self.metadata, key, value)?;
        Ok(self)
    }

    /// Sends it. The state stays WORKING. Of updates that carry only progress, at most one in 250 ms becomes an event.
    pub fn send(self) -> Result<()> {
        update_status(self.message.as_ref(), self.progress.as_ref(), self.metadata.as_deref())
    }

    fn progress_mut(&mut self) -> &mut Progress {
        self.progress.get_or_insert(Progress { percent: None, phase: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_collects_what_to_tell() {
        let status = Status::default().progress(40).phase("read").with_metadata("k", 1).unwrap();
        assert_eq!(status.progress, Some(Progress { percent: Some(40), phase: Some("read".into()) }));
        assert_eq!((status.message, status.metadata.as_deref()), (None, Some(r#"{"k":1}"#)));
    }
}
