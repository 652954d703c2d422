//! Large contents: out of their row, back whole, counted once.

use std::collections::HashSet;

use bytes::Bytes;
use kennel_protocol::types::TaskState::{Completed, Working};
use kennel_protocol::types::{Content, JsonValue, Part, StreamResponse};
use kennel_protocol::{AgentId, Digest, Seq};

use super::lab::{Holder, Lab, at_once, client_message, delivery, digest, inbound, json, key, new_task, piece, tenant};
use crate::{Artifacts, INLINE_BYTES_MAX, NewEvent, Route, RunChange, Start, StoreError, Stored};

fn big(letter: char, bytes: usize) -> String {
    letter.to_string().repeat(bytes)
}

fn part(content: Content) -> Part {
    Part { content, metadata: None, filename: Some("f".to_owned()), media_type: Some("x/y".to_owned()) }
}

/// One part of each kind above the bound, one of them of several chunks, and one on the bound.
fn parts() -> Vec<Part> {
    vec![
        part(Content::Text(big('t', INLINE_BYTES_MAX + 1))),
        part(Content::Raw(Bytes::from(big('r', 700_000)))),
        part(Content::Data(JsonValue::from_text(&format!("\"{}\"", big('d', INLINE_BYTES_MAX))).unwrap())),
        part(Content::Text(big('s', INLINE_BYTES_MAX))),
        part(Content::Url("https://example.com/x".to_owned())),
    ]
}

/// Writes an artifact of these parts, as the lane does.
async fn publish(lab: &Lab, holder: &mut Holder, parts: Vec<Part>) -> Vec<Digest> {
    let StreamResponse::ArtifactUpdate(mut update) = piece(holder.key(), "r", "", false) else { unreachable!() };
    update.artifact.parts = parts;
    let mut event = StreamResponse::ArtifactUpdate(update);
    let digests = lab.store.cut_out(&holder.key().tenant, &mut event).await.unwrap();
    let mut commit = holder.commit(std::slice::from_ref(&event), RunChange::Keep);
    let blobs = u32::try_from(digests.len()).unwrap();
    let stored = Stored { body: json(&event), blobs, digests: digests.clone() };
    commit.events = vec![NewEvent { stored, stop: None }];
    lab.store.commit(&holder.claim, commit).await.unwrap();
    *holder = holder.after(&[event]);
    digests
}

async fn working(lab: &Lab) -> Holder {
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    holder
}

#[tokio::test]
async fn large_parts_of_an_event_leave_its_row_and_come_back_whole() {
    let lab = Lab::new().await;
    let mut holder = working(&lab).await;
    let digests = publish(&lab, &mut holder, parts()).await;
    assert_eq!(digests.len(), 3, "what is on the bound stays");
    assert_eq!(lab.number("SELECT count(*) FROM blob"), 5, "700,000 bytes are three chunks");
    let inline = lab.number("SELECT length(body) FROM event WHERE seq = 3");
    assert!((65_536..67_000).contains(&inline), "{inline}");

    let event = lab.events(holder.key()).await.pop().unwrap();
    let StreamResponse::ArtifactUpdate(update) = serde_json::from_slice(&event.body).unwrap() else { panic!() };
    assert_eq!(update.artifact.parts, parts());
}

#[tokio::test]
async fn large_parts_come_back_in_tasks_from_events_and_from_the_body() {
    let lab = Lab::new().await;
    let mut holder = working(&lab).await;
    publish(&lab, &mut holder, parts()).await;
    let mut commit = holder.commit(&[], RunChange::Keep);
    commit.body = Some(Stored { blobs: 1, ..Stored::plain(json(&holder.fold)) });
    for body in [false, true] {
        if body {
            lab.store.commit(&holder.claim, commit.clone()).await.unwrap();
        }
        let view = lab.view(holder.key()).await;
        assert!(view.blobs, "from the body: {body}");
        let mut task = view.task(None, Artifacts::Show);
        lab.store.complete(&holder.key().tenant, &mut task).await.unwrap();
        assert_eq!(task.artifacts.unwrap()[0].parts, parts(), "from the body: {body}");
    }
}

#[tokio::test]
async fn large_parts_of_messages_come_back_in_the_inbox_the_history_and_the_first_event() {
    let lab = Lab::new().await;
    let key = key("t");
    let mut new = new_task(&key, Start::Leased);
    let mut message = client_message(&key, "m0", "");
    message.parts = parts();
    let mut cut = message.clone();
    let digests = lab.store.cut_out_message(&key.tenant, &mut cut).await.unwrap();
    new.message.stored = Stored { body: json(&cut), blobs: 3, digests };
    lab.store.accept(new.clone()).await.unwrap();

    let first: StreamResponse = serde_json::from_slice(&lab.events(&key).await[0].body).unwrap();
    let StreamResponse::Task(task) = first else { panic!() };
    assert_eq!(task.history, [message.clone()]);

    let mut holder = Holder::of(&new);
    holder.show(&lab.store, Working, None).await;
    let mut more = delivery(&key, &client_message(&key, "m1", ""), Route::Queue);
    cut.message_id = "m1".to_owned();
    more.message = inbound(&cut);
    more.message.stored.blobs = 3;
    lab.store.deliver(more).await.unwrap();
    let waiting = lab.store.waiting(&key).await.unwrap().unwrap();
    assert_eq!(waiting.messages[0].message.parts, parts());

    let view = lab.view(&key).await;
    let mut task = view.task(None, Artifacts::Show);
    lab.store.complete(&key.tenant, &mut task).await.unwrap();
    assert!(view.blobs && task.history.iter().all(|said| said.parts == parts()));
    assert_eq!(task.history.len(), 2);
}

#[tokio::test]
async fn small_parts_stay_and_are_passed_on_as_they_are() {
    let lab = Lab::new().await;
    let mut holder = working(&lab).await;
    let small = vec![part(Content::Text("x".to_owned())), part(Content::Raw(Bytes::from_static(b"y")))];
    assert_eq!(publish(&lab, &mut holder, small).await, []);
    assert_eq!(lab.number("SELECT count(*) FROM blob"), 0);
    assert!(!lab.view(holder.key()).await.blobs);
}

#[tokio::test]
async fn a_content_is_stored_once_a_tenant_and_its_use_once_a_task() {
    let lab = Lab::new().await;
    let same = || vec![part(Content::Text(big('t', 300_000)))];
    let (mut one, mut two) = (working(&lab).await, working(&lab).await);
    for _ in 0..2 {
        publish(&lab, &mut one, same()).await;
    }
    publish(&lab, &mut two, same()).await;
    assert_eq!(lab.number("SELECT count(*) FROM blob"), 2, "two chunks of one content");
    assert_eq!(lab.number("SELECT count(*) FROM blob_use"), 2, "two tasks use it");
    let mut other = lab.held("other").await;
    other.show(&lab.store, Working, None).await;
    publish(&lab, &mut other, same()).await;
    assert_eq!(lab.number("SELECT count(*) FROM blob"), 4, "tenants share nothing");
}

#[tokio::test]
async fn the_same_content_put_many_times_at_once_is_whole() {
    let lab = Lab::new().await;
    let name: AgentId = "echo".parse().unwrap();
    let component = Bytes::from(big('c', 1_000_000));
    let t = tenant("t");
    let puts = at_once((0..8).map(|_| lab.store.set_agent(&t, &name, component.clone()))).await;
    let digests: Vec<Digest> = puts.into_iter().map(Result::unwrap).collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    assert_eq!(lab.store.component(&t, &digests[0]).await.unwrap(), Some(component));
    assert_eq!(lab.number("SELECT count(*) FROM blob"), 4);
    assert_eq!(lab.number("SELECT count(*) FROM blob_use"), 1);
}

#[tokio::test]
async fn a_damaged_or_missing_chunk_is_corrupt_by_name() {
    let damages = [
        "UPDATE blob SET bytes = zeroblob(length(bytes)) WHERE n = 1",
        "DELETE FROM blob WHERE n = 2",
        "DELETE FROM blob WHERE n = 0",
        "DELETE FROM blob",
    ];
    for damage in damages {
        let lab = Lab::new().await;
        let mut holder = working(&lab).await;
        let digests = publish(&lab, &mut holder, vec![part(Content::Raw(Bytes::from(big('r', 700_000))))]).await;
        assert!(lab.change(damage) > 0);
        let read = lab.store.events_after(holder.key(), Seq::new(2), 10).await;
        let Err(StoreError::Corrupt(reason)) = read else { panic!("{damage}: {read:?}") };
        assert!(reason.contains(&digests[0].to_string()), "{damage}: {reason}");
        // What does not name it is read as before.
        assert_eq!(lab.store.events_after(holder.key(), Seq::new(0), 2).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn an_agents_component_is_kept_over_a_restart_and_after_its_agent() {
    let lab = Lab::new().await;
    let (t, name): (_, AgentId) = (tenant("t"), "echo".parse().unwrap());
    let old = lab.store.set_agent(&t, &name, Bytes::from_static(b"old")).await.unwrap();
    let new = lab.store.set_agent(&t, &name, Bytes::from_static(b"new")).await.unwrap();
    let empty = lab.store.set_agent(&t, &"void".parse().unwrap(), Bytes::new()).await.unwrap();
    let lab = lab.reopened().await;
    let agents = lab.store.agents(&t).await.unwrap();
    let agents: Vec<_> = agents.iter().map(|row| (row.name.as_str(), row.digest)).collect();
    assert_eq!(agents, [("echo", new), ("void", empty)]);
    assert!(lab.store.agents(&tenant("other")).await.unwrap().is_empty());
    lab.store.remove_agent(&t, &name).await.unwrap();
    assert_eq!(lab.store.agents(&t).await.unwrap().len(), 1);
    for (digest, bytes) in [(old, "old"), (new, "new"), (empty, "")] {
        assert_eq!(lab.store.component(&t, &digest).await.unwrap(), Some(Bytes::from_static(bytes.as_bytes())));
    }
    assert_eq!(lab.store.component(&tenant("other"), &old).await.unwrap(), None);
}

#[tokio::test]
async fn the_versions_that_are_needed_are_the_active_ones_and_those_of_tasks_that_are_not_over() {
    let lab = Lab::new().await;
    let (t, name): (_, AgentId) = (tenant("t"), "echo".parse().unwrap());
    lab.store.set_agent(&t, &name, Bytes::from_static(b"old")).await.unwrap();
    let active = lab.store.set_agent(&t, &name, Bytes::from_static(b"new")).await.unwrap();
    let mut holder = working(&lab).await;
    lab.held("u").await;
    assert_eq!(lab.store.needed_versions(&t).await.unwrap(), HashSet::from([active, digest()]));
    holder.show(&lab.store, Completed, None).await;
    assert_eq!(lab.store.needed_versions(&t).await.unwrap(), HashSet::from([active]));
    assert_eq!(lab.store.needed_versions(&tenant("u")).await.unwrap(), HashSet::from([digest()]));
}
