//! Why a guest was ended by force, told twice: one sentence for clients, everything for the operator.
//!
//! Never here: errors that the guest returned itself. To the machine an exhausted memory, an endless recursion and a panic
//! look alike; this file tells them apart. Called by `run.rs` and `describe.rs`.

use std::time::Duration;

use wasmtime::WasmBacktrace;

use crate::call::GuestError;
use crate::engine::BACKTRACE_FRAMES_MAX;
use crate::guest::Failure;
use crate::limits::{Limits, bytes_text, cut};

/// Bytes of the operator's text; the rest is cut. Function names in a backtrace can be long.
const OPERATOR_BYTES_MAX: usize = 16 * 1024;

/// What wasmtime says when a call carries more than the limit; its error type is private. A test holds the two together.
const CALL_BYTES_MARK: &str = "fuel allocated for hostcalls has been exhausted";

/// Traces of a panic or an uncaught exception in the last words: Rust, the hook of our SDK, Python, JavaScript.
const PANIC_MARKS: &[&str] = &["panicked at", "panic at ", "panic: ", "Traceback (most recent call last)", "\n    at "];

/// Traces of an allocation that failed: Rust, Python, JavaScript.
const MEMORY_MARKS: &[&str] = &["memory allocation of", "MemoryError", "out of memory"];

/// What the operator reads of a guest that ran out of processor time.
const NO_BACKTRACE: &str = "the guest was dropped where it stood, so there is no backtrace";

/// The true reason why a guest was ended by force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapReason {
    /// It was refused memory and could not go on.
    Memory,
    /// It computed longer than it may.
    Cpu,
    /// It computed longer than it may while it repeated recorded work.
    ReplayCpu,
    /// It waited by a function that has no error, and the wait was refused.
    Refused,
    /// It called too deep.
    Stack,
    /// It panicked, or an exception was not caught.
    Panic,
    /// It executed the instruction that ends a program at once.
    Unreachable,
    /// It reached outside its memory or tables.
    OutOfBounds,
    /// It handed over more in one call than the host takes.
    CallBytes,
    /// It returned something that breaks the contract.
    InvalidOutcome,
    /// Anything else: a division by zero, an exit, a value that is no value of its type.
    Other,
}

impl TrapReason {
    /// A stable short name, for metadata and metrics.
    pub fn name(self) -> &'static str {
        match self {
            TrapReason::Memory => "memory",
            TrapReason::Cpu => "cpu",
            TrapReason::ReplayCpu => "replay-cpu",
            TrapReason::Refused => "refused",
            TrapReason::Stack => "stack",
            TrapReason::Panic => "panic",
            TrapReason::Unreachable => "unreachable",
            TrapReason::OutOfBounds => "out-of-bounds",
            TrapReason::CallBytes => "call-bytes",
            TrapReason::InvalidOutcome => "invalid-outcome",
            TrapReason::Other => "other",
        }
    }
}

/// How a guest was ended by force.
#[derive(Clone, Debug)]
pub struct Trap {
    /// The true reason.
    pub reason: TrapReason,
    /// One short sentence for clients, without anything the guest said.
    pub public: String,
    /// What the guest said last and where it was, at most 16 KiB. Written by the guest: never trust it as format.
    pub operator: String,
}

/// What is known of a guest besides its error.
pub(crate) struct Evidence<'a> {
    pub(crate) memory_refused: bool,
    pub(crate) last_words: &'a str,
    pub(crate) limits: &'a Limits,
}

impl Trap {
    /// Judges an error that came out of the guest.
    pub(crate) fn judge(error: &wasmtime::Error, evidence: &Evidence<'_>) -> Trap {
        let words = evidence.last_words.trim_end();
        let text = if words.is_empty() { format!("{error:?}") } else { format!("{words}\n{error:?}") };
        if let Some(Failure::Guest(refusal)) = error.downcast_ref() {
            // Its message is made by the host, for clients too.
            let public = cut(&refusal.message, evidence.limits.error_bytes_max).to_owned();
            return Trap { public, ..Trap::new(TrapReason::Refused, &text, evidence.limits) };
        }
        Trap::new(reason(error, evidence), &text, evidence.limits)
    }

    /// A guest that used up its processor time.
    pub(crate) fn cpu(limits: &Limits) -> Trap {
        Trap::new(TrapReason::Cpu, NO_BACKTRACE, limits)
    }

    /// A guest that used up its processor time before all recorded work was repeated.
    pub(crate) fn replay_cpu(replay_max: Duration) -> Trap {
        // Rounded up: the figure is computed, and a third decimal of it tells nobody anything.
        let seconds = replay_max.as_millis().div_ceil(1000);
        Trap {
            reason: TrapReason::ReplayCpu,
            public: format!("The agent's work could not be repeated within {seconds} s of processor time."),
            operator: NO_BACKTRACE.to_owned(),
        }
    }

    /// A guest that returned something that breaks the contract.
    pub(crate) fn invalid_outcome(error: &GuestError, limits: &Limits) -> Trap {
        let text = format!("the outcome of run is invalid: {}: {}", error.code, error.message);
        Trap::new(TrapReason::InvalidOutcome, &text, limits)
    }

    fn new(reason: TrapReason, operator: &str, limits: &Limits) -> Trap {
        Trap { reason, public: public(reason, limits), operator: cut(operator, OPERATOR_BYTES_MAX).to_owned() }
    }
}

fn reason(error: &wasmtime::Error, evidence: &Evidence<'_>) -> TrapReason {
    if error.chain().any(|cause| cause.to_string().contains(CALL_BYTES_MARK)) {
        return TrapReason::CallBytes;
    }
    let trap = error.downcast_ref::<wasmtime::Trap>();
    if trap == Some(&wasmtime::Trap::StackOverflow) {
        return TrapReason::Stack;
    }
    let said = |marks: &[&str]| marks.iter().any(|mark| evidence.last_words.contains(mark));
    // A refusal that the guest survived explains nothing when it panics later for another reason.
    if evidence.memory_refused && (said(MEMORY_MARKS) || !said(PANIC_MARKS)) {
        return TrapReason::Memory;
    }
    match trap {
        Some(wasmtime::Trap::UnreachableCodeReached) if said(PANIC_MARKS) => TrapReason::Panic,
        Some(wasmtime::Trap::UnreachableCodeReached) => TrapReason::Unreachable,
        // Compiled languages keep a second stack at the bottom of memory. Deep recursion leaves it downwards.
        Some(wasmtime::Trap::MemoryOutOfBounds) if is_deep(error) => TrapReason::Stack,
        Some(wasmtime::Trap::MemoryOutOfBounds | wasmtime::Trap::TableOutOfBounds) => TrapReason::OutOfBounds,
        _ => TrapReason::Other,
    }
}

fn is_deep(error: &wasmtime::Error) -> bool {
    let frames = error.downcast_ref::<WasmBacktrace>().map_or(0, |backtrace| backtrace.frames().len());
    frames >= BACKTRACE_FRAMES_MAX
}

fn public(reason: TrapReason, limits: &Limits) -> String {
    match reason {
        TrapReason::Memory => {
            format!("The agent ran out of memory (limit {}).", bytes_text(limits.memory_bytes_max))
        }
        TrapReason::Cpu => {
            format!("The agent used too much processor time (limit {:?}).", limits.cpu_live_max)
        }
        // Without a figure: it may have been the second stack, whose size the agent's build chose.
        TrapReason::Stack => "The agent ran out of stack.".to_owned(),
        TrapReason::CallBytes => {
            format!("The agent sent too much in one call (limit {}).", bytes_text(limits.call_bytes_max))
        }
        TrapReason::InvalidOutcome => "The agent returned an invalid result.".to_owned(),
        TrapReason::ReplayCpu
        | TrapReason::Refused
        | TrapReason::Panic
        | TrapReason::Unreachable
        | TrapReason::OutOfBounds
        | TrapReason::Other => "The agent stopped unexpectedly.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Evidence, Trap, TrapReason};
    use crate::limits::Limits;

    fn check(trap: wasmtime::Trap, memory_refused: bool, last_words: &str, expected: TrapReason) {
        let limits = Limits::default();
        let evidence = Evidence { memory_refused, last_words, limits: &limits };
        let judged = Trap::judge(&wasmtime::Error::from(trap).context("while running"), &evidence);
        assert_eq!(judged.reason, expected, "{trap} {memory_refused} {last_words}");
        assert!(judged.operator.contains(last_words.trim_end()));
        assert!(last_words.is_empty() || !judged.public.contains(last_words));
    }

    #[test]
    fn a_refused_growth_is_the_reason_unless_the_guest_survived_it() {
        use wasmtime::Trap::{MemoryOutOfBounds, UnreachableCodeReached};
        check(UnreachableCodeReached, true, "", TrapReason::Memory);
        check(MemoryOutOfBounds, true, "", TrapReason::Memory);
        check(UnreachableCodeReached, true, "memory allocation of 9 bytes failed", TrapReason::Memory);
        check(UnreachableCodeReached, true, "panicked at src/lib.rs:1: no", TrapReason::Panic);
        check(UnreachableCodeReached, true, "panicked at x: memory allocation of 9 bytes failed", TrapReason::Memory);
    }

    #[test]
    fn the_same_instruction_has_many_reasons() {
        use wasmtime::Trap::{IntegerDivisionByZero, StackOverflow, UnreachableCodeReached};
        check(UnreachableCodeReached, false, "", TrapReason::Unreachable);
        check(UnreachableCodeReached, false, "thread main panicked at x", TrapReason::Panic);
        check(UnreachableCodeReached, false, "Traceback (most recent call last):", TrapReason::Panic);
        check(StackOverflow, true, "panicked at x", TrapReason::Stack);
        check(IntegerDivisionByZero, false, "", TrapReason::Other);
    }
}
