//! What came for a running task: client messages and a request to stop, as its activation sees them.
//!
//! One reader per activation, its supervisor, reads the rows when poked; the activation's waits watch what it has read.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kennel_protocol::{Epoch, Seq, Timestamp};
use kennel_sandbox::call::{CancelRequest, CancelSource};
use kennel_store::{ChildStop, InboxMessage, Position, Store, StoreError, TaskKey};
use tokio::sync::watch;

use crate::work::{CancelBody, Source};

/// A request to stop, with its number in the inbox.
#[derive(Clone, Debug)]
pub(crate) struct Cancel {
    pub(crate) n: u32,
    pub(crate) request: CancelRequest,
}

/// What waits for a task's agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) messages: Arc<[InboxMessage]>,
    pub(crate) cancel: Option<Cancel>,
    /// Where the log stood when this was read.
    pub(crate) at: Option<Position>,
    /// Who holds the task, if it is read.
    pub(crate) epoch: Option<Epoch>,
}

/// The supervisor's end: reads rows and publishes them.
pub(crate) struct Mailroom {
    store: Arc<Store>,
    key: TaskKey,
    arrived: watch::Sender<Arrived>,
    grace: Duration,
}

impl Mailroom {
    pub(crate) fn new(store: Arc<Store>, key: TaskKey, grace: Duration) -> Mailroom {
        Mailroom { store, key, arrived: watch::Sender::new(Arrived::default()), grace }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Arrived> {
        self.arrived.subscribe()
    }

    /// The request to stop, if one was read.
    pub(crate) fn cancel(&self) -> Option<Cancel> {
        self.arrived.borrow().cancel.clone()
    }

    /// Whether the task was read under another holder's epoch.
    pub(crate) fn fenced(&self, epoch: Epoch) -> bool {
        self.arrived.borrow().epoch.is_some_and(|found| found != epoch)
    }

    /// Asks the agent to stop because its time is over; the row is not needed for that.
    pub(crate) fn deadline(&self, now: Timestamp) {
        let force_at = later(now, self.grace);
        self.arrived.send_modify(|arrived| {
            let request = CancelRequest {
                source: CancelSource::Deadline,
                reason: Some("the task's lifetime is over".to_owned()),
                metadata: None,
                force_at,
            };
            arrived.cancel.get_or_insert(Cancel { n: u32::MAX, request });
        });
    }

    /// Reads the inbox and tells the activation. Returns the children that came to a stop.
    pub(crate) async fn refresh(&self) -> Result<Vec<(u32, ChildStop)>, StoreError> {
        let Some(waiting) = self.store.waiting(&self.key).await? else { return Ok(Vec::new()) };
        let now = self.store.clock().now();
        let cancel = waiting.cancel.map(|(n, body)| self.cancel_of(n, &body, now));
        self.arrived.send_modify(|arrived| {
            arrived.messages = waiting.messages.into();
            arrived.at = Some(waiting.at);
            arrived.epoch = Some(waiting.epoch);
            // The grace counts from when the request was first seen.
            if arrived.cancel.is_none() {
                arrived.cancel = cancel;
            }
        });
        Ok(waiting.children)
    }

    fn cancel_of(&self, n: u32, body: &[u8], now: Timestamp) -> Cancel {
        let unreadable = CancelBody { source: Source::Client, reason: None, metadata: None };
        let body: CancelBody = serde_json::from_slice(body).unwrap_or(unreadable);
        let source = match body.source {
            Source::Client => CancelSource::Client,
            Source::Deadline => CancelSource::Deadline,
            Source::Parent => CancelSource::Parent,
        };
        let force_at = later(now, self.grace);
        Cancel { n, request: CancelRequest { source, reason: body.reason, metadata: body.metadata, force_at } }
    }
}

/// A moment after another.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.millis().saturating_add(by_ms))
}

/// The activation's end: what has arrived and what of it was handed out.
pub(crate) struct Inbox {
    arrived: watch::Receiver<Arrived>,
    taken: HashSet<u32>,
}

/// Why a wait ended.
pub(crate) enum Woken {
    /// Somebody asked to stop. Goes before everything else.
    Canceled(Cancel),
    /// A message.
    Message(Box<InboxMessage>),
    /// Time is up.
    TimedOut,
}

impl Inbox {
    pub(crate) fn new(arrived: watch::Receiver<Arrived>) -> Inbox {
        Inbox { arrived, taken: HashSet::new() }
    }

    /// The request to stop, if there is one.
    pub(crate) fn cancel(&self) -> Option<Cancel> {
        self.arrived.borrow().cancel.clone()
    }

    /// Waits until something else is there than when it last looked. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        if self.arrived.changed().await.is_err() {
            // The supervisor is gone, so this activation is over: wait to be dropped.
            std::future::pending::<()>().await;
        }
    }

    /// Where the log stood when the inbox was last read.
    pub(crate) fn position(&self) -> Option<Position> {
        self.arrived.borrow().at
    }

    /// Waits for a cancel, a message that came after `since`, or the deadline, in this order of rank. Cancel safe.
    pub(crate) async fn wait(&mut self, since: Option<Seq>, deadline: Option<tokio::time::Instant>) -> Woken {
        loop {
            if let Some(woken) = self.look(since) {
                return woken;
            }
            let over = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = self.arrived.changed() => {
                    if changed.is_err() {
                        // The supervisor is gone, so this activation is over: wait to be dropped.
                        std::future::pending::<()>().await;
                    }
                }
                () = over => return Woken::TimedOut,
            }
        }
    }

    /// What is there now: a cancel, or a message that came after `since`.
    pub(crate) fn look(&mut self, since: Option<Seq>) -> Option<Woken> {
        let arrived = self.arrived.borrow_and_update();
        if let Some(cancel) = &arrived.cancel {
            return Some(Woken::Canceled(cancel.clone()));
        }
        let next = arrived
            .messages
            .iter()
            .find(|inbound| !self.taken.contains(&inbound.n) && since.is_none_or(|since| inbound.at_seq > since))?;
        Some(Woken::Message(Box::new(next.clone())))
    }

    /// Notes that a message was handed out.
    pub(crate) fn take(&mut self, n: u32) {
        self.taken.insert(n);
    }
}
