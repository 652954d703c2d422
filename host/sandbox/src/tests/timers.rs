//! Waiting in WASI is a call of the worker, once for each wait in which nothing is ready, and never of the host's clock.

use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::WasiFilesystemView as _;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as _;
use wasmtime_wasi::p2::bindings::filesystem::preopens::Host as _;
use wasmtime_wasi::p2::bindings::io::poll::{Host as _, HostPollable as _};
use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::Host as _;
use wasmtime_wasi::p2::bindings::sockets::network;
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::Host as _;
use wasmtime_wasi::sockets::WasiSocketsView as _;

use super::fixture::{GuestText, Home, START, Worker, component_of, start, state};
use crate::call::{Answer, Call, ErrorKind, GuestError, Moment, Refusal};
use crate::{End, Limits, LoadError, Outcome, TrapReason};

/// What guests of this file import. Handles are kept in the locals `$a` and `$b` of `run`.
macro_rules! imports {
    ($more:literal) => {
        concat!(
            r#"
            (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $clock (result i64)))
            (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $in (param i64) (result i32)))
            (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-instant" (func $at (param i64) (result i32)))
            (import "wasi:io/poll@0.2.6" "[method]pollable.ready" (func $ready (param i32) (result i32)))
            (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
            (import "wasi:io/poll@0.2.6" "poll" (func $poll (param i32 i32 i32)))
            (import "wasi:io/poll@0.2.6" "[resource-drop]pollable" (func $drop (param i32)))"#,
            $more
        )
    };
}

/// `$poll2` polls two handles and returns how many are ready; the index of the first of them is at 528.
const ITEMS: &str = "
    (func $poll2 (param $a i32) (param $b i32) (result i32)
        (i32.store (i32.const 512) (local.get $a))
        (i32.store (i32.const 516) (local.get $b))
        (call $poll (i32.const 512) (i32.const 2) (i32.const 520))
        (i32.store (i32.const 528) (i32.load (i32.load (i32.const 520))))
        (i32.load (i32.const 524)))
    (func $expect (param i32) (if (i32.eqz (local.get 0)) (then unreachable)))";

fn waiter(run: &'static str) -> GuestText {
    GuestText { imports: imports!(""), items: ITEMS, run, ..GuestText::default() }
}

/// The same for the profile with concurrency, which is chosen by what a component imports.
fn concurrent_waiter(run: &'static str) -> GuestText {
    let imports = imports!(r#"(import "$root" "[waitable-set-new]" (func $new (result i32)))"#);
    GuestText { imports, ..waiter(run) }
}

async fn calls(component: &Bytes) -> Vec<Call> {
    let (finished, notes) = Home::new().run(component).await;
    assert!(matches!(finished.end, End::Outcome(Outcome::Completed(None))), "{:?}", finished.end);
    std::mem::take(&mut notes.lock().unwrap().calls)
}

/// The moments until which the guest waited, which were all its calls.
async fn waits(component: &Bytes) -> Vec<Moment> {
    let calls = calls(component).await;
    let until = calls.iter().map(|call| match call {
        Call::Poll { until } => *until,
        other => panic!("{other:?}"),
    });
    until.collect()
}

#[tokio::test]
async fn a_sleep_is_one_call_until_the_clock_and_its_length() {
    // Ten hours: nobody waits for them here.
    let run = "(call $block (call $in (i64.const 36000000000001))) (i32.const 0)";
    let until = START.after(Duration::from_secs(36_000)).after(Duration::from_micros(1));
    let started = Instant::now();
    assert_eq!(waits(&waiter(run).component()).await, [until], "a part of a microsecond counts whole");
    assert_eq!(waits(&concurrent_waiter(run).component()).await, [until]);
    let home = Home::new();
    drop(home.agent(&concurrent_waiter(run).component()).await);
    assert!(home.compiled()[0].to_string_lossy().contains("-concurrent-"), "the second was another profile");
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn the_time_is_counted_from_the_last_reading() {
    let run = "
        (drop (call $clock)) (drop (call $clock)) (drop (call $clock))
        (call $block (call $in (i64.const 5000000000)))
        (call $block (call $at (i64.add (call $clock) (i64.const 7000000))))
        (i32.const 0)";
    let first = START.after(Duration::from_secs(5)).after(Duration::from_micros(2));
    // The wait itself looked at the clock once more, when it was over.
    let second = first.after(Duration::from_micros(1)).after(Duration::from_millis(7));
    assert_eq!(waits(&waiter(run).component()).await, [first, second]);
}

#[tokio::test]
async fn of_two_timers_the_earlier_is_waited_for_and_given() {
    let run = "(local $a i32) (local $b i32)
        (local.set $a (call $in (i64.const 60000000000)))
        (local.set $b (call $in (i64.const 20000000000)))
        (call $expect (i32.eq (call $poll2 (local.get $a) (local.get $b)) (i32.const 1)))
        (call $expect (i32.eq (i32.load (i32.const 528)) (i32.const 1)))
        (call $drop (local.get $b))
        (call $block (local.get $a))
        ;; Now both are, and nothing is called for.
        (local.set $b (call $in (i64.const 0)))
        (call $expect (i32.eq (call $poll2 (local.get $a) (local.get $b)) (i32.const 2)))
        (call $expect (i32.eq (i32.load (i32.const 528)) (i32.const 0)))
        (i32.const 0)";
    let expected = [START.after(Duration::from_secs(20)), START.after(Duration::from_secs(60))];
    assert_eq!(waits(&waiter(run).component()).await, expected);
    assert_eq!(waits(&concurrent_waiter(run).component()).await, expected);
}

#[tokio::test]
async fn a_timer_is_ready_when_the_clock_has_reached_it() {
    let run = "(local $a i32)
        (local.set $a (call $in (i64.const 3000000000)))
        (call $expect (i32.eqz (call $ready (local.get $a))))
        (call $expect (i32.eqz (call $ready (local.get $a))))
        (call $block (local.get $a))
        (call $expect (call $ready (local.get $a)))
        (call $block (local.get $a))
        (i32.const 0)";
    assert_eq!(waits(&waiter(run).component()).await, [START.after(Duration::from_secs(3))]);
}

#[tokio::test]
async fn a_loop_until_a_timer_is_ready_ends() {
    let run = "(local $a i32)
        (local.set $a (call $in (i64.const 1000000)))
        (loop $again (br_if $again (i32.eqz (call $ready (local.get $a)))))
        (i32.const 0)";
    assert!(calls(&waiter(run).component()).await.is_empty());
}

#[tokio::test]
async fn a_moment_that_has_passed_is_no_wait() {
    let run = "(call $block (call $at (i64.const 5))) (call $block (call $in (i64.const 0))) (i32.const 0)";
    assert!(calls(&waiter(run).component()).await.is_empty());
}

#[tokio::test]
async fn streams_are_ready_at_once() {
    let streams = imports!(
        r#"
        (import "wasi:cli/stderr@0.2.6" "get-stderr" (func $stderr (result i32)))
        (import "wasi:cli/stdin@0.2.6" "get-stdin" (func $stdin (result i32)))
        (import "wasi:io/streams@0.2.6" "[method]output-stream.subscribe" (func $writable (param i32) (result i32)))
        (import "wasi:io/streams@0.2.6" "[method]input-stream.subscribe" (func $readable (param i32) (result i32)))"#
    );
    let run = "(local $a i32) (local $b i32)
        (local.set $a (call $in (i64.const 60000000000)))
        (local.set $b (call $writable (call $stderr)))
        (call $expect (call $ready (local.get $b)))
        (call $expect (i32.eq (call $poll2 (local.get $a) (local.get $b)) (i32.const 1)))
        (call $expect (i32.eq (i32.load (i32.const 528)) (i32.const 1)))
        (call $block (call $readable (call $stdin)))
        (i32.const 0)";
    assert!(calls(&GuestText { imports: streams, ..waiter(run) }.component()).await.is_empty());
}

#[tokio::test]
async fn an_empty_list_ends_the_run() {
    let run = "(call $poll (i32.const 512) (i32.const 0) (i32.const 520)) (i32.const 0)";
    let (finished, _) = Home::new().run(&waiter(run).component()).await;
    assert!(matches!(&finished.end, End::Trap(trap) if trap.operator.contains("empty list")), "{:?}", finished.end);
}

#[tokio::test]
async fn timers_that_are_dropped_do_not_add_up() {
    // More than `resources_max` allows at once.
    let run = "(local $n i32)
        (loop $more
            (call $drop (call $in (i64.const 1000000000)))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 3000))))
        (i32.const 0)";
    assert!(calls(&waiter(run).component()).await.is_empty());
    let endless = "(loop $more (drop (call $in (i64.const 1000000000))) (br $more)) (i32.const 0)";
    let (finished, _) = Home::new().run(&waiter(endless).component()).await;
    assert!(matches!(finished.end, End::Trap(_)), "{:?}", finished.end);
}

fn borrowed(pollable: &Resource<DynPollable>) -> Resource<DynPollable> {
    Resource::new_borrow(pollable.rep())
}

#[tokio::test]
async fn dropping_a_pollable_frees_its_entry_and_its_number() {
    let (worker, notes) = Worker::new();
    let mut guest = state(worker, Limits::default());
    let old = guest.subscribe_duration(1_000_000_000).unwrap();
    let other = guest.subscribe_duration(9_000_000_000).unwrap();
    assert_eq!(guest.awaited.count(), 2);
    let number = old.rep();
    guest.drop(old).unwrap();
    assert_eq!(guest.awaited.count(), 1);
    let new = guest.subscribe_duration(5_000_000_000).unwrap();
    assert_eq!(new.rep(), number, "the table gives the number again");
    guest.block(borrowed(&new)).await.unwrap();
    let until = START.after(Duration::from_secs(5));
    assert!(matches!(notes.lock().unwrap().calls[..], [Call::Poll { until: found }] if found == until));
    assert_eq!(guest.poll(vec![borrowed(&other), borrowed(&new), borrowed(&new)]).await.unwrap(), [1, 2]);
    guest.drop(new).unwrap();
    guest.drop(other).unwrap();
    assert_eq!(guest.awaited.count(), 0);
    assert!(guest.wasi.view().table.is_empty());
}

#[tokio::test]
async fn there_is_nothing_else_to_wait_for() {
    let mut guest = state(Worker::new().0, Limits::default());
    for family in [network::IpAddressFamily::Ipv4, network::IpAddressFamily::Ipv6] {
        assert!(guest.sockets().create_tcp_socket(family).is_err());
        assert!(guest.sockets().create_udp_socket(family).await.is_err());
    }
    for name in ["localhost", "127.0.0.1"] {
        let network = guest.sockets().instance_network().unwrap();
        assert!(guest.sockets().resolve_addresses(network, name.to_owned()).is_err());
    }
    assert!(guest.filesystem().get_directories().unwrap().is_empty());
}

#[tokio::test]
async fn two_runs_with_the_same_answers_make_the_same_calls() {
    let run = "(local $n i32)
        (loop $more
            (call $block (call $in (i64.add (i64.rem_u (call $clock) (i64.const 7777777777)) (i64.const 1))))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 20))))
        (i32.const 0)";
    let component = waiter(run).component();
    let first = waits(&component).await;
    assert_eq!(first.len(), 20);
    assert!(first.windows(2).all(|pair| pair[0] < pair[1]), "{first:?}");
    assert_eq!(first, waits(&component).await);
}

#[tokio::test]
async fn a_refused_wait_ends_the_run_with_its_reason() {
    let home = Home::new();
    let agent = home.agent(&waiter("(call $block (call $in (i64.const -1))) (i32.const 0)").component()).await;
    let error = GuestError::new(ErrorKind::Limit, "task-time", "A wait cannot outlast the task.");
    let (worker, notes) = Worker::refusing(error);
    match start(&agent, worker, Limits::default()).finish().await.end {
        End::Trap(trap) => {
            assert_eq!((trap.reason, trap.reason.name()), (TrapReason::Refused, "refused"));
            assert_eq!(trap.public, "A wait cannot outlast the task.");
            assert!(trap.operator.contains("wasi:io/poll was refused"), "{}", trap.operator);
        }
        other => panic!("{other:?}"),
    }
    let until = Moment::from_micros(START.micros() + u64::MAX / 1000 + 1);
    assert!(matches!(notes.lock().unwrap().calls[..], [Call::Poll { until: found }] if found == until));
}

#[tokio::test]
async fn a_wait_that_is_given_up_or_answered_wrongly_abandons_the_run() {
    let home = Home::new();
    let agent = home.agent(&waiter("(call $block (call $in (i64.const 9))) (i32.const 0)").component()).await;
    let answers: [fn() -> Result<Answer, Refusal>; 2] = [|| Err(Refusal::Abandon), || Ok(Answer::Message(None))];
    for answer in answers {
        let (worker, _) = Worker::answering(move |_| Some(answer()));
        let finished = start(&agent, worker, Limits::default()).finish().await;
        assert!(matches!(finished.end, End::Abandoned), "{:?}", finished.end);
    }
}

#[tokio::test]
async fn a_waiting_guest_has_no_thread() {
    let home = Home::new();
    let agent = home.agent(&waiter("(call $block (call $in (i64.const 9))) (i32.const 0)").component()).await;
    // Many more than guest threads.
    let runs: Vec<_> = (0..20).map(|_| start(&agent, Worker::answering(|_| None).0, Limits::default())).collect();
    let finished = start(&agent, Worker::new().0, Limits::default()).finish().await;
    assert!(matches!(finished.end, End::Outcome(_)), "{:?}", finished.end);
    for running in runs {
        running.control().stop();
        assert!(matches!(running.finish().await.end, End::Stopped));
    }
}

#[tokio::test]
async fn a_description_that_sleeps_is_refused_at_once() {
    let component = component_of(
        r#"(module
            (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $in (param i64) (result i32)))
            (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "kennel:agent/card@0.1.0#describe") (result i32)
                (call $block (call $in (i64.const 3600000000000)))
                (i32.const 0))
            (func (export "kennel:agent/agent@0.1.0#run") (param i32) (result i32) (i32.const 0)))"#,
    );
    let started = Instant::now();
    match Home::new().sandbox.compile(component).await.err().unwrap() {
        LoadError::Describe { reason, .. } => assert_eq!(reason, "An agent that is being described has no task."),
        other => panic!("{other}"),
    }
    assert!(started.elapsed() < Limits::default().describe_time_max, "{:?}", started.elapsed());
}
