//! Requests to stop, and the end by force.

use kennel_protocol::types::TaskState::{Canceled, Completed, InputRequired, Working};
use kennel_protocol::{Epoch, Seq};

use super::lab::{Lab, RunRow, at_once, cancel_order, json, status};
use crate::{Attempt, CancelOrder, Canceling, Committed, RunChange};

#[tokio::test]
async fn a_task_that_nobody_has_begun_ends_at_once() {
    let lab = Lab::new().await;
    let key = lab.queued("t").await;
    assert_eq!(lab.store.cancel(cancel_order(&key)).await.unwrap(), Canceling::Ended);
    let view = lab.view(&key).await;
    assert_eq!((view.row.state, view.rev, view.row.epoch), (Canceled, Seq::new(2), Epoch::new(1)));
    assert_eq!((view.fold.status.state, view.row.open), (Canceled, false));
    assert_eq!(lab.events(&key).await[1].stop, Some(Canceled));
    assert_eq!(lab.run(&key), None);
    assert!(lab.claimed().await.is_none());
    // The request itself leaves no row that somebody would have to take.
    assert_eq!(lab.number("SELECT count(*) FROM inbox WHERE kind = 1"), 0);
}

#[tokio::test]
async fn an_old_claim_of_a_task_that_was_canceled_is_fenced() {
    let lab = Lab::new().await;
    let holder = lab.held("t").await;
    lab.store.give_back(&holder.claim, Attempt::Counts, "", std::time::Duration::ZERO).await.unwrap();
    assert_eq!(lab.store.cancel(cancel_order(holder.key())).await.unwrap(), Canceling::Ended);
    let commit = holder.commit(&[status(holder.key(), Working, None)], RunChange::Keep);
    assert_eq!(lab.store.commit(&holder.claim, commit).await.unwrap(), Committed::Fenced);
}

#[tokio::test]
async fn a_task_at_work_is_asked_once_however_often() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    let order = |reason: &str| CancelOrder { body: reason.to_owned().into(), ..cancel_order(holder.key()) };
    assert_eq!(lab.store.cancel(order("first")).await.unwrap(), Canceling::Asked);
    for asked in at_once((0..5).map(|_| lab.store.cancel(order("again")))).await {
        assert_eq!(asked.unwrap(), Canceling::Asked);
    }
    assert_eq!(lab.number("SELECT count(*) FROM inbox WHERE kind = 1"), 1);
    let waiting = lab.store.waiting(holder.key()).await.unwrap().unwrap();
    assert_eq!(waiting.cancel, Some((1, "first".into())));
    assert!(waiting.messages.is_empty());
    // It is no message: neither the task nor its history shows it.
    let view = lab.view(holder.key()).await;
    assert_eq!((view.row.state, view.rev, view.history(None).len()), (Working, Seq::new(2), 1));
    // The holder goes on writing under its own guard, and ends the task itself.
    holder.show(&lab.store, Canceled, None).await;
}

#[tokio::test]
async fn a_task_that_took_the_request_still_knows_of_it_and_is_not_asked_twice() {
    let lab = Lab::new().await;
    let holder = lab.held("t").await;
    lab.store.cancel(cancel_order(holder.key())).await.unwrap();
    let mut commit = holder.commit(&[status(holder.key(), Working, None)], RunChange::Keep);
    commit.taken = vec![1];
    assert!(matches!(lab.store.commit(&holder.claim, commit).await.unwrap(), Committed::Applied(_)));
    assert_eq!(lab.store.cancel(cancel_order(holder.key())).await.unwrap(), Canceling::Asked);
    assert_eq!(lab.number("SELECT count(*) FROM inbox WHERE kind = 1"), 1);
    assert!(lab.store.waiting(holder.key()).await.unwrap().unwrap().cancel.is_some());
}

#[tokio::test]
async fn a_parked_task_is_woken_to_be_asked() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, InputRequired, Some("prompt")).await;
    holder.release(&lab.store, None).await.unwrap();
    assert_eq!(lab.store.cancel(cancel_order(holder.key())).await.unwrap(), Canceling::Asked);
    let due_ms = Some(super::lab::EPOCH_MS);
    let ready = RunRow { state: 0, priority: -1, due_ms, attempts: 0, host: None };
    assert_eq!(lab.run(holder.key()), Some(ready));
    assert_eq!(lab.store.cancel(cancel_order(holder.key())).await.unwrap(), Canceling::Asked);
    assert_eq!(lab.number("SELECT count(*) FROM inbox WHERE kind = 1"), 1);
}

#[tokio::test]
async fn a_task_that_is_over_cannot_be_canceled() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Completed, None).await;
    let before = lab.everything();
    assert_eq!(lab.store.cancel(cancel_order(holder.key())).await.unwrap(), Canceling::Terminal(Completed));
    assert_eq!(lab.everything(), before);
}

#[tokio::test]
async fn a_cancel_by_another_owner_agent_or_tenant_finds_nothing() {
    let lab = Lab::new().await;
    let key = lab.queued("t").await;
    let order = cancel_order(&key);
    let mut foreign = [order.clone(), order.clone(), order];
    foreign[0].owner = "mallory".parse().unwrap();
    foreign[1].agent = "other".parse().unwrap();
    foreign[2].key.tenant = "other".parse().unwrap();
    let before = lab.everything();
    for order in foreign {
        assert_eq!(lab.store.cancel(order).await.unwrap(), Canceling::NotFound);
    }
    assert_eq!(lab.everything(), before);
}

#[tokio::test]
async fn the_end_by_force_ends_the_task_and_fences_its_holder() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    lab.store.cancel(cancel_order(holder.key())).await.unwrap();
    let event = json(&status(holder.key(), Canceled, None));
    let ended = lab.store.end_by_force(&holder.claim, event.clone()).await.unwrap();
    let after = holder.after(&[status(holder.key(), Canceled, None)]);
    assert_eq!(ended, Committed::Applied(after.at));

    let view = lab.view(holder.key()).await;
    assert_eq!((view.row.state, view.row.at, view.row.epoch), (Canceled, after.at, Epoch::new(2)));
    assert_eq!(lab.run(holder.key()), None);
    // Whoever ended it cannot end it again, and the holder writes nothing more, wherever it believes the log to be.
    assert_eq!(lab.store.end_by_force(&holder.claim, event).await.unwrap(), Committed::Fenced);
    for late in [&holder, &after] {
        let commit = late.commit(&[], RunChange::Finish);
        assert_eq!(lab.store.commit(&late.claim, commit).await.unwrap(), Committed::Fenced);
    }
}

#[tokio::test]
async fn who_lost_the_lease_cannot_end_the_task_of_the_one_who_has_it() {
    let lab = Lab::new().await;
    let old = lab.held("t").await;
    lab.store.give_back(&old.claim, Attempt::Counts, "", std::time::Duration::ZERO).await.unwrap();
    lab.claimed().await.unwrap();
    let before = lab.everything();
    let event = json(&status(old.key(), Canceled, None));
    assert_eq!(lab.store.end_by_force(&old.claim, event).await.unwrap(), Committed::Fenced);
    assert_eq!(lab.everything(), before);
}

#[tokio::test]
async fn a_completion_that_is_on_disk_wins_over_the_end_by_force() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Completed, None).await;
    let before = lab.everything();
    let event = json(&status(holder.key(), Canceled, None));
    assert_eq!(lab.store.end_by_force(&holder.claim, event).await.unwrap(), Committed::Fenced);
    assert_eq!(lab.everything(), before);
}

#[tokio::test]
async fn of_a_completion_and_an_end_by_force_sent_at_once_exactly_one_is_written() {
    for force_first in [true, false] {
        let lab = Lab::new().await;
        let mut holder = lab.held("t").await;
        holder.show(&lab.store, Working, None).await;
        let force =
            async { lab.store.end_by_force(&holder.claim, json(&status(holder.key(), Canceled, None))).await.unwrap() };
        let complete = async {
            let commit = holder.commit(&[status(holder.key(), Completed, None)], RunChange::Finish);
            lab.store.commit(&holder.claim, commit).await.unwrap()
        };
        let (forced, completed) = if force_first {
            tokio::join!(force, complete)
        } else {
            let (completed, forced) = tokio::join!(complete, force);
            (forced, completed)
        };
        let won = [forced, completed].iter().filter(|one| matches!(one, Committed::Applied(_))).count();
        assert_eq!(won, 1, "{forced:?} {completed:?}");
        let view = lab.view(holder.key()).await;
        let expected = if matches!(forced, Committed::Applied(_)) { Canceled } else { Completed };
        assert_eq!((view.row.state, view.fold.status.state, view.rev), (expected, expected, Seq::new(3)));
        assert_eq!(lab.run(holder.key()), None);
    }
}
