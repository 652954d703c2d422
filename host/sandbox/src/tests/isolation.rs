//! Slots of the pool are used again; what was in them is not seen again.

use super::fixture::{GuestText, Home, Worker, guest, start};
use crate::{End, Limits, Outcome};

/// Looks for anything in 3 MiB behind its data and in 2 MiB that it grows, ends badly if there is something, then writes
/// everywhere. Keep-resident is 1 MiB, so both ways of cleaning a slot are used.
fn prying() -> GuestText {
    GuestText {
        pages: 48,
        items: "(func $check (param $from i32) (param $to i32)
                (loop $next
                    (if (i64.ne (i64.load (local.get $from)) (i64.const 0)) (then unreachable))
                    (local.set $from (i32.add (local.get $from) (i32.const 8)))
                    (br_if $next (i32.lt_u (local.get $from) (local.get $to)))))",
        // The turn lies above 16384, and is short.
        run: "
            (call $check (i32.const 65536) (i32.const 3145728))
            (if (i32.eq (memory.grow (i32.const 32)) (i32.const -1)) (then unreachable))
            (call $check (i32.const 3145728) (i32.const 5242880))
            (memory.fill (i32.const 65536) (i32.const 0xaa) (i32.const 5177344))
            (i32.const 0)",
        ..GuestText::default()
    }
}

#[tokio::test]
async fn no_byte_of_an_instance_is_seen_by_the_next() {
    let home = Home::new();
    let first = home.agent(&prying().component()).await;
    // Another component, so that slots change hands between the two as well.
    let second = GuestText { data: "other", ..prying() }.component();
    let second = home.agent(&second).await;
    for round in 0..25 {
        let runs: Vec<_> = (0..8)
            .map(|index| {
                let agent = if (index + round) % 2 == 0 { &first } else { &second };
                start(agent, Worker::new().0, Limits::default())
            })
            .collect();
        for running in runs {
            let end = running.finish().await.end;
            assert!(matches!(end, End::Outcome(Outcome::Completed(None))), "round {round}: {end:?}");
        }
    }
}

#[tokio::test]
async fn globals_start_anew() {
    let home = Home::new();
    let component = GuestText {
        items: "(global $used (mut i32) (i32.const 0))",
        run: "(if (global.get $used) (then unreachable)) (global.set $used (i32.const 1)) (i32.const 0)",
        ..GuestText::default()
    };
    let agent = home.agent(&component.component()).await;
    for _ in 0..20 {
        let end = start(&agent, Worker::new().0, Limits::default()).finish().await.end;
        assert!(matches!(end, End::Outcome(_)), "{end:?}");
    }
}

#[tokio::test]
async fn more_runs_than_instances_may_live_wait_for_their_turn() {
    let home = Home::new();
    let agent = home.agent(&guest("i32.const 0")).await;
    let runs: Vec<_> = (0..500).map(|_| start(&agent, Worker::new().0, Limits::default())).collect();
    for running in runs {
        let end = running.finish().await.end;
        assert!(matches!(end, End::Outcome(_)), "{end:?}");
    }
}
