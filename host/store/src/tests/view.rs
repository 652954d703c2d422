//! Reading a task: the view at every rev is the fold of the events up to it, at one moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kennel_protocol::Seq;
use kennel_protocol::fold::Fold;
use kennel_protocol::types::StreamResponse;
use kennel_protocol::types::TaskState::{self, Completed, InputRequired, Working};
use proptest::prelude::*;

use super::lab::{Holder, Lab, answer, client_message, delivery, json, piece, scope, status};
use crate::{Artifacts, Route, RunChange, Stored, TaskKey, TaskView};

async fn at_rev(lab: &Lab, key: &TaskKey, rev: u64) -> TaskView {
    lab.store.task_at(&scope(key), &key.task, Some(Seq::new(rev))).await.unwrap().unwrap()
}

/// The fold of a task's events up to a seq, from scratch.
async fn from_scratch(lab: &Lab, key: &TaskKey, rev: u64) -> Fold {
    let mut fold = Fold::default();
    for row in lab.events(key).await {
        if row.seq.get() <= rev {
            let event: StreamResponse = serde_json::from_slice(&row.body).unwrap();
            fold.apply(row.seq, &event).unwrap();
        }
    }
    fold
}

fn ids(view: &TaskView) -> Vec<String> {
    view.history(None).into_iter().map(|message| message.message_id).collect()
}

/// Writes events and the folded body behind them.
async fn write_with_body(lab: &Lab, holder: &mut Holder, events: &[StreamResponse]) {
    let mut commit = holder.commit(events, RunChange::Keep);
    let after = holder.after(events);
    commit.body = Some(Stored::plain(json(&after.fold)));
    lab.store.commit(&holder.claim, commit).await.unwrap();
    *holder = after;
}

/// A conversation of two prompts with their answers, queued messages between, and bodies on the way.
async fn conversation(lab: &Lab) -> Holder {
    let mut holder = lab.held("t").await;
    let key = holder.key().clone();
    holder.show(&lab.store, Working, Some("a-thinking")).await;
    for turn in 1..=2 {
        let queued = delivery(&key, &client_message(&key, &format!("q{turn}"), "by the way"), Route::Queue);
        lab.store.deliver(queued).await.unwrap();
        let asks = status(&key, InputRequired, Some(&format!("a-prompt{turn}")));
        write_with_body(lab, &mut holder, &[piece(&key, "r", &format!("{turn}"), true), asks]).await;
        let message = client_message(&key, &format!("c{turn}"), "yes");
        let answered = answer(&key, holder.at.rev, Working);
        lab.store.deliver(delivery(&key, &message, answered)).await.unwrap();
        holder = holder.after(&[status(&key, Working, None)]);
    }
    holder.show(&lab.store, Completed, Some("a-done")).await;
    holder
}

#[tokio::test]
async fn history_is_the_exchange_in_the_order_in_which_it_was_said() {
    let lab = Lab::new().await;
    let holder = conversation(&lab).await;
    let view = lab.view(holder.key()).await;
    let expected = ["m0", "a-thinking", "q1", "a-prompt1", "c1", "q2", "a-prompt2", "c2"];
    // q1 was sent before "a-thinking" became history: both have seq 2, and the client's stands after the agent's.
    assert_eq!(ids(&view), expected);
    assert_eq!(view.fold.status.message.as_ref().unwrap().message_id, "a-done");
    let task = view.task(Some(3), Artifacts::ShowAny);
    let newest: Vec<&str> = task.history.iter().map(|message| message.message_id.as_str()).collect();
    assert_eq!(newest, ["q2", "a-prompt2", "c2"]);
    assert!(view.task(Some(0), Artifacts::Omit).history.is_empty());
}

#[tokio::test]
async fn a_task_at_a_rev_is_the_fold_of_the_events_up_to_it() {
    let lab = Lab::new().await;
    let holder = conversation(&lab).await;
    let key = holder.key();
    assert_eq!(holder.at.rev, Seq::new(9));
    for rev in 1..=9 {
        let view = at_rev(&lab, key, rev).await;
        assert_eq!(view.fold, from_scratch(&lab, key, rev).await, "{rev}");
        assert_eq!(view.rev, Seq::new(rev));
        assert!(view.inbox.iter().all(|inbound| inbound.at_seq.get() <= rev), "{rev}");
    }
    assert_eq!(ids(&at_rev(&lab, key, 1).await), ["m0"]);
    assert_eq!(ids(&at_rev(&lab, key, 4).await), ["m0", "a-thinking", "q1"]);
    assert_eq!(ids(&at_rev(&lab, key, 5).await), ["m0", "a-thinking", "q1", "a-prompt1", "c1", "q2"]);
    // A rev that is still to come shows the newest.
    assert_eq!(at_rev(&lab, key, 99).await.rev, Seq::new(9));
}

#[tokio::test]
async fn artifacts_are_shown_empty_or_left_out_as_asked() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let shown = |view: &TaskView| {
        [Artifacts::Show, Artifacts::ShowAny, Artifacts::Omit]
            .map(|how| view.task(None, how).artifacts.map(|artifacts| artifacts.len()))
    };
    assert_eq!(shown(&lab.view(holder.key()).await), [Some(0), None, None]);
    let made = [status(holder.key(), Working, None), piece(holder.key(), "r", "x", false)];
    holder.write(&lab.store, &made, RunChange::Keep).await;
    assert_eq!(shown(&lab.view(holder.key()).await), [Some(1), Some(1), None]);
}

#[tokio::test]
async fn a_task_without_its_first_event_is_corrupt_and_not_empty() {
    let lab = Lab::new().await;
    let key = lab.queued("t").await;
    lab.change("DELETE FROM event");
    let read = lab.store.task(&scope(&key), &key.task).await;
    let error = read.unwrap_err().to_string();
    assert!(error.contains("stored data does not read") && error.contains(key.task.as_str()), "{error}");
}

#[tokio::test]
async fn events_are_read_in_pieces_in_order_without_a_hole() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let key = holder.key().clone();
    holder.show(&lab.store, Working, None).await;
    let pieces: Vec<StreamResponse> = (0..150).map(|index| piece(&key, "r", &index.to_string(), index > 0)).collect();
    holder.write(&lab.store, &pieces, RunChange::Keep).await;
    let mut after = Seq::new(0);
    let mut sizes = Vec::new();
    loop {
        let rows = lab.store.events_after(&key, after, 64).await.unwrap();
        for row in &rows {
            assert_eq!(row.seq, after.next());
            after = row.seq;
        }
        sizes.push(rows.len());
        if rows.is_empty() {
            break;
        }
    }
    assert_eq!((sizes, after), (vec![64, 64, 24, 0], Seq::new(152)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_a_task_at_one_moment_while_its_writer_hammers() {
    let lab = Arc::new(Lab::new().await);
    let mut holder = lab.held("t").await;
    let key = holder.key().clone();
    let over = Arc::new(AtomicBool::new(false));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (lab, key, over) = (Arc::clone(&lab), key.clone(), Arc::clone(&over));
        readers.spawn(async move {
            let mut looks = 0;
            while !over.load(Ordering::Relaxed) {
                let view = lab.view(&key).await;
                assert_eq!(view.rev, view.row.at.rev, "the events are as many as the row says");
                let said = view.fold.artifacts.first().map_or(0, |artifact| artifact.parts.len() as u64);
                assert_eq!(said, view.rev.get().saturating_sub(2), "every piece is there once");
                assert_eq!(view.fold.status.state, view.row.state);
                looks += 1;
            }
            looks
        });
    }
    holder.show(&lab.store, Working, None).await;
    for round in 0..120_u64 {
        let events: Vec<StreamResponse> =
            (0..=round % 3).map(|index| piece(&key, "r", "x", round + index > 0)).collect();
        if round % 10 == 9 {
            write_with_body(&lab, &mut holder, &events).await;
        } else {
            holder.write(&lab.store, &events, RunChange::Keep).await;
        }
    }
    over.store(true, Ordering::Relaxed);
    while let Some(looks) = readers.join_next().await {
        assert!(looks.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_read_that_panics_fails_alone() {
    let lab = Lab::new().await;
    let key = lab.queued("t").await;
    let readers = crate::open::readers(&lab.database()).unwrap();
    for _ in 0..20 {
        assert!(readers.read::<()>(|_| panic!("a test's panic")).await.is_err());
    }
    let found = readers.read(move |connection| crate::read::task(connection, &key, None)).await.unwrap();
    assert!(found.is_some());
}

/// A step of a random task.
#[derive(Clone, Debug)]
enum Step {
    Say(Option<u8>),
    Piece { artifact: u8, append: bool },
    Body,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => prop::option::of(0_u8..4).prop_map(Step::Say),
        3 => (0_u8..3, any::<bool>()).prop_map(|(artifact, append)| Step::Piece { artifact, append }),
        1 => Just(Step::Body),
    ];
    prop::collection::vec(step, 1..30)
}

/// Writes the steps, some of them in one commit, and a body wherever one is asked for.
async fn play(lab: &Lab, steps: &[Step], together: usize) -> Holder {
    let mut holder = lab.held("t").await;
    let key = holder.key().clone();
    holder.show(&lab.store, Working, None).await;
    for batch in steps.chunks(together) {
        let events: Vec<StreamResponse> = batch
            .iter()
            .filter_map(|step| match step {
                Step::Say(said) => Some(status(&key, Working, said.map(|said| format!("a{said}")).as_deref())),
                Step::Piece { artifact, append } => Some(piece(&key, &format!("r{artifact}"), "x", *append)),
                Step::Body => None,
            })
            .collect();
        if batch.iter().any(|step| matches!(step, Step::Body)) {
            write_with_body(lab, &mut holder, &events).await;
        } else {
            holder.write(&lab.store, &events, RunChange::Keep).await;
        }
    }
    holder
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_body_and_the_events_after_it_are_the_fold_from_scratch(steps in steps(), together in 1_usize..6) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let lab = Lab::new().await;
            let holder = play(&lab, &steps, together).await;
            let rev = holder.at.rev.get();
            let view = lab.view(holder.key()).await;
            prop_assert_eq!((&view.fold, view.rev), (&holder.fold, holder.at.rev));
            for rev in 1..=rev {
                let view = at_rev(&lab, holder.key(), rev).await;
                prop_assert_eq!(&view.fold, &from_scratch(&lab, holder.key(), rev).await);
                prop_assert_eq!(view.rev.get(), rev);
            }
            let states: Vec<TaskState> = vec![view.row.state, view.fold.status.state];
            prop_assert_eq!(states, vec![Working, Working]);
            Ok(())
        })?;
    }
}
