//! Each method of A2A over JSON-RPC: what it answers when all is well, what it refuses, and that it finds nobody else's tasks.

use serde_json::{Value, json};

use crate::harness::{Kennel, call, fresh, id_of, message, message_to, state_of, text_of};
use crate::shapes::{is_timestamp, is_uuid, redact};

/// The members that a Task may have.
const TASK_MEMBERS: &[&str] = &["id", "contextId", "status", "artifacts", "history", "metadata"];

#[test]
fn a_message_makes_a_task_and_the_answer_waits_for_its_end() {
    let kennel = Kennel::start(&["echo"]);
    let task = kennel.ask("echo", "hello");
    assert!(is_uuid(&task["id"]) && is_uuid(&task["contextId"]), "{task:#}");
    assert!(is_timestamp(&task["status"]["timestamp"]), "{task:#}");
    assert_eq!(kennel.task("echo", &id_of(&task)), task, "GetTask shows what SendMessage answered");
    let said = |id: &str, role: &str, text: &str| {
        json!({
            "messageId": id, "contextId": "[contextId]", "taskId": "[taskId]", "role": role, "parts": [{ "text": text }],
        })
    };
    let expected = json!({
        "id": "[id]",
        "contextId": "[contextId]",
        "status": { "state": "TASK_STATE_COMPLETED", "timestamp": "[timestamp]" },
        "artifacts": [{ "artifactId": "artifact-2", "name": "echo", "parts": [{ "text": "hello" }] }],
        "history": [
            said("[client's message]", "ROLE_USER", "hello"),
            said("[agent's message]", "ROLE_AGENT", "working"),
        ],
    });
    assert_eq!(redact(&task), expected, "{task:#}");
}

/// The beginning of what may be large.
fn cut(task: &Value) -> String {
    task.to_string().chars().take(2_000).collect()
}

/// The answer of a short task comes with its last commit, that of another is read: nobody can tell.
#[test]
fn what_a_send_answers_is_what_is_read_afterwards() {
    let kennel = Kennel::start(&["echo", "interview", "mischief"]);
    let large = "z".repeat(100_000);
    let deeds = [
        ("echo", "hello"),
        ("echo", large.as_str()),
        ("interview", "begin"),
        ("mischief", "fail"),
        ("mischief", "chunks 3 10"),
        ("mischief", "flood-events 30"),
        ("mischief", "big 100000"),
    ];
    for (agent, text) in deeds {
        for length in [None, Some(0), Some(1)] {
            let mut params = message(text);
            params["message"]["metadata"] = json!({ "b": 1.50, "a": [null, "\u{e9}"] });
            params["configuration"] = length.map_or(json!({}), |length| json!({ "historyLength": length }));
            let answered = kennel.result(agent, "SendMessage", params)["task"].take();
            let mut asked = json!({ "id": id_of(&answered) });
            if let Some(length) = length {
                asked["historyLength"] = json!(length);
            }
            let read = kennel.result(agent, "GetTask", asked);
            assert!(answered == read, "{agent} {text:.20} {length:?}: {} then {}", cut(&answered), cut(&read));
        }
    }
}

#[test]
fn a_task_has_only_the_members_of_the_protocol() {
    let kennel = Kennel::start(&["echo", "interview"]);
    for task in [kennel.ask("echo", "hello"), kennel.ask("interview", "begin")] {
        let members: Vec<&String> = task.as_object().unwrap().keys().collect();
        assert!(members.iter().all(|member| TASK_MEMBERS.contains(&member.as_str())), "{members:?}");
        assert!(task.get("metadata").is_none(), "there is none, so it is absent: {task:#}");
    }
}

#[test]
fn a_blocking_send_waits_and_an_immediate_one_does_not() {
    let kennel = Kennel::start(&["countdown"]);
    let mut params = message("4 every 300ms");
    params["configuration"] = json!({ "returnImmediately": true });
    let begun = kennel.result("countdown", "SendMessage", params)["task"].take();
    assert!(["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"].contains(&state_of(&begun)), "{begun:#}");
    let done = kennel.ask("countdown", "2 every 100ms");
    assert_eq!(state_of(&done), "TASK_STATE_COMPLETED");
    assert_eq!(text_of(&done["artifacts"][0]), "2\n1\n0\n");
    let done = kennel.reaches("countdown", &id_of(&begun), "TASK_STATE_COMPLETED");
    assert_eq!(text_of(&done["artifacts"][0]), "4\n3\n2\n1\n0\n", "work went on without a client");
}

#[test]
fn a_blocking_send_ends_where_the_agent_asks() {
    let kennel = Kennel::start(&["interview"]);
    let task = kennel.ask("interview", "begin");
    assert_eq!(state_of(&task), "TASK_STATE_INPUT_REQUIRED", "{task:#}");
    assert_eq!(text_of(&task["status"]["message"]), "What is your name?");
}

#[test]
fn history_length_bounds_the_history() {
    let kennel = Kennel::start(&["interview"]);
    let id = id_of(&kennel.ask("interview", "begin"));
    let whole = kennel.answer("interview", &id, "Ada");
    let texts = |task: &Value| -> Vec<String> {
        task["history"].as_array().map(|history| history.iter().map(text_of).collect()).unwrap_or_default()
    };
    assert_eq!(texts(&whole), ["begin", "What is your name?", "Ada"]);
    for (length, expected) in
        [(3, vec!["begin", "What is your name?", "Ada"]), (2, vec!["What is your name?", "Ada"]), (1, vec!["Ada"])]
    {
        let task = kennel.result("interview", "GetTask", json!({ "id": id, "historyLength": length }));
        assert_eq!(texts(&task), expected, "the {length} most recent, oldest first");
    }
    let none = kennel.result("interview", "GetTask", json!({ "id": id, "historyLength": 0 }));
    assert!(none.get("history").is_none(), "absent, not empty: {none:#}");
    let listed = kennel.result("interview", "ListTasks", json!({ "historyLength": 1 }));
    assert_eq!(texts(&listed["tasks"][0]), ["Ada"]);
    let listed = kennel.result("interview", "ListTasks", json!({ "historyLength": 0 }));
    assert!(listed["tasks"][0].get("history").is_none(), "{listed:#}");
}

#[test]
fn history_length_holds_for_the_answer_of_a_send_and_for_the_first_task_of_a_stream() {
    let kennel = Kennel::start(&["echo"]);
    for (length, expected) in [(0, Value::Null), (1, json!(1)), (9, json!(2))] {
        let mut params = message("hello");
        params["configuration"] = json!({ "historyLength": length });
        let task = kennel.result("echo", "SendMessage", params.clone())["task"].take();
        assert_eq!(
            task.get("history").map_or(Value::Null, |history| json!(history.as_array().unwrap().len())),
            expected
        );
        params["message"]["messageId"] = json!(fresh("m"));
        let first = kennel.stream("echo", "SendStreamingMessage", params).next_event().unwrap();
        let shown = first.result()["task"].get("history").map_or(0, |history| history.as_array().unwrap().len());
        assert_eq!(shown, usize::from(length > 0), "{}", first.text);
    }
}

#[test]
fn a_context_is_kept_as_it_was_given() {
    let kennel = Kennel::start(&["echo"]);
    let context = "Any text: not a UUID / ünï¢öde";
    let mut params = message("hello");
    params["message"]["contextId"] = json!(context);
    let task = kennel.result("echo", "SendMessage", params)["task"].take();
    assert_eq!(task["contextId"], context);
    for message in task["history"].as_array().unwrap() {
        assert_eq!((&message["contextId"], &message["taskId"]), (&json!(context), &task["id"]), "{message:#}");
    }
    let (one, other) = (kennel.ask("echo", "a"), kennel.ask("echo", "b"));
    assert!(is_uuid(&one["contextId"]) && one["contextId"] != other["contextId"], "each gets one of its own");
}

#[test]
fn a_task_knows_its_context_and_another_is_refused() {
    let kennel = Kennel::start(&["interview"]);
    let asked = kennel.ask("interview", "begin");
    let id = id_of(&asked);
    let mut other = message_to(&id, "Ada");
    other["message"]["contextId"] = json!("another");
    refuses(&kennel, "interview", "SendMessage", &other, "message.contextId");
    let mut same = message_to(&id, "Ada");
    same["message"]["contextId"] = asked["contextId"].clone();
    let answered = kennel.result("interview", "SendMessage", same)["task"].take();
    assert_eq!(answered["contextId"], asked["contextId"]);
    let inferred = kennel.answer("interview", &id, "red");
    assert_eq!((&inferred["contextId"], state_of(&inferred)), (&asked["contextId"], "TASK_STATE_COMPLETED"));
    let last = &inferred["history"].as_array().unwrap()[4];
    assert_eq!((&last["contextId"], text_of(last)), (&asked["contextId"], "red".to_owned()), "{inferred:#}");
}

#[test]
fn references_to_other_tasks_reach_the_agent() {
    let kennel = Kennel::start(&["mischief"]);
    let first = id_of(&kennel.ask("mischief", "one"));
    let second = id_of(&kennel.ask("mischief", "two"));
    let mut params = message("references");
    params["message"]["referenceTaskIds"] = json!([second, first]);
    let task = kennel.result("mischief", "SendMessage", params)["task"].take();
    assert_eq!(state_of(&task), "TASK_STATE_COMPLETED", "{task:#}");
    assert_eq!(text_of(&task["artifacts"][0]), "two\none", "in the order of the client");
    assert_eq!(task["history"][0]["referenceTaskIds"], json!([second, first]), "and they are kept");
}

#[test]
fn an_agent_reads_its_own_history() {
    let kennel = Kennel::start(&["mischief"]);
    let task = kennel.ask("mischief", "history");
    assert_eq!(task["artifacts"][0]["parts"][0]["data"], json!([{ "role": "user", "text": "history" }]));
}

#[test]
fn a_bare_message_makes_no_task() {
    let kennel = Kennel::start(&["hello"]);
    for configuration in [json!({}), json!({ "returnImmediately": true })] {
        let mut params = message("Ada");
        params["configuration"] = configuration;
        params["message"]["contextId"] = json!("ours");
        let result = kennel.result("hello", "SendMessage", params);
        assert_eq!(result.as_object().unwrap().keys().collect::<Vec<_>>(), ["message"]);
        let message = &result["message"];
        assert_eq!((text_of(message).as_str(), &message["role"]), ("Hello, Ada.", &json!("ROLE_AGENT")));
        assert_eq!((&message["contextId"], message.get("taskId")), (&json!("ours"), None), "{message:#}");
        assert!(message["messageId"].as_str().is_some_and(|id| !id.is_empty()));
    }
    let listed = kennel.result("hello", "ListTasks", json!({}));
    assert_eq!((&listed["tasks"], &listed["totalSize"]), (&json!([]), &json!(0)));
    let fresh = kennel.result("hello", "SendMessage", message("Ada"));
    assert!(is_uuid(&fresh["message"]["contextId"]), "a context is made where none is given: {fresh:#}");
}

#[test]
fn an_auto_agent_answers_bare_or_with_a_task() {
    let kennel = Kennel::start(&["auto"]);
    let quick = kennel.result("auto", "SendMessage", message("Ada"));
    assert_eq!(text_of(&quick["message"]), "Hello, Ada.", "{quick:#}");
    let long = kennel.ask("auto", "a text that is much longer than what is answered at once");
    assert_eq!((state_of(&long), text_of(&long["artifacts"][0]).as_str()), ("TASK_STATE_COMPLETED", "12"));
    let slow = kennel.ask("auto", "slow");
    assert_eq!(state_of(&slow), "TASK_STATE_COMPLETED", "{slow:#}");
    assert_eq!(text_of(&slow["status"]["message"]), "Hello after 150000000 steps.");
    let mut params = message("Ada");
    params["configuration"] = json!({ "returnImmediately": true });
    let task = kennel.result("auto", "SendMessage", params)["task"].take();
    let task = kennel.reaches("auto", &id_of(&task), "TASK_STATE_COMPLETED");
    assert_eq!(text_of(&task["status"]["message"]), "Hello, Ada.");
    let listed = kennel.result("auto", "ListTasks", json!({}));
    assert_eq!(listed["totalSize"], 3, "the quick one left no task: {listed:#}");
}

#[test]
fn names_may_be_snake_case_and_enums_numbers() {
    let kennel = Kennel::start(&["countdown"]);
    let params = json!({
        "message": { "message_id": "m", "context_id": "ours", "role": 1, "parts": [{ "text": "1 every 10ms", "media_type": "text/plain" }] },
        "configuration": { "history_length": "1", "return_immediately": false, "accepted_output_modes": ["text/plain"] },
    });
    let task = kennel.result("countdown", "SendMessage", params)["task"].take();
    assert_eq!((&task["contextId"], state_of(&task)), (&json!("ours"), "TASK_STATE_COMPLETED"));
    assert_eq!(task["history"].as_array().unwrap().len(), 1);
    let listed =
        kennel.result("countdown", "ListTasks", json!({ "context_id": "ours", "page_size": 5.0, "status": 3 }));
    assert_eq!((&listed["totalSize"], &listed["pageSize"]), (&json!(1), &json!(5)), "{listed:#}");
}

#[test]
fn unknown_fields_are_ignored_at_every_depth() {
    let kennel = Kennel::start(&["echo"]);
    let params = json!({
        "x": 1,
        "message": { "messageId": "m", "role": "ROLE_USER", "kind": "message", "parts": [{ "text": "hi", "kind": "text" }], "x": {} },
        "configuration": { "blocking": true, "x": [1] },
        "metadata": { "ours": { "x": 1.5 } },
    });
    let task = kennel.result("echo", "SendMessage", params)["task"].take();
    assert_eq!(text_of(&task["artifacts"][0]), "hi");
    assert!(task["history"][0].get("kind").is_none(), "what is not of the protocol is not kept: {task:#}");
    let request = crate::http::Request::post(
        "/agents/echo",
        format!(r#"{{"x":1,"method":"GetTask","id":1,"jsonrpc":"2.0","params":{{"id":{},"y":null}}}}"#, task["id"]),
    );
    assert_eq!(kennel.send(&request).json()["result"]["id"], task["id"], "members stand in any order");
}

#[test]
fn null_is_the_same_as_absent() {
    let kennel = Kennel::start(&["echo"]);
    let mut params = message("hi");
    params["configuration"] = Value::Null;
    params["metadata"] = Value::Null;
    params["message"]["contextId"] = Value::Null;
    params["message"]["taskId"] = Value::Null;
    params["message"]["extensions"] = Value::Null;
    assert_eq!(state_of(&kennel.result("echo", "SendMessage", params)["task"]), "TASK_STATE_COMPLETED");
}

#[test]
fn every_kind_of_part_is_kept() {
    let kennel = Kennel::start(&["mischief"]);
    let parts = json!([
        { "text": "echo", "metadata": { "n": 1 } },
        { "raw": "AAECA/8=", "filename": "bytes.bin" },
        { "url": "https://example.com/a.png", "filename": "a.png" },
        { "data": { "deep": [1, 2.5, "three", null, { "four": true }] } },
        { "data": null },
        { "text": "" },
    ]);
    let mut params = message("");
    params["message"]["parts"] = parts.clone();
    params["message"]["metadata"] = json!({ "https://example.com/ours": { "a": [1] } });
    params["message"]["extensions"] = json!(["https://example.com/ours"]);
    let task = kennel.result("mischief", "SendMessage", params)["task"].take();
    let kept = kennel.task("mischief", &id_of(&task))["history"][0].take();
    assert_eq!(kept["parts"], parts);
    assert_eq!(kept["metadata"], json!({ "https://example.com/ours": { "a": [1] } }));
    assert_eq!(kept["extensions"], json!(["https://example.com/ours"]));
}

#[test]
fn base64_is_taken_in_every_form() {
    let kennel = Kennel::start(&["mischief"]);
    for given in ["++//AA==", "--__AA==", "++//AA", "--__AA"] {
        let mut params = message("echo");
        params["message"]["parts"].as_array_mut().unwrap().push(json!({ "raw": given }));
        let task = kennel.result("mischief", "SendMessage", params)["task"].take();
        assert_eq!(task["history"][0]["parts"][1]["raw"], "++//AA==", "given {given}");
    }
}

#[test]
fn what_is_not_offered_says_so_before_anything_is_looked_up() {
    let kennel = Kennel::start(&["echo"]);
    for method in [
        "CreateTaskPushNotificationConfig",
        "GetTaskPushNotificationConfig",
        "ListTaskPushNotificationConfigs",
        "DeleteTaskPushNotificationConfig",
    ] {
        for params in [json!({}), json!({ "taskId": "none", "id": "none", "url": "https://example.com" })] {
            assert_eq!(kennel.error("echo", method, params)["code"], -32003, "{method}");
        }
    }
    let mut params = message("hi");
    params["configuration"] = json!({ "taskPushNotificationConfig": { "url": "https://example.com/hook" } });
    assert_eq!(kennel.error("echo", "SendMessage", params)["code"], -32003, "inline");
    assert_eq!(kennel.error("echo", "GetExtendedAgentCard", json!({}))["code"], -32004);
    assert_eq!(kennel.result("echo", "ListTasks", json!({}))["totalSize"], 0, "nothing was made");
}

#[test]
fn nobody_finds_a_task_that_is_not_there_or_not_of_this_agent() {
    let kennel = Kennel::start(&["echo", "interview"]);
    let foreign = id_of(&kennel.ask("interview", "begin"));
    for id in [foreign.as_str(), "01900000-0000-7000-8000-000000000000", "no id of ours ✓"] {
        let mut errors = Vec::new();
        for (method, params) in [
            ("GetTask", json!({ "id": id })),
            ("CancelTask", json!({ "id": id })),
            ("SubscribeToTask", json!({ "id": id })),
            ("SendMessage", message_to(id, "hi")),
            ("SendStreamingMessage", message_to(id, "hi")),
        ] {
            let error = kennel.error("echo", method, params);
            assert_eq!(error["code"], -32001, "{method} of {id}");
            assert_eq!(error["data"][0]["metadata"], json!({ "taskId": id }));
            errors.push(error);
        }
        assert!(errors.windows(2).all(|pair| pair[0] == pair[1]), "all say the same: {errors:#?}");
    }
    assert_eq!(state_of(&kennel.task("interview", &foreign)), "TASK_STATE_INPUT_REQUIRED", "it was left alone");
}

/// A method refuses these params and names the field at fault.
fn refuses(kennel: &Kennel, agent: &str, method: &str, params: &Value, field: &str) {
    let error = kennel.error(agent, method, params.clone());
    assert_eq!(error["code"], -32602, "{method} {params}: {error:#}");
    let details = error["data"].as_array().unwrap();
    let bad = details.iter().find(|one| one["@type"] == "type.googleapis.com/google.rpc.BadRequest");
    let bad = bad.unwrap_or_else(|| panic!("no BadRequest for {params}: {error:#}"));
    let violation = &bad["fieldViolations"][0];
    assert_eq!(violation["field"], field, "{method} {params}: {error:#}");
    assert!(violation["description"].as_str().is_some_and(|text| !text.is_empty()), "{error:#}");
}

/// A message with one member changed. Null takes it away.
fn with(member: &str, value: Value) -> Value {
    let mut params = message("hi");
    match value {
        Value::Null => drop(params["message"].as_object_mut().unwrap().remove(member)),
        value => params["message"][member] = value,
    }
    params
}

fn part(part: Value) -> Value {
    with("parts", vec![json!({ "text": "fine" }), part].into())
}

#[test]
fn a_wrong_message_is_refused_by_the_name_of_its_field() {
    let kennel = Kennel::start(&["echo"]);
    let many: Vec<Value> = (0..257).map(|n| json!({ "text": n.to_string() })).collect();
    let large = "x".repeat(65 << 10);
    for (params, field) in [
        (json!({}), "message"),
        (json!({ "message": {} }), "message"),
        (json!({ "message": "hi" }), "message"),
        (with("messageId", Value::Null), "message.messageId"),
        (with("messageId", json!("")), "message.messageId"),
        (with("messageId", json!(7)), "message.messageId"),
        (with("role", Value::Null), "message.role"),
        (with("role", json!("ROLE_AGENT")), "message.role"),
        (with("role", json!("ROLE_UNSPECIFIED")), "message.role"),
        (with("role", json!("user")), "message.role"),
        (with("parts", Value::Null), "message.parts"),
        (with("parts", json!([])), "message.parts"),
        (with("parts", json!(many)), "message.parts"),
        (part(json!({})), "message.parts[1]"),
        (part(json!({ "text": "a", "url": "https://example.com" })), "message.parts[1]"),
        (part(json!({ "text": 7 })), "message.parts[1].text"),
        (part(json!({ "raw": "no base64!" })), "message.parts[1].raw"),
        (part(json!({ "url": "" })), "message.parts[1].url"),
        (part(json!({ "url": "Kennel:blob/secret" })), "message.parts[1].url"),
        (part(json!({ "text": "a", "mediaType": "nonsense" })), "message.parts[1].mediaType"),
        (part(json!({ "text": "a", "metadata": [1] })), "message.parts[1].metadata"),
        (with("metadata", json!({ "a": large })), "message.metadata"),
        (with("metadata", json!("a")), "message.metadata"),
        (with("referenceTaskIds", json!([""])), "message.referenceTaskIds[0]"),
        (with("contextId", json!("x".repeat(257))), "message.contextId"),
        (with("contextId", json!("line\nbreak")), "message.contextId"),
        (with("taskId", json!("x".repeat(257))), "message.taskId"),
        (with("extensions", json!("https://example.com")), "message.extensions"),
    ] {
        for method in ["SendMessage", "SendStreamingMessage"] {
            refuses(&kennel, "echo", method, &params, field);
        }
    }
    assert_eq!(kennel.result("echo", "ListTasks", json!({}))["totalSize"], 0, "nothing was made");
}

#[test]
fn a_wrong_configuration_is_refused_by_the_name_of_its_field() {
    let kennel = Kennel::start(&["echo"]);
    for (configuration, field) in [
        (json!({ "historyLength": -1 }), "configuration.historyLength"),
        (json!({ "historyLength": 1.5 }), "configuration.historyLength"),
        (json!({ "historyLength": 2_147_483_648_u32 }), "configuration.historyLength"),
        (json!({ "historyLength": true }), "configuration.historyLength"),
        (json!({ "returnImmediately": "yes" }), "configuration.returnImmediately"),
        (json!({ "acceptedOutputModes": "text/plain" }), "configuration.acceptedOutputModes"),
        (json!([]), "configuration"),
        (json!({ "taskPushNotificationConfig": {} }), "configuration.taskPushNotificationConfig.url"),
    ] {
        let mut params = message("hi");
        params["configuration"] = configuration;
        refuses(&kennel, "echo", "SendMessage", &params, field);
    }
    let mut params = message("hi");
    params["metadata"] = json!("a");
    refuses(&kennel, "echo", "SendMessage", &params, "metadata");
}

#[test]
fn wrong_parameters_of_the_other_methods_are_refused_by_name() {
    let kennel = Kennel::start(&["echo"]);
    for (method, params, field) in [
        ("GetTask", json!({}), "id"),
        ("GetTask", json!({ "id": "" }), "id"),
        ("GetTask", json!({ "id": 7 }), "id"),
        ("GetTask", json!({ "id": "a", "historyLength": -1 }), "historyLength"),
        ("CancelTask", json!({}), "id"),
        ("CancelTask", json!({ "id": "a", "metadata": 7 }), "metadata"),
        ("SubscribeToTask", json!({}), "id"),
        ("SubscribeToTask", json!({ "id": null }), "id"),
        ("ListTasks", json!({ "pageSize": 0 }), "pageSize"),
        ("ListTasks", json!({ "pageSize": 101 }), "pageSize"),
        ("ListTasks", json!({ "pageSize": "many" }), "pageSize"),
        ("ListTasks", json!({ "pageToken": "junk" }), "pageToken"),
        ("ListTasks", json!({ "status": "TASK_STATE_BUSY" }), "status"),
        ("ListTasks", json!({ "status": 99 }), "status"),
        ("ListTasks", json!({ "historyLength": -1 }), "historyLength"),
        ("ListTasks", json!({ "statusTimestampAfter": "yesterday" }), "statusTimestampAfter"),
        ("ListTasks", json!({ "includeArtifacts": "yes" }), "includeArtifacts"),
    ] {
        refuses(&kennel, "echo", method, &params, field);
    }
}

#[test]
fn all_fields_at_fault_are_named_at_once() {
    let kennel = Kennel::start(&["echo"]);
    let params = json!({ "message": { "parts": [], "contextId": "c" }, "configuration": { "historyLength": -1 } });
    let error = kennel.error("echo", "SendMessage", params);
    let fields: Vec<&str> = error["data"][1]["fieldViolations"]
        .as_array()
        .unwrap_or_else(|| panic!("{error:#}"))
        .iter()
        .map(|violation| violation["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["message.messageId", "message.role", "message.parts", "configuration.historyLength"]);
}

#[test]
fn a_tenant_in_the_request_routes_nobody_elsewhere() {
    let kennel = Kennel::start(&["echo"]);
    let mut params = message("hi");
    params["tenant"] = json!("another");
    let reply = kennel.send(&call("echo", "SendMessage", params)).json();
    let task = &reply["result"]["task"];
    assert_eq!(state_of(task), "TASK_STATE_COMPLETED", "the field never authorises: {reply:#}");
}
