//! Each way to break a limit ends with its true reason.

use std::time::Duration;

use super::fixture::{GuestText, Home, LOG, Worker, guest, start};
use crate::{End, Limits, Trap, TrapReason};

#[track_caller]
fn trap(end: End) -> Trap {
    match end {
        End::Trap(trap) => trap,
        other => panic!("no trap: {other:?}"),
    }
}

async fn check(component: GuestText, reason: TrapReason, public: &str) -> Trap {
    let (finished, _) = Home::new().run(&component.component()).await;
    let trap = trap(finished.end);
    assert_eq!(trap.reason, reason, "{}", trap.operator);
    assert_eq!(trap.public, public);
    trap
}

#[tokio::test]
async fn a_guest_that_grows_too_far_ran_out_of_memory() {
    let run = "
        (loop $more
            (br_if $more (i32.ne (memory.grow (i32.const 100)) (i32.const -1))))
        unreachable";
    let component = GuestText { run, ..GuestText::default() };
    check(component, TrapReason::Memory, "The agent ran out of memory (limit 128 MiB).").await;
}

#[tokio::test]
async fn the_limit_of_the_run_counts_and_the_peak_is_told() {
    let home = Home::new();
    let run = "(drop (memory.grow (i32.const 9))) (drop (memory.grow (i32.const 100))) unreachable";
    let agent = home.agent(&guest(run)).await;
    let limits = Limits { memory_bytes_max: 64 * 1024 * 20, ..Limits::default() };
    let finished = start(&agent, Worker::new().0, limits).finish().await;
    assert_eq!(trap(finished.end).public, "The agent ran out of memory (limit 1.2 MiB).");
    assert!((64 * 1024 * 10..64 * 1024 * 11).contains(&finished.memory_peak_bytes), "{}", finished.memory_peak_bytes);
}

#[tokio::test]
async fn a_guest_whose_first_memory_is_too_large_ran_out_of_memory() {
    let home = Home::new();
    let component = GuestText { pages: 100, ..GuestText::default() }.component();
    let agent = home.agent(&component).await;
    let limits = Limits { memory_bytes_max: 64 * 1024 * 20, ..Limits::default() };
    let finished = start(&agent, Worker::new().0, limits).finish().await;
    assert_eq!(trap(finished.end).reason, TrapReason::Memory);
}

#[tokio::test]
async fn a_guest_that_computes_too_long_is_ended_by_its_own_time() {
    let home = Home::new();
    let agent = home.agent(&guest("(loop $for_ever (br $for_ever)) unreachable")).await;
    let limits = Limits { cpu_live_max: Duration::from_millis(50), ..Limits::default() };
    let finished = start(&agent, Worker::new().0, limits).finish().await;
    let trap = trap(finished.end);
    assert_eq!(trap.reason, TrapReason::Cpu);
    assert_eq!(trap.public, "The agent used too much processor time (limit 50ms).");
    assert!(finished.cpu > Duration::from_millis(50), "{:?}", finished.cpu);
}

#[tokio::test]
async fn endless_recursion_ran_out_of_stack() {
    let items = "(func $deeper (param i32) (result i32)
        (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (local.get 0)))";
    let component = GuestText { items, run: "(call $deeper (i32.const 0))", ..GuestText::default() };
    check(component, TrapReason::Stack, "The agent ran out of stack.").await;
}

#[tokio::test]
async fn recursion_that_leaves_the_second_stack_ran_out_of_stack_too() {
    // As compiled Rust does: each frame takes 16 KiB of memory from a pointer that starts at 1 MiB and goes down.
    let items = "(global $stack (mut i32) (i32.const 1048576))
        (func $deeper (param i32) (result i32)
            (global.set $stack (i32.sub (global.get $stack) (i32.const 16384)))
            (i32.store (global.get $stack) (local.get 0))
            (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (local.get 0)))";
    let component = GuestText { pages: 17, items, run: "(call $deeper (i32.const 0))", ..GuestText::default() };
    check(component, TrapReason::Stack, "The agent ran out of stack.").await;
}

#[tokio::test]
async fn a_panic_is_known_by_its_words_and_clients_do_not_see_them() {
    let component = GuestText {
        imports: LOG,
        data: "panic at src/lib.rs:7:5: secret",
        items: "(func $my_function
            (call $emit (i32.const 4) (i32.const 1024) (i32.const 31) (i32.const 0) (i32.const 0))
            unreachable)",
        run: "(call $my_function) (i32.const 0)",
        ..GuestText::default()
    };
    let trap = check(component, TrapReason::Panic, "The agent stopped unexpectedly.").await;
    assert!(trap.operator.starts_with("panic at src/lib.rs:7:5: secret\n"), "{}", trap.operator);
    assert!(trap.operator.contains("my_function"), "the backtrace has names: {}", trap.operator);
}

#[tokio::test]
async fn an_unreachable_and_a_wild_pointer_are_told_apart() {
    let wild = "(i32.load (i32.const 0x7fffffff))";
    let public = "The agent stopped unexpectedly.";
    check(GuestText { run: wild, ..GuestText::default() }, TrapReason::OutOfBounds, public).await;
    check(GuestText { run: "unreachable", ..GuestText::default() }, TrapReason::Unreachable, public).await;
    let division = "(i32.div_u (i32.const 1) (i32.const 0))";
    check(GuestText { run: division, ..GuestText::default() }, TrapReason::Other, public).await;
}

#[tokio::test]
async fn more_than_one_call_may_carry_ends_the_run() {
    let component = GuestText {
        imports: LOG,
        pages: 300,
        run: "(call $emit (i32.const 2) (i32.const 65536) (i32.const 17825792) (i32.const 0) (i32.const 0)) i32.const 0",
        ..GuestText::default()
    };
    check(component, TrapReason::CallBytes, "The agent sent too much in one call (limit 16 MiB).").await;
}

#[tokio::test]
async fn an_outcome_that_breaks_a_rule_is_invalid() {
    // `rejected` with a draft without parts.
    let run = "(i32.store8 (i32.const 4) (i32.const 1)) (i32.const 0)";
    let component = GuestText { run, ..GuestText::default() };
    let trap = check(component, TrapReason::InvalidOutcome, "The agent returned an invalid result.").await;
    assert_eq!(trap.operator, "the outcome of run is invalid: parts: There must be at least one part.");
}

#[tokio::test]
async fn a_value_that_is_none_of_its_type_ends_the_run() {
    // The discriminant of the outcome is 77.
    let run = "(i32.store8 (i32.const 4) (i32.const 77)) (i32.const 0)";
    let component = GuestText { run, ..GuestText::default() };
    check(component, TrapReason::Other, "The agent stopped unexpectedly.").await;
}

#[tokio::test]
async fn what_a_guest_logs_is_bounded() {
    let component = GuestText {
        imports: LOG,
        run: "(local $n i32)
            (loop $more
                (call $emit (i32.const 2) (i32.const 30000) (i32.const 30000) (i32.const 0) (i32.const 0))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $n) (i32.const 1010))))
            (i32.const 0)",
        ..GuestText::default()
    };
    let (finished, seen) = Home::new().run(&component.component()).await;
    assert!(matches!(finished.end, End::Outcome(_)), "{:?}", finished.end);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.lines.len(), 1001);
    assert_eq!(seen.lines[0].message.len(), 4096);
    assert_eq!(seen.lines[1000].message, "10 more log lines of this activation were dropped.");
}
