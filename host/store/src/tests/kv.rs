//! Durable values: written with the row of their call or not at all, conditions, totals, lists, and who does not see whom.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::lab::{Holder, Lab, at_once, tenant};
use crate::{
    Attempt, Committed, KvEntry, KvExpect, KvKey, KvRange, KvUse, KvWrite, NewAnswer, NewCall, RunChange, Stored,
};

const SCOPE: &str = "[\"agent\",\"echo\"]";

fn at(key: &str) -> KvKey {
    KvKey { scope: SCOPE.to_owned(), key: key.to_owned() }
}

fn entry(value: &str, version: &str) -> KvEntry {
    KvEntry { value: Bytes::copy_from_slice(value.as_bytes()), version: version.to_owned() }
}

fn put(key: &str, value: &str, version: &str) -> KvWrite {
    KvWrite { at: at(key), entry: Some(entry(value, version)) }
}

fn delete(key: &str) -> KvWrite {
    KvWrite { at: at(key), entry: None }
}

fn expect(key: &str, version: Option<&str>) -> Option<KvExpect> {
    Some(KvExpect { at: at(key), version: version.map(str::to_owned) })
}

/// A commit of the next row with changes of values.
fn commit(holder: &Holder, idx: u32, writes: &[KvWrite], expect: Option<KvExpect>) -> crate::Commit {
    let mut commit = holder.commit(&[], RunChange::Keep);
    commit.calls = vec![NewCall {
        idx,
        generation: 1,
        call: "kv.put",
        hash: [3; 32],
        request: "{}".to_owned(),
        answer: Some(NewAnswer { result: Stored::plain(&b"\"done\""[..]), at_us: 7 }),
        seq: None,
        due: None,
        asked_us: 5,
        cpu_us: 11,
    }];
    commit.journal = idx;
    commit.kv = writes.to_vec();
    commit.kv_expect = expect;
    commit
}

/// Writes a commit and goes on behind it if it was applied.
async fn write(lab: &Lab, holder: &mut Holder, commit: crate::Commit) -> Committed {
    let committed = lab.store.commit(&holder.claim, commit).await.unwrap();
    if let Committed::Applied(at) = committed {
        holder.at = at;
    }
    committed
}

async fn applied(lab: &Lab, holder: &mut Holder, idx: u32, writes: &[KvWrite]) {
    let commit = commit(holder, idx, writes, None);
    assert!(matches!(write(lab, holder, commit).await, Committed::Applied(_)));
}

async fn found(lab: &Lab, key: &str) -> Option<KvEntry> {
    lab.store.kv_entry(&tenant("t"), &at(key)).await.unwrap()
}

async fn keys(lab: &Lab, prefix: &str, after: Option<&str>, limit: u32) -> Vec<String> {
    let range = KvRange { scope: SCOPE.to_owned(), prefix: prefix.to_owned(), after: after.map(str::to_owned), limit };
    lab.store.kv_keys(&tenant("t"), range).await.unwrap()
}

async fn used(lab: &Lab, key: &str) -> KvUse {
    lab.store.kv_used(&tenant("t"), &at(key)).await.unwrap()
}

#[tokio::test]
async fn a_value_is_written_read_overwritten_and_deleted() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    assert_eq!(found(&lab, "a").await, None);
    applied(&lab, &mut holder, 1, &[put("a", "one", "v1"), put("b", "", "v2")]).await;
    assert_eq!((found(&lab, "a").await, found(&lab, "b").await), (Some(entry("one", "v1")), Some(entry("", "v2"))));
    applied(&lab, &mut holder, 2, &[put("a", "two", "v3")]).await;
    assert_eq!(found(&lab, "a").await, Some(entry("two", "v3")));
    applied(&lab, &mut holder, 3, &[delete("a"), delete("never there")]).await;
    assert_eq!((found(&lab, "a").await, found(&lab, "b").await), (None, Some(entry("", "v2"))));
    let lab = lab.reopened().await;
    assert_eq!(found(&lab, "b").await, Some(entry("", "v2")));
}

#[tokio::test]
async fn of_many_changes_of_a_key_in_one_commit_the_last_counts() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let writes = [put("a", "1", "v1"), delete("a"), put("a", "333", "v3"), put("b", "1", "v4"), delete("b")];
    applied(&lab, &mut holder, 1, &writes).await;
    assert_eq!((found(&lab, "a").await, found(&lab, "b").await), (Some(entry("333", "v3")), None));
    assert_eq!(used(&lab, "a").await, KvUse { total: 4, entry: 4 });
}

#[tokio::test]
async fn tasks_that_write_at_once_each_see_their_own_values_written() {
    let lab = Lab::new().await;
    let mut holders = Vec::new();
    for _ in 0..5 {
        holders.push(lab.held("t").await);
    }
    let before = lab.transactions();
    let commits = holders.iter().enumerate().map(|(n, holder)| {
        let writes = [put("shared", &"x".repeat(n), &format!("s{n}")), put(&format!("own-{n}"), "1", &format!("o{n}"))];
        lab.store.commit(&holder.claim, commit(holder, 1, &writes, None))
    });
    for committed in at_once(commits).await {
        assert!(matches!(committed.unwrap(), Committed::Applied(_)));
    }
    assert_eq!(lab.transactions() - before, 1);
    assert_eq!(keys(&lab, "own-", None, 9).await.len(), 5);
    let shared = found(&lab, "shared").await.unwrap();
    assert_eq!(shared.version, format!("s{}", shared.value.len()));
    assert_eq!(used(&lab, "shared").await.total, (5 * 6 + 6 + shared.value.len()) as u64);
}

#[tokio::test]
async fn a_value_and_the_row_of_its_call_are_written_together_or_not_at_all() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    applied(&lab, &mut holder, 1, &[put("a", "one", "v1")]).await;
    let before = lab.everything();
    // The row is there already: SQLite refuses it, and the value with it.
    let twice = lab.store.commit(&holder.claim, commit(&holder, 1, &[put("a", "two", "v2")], None)).await;
    assert!(twice.is_err());
    assert_eq!(lab.everything(), before);
}

#[tokio::test]
async fn a_fenced_holder_writes_no_value() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    applied(&lab, &mut holder, 1, &[put("a", "one", "v1")]).await;
    lab.store.give_back(&holder.claim, Attempt::Counts, "test", std::time::Duration::ZERO).await.unwrap();
    lab.claimed().await.unwrap();
    let before = lab.everything();
    for expect in [None, expect("a", Some("v1")), expect("a", Some("another"))] {
        let late = commit(&holder, 2, &[put("a", "two", "v2"), delete("a")], expect);
        assert_eq!(write(&lab, &mut holder, late).await, Committed::Fenced);
    }
    assert_eq!(lab.everything(), before);
}

#[tokio::test]
async fn a_conditional_commit_at_an_old_ver_is_moved_whatever_the_value_is() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let mut stale = holder.clone();
    applied(&lab, &mut holder, 1, &[put("a", "one", "v1")]).await;
    let before = lab.everything();
    for expect in [expect("a", Some("v1")), expect("a", None)] {
        let late = commit(&stale, 1, &[put("a", "two", "v2")], expect);
        assert_eq!(write(&lab, &mut stale, late).await, Committed::Moved);
    }
    assert_eq!(lab.everything(), before);
}

#[tokio::test]
async fn a_conflict_writes_nothing_and_the_holder_goes_on() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    applied(&lab, &mut holder, 1, &[put("a", "one", "v1")]).await;
    let before = lab.everything();
    for (key, version) in [("a", None), ("a", Some("v0")), ("b", Some("v1"))] {
        let refused = commit(&holder, 2, &[put(key, "two", "v2")], expect(key, version));
        assert_eq!(write(&lab, &mut holder, refused).await, Committed::Conflict);
    }
    assert_eq!(lab.everything(), before);
    let swap = commit(&holder, 2, &[put("a", "two", "v2")], expect("a", Some("v1")));
    assert!(matches!(write(&lab, &mut holder, swap).await, Committed::Applied(_)));
    let first = commit(&holder, 3, &[put("b", "new", "v3")], expect("b", None));
    assert!(matches!(write(&lab, &mut holder, first).await, Committed::Applied(_)));
    let gone = commit(&holder, 4, &[delete("a")], expect("a", Some("v2")));
    assert!(matches!(write(&lab, &mut holder, gone).await, Committed::Applied(_)));
    assert_eq!((found(&lab, "a").await, found(&lab, "b").await), (None, Some(entry("new", "v3"))));
}

#[tokio::test]
async fn of_conditional_commits_in_one_group_one_wins() {
    let lab = Lab::new().await;
    let mut first = lab.held("t").await;
    applied(&lab, &mut first, 1, &[put("a", "0", "v0")]).await;
    let mut holders = vec![first];
    for _ in 0..4 {
        holders.push(lab.held("t").await);
    }
    let before = lab.transactions();
    let commits = holders.iter().enumerate().map(|(n, holder)| {
        let swap = commit(holder, 2, &[put("a", "1", &format!("v1-{n}"))], expect("a", Some("v0")));
        lab.store.commit(&holder.claim, swap)
    });
    let committed: Vec<Committed> = at_once(commits).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(lab.transactions() - before, 1);
    let winners: Vec<usize> = (0..5).filter(|n| matches!(committed[*n], Committed::Applied(_))).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(committed.iter().filter(|outcome| **outcome == Committed::Conflict).count(), 4);
    assert_eq!(found(&lab, "a").await.unwrap().version, format!("v1-{}", winners[0]));
}

#[tokio::test]
async fn a_condition_sees_what_others_of_its_group_wrote() {
    let lab = Lab::new().await;
    let (mut swapping, writing) = (lab.held("t").await, lab.held("t").await);
    applied(&lab, &mut swapping, 1, &[put("a", "0", "v0")]).await;
    let swap = commit(&swapping, 2, &[put("a", "swapped", "v1")], expect("a", Some("v0")));
    let plain = commit(&writing, 1, &[put("a", "written", "v2")], None);
    let commits = [lab.store.commit(&swapping.claim, swap), lab.store.commit(&writing.claim, plain)];
    let committed: Vec<Committed> = at_once(commits).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(committed[0], Committed::Conflict);
    assert!(matches!(committed[1], Committed::Applied(_)));
    assert_eq!(found(&lab, "a").await, Some(entry("written", "v2")));
}

#[tokio::test]
async fn a_run_without_a_task_changes_values_by_themselves() {
    let lab = Lab::new().await;
    let t = tenant("t");
    assert!(lab.store.kv_change(&t, put("a", "one", "v1"), None).await.unwrap());
    assert!(!lab.store.kv_change(&t, put("a", "two", "v2"), expect("a", None)).await.unwrap());
    assert_eq!(found(&lab, "a").await, Some(entry("one", "v1")));
    assert!(lab.store.kv_change(&t, put("a", "two", "v2"), expect("a", Some("v1"))).await.unwrap());
    assert_eq!(used(&lab, "a").await, KvUse { total: 4, entry: 4 });
    assert!(lab.store.kv_change(&t, delete("a"), expect("a", Some("v2"))).await.unwrap());
    assert_eq!((found(&lab, "a").await, used(&lab, "a").await), (None, KvUse { total: 0, entry: 0 }));
}

#[tokio::test]
async fn keys_come_in_the_order_of_their_bytes_from_prefix_and_last_key_on() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let all = ["", "A", "a", "a\0", "a\0b", "aa", "ab", "b", "\u{7f}", "\u{80}", "\u{ffff}", "\u{10ffff}"];
    let writes: Vec<KvWrite> = all.iter().rev().map(|key| put(key, "x", key)).collect();
    applied(&lab, &mut holder, 1, &writes).await;
    assert_eq!(keys(&lab, "", None, 100).await, all);
    assert_eq!(keys(&lab, "a", None, 100).await, ["a", "a\0", "a\0b", "aa", "ab"]);
    assert_eq!(keys(&lab, "a", Some("a"), 2).await, ["a\0", "a\0b"]);
    assert_eq!(keys(&lab, "a", Some("a\0b"), 2).await, ["aa", "ab"]);
    assert_eq!(keys(&lab, "a", Some("ab"), 2).await, [""; 0]);
    // A last key from outside the prefix.
    assert_eq!(keys(&lab, "a", Some("A"), 1).await, ["a"]);
    assert_eq!(keys(&lab, "a", Some("b"), 9).await, [""; 0]);
    assert_eq!(keys(&lab, "\u{10ffff}", None, 9).await, ["\u{10ffff}"]);
    assert_eq!(keys(&lab, "", None, 0).await, [""; 0]);
}

#[tokio::test]
async fn a_large_value_is_read_back_whole_and_counted() {
    let lab = Lab::new().await;
    let mut holder = lab.held("t").await;
    let large = "x".repeat(256 << 10);
    applied(&lab, &mut holder, 1, &[put("größer", &large, "v1")]).await;
    assert_eq!(found(&lab, "größer").await, Some(entry(&large, "v1")));
    let bytes = (large.len() + "größer".len()) as u64;
    assert_eq!(used(&lab, "größer").await, KvUse { total: bytes, entry: bytes });
    assert_eq!(used(&lab, "another").await, KvUse { total: bytes, entry: 0 });
}

#[tokio::test]
async fn tenants_and_scopes_do_not_see_each_other() {
    let lab = Lab::new().await;
    let (mut one, mut two) = (lab.held("t").await, lab.held("u").await);
    applied(&lab, &mut one, 1, &[put("a", "of t", "v1")]).await;
    let elsewhere = KvKey { scope: "[\"agent\",\"other\"]".to_owned(), key: "a".to_owned() };
    let write = KvWrite { at: elsewhere.clone(), entry: Some(entry("elsewhere", "v2")) };
    applied(&lab, &mut one, 2, &[write]).await;
    applied(&lab, &mut two, 1, &[put("a", "of u", "v3"), put("b", "of u", "v4")]).await;
    applied(&lab, &mut two, 2, &[delete("a")]).await;
    assert_eq!(found(&lab, "a").await, Some(entry("of t", "v1")));
    assert_eq!(lab.store.kv_entry(&tenant("t"), &elsewhere).await.unwrap(), Some(entry("elsewhere", "v2")));
    assert_eq!(lab.store.kv_entry(&tenant("u"), &at("a")).await.unwrap(), None);
    assert_eq!(keys(&lab, "", None, 9).await, ["a"]);
    assert_eq!(used(&lab, "a").await, KvUse { total: 5, entry: 5 });
    assert_eq!(lab.store.kv_used(&tenant("u"), &at("b")).await.unwrap(), KvUse { total: 5, entry: 5 });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn after_any_changes_the_values_and_their_totals_are_those_of_a_map(
        groups in proptest::collection::vec(proptest::collection::vec((0_u8..5, proptest::option::of(0_usize..40)), 0..9), 1..9)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lab = Lab::new().await;
            let mut holder = lab.held("t").await;
            let mut map = BTreeMap::new();
            for (idx, changes) in (1_u32..).zip(&groups) {
                let mut writes = Vec::new();
                for (key, len) in changes {
                    let (key, value) = (format!("k{key}"), len.map(|len| "x".repeat(len)));
                    writes.push(match &value {
                        Some(value) => put(&key, value, "v"),
                        None => delete(&key),
                    });
                    match value {
                        Some(value) => drop(map.insert(key, value)),
                        None => drop(map.remove(&key)),
                    }
                }
                applied(&lab, &mut holder, idx, &writes).await;
                let total: usize = map.iter().map(|(key, value)| key.len() + value.len()).sum();
                assert_eq!(used(&lab, "").await.total, total as u64);
            }
            assert_eq!(keys(&lab, "", None, 100).await, map.keys().cloned().collect::<Vec<_>>());
            for (key, value) in &map {
                assert_eq!(found(&lab, key).await, Some(entry(value, "v")));
            }
        });
    }
}
