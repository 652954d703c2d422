//! Whose durable values a run may use, and under which names they stand in the store.

use kennel_protocol::{AgentId, ContextId, PrincipalId, TaskId, TenantId};
use kennel_sandbox::AgentDescription;
use kennel_sandbox::call::{ErrorKind, GuestError, KvScope};
use kennel_store::KvKey;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::work::TaskFacts;

/// All scopes.
pub(super) const SCOPES: [KvScope; 4] = [KvScope::Agent, KvScope::Context, KvScope::Caller, KvScope::Tenant];

/// The name of a scope in cards and errors, as `kv.wit` has it.
pub(super) fn name(scope: KvScope) -> &'static str {
    match scope {
        KvScope::Agent => "agent",
        KvScope::Context => "context",
        KvScope::Caller => "caller",
        KvScope::Tenant => "tenant",
    }
}

/// Whose values a run may use.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) tenant: TenantId,
    pub(super) agent: AgentId,
    pub(super) context: ContextId,
    pub(super) principal: PrincipalId,
    pub(super) task: TaskId,
    /// Scopes that the card asks for.
    pub(super) granted: Vec<KvScope>,
}

impl Owner {
    pub(super) fn new((tenant, task): (TenantId, TaskId), facts: &TaskFacts, card: &AgentDescription) -> Owner {
        let asked =
            |scope: &KvScope| card.requests.iter().any(|request| request.kind == "kv" && request.name == name(*scope));
        Owner {
            tenant,
            agent: facts.agent.clone(),
            context: facts.context.clone(),
            principal: facts.owner.clone(),
            task,
            granted: SCOPES.into_iter().filter(asked).collect(),
        }
    }

    /// The name of a scope in the store: a JSON array, so that no two scopes have the same.
    pub(super) fn scope(&self, scope: KvScope) -> Result<String, GuestError> {
        let (named, code) = (name(scope), format!("kv.{}", name(scope)));
        if !self.granted.contains(&scope) {
            let text = format!(
                "the agent's card does not ask for values of the scope `{named}`: add a request of the kind `kv` and this name"
            );
            return Err(GuestError::new(ErrorKind::Denied, &code, text));
        }
        if scope == KvScope::Caller && self.principal.is_anonymous() {
            let text = "the caller is anonymous, so nothing can be kept for it: use the scope `context`, or let callers sign in";
            return Err(GuestError::new(ErrorKind::Denied, &code, text));
        }
        let (agent, principal) = (self.agent.as_str(), self.principal.as_str());
        let names = match scope {
            KvScope::Agent => json!([named, agent]),
            KvScope::Context => json!([named, agent, principal, self.context.as_str()]),
            KvScope::Caller => json!([named, agent, principal]),
            KvScope::Tenant => json!([named]),
        };
        Ok(names.to_string())
    }

    /// Where a key stands.
    pub(super) fn place(&self, scope: KvScope, key: String) -> Result<KvKey, GuestError> {
        Ok(KvKey { scope: self.scope(scope)?, key })
    }

    /// The version that the `n`th call of the task gives to what it writes. Made without a look, and the same whenever it is made.
    pub(super) fn version(&self, n: u32) -> String {
        let mut hash = Sha256::new();
        for text in [self.tenant.as_str(), self.task.as_str()] {
            hash.update(text);
            hash.update([0]);
        }
        hash.update(n.to_le_bytes());
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}
