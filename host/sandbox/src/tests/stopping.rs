//! A run ends soon after it is told to, whatever it is doing.

use std::time::{Duration, Instant};

use super::fixture::{GuestText, Home, LOG, Notes, Worker, guest, start};
use crate::{End, Limits};

/// Says something, then spins.
fn spinner() -> GuestText {
    GuestText {
        imports: LOG,
        data: "spinning",
        run: "(call $emit (i32.const 2) (i32.const 1024) (i32.const 8) (i32.const 0) (i32.const 0))
            (loop $for_ever (br $for_ever)) unreachable",
        ..GuestText::default()
    }
}

async fn until(seen: &std::sync::Mutex<Notes>, reached: impl Fn(&Notes) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !reached(&seen.lock().unwrap()) {
        assert!(Instant::now() < deadline, "the guest did not get there");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_spinning_guest_stops_at_once() {
    let home = Home::new();
    let agent = home.agent(&spinner().component()).await;
    let (worker, seen) = Worker::new();
    let running = start(&agent, worker, Limits::default());
    until(&seen, |seen| !seen.lines.is_empty()).await;
    let asked = Instant::now();
    running.control().stop();
    let finished = running.finish().await;
    assert!(matches!(finished.end, End::Stopped), "{:?}", finished.end);
    // Generous for a busy machine; without the extra tick and the flag it would be the CPU limit of 30 s.
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_waiting_guest_stops_and_its_call_is_dropped() {
    let home = Home::new();
    let component = GuestText {
        imports: r#"(import "kennel:agent/wait@0.1.0" "sleep" (func $sleep (param f64 i32)))"#,
        run: "(call $sleep (f64.const 5) (i32.const 256)) (i32.const 256)",
        ..GuestText::default()
    };
    let agent = home.agent(&component.component()).await;
    let (worker, seen) = Worker::answering(|_| None);
    let running = start(&agent, worker, Limits::default());
    until(&seen, |seen| !seen.calls.is_empty()).await;
    running.control().stop();
    let finished = running.finish().await;
    assert!(matches!(finished.end, End::Stopped), "{:?}", finished.end);
    assert!(finished.cpu < Duration::from_secs(1), "waiting costs nothing: {:?}", finished.cpu);
}

#[tokio::test]
async fn dropping_a_run_stops_it() {
    let home = Home::new();
    let agent = home.agent(&spinner().component()).await;
    let (worker, seen) = Worker::new();
    let running = start(&agent, worker, Limits::default());
    until(&seen, |seen| !seen.lines.is_empty()).await;
    let control = running.control();
    drop(running);
    // The worker, and with it its half of `seen`, is dropped with the instance.
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::sync::Arc::strong_count(&seen) > 1 {
        assert!(Instant::now() < deadline, "the guest still runs, {:?}", control.cpu());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stop_before_the_start_and_one_after_the_end_do_no_harm() {
    let home = Home::new();
    let agent = home.agent(&guest("i32.const 0")).await;
    let running = start(&agent, Worker::new().0, Limits::default());
    let control = running.control();
    control.stop();
    let finished = running.finish().await;
    assert!(matches!(finished.end, End::Stopped | End::Outcome(_)), "{:?}", finished.end);
    control.stop();
}

#[tokio::test]
async fn spinning_guests_share_their_threads() {
    let home = Home::new();
    let agent = home.agent(&spinner().component()).await;
    // More than there are threads: all of them say their line only if each yields to the others.
    let runs: Vec<_> = (0..8)
        .map(|_| {
            let (worker, seen) = Worker::new();
            (start(&agent, worker, Limits::default()), seen)
        })
        .collect();
    for (_, seen) in &runs {
        until(seen, |seen| !seen.lines.is_empty()).await;
    }
    for (running, _) in runs {
        running.control().stop();
        assert!(matches!(running.finish().await.end, End::Stopped));
    }
}

#[tokio::test]
async fn the_sandbox_may_be_dropped_before_its_last_run() {
    let home = Home::new();
    let (worker, seen) = Worker::new();
    let running = {
        let agent = home.agent(&spinner().component()).await;
        start(&agent, worker, Limits::default())
    };
    drop(home);
    until(&seen, |seen| !seen.lines.is_empty()).await;
    running.control().stop();
    assert!(matches!(running.finish().await.end, End::Stopped));
}
