//! The journal: written with its effect or not at all, read back as it was written, and what it does to claims and wake-ups.

use bytes::Bytes;
use kennel_protocol::Seq;
use kennel_protocol::types::TaskState::{InputRequired, Working};

use super::lab::{Holder, Lab, at, cancel_order, client_message, delivery, status};
use crate::{
    CHECKPOINT, Claimable, Committed, JournalRow, NewAnswer, NewCall, Route, RunChange, Stored, TaskKey, Wait,
};

fn call(idx: u32, result: Option<&[u8]>) -> NewCall {
    NewCall {
        idx,
        generation: 1,
        call: "task.update-status",
        hash: [3; 32],
        request: format!("{{\"n\":{idx}}}"),
        answer: result.map(|result| answer(result, 7)),
        seq: Some(Seq::new(u64::from(idx) + 1)),
        due: Some(at(50)),
        asked_us: 5,
        cpu_us: 11,
    }
}

fn answer(result: &[u8], at_us: u64) -> NewAnswer {
    NewAnswer { result: Stored::plain(Bytes::copy_from_slice(result)), at_us }
}

async fn write(lab: &Lab, holder: &mut Holder, calls: Vec<NewCall>, answers: Vec<(u32, NewAnswer)>) -> Committed {
    let mut commit = holder.commit(&[], RunChange::Keep);
    commit.journal = calls.last().map_or(holder_calls(lab, holder), |call| call.idx);
    (commit.calls, commit.answers) = (calls, answers);
    let committed = lab.store.commit(&holder.claim, commit).await.unwrap();
    if let Committed::Applied(at) = committed {
        holder.at = at;
    }
    committed
}

fn holder_calls(lab: &Lab, holder: &Holder) -> u32 {
    let counted = lab.number(&format!("SELECT calls FROM task WHERE id = '{}'", holder.key().task));
    u32::try_from(counted).unwrap()
}

async fn journal(lab: &Lab, holder: &Holder) -> Vec<JournalRow> {
    lab.store.journal_after(holder.key(), 0, 100).await.unwrap()
}

#[tokio::test]
async fn a_call_is_read_back_as_it_was_written() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    write(&lab, &mut holder, vec![call(1, Some(b"\"done\"")), call(2, None)], Vec::new()).await;
    let rows = journal(&lab, &holder).await;
    let first = JournalRow {
        idx: 1,
        generation: 1,
        call: "task.update-status".to_owned(),
        hash: [3; 32],
        request: "{\"n\":1}".to_owned(),
        answer: Some((Bytes::from_static(b"\"done\""), 7)),
        seq: Some(Seq::new(2)),
        due: Some(at(50)),
        asked_us: 5,
        cpu_us: 11,
    };
    assert_eq!(rows[0], first);
    assert_eq!((rows[1].idx, &rows[1].answer), (2, &None));
    write(&lab, &mut holder, Vec::new(), vec![(2, answer(b"1", 9))]).await;
    assert_eq!(journal(&lab, &holder).await[1].answer, Some((Bytes::from_static(b"1"), 9)));
    let page = lab.store.journal_after(holder.key(), 1, 1).await.unwrap();
    assert_eq!(page.iter().map(|row| row.idx).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn a_fenced_holder_writes_no_call() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    lab.store.give_back(&holder.claim, crate::Attempt::Counts, "test", std::time::Duration::ZERO).await.unwrap();
    lab.claimed().await.unwrap();
    let written = write(&lab, &mut holder, vec![call(1, None)], Vec::new()).await;
    assert_eq!(written, Committed::Fenced);
    assert!(journal(&lab, &holder).await.is_empty());
}

#[tokio::test]
async fn a_large_result_stands_apart_and_is_complete_when_read() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let large = Bytes::from(vec![b'x'; 300 << 10]);
    let stored = lab.store.stored(&holder.key().tenant, large.clone()).await.unwrap();
    assert!(stored.body.len() < 100 && stored.blobs == 1);
    let mut row = call(1, None);
    row.answer = Some(NewAnswer { result: stored, at_us: 1 });
    write(&lab, &mut holder, vec![row], Vec::new()).await;
    assert_eq!(journal(&lab, &holder).await[0].answer, Some((large, 1)));
    assert_eq!(lab.number("SELECT count(*) FROM blob_use"), 1);
    assert_eq!(lab.change("UPDATE blob SET bytes = zeroblob(10) WHERE n = 0"), 1);
    assert!(lab.store.journal_after(holder.key(), 0, 9).await.is_err(), "a damaged content is not handed out");
}

#[tokio::test]
async fn the_end_counts_from_the_last_checkpoint() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let end = lab.store.journal_end(holder.key()).await.unwrap();
    assert_eq!((end.last, end.checkpoint, end.cpu_us), (0, None, 0));
    write(&lab, &mut holder, vec![call(1, None), call(2, None)], Vec::new()).await;
    assert_eq!(lab.store.journal_end(holder.key()).await.unwrap().cpu_us, 22);
    let checkpoint = NewCall { call: CHECKPOINT, generation: 2, ..call(3, Some(b"state")) };
    write(&lab, &mut holder, vec![checkpoint, NewCall { generation: 2, ..call(4, None) }], Vec::new()).await;
    let end = lab.store.journal_end(holder.key()).await.unwrap();
    assert_eq!((end.last, end.counted, end.cpu_us), (4, 4, 11));
    let checkpoint = end.checkpoint.unwrap();
    assert_eq!((checkpoint.idx, checkpoint.generation), (3, 2));
    assert_eq!(checkpoint.answer.unwrap().0, "state");
}

#[tokio::test]
async fn a_run_that_sleeps_is_woken_by_a_request_to_stop_and_not_by_messages() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    let key = holder.key().clone();
    let early = delivery(&key, &client_message(&key, "m1", "early"), Route::Queue);
    lab.store.deliver(early).await.unwrap();
    let commit = holder.commit(&[], RunChange::Release(Wait { due: Some(at(60_000)), listens: None, children: false }));
    lab.store.commit(&holder.claim, commit).await.unwrap();
    assert_eq!(lab.run(&key).unwrap().state, 2, "a message that waits does not keep it from parking");
    let late = delivery(&key, &client_message(&key, "m2", "late"), Route::Queue);
    lab.store.deliver(late).await.unwrap();
    assert_eq!(lab.run(&key).unwrap().state, 2);
    lab.store.cancel(cancel_order(&key)).await.unwrap();
    assert_eq!(lab.run(&key).unwrap().state, 0);
}

#[tokio::test]
async fn a_prompt_waits_for_messages_that_came_after_it() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    let key = holder.key().clone();
    let early = delivery(&key, &client_message(&key, "m1", "early"), Route::Queue);
    lab.store.deliver(early).await.unwrap();
    let asked = status(&key, InputRequired, Some("q"));
    let at_prompt = Seq::new(holder.at.rev.get() + 1);
    let wait = Wait { due: None, listens: Some(at_prompt), children: false };
    holder.write(&lab.store, &[asked], RunChange::Release(wait)).await;
    assert_eq!(lab.run(&key).unwrap().state, 2);
}

#[tokio::test]
async fn a_task_that_has_done_something_is_asked_to_stop_before_it_is_ended() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    let key = holder.key().clone();
    let lab = lab.reopened().await;
    assert_eq!(lab.run(&key).unwrap().state, 0);
    assert_eq!(lab.store.cancel(cancel_order(&key)).await.unwrap(), crate::Canceling::Asked);
}

#[tokio::test]
async fn the_least_suspected_is_tried_first() {
    let lab = Lab::new().await;
    let (often, once) = (lab.held("a").await, lab.held("b").await);
    let raw = lab.raw();
    let attempts = |key: &TaskKey, attempts: i64| {
        let sql = "UPDATE run SET attempts = ? WHERE task = ?";
        assert_eq!(raw.execute(sql, rusqlite::params![attempts, key.task.as_str()]).unwrap(), 1);
    };
    attempts(often.key(), 4);
    attempts(once.key(), 2);
    let lab = lab.reopened().await;
    let first = lab.store.claim(Claimable::Suspect, 1).await.unwrap().pop().unwrap();
    assert_eq!((first.claim.key(), first.attempts), (once.key(), 3));
    let second = lab.store.claim(Claimable::Suspect, 1).await.unwrap().pop().unwrap();
    assert_eq!((second.claim.key(), second.attempts), (often.key(), 5));
}

#[tokio::test]
async fn a_run_that_failed_twice_is_a_suspect_until_it_gets_further() {
    let lab = Lab::new().await;
    lab.held("t").await;
    let lab = lab.reopened().await;
    assert_eq!(lab.store.claim(Claimable::Sound, 9).await.unwrap().len(), 1, "one try says nothing");
    let lab = lab.reopened().await;
    assert!(!lab.store.has_due(Claimable::Sound).await.unwrap());
    assert!(lab.store.claim(Claimable::Sound, 9).await.unwrap().is_empty());
    assert!(lab.store.has_due(Claimable::Suspect).await.unwrap());
    let run = lab.store.claim(Claimable::Suspect, 9).await.unwrap().pop().unwrap();
    assert_eq!(run.attempts, 3);
    let view = lab.store.held_task(&run.claim).await.unwrap().unwrap();
    let mut holder = Holder { claim: run.claim, at: run.at, fold: view.fold };
    let working = status(holder.key(), Working, None);
    holder.write(&lab.store, &[working], RunChange::Progress).await;
    assert_eq!(lab.run(holder.key()).unwrap().attempts, 0);
    let lab = lab.reopened().await;
    assert_eq!(lab.store.claim(Claimable::Sound, 9).await.unwrap().pop().unwrap().attempts, 1);
}
