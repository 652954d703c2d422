//! Agent cards: where they are found, what they say, and that nobody loads one twice without need.

use std::collections::BTreeSet;

use kennel_protocol::{ErrorKind, Operation};
use serde_json::{Value, json};

use crate::harness::{Kennel, call, message};
use crate::http::{Reply, Request};
use crate::plugins;
use crate::wire::WIRES;

/// The card as a client of 1.0 gets it.
fn card(kennel: &Kennel, path: &str) -> Reply {
    kennel.send(&any_card(path).header("a2a-version", "1.0"))
}

fn any_card(path: &str) -> Request {
    Request::new("GET", &format!("{path}/.well-known/agent-card.json"))
}

#[test]
fn a_client_that_names_no_version_gets_a_card_for_both() {
    let kennel = Kennel::start(&["echo"]);
    let pure = card(&kennel, "/agents/echo");
    let old = |path: &str| Request::new("GET", path);
    for request in [
        any_card("/agents/echo"),
        any_card(""),
        any_card("/agents/echo").header("a2a-version", "0.3"),
        old("/agents/echo/.well-known/agent.json"),
        old("/.well-known/agent.json"),
    ] {
        let dual = kennel.send(&request);
        assert_eq!((pure.header("vary"), dual.header("vary")), (Some("A2A-Version"), Some("A2A-Version")));
        assert_ne!(pure.header("etag"), dual.header("etag"));
        let mut dual = dual.json();
        let url = kennel.url("echo");
        for (name, expected) in [
            ("protocolVersion", json!("0.3.0")),
            ("url", json!(url)),
            ("preferredTransport", json!("JSONRPC")),
            (
                "additionalInterfaces",
                json!([{ "url": url, "transport": "JSONRPC" }, { "url": url, "transport": "HTTP+JSON" }]),
            ),
            ("supportsAuthenticatedExtendedCard", json!(false)),
        ] {
            assert_eq!(dual.as_object_mut().unwrap().remove(name), Some(expected), "{name}");
        }
        assert_eq!(dual, pure.json(), "and nothing else is different");
    }
    for version in ["1.0", "1.0.1", "99.0"] {
        assert_eq!(kennel.send(&any_card("/agents/echo").header("a2a-version", version)).json(), pure.json());
    }
}

#[test]
fn a_card_says_what_the_agent_says_and_what_the_host_adds() {
    let kennel = Kennel::start(&["echo"]);
    let reply = card(&kennel, "/agents/echo");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let expected = json!({
        "name": "echo",
        "description": "Gives back what it is sent.",
        "version": "0.1.0",
        "supportedInterfaces": [
            { "url": kennel.url("echo"), "protocolBinding": "JSONRPC", "protocolVersion": "1.0" },
            { "url": kennel.url("echo"), "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0" },
            { "url": kennel.url("echo"), "protocolBinding": "JSONRPC", "protocolVersion": "0.3" },
            { "url": kennel.url("echo"), "protocolBinding": "HTTP+JSON", "protocolVersion": "0.3" },
        ],
        "capabilities": {
            "streaming": true, "pushNotifications": false, "extendedAgentCard": false, "extensions": own_extensions(),
        },
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{
            "id": "echo",
            "name": "echo",
            "description": "Gives back what it is sent.",
            "tags": ["example"],
            "examples": ["hello"],
        }],
    });
    assert_eq!(reply.json(), expected);
}

#[test]
fn the_official_types_read_every_card_and_give_it_back_unchanged() {
    let names = plugins::names();
    let names: Vec<&str> = names.iter().map(String::as_str).chain(["strict"]).collect();
    let kennel = Kennel::start(&names);
    for name in names {
        let ours = card(&kennel, &format!("/agents/{name}")).json();
        let theirs: a2a::AgentCard = serde_json::from_value(ours.clone()).unwrap();
        assert_eq!(serde_json::to_value(&theirs).unwrap(), ours, "{name}");
        assert_eq!(theirs.supported_interfaces[0].url, kennel.url(name));
    }
}

#[test]
fn a_card_names_its_extensions() {
    let kennel = Kennel::start(&["strict"]);
    let extensions = &card(&kennel, "/agents/strict").json()["capabilities"]["extensions"];
    // It answers with bare messages, which have nothing of the host's in them.
    let expected = json!([{ "uri": "urn:kennel:test:1", "description": "Clients must ask for it.", "required": true }]);
    assert_eq!(*extensions, expected);
}

/// What a host declares on the card of every agent that answers with tasks.
fn own_extensions() -> Value {
    json!([
        { "uri": "urn:kennel:error:1", "description": "The status message of a failed task has kind, code and retryable of the error in its metadata." },
        { "uri": "urn:kennel:input:1", "description": "A prompt for input has the JSON Schema that the answer must meet in its metadata." },
        { "uri": "urn:kennel:auth:1", "description": "A prompt for authorization has credential, scopes and url of what is asked for in its metadata." },
        { "uri": "urn:kennel:progress:1", "description": "A data part with percent and phase of the work, marked in its metadata." },
        { "uri": "urn:kennel:family:1", "description": "A task has the task that sent it, and those that it has sent, in its metadata." },
    ])
}

#[test]
fn every_key_that_clients_meet_is_declared_on_the_card() {
    let kennel = Kennel::start(&["echo", "hello"]);
    let declared = card(&kennel, "/agents/echo").json()["capabilities"]["extensions"].clone();
    let declared: BTreeSet<String> =
        declared.as_array().unwrap().iter().map(|extension| extension["uri"].as_str().unwrap().to_owned()).collect();
    let mut sources = vec![plugins::workspace().join("host")];
    let mut named = BTreeSet::new();
    while let Some(path) = sources.pop() {
        if path.is_dir() {
            let inside = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            sources.extend(inside.filter(|path| !path.ends_with("tests") && !path.ends_with("tests.rs")));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let code = std::fs::read_to_string(&path).unwrap();
            let keys = code.split("\"urn:kennel:").skip(1).filter_map(|rest| rest.split('"').next());
            named.extend(keys.filter(|key| key.ends_with(":1")).map(|key| format!("urn:kennel:{key}")));
        }
    }
    // Between operator and agent, in the request of a retry; and between two hosts.
    assert!(named.remove("urn:kennel:retry:1") && named.remove("urn:kennel:prompt:1"));
    assert_eq!(named, declared);
    let bare = card(&kennel, "/agents/hello").json();
    assert!(bare["capabilities"]["extensions"].is_null(), "no task, nothing to declare: {bare:#}");
}

#[test]
fn what_a_client_asks_for_and_gets_is_named_in_the_answer() {
    let kennel = Kennel::start(&["echo", "strict"]);
    let asked = |agent: &str, uris: &str| {
        let request = call(agent, "SendMessage", message("hello")).header("a2a-extensions", uris);
        kennel.send(&request).header("a2a-extensions").map(str::to_owned)
    };
    assert_eq!(asked("echo", "urn:other:1, urn:kennel:error:1").as_deref(), Some("urn:kennel:error:1"));
    let theirs = "urn:kennel:family:1, urn:kennel:test:1";
    assert_eq!(asked("strict", theirs).as_deref(), Some("urn:kennel:test:1"), "no task, no family");
    assert_eq!(asked("echo", theirs).as_deref(), Some("urn:kennel:family:1"));
    assert_eq!(asked("echo", "urn:other:1"), None);
    let plain = kennel.send(&call("echo", "SendMessage", message("hello")));
    assert_eq!(plain.header("a2a-extensions"), None, "nobody asked");
}

#[test]
fn the_interfaces_of_a_card_are_where_the_agent_answers() {
    let kennel = Kennel::start(&["echo", "hello"]);
    for name in ["echo", "hello"] {
        let card = card(&kennel, &format!("/agents/{name}")).json();
        let interfaces = card["supportedInterfaces"].as_array().unwrap();
        assert_eq!(interfaces.len(), WIRES.len());
        for (interface, wire) in interfaces.iter().zip(WIRES) {
            let said = (&interface["protocolBinding"], &interface["protocolVersion"]);
            assert_eq!(said, (&json!(wire.binding.as_str()), &json!(wire.version.as_str())));
            let mut request = wire.request("nobody", Operation::GetTask, &json!({ "id": "none" }));
            let url = interface["url"].as_str().unwrap().strip_prefix(&kennel.base()).unwrap();
            request.path = request.path.replace("/agents/nobody", url);
            wire.check(&kennel.send(&request), ErrorKind::TaskNotFound);
        }
    }
}

#[test]
fn the_only_agent_is_also_at_the_root() {
    let kennel = Kennel::start(&["echo"]);
    assert_eq!(card(&kennel, "").json(), card(&kennel, "/agents/echo").json());
    let mut request = call("echo", "ListTasks", json!({}));
    request.path = "/".to_owned();
    assert_eq!(kennel.send(&request).json()["result"]["totalSize"], 0);
}

#[test]
fn of_several_agents_the_chosen_one_is_at_the_root_or_none() {
    let kennel = Kennel::with(&["echo", "hello"]).arg("--default-agent").arg("hello").start();
    assert_eq!(card(&kennel, "").json()["name"], "hello");
    let kennel = Kennel::start(&["echo", "hello"]);
    let reply = card(&kennel, "");
    assert_eq!(reply.status, 404);
    let text = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    for hint in ["--default-agent", "/agents/echo", "/agents/hello"] {
        assert!(text.contains(hint), "{text}");
    }
    let kennel = Kennel::start(&[]);
    assert_eq!(card(&kennel, "").status, 404, "no agent at all");
}

#[test]
fn a_card_of_nobody_is_not_found() {
    let kennel = Kennel::start(&["echo"]);
    for path in ["/agents/nobody", "/agents/%20", "/agents/Echo"] {
        let reply = card(&kennel, path);
        assert_eq!((reply.status, reply.header("content-type")), (404, Some("application/json")), "{path}");
        assert_eq!(reply.json()["error"]["code"], 404, "a card is no operation of JSON-RPC");
    }
}

#[test]
fn a_card_that_is_known_is_not_sent_again() {
    let kennel = Kennel::start(&["echo", "hello"]);
    for path in ["/agents/echo", "/agents/hello"] {
        let reply = card(&kennel, path);
        assert_eq!(reply.header("cache-control"), Some("public, max-age=60"));
        let modified = reply.header("last-modified").unwrap();
        assert!(httpdate(modified), "{modified}");
        let tag = reply.header("etag").unwrap().to_owned();
        let known = |given: &str| {
            let request = Request::new("GET", &format!("{path}/.well-known/agent-card.json"));
            kennel.send(&request.header("if-none-match", given).header("a2a-version", "1.0"))
        };
        for given in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let reply = known(&given);
            assert_eq!((reply.status, reply.body.len()), (304, 0), "{given}");
            assert_eq!(reply.header("etag"), Some(tag.as_str()));
            assert_eq!(reply.header("cache-control"), Some("public, max-age=60"));
        }
        for given in ["\"other\"", "", &tag.trim_matches('"')[..4]] {
            assert_eq!(known(given).status, 200, "{given}");
        }
    }
    let tags = ["/agents/echo", "/agents/hello"].map(|path| card(&kennel, path).header("etag").unwrap().to_owned());
    assert_ne!(tags[0], tags[1]);
}

/// As in `Sun, 06 Nov 1994 08:49:37 GMT`.
fn httpdate(text: &str) -> bool {
    let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    text.len() == 29 && text.ends_with(" GMT") && days.iter().any(|day| text.starts_with(&format!("{day}, ")))
}

#[test]
fn the_public_url_is_the_base_of_all_urls() {
    let kennel = Kennel::with(&["echo"]).arg("--public-url").arg("https://agents.example.com/a/").start();
    let url = &card(&kennel, "/agents/echo").json()["supportedInterfaces"][0]["url"];
    assert_eq!(*url, "https://agents.example.com/a/agents/echo");
    assert_eq!(kennel.result("echo", "ListTasks", json!({}))["totalSize"], 0, "it is served where it listens");
}

#[test]
fn a_host_says_that_it_lives_and_is_ready() {
    let kennel = Kennel::start(&[]);
    for path in ["/livez", "/readyz"] {
        assert_eq!(kennel.send(&Request::new("GET", path)).status, 200, "{path}");
    }
}

#[test]
fn no_member_of_a_card_is_null_or_empty_without_need() {
    let kennel = Kennel::start(&["echo", "mischief"]);
    for name in ["echo", "mischief"] {
        check_members(&card(&kennel, &format!("/agents/{name}")).json(), name);
    }
}

fn check_members(value: &Value, at: &str) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| check_members(member, &format!("{at}.{name}")))
        }
        Value::Array(items) => {
            assert!(!items.is_empty(), "{at} is empty");
            items.iter().enumerate().for_each(|(n, item)| check_members(item, &format!("{at}[{n}]")));
        }
        Value::Null => panic!("{at} is null"),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
