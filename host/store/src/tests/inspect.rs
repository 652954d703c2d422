//! An operator's look: beside a running host and without one, at every owner's tasks, and nothing is written. And the accept of a
//! task that takes over what a former one was told.

use kennel_protocol::types::TaskState::{Completed, InputRequired, Working};
use kennel_protocol::{Seq, TenantId};

use super::lab::{EPOCH_MS, Lab, agent, at, change, client_message, inbound, key, new_task, tenant};
use crate::{
    CHECKPOINT, Inspector, NewAnswer, NewCall, OldMessage, OpenError, RunState, Start, Stored, TakenOver, TaskFilter,
};

fn any(limit: u32) -> TaskFilter {
    TaskFilter { limit, ..TaskFilter::default() }
}

#[tokio::test]
async fn it_sees_what_is_committed_beside_a_running_host_and_after_it() {
    let lab = Lab::new().await;
    let folder = lab.database().parent().unwrap().to_owned();
    let inspector = Inspector::open(&folder).await.unwrap();
    let mut holder = lab.held("t").await;
    let queued = lab.queued("t").await;
    holder.show(&lab.store, InputRequired, Some("prompt")).await;
    let before = lab.everything();

    let lines = inspector.tasks(&tenant("t"), &any(10)).await.unwrap();
    let found: Vec<_> = lines.iter().map(|line| (&line.task, line.state, line.rev)).collect();
    assert_eq!(
        found,
        [
            (&queued.task, kennel_protocol::types::TaskState::Submitted, Seq::FIRST),
            (&holder.key().task, InputRequired, Seq::new(2))
        ]
    );
    let runs: Vec<_> = lines.iter().map(|line| line.run.clone().unwrap()).collect();
    assert_eq!(runs.iter().map(|run| run.state).collect::<Vec<_>>(), [RunState::Ready, RunState::Leased]);
    assert_eq!((runs[0].due, runs[0].attempts, runs[0].first), (Some(at(0)), 0, false));
    assert_eq!(inspector.tasks(&tenant("t"), &any(1)).await.unwrap().len(), 1);
    assert!(inspector.tasks(&TenantId::default_tenant(), &any(10)).await.unwrap().is_empty());
    let of = |state, agent| TaskFilter { state, agent, limit: 10, context: None };
    assert_eq!(inspector.tasks(&tenant("t"), &of(Some(InputRequired), None)).await.unwrap().len(), 1);
    assert_eq!(inspector.tasks(&tenant("t"), &of(None, Some(agent()))).await.unwrap().len(), 2);
    assert_eq!(inspector.tasks(&tenant("t"), &of(None, Some("other".parse().unwrap()))).await.unwrap().len(), 0);

    let seen = inspector.task(holder.key()).await.unwrap().unwrap();
    assert_eq!((seen.view.rev, seen.leased, seen.ahead), (Seq::new(2), 1, 0));
    assert!(inspector.task(&key("t")).await.unwrap().is_none());
    assert_eq!(inspector.events_after(holder.key(), Seq::new(0), 9).await.unwrap().len(), 2);
    assert_eq!(lab.everything(), before, "nothing is written");

    let folder = lab.closed().await;
    let lines = Inspector::open(folder.path()).await.unwrap().tasks(&tenant("t"), &any(10)).await.unwrap();
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn the_queue_before_a_run_is_counted() {
    let lab = Lab::new().await;
    let mut last = lab.queued("t").await;
    for _ in 0..3 {
        lab.clock.advance_ms(5);
        let new = super::lab::new_task_at(&key("t"), Start::Ready, lab.store.clock().now());
        last = new.key.clone();
        lab.store.accept(new).await.unwrap();
    }
    let inspector = Inspector::open(lab.database().parent().unwrap()).await.unwrap();
    assert_eq!(inspector.task(&last).await.unwrap().unwrap().ahead, 3);
}

#[tokio::test]
async fn ids_are_found_by_how_they_begin() {
    let lab = Lab::new().await;
    let task = lab.queued("t").await.task;
    let inspector = Inspector::open(lab.database().parent().unwrap()).await.unwrap();
    for begin in [task.as_str(), &task.as_str()[..task.as_str().len() - 3]] {
        assert_eq!(inspector.beginning(&tenant("t"), begin).await.unwrap(), std::slice::from_ref(&task));
    }
    for begin in ["x", "%", "_"] {
        assert!(inspector.beginning(&tenant("t"), begin).await.unwrap().is_empty(), "{begin}");
    }
}

async fn refused(folder: &std::path::Path) -> OpenError {
    match Inspector::open(folder).await {
        Ok(_) => panic!("{} was opened", folder.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let missing = refused(folder.path()).await;
    assert!(matches!(missing, OpenError::Missing { .. }), "{missing}");
    assert!(missing.to_string().contains("--data"), "{missing}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is made");

    let folder = Lab::new().await.closed().await;
    let database = folder.path().join("kennel.db");
    change(&database, "PRAGMA user_version = 77");
    assert!(matches!(refused(folder.path()).await, OpenError::Newer { found: 77, .. }));
    change(&database, "PRAGMA user_version = 1");
    assert!(matches!(refused(folder.path()).await, OpenError::Older { found: 1, .. }));
    std::fs::write(&database, b"what is this? ".repeat(1_000)).unwrap();
    let damaged = refused(folder.path()).await;
    assert!(matches!(damaged, OpenError::Corrupt { .. }), "{damaged}");
}

#[tokio::test]
async fn a_task_takes_over_messages_and_a_checkpoint_with_its_accept() {
    let lab = Lab::new().await;
    let key = key("t");
    let old = |id: &str, waits| OldMessage { message: inbound(&client_message(&key, id, id)), waits };
    let result = Stored::plain(&b"state"[..]);
    let checkpoint = NewCall {
        idx: 1,
        generation: 4,
        call: CHECKPOINT,
        hash: [5; 32],
        request: "{}".to_owned(),
        answer: Some(NewAnswer { result, at_us: 9 }),
        seq: None,
        due: None,
        asked_us: 9,
        cpu_us: 0,
    };
    let past = TakenOver { messages: vec![old("m1", false), old("m2", true)], checkpoint: Some(checkpoint) };
    lab.store.accept_again(new_task(&key, Start::Ready), past).await.unwrap();
    let end = lab.store.journal_end(&key).await.unwrap();
    assert_eq!((end.last, end.counted), (1, 1));
    assert_eq!(end.checkpoint.unwrap().generation, 4);
    let waiting = lab.store.waiting(&key).await.unwrap().unwrap();
    assert_eq!(waiting.messages.iter().map(|message| message.n).collect::<Vec<_>>(), [2]);
    let view = lab.view(&key).await;
    assert_eq!(
        view.inbox.iter().map(|message| message.taken).collect::<Vec<_>>(),
        [Some(Seq::FIRST), Some(Seq::FIRST), None]
    );
    assert_eq!(view.history(None).len(), 3);
    let claimed = lab.claimed().await.unwrap();
    assert_eq!(claimed.claim.key(), &key);
    assert_eq!(lab.number("SELECT created_ms FROM task"), EPOCH_MS);
}

#[tokio::test]
async fn a_finished_task_has_no_run() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    holder.show(&lab.store, Completed, None).await;
    let inspector = Inspector::open(lab.database().parent().unwrap()).await.unwrap();
    let seen = inspector.task(holder.key()).await.unwrap().unwrap();
    assert_eq!((seen.run, seen.view.row.state), (None, Completed));
}
