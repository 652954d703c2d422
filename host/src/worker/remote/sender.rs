//! The sender's side of messages to agents elsewhere: what `peers.rs` does differently for them.

use kennel_protocol::types::{JsonValue, Task};
use kennel_protocol::{AgentId, TaskId};
use kennel_sandbox::call::{ErrorKind, GuestError, PeerOptions, Refusal};

use super::exchange::Line;
use super::place::place;
use super::rows::Stand;
use crate::config::AgentGrants;
use crate::work::Remote;
use crate::worker::activation::{Activation, unavailable};
use crate::worker::outside::AbortOnDrop;
use crate::worker::task_facts;

impl Activation {
    /// Where a message to an agent elsewhere would go, if it may. Nothing is looked up or sent.
    pub(in crate::worker) fn elsewhere(
        &self,
        to: &str,
        credential: Option<&str>,
    ) -> Result<(Remote, Line), GuestError> {
        if let Some(name) = credential
            && !self.facts.credentials.iter().any(|asked| asked == name)
        {
            let text = format!("the card does not ask for a credential named {name}");
            return Err(GuestError::new(ErrorKind::Denied, "credential", text));
        }
        let remote = Remote {
            to: to.to_owned(),
            sender: self.facts.agent.clone(),
            asked: self.facts.grants.peers.clone(),
            credential: credential.map(str::to_owned),
            context: None,
        };
        let granted = AgentGrants::of(&self.facts.all_grants, remote.sender.as_str());
        let line = Line::new(&self.facts.egress, place(&granted, &remote)?)?;
        Ok((remote, line))
    }

    /// The facts of a first message to an agent elsewhere, and the name that its task has here.
    pub(in crate::worker) async fn sent_elsewhere(
        &self,
        to: &str,
        options: &PeerOptions,
    ) -> Result<Result<(AgentId, Remote), GuestError>, Refusal> {
        let (mut remote, _) = match self.elsewhere(to, options.credential.as_deref()) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        let Ok(agent) = to.parse::<AgentId>() else {
            let text = "a name or url has at most 256 bytes, and no control characters";
            return Ok(Err(GuestError::new(ErrorKind::Invalid, "to", text)));
        };
        if options.same_context {
            remote.context = self.conversation_with(&agent).await?;
        }
        Ok(Ok((agent, remote)))
    }

    /// The conversation that this task has with an agent elsewhere, under its name there: that of any earlier message.
    async fn conversation_with(&self, agent: &AgentId) -> Result<Option<String>, Refusal> {
        let key = self.lane.claim().key();
        for (task, of, _) in self.facts.store.children(key).await.map_err(|error| unavailable(&error))? {
            if of == *agent
                && let Some((context, stand)) = self.stand_of(&task).await?
                && context
            {
                let bare = stand.bare.flatten();
                if let Some(context) = stand.there.map(|there| there.context).or(bare) {
                    return Ok(Some(context.to_string()));
                }
            }
        }
        Ok(None)
    }

    /// Where the work on a sent task stands elsewhere, and whether it shares this task's context. None: it is not elsewhere.
    async fn stand_of(&self, task: &TaskId) -> Result<Option<(bool, Stand)>, Refusal> {
        let view = self.facts.store.task(&self.facts.scope, task).await.map_err(|error| unavailable(&error))?;
        let Some(view) = view.filter(|view| task_facts(view).request.remote.is_some()) else { return Ok(None) };
        let stand = Stand::read(&self.facts.store, &view.row.key).await.map_err(|error| unavailable(&error))?;
        Ok(Some((view.row.context == self.facts.subject.context, stand)))
    }

    /// The task here that stands for a task elsewhere, which its sender knows by its name there.
    pub(in crate::worker) async fn here(&self, to: &str, there: &str) -> Result<Option<TaskId>, Refusal> {
        let children = self.facts.store.children(self.lane.claim().key()).await.map_err(|error| unavailable(&error))?;
        let mut found = None;
        for (task, _, state) in children.into_iter().filter(|(_, agent, _)| agent.as_str() == to) {
            let Some((_, stand)) = self.stand_of(&task).await? else { continue };
            let known = stand.there.is_some_and(|known| known.task.as_str() == there);
            // One that waits goes before those that are over.
            if known && (found.is_none() || state.is_interrupted()) {
                found = Some(task);
            }
        }
        Ok(found)
    }

    /// A stopped task as its sender sees it, and whether it was a bare message.
    pub(in crate::worker) async fn as_there(&self, task: Task) -> Result<(Task, bool), Refusal> {
        let Some((_, stand)) = self.stand_of(&task.id).await? else { return Ok((task, false)) };
        let mut task = stand.as_there(task);
        let Some(context) = &stand.bare else { return Ok((task, false)) };
        if let Some(said) = &mut task.status.message {
            // It belongs to no task, and to the conversation there.
            said.task_id = None;
            said.context_id = context.clone().or_else(|| said.context_id.clone());
        }
        Ok((task, true))
    }

    /// The card of an agent elsewhere.
    pub(in crate::worker) async fn card_elsewhere(&self, to: &str) -> Result<Result<JsonValue, GuestError>, Refusal> {
        let line = match self.elsewhere(to, None) {
            Ok((_, line)) => line,
            Err(error) => return Ok(Err(error)),
        };
        // Sockets are served elsewhere than guests.
        let mut reading = AbortOnDrop(self.facts.runtime.spawn(async move { line.card().await }));
        let read = (&mut reading.0).await.map_err(|_| Refusal::Abandon)?;
        Ok(read.map_err(super::Fault::into_error).and_then(|found| {
            JsonValue::from_text(&found.text).map_err(|error| {
                GuestError::new(ErrorKind::Unavailable, "peer.card", format!("the card of {to} does not read: {error}"))
            })
        }))
    }
}
