//! The seam between a guest and what carries its work: one [`Call`] for each host function that needs more than
//! what a run was started with. The journal sits on this seam: a call and its answer are what a row records, so the JSON
//! form of both is stored, and a change of it is a new behaviour number of the journal.
//!
//! Never here: wasmtime, WIT types, storage. Called by `host/*.rs` in this crate, implemented by the host's worker.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use kennel_protocol::types::{Artifact, JsonObject, JsonValue, Message, Part, Task};
use kennel_protocol::{ArtifactId, TaskId, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

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

/// A message as its author knows it: the host adds message id, context, task and role.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Draft {
    /// At least one part; checked before the call is made.
    pub parts: Vec<Part>,
    /// Keys of A2A extensions.
    pub metadata: Option<JsonObject>,
    /// URIs of the A2A extensions that the message uses.
    pub extensions: Vec<String>,
    /// Other tasks that give context to the reader.
    pub reference_task_ids: Vec<String>,
}

/// How far the work is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// 0 to 100.
    pub percent: Option<u8>,
    /// Short name of the current step.
    pub phase: Option<String>,
}

/// What is known of an artifact before its parts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Heading {
    /// The author's own id; none lets the host make one.
    pub artifact_id: Option<ArtifactId>,
    /// Stable name.
    pub name: Option<String>,
    /// For people and models.
    pub description: Option<String>,
    /// Sent with the first piece.
    pub metadata: Option<JsonObject>,
    /// URIs of the A2A extensions that the artifact uses.
    pub extensions: Vec<String>,
}

/// What a task needs to be authorized for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuthRequest {
    /// Name of the credential.
    pub credential: String,
    /// Scopes in the terms of the other service.
    pub scopes: Vec<String>,
    /// Where a person can grant it.
    pub url: Option<String>,
    /// How long to wait; none: as long as the operator allows.
    #[serde(serialize_with = "as_millis_if_some")]
    pub timeout: Option<Duration>,
}

/// Names something the host works on for a task: counted from 1 within the task, never used twice.
pub type Pending = u32;

/// May the host send a request again whose answer it did not record? The WIT enum `after-crash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterCrash {
    /// As the method says.
    ByMethod,
    /// Yes.
    Repeat,
    /// No: the call fails with `unknown-outcome`.
    Report,
}

/// A request to another service. Its form is checked by whoever sends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HttpRequest {
    /// Upper case.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Names and values in order.
    pub headers: Vec<(String, String)>,
    /// None sends no body.
    #[serde(with = "base64_if_some")]
    pub body: Option<Bytes>,
    /// A credential that the host puts in.
    pub credential: Option<String>,
    /// For the whole exchange.
    pub timeout: Option<Duration>,
    /// How many to follow.
    pub redirects: Option<u8>,
    /// What becomes of it after a crash.
    pub after_crash: AfterCrash,
}

/// How a response begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HttpHead {
    /// 100 to 599.
    pub status: u16,
    /// As received, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Where it came from, after redirects.
    pub url: String,
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HttpResponse {
    /// How it begins.
    pub head: HttpHead,
    /// Decompressed.
    #[serde(with = "base64")]
    pub body: Bytes,
}

/// What reading from a response gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpPiece {
    /// Some bytes.
    Data(#[serde(with = "base64")] Bytes),
    /// The body is complete.
    End,
    /// The host stopped in the middle of it.
    Interrupted,
}

/// Who shares a value. The WIT enum `kv.scope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvScope {
    /// All tasks of the agent.
    Agent,
    /// All tasks of the agent in the context.
    Context,
    /// All tasks of the agent for the caller.
    Caller,
    /// All agents of the tenant.
    Tenant,
}

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KvEntry {
    /// As written.
    #[serde(with = "base64")]
    pub value: Bytes,
    /// Changes with every write.
    pub version: String,
}

/// What came of a compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvSwapped {
    /// Written; the new version.
    Done(String),
    /// The entry as it is, if there is one.
    Conflict(Option<KvEntry>),
}

/// Options of a message to another agent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PeerOptions {
    /// Whether the new task belongs to this task's context.
    pub same_context: bool,
    /// A task of the peer that waits; none: the message starts a new one.
    pub task_id: Option<String>,
    /// Media types the agent can use; empty: any.
    pub accepted_output_modes: Vec<String>,
    /// Metadata of the request.
    pub metadata: Option<JsonObject>,
    /// Name of a credential for a remote agent.
    pub credential: Option<String>,
    /// How long the peer may take; none: no bound of its own.
    #[serde(serialize_with = "as_millis_if_some")]
    pub timeout: Option<Duration>,
}

/// What another agent answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerAnswer {
    /// A bare message.
    Message(Box<Message>),
    /// A task that is over, or that waits.
    Task(Box<Task>),
}

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
    /// `wait.any`. Parks unless the time-out is zero.
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
    /// `http.start`.
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
    /// A wait of `wasi:io/poll` in which nothing is ready yet. Parks. WASI has no error to say so: a request to stop does
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

/// Bytes as base64 text.
mod base64 {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(from)?;
        STANDARD.decode(text.as_bytes()).map(Bytes::from).map_err(serde::de::Error::custom)
    }
}

/// As [`base64`], where there may be none.
mod base64_if_some {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Text(#[serde(with = "super::base64")] Bytes);

    #[expect(clippy::ref_option, reason = "serde hands the field over by reference")]
    pub(super) fn serialize<S: Serializer>(bytes: &Option<Bytes>, to: S) -> Result<S::Ok, S::Error> {
        bytes.clone().map(Text).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<Text>::deserialize(from)?.map(|text| text.0))
    }
}

fn as_millis<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).serialize(to)
}

#[expect(clippy::ref_option, reason = "serde hands the field over by reference")]
fn as_millis_if_some<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).serialize(to)
}

/// What came of a prompt.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// Somebody answered; with a schema, the value that met it.
    Reply(Box<Message>, Option<JsonValue>),
    /// Nobody did in time.
    TimedOut,
}

/// What came of a request for authorization.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// The credential may be used by this name.
    Granted(String),
    /// The client answered with a message instead.
    Reply(Box<Message>),
    /// Nothing came in time.
    TimedOut,
}

/// Who asked a task to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CancelSource {
    /// CancelTask by a client.
    Client,
    /// The parent task.
    Parent,
    /// A person with operator rights.
    Operator,
    /// The task's lifetime is over.
    Deadline,
}

/// A request to stop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CancelRequest {
    /// Who asked.
    pub source: CancelSource,
    /// In words, if given.
    pub reason: Option<String>,
    /// Metadata of the request.
    pub metadata: Option<JsonObject>,
    /// When the host ends the task by force.
    pub force_at: Timestamp,
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

/// What the caller of a failed host function can do next. The WIT enum `error-kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// Policy forbids it.
    Denied,
    /// The task has been asked to stop.
    Canceled,
    /// A time limit passed.
    TimedOut,
    /// A bound was reached; the code is its name.
    Limit,
    /// The other side is not there.
    Unavailable,
    /// The arguments break the contract; the code is the field.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// An outside call may or may not have taken effect.
    UnknownOutcome,
    /// Everything else.
    Failed,
}

impl ErrorKind {
    /// The name as it stands in the WIT, for metadata that clients read.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Denied => "denied",
            ErrorKind::Canceled => "canceled",
            ErrorKind::TimedOut => "timed-out",
            ErrorKind::Limit => "limit",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not-found",
            ErrorKind::UnknownOutcome => "unknown-outcome",
            ErrorKind::Failed => "failed",
        }
    }
}

/// The one error record of the contract with agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestError {
    /// What the caller can do about it.
    pub kind: ErrorKind,
    /// Stable short name.
    pub code: String,
    /// One sentence for people; may be shown to the client.
    pub message: String,
    /// Whether the same thing may succeed later without a change.
    pub retryable: bool,
}

impl GuestError {
    /// An error that will not go away by itself.
    pub fn new(kind: ErrorKind, code: &str, message: impl Into<String>) -> GuestError {
        GuestError { kind, code: code.to_owned(), message: message.into(), retryable: false }
    }
}

/// Why a call got no answer.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The guest gets this error and may go on.
    Guest(GuestError),
    /// The activation is over (fenced, or the host failed): the instance is dropped without another word.
    Abandon,
}

impl From<GuestError> for Refusal {
    fn from(error: GuestError) -> Refusal {
        Refusal::Guest(error)
    }
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
    /// Thread CPU time of the activation so far.
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
