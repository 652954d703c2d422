//! The life of a task as one pure function (protocol.md section 6.4). Live calls, replay and recovery all ask it, so a
//! history that it forbids can be neither written nor read.

use std::fmt;

use crate::types::TaskState;

/// What happens to a task. Each is one event; a message that only waits in a mailbox is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The host takes the task on.
    Accept,
    /// A first activation begins.
    Start,
    /// The agent says something while it works.
    Update,
    /// The agent publishes a result or a piece of one.
    Artifact,
    /// The agent asks the client. Again: the prompt is repeated because the answer did not fit.
    RequireInput,
    /// The agent asks for an authorization. Again: as for input.
    RequireAuth,
    /// The wait is over: a message, a grant or a time-out brings the task back to work.
    Answer,
    /// Done.
    Complete,
    /// It went wrong.
    Fail,
    /// Somebody asked to stop.
    Cancel,
    /// The agent does not take it.
    Reject,
}

impl Step {
    /// All steps, in the order of a task's life.
    pub const ALL: [Step; 11] = [
        Step::Accept,
        Step::Start,
        Step::Update,
        Step::Artifact,
        Step::RequireInput,
        Step::RequireAuth,
        Step::Answer,
        Step::Complete,
        Step::Fail,
        Step::Cancel,
        Step::Reject,
    ];
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Step::Accept => "accept",
            Step::Start => "start",
            Step::Update => "update",
            Step::Artifact => "artifact",
            Step::RequireInput => "require-input",
            Step::RequireAuth => "require-auth",
            Step::Answer => "answer",
            Step::Complete => "complete",
            Step::Fail => "fail",
            Step::Cancel => "cancel",
            Step::Reject => "reject",
        })
    }
}

/// The step does not happen to a task that stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("step {step} is illegal {}", Place(*.from))]
pub struct Illegal {
    /// Where the task stands; none: there is no task yet.
    pub from: Option<TaskState>,
    /// What was to happen.
    pub step: Step,
}

/// Words for where a task stands.
struct Place(Option<TaskState>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(state) => write!(f, "in {state}"),
            None => f.write_str("before the task exists"),
        }
    }
}

/// Where the task stands after the step.
///
/// # Errors
/// The step is illegal there; the task stays as it is.
pub fn next(from: Option<TaskState>, event: Step) -> Result<TaskState, Illegal> {
    let to = match from {
        None => from_nothing(event),
        Some(TaskState::Submitted) => from_submitted(event),
        Some(TaskState::Working) => from_working(event),
        Some(state @ (TaskState::InputRequired | TaskState::AuthRequired)) => from_interrupted(state, event),
        Some(
            TaskState::Unspecified
            | TaskState::Completed
            | TaskState::Failed
            | TaskState::Canceled
            | TaskState::Rejected,
        ) => None,
    };
    to.ok_or(Illegal { from, step: event })
}

/// A task begins by being accepted or rejected.
fn from_nothing(step: Step) -> Option<TaskState> {
    match step {
        Step::Accept => Some(TaskState::Submitted),
        Step::Reject => Some(TaskState::Rejected),
        Step::Start
        | Step::Update
        | Step::Artifact
        | Step::RequireInput
        | Step::RequireAuth
        | Step::Answer
        | Step::Complete
        | Step::Fail
        | Step::Cancel => None,
    }
}

/// Nobody works yet, so nothing is said or asked; but any active state may jump to a terminal one.
fn from_submitted(step: Step) -> Option<TaskState> {
    match step {
        Step::Start => Some(TaskState::Working),
        Step::Complete | Step::Fail | Step::Cancel | Step::Reject => ending(step),
        Step::Accept | Step::Update | Step::Artifact | Step::RequireInput | Step::RequireAuth | Step::Answer => None,
    }
}

fn from_working(step: Step) -> Option<TaskState> {
    match step {
        Step::Update | Step::Artifact => Some(TaskState::Working),
        Step::RequireInput => Some(TaskState::InputRequired),
        Step::RequireAuth => Some(TaskState::AuthRequired),
        Step::Complete | Step::Fail | Step::Cancel | Step::Reject => ending(step),
        Step::Accept | Step::Start | Step::Answer => None,
    }
}

/// The agent is parked: only the answer wakes it. The host may repeat the prompt, but one wait does not become another
/// without work in between.
fn from_interrupted(state: TaskState, step: Step) -> Option<TaskState> {
    match step {
        Step::Answer => Some(TaskState::Working),
        Step::RequireInput => Some(TaskState::InputRequired).filter(|to| *to == state),
        Step::RequireAuth => Some(TaskState::AuthRequired).filter(|to| *to == state),
        Step::Complete | Step::Fail | Step::Cancel | Step::Reject => ending(step),
        Step::Accept | Step::Start | Step::Update | Step::Artifact => None,
    }
}

/// The terminal state that a step leads to, if it is an end.
fn ending(step: Step) -> Option<TaskState> {
    match step {
        Step::Complete => Some(TaskState::Completed),
        Step::Fail => Some(TaskState::Failed),
        Step::Cancel => Some(TaskState::Canceled),
        Step::Reject => Some(TaskState::Rejected),
        Step::Accept
        | Step::Start
        | Step::Update
        | Step::Artifact
        | Step::RequireInput
        | Step::RequireAuth
        | Step::Answer => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places() -> impl Iterator<Item = Option<TaskState>> {
        std::iter::once(None).chain(TaskState::ALL.iter().copied().map(Some))
    }

    fn short(state: TaskState) -> &'static str {
        state.as_str().trim_start_matches("TASK_STATE_")
    }

    #[test]
    fn the_table_of_transitions() {
        let mut table = vec![format!("{:<15}", "")];
        table.extend(Step::ALL.iter().map(|step| format!("{step:<15}")));
        let mut lines = vec![table.concat().trim_end().to_owned()];
        for from in places() {
            let mut line = format!("{:<15}", from.map_or("(none)", short));
            for step in Step::ALL {
                line.push_str(&format!("{:<15}", next(from, step).map_or("-", short)));
            }
            lines.push(line.trim_end().to_owned());
        }
        insta::assert_snapshot!("transitions", lines.join("\n"));
    }

    #[test]
    fn an_illegal_step_says_where_it_was_tried() {
        let illegal = next(Some(TaskState::Completed), Step::Update).unwrap_err();
        assert_eq!(illegal.to_string(), "step update is illegal in TASK_STATE_COMPLETED");
        let illegal = next(None, Step::Start).unwrap_err();
        assert_eq!(illegal.to_string(), "step start is illegal before the task exists");
    }

    #[test]
    fn every_state_is_of_one_kind() {
        for state in TaskState::ALL {
            assert!(!(state.is_terminal() && state.is_interrupted()), "{state}");
            assert_eq!(state.is_stop(), state.is_terminal() || state.is_interrupted());
        }
    }

    #[test]
    fn any_task_that_is_not_over_can_be_ended() {
        for from in [TaskState::Submitted, TaskState::Working, TaskState::InputRequired, TaskState::AuthRequired] {
            for step in [Step::Complete, Step::Fail, Step::Cancel, Step::Reject] {
                assert!(next(Some(from), step).unwrap().is_terminal());
            }
        }
    }

    proptest! {
        #[test]
        fn any_sequence_of_steps_keeps_the_invariants(
            steps in prop::collection::vec(prop::sample::select(Step::ALL.to_vec()), 0..40)
        ) {
            let mut at = None;
            let mut has_worked = false;
            for step in steps {
                let ended = at.is_some_and(TaskState::is_terminal);
                match next(at, step) {
                    Err(illegal) => prop_assert_eq!(illegal, Illegal { from: at, step }),
                    Ok(to) => {
                        prop_assert!(!ended, "terminal states absorb");
                        prop_assert_ne!(to, TaskState::Unspecified);
                        prop_assert!(to != TaskState::Submitted || at.is_none(), "accepted once");
                        has_worked |= to == TaskState::Working;
                        prop_assert!(has_worked || !to.is_interrupted(), "only who works can wait");
                        at = Some(to);
                    }
                }
            }
        }
    }
}
