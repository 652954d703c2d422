//! `kennel tasks why`: one sentence that says what a task waits for, or why it does not run. One case of [`Case`], one sentence, one test.

use kennel_protocol::Timestamp;
use kennel_protocol::types::TaskState;
use kennel_store::{RunRow, RunState};
use serde::Serialize;

use super::words::{between, count, moment, short};

/// Characters of a question or a reason.
const SAID_MAX: usize = 120;
/// Claims without progress from which a run is tried alone; the store counts the same.
const SUSPECT_ATTEMPTS: u32 = 2;

/// What is known of a task.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) now: Timestamp,
    /// Whether a host listens in the data folder.
    pub(super) hosted: bool,
    pub(super) state: TaskState,
    /// When that state was recorded.
    pub(super) since: Timestamp,
    /// What the agent says with it.
    pub(super) said: String,
    /// Code of a failure.
    pub(super) code: Option<String>,
    pub(super) expires: Timestamp,
    /// Whether this release can go on with its journal.
    pub(super) known: bool,
    pub(super) run: Option<RunRow>,
    /// Whether somebody asked it to stop.
    pub(super) canceled: bool,
    /// The agent elsewhere that works on it.
    pub(super) peer: Option<String>,
    /// The last recorded call.
    pub(super) last: Option<LastCall>,
    /// Runs that are claimed before its own.
    pub(super) ahead: u64,
    /// Runs that a host holds.
    pub(super) leased: u64,
}

/// The last recorded call.
#[derive(Clone, Debug)]
pub(super) struct LastCall {
    pub(super) name: String,
    pub(super) asked: Timestamp,
    /// When its wait ends by itself.
    pub(super) due: Option<Timestamp>,
    /// Whether it has an answer.
    pub(super) answered: bool,
}

/// Every reason that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Case {
    Completed,
    Failed,
    Canceled,
    Rejected,
    NeedsNewer,
    GivenUp,
    NoRun,
    Stopping,
    NoHost,
    Interrupted,
    WaitsForAnswer,
    WaitsForCredential,
    WaitsForMessage,
    Sleeps,
    WaitsForTimer,
    WaitsForPeer,
    WaitsInCall,
    Due,
    Retrying,
    Suspect,
    Queued,
    Runs,
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Why {
    #[serde(rename = "case")]
    pub(super) case: Case,
    #[serde(rename = "why")]
    pub(super) sentence: String,
}

/// What a task waits for, or why it does not run.
pub(super) fn why(facts: &Facts) -> Why {
    let case = case(facts);
    Why { case, sentence: sentence(case, facts) }
}

/// The table of cases, in order: the first that holds.
fn case(facts: &Facts) -> Case {
    match facts.state {
        TaskState::Completed => return Case::Completed,
        TaskState::Failed => return Case::Failed,
        TaskState::Canceled => return Case::Canceled,
        TaskState::Rejected => return Case::Rejected,
        _ => {}
    }
    let Some(run) = &facts.run else { return Case::NoRun };
    if !facts.known {
        return Case::NeedsNewer;
    }
    match run.state {
        RunState::Held | RunState::Dead => Case::GivenUp,
        RunState::Leased if !facts.hosted => Case::Interrupted,
        RunState::Leased => waiting(facts).unwrap_or(if facts.canceled { Case::Stopping } else { Case::Runs }),
        // A deadline or a timer of its wait has passed, and nobody has claimed it yet.
        RunState::Parked if run.due.is_some_and(|due| due <= facts.now) => {
            if facts.hosted {
                Case::Due
            } else {
                Case::NoHost
            }
        }
        RunState::Parked if facts.peer.is_some() && facts.state.is_interrupted() => Case::WaitsForAnswer,
        RunState::Parked if facts.peer.is_some() => Case::WaitsForPeer,
        RunState::Parked => waiting(facts).unwrap_or(Case::WaitsInCall),
        RunState::Ready if !facts.hosted => Case::NoHost,
        RunState::Ready if run.due.is_some_and(|due| due > facts.now) => Case::Retrying,
        RunState::Ready if run.attempts >= SUSPECT_ATTEMPTS => Case::Suspect,
        RunState::Ready => Case::Queued,
    }
}

/// What a call without an answer waits for.
fn waiting(facts: &Facts) -> Option<Case> {
    let call = facts.last.as_ref().filter(|call| !call.answered && !facts.canceled)?;
    Some(match call.name.as_str() {
        "task.require-input" => Case::WaitsForAnswer,
        "task.require-auth" => Case::WaitsForCredential,
        "task.next-message" => Case::WaitsForMessage,
        "wait.sleep" | "wait.sleep-until" => Case::Sleeps,
        "wasi.poll" => Case::WaitsForTimer,
        _ => Case::WaitsInCall,
    })
}

fn sentence(case: Case, facts: &Facts) -> String {
    let since = moment(facts.since, facts.now);
    let said = short(&facts.said, SAID_MAX);
    match case {
        Case::Completed => format!("It is completed since {since}{}.", quoted(": ", &said)),
        Case::Failed => {
            let code = facts.code.as_deref().map(|code| format!("{}, ", short(code, SAID_MAX))).unwrap_or_default();
            ended(&format!("It failed at {since}: {code}{said}"))
        }
        Case::Canceled => format!("It was canceled at {since}{}.", quoted(": ", &said)),
        Case::Rejected => format!("Its agent refused it at {since}{}.", quoted(": ", &said)),
        Case::NeedsNewer => {
            "It needs a newer version of Kennel: this one does not know the form of its journal.".to_owned()
        }
        Case::NoRun => {
            "Nobody goes on with it: it has no run, which is a fault of Kennel; `kennel a2a task cancel` ends it."
                .to_owned()
        }
        _ => at_work(case, facts, &since, &said),
    }
}

/// The sentences of tasks that have a run.
fn at_work(case: Case, facts: &Facts, since: &str, said: &str) -> String {
    let run = facts.run.as_ref();
    let attempts = run.map_or(0, |run| run.attempts);
    let error = run.and_then(|run| run.last_error.as_deref()).map(|error| short(error, SAID_MAX)).unwrap_or_default();
    let error = if error.is_empty() { error } else { format!(" ({error})") };
    match case {
        Case::GivenUp => format!("It is held{error}; nobody goes on with it by itself."),
        Case::Stopping => {
            let by = if facts.now >= facts.expires { "Its lifetime is over" } else { "It has been asked to stop" };
            format!("{by}; its agent may clean up for a few seconds, then it is CANCELED.")
        }
        Case::NoHost => "It is ready, but no host runs on this data folder; `kennel serve` goes on with it.".to_owned(),
        Case::Interrupted => {
            "Its host ended while it was at work; `kennel serve` goes on with it where it was.".to_owned()
        }
        Case::Due => format!("Its wait is over, and it is queued behind {}.", others(facts)),
        Case::Retrying if attempts == 0 => {
            format!("It was given back{error}; the next try is in {}.", next_try(facts))
        }
        Case::Retrying => {
            let times = times(attempts);
            format!("It was started {times} and got no further{error}; the next try is in {}.", next_try(facts))
        }
        Case::Suspect => format!(
            "It was started {} and got no further{error}; such tasks are tried one at a time, and {} before it.",
            times(attempts),
            are(facts.ahead)
        ),
        Case::Queued if facts.ahead == 0 && facts.leased == 0 => "It is next in the queue.".to_owned(),
        Case::Queued => {
            format!("It is queued behind {}; a host works on {}.", others(facts), count(facts.leased, "task"))
        }
        Case::Runs => match &facts.last {
            Some(call) => {
                format!("It runs; its last call was `{}` at {}.", call.name, moment(call.asked, facts.now))
            }
            None => format!("It runs since {since}."),
        },
        _ => waits(case, facts, said),
    }
}

/// The sentences of waits.
fn waits(case: Case, facts: &Facts, said: &str) -> String {
    let call = facts.last.as_ref();
    let asked = moment(call.map_or(facts.since, |call| call.asked), facts.now);
    let due = call.and_then(|call| call.due);
    let goes_on = match due {
        Some(due) => format!("in {} it goes on without one", between(facts.now, due)),
        None => format!("its lifetime ends in {}", between(facts.now, facts.expires)),
    };
    let until = due
        .map_or_else(String::new, |due| format!(" until {} (in {})", moment(due, facts.now), between(facts.now, due)));
    let sentence = match case {
        Case::WaitsForAnswer => {
            format!("It waits for its client's answer{} since {asked}; {goes_on}", quoted(" to ", said))
        }
        Case::WaitsForCredential => {
            let asked = format!("{} since {asked}", quoted(", asked for by ", said));
            format!("It waits for a credential{asked}; `kennel tasks resume` once it is configured; {goes_on}")
        }
        Case::WaitsForMessage => format!("It waits for its client's next message since {asked}; {goes_on}"),
        Case::Sleeps => format!("It sleeps{until}"),
        Case::WaitsForPeer => {
            let peer = short(facts.peer.as_deref().unwrap_or_default(), SAID_MAX);
            let stops = if facts.canceled { "to stop " } else { "" };
            format!("It waits for the peer {peer} {stops}since {asked}; the next look is in {}", next_try(facts))
        }
        Case::WaitsForTimer => format!("It waits for a timer of its own{until}"),
        _ => {
            let name = call.map_or("a call", |call| call.name.as_str());
            format!("It waits in `{name}` since {asked}{until}")
        }
    };
    let nobody = if facts.hosted { "" } else { " (no host runs on this data folder now)" };
    format!("{sentence}{nobody}.")
}

fn next_try(facts: &Facts) -> String {
    let due = facts.run.as_ref().and_then(|run| run.due);
    between(facts.now, due.unwrap_or(facts.now))
}

fn others(facts: &Facts) -> String {
    match facts.ahead {
        0 => "no other".to_owned(),
        n => count(n, "other"),
    }
}

fn are(n: u64) -> String {
    match n {
        0 => "nothing is".to_owned(),
        1 => "1 task is".to_owned(),
        n => format!("{n} tasks are"),
    }
}

fn times(n: u32) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

/// A text in quotation marks, or nothing.
fn quoted(before: &str, said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("{before}“{said}”") }
}

/// With one full stop at its end.
fn ended(text: &str) -> String {
    let text = text.trim_end_matches([' ', ':', ',']);
    if text.ends_with(['.', '!', '?', '…']) { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn later(seconds: i64) -> Timestamp {
        Timestamp::from_millis(at("2026-08-01T12:10:00Z").millis() + seconds * 1_000)
    }

    fn run(state: RunState) -> RunRow {
        RunRow { state, due: None, first: false, host: None, attempts: 0, last_error: None }
    }

    fn facts(state: TaskState, run: Option<RunRow>) -> Facts {
        Facts {
            now: later(0),
            hosted: true,
            state,
            since: at("2026-08-01T12:03:04Z"),
            said: String::new(),
            code: None,
            expires: later(30 * 86_400),
            known: true,
            run,
            canceled: false,
            peer: None,
            last: None,
            ahead: 0,
            leased: 0,
        }
    }

    fn call(name: &str, due: Option<Timestamp>) -> Option<LastCall> {
        Some(LastCall { name: name.to_owned(), asked: at("2026-08-01T12:03:04Z"), due, answered: false })
    }

    fn working(state: RunState) -> Facts {
        facts(TaskState::Working, Some(run(state)))
    }

    #[track_caller]
    fn check(facts: &Facts, case: Case, sentence: &str) {
        let found = why(facts);
        assert_eq!((found.case, found.sentence.as_str()), (case, sentence));
    }

    #[test]
    fn a_completed_task() {
        let done = facts(TaskState::Completed, None);
        check(&done, Case::Completed, "It is completed since 12:03:04 UTC.");
        let said = Facts { said: "Thank you.".to_owned(), ..done };
        check(&said, Case::Completed, "It is completed since 12:03:04 UTC: “Thank you.”.");
    }

    #[test]
    fn a_failed_task() {
        let failed = Facts {
            said: "The agent stopped unexpectedly.".to_owned(),
            code: Some("panic".to_owned()),
            ..facts(TaskState::Failed, None)
        };
        let text = "It failed at 12:03:04 UTC: panic, The agent stopped unexpectedly.";
        check(&failed, Case::Failed, text);
        check(&facts(TaskState::Failed, None), Case::Failed, "It failed at 12:03:04 UTC.");
    }

    #[test]
    fn a_canceled_task() {
        check(&facts(TaskState::Canceled, None), Case::Canceled, "It was canceled at 12:03:04 UTC.");
    }

    #[test]
    fn a_rejected_task() {
        let rejected = Facts { said: "Not on Sundays".to_owned(), ..facts(TaskState::Rejected, None) };
        check(&rejected, Case::Rejected, "Its agent refused it at 12:03:04 UTC: “Not on Sundays”.");
    }

    #[test]
    fn a_task_of_a_newer_release() {
        let newer = Facts { known: false, ..working(RunState::Ready) };
        let text = "It needs a newer version of Kennel: this one does not know the form of its journal.";
        check(&newer, Case::NeedsNewer, text);
    }

    #[test]
    fn a_task_that_is_held() {
        let held = RunRow { last_error: Some("no memory".to_owned()), ..run(RunState::Held) };
        let text = "It is held (no memory); nobody goes on with it by itself.";
        check(&facts(TaskState::Working, Some(held)), Case::GivenUp, text);
    }

    #[test]
    fn a_task_without_a_run() {
        let text =
            "Nobody goes on with it: it has no run, which is a fault of Kennel; `kennel a2a task cancel` ends it.";
        check(&facts(TaskState::Working, None), Case::NoRun, text);
    }

    #[test]
    fn a_task_that_was_asked_to_stop() {
        let stopping = Facts { canceled: true, last: call("wait.sleep", None), ..working(RunState::Leased) };
        let text = "It has been asked to stop; its agent may clean up for a few seconds, then it is CANCELED.";
        check(&stopping, Case::Stopping, text);
        let over = Facts { expires: later(-1), ..stopping };
        let text = "Its lifetime is over; its agent may clean up for a few seconds, then it is CANCELED.";
        check(&over, Case::Stopping, text);
    }

    #[test]
    fn a_ready_task_without_a_host() {
        let text = "It is ready, but no host runs on this data folder; `kennel serve` goes on with it.";
        check(&Facts { hosted: false, ..working(RunState::Ready) }, Case::NoHost, text);
    }

    #[test]
    fn a_task_whose_host_ended() {
        let text = "Its host ended while it was at work; `kennel serve` goes on with it where it was.";
        check(&Facts { hosted: false, ..working(RunState::Leased) }, Case::Interrupted, text);
    }

    #[test]
    fn a_question() {
        let week = later(7 * 86_400 - 600);
        let asks = Facts {
            said: "Red or blue?".to_owned(),
            last: call("task.require-input", Some(week)),
            ..facts(TaskState::InputRequired, Some(run(RunState::Parked)))
        };
        let text = "It waits for its client's answer to “Red or blue?” since 12:03:04 UTC; in 6 days 23 h it goes on without one.";
        check(&asks, Case::WaitsForAnswer, text);
        let alone = Facts { hosted: false, ..asks };
        assert!(why(&alone).sentence.ends_with("without one (no host runs on this data folder now)."));
    }

    #[test]
    fn a_question_whose_instance_is_still_there() {
        let asks = Facts { last: call("task.require-input", None), ..working(RunState::Leased) };
        let text = "It waits for its client's answer since 12:03:04 UTC; its lifetime ends in 30 days.";
        check(&asks, Case::WaitsForAnswer, text);
    }

    #[test]
    fn a_credential() {
        let asks = Facts {
            said: "I need the vault.".to_owned(),
            last: call("task.require-auth", Some(later(60))),
            ..facts(TaskState::AuthRequired, Some(run(RunState::Parked)))
        };
        let text = "It waits for a credential, asked for by “I need the vault.” since 12:03:04 UTC; `kennel tasks resume` once it is configured; in 1 min it goes on without one.";
        check(&asks, Case::WaitsForCredential, text);
    }

    #[test]
    fn a_mailbox() {
        let waits = Facts { last: call("task.next-message", None), ..working(RunState::Parked) };
        let text = "It waits for its client's next message since 12:03:04 UTC; its lifetime ends in 30 days.";
        check(&waits, Case::WaitsForMessage, text);
    }

    #[test]
    fn a_sleep() {
        let sleeps = Facts { last: call("wait.sleep", Some(later(90))), ..working(RunState::Parked) };
        check(&sleeps, Case::Sleeps, "It sleeps until 12:11:30 UTC (in 1 min).");
    }

    #[test]
    fn a_timer_of_wasi() {
        let polls = Facts { last: call("wasi.poll", Some(later(5))), ..working(RunState::Parked) };
        check(&polls, Case::WaitsForTimer, "It waits for a timer of its own until 12:10:05 UTC (in 5 s).");
    }

    #[test]
    fn a_task_of_a_peer() {
        let last = call("remote.send", None).map(|call| LastCall { answered: true, ..call });
        let parked = RunRow { due: Some(later(5)), ..run(RunState::Parked) };
        let peer = Some("partner".to_owned());
        let waits = Facts { last, peer, ..facts(TaskState::Working, Some(parked)) };
        let text = "It waits for the peer partner since 12:03:04 UTC; the next look is in 5 s.";
        check(&waits, Case::WaitsForPeer, text);
        let asks = Facts { state: TaskState::InputRequired, said: "Who?".to_owned(), ..waits };
        let text = "It waits for its client's answer to “Who?” since 12:03:04 UTC; its lifetime ends in 30 days.";
        check(&asks, Case::WaitsForAnswer, text);
    }

    #[test]
    fn a_call_that_this_table_does_not_know() {
        let waits = Facts { last: call("wait.any", None), ..working(RunState::Parked) };
        check(&waits, Case::WaitsInCall, "It waits in `wait.any` since 12:03:04 UTC.");
    }

    #[test]
    fn a_wait_that_is_over() {
        let due = RunRow { due: Some(later(-1)), ..run(RunState::Parked) };
        let over = Facts { ahead: 2, last: call("wait.sleep", None), ..facts(TaskState::Working, Some(due)) };
        check(&over, Case::Due, "Its wait is over, and it is queued behind 2 others.");
    }

    #[test]
    fn a_task_that_is_tried_again() {
        let back = RunRow { due: Some(later(4)), attempts: 3, ..run(RunState::Ready) };
        let text = "It was started 3 times and got no further; the next try is in 4 s.";
        check(&facts(TaskState::Working, Some(back.clone())), Case::Retrying, text);
        let ours = RunRow { attempts: 0, last_error: Some("the store refused the task".to_owned()), ..back };
        let text = "It was given back (the store refused the task); the next try is in 4 s.";
        check(&facts(TaskState::Working, Some(ours)), Case::Retrying, text);
    }

    #[test]
    fn a_suspect() {
        let suspect = RunRow { due: Some(later(-4)), attempts: 2, ..run(RunState::Ready) };
        let text =
            "It was started 2 times and got no further; such tasks are tried one at a time, and 1 task is before it.";
        let facts = Facts { ahead: 1, ..facts(TaskState::Working, Some(suspect)) };
        check(&facts, Case::Suspect, text);
    }

    #[test]
    fn a_queued_task() {
        let queued = facts(TaskState::Submitted, Some(RunRow { due: Some(later(-4)), ..run(RunState::Ready) }));
        check(&queued, Case::Queued, "It is next in the queue.");
        let behind = Facts { ahead: 12, leased: 1_000, ..queued };
        check(&behind, Case::Queued, "It is queued behind 12 others; a host works on 1000 tasks.");
    }

    #[test]
    fn a_running_task() {
        check(&working(RunState::Leased), Case::Runs, "It runs since 12:03:04 UTC.");
        let last = call("artifact.publish", None).map(|call| LastCall { answered: true, ..call });
        let runs = Facts { last, ..working(RunState::Leased) };
        check(&runs, Case::Runs, "It runs; its last call was `artifact.publish` at 12:03:04 UTC.");
    }

    #[test]
    fn what_an_agent_says_does_not_command_a_terminal() {
        let failed = Facts { said: "a\u{1b}[2J\nb".to_owned(), ..facts(TaskState::Failed, None) };
        assert_eq!(why(&failed).sentence, "It failed at 12:03:04 UTC: a\u{FFFD}[2J b.");
    }
}
