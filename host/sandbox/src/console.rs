//! What a guest says to the operator: standard output and error line by line, and `log.emit`, all within one quota.
//!
//! Never here: where lines go. They wait in a list until the run hands them to `HostCalls::log`. Used by `wasi.rs`,
//! `guest.rs` and `host/log.rs`; `trap.rs` reads the last words.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::call::{LogLevel, LogLine};
use crate::limits::{Limits, cut};

/// Bytes that are kept of standard error and of error lines, quota or not: the text of a panic is only there.
const LAST_WORDS_BYTES: usize = 8 * 1024;

/// Bytes that one write of WASI may carry: the host holds them at once.
const WRITE_BYTES: usize = 64 * 1024;

/// Bounds of the contract for the named values of one line.
const FIELDS_MAX: usize = 32;
const FIELD_NAME_BYTES: usize = 64;
const FIELD_VALUE_BYTES: usize = 1024;

/// The output of one instance. Clones share it: the streams of WASI hold some.
#[derive(Clone)]
pub(crate) struct Console(Arc<Mutex<Lines>>);

struct Lines {
    /// While it repeats what it said before: nothing is kept of it but the last words.
    muted: bool,
    lines_left: usize,
    line_bytes_max: usize,
    dropped: u64,
    waiting: Vec<LogLine>,
    /// Lines of standard output and error that have no end yet.
    partial: [Vec<u8>; 2],
    last_words: String,
}

/// Which of the two streams.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// Standard output, logged as `info`.
    Output,
    /// Standard error, logged as `warn`.
    Error,
}

impl Console {
    /// An empty one, muted until [`Console::unmute`].
    pub(crate) fn new(limits: &Limits) -> Console {
        Console(Arc::new(Mutex::new(Lines {
            muted: true,
            lines_left: limits.log_lines_max,
            line_bytes_max: limits.log_line_bytes_max,
            dropped: 0,
            waiting: Vec::new(),
            partial: [Vec::new(), Vec::new()],
            last_words: String::new(),
        })))
    }

    /// Says that what comes now is said for the first time. A line counts by its end: one that began before is kept whole.
    pub(crate) fn unmute(&self) {
        self.lines().muted = false;
    }

    /// The stream for WASI.
    pub(crate) fn stream(&self, source: Source) -> Stream {
        Stream { console: self.clone(), source }
    }

    /// Takes one line of `log.emit`.
    pub(crate) fn emit(&self, level: LogLevel, message: &str, fields: Vec<(String, String)>) {
        let mut lines = self.lines();
        if level == LogLevel::Error {
            // The panic hook of the SDK writes here.
            lines.remember(message);
        }
        lines.push(level, message, fields);
    }

    /// Takes the lines that wait, in order.
    pub(crate) fn take(&self) -> Vec<LogLine> {
        std::mem::take(&mut self.lines().waiting)
    }

    /// Takes the lines that wait, those without an end too, and a last one that says how many were dropped.
    pub(crate) fn finish(&self) -> Vec<LogLine> {
        let mut lines = self.lines();
        lines.end_line(Source::Output);
        lines.end_line(Source::Error);
        let dropped = std::mem::take(&mut lines.dropped);
        let mut waiting = std::mem::take(&mut lines.waiting);
        if dropped > 0 {
            let message = format!("{dropped} more log lines of this activation were dropped.");
            waiting.push(LogLine { level: LogLevel::Warn, message, fields: Vec::new() });
        }
        waiting
    }

    /// The end of standard error and of the error lines: what a panic said is here.
    pub(crate) fn last_words(&self) -> String {
        let mut lines = self.lines();
        lines.end_line(Source::Error);
        lines.last_words.clone()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // A panic while the lock is held leaves at worst a line in two pieces.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn push(&mut self, level: LogLevel, message: &str, fields: Vec<(String, String)>) {
        if self.muted {
            return;
        }
        let Some(left) = self.lines_left.checked_sub(1) else {
            self.dropped += 1;
            return;
        };
        self.lines_left = left;
        let message = cut(message, self.line_bytes_max).to_owned();
        let fields = fields
            .into_iter()
            .take(FIELDS_MAX)
            .map(|(name, value)| (cut(&name, FIELD_NAME_BYTES).to_owned(), cut(&value, FIELD_VALUE_BYTES).to_owned()));
        self.waiting.push(LogLine { level, message, fields: fields.collect() });
    }

    fn write(&mut self, source: Source, bytes: &[u8]) {
        for (index, piece) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if index > 0 {
                self.end_line(source);
            }
            let line_bytes_max = self.line_bytes_max;
            let partial = self.partial(source);
            let room = line_bytes_max.saturating_sub(partial.len());
            partial.extend(piece.iter().take(room));
        }
    }

    fn end_line(&mut self, source: Source) {
        let line = std::mem::take(self.partial(source));
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        let level = match source {
            Source::Output => LogLevel::Info,
            Source::Error => LogLevel::Warn,
        };
        if matches!(source, Source::Error) {
            self.remember(line);
        }
        self.push(level, line, Vec::new());
    }

    fn remember(&mut self, text: &str) {
        self.last_words.push_str(cut(text, LAST_WORDS_BYTES));
        self.last_words.push('\n');
        let excess = self.last_words.len().saturating_sub(LAST_WORDS_BYTES);
        let from = self.last_words.ceil_char_boundary(excess);
        self.last_words.drain(..from);
    }

    fn partial(&mut self, source: Source) -> &mut Vec<u8> {
        let [output, error] = &mut self.partial;
        match source {
            Source::Output => output,
            Source::Error => error,
        }
    }
}

/// One of the two streams, as WASI wants it. Writing never waits.
pub(crate) struct Stream {
    console: Console,
    source: Source,
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this form, which no profile links.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Stream { console: self.console.clone(), source: self.source })
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.console.lines().write(self.source, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::{Console, Source};
    use crate::call::LogLevel;
    use crate::limits::Limits;

    fn console(log_lines_max: usize) -> Console {
        let console = muted(log_lines_max);
        console.unmute();
        console
    }

    fn muted(log_lines_max: usize) -> Console {
        Console::new(&Limits { log_lines_max, log_line_bytes_max: 8, ..Limits::default() })
    }

    fn write(console: &Console, source: Source, text: &str) {
        console.lines().write(source, text.as_bytes());
    }

    fn texts(lines: &[crate::call::LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.message.as_str()).collect()
    }

    #[test]
    fn streams_become_lines_and_long_ones_are_cut() {
        let console = console(10);
        write(&console, Source::Output, "one\n\ntw");
        write(&console, Source::Error, "a line of many bytes\n");
        write(&console, Source::Output, "o\nrest");
        let lines = console.finish();
        assert_eq!(texts(&lines), ["one", "a line o", "two", "rest"]);
        assert_eq!(lines[1].level, LogLevel::Warn);
    }

    #[test]
    fn lines_beyond_the_quota_are_counted() {
        let console = console(2);
        for text in ["a", "b", "c", "d"] {
            console.emit(LogLevel::Info, text, Vec::new());
        }
        let lines = console.finish();
        assert_eq!(texts(&lines), ["a", "b", "2 more log lines of this activation were dropped."]);
    }

    #[test]
    fn last_words_are_kept_without_quota_and_within_a_bound() {
        let console = Console::new(&Limits { log_lines_max: 0, ..Limits::default() });
        for _ in 0..100 {
            write(&console, Source::Error, &"é".repeat(500));
            write(&console, Source::Error, "\n");
        }
        write(&console, Source::Error, "panicked at x");
        let words = console.last_words();
        assert!(words.ends_with("panicked at x\n"));
        assert!(words.len() <= super::LAST_WORDS_BYTES);
    }

    #[test]
    fn what_is_repeated_is_not_said_again_and_costs_no_quota() {
        let console = muted(2);
        for text in ["a", "b", "c"] {
            console.emit(LogLevel::Info, text, Vec::new());
        }
        write(&console, Source::Output, "d\nbegun ");
        console.unmute();
        write(&console, Source::Output, "x\n");
        console.emit(LogLevel::Info, "e", Vec::new());
        assert_eq!(texts(&console.finish()), ["begun x", "e"]);
    }

    #[test]
    fn what_never_goes_live_says_nothing_but_has_last_words() {
        let console = muted(10);
        write(&console, Source::Error, "panic at\nx");
        assert_eq!(console.last_words(), "panic at\nx\n");
        assert!(console.finish().is_empty());
    }

    #[test]
    fn fields_are_bounded() {
        let console = console(10);
        let fields = (0..100).map(|n| (format!("{n}"), "v".repeat(5000))).collect();
        console.emit(LogLevel::Debug, "m", fields);
        let lines = console.take();
        assert_eq!(lines[0].fields.len(), super::FIELDS_MAX);
        assert_eq!(lines[0].fields[0].1.len(), super::FIELD_VALUE_BYTES);
    }
}
