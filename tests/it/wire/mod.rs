//! The bindings as a client sees them: an operation and its request become an HTTP request, and the reply a result or a fault. So a test
//! can be written once and run on every wire.

use kennel_protocol::{Binding, ErrorKind, Operation, ProtocolVersion};
use serde_json::{Value, json};

use crate::events::{Event, Events};
use crate::harness::Kennel;
use crate::http::{Reply, Request};

const INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

mod old;

/// A binding in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wire {
    pub binding: Binding,
    pub version: ProtocolVersion,
}

/// All that a host speaks.
pub(crate) const WIRES: &[Wire] = &[
    Wire { binding: Binding::JsonRpc, version: ProtocolVersion::V1_0 },
    Wire { binding: Binding::HttpJson, version: ProtocolVersion::V1_0 },
    Wire { binding: Binding::JsonRpc, version: ProtocolVersion::V0_3 },
    Wire { binding: Binding::HttpJson, version: ProtocolVersion::V0_3 },
];

/// What a client can learn from an error, whichever binding told it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub reason: String,
    pub message: String,
    pub metadata: Value,
    /// The fields at fault and what is wrong with them.
    pub violations: Value,
}

impl Wire {
    /// Whether this version has the operation in this binding.
    pub(crate) fn has(self, operation: Operation) -> bool {
        match self.binding {
            Binding::JsonRpc => operation.method(self.version).is_some(),
            Binding::HttpJson => !operation.routes(self.version).is_empty(),
        }
    }

    /// A request to an agent.
    pub(crate) fn request(self, agent: &str, operation: Operation, params: &Value) -> Request {
        match self.binding {
            Binding::JsonRpc => {
                let method = operation.method(self.version).unwrap_or_else(|| panic!("{self:?} has no {operation:?}"));
                let params = self.spelled(operation, params);
                let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
                self.post(&format!("/agents/{agent}"), body.to_string())
            }
            Binding::HttpJson => {
                let routes = operation.routes(self.version);
                let route = routes.first().unwrap_or_else(|| panic!("{self:?} has no {operation:?}"));
                let spelled = self.spelled(operation, params);
                let mut request = self.routed(&format!("/agents/{agent}"), route.verb, route.path, params);
                if route.verb == "POST" {
                    request.body = spelled.to_string().into();
                }
                request
            }
        }
    }

    /// A request of HTTP+JSON by one of its routes: fields of the path go there, others into the query, or all into the body of a POST.
    pub(crate) fn routed(self, base: &str, verb: &str, route: &str, params: &Value) -> Request {
        let (mut path, mut query) = (route.to_owned(), String::new());
        for (name, value) in params.as_object().unwrap_or_else(|| panic!("no object: {params}")) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let slot = format!("{{{name}}}");
            if path.contains(&slot) {
                path = path.replace(&slot, &encoded(&text));
            } else if !value.is_null() {
                query += &format!("{}{name}={}", if query.is_empty() { "?" } else { "&" }, encoded(&text));
            }
        }
        match verb {
            "POST" => self.post(&format!("{base}/{path}"), params.to_string()),
            _ => self.versioned(Request::new(verb, &format!("{base}/{path}{query}"))),
        }
    }

    /// A body for an operation, whatever is in it.
    pub(crate) fn send_of(self, agent: &str, body: &str) -> Request {
        match self.binding {
            Binding::JsonRpc => self.post(&format!("/agents/{agent}"), body.to_owned()),
            Binding::HttpJson => {
                let route = Operation::SendMessage.routes(self.version)[0];
                self.post(&format!("/agents/{agent}/{}", route.path), body.to_owned())
            }
        }
    }

    /// A request for something that nobody offers.
    pub(crate) fn unknown(self, agent: &str) -> Request {
        match self.binding {
            Binding::JsonRpc => {
                let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "DoWhatever", "params": {} });
                self.post(&format!("/agents/{agent}"), body.to_string())
            }
            Binding::HttpJson => self.post(&format!("/agents/{agent}/do/whatever"), "{}".to_owned()),
        }
    }

    fn post(self, path: &str, body: String) -> Request {
        self.versioned(Request::post(path, body))
    }

    /// Clients of 0.3 do not say so.
    fn versioned(self, request: Request) -> Request {
        match self.version {
            ProtocolVersion::V1_0 => request.header("a2a-version", self.version.as_str()),
            ProtocolVersion::V0_3 => request.without("a2a-version"),
        }
    }

    /// The request as this version has it.
    fn spelled(self, operation: Operation, params: &Value) -> Value {
        match self.version {
            ProtocolVersion::V1_0 => params.clone(),
            ProtocolVersion::V0_3 => old::request(self.binding, operation, params),
        }
    }

    /// The media type of its answers, where the client says nothing.
    fn media_type(self) -> &'static str {
        match (self.binding, self.version) {
            (Binding::HttpJson, ProtocolVersion::V1_0) => "application/a2a+json",
            _ => "application/json",
        }
    }

    /// What is no version at all is refused as 1.0 does it.
    fn type_of_error(self, kind: ErrorKind) -> &'static str {
        match kind {
            ErrorKind::VersionNotSupported | ErrorKind::MethodNotFound => "application/a2a+json",
            _ => self.media_type(),
        }
    }

    /// What an event of a stream of this wire says, as 1.0 has it.
    pub(crate) fn modern(self, event: &Event) -> Event {
        match self.version {
            ProtocolVersion::V1_0 => event.clone(),
            ProtocolVersion::V0_3 => Event { json: old::union(event.result(), true), ..event.clone() },
        }
    }

    /// Makes a call: its result, or its fault.
    pub(crate) fn call(
        self,
        kennel: &Kennel,
        agent: &str,
        operation: Operation,
        params: &Value,
    ) -> Result<Value, Fault> {
        self.outcome(&kennel.send(&self.request(agent, operation, params)))
    }

    /// The result of a call that must succeed.
    pub(crate) fn result(self, kennel: &Kennel, agent: &str, operation: Operation, params: &Value) -> Value {
        let called = self.call(kennel, agent, operation, params);
        called.unwrap_or_else(|fault| panic!("{operation:?} on {self:?} failed: {fault:?}"))
    }

    /// A call that is answered with a stream.
    pub(crate) fn stream(self, kennel: &Kennel, agent: &str, operation: Operation, params: &Value) -> Events {
        Events::new(kennel.open(&self.request(agent, operation, params)))
    }

    /// What a reply says.
    pub(crate) fn outcome(self, reply: &Reply) -> Result<Value, Fault> {
        let mut json = reply.json();
        match (self.binding, json.get("error").is_some()) {
            (Binding::JsonRpc, false) if self.version == ProtocolVersion::V0_3 => Ok(old::answer(&json["result"])),
            (Binding::JsonRpc, false) => Ok(json["result"].take()),
            (Binding::JsonRpc, true) => Err(fault(&json["error"], "data")),
            (Binding::HttpJson, false) => {
                assert_eq!(reply.status, 200, "{json:#}");
                Ok(if self.version == ProtocolVersion::V0_3 { old::answer(&json) } else { json })
            }
            (Binding::HttpJson, true) => Err(fault(&json["error"], "details")),
        }
    }

    /// The reply is an error of this kind, in the form of this binding: its members and no others.
    pub(crate) fn check(self, reply: &Reply, kind: ErrorKind) -> Fault {
        let json = reply.json();
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let error = &json["error"];
        match self.binding {
            Binding::JsonRpc => {
                assert_eq!(reply.status, 200, "errors of JSON-RPC are no errors of HTTP: {json:#}");
                assert_eq!(reply.header("content-type"), Some(self.media_type()));
                let known = self.version == ProtocolVersion::V1_0 || error["code"].as_i64().unwrap() != -32600;
                crate::errors::check_coded(&json, kind, if known { kind } else { ErrorKind::InvalidRequest });
            }
            Binding::HttpJson => {
                assert_eq!(reply.header("content-type"), Some(self.type_of_error(kind)));
                assert_eq!(names(&json), ["error"], "{json:#}");
                assert_eq!(names(error), ["code", "details", "message", "status"], "{json:#}");
                assert_eq!(
                    (reply.status, &error["code"]),
                    (kind.http_status(), &json!(kind.http_status())),
                    "{json:#}"
                );
                assert_eq!(error["status"], kind.grpc_status(), "{json:#}");
                check_details(error, "details", kind);
            }
        }
        self.outcome(reply).expect_err("it has an error")
    }
}

/// The details say which error it is.
pub(crate) fn check_details(error: &Value, name: &str, kind: ErrorKind) {
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()));
    let details = error[name].as_array().unwrap_or_else(|| panic!("{name} is a list: {error:#}"));
    let info = details.iter().find(|one| one["@type"] == INFO).unwrap_or_else(|| panic!("no ErrorInfo: {error:#}"));
    assert_eq!(info["domain"], "a2a-protocol.org");
    let reason = info["reason"].as_str().unwrap();
    assert!(reason.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{reason}");
    if let Some(expected) = kind.reason() {
        assert_eq!(reason, expected);
    }
    let strings = info["metadata"].as_object().unwrap().values().all(Value::is_string);
    assert!(strings, "metadata maps strings to strings: {info:#}");
    let bad = details.iter().any(|one| one["@type"] == BAD_REQUEST);
    assert_eq!(bad, kind == ErrorKind::InvalidParams, "BadRequest goes with invalid parameters: {error:#}");
}

fn fault(error: &Value, details: &str) -> Fault {
    let details = error[details].as_array().unwrap_or_else(|| panic!("no details: {error:#}"));
    let detail = |kind: &str, member: &str| {
        details.iter().find(|one| one["@type"] == kind).map_or(Value::Null, |one| one[member].clone())
    };
    Fault {
        reason: detail(INFO, "reason").as_str().unwrap_or_default().to_owned(),
        message: error["message"].as_str().unwrap_or_default().to_owned(),
        metadata: detail(INFO, "metadata"),
        violations: detail(BAD_REQUEST, "fieldViolations"),
    }
}

/// Percent-encodes all but what no part of a url minds.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
