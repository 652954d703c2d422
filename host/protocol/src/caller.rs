//! Who asks. Every method of the service and of the store takes the caller first, so that no query can forget whose
//! data it is about. Made by the authenticating edge of the host; never parsed from a body.

use crate::ids::{PrincipalId, TenantId};

/// The authenticated origin of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Whose data the request may touch.
    pub tenant: TenantId,
    /// Who within the tenant; empty for an anonymous caller.
    pub principal: PrincipalId,
    /// What the credential permits, in the operator's words.
    pub scopes: Vec<String>,
}

impl Caller {
    /// The caller of a server that asks for no credentials: tenant `default`, no principal, no scopes.
    #[must_use]
    pub fn anonymous() -> Caller {
        Caller { tenant: TenantId::default_tenant(), principal: PrincipalId::anonymous(), scopes: Vec::new() }
    }

    /// Whether the credential carries the scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_anonymous_caller_has_the_default_tenant_and_no_name() {
        let caller = Caller::anonymous();
        assert_eq!(caller.tenant.as_str(), "default");
        assert_eq!(caller.principal.as_str(), "");
        assert!(!caller.has_scope("tasks.read"));
    }
}
