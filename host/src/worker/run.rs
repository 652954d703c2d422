//! What a run starts from, for the sandbox.

use kennel_protocol::types::Message;
use kennel_protocol::{TaskId, TenantId};
use kennel_sandbox::call::HostCalls;
use kennel_sandbox::{Run, TaskInfo, Turn};
use sha2::{Digest, Sha256};

use super::Worker;
use crate::work::TaskFacts;

/// Who and what a run is about.
pub(crate) struct Parts {
    pub(crate) tenant: TenantId,
    pub(crate) task: TaskId,
    pub(crate) facts: TaskFacts,
    pub(crate) message: Message,
}

/// A run's fixed half.
pub(crate) fn bare(worker: &Worker, parts: Parts, calls: Box<dyn HostCalls>) -> Run {
    let info = info(&parts);
    let seed = seed(worker, &parts.task);
    let turn = Turn { message: parts.message, checkpoint: None, generation: 1 };
    Run { turn, info, settings: Default::default(), seed, limits: worker.sandbox_limits.clone(), calls }
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
        parent_task_id: None,
        accepted_output_modes: request.accepted_output_modes,
        extensions: request.extensions,
        request_metadata: request.metadata,
        created,
        expires,
    }
}

/// Secret to the task: a hash of the host's key and the task's id, so that a task that runs again gets the same.
pub(crate) fn seed(worker: &Worker, task: &TaskId) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(worker.seed_key);
    hash.update(task.as_str());
    hash.finalize().into()
}
