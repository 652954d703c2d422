//! The imports of the world `plugin` as a test has them: each asks the run that goes on in this thread.
//!
//! Types are those of the bindings; a function here takes the place of the one of the same name there.

pub(crate) mod task {
    use crate::bindings::kennel::agent::task as bound;
    pub(crate) use crate::bindings::kennel::agent::task::{
        Auth, AuthRequest, CancelRequest, Input, InputOptions, Progress,
    };
    use crate::bindings::kennel::agent::types::{Draft, Message, TaskSnapshot};
    use crate::error::Result;
    use crate::test::world;

    pub(crate) fn info() -> bound::TaskInfo {
        world::with(|world| world.info())
    }

    pub(crate) fn history(limit: u32) -> Result<Vec<Message>> {
        world::with(|world| world.history(limit))
    }

    pub(crate) fn related(task_id: &str) -> Result<TaskSnapshot> {
        world::with(|world| world.related(task_id))
    }

    pub(crate) fn related_ids(limit: u32) -> Result<Vec<String>> {
        world::with(|world| world.related_ids(limit))
    }

    pub(crate) fn update_status(
        message: Option<&Draft>,
        progress: Option<&Progress>,
        metadata: Option<&str>,
    ) -> Result<()> {
        world::with(|world| world.update_status(message, progress, metadata))
    }

    pub(crate) fn require_input(prompt: &Draft, options: &InputOptions) -> Result<Input> {
        world::with(|world| world.require_input(prompt, options))
    }

    pub(crate) fn require_auth(prompt: &Draft, request: &AuthRequest) -> Result<Auth> {
        world::with(|world| world.require_auth(prompt, request))
    }

    pub(crate) fn next_message(timeout: Option<f64>) -> Result<Option<Message>> {
        world::with(|world| world.next_message(timeout))
    }

    pub(crate) fn cancel_requested() -> Option<CancelRequest> {
        world::with(|world| world.cancel_requested())
    }
}

pub(crate) mod artifact {
    use crate::bindings::kennel::agent::artifact::Heading;
    use crate::bindings::kennel::agent::types::{Artifact, Part};
    use crate::error::Result;
    use crate::test::world;

    pub(crate) fn publish(artifact: &Artifact) -> Result<String> {
        world::with(|world| world.publish(artifact))
    }

    pub(crate) fn open(heading: &Heading) -> Result<String> {
        world::with(|world| world.open_artifact(heading))
    }

    pub(crate) fn append(artifact_id: &str, parts: &[Part]) -> Result<()> {
        world::with(|world| world.append(artifact_id, parts))
    }

    pub(crate) fn close(artifact_id: &str, parts: &[Part]) -> Result<()> {
        world::with(|world| world.close_artifact(artifact_id, parts))
    }
}

pub(crate) mod http {
    pub(crate) use crate::bindings::kennel::agent::http::Request;
    use crate::bindings::kennel::agent::http::{Piece, Response, ResponseHead};
    use crate::error::Result;
    use crate::test::world;

    pub(crate) fn fetch(request: &Request) -> Result<Response> {
        world::with(|world| world.fetch(request))
    }

    pub(crate) fn start(request: &Request) -> Result<u32> {
        world::with(|world| world.start(request))
    }

    pub(crate) fn take(exchange: u32) -> Result<Response> {
        world::with(|world| world.take_response(exchange))
    }

    pub(crate) fn open(request: &Request) -> Result<u32> {
        world::with(|world| world.open_stream(request))
    }

    pub(crate) fn head(exchange: u32) -> Result<ResponseHead> {
        world::with(|world| world.head(exchange))
    }

    pub(crate) fn read(exchange: u32, timeout: Option<f64>) -> Result<Option<Piece>> {
        world::with(|world| world.read(exchange, timeout))
    }

    pub(crate) fn abort(exchange: u32) -> Result<()> {
        world::with(|world| world.abort(exchange))
    }
}

pub(crate) mod peers {
    pub(crate) use crate::bindings::kennel::agent::peers::Answer;
    use crate::bindings::kennel::agent::peers::SendOptions;
    use crate::bindings::kennel::agent::types::Draft;
    use crate::error::Result;
    use crate::test::world;

    pub(crate) fn names() -> Vec<String> {
        world::with(|world| world.peer_names())
    }

    pub(crate) fn card(to: &str) -> Result<String> {
        world::with(|world| world.peer_card(to))
    }

    pub(crate) fn send(to: &str, message: &Draft, options: &SendOptions) -> Result<u32> {
        world::with(|world| world.send(to, message, options))
    }

    pub(crate) fn take(sent: u32) -> Result<Answer> {
        world::with(|world| world.take_answer(sent))
    }

    pub(crate) fn cancel(sent: u32, reason: Option<&str>) -> Result<()> {
        world::with(|world| world.cancel_sent(sent, reason))
    }
}

pub(crate) mod wait {
    use crate::error::Result;
    use crate::test::world;

    pub(crate) fn any(pendings: &[u32], timeout: Option<f64>) -> Result<Option<u32>> {
        world::with(|world| world.wait_any(pendings, timeout))
    }

    pub(crate) fn all(pendings: &[u32], timeout: Option<f64>) -> Result<bool> {
        world::with(|world| world.wait_all(pendings, timeout))
    }

    pub(crate) fn sleep(time: f64) -> Result<()> {
        world::with(|world| world.sleep(time))
    }

    pub(crate) fn sleep_until(time: f64) -> Result<()> {
        world::with(|world| world.sleep_until(time))
    }
}

pub(crate) mod kv {
    use crate::bindings::kennel::agent::kv::{Entry, Scope, Swapped};
    use crate::error::Result;
    use crate::test::world;

    pub(crate) fn get(scope: Scope, key: &str) -> Result<Option<Entry>> {
        world::with(|world| world.kv_get(scope, key))
    }

    pub(crate) fn put(scope: Scope, key: &str, value: &[u8]) -> Result<String> {
        world::with(|world| world.kv_put(scope, key, value))
    }

    pub(crate) fn swap(scope: Scope, key: &str, expected: Option<&str>, value: &[u8]) -> Result<Swapped> {
        world::with(|world| world.kv_swap(scope, key, expected, value))
    }

    pub(crate) fn delete(scope: Scope, key: &str) -> Result<bool> {
        world::with(|world| world.kv_delete(scope, key))
    }

    pub(crate) fn keys(scope: Scope, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
        world::with(|world| world.kv_keys(scope, prefix, after, limit))
    }
}

pub(crate) mod config {
    use crate::test::world;

    pub(crate) fn get(name: &str) -> Option<String> {
        world::with(|world| world.setting(name))
    }

    pub(crate) fn names() -> Vec<String> {
        world::with(|world| world.settings())
    }

    pub(crate) fn credentials() -> Vec<String> {
        world::with(|world| world.credentials())
    }
}

pub(crate) mod ambient {
    use crate::test::world;

    pub(crate) fn now() -> f64 {
        world::with(|world| world.now())
    }

    pub(crate) fn random(len: u32) -> Vec<u8> {
        world::with(|world| world.random(len))
    }
}

pub(crate) mod log {
    pub(crate) use crate::bindings::kennel::agent::log::{Field, Level};
    use crate::test::world;

    /// A line outside a run has no reader: functions that log can be tested on their own.
    pub(crate) fn emit(level: Level, message: &str, fields: &[Field]) {
        world::with_if_any(|world| world.log(level, message, fields));
    }
}
