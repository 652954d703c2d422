//! The calls of `http` and `wait.any`, `wait.all`: what an agent does with the world outside, and what it sees of it.
//!
//! The intent is on disk before a request leaves; its result fills the same row whenever it comes; what the agent sees of it is the row of
//! the call that waited. A request whose result was not recorded is sent again only as the agent said, always with the same key.

use std::collections::BTreeMap;
use std::sync::Arc;

use kennel_egress::{Denied, Egress, FetchError, Policy, Request, Response, ResponseHead, may_repeat};
use kennel_protocol::{TaskId, Timestamp};
use kennel_sandbox::call::{
    AfterCrash, Answer, Call, ErrorKind, GuestError, HttpHead, HttpRequest, HttpResponse, Pending, Refusal,
};
use kennel_store::{Stored, Wait};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::activation::{Activation, canceled, not_offered, unavailable};
use super::course::Course;
use super::inbox::Cancel;
use super::journal::{Asked, Recorded};
use super::lane::When;
use super::pendings::{Carrier, Pendings, Shape, Taken};
use super::waits::at_latest;
use crate::gate::Gate;

/// Counts restores of a database from a backup: after one, keys must differ from those that were used since the backup was made.
const TIMELINE: u32 = 0;

/// What is recorded of an answer from the outside, and what the agent gets.
pub(super) type Came = (Recorded, Result<Answer, GuestError>);

/// Why a wait for the outside ended.
enum Over {
    /// This is there.
    Ready(Came),
    /// Time is up.
    TimedOut,
    /// Somebody asked the task to stop.
    Canceled(Cancel),
}

/// What an agent may do outside.
pub(crate) struct Grants {
    /// Credentials that its card asks for.
    pub(crate) asked: Vec<String>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) credentials: BTreeMap<String, kennel_egress::Credential>,
    /// Whom its card wants to send messages to: agents of this host (`*` is all of them), peers of the operator's, url prefixes.
    pub(crate) peers: Vec<String>,
}

impl Grants {
    /// A request as it leaves, if the agent may send it.
    pub(super) fn prepare(
        &self,
        gate: &Gate,
        request: &HttpRequest,
        key: String,
    ) -> Result<(Request, Egress), GuestError> {
        let credential = request.credential.as_deref().map(|name| self.credential(name)).transpose()?;
        let mut outgoing = Request::new(request.method.clone(), request.url.clone());
        outgoing.headers.clone_from(&request.headers);
        outgoing.body.clone_from(&request.body);
        outgoing.credential = credential;
        outgoing.timeout = request.timeout;
        if let Some(redirects) = request.redirects {
            outgoing.redirects = redirects;
        }
        outgoing.idempotency_key = Some(key);
        let egress = gate.get().map_err(|error| {
            GuestError::new(ErrorKind::Unavailable, "egress", format!("this host can send nothing: {error}"))
        })?;
        egress.check(&self.policy, &outgoing).map_err(|error| guest_error(&error, &request.method))?;
        Ok((outgoing, egress))
    }

    fn credential(&self, name: &str) -> Result<kennel_egress::Credential, GuestError> {
        if !self.asked.iter().any(|asked| asked == name) {
            let text = format!("the card does not ask for a credential named {name}");
            return Err(GuestError::new(ErrorKind::Denied, "credential", text));
        }
        self.credentials.get(name).cloned().ok_or_else(|| {
            let text = format!("the operator has not given this agent a credential named {name}");
            GuestError::new(ErrorKind::Denied, "credential", text)
        })
    }

    /// Sends a request once, for a run that nobody repeats.
    pub(super) async fn fetch_once(
        self: Arc<Self>,
        gate: &Gate,
        runtime: &Handle,
        request: HttpRequest,
        key: String,
    ) -> Result<Answer, Refusal> {
        let (outgoing, egress) = self.prepare(gate, &request, key)?;
        let policy = Arc::clone(&self.policy);
        let mut sending = AbortOnDrop(runtime.spawn(async move { fetch(&egress, &policy, outgoing).await }));
        match (&mut sending.0).await {
            Ok(Ok(response)) => Ok(Answer::Response(Box::new(response_of(response)))),
            Ok(Err(error)) => Err(guest_error(&error, &request.method).into()),
            Err(_) => Err(Refusal::Abandon),
        }
    }
}

impl Activation {
    /// Begins an exchange that goes on beside the agent.
    pub(super) async fn start(&mut self, call: Call, asked: &Asked) -> Result<Answer, Refusal> {
        let (request, shape) = match call {
            Call::HttpStart { request } => (request, Shape::Whole),
            Call::HttpOpen { request } => (request, Shape::Pieces),
            other => return self.answer_value(asked, Err(not_offered(&other))).await,
        };
        let ready = self.pendings.room().and_then(|()| self.ready_request(&request, asked.idx));
        let ready = match ready {
            Ok((request, carrier)) => carrier.with_room(request).await.map(|request| (request, carrier)),
            Err(error) => Err(error),
        };
        let (request, carrier) = match ready {
            Ok(ready) => ready,
            Err(error) => return self.answer_value(asked, Err(error)).await,
        };
        self.lane.record(self.journal.row(asked), When::Now { taken: None }).await?;
        Ok(Answer::Pending(self.pendings.begin(asked.idx, shape, request, carrier)))
    }

    /// A recorded call that began something or waited for it. `recorded`: none if nothing is known of what it began.
    pub(super) fn repeat_outside(
        &mut self,
        call: &Call,
        asked: &Asked,
        recorded: Option<Recorded>,
    ) -> Result<Answer, Refusal> {
        let Some(answer) = self.pendings.repeated(asked.idx, call, recorded) else {
            let text = format!("The answer of {} that the task's journal names is missing.", call.name());
            self.facts.course.fail(GuestError::new(ErrorKind::Failed, "journal", text));
            return Err(Refusal::Abandon);
        };
        self.told |= matches!(&answer, Err(error) if error.kind == ErrorKind::Canceled);
        answer.map_err(Refusal::from)
    }

    /// Decides what a former activation left open. Once, when the work is live.
    pub(super) async fn settle_pendings(&mut self) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.settled, true) {
            return Ok(());
        }
        // Progress that a former activation held back and did not live to show.
        self.gate.settle().await?;
        self.pendings.put_down();
        for (number, row, request) in self.pendings.unknown() {
            match self.again(&request, row) {
                Ok((request, carrier)) => self.pendings.repeat(number, request, carrier),
                Err(error) => {
                    let recorded = Recorded::Exchange(Err(error.clone()));
                    let answer = self.journal.answered(Stored::plain(recorded.bytes()?));
                    self.lane.answer(row, answer, None);
                    self.pendings.fail(number, error);
                }
            }
        }
        for child in self.pendings.unanswered() {
            self.look_after(&child).await?;
        }
        self.pendings.look();
        Ok(())
    }

    /// A request to be sent again, if that may be.
    fn again(&self, request: &HttpRequest, row: u32) -> Result<(Request, Carrier), GuestError> {
        let (outgoing, carrier) = self.ready_request(request, row)?;
        let after_crash = match request.after_crash {
            AfterCrash::ByMethod => kennel_egress::AfterCrash::ByMethod,
            AfterCrash::Repeat => kennel_egress::AfterCrash::Repeat,
            AfterCrash::Report => kennel_egress::AfterCrash::Report,
        };
        let own_key = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"));
        if !may_repeat(&request.method, after_crash, own_key) {
            let text = format!("the host stopped before it knew what came of {} {}", request.method, request.url);
            return Err(GuestError::new(ErrorKind::UnknownOutcome, "unknown-outcome", text));
        }
        tracing::info!(task.id = %self.facts.subject.task, row, method = request.method, "a request is sent again");
        Ok((outgoing, carrier))
    }

    /// Checks a request and makes it ready to leave.
    fn ready_request(&self, request: &HttpRequest, row: u32) -> Result<(Request, Carrier), GuestError> {
        let grants = &self.facts.grants;
        let key = outside_key(&self.facts.subject.task, row);
        let (outgoing, egress) = grants.prepare(&self.facts.egress, request, key)?;
        let carrier = Carrier {
            egress,
            policy: Arc::clone(&grants.policy),
            lane: Some(self.lane.clone()),
            runtime: self.facts.runtime.clone(),
        };
        Ok((outgoing, carrier))
    }

    /// `http.fetch`: the exchange and the wait for it in one row.
    pub(super) async fn fetch(&mut self, asked: &Asked, request: HttpRequest) -> Result<Answer, Refusal> {
        if !self.told
            && let Some(cancel) = self.inbox.cancel()
        {
            return self.canceled_outside(asked, &cancel, asked.under_way).await;
        }
        let ready = match asked.under_way {
            true => self.again(&request, asked.idx),
            false => self.ready_request(&request, asked.idx),
        };
        let (outgoing, carrier) = match ready {
            Ok(ready) => ready,
            Err(error) if asked.under_way => {
                self.fill(asked, &Recorded::Error(error.clone())).await?;
                return Err(error.into());
            }
            Err(error) => return self.answer_value(asked, Err(error)).await,
        };
        if !asked.under_way {
            self.lane.record(self.journal.row(asked), When::Now { taken: None }).await?;
            self.lane.flush().await?;
        }
        let (egress, policy) = (carrier.egress, carrier.policy);
        // Sockets are served elsewhere; dropped with this future, the exchange ends too.
        let sending = self.facts.runtime.spawn(async move { fetch(&egress, &policy, outgoing).await });
        let mut sending = AbortOnDrop(sending);
        let fetched = loop {
            let told = self.told;
            tokio::select! {
                biased;
                fetched = &mut sending.0 => break fetched,
                () = self.inbox.changed(), if !told => {
                    if let Some(cancel) = self.inbox.cancel() {
                        return self.canceled_outside(asked, &cancel, true).await;
                    }
                }
            }
        };
        let fetched = fetched.map_err(|error| {
            tracing::error!(%error, "an exchange ended unexpectedly");
            Refusal::Abandon
        })?;
        // Until the answer is on its way to the disk and to the guest, whose memory has a bound of its own.
        let _room = fetched.as_ref().map(|response| response.room.clone());
        let answer = match fetched {
            Ok(response) => Ok(Answer::Response(Box::new(response_of(response)))),
            Err(error) => Err(guest_error(&error, &request.method)),
        };
        self.fill(asked, &Recorded::from(&answer)).await?;
        answer.map_err(Refusal::from)
    }

    /// Fills the row of a call that was under way; the result may be large.
    async fn fill(&mut self, asked: &Asked, recorded: &Recorded) -> Result<(), Refusal> {
        let stored = self.lane.stored(recorded.bytes()?).await?;
        let answer = self.journal.answered(stored);
        self.lane.answer(asked.idx, answer, None);
        Ok(())
    }

    async fn canceled_outside(&mut self, asked: &Asked, cancel: &Cancel, begun: bool) -> Result<Answer, Refusal> {
        let error = canceled(cancel);
        let taken = self.tell(cancel);
        let recorded = Recorded::Error(error.clone());
        let stored = self.lane.stored(recorded.bytes()?).await?;
        if begun {
            let answer = self.journal.answered(stored);
            self.lane.answer(asked.idx, answer, taken);
        } else {
            let row = self.journal.row_with(asked, stored);
            self.lane.record(row, When::Now { taken }).await?;
        }
        Err(error.into())
    }

    /// The waits for what is under way. The row is there before the wait, with its deadline.
    pub(super) async fn wait_outside(&mut self, call: Call, mut asked: Asked) -> Result<Answer, Refusal> {
        let timeout = timeout_of(&call);
        if let Err(error) = self.seen(&call) {
            return match asked.under_way {
                true => {
                    self.fill(&asked, &Recorded::Error(error.clone())).await?;
                    Err(error.into())
                }
                false => self.answer_value(&asked, Err(error)).await,
            };
        }
        if !asked.under_way {
            asked.due = timeout.map(|timeout| at_latest(asked.at.after(timeout)));
            self.lane.record(self.journal.row(&asked), When::Now { taken: None }).await?;
            self.lane.flush().await?;
        }
        let due = asked.due;
        let (recorded, answer) = match self.come(&call, due).await {
            Over::Canceled(cancel) => return self.canceled_outside(&asked, &cancel, true).await,
            Over::TimedOut => {
                let answer = too_late(&call);
                (Recorded::Answer(answer.clone()), Ok(answer))
            }
            Over::Ready(ready) => match &call {
                Call::PeerTake { sent } if ready.1.is_ok() => {
                    let answer = self.take_answer(*sent).await?;
                    (Recorded::from(&answer), answer)
                }
                Call::HttpTake { .. } => match ready {
                    (recorded, Ok(Answer::Pending(row))) => (recorded, self.stored_response(row).await?),
                    ready => ready,
                },
                _ => ready,
            },
        };
        self.fill(&asked, &recorded).await?;
        answer.map_err(Refusal::from)
    }

    /// A response that stands in the row of the call that began it.
    async fn stored_response(&self, row: u32) -> Result<Result<Answer, GuestError>, Refusal> {
        let rows = self.facts.store.journal_after(self.lane.claim().key(), row - 1, 1).await;
        let answer = rows.map_err(|error| unavailable(&error))?.pop().and_then(|row| row.answer);
        match answer.and_then(|(result, _)| serde_json::from_slice(&result).ok()) {
            Some(Recorded::Exchange(response)) => Ok(response.map(|response| Answer::Response(Box::new(response)))),
            _ => {
                let text = format!("Row {row} of the task's journal has no response.");
                self.facts.course.fail(GuestError::new(ErrorKind::Failed, "journal", text));
                Err(Refusal::Abandon)
            }
        }
    }

    /// Waits until a call has its answer.
    async fn come(&mut self, call: &Call, due: Option<Timestamp>) -> Over {
        let numbers = numbers(call).unwrap_or_default().to_vec();
        loop {
            let pendings = Arc::clone(&self.pendings);
            let changed = pendings.changed();
            tokio::pin!(changed);
            // Before looking, so that nothing that becomes ready in between is missed.
            changed.as_mut().enable();
            if !self.told
                && let Some(cancel) = self.inbox.cancel()
            {
                return Over::Canceled(cancel);
            }
            pendings.look();
            match self.now_outside(call) {
                Ok(Some(ready)) => return Over::Ready(ready),
                Err(error) => return Over::Ready((Recorded::Error(error.clone()), Err(error))),
                Ok(None) => {}
            }
            // A child that takes too long is as good as one that answered: the agent is told.
            let wake = due.into_iter().chain(pendings.due(&numbers)).min();
            let idle = !pendings.hold_instance();
            if idle {
                // Nothing of its own is on its way: it can wait without an instance.
                self.facts.course.wait(Wait { due: wake, listens: None, children: true });
            }
            let told = self.told;
            let deadline = wake.and_then(|wake| self.instant(wake));
            let over = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let timed_out = tokio::select! {
                biased;
                () = &mut changed => false,
                () = self.inbox.changed(), if !told => false,
                () = over => true,
            };
            if idle {
                self.facts.course.go_on();
            }
            let now = self.facts.store.clock().now();
            if timed_out && due.is_some_and(|due| due <= now) && self.nothing_came(call) {
                return Over::TimedOut;
            }
        }
    }

    /// Whether the numbers of a call are known.
    fn seen(&self, call: &Call) -> Result<(), GuestError> {
        let now = self.facts.store.clock().now();
        numbers(call)?.iter().try_for_each(|number| self.pendings.readiness(*number, now).map(drop))
    }

    /// Whether a wait whose time is up has nothing to show for it.
    fn nothing_came(&self, call: &Call) -> bool {
        let now = self.facts.store.clock().now();
        let ready = |number: &Pending| matches!(self.pendings.readiness(*number, now), Ok(Some(_)));
        match call {
            Call::WaitAll { pendings, .. } => !pendings.iter().all(ready),
            call => !numbers(call).unwrap_or_default().iter().any(ready),
        }
    }

    /// As [`Pendings::answer`], now.
    pub(super) fn now_outside(&self, call: &Call) -> Result<Option<Came>, GuestError> {
        self.pendings.answer(call, self.facts.store.clock().now())
    }
}

impl Pendings {
    /// The answer of a call that waits for the outside, if it is there. `Taken`: the answer stands in the row of the exchange.
    pub(super) fn answer(&self, call: &Call, now: Timestamp) -> Result<Option<Came>, GuestError> {
        let plain = |answer: Answer| Some((Recorded::Answer(answer.clone()), Ok(answer)));
        Ok(match call {
            Call::WaitAny { pendings, .. } => {
                self.first_ready(pendings, now)?.and_then(|index| plain(Answer::Ready(Some(index))))
            }
            Call::WaitAll { pendings, .. } => match self.all_ready(pendings, now)? {
                true => plain(Answer::Flag(true)),
                false => None,
            },
            Call::HttpTake { exchange } => {
                let answer = match self.take(*exchange)? {
                    None => return Ok(None),
                    Some(Taken::Here(response)) => response.map(Answer::Response),
                    // The response is read by whoever waited.
                    Some(Taken::Stored(row)) => Ok(Answer::Pending(row)),
                };
                Some((Recorded::Taken, answer))
            }
            Call::HttpHead { exchange } => {
                let head = self.head(*exchange)?;
                head.map(|head| (Recorded::Taken, head.map(|head| Answer::Head(Box::new(head)))))
            }
            Call::HttpRead { exchange, .. } => self.read(*exchange)?.map(|piece| {
                let answer = piece.map(|piece| Answer::Piece(Some(piece)));
                (Recorded::from(&answer), answer)
            }),
            Call::PeerTake { sent } => {
                self.child(*sent)?;
                // The answer is read by whoever waited.
                self.readiness(*sent, now)?.map(|_| (Recorded::Taken, Ok(Answer::Done)))
            }
            other => return Err(not_offered(other)),
        })
    }

    fn first_ready(&self, pendings: &[Pending], now: Timestamp) -> Result<Option<u32>, GuestError> {
        let mut first: Option<(u64, u32)> = None;
        for (index, number) in (0..).zip(pendings) {
            if let Some(since) = self.readiness(*number, now)?
                && first.is_none_or(|(earliest, _)| since < earliest)
            {
                first = Some((since, index));
            }
        }
        Ok(first.map(|(_, index)| index))
    }

    fn all_ready(&self, pendings: &[Pending], now: Timestamp) -> Result<bool, GuestError> {
        for number in pendings {
            if self.readiness(*number, now)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Waits for `inner`; meanwhile the supervisor may take the instance away, unless something would be lost with it.
pub(super) async fn resting<T>(course: &Course, pendings: &Pendings, wait: Wait, inner: impl Future<Output = T>) -> T {
    let mut inner = std::pin::pin!(inner);
    loop {
        let changed = pendings.changed();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if !pendings.hold_instance() {
            course.wait(wait);
        }
        tokio::select! {
            biased;
            done = &mut inner => {
                course.go_on();
                return done;
            }
            () = changed => {}
        }
    }
}

/// One exchange, as soon as there is room for its body.
async fn fetch(egress: &Egress, policy: &Policy, mut request: Request) -> Result<Response, FetchError> {
    request.room = egress.room(&request).await?;
    egress.fetch(policy, request).await
}

/// Ends what it holds when it is dropped.
pub(super) struct AbortOnDrop<T>(pub(super) tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How long a call waits at most.
pub(super) fn timeout_of(call: &Call) -> Option<std::time::Duration> {
    match call {
        Call::WaitAny { timeout, .. } | Call::WaitAll { timeout, .. } | Call::HttpRead { timeout, .. } => *timeout,
        _ => None,
    }
}

/// What a wait says when its time is up.
pub(super) fn too_late(call: &Call) -> Answer {
    match call {
        Call::WaitAny { .. } => Answer::Ready(None),
        Call::WaitAll { .. } => Answer::Flag(false),
        Call::HttpRead { .. } => Answer::Piece(None),
        _ => Answer::Message(None),
    }
}

/// Whether a call waits for the outside.
pub(super) fn is_outside(call: &Call) -> bool {
    matches!(
        call,
        Call::WaitAny { .. }
            | Call::WaitAll { .. }
            | Call::HttpTake { .. }
            | Call::HttpHead { .. }
            | Call::HttpRead { .. }
            | Call::PeerTake { .. }
    )
}

/// The numbers that a call waits for.
fn numbers(call: &Call) -> Result<&[Pending], GuestError> {
    match call {
        Call::WaitAny { pendings, .. } | Call::WaitAll { pendings, .. } => Ok(pendings),
        Call::HttpTake { exchange: number }
        | Call::HttpHead { exchange: number }
        | Call::HttpRead { exchange: number, .. }
        | Call::PeerTake { sent: number } => Ok(std::slice::from_ref(number)),
        other => Err(not_offered(other)),
    }
}

/// The key under which a service knows a request again: the same for each time the same call is sent.
pub(super) fn outside_key(task: &TaskId, row: u32) -> String {
    let mut hash = Sha256::new();
    hash.update("kennel-outside-key");
    hash.update(TIMELINE.to_le_bytes());
    hash.update(row.to_le_bytes());
    hash.update(task.as_str());
    let digest = kennel_protocol::Digest::from_bytes(hash.finalize().into()).to_string();
    digest.chars().take(32).collect()
}

pub(super) fn head_of(head: &ResponseHead) -> HttpHead {
    HttpHead { status: head.status, headers: head.headers.clone(), url: head.url.to_string() }
}

pub(super) fn response_of(response: Response) -> HttpResponse {
    HttpResponse { head: head_of(&response.head), body: response.body }
}

/// What went wrong, in the terms of the contract.
pub(super) fn guest_error(error: &FetchError, method: &str) -> GuestError {
    let repeatable = may_repeat(method, kennel_egress::AfterCrash::ByMethod, false);
    let (kind, code, retryable) = match error {
        FetchError::Denied { denied: Denied::Credential { .. }, .. } => {
            (ErrorKind::Denied, "credential".to_owned(), false)
        }
        FetchError::Denied { .. } => (ErrorKind::Denied, "http".to_owned(), false),
        FetchError::Invalid { field, .. } => (ErrorKind::Invalid, (*field).to_owned(), false),
        FetchError::TimedOut { .. } => (ErrorKind::TimedOut, "timeout".to_owned(), repeatable),
        FetchError::Unavailable { reached: true, .. } if !repeatable => {
            (ErrorKind::UnknownOutcome, "unknown-outcome".to_owned(), false)
        }
        FetchError::Unavailable { .. } => (ErrorKind::Unavailable, "connection".to_owned(), true),
        FetchError::Limit { name, .. } => (ErrorKind::Limit, (*name).to_owned(), false),
        FetchError::NoRoom { reached, .. } => (ErrorKind::Limit, "http-bodies".to_owned(), repeatable || !reached),
    };
    GuestError { kind, code, message: error.to_string(), retryable }
}
