//! The host's one way out, made when the first request leaves: most hosts send none, and reading the system's certificates takes time.

use std::sync::{Mutex, PoisonError};

use kennel_egress::{Egress, EgressConfig, SetupError};

/// Holds the way out.
#[derive(Debug)]
pub(crate) struct Gate {
    config: EgressConfig,
    made: Mutex<Option<Egress>>,
}

impl Gate {
    /// A way out with these bounds.
    pub(crate) fn new(config: EgressConfig) -> Gate {
        Gate { config, made: Mutex::default() }
    }

    /// The way out.
    pub(crate) fn get(&self) -> Result<Egress, SetupError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some(egress) => Ok(egress.clone()),
            None => Ok(made.insert(Egress::new(self.config.clone())?).clone()),
        }
    }
}
