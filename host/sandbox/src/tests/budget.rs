//! All guests together stay within one budget of memory; who waits for a share can be stopped and delays no small guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::fixture::{GuestText, Home, START, Worker, guest, start};
use crate::call::{Answer, Call, CallFuture, HostCalls, LogLine, Moment, Seen};
use crate::{Agent, End, Limits, Outcome, Running, TrapReason};

const MIB: usize = 1024 * 1024;

/// What a run of these tests reserves when it needs more than its base.
const SHARE_BYTES: usize = 8 * MIB;

fn limits() -> Limits {
    Limits { memory_bytes_max: SHARE_BYTES, memory_base_bytes: 2 * MIB, ..Limits::default() }
}

/// Grows by 5 MiB, calls, and calls again before it ends.
fn hungry() -> GuestText {
    GuestText {
        imports: r#"(import "kennel:agent/wait@0.1.0" "sleep" (func $sleep (param f64 i32)))"#,
        run: "
            (if (i32.eq (memory.grow (i32.const 80)) (i32.const -1)) (then unreachable))
            (memory.fill (i32.const 65536) (i32.const 0xaa) (i32.const 5242880))
            (call $sleep (f64.const 1) (i32.const 256))
            (call $sleep (f64.const 1) (i32.const 256))
            (i32.const 0)",
        ..GuestText::default()
    }
}

/// Holds each guest in its first call until the gate is opened, and counts those that are between their two calls.
#[derive(Clone, Default)]
struct Gate(Arc<Counts>);

struct Counts {
    open: Semaphore,
    inside: AtomicUsize,
    inside_max: AtomicUsize,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts { open: Semaphore::new(0), inside: AtomicUsize::new(0), inside_max: AtomicUsize::new(0) }
    }
}

struct Guarded {
    gate: Gate,
    calls: usize,
}

impl Gate {
    fn inside(&self) -> usize {
        self.0.inside.load(Ordering::SeqCst)
    }

    /// Lets so many pass.
    fn open(&self, count: usize) {
        self.0.open.add_permits(count);
    }

    fn start(&self, agent: &Agent) -> Running {
        start(agent, Box::new(Guarded { gate: self.clone(), calls: 0 }), limits())
    }
}

impl HostCalls for Guarded {
    fn call(&mut self, _call: Call, _seen: Seen) -> CallFuture<'_> {
        self.calls += 1;
        let counts = Arc::clone(&self.gate.0);
        if self.calls > 1 {
            counts.inside.fetch_sub(1, Ordering::SeqCst);
            return Box::pin(std::future::ready(Ok(Answer::Done)));
        }
        let inside = counts.inside.fetch_add(1, Ordering::SeqCst) + 1;
        counts.inside_max.fetch_max(inside, Ordering::SeqCst);
        Box::pin(async move {
            counts.open.acquire().await.unwrap().forget();
            Ok(Answer::Done)
        })
    }

    fn log(&mut self, _line: LogLine) {}

    fn now(&self) -> Moment {
        START
    }

    fn is_live(&self) -> bool {
        true
    }
}

async fn until(what: &str, reached: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::task::yield_now().await;
    }
}

fn is_complete(end: &End) -> bool {
    matches!(end, End::Outcome(Outcome::Completed(None)))
}

#[tokio::test]
async fn many_hungry_guests_stay_within_the_budget_and_all_finish() {
    let home = Home::with_memory(4 * SHARE_BYTES);
    let agent = home.agent(&hungry().component()).await;
    let waiting = home.sandbox.memory_pressure();
    let gate = Gate::default();
    let runs: Vec<_> = (0..40).map(|_| gate.start(&agent)).collect();
    until("four hold the budget and all others wait", || gate.inside() == 4 && *waiting.borrow() == 36).await;
    assert_eq!(runs.iter().filter(|run| run.control().holds_memory()).count(), 4);
    gate.open(40);
    for running in runs {
        let control = running.control();
        let finished = running.finish().await;
        assert!(is_complete(&finished.end), "{:?}", finished.end);
        assert!(finished.memory_peak_bytes > 5 * MIB, "{}", finished.memory_peak_bytes);
        assert!(!control.holds_memory(), "it is gone with the instance");
    }
    assert_eq!(gate.0.inside_max.load(Ordering::SeqCst), 4);
    assert_eq!(*waiting.borrow(), 0);
}

#[tokio::test]
async fn a_guest_that_waits_for_memory_is_told_of_can_be_stopped_and_uses_no_time() {
    let home = Home::with_memory(SHARE_BYTES);
    let agent = home.agent(&hungry().component()).await;
    let mut waiting = home.sandbox.memory_pressure();
    let gate = Gate::default();
    let holder = gate.start(&agent);
    until("one holds the budget", || gate.inside() == 1).await;
    let second = gate.start(&agent);
    waiting.wait_for(|waiting| *waiting == 1).await.unwrap();
    let third = gate.start(&agent);
    waiting.wait_for(|waiting| *waiting == 2).await.unwrap();
    assert!(holder.control().holds_memory());
    assert!(!second.control().holds_memory() && !third.control().holds_memory());
    second.control().stop();
    let finished = second.finish().await;
    assert!(matches!(finished.end, End::Stopped), "{:?}", finished.end);
    assert!(finished.cpu < Duration::from_millis(500), "{:?}", finished.cpu);
    assert_eq!(*waiting.borrow(), 1);
    // Stopping the holder, as a supervisor does with one that waits for its client, lets the next one in.
    holder.control().stop();
    assert!(matches!(holder.finish().await.end, End::Stopped));
    gate.open(1);
    assert!(is_complete(&third.finish().await.end));
}

#[tokio::test]
async fn a_small_guest_is_never_delayed_by_hungry_ones() {
    let home = Home::with_memory(SHARE_BYTES);
    let agent = home.agent(&hungry().component()).await;
    // Up to the base, in its first memory and by growing.
    let small = "(if (i32.ne (memory.grow (i32.const 31)) (i32.const 1)) (then unreachable)) (i32.const 0)";
    let small = home.agent(&guest(small)).await;
    let waiting = home.sandbox.memory_pressure();
    let gate = Gate::default();
    let runs: Vec<_> = (0..5).map(|_| gate.start(&agent)).collect();
    until("the budget is used up", || gate.inside() == 1 && *waiting.borrow() == 4).await;
    for _ in 0..20 {
        let finished = start(&small, Worker::new().0, limits()).finish().await;
        assert!(is_complete(&finished.end), "{:?}", finished.end);
        assert_eq!(finished.memory_peak_bytes, 2 * MIB);
    }
    assert_eq!((gate.inside(), *waiting.borrow()), (1, 4));
    gate.open(5);
    for running in runs {
        assert!(is_complete(&running.finish().await.end));
    }
}

#[tokio::test]
async fn a_large_first_memory_waits_before_there_is_an_instance() {
    let home = Home::with_memory(SHARE_BYTES);
    let agent = home.agent(&hungry().component()).await;
    let large = GuestText { pages: 100, ..GuestText::default() }.component();
    // Loading it needs more than a base too, and has a budget of its own.
    let mut waiting = home.sandbox.memory_pressure();
    let gate = Gate::default();
    let holder = gate.start(&agent);
    until("one holds the budget", || gate.inside() == 1).await;
    let large = home.agent(&large).await;
    let stopped = start(&large, Worker::new().0, limits());
    let later = start(&large, Worker::new().0, limits());
    waiting.wait_for(|waiting| *waiting == 2).await.unwrap();
    stopped.control().stop();
    assert!(matches!(stopped.finish().await.end, End::Stopped));
    gate.open(1);
    assert!(is_complete(&holder.finish().await.end));
    let finished = later.finish().await;
    assert!(is_complete(&finished.end), "{:?}", finished.end);
    assert_eq!(finished.memory_peak_bytes, 100 * 65536);
}

#[tokio::test]
async fn a_budget_smaller_than_one_limit_runs_one_after_another() {
    let home = Home::with_memory(3 * MIB);
    let agent = home.agent(&hungry().component()).await;
    let gate = Gate::default();
    gate.open(10);
    let runs: Vec<_> = (0..10).map(|_| gate.start(&agent)).collect();
    for running in runs {
        assert!(is_complete(&running.finish().await.end));
    }
    assert_eq!(gate.0.inside_max.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_guest_that_wants_more_than_its_limit_is_refused_and_never_waits() {
    let home = Home::with_memory(SHARE_BYTES);
    let agent = home.agent(&hungry().component()).await;
    let greedy = home.agent(&guest("(drop (memory.grow (i32.const 1000))) unreachable")).await;
    let gate = Gate::default();
    let holder = gate.start(&agent);
    until("one holds the budget", || gate.inside() == 1).await;
    match start(&greedy, Worker::new().0, limits()).finish().await.end {
        End::Trap(trap) => assert_eq!(trap.reason, TrapReason::Memory),
        other => panic!("{other:?}"),
    }
    gate.open(1);
    assert!(is_complete(&holder.finish().await.end));
}

#[tokio::test]
async fn a_guest_of_the_second_profile_waits_too() {
    let home = Home::with_memory(SHARE_BYTES);
    let agent = home.agent(&hungry().component()).await;
    let imports = r#"
        (import "$root" "[waitable-set-new]" (func $new (result i32)))
        (import "kennel:agent/wait@0.1.0" "sleep" (func $sleep (param f64 i32)))"#;
    let concurrent = home.agent(&GuestText { imports, ..hungry() }.component()).await;
    let mut waiting = home.sandbox.memory_pressure();
    let gate = Gate::default();
    let holder = gate.start(&agent);
    until("one holds the budget", || gate.inside() == 1).await;
    let stopped = gate.start(&concurrent);
    let later = gate.start(&concurrent);
    waiting.wait_for(|waiting| *waiting == 2).await.unwrap();
    stopped.control().stop();
    assert!(matches!(stopped.finish().await.end, End::Stopped));
    gate.open(2);
    assert!(is_complete(&holder.finish().await.end));
    assert!(is_complete(&later.finish().await.end));
}
