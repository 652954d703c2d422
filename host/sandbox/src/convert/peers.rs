//! Values of `peers` in both directions. Never here: who may talk to whom. Called by `host/peers.rs`.

use super::give::{check_size, message, message_bytes, snapshot};
use super::take::{own_object, timeout};
use crate::bindings::kennel::agent::peers as wit;
use crate::call::{GuestError, PeerAnswer, PeerOptions};
use crate::limits::Limits;

type Result<T> = std::result::Result<T, GuestError>;

/// Options of a message to another agent.
pub(crate) fn options(options: wit::SendOptions, limits: &Limits) -> Result<PeerOptions> {
    Ok(PeerOptions {
        same_context: matches!(options.context, wit::ContextChoice::Same),
        task_id: options.task_id,
        accepted_output_modes: options.accepted_output_modes,
        metadata: own_object("options.metadata", options.metadata, limits)?,
        credential: options.credential,
        timeout: timeout(options.timeout)?,
    })
}

/// What another agent answered, if one call can carry it.
pub(crate) fn answer(answer: PeerAnswer, limits: &Limits) -> Result<wit::Answer> {
    match answer {
        PeerAnswer::Message(said) => {
            check_size(message_bytes(&said), limits)?;
            Ok(wit::Answer::Message(message(*said)))
        }
        PeerAnswer::Task(task) => snapshot(*task, limits).map(wit::Answer::Task),
    }
}
