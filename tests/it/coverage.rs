//! Every operation and every kind of error on every wire, each met on the real binary. The lists here are held against those of
//! `protocol`: an operation, an error, a binding or a version without its test is a failure.

use std::collections::BTreeSet;

use kennel_protocol::{Binding, ErrorKind, Operation, ProtocolVersion};
use serde_json::{Value, json};

use crate::harness::{Kennel, id_of, message, message_to, state_of, text_of};
use crate::http::Reply;
use crate::wire::{WIRES, Wire};

/// Sees to it that an operation does its work on a wire.
type Works = fn(&Kennel, Wire);

/// What an operation must do when it is offered; told by the reason of its error where it is not.
const OPERATIONS: &[(Operation, Works)] = &[
    (Operation::SendMessage, |kennel, wire| {
        let answer = wire.result(kennel, "echo", Operation::SendMessage, &message("hello"));
        assert_eq!(
            (state_of(&answer["task"]), artifact(&answer["task"])),
            ("TASK_STATE_COMPLETED", "hello".to_owned())
        );
        let answer = wire.result(kennel, "hello", Operation::SendMessage, &message("Ada"));
        assert_eq!(text_of(&answer["message"]), "Hello, Ada.");
    }),
    (Operation::SendStreamingMessage, |kennel, wire| {
        let events = wire.stream(kennel, "echo", Operation::SendStreamingMessage, &message("hello")).rest();
        let shown: Vec<_> = events.iter().map(|event| wire.modern(event)).collect();
        let kinds: Vec<&str> = shown.iter().map(|event| event.kind()).collect();
        assert_eq!(kinds, ["task", "statusUpdate", "statusUpdate", "artifactUpdate", "statusUpdate"]);
        let ids: Vec<Option<u64>> = events.iter().map(|event| event.id).collect();
        assert_eq!(ids, (1..=5).map(Some).collect::<Vec<_>>());
        let events = wire.stream(kennel, "hello", Operation::SendStreamingMessage, &message("Ada")).rest();
        assert_eq!(events.iter().map(|event| wire.modern(event).kind().to_owned()).collect::<Vec<_>>(), ["message"]);
    }),
    (Operation::GetTask, |kennel, wire| {
        let task = kennel.ask("echo", "hello");
        let shown = wire.result(kennel, "echo", Operation::GetTask, &json!({ "id": task["id"], "historyLength": 1 }));
        assert_eq!((&shown["id"], shown["history"].as_array().unwrap().len()), (&task["id"], 1));
    }),
    (Operation::ListTasks, |kennel, wire| {
        let task = kennel.ask("echo", "hello");
        let filter = json!({
            "contextId": task["contextId"], "status": "TASK_STATE_COMPLETED", "pageSize": 5, "includeArtifacts": true,
            "historyLength": 0, "statusTimestampAfter": task["status"]["timestamp"],
        });
        let listed = wire.result(kennel, "echo", Operation::ListTasks, &filter);
        assert_eq!((&listed["totalSize"], &listed["pageSize"]), (&json!(1), &json!(5)), "{listed:#}");
        assert_eq!((artifact(&listed["tasks"][0]), listed["tasks"][0].get("history")), ("hello".to_owned(), None));
    }),
    (Operation::CancelTask, |kennel, wire| {
        let id = kennel.begin("mischief", "sleep 60000");
        let params = json!({ "id": id, "metadata": { "reason": "enough" } });
        let canceled = wire.result(kennel, "mischief", Operation::CancelTask, &params);
        assert_eq!((state_of(&canceled), &canceled["id"]), ("TASK_STATE_CANCELED", &json!(id)));
    }),
    (Operation::SubscribeToTask, |kennel, wire| {
        let id = id_of(&kennel.ask("interview", "begin"));
        let mut events = wire.stream(kennel, "interview", Operation::SubscribeToTask, &json!({ "id": id }));
        assert_eq!(wire.modern(&events.next_event().unwrap()).kind(), "task");
        kennel.answer("interview", &id, "Ada");
        kennel.answer("interview", &id, "red");
        let last = events.rest().pop().unwrap();
        assert_eq!(wire.modern(&last).state(), "TASK_STATE_COMPLETED");
    }),
    (Operation::CreateTaskPushNotificationConfig, |kennel, wire| {
        let params = json!({ "taskId": "none", "url": "https://example.com/hook" });
        not_offered(kennel, wire, Operation::CreateTaskPushNotificationConfig, &params);
    }),
    (Operation::GetTaskPushNotificationConfig, |kennel, wire| {
        let params = json!({ "taskId": "none", "id": "none" });
        not_offered(kennel, wire, Operation::GetTaskPushNotificationConfig, &params);
    }),
    (Operation::ListTaskPushNotificationConfigs, |kennel, wire| {
        not_offered(kennel, wire, Operation::ListTaskPushNotificationConfigs, &json!({ "taskId": "none" }));
    }),
    (Operation::DeleteTaskPushNotificationConfig, |kennel, wire| {
        let params = json!({ "taskId": "none", "id": "none" });
        not_offered(kennel, wire, Operation::DeleteTaskPushNotificationConfig, &params);
    }),
    (Operation::GetExtendedAgentCard, |kennel, wire| {
        let refused = wire.call(kennel, "echo", Operation::GetExtendedAgentCard, &json!({})).unwrap_err();
        assert_eq!(refused.reason, "UNSUPPORTED_OPERATION");
    }),
];

/// The cards of this host offer no webhooks.
fn not_offered(kennel: &Kennel, wire: Wire, operation: Operation, params: &Value) {
    let refused = wire.call(kennel, "echo", operation, params).unwrap_err();
    assert_eq!(refused.reason, "PUSH_NOTIFICATION_NOT_SUPPORTED", "{operation:?} on {wire:?}");
}

/// Makes a host answer with an error.
type Provoke = fn(&Kennel, Wire) -> Reply;

/// How each kind is met: with `strict`, which requires an extension and misbehaves in bare messages, `mischief` and `echo`.
const ERRORS: &[(ErrorKind, Provoke)] = &[
    (ErrorKind::TaskNotFound, |kennel, wire| {
        send(kennel, wire, "mischief", Operation::GetTask, &json!({ "id": "none" }))
    }),
    (ErrorKind::TaskNotCancelable, |kennel, wire| {
        let id = id_of(&kennel.ask("mischief", "echo"));
        send(kennel, wire, "mischief", Operation::CancelTask, &json!({ "id": id }))
    }),
    (ErrorKind::PushNotificationNotSupported, |kennel, wire| {
        send(kennel, wire, "mischief", Operation::ListTaskPushNotificationConfigs, &json!({ "taskId": "none" }))
    }),
    (ErrorKind::UnsupportedOperation, |kennel, wire| {
        let id = id_of(&kennel.ask("mischief", "echo"));
        send(kennel, wire, "mischief", Operation::SendMessage, &message_to(&id, "once more"))
    }),
    (ErrorKind::ContentTypeNotSupported, |kennel, wire| {
        let mut params = message("hello");
        params["message"]["parts"][0]["mediaType"] = json!("image/png");
        send(kennel, wire, "echo", Operation::SendMessage, &params)
    }),
    (ErrorKind::InvalidAgentResponse, |kennel, wire| strict(kennel, wire, "done")),
    (ErrorKind::ExtensionSupportRequired, |kennel, wire| {
        send(kennel, wire, "strict", Operation::SendMessage, &message("hello"))
    }),
    (ErrorKind::VersionNotSupported, |kennel, wire| {
        let request = wire.request("mischief", Operation::GetTask, &json!({ "id": "none" }));
        kennel.send(&request.header("a2a-version", "99.0"))
    }),
    (ErrorKind::Parse, |kennel, wire| kennel.send(&wire.send_of("mischief", r#"{"message":"#))),
    (ErrorKind::InvalidRequest, |kennel, wire| {
        let deep = format!(r#"{{"message":{}1{}}}"#, "[".repeat(70), "]".repeat(70));
        kennel.send(&wire.send_of("mischief", &deep))
    }),
    (ErrorKind::MethodNotFound, |kennel, wire| kennel.send(&wire.unknown("mischief"))),
    (ErrorKind::InvalidParams, |kennel, wire| {
        send(kennel, wire, "mischief", Operation::GetTask, &json!({ "id": "t", "historyLength": -1 }))
    }),
    (ErrorKind::Internal, |kennel, wire| strict(kennel, wire, "fail")),
];

/// Kinds that this host cannot answer here, and why.
const UNREACHABLE: &[(ErrorKind, &str)] = &[
    (ErrorKind::ExtendedAgentCardNotConfigured, "no card declares an extended one"),
    (ErrorKind::Unavailable, "limits.rs: only a host that stops, or has no place left, says it"),
    (ErrorKind::RateLimited, "there are no quotas yet"),
    (ErrorKind::Unauthenticated, "there are no keys yet"),
    (ErrorKind::Forbidden, "there are no keys yet"),
];

fn send(kennel: &Kennel, wire: Wire, agent: &str, operation: Operation, params: &Value) -> Reply {
    kennel.send(&wire.request(agent, operation, params))
}

/// A bare message for the agent that requires an extension.
fn strict(kennel: &Kennel, wire: Wire, text: &str) -> Reply {
    let request = wire.request("strict", Operation::SendMessage, &message(text));
    kennel.send(&request.header("a2a-extensions", "urn:other:1, urn:kennel:test:1"))
}

fn artifact(task: &Value) -> String {
    text_of(&task["artifacts"][0])
}

#[test]
fn the_table_of_operations_and_its_tests_are_the_same() {
    let table: BTreeSet<(Operation, Binding, ProtocolVersion)> = Operation::ALL
        .into_iter()
        .flat_map(|operation| Binding::ALL.map(|binding| (operation, binding)))
        .flat_map(|(operation, binding)| ProtocolVersion::ALL.map(|version| (operation, binding, version)))
        .filter(|(operation, binding, version)| Wire { binding: *binding, version: *version }.has(*operation))
        .collect();
    let tested: Vec<(Operation, Binding, ProtocolVersion)> = WIRES
        .iter()
        .flat_map(|wire| OPERATIONS.iter().map(|(operation, _)| (*operation, wire.binding, wire.version)))
        .filter(|(operation, binding, version)| Wire { binding: *binding, version: *version }.has(*operation))
        .collect();
    assert_eq!(tested.len(), table.len(), "each has one test");
    assert_eq!(tested.into_iter().collect::<BTreeSet<_>>(), table);
}

#[test]
fn every_kind_of_error_is_met_or_cannot_be() {
    for kind in ErrorKind::ALL {
        let met = ERRORS.iter().filter(|(met, _)| *met == kind).count();
        let unreachable = UNREACHABLE.iter().filter(|(unreachable, _)| *unreachable == kind).count();
        assert_eq!(met + unreachable, 1, "{kind:?} must stand in exactly one of the two lists");
    }
}

#[test]
fn every_operation_does_its_work_on_every_wire() {
    let kennel = Kennel::start(&["echo", "hello", "interview", "mischief"]);
    for wire in WIRES {
        for (operation, works) in OPERATIONS.iter().filter(|(operation, _)| wire.has(*operation)) {
            println!("{operation:?} on {wire:?}");
            works(&kennel, *wire);
        }
    }
}

#[test]
fn every_error_has_its_form_on_every_wire() {
    let kennel = Kennel::start(&["mischief", "echo", "strict"]);
    for wire in WIRES {
        for (kind, provoke) in ERRORS {
            println!("{kind:?} on {wire:?}");
            wire.check(&provoke(&kennel, *wire), *kind);
        }
    }
}
