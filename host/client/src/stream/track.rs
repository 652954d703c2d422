//! How far a stream has come: decides what is new and what is the end. Computes only; touches no connection.

use kennel_protocol::TaskId;
use kennel_protocol::types::{StreamResponse, Task, TaskState};

use super::StreamEvent;

/// How far a stream has come.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// The stream began with a message.
    ends_for_input: bool,
    /// This is not the first connection.
    resumed: bool,
    task: Option<TaskId>,
    last_id: Option<u64>,
    state: Option<TaskState>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    Repeated,
    Last,
}

impl Track {
    /// A stream that began with a message.
    pub(super) fn of_message() -> Track {
        Track { ends_for_input: true, ..Track::default() }
    }

    /// A stream that began with a task, after the given event.
    pub(super) fn of_task(task: TaskId, last_id: Option<u64>) -> Track {
        Track { task: Some(task), last_id, ..Track::default() }
    }

    pub(super) fn task(&self) -> Option<&TaskId> {
        self.task.as_ref()
    }

    pub(super) fn last_id(&self) -> Option<u64> {
        self.last_id
    }

    /// The first connection is gone; what comes from now on is a subscription.
    pub(super) fn resumed(&mut self) {
        self.resumed = true;
    }

    /// Takes an event into account; `opening` is the first of its connection.
    pub(super) fn observe(&mut self, event: &StreamEvent, opening: bool) -> Verdict {
        let (task, state) = match &event.event {
            StreamResponse::Message(_) => return Verdict::Last,
            StreamResponse::Task(Task { id, status, .. }) => (id, Some(status.state)),
            StreamResponse::StatusUpdate(update) => (&update.task_id, Some(update.status.state)),
            StreamResponse::ArtifactUpdate(update) => (&update.task_id, None),
        };
        let snapshot = opening && matches!(event.event, StreamResponse::Task(_));
        if let (Some(id), Some(last)) = (event.id, self.last_id) {
            // A snapshot from before the last event: the server counts anew, as after a restored backup.
            let counts_anew = snapshot && id < last;
            if id <= last && !counts_anew {
                self.state = state.filter(|_| id == last).or(self.state);
                return Verdict::Repeated;
            }
        }
        self.last_id = event.id.or(self.last_id);
        self.task.get_or_insert_with(|| task.clone());
        // Without numbers, the snapshot after a message may be from before that message: the old request for input.
        let outdated = snapshot && self.ends_for_input && !self.resumed && event.id.is_none();
        self.state = state.filter(|state| !(outdated && state.is_interrupted())).or(self.state);
        let over = state.is_some_and(TaskState::is_terminal) || (self.resumed && self.waits_for_input());
        if over { Verdict::Last } else { Verdict::New }
    }

    /// Whether a stream that began with a message has come to a request for input. Its own connection closes there; a
    /// subscription, which replaces it after a break, would stay open.
    pub(super) fn waits_for_input(&self) -> bool {
        self.ends_for_input && self.state == Some(TaskState::InputRequired)
    }

    /// Whether a server that closes the stream here closes it properly. The specification leaves open whether that is
    /// so at every interrupted state; Kennel, known by its numbers, closes subscriptions at the end of the task only.
    pub(super) fn may_end(&self) -> bool {
        let interrupted = self.state.is_some_and(TaskState::is_interrupted);
        self.state.is_some_and(TaskState::is_terminal)
            || self.waits_for_input()
            || (interrupted && self.last_id.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{status, task};

    /// Shows what the events come to, each as its number, whether it opens a connection, and its content.
    #[track_caller]
    fn check(mut track: Track, events: &[(Option<u64>, bool, StreamResponse)], expected: &[Verdict]) -> Track {
        let verdicts: Vec<Verdict> = events
            .iter()
            .map(|(id, opening, event)| track.observe(&StreamEvent { id: *id, event: event.clone() }, *opening))
            .collect();
        assert_eq!(verdicts, expected);
        track
    }

    #[test]
    fn what_was_seen_is_repeated_and_the_end_is_the_end() {
        let events = [
            (Some(1), true, task(TaskState::Submitted)),
            (Some(2), false, status(TaskState::Working)),
            (Some(2), true, task(TaskState::Working)),
            (Some(2), false, status(TaskState::Working)),
            (Some(3), false, status(TaskState::Completed)),
        ];
        let expected = [Verdict::New, Verdict::New, Verdict::Repeated, Verdict::Repeated, Verdict::Last];
        check(Track::of_message(), &events, &expected);
    }

    #[test]
    fn a_snapshot_may_close_a_gap_and_numbers_may_start_anew() {
        let events = [
            (Some(9), true, task(TaskState::Working)),
            (Some(4), true, task(TaskState::Working)),
            (Some(5), false, status(TaskState::Working)),
        ];
        check(Track::of_task("t".parse().unwrap(), Some(2)), &events, &[Verdict::New, Verdict::New, Verdict::New]);
    }

    #[test]
    fn a_stream_of_a_message_ends_at_a_question_once_it_lives_on_a_subscription() {
        let question = [(Some(2), false, status(TaskState::InputRequired))];
        let track = check(Track::of_message(), &question, &[Verdict::New]);
        assert!(track.waits_for_input() && track.may_end());
        let mut resumed = Track::of_message();
        resumed.resumed();
        check(resumed, &question, &[Verdict::Last]);
        let track = check(Track::of_task("t".parse().unwrap(), None), &question, &[Verdict::New]);
        assert!(!track.waits_for_input() && !track.may_end());
    }

    #[test]
    fn servers_without_numbers_may_close_at_every_interruption_but_not_for_the_last_question() {
        let track = check(Track::of_message(), &[(None, true, task(TaskState::InputRequired))], &[Verdict::New]);
        assert!(!track.may_end());
        let events = [(None, true, task(TaskState::Working)), (None, false, status(TaskState::AuthRequired))];
        let track = check(Track::of_task("t".parse().unwrap(), None), &events, &[Verdict::New, Verdict::New]);
        assert!(track.may_end());
    }
}
