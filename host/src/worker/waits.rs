//! The waits of an activation: for time, for a message, for an answer. Each writes its row with an absolute deadline before it waits, so
//! that a fresh instance goes on waiting for the same.
//!
//! A wait ends for the first of these that is there: a request to stop, a message, the time.

use std::sync::Arc;
use std::time::Duration;

use kennel_protocol::state::Step as TaskStep;
use kennel_protocol::types::{JsonObject, JsonValue, Message, TaskState};
use kennel_protocol::{Seq, Timestamp};
use kennel_sandbox::call::{Answer, Auth, AuthRequest, Call, Draft, ErrorKind, GuestError, Input, Moment, Refusal};
use kennel_store::{InboxMessage, Stored, Wait};
use tokio::time::Instant;

use super::activation::{Activation, NO_MESSAGE, canceled, not_offered, unavailable};
use super::event::AUTH_KEY;
use super::inbox::{Cancel, Woken};
use super::journal::{Asked, Recorded};
use super::lane::{Close, When};
use super::outside::{is_outside, resting};
use crate::answer::{AnswerSchema, INPUT_KEY};

/// What a prompt is about.
struct Prompt {
    step: TaskStep,
    draft: Draft,
    timeout: Option<Duration>,
    /// What the guest is told if nobody answers in time.
    timed_out: Answer,
    /// What it is told at once, unless a client has answered: the operator has given what it asks for.
    granted: Option<Answer>,
}

/// Why a prompt ended.
enum Prompted {
    /// This message answered it.
    Answer(InboxMessage),
    /// Nobody did: what the guest is told instead.
    Otherwise(Answer),
    /// The guest gets this error.
    Refused(GuestError),
}

/// Who ended a prompt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closed {
    /// The agent's side: a time-out or a request to stop.
    ByUs,
    /// A client's answer.
    ByAnswer,
    /// Nobody yet: it was repeated meanwhile.
    StillOpen,
}

impl Activation {
    /// Begins a wait, or goes on with one that was under way when the host stopped.
    pub(super) async fn wait(&mut self, call: Call, asked: Asked) -> Result<Answer, Refusal> {
        match call {
            Call::Sleep { time } => {
                let until = asked.at.after(time);
                self.sleep(asked, until).await
            }
            Call::SleepUntil { at } => self.sleep(asked, at.into()).await,
            Call::Poll { until } => self.poll(asked, until).await,
            Call::NextMessage { timeout } => self.next_message(asked, timeout).await,
            Call::RequireInput { prompt, schema, timeout } => self.require_input(asked, prompt, schema, timeout).await,
            Call::RequireAuth { prompt, request } => self.require_auth(asked, prompt, request).await,
            Call::PeerSend { to, message, options } => self.send(asked, &to, message, options).await,
            Call::HttpFetch { request } => self.fetch(&asked, request).await,
            call if is_outside(&call) => self.wait_outside(call, asked).await,
            other => self.answer_value(&asked, Err(not_offered(&other))).await,
        }
    }

    /// The recorded answer of a call that was answered by a message.
    pub(super) async fn repeat_message(&mut self, call: Call, asked: &Asked, n: u32) -> Result<Answer, Refusal> {
        self.note_prompt(&call, asked).await;
        let Some(inbound) = self.facts.past.iter().find(|inbound| inbound.n == n) else {
            let text = format!("Message {n} of the task, which its journal names, is missing.");
            self.facts.course.fail(GuestError::new(ErrorKind::Failed, "journal", text));
            return Err(Refusal::Abandon);
        };
        let mut inbound = inbound.clone();
        self.complete(&mut inbound.message).await?;
        self.hand_out(&inbound);
        self.kept.retain(|kept| kept.n != n);
        Ok(reply(&call, inbound.message))
    }

    /// What a prompt says counts, also when it is repeated.
    pub(super) async fn note_prompt(&mut self, call: &Call, asked: &Asked) {
        if let (Call::RequireInput { prompt, .. } | Call::RequireAuth { prompt, .. }, Some(_)) = (call, asked.seq) {
            self.artifacts().say(&prompt.parts).ok();
            self.gate.repeat(None).await;
        }
    }

    /// Writes the row of a wait and waits until it is on disk, unless it is there already.
    async fn begin(&mut self, asked: &mut Asked, due: Option<Timestamp>) -> Result<(), Refusal> {
        if !asked.under_way {
            asked.due = due;
            self.lane.record(self.journal.row(asked), When::Now { taken: None }).await?;
        }
        self.lane.flush().await.map_err(Refusal::from)
    }

    /// Writes what came of a wait.
    fn end(&mut self, asked: &Asked, recorded: &Recorded, taken: Option<u32>) -> Result<(), Refusal> {
        let answer = self.journal.answered(Stored::plain(recorded.bytes()?));
        self.lane.answer(asked.idx, answer, taken);
        Ok(())
    }

    fn end_canceled(&mut self, asked: &Asked, cancel: &Cancel) -> Result<Answer, Refusal> {
        let error = canceled(cancel);
        let taken = self.tell(cancel);
        self.end(asked, &Recorded::Error(error.clone()), taken)?;
        Err(error.into())
    }

    /// When a moment comes on the clock that times out waits.
    pub(super) fn instant(&self, due: Timestamp) -> Option<Instant> {
        let wait_ms = due.millis().saturating_sub(self.facts.store.clock().now().millis());
        Instant::now().checked_add(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)))
    }

    /// Waits; meanwhile the supervisor may take the instance away. `since`: messages after it end the wait.
    async fn wait_for(&mut self, since: Option<Seq>, due: Option<Timestamp>) -> Woken {
        let listens = match since {
            Some(NO_MESSAGE) => None,
            since => Some(since.unwrap_or(Seq::new(0))),
        };
        let deadline = due.and_then(|due| self.instant(due));
        let (facts, pendings) = (Arc::clone(&self.facts), Arc::clone(&self.pendings));
        let woken = self.inbox.wait(since, deadline);
        resting(&facts.course, &pendings, Wait { due, listens, children: false }, woken).await
    }

    async fn sleep(&mut self, mut asked: Asked, until: Moment) -> Result<Answer, Refusal> {
        let due = at_latest(until);
        if due.millis().saturating_sub(asked.at.timestamp().millis()) > life_ms(&self.facts.limits) {
            let error = GuestError::new(ErrorKind::Limit, "sleep", "longer than a task can live");
            return self.answer_value(&asked, Err(error)).await;
        }
        self.begin(&mut asked, Some(due)).await?;
        match self.wait_for(Some(NO_MESSAGE), asked.due).await {
            Woken::Canceled(cancel) => self.end_canceled(&asked, &cancel),
            Woken::TimedOut | Woken::Message(_) => {
                self.journal.pass(until);
                self.end(&asked, &Recorded::Answer(Answer::Done), None)?;
                Ok(Answer::Done)
            }
        }
    }

    /// A wait of WASI, which knows no request to stop: only time ends it.
    async fn poll(&mut self, mut asked: Asked, until: Moment) -> Result<Answer, Refusal> {
        let due = at_latest(until);
        self.begin(&mut asked, Some(due)).await?;
        let deadline = self.instant(due);
        let over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        resting(&self.facts.course, &self.pendings, Wait { due: Some(due), listens: None, children: false }, over)
            .await;
        self.journal.pass(until);
        self.end(&asked, &Recorded::Answer(Answer::Done), None)?;
        Ok(Answer::Done)
    }

    async fn next_message(&mut self, mut asked: Asked, timeout: Option<Duration>) -> Result<Answer, Refusal> {
        let due = timeout.map(|timeout| at_latest(asked.at.after(timeout)));
        self.begin(&mut asked, due).await?;
        match self.wait_for(None, asked.due).await {
            Woken::Canceled(cancel) => self.end_canceled(&asked, &cancel),
            Woken::TimedOut => {
                self.end(&asked, &Recorded::Answer(Answer::Message(None)), None)?;
                Ok(Answer::Message(None))
            }
            Woken::Message(inbound) => {
                self.hand_out(&inbound);
                self.end(&asked, &Recorded::Message(inbound.n), Some(inbound.n))?;
                Ok(Answer::Message(Some(Box::new(inbound.message))))
            }
        }
    }

    async fn require_input(
        &mut self,
        asked: Asked,
        mut prompt: Draft,
        schema: Option<JsonValue>,
        timeout: Option<Duration>,
    ) -> Result<Answer, Refusal> {
        let compiled = match compiled(schema.as_ref()) {
            Ok(compiled) => compiled,
            Err(error) => return self.answer_value(&asked, Err(error)).await,
        };
        if let Some(schema) = &schema {
            let metadata = prompt.metadata.take().unwrap_or_else(JsonObject::empty);
            prompt.metadata = Some(metadata.with(INPUT_KEY, &wrapped("schema", schema)));
        }
        let timed_out = Answer::Input(Input::TimedOut);
        let prompt = Prompt { step: TaskStep::RequireInput, draft: prompt, timeout, timed_out, granted: None };
        match self.prompt(asked, prompt).await? {
            Prompted::Refused(error) => Err(error.into()),
            Prompted::Otherwise(answer) => Ok(answer),
            Prompted::Answer(inbound) => {
                let message = Box::new(inbound.message);
                // The service accepted the message by this same schema, so a value is found.
                let value = compiled.and_then(|schema| schema.find(&message).ok());
                Ok(Answer::Input(Input::Reply(message, value)))
            }
        }
    }

    async fn require_auth(&mut self, asked: Asked, mut prompt: Draft, request: AuthRequest) -> Result<Answer, Refusal> {
        if !self.facts.credentials.contains(&request.credential) {
            let text = format!("the card does not ask for a credential named {}", request.credential);
            return self.answer_value(&asked, Err(GuestError::new(ErrorKind::Denied, "credential", text))).await;
        }
        let granted = self.facts.grants.credentials.contains_key(&request.credential);
        let granted = granted.then(|| Answer::Auth(Auth::Granted(request.credential.clone())));
        if let Some(granted) = granted.clone().filter(|_| !asked.under_way) {
            // The operator has given it already: nobody needs to be asked.
            return self.answer_value(&asked, Ok(granted)).await;
        }
        let wanted = serde_json::json!({
            "credential": request.credential, "scopes": request.scopes, "url": request.url,
        });
        let metadata = prompt.metadata.take().unwrap_or_else(JsonObject::empty);
        prompt.metadata = Some(metadata.with(AUTH_KEY, &JsonValue::from_value(&wanted)));
        let timed_out = Answer::Auth(Auth::TimedOut);
        let timeout = request.timeout;
        let prompt = Prompt { step: TaskStep::RequireAuth, draft: prompt, timeout, timed_out, granted };
        match self.prompt(asked, prompt).await? {
            Prompted::Refused(error) => Err(error.into()),
            Prompted::Otherwise(answer) => Ok(answer),
            Prompted::Answer(inbound) => Ok(Answer::Auth(Auth::Reply(Box::new(inbound.message)))),
        }
    }

    /// Asks and waits.
    async fn prompt(&mut self, mut asked: Asked, prompt: Prompt) -> Result<Prompted, Refusal> {
        // A credential that is there ends the wait as its time does: behind a request to stop and behind a client's answer.
        let is_granted = prompt.granted.is_some();
        let otherwise = prompt.granted.clone().unwrap_or_else(|| prompt.timed_out.clone());
        if asked.under_way {
            self.artifacts().say(&prompt.draft.parts).ok();
        } else if let Some(inbound) = self.answered_before(&asked).await? {
            return Ok(Prompted::Answer(inbound));
        } else if let Err(error) = self.put_prompt(&mut asked, prompt).await? {
            self.answer_value(&asked, Err(error.clone())).await.ok();
            return Ok(Prompted::Refused(error));
        }
        let mut due = if is_granted { Some(asked.at.timestamp()) } else { asked.due };
        loop {
            match self.wait_for(asked.seq, due).await {
                Woken::Message(inbound) => {
                    let at = self.inbox.position().ok_or(Refusal::Abandon)?;
                    self.lane.catch_up(at).await?;
                    self.hand_out(&inbound);
                    self.end(&asked, &Recorded::Message(inbound.n), Some(inbound.n))?;
                    return Ok(Prompted::Answer(*inbound));
                }
                Woken::Canceled(cancel) => {
                    let error = canceled(&cancel);
                    let taken = self.tell(&cancel);
                    let recorded = Recorded::Error(error.clone());
                    while self.close_prompt(&asked, &recorded, taken).await? == Closed::StillOpen {}
                    return Ok(Prompted::Refused(error));
                }
                Woken::TimedOut => match self.close_prompt(&asked, &Recorded::Answer(otherwise.clone()), None).await? {
                    Closed::ByUs => return Ok(Prompted::Otherwise(otherwise)),
                    // An answer was accepted at the last moment: it goes before the time-out, and it is on its way here.
                    Closed::ByAnswer => due = None,
                    Closed::StillOpen => {}
                },
            }
        }
    }

    /// The answer that a client gave to this very question in the task that this one is a retry of.
    async fn answered_before(&mut self, asked: &Asked) -> Result<Option<InboxMessage>, Refusal> {
        let question = asked.question();
        let Some(at) = self.kept.iter().position(|kept| kept.question == question) else { return Ok(None) };
        if self.inbox.cancel().is_some() {
            return Ok(None);
        }
        let n = self.kept.remove(at).n;
        let Some(inbound) = self.facts.past.iter().find(|inbound| inbound.n == n) else { return Ok(None) };
        let mut inbound = inbound.clone();
        self.complete(&mut inbound.message).await?;
        self.hand_out(&inbound);
        self.journal.record(&self.lane, asked, &Recorded::Message(n)).await?;
        Ok(Some(inbound))
    }

    /// Shows a prompt: event and row in one transaction. The inner error is the guest's.
    async fn put_prompt(&mut self, asked: &mut Asked, prompt: Prompt) -> Result<Result<(), GuestError>, Refusal> {
        let Prompt { step, draft, timeout, .. } = prompt;
        if let Err(error) = self.check(step) {
            return Ok(Err(error));
        }
        if let Some(cancel) = self.inbox.cancel() {
            if let Some(n) = self.tell(&cancel) {
                self.lane.take(n);
            }
            return Ok(Err(canceled(&cancel)));
        }
        if let Err(error) = self.artifacts().say(&draft.parts) {
            return Ok(Err(error));
        }
        self.gate.settle().await?;
        let state = match step {
            TaskStep::RequireAuth => TaskState::AuthRequired,
            _ => TaskState::InputRequired,
        };
        let message = self.facts.subject.message(draft, asked.idx);
        asked.due = Some(at_latest(asked.at.after(timeout.unwrap_or(self.facts.limits.input_wait_max))));
        let row = self.journal.row(asked);
        asked.seq = Some(self.lane.push_with(self.status(state, Some(message)), Some(row), Close::No).await?);
        self.lane.flush().await?;
        Ok(Ok(()))
    }

    /// Brings the task back to work from the agent's side, with what came of the prompt.
    async fn close_prompt(
        &mut self,
        asked: &Asked,
        recorded: &Recorded,
        taken: Option<u32>,
    ) -> Result<Closed, Refusal> {
        let now = self.facts.store.clock().now();
        let answer = self.journal.answered(Stored::plain(recorded.bytes()?));
        let working = self.status(TaskState::Working, None);
        if self.lane.close_prompt(working, now, (asked.idx, answer.clone()), taken).await? {
            return Ok(Closed::ByUs);
        }
        let waiting = self.facts.store.waiting(self.lane.claim().key()).await.map_err(|error| unavailable(&error))?;
        self.lane.catch_up(waiting.ok_or(Refusal::Abandon)?.at).await?;
        let open = self.lane.with_fold(|fold, _| fold.status.state.is_interrupted());
        if !open && matches!(recorded, Recorded::Error(_)) {
            // Asked to stop while an answer came: the guest hears of the request first.
            self.lane.answer(asked.idx, answer, taken);
        }
        Ok(if open { Closed::StillOpen } else { Closed::ByAnswer })
    }
}

/// What a message answers a call with.
pub(super) fn reply(call: &Call, message: Message) -> Answer {
    let message = Box::new(message);
    match call {
        Call::RequireInput { schema, .. } => {
            let value = compiled(schema.as_ref()).ok().flatten().and_then(|schema| schema.find(&message).ok());
            Answer::Input(Input::Reply(message, value))
        }
        Call::RequireAuth { .. } => Answer::Auth(Auth::Reply(message)),
        _ => Answer::Message(Some(message)),
    }
}

/// The millisecond at which a moment has certainly come.
pub(super) fn at_latest(moment: Moment) -> Timestamp {
    Moment::from_micros(moment.micros().saturating_add(999)).timestamp()
}

fn life_ms(limits: &crate::config::TaskLimits) -> i64 {
    i64::try_from(limits.life_max.as_millis()).unwrap_or(i64::MAX)
}

fn compiled(schema: Option<&JsonValue>) -> Result<Option<AnswerSchema>, GuestError> {
    let compiled = schema.map(AnswerSchema::compile).transpose();
    compiled.map_err(|fault| GuestError::new(ErrorKind::Invalid, "schema", format!("not a JSON Schema: {fault}")))
}

fn wrapped(key: &str, value: &JsonValue) -> JsonValue {
    JsonObject::empty().with(key, value).as_value().clone()
}
