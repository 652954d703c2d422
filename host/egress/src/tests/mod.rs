//! Requests against servers on this machine: what is sent, what is refused, and what comes back when things break.
//!
//! `server` says what it is told and remembers what it heard, `names` is the name service. The tests are in files by
//! noun.

mod names;
mod server;

mod bodies;
mod credentials;
mod failures;
mod guarding;
mod pieces;
mod redirects;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use crate::{Egress, EgressConfig, Policy, Request};
use names::Names;

/// How long anything may take that a test waits for. Far beyond what it takes on a busy machine.
const WAIT: Duration = Duration::from_secs(30);

/// An agent that may do anything at two names and two addresses of this machine, on any port of the tests.
struct Agent {
    egress: Egress,
    names: Arc<Names>,
    policy: Policy,
}

impl Agent {
    fn new(port: u16) -> Agent {
        Agent::with_config(port, EgressConfig::default())
    }

    /// `a.test` and `b.test` lead to 127.0.0.1, which the operator allows; 127.0.0.2 is granted, and not allowed.
    fn with_config(port: u16, config: EgressConfig) -> Agent {
        let names = Names::new(&[("a.test", &["127.0.0.1"]), ("b.test", &["127.0.0.1"])]);
        let config = EgressConfig { allow_private: vec!["127.0.0.1".parse().unwrap()], ..config };
        let rules = ["http://*.test", "https://*.test", "http://127.0.0.1", "http://127.0.0.2"];
        let rules: Vec<_> = rules.iter().map(|site| format!("* {site}:{port}").parse().unwrap()).collect();
        let egress = Egress::with_resolver(config, Arc::clone(&names) as _).unwrap();
        Agent { egress, names, policy: Policy::new(rules.clone(), rules) }
    }

    async fn fetch(&self, request: Request) -> Result<crate::Response, crate::FetchError> {
        tokio::time::timeout(WAIT, self.egress.fetch(&self.policy, request)).await.expect("an end in time")
    }

    async fn open(&self, request: Request) -> Result<crate::Exchange, crate::FetchError> {
        tokio::time::timeout(WAIT, self.egress.open(&self.policy, request)).await.expect("a head in time")
    }
}
