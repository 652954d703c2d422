//! The journal of a running task. A call that is recorded gets its recorded answer, so that a fresh instance comes to stand where the
//! last one stood; a call that is not becomes a new row. One path for both: [`Journal::step`] says which it is.
//!
//! The rows of each kind of call (what is recorded when) are in the table [`kind`]. Never here: what calls do (`activation.rs`), SQL.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kennel_protocol::Timestamp;
use kennel_sandbox::call::{Answer, Call, ErrorKind, GuestError, HttpHead, HttpResponse, Moment, Refusal, Seen};
use kennel_store::{Clock, Inspector, JournalRow, NewAnswer, NewCall, Store, StoreError, Stored, TaskKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::course::Course;
use super::lane::{Dead, Lane, When};
use super::pendings::Child;
use crate::work::BEHAVIOUR;

/// Rows read at once.
const PAGE: u32 = 512;
/// Bytes of the arguments that are kept for people.
const REQUEST_BYTES: usize = 4 << 10;
/// The same for a call that wrote an event, where they are in full.
const EVENT_REQUEST_BYTES: usize = 256;
/// At this share of the bound on rows the operator is warned.
const WARN_SHARE: u32 = 10;

/// How the error of a call begins that is not as recorded.
pub(super) const DIVERGED: &str = "The work could not be repeated";

/// How a call is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Request and result in the transaction of the effect.
    Effect,
    /// Request and result with the next effect: asking again would do no harm, only the answer might differ.
    Value,
    /// The request before the wait begins, with its deadline; the result fills the same row.
    Wait,
    /// The request before it leaves; what comes of it fills the same row, whenever it comes. The agent goes on meanwhile.
    Start,
    /// Nothing while the answer is "nothing new"; the first other one with the number of those before it.
    Look,
}

/// The journal's table: how each call is recorded. `task.info` and `config` follow from what a task starts with; clocks, randomness and
/// logs leave no row: none of these reaches the host as a call.
pub(crate) fn kind(call: &Call) -> Kind {
    match call {
        Call::UpdateStatus { .. }
        | Call::Publish { .. }
        | Call::OpenArtifact { .. }
        | Call::AppendArtifact { .. }
        | Call::CloseArtifact { .. }
        | Call::HttpAbort { .. }
        | Call::KvPut { .. }
        | Call::KvSwap { .. }
        | Call::KvDelete { .. } => Kind::Effect,
        Call::History { .. }
        | Call::Related { .. }
        | Call::RelatedIds { .. }
        | Call::KvGet { .. }
        | Call::KvKeys { .. }
        | Call::PeerNames
        | Call::PeerCard { .. }
        | Call::PeerCancel { .. } => Kind::Value,
        Call::HttpStart { .. } | Call::HttpOpen { .. } => Kind::Start,
        Call::CancelRequested => Kind::Look,
        Call::NextMessage { timeout }
        | Call::WaitAny { timeout, .. }
        | Call::WaitAll { timeout, .. }
        | Call::HttpRead { timeout, .. }
            if *timeout == Some(Duration::ZERO) =>
        {
            Kind::Look
        }
        Call::NextMessage { .. }
        | Call::WaitAny { .. }
        | Call::WaitAll { .. }
        | Call::HttpRead { .. }
        | Call::RequireInput { .. }
        | Call::RequireAuth { .. }
        | Call::Sleep { .. }
        | Call::SleepUntil { .. }
        | Call::Poll { .. }
        | Call::HttpFetch { .. }
        | Call::HttpTake { .. }
        | Call::HttpHead { .. }
        | Call::PeerSend { .. }
        | Call::PeerTake { .. } => Kind::Wait,
    }
}

/// What came of a call, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Recorded {
    /// This answer.
    Answer(Answer),
    /// This error.
    Error(GuestError),
    /// The message with this number in the inbox.
    Message(u32),
    /// What came of an exchange.
    Exchange(Result<HttpResponse, GuestError>),
    /// How the response of an exchange began.
    Head(Result<HttpHead, GuestError>),
    /// What stands in the row of the exchange.
    Taken,
    /// The task to which a message went.
    Sent(Child),
}

impl Recorded {
    /// The form of the row.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, Dead> {
        serde_json::to_vec(self).map_err(|error| {
            tracing::error!(%error, "an answer does not serialize");
            Dead
        })
    }
}

impl From<&Result<Answer, GuestError>> for Recorded {
    fn from(answer: &Result<Answer, GuestError>) -> Recorded {
        match answer {
            Ok(answer) => Recorded::Answer(answer.clone()),
            Err(error) => Recorded::Error(error.clone()),
        }
    }
}

/// A call at its place in the journal.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Its row.
    pub(crate) idx: u32,
    call: &'static str,
    hash: [u8; 32],
    request: String,
    /// When it was asked.
    pub(crate) at: Moment,
    cpu: Duration,
    /// When its wait ends by itself.
    pub(crate) due: Option<Timestamp>,
    /// The event that it wrote, if it was under way when the host stopped.
    pub(crate) seq: Option<kennel_protocol::Seq>,
    /// Whether its row is on disk already.
    pub(crate) under_way: bool,
}

impl Asked {
    /// Function and arguments.
    pub(crate) fn question(&self) -> kennel_protocol::Digest {
        kennel_protocol::Digest::from_bytes(self.hash)
    }
}

/// What to do about a call.
pub(crate) enum Step {
    /// It was answered before: the same answer again.
    Recorded(Asked, Recorded),
    /// It began something before, of which nothing is known yet.
    Begun(Asked),
    /// It is to be carried out, or waited for further if its row is there.
    Live(Asked),
}

/// Where recorded rows are read, and whose clock goes on behind them.
pub(crate) enum Source {
    /// The host's own store.
    Store(Arc<Store>),
    /// A look at a store that is left as it is.
    Inspector(Arc<Inspector>, Clock),
}

impl Source {
    async fn rows_after(&self, key: &TaskKey, idx: u32) -> Result<Vec<JournalRow>, StoreError> {
        match self {
            Source::Store(store) => store.journal_after(key, idx, PAGE).await,
            Source::Inspector(inspector, _) => inspector.journal_after(key, idx, PAGE).await,
        }
    }

    fn now(&self) -> Timestamp {
        match self {
            Source::Store(store) => store.clock().now(),
            Source::Inspector(_, clock) => clock.now(),
        }
    }
}

/// The reader and numberer of one activation.
pub(crate) struct Journal {
    source: Source,
    key: TaskKey,
    course: Arc<Course>,
    generation: u32,
    /// The last row before this generation's first call.
    begin: u32,
    /// The last recorded row.
    last: u32,
    /// Rows that a generation may have.
    rows_max: u32,
    rows: VecDeque<JournalRow>,
    now: Moment,
    cpu: Duration,
    /// Looks with nothing new since the last that found something.
    looks: u32,
}

/// Where a generation begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    /// Counts checkpoints, from 1.
    pub(crate) generation: u32,
    /// The row of the checkpoint; 0 in the first generation.
    pub(crate) idx: u32,
    /// The last recorded row.
    pub(crate) last: u32,
    /// The time that the guest sees first.
    pub(crate) now: Moment,
    /// Rows that the generation may have.
    pub(crate) rows_max: u32,
}

impl Journal {
    pub(crate) fn new(source: Source, key: TaskKey, course: Arc<Course>, begin: Begin) -> Journal {
        let Begin { generation, idx, last, now, rows_max } = begin;
        course.begin(idx, idx == last);
        Journal {
            source,
            key,
            course,
            generation,
            begin: idx,
            last,
            rows_max,
            rows: VecDeque::new(),
            now,
            cpu: Duration::ZERO,
            looks: 0,
        }
    }

    /// The time that the guest sees: that of the last record.
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// Whether everything recorded has been repeated.
    pub(crate) fn is_live(&self) -> bool {
        self.course.next() > self.last
    }

    /// What to do about the next call that always has a row.
    pub(crate) async fn step(&mut self, call: &Call, seen: Seen) -> Result<Step, Refusal> {
        let (hash, request) = describe(call, 0);
        match self.peek().await? {
            None => Ok(Step::Live(self.ask(call, hash, request, seen)?)),
            Some(row) => {
                let row = self.matching(row, call.name(), hash)?;
                self.repeat(row, call)
            }
        }
    }

    /// As [`Journal::step`], for a call of the kind [`Kind::Look`]. None: as before, there is nothing new.
    pub(crate) async fn look(&mut self, call: &Call, seen: Seen) -> Result<Option<Step>, Refusal> {
        let (hash, request) = describe(call, self.looks);
        match self.peek().await? {
            None => Ok(Some(Step::Live(self.unnumbered(call, hash, request, seen)))),
            Some(row) if row.call == call.name() && row.hash == hash => {
                self.looks = 0;
                self.repeat(row, call).map(Some)
            }
            Some(row) => {
                self.rows.push_front(row);
                self.looks += 1;
                Ok(None)
            }
        }
    }

    /// A look found nothing new.
    pub(crate) fn nothing_new(&mut self) {
        self.looks += 1;
    }

    /// A look found something: it gets a number, and its row is written now.
    pub(crate) fn found(&mut self, asked: Asked) -> Result<Asked, Refusal> {
        self.looks = 0;
        self.numbered(asked)
    }

    /// The next recorded row.
    async fn peek(&mut self) -> Result<Option<JournalRow>, Refusal> {
        let next = self.course.next();
        if next > self.last {
            return Ok(None);
        }
        if self.rows.is_empty() {
            let page = self.source.rows_after(&self.key, next - 1).await;
            self.rows = page.map_err(|error| self.unread(next, &error))?.into();
        }
        match self.rows.pop_front() {
            Some(row) if row.idx == next && row.generation == self.generation => Ok(Some(row)),
            Some(_) | None => Err(self.broken(format!("Row {next} of the task's journal is missing."))),
        }
    }

    fn matching(&self, row: JournalRow, call: &str, hash: [u8; 32]) -> Result<JournalRow, Refusal> {
        if row.call != call {
            let text = format!("the journal has `{}` there, and the agent called `{call}`", row.call);
            return Err(self.diverged(row.idx, &text));
        }
        if row.hash != hash {
            let text = format!("the agent called `{call}` with other arguments than the journal has");
            return Err(self.diverged(row.idx, &text));
        }
        Ok(row)
    }

    /// Goes on to the next row.
    fn repeat(&mut self, row: JournalRow, call: &Call) -> Result<Step, Refusal> {
        let idx = self.course.count();
        let asked = Asked {
            idx,
            call: call.name(),
            hash: row.hash,
            request: row.request,
            at: Moment::from_micros(row.asked_us),
            cpu: Duration::ZERO,
            due: row.due,
            seq: row.seq,
            under_way: true,
        };
        let Some((result, at_us)) = row.answer else {
            if kind(call) == Kind::Start {
                self.now = self.now.max(asked.at);
                self.settle(idx);
                return Ok(Step::Begun(asked));
            }
            if idx < self.last || kind(call) != Kind::Wait {
                return Err(self.broken(format!("Row {idx} of the task's journal has no result.")));
            }
            self.now = self.now.max(asked.at);
            self.course.go_live();
            return Ok(Step::Live(asked));
        };
        let recorded = serde_json::from_slice(&result).map_err(|error| self.unreadable(idx, &error))?;
        if !fits(call, &recorded) {
            return Err(self.unreadable(idx, &"its result is another call's"));
        }
        // What came of an exchange came whenever it did: the agent saw nothing of it then.
        let seen_us = if kind(call) == Kind::Start { row.asked_us } else { at_us };
        self.now = self.now.max(Moment::from_micros(seen_us));
        self.settle(idx);
        Ok(Step::Recorded(asked, recorded))
    }

    /// The last row is the end of the repetition.
    fn settle(&self, idx: u32) {
        if idx == self.last {
            self.course.go_live();
        }
    }

    /// A new row.
    fn ask(&mut self, call: &Call, hash: [u8; 32], request: String, seen: Seen) -> Result<Asked, Refusal> {
        let asked = self.unnumbered(call, hash, request, seen);
        self.numbered(asked)
    }

    /// Time goes on for the guest with the rows only: a look that finds nothing leaves none, so it moves no clock either.
    fn unnumbered(&self, call: &Call, hash: [u8; 32], request: String, seen: Seen) -> Asked {
        let cpu = seen.cpu.saturating_sub(self.cpu);
        // Never earlier than what the guest has seen: its clock would go back in a replay.
        let at = self.now.max(seen.shown).max(self.source.now().into());
        Asked { idx: 0, call: call.name(), hash, request, at, cpu, due: None, seq: None, under_way: false }
    }

    fn numbered(&mut self, asked: Asked) -> Result<Asked, Refusal> {
        let idx = self.number()?;
        self.now = asked.at;
        self.cpu += asked.cpu;
        Ok(Asked { idx, ..asked })
    }

    fn number(&self) -> Result<u32, Refusal> {
        let idx = self.course.count();
        let rows = idx - self.begin;
        if rows > self.rows_max {
            let text = format!("The agent made more than {} recorded calls without a checkpoint.", self.rows_max);
            self.course.fail(GuestError::new(ErrorKind::Limit, "journal-rows", text));
            return Err(Refusal::Abandon);
        }
        if rows == (self.rows_max / WARN_SHARE).max(1) {
            tracing::warn!(
                task.id = %self.key.task,
                rows,
                "an agent has recorded many calls without a checkpoint; at {} its task fails", self.rows_max
            );
        }
        Ok(idx)
    }

    /// The row of a call without its result.
    pub(crate) fn row(&self, asked: &Asked) -> NewCall {
        NewCall {
            idx: asked.idx,
            generation: self.generation,
            call: asked.call,
            hash: asked.hash,
            request: asked.request.clone(),
            answer: None,
            seq: None,
            due: asked.due,
            asked_us: asked.at.micros(),
            cpu_us: u64::try_from(asked.cpu.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// What came of a call, now.
    pub(crate) fn answered(&mut self, result: Stored) -> NewAnswer {
        self.now = self.now.max(self.source.now().into());
        NewAnswer { result, at_us: self.now.micros() }
    }

    /// Moves the guest's time on, at least to a moment that a wait was for.
    pub(crate) fn pass(&mut self, until: Moment) {
        self.now = self.now.max(until);
    }

    /// Writes the row of a call that has no event.
    pub(crate) async fn record(&mut self, lane: &Lane, asked: &Asked, result: &Recorded) -> Result<(), Refusal> {
        let stored = lane.stored(result.bytes()?).await?;
        let row = self.row_with(asked, stored);
        lane.record(row, When::Later).await?;
        Ok(())
    }

    /// The row of a call with its result.
    pub(crate) fn row_with(&mut self, asked: &Asked, result: Stored) -> NewCall {
        NewCall { answer: Some(self.answered(result)), ..self.row(asked) }
    }

    fn diverged(&self, idx: u32, what: &str) -> Refusal {
        self.broken(format!("{DIVERGED}: at call {idx} {what}."))
    }

    /// Rows that cannot be read now may be read later; those that are damaged never.
    fn unread(&self, idx: u32, error: &StoreError) -> Refusal {
        match error {
            StoreError::Corrupt(_) => self.unreadable(idx, error),
            error => {
                tracing::warn!(task.id = %self.key.task, %error, "a journal could not be read; the activation is given up");
                Refusal::HostFault
            }
        }
    }

    fn unreadable(&self, idx: u32, error: &dyn std::fmt::Display) -> Refusal {
        tracing::error!(task.id = %self.key.task, row = idx, %error, "a row of a journal cannot be read");
        self.broken(format!("Row {idx} of the task's journal cannot be read."))
    }

    fn broken(&self, text: String) -> Refusal {
        self.course.fail(GuestError::new(ErrorKind::Failed, "journal", text));
        Refusal::Abandon
    }
}

/// Whether a recorded result can be one of this call: a guest that got another would be given up, again and again.
fn fits(call: &Call, recorded: &Recorded) -> bool {
    let answer = match recorded {
        Recorded::Error(_) => return true,
        Recorded::Message(_) => {
            return matches!(call, Call::RequireInput { .. } | Call::RequireAuth { .. } | Call::NextMessage { .. });
        }
        Recorded::Exchange(_) => return matches!(call, Call::HttpStart { .. }),
        Recorded::Head(_) => return matches!(call, Call::HttpOpen { .. }),
        Recorded::Taken => return matches!(call, Call::HttpTake { .. } | Call::HttpHead { .. }),
        Recorded::Sent(_) => return matches!(call, Call::PeerSend { .. }),
        Recorded::Answer(answer) => answer,
    };
    match call {
        Call::UpdateStatus { .. }
        | Call::AppendArtifact { .. }
        | Call::CloseArtifact { .. }
        | Call::Sleep { .. }
        | Call::SleepUntil { .. }
        | Call::Poll { .. }
        | Call::HttpAbort { .. }
        | Call::PeerCancel { .. } => matches!(answer, Answer::Done),
        Call::Publish { .. } | Call::OpenArtifact { .. } => matches!(answer, Answer::ArtifactId(_)),
        Call::History { .. } => matches!(answer, Answer::Messages(_)),
        Call::Related { .. } => matches!(answer, Answer::Task(_)),
        Call::RelatedIds { .. } => matches!(answer, Answer::TaskIds(_)),
        Call::RequireInput { .. } => matches!(answer, Answer::Input(_)),
        Call::RequireAuth { .. } => matches!(answer, Answer::Auth(_)),
        Call::NextMessage { .. } => matches!(answer, Answer::Message(_)),
        Call::CancelRequested => matches!(answer, Answer::Cancel(_)),
        Call::WaitAny { .. } => matches!(answer, Answer::Ready(_)),
        Call::WaitAll { .. } | Call::KvDelete { .. } => matches!(answer, Answer::Flag(_)),
        Call::HttpFetch { .. } => matches!(answer, Answer::Response(_)),
        Call::HttpRead { .. } => matches!(answer, Answer::Piece(_)),
        Call::KvGet { .. } => matches!(answer, Answer::Entry(_)),
        Call::KvPut { .. } => matches!(answer, Answer::Version(_)),
        Call::KvSwap { .. } => matches!(answer, Answer::Swapped(_)),
        Call::KvKeys { .. } | Call::PeerNames => matches!(answer, Answer::Names(_)),
        Call::PeerCard { .. } => matches!(answer, Answer::Card(_)),
        Call::PeerTake { .. } => matches!(answer, Answer::Peer(_)),
        // What these answer stands elsewhere or is a number that follows.
        Call::HttpStart { .. } | Call::HttpOpen { .. } | Call::HttpTake { .. } | Call::HttpHead { .. } => false,
        Call::PeerSend { .. } => false,
    }
}

/// The hash of a call, and its arguments for people. `looks`: how many calls before it found nothing new.
pub(super) fn describe(call: &Call, looks: u32) -> ([u8; 32], String) {
    // Every type in a call writes itself; an empty text would be found out by its hash.
    let arguments = serde_json::to_string(call).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(BEHAVIOUR.to_le_bytes());
    hash.update(looks.to_le_bytes());
    hash.update(call.name());
    hash.update([0]);
    hash.update(&arguments);
    let kept = if kind(call) == Kind::Effect { EVENT_REQUEST_BYTES } else { REQUEST_BYTES };
    let mut request = arguments;
    request.truncate(request.floor_char_boundary(kept));
    (hash.finalize().into(), request)
}
