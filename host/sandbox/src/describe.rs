//! Runs `describe` once, when a component is loaded: nothing granted, little time, a constant as the answer.
//!
//! Never here: compiling (`load.rs`) and the rules of the card (`card.rs`). Called by `sandbox.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::bindings::PluginPre;
use crate::call::{Call, CallFuture, ErrorKind, GuestError, HostCalls, LogLine, Moment, Refusal, Seen};
use crate::card::AgentDescription;
use crate::guest::{Counts, Facts, Guest};
use crate::limits::Limits;
use crate::load::LoadError;
use crate::memory::Memory;
use crate::meter::{CpuBudget, Meter};
use crate::run::{Cut, Entry, Instance, Place, Value};

/// Calls of a guest that has no task: all are refused, nothing is logged, and time stands still in 1970.
pub(crate) struct Denied;

impl HostCalls for Denied {
    fn call(&mut self, _call: Call, _seen: Seen) -> CallFuture<'_> {
        let message = "An agent that is being described has no task.";
        let error = GuestError::new(ErrorKind::Denied, "describe", message);
        Box::pin(std::future::ready(Err(Refusal::Guest(error))))
    }

    fn log(&mut self, line: LogLine) {
        tracing::debug!(target: "kennel::guest", level = ?line.level, text = line.message, "while being described");
    }

    fn now(&self) -> Moment {
        Moment::default()
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// Asks the component what it is.
pub(crate) async fn describe(
    place: Place,
    plugin: PluginPre<Guest>,
    limits: Limits,
) -> Result<AgentDescription, LoadError> {
    let limits = Arc::new(limits);
    let facts =
        Facts { info: None, settings: BTreeMap::new(), credentials: BTreeSet::new(), limits: Arc::clone(&limits) };
    let meter = Arc::new(Meter::new());
    // A fixed seed: what `describe` returns must not depend on the day.
    let memory = Memory::new(&limits, place.budget.clone(), Arc::default());
    let guest = Guest::new(facts, [0; 32], Box::new(Denied), Counts { meter: Arc::clone(&meter), memory });
    let mut instance = Instance::new(&place, &plugin, guest);
    // Before the time counts: many components may be loaded at once.
    instance.admit().await;
    let budget = CpuBudget { replay_max: Duration::ZERO, live_max: limits.describe_cpu_max };
    let call = instance.drive(&meter, budget, Entry::Describe);
    let called = tokio::time::timeout(limits.describe_time_max, call).await;
    drop(instance.finish());
    match called {
        Ok(Ok(Value::Card(card))) => AgentDescription::new(*card, &limits)
            .map_err(|breach| LoadError::Card { field: breach.field, reason: breach.reason }),
        Ok(Ok(Value::Run(_))) => Err(LoadError::Host("`describe` answered as `run`".to_owned())),
        Ok(Err(Cut::Trap(trap))) => Err(LoadError::Describe { reason: trap.public, operator: trap.operator }),
        Ok(Err(Cut::Cpu | Cut::ReplayCpu)) => Err(LoadError::Describe {
            reason: format!("It used more than {:?} of processor time.", limits.describe_cpu_max),
            operator: String::new(),
        }),
        Ok(Err(Cut::Stopped | Cut::Abandoned | Cut::HostFault)) => {
            Err(LoadError::Host("`describe` could not be run".to_owned()))
        }
        Err(_elapsed) => Err(LoadError::Describe {
            reason: format!("It did not return within {:?}.", limits.describe_time_max),
            operator: String::new(),
        }),
    }
}
