//! The extensions of A2A that a Kennel host brings itself: keys under which it puts what the protocol has no field for. All are data in
//! metadata, there without being asked for and harmless to whoever does not know them (A2A 1.0, section 4.6).
//!
//! Never here: what stands under a key; that is with whoever writes it.

/// Kind, code and retryable of a failure, in the metadata of the status message of a FAILED task.
pub const ERROR: &str = "urn:kennel:error:1";
/// What an answer must meet, in the metadata of the prompt of an INPUT_REQUIRED task.
pub const INPUT: &str = "urn:kennel:input:1";
/// What is asked for, in the metadata of the prompt of an AUTH_REQUIRED task.
pub const AUTH: &str = "urn:kennel:auth:1";
/// Marks the part of a status message that tells progress.
pub const PROGRESS: &str = "urn:kennel:progress:1";
/// Parent and children, in the metadata of a task.
pub const FAMILY: &str = "urn:kennel:family:1";
/// The task that an operator tries again, in the metadata of the request of the new task.
pub const RETRY: &str = "urn:kennel:retry:1";
/// By what the prompt of an agent elsewhere is known again in its answers, in the metadata of the event of the task that stands for its own.
pub const PROMPT: &str = "urn:kennel:prompt:1";

/// What cards say of them: URI and description. No client meets [`RETRY`], which is between operator and agent, or [`PROMPT`], which is
/// between two hosts.
pub const OF_THE_HOST: &[(&str, &str)] = &[
    (ERROR, "The status message of a failed task has kind, code and retryable of the error in its metadata."),
    (INPUT, "A prompt for input has the JSON Schema that the answer must meet in its metadata."),
    (AUTH, "A prompt for authorization has credential, scopes and url of what is asked for in its metadata."),
    (PROGRESS, "A data part with percent and phase of the work, marked in its metadata."),
    (FAMILY, "A task has the task that sent it, and those that it has sent, in its metadata."),
];
