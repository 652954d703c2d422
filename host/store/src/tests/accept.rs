//! The accept of new tasks: what it writes, alone and in groups of every size.

use kennel_protocol::types::TaskState;
use kennel_protocol::{Epoch, Seq, Ver};

use super::lab::{Lab, RunRow, agent, at_once, context, digest, key, new_task, new_task_at, owner, scope};
use crate::{HOST, Position, Start, TaskKey, claim_of};

#[tokio::test]
async fn an_accept_writes_the_task_its_first_event_its_message_and_its_run() {
    let lab = Lab::new().await;
    let key = key("t");
    let new = new_task_at(&key, Start::Ready, lab.clock.now());
    lab.store.accept(new.clone()).await.unwrap();

    let view = lab.view(&key).await;
    assert_eq!(view.row.key, key);
    assert_eq!((&view.row.owner, &view.row.context, &view.row.agent), (&owner(), &context(), &agent()));
    assert_eq!((view.row.digest, view.row.state, view.row.open), (digest(), TaskState::Submitted, false));
    assert_eq!((view.row.status_at, view.row.created, view.row.expires), (new.created, new.created, new.expires));
    assert_eq!(view.row.at, Position { ver: Ver::new(1), rev: Seq::FIRST });
    assert_eq!(view.row.request, new.request);
    assert_eq!(view.inbox.len(), 1);
    assert_eq!((view.inbox[0].n, view.inbox[0].at_seq, view.inbox[0].taken), (0, Seq::FIRST, Some(Seq::FIRST)));
    assert_eq!(view.inbox[0].message.message_id, "m0");
    let events = lab.events(&key).await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].seq, events[0].stop), (Seq::FIRST, None));
}

#[tokio::test]
async fn the_first_event_is_read_with_the_message_that_made_the_task() {
    let lab = Lab::new().await;
    let key = lab.queued("t").await;
    let event: serde_json::Value = serde_json::from_slice(&lab.events(&key).await[0].body).unwrap();
    assert_eq!(event["task"]["id"], key.task.as_str());
    assert_eq!(event["task"]["history"][0]["messageId"], "m0");
}

#[tokio::test]
async fn an_accept_with_a_slot_is_leased_and_one_without_waits() {
    let lab = Lab::new().await;
    let (leased, ready) = (key("t"), key("t"));
    lab.store.accept(new_task(&leased, Start::Leased)).await.unwrap();
    lab.store.accept(new_task(&ready, Start::Ready)).await.unwrap();

    let held = RunRow { state: 1, priority: 0, due_ms: None, attempts: 1, host: Some(HOST.to_owned()) };
    assert_eq!(lab.run(&leased), Some(held));
    assert_eq!(lab.view(&leased).await.row.epoch, Epoch::new(1));
    let due_ms = Some(super::lab::EPOCH_MS);
    assert_eq!(lab.run(&ready), Some(RunRow { state: 0, priority: 0, due_ms, attempts: 0, host: None }));
    assert_eq!(lab.view(&ready).await.row.epoch, Epoch::new(0));
}

#[test]
fn only_an_accept_with_a_slot_gives_a_claim() {
    let claim = claim_of(&new_task(&key("t"), Start::Leased)).unwrap();
    assert_eq!(claim.epoch(), Epoch::new(1));
    assert!(claim_of(&new_task(&key("t"), Start::Ready)).is_none());
}

#[tokio::test]
async fn accepts_of_many_tenants_are_written_whole_in_groups_of_any_size() {
    for size in [1_usize, 3, 64, 255, 256, 300] {
        let lab = Lab::new().await;
        let keys: Vec<TaskKey> = (0..size).map(|index| key(&format!("tenant-{}", index % 7))).collect();
        let start = |index: usize| if index.is_multiple_of(2) { Start::Leased } else { Start::Ready };
        let before = lab.transactions();
        let accepts = keys.iter().enumerate().map(|(index, key)| lab.store.accept(new_task(key, start(index))));
        for accepted in at_once(accepts).await {
            accepted.unwrap();
        }
        let groups = u32::try_from(size.div_ceil(256)).unwrap();
        assert_eq!(lab.transactions() - before, groups, "a group of {size}");

        let raw = lab.raw();
        let mut rows = raw
            .prepare(
                "SELECT task.tenant, task.id, task.epoch, run.state, event.seq, inbox.n FROM task \
                 JOIN run ON run.tenant = task.tenant AND run.task = task.id \
                 JOIN event ON event.tenant = task.tenant AND event.task = task.id \
                 JOIN inbox ON inbox.tenant = task.tenant AND inbox.task = task.id ORDER BY task.id",
            )
            .unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        let found: Vec<(String, String, i64, i64)> = rows.map(Result::unwrap).collect();
        let expected: Vec<(String, String, i64, i64)> = keys
            .iter()
            .enumerate()
            .map(|(index, key)| {
                let leased = i64::from(start(index) == Start::Leased);
                (key.tenant.to_string(), key.task.to_string(), leased, leased)
            })
            .collect();
        assert_eq!(found, expected, "a group of {size}");
    }
}

#[tokio::test]
async fn a_task_of_another_tenant_owner_or_agent_is_not_found() {
    let lab = Lab::new().await;
    let key = lab.queued("t").await;
    let own = scope(&key);
    let mut foreign = vec![own.clone(), own.clone(), own.clone()];
    foreign[0].tenant = "other".parse().unwrap();
    foreign[1].owner = "mallory".parse().unwrap();
    foreign[2].agent = Some("other".parse().unwrap());
    for scope in foreign {
        assert!(lab.store.task(&scope, &key.task).await.unwrap().is_none(), "{scope:?}");
    }
    let any_agent = crate::Scope { agent: None, ..own };
    assert!(lab.store.task(&any_agent, &key.task).await.unwrap().is_some());
}

#[tokio::test]
async fn the_same_task_id_in_two_tenants_is_two_tasks() {
    let lab = Lab::new().await;
    let one = key("one");
    let two = TaskKey { tenant: "two".parse().unwrap(), task: one.task.clone() };
    lab.store.accept(new_task(&one, Start::Ready)).await.unwrap();
    lab.store.accept(new_task(&two, Start::Leased)).await.unwrap();
    assert_eq!(lab.view(&one).await.row.epoch, Epoch::new(0));
    assert_eq!(lab.view(&two).await.row.epoch, Epoch::new(1));
    assert_eq!((lab.events(&one).await.len(), lab.events(&two).await.len()), (1, 1));
}
