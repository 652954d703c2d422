//! Authorization that an operator gives while tasks wait for it: a task whose agent has the credential now goes on by itself.
//!
//! What is allowed changes at a start with another configuration, and when the operator has it read again ([`Authority::resume`]). A parked
//! task is woken then, one with an instance gives it up (`supervise.rs`); either way the call goes on in a fresh activation, which finds
//! the credential (`waits.rs`). Never here: secrets.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::try_join_all;
use kennel_protocol::types::{JsonObject, Message, StreamResponse, TaskState};
use kennel_protocol::{AgentId, TaskId, TenantId};
use kennel_store::{Asking, Store, StoreError, TaskKey};
use serde::{Deserialize, Serialize};

use super::event::AUTH_KEY;
use crate::config::{self, AgentGrants, Allowed};

/// Tasks looked at in one read.
const PAGE: u32 = 256;

/// Who may give agents what they ask for.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    /// What is allowed now.
    pub(crate) allowed: Allowed,
    /// Where it is written.
    pub(crate) file: Option<PathBuf>,
}

/// A task that goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resumed {
    /// The task.
    pub(crate) task_id: TaskId,
    /// Who works on it.
    pub(crate) agent: AgentId,
    /// What its agent had asked for.
    pub(crate) credential: String,
}

/// Why a task does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResumeError {
    /// The task is not there.
    #[error("there is no task {0}; `kennel tasks ls` shows those that there are")]
    NotFound(TaskId),
    /// It waits for something else, or for nothing.
    #[error("task {task} does not wait for authorization ({state}); `kennel tasks why {task}` says what it waits for")]
    NotAsking {
        /// The task.
        task: TaskId,
        /// Where it stands.
        state: TaskState,
    },
    /// There is no file to be read again.
    #[error("the host was started without a configuration; start it with --config FILE, which has credentials")]
    NoFile,
    /// The file does not read; what was allowed before is.
    #[error("what is allowed stays as it was: {0}")]
    Unreadable(String),
    /// The operator has not given it.
    #[error(
        "agent {agent} has no credential `{credential}`; write [agents.{agent}.credentials.{credential}] into {file} and ask again"
    )]
    NotGiven {
        /// Who asks.
        agent: AgentId,
        /// For what.
        credential: String,
        /// Where it is missing.
        file: String,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Authority {
    /// Reads the configuration again and lets a task go on whose agent has now what it asked for, and with it all others of which this
    /// is true. The bounds on what leaves the host are as they were at its start.
    pub(crate) async fn resume(&self, store: &Store, key: &TaskKey) -> Result<Resumed, ResumeError> {
        let view = store.anyones_task(key).await?.ok_or_else(|| ResumeError::NotFound(key.task.clone()))?;
        let state = view.row.state;
        let wanted = view.fold.status.message.as_ref().and_then(wanted);
        let Some(credential) = wanted.filter(|_| state == TaskState::AuthRequired) else {
            return Err(ResumeError::NotAsking { task: key.task.clone(), state });
        };
        let file = self.file.clone().ok_or(ResumeError::NoFile)?;
        self.allowed.replace(read_again(file.clone()).await?);
        let agent = view.row.agent;
        if !self.allowed.of(agent.as_str()).credentials.contains_key(&credential) {
            return Err(ResumeError::NotGiven { agent, credential, file: file.display().to_string() });
        }
        Ok(Resumed { task_id: key.task.clone(), agent, credential })
    }
}

async fn read_again(file: PathBuf) -> Result<std::collections::BTreeMap<String, AgentGrants>, ResumeError> {
    let read = tokio::task::spawn_blocking(move || config::read(&file)).await;
    let read = read.map_err(|error| ResumeError::Unreadable(error.to_string()))?;
    read.map(|configured| configured.agents).map_err(|error| ResumeError::Unreadable(format!("{error:#}")))
}

/// The credential that a prompt asks for.
fn wanted(prompt: &Message) -> Option<String> {
    let asked = JsonObject::from_text(prompt.metadata.as_ref()?.member(AUTH_KEY)?.get()).ok()?;
    serde_json::from_str(asked.member("credential")?.get()).ok()
}

/// Wakes the parked tasks whose agents have been given what they ask for.
pub(super) async fn wake_granted(store: &Arc<Store>, allowed: &Allowed) -> Result<(), StoreError> {
    let all = allowed.all();
    let given = |name: &str| all.get(name).is_some_and(|grants| !grants.credentials.is_empty());
    let agents: Vec<AgentId> = all.keys().filter(|name| given(name)).filter_map(|name| name.parse().ok()).collect();
    if agents.is_empty() && !given("*") {
        return Ok(());
    }
    let agents = (!given("*")).then_some(agents);
    let tenant = TenantId::default_tenant();
    let mut after: Option<TaskId> = None;
    loop {
        let page = store.asking(&tenant, agents.clone(), after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.key.task.clone());
        let woken = page.iter().filter(|asking| is_granted(asking, allowed)).map(|asking| store.wake(&asking.key));
        try_join_all(woken).await?;
    }
}

fn is_granted(asking: &Asking, allowed: &Allowed) -> bool {
    let StreamResponse::StatusUpdate(update) = &asking.prompt else { return false };
    let wanted = update.status.message.as_ref().and_then(wanted);
    wanted.is_some_and(|credential| allowed.of(asking.agent.as_str()).credentials.contains_key(&credential))
}
