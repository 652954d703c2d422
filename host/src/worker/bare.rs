//! Runs that answer with a bare message: no task, no replay, and nothing stored but the durable values that they change.

use std::sync::Arc;
use std::time::Duration;

use kennel_protocol::types::Message;
use kennel_protocol::{AgentId, TaskId, TenantId, Timestamp};
use kennel_sandbox::call::{
    Answer, Call, CallFuture, Draft, ErrorKind, GuestError, HostCalls, LogLine, Moment, Refusal, Seen,
};
use kennel_sandbox::{End, Outcome};
use kennel_store::Clock;

use super::event::Subject;
use super::kv::{Given, Values, is_kv};
use super::outside::{Grants, outside_key};
use super::supervise::grants;
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
    started: Timestamp,
    values: Values,
    worker: Arc<Worker>,
    /// What it may do outside.
    grants: Arc<Grants>,
    /// Calls so far that change something or leave the host.
    calls: u32,
}

impl HostCalls for BareCalls {
    fn call(&mut self, call: Call, _: Seen) -> CallFuture<'_> {
        Box::pin(async move {
            match call {
                Call::Sleep { time } if time <= SLEEP_MAX => Ok(slept(time).await),
                Call::SleepUntil { at } => {
                    let wait_ms = at.millis().saturating_sub(self.clock.now().millis());
                    let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
                    if wait > SLEEP_MAX { Err(too_long()) } else { Ok(slept(wait).await) }
                }
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
                call if is_kv(&call) => self.durable_value(call).await,
                _ => Err(denied()),
            }
        })
    }

    fn log(&mut self, line: LogLine) {
        logs::emit(self.tenant.as_str(), &self.agent, &self.task, &line);
    }

    fn now(&self) -> Moment {
        self.started.into()
    }

    fn is_live(&self) -> bool {
        true
    }
}

impl BareCalls {
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
    let text = "this agent answers with a bare message: it has no task to work on";
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
    let started = clock.now();
    let names = (tenant.clone(), task.clone());
    let calls = BareCalls {
        tenant: tenant.clone(),
        agent: facts.agent.clone(),
        task: task.clone(),
        values: Values::new(Arc::clone(&worker.store), names, &facts, version.agent.card(), worker.limits.kv_bytes_max),
        clock,
        started,
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
    drop(slot);
    worker.store.wakes().poke_due();
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
        End::Stopped | End::Abandoned => BareEnd::Unavailable,
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
