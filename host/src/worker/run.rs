//! What a run starts from, for the sandbox.

use std::time::Duration;

use kennel_protocol::types::Message;
use kennel_protocol::{TaskId, TenantId};
use kennel_sandbox::call::HostCalls;
use kennel_sandbox::{Run, TaskInfo, Turn};
use sha2::{Digest, Sha256};

use super::Worker;
use crate::work::{Entry, TaskFacts};

/// Who and what a run is about.
pub(crate) struct Parts {
    pub(crate) tenant: TenantId,
    pub(crate) task: TaskId,
    pub(crate) facts: TaskFacts,
    pub(crate) message: Message,
}

/// A run without a task.
pub(crate) fn bare(worker: &Worker, parts: Parts, calls: Box<dyn HostCalls>) -> Run {
    let info = info(&parts);
    let seed = seed(&parts, 1);
    let turn = Turn { message: parts.message, checkpoint: None, generation: 1 };
    let Entry { settings, credentials, .. } = parts.facts.request.entry.unwrap_or_default();
    let limits = worker.sandbox_limits.clone();
    Run { turn, info, settings, credentials, seed, limits, replay_cpu_max: Duration::ZERO, calls }
}

/// The answer of `task.info`.
pub(crate) fn info(parts: &Parts) -> TaskInfo {
    let TaskFacts { owner, context, agent, created, expires, request } = parts.facts.clone();
    TaskInfo {
        task_id: parts.task.clone(),
        context_id: context,
        agent,
        tenant: parts.tenant.clone(),
        caller: owner,
        parent_task_id: request.lineage.parent,
        accepted_output_modes: request.accepted_output_modes,
        extensions: request.extensions,
        request_metadata: request.metadata,
        created,
        expires,
    }
}

/// The seed of a generation: secret to the task, and the same whenever the generation is repeated.
pub(crate) fn seed(parts: &Parts, generation: u32) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(parts.facts.request.entry.as_ref().map_or([0; 32], |entry| entry.seed));
    hash.update(generation.to_le_bytes());
    hash.update(parts.task.as_str());
    hash.finalize().into()
}
