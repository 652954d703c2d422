//! Which agents this host serves, and the loaded components behind them.
//!
//! An agent points at one active version; a task stays on the version that it was accepted for. A swap is one store write and one
//! map insert: requests see the old version or the new one, never none. Never here: tasks, HTTP.

mod folder;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use bytes::Bytes;
use kennel_egress::Rule;
use kennel_protocol::{AgentId, Digest, TenantId, Timestamp};
use kennel_sandbox::{Agent, AgentDescription, LoadError, Sandbox};
use kennel_store::{Store, StoreError};

use crate::config::Allowed;

pub(crate) use folder::{Folder, FolderError};

/// A loaded component.
pub struct Version {
    /// The component, linked and ready to run.
    pub agent: Agent,
    /// When this host loaded it.
    pub loaded: Timestamp,
}

/// Why a version is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The component is refused; the text names cause and cure.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operator has not set what the agent cannot do without.
    #[error(transparent)]
    Settings(#[from] MissingSettings),
    /// The folder of compiled components.
    #[error("the folder of compiled components cannot be used: {0}")]
    Compiled(std::io::Error),
    /// No component of that digest is stored.
    #[error("the component {0} is not stored on this host")]
    Missing(Digest),
}

/// Settings that an agent's card requires and nobody has set.
#[derive(Debug)]
pub struct MissingSettings {
    /// The agent.
    agent: AgentId,
    /// Name and description of each.
    missing: Vec<(String, String)>,
}

impl std::error::Error for MissingSettings {}

impl std::fmt::Display for MissingSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let MissingSettings { agent, missing } = self;
        let needed: Vec<String> = missing.iter().map(|(name, what)| format!("{name} ({what})")).collect();
        let lines: Vec<String> = missing.iter().map(|(name, _)| format!("{} = \"…\"", toml_key(name))).collect();
        let (needed, lines) = (needed.join(", "), lines.join(", "));
        let agent = toml_key(agent.as_str());
        write!(
            f,
            "it requires settings that are not set: {needed}; write settings = {{ {lines} }} under [agents.{agent}] into \
             the file of `kennel serve --config`"
        )
    }
}

/// A key as TOML has it.
fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { name.to_owned() } else { format!("{name:?}") }
}

/// What an install did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// The agent was not served before.
    New,
    /// New tasks go to the new version; running ones stay on theirs.
    Replaced,
    /// These bytes are active already.
    Same,
}

/// The agents of one host.
pub struct Registry {
    store: Arc<Store>,
    sandbox: Arc<Sandbox>,
    tenant: TenantId,
    default_agent: Option<AgentId>,
    /// The settings that agents have.
    allowed: Allowed,
    active: RwLock<BTreeMap<AgentId, Arc<Version>>>,
    /// Every loaded version that somebody still uses.
    versions: Mutex<HashMap<Digest, Weak<Version>>>,
}

impl Registry {
    /// A registry with nothing in it. `default_agent`: served at the root too; none: the only agent is.
    pub fn new(store: Arc<Store>, sandbox: Arc<Sandbox>, default_agent: Option<AgentId>, allowed: Allowed) -> Registry {
        Registry {
            store,
            sandbox,
            tenant: TenantId::default_tenant(),
            default_agent,
            allowed,
            active: RwLock::default(),
            versions: Mutex::default(),
        }
    }

    /// The active version of an agent.
    pub fn active(&self, name: &AgentId) -> Option<Arc<Version>> {
        self.active.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The names that are served, sorted.
    pub fn names(&self) -> Vec<AgentId> {
        self.active.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The agent at the root: the operator's choice, else the only one.
    pub fn default_agent(&self) -> Option<AgentId> {
        if let Some(chosen) = &self.default_agent {
            return Some(chosen.clone());
        }
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        match active.len() {
            1 => active.keys().next().cloned(),
            _ => None,
        }
    }

    /// A version by its digest, loaded from the store if this host has not loaded it yet.
    pub async fn version(&self, digest: &Digest) -> Result<Arc<Version>, RegistryError> {
        if let Some(known) = self.known(digest) {
            return Ok(known);
        }
        let bytes = self.store.component(&self.tenant, digest).await?;
        self.load(bytes.ok_or(RegistryError::Missing(*digest))?).await
    }

    fn known(&self, digest: &Digest) -> Option<Arc<Version>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(digest)?.upgrade()
    }

    async fn load(&self, bytes: Bytes) -> Result<Arc<Version>, RegistryError> {
        let agent = self.sandbox.compile(bytes).await?;
        if let Some(known) = self.known(agent.digest()) {
            return Ok(known);
        }
        for request in &agent.card().requests {
            let rule = match request.kind.as_str() {
                "http" => request.name.parse(),
                "peer" if request.name.contains("://") => Rule::below(&request.name),
                _ => continue,
            };
            if let Err(error) = rule {
                tracing::warn!(
                    agent.card = agent.card().name, %error,
                    "a request for {} in a card does not read and grants nothing", request.kind
                );
            }
        }
        let version = Arc::new(Version { loaded: self.store.clock().now(), agent });
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.retain(|_, version| version.strong_count() > 0);
        versions.insert(*version.agent.digest(), Arc::downgrade(&version));
        Ok(version)
    }

    /// Makes a component the active version of an agent. On an error the version before serves on.
    pub async fn install(&self, name: &AgentId, bytes: Bytes) -> Result<Installed, RegistryError> {
        let version = self.load(bytes.clone()).await?;
        self.check_settings(name, version.agent.card())?;
        let before = self.active(name);
        if before.as_ref().is_some_and(|before| before.agent.digest() == version.agent.digest()) {
            return Ok(Installed::Same);
        }
        // Stored first: a task that is accepted for this version finds it again after a restart.
        self.store.set_agent(&self.tenant, name, bytes).await?;
        self.activate(name, version);
        Ok(if before.is_some() { Installed::Replaced } else { Installed::New })
    }

    /// An agent that cannot do its work as it is set is not served.
    fn check_settings(&self, name: &AgentId, card: &AgentDescription) -> Result<(), MissingSettings> {
        let set = self.allowed.of(name.as_str()).settings;
        let missing = card.settings.iter().filter(|setting| setting.required && !set.contains_key(&setting.name));
        let missing: Vec<_> = missing.map(|setting| (setting.name.clone(), setting.description.clone())).collect();
        if missing.is_empty() { Ok(()) } else { Err(MissingSettings { agent: name.clone(), missing }) }
    }

    fn activate(&self, name: &AgentId, version: Arc<Version>) {
        self.active.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), version);
    }

    /// Serves the version that was active when the host last ran. False: there is none.
    async fn restore(&self, name: &AgentId) -> Result<bool, RegistryError> {
        let stored = self.store.agents(&self.tenant).await?;
        let Some(row) = stored.iter().find(|row| row.name == *name) else { return Ok(false) };
        let version = self.version(&row.digest).await?;
        self.check_settings(name, version.agent.card())?;
        self.activate(name, version);
        Ok(true)
    }

    /// Takes an agent out: no new tasks. Running ones end on their version.
    pub async fn remove(&self, name: &AgentId) -> Result<(), RegistryError> {
        self.store.remove_agent(&self.tenant, name).await?;
        self.active.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }

    /// Removes compiled components that no agent and no task needs, if there is more than `bytes_max` of all. What fails is tried again
    /// when the next agent has been loaded.
    pub(crate) async fn tidy(&self, bytes_max: u64) {
        if let Err(error) = self.prune(bytes_max).await {
            tracing::warn!(%error, "compiled components could not be pruned");
        }
    }

    async fn prune(&self, bytes_max: u64) -> Result<(), RegistryError> {
        if self.apart(|sandbox| sandbox.compiled_bytes()).await? > bytes_max {
            let needed = self.store.needed_versions(&self.tenant).await?;
            self.apart(move |sandbox| sandbox.prune_compiled(&needed, bytes_max)).await?;
        }
        Ok(())
    }

    /// Does something with the sandbox's files on a thread where it may block.
    async fn apart<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Sandbox) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let sandbox = Arc::clone(&self.sandbox);
        let done = tokio::task::spawn_blocking(move || act(&sandbox)).await;
        done.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(RegistryError::Compiled)
    }

    /// Agents that are stored as active but no longer served, because their files went away while the host was down.
    async fn forget_missing(&self) -> Result<(), RegistryError> {
        for row in self.store.agents(&self.tenant).await? {
            if self.active(&row.name).is_none() {
                self.store.remove_agent(&self.tenant, &row.name).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::MissingSettings;

    #[test]
    fn a_refusal_names_every_setting_and_the_line_to_write() {
        let missing = vec![("city".to_owned(), "Where it is.".to_owned()), ("a.b".to_owned(), "Why.".to_owned())];
        let text = MissingSettings { agent: "my.agent".parse().unwrap(), missing }.to_string();
        assert_eq!(
            text,
            "it requires settings that are not set: city (Where it is.), a.b (Why.); write settings = { city = \"…\", \
             \"a.b\" = \"…\" } under [agents.\"my.agent\"] into the file of `kennel serve --config`"
        );
    }
}
