//! The operations of A2A, and the one table of how each binding and version spells them (protocol.md section 1).
//!
//! The wire layers look operations up here, and a test compares the table with the tests.

use crate::version::ProtocolVersion;

/// What a client can ask of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Sends a message and waits for an answer.
    SendMessage,
    /// Sends a message and watches what comes of it.
    SendStreamingMessage,
    /// Shows a task.
    GetTask,
    /// Shows tasks, newest first.
    ListTasks,
    /// Asks for a task's end.
    CancelTask,
    /// Watches a task.
    SubscribeToTask,
    /// Registers a webhook for a task.
    CreateTaskPushNotificationConfig,
    /// Shows a webhook of a task.
    GetTaskPushNotificationConfig,
    /// Shows the webhooks of a task.
    ListTaskPushNotificationConfigs,
    /// Forgets a webhook of a task.
    DeleteTaskPushNotificationConfig,
    /// Shows what an agent says of itself to those it knows.
    GetExtendedAgentCard,
}

/// A way to carry operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Binding {
    /// JSON-RPC 2.0 by POST.
    JsonRpc,
    /// Paths and verbs of HTTP.
    HttpJson,
}

impl Binding {
    /// All bindings of this server.
    pub const ALL: [Binding; 2] = [Binding::JsonRpc, Binding::HttpJson];

    /// The name in agent cards.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Binding::JsonRpc => "JSONRPC",
            Binding::HttpJson => "HTTP+JSON",
        }
    }
}

/// One spelling of an operation as a verb and a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method of HTTP.
    pub verb: &'static str,
    /// Below the url of the interface, without a slash in front. `{name}` stands for a segment, or for what is before the last colon
    /// of one.
    pub path: &'static str,
}

const fn get(path: &'static str) -> Route {
    Route { verb: "GET", path }
}

const fn post(path: &'static str) -> Route {
    Route { verb: "POST", path }
}

const fn delete(path: &'static str) -> Route {
    Route { verb: "DELETE", path }
}

impl Operation {
    /// All operations, in the order of the specification.
    pub const ALL: [Operation; 11] = [
        Operation::SendMessage,
        Operation::SendStreamingMessage,
        Operation::GetTask,
        Operation::ListTasks,
        Operation::CancelTask,
        Operation::SubscribeToTask,
        Operation::CreateTaskPushNotificationConfig,
        Operation::GetTaskPushNotificationConfig,
        Operation::ListTaskPushNotificationConfigs,
        Operation::DeleteTaskPushNotificationConfig,
        Operation::GetExtendedAgentCard,
    ];

    /// The name in the specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Operation::SendMessage => "SendMessage",
            Operation::SendStreamingMessage => "SendStreamingMessage",
            Operation::GetTask => "GetTask",
            Operation::ListTasks => "ListTasks",
            Operation::CancelTask => "CancelTask",
            Operation::SubscribeToTask => "SubscribeToTask",
            Operation::CreateTaskPushNotificationConfig => "CreateTaskPushNotificationConfig",
            Operation::GetTaskPushNotificationConfig => "GetTaskPushNotificationConfig",
            Operation::ListTaskPushNotificationConfigs => "ListTaskPushNotificationConfigs",
            Operation::DeleteTaskPushNotificationConfig => "DeleteTaskPushNotificationConfig",
            Operation::GetExtendedAgentCard => "GetExtendedAgentCard",
        }
    }

    /// The method of JSON-RPC. None: this version has no such operation.
    #[must_use]
    pub const fn method(self, version: ProtocolVersion) -> Option<&'static str> {
        match version {
            ProtocolVersion::V1_0 => Some(self.name()),
            ProtocolVersion::V0_3 => self.method_0_3(),
        }
    }

    const fn method_0_3(self) -> Option<&'static str> {
        match self {
            Operation::SendMessage => Some("message/send"),
            Operation::SendStreamingMessage => Some("message/stream"),
            Operation::GetTask => Some("tasks/get"),
            Operation::ListTasks => None,
            Operation::CancelTask => Some("tasks/cancel"),
            Operation::SubscribeToTask => Some("tasks/resubscribe"),
            Operation::CreateTaskPushNotificationConfig => Some("tasks/pushNotificationConfig/set"),
            Operation::GetTaskPushNotificationConfig => Some("tasks/pushNotificationConfig/get"),
            Operation::ListTaskPushNotificationConfigs => Some("tasks/pushNotificationConfig/list"),
            Operation::DeleteTaskPushNotificationConfig => Some("tasks/pushNotificationConfig/delete"),
            Operation::GetExtendedAgentCard => Some("agent/getAuthenticatedExtendedCard"),
        }
    }

    /// The routes of HTTP+JSON. None: this version has no such operation.
    #[must_use]
    pub const fn routes(self, version: ProtocolVersion) -> &'static [Route] {
        match version {
            ProtocolVersion::V1_0 => self.routes_1_0(),
            ProtocolVersion::V0_3 => self.routes_0_3(),
        }
    }

    #[rustfmt::skip]
    const fn routes_1_0(self) -> &'static [Route] {
        match self {
            Operation::SendMessage => const { &[post("message:send")] },
            Operation::SendStreamingMessage => const { &[post("message:stream")] },
            Operation::GetTask => const { &[get("tasks/{id}")] },
            Operation::ListTasks => const { &[get("tasks")] },
            Operation::CancelTask => const { &[post("tasks/{id}:cancel")] },
            Operation::SubscribeToTask => const { &[post("tasks/{id}:subscribe"), get("tasks/{id}:subscribe")] },
            Operation::CreateTaskPushNotificationConfig => const { &[post("tasks/{taskId}/pushNotificationConfigs")] },
            Operation::GetTaskPushNotificationConfig => const { &[get("tasks/{taskId}/pushNotificationConfigs/{id}")] },
            Operation::ListTaskPushNotificationConfigs => const { &[get("tasks/{taskId}/pushNotificationConfigs")] },
            Operation::DeleteTaskPushNotificationConfig => const { &[delete("tasks/{taskId}/pushNotificationConfigs/{id}")] },
            Operation::GetExtendedAgentCard => const { &[get("extendedAgentCard")] },
        }
    }

    #[rustfmt::skip]
    const fn routes_0_3(self) -> &'static [Route] {
        match self {
            Operation::SendMessage => const { &[post("v1/message:send")] },
            Operation::SendStreamingMessage => const { &[post("v1/message:stream")] },
            Operation::GetTask => const { &[get("v1/tasks/{id}")] },
            Operation::ListTasks => &[],
            Operation::CancelTask => const { &[post("v1/tasks/{id}:cancel")] },
            Operation::SubscribeToTask => const { &[post("v1/tasks/{id}:subscribe"), get("v1/tasks/{id}:subscribe")] },
            Operation::CreateTaskPushNotificationConfig => const { &[post("v1/tasks/{taskId}/pushNotificationConfigs")] },
            Operation::GetTaskPushNotificationConfig => const { &[get("v1/tasks/{taskId}/pushNotificationConfigs/{id}")] },
            Operation::ListTaskPushNotificationConfigs => const { &[get("v1/tasks/{taskId}/pushNotificationConfigs")] },
            Operation::DeleteTaskPushNotificationConfig => const { &[delete("v1/tasks/{taskId}/pushNotificationConfigs/{id}")] },
            Operation::GetExtendedAgentCard => const { &[get("v1/card")] },
        }
    }

    /// The operation that a method of JSON-RPC names.
    #[must_use]
    pub fn of_method(version: ProtocolVersion, method: &str) -> Option<Operation> {
        Operation::ALL.into_iter().find(|operation| operation.method(version) == Some(method))
    }
}

/// What a path of HTTP+JSON names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'p> {
    /// An operation.
    Operation(Target<'p>),
    /// Operations, but by these verbs only.
    OtherVerbs(Vec<&'static str>),
    /// Nothing.
    Nothing,
}

/// An operation and what its path says, as it is written there: percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'p> {
    /// Which one.
    pub operation: Operation,
    /// The segment in front that is the tenant field.
    pub tenant: Option<&'p str>,
    /// The other fields, by name.
    pub fields: Vec<(&'static str, &'p str)>,
}

impl<'p> Found<'p> {
    /// Looks up a path below the url of an interface, without a slash in front. In 1.0 a tenant may stand before every path; a path that
    /// can be read without one is.
    #[must_use]
    pub fn at(version: ProtocolVersion, verb: &str, path: &'p str) -> Found<'p> {
        let plain = Found::without_tenant(version, verb, path);
        if matches!(plain, Found::Operation(_)) || version == ProtocolVersion::V0_3 {
            return plain;
        }
        let prefixed = match path.split_once('/') {
            Some((tenant, rest)) if !tenant.is_empty() => match Found::without_tenant(version, verb, rest) {
                Found::Operation(target) => Found::Operation(Target { tenant: Some(tenant), ..target }),
                other @ (Found::OtherVerbs(_) | Found::Nothing) => other,
            },
            _ => Found::Nothing,
        };
        match plain {
            Found::OtherVerbs(_) if !matches!(prefixed, Found::Operation(_)) => plain,
            Found::Operation(_) | Found::OtherVerbs(_) | Found::Nothing => prefixed,
        }
    }

    fn without_tenant(version: ProtocolVersion, verb: &str, path: &'p str) -> Found<'p> {
        let routes = || {
            let all = Operation::ALL.into_iter();
            all.flat_map(|operation| operation.routes(version).iter().map(move |route| (operation, route)))
        };
        let matches = || routes().filter_map(|(operation, route)| Some((operation, route, fields(route.path, path)?)));
        // `tasks/{id}` fits `tasks/7:cancel` too, but that is not what is meant.
        let exact = matches().any(|(_, route, _)| has_suffix(route.path));
        let meant = || matches().filter(|(_, route, _)| !exact || has_suffix(route.path));
        if let Some((operation, _, fields)) = meant().find(|(_, route, _)| route.verb == verb) {
            return Found::Operation(Target { operation, tenant: None, fields });
        }
        let mut verbs: Vec<&'static str> = meant().map(|(_, route, _)| route.verb).collect();
        verbs.dedup();
        if verbs.is_empty() { Found::Nothing } else { Found::OtherVerbs(verbs) }
    }
}

fn has_suffix(pattern: &str) -> bool {
    pattern.contains("}:")
}

/// The fields that a path has by a pattern; none if it does not fit.
fn fields<'p>(pattern: &'static str, path: &'p str) -> Option<Vec<(&'static str, &'p str)>> {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    let mut fields = Vec::new();
    loop {
        let (wanted, given) = match (wanted.next(), given.next()) {
            (None, None) => return Some(fields),
            (wanted, given) => (wanted?, given?),
        };
        match wanted.strip_prefix('{').and_then(|field| field.split_once('}')) {
            None if wanted == given => {}
            None => return None,
            Some((name, suffix)) => {
                let value = match suffix.strip_prefix(':') {
                    None => given,
                    Some(suffix) => given.rsplit_once(':').filter(|(_, given)| *given == suffix)?.0,
                };
                fields.push((name, (!value.is_empty()).then_some(value)?));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'p>(verb: &str, path: &'p str) -> Found<'p> {
        Found::at(ProtocolVersion::V1_0, verb, path)
    }

    fn target(
        operation: Operation,
        tenant: Option<&'static str>,
        fields: &[(&'static str, &'static str)],
    ) -> Found<'static> {
        Found::Operation(Target { operation, tenant, fields: fields.to_vec() })
    }

    #[test]
    fn paths_name_operations_and_their_fields() {
        for (verb, path, expected) in [
            ("POST", "message:send", target(Operation::SendMessage, None, &[])),
            ("POST", "acme/message:stream", target(Operation::SendStreamingMessage, Some("acme"), &[])),
            ("GET", "tasks", target(Operation::ListTasks, None, &[])),
            ("GET", "acme/tasks", target(Operation::ListTasks, Some("acme"), &[])),
            ("GET", "tasks/t1", target(Operation::GetTask, None, &[("id", "t1")])),
            ("GET", "tasks/tasks", target(Operation::GetTask, None, &[("id", "tasks")])),
            ("GET", "tasks/a:b", target(Operation::GetTask, None, &[("id", "a:b")])),
            ("POST", "tasks/a:b:cancel", target(Operation::CancelTask, None, &[("id", "a:b")])),
            ("GET", "tasks/t1:subscribe", target(Operation::SubscribeToTask, None, &[("id", "t1")])),
            ("POST", "acme/tasks/t1:subscribe", target(Operation::SubscribeToTask, Some("acme"), &[("id", "t1")])),
            (
                "DELETE",
                "tasks/t1/pushNotificationConfigs/c1",
                target(Operation::DeleteTaskPushNotificationConfig, None, &[("taskId", "t1"), ("id", "c1")]),
            ),
            ("GET", "extendedAgentCard", target(Operation::GetExtendedAgentCard, None, &[])),
        ] {
            assert_eq!(at(verb, path), expected, "{verb} {path}");
        }
    }

    #[test]
    fn other_verbs_and_other_paths_are_told_apart() {
        for (verb, path, verbs) in [
            ("GET", "message:send", vec!["POST"]),
            ("GET", "tasks/t1:cancel", vec!["POST"]),
            ("DELETE", "tasks/t1:subscribe", vec!["POST", "GET"]),
            ("PUT", "acme/tasks", vec!["GET"]),
            ("PATCH", "tasks/t1/pushNotificationConfigs/c1", vec!["GET", "DELETE"]),
        ] {
            assert_eq!(at(verb, path), Found::OtherVerbs(verbs), "{verb} {path}");
        }
        for path in ["", "tasks/", "/tasks", "message:sent", "a/b/tasks", "tasks/t1/pushNotificationConfigs/"] {
            assert_eq!(at("GET", path), Found::Nothing, "{path}");
        }
    }

    #[test]
    fn every_spelling_names_its_operation_and_no_other() {
        for version in [ProtocolVersion::V1_0, ProtocolVersion::V0_3] {
            for operation in Operation::ALL {
                if let Some(method) = operation.method(version) {
                    assert_eq!(Operation::of_method(version, method), Some(operation));
                }
                for route in operation.routes(version) {
                    let path = route.path.replace(['{', '}'], "");
                    let Found::Operation(found) = Found::at(version, route.verb, &path) else { panic!("{route:?}") };
                    assert_eq!((found.operation, found.tenant), (operation, None), "{route:?}");
                }
            }
        }
    }
}
