//! The seam between a guest and what carries its work: one [`Call`] for each host function that needs more than
//! what a run was started with. The journal sits on this seam: a call and its answer are what a row records, so the JSON
//! form of both is stored, and a change of it is a new behaviour number of the journal.
//!
//! Never here: wasmtime, WIT types, storage. Called by `host/*.rs`, `wasi_http/*.rs` and `timers.rs` in this crate, implemented by
//! the host's worker.

mod error;
mod form;
mod http;
mod kv;
mod peers;
mod task;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use kennel_protocol::types::{Artifact, JsonObject, JsonValue, Message, Part, Task};
use kennel_protocol::{ArtifactId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

pub use error::{ErrorKind, GuestError, Refusal};
use form::{as_millis, as_millis_if_some, base64};
pub use http::{AfterCrash, HttpHead, HttpPiece, HttpRequest, HttpResponse};
pub use kv::{KvEntry, KvScope, KvSwapped};
pub use peers::{PeerAnswer, PeerOptions};
pub use task::{Auth, AuthRequest, CancelRequest, CancelSource, Draft, Heading, Input, Progress};

/// A moment as guests see it: whole microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment(u64);

impl Moment {
    /// A moment from its distance to 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: u64) -> Moment {
        Moment(micros)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The moment after this one by a length of time; the last one there is if that is later.
    #[must_use]
    pub fn after(self, time: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The millisecond in which it lies.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.0 / 1000).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for Moment {
    /// The first microsecond of it; 1970 for what is earlier.
    fn from(timestamp: Timestamp) -> Moment {
        Moment(u64::try_from(timestamp.millis()).unwrap_or(0).saturating_mul(1000))
    }
}
/// Names something the host works on for a task: counted from 1 within the task, never used twice.
pub type Pending = u32;

/// A call of a guest, arguments checked for form, in A2A types.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged, rename_all_fields = "kebab-case")]
pub enum Call {
    /// `task.history`.
    History {
        /// Newest messages wanted.
        limit: u32,
    },
    /// `task.related`.
    Related {
        /// The task asked for.
        task_id: TaskId,
    },
    /// `task.related-ids`.
    RelatedIds {
        /// Ids wanted at most.
        limit: u32,
    },
    /// `task.update-status`.
    UpdateStatus {
        /// Status message.
        message: Option<Draft>,
        /// How far the work is.
        progress: Option<Progress>,
        /// Metadata of the event.
        metadata: Option<JsonObject>,
    },
    /// `task.require-input`. Parks.
    RequireInput {
        /// The question.
        prompt: Draft,
        /// JSON Schema that the answer must meet.
        schema: Option<JsonValue>,
        /// How long to wait; none: as long as the operator allows.
        #[serde(serialize_with = "as_millis_if_some")]
        timeout: Option<Duration>,
    },
    /// `task.require-auth`. Parks.
    RequireAuth {
        /// What is needed and why.
        prompt: Draft,
        /// What to grant.
        request: AuthRequest,
    },
    /// `task.next-message`. Parks unless the time-out is zero.
    NextMessage {
        /// How long to wait; none: for ever.
        #[serde(serialize_with = "as_millis_if_some")]
        timeout: Option<Duration>,
    },
    /// `task.cancel-requested`.
    CancelRequested,
    /// `artifact.publish`. `artifact_id` is empty when the host is to make one.
    Publish {
        /// The whole artifact.
        artifact: Artifact,
    },
    /// `artifact.open`.
    OpenArtifact {
        /// All but the parts.
        heading: Heading,
    },
    /// `artifact.append`.
    AppendArtifact {
        /// An open artifact.
        artifact_id: ArtifactId,
        /// At least one.
        parts: Vec<Part>,
    },
    /// `artifact.close`.
    CloseArtifact {
        /// An open artifact.
        artifact_id: ArtifactId,
        /// May be empty.
        parts: Vec<Part>,
    },
    /// `wait.sleep`. Parks.
    Sleep {
        /// From the time of this call.
        #[serde(serialize_with = "as_millis")]
        time: Duration,
    },
    /// `wait.sleep-until`. Parks.
    SleepUntil {
        /// The moment.
        at: Timestamp,
    },
    /// `wait.any`, and a wait of `wasi:io/poll` with responses of `wasi:http` in flight: there `canceled` sends the guest to take them.
    /// Parks unless the time-out is zero.
    WaitAny {
        /// At least one, unless there is a time-out.
        pendings: Vec<Pending>,
        /// How long to wait; none: for ever.
        #[serde(serialize_with = "as_millis_if_some")]
        timeout: Option<Duration>,
    },
    /// `wait.all`. Parks unless the time-out is zero.
    WaitAll {
        /// At least one, unless there is a time-out.
        pendings: Vec<Pending>,
        /// How long to wait; none: for ever.
        #[serde(serialize_with = "as_millis_if_some")]
        timeout: Option<Duration>,
    },
    /// `http.fetch`. Parks.
    HttpFetch {
        /// What to send.
        request: HttpRequest,
    },
    /// `http.start`, and a request of `wasi:http` that is complete.
    HttpStart {
        /// What to send.
        request: HttpRequest,
    },
    /// `http.take`. Parks.
    HttpTake {
        /// Of `http.start`.
        exchange: Pending,
    },
    /// `http.open`.
    HttpOpen {
        /// What to send.
        request: HttpRequest,
    },
    /// `http.head`. Parks.
    HttpHead {
        /// Of `http.open`.
        exchange: Pending,
    },
    /// `http.read`. Parks unless the time-out is zero.
    HttpRead {
        /// Of `http.open`.
        exchange: Pending,
        /// How long to wait; none: as long as the exchange lasts.
        #[serde(serialize_with = "as_millis_if_some")]
        timeout: Option<Duration>,
    },
    /// `http.abort`.
    HttpAbort {
        /// Of `http.start` or `http.open`.
        exchange: Pending,
    },
    /// `kv.get`.
    KvGet {
        /// Who shares it.
        scope: KvScope,
        /// 1 to 256 bytes.
        key: String,
    },
    /// `kv.put`.
    KvPut {
        /// Who shares it.
        scope: KvScope,
        /// 1 to 256 bytes.
        key: String,
        /// What to write.
        #[serde(with = "base64")]
        value: Bytes,
    },
    /// `kv.swap`.
    KvSwap {
        /// Who shares it.
        scope: KvScope,
        /// 1 to 256 bytes.
        key: String,
        /// The version it must have; none: there must be no entry.
        expected: Option<String>,
        /// What to write.
        #[serde(with = "base64")]
        value: Bytes,
    },
    /// `kv.delete`.
    KvDelete {
        /// Who shares it.
        scope: KvScope,
        /// 1 to 256 bytes.
        key: String,
    },
    /// `kv.keys`.
    KvKeys {
        /// Who shares them.
        scope: KvScope,
        /// How they begin.
        prefix: String,
        /// The last key of the page before.
        after: Option<String>,
        /// Keys wanted at most.
        limit: u32,
    },
    /// `peers.names`.
    PeerNames,
    /// `peers.card`.
    PeerCard {
        /// A name, or the url of a card.
        to: String,
    },
    /// `peers.send`.
    PeerSend {
        /// A name, or the url of a card.
        to: String,
        /// What to say.
        message: Draft,
        /// How.
        options: PeerOptions,
    },
    /// `peers.take`. Parks.
    PeerTake {
        /// Of `peers.send`.
        sent: Pending,
    },
    /// `peers.cancel`.
    PeerCancel {
        /// Of `peers.send`.
        sent: Pending,
        /// In words.
        reason: Option<String>,
    },
    /// A wait of `wasi:io/poll` in which nothing is ready yet and no response is in flight. Parks. WASI has no error to say so: a request to stop does
    /// not end it.
    Poll {
        /// When the earliest of its timers is due, at the clock of the guest.
        until: Moment,
    },
}

impl Call {
    /// The function as the WIT names it.
    pub fn name(&self) -> &'static str {
        match self {
            Call::History { .. } => "task.history",
            Call::Related { .. } => "task.related",
            Call::RelatedIds { .. } => "task.related-ids",
            Call::UpdateStatus { .. } => "task.update-status",
            Call::RequireInput { .. } => "task.require-input",
            Call::RequireAuth { .. } => "task.require-auth",
            Call::NextMessage { .. } => "task.next-message",
            Call::CancelRequested => "task.cancel-requested",
            Call::Publish { .. } => "artifact.publish",
            Call::OpenArtifact { .. } => "artifact.open",
            Call::AppendArtifact { .. } => "artifact.append",
            Call::CloseArtifact { .. } => "artifact.close",
            Call::Sleep { .. } => "wait.sleep",
            Call::SleepUntil { .. } => "wait.sleep-until",
            Call::WaitAny { .. } => "wait.any",
            Call::WaitAll { .. } => "wait.all",
            Call::HttpFetch { .. } => "http.fetch",
            Call::HttpStart { .. } => "http.start",
            Call::HttpTake { .. } => "http.take",
            Call::HttpOpen { .. } => "http.open",
            Call::HttpHead { .. } => "http.head",
            Call::HttpRead { .. } => "http.read",
            Call::HttpAbort { .. } => "http.abort",
            Call::KvGet { .. } => "kv.get",
            Call::KvPut { .. } => "kv.put",
            Call::KvSwap { .. } => "kv.swap",
            Call::KvDelete { .. } => "kv.delete",
            Call::KvKeys { .. } => "kv.keys",
            Call::PeerNames => "peers.names",
            Call::PeerCard { .. } => "peers.card",
            Call::PeerSend { .. } => "peers.send",
            Call::PeerTake { .. } => "peers.take",
            Call::PeerCancel { .. } => "peers.cancel",
            Call::Poll { .. } => "wasi.poll",
        }
    }
}
/// The answer to a [`Call`]. Each variant names the calls it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// `UpdateStatus`, `AppendArtifact`, `CloseArtifact`, `Sleep`, `SleepUntil`, `Poll`,
    /// `HttpAbort`, `PeerCancel`.
    Done,
    /// `History`.
    Messages(Vec<Message>),
    /// `Related`.
    Task(Box<Task>),
    /// `RelatedIds`.
    TaskIds(Vec<TaskId>),
    /// `RequireInput`.
    Input(Input),
    /// `RequireAuth`.
    Auth(Auth),
    /// `NextMessage`.
    Message(Option<Box<Message>>),
    /// `CancelRequested`.
    Cancel(Option<CancelRequest>),
    /// `Publish`, `OpenArtifact`.
    ArtifactId(ArtifactId),
    /// `HttpStart`, `HttpOpen`, `PeerSend`.
    Pending(Pending),
    /// `WaitAny`: the index in the list.
    Ready(Option<u32>),
    /// `WaitAll`, `KvDelete`.
    Flag(bool),
    /// `HttpFetch`, `HttpTake`.
    Response(Box<HttpResponse>),
    /// `HttpHead`.
    Head(Box<HttpHead>),
    /// `HttpRead`.
    Piece(Option<HttpPiece>),
    /// `KvGet`.
    Entry(Option<KvEntry>),
    /// `KvPut`.
    Version(String),
    /// `KvSwap`.
    Swapped(KvSwapped),
    /// `KvKeys`, `PeerNames`.
    Names(Vec<String>),
    /// `PeerCard`.
    Card(JsonValue),
    /// `PeerTake`.
    Peer(PeerAnswer),
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// For the author.
    Debug,
    /// Normal life.
    Info,
    /// Something is odd.
    Warn,
    /// Something went wrong.
    Error,
}

/// One line for the operator, cut and counted by the sandbox already.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// At most 4 KiB.
    pub message: String,
    /// Named values.
    pub fields: Vec<(String, String)>,
}

/// A future that a trait object can return.
pub type CallFuture<'a> = Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send + 'a>>;

/// What a guest has seen and used when it calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// The latest reading of a clock that it was shown. No record of the call is earlier.
    pub shown: Moment,
    /// Thread CPU time of the activation since its work is new; none while recorded work is repeated.
    pub cpu: Duration,
}

/// What carries a guest's work: the durable activation of the host's worker, or the bare message run.
pub trait HostCalls: Send + 'static {
    /// Carries out one call. Dropped in the middle when the guest is stopped: implementations are cancel safe.
    fn call(&mut self, call: Call, seen: Seen) -> CallFuture<'_>;
    /// Takes one line for the operator.
    fn log(&mut self, line: LogLine);
    /// The time that the guest sees: that of the last record.
    fn now(&self) -> Moment;
    /// False while recorded answers are repeated: what the guest uses and says until then was counted and said before.
    fn is_live(&self) -> bool;
}
