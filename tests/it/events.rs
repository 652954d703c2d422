//! Reads server-sent events as they come, with their ids, and notes the comments between them.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::{Answer, WAIT};

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub id: Option<u64>,
    /// The data as it came.
    pub text: String,
    /// The same, read.
    pub json: Value,
}

impl Event {
    /// The StreamResponse: in its envelope, or bare.
    pub(crate) fn result(&self) -> &Value {
        self.json.get("result").unwrap_or(&self.json)
    }

    /// Which member of the union it is: task, message, statusUpdate or artifactUpdate.
    pub(crate) fn kind(&self) -> &str {
        self.result().as_object().and_then(|union| union.keys().next()).map_or("", String::as_str)
    }

    /// The state that it says, if it is a Task or a status.
    pub(crate) fn state(&self) -> &str {
        let result = self.result();
        let status = result.get("task").or_else(|| result.get("statusUpdate"));
        status.and_then(|one| one["status"]["state"].as_str()).unwrap_or("")
    }

    /// The id of the task that it is about.
    pub(crate) fn task_id(&self) -> String {
        let result = self.result();
        let id = match result.get("task") {
            Some(task) => &task["id"],
            None => {
                result.as_object().and_then(|union| union.values().next()).map_or(&Value::Null, |one| &one["taskId"])
            }
        };
        id.as_str().unwrap_or_else(|| panic!("no task id in {}", self.text)).to_owned()
    }
}

/// A stream under way.
pub(crate) struct Events {
    answer: Answer,
    unread: String,
    over: bool,
    began: Instant,
    /// When each comment came, counted from the begin of the stream.
    pub comments: Vec<Duration>,
}

impl Events {
    /// The answer must be a stream.
    pub(crate) fn new(answer: Answer) -> Events {
        if answer.header("content-type") != Some("text/event-stream") {
            let reply = answer.finish(WAIT).expect("an answer");
            panic!("not a stream: HTTP {} {}", reply.status, reply.text());
        }
        Events { answer, unread: String::new(), over: false, began: Instant::now(), comments: Vec::new() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.answer.header(name)
    }

    /// The next event; none: the stream has ended in order.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.next_within(WAIT)
    }

    /// The next event, which must come soon enough.
    pub(crate) fn next_within(&mut self, wait: Duration) -> Option<Event> {
        self.try_next(wait).unwrap_or_else(|error| panic!("no event within {wait:?}: {error}"))
    }

    /// The next event, or why there is none: also that the connection broke.
    pub(crate) fn try_next(&mut self, wait: Duration) -> std::io::Result<Option<Event>> {
        let deadline = Instant::now() + wait;
        loop {
            while let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                if let Some(event) = self.block(&block) {
                    return Ok(Some(event));
                }
            }
            if self.over {
                assert!(self.unread.is_empty(), "half an event at the end: {:?}", self.unread);
                return Ok(None);
            }
            match self.answer.piece(deadline)? {
                Some(piece) => self.unread.push_str(std::str::from_utf8(&piece).expect("the stream is UTF-8")),
                None => self.over = true,
            }
        }
    }

    /// Waits until a comment comes; an event before it is a mistake.
    pub(crate) fn next_comment(&mut self, wait: Duration) {
        let (before, deadline) = (self.comments.len(), Instant::now() + wait);
        while self.comments.len() == before {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.answer.piece(deadline) {
                Ok(Some(piece)) => self.unread.push_str(std::str::from_utf8(&piece).expect("the stream is UTF-8")),
                other => panic!("no comment within {wait:?} ({left:?} left): {other:?}"),
            }
            while let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                let event = self.block(&block);
                assert!(event.is_none(), "an event instead of silence: {event:?}");
            }
        }
    }

    /// All events until the stream ends.
    pub(crate) fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next_event()).collect()
    }

    /// Reads on until an event meets the condition; gives all up to it.
    pub(crate) fn until(&mut self, what: &str, mut met: impl FnMut(&Event) -> bool) -> Vec<Event> {
        let mut seen = Vec::new();
        loop {
            let Some(event) = self.next_event() else { panic!("the stream ended before {what}: {seen:#?}") };
            let found = met(&event);
            seen.push(event);
            if found {
                return seen;
            }
        }
    }

    /// Reads on until the task is in a state.
    pub(crate) fn until_state(&mut self, state: &str) -> Vec<Event> {
        self.until(state, |event| event.state() == state)
    }

    fn block(&mut self, block: &str) -> Option<Event> {
        let (mut id, mut data) = (None, None);
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("", _)) => self.comments.push(self.began.elapsed()),
                Some(("id", given)) => id = Some(given.parse().expect("a number as id")),
                Some(("data", given)) => data = Some(given.to_owned()),
                _ => panic!("an unknown line in a stream: {line:?}"),
            }
        }
        let text = data?;
        let json = serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{fault}: {text}"));
        Some(Event { id, text, json })
    }
}
