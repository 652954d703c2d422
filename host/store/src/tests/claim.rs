//! Claims and leases given back: who gets a run, in which order, and how often it counts as tried.

use std::collections::HashSet;
use std::time::Duration;

use kennel_protocol::types::TaskState::{Completed, Working};
use kennel_protocol::{Epoch, Seq, Ver};

use super::lab::{Lab, agent, at_once, cancel_order, digest, key, new_task, new_task_at};
use crate::Claimable;
use crate::{Attempt, Committed, Position, Start, TaskKey};

#[tokio::test]
async fn a_claim_names_all_that_a_worker_needs() {
    let lab = Lab::new().await;
    let key = lab.queued("t").await;
    let run = lab.claimed().await.unwrap();
    assert_eq!((run.claim.key(), run.claim.epoch()), (&key, Epoch::new(1)));
    assert_eq!(run.at, Position { ver: Ver::new(1), rev: Seq::FIRST });
    assert_eq!((run.agent, run.digest, run.attempts), (agent(), digest(), 1));
}

#[tokio::test]
async fn a_claimed_run_is_not_claimed_twice() {
    let lab = Lab::new().await;
    for _ in 0..10 {
        lab.queued("t").await;
    }
    let claims = at_once((0..4).map(|_| lab.store.claim(Claimable::Sound, 4))).await;
    let mut seen = HashSet::new();
    let mut sizes = Vec::new();
    for runs in claims {
        let runs = runs.unwrap();
        sizes.push(runs.len());
        assert!(runs.iter().all(|run| seen.insert(run.claim.key().clone())));
    }
    assert_eq!((sizes, seen.len()), (vec![4, 4, 2, 0], 10));
    assert!(!lab.store.has_due(Claimable::Sound).await.unwrap());
}

#[tokio::test]
async fn claims_go_by_priority_then_by_due_time_and_leave_what_is_not_due() {
    let lab = Lab::new().await;
    let mut keys = Vec::new();
    for (priority, due_ms) in [(0, 30), (0, 10), (-1, 20), (0, 20), (-1, 5), (-1, 90), (0, 90)] {
        let key = lab.queued("t").await;
        let due_ms = super::lab::EPOCH_MS + due_ms;
        let changed =
            lab.change(&format!("UPDATE run SET priority = {priority}, due_ms = {due_ms} WHERE task = '{}'", key.task));
        assert_eq!(changed, 1);
        keys.push(key);
    }
    lab.clock.advance_ms(50);
    let claimed: Vec<TaskKey> =
        lab.store.claim(Claimable::Sound, 10).await.unwrap().iter().map(|run| run.claim.key().clone()).collect();
    let expected: Vec<TaskKey> = [4, 2, 1, 3, 0].map(|index: usize| keys[index].clone()).to_vec();
    assert_eq!(claimed, expected);
    lab.clock.advance_ms(50);
    assert_eq!(lab.store.claim(Claimable::Sound, 1).await.unwrap()[0].claim.key(), &keys[5]);
}

#[tokio::test]
async fn runs_that_are_leased_held_or_dead_are_never_claimed() {
    let lab = Lab::new().await;
    for state in [1, 3, 4] {
        let key = lab.queued("t").await;
        lab.change(&format!("UPDATE run SET state = {state} WHERE task = '{}'", key.task));
    }
    assert!(!lab.store.has_due(Claimable::Sound).await.unwrap());
    assert!(lab.store.claim(Claimable::Sound, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lease_given_back_is_claimed_under_a_new_epoch_after_the_pause() {
    let lab = Lab::new().await;
    let holder = lab.held("t").await;
    let pause = Duration::from_secs(5);
    let back = lab.store.give_back(&holder.claim, Attempt::Counts, "could not load", pause).await.unwrap();
    assert_eq!(back, Committed::Applied(holder.at));
    assert!(lab.claimed().await.is_none());
    lab.clock.advance_ms(5_000);
    let run = lab.claimed().await.unwrap();
    assert_eq!((run.claim.epoch(), run.attempts), (Epoch::new(2), 2));
    assert_eq!(lab.number("SELECT last_error = 'could not load' FROM run"), 1);
}

#[tokio::test]
async fn only_attempts_that_count_are_counted() {
    let lab = Lab::new().await;
    lab.queued("t").await;
    let mut attempts = Vec::new();
    for attempt in [Attempt::DoesNotCount, Attempt::Counts, Attempt::DoesNotCount, Attempt::Counts, Attempt::Counts] {
        let run = lab.claimed().await.unwrap();
        attempts.push(run.attempts);
        lab.store.give_back(&run.claim, attempt, "", Duration::ZERO).await.unwrap();
    }
    assert_eq!(attempts, [1, 1, 2, 2, 3]);
}

#[tokio::test]
async fn a_lease_that_was_released_or_finished_is_not_given_back_again() {
    let lab = Lab::new().await;
    let mut parked = lab.held("t").await;
    parked.show(&lab.store, Working, None).await;
    parked.release(&lab.store, None).await.unwrap();
    lab.store.give_back(&parked.claim, Attempt::Counts, "", Duration::ZERO).await.unwrap();
    assert_eq!(lab.run(parked.key()).unwrap().state, 2);

    let mut ended = lab.held("t").await;
    ended.show(&lab.store, Completed, None).await;
    lab.store.give_back(&ended.claim, Attempt::Counts, "", Duration::ZERO).await.unwrap();
    assert_eq!(lab.run(ended.key()), None);
}

#[tokio::test]
async fn a_cancel_that_was_asked_for_keeps_its_place_at_the_front_when_the_lease_is_given_back() {
    let lab = Lab::new().await;
    lab.queued("t").await;
    let asked = lab.held("t").await;
    lab.store.cancel(cancel_order(asked.key())).await.unwrap();
    lab.store.give_back(&asked.claim, Attempt::DoesNotCount, "drain", Duration::ZERO).await.unwrap();
    assert_eq!(lab.claimed().await.unwrap().claim.key(), asked.key());
}

#[tokio::test]
async fn orphans_are_given_back_and_held_leases_are_not() {
    let lab = Lab::new().await;
    let held = lab.held("t").await;
    let orphan = lab.held("u").await;
    let holds = HashSet::from([held.key().clone()]);
    let mut given_back = 0;
    for _ in 0..2 {
        given_back += lab.store.give_back_orphans(&holds).await.unwrap();
    }
    assert_eq!(given_back, 1);
    assert_eq!(lab.run(held.key()).unwrap().state, 1);
    let run = lab.claimed().await.unwrap();
    assert_eq!((run.claim.key(), run.claim.epoch(), run.attempts), (orphan.key(), Epoch::new(2), 1));
}

#[tokio::test]
async fn a_lease_taken_while_the_holds_were_listed_is_no_orphan() {
    let lab = Lab::new().await;
    // The list was made before the lease; its holder is in the next one.
    let listed_before = HashSet::new();
    let new = lab.held("t").await;
    assert_eq!(lab.store.give_back_orphans(&listed_before).await.unwrap(), 0);
    let listed_after = HashSet::from([new.key().clone()]);
    assert_eq!(lab.store.give_back_orphans(&listed_after).await.unwrap(), 0);
    assert_eq!(lab.run(new.key()).unwrap().state, 1);
}

#[tokio::test]
async fn a_task_leased_again_between_two_looks_is_no_orphan() {
    let lab = Lab::new().await;
    let first = lab.held("t").await;
    assert_eq!(lab.store.give_back_orphans(&HashSet::new()).await.unwrap(), 0);
    lab.store.give_back(&first.claim, Attempt::Counts, "", Duration::ZERO).await.unwrap();
    let again = lab.claimed().await.unwrap();
    // Unheld at both looks, but under two leases: the second may be a moment old.
    assert_eq!(lab.store.give_back_orphans(&HashSet::new()).await.unwrap(), 0);
    assert_eq!(lab.run(again.claim.key()).unwrap().state, 1);
}

#[tokio::test]
async fn a_thousand_timers_to_come_do_not_hide_the_one_that_is_due() {
    let lab = Lab::new().await;
    let keys: Vec<TaskKey> = (0..1_000).map(|_| key("t")).collect();
    let later = kennel_protocol::Timestamp::from_millis(super::lab::EPOCH_MS + 60_000);
    for accepted in at_once(keys.iter().map(|key| lab.store.accept(new_task_at(key, Start::Ready, later)))).await {
        accepted.unwrap();
    }
    assert!(!lab.store.has_due(Claimable::Sound).await.unwrap());
    let due = key("t");
    lab.store.accept(new_task(&due, Start::Ready)).await.unwrap();
    assert_eq!(lab.store.claim(Claimable::Sound, 10).await.unwrap().len(), 1);
}
