//! What one activation costs: `cargo run --release -p kennel-sandbox --example cycle -- echo.wasm [runs] [text]`.
//!
//! Loads a component, runs it again and again with the given text, many at once, and prints how the last
//! run ended, how many runs a second there were and what one took of CPU. The worker answers every call at once, so the
//! figures are those of the sandbox alone.

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kennel_protocol::Timestamp;
use kennel_protocol::types::{Message, Part, Role};
use kennel_sandbox::call::{Answer, Auth, Call, CallFuture, HostCalls, Input, LogLine, Moment, Seen};
use kennel_sandbox::{Agent, Finished, Limits, Run, Sandbox, SandboxConfig, TaskInfo, Turn};

const GUEST_THREADS: usize = 2;

/// Runs under way at once, as a busy host has them.
const IN_FLIGHT: u64 = 64;

/// Answers everything with as little as possible.
struct Yes {
    calls: Arc<AtomicU64>,
    print: bool,
}

impl HostCalls for Yes {
    fn call(&mut self, call: Call, _seen: Seen) -> CallFuture<'_> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.print {
            println!("call {call:?}");
        }
        let answer = match call {
            Call::History { .. } => Answer::Messages(Vec::new()),
            Call::RelatedIds { .. } => Answer::TaskIds(Vec::new()),
            Call::NextMessage { .. } => Answer::Message(None),
            Call::CancelRequested => Answer::Cancel(None),
            Call::RequireInput { .. } => Answer::Input(Input::TimedOut),
            Call::RequireAuth { .. } => Answer::Auth(Auth::TimedOut),
            Call::Publish { artifact } => Answer::ArtifactId(artifact.artifact_id),
            Call::OpenArtifact { heading } => {
                Answer::ArtifactId(heading.artifact_id.unwrap_or_else(kennel_protocol::ArtifactId::generate))
            }
            _ => Answer::Done,
        };
        Box::pin(std::future::ready(Ok(answer)))
    }

    fn log(&mut self, line: LogLine) {
        if self.print {
            println!("log {:?} {} {:?}", line.level, line.message, line.fields);
        }
    }

    fn now(&self) -> Moment {
        Moment::from_micros(1_000_000_000)
    }

    fn is_live(&self) -> bool {
        true
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("give the path of a component")?;
    let runs: u64 = arguments.next().map_or(Ok(1), |number| number.parse())?;
    let text = arguments.collect::<Vec<_>>().join(" ");
    let cache_dir = std::env::temp_dir().join("kennel-cycle");
    let config = SandboxConfig {
        guest_threads: GUEST_THREADS,
        live_instances_max: 1000,
        guest_memory_bytes_max: 1 << 30,
        cache_dir,
        limits: Limits::default(),
    };
    let started = Instant::now();
    let sandbox = Sandbox::new(config)?;
    println!("sandbox {:?}", started.elapsed());
    let component = std::fs::read(&path)?;
    let started = Instant::now();
    let agent = sandbox.compile(component.into()).await?;
    println!("loaded {} in {:?}", agent.card().name, started.elapsed());
    let calls = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let workers = (0..IN_FLIGHT).map(|_| {
        let (agent, text, calls) = (agent.clone(), text.clone(), Arc::clone(&calls));
        async move {
            let mut cpu = Duration::ZERO;
            let mut last = None;
            for _ in 0..runs.div_ceil(IN_FLIGHT) {
                let finished = run(&agent, &text, &calls, runs == 1).await;
                cpu += finished.cpu;
                last = Some(finished);
                if runs == 1 {
                    break;
                }
            }
            (cpu, last)
        }
    });
    let workers: Vec<_> = if runs == 1 { workers.take(1).collect() } else { workers.collect() };
    let ended = futures_util::future::join_all(workers).await;
    let elapsed = started.elapsed();
    let cpu: Duration = ended.iter().map(|(cpu, _)| *cpu).sum();
    let (rate, each) = (runs as f64 / elapsed.as_secs_f64(), cpu.as_secs_f64() * 1e6 / runs as f64);
    let calls = calls.load(Ordering::Relaxed) as f64 / runs as f64;
    println!("{runs} runs in {elapsed:?}: {rate:.0} a second, {each:.1} us of CPU each, {calls:.1} calls each");
    if let Some((_, Some(last))) = ended.into_iter().next() {
        println!("{:#?}\npeak {} KiB, cpu {:?}", last.end, last.memory_peak_bytes / 1024, last.cpu);
    }
    Ok(())
}

async fn run(agent: &Agent, text: &str, calls: &Arc<AtomicU64>, print: bool) -> Finished {
    let message = Message {
        message_id: "m1".to_owned(),
        context_id: "c1".parse().ok(),
        task_id: "t1".parse().ok(),
        role: Role::User,
        parts: vec![Part::text(text)],
        ..Message::default()
    };
    let running = agent.run(Run {
        turn: Turn { message, checkpoint: None, generation: 1 },
        info: info(),
        settings: BTreeMap::new(),
        credentials: Vec::new(),
        seed: [1; 32],
        limits: Limits::default(),
        replay_cpu_max: Duration::ZERO,
        calls: Box::new(Yes { calls: Arc::clone(calls), print }),
    });
    running.finish().await
}

#[allow(clippy::unwrap_used, reason = "the texts are ids")]
fn info() -> TaskInfo {
    TaskInfo {
        task_id: "t1".parse().unwrap(),
        context_id: "c1".parse().unwrap(),
        agent: "agent".parse().unwrap(),
        tenant: "default".parse().unwrap(),
        caller: kennel_protocol::PrincipalId::anonymous(),
        parent_task_id: None,
        accepted_output_modes: Vec::new(),
        extensions: Vec::new(),
        request_metadata: None,
        created: Timestamp::from_millis(0),
        expires: Timestamp::from_millis(9_000_000_000),
    }
}
