//! What is loaded, what is refused and why, and what the cache keeps.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use kennel_protocol::Digest;

use super::fixture::{Card, GuestText, Home, Worker, component_of, guest, open, start};
use crate::cache::Cache;
use crate::engine::{Allocation, Profile, ProfileName};
use crate::{End, Limits, LoadError};

/// A guest that calls a function of the component model's concurrency, as QuickJS builds do.
fn concurrent() -> Bytes {
    GuestText {
        imports: r#"(import "$root" "[waitable-set-new]" (func $new (result i32)))"#,
        run: "(drop (call $new)) (i32.const 0)",
        ..GuestText::default()
    }
    .component()
}

async fn refusal(component: &Bytes) -> LoadError {
    Home::new().sandbox.compile(component.clone()).await.err().unwrap()
}

#[tokio::test]
async fn an_agent_knows_its_digest_and_its_card() {
    let home = Home::new();
    let component = GuestText {
        card: Card {
            skill_ids: vec!["one", "two"],
            icon_url: Some("https://example.org/i.png"),
            extra: Some(r#"{"a":1}"#),
            ..Card::default()
        },
        ..GuestText::default()
    }
    .component();
    let agent = home.agent(&component).await;
    assert_eq!(agent.digest().to_string().len(), 64);
    let card = agent.card();
    assert_eq!((card.name.as_str(), card.version.as_str()), ("tester", "1.2.3"));
    assert_eq!(card.skills.iter().map(|skill| skill.id.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(card.input_modes, ["text/plain"]);
    assert_eq!(card.icon_url.as_deref(), Some("https://example.org/i.png"));
    assert_eq!(card.extra.as_ref().unwrap().get(), r#"{"a":1}"#);
    assert!(card.provider.is_none() && card.settings.is_empty() && card.hints.typical_ms.is_none());
}

#[tokio::test]
async fn a_card_that_breaks_a_rule_is_refused_by_its_field() {
    let check = async |card: Card, expected: &str| {
        let component = GuestText { card, ..GuestText::default() }.component();
        match refusal(&component).await {
            LoadError::Card { field, .. } => assert_eq!(field, expected),
            other => panic!("{other}"),
        }
    };
    check(Card { skill_ids: Vec::new(), ..Card::default() }, "skills").await;
    check(Card { skill_ids: vec!["a", "b", "a"], ..Card::default() }, "skills[2].id").await;
    check(Card { modes: Vec::new(), ..Card::default() }, "default-input-modes").await;
    check(Card { icon_url: Some("/i.png"), ..Card::default() }, "icon-url").await;
    check(Card { extra: Some("[]"), ..Card::default() }, "extra").await;
}

#[tokio::test]
async fn a_module_that_is_no_component_is_told_how_to_become_one() {
    let module = Bytes::from(wat::parse_str("(module)").unwrap());
    assert!(refusal(&module).await.to_string().contains("--target wasm32-wasip2"));
    let broken = Bytes::from_static(b"\0asm\x0d\0\x01\0 not more than a start");
    assert!(matches!(refusal(&broken).await, LoadError::NotAComponent(_)));
}

#[tokio::test]
async fn a_component_without_our_exports_is_no_agent() {
    let component = Bytes::from(wat::parse_str("(component)").unwrap());
    let text = refusal(&component).await.to_string();
    assert!(text.contains("does not export `kennel:agent/agent@0.1.0`"), "{text}");
}

#[tokio::test]
async fn a_component_of_a_later_contract_says_which_one_it_needs() {
    let import = r#"(component (import "kennel:agent/later@0.1.7" (instance (export "f" (func)))))"#;
    let error = refusal(&Bytes::from(wat::parse_str(import).unwrap())).await;
    assert!(error.to_string().starts_with("The component needs kennel:agent 0.1.7, this host has 0.1.0"), "{error}");
    let foreign = r#"(component (import "other:thing/x@1.0.0" (instance (export "f" (func)))))"#;
    let error = refusal(&Bytes::from(wat::parse_str(foreign).unwrap())).await;
    assert!(matches!(&error, LoadError::Unfit(text) if text.contains("other:thing/x")), "{error}");
    let wrong = r#"(component (import "kennel:agent/ambient@0.1.0" (instance (export "now" (func (result u32))))))"#;
    let error = refusal(&Bytes::from(wat::parse_str(wrong).unwrap())).await;
    assert!(matches!(&error, LoadError::Unfit(text) if text.contains("now")), "{error}");
}

#[tokio::test]
async fn a_describe_that_never_returns_or_traps_is_refused() {
    let describe = |body: &str| {
        component_of(&format!(
            r#"(module (memory (export "memory") 1)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
                (func (export "kennel:agent/card@0.1.0#describe") (result i32) {body})
                (func (export "kennel:agent/agent@0.1.0#run") (param i32) (result i32) (i32.const 0)))"#
        ))
    };
    let error = refusal(&describe("unreachable")).await;
    assert!(matches!(&error, LoadError::Describe { operator, .. } if operator.contains("unreachable")), "{error}");
    let error = refusal(&describe("(loop $l (br $l)) unreachable")).await;
    assert!(error.to_string().contains("1s of processor time"), "{error}");
}

#[tokio::test]
async fn a_second_start_compiles_nothing() {
    let home = Home::new();
    let component = guest("i32.const 0");
    drop(home.agent(&component).await);
    let files = home.compiled();
    assert_eq!(files.len(), 1);
    assert!(files[0].to_string_lossy().contains("-plain-"));
    let before = fs::metadata(&files[0]).unwrap();
    assert_eq!(before.permissions().mode() & 0o777, 0o600);
    let agent = open(&home.dir).compile(component).await.unwrap();
    assert_eq!(fs::metadata(&files[0]).unwrap().ino(), before.ino(), "a file that is compiled again is another file");
    let end = start(&agent, Worker::new().0, Limits::default()).finish().await.end;
    assert!(matches!(end, End::Outcome(_)), "{end:?}");
}

/// Whether a file was replaced by loading the component once more, after `damage` was done to it.
async fn is_replaced(damage: impl Fn(&Home, &PathBuf)) -> bool {
    let home = Home::new();
    let component = guest("i32.const 0");
    drop(home.agent(&component).await);
    let file = home.compiled().remove(0);
    damage(&home, &file);
    let before = fs::metadata(&file).unwrap().ino();
    let agent = open(&home.dir).compile(component).await.unwrap();
    let end = start(&agent, Worker::new().0, Limits::default()).finish().await.end;
    assert!(matches!(end, End::Outcome(_)), "{end:?}");
    fs::metadata(&file).unwrap().ino() != before
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_compiled_again() {
    assert!(!is_replaced(|_, _| {}).await);
    let flip = |_: &Home, file: &PathBuf| {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    };
    assert!(is_replaced(flip).await);
    assert!(is_replaced(|_, file| fs::write(file, b"short").unwrap()).await);
    let other_key = |home: &Home, _: &PathBuf| fs::write(home.dir.path().join("cache/cache.key"), [1; 32]).unwrap();
    assert!(is_replaced(other_key).await);
    let public_key = |home: &Home, _: &PathBuf| {
        fs::set_permissions(home.dir.path().join("cache/cache.key"), fs::Permissions::from_mode(0o644)).unwrap();
    };
    assert!(is_replaced(public_key).await, "a key that others could read vouches for nothing");
}

#[tokio::test]
async fn a_sound_file_under_another_name_is_compiled_again() {
    let home = Home::new();
    let (good, other) = (guest("i32.const 0"), guest("unreachable"));
    drop(home.agent(&good).await);
    let good_file = home.compiled().remove(0);
    drop(home.agent(&other).await);
    let other_file = home.compiled().into_iter().find(|file| *file != good_file).unwrap();
    fs::copy(&other_file, &good_file).unwrap();
    let agent = open(&home.dir).compile(good).await.unwrap();
    let end = start(&agent, Worker::new().0, Limits::default()).finish().await.end;
    assert!(matches!(end, End::Outcome(_)), "{end:?}");
}

#[tokio::test]
async fn a_component_that_needs_concurrency_gets_the_second_profile() {
    let home = Home::new();
    let agent = home.agent(&concurrent()).await;
    assert!(home.compiled()[0].to_string_lossy().contains("-concurrent-"));
    let end = start(&agent, Worker::new().0, Limits::default()).finish().await.end;
    assert!(matches!(end, End::Outcome(_)), "{end:?}");
    // From the cache as well, though the plain profile is asked first.
    let again = open(&home.dir).compile(concurrent()).await.unwrap();
    assert_eq!(again.digest(), agent.digest());
    assert_eq!(home.compiled().len(), 1);
}

#[tokio::test]
async fn a_spinning_guest_of_the_second_profile_yields_too() {
    let home = Home::new();
    let spinning = GuestText {
        imports: r#"(import "$root" "[waitable-set-new]" (func $new (result i32)))"#,
        run: "(drop (call $new)) (loop $l (br $l)) unreachable",
        ..GuestText::default()
    };
    let agent = home.agent(&spinning.component()).await;
    let limits = Limits { cpu_live_max: std::time::Duration::from_millis(20), ..Limits::default() };
    let end = start(&agent, Worker::new().0, limits).finish().await.end;
    assert!(matches!(end, End::Trap(_)), "{end:?}");
}

#[test]
fn an_engine_without_a_pool_runs_the_same_components() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    let profile = Profile::with(ProfileName::Plain, &limits, Allocation::OnDemand).unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let profiles = [profile];
    let loaded = crate::load::load(&profiles, &cache, &guest("i32.const 0"), &limits).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let ticker = crate::ticker::Ticker::start(vec![profiles[0].engine.clone()]).unwrap();
    let instances = Arc::new(tokio::sync::Semaphore::new(1));
    let place = crate::run::Place { beat: ticker.beat(), instances, budget: crate::budget::Budget::new(1 << 20) };
    let card = runtime.block_on(crate::describe::describe(place, loaded.plugin, limits)).unwrap();
    assert_eq!(card.name, "tester");
}

#[tokio::test]
async fn many_loads_at_once_are_done_one_after_another() {
    let home = Home::new();
    let component = guest("i32.const 0");
    let loads = (0..8).map(|_| home.sandbox.compile(component.clone()));
    let loaded = futures_util::future::join_all(loads).await;
    assert!(loaded.iter().all(Result::is_ok));
    assert_eq!(home.compiled().len(), 1);
}

#[test]
fn compiled_components_that_nobody_needs_go_oldest_first_when_there_is_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    let digests: Vec<Digest> = (0..5).map(|n| Digest::from_bytes([n; 32])).collect();
    let file = |n: usize| dir.path().join(format!("{}-plain-0123456789abcdef.cwasm", digests[n]));
    let half = dir.path().join(format!(".{}-plain-0123456789abcdef.cwasm.1-0", digests[4]));
    let written = |path: &PathBuf, age_s: u64| {
        fs::write(path, [0; 1_000]).unwrap();
        let at = fs::metadata(path).unwrap().modified().unwrap() - std::time::Duration::from_secs(age_s);
        fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
    };
    // The oldest is needed; then comes half a file of a host that was ended.
    for (path, age_s) in [(file(0), 50), (half.clone(), 40), (file(1), 30), (file(2), 20), (file(3), 10)] {
        written(&path, age_s);
    }
    let needed = HashSet::from([digests[0]]);
    let left = || [file(0), half.clone(), file(1), file(2), file(3)].map(|path| path.exists());
    assert_eq!((cache.bytes().unwrap(), cache.prune(&needed, 5_000).unwrap()), (5_000, 0));
    assert_eq!(cache.prune(&needed, 3_500).unwrap(), 2_000);
    assert_eq!(left(), [true, false, false, true, true]);
    assert_eq!(cache.prune(&needed, 0).unwrap(), 2_000);
    assert_eq!(left(), [true, false, false, false, false], "what is needed stays, whatever the bound");
    assert!(dir.path().join("cache.key").exists());
}
