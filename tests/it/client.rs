//! A client that notes what it was told, and that outlives its host: a connection that breaks is an answer like any other.

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::checker::{Log, Record};
use crate::events::Events;
use crate::harness::{Kennel, call, id_of, message, message_to};
use crate::http::{Answer, WAIT, exchange};

/// One client of one host. Cheap to make.
#[derive(Clone, Copy)]
pub(crate) struct Client<'a> {
    address: SocketAddr,
    record: &'a Record,
}

impl<'a> Client<'a> {
    pub(crate) fn of(kennel: &Kennel, record: &'a Record) -> Client<'a> {
        Client { address: kennel.address(), record }
    }

    /// A client of whoever listens there.
    pub(crate) fn at(address: SocketAddr, record: &'a Record) -> Client<'a> {
        Client { address, record }
    }

    /// One call: the envelope.
    pub(crate) fn call(&self, agent: &str, method: &str, params: Value) -> io::Result<Value> {
        let reply = exchange(self.address, &call(agent, method, params), WAIT)?;
        serde_json::from_slice(&reply.body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// A new task that is not waited for: its id.
    pub(crate) fn begin(&self, agent: &str, text: &str) -> io::Result<String> {
        let params = message(text);
        let envelope = self.send(agent, params)?;
        Ok(id_of(&envelope["result"]["task"]))
    }

    /// A message to a task, not waited for. False: the task does not take one now.
    pub(crate) fn reply(&self, agent: &str, task: &str, text: &str) -> io::Result<bool> {
        let envelope = self.send(agent, message_to(task, text))?;
        Ok(envelope.get("error").is_none())
    }

    /// A message under an id of the caller's, who may send it again: the answer.
    pub(crate) fn send_as(&self, agent: &str, id: &str, task: Option<&str>, text: &str) -> io::Result<Value> {
        let mut params = task.map_or_else(|| message(text), |task| message_to(task, text));
        params["message"]["messageId"] = json!(id);
        self.send(agent, params)
    }

    fn send(&self, agent: &str, mut params: Value) -> io::Result<Value> {
        params["configuration"] = json!({ "returnImmediately": true });
        let id = params["message"]["messageId"].as_str().expect("an id").to_owned();
        let envelope = self.call(agent, "SendMessage", params)?;
        if let Some(task) = envelope["result"].get("task") {
            self.record.accepted(&id_of(task), &id);
            self.record.shown(task);
        }
        Ok(envelope)
    }

    /// Asks a task to stop and waits until it has. False: it was over.
    pub(crate) fn cancel(&self, agent: &str, task: &str) -> io::Result<bool> {
        let envelope = self.call(agent, "CancelTask", json!({ "id": task }))?;
        if envelope["result"].is_object() {
            self.record.canceled(task);
            self.record.shown(&envelope["result"]);
        }
        Ok(envelope.get("error").is_none())
    }

    /// The Task; null if the host knows none.
    pub(crate) fn task(&self, agent: &str, task: &str) -> io::Result<Value> {
        let task = self.call(agent, "GetTask", json!({ "id": task }))?["result"].take();
        self.record.shown(&task);
        Ok(task)
    }

    /// A new task whose events are followed: its id and the log that [`Client::resume`] continues.
    pub(crate) fn stream(&self, agent: &str, text: &str) -> io::Result<(String, Log)> {
        let params = message(text);
        let id = params["message"]["messageId"].as_str().expect("an id").to_owned();
        let answer = Answer::to(self.address, &call(agent, "SendStreamingMessage", params), WAIT)?;
        let mut events = Events::new(answer);
        let Some(first) = events.try_next(WAIT)? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let task = first.task_id();
        self.record.accepted(&task, &id);
        let log = self.record.follow();
        self.record.saw(log, &first);
        // Whoever cannot go on reading here resumes.
        self.read(&mut events, log).ok();
        Ok((task, log))
    }

    /// Follows a task from where its log stands. Ok: the stream has ended in order.
    pub(crate) fn resume(&self, agent: &str, task: &str, log: Log) -> io::Result<()> {
        let mut request = call(agent, "SubscribeToTask", json!({ "id": task }));
        if let Some(last) = self.record.last(log) {
            request = request.header("last-event-id", &last.to_string());
        }
        let answer = Answer::to(self.address, &request, WAIT)?;
        if answer.header("content-type") != Some("text/event-stream") {
            // All was seen, and the task is over.
            return answer.finish(WAIT).map(drop);
        }
        self.read(&mut Events::new(answer), log)
    }

    fn read(&self, events: &mut Events, log: Log) -> io::Result<()> {
        while let Some(event) = events.try_next(WAIT)? {
            self.record.saw(log, &event);
        }
        Ok(())
    }
}
