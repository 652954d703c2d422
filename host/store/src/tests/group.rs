//! Which entries make a group: bounds, order, and that no tenant waits for another's backlog.

use std::sync::Arc;

use kennel_protocol::types::TaskState::{Completed, Working};

use super::lab::{Holder, Lab, at_once, cancel_order, client_message, delivery, key, new_task, piece, status};
use crate::{Canceling, Commit, Committed, Delivered, NewTask, Route, RunChange, Start, StoreError};

/// The group, counted from now, in which an entry is written. The writer has begun the next one when the answer is looked at.
async fn group_of<T>(lab: &Lab, write: impl Future<Output = T>) -> (T, u32) {
    let before = lab.transactions();
    let written = write.await;
    (written, lab.transactions() - before)
}

#[tokio::test]
async fn a_backlog_of_five_thousand_entries_holds_up_no_accept_of_another_tenant() {
    let lab = Lab::new().await;
    let flood = at_once((0..5_000).map(|_| lab.store.accept(new_task(&key("loud"), Start::Ready))));
    let quiet = group_of(&lab, lab.store.accept(new_task(&key("quiet"), Start::Ready)));
    let (flood, (accepted, group)) = tokio::join!(biased; flood, quiet);
    assert!(flood.iter().all(Result::is_ok) && accepted.is_ok());
    assert!(group <= 2, "it was written in group {group}");
    assert_eq!(lab.number("SELECT count(*) FROM task"), 5_001);
}

#[tokio::test]
async fn a_commit_waits_for_no_backlog_of_another_tenants_commits() {
    let lab = Lab::new().await;
    let mut holders = Vec::new();
    let news: Vec<_> = (0..1_000).map(|_| new_task(&key("loud"), Start::Leased)).collect();
    at_once(news.iter().map(|new| lab.store.accept(new.clone()))).await;
    holders.extend(news.iter().map(Holder::of));
    let quiet = lab.held("quiet").await;
    let work = |holder: &Holder| {
        let commit = holder.commit(&[status(holder.key(), Working, None)], RunChange::Keep);
        let (claim, store) = (holder.claim.clone(), &lab.store);
        async move { store.commit(&claim, commit).await.unwrap() }
    };
    let flood = at_once(holders.iter().map(work));
    let (_, (committed, group)) = tokio::join!(biased; flood, group_of(&lab, work(&quiet)));
    assert!(matches!(committed, Committed::Applied(_)));
    assert_eq!(group, 1);
}

#[tokio::test]
async fn accepts_and_cancels_go_before_commits_that_came_earlier() {
    let lab = Lab::new().await;
    let news: Vec<_> = (0..600).map(|_| new_task(&key("t"), Start::Leased)).collect();
    at_once(news.iter().map(|new| lab.store.accept(new.clone()))).await;
    let waiting = lab.queued("t").await;
    let holders: Vec<Holder> = news.iter().map(Holder::of).collect();
    let commits = at_once(holders.iter().map(|holder| {
        lab.store.commit(&holder.claim, holder.commit(&[status(holder.key(), Completed, None)], RunChange::Finish))
    }));
    let cancel = group_of(&lab, lab.store.cancel(cancel_order(&waiting)));
    let (_, (canceling, group)) = tokio::join!(biased; commits, cancel);
    assert_eq!((canceling.unwrap(), group), (Canceling::Ended, 1));
}

#[tokio::test]
async fn commits_go_on_while_accepts_fill_every_group() {
    let lab = Lab::new().await;
    let holder = lab.held("t").await;
    let flood = at_once((0..2_000).map(|_| lab.store.accept(new_task(&key("t"), Start::Ready))));
    let commit = holder.commit(&[status(holder.key(), Completed, None)], RunChange::Finish);
    let commit = group_of(&lab, lab.store.commit(&holder.claim, commit));
    let (flood, (committed, group)) = tokio::join!(biased; flood, commit);
    assert!(flood.iter().all(Result::is_ok));
    assert!(matches!(committed, Ok(Committed::Applied(_))));
    assert_eq!(group, 1);
}

#[tokio::test]
async fn a_flood_of_messages_to_a_task_does_not_keep_it_from_writing() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    let messages = at_once((0..50).map(|index| {
        let message = client_message(holder.key(), &format!("m{index}"), "hi");
        lab.store.deliver(delivery(holder.key(), &message, Route::Queue))
    }));
    let commit = holder.commit(&[status(holder.key(), Working, None)], RunChange::Keep);
    let commit = group_of(&lab, lab.store.commit(&holder.claim, commit));
    let (messages, (committed, group)) = tokio::join!(biased; messages, commit);
    assert!(matches!(committed, Ok(Committed::Applied(_))));
    assert_eq!(group, 2, "one message of the task goes first, no more");
    for (delivered, n) in messages.into_iter().zip(1..) {
        assert!(matches!(delivered.unwrap(), Delivered::Accepted { n: found, .. } if found == n));
    }
}

#[tokio::test]
async fn large_entries_go_in_groups_of_four_mebibytes() {
    let lab = Lab::new().await;
    let mut holders = Vec::new();
    for _ in 0..24 {
        holders.push(lab.held("t").await);
    }
    let before = lab.transactions();
    let large = "x".repeat(512 << 10);
    let commits = holders.iter().map(|holder| {
        let events = [status(holder.key(), Working, None), piece(holder.key(), "r", &large, false)];
        lab.store.commit(&holder.claim, holder.commit(&events, RunChange::Keep))
    });
    assert!(at_once(commits).await.iter().all(Result::is_ok));
    assert_eq!(lab.transactions() - before, 3, "12 MiB");
}

#[tokio::test]
async fn a_closing_store_writes_what_is_queued_and_takes_nothing_more() {
    let lab = Lab::new().await;
    let queued = at_once((0..500).map(|_| lab.store.accept(new_task(&key("t"), Start::Ready))));
    let (queued, ()) = tokio::join!(biased; queued, lab.store.close());
    assert!(queued.iter().all(Result::is_ok));
    let late = lab.store.accept(new_task(&key("t"), Start::Ready)).await;
    assert!(late.unwrap_err().to_string().contains("closed"));
    assert_eq!(lab.number("SELECT count(*) FROM task"), 500);
}

#[tokio::test]
async fn a_caller_that_goes_away_has_its_write_all_the_same() {
    let lab = Lab::new().await;
    let new = new_task(&key("t"), Start::Ready);
    {
        let accept = lab.store.accept(new.clone());
        tokio::pin!(accept);
        // Polled once, so that it is handed in; then dropped.
        assert!(futures_util::poll!(&mut accept).is_pending());
    }
    lab.queued("t").await;
    assert_eq!(lab.view(&new.key).await.row.key, new.key);
}

/// Hands in a commit that is made late. In line when this returns; the future is what came of it.
fn late(
    lab: &Lab,
    holder: &Holder,
    make: impl FnOnce() -> Option<Arc<Commit>> + Send + 'static,
) -> impl Future<Output = Result<Committed, StoreError>> {
    let (tell, told) = tokio::sync::oneshot::channel();
    lab.store.commit_late(&holder.claim, make, move |written| drop(tell.send(written)));
    async { told.await.unwrap() }
}

/// The commit with which a task that is about to be made ends.
fn first_and_last(new: &NewTask) -> (Holder, Commit) {
    let holder = Holder::of(new);
    let events = [status(holder.key(), Working, None), status(holder.key(), Completed, None)];
    let commit = holder.commit(&events, RunChange::Finish);
    (holder, commit)
}

#[tokio::test]
async fn an_accept_and_what_its_task_writes_meanwhile_go_in_one_group() {
    let lab = Lab::new().await;
    let new = new_task(&key("t"), Start::Leased);
    let (holder, commit) = first_and_last(&new);
    let before = lab.transactions();
    let accepting = lab.store.begin_accept(new).await.unwrap();
    let late = late(&lab, &holder, move || Some(Arc::new(commit)));
    let (accepted, committed) = tokio::join!(biased; accepting.on_disk(), late);
    accepted.unwrap();
    assert!(matches!(committed, Ok(Committed::Applied(at)) if at.rev.get() == 3), "{committed:?}");
    assert_eq!(lab.transactions() - before, 1);
    assert_eq!((lab.events(holder.key()).await.len(), lab.run(holder.key())), (3, None));
}

#[tokio::test]
async fn no_commit_goes_before_the_accept_of_its_task() {
    let lab = Lab::new().await;
    // More accepts of the same tenant than a group takes go before the last one, and commits have a share of each group.
    let flood = at_once((0..600).map(|_| lab.store.begin_accept(new_task(&key("t"), Start::Ready)))).await;
    let new = new_task(&key("t"), Start::Leased);
    let (holder, commit) = first_and_last(&new);
    let accepting = lab.store.begin_accept(new).await.unwrap();
    let (accepted, committed) = tokio::join!(biased; accepting.on_disk(), lab.store.commit(&holder.claim, commit));
    accepted.unwrap();
    assert!(matches!(committed, Ok(Committed::Applied(_))), "{committed:?}");
    assert!(flood.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_commit_made_late_brings_what_there_is_by_then_or_nothing() {
    let lab = Lab::new().await;
    let holder = lab.held("t").await;
    let before = lab.everything();
    let nothing = late(&lab, &holder, || None).await;
    assert!(matches!(nothing, Ok(Committed::Fenced)), "{nothing:?}");
    assert_eq!(lab.everything(), before);
    let gathered = Arc::new(std::sync::Mutex::new(vec![status(holder.key(), Working, None)]));
    let (made, maker) = (Arc::clone(&gathered), holder.clone());
    let made = move || Some(Arc::new(maker.commit(&made.lock().unwrap(), RunChange::Keep)));
    let late = late(&lab, &holder, made);
    gathered.lock().unwrap().push(piece(holder.key(), "r", "more", false));
    assert!(matches!(late.await, Ok(Committed::Applied(at)) if at.rev.get() == 3));
}

#[tokio::test]
async fn whoever_is_to_be_called_is_called_by_a_closed_store_too() {
    let lab = Lab::new().await;
    let holder = lab.held("t").await;
    lab.store.close().await;
    let refused = late(&lab, &holder, || None).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
}
