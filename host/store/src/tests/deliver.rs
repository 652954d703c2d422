//! Messages of clients to tasks that exist.

use kennel_protocol::types::TaskState::{self, AuthRequired, Completed, InputRequired, Working};
use kennel_protocol::{Seq, Ver};

use super::lab::{Holder, Lab, answer, at_once, client_message, delivery, digest, scope};
use crate::{Delivered, Delivery, Position, Route};

/// A task that waits for its client.
async fn asking(lab: &Lab, state: TaskState) -> Holder {
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    holder.show(&lab.store, state, Some("prompt")).await;
    holder
}

fn answers(holder: &Holder, id: &str, text: &str) -> Delivery {
    delivery(holder.key(), &client_message(holder.key(), id, text), answer(holder.key(), holder.at.rev, Working))
}

fn queued(holder: &Holder, id: &str, text: &str) -> Delivery {
    delivery(holder.key(), &client_message(holder.key(), id, text), Route::Queue)
}

#[tokio::test]
async fn an_answer_closes_the_prompt_in_the_log() {
    for state in [InputRequired, AuthRequired] {
        let lab = Lab::new().await;
        let holder = asking(&lab, state).await;
        assert!(lab.view(holder.key()).await.row.open);
        let at_seq = holder.at.rev.next();
        let delivered = lab.store.deliver(answers(&holder, "m1", "yes")).await.unwrap();
        assert_eq!(delivered, Delivered::Accepted { n: 1, at_seq });

        let view = lab.view(holder.key()).await;
        assert_eq!((view.row.state, view.fold.status.state, view.row.open), (Working, Working, false));
        assert_eq!(view.row.at, Position { ver: holder.at.ver.next(), rev: at_seq });
        assert_eq!(view.row.status_at, super::lab::at(0));
        // Before the answer the reader sees the prompt and not the answer; after it the answer and not the prompt as status.
        let scope = scope(holder.key());
        let before = lab.store.task_at(&scope, &holder.key().task, Some(holder.at.rev));
        let before = before.await.unwrap().unwrap();
        assert_eq!((before.fold.status.state, before.inbox.len()), (state, 1));
        assert_eq!(view.inbox.len(), 2);
    }
}

#[tokio::test]
async fn of_two_answers_that_race_exactly_one_closes_the_prompt() {
    let lab = Lab::new().await;
    let holder = asking(&lab, InputRequired).await;
    let answers = (0..5).map(|index| lab.store.deliver(answers(&holder, &format!("m{index}"), "yes")));
    let delivered: Vec<Delivered> = at_once(answers).await.into_iter().map(Result::unwrap).collect();
    let at_seq = holder.at.rev.next();
    assert_eq!(delivered[0], Delivered::Accepted { n: 1, at_seq });
    assert!(delivered[1..].iter().all(|late| *late == Delivered::Moved), "{delivered:?}");
    // Having looked again, the late one finds a task that takes no message.
    let again = Delivery { route: Route::Repeat, ..answers_again(&holder) };
    assert_eq!(lab.store.deliver(again).await.unwrap(), Delivered::NotWaiting(Working));
    assert_eq!(lab.view(holder.key()).await.row.at.rev, at_seq);
    assert_eq!(lab.number("SELECT count(*) FROM inbox"), 2);
}

fn answers_again(holder: &Holder) -> Delivery {
    queued(holder, "m4", "yes")
}

#[tokio::test]
async fn an_answer_to_a_prompt_that_was_replaced_is_sent_back_to_look_again() {
    let lab = Lab::new().await;
    let mut holder = asking(&lab, InputRequired).await;
    let stale = answers(&holder, "m1", "yes");
    holder.show(&lab.store, Working, None).await;
    holder.show(&lab.store, InputRequired, Some("another prompt")).await;
    assert_eq!(lab.store.deliver(stale).await.unwrap(), Delivered::Moved);
    // As is one that saw a working task: this one asks. And the other way round.
    assert_eq!(lab.store.deliver(queued(&holder, "m1", "yes")).await.unwrap(), Delivered::Moved);
    holder.show(&lab.store, Working, None).await;
    assert_eq!(lab.store.deliver(answers(&holder, "m1", "yes")).await.unwrap(), Delivered::Moved);
    assert_eq!(lab.number("SELECT count(*) FROM inbox"), 1);
}

#[tokio::test]
async fn the_same_message_twice_is_one() {
    let lab = Lab::new().await;
    let holder = asking(&lab, InputRequired).await;
    let at_seq = holder.at.rev.next();
    let both = at_once((0..2).map(|_| lab.store.deliver(answers(&holder, "m1", "yes")))).await;
    let both: Vec<Delivered> = both.into_iter().map(Result::unwrap).collect();
    assert_eq!(both, [Delivered::Accepted { n: 1, at_seq }, Delivered::Repeated { n: 1, at_seq }]);
    let again = Delivery { route: Route::Repeat, ..queued(&holder, "m1", "yes") };
    assert_eq!(lab.store.deliver(again).await.unwrap(), Delivered::Repeated { n: 1, at_seq });
    assert_eq!(lab.number("SELECT count(*) FROM inbox"), 2);
}

#[tokio::test]
async fn the_same_message_is_recognised_after_the_task_is_over() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    lab.store.deliver(queued(&holder, "m1", "hi")).await.unwrap();
    holder.show(&lab.store, Completed, None).await;
    let again = lab.store.deliver(queued(&holder, "m1", "hi")).await.unwrap();
    assert_eq!(again, Delivered::Repeated { n: 1, at_seq: Seq::new(2) });
    // As is the message that made the task, if somebody sends it to the task.
    let first = lab.store.deliver(queued(&holder, "m0", "begin")).await.unwrap();
    assert_eq!(first, Delivered::Repeated { n: 0, at_seq: Seq::FIRST });
}

#[tokio::test]
async fn the_same_id_with_another_body_is_another_message() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    let at_seq = Seq::new(2);
    let accepted = |n| Delivered::Accepted { n, at_seq };
    assert_eq!(lab.store.deliver(queued(&holder, "m1", "one")).await.unwrap(), accepted(1));
    assert_eq!(lab.store.deliver(queued(&holder, "m1", "two")).await.unwrap(), accepted(2));
    assert_eq!(lab.store.deliver(queued(&holder, "m2", "one")).await.unwrap(), accepted(3));
}

#[tokio::test]
async fn the_same_message_to_two_tasks_is_two() {
    let lab = Lab::new().await;
    for _ in 0..2 {
        let mut holder = lab.held("t").await;
        holder.show(&lab.store, Working, None).await;
        let delivered = lab.store.deliver(queued(&holder, "m1", "hi")).await.unwrap();
        assert_eq!(delivered, Delivered::Accepted { n: 1, at_seq: Seq::new(2) });
    }
}

#[tokio::test]
async fn queued_messages_are_numbered_in_the_order_in_which_they_came() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    let sent = (1..=20).map(|index| lab.store.deliver(queued(&holder, &format!("m{index}"), "hi")));
    let delivered: Vec<Delivered> = at_once(sent).await.into_iter().map(Result::unwrap).collect();
    let at_seq = Seq::new(2);
    let expected: Vec<Delivered> = (1..=20).map(|n| Delivered::Accepted { n, at_seq }).collect();
    assert_eq!(delivered, expected);
    let waiting = lab.store.waiting(holder.key()).await.unwrap().unwrap();
    let ids: Vec<String> = waiting.messages.into_iter().map(|inbound| inbound.message.message_id).collect();
    assert_eq!(ids, (1..=20).map(|index| format!("m{index}")).collect::<Vec<_>>());
    // None of it touched the log: the holder goes on where it was.
    assert_eq!(waiting.at, Position { ver: Ver::new(2), rev: at_seq });
    holder.show(&lab.store, Completed, None).await;
}

#[tokio::test]
async fn what_the_agent_has_taken_does_not_wait_any_more() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    for id in ["m1", "m2", "m3"] {
        lab.store.deliver(queued(&holder, id, "hi")).await.unwrap();
    }
    let mut commit = holder.commit(&[], crate::RunChange::Keep);
    commit.taken = vec![1, 3];
    lab.store.commit(&holder.claim, commit).await.unwrap();
    let waiting = lab.store.waiting(holder.key()).await.unwrap().unwrap();
    assert_eq!(waiting.messages.iter().map(|inbound| inbound.n).collect::<Vec<_>>(), [2]);
    let taken: Vec<_> = lab.view(holder.key()).await.inbox.iter().map(|inbound| inbound.taken).collect();
    assert_eq!(taken, [Some(Seq::FIRST), Some(Seq::new(2)), None, Some(Seq::new(2))]);
}

#[tokio::test]
async fn a_task_that_is_over_takes_no_message() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Completed, None).await;
    let before = lab.everything();
    for route in [answer(holder.key(), holder.at.rev, Working), Route::Queue, Route::Repeat] {
        let late = Delivery { route, ..queued(&holder, "m1", "hi") };
        assert_eq!(lab.store.deliver(late).await.unwrap(), Delivered::Terminal(Completed));
    }
    assert_eq!(lab.everything(), before);
}

#[tokio::test]
async fn a_message_sent_with_the_completion_is_either_before_it_or_refused() {
    for message_first in [true, false] {
        let lab = Lab::new().await;
        let mut holder = lab.held("t").await;
        let message = lab.store.deliver(queued(&holder, "m1", "hi"));
        let store = &lab.store;
        let completion = async { holder.show(store, Completed, None).await };
        let delivered = if message_first {
            tokio::join!(biased; message, completion).0
        } else {
            tokio::join!(biased; completion, message).1
        };
        // Accepts go first in any case; what matters is that the message is on one side of the end.
        let stored = lab.number("SELECT count(*) FROM inbox") == 2;
        match delivered.unwrap() {
            Delivered::Accepted { at_seq, .. } => assert!(stored && at_seq == Seq::FIRST),
            other => assert!(!stored && other == Delivered::Terminal(Completed)),
        }
    }
}

#[tokio::test]
async fn a_message_by_another_owner_agent_or_tenant_finds_nothing() {
    let lab = Lab::new().await;
    let holder = asking(&lab, InputRequired).await;
    let own = answers(&holder, "m1", "yes");
    let mut foreign = [own.clone(), own.clone(), own];
    foreign[0].owner = "mallory".parse().unwrap();
    foreign[1].agent = "other".parse().unwrap();
    foreign[2].key.tenant = "other".parse().unwrap();
    let before = lab.everything();
    for delivery in foreign {
        assert_eq!(lab.store.deliver(delivery).await.unwrap(), Delivered::NotFound);
    }
    assert_eq!(lab.everything(), before);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_taken_by_the_host_and_the_task_goes_on_asking() {
    let lab = Lab::new().await;
    let holder = asking(&lab, InputRequired).await;
    let route = answer(holder.key(), holder.at.rev, InputRequired);
    let misfit = Delivery { route, ..queued(&holder, "m1", "what?") };
    let at_seq = holder.at.rev.next();
    assert_eq!(lab.store.deliver(misfit).await.unwrap(), Delivered::Accepted { n: 1, at_seq });

    let view = lab.view(holder.key()).await;
    assert_eq!((view.row.state, view.row.open, view.rev), (InputRequired, true, at_seq));
    assert_eq!(view.inbox[1].taken, Some(at_seq));
    assert!(lab.store.waiting(holder.key()).await.unwrap().unwrap().messages.is_empty());
    // A blocking call that brought it returns at the repeated prompt, and an answer to that one closes it.
    let looked = Seq::new(at_seq.get() - 1);
    assert_eq!(lab.store.stop_after(holder.key(), 1, looked).await.unwrap().0, Some(at_seq));
    let fits = Delivery { route: answer(holder.key(), at_seq, Working), ..queued(&holder, "m2", "yes") };
    assert_eq!(lab.store.deliver(fits).await.unwrap(), Delivered::Accepted { n: 2, at_seq: at_seq.next() });
    let history: Vec<String> =
        lab.view(holder.key()).await.history(None).into_iter().map(|message| message.message_id).collect();
    assert_eq!(history, ["m0", "prompt", "m1", "prompt-again", "m2"]);
}

#[tokio::test]
async fn a_blob_named_by_the_event_of_an_answer_is_counted_and_read_back() {
    let lab = Lab::new().await;
    let holder = asking(&lab, InputRequired).await;
    let mut route = answer(holder.key(), holder.at.rev, InputRequired);
    if let Route::Answer(answer) = &mut route {
        (answer.event.stored.blobs, answer.event.stored.digests) = (1, vec![digest()]);
    }
    let misfit = Delivery { route, ..queued(&holder, "m1", "what?") };
    lab.store.deliver(misfit).await.unwrap();
    assert_eq!(lab.number("SELECT blobs FROM event WHERE seq = 4"), 1);
    assert_eq!(lab.number("SELECT count(*) FROM blob_use"), 1);
}

#[tokio::test]
async fn a_blocking_call_stops_at_the_first_stop_after_its_own_message_was_taken() {
    let lab = Lab::new().await;
    let mut holder = asking(&lab, InputRequired).await;
    let key = holder.key().clone();
    // The first message waits until it is asked…
    assert_eq!(lab.store.stop_after(&key, 0, Seq::FIRST).await.unwrap(), (Some(Seq::new(3)), Seq::new(3)));
    // …and the answer waits for what follows from it, not for the prompt before.
    lab.store.deliver(answers(&holder, "m1", "yes")).await.unwrap();
    holder = holder.after(&[super::lab::status(&key, Working, None)]);
    assert_eq!(lab.store.stop_after(&key, 1, Seq::new(3)).await.unwrap(), (None, Seq::new(4)));
    let mut commit = holder.commit(&[super::lab::status(&key, InputRequired, Some("more"))], crate::RunChange::Keep);
    commit.taken = vec![1];
    lab.store.commit(&holder.claim, commit).await.unwrap();
    assert_eq!(lab.store.stop_after(&key, 1, Seq::new(4)).await.unwrap(), (Some(Seq::new(5)), Seq::new(5)));
    // One that is still untaken is not answered by that stop; only an end answers it.
    assert_eq!(lab.store.stop_after(&key, 2, Seq::new(4)).await.unwrap(), (None, Seq::new(5)));
}
