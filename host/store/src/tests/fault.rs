//! A COMMIT that fails, one that took but says it failed, and entries that SQLite refuses: each entry is written once or not at all.

use std::sync::atomic::Ordering;

use kennel_protocol::types::TaskState::{Canceled, Completed, InputRequired, Working};
use kennel_protocol::{Epoch, Seq};

use super::lab::{Holder, Lab, answer, at_once, cancel_order, client_message, delivery, json, key, new_task, status};
use crate::{Canceling, Committed, Delivered, Route, RunChange, Start, StoreError, TaskKey};

impl Lab {
    /// The next COMMIT takes, but reports a failure.
    fn lose_commit_answer(&self) {
        self.store.faults.lose_commit_answer.store(true, Ordering::Relaxed);
    }

    /// The next COMMIT does not take.
    fn fail_commit(&self) {
        self.store.faults.fail_commit.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_applied_once() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    lab.lose_commit_answer();
    holder.show(&lab.store, Working, None).await;
    assert_eq!(lab.events(holder.key()).await.len(), 2);
    // The holder goes on where it believes to be.
    holder.show(&lab.store, Completed, None).await;
    assert_eq!(lab.view(holder.key()).await.rev, Seq::new(3));
}

#[tokio::test]
async fn whatever_shows_in_a_task_row_is_answered_as_written_when_the_answer_was_lost() {
    let lab = Lab::new().await;
    lab.lose_commit_answer();
    let queued = lab.queued("t").await;
    lab.lose_commit_answer();
    assert_eq!(lab.store.cancel(cancel_order(&queued)).await.unwrap(), Canceling::Ended);

    let mut asks = lab.held("t").await;
    asks.show(&lab.store, Working, None).await;
    asks.show(&lab.store, InputRequired, None).await;
    lab.lose_commit_answer();
    let answered =
        delivery(asks.key(), &client_message(asks.key(), "m1", "yes"), answer(asks.key(), asks.at.rev, Working));
    assert!(matches!(lab.store.deliver(answered).await.unwrap(), Delivered::Accepted { n: 1, .. }));

    lab.lose_commit_answer();
    let forced = lab.store.end_by_force(&asks.claim, json(&status(asks.key(), Canceled, None))).await.unwrap();
    assert!(matches!(forced, Committed::Applied(_)));
    let view = lab.view(asks.key()).await;
    assert_eq!((view.row.state, view.rev, view.row.epoch), (Canceled, Seq::new(5), Epoch::new(2)));
}

#[tokio::test]
async fn an_accept_and_its_first_commit_share_the_lost_answer_and_the_refusal() {
    let lab = Lab::new().await;
    let both = async |lab: &Lab| {
        let new = new_task(&key("t"), Start::Leased);
        let holder = Holder::of(&new);
        let commit = holder.commit(&[status(holder.key(), Completed, None)], RunChange::Finish);
        let accepting = lab.store.begin_accept(new).await.unwrap();
        tokio::join!(biased; accepting.on_disk(), lab.store.commit(&holder.claim, commit))
    };
    lab.lose_commit_answer();
    let taken = both(&lab).await;
    assert!(matches!(taken, (Ok(()), Ok(Committed::Applied(_)))), "{taken:?}");
    let before = lab.everything();
    lab.fail_commit();
    let refused = both(&lab).await;
    assert!(matches!(refused, (Err(_), Err(_))), "{refused:?}");
    assert_eq!(lab.everything(), before);
}

#[tokio::test]
async fn a_commit_whose_accept_is_refused_is_fenced_and_harms_no_other() {
    let lab = Lab::new().await;
    let (taken, good) = (new_task(&key("t"), Start::Leased), new_task(&key("t"), Start::Leased));
    lab.store.accept(taken.clone()).await.unwrap();
    let after = Holder::of(&taken).after(&[status(&taken.key, Working, None)]);
    let sound = Holder::of(&good);
    // The same id a second time: SQLite refuses the row, and with it the group, which is then halved.
    let (again, accepting) =
        (lab.store.begin_accept(taken).await.unwrap(), lab.store.begin_accept(good).await.unwrap());
    let commits = [&after, &sound].map(|holder| {
        lab.store.commit(&holder.claim, holder.commit(&[status(holder.key(), Working, None)], RunChange::Keep))
    });
    let (again, accepted, commits) = tokio::join!(biased; again.on_disk(), accepting.on_disk(), at_once(commits));
    assert!(again.is_err() && accepted.is_ok(), "{again:?} {accepted:?}");
    assert!(matches!(commits[0], Ok(Committed::Moved)), "{commits:?}");
    assert!(matches!(commits[1], Ok(Committed::Applied(_))), "{commits:?}");
}

#[tokio::test]
async fn what_shows_in_no_task_row_may_be_sent_again_when_the_answer_was_lost() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    let message = delivery(holder.key(), &client_message(holder.key(), "m1", "hi"), Route::Queue);
    lab.lose_commit_answer();
    let lost = lab.store.deliver(message.clone()).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "nobody can tell: {lost:?}");
    let again = lab.store.deliver(message).await.unwrap();
    assert_eq!(again, Delivered::Repeated { n: 1, at_seq: Seq::new(2) });

    lab.lose_commit_answer();
    assert!(lab.store.cancel(cancel_order(holder.key())).await.is_err());
    assert_eq!(lab.store.cancel(cancel_order(holder.key())).await.unwrap(), Canceling::Asked);
    assert_eq!(lab.number("SELECT count(*) FROM inbox WHERE kind = 1"), 1);
}

#[tokio::test]
async fn a_commit_that_failed_wrote_nothing_and_can_be_sent_again() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let before = lab.everything();
    lab.fail_commit();
    let event = status(holder.key(), Completed, None);
    let failed = lab.store.commit(&holder.claim, holder.commit(&[event], RunChange::Finish)).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    assert_eq!(lab.everything(), before);
    holder.show(&lab.store, Completed, None).await;
    assert_eq!(lab.events(holder.key()).await.len(), 2);
}

#[tokio::test]
async fn an_accept_that_failed_made_no_task_and_can_be_sent_again() {
    let lab = Lab::new().await;
    let new = new_task(&key("t"), Start::Leased);
    lab.fail_commit();
    assert!(lab.store.accept(new.clone()).await.is_err());
    assert_eq!(lab.everything(), "");
    lab.store.accept(new.clone()).await.unwrap();
    assert_eq!(lab.view(&new.key).await.rev, Seq::FIRST);
}

/// What a full group of every kind is made of.
struct Mixed {
    accepts: Vec<TaskKey>,
    commits: Vec<Holder>,
    messages: Vec<Holder>,
    cancels: Vec<TaskKey>,
}

impl Mixed {
    /// 64 entries of each of four kinds, for tasks of their own.
    async fn new(lab: &Lab) -> Mixed {
        let accepts: Vec<TaskKey> = (0..64).map(|_| key("t")).collect();
        let leased: Vec<_> = (0..128).map(|_| new_task(&key("t"), Start::Leased)).collect();
        let ready: Vec<_> = (0..64).map(|_| new_task(&key("t"), Start::Ready)).collect();
        for accepted in at_once(leased.iter().chain(&ready).map(|new| lab.store.accept(new.clone()))).await {
            accepted.unwrap();
        }
        let mut commits: Vec<Holder> = leased.iter().map(Holder::of).collect();
        let messages = commits.split_off(64);
        let cancels = ready.iter().map(|new| new.key.clone()).collect();
        Mixed { accepts, commits, messages, cancels }
    }

    /// Sends all of it at once; how many were answered as written, each exactly as expected.
    async fn send(&self, lab: &Lab) -> usize {
        let store = &lab.store;
        let accepts = async {
            let all = self.accepts.iter().map(|key| store.accept(new_task(key, Start::Ready)));
            at_once(all).await.iter().filter(|accepted| accepted.is_ok()).count()
        };
        let commits = async {
            let all = self.commits.iter().map(|holder| {
                let event = status(holder.key(), Completed, None);
                store.commit(&holder.claim, holder.commit(&[event], RunChange::Finish))
            });
            at_once(all).await.iter().filter(|done| matches!(done, Ok(Committed::Applied(_)))).count()
        };
        let messages = async {
            let all = self.messages.iter().map(|holder| {
                store.deliver(delivery(holder.key(), &client_message(holder.key(), "m1", "hi"), Route::Queue))
            });
            at_once(all).await.iter().filter(|done| matches!(done, Ok(Delivered::Accepted { n: 1, .. }))).count()
        };
        let cancels = async {
            let all = self.cancels.iter().map(|key| store.cancel(cancel_order(key)));
            at_once(all).await.iter().filter(|done| matches!(done, Ok(Canceling::Ended))).count()
        };
        let (accepts, commits, messages, cancels) = tokio::join!(accepts, commits, messages, cancels);
        accepts + commits + messages + cancels
    }

    /// That every entry is there exactly once.
    fn check(&self, lab: &Lab) {
        for (sql, expected) in [
            ("SELECT count(*) FROM task", 256),
            ("SELECT count(*) FROM task WHERE state = 3", 64),
            ("SELECT count(*) FROM task WHERE state = 5", 64),
            ("SELECT count(*) FROM event", 256 + 128),
            ("SELECT count(*) FROM inbox", 256 + 64),
            ("SELECT count(*) FROM run", 128),
        ] {
            assert_eq!(lab.number(sql), expected, "{sql}");
        }
    }
}

#[tokio::test]
async fn a_full_group_of_every_kind_whose_answer_was_lost_is_applied_once() {
    let lab = Lab::new().await;
    let mixed = Mixed::new(&lab).await;
    let before = lab.transactions();
    lab.lose_commit_answer();
    assert_eq!(mixed.send(&lab).await, 256);
    assert_eq!(lab.transactions() - before, 1, "it was one group");
    mixed.check(&lab);
}

#[tokio::test]
async fn a_full_group_of_every_kind_that_failed_wrote_nothing_and_can_be_sent_again() {
    let lab = Lab::new().await;
    let mixed = Mixed::new(&lab).await;
    let (before, rows) = (lab.transactions(), lab.everything());
    lab.fail_commit();
    assert_eq!(mixed.send(&lab).await, 0);
    assert_eq!(lab.transactions() - before, 1, "it was one group");
    assert_eq!(lab.everything(), rows);
    assert_eq!(mixed.send(&lab).await, 256);
    mixed.check(&lab);
}

#[tokio::test]
async fn a_faulty_entry_in_a_full_group_costs_at_most_twenty_transactions_more_and_only_itself() {
    for place in [0, 1, 100, 127, 128, 255] {
        let lab = Lab::new().await;
        let mut keys: Vec<TaskKey> = (0..256).map(|index| key(&format!("tenant-{}", index % 3))).collect();
        lab.store.accept(new_task(&keys[place], Start::Leased)).await.unwrap();
        let before = lab.transactions();
        let accepted = at_once(keys.iter().map(|key| lab.store.accept(new_task(key, Start::Ready)))).await;
        let spent = lab.transactions() - before;
        assert!((2..=21).contains(&spent), "{spent} transactions for one fault at {place}");
        for (index, accepted) in accepted.iter().enumerate() {
            assert_eq!(accepted.is_err(), index == place, "{index}: {accepted:?}");
        }
        assert_eq!(lab.number("SELECT count(*) FROM task"), 256);
        assert_eq!(lab.number("SELECT count(*) FROM event"), 256);
        // The task that was there is as it was.
        assert_eq!(lab.view(&keys.remove(place)).await.row.epoch, Epoch::new(1));
    }
}

#[tokio::test]
async fn a_row_that_does_not_read_costs_only_the_entry_that_asks_for_it() {
    let lab = Lab::new().await;
    let damaged = lab.queued("t").await;
    assert_eq!(lab.change("UPDATE task SET state = 77"), 1);
    let others: Vec<TaskKey> = (0..9).map(|_| key("t")).collect();
    let cancel = lab.store.cancel(cancel_order(&damaged));
    let accepts = at_once(others.iter().map(|key| lab.store.accept(new_task(key, Start::Ready))));
    let before = lab.transactions();
    let (refused, accepted) = tokio::join!(biased; cancel, accepts);
    assert!(matches!(&refused, Err(StoreError::Corrupt(reason)) if reason.contains("77")), "{refused:?}");
    assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
    assert!(lab.transactions() - before > 1);
}
