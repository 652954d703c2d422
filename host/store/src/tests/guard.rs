//! The guard of a commit: who may write, where, and that a refused commit leaves no trace.

use kennel_protocol::types::TaskState::{Completed, InputRequired, Working};
use kennel_protocol::{Seq, Ver};

use super::lab::{
    Holder, Lab, agent_message, answer, at_once, client_message, delivery, json, key, new_task, piece, status,
};
use crate::{Attempt, Committed, Delivered, Position, RunChange, Start, Stored};

#[tokio::test]
async fn two_chained_commits_sent_at_once_are_both_applied_in_two_groups() {
    let lab = Lab::new().await;
    let first = lab.held("t").await;
    let one = [status(first.key(), Working, None)];
    let second = first.after(&one);
    let two = [piece(first.key(), "a", "x", false), status(first.key(), Completed, None)];
    let before = lab.transactions();

    let commits = [
        lab.store.commit(&first.claim, first.commit(&one, RunChange::Keep)),
        lab.store.commit(&second.claim, second.commit(&two, RunChange::Finish)),
    ];
    let committed: Vec<Committed> = at_once(commits).await.into_iter().map(Result::unwrap).collect();

    assert_eq!(committed, [Committed::Applied(second.at), Committed::Applied(second.after(&two).at)]);
    assert_eq!(lab.transactions() - before, 2);
    let seqs: Vec<u64> = lab.events(first.key()).await.iter().map(|event| event.seq.get()).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    assert_eq!(lab.view(first.key()).await.row.state, Completed);
    assert_eq!(lab.run(first.key()), None);
}

#[tokio::test]
async fn a_chain_of_forty_commits_sent_at_once_is_applied_in_order() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let mut chain = Vec::new();
    for index in 0..40 {
        let events = [piece(holder.key(), "a", &format!("{index} "), index > 0)];
        // Only Working takes pieces; the first commit shows it.
        let events = if index == 0 { vec![status(holder.key(), Working, None)] } else { events.to_vec() };
        chain.push((holder.claim.clone(), holder.commit(&events, RunChange::Keep)));
        holder = holder.after(&events);
    }
    let commits = chain.iter().map(|(claim, commit)| lab.store.commit(claim, commit.clone()));
    for committed in at_once(commits).await {
        assert!(matches!(committed.unwrap(), Committed::Applied(_)));
    }
    let view = lab.view(holder.key()).await;
    assert_eq!((view.rev, view.row.at), (Seq::new(41), holder.at));
    assert_eq!(view.fold, holder.fold);
}

/// A commit that would change every table.
fn whole_commit(holder: &Holder) -> crate::Commit {
    let events = [status(holder.key(), Working, Some("said")), status(holder.key(), Completed, None)];
    let mut commit = holder.commit(&events, RunChange::Finish);
    commit.body = Some(Stored::plain(json(&holder.folded(&events))));
    commit.taken = vec![0, 1];
    commit.events[0].stored.digests = vec![super::lab::digest()];
    commit
}

#[tokio::test]
async fn a_commit_at_an_old_ver_is_moved_and_leaves_no_trace() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let stale = holder.clone();
    holder.show(&lab.store, Working, None).await;
    let before = lab.everything();
    let refused = lab.store.commit(&stale.claim, whole_commit(&stale)).await.unwrap();
    assert_eq!(refused, Committed::Moved);
    assert_eq!(lab.everything(), before);
}

#[tokio::test]
async fn a_commit_under_an_old_epoch_is_fenced_and_leaves_no_trace() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    lab.store.give_back(&holder.claim, Attempt::Counts, "", std::time::Duration::ZERO).await.unwrap();
    let again = lab.claimed().await.unwrap();
    assert_eq!(again.at, holder.at, "ver and rev are as the old holder believes: only the epoch refuses it");
    let before = lab.everything();
    let refused = lab.store.commit(&holder.claim, whole_commit(&holder)).await.unwrap();
    assert_eq!(refused, Committed::Fenced);
    assert_eq!(lab.everything(), before);
}

#[tokio::test]
async fn a_lost_lease_can_write_nothing_however_late() {
    let lab = Lab::new().await;
    let old = lab.held("t").await;
    lab.store.give_back(&old.claim, Attempt::Counts, "", std::time::Duration::ZERO).await.unwrap();
    let run = lab.claimed().await.unwrap();
    let mut new = Holder { claim: run.claim, at: run.at, fold: old.fold.clone() };
    new.show(&lab.store, Working, None).await;
    new.show(&lab.store, Completed, None).await;
    lab.clock.advance_ms(86_400_000);

    // It may even know where the log stands by now.
    let late = Holder { claim: old.claim.clone(), ..new.clone() };
    let before = lab.everything();
    let event = json(&status(old.key(), Completed, None));
    assert_eq!(lab.store.commit(&late.claim, late.commit(&[], RunChange::Keep)).await.unwrap(), Committed::Fenced);
    assert_eq!(lab.store.end_by_force(&late.claim, event).await.unwrap(), Committed::Fenced);
    let back = lab.store.give_back(&late.claim, Attempt::Counts, "", std::time::Duration::ZERO).await.unwrap();
    assert_eq!(back, Committed::Fenced);
    assert_eq!(lab.everything(), before);
}

#[tokio::test]
async fn a_commit_for_a_task_that_is_not_there_is_fenced() {
    let lab = Lab::new().await;
    let nobody = Holder::of(&new_task(&key("t"), Start::Leased));
    assert_eq!(lab.store.commit(&nobody.claim, whole_commit(&nobody)).await.unwrap(), Committed::Fenced);
    assert_eq!(lab.everything(), "");
}

#[tokio::test]
async fn a_refused_commit_in_a_group_leaves_the_others_of_the_group_alone() {
    let lab = Lab::new().await;
    let mut holders = Vec::new();
    for _ in 0..8 {
        holders.push(lab.held("t").await);
    }
    let refused = [2, 5];
    for index in refused {
        let mut ahead = holders[index].clone();
        ahead.show(&lab.store, Working, None).await;
    }
    let before = lab.transactions();
    let commits = holders.iter().map(|holder| {
        lab.store.commit(&holder.claim, holder.commit(&[status(holder.key(), Completed, None)], RunChange::Finish))
    });
    let committed: Vec<Committed> = at_once(commits).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(lab.transactions() - before, 1);
    for (index, (holder, committed)) in holders.iter().zip(committed).enumerate() {
        let lost = refused.contains(&index);
        assert_eq!(committed == Committed::Moved, lost, "{index}");
        assert_eq!(lab.view(holder.key()).await.row.state, if lost { Working } else { Completed }, "{index}");
        assert_eq!(lab.run(holder.key()).is_some(), lost, "{index}");
    }
}

#[tokio::test]
async fn an_accept_that_closed_the_prompt_moves_the_holder_and_an_inbox_insert_does_not() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    let queued = delivery(holder.key(), &client_message(holder.key(), "m1", "hi"), crate::Route::Queue);
    assert!(matches!(lab.store.deliver(queued).await.unwrap(), Delivered::Accepted { n: 1, .. }));
    holder.show(&lab.store, InputRequired, Some("prompt")).await;

    let route = answer(holder.key(), holder.at.rev, Working);
    let closes = delivery(holder.key(), &client_message(holder.key(), "m2", "yes"), route);
    let at_seq = holder.at.rev.next();
    assert_eq!(lab.store.deliver(closes).await.unwrap(), Delivered::Accepted { n: 2, at_seq });

    let commit = holder.commit(&[status(holder.key(), Working, None)], RunChange::Keep);
    assert_eq!(lab.store.commit(&holder.claim, commit).await.unwrap(), Committed::Moved);
    let waiting = lab.store.waiting(holder.key()).await.unwrap().unwrap();
    assert_eq!(waiting.at, Position { ver: Ver::new(holder.at.ver.get() + 1), rev: at_seq });
    // Having read what the accept wrote, the holder goes on.
    holder = holder.after(&[status(holder.key(), Working, None)]);
    assert_eq!(holder.at, waiting.at);
    holder.show(&lab.store, Completed, None).await;
    let history: Vec<String> =
        lab.view(holder.key()).await.history(None).into_iter().map(|message| message.message_id).collect();
    assert_eq!(history, ["m0", "m1", &agent_message("prompt").message_id, "m2"]);
}

/// The rows of one tenant.
fn rows_of(lab: &Lab, tenant: &str) -> Vec<String> {
    let mark = format!("Text(\"{tenant}\")");
    lab.everything().lines().filter(|row| row.contains(&mark)).map(str::to_owned).collect()
}

#[tokio::test]
async fn what_is_done_to_a_task_leaves_the_one_of_the_same_id_in_another_tenant_alone() {
    let lab = Lab::new().await;
    let (one, two) = (key("one"), key("two"));
    let two = crate::TaskKey { task: one.task.clone(), ..two };
    for key in [&two, &one] {
        lab.store.accept(new_task(key, Start::Leased)).await.unwrap();
    }
    // The other one has everything that a row of the first could be mistaken for: a message, a cancel, a prompt.
    let mut still = Holder::of(&new_task(&two, Start::Leased));
    still.show(&lab.store, Working, None).await;
    lab.store.deliver(delivery(&two, &client_message(&two, "m1", "hi"), crate::Route::Queue)).await.unwrap();
    lab.store.cancel(super::lab::cancel_order(&two)).await.unwrap();
    let before = rows_of(&lab, "two");
    assert_eq!(before.len(), 7, "task, run, two events, three of the inbox: {before:#?}");

    let mut holder = Holder::of(&new_task(&one, Start::Leased));
    holder.show(&lab.store, Working, None).await;
    lab.store.deliver(delivery(&one, &client_message(&one, "m1", "hi"), crate::Route::Queue)).await.unwrap();
    let mut commit = holder.commit(
        &[status(&one, InputRequired, None)],
        RunChange::Release(crate::Wait { due: None, listens: Some(Seq::new(0)), children: false }),
    );
    (commit.taken, commit.body) = (vec![1], Some(Stored::plain(json(&holder.fold))));
    commit.events[0].stored.digests = vec![super::lab::digest()];
    lab.store.commit(&holder.claim, commit).await.unwrap();
    let rev = holder.at.rev.next();
    let answered = delivery(&one, &client_message(&one, "m2", "yes"), answer(&one, rev, Working));
    lab.store.deliver(answered).await.unwrap();
    let run = lab.claimed().await.unwrap();
    lab.store.give_back(&run.claim, Attempt::Counts, "", std::time::Duration::ZERO).await.unwrap();
    let run = lab.claimed().await.unwrap();
    assert_eq!(run.claim.key(), &one);
    lab.store.cancel(super::lab::cancel_order(&one)).await.unwrap();
    let end = json(&status(&one, kennel_protocol::types::TaskState::Canceled, None));
    assert!(matches!(lab.store.end_by_force(&run.claim, end).await.unwrap(), Committed::Applied(_)));
    assert_eq!(rows_of(&lab, "two"), before);

    let waiting = lab.store.waiting(&two).await.unwrap().unwrap();
    assert_eq!(
        (waiting.messages.len(), waiting.cancel.map(|(n, _)| n), waiting.epoch),
        (1, Some(2), still.claim.epoch())
    );
    assert_eq!(lab.store.stop_after(&two, 0, Seq::new(0)).await.unwrap(), (None, Seq::new(2)));
    assert_eq!((lab.view(&two).await.rev, lab.view(&one).await.rev), (Seq::new(2), Seq::new(5)));
}
