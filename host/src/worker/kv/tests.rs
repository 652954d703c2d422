//! Who shares which values, what conditions and bounds do, and that an answer is true of the very entry that it is about.

use kennel_protocol::fold::Fold;
use kennel_protocol::types::{StreamResponse, Task, TaskState, TaskStatus};
use kennel_protocol::{ContextId, PrincipalId, Seq, Ver};
use kennel_store::{
    Clock, Inbound, NewAnswer, NewCall, NewTask, Pokes, Position, StoreOptions, Stored, TaskKey, claim_of,
};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::owner::SCOPES;
use super::*;
use crate::worker::lane::{Lane, Start};

/// A store and runs on it.
struct Lab {
    store: Arc<Store>,
    _folder: TempDir,
}

impl Lab {
    async fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { pokes: Pokes::On, clock: Clock::system(), trial: Default::default() };
        Lab { store: Arc::new(Store::open(folder.path(), options).await.unwrap()), _folder: folder }
    }

    fn run(&self, agent: &str, principal: &str, context: &str) -> Runner {
        let owner = Owner {
            tenant: TenantId::default_tenant(),
            agent: agent.parse().unwrap(),
            context: context.parse().unwrap(),
            principal: principal.parse().unwrap(),
            task: TaskId::generate(),
            granted: SCOPES.to_vec(),
        };
        let store = Arc::clone(&self.store);
        let values = Values { store, owner, bytes_max: 64 << 20, unwritten: false, trusted: HashMap::new() };
        Runner { values, calls: 0, overtaken: 0 }
    }
}

/// A run without a task, and how often somebody else is faster.
struct Runner {
    values: Values,
    calls: u32,
    overtaken: u32,
}

impl Runner {
    async fn call(&mut self, call: Call) -> Result<Answer, GuestError> {
        self.calls += 1;
        let direct = self.values.direct(self.calls);
        match self.values.carry_out(call, &mut Overtaken { direct, times: self.overtaken }).await {
            Ok(Given::Value(answer) | Given::Changed(answer)) => Ok(answer),
            Err(Refusal::Guest(error)) => Err(error),
            Err(Refusal::Abandon | Refusal::HostFault) => panic!("given up"),
        }
    }

    async fn put(&mut self, scope: KvScope, key: &str, value: &str) -> Result<String, GuestError> {
        let value = Bytes::copy_from_slice(value.as_bytes());
        match self.call(Call::KvPut { scope, key: key.to_owned(), value }).await? {
            Answer::Version(version) => Ok(version),
            other => panic!("{other:?}"),
        }
    }

    async fn get(&mut self, scope: KvScope, key: &str) -> Option<String> {
        match self.call(Call::KvGet { scope, key: key.to_owned() }).await.unwrap() {
            Answer::Entry(entry) => entry.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    async fn swap(&mut self, key: &str, expected: Option<&str>, value: &str) -> Result<KvSwapped, GuestError> {
        let (value, expected) = (Bytes::copy_from_slice(value.as_bytes()), expected.map(str::to_owned));
        let call = Call::KvSwap { scope: KvScope::Agent, key: key.to_owned(), expected, value };
        match self.call(call).await? {
            Answer::Swapped(swapped) => Ok(swapped),
            other => panic!("{other:?}"),
        }
    }

    async fn delete(&mut self, key: &str) -> Result<bool, GuestError> {
        match self.call(Call::KvDelete { scope: KvScope::Agent, key: key.to_owned() }).await? {
            Answer::Flag(there) => Ok(there),
            other => panic!("{other:?}"),
        }
    }
}

/// Somebody else writes the same key just before each of the first changes.
struct Overtaken {
    direct: Direct,
    times: u32,
}

impl Writing for Overtaken {
    fn number(&self) -> u32 {
        self.direct.number()
    }

    async fn flush(&mut self) -> Result<(), Refusal> {
        self.direct.flush().await
    }

    async fn write(&mut self, answer: &Answer, write: KvWrite) -> Result<(), Refusal> {
        self.direct.write(answer, write).await
    }

    async fn write_if(&mut self, answer: &Answer, write: KvWrite, expect: KvExpect) -> Result<bool, Refusal> {
        if self.times > 0 {
            self.times -= 1;
            let value = Bytes::from_static(b"of another");
            let entry = Some(kennel_store::KvEntry { value, version: format!("theirs-{}", self.times) });
            self.direct.change(KvWrite { at: write.at.clone(), entry }, None).await?;
        }
        self.direct.write_if(answer, write, expect).await
    }
}

#[tokio::test]
async fn a_scope_is_shared_by_those_it_names_and_by_nobody_else() {
    let lab = Lab::new().await;
    let mut ada = lab.run("notes", "ada", "talk");
    for scope in SCOPES {
        ada.put(scope, "k", name(scope)).await.unwrap();
    }
    let seen = |agent, principal, context| {
        let mut run = lab.run(agent, principal, context);
        async move {
            let mut seen = Vec::new();
            for scope in SCOPES {
                seen.push(run.get(scope, "k").await.is_some());
            }
            // agent, context, caller, tenant
            seen
        }
    };
    assert_eq!(seen("notes", "ada", "talk").await, [true, true, true, true]);
    assert_eq!(seen("notes", "ada", "other").await, [true, false, true, true]);
    assert_eq!(seen("notes", "bob", "talk").await, [true, false, false, true]);
    assert_eq!(seen("other", "ada", "talk").await, [false, false, false, true]);
}

#[tokio::test]
async fn names_cannot_be_made_to_meet() {
    let lab = Lab::new().await;
    let place = |agent: &str, principal: &str, context: &str, scope| {
        lab.run(agent, principal, context).values.owner.scope(scope).unwrap()
    };
    let caller = place("a", "b\",\"c", "d", KvScope::Caller);
    let context = place("a", "b", "c", KvScope::Context);
    assert_ne!(caller.replace("caller", "context"), context);
    assert_eq!(context, r#"["context","a","b","c"]"#);
}

#[tokio::test]
async fn what_is_not_granted_is_denied_with_its_cure() {
    let lab = Lab::new().await;
    let mut run = lab.run("notes", "ada", "talk");
    run.values.owner.granted = vec![KvScope::Context];
    let denied = run.put(KvScope::Agent, "k", "v").await.unwrap_err();
    assert_eq!((denied.kind, denied.code.as_str()), (ErrorKind::Denied, "kv.agent"));
    assert!(denied.message.contains("kind `kv`"), "{}", denied.message);
    assert!(run.put(KvScope::Context, "k", "v").await.is_ok());
    let mut nobody = lab.run("notes", "", "talk");
    let denied = nobody.put(KvScope::Caller, "k", "v").await.unwrap_err();
    assert_eq!((denied.kind, denied.code.as_str()), (ErrorKind::Denied, "kv.caller"));
    assert!(denied.message.contains("sign in"), "{}", denied.message);
    assert!(nobody.put(KvScope::Context, "k", "v").await.is_ok());
}

#[tokio::test]
async fn a_version_is_of_one_call_of_one_task() {
    let lab = Lab::new().await;
    let (one, two) = (lab.run("notes", "ada", "talk"), lab.run("notes", "ada", "talk"));
    let version = |run: &Runner, n| run.values.owner.version(n);
    assert_eq!(version(&one, 7), version(&one, 7));
    assert_ne!(version(&one, 7), version(&one, 8));
    assert_ne!(version(&one, 7), version(&two, 7));
    assert_eq!(version(&one, 7).len(), 32);
}

#[tokio::test]
async fn a_swap_wins_only_over_the_version_that_it_names() {
    let lab = Lab::new().await;
    let mut run = lab.run("notes", "ada", "talk");
    let KvSwapped::Done(first) = run.swap("k", None, "one").await.unwrap() else { panic!("there was nothing") };
    let entry = KvEntry { value: Bytes::from_static(b"one"), version: first.clone() };
    assert_eq!(run.swap("k", None, "two").await.unwrap(), KvSwapped::Conflict(Some(entry)));
    assert!(matches!(run.swap("k", Some(&first), "two").await.unwrap(), KvSwapped::Done(_)));
    assert_eq!(run.swap("new", Some(&first), "x").await.unwrap(), KvSwapped::Conflict(None));
    run.overtaken = 1;
    let KvSwapped::Conflict(Some(theirs)) = run.swap("fresh", None, "x").await.unwrap() else { panic!("it won") };
    assert_eq!(theirs.value, "of another");
}

#[tokio::test]
async fn a_delete_tells_of_the_entry_that_goes_and_gives_up_in_the_end() {
    let lab = Lab::new().await;
    let mut run = lab.run("notes", "ada", "talk");
    assert!(!run.delete("k").await.unwrap());
    run.put(KvScope::Agent, "k", "v").await.unwrap();
    run.overtaken = 3;
    assert!(run.delete("k").await.unwrap());
    assert_eq!(run.get(KvScope::Agent, "k").await, None);
    run.put(KvScope::Agent, "k", "v").await.unwrap();
    run.overtaken = u32::MAX;
    let error = run.delete("k").await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str(), error.retryable), (ErrorKind::Unavailable, "kv.busy", true));
}

#[tokio::test]
async fn a_scope_that_is_full_takes_no_more_until_something_goes() {
    let lab = Lab::new().await;
    let mut run = lab.run("notes", "ada", "talk");
    run.values.bytes_max = 33;
    for key in ["a", "b", "c"] {
        run.put(KvScope::Agent, key, "0123456789").await.unwrap();
    }
    let error = run.put(KvScope::Agent, "d", "").await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Limit, "kv-bytes"));
    assert_eq!(run.swap("d", None, "").await.unwrap_err().code, "kv-bytes");
    run.put(KvScope::Agent, "a", "9876543210").await.expect("it takes the place of another as large");
    run.put(KvScope::Context, "d", "").await.expect("another scope");
    assert!(run.delete("b").await.unwrap());
    run.put(KvScope::Agent, "d", "").await.expect("there is room again");
}

#[tokio::test]
async fn a_run_looks_again_before_it_has_written_what_it_trusts() {
    let lab = Lab::new().await;
    let (mut one, mut two) = (lab.run("notes", "ada", "talk"), lab.run("notes", "ada", "talk"));
    let value = "x".repeat(256 << 10);
    let mut written = 0;
    // Two runs in turn: near the bound each looks every time.
    let error = loop {
        let run = if written % 2 == 0 { &mut one } else { &mut two };
        match run.put(KvScope::Agent, &format!("{written:04}"), &value).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.code.as_str(), written), ("kv-bytes", 255));
    let range = Call::KvKeys { scope: KvScope::Agent, prefix: String::new(), after: None, limit: u32::MAX };
    let Ok(Answer::Names(names)) = one.call(range).await else { panic!("no keys") };
    assert_eq!(names.len(), 255);
}

/// The lane of a new task.
async fn lane(lab: &Lab) -> Lane {
    let (key, context) =
        (TaskKey { tenant: TenantId::default_tenant(), task: TaskId::generate() }, ContextId::generate());
    let now = lab.store.clock().now();
    let status = TaskStatus { state: TaskState::Working, message: None, timestamp: Some(now) };
    let event = StreamResponse::Task(Task {
        id: key.task.clone(),
        context_id: context.clone(),
        status,
        artifacts: None,
        history: Vec::new(),
        metadata: None,
    });
    let new = NewTask {
        key,
        owner: PrincipalId::anonymous(),
        context,
        agent: "notes".parse().unwrap(),
        digest: kennel_protocol::Digest::from_bytes([7; 32]),
        created: now,
        expires: now,
        request: Bytes::from_static(b"{}"),
        event: serde_json::to_vec(&event).unwrap().into(),
        message: Inbound { message_id: "m".to_owned(), hash: [0; 32], stored: Stored::plain("{}") },
        start: kennel_store::Start::Leased,
        parent: None,
    };
    let claim = claim_of(&new).unwrap();
    lab.store.accept(new).await.unwrap();
    let mut fold = Fold::default();
    fold.apply(Seq::FIRST, &event).unwrap();
    let at = Position { ver: Ver::new(1), rev: Seq::FIRST };
    let start = Start { at, fold, calls: 0, pace: Default::default(), tried: false, suspect: None };
    Lane::new(Arc::clone(&lab.store), claim, TaskTracker::new(), start, crate::work::Accept::Done)
}

fn row(idx: u32) -> NewCall {
    NewCall {
        idx,
        generation: 1,
        call: "kv.swap",
        hash: [0; 32],
        request: String::new(),
        answer: Some(NewAnswer { result: Stored::plain("{}"), at_us: 1 }),
        seq: None,
        due: None,
        asked_us: 1,
        cpu_us: 1,
    }
}

fn at(key: &str) -> KvKey {
    KvKey { scope: "s".to_owned(), key: key.to_owned() }
}

fn write(key: &str, version: &str) -> KvWrite {
    let entry = kennel_store::KvEntry { value: Bytes::from_static(b"v"), version: version.to_owned() };
    KvWrite { at: at(key), entry: Some(entry) }
}

fn absent(key: &str) -> KvExpect {
    KvExpect { at: at(key), version: None }
}

async fn version(lab: &Lab, key: &str) -> Option<String> {
    lab.store.kv_entry(&TenantId::default_tenant(), &at(key)).await.unwrap().map(|entry| entry.version)
}

#[tokio::test]
async fn a_conflict_leaves_the_lane_as_it_was() {
    let lab = Lab::new().await;
    let lane = lane(&lab).await;
    lane.change(row(1), write("a", "v1")).await.unwrap();
    assert!(!lane.change_if(row(2), write("a", "v2"), absent("a")).await.unwrap());
    assert!(lane.change_if(row(2), write("b", "v2"), absent("b")).await.unwrap());
    lane.change(row(3), write("a", "v3")).await.unwrap();
    lane.flush().await.unwrap();
    assert_eq!((version(&lab, "a").await, version(&lab, "b").await), (Some("v3".to_owned()), Some("v2".to_owned())));
    let end = lab.store.journal_end(lane.claim().key()).await.unwrap();
    assert_eq!((end.last, end.counted), (3, 3));
}

#[tokio::test]
async fn a_change_whose_guest_was_stopped_meanwhile_comes_to_its_end() {
    let lab = Lab::new().await;
    let lane = lane(&lab).await;
    lane.change(row(1), write("a", "v1")).await.unwrap();
    lane.flush().await.unwrap();
    for (key, idx, last) in [("b", 2, 2), ("a", 3, 2)] {
        tokio::select! {
            biased;
            _ = lane.change_if(row(idx), write(key, "v2"), absent(key)) => panic!("it did not wait for the disk"),
            () = std::future::ready(()) => {}
        }
        lane.flush().await.unwrap();
        let end = lab.store.journal_end(lane.claim().key()).await.unwrap();
        assert_eq!((end.last, end.counted), (last, last));
    }
    assert_eq!((version(&lab, "a").await, version(&lab, "b").await), (Some("v1".to_owned()), Some("v2".to_owned())));
}
