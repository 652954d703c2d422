//! When the folded view of a task is written again: at its stops, and in between once enough has come on top of the last one.

use kennel_protocol::Seq;
use kennel_protocol::fold::Fold;
use kennel_store::Stored;

use super::lane::Close;

/// Events after which the folded body is written again…
const FOLD_EVENTS: u64 = 64;
/// …or bytes. A body that has grown waits until half its size has come on top: else a long task would write its
/// artifacts again and again.
const FOLD_BYTES: usize = 256 << 10;
/// A task that ended with at most this many events is folded from them faster than a second row is read.
const SHORT_EVENTS: u64 = 8;

/// What came after the last written body.
#[derive(Default)]
pub(super) struct Tail {
    events: u64,
    bytes: usize,
    body_bytes: usize,
    /// Whether an event names a content that stands elsewhere.
    apart: bool,
}

impl Tail {
    /// One more event.
    pub(super) fn add(&mut self, bytes: usize, apart: bool) {
        self.events += 1;
        self.bytes += bytes;
        self.apart |= apart;
    }

    /// Whether all of a log up to `last`, but for the event that its accept wrote, came by here, and is so little that its folded view may
    /// be handed on with the commit.
    pub(super) fn is_short_log(&self, last: Seq) -> bool {
        self.events + 1 == last.get() && self.is_short(last) && !self.apart
    }

    fn is_short(&self, last: Seq) -> bool {
        last.get() <= SHORT_EVENTS && self.bytes < FOLD_BYTES / 16
    }

    /// The folded body when it is time to write it. `fold` shows all that is queued, which is what the commit takes.
    pub(super) fn body_if_due(&mut self, fold: &Fold, last: Seq, close: Option<Close>) -> Option<Stored> {
        let stop = matches!(close, Some(Close::Finish)) || fold.status.state.is_interrupted();
        let grown = (self.events >= FOLD_EVENTS || self.bytes >= FOLD_BYTES) && self.bytes >= self.body_bytes / 2;
        if self.events == 0 || !grown && (!stop || self.is_short(last)) {
            return None;
        }
        let body = serde_json::to_vec(fold).ok()?;
        *self = Tail { body_bytes: body.len(), ..Tail::default() };
        // Contents in `blob` are counted by the events that brought them; here it only matters whether there are any.
        let blobs = u32::from(names_blob(&body));
        Some(Stored { body: body.into(), blobs, digests: Vec::new() })
    }
}

/// Whether a body names a content that stands elsewhere. A text that only looks so costs a look, nothing else.
fn names_blob(body: &[u8]) -> bool {
    const NAME: &[u8] = b"kennel:blob/";
    body.windows(NAME.len()).any(|window| window == NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After so many events of so many bytes, behind the one that the accept wrote.
    fn after(events: u64, bytes: usize, apart: bool) -> (Tail, Seq) {
        let mut tail = Tail::default();
        (0..events).for_each(|_| tail.add(bytes, apart));
        (tail, Seq::new(events + 1))
    }

    #[test]
    fn a_log_is_short_if_all_of_it_came_by_and_is_little() {
        let is_short = |(tail, last): (Tail, Seq)| tail.is_short_log(last);
        assert!(is_short(after(3, 100, false)) && is_short(after(7, 2_000, false)));
        assert!(!is_short(after(8, 100, false)), "nine events");
        assert!(!is_short(after(7, 2_500, false)), "17 KiB");
        assert!(!is_short(after(3, 100, true)), "a content stands elsewhere");
        let (tail, last) = after(3, 100, false);
        assert!(!tail.is_short_log(last.next()), "another holder wrote before");
    }
}
