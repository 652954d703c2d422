//! `kv`: by hand, without a guest.

use bytes::Bytes;

use super::fixture::{Worker, check_error, state};
use crate::Limits;
use crate::bindings::kennel::agent::kv::{Host as _, Scope, Swapped};
use crate::call::{Answer, Call, ErrorKind, GuestError, KvEntry, KvScope, KvSwapped};
use crate::guest::{Failure, Guest};

fn answering(answer: Answer) -> Guest {
    limited(answer, Limits::default())
}

fn limited(answer: Answer, limits: Limits) -> Guest {
    state(Worker::answering(move |_| Some(Ok(answer.clone()))).0, limits)
}

fn entry() -> KvEntry {
    KvEntry { value: Bytes::from_static(b"value"), version: "v1".to_owned() }
}

/// The one call that the function makes.
async fn call_of(answer: Answer, function: impl AsyncFnOnce(&mut Guest)) -> Call {
    let (worker, notes) = Worker::answering(move |_| Some(Ok(answer.clone())));
    function(&mut state(worker, Limits::default())).await;
    let mut calls = std::mem::take(&mut notes.lock().unwrap().calls);
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

fn k() -> String {
    "k".to_owned()
}

#[tokio::test]
async fn every_scope_has_its_own_values() {
    for (scope, expected) in [
        (Scope::Agent, KvScope::Agent),
        (Scope::Context, KvScope::Context),
        (Scope::Caller, KvScope::Caller),
        (Scope::Tenant, KvScope::Tenant),
    ] {
        let call = call_of(Answer::Entry(None), async |guest| {
            assert!(guest.get(scope, k()).await.unwrap().is_none());
        });
        let call = call.await;
        assert!(matches!(&call, Call::KvGet { scope, key } if *scope == expected && key == "k"), "{call:?}");
    }
}

#[tokio::test]
async fn values_are_read_and_written() {
    let found = answering(Answer::Entry(Some(entry()))).get(Scope::Agent, k()).await.unwrap().unwrap();
    assert_eq!((&found.value[..], found.version.as_str()), (&b"value"[..], "v1"));
    let call = call_of(Answer::Version("v2".to_owned()), async |guest| {
        assert_eq!(guest.put(Scope::Tenant, k(), vec![1]).await.unwrap(), "v2");
    });
    let call = call.await;
    let is_expected = |call: &Call| matches!(call, Call::KvPut { scope: KvScope::Tenant, value, .. } if **value == [1]);
    assert!(is_expected(&call), "{call:?}");
    let call = call_of(Answer::Flag(true), async |guest| {
        assert!(guest.delete(Scope::Caller, k()).await.unwrap());
    });
    let call = call.await;
    assert!(matches!(&call, Call::KvDelete { scope: KvScope::Caller, key } if key == "k"), "{call:?}");
}

#[tokio::test]
async fn a_swap_is_done_or_shows_who_was_faster() {
    let call = call_of(Answer::Swapped(KvSwapped::Done("v2".to_owned())), async |guest| {
        let swapped = guest.swap(Scope::Context, k(), Some("v1".to_owned()), vec![2]).await.unwrap();
        assert!(matches!(swapped, Swapped::Done(version) if version == "v2"));
    });
    match call.await {
        Call::KvSwap { scope: KvScope::Context, key, expected: Some(expected), value } => {
            assert_eq!((key.as_str(), expected.as_str(), &value[..]), ("k", "v1", &[2][..]));
        }
        other => panic!("{other:?}"),
    }
    let mut guest = answering(Answer::Swapped(KvSwapped::Conflict(Some(entry()))));
    let swapped = guest.swap(Scope::Agent, k(), None, Vec::new()).await.unwrap();
    assert!(matches!(swapped, Swapped::Conflict(Some(found)) if found.version == "v1"));
    let mut guest = answering(Answer::Swapped(KvSwapped::Conflict(None)));
    assert!(matches!(guest.swap(Scope::Agent, k(), None, Vec::new()).await, Ok(Swapped::Conflict(None))));
}

#[tokio::test]
async fn keys_come_in_pages() {
    for (limit, expected) in [(7, 7), (1000, 1000), (5000, 1000)] {
        let call = call_of(Answer::Names(vec!["ab".to_owned()]), async |guest| {
            let keys = guest.keys(Scope::Agent, "a".to_owned(), Some("aa".to_owned()), limit).await;
            assert_eq!(keys.unwrap(), ["ab"]);
        });
        match call.await {
            Call::KvKeys { scope: KvScope::Agent, prefix, after: Some(after), limit } => {
                assert_eq!((prefix.as_str(), after.as_str(), limit), ("a", "aa", expected));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn keys_and_values_have_their_size() {
    let (worker, notes) = Worker::answering(|_| Some(Ok(Answer::Entry(None))));
    let mut guest = state(worker, Limits { kv_value_bytes_max: 4, ..Limits::default() });
    for key in [String::new(), "k".repeat(257)] {
        check_error(guest.get(Scope::Agent, key.clone()).await, ErrorKind::Invalid, "key");
        check_error(guest.put(Scope::Agent, key.clone(), Vec::new()).await, ErrorKind::Invalid, "key");
        check_error(guest.swap(Scope::Agent, key.clone(), None, Vec::new()).await, ErrorKind::Invalid, "key");
        check_error(guest.delete(Scope::Agent, key).await, ErrorKind::Invalid, "key");
    }
    check_error(guest.put(Scope::Agent, k(), vec![0; 5]).await, ErrorKind::Limit, "kv-value-bytes");
    check_error(guest.swap(Scope::Agent, k(), None, vec![0; 5]).await, ErrorKind::Limit, "kv-value-bytes");
    assert!(notes.lock().unwrap().calls.is_empty());
    assert!(guest.get(Scope::Agent, "k".repeat(256)).await.is_ok());
    let mut guest = limited(Answer::Version("v".to_owned()), Limits { kv_value_bytes_max: 4, ..Limits::default() });
    assert!(guest.put(Scope::Agent, k(), vec![0; 4]).await.is_ok());
}

#[tokio::test]
async fn more_than_one_call_can_carry_is_an_error() {
    let small = Limits { call_bytes_max: 3, ..Limits::default() };
    let mut guest = limited(Answer::Entry(Some(entry())), small.clone());
    check_error(guest.get(Scope::Agent, k()).await, ErrorKind::Limit, "call-bytes");
    let mut guest = limited(Answer::Swapped(KvSwapped::Conflict(Some(entry()))), small.clone());
    check_error(guest.swap(Scope::Agent, k(), None, Vec::new()).await, ErrorKind::Limit, "call-bytes");
    let mut guest = limited(Answer::Names(vec!["ab".to_owned(), "cd".to_owned()]), small);
    check_error(guest.keys(Scope::Agent, String::new(), None, 9).await, ErrorKind::Limit, "call-bytes");
}

#[tokio::test]
async fn errors_are_passed_on_and_other_answers_end_the_run() {
    let error = GuestError::new(ErrorKind::Denied, "kv.agent", "It is not granted.");
    let mut guest = state(Worker::refusing(error).0, Limits::default());
    check_error(guest.get(Scope::Agent, k()).await, ErrorKind::Denied, "kv.agent");
    check_error(guest.put(Scope::Agent, k(), Vec::new()).await, ErrorKind::Denied, "kv.agent");
    check_error(guest.swap(Scope::Agent, k(), None, Vec::new()).await, ErrorKind::Denied, "kv.agent");
    check_error(guest.delete(Scope::Agent, k()).await, ErrorKind::Denied, "kv.agent");
    check_error(guest.keys(Scope::Agent, k(), None, 1).await, ErrorKind::Denied, "kv.agent");
    let wrong = || answering(Answer::Done);
    assert!(matches!(wrong().get(Scope::Agent, k()).await, Err(Failure::Abandon)));
    assert!(matches!(wrong().put(Scope::Agent, k(), Vec::new()).await, Err(Failure::Abandon)));
    assert!(matches!(wrong().swap(Scope::Agent, k(), None, Vec::new()).await, Err(Failure::Abandon)));
    assert!(matches!(wrong().delete(Scope::Agent, k()).await, Err(Failure::Abandon)));
    assert!(matches!(wrong().keys(Scope::Agent, k(), None, 1).await, Err(Failure::Abandon)));
}
