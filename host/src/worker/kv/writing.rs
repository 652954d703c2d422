//! How a run writes durable values: with a task through its lane, in the transaction of the row of the call; a bare one by itself.

use std::sync::Arc;

use kennel_protocol::TenantId;
use kennel_sandbox::call::{Answer, ErrorKind, GuestError, Refusal};
use kennel_store::{KvExpect, KvWrite, NewCall, Store, Stored};

use crate::worker::journal::{Asked, Journal, Recorded};
use crate::worker::lane::Lane;

/// How a run writes.
pub(in crate::worker) trait Writing {
    /// The number of the call, never used twice within its task.
    fn number(&self) -> u32;
    /// Waits until everything on its way is in the store.
    async fn flush(&mut self) -> Result<(), Refusal>;
    /// Writes a change, with the answer of its call where that is recorded; it may be on its way when this returns.
    async fn write(&mut self, answer: &Answer, write: KvWrite) -> Result<(), Refusal>;
    /// Writes a change with the answer if the value is as expected, and waits until it is written. False: nothing was written.
    async fn write_if(&mut self, answer: &Answer, write: KvWrite, expect: KvExpect) -> Result<bool, Refusal>;
}

/// A run with a task: each change in the transaction of its call's row.
pub(in crate::worker) struct Journaled<'a> {
    pub(in crate::worker) lane: &'a Lane,
    pub(in crate::worker) journal: &'a mut Journal,
    pub(in crate::worker) asked: &'a Asked,
}

impl Journaled<'_> {
    fn row(&mut self, answer: &Answer) -> Result<NewCall, Refusal> {
        let result = Recorded::Answer(answer.clone()).bytes()?;
        Ok(self.journal.row_with(self.asked, Stored::plain(result)))
    }
}

impl Writing for Journaled<'_> {
    fn number(&self) -> u32 {
        self.asked.idx
    }

    async fn flush(&mut self) -> Result<(), Refusal> {
        self.lane.flush().await.map_err(Refusal::from)
    }

    async fn write(&mut self, answer: &Answer, write: KvWrite) -> Result<(), Refusal> {
        let row = self.row(answer)?;
        self.lane.change(row, write).await.map_err(Refusal::from)
    }

    async fn write_if(&mut self, answer: &Answer, write: KvWrite, expect: KvExpect) -> Result<bool, Refusal> {
        let row = self.row(answer)?;
        self.lane.change_if(row, write, expect).await.map_err(Refusal::from)
    }
}

/// A run without a task: each change by itself.
pub(in crate::worker) struct Direct {
    pub(super) store: Arc<Store>,
    pub(super) tenant: TenantId,
    pub(super) number: u32,
}

impl Direct {
    /// Writes a change if what it expects is so.
    pub(super) async fn change(&self, write: KvWrite, expect: Option<KvExpect>) -> Result<bool, Refusal> {
        let changed = self.store.kv_change(&self.tenant, write, expect).await;
        changed.map_err(|error| {
            tracing::warn!(%error, "a durable value was not written");
            let text = "the value was perhaps not written: the host's store did not take it";
            let error = GuestError::new(ErrorKind::Unavailable, "store", text);
            Refusal::Guest(GuestError { retryable: true, ..error })
        })
    }
}

impl Writing for Direct {
    fn number(&self) -> u32 {
        self.number
    }

    async fn flush(&mut self) -> Result<(), Refusal> {
        Ok(())
    }

    async fn write(&mut self, _: &Answer, write: KvWrite) -> Result<(), Refusal> {
        self.change(write, None).await.map(drop)
    }

    async fn write_if(&mut self, _: &Answer, write: KvWrite, expect: KvExpect) -> Result<bool, Refusal> {
        self.change(write, Some(expect)).await
    }
}
