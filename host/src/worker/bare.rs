//! Runs that answer with a bare message: no task, no replay, and nothing stored but the durable values that they change.

use std::sync::Arc;
use std::time::Duration;

use kennel_protocol::types::Message;
use kennel_protocol::{AgentId, TaskId, TenantId, Timestamp};
use kennel_sandbox::call::{
    Answer, Call, CallFuture, Draft, ErrorKind, GuestError, HostCalls, HttpRequest, LogLine, Moment, Refusal, Seen,
};
use kennel_sandbox::{End, Outcome};
use kennel_store::Clock;

use super::event::Subject;
use super::kv::{Given, Values, is_kv};
use super::outside::{Grants, is_outside, outside_key, timeout_of, too_late};
use super::pendings::{Carrier, Pendings, Shape};
use super::supervise::grants;
use super::waits::at_latest;
use super::{Worker, logs, run};
use crate::work::{Bare, BareEnd};

/// The longest sleep of a run that no restart would resume.
const SLEEP_MAX: Duration = Duration::from_secs(10);

/// Carries out the little that is allowed without a task.
struct BareCalls {
    tenant: TenantId,
    agent: AgentId,
    task: TaskId,
    clock: Clock,
    /// The time that the guest sees.
    now: Moment,
    values: Values,
    worker: Arc<Worker>,
    /// What it may do outside.
    grants: Arc<Grants>,
    /// What it has under way there.
    pendings: Arc<Pendings>,
    /// Calls so far that change something or leave the host.
    calls: u32,
}

impl HostCalls for BareCalls {
    fn call(&mut self, call: Call, _: Seen) -> CallFuture<'_> {
        Box::pin(async move {
            let until = if let Call::Poll { until } = call { Some(until) } else { None };
            let answer = self.carry_out(call).await;
            // Nothing is repeated, so time may go on by itself; a wait that was for a moment has come to it.
            self.now = self.now.max(self.clock.now().into()).max(until.unwrap_or(self.now));
            answer
        })
    }

    fn log(&mut self, line: LogLine) {
        logs::emit(self.tenant.as_str(), &self.agent, &self.task, &line);
    }

    fn now(&self) -> Moment {
        self.now
    }

    fn is_live(&self) -> bool {
        true
    }
}

impl BareCalls {
    async fn carry_out(&mut self, call: Call) -> Result<Answer, Refusal> {
        match call {
            Call::Sleep { time } if time <= SLEEP_MAX => Ok(slept(time).await),
            Call::SleepUntil { at } => self.sleep_until(at).await,
            Call::Poll { until } => self.sleep_until(at_latest(until)).await,
            Call::Sleep { .. } => Err(too_long()),
            Call::CancelRequested => Ok(Answer::Cancel(None)),
            // Nothing can be under way: it is a sleep.
            Call::WaitAny { pendings, timeout: Some(time) } if pendings.is_empty() && time <= SLEEP_MAX => {
                slept(time).await;
                Ok(Answer::Ready(None))
            }
            Call::WaitAll { pendings, timeout: Some(time) } if pendings.is_empty() && time <= SLEEP_MAX => {
                slept(time).await;
                Ok(Answer::Flag(true))
            }
            Call::HttpFetch { request } => {
                self.calls += 1;
                let (worker, grants) = (&self.worker, Arc::clone(&self.grants));
                let key = outside_key(&self.task, self.calls);
                grants.fetch_once(&worker.gate, &worker.runtime, request, key).await
            }
            Call::HttpStart { request } => self.start(request, Shape::Whole).await,
            Call::HttpOpen { request } => self.start(request, Shape::Pieces).await,
            Call::HttpAbort { exchange } => {
                self.pendings.abort(exchange)?;
                Ok(Answer::Done)
            }
            call if is_outside(&call) && !matches!(call, Call::PeerTake { .. }) => self.outside(call).await,
            call if is_kv(&call) => self.durable_value(call).await,
            _ => Err(denied()),
        }
    }

    /// Begins an exchange that goes on beside the agent.
    async fn start(&mut self, request: HttpRequest, shape: Shape) -> Result<Answer, Refusal> {
        self.calls += 1;
        self.pendings.room()?;
        let worker = &self.worker;
        let (request, egress) = self.grants.prepare(&worker.gate, &request, outside_key(&self.task, self.calls))?;
        let (policy, runtime) = (Arc::clone(&self.grants.policy), worker.runtime.clone());
        let carrier = Carrier { egress, policy, lane: None, runtime };
        let request = carrier.with_room(request).await?;
        Ok(Answer::Pending(self.pendings.begin(self.calls, shape, request, carrier)))
    }

    async fn sleep_until(&self, at: Timestamp) -> Result<Answer, Refusal> {
        let wait_ms = at.millis().saturating_sub(self.clock.now().millis());
        let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
        if wait > SLEEP_MAX { Err(too_long()) } else { Ok(slept(wait).await) }
    }

    /// Waits for what is under way.
    async fn outside(&mut self, call: Call) -> Result<Answer, Refusal> {
        let over = timeout_of(&call).map(tokio::time::sleep);
        let mut over = std::pin::pin!(async {
            match over {
                Some(over) => over.await,
                None => std::future::pending().await,
            }
        });
        loop {
            let changed = self.pendings.changed();
            tokio::pin!(changed);
            // Before looking, so that nothing that becomes ready in between is missed.
            changed.as_mut().enable();
            if let Some((_, answer)) = self.pendings.answer(&call, self.clock.now())? {
                return answer.map_err(Refusal::from);
            }
            tokio::select! {
                biased;
                () = &mut changed => {}
                () = &mut over => return Ok(too_late(&call)),
            }
        }
    }

    /// A change is in the store when this returns. The message may still fail: then it stays, as with any service that was called.
    async fn durable_value(&mut self, call: Call) -> Result<Answer, Refusal> {
        self.calls += 1;
        let mut writing = self.values.direct(self.calls);
        match self.values.carry_out(call, &mut writing).await? {
            Given::Value(answer) | Given::Changed(answer) => Ok(answer),
        }
    }
}

async fn slept(time: Duration) -> Answer {
    tokio::time::sleep(time).await;
    Answer::Done
}

fn too_long() -> Refusal {
    let text = format!("an agent that answers with a bare message sleeps at most {} s", SLEEP_MAX.as_secs());
    Refusal::Guest(GuestError::new(ErrorKind::Limit, "sleep", text))
}

fn denied() -> Refusal {
    let text = "an agent that answers with a bare message has no task to work on; card.wit says what works without one";
    Refusal::Guest(GuestError::new(ErrorKind::Denied, "reply-mode", text))
}

/// A bare message of the agent: it belongs to the context and to no task.
pub(crate) fn message(subject: &Subject, draft: Draft) -> Message {
    let mut message = subject.message(draft, 1);
    message.message_id = kennel_protocol::MessageId::generate().to_string();
    message.task_id = None;
    message
}

/// Runs a bare message and sends its answer.
pub(crate) async fn answer(worker: Arc<Worker>, bare: Bare) {
    let Bare { version, task, facts, tenant, message: asked, slot, reply } = bare;
    let subject = Subject { task: task.clone(), context: facts.context.clone() };
    let clock = worker.store.clock().clone();
    let now = clock.now().into();
    let names = (tenant.clone(), task.clone());
    let pendings = Arc::<Pendings>::default();
    let calls = BareCalls {
        pendings: Arc::clone(&pendings),
        tenant: tenant.clone(),
        agent: facts.agent.clone(),
        task: task.clone(),
        values: Values::new(Arc::clone(&worker.store), names, &facts, version.agent.card(), worker.limits.kv_bytes_max),
        clock,
        now,
        grants: Arc::new(grants(worker.allowed.of(facts.agent.as_str()), version.agent.card())),
        worker: Arc::clone(&worker),
        calls: 0,
    };
    let running =
        version.agent.run(run::bare(&worker, run::Parts { tenant, task, facts, message: asked }, Box::new(calls)));
    let control = running.control();
    let end = match tokio::time::timeout(worker.limits.bare_time_max, running.finish()).await {
        Ok(finished) => finished.end,
        Err(_) => {
            control.stop();
            End::Error(GuestError::new(ErrorKind::TimedOut, "bare-time", "the agent took too long to answer"))
        }
    };
    pendings.close();
    worker.free(slot);
    // A client that went away does not hear it.
    reply.send(bare_end(&subject, end)).ok();
}

fn bare_end(subject: &Subject, end: End) -> BareEnd {
    match end {
        End::Outcome(Outcome::Reply(draft)) => BareEnd::Reply(Box::new(message(subject, draft))),
        End::Outcome(_) => BareEnd::Invalid("the agent's card promises a bare message, but it ended a task".to_owned()),
        End::Error(error) => failed(&error),
        End::Trap(trap) => {
            super::supervise::report_trap(&subject.task, &trap);
            failed(&GuestError::new(ErrorKind::Failed, trap.reason.name(), trap.public))
        }
        End::Stopped | End::Abandoned | End::HostFault => BareEnd::Unavailable,
    }
}

fn failed(error: &GuestError) -> BareEnd {
    BareEnd::Failed {
        kind: error.kind.name(),
        code: error.code.clone(),
        message: error.message.clone(),
        retryable: error.retryable,
    }
}
