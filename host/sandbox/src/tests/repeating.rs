//! A run first repeats what is recorded and then goes on: what counts from where, and what the record needs to know.

use std::time::Duration;

use super::fixture::{GuestText, Home, LOG, START, STEP, Worker, start};
use crate::call::Moment;
use crate::{End, Finished, Limits, Outcome, Run, TrapReason};

const SLEEP: &str = r#"
    (import "kennel:agent/wait@0.1.0" "sleep" (func $sleep (param f64 i32)))
    (import "kennel:agent/log@0.1.0" "emit" (func $emit (param i32 i32 i32 i32 i32)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $clock (result i64)))"#;

/// A function that computes for some tens of milliseconds, and one that says a word of five letters at an address.
const ITEMS: &str = "
    (func $compute (local $n i32)
        (loop $more
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (i32.store (i32.const 512) (local.get $n))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 30000000)))))
    (func $say (param $at i32)
        (call $emit (i32.const 2) (local.get $at) (i32.const 5) (i32.const 0) (i32.const 0)))
    (func $wait (call $sleep (f64.const 5) (i32.const 256)))";

fn guest(run: &'static str) -> GuestText {
    GuestText { imports: SLEEP, items: ITEMS, data: "firstother", run, ..GuestText::default() }
}

fn reason(finished: &Finished) -> (TrapReason, &str) {
    match &finished.end {
        End::Trap(trap) => (trap.reason, &trap.public),
        other => panic!("no trap: {other:?}"),
    }
}

#[tokio::test]
async fn lines_of_the_repeated_part_are_not_said_again() {
    let home = Home::new();
    let agent = home
        .agent(&guest("(call $say (i32.const 1024)) (call $wait) (call $say (i32.const 1029)) i32.const 0").component())
        .await;
    // One line is all the quota there is: the repeated one takes none of it.
    let limits = Limits { log_lines_max: 1, ..Limits::default() };
    for (recorded, expected) in
        [(0, vec!["first", "1 more log lines of this activation were dropped."]), (1, vec!["other"]), (2, vec![])]
    {
        let (worker, notes) = Worker::repeating(recorded);
        let finished = start(&agent, worker, limits.clone()).finish().await;
        assert!(matches!(finished.end, End::Outcome(Outcome::Completed(None))), "{:?}", finished.end);
        let notes = notes.lock().unwrap();
        let lines: Vec<_> = notes.lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(lines, expected, "{recorded} recorded");
    }
}

#[tokio::test]
async fn a_panic_in_the_repeated_part_is_known_by_its_words() {
    let home = Home::new();
    let text = GuestText {
        imports: LOG,
        data: "panic at src/lib.rs:7:5",
        run: "(call $emit (i32.const 4) (i32.const 1024) (i32.const 23) (i32.const 0) (i32.const 0)) unreachable",
        ..GuestText::default()
    };
    let agent = home.agent(&text.component()).await;
    let (worker, notes) = Worker::repeating(1);
    let finished = start(&agent, worker, Limits::default()).finish().await;
    assert_eq!(reason(&finished).0, TrapReason::Panic);
    assert!(notes.lock().unwrap().lines.is_empty());
}

/// Runs a guest that computes for a moment, calls, and then computes for ever, with so many recorded calls.
async fn spin(recorded: usize) -> Finished {
    let home = Home::new();
    let run = "(call $compute) (call $wait) (loop $for_ever (br $for_ever)) unreachable";
    let agent = home.agent(&guest(run).component()).await;
    let (calls, _) = Worker::repeating(recorded);
    let limits = Limits { cpu_live_max: Duration::from_millis(700), ..Limits::default() };
    let run = Run { replay_cpu_max: Duration::from_millis(1300), ..super::fixture::run(calls, limits) };
    agent.run(run).finish().await
}

#[tokio::test]
async fn work_that_cannot_be_repeated_in_its_time_is_ended_with_a_reason_of_its_own() {
    let finished = spin(2).await;
    let public = "The agent's work could not be repeated within 2 s of processor time.";
    assert_eq!(reason(&finished), (TrapReason::ReplayCpu, public));
    assert_eq!(TrapReason::ReplayCpu.name(), "replay-cpu");
    assert_eq!(finished.live_cpu, Duration::ZERO);
    assert!(finished.cpu > Duration::from_millis(1300), "{:?}", finished.cpu);
}

#[tokio::test]
async fn the_live_limit_counts_from_the_end_of_the_record() {
    let finished = spin(1).await;
    assert_eq!(reason(&finished).0, TrapReason::Cpu);
    assert!(finished.live_cpu > Duration::from_millis(700), "{:?}", finished.live_cpu);
    assert!(finished.cpu > finished.live_cpu, "computing before the record ended is not live");
    let finished = spin(0).await;
    assert_eq!(reason(&finished).0, TrapReason::Cpu);
    assert_eq!(finished.cpu, finished.live_cpu, "without a record all of it is live");
}

#[tokio::test]
async fn a_call_comes_with_what_the_guest_was_shown_and_used() {
    let home = Home::new();
    let run = "
        (call $wait)
        (drop (call $clock)) (drop (call $clock)) (drop (call $clock))
        (call $wait)
        (call $compute)
        (call $wait)
        (i32.const 0)";
    let agent = home.agent(&guest(run).component()).await;
    let (worker, notes) = Worker::new();
    let finished = start(&agent, worker, Limits::default()).finish().await;
    let notes = notes.lock().unwrap();
    let [first, second, third] = &notes.seen[..] else { panic!("{:?}", notes.seen) };
    let us = |time: Moment, more: u64| Moment::from_micros(time.micros() + more);
    assert_eq!(first.shown, START);
    assert_eq!(second.shown, us(START.after(STEP), 2), "the third reading is 2 us after the first");
    assert_eq!(third.shown, START.after(STEP).after(STEP));
    assert!(first.cpu > Duration::ZERO && first.cpu <= second.cpu);
    assert!(third.cpu - second.cpu > Duration::from_millis(1), "{:?} {:?}", second.cpu, third.cpu);
    assert!(third.cpu <= finished.cpu, "{:?} {:?}", third.cpu, finished.cpu);
}

#[tokio::test]
async fn what_the_guest_used_counts_from_the_end_of_the_record() {
    let home = Home::new();
    let run = "(call $compute) (call $wait) (call $compute) (call $wait) (i32.const 0)";
    let agent = home.agent(&guest(run).component()).await;
    let (worker, notes) = Worker::repeating(1);
    let finished = start(&agent, worker, Limits::default()).finish().await;
    let notes = notes.lock().unwrap();
    let [repeated, live] = &notes.seen[..] else { panic!("{:?}", notes.seen) };
    assert_eq!(repeated.cpu, Duration::ZERO);
    assert!(live.cpu > Duration::from_millis(1) && live.cpu <= finished.live_cpu, "{:?}", live.cpu);
    assert!(finished.live_cpu < finished.cpu);
}
