//! What goes from the guest to the worker and back.

use std::time::Duration;

use super::fixture::{GuestText, Home, LOG, START, Worker, run, start};
use crate::call::{Call, ErrorKind, GuestError, KvScope, LogLevel, Refusal};
use crate::{Agent, End, Limits, Outcome, Run, TrapReason};

const SLEEP: &str = r#"(import "kennel:agent/wait@0.1.0" "sleep" (func $sleep (param f64 i32)))"#;

/// Sleeps, and returns the error of the call as the error of the run, as `?` does.
fn sleeper() -> GuestText {
    GuestText {
        imports: SLEEP,
        // Both are results whose error is the same record, at 4 and at 4.
        run: "(call $sleep (f64.const 1500) (i32.const 256)) (i32.const 256)",
        ..GuestText::default()
    }
}

#[tokio::test]
async fn a_run_that_does_nothing_completes() {
    let (finished, seen) = Home::new().run(&GuestText::default().component()).await;
    assert!(matches!(finished.end, End::Outcome(Outcome::Completed(None))), "{:?}", finished.end);
    assert_eq!(finished.memory_peak_bytes, 64 * 1024);
    assert_eq!(finished.calls.now(), START);
    assert!(seen.lock().unwrap().calls.is_empty());
}

#[tokio::test]
async fn a_call_reaches_the_worker_and_its_answer_the_guest() {
    let (finished, seen) = Home::new().run(&sleeper().component()).await;
    assert!(matches!(finished.end, End::Outcome(Outcome::Completed(None))), "{:?}", finished.end);
    let seen = seen.lock().unwrap();
    assert!(
        matches!(seen.calls[..], [Call::Sleep { time }] if time == Duration::from_millis(1500)),
        "{:?}",
        seen.calls
    );
}

#[tokio::test]
async fn a_refused_call_is_an_error_that_ends_the_run_with_its_reason() {
    let home = Home::new();
    let agent = home.agent(&sleeper().component()).await;
    let error = GuestError { retryable: true, ..GuestError::new(ErrorKind::Canceled, "cancel", "Asked to stop.") };
    let finished = start(&agent, Worker::refusing(error.clone()).0, Limits::default()).finish().await;
    assert!(matches!(&finished.end, End::Error(found) if *found == error), "{:?}", finished.end);
}

#[tokio::test]
async fn a_run_that_the_worker_gives_up_is_abandoned() {
    let home = Home::new();
    let agent = home.agent(&sleeper().component()).await;
    let (worker, _) = Worker::answering(|_| Some(Err(Refusal::Abandon)));
    let finished = start(&agent, worker, Limits::default()).finish().await;
    assert!(matches!(finished.end, End::Abandoned), "{:?}", finished.end);
}

#[tokio::test]
async fn a_fault_of_the_host_is_told_apart_from_a_run_that_is_given_up() {
    let home = Home::new();
    let agent = home.agent(&sleeper().component()).await;
    let (worker, _) = Worker::answering(|_| Some(Err(Refusal::HostFault)));
    let finished = start(&agent, worker, Limits::default()).finish().await;
    assert!(matches!(finished.end, End::HostFault), "{:?}", finished.end);
}

#[tokio::test]
async fn an_answer_of_another_call_abandons_the_run() {
    let home = Home::new();
    let agent = home.agent(&sleeper().component()).await;
    let (worker, _) = Worker::answering(|_| Some(Ok(crate::call::Answer::Message(None))));
    let finished = start(&agent, worker, Limits::default()).finish().await;
    assert!(matches!(finished.end, End::Abandoned), "{:?}", finished.end);
}

#[tokio::test]
async fn a_worker_that_panics_ends_this_run_only() {
    let home = Home::new();
    let agent = home.agent(&sleeper().component()).await;
    let (worker, _) = Worker::answering(|_| panic!("on purpose"));
    let finished = start(&agent, worker, Limits::default()).finish().await;
    assert!(matches!(finished.end, End::Abandoned), "{:?}", finished.end);
    let finished = start(&agent, Worker::new().0, Limits::default()).finish().await;
    assert!(matches!(finished.end, End::Outcome(_)), "{:?}", finished.end);
}

#[tokio::test]
async fn an_argument_that_breaks_a_rule_never_reaches_the_worker() {
    let run = "(call $sleep (f64.const 0.5) (i32.const 256)) (i32.const 256)";
    let (finished, seen) = Home::new().run(&GuestText { run, ..sleeper() }.component()).await;
    let is_expected = |error: &GuestError| (error.kind, error.code.as_str()) == (ErrorKind::Invalid, "time");
    assert!(matches!(&finished.end, End::Error(error) if is_expected(error)), "{:?}", finished.end);
    assert!(seen.lock().unwrap().calls.is_empty());
}

#[tokio::test]
async fn lines_come_before_the_call_that_follows_them() {
    let component = GuestText {
        imports: LOG,
        data: "hello",
        run: "(call $emit (i32.const 1) (i32.const 1024) (i32.const 5) (i32.const 0) (i32.const 0)) (i32.const 0)",
        ..GuestText::default()
    };
    let (_, seen) = Home::new().run(&component.component()).await;
    let seen = seen.lock().unwrap();
    assert_eq!((seen.lines[0].level, seen.lines[0].message.as_str()), (LogLevel::Debug, "hello"));
}

#[tokio::test]
async fn a_value_of_the_agent_is_asked_for() {
    let component = GuestText {
        // `kv.get(scope, key)`: its result has the error record at 4, as that of `run`.
        imports: r#"(import "kennel:agent/kv@0.1.0" "get" (func $get (param i32 i32 i32 i32)))"#,
        data: "k",
        run: "(call $get (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 256)) (i32.const 256)",
        ..GuestText::default()
    };
    let home = Home::new();
    let agent = home.agent(&component.component()).await;
    let error = GuestError::new(ErrorKind::Denied, "kv.agent", "The agent has no values.");
    let (worker, seen) = Worker::refusing(error.clone());
    let finished = start(&agent, worker, Limits::default()).finish().await;
    assert!(matches!(&finished.end, End::Error(found) if *found == error), "{:?}", finished.end);
    let seen = seen.lock().unwrap();
    assert!(matches!(&seen.calls[..], [Call::KvGet { scope: KvScope::Agent, key }] if key == "k"), "{:?}", seen.calls);
}

/// Returns as a checkpoint what it drew and saw, before a call and after it: 80 bytes each.
fn witness() -> GuestText {
    GuestText {
        imports: r#"
            (import "kennel:agent/ambient@0.1.0" "random" (func $random (param i32 i32)))
            (import "kennel:agent/ambient@0.1.0" "now" (func $now (result f64)))
            (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $clock (result i64)))
            (import "wasi:clocks/wall-clock@0.2.6" "now" (func $wall (param i32)))
            (import "wasi:random/random@0.2.6" "get-random-u64" (func $wasi_random (result i64)))
            (import "wasi:random/insecure@0.2.6" "get-insecure-random-u64" (func $insecure (result i64)))
            (import "wasi:random/insecure-seed@0.2.6" "insecure-seed" (func $seed (param i32)))
            (import "kennel:agent/wait@0.1.0" "sleep" (func $sleep (param f64 i32)))"#,
        items: "
            (func $look (param $at i32)
                (call $random (i32.const 8) (i32.const 512))
                (i64.store (local.get $at) (i64.load (i32.load (i32.const 512))))
                (f64.store offset=8 (local.get $at) (call $now))
                (i64.store offset=16 (local.get $at) (call $clock))
                (i64.store offset=24 (local.get $at) (call $clock))
                (i64.store offset=32 (local.get $at) (call $wasi_random))
                (i64.store offset=40 (local.get $at) (call $insecure))
                (call $seed (i32.add (local.get $at) (i32.const 48)))
                (call $wall (i32.add (local.get $at) (i32.const 64))))",
        run: "
            (call $look (i32.const 600))
            (call $sleep (f64.const 5) (i32.const 256))
            (call $look (i32.const 680))
            (i32.store8 (i32.const 4) (i32.const 4))
            (i32.store (i32.const 8) (i32.const 600))
            (i32.store (i32.const 12) (i32.const 160))
            (i32.const 0)",
        ..GuestText::default()
    }
}

/// What [`witness`] saw, in words of eight bytes.
async fn look(agent: &Agent, seed: [u8; 32]) -> Vec<u64> {
    let run = Run { seed, ..run(Worker::new().0, Limits::default()) };
    match agent.run(run).finish().await.end {
        End::Outcome(Outcome::Checkpoint(bytes)) => {
            bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn time_and_randomness_are_the_same_in_every_run_of_a_seed() {
    let home = Home::new();
    let agent = home.agent(&witness().component()).await;
    let seen = look(&agent, [7; 32]).await;
    assert_eq!(seen, look(&agent, [7; 32]).await);
    assert_eq!(seen[1..4], [1_000_000_f64.to_bits(), 1_000_000_000_000, 1_000_000_001_000]);
    assert_eq!(seen[8..10], [1000, 2000], "the wall clock shows the third reading: 1000 s and 2000 ns");
    // A second later, because a call was answered.
    assert_eq!(seen[11..14], [1_001_000_f64.to_bits(), 1_001_000_000_000, 1_001_000_001_000]);
    assert_eq!(seen[18..20], [1001, 2000]);
    let drawn = |seen: &[u64]| [0, 4, 5, 6, 7, 10, 14, 15].map(|index| seen[index]);
    let different: std::collections::BTreeSet<u64> = drawn(&seen).into();
    assert_eq!(different.len(), 8, "streams are apart and go on: {seen:?}");
    assert_eq!(seen[6..8], seen[16..18], "the seed of hash maps is one for the run");
    let other = look(&agent, [8; 32]).await;
    assert!(drawn(&seen).iter().zip(drawn(&other)).all(|(one, other)| *one != other));
    assert_eq!(seen[1..4], other[1..4]);
}

#[tokio::test]
async fn standard_error_is_logged_and_tells_of_a_panic() {
    let component = GuestText {
        imports: r#"
            (import "wasi:cli/stderr@0.2.6" "get-stderr" (func $get (result i32)))
            (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush"
                (func $write (param i32 i32 i32 i32)))"#,
        data: "thread panicked at x\\0amore",
        run: "(call $write (call $get) (i32.const 1024) (i32.const 25) (i32.const 256)) unreachable",
        ..GuestText::default()
    };
    let (finished, seen) = Home::new().run(&component.component()).await;
    match finished.end {
        End::Trap(trap) => {
            assert_eq!(trap.reason, TrapReason::Panic, "{}", trap.operator);
            assert!(trap.operator.starts_with("thread panicked at x\nmore\n"), "{}", trap.operator);
        }
        other => panic!("{other:?}"),
    }
    let seen = seen.lock().unwrap();
    let lines: Vec<_> = seen.lines.iter().map(|line| (line.level, line.message.as_str())).collect();
    assert_eq!(lines, [(LogLevel::Warn, "thread panicked at x"), (LogLevel::Warn, "more")]);
}

#[tokio::test]
async fn environment_and_arguments_are_empty() {
    let component = GuestText {
        imports: r#"
            (import "wasi:cli/environment@0.2.6" "get-environment" (func $environment (param i32)))
            (import "wasi:cli/environment@0.2.6" "get-arguments" (func $arguments (param i32)))"#,
        run: "
            (call $environment (i32.const 512))
            (call $arguments (i32.const 520))
            (if (i32.or (i32.load (i32.const 516)) (i32.load (i32.const 524))) (then unreachable))
            (i32.const 0)",
        ..GuestText::default()
    };
    let (finished, _) = Home::new().run(&component.component()).await;
    assert!(matches!(finished.end, End::Outcome(_)), "{:?}", finished.end);
}

async fn checkpoint(component: GuestText) -> String {
    match Home::new().run(&component.component()).await.0.end {
        End::Outcome(Outcome::Checkpoint(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_turn_reaches_the_guest() {
    // The message stands first in the turn, and its parts 32 bytes into it.
    let run = "
        (local $part i32)
        (local.set $part (i32.load offset=32 (local.get $turn)))
        (i32.store8 (i32.const 4) (i32.const 4))
        (i32.store (i32.const 8) (i32.load offset=4 (local.get $part)))
        (i32.store (i32.const 12) (i32.load offset=8 (local.get $part)))
        (i32.const 0)";
    assert_eq!(checkpoint(GuestText { run, ..GuestText::default() }).await, "hello");
}

#[tokio::test]
async fn settings_and_facts_of_the_task_reach_the_guest() {
    let setting = GuestText {
        imports: r#"(import "kennel:agent/config@0.1.0" "get" (func $get (param i32 i32 i32)))"#,
        data: "color",
        run: "
            (call $get (i32.const 1024) (i32.const 5) (i32.const 512))
            (i32.store8 (i32.const 4) (i32.const 4))
            (i32.store (i32.const 8) (i32.load (i32.const 516)))
            (i32.store (i32.const 12) (i32.load (i32.const 520)))
            (i32.const 0)",
        ..GuestText::default()
    };
    assert_eq!(checkpoint(setting).await, "red");
    let caller = GuestText {
        imports: r#"(import "kennel:agent/task@0.1.0" "info" (func $info (param i32)))"#,
        run: "
            (call $info (i32.const 512))
            (i32.store8 (i32.const 4) (i32.const 4))
            (i32.store (i32.const 8) (i32.load (i32.const 544)))
            (i32.store (i32.const 12) (i32.load (i32.const 548)))
            (i32.const 0)",
        ..GuestText::default()
    };
    assert_eq!(checkpoint(caller).await, "alice");
}
