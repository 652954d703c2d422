//! Room for large tasks: what is read for clients at once has a bound, and small reads do not wait for it.

use std::time::Duration;

use bytes::Bytes;
use kennel_protocol::types::TaskState::Working;
use kennel_protocol::types::{Content, Part, StreamResponse};
use kennel_protocol::{Seq, TaskId};

use super::lab::{Holder, Lab, json, key, piece, scope};
use crate::room::Rooms;
use crate::{Artifacts, ListFilter, NewEvent, RunChange, StoreError, Stored, TaskKey};

const MIB: usize = 1 << 20;

/// A host that has room for this much, and waits a moment only.
async fn narrow(bytes: u64) -> Lab {
    let mut lab = Lab::new().await;
    lab.store.rooms = Rooms::of(bytes, Duration::from_millis(20));
    lab
}

/// A task with this many pieces of a mebibyte in its rows.
async fn large(lab: &Lab, pieces: usize) -> Holder {
    let mut holder = lab.held("t").await;
    holder.show(&lab.store, Working, None).await;
    for n in 0..pieces {
        let event = piece(holder.key(), "r", &"x".repeat(MIB), n > 0);
        holder.write(&lab.store, &[event], RunChange::Keep).await;
    }
    holder
}

async fn read(lab: &Lab, key: &TaskKey) -> Result<crate::TaskView, StoreError> {
    Ok(lab.store.task_for_client(&scope(key), &key.task, None).await?.unwrap())
}

fn is_crowded<T>(read: &Result<T, StoreError>) -> bool {
    matches!(read, Err(StoreError::Crowded { .. }))
}

#[tokio::test]
async fn a_large_task_is_read_when_there_is_room_and_a_small_one_always() {
    let lab = narrow(8 * MIB as u64).await;
    let (two, three, seven) = (large(&lab, 2).await, large(&lab, 3).await, large(&lab, 7).await);
    let small = lab.held("t").await;
    let first = read(&lab, three.key()).await.unwrap();
    assert!((3 * MIB as u64..4 * MIB as u64).contains(&first.room.bytes()), "{}", first.room.bytes());
    let second = read(&lab, two.key()).await.unwrap();
    assert!(is_crowded(&read(&lab, seven.key()).await));
    assert_eq!(read(&lab, small.key()).await.unwrap().room.bytes(), 0);
    // A clone has the same room, and so have bytes that were made of the task.
    let text = first.room.clone().keep(b"{}".to_vec());
    drop((first, second));
    assert!(is_crowded(&read(&lab, seven.key()).await));
    assert_eq!(text.as_ref(), b"{}");
    drop(text);
    assert_eq!(read(&lab, seven.key()).await.unwrap().fold.artifacts.len(), 1);
}

#[tokio::test]
async fn a_task_that_is_larger_than_all_room_has_it_alone() {
    let lab = narrow(2 * MIB as u64).await;
    let (large_one, other) = (large(&lab, 5).await, large(&lab, 2).await);
    let alone = read(&lab, large_one.key()).await.unwrap();
    assert!(is_crowded(&read(&lab, other.key()).await));
    drop(alone);
    read(&lab, other.key()).await.unwrap();
}

#[tokio::test]
async fn a_read_that_waits_goes_on_when_room_is_given_back() {
    let mut lab = Lab::new().await;
    lab.store.rooms = Rooms::of(4 * MIB as u64, Duration::from_secs(60));
    let holder = large(&lab, 3).await;
    let first = read(&lab, holder.key()).await.unwrap();
    let (second, ()) = tokio::join!(read(&lab, holder.key()), async {
        tokio::task::yield_now().await;
        drop(first);
    });
    assert!(second.unwrap().room.bytes() > 0);
}

#[tokio::test]
async fn contents_that_stand_apart_take_room_when_they_are_put_back() {
    let lab = narrow(8 * MIB as u64).await;
    let mut holder = large(&lab, 0).await;
    let StreamResponse::ArtifactUpdate(mut update) = piece(holder.key(), "r", "", false) else { unreachable!() };
    let raw = Content::Raw(Bytes::from(vec![7; 5 * MIB]));
    update.artifact.parts = vec![Part { content: raw, ..Part::text("") }];
    let mut event = StreamResponse::ArtifactUpdate(update);
    let digests = lab.store.cut_out(&holder.key().tenant, &mut event).await.unwrap();
    let mut commit = holder.commit(std::slice::from_ref(&event), RunChange::Keep);
    commit.events = vec![NewEvent { stored: Stored { body: json(&event), blobs: 1, digests }, stop: None }];
    lab.store.commit(&holder.claim, commit).await.unwrap();
    holder = holder.after(&[event]);
    let view = read(&lab, holder.key()).await.unwrap();
    assert_eq!((view.room.bytes(), view.blobs), (0, true));
    let tenant = &holder.key().tenant;
    let (mut task, mut again) = (view.task(None, Artifacts::Show), view.task(None, Artifacts::Show));
    let room = lab.store.complete_for_client(tenant, &mut task).await.unwrap();
    assert_eq!(room.bytes(), 5 * MIB as u64);
    assert!(is_crowded(&lab.store.complete_for_client(tenant, &mut again).await));
    drop(room);
    lab.store.complete_for_client(tenant, &mut again).await.unwrap();
    assert_eq!(again, task);
    // What shows no contents takes none.
    let mut bare = view.task(None, Artifacts::Omit);
    assert_eq!(lab.store.complete_for_client(tenant, &mut bare).await.unwrap().bytes(), 0);
}

#[tokio::test]
async fn pages_of_large_tasks_are_short_and_show_each_once() {
    let lab = Lab::new().await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(large(&lab, 5).await.key().task.clone());
    }
    for _ in 0..2 {
        made.push(lab.queued("t").await.task);
    }
    made.sort();
    let mut filter = ListFilter { limit: 50, ..ListFilter::default() };
    let (mut found, mut pages): (Vec<TaskId>, usize) = (Vec::new(), 0);
    loop {
        let page = lab.store.list(&scope(&key("t")), &filter).await.unwrap();
        assert_eq!(page.total, 9);
        let bytes: u64 = page.tasks.iter().map(|view| view.room.bytes()).sum();
        assert!(bytes < 22 * MIB as u64, "{bytes}");
        pages += 1;
        let last = page.tasks.last().unwrap();
        filter.after = Some((last.row.status_at, last.row.key.task.clone()));
        found.extend(page.tasks.iter().map(|view| view.row.key.task.clone()));
        if !page.more {
            break;
        }
    }
    // Newest first: by id, for the time is the same.
    found.reverse();
    assert_eq!((found, pages), (made, 2));
}

#[tokio::test]
async fn large_events_are_read_a_few_at_once_and_all_in_order() {
    let lab = Lab::new().await;
    let holder = large(&lab, 11).await;
    let (mut after, mut reads) = (Seq::new(0), 0);
    loop {
        let rows = lab.store.events_after(holder.key(), after, 64).await.unwrap();
        let Some(last) = rows.last() else { break };
        assert!(rows.len() <= 7, "{}", rows.len());
        assert!(rows.iter().zip(after.get() + 1..).all(|(row, seq)| row.seq == Seq::new(seq)));
        (after, reads) = (last.seq, reads + 1);
    }
    assert_eq!((after, reads > 2), (holder.at.rev, true));
}
