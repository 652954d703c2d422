//! CPU time and the stop flag of one run: a wrapper around the future that polls the guest.
//!
//! Never here: ticks (they make the guest yield, `ticker.rs`) and limits of memory (`memory.rs`). Called by `run.rs`.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use rustix::time::{ClockId, clock_gettime};

/// What is counted of one run, shared between the run and whoever may stop it.
#[derive(Default)]
pub(crate) struct Meter {
    cpu_ns: AtomicU64,
    stopped: AtomicBool,
    waker: AtomicWaker,
}

/// Why a guest's future was dropped before it was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// Somebody called [`Meter::stop`].
    Stopped,
    /// It used more CPU time than it may.
    Cpu,
}

impl Meter {
    /// Thread CPU time that polling the guest took so far.
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed))
    }

    /// Raises the flag and wakes a waiting guest. A running one notices when it yields next.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Runs `inner` to its end, unless it is stopped or over `cpu_max` first; then it is dropped.
    ///
    /// The guest yields at every tick, so both are noticed within a tick of running time, and a stop of a waiting guest
    /// at once. Waiting costs nothing: only polls are measured.
    pub(crate) async fn run<F: Future>(&self, inner: F, cpu_max: Duration) -> Result<F::Output, Halt> {
        let mut inner = pin!(inner);
        poll_fn(|cx| self.poll(inner.as_mut(), cx, cpu_max)).await
    }

    fn poll<F: Future>(
        &self,
        inner: Pin<&mut F>,
        cx: &mut Context<'_>,
        cpu_max: Duration,
    ) -> Poll<Result<F::Output, Halt>> {
        // Registered before the flag is read: a stop between the two wakes us again.
        self.waker.register(cx.waker());
        if self.stopped.load(Ordering::Acquire) {
            return Poll::Ready(Err(Halt::Stopped));
        }
        let before = thread_cpu();
        let polled = inner.poll(cx);
        self.charge(thread_cpu().saturating_sub(before));
        match polled {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if self.stopped.load(Ordering::Acquire) => Poll::Ready(Err(Halt::Stopped)),
            Poll::Pending if self.cpu() > cpu_max => Poll::Ready(Err(Halt::Cpu)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn charge(&self, used: Duration) {
        self.cpu_ns.fetch_add(u64::try_from(used.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// CPU time that this thread has used. Not wall time: a guest must not pay for the neighbours of its thread.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}
