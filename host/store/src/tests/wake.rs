//! Wake-ups: none is missed by who registers first, and all of them may be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kennel_protocol::types::TaskState::{Completed, Working};
use tokio::time::timeout;

use super::lab::{Holder, Lab, at, cancel_order, client_message, delivery, key, new_task, status};
use crate::wake::{Moved, Sweep, Wakes};
use crate::{Commit, NewTask, Parent, Pokes, Route, RunChange, Start, TaskKey, open};

/// Longer than any wait in these tests takes; only a failure waits for it.
const DEADLINE: Duration = Duration::from_secs(20);

/// Whether a wait has ended already.
fn is_over(wait: impl Future<Output = ()>) -> bool {
    let wait = std::pin::pin!(wait);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    wait.poll(&mut context).is_ready()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_registers_before_reading_misses_nothing() {
    const LAST: u64 = 20_000;
    // No sweep here: what a poke does not bring is never seen.
    let wakes = Wakes::new(Pokes::On);
    let (key, log) = (key("t"), Arc::new(AtomicU64::new(0)));
    let mut watchers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (wakes, key, log) = (Arc::clone(&wakes), key.clone(), Arc::clone(&log));
        watchers.spawn(async move {
            let mut subscription = wakes.subscribe(&key);
            while log.load(Ordering::Acquire) < LAST {
                timeout(DEADLINE, subscription.changed()).await.expect("a commit was missed");
            }
        });
    }
    for seq in 1..=LAST {
        log.store(seq, Ordering::Release);
        wakes.poke(&key, Moved::Log);
        if seq % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    while let Some(watcher) = watchers.join_next().await {
        watcher.unwrap();
    }
    assert_eq!(wakes.watched(), 0);
}

#[tokio::test]
async fn a_commit_between_registering_and_waiting_is_not_missed() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    for state in [Working, Working, Completed] {
        let mut subscription = lab.store.subscribe(holder.key());
        assert!(!is_over(subscription.changed()));
        let seen = lab.view(holder.key()).await.rev;
        let at = holder.show(&lab.store, state, None).await;
        assert!(is_over(subscription.changed()), "the poke came before the answer");
        assert_eq!(lab.view(holder.key()).await.rev, at.rev);
        assert!(seen < at.rev && !is_over(subscription.changed()));
    }
}

#[tokio::test]
async fn the_inbox_side_wakes_for_messages_and_cancels_only() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let mut subscription = lab.store.subscribe(holder.key());
    holder.show(&lab.store, Working, None).await;
    assert!(!is_over(subscription.inbox_changed()));
    lab.store.deliver(delivery(holder.key(), &client_message(holder.key(), "m1", "hi"), Route::Queue)).await.unwrap();
    assert!(is_over(subscription.inbox_changed()));
    assert!(!is_over(subscription.inbox_changed()));
    lab.store.cancel(cancel_order(holder.key())).await.unwrap();
    assert!(is_over(subscription.inbox_changed()));
}

/// A commit that brings a task to its end and hands its folded view on.
fn telling(holder: &Holder) -> Commit {
    let events = [status(holder.key(), Completed, None)];
    Commit { stop: Some(Arc::new(holder.folded(&events))), ..holder.commit(&events, RunChange::Finish) }
}

#[tokio::test]
async fn a_stop_comes_with_its_commit_and_is_what_the_rows_say() {
    let lab = Lab::new().await;
    let new = new_task(&key("t"), Start::Leased);
    let mut subscription = lab.store.subscribe(&new.key);
    lab.store.accept(new.clone()).await.unwrap();
    let mut holder = Holder::of(&new);
    holder.show(&lab.store, Working, Some("said")).await;
    assert!(is_over(subscription.changed()), "who follows the log sees it");
    assert!(!is_over(async { drop(subscription.stopped().await) }), "it is no stop");
    lab.store.commit(&holder.claim, telling(&holder)).await.unwrap();
    let stop = timeout(DEADLINE, subscription.stopped()).await.unwrap().unwrap();
    let view = lab.view(&new.key).await;
    assert_eq!((stop.rev, &*stop.fold), (view.rev, &view.fold));
    assert!(!is_over(async { drop(subscription.stopped().await) }), "it is told once");
}

#[tokio::test]
async fn a_stop_is_only_announced_where_more_than_the_log_was_written() {
    let lab = Lab::new().await;
    for beside in ["a message", "a child", "a stop without its view"] {
        let new = new_task(&key("t"), Start::Leased);
        let mut subscription = lab.store.subscribe(&new.key);
        lab.store.accept(new.clone()).await.unwrap();
        let holder = Holder::of(&new);
        let mut last = telling(&holder);
        match beside {
            "a message" => {
                let message = client_message(&new.key, "m1", "hi");
                lab.store.deliver(delivery(&new.key, &message, Route::Queue)).await.unwrap();
                assert!(timeout(DEADLINE, subscription.stopped()).await.unwrap().is_none());
            }
            "a child" => {
                let parent = Some(Parent { task: new.key.task.clone(), root: new.key.task.clone() });
                lab.store.accept(NewTask { parent, ..new_task(&key("t"), Start::Ready) }).await.unwrap();
                assert!(!is_over(subscription.changed()), "nobody waits for that");
            }
            _ => last.stop = None,
        }
        lab.store.commit(&holder.claim, last).await.unwrap();
        assert!(timeout(DEADLINE, subscription.stopped()).await.unwrap().is_none(), "{beside}");
    }
}

#[tokio::test]
async fn a_stop_whose_commit_was_not_applied_is_told_to_nobody() {
    let lab = Lab::new().await;
    let new = new_task(&key("t"), Start::Leased);
    let mut subscription = lab.store.subscribe(&new.key);
    lab.store.accept(new.clone()).await.unwrap();
    let stale = Holder::of(&new);
    let mut holder = stale.clone();
    holder.show(&lab.store, Working, None).await;
    assert_eq!(lab.store.commit(&stale.claim, telling(&stale)).await.unwrap(), crate::Committed::Moved);
    assert!(timeout(DEADLINE, subscription.stopped()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_dropped_subscription_leaves_no_entry() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let mut keys = vec![holder.key().clone()];
    keys.extend((1..50).map(|_| key("t")));
    let one: Vec<_> = keys.iter().map(|key| lab.store.subscribe(key)).collect();
    let mut two: Vec<_> = keys.iter().map(|key| lab.store.subscribe(key)).collect();
    assert_eq!(lab.store.wakes().watched(), 50);
    drop(one);
    assert_eq!(lab.store.wakes().watched(), 50, "the other subscription of each still waits");
    two.truncate(20);
    assert_eq!(lab.store.wakes().watched(), 20);
    holder.show(&lab.store, Working, None).await;
    assert!(is_over(two[0].changed()), "it still works");
    drop(two);
    assert_eq!(lab.store.wakes().watched(), 0);
}

#[tokio::test]
async fn another_tasks_commit_wakes_nobody() {
    let lab = Lab::new().await;
    let watched = lab.queued("t").await;
    let mut subscription = lab.store.subscribe(&watched);
    let other_tenant = TaskKey { tenant: "u".parse().unwrap(), task: watched.task.clone() };
    lab.store.accept(new_task(&other_tenant, Start::Ready)).await.unwrap();
    lab.queued("t").await;
    assert!(!is_over(subscription.changed()));
}

#[tokio::test]
async fn the_sweep_finds_what_moved_and_only_that() {
    let lab = Lab::with(Pokes::Off).await;
    let readers = open::readers(&lab.database()).unwrap();
    // A registry of its own, so that no other sweep takes part.
    let wakes = Wakes::new(Pokes::Off);
    let mut holder = lab.held("t").await;
    let (quiet, unborn) = (lab.queued("u").await, key("t"));
    let mut subscriptions = [holder.key(), &quiet, &unborn].map(|key| wakes.subscribe(key));
    let mut sweep = Sweep::default();
    let mut look = async |subscriptions: &mut [crate::Subscription; 3]| {
        sweep.look(&wakes, &readers).await.unwrap();
        subscriptions.each_mut().map(|subscription| is_over(subscription.changed()))
    };
    assert_eq!(
        look(&mut subscriptions).await,
        [true, true, false],
        "what is seen first may have moved since it was read"
    );
    assert_eq!(look(&mut subscriptions).await, [false, false, false]);
    holder.show(&lab.store, Working, None).await;
    assert_eq!(look(&mut subscriptions).await, [true, false, false]);
    assert!(is_over(subscriptions[0].inbox_changed()), "the first look counts as both");
    assert!(!is_over(subscriptions[0].inbox_changed()));
    lab.store.deliver(delivery(holder.key(), &client_message(holder.key(), "m1", "hi"), Route::Queue)).await.unwrap();
    lab.store.accept(new_task(&unborn, Start::Ready)).await.unwrap();
    assert_eq!(look(&mut subscriptions).await, [true, false, true]);
    assert!(is_over(subscriptions[0].inbox_changed()));
    lab.store.cancel(cancel_order(&quiet)).await.unwrap();
    assert_eq!(look(&mut subscriptions).await, [false, true, false]);
}

#[tokio::test]
async fn with_every_poke_lost_commits_messages_and_due_runs_are_still_found() {
    let lab = Lab::with(Pokes::Off).await;
    let mut holder = lab.held("t").await;
    let mut subscription = lab.store.subscribe(holder.key());
    holder.show(&lab.store, Working, None).await;
    assert!(!is_over(subscription.changed()), "no poke");
    timeout(DEADLINE, subscription.changed()).await.unwrap();
    lab.store.deliver(delivery(holder.key(), &client_message(holder.key(), "m1", "hi"), Route::Queue)).await.unwrap();
    timeout(DEADLINE, subscription.inbox_changed()).await.unwrap();
    lab.store.commit(&holder.claim, telling(&holder)).await.unwrap();
    assert!(timeout(DEADLINE, subscription.stopped()).await.unwrap().is_none(), "what is found by looking is read");
    lab.queued("t").await;
    timeout(DEADLINE, lab.store.wakes().due(lab.clock.now())).await.unwrap();
    assert!(lab.claimed().await.is_some());
}

#[tokio::test]
async fn whatever_can_be_claimed_pokes_who_claims() {
    let lab = Lab::new().await;
    let woken = || is_over(lab.store.wakes().due(lab.clock.now()));
    lab.queued("t").await;
    assert!(woken() && !woken());
    let run = lab.claimed().await.unwrap();
    assert!(!woken(), "a claim makes nothing due");
    lab.store.give_back(&run.claim, crate::Attempt::Counts, "", Duration::ZERO).await.unwrap();
    assert!(woken());
    let mut holder = lab.held("t").await;
    assert!(!woken(), "a task with a slot needs no claim");
    holder.show(&lab.store, Working, None).await;
    assert!(!woken());
    holder.release(&lab.store, None).await.unwrap();
    assert!(woken());
    lab.store.deliver(delivery(holder.key(), &client_message(holder.key(), "m1", "hi"), Route::Queue)).await.unwrap();
    assert!(woken());
}

#[tokio::test]
async fn a_parked_run_is_looked_for_when_its_time_comes() {
    let wakes = Wakes::new(Pokes::On);
    let after_ms = async |now: i64| {
        let began = tokio::time::Instant::now();
        wakes.due(at(now)).await;
        began.elapsed().as_millis()
    };
    wakes.park(at(0), at(60));
    wakes.park(at(0), at(20));
    wakes.park(at(0), at(86_400_000));
    assert!((20..400).contains(&after_ms(0).await), "the next first");
    assert!((40..400).contains(&after_ms(20).await), "then the other");
    assert!(after_ms(60).await >= 499, "what is far away is found by polling");
    wakes.park(at(0), at(7));
    assert!(after_ms(600).await < 400, "its time is over");
    assert!(after_ms(600).await >= 499, "and it is forgotten");
}
