//! The bindings are one service: the same random requests, right and wrong, are sent to two hosts, each over a wire of its own. What
//! they answer, the errors they give and what is stored in the end must be the same.

use std::collections::HashMap;

use kennel_protocol::{Operation, ProtocolVersion};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::harness::Kennel;
use crate::wire::{Fault, WIRES, Wire};

const AGENTS: [&str; 3] = ["echo", "interview", "hello"];
const CASES: u32 = 48;

/// One request. A task is meant by its number among those made so far; one that is not there is nobody's.
#[derive(Clone, Debug)]
struct Step {
    operation: Operation,
    agent: usize,
    task: Option<usize>,
    params: Value,
    /// With the token of the last page.
    pages_on: bool,
}

/// One side: a host, the wire it is spoken to on, and what was seen there.
struct Side<'k> {
    kennel: &'k Kennel,
    wire: Wire,
    tasks: Vec<(String, usize)>,
    names: HashMap<String, String>,
    page_token: String,
}

/// The bindings of 1.0. An older version has other errors for what is wrong.
fn wires() -> impl Iterator<Item = Wire> {
    WIRES.iter().copied().filter(|wire| wire.version == ProtocolVersion::V1_0)
}

/// What came of a request, with the side's own ids and times taken out.
type Seen = Result<String, String>;

impl<'k> Side<'k> {
    fn new(kennel: &'k Kennel, wire: Wire) -> Side<'k> {
        Side { kennel, wire, tasks: Vec::new(), names: HashMap::new(), page_token: String::new() }
    }

    fn take(&mut self, step: &Step) -> Seen {
        let (params, agent) = self.params(step);
        let streams = matches!(step.operation, Operation::SendStreamingMessage | Operation::SubscribeToTask);
        let request = self.wire.request(AGENTS[agent], step.operation, &params);
        if !streams {
            let outcome = self.wire.outcome(&self.kennel.send(&request));
            return self.seen(outcome, agent);
        }
        let answer = self.kennel.open(&request);
        if answer.header("content-type") != Some("text/event-stream") {
            let reply = answer.finish(crate::http::WAIT).expect("an answer");
            let outcome = self.wire.outcome(&reply);
            return self.seen(outcome, agent);
        }
        let mut events = crate::events::Events::new(answer);
        // A task that waits for its client keeps a subscription open.
        let events = match step.operation {
            Operation::SubscribeToTask => events.next_event().into_iter().collect(),
            _ => events.rest(),
        };
        let events: Vec<Value> = events.iter().map(|event| json!({ "id": event.id, "is": event.result() })).collect();
        self.seen(Ok(json!(events)), agent)
    }

    /// The request with the ids of this side, and the agent that it goes to.
    fn params(&self, step: &Step) -> (Value, usize) {
        let mut params = step.params.clone();
        let Some(number) = step.task else {
            if step.pages_on {
                params["pageToken"] = json!(self.page_token);
            }
            return (params, step.agent);
        };
        let meant = if self.tasks.is_empty() { None } else { self.tasks.get(number % (self.tasks.len() + 1)) };
        let (id, agent) = meant.map_or(("none", step.agent), |(id, agent)| (id.as_str(), *agent));
        match step.operation {
            Operation::SendMessage | Operation::SendStreamingMessage => params["message"]["taskId"] = json!(id),
            Operation::GetTask | Operation::CancelTask | Operation::SubscribeToTask => params["id"] = json!(id),
            _ => params["taskId"] = json!(id),
        }
        // Now and then the task of another agent, which nobody finds.
        (params, if number % 5 == 4 { step.agent } else { agent })
    }

    fn seen(&mut self, outcome: Result<Value, Fault>, agent: usize) -> Seen {
        if let Ok(value) = &outcome {
            let first = value.get(0).map(|event| &event["is"]).unwrap_or(value);
            if let Some(id) = first["task"]["id"].as_str()
                && !self.tasks.iter().any(|(known, _)| known == id)
            {
                self.tasks.push((id.to_owned(), agent));
            }
            if let Some(token) = value["nextPageToken"].as_str() {
                self.page_token = token.to_owned();
            }
        }
        match outcome {
            Ok(value) => Ok(self.anonymous(&value)),
            Err(fault) => Err(self.anonymous(&json!([fault.reason, fault.message, fault.metadata, fault.violations]))),
        }
    }

    /// The text of a value, with names in place of what each host makes for itself.
    fn anonymous(&mut self, value: &Value) -> String {
        let mut value = value.clone();
        if let Some(token) = value.get_mut("nextPageToken").filter(|token| **token != "") {
            *token = json!("[token]");
        }
        let (text, mut out) = (value.to_string(), String::new());
        let mut rest = text.as_str();
        while let Some(next) = rest.chars().next() {
            let uuid = rest.get(..36).filter(|text| crate::shapes::is_uuid(&json!(text)));
            let time = rest.get(..24).filter(|text| crate::shapes::is_timestamp(&json!(text)));
            let taken = match (uuid, time) {
                (Some(uuid), _) => {
                    let fresh = format!("[id {}]", self.names.len());
                    out += self.names.entry(uuid.to_owned()).or_insert(fresh);
                    36
                }
                (None, Some(_)) => {
                    out += "[time]";
                    24
                }
                (None, None) => {
                    out.push(next);
                    next.len_utf8()
                }
            };
            rest = &rest[taken..];
        }
        out
    }

    /// All that is stored of the tasks of this case, always asked for in the same way.
    fn stored(&mut self) -> Vec<String> {
        let tasks = self.tasks.clone();
        let whole = |(id, agent): &(String, usize)| self.kennel.task(AGENTS[*agent], id);
        let tasks: Vec<Value> = tasks.iter().map(whole).collect();
        tasks.iter().map(|task| self.anonymous(task)).collect()
    }
}

fn texts() -> impl Strategy<Value = Value> {
    prop_oneof![Just("hello"), Just("red"), Just(""), Just("ünïcode \u{2028} \" \\"), Just("Ada")]
        .prop_map(|text| json!(text))
}

fn parts() -> impl Strategy<Value = Value> {
    prop_oneof![
        24 => texts().prop_map(|text| json!([{ "text": text }])),
        1 => Just(json!([])),
        1 => Just(json!("hello")),
        1 => Just(json!([{ "text": "a", "url": "https://example.com" }])),
        1 => Just(json!([{ "text": "a", "mediaType": "image/png" }])),
        1 => Just(json!([{ "text": "a", "mediaType": "nonsense" }])),
        1 => Just(json!([{ "data": { "deep": [1, 2.5, null, { "x": true }] } }, { "text": "b", "media_type": "text/plain" }])),
        1 => Just(json!([{ "raw": "not base64!" }])),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    // As text where it is wrong: in a url there is no other form.
    prop_oneof![
        Just(json!(0)),
        Just(json!(1)),
        Just(json!(2)),
        Just(json!("3")),
        Just(json!(-1)),
        Just(json!("many")),
        Just(json!("1.5")),
        Just(json!("2147483648")),
        Just(json!(101)),
    ]
}

/// Members that may be there or not.
fn some(members: Vec<(&'static str, BoxedStrategy<Value>)>) -> impl Strategy<Value = Value> {
    let each: Vec<_> = members
        .into_iter()
        .map(|(name, value)| proptest::option::weighted(0.12, value).prop_map(move |value| (name, value)).boxed())
        .collect();
    each.prop_map(|members| {
        members
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    })
}

fn choice(values: &'static [&'static str]) -> BoxedStrategy<Value> {
    proptest::sample::select(values).prop_map(|text| json!(text)).boxed()
}

fn metadata() -> BoxedStrategy<Value> {
    prop_oneof![Just(json!({ "reason": "enough", "n": 1.5 })), Just(json!({})), Just(json!("text")), Just(Value::Null)]
        .boxed()
}

fn message() -> impl Strategy<Value = Value> {
    let role = prop_oneof![24 => Just(json!("ROLE_USER")), 1 => Just(json!(1)), 1 => Just(json!("ROLE_AGENT")), 1 => Just(json!("user"))];
    let optional = some(vec![
        ("contextId", choice(&["ours", "theirs", "line\nbreak"])),
        ("metadata", metadata()),
        ("extensions", prop_oneof![Just(json!(["urn:x"])), Just(json!("urn:x"))].boxed()),
        ("referenceTaskIds", prop_oneof![Just(json!(["other"])), Just(json!([""]))].boxed()),
        ("unknown", Just(json!([1])).boxed()),
    ]);
    let configuration = some(vec![
        ("historyLength", number().boxed()),
        ("history_length", Just(json!(1)).boxed()),
        ("returnImmediately", Just(json!("yes")).boxed()),
        ("acceptedOutputModes", Just(json!(["text/plain"])).boxed()),
        ("taskPushNotificationConfig", Just(json!({ "url": "https://example.com" })).boxed()),
    ]);
    let configuration = prop_oneof![6 => Just(Value::Null), 2 => configuration];
    (role, parts(), optional, configuration, metadata(), 0..40_u8).prop_map(
        |(role, parts, optional, configuration, metadata, fault)| {
            let mut message = optional;
            message["messageId"] = json!("m");
            message["role"] = role;
            message["parts"] = parts;
            let mut params = json!({ "message": message, "configuration": configuration });
            match fault {
                0 => params["metadata"] = metadata,
                1 => drop(params["message"].as_object_mut().expect("an object").remove("messageId")),
                2 => params["message"] = json!({}),
                _ => {}
            }
            params
        },
    )
}

fn filters() -> impl Strategy<Value = Value> {
    some(vec![
        ("contextId", choice(&["ours", "theirs", "nobody's"])),
        ("status", choice(&["TASK_STATE_COMPLETED", "TASK_STATE_INPUT_REQUIRED", "TASK_STATE_BUSY"])),
        ("pageSize", number().boxed()),
        ("pageToken", choice(&["", "junk"])),
        ("historyLength", number().boxed()),
        ("statusTimestampAfter", choice(&["2020-01-01T00:00:00Z", "2999-01-01T00:00:00+01:00", "yesterday"])),
        ("includeArtifacts", prop_oneof![Just(json!(true)), Just(json!(false)), Just(json!("yes"))].boxed()),
        ("tenant", choice(&["acme", ""])),
        ("unknown", Just(json!("x")).boxed()),
    ])
}

fn step() -> impl Strategy<Value = Step> {
    let sends = prop_oneof![3 => Just(Operation::SendMessage), 1 => Just(Operation::SendStreamingMessage)];
    let send = (sends, message(), proptest::option::weighted(0.4, 0..20_usize))
        .prop_map(|(operation, params, task)| (operation, params, task));
    let looks = prop_oneof![
        3 => Just(Operation::GetTask), 2 => Just(Operation::CancelTask), 2 => Just(Operation::SubscribeToTask),
        1 => Just(Operation::ListTaskPushNotificationConfigs), 1 => Just(Operation::GetExtendedAgentCard),
    ];
    let of_task = some(vec![("historyLength", number().boxed()), ("tenant", Just(json!("acme")).boxed())]);
    let look = (looks, of_task, 0..20_usize).prop_map(|(operation, params, task)| (operation, params, Some(task)));
    let list = filters().prop_map(|params| (Operation::ListTasks, params, None));
    let any = prop_oneof![4 => send, 3 => look, 2 => list];
    (any, 0..AGENTS.len(), proptest::bool::weighted(0.2)).prop_map(|((operation, params, task), agent, pages_on)| {
        let pages_on = pages_on && operation == Operation::ListTasks;
        Step { operation, agent, task, params, pages_on }
    })
}

#[test]
fn the_same_requests_have_the_same_answers_errors_and_traces_on_every_wire() {
    let kennels: Vec<Kennel> = wires().map(|_| Kennel::with(&AGENTS).arg("--test-commit-each").start()).collect();
    let mut runner =
        TestRunner::new(Config { cases: CASES, max_shrink_iters: 200, failure_persistence: None, ..Config::default() });
    let (mut right, mut wrong) = (0, 0);
    let seen = std::cell::RefCell::new((&mut right, &mut wrong));
    let checked = runner.run(&proptest::collection::vec(step(), 1..12), |steps| {
        let mut sides: Vec<Side<'_>> = wires().zip(&kennels).map(|(wire, kennel)| Side::new(kennel, wire)).collect();
        for (n, step) in steps.iter().enumerate() {
            let outcomes: Vec<Seen> = sides.iter_mut().map(|side| side.take(step)).collect();
            let mut counts = seen.borrow_mut();
            *if outcomes[0].is_ok() { &mut *counts.0 } else { &mut *counts.1 } += 1;
            for (outcome, wire) in outcomes.iter().zip(wires()) {
                prop_assert_eq!(outcome, &outcomes[0], "step {} on {:?}: {:?}", n, wire, step);
            }
        }
        let stored: Vec<Vec<String>> = sides.iter_mut().map(Side::stored).collect();
        for (stored_here, wire) in stored.iter().zip(wires()) {
            prop_assert_eq!(stored_here, &stored[0], "what is stored after {:?}", wire);
        }
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(right > 50 && wrong > 50, "both were tried: {right} right, {wrong} wrong");
}
