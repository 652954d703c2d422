//! Lines of guests into the operator's log: bounded by the sandbox, labelled here, never trusted as format.

use kennel_protocol::{AgentId, TaskId};
use kennel_sandbox::call::{LogLevel, LogLine};

/// Writes one line of a guest.
pub(crate) fn emit(tenant: &str, agent: &AgentId, task: &TaskId, line: &LogLine) {
    let agent = agent.as_str();
    let fields = serde_json::to_string(&line.fields).unwrap_or_default();
    // Debug form: control characters of a guest do not reach the terminal.
    let message = line.message.as_str();
    // The macros take their level as a literal.
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "guest",
                { tenant.id = %tenant, agent.id = %agent, task.id = %task, guest.fields = %fields },
                "{message:?}"
            )
        };
    }
    match line.level {
        LogLevel::Trace => line!(trace),
        LogLevel::Debug => line!(debug),
        LogLevel::Info => line!(info),
        LogLevel::Warn => line!(warn),
        LogLevel::Error => line!(error),
    }
}
