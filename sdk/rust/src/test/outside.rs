//! Work outside: exchanges with services, messages to other agents, and waiting for them.
//!
//! What is under way is ready at a time that the script sets; the clock goes there when the agent waits for it.

use std::collections::VecDeque;
use std::time::Duration;

use super::results::shown_bytes;
use super::run::Sent;
use super::script::{Http, Peer, Reaction, Served, shown, word};
use super::world::{BEGIN, CONTEXT, World};
use crate::bindings::kennel::agent::http::{Piece, Request, Response, ResponseHead};
use crate::bindings::kennel::agent::peers::{Answer, ContextChoice, SendOptions};
use crate::bindings::kennel::agent::types::{TaskSnapshot, TaskState};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Draft, Message, Role};
use crate::time::{from_ms, seconds, to_ms};

/// How long an exchange may take that says nothing about it.
const EXCHANGE_MAX: Duration = seconds(60);

/// Something that the host works on.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Whole { ready: Duration, response: Result<Response> },
    Stream(Stream),
    Sent { ready: Duration, answer: Result<Answer> },
}

/// A response that is read in pieces.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    /// None once it was taken.
    head: Option<Result<ResponseHead>>,
    /// What comes next, and when.
    pieces: VecDeque<(Duration, Piece)>,
    ready: Duration,
    deadline: Duration,
    /// What is told when the deadline passes first.
    late: Error,
}

impl Work {
    fn ready(&self) -> Duration {
        match self {
            Self::Whole { ready, .. } | Self::Sent { ready, .. } => *ready,
            Self::Stream(stream) => stream.next(),
        }
    }
}

impl Stream {
    /// When the next call has something to give.
    fn next(&self) -> Duration {
        let next = match (&self.head, self.pieces.front()) {
            (None, Some((at, _))) => *at,
            (Some(_), _) | (None, None) => self.ready,
        };
        next.min(self.deadline)
    }
}

/// HTTP.
impl World {
    pub(super) fn fetch(&mut self, request: &Request) -> Result<Response> {
        let call = called(request);
        let result = self.exchange(request).and_then(|http| {
            let (ready, response) = self.whole(request, http);
            self.pass(Some(ready))?;
            response
        });
        self.came(&call, result, shown_response)
    }

    pub(super) fn start(&mut self, request: &Request) -> Result<u32> {
        let result = self.exchange(request).map(|http| {
            let (ready, response) = self.whole(request, http);
            self.add_work(Work::Whole { ready, response })
        });
        self.came(&format!("start {}", called(request)), result, |id| format!("#{id}"))
    }

    pub(super) fn take_response(&mut self, id: u32) -> Result<Response> {
        let result = match self.pendings.get(&id).cloned() {
            Some(Work::Whole { ready, response }) => self.pass(Some(ready)).and_then(|()| {
                self.pendings.remove(&id);
                response
            }),
            _ => Err(not_pending(id)),
        };
        self.came(&format!("take #{id}"), result, shown_response)
    }

    pub(super) fn open_stream(&mut self, request: &Request) -> Result<u32> {
        let result = self.exchange(request).map(|http| {
            let stream = self.stream(request, http);
            self.add_work(Work::Stream(stream))
        });
        self.came(&format!("open {}", called(request)), result, |id| format!("#{id}"))
    }

    pub(super) fn head(&mut self, id: u32) -> Result<ResponseHead> {
        let result = match self.pendings.get(&id).cloned() {
            Some(Work::Stream(Stream { head: Some(head), ready, deadline, .. })) => {
                self.pass(Some(ready.min(deadline))).and_then(|()| {
                    if let (Ok(_), Some(Work::Stream(stream))) = (&head, self.pendings.get_mut(&id)) {
                        stream.head = None;
                    } else {
                        self.pendings.remove(&id);
                    }
                    head
                })
            }
            Some(Work::Stream(_)) => Err(Error::new(ErrorKind::Invalid, "head", "The head was taken already.")),
            _ => Err(not_pending(id)),
        };
        self.came(&format!("head #{id}"), result, |head| head.status.to_string())
    }

    pub(super) fn read(&mut self, id: u32, timeout: Option<f64>) -> Result<Option<Piece>> {
        let limit = timeout.map(|timeout| self.clock + from_ms(timeout));
        let result = match self.pendings.get(&id).cloned() {
            Some(Work::Stream(stream)) => self.read_piece(id, &stream, limit),
            _ => Err(not_pending(id)),
        };
        self.came(&format!("read #{id}"), result, |piece| match piece {
            Some(Piece::Data(bytes)) => format!("{:?}", shown_bytes(bytes)),
            Some(Piece::End) => "end".to_owned(),
            Some(Piece::Interrupted) => "interrupted".to_owned(),
            None => "nothing yet".to_owned(),
        })
    }

    fn read_piece(&mut self, id: u32, stream: &Stream, limit: Option<Duration>) -> Result<Option<Piece>> {
        if let Some(Err(error)) = &stream.head {
            return Err(error.clone());
        }
        let Some((at, piece)) = stream.pieces.front().cloned() else { return Err(not_pending(id)) };
        let next = at.min(stream.deadline);
        if let Some(limit) = limit.filter(|limit| *limit < next) {
            return self.pass(Some(limit)).map(|()| None);
        }
        self.pass(Some(next))?;
        if at > stream.deadline {
            self.pendings.remove(&id);
            return Err(stream.late.clone());
        }
        let over = !matches!(piece, Piece::Data(_));
        match self.pendings.get_mut(&id) {
            Some(Work::Stream(stream)) if !over => drop(stream.pieces.pop_front()),
            _ => drop(self.pendings.remove(&id)),
        }
        Ok(Some(piece))
    }

    pub(super) fn abort(&mut self, id: u32) -> Result<()> {
        let result = match self.pendings.remove(&id) {
            Some(_) => Ok(()),
            None => Err(not_pending(id)),
        };
        self.came(&format!("abort #{id}"), result, |()| "ended".to_owned())
    }

    /// The answer of the script to a request, which is then used up.
    fn exchange(&mut self, request: &Request) -> Result<Http> {
        let Request { method, url, credential, .. } = request;
        self.record.requests.push(request.clone());
        if !(url.starts_with("https://") || url.starts_with("http://")) {
            return Err(Error::new(ErrorKind::Invalid, "url", format!("{url} is not an absolute URL.")));
        }
        if !self.granted("http", |rule| fits(rule, method, url)) {
            return Err(Self::denied("http", format!("The card does not request {method} {url}.")));
        }
        if let Some(name) = credential.as_ref().filter(|name| !self.script.credentials.contains(*name)) {
            return Err(Self::denied(
                "credential",
                format!("There is no credential {name}: the test adds it by Runner::credential."),
            ));
        }
        let fit = |(of, to, _): &(String, String, Http)| of == method && to == url;
        match self.script.http.iter().position(fit) {
            Some(index) => Ok(self.script.http.remove(index).2),
            None => self.disagree(&format!(
                "the agent requests {method} {url}, and the script has no response to it left: add Runner::http\n{}",
                self.has_left()
            )),
        }
    }

    fn whole(&self, request: &Request, http: Http) -> (Duration, Result<Response>) {
        let stream = self.stream(request, http);
        let last = stream.pieces.back().map_or(stream.ready, |(at, _)| *at);
        if last > stream.deadline {
            return (stream.deadline, Err(stream.late));
        }
        let bytes = stream.pieces.into_iter().filter_map(|(_, piece)| match piece {
            Piece::Data(bytes) => Some(bytes),
            Piece::End | Piece::Interrupted => None,
        });
        let body = bytes.collect::<Vec<_>>().concat();
        let response = stream.head.unwrap_or(Err(stream.late));
        (last, response.map(|ResponseHead { status, headers, url }| Response { status, headers, body, url }))
    }

    fn stream(&self, request: &Request, http: Http) -> Stream {
        let ready = self.clock + http.after;
        let deadline = self.clock + request.timeout.map_or(EXCHANGE_MAX, from_ms);
        let late = late(&request.method);
        match http.what {
            Served::Error(error) => Stream { head: Some(Err(error)), pieces: VecDeque::new(), ready, deadline, late },
            Served::Response { .. } if ready > deadline => {
                Stream { head: Some(Err(late.clone())), pieces: VecDeque::new(), ready: deadline, deadline, late }
            }
            Served::Response { status, headers, pieces, interrupted } => {
                let mut at = ready;
                let mut timed: VecDeque<_> = pieces
                    .into_iter()
                    .map(|bytes| {
                        at += http.every;
                        (at, Piece::Data(bytes))
                    })
                    .collect();
                timed.push_back((at, if interrupted { Piece::Interrupted } else { Piece::End }));
                let head = ResponseHead { status, headers, url: request.url.clone() };
                Stream { head: Some(Ok(head)), pieces: timed, ready, deadline, late }
            }
        }
    }

    fn has_left(&self) -> String {
        let left = self.script.left();
        if left.is_empty() { "it has nothing left".to_owned() } else { format!("it has left: {}", left.join(", ")) }
    }
}

/// Other agents.
impl World {
    pub(super) fn peer_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.script.peers.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    pub(super) fn peer_card(&mut self, to: &str) -> Result<String> {
        let known = self.peer_names().iter().any(|name| name == to);
        let card = serde_json::json!({ "name": to, "description": "", "version": "1", "skills": [] }).to_string();
        let missing = || Error::new(ErrorKind::NotFound, "peer", format!("There is no agent {to}."));
        self.came(&format!("card of {to}"), if known { Ok(card) } else { Err(missing()) }, String::clone)
    }

    pub(super) fn send(&mut self, to: &str, message: &Draft, options: &SendOptions) -> Result<u32> {
        let answers = options.task_id.as_ref().map(|id| format!(" for {id}")).unwrap_or_default();
        let refers = match message.reference_task_ids.as_slice() {
            [] => String::new(),
            ids => format!(" about {}", ids.join(", ")),
        };
        let call = format!("send {to}{answers}{refers}: {}", shown(&message.parts));
        self.record.sent.push(Sent { to: to.to_owned(), message: message.clone(), task_id: options.task_id.clone() });
        let result = if self
            .granted("peer", |rule| rule == "*" || rule == to || to.starts_with("https://") && to.starts_with(rule))
        {
            let peer = self.next_answer(to);
            Ok(self.sent(to, &peer, options))
        } else {
            Err(Self::denied("peer", format!("The card does not request the agent {to}.")))
        };
        self.came(&call, result, |id| format!("#{id}"))
    }

    fn sent(&mut self, to: &str, peer: &Peer, options: &SendOptions) -> u32 {
        let ready = self.clock + peer.after;
        let deadline = options.timeout.map(|timeout| self.clock + from_ms(timeout));
        if let Some(deadline) = deadline.filter(|deadline| *deadline < ready) {
            return self.add_work(Work::Sent { ready: deadline, answer: Err(timed_out(&format!("The agent {to}"))) });
        }
        let answer = match &peer.what {
            Reaction::Error(error) => Err(error.clone()),
            Reaction::Says(message) => Ok(Answer::Message(peer_message(message, None))),
            what => {
                let many = self.children.keys().filter(|id| id.starts_with(&format!("{to}-"))).count();
                let id = options.task_id.clone().unwrap_or_else(|| format!("{to}-{}", many + 1));
                let fresh = options.context == ContextChoice::Fresh && options.task_id.is_none();
                let task = self.snapshot(&id, if fresh { "context-2" } else { CONTEXT }, what);
                self.children.insert(id, task.clone());
                Ok(Answer::Task(task))
            }
        };
        self.add_work(Work::Sent { ready, answer })
    }

    fn next_answer(&mut self, to: &str) -> Peer {
        match self.script.peers.iter().position(|(name, _)| name == to) {
            Some(index) => self.script.peers.remove(index).1,
            None => self.disagree(&format!(
                "the agent sends a message to {to}, and the script has no answer of it left: add Runner::peer\n{}",
                self.has_left()
            )),
        }
    }

    /// A task that another agent made.
    pub(super) fn snapshot(&self, id: &str, context: &str, what: &Reaction) -> TaskSnapshot {
        let (state, words, artifacts) = match what {
            Reaction::Completes(artifacts) => (TaskState::Completed, None, artifacts.clone()),
            Reaction::Asks(words) => (TaskState::InputRequired, Some(words), Vec::new()),
            Reaction::Fails(words) => (TaskState::Failed, Some(words), Vec::new()),
            Reaction::Refuses(words) => (TaskState::Rejected, Some(words), Vec::new()),
            Reaction::Says(words) => (TaskState::Completed, Some(words), Vec::new()),
            Reaction::Error(_) => (TaskState::Failed, None, Vec::new()),
        };
        TaskSnapshot {
            task_id: id.to_owned(),
            context_id: context.to_owned(),
            state,
            status_message: words.map(|words| peer_message(words, Some(id))),
            status_time: to_ms(BEGIN + self.clock),
            artifacts,
            metadata: None,
        }
    }

    pub(super) fn take_answer(&mut self, id: u32) -> Result<Answer> {
        let result = match self.pendings.get(&id).cloned() {
            Some(Work::Sent { ready, answer }) => self.park(Some(ready)).and_then(|()| {
                self.pendings.remove(&id);
                answer
            }),
            _ => Err(not_pending(id)),
        };
        self.came(&format!("take #{id}"), result, |answer| match answer {
            Answer::Message(message) => shown(&message.parts),
            Answer::Task(task) => {
                let words = task.status_message.iter().flat_map(|message| &message.parts);
                let parts: Vec<_> =
                    words.chain(task.artifacts.iter().flat_map(|artifact| &artifact.parts)).cloned().collect();
                format!("{} {} {}", task.task_id, word(task.state), shown(&parts)).trim_end().to_owned()
            }
        })
    }

    pub(super) fn cancel_sent(&mut self, id: u32, reason: Option<&str>) -> Result<()> {
        let now = self.clock;
        let result = match self.pendings.get_mut(&id) {
            Some(Work::Sent { ready, answer }) => {
                if *ready > now {
                    *ready = now;
                    if let Ok(Answer::Task(task)) = answer {
                        task.state = TaskState::Canceled;
                        task.artifacts.clear();
                    }
                }
                Ok(())
            }
            _ => Err(not_pending(id)),
        };
        let why = reason.map(|reason| format!(" {reason:?}")).unwrap_or_default();
        self.came(&format!("cancel #{id}{why}"), result, |()| "asked".to_owned())
    }
}

/// Waiting for several.
impl World {
    pub(super) fn wait_any(&mut self, ids: &[u32], timeout: Option<f64>) -> Result<Option<u32>> {
        let result = self.first(ids, timeout);
        self.came(&format!("wait for any of {}", numbers(ids)), result, |first| match first {
            Some(index) => numbers(ids.get(*index as usize..=*index as usize).unwrap_or_default()),
            None => "none".to_owned(),
        })
    }

    fn first(&mut self, ids: &[u32], timeout: Option<f64>) -> Result<Option<u32>> {
        let limit = timeout.map(|timeout| self.clock + from_ms(timeout));
        let times = self.times(ids)?;
        let first = times.into_iter().zip(0_u32..).min();
        match (first, limit) {
            (None, None) => Err(Error::new(ErrorKind::Invalid, "pendings", "There is nothing to wait for.")),
            (Some((ready, index)), limit) if limit.is_none_or(|limit| ready <= limit) => {
                self.park(Some(ready.max(self.clock))).map(|()| Some(index))
            }
            (_, limit) => self.park(limit).map(|()| None),
        }
    }

    pub(super) fn wait_all(&mut self, ids: &[u32], timeout: Option<f64>) -> Result<bool> {
        let limit = timeout.map(|timeout| self.clock + from_ms(timeout));
        let result = self.times(ids).and_then(|times| {
            let last = times.into_iter().max().unwrap_or(self.clock);
            match limit.filter(|limit| *limit < last) {
                Some(limit) => self.park(Some(limit)).map(|()| false),
                None => self.park(Some(last)).map(|()| true),
            }
        });
        self.came(&format!("wait for all of {}", numbers(ids)), result, bool::to_string)
    }

    fn times(&self, ids: &[u32]) -> Result<Vec<Duration>> {
        ids.iter().map(|id| self.pendings.get(id).map(Work::ready).ok_or_else(|| not_pending(*id))).collect()
    }

    fn add_work(&mut self, work: Work) -> u32 {
        self.pendings_made += 1;
        self.pendings.insert(self.pendings_made, work);
        self.pendings_made
    }
}

/// Whether a rule of the card (`GET https://*.example.com/v1`, `GET http://127.0.0.1:*`) fits a request.
fn fits(rule: &str, method: &str, url: &str) -> bool {
    let Some((allowed, place)) = rule.split_once(' ') else { return false };
    let (Some((rule_scheme, rule_rest)), Some((scheme, rest))) = (place.split_once("://"), url.split_once("://"))
    else {
        return false;
    };
    let cut = |rest: &str| rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (rule_host, rule_path) = rule_rest.split_at(cut(rule_rest));
    let (host, path) = rest.split_at(cut(rest));
    // Any port: then hosts are compared without theirs.
    let (rule_host, host) = match rule_host.strip_suffix(":*") {
        Some(name) => (name, host.rsplit_once(':').map_or(host, |(name, _)| name)),
        None => (rule_host, host),
    };
    let same_host = match rule_host.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix) && host.len() > suffix.len(),
        None => host == rule_host,
    };
    let below = path.strip_prefix(rule_path.trim_end_matches('/'));
    let same_path = below.is_some_and(|below| below.is_empty() || below.starts_with(['/', '?', '#']));
    (allowed == "*" || allowed == method) && rule_scheme == scheme && same_host && same_path
}

fn called(request: &Request) -> String {
    let credential = request.credential.as_ref().map(|name| format!(" with {name}")).unwrap_or_default();
    format!("{} {}{credential}", request.method, request.url)
}

fn shown_response(response: &Response) -> String {
    match response.body.as_slice() {
        [] => response.status.to_string(),
        body => format!("{} {:?}", response.status, shown_bytes(body)),
    }
}

fn numbers(ids: &[u32]) -> String {
    ids.iter().map(|id| format!("#{id}")).collect::<Vec<_>>().join(" ")
}

fn not_pending(id: u32) -> Error {
    Error::new(ErrorKind::NotFound, "pending", format!("#{id} was taken already, or is something else."))
}

fn timed_out(who: &str) -> Error {
    Error::new(ErrorKind::TimedOut, "timeout", format!("{who} did not answer in time."))
}

/// Another try may help, if the method promises that two requests do no more than one.
fn late(method: &str) -> Error {
    let retryable = matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE");
    Error { retryable, ..timed_out("The service") }
}

/// What another agent says.
fn peer_message(draft: &Draft, task: Option<&str>) -> Message {
    Message {
        message_id: "message-of-a-peer".to_owned(),
        context_id: CONTEXT.to_owned(),
        task_id: task.map(str::to_owned),
        role: Role::Agent,
        parts: draft.parts.clone(),
        metadata: draft.metadata.clone(),
        extensions: draft.extensions.clone(),
        reference_task_ids: draft.reference_task_ids.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_a_card_fit_methods_hosts_and_paths() {
        assert!(fits("GET http://127.0.0.1:*", "GET", "http://127.0.0.1:8099/x"));
        assert!(!fits("GET http://127.0.0.1:8080", "GET", "http://127.0.0.1:8099/x"));
        let fits = |rule| fits(rule, "GET", "https://api.example.com/v1/people?n=1");
        for rule in [
            "GET https://api.example.com",
            "* https://*.example.com/",
            "GET https://api.example.com/v1/people",
            "GET https://*.example.com:*/v1",
        ] {
            assert!(fits(rule), "{rule}");
        }
        for rule in [
            "POST https://api.example.com",
            "GET http://api.example.com",
            "GET https://*.api.example.com",
            "GET https://api.example.com/v",
            "GET https://example.com",
            "GET",
        ] {
            assert!(!fits(rule), "{rule}");
        }
    }
}
