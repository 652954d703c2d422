//! CPU time and the stop flag of one run: a wrapper around the future that polls the guest.
//!
//! Never here: ticks (they make the guest yield, `ticker.rs`) and limits of memory (`memory.rs`). Called by `run.rs`, and
//! by `guest.rs` from inside a poll.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use rustix::time::{ClockId, clock_gettime};

/// In `live_from_ns`: recorded work is still being repeated.
const NOT_LIVE: u64 = u64::MAX;

/// What is counted of one run, shared between the run and whoever may stop it.
pub(crate) struct Meter {
    /// CPU time of the polls that are over.
    cpu_ns: AtomicU64,
    /// CPU time of the polling thread when the poll under way began. Means something only inside that poll.
    begun_ns: AtomicU64,
    /// CPU time of the run when its live part began.
    live_from_ns: AtomicU64,
    stopped: AtomicBool,
    waker: AtomicWaker,
}

/// CPU time that a run may use: for repeating what is recorded, and from there on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuBudget {
    pub(crate) replay_max: Duration,
    pub(crate) live_max: Duration,
}

/// Why a guest's future was dropped before it was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// Somebody called [`Meter::stop`].
    Stopped,
    /// It used more CPU time than it may since it is live.
    Cpu,
    /// It used more CPU time than it may before it was live.
    ReplayCpu,
}

impl Meter {
    /// Of a run that has used nothing, and repeats recorded work until [`Meter::go_live`].
    pub(crate) fn new() -> Meter {
        Meter {
            cpu_ns: AtomicU64::new(0),
            begun_ns: AtomicU64::new(0),
            live_from_ns: AtomicU64::new(NOT_LIVE),
            stopped: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    /// Thread CPU time that polling the guest took so far, without the poll under way.
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed))
    }

    /// The same with the poll under way. Only from inside that poll: another thread has another clock.
    pub(crate) fn cpu_inside(&self) -> Duration {
        let begun = Duration::from_nanos(self.begun_ns.load(Ordering::Relaxed));
        self.cpu().saturating_add(thread_cpu().saturating_sub(begun))
    }

    /// The part of [`Meter::cpu_inside`] since the run is live. Only from inside the poll under way.
    pub(crate) fn live_cpu_inside(&self) -> Duration {
        self.cpu_inside().saturating_sub(Duration::from_nanos(self.live_from_ns.load(Ordering::Relaxed)))
    }

    /// The part of [`Meter::cpu`] since the run is live.
    pub(crate) fn live_cpu(&self) -> Duration {
        let used = self.cpu_ns.load(Ordering::Relaxed);
        Duration::from_nanos(used.saturating_sub(self.live_from_ns.load(Ordering::Relaxed)))
    }

    /// Says that all recorded work is repeated: from now on the live budget counts. Only inside a poll, or before the first.
    pub(crate) fn go_live(&self) {
        let used = match self.begun_ns.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            _ => self.cpu_inside(),
        };
        self.live_from_ns.store(nanos(used), Ordering::Relaxed);
    }

    /// Raises the flag and wakes a waiting guest. A running one notices when it yields next.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Runs `inner` to its end, unless it is stopped or over its budget first; then it is dropped.
    ///
    /// The guest yields at every tick, so both are noticed within a tick of running time, and a stop of a waiting guest
    /// at once. Waiting costs nothing: only polls are measured.
    pub(crate) async fn run<F: Future>(&self, inner: F, budget: CpuBudget) -> Result<F::Output, Halt> {
        let mut inner = pin!(inner);
        poll_fn(|cx| self.poll(inner.as_mut(), cx, budget)).await
    }

    fn poll<F: Future>(
        &self,
        inner: Pin<&mut F>,
        cx: &mut Context<'_>,
        budget: CpuBudget,
    ) -> Poll<Result<F::Output, Halt>> {
        // Registered before the flag is read: a stop between the two wakes us again.
        self.waker.register(cx.waker());
        if self.stopped.load(Ordering::Acquire) {
            return Poll::Ready(Err(Halt::Stopped));
        }
        let before = thread_cpu();
        self.begun_ns.store(nanos(before), Ordering::Relaxed);
        let polled = inner.poll(cx);
        self.cpu_ns.fetch_add(nanos(thread_cpu().saturating_sub(before)), Ordering::Relaxed);
        match polled {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if self.stopped.load(Ordering::Acquire) => Poll::Ready(Err(Halt::Stopped)),
            Poll::Pending => self.excess(budget).map_or(Poll::Pending, |halt| Poll::Ready(Err(halt))),
        }
    }

    fn excess(&self, budget: CpuBudget) -> Option<Halt> {
        match self.live_from_ns.load(Ordering::Relaxed) {
            NOT_LIVE => (self.cpu() > budget.replay_max).then_some(Halt::ReplayCpu),
            _ => (self.live_cpu() > budget.live_max).then_some(Halt::Cpu),
        }
    }
}

/// CPU time that this thread has used. Not wall time: a guest must not pay for the neighbours of its thread.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;
    use std::time::Duration;

    use super::{CpuBudget, Halt, Meter, thread_cpu};

    fn burn(time: Duration) {
        let until = thread_cpu() + time;
        while thread_cpu() < until {
            std::hint::spin_loop();
        }
    }

    const ROOMY: CpuBudget = CpuBudget { replay_max: Duration::from_secs(60), live_max: Duration::from_secs(60) };

    #[tokio::test]
    async fn a_poll_under_way_is_counted_from_inside() {
        let meter = Meter::new();
        let mut polls = 0;
        let inner = poll_fn(|cx| {
            burn(Duration::from_millis(5));
            polls += 1;
            let inside = meter.cpu_inside();
            assert!(inside >= Duration::from_millis(5) * polls, "{inside:?} after {polls} polls");
            assert!(meter.cpu() < inside);
            if polls == 3 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        meter.run(inner, ROOMY).await.unwrap();
        assert!(meter.cpu() >= Duration::from_millis(15));
        assert_eq!(meter.live_cpu(), Duration::ZERO, "it never went live");
    }

    /// Burns 5 ms at each poll, for ever, and goes live after the given number of polls.
    async fn spin(live_after: u32, budget: CpuBudget) -> (Halt, Meter) {
        let meter = Meter::new();
        let mut polls = 0;
        let inner = poll_fn(|cx| {
            burn(Duration::from_millis(5));
            polls += 1;
            if polls == live_after {
                meter.go_live();
            }
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let halt = meter.run(inner, budget).await.unwrap_err();
        (halt, meter)
    }

    #[tokio::test]
    async fn each_part_has_its_own_budget() {
        let short = Duration::from_millis(20);
        let (halt, meter) = spin(u32::MAX, CpuBudget { replay_max: short, ..ROOMY }).await;
        assert_eq!(halt, Halt::ReplayCpu);
        assert_eq!(meter.live_cpu(), Duration::ZERO);
        // 50 ms of replay do not count against 20 ms of live work.
        let (halt, meter) = spin(10, CpuBudget { live_max: short, ..ROOMY }).await;
        assert_eq!(halt, Halt::Cpu);
        assert!(meter.cpu() >= Duration::from_millis(70), "{:?}", meter.cpu());
        assert!(meter.live_cpu() > short && meter.live_cpu() <= meter.cpu() - Duration::from_millis(50));
    }

    #[test]
    fn what_is_live_from_the_start_is_live_whole() {
        let meter = Meter::new();
        meter.go_live();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(meter.run(async { burn(Duration::from_millis(2)) }, ROOMY)).unwrap();
        assert_eq!(meter.live_cpu(), meter.cpu());
    }
}
