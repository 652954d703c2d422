//! `config`: the operator's settings for this agent, and the names of its credentials.

use crate::bindings::kennel::agent::config::Host;
use crate::guest::Guest;

impl Host for Guest {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.settings.get(&name).cloned())
    }

    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.facts.settings.keys().cloned().collect())
    }

    fn credentials(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.facts.credentials.iter().cloned().collect())
    }
}
