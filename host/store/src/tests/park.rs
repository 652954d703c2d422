//! A run that is released is ready or parked, decided inside its transaction: whatever comes around it, no wake-up is lost.

use kennel_protocol::TenantId;
use kennel_protocol::types::TaskState::{AuthRequired, InputRequired, Working};

use super::lab::{EPOCH_MS, Holder, Lab, answer, at, at_once, cancel_order, client_message, delivery};
use crate::Claimable;
use crate::{Canceling, Committed, Delivered, Route, StoreError};

/// Runs that sleep although something waits for them: there must never be one.
const LOST: &str = "SELECT count(*) FROM run JOIN inbox ON inbox.tenant = run.tenant AND inbox.task = run.task \
                    WHERE run.state = 2 AND inbox.taken_seq IS NULL";

async fn working(lab: &Lab) -> Holder {
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    holder
}

async fn says(lab: &Lab, holder: &Holder, id: &str) -> Result<Delivered, StoreError> {
    lab.store.deliver(delivery(holder.key(), &client_message(holder.key(), id, "hi"), Route::Queue)).await
}

#[tokio::test]
async fn a_release_with_nothing_to_do_parks_and_nobody_claims_it() {
    let lab = Lab::new().await;
    let mut holder = working(&lab).await;
    assert!(matches!(holder.release(&lab.store, None).await.unwrap(), Committed::Applied(_)));
    let run = lab.run(holder.key()).unwrap();
    assert_eq!((run.state, run.due_ms, run.host, run.attempts), (2, None, None, 0));
    lab.clock.advance_ms(86_400_000);
    assert!(!lab.store.has_due(Claimable::Sound).await.unwrap());
    assert!(lab.claimed().await.is_none());
}

#[tokio::test]
async fn a_message_before_the_release_makes_it_ready() {
    let lab = Lab::new().await;
    let mut holder = working(&lab).await;
    says(&lab, &holder, "m1").await.unwrap();
    holder.release(&lab.store, None).await.unwrap();
    assert_eq!(lab.run(holder.key()).unwrap().state, 0);
    assert_eq!(lab.claimed().await.unwrap().claim.key(), holder.key());
}

#[tokio::test]
async fn a_message_after_the_release_makes_it_ready() {
    let lab = Lab::new().await;
    let mut holder = working(&lab).await;
    holder.release(&lab.store, Some(at(60_000))).await.unwrap();
    assert_eq!(lab.run(holder.key()).unwrap().state, 2);
    says(&lab, &holder, "m1").await.unwrap();
    let run = lab.run(holder.key()).unwrap();
    assert_eq!((run.state, run.due_ms), (0, Some(EPOCH_MS)), "due now, not when the timer ends");
    assert_eq!(lab.claimed().await.unwrap().claim.key(), holder.key());
}

#[tokio::test]
async fn a_message_that_the_agent_took_does_not_keep_it_awake() {
    let lab = Lab::new().await;
    let mut holder = working(&lab).await;
    says(&lab, &holder, "m1").await.unwrap();
    let mut commit = holder.commit(
        &[],
        crate::RunChange::Release(crate::Wait {
            due: None,
            listens: Some(kennel_protocol::Seq::new(0)),
            children: false,
        }),
    );
    commit.taken = vec![1];
    let committed = lab.store.commit(&holder.claim, commit).await.unwrap();
    holder = holder.after(&[]);
    assert_eq!(committed, Committed::Applied(holder.at));
    assert_eq!(lab.run(holder.key()).unwrap().state, 2);
    assert_eq!(lab.number("SELECT taken_seq FROM inbox WHERE n = 1"), 2);
}

#[tokio::test]
async fn an_answer_to_a_parked_prompt_makes_it_ready() {
    let lab = Lab::new().await;
    let mut holder = working(&lab).await;
    holder.show(&lab.store, InputRequired, Some("prompt")).await;
    holder.release(&lab.store, None).await.unwrap();
    let message = client_message(holder.key(), "m1", "yes");
    let delivered = lab.store.deliver(delivery(holder.key(), &message, answer(holder.key(), holder.at.rev, Working)));
    assert!(matches!(delivered.await.unwrap(), Delivered::Accepted { .. }));
    assert_eq!(lab.run(holder.key()).unwrap().state, 0);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_leaves_a_parked_prompt_parked() {
    let lab = Lab::new().await;
    let mut holder = working(&lab).await;
    holder.show(&lab.store, InputRequired, Some("prompt")).await;
    holder.release(&lab.store, None).await.unwrap();
    let message = client_message(holder.key(), "m1", "what?");
    let route = answer(holder.key(), holder.at.rev, InputRequired);
    assert!(matches!(
        lab.store.deliver(delivery(holder.key(), &message, route)).await.unwrap(),
        Delivered::Accepted { .. }
    ));
    assert_eq!(lab.run(holder.key()).unwrap().state, 2);
    assert_eq!(lab.number(LOST), 0);
}

#[tokio::test]
async fn a_cancel_before_or_after_the_release_makes_it_ready_and_first_in_line() {
    for cancel_first in [true, false] {
        let lab = Lab::new().await;
        let mut holder = working(&lab).await;
        lab.queued("t").await;
        if cancel_first {
            assert_eq!(lab.store.cancel(cancel_order(holder.key())).await.unwrap(), Canceling::Asked);
            holder.release(&lab.store, None).await.unwrap();
        } else {
            holder.release(&lab.store, None).await.unwrap();
            assert_eq!(lab.store.cancel(cancel_order(holder.key())).await.unwrap(), Canceling::Asked);
        }
        let run = lab.run(holder.key()).unwrap();
        assert_eq!((run.state, run.priority), (0, -1), "cancel first: {cancel_first}");
        assert_eq!(lab.claimed().await.unwrap().claim.key(), holder.key(), "cancel first: {cancel_first}");
    }
}

#[tokio::test]
async fn a_timer_that_is_over_makes_the_release_ready_and_one_to_come_is_waited_for() {
    for (due_ms, ready) in [(-5_000, true), (0, true), (1, false), (60_000, false)] {
        let lab = Lab::new().await;
        let mut holder = working(&lab).await;
        holder.release(&lab.store, Some(at(due_ms))).await.unwrap();
        let run = lab.run(holder.key()).unwrap();
        assert_eq!(run.state, if ready { 0 } else { 2 }, "{due_ms}");
        assert_eq!(lab.store.has_due(Claimable::Sound).await.unwrap(), ready, "{due_ms}");
        if !ready {
            lab.clock.advance_ms(due_ms - 1);
            assert!(!lab.store.has_due(Claimable::Sound).await.unwrap(), "{due_ms}");
            assert!(lab.claimed().await.is_none(), "{due_ms}");
            lab.clock.advance_ms(1);
            assert!(lab.store.has_due(Claimable::Sound).await.unwrap(), "{due_ms}");
        }
        assert_eq!(lab.claimed().await.unwrap().claim.key(), holder.key(), "{due_ms}");
    }
}

/// What may happen around a park.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Park,
    Message,
    Cancel,
    Timer,
}

fn orders() -> Vec<Vec<Step>> {
    let mut orders = vec![Vec::new()];
    for step in [Step::Park, Step::Message, Step::Cancel, Step::Timer] {
        orders = orders
            .iter()
            .flat_map(|order: &Vec<Step>| {
                (0..=order.len()).map(move |place| {
                    let mut longer = order.clone();
                    longer.insert(place, step);
                    longer
                })
            })
            .collect();
    }
    orders
}

async fn take(lab: &Lab, holder: &Holder, step: Step) {
    match step {
        Step::Park => drop(holder.clone().release(&lab.store, Some(at(1_000))).await.unwrap()),
        Step::Message => drop(says(lab, holder, "m1").await.unwrap()),
        Step::Cancel => drop(lab.store.cancel(cancel_order(holder.key())).await.unwrap()),
        Step::Timer => lab.clock.advance_ms(2_000),
    }
}

#[tokio::test]
async fn in_every_order_of_park_message_cancel_and_timer_the_run_is_claimed_in_the_end() {
    assert_eq!(orders().len(), 24);
    for order in orders() {
        let lab = Lab::new().await;
        let holder = working(&lab).await;
        for step in &order {
            take(&lab, &holder, *step).await;
            assert_eq!(lab.number(LOST), 0, "{order:?} after {step:?}");
        }
        // A cancel that found the run ready has ended the task; in all other orders the run waits to be claimed.
        let ended = lab.view(holder.key()).await.row.state.is_terminal();
        assert_eq!(lab.claimed().await.is_some(), !ended, "{order:?}");
    }
}

#[tokio::test]
async fn in_every_order_sent_at_once_the_run_is_claimed_in_the_end() {
    for order in orders() {
        let lab = Lab::new().await;
        let holder = working(&lab).await;
        at_once(order.iter().map(|step| take(&lab, &holder, *step))).await;
        assert_eq!(lab.number(LOST), 0, "{order:?}");
        let ended = lab.view(holder.key()).await.row.state.is_terminal();
        assert_eq!(lab.claimed().await.is_some(), !ended, "{order:?}");
    }
}

#[tokio::test]
async fn parks_of_many_tasks_in_one_group_are_each_decided_by_their_own_inbox() {
    let lab = Lab::new().await;
    let mut holders = Vec::new();
    for index in 0..9 {
        let holder = working(&lab).await;
        if index % 3 == 0 {
            says(&lab, &holder, "m1").await.unwrap();
        }
        holders.push(holder);
    }
    let before = lab.transactions();
    let released = holders.iter().map(|holder| {
        let mut holder = holder.clone();
        let store = &lab.store;
        async move { holder.release(store, None).await.unwrap() }
    });
    at_once(released).await;
    assert_eq!(lab.transactions() - before, 1);
    for (index, holder) in holders.iter().enumerate() {
        assert_eq!(lab.run(holder.key()).unwrap().state, if index % 3 == 0 { 0 } else { 2 }, "{index}");
    }
}

#[tokio::test]
async fn only_a_wait_that_goes_on_forgives_earlier_tries() {
    for (message, attempts) in [(false, 0), (true, 3)] {
        let lab = Lab::new().await;
        let mut holder = working(&lab).await;
        let sql = "UPDATE run SET attempts = 4 WHERE task = ?";
        assert_eq!(lab.raw().execute(sql, [holder.key().task.as_str()]).unwrap(), 1);
        if message {
            says(&lab, &holder, "m1").await.unwrap();
        }
        holder.release(&lab.store, Some(at(60_000))).await.unwrap();
        assert_eq!(lab.run(holder.key()).unwrap().attempts, attempts, "a message waits: {message}");
    }
}

#[tokio::test]
async fn a_parked_run_can_be_woken_and_any_other_is_left_alone() {
    let lab = Lab::new().await;
    let mut holder = working(&lab).await;
    lab.store.wake(holder.key()).await.unwrap();
    assert_eq!(lab.run(holder.key()).unwrap().state, 1, "leased");
    holder.release(&lab.store, Some(at(60_000))).await.unwrap();
    lab.store.wake(holder.key()).await.unwrap();
    let run = lab.run(holder.key()).unwrap();
    assert_eq!((run.state, run.due_ms), (0, Some(EPOCH_MS)));
    assert_eq!(lab.claimed().await.unwrap().claim.key(), holder.key());
}

#[tokio::test]
async fn parked_tasks_that_ask_for_authorization_are_found_with_their_prompts() {
    let lab = Lab::new().await;
    let mut holder = working(&lab).await;
    let tenant: &TenantId = &holder.key().tenant.clone();
    holder.show(&lab.store, AuthRequired, Some("prompt")).await;
    let asking = |agents, after| lab.store.asking(tenant, agents, after, 10);
    assert!(asking(None, None).await.unwrap().is_empty(), "it is at work");
    holder.release(&lab.store, None).await.unwrap();
    let found = asking(None, None).await.unwrap();
    assert_eq!((found.len(), &found[0].key), (1, holder.key()));
    assert!(serde_json::to_string(&found[0].prompt).unwrap().contains("AUTH_REQUIRED"));
    let agent = found[0].agent.clone();
    assert_eq!(asking(Some(vec![agent]), None).await.unwrap().len(), 1);
    assert!(asking(Some(vec!["nobody".parse().unwrap()]), None).await.unwrap().is_empty());
    assert!(asking(None, Some(&holder.key().task)).await.unwrap().is_empty(), "nothing comes after it");
    let other = lab.held("other").await;
    assert!(lab.store.asking(&other.key().tenant, None, None, 10).await.unwrap().is_empty(), "another tenant has none");
}
