//! The 1 ms tick that makes running guests yield, and the extra ticks by which a stop reaches a spinning one.
//!
//! Never here: time limits. A tick only yields; what to do then is decided by the meter, which the yield returns to.
//! Made by `sandbox.rs`; used by `run.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use wasmtime::Engine;

/// How long a guest runs at most before others of its thread get their turn.
const TICK: Duration = Duration::from_millis(1);

/// Least time between two extra ticks. Each makes every running guest yield, so a storm of stops must not multiply them.
const KICK_GAP_US: u64 = 100;

/// A thread that advances the epoch of all engines while guests are live, and sleeps while there are none.
pub(crate) struct Ticker {
    beat: Beat,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    engines: Vec<Engine>,
    /// Guests between their start and their end.
    live: AtomicUsize,
    stop: AtomicBool,
    started: Instant,
    /// Microseconds after `started` of the last extra tick.
    kicked_us: AtomicU64,
}

/// Lets a guest tick while it lives, and be kicked.
#[derive(Clone)]
pub(crate) struct Beat {
    shared: Arc<Shared>,
    thread: Thread,
}

/// Keeps the ticker awake until dropped.
pub(crate) struct Live(Arc<Shared>);

impl Ticker {
    /// Starts the thread. Engines share one ticker, so that a second profile costs no second thread.
    pub(crate) fn start(engines: Vec<Engine>) -> std::io::Result<Ticker> {
        let shared = Arc::new(Shared {
            engines,
            live: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            started: Instant::now(),
            kicked_us: AtomicU64::new(0),
        });
        let ticking = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("kennel-tick".to_owned()).spawn(move || ticking.run())?;
        let beat = Beat { shared, thread: thread.thread().clone() };
        Ok(Ticker { beat, thread: Some(thread) })
    }

    /// What runs hold of the ticker.
    pub(crate) fn beat(&self) -> Beat {
        self.beat.clone()
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.beat.shared.stop.store(true, Ordering::Release);
        self.beat.thread.unpark();
        if let Some(thread) = self.thread.take() {
            // The thread ends within one tick. It cannot have panicked: it only counts and parks.
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        while !self.stop.load(Ordering::Acquire) {
            if self.live.load(Ordering::Acquire) == 0 {
                // Idle hosts must not wake a thousand times a second. A lost wake-up cannot happen: `unpark` before
                // `park` makes `park` return at once.
                std::thread::park();
            } else {
                std::thread::park_timeout(TICK);
                self.tick();
            }
        }
    }

    fn tick(&self) {
        for engine in &self.engines {
            engine.increment_epoch();
        }
    }
}

impl Beat {
    /// Says that a guest lives from now until the value is dropped.
    pub(crate) fn live(&self) -> Live {
        if self.shared.live.fetch_add(1, Ordering::AcqRel) == 0 {
            self.thread.unpark();
        }
        Live(Arc::clone(&self.shared))
    }

    /// Makes running guests yield now, unless that was done within the last 100 µs: then the next tick must do.
    pub(crate) fn kick(&self) {
        let now = u64::try_from(self.shared.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let last = self.shared.kicked_us.load(Ordering::Relaxed);
        let free = now.saturating_sub(last) >= KICK_GAP_US;
        let won = || self.shared.kicked_us.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if free && won() {
            self.shared.tick();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::AcqRel);
    }
}
