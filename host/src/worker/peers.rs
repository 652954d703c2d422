//! The calls of `peers`: messages to other agents, and what came of them.
//!
//! A message makes a child task, whose id follows from this task and the place of the call: sent again after a crash it is the same task,
//! so it exists once. Its stops are told to this task's inbox in their own transactions. Never here: what is
//! different when the agent is elsewhere (`remote`).

use std::collections::BTreeSet;
use std::sync::Arc;

use kennel_protocol::types::{
    Content, JsonValue, Message, Part, Role, StreamResponse, Task, TaskState, TaskStatus, TaskStatusUpdateEvent,
};
use kennel_protocol::{AgentId, ContextId, Digest, Seq, TaskId};
use kennel_sandbox::ReplyMode;
use kennel_sandbox::call::{Answer, Draft, ErrorKind, GuestError, PeerAnswer, PeerOptions, Pending, Refusal};
use kennel_store::{Artifacts as Shown, CancelOrder, Parent, Scope, Start, Store, StoreError, Stored, TaskKey};
use sha2::{Digest as _, Sha256};

use super::activation::{Activation, unavailable};
use super::inbox::later;
use super::journal::{Asked, Recorded};
use super::lane::When;
use super::pendings::Child;
use super::remote::is_elsewhere;
use crate::config::AgentGrants;
use crate::intake::{self, Address, NotTaken};
use crate::registry::Version;
use crate::work::{CancelBody, Entry, Lineage, Remote, RequestFacts, Source, TaskFacts};

/// Tasks that one task may send.
const CHILDREN_MAX: u64 = 256;
/// Tasks below the one at the top.
const TREE_MAX: u64 = 4_096;
/// Tasks sent by one another.
const DEPTH_MAX: u32 = 8;

impl Activation {
    /// Sends a message, once whatever happens, and gives it a number.
    pub(super) async fn send(
        &mut self,
        asked: Asked,
        to: &str,
        message: Draft,
        options: PeerOptions,
    ) -> Result<Answer, Refusal> {
        if !asked.under_way {
            if let Err(error) = self.may_send(to, &options).await? {
                return self.answer_value(&asked, Err(error)).await;
            }
            self.lane.record(self.journal.row(&asked), When::Now { taken: None }).await?;
            self.lane.flush().await?;
        }
        let sent = match &options.task_id {
            None => self.send_new(&asked, to, message, &options).await?,
            Some(task) => self.send_answer(&asked, to, message, task).await?,
        };
        let child = match sent {
            Ok((task, since)) => {
                let due = options.timeout.map(|timeout| later(asked.at.timestamp(), timeout));
                Child { task, since, due, stop: None }
            }
            Err(error) => {
                let answer = self.journal.answered(Stored::plain(Recorded::Error(error.clone()).bytes()?));
                self.lane.answer(asked.idx, answer, None);
                return Err(error.into());
            }
        };
        let answer = self.journal.answered(Stored::plain(Recorded::Sent(child.clone()).bytes()?));
        self.lane.answer(asked.idx, answer, None);
        let number = self.pendings.send(asked.idx, child.clone());
        // Its stop may have been told to this task before there was a number for it: a child runs as soon as it is made, and one that
        // was made before a crash is over perhaps.
        self.look_after(&child).await?;
        Ok(Answer::Pending(number))
    }

    /// Whether a child has stopped already. Later stops are told.
    pub(super) async fn look_after(&self, child: &Child) -> Result<(), Refusal> {
        let key = self.facts.scope.key(&child.task);
        let stop = self.facts.store.first_stop(&key, child.since).await.map_err(|error| unavailable(&error))?;
        if let Some(stop) = stop {
            self.pendings.child_stopped(&child.task, stop);
        }
        Ok(())
    }

    /// Whether the agent may, and the bounds allow it.
    async fn may_send(&self, to: &str, options: &PeerOptions) -> Result<Result<(), GuestError>, Refusal> {
        let known = match self.is_elsewhere(to) {
            true => self.elsewhere(to, options.credential.as_deref()).map(drop),
            false if options.task_id.is_some() => self.granted(to),
            false => self.granted(to).and_then(|()| self.local(to)).map(drop),
        };
        if let Err(error) = known.and_then(|()| self.pendings.room()) {
            return Ok(Err(error));
        }
        if options.task_id.is_some() {
            return Ok(Ok(()));
        }
        let limit = |name: &str, text: String| Ok(Err(GuestError::new(ErrorKind::Limit, name, text)));
        let lineage = &self.facts.lineage;
        if lineage.depth >= DEPTH_MAX {
            return limit("depth", format!("tasks send one another at most {DEPTH_MAX} deep"));
        }
        let key = self.lane.claim().key();
        let root = lineage.root.as_ref().unwrap_or(&key.task);
        let family = self.facts.store.family(key, root).await.map_err(|error| unavailable(&error))?;
        if family.children >= CHILDREN_MAX {
            return limit("children", format!("a task sends at most {CHILDREN_MAX} tasks"));
        }
        if family.tree >= TREE_MAX {
            return limit("tree", format!("a task and all that follow from it are at most {TREE_MAX}"));
        }
        Ok(Ok(()))
    }

    /// Whether a name means an agent of another host.
    fn is_elsewhere(&self, to: &str) -> bool {
        is_elsewhere(&self.facts.all_grants, self.facts.agent.as_str(), to)
    }

    /// Whether the card asks for the peer.
    fn granted(&self, to: &str) -> Result<(), GuestError> {
        if self.facts.grants.peers.iter().any(|name| name == "*" || name == to) {
            return Ok(());
        }
        let text = format!("the card does not ask for the peer {to}");
        Err(GuestError::new(ErrorKind::Denied, "peer", text))
    }

    fn local(&self, to: &str) -> Result<(AgentId, Arc<Version>), GuestError> {
        let text = || format!("this host serves no agent {to}, and the operator has granted no peer of that name");
        let none = || GuestError::new(ErrorKind::NotFound, "peer", text());
        let name: AgentId = to.parse().map_err(|_| none())?;
        let version = self.facts.registry.active(&name).ok_or_else(none)?;
        Ok((name, version))
    }

    /// Makes the child, or finds that it was made before.
    async fn send_new(
        &self,
        asked: &Asked,
        to: &str,
        message: Draft,
        options: &PeerOptions,
    ) -> Result<Result<(TaskId, Seq), GuestError>, Refusal> {
        let parent = &self.facts.subject;
        let key = TaskKey { tenant: self.facts.scope.tenant.clone(), task: child_id(&parent.task, asked.idx) };
        let made = self.facts.store.task(&self.facts.scope, &key.task).await.map_err(|error| unavailable(&error))?;
        if made.is_some() {
            return Ok(Ok((key.task, Seq::FIRST)));
        }
        let worker = match self.recipient(to, options).await? {
            Ok(worker) => worker,
            Err(error) => return Ok(Err(error)),
        };
        let context = match options.same_context {
            true => parent.context.clone(),
            false => fresh_context(&key.task).ok_or(Refusal::Abandon)?,
        };
        let message = self.message(asked, message, &key.task, &context);
        let root = self.facts.lineage.root.clone().unwrap_or_else(|| parent.task.clone());
        let created = self.facts.store.clock().now();
        let facts = TaskFacts {
            owner: self.facts.scope.owner.clone(),
            context,
            agent: worker.agent,
            created,
            expires: later(created, self.facts.limits.life_max),
            request: RequestFacts {
                accepted_output_modes: options.accepted_output_modes.clone(),
                extensions: Vec::new(),
                metadata: options.metadata.clone(),
                entry: Some(worker.entry),
                remote: worker.remote,
                retry: None,
                lineage: Lineage {
                    parent: Some(parent.task.clone()),
                    root: Some(root.clone()),
                    depth: self.facts.lineage.depth + 1,
                },
            },
        };
        let draft = intake::Draft {
            key: &key,
            facts: &facts,
            message: &message,
            digest: worker.digest,
            start: Start::Ready,
            parent: Some(Parent { task: parent.task.clone(), root }),
        };
        let (new, _) = intake::new_task(&self.facts.store, draft).await.map_err(|error| unavailable(&error))?;
        self.facts.store.accept(new).await.map_err(|error| unavailable(&error))?;
        Ok(Ok((key.task, Seq::FIRST)))
    }

    /// Who works on a new message.
    async fn recipient(&self, to: &str, options: &PeerOptions) -> Result<Result<Recipient, GuestError>, Refusal> {
        if self.is_elsewhere(to) {
            let sent = self.sent_elsewhere(to, options).await?;
            return Ok(sent.map(|(agent, remote)| Recipient {
                agent,
                digest: NO_COMPONENT,
                entry: Entry::elsewhere(),
                remote: Some(remote),
            }));
        }
        let (agent, version) = match self.local(to) {
            Ok(local) => local,
            Err(error) => return Ok(Err(error)),
        };
        let entry = self.entry(to, &version)?;
        Ok(Ok(Recipient { agent, digest: *version.agent.digest(), entry, remote: None }))
    }

    /// Entry 0 of a child's journal.
    fn entry(&self, to: &str, version: &Version) -> Result<Entry, Refusal> {
        let granted = AgentGrants::of(&self.facts.all_grants, to);
        Entry::new(version.agent.card(), &granted, self.facts.seen_limits.clone()).map_err(|error| {
            tracing::error!(%error, "the system gives no random numbers");
            Refusal::Abandon
        })
    }

    /// Hands an answer to a child that asked.
    async fn send_answer(
        &self,
        asked: &Asked,
        to: &str,
        message: Draft,
        task: &str,
    ) -> Result<Result<(TaskId, Seq), GuestError>, Refusal> {
        let key = self.lane.claim().key();
        let children = self.facts.store.children(key).await.map_err(|error| unavailable(&error))?;
        let here = match self.is_elsewhere(to) {
            true => self.here(to, task).await?,
            false => task.parse().ok(),
        };
        let child = children.into_iter().find(|(id, agent, _)| Some(id) == here.as_ref() && agent.as_str() == to);
        let Some((task, agent, _)) = child else {
            let text = format!("this task has sent no task {task} to {to}");
            return Ok(Err(GuestError::new(ErrorKind::NotFound, "task-id", text)));
        };
        let scope = Scope { agent: Some(agent.clone()), ..self.facts.scope.clone() };
        let view = self.facts.store.task(&scope, &task).await.map_err(|error| unavailable(&error))?;
        let view = view.ok_or(Refusal::Abandon)?;
        let message = self.message(asked, message, &task, &view.row.context);
        let address = Address { scope: &scope, agent: &agent };
        let failed = |kind, text: String| Ok(Err(GuestError::new(kind, "task-id", text)));
        match intake::deliver(&self.facts.store, &self.facts.registry, address, view, message).await {
            Ok((_, since)) => Ok(Ok((task, since))),
            Err(NotTaken::NotFound) => failed(ErrorKind::NotFound, format!("there is no task {task}")),
            Err(NotTaken::Terminal(state)) => failed(ErrorKind::Invalid, format!("task {task} is over ({state})")),
            Err(NotTaken::NotWaiting(state)) => {
                failed(ErrorKind::Invalid, format!("task {task} takes no message now ({state})"))
            }
            Err(NotTaken::Changing) => Err(Refusal::Abandon),
            Err(NotTaken::Store(error)) => Err(unavailable(&error)),
        }
    }

    /// The message as the peer gets it: from its client, which is this task.
    fn message(&self, asked: &Asked, draft: Draft, task: &TaskId, context: &ContextId) -> Message {
        Message {
            message_id: format!("{}-{}", self.facts.subject.task, asked.idx),
            context_id: Some(context.clone()),
            task_id: Some(task.clone()),
            role: Role::User,
            parts: draft.parts,
            metadata: draft.metadata,
            extensions: draft.extensions,
            reference_task_ids: draft.reference_task_ids,
        }
    }

    /// What came of a message: the child at its stop. The number is gone then.
    pub(super) async fn take_answer(&mut self, sent: Pending) -> Result<Result<Answer, GuestError>, Refusal> {
        let child = match self.pendings.child(sent) {
            Ok(child) => child,
            Err(error) => return Ok(Err(error)),
        };
        self.pendings.forget(sent);
        let Some(stop) = child.stop else {
            self.cancel_child(&child.task, Some("its sender waits no longer".to_owned())).await?;
            let text = format!("task {} did not answer in time and was asked to stop", child.task);
            return Ok(Err(GuestError::new(ErrorKind::TimedOut, "timeout", text)));
        };
        let view = self.facts.store.task_at(&self.facts.scope, &child.task, Some(stop)).await;
        let Some(view) = view.map_err(|error| unavailable(&error))? else {
            return Ok(Err(GuestError::new(ErrorKind::NotFound, "task", format!("task {} is gone", child.task))));
        };
        let mut task = view.task(Some(0), Shown::Show);
        if view.blobs {
            let completed = self.facts.store.complete(&self.facts.scope.tenant, &mut task).await;
            completed.map_err(|error| unavailable(&error))?;
        }
        let (task, bare) = match view.row.digest == NO_COMPONENT {
            true => self.as_there(task).await?,
            false => {
                let version = self.facts.registry.version(&view.row.digest).await;
                let mode = version.map(|version| version.agent.card().reply_mode);
                (task, matches!(mode, Ok(ReplyMode::Message)))
            }
        };
        Ok(Ok(Answer::Peer(answer_of(task, bare))))
    }

    /// Asks a child to stop.
    pub(super) async fn cancel_child(&self, task: &TaskId, reason: Option<String>) -> Result<(), Refusal> {
        let view = self.facts.store.task(&self.facts.scope, task).await.map_err(|error| unavailable(&error))?;
        let Some(view) = view else { return Ok(()) };
        let child = Sent { key: view.row.key.clone(), agent: view.row.agent.clone(), context: view.row.context };
        cancel(&self.facts.store, &self.facts.scope, child, reason).await.map_err(|error| unavailable(&error))
    }

    /// `peers.names`: the agents of this host that the card asks for, and those elsewhere that the operator has granted too.
    pub(super) fn peer_names(&self) -> Vec<String> {
        let peers = &self.facts.grants.peers;
        let names = self.facts.registry.names().into_iter().map(|name| name.to_string());
        let local = names.filter(|name| peers.iter().any(|peer| peer == "*" || peer == name));
        let granted = AgentGrants::of(&self.facts.all_grants, self.facts.agent.as_str());
        let elsewhere = granted.peers.into_keys().filter(|name| peers.contains(name));
        local.chain(elsewhere).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// `peers.card`: what the peer says of itself, in the form of an A2A card.
    pub(super) async fn peer_card(&self, to: &str) -> Result<Result<JsonValue, GuestError>, Refusal> {
        if self.is_elsewhere(to) {
            return self.card_elsewhere(to).await;
        }
        Ok(self.local_card(to))
    }

    fn local_card(&self, to: &str) -> Result<JsonValue, GuestError> {
        self.granted(to)?;
        let (_, version) = self.local(to)?;
        let card = version.agent.card();
        let skills = card.skills.iter().map(|skill| {
            serde_json::json!({
                "id": skill.id, "name": skill.name, "description": skill.description, "tags": skill.tags,
                "examples": skill.examples, "inputModes": skill.input_modes, "outputModes": skill.output_modes,
            })
        });
        Ok(JsonValue::from_value(&serde_json::json!({
            "name": card.name,
            "description": card.description,
            "version": card.version,
            "defaultInputModes": card.input_modes,
            "defaultOutputModes": card.output_modes,
            "skills": skills.collect::<Vec<_>>(),
        })))
    }
}

/// The digest of tasks that no component of this host works on.
const NO_COMPONENT: Digest = Digest::from_bytes([0; 32]);

/// Who works on a new message.
struct Recipient {
    agent: AgentId,
    digest: Digest,
    entry: Entry,
    remote: Option<Remote>,
}

/// A bare message if the peer answers with one, else its task.
fn answer_of(task: Task, bare: bool) -> PeerAnswer {
    if bare && task.status.state == TaskState::Completed {
        let empty = Part { content: Content::Text(String::new()), metadata: None, filename: None, media_type: None };
        let message = task.status.message.clone().unwrap_or_else(|| Message {
            message_id: format!("{}-reply", task.id),
            role: Role::Agent,
            parts: vec![empty],
            ..Message::default()
        });
        return PeerAnswer::Message(Box::new(message));
    }
    PeerAnswer::Task(Box::new(task))
}

/// A task that was sent.
struct Sent {
    key: TaskKey,
    agent: AgentId,
    context: ContextId,
}

async fn cancel(store: &Store, scope: &Scope, child: Sent, reason: Option<String>) -> Result<(), StoreError> {
    let now = store.clock().now();
    let event = StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
        task_id: child.key.task.clone(),
        context_id: child.context,
        status: TaskStatus { state: TaskState::Canceled, message: None, timestamp: Some(now) },
        metadata: None,
    });
    let body = CancelBody { source: Source::Parent, reason, metadata: None };
    let order = CancelOrder {
        key: child.key,
        owner: scope.owner.clone(),
        agent: child.agent,
        body: intake::bytes_of(&body)?,
        event: intake::bytes_of(&event)?,
        at: now,
    };
    store.cancel(order).await.map(drop)
}

/// Asks all tasks that a task has sent, and that are not over, to stop.
pub(super) async fn cancel_children(store: &Store, key: &TaskKey, scope: &Scope) -> Result<(), StoreError> {
    for (task, agent, state) in store.children(key).await? {
        if state.is_terminal() {
            continue;
        }
        let Some(view) = store.task(scope, &task).await? else { continue };
        let child = Sent { key: view.row.key.clone(), agent, context: view.row.context };
        cancel(store, scope, child, Some("the task that sent it has ended".to_owned())).await?;
    }
    Ok(())
}

/// The id of the task that a call sends: the same whenever the call is made again.
fn child_id(parent: &TaskId, idx: u32) -> TaskId {
    let mut hash = Sha256::new();
    hash.update("kennel-child");
    hash.update(idx.to_le_bytes());
    hash.update(parent.as_str());
    let digest: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    let id = uuid::Builder::from_custom_bytes(id).into_uuid().to_string();
    id.parse().unwrap_or_else(|_| TaskId::unset())
}

fn fresh_context(child: &TaskId) -> Option<ContextId> {
    format!("{child}-context").parse().ok()
}
