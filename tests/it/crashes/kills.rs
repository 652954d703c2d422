//! Random kills: clients that create, stream, answer and cancel, while their host is killed over and over and at any moment.
//!
//! 50 kills; more by `KENNEL_KILLS=500 cargo test --test it kills -- --nocapture`, and the same again by `KENNEL_SEED=N`.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::warm;
use crate::checker::{Record, check};
use crate::client::Client;
use crate::harness::{Kennel, is_over, pause, state_of};

/// Clients at once.
const CLIENTS: u64 = 6;
/// How long anything may take a client, kills included.
const PATIENCE: Duration = Duration::from_secs(90);
/// Back at work after a start: from the start of the process to the end of a task that was begun after it.
const BACK_WITHIN: Duration = Duration::from_secs(1);

/// What clients and killer share.
struct Scene {
    record: Record,
    /// Where the host listens now, if it does.
    address: Mutex<Option<SocketAddr>>,
    over: AtomicBool,
    /// Tasks that came to their end before a client's eyes.
    ended: AtomicUsize,
}

/// Random enough, and the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

impl Scene {
    fn client(&self) -> io::Result<Client<'_>> {
        let address = *self.address.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Client::at(address.ok_or(io::ErrorKind::NotConnected)?, &self.record))
    }

    /// Does something as often as the host makes necessary.
    fn insist<T>(&self, what: &str, mut act: impl FnMut(Client<'_>) -> io::Result<T>) -> T {
        let began = Instant::now();
        loop {
            match self.client().and_then(&mut act) {
                Ok(done) => return done,
                Err(error) => {
                    assert!(began.elapsed() < PATIENCE, "{what}: {error}");
                    pause();
                }
            }
        }
    }

    /// Brings a task to its end, by what its client says whenever it may.
    fn finish(&self, agent: &str, task: &str, lines: &[&str]) {
        let (began, mut said) = (Instant::now(), 0);
        loop {
            let found = self.insist(task, |client| client.task(agent, task));
            if is_over(&found) {
                assert!(!state_of(&found).ends_with("FAILED"), "{found:#}");
                self.ended.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let listens = state_of(&found).ends_with("INPUT_REQUIRED") || agent == "mischief";
            if let Some(line) = lines.get(said).filter(|_| listens) {
                let id = format!("{task}-{said}");
                let answer = self.insist(task, |client| client.send_as(agent, &id, Some(task), line));
                said += usize::from(answer.get("error").is_none());
            }
            assert!(began.elapsed() < PATIENCE, "{agent} {task} does not end: {found:#}");
            pause();
        }
    }

    /// One client's life.
    fn live(&self, mut dice: Dice) {
        while !self.over.load(Ordering::Relaxed) {
            match dice.below(7) {
                0 => self.stream("countdown", "6 every 15ms"),
                1 => self.stream("wanderer", "long 12"),
                2 => self.talk("interview", "begin", &["Ada", "red"]),
                3 => self.talk("mischief", "mailbox", &["one", "two", "done"]),
                4 => self.give_up(),
                5 => self.talk("mischief", "sleep 60", &[]),
                _ => self.talk("echo", "hello", &[]),
            }
        }
    }

    fn talk(&self, agent: &str, text: &str, lines: &[&str]) {
        let task = self.insist(text, |client| client.begin(agent, text));
        self.finish(agent, &task, lines);
    }

    fn stream(&self, agent: &str, text: &str) {
        let (task, log) = self.insist(text, |client| client.stream(agent, text));
        self.insist(text, |client| client.resume(agent, &task, log));
        self.finish(agent, &task, &[]);
    }

    fn give_up(&self) {
        let task = self.insist("compensate", |client| client.begin("mischief", "compensate"));
        self.insist("cancel", |client| client.cancel("mischief", &task));
        self.finish("mischief", &task, &[]);
    }
}

/// How long starts took, in order.
#[derive(Default)]
struct Starts {
    listening: Vec<Duration>,
    back: Vec<Duration>,
}

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var_os(name).map(|value| value.to_str().unwrap().parse().unwrap());
    given.unwrap_or(otherwise)
}

/// Starts the host, lets it work for a moment, and kills it.
fn live_and_die(kennel: &mut Kennel, scene: &Scene, dice: &mut Dice, starts: &mut Starts) {
    let began = Instant::now();
    kennel.spawn();
    if dice.below(5) == 0 {
        // In the middle of the start.
        rest(dice.below(80));
    } else {
        kennel.listens();
        starts.listening.push(began.elapsed());
        *scene.address.lock().unwrap() = Some(kennel.address());
        let client = Client::of(kennel, &scene.record);
        let task = client.call("echo", "SendMessage", crate::harness::message("probe")).unwrap();
        assert_eq!(state_of(&task["result"]["task"]), "TASK_STATE_COMPLETED");
        starts.back.push(began.elapsed());
        // Few live long: what got nowhere twice is tried again after a second only.
        let long = if dice.below(8) == 0 { 1_200 } else { 0 };
        rest(long + dice.below(250));
    }
    *scene.address.lock().unwrap() = None;
    if dice.below(6) == 0 {
        // In the middle of an orderly end.
        kennel.terminate();
        rest(dice.below(60));
    }
    kennel.kill9();
}

#[expect(clippy::disallowed_methods, reason = "a kill must come at a moment that nothing announces")]
fn rest(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn shown(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: usize| times.get(times.len().saturating_sub(1) * part / 100).copied().unwrap_or_default();
    format!("p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100))
}

#[test]
fn random_kills_lose_nothing_and_show_nothing_twice() {
    let (kills, seed) = (number("KENNEL_KILLS", 50), number("KENNEL_SEED", 20_261_120));
    let mut kennel = warm(&["echo", "countdown", "interview", "mischief", "wanderer"]);
    let scene = Scene {
        record: Record::default(),
        address: Mutex::new(None),
        over: AtomicBool::new(false),
        ended: AtomicUsize::new(0),
    };
    let (mut starts, mut dice) = (Starts::default(), Dice(seed));
    let began = Instant::now();
    std::thread::scope(|threads| {
        for n in 1..=CLIENTS {
            let scene = &scene;
            threads.spawn(move || scene.live(Dice(seed * 31 + n)));
        }
        for _ in 0..kills {
            live_and_die(&mut kennel, &scene, &mut dice, &mut starts);
        }
        kennel.launch();
        *scene.address.lock().unwrap() = Some(kennel.address());
        scene.over.store(true, Ordering::Relaxed);
    });
    let elapsed = began.elapsed();
    // Tasks whose client never heard of them go on by themselves, or wait for it.
    kennel.stop();
    let database = check(&scene.record, kennel.data_folder());
    let failed: Vec<&str> =
        database.tasks.values().filter(|task| task.state == 4).map(|task| task.id.as_str()).collect();
    let events: usize = database.tasks.values().map(|task| task.events.len()).sum();
    eprintln!(
        "{kills} kills in {elapsed:?} (seed {seed}): {} tasks, {} ended before their clients, {events} events, {} frames, {} \
         messages acknowledged, 0 violations, {} failed\nlistening after {}\nback at work after {}",
        database.tasks.len(),
        scene.ended.load(Ordering::Relaxed),
        scene.record.frames(),
        scene.record.messages(),
        failed.len(),
        shown(&mut starts.listening),
        shown(&mut starts.back),
    );
    assert!(failed.is_empty(), "no agent here fails: {failed:?}");
    assert!(scene.ended.load(Ordering::Relaxed) > usize::try_from(kills).unwrap(), "clients got nothing done");
    let middle = starts.back[starts.back.len() / 2];
    assert!(middle < BACK_WITHIN, "back at work after {middle:?}");
}
