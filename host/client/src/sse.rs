//! The text of an event stream, cut into events (WHATWG HTML, 9.2.6). Knows nothing of A2A or of connections.
//!
//! Bytes come in pieces of any size; an event comes out once its blank line has arrived. What a server sends before that
//! line is bounded, so that a broken one cannot fill the memory.

use std::time::Duration;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The `id:` of this very event. Not inherited from earlier ones: a place that is not said is not known.
    pub(crate) id: Option<String>,
    /// The `data:` lines, joined by line breaks.
    pub(crate) data: Vec<u8>,
}

/// An event is larger than allowed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream has more than {bytes_max} bytes")]
pub(crate) struct TooLarge {
    bytes_max: usize,
}

/// Reads one connection's stream. A new connection needs a new one.
#[derive(Debug)]
pub(crate) struct Parser {
    bytes_max: usize,
    /// The line that has begun.
    line: Vec<u8>,
    /// The lines of the event that has begun, each with a line break after it.
    data: Vec<u8>,
    id: Option<String>,
    retry: Option<Duration>,
    /// The last byte was a carriage return: a line feed now belongs to it.
    after_return: bool,
    /// The first line is over; only that one may begin with a byte order mark.
    begun: bool,
}

impl Parser {
    pub(crate) fn new(bytes_max: usize) -> Parser {
        Parser {
            bytes_max,
            line: Vec::new(),
            data: Vec::new(),
            id: None,
            retry: None,
            after_return: false,
            begun: false,
        }
    }

    /// The last `retry:` of the server, once.
    pub(crate) fn take_retry(&mut self) -> Option<Duration> {
        self.retry.take()
    }

    /// Takes the next piece and appends the events that it completes. After an error the parser is of no more use.
    pub(crate) fn feed(&mut self, mut piece: &[u8], events: &mut impl Extend<Event>) -> Result<(), TooLarge> {
        while let Some((&first, after_first)) = piece.split_first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                piece = after_first;
                continue;
            }
            let Some(end) = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                return self.extend_line(piece);
            };
            let (line, rest) = piece.split_at(end);
            self.extend_line(line)?;
            self.after_return = rest.first() == Some(&b'\r');
            events.extend(self.end_line());
            piece = rest.get(1..).unwrap_or_default();
        }
        Ok(())
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if self.line.len() + self.data.len() + bytes.len() > self.bytes_max {
            return Err(TooLarge { bytes_max: self.bytes_max });
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// The line is complete. A blank one completes the event.
    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let is_first = !std::mem::replace(&mut self.begun, true);
        let text = if is_first { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&line) } else { &line };
        if text.is_empty() {
            return self.end_event();
        }
        let colon = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
        let (name, value) = text.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        self.field(name, value.strip_prefix(b" ").unwrap_or(value));
        None
    }

    /// Unknown fields are ignored, as is `event`, which A2A gives no meaning. A comment is a field without a name.
    fn field(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"id" if !value.contains(&0) => self.id = String::from_utf8(value.to_vec()).ok(),
            b"retry" => {
                let milliseconds = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                self.retry = milliseconds.map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
    }

    /// An event without data is none; its id is dropped with it.
    fn end_event(&mut self) -> Option<Event> {
        let id = self.id.take();
        let mut data = std::mem::take(&mut self.data);
        data.pop()?;
        Some(Event { id, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the text in pieces of the given size and shows the events as `id=data`.
    fn read(text: &str, size: usize) -> Vec<String> {
        let mut parser = Parser::new(1024);
        let mut events = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            parser.feed(piece, &mut events).unwrap();
        }
        let show =
            |event: Event| format!("{}={}", event.id.unwrap_or_default(), String::from_utf8(event.data).unwrap());
        events.into_iter().map(show).collect()
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        for size in 1..=text.len() {
            assert_eq!(read(text, size), expected, "in pieces of {size}");
        }
        for (separator, name) in [("\r\n", "CRLF"), ("\r", "CR")] {
            let other = text.replace('\n', separator);
            for size in 1..=other.len() {
                assert_eq!(read(&other, size), expected, "with {name} in pieces of {size}");
            }
        }
    }

    #[test]
    fn events_come_out_whole_however_the_stream_is_cut() {
        check("id: 1\ndata: {\"a\":1}\n\nid:2\ndata:zwei €\n\n", &["1={\"a\":1}", "2=zwei €"]);
    }

    #[test]
    fn lines_of_data_are_joined() {
        check("data: a\ndata\ndata:  b\n\n", &["=a\n\n b"]);
    }

    #[test]
    fn comments_unknown_fields_and_blank_lines_give_nothing() {
        check(": keep-alive\n\n\n\nevent: message\nfoo: bar\nfoo\n\n:\n\ndata: x\n\n", &["=x"]);
    }

    #[test]
    fn an_id_belongs_to_one_event_only() {
        check("id: 7\n\ndata: a\n\nid: 8\ndata: b\n\ndata: c\n\nid: 9\nid\ndata: d\n\n", &["=a", "8=b", "=c", "=d"]);
        check("id: 1\0\ndata: a\n\n", &["=a"]);
    }

    #[test]
    fn an_event_without_its_blank_line_is_not_given_out() {
        check("data: a\n\ndata: b\n", &["=a"]);
        check("data: a\n\ndata: b", &["=a"]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_very_beginning_only() {
        check("\u{FEFF}data: a\n\n\u{FEFF}data: b\n\ndata: c\n\n", &["=a", "=c"]);
    }

    #[test]
    fn an_event_of_empty_data_is_an_event() {
        check("data\n\ndata:\n\n", &["=", "="]);
    }

    #[test]
    fn the_wish_for_a_delay_is_read_if_it_is_a_number() {
        let mut parser = Parser::new(64);
        parser.feed(b"retry: 1500\nretry: soon\n", &mut Vec::new()).unwrap();
        assert_eq!(parser.take_retry(), Some(Duration::from_millis(1500)));
        assert_eq!(parser.take_retry(), None);
    }

    #[test]
    fn an_event_is_bounded_and_a_stream_is_not() {
        let mut parser = Parser::new(16);
        for _ in 0..100 {
            parser.feed(b": comment\ndata: 12345678\n\n", &mut Vec::new()).unwrap();
        }
        let refused = Err(TooLarge { bytes_max: 16 });
        assert_eq!(Parser::new(16).feed(b"data: 12345678901", &mut Vec::new()), refused);
        assert_eq!(Parser::new(16).feed(b"data: 1\ndata: 2\ndata: 123456\n", &mut Vec::new()), Ok(()));
        assert_eq!(Parser::new(16).feed(b"data: 1234567890\ndata: 2\n\n", &mut Vec::new()), refused);
    }
}
