//! `task`: what is known of the task, what its client sees, what its client says.

use crate::bindings::kennel::agent::task::{
    Auth, AuthRequest, CancelRequest, Draft, Host, Input, InputOptions, Message, Progress, TaskInfo, TaskSnapshot,
};
use crate::call::{Answer, Call};
use crate::convert::{give, take};
use crate::guest::{Failure, Guest};

/// Messages that `history` gives at most, and ids that `related-ids` gives, as the contract says.
const HISTORY_MAX: u32 = 1000;
const RELATED_MAX: u32 = 100;

impl Host for Guest {
    fn info(&mut self) -> wasmtime::Result<TaskInfo> {
        Ok(give::task_info(self.facts.info.as_ref()))
    }

    async fn history(&mut self, limit: u32) -> Result<Vec<Message>, Failure> {
        match self.call(Call::History { limit: limit.min(HISTORY_MAX) }).await? {
            Answer::Messages(messages) => Ok(give::messages(messages, &self.facts.limits)?),
            other => Err(self.misfit(&other)),
        }
    }

    async fn related(&mut self, task_id: String) -> Result<TaskSnapshot, Failure> {
        let task_id = take::related_task(&task_id)?;
        match self.call(Call::Related { task_id }).await? {
            Answer::Task(task) => Ok(give::snapshot(*task, &self.facts.limits)?),
            other => Err(self.misfit(&other)),
        }
    }

    async fn related_ids(&mut self, limit: u32) -> Result<Vec<String>, Failure> {
        match self.call(Call::RelatedIds { limit: limit.min(RELATED_MAX) }).await? {
            Answer::TaskIds(ids) => Ok(ids.iter().map(ToString::to_string).collect()),
            other => Err(self.misfit(&other)),
        }
    }

    async fn update_status(
        &mut self,
        message: Option<Draft>,
        progress: Option<Progress>,
        metadata: Option<String>,
    ) -> Result<(), Failure> {
        let limits = &self.facts.limits;
        let message = message.map(|draft| take::draft(draft, limits)).transpose()?;
        let progress = progress.map(take::progress).transpose()?;
        let metadata = take::metadata(metadata, limits)?;
        self.call_done(Call::UpdateStatus { message, progress, metadata }).await
    }

    async fn require_input(&mut self, prompt: Draft, options: InputOptions) -> Result<Input, Failure> {
        let limits = &self.facts.limits;
        let prompt = take::draft(prompt, limits)?;
        let schema = take::schema(options.schema, limits)?;
        let timeout = take::timeout(options.timeout)?;
        match self.call(Call::RequireInput { prompt, schema, timeout }).await? {
            Answer::Input(input) => Ok(give::input(input)),
            other => Err(self.misfit(&other)),
        }
    }

    async fn require_auth(&mut self, prompt: Draft, request: AuthRequest) -> Result<Auth, Failure> {
        let prompt = take::draft(prompt, &self.facts.limits)?;
        let request = take::auth_request(request)?;
        match self.call(Call::RequireAuth { prompt, request }).await? {
            Answer::Auth(auth) => {
                if let crate::call::Auth::Granted(name) = &auth {
                    self.facts.credentials.insert(name.clone());
                }
                Ok(give::auth(auth))
            }
            other => Err(self.misfit(&other)),
        }
    }

    async fn next_message(&mut self, timeout: Option<f64>) -> Result<Option<Message>, Failure> {
        let timeout = take::timeout(timeout)?;
        match self.call(Call::NextMessage { timeout }).await? {
            Answer::Message(message) => Ok(message.map(|message| give::message(*message))),
            other => Err(self.misfit(&other)),
        }
    }

    async fn cancel_requested(&mut self) -> wasmtime::Result<Option<CancelRequest>> {
        match self.call(Call::CancelRequested).await {
            Ok(Answer::Cancel(request)) => Ok(request.map(give::cancel_request)),
            Ok(other) => Err(wasmtime::Error::new(self.misfit(&other))),
            // The contract has no error here, and a guest that learns of no request goes on as before.
            Err(Failure::Guest(_)) => Ok(None),
            Err(failure) => Err(wasmtime::Error::new(failure)),
        }
    }
}
