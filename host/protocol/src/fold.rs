//! The view of a task that its events add up to: status, artifacts, and the agent's half of the history.
//!
//! The same fold runs in the live host, at recovery, and when a client asks for a task, so all of them see one thing.
//! It does not judge whether an event was allowed (that is [`state`](crate::state)); it refuses what cannot be folded.

use serde::{Deserialize, Serialize};

use crate::extension::PROGRESS;
use crate::ids::Seq;
use crate::types::{Artifact, Message, Part, StreamResponse, Task, TaskArtifactUpdateEvent, TaskStatus};

/// A task's events up to some seq, folded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fold {
    /// The current status.
    pub status: TaskStatus,
    /// The event that set it; zero before the first. Its message takes this place in the history once it is replaced.
    pub status_seq: Seq,
    /// All artifacts in the order of their first pieces.
    pub artifacts: Vec<Artifact>,
    /// Agent messages of statuses that were replaced, with the seq of the event that brought them. Progress is left out.
    pub messages: Vec<(Seq, Message)>,
}

/// Why an event cannot be folded. The fold is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// A bare message is the whole answer of an agent that made no task; it is no event of a task.
    #[error("event {0} is a message, which a task cannot have")]
    Message(Seq),
    /// The event is older than the status it would act on.
    #[error("event {0} comes after a later one")]
    Order(Seq),
    /// The task ended before.
    #[error("event {0} comes after the end of the task")]
    Ended(Seq),
    /// An artifact without an id cannot be continued or replaced.
    #[error("event {0} has an artifact without an id")]
    ArtifactWithoutId(Seq),
}

impl Fold {
    /// Adds the next event. Events come in the order of their seq, each once.
    ///
    /// # Errors
    /// The event cannot be an event of this task at this place; nothing has changed.
    pub fn apply(&mut self, seq: Seq, event: &StreamResponse) -> Result<(), FoldError> {
        if seq <= self.status_seq {
            return Err(FoldError::Order(seq));
        }
        match event {
            StreamResponse::Task(task) => self.apply_task(seq, task),
            StreamResponse::Message(_) => Err(FoldError::Message(seq)),
            StreamResponse::StatusUpdate(_) | StreamResponse::ArtifactUpdate(_) if self.status.state.is_terminal() => {
                Err(FoldError::Ended(seq))
            }
            StreamResponse::StatusUpdate(update) => {
                self.replace_status(seq, &update.status);
                Ok(())
            }
            StreamResponse::ArtifactUpdate(update) if update.artifact.artifact_id.is_unset() => {
                Err(FoldError::ArtifactWithoutId(seq))
            }
            StreamResponse::ArtifactUpdate(update) => {
                self.apply_artifact(update);
                Ok(())
            }
        }
    }

    /// The messages of the exchange, oldest first: the agent's of this fold and the client's, which come with the rev of
    /// the task at which they arrived. A client message at seq s stands after the agent messages of events up to s.
    #[must_use]
    pub fn history(&self, client: &[(Seq, Message)]) -> Vec<Message> {
        let mut history = Vec::with_capacity(self.messages.len() + client.len());
        let mut agent = self.messages.iter().peekable();
        for (at, message) in client {
            while let Some((_, earlier)) = agent.next_if(|(seq, _)| seq <= at) {
                history.push(earlier.clone());
            }
            history.push(message.clone());
        }
        history.extend(agent.map(|(_, message)| message.clone()));
        history
    }

    /// A snapshot sets what it holds: the status always, the artifacts if they are included. After the end it may only
    /// repeat the end.
    fn apply_task(&mut self, seq: Seq, task: &Task) -> Result<(), FoldError> {
        if self.status.state.is_terminal() && task.status.state != self.status.state {
            return Err(FoldError::Ended(seq));
        }
        if task.artifacts.iter().flatten().any(|artifact| artifact.artifact_id.is_unset()) {
            return Err(FoldError::ArtifactWithoutId(seq));
        }
        self.replace_status(seq, &task.status);
        if let Some(artifacts) = &task.artifacts {
            self.artifacts.clone_from(artifacts);
        }
        Ok(())
    }

    /// The message of the status that goes becomes history, unless the new status repeats it or it was only progress.
    fn replace_status(&mut self, seq: Seq, status: &TaskStatus) {
        let old = std::mem::replace(&mut self.status, status.clone());
        let old_seq = std::mem::replace(&mut self.status_seq, seq);
        let Some(message) = old.message else { return };
        let repeated = status.message.as_ref().is_some_and(|new| *new == message);
        if !repeated && !is_progress(&message) {
            self.messages.push((old_seq, message));
        }
    }

    fn apply_artifact(&mut self, update: &TaskArtifactUpdateEvent) {
        let piece = &update.artifact;
        match self.artifacts.iter_mut().find(|held| held.artifact_id == piece.artifact_id) {
            Some(held) if update.append => append(held, piece),
            Some(held) => held.clone_from(piece),
            None => self.artifacts.push(piece.clone()),
        }
    }
}

/// Joins a piece to its artifact: parts are added, and whatever else the piece says replaces what was said before.
fn append(held: &mut Artifact, piece: &Artifact) {
    held.parts.extend(piece.parts.iter().cloned());
    if piece.name.is_some() {
        held.name.clone_from(&piece.name);
    }
    if piece.description.is_some() {
        held.description.clone_from(&piece.description);
    }
    if piece.metadata.is_some() {
        held.metadata.clone_from(&piece.metadata);
    }
    for uri in &piece.extensions {
        if !held.extensions.contains(uri) {
            held.extensions.push(uri.clone());
        }
    }
}

/// Whether a message says how far the work is and nothing else.
fn is_progress(message: &Message) -> bool {
    message.parts.iter().all(is_progress_part)
}

fn is_progress_part(part: &Part) -> bool {
    // The text is searched first, because hardly any metadata is worth the walk through its members.
    part.metadata
        .as_ref()
        .is_some_and(|metadata| metadata.get().contains(PROGRESS) && metadata.member(PROGRESS).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{JsonObject, Role, TaskState, TaskStatusUpdateEvent};

    fn said(id: &str) -> Message {
        Message { message_id: id.to_owned(), role: Role::Agent, parts: vec![Part::text(id)], ..Message::default() }
    }

    fn progress(id: &str) -> Message {
        let metadata = JsonObject::from_text(r#"{"urn:kennel:progress:1":true}"#).ok();
        let part = Part { metadata, ..Part::text("40 %") };
        Message { parts: vec![part], ..said(id) }
    }

    fn status(state: TaskState, message: Option<Message>) -> TaskStatus {
        TaskStatus { state, message, timestamp: None }
    }

    fn update(state: TaskState, message: Option<Message>) -> StreamResponse {
        StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
            task_id: "t".parse().unwrap(),
            context_id: "c".parse().unwrap(),
            status: status(state, message),
            metadata: None,
        })
    }

    fn snapshot(state: TaskState, artifacts: Option<Vec<Artifact>>) -> StreamResponse {
        StreamResponse::Task(Task {
            id: "t".parse().unwrap(),
            context_id: "c".parse().unwrap(),
            status: status(state, None),
            artifacts,
            history: Vec::new(),
            metadata: None,
        })
    }

    fn artifact(id: &str, text: &str) -> Artifact {
        Artifact { artifact_id: id.parse().unwrap(), parts: vec![Part::text(text)], ..Artifact::default() }
    }

    fn piece(artifact: Artifact, append: bool) -> StreamResponse {
        StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
            task_id: "t".parse().unwrap(),
            context_id: "c".parse().unwrap(),
            artifact,
            append,
            last_chunk: false,
            metadata: None,
        })
    }

    fn folded(events: &[StreamResponse]) -> Fold {
        let mut fold = Fold::default();
        for (index, event) in events.iter().enumerate() {
            fold.apply(Seq::new(index as u64 + 1), event).unwrap();
        }
        fold
    }

    fn ids(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| message.message_id.as_str()).collect()
    }

    #[test]
    fn a_replaced_status_message_becomes_history_at_its_own_seq() {
        let fold = folded(&[
            snapshot(TaskState::Submitted, None),
            update(TaskState::Working, Some(said("a"))),
            update(TaskState::Working, Some(progress("p"))),
            update(TaskState::Working, None),
            update(TaskState::InputRequired, Some(said("b"))),
        ]);
        assert_eq!(fold.messages, [(Seq::new(2), said("a"))]);
        assert_eq!(fold.status.message, Some(said("b")));
        assert_eq!(fold.status_seq, Seq::new(5));
    }

    #[test]
    fn client_messages_stand_after_the_agent_messages_that_were_there() {
        let fold = folded(&[
            update(TaskState::Working, Some(said("a1"))),
            update(TaskState::Working, Some(said("a2"))),
            update(TaskState::InputRequired, Some(said("a3"))),
            update(TaskState::Working, None),
        ]);
        let client = [
            (Seq::new(0), said("c0")),
            (Seq::new(2), said("c2")),
            (Seq::new(2), said("c2b")),
            (Seq::new(3), said("c3")),
        ];
        assert_eq!(ids(&fold.history(&client)), ["c0", "a1", "a2", "c2", "c2b", "a3", "c3"]);
        assert_eq!(ids(&fold.history(&[])), ["a1", "a2", "a3"]);
        assert!(Fold::default().history(&[]).is_empty());
    }

    #[test]
    fn pieces_join_the_artifact_of_their_id() {
        let named = Artifact {
            name: Some("n".to_owned()),
            metadata: JsonObject::from_text(r#"{"k":1}"#).ok(),
            extensions: vec!["urn:x".to_owned()],
            ..artifact("a", "2")
        };
        let fold = folded(&[
            piece(artifact("a", "1"), true),
            piece(artifact("b", "x"), false),
            piece(named.clone(), true),
            piece(named.clone(), true),
            piece(artifact("b", "y"), false),
        ]);
        assert_eq!(fold.artifacts.len(), 2);
        assert_eq!(fold.artifacts[0].parts, [Part::text("1"), Part::text("2"), Part::text("2")]);
        assert_eq!(fold.artifacts[0].name, named.name);
        assert_eq!(fold.artifacts[0].metadata, named.metadata);
        assert_eq!(fold.artifacts[0].extensions, named.extensions);
        assert_eq!(fold.artifacts[1], artifact("b", "y"));
    }

    #[test]
    fn a_snapshot_without_artifacts_leaves_them() {
        let fold = folded(&[
            piece(artifact("a", "1"), false),
            snapshot(TaskState::Working, None),
            snapshot(TaskState::Completed, None),
            snapshot(TaskState::Completed, None),
        ]);
        assert_eq!(fold.artifacts, [artifact("a", "1")]);
        assert_eq!(folded(&[snapshot(TaskState::Working, Some(vec![]))]).artifacts, []);
    }

    #[test]
    fn what_cannot_be_folded_changes_nothing() {
        let mut fold = folded(&[update(TaskState::Completed, Some(said("done")))]);
        let before = fold.clone();
        let seq = Seq::new(2);
        for (event, error) in [
            (StreamResponse::Message(said("m")), FoldError::Message(seq)),
            (update(TaskState::Working, None), FoldError::Ended(seq)),
            (piece(artifact("a", "1"), false), FoldError::Ended(seq)),
            (snapshot(TaskState::Working, None), FoldError::Ended(seq)),
        ] {
            assert_eq!(fold.apply(seq, &event), Err(error));
            assert_eq!(fold, before);
        }
        assert_eq!(fold.apply(Seq::new(1), &snapshot(TaskState::Completed, None)), Err(FoldError::Order(Seq::new(1))));
        let nameless = piece(Artifact::default(), false);
        assert_eq!(Fold::default().apply(seq, &nameless), Err(FoldError::ArtifactWithoutId(seq)));
    }

    #[test]
    fn a_stored_fold_goes_on_where_it_was() {
        let events = [
            update(TaskState::Working, Some(said("a"))),
            piece(artifact("r", "1"), false),
            update(TaskState::Working, Some(said("b"))),
            piece(artifact("r", "2"), true),
            update(TaskState::Completed, None),
        ];
        for cut in 0..events.len() {
            let text = serde_json::to_string(&folded(&events[..cut])).unwrap();
            let mut fold: Fold = serde_json::from_str(&text).unwrap();
            for (index, event) in events.iter().enumerate().skip(cut) {
                fold.apply(Seq::new(index as u64 + 1), event).unwrap();
            }
            assert_eq!(fold, folded(&events));
        }
    }
}
