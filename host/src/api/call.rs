//! One request whose form is known: which agent it is for, the call of the service, and the answer in its binding's form. Every
//! operation of the HTTP bindings is here once.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use kennel_protocol::parse::{Validate, request as parse_request};
use kennel_protocol::types::{
    CancelTaskRequest, GetTaskRequest, ListTasksRequest, SendMessageRequest, SendMessageResponse,
    SubscribeToTaskRequest,
};
use kennel_protocol::{AgentId, Error, Operation, ProtocolVersion};
use serde::de::DeserializeOwned;

use super::form::{Form, Refusal, nowhere};
use super::request::EXTENSIONS;
use super::{App, card, heartbeat, sse};
use crate::service::SendStream;

/// Where a request came in.
#[derive(Clone)]
pub(crate) enum Place {
    /// At the url of an agent.
    Agent(AgentId),
    /// At the root: the request's tenant names the agent, else it is the default one.
    Root,
}

/// A request that was taken apart.
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) place: Place,
    pub(crate) form: Form,
    /// Nobody waits for the answer, so nothing is waited for.
    pub(crate) notification: bool,
    pub(crate) extensions: Vec<String>,
    pub(crate) last_event_id: Option<String>,
}

/// A request of the protocol.
trait Request: DeserializeOwned + Validate {
    /// Routes, and never authorises.
    fn tenant(&self) -> Option<&str>;
}

macro_rules! requests {
    ($($request:ty),*) => {$(
        impl Request for $request {
            fn tenant(&self) -> Option<&str> {
                self.tenant.as_deref()
            }
        }
    )*};
}

requests!(CancelTaskRequest, GetTaskRequest, ListTasksRequest, SendMessageRequest, SubscribeToTaskRequest);

impl Call {
    /// Carries out an operation. `params`: its request as JSON of 1.0.
    pub(crate) async fn perform(self, operation: Operation, params: &str) -> Response {
        match operation {
            Operation::SendMessage => self.send_message(params).await,
            Operation::SendStreamingMessage => self.send_streaming_message(params).await,
            Operation::GetTask => self.get_task(params).await,
            Operation::ListTasks => self.list_tasks(params).await,
            Operation::CancelTask => self.cancel_task(params).await,
            Operation::SubscribeToTask => self.subscribe_to_task(params).await,
            Operation::CreateTaskPushNotificationConfig
            | Operation::GetTaskPushNotificationConfig
            | Operation::ListTaskPushNotificationConfigs
            | Operation::DeleteTaskPushNotificationConfig => self.form.refuse(&Error::push_not_supported()),
            Operation::GetExtendedAgentCard => self.form.refuse(&Error::unsupported("this agent has no extended card")),
        }
    }

    /// Reads a request and finds its agent.
    fn read<T: Request>(&self, params: &str) -> Result<(T, AgentId), Refusal> {
        let request: T = parse_request(params)?;
        let agent = self.agent(request.tenant())?;
        Ok((request, agent))
    }

    fn agent(&self, tenant: Option<&str>) -> Result<AgentId, Refusal> {
        let registry = self.app.service.registry();
        match &self.place {
            Place::Agent(agent) => Ok(agent.clone()),
            Place::Root => {
                let named = tenant.and_then(|tenant| tenant.parse().ok());
                let named = named.filter(|agent| registry.active(agent).is_some());
                let agent = named.or_else(|| registry.default_agent());
                agent.ok_or_else(|| no_agent("at the root (see --default-agent)"))
            }
        }
    }

    /// A message, if it can go anywhere: the agent may be unknown here, or taken out.
    fn read_message(&self, params: &str) -> Result<(SendMessageRequest, AgentId), Refusal> {
        let (request, agent) = self.read::<SendMessageRequest>(params)?;
        if request.message.task_id.is_none() && self.app.service.registry().active(&agent).is_none() {
            return Err(no_agent(agent.as_str()));
        }
        Ok((request, agent))
    }

    async fn send_message(self, params: &str) -> Response {
        let (mut request, agent) = match self.read_message(params) {
            Ok(read) => read,
            Err(refusal) => return self.form.refused(&refusal),
        };
        if self.notification {
            request.configuration.get_or_insert_default().return_immediately = true;
        }
        let activated = self.activated(&agent);
        let Call { app, form, extensions, .. } = self;
        let every = app.limits.keep_alive;
        let answer = Box::pin(async move {
            let caller = app.caller();
            app.service.send_message(&caller, &agent, request, extensions).await
        });
        naming(activated, heartbeat::answer(answer, form, every).await)
    }

    async fn send_streaming_message(self, params: &str) -> Response {
        let (request, agent) = match self.read_message(params) {
            Ok(read) => read,
            Err(refusal) => return self.form.refused(&refusal),
        };
        let activated = self.activated(&agent);
        let Call { app, form, extensions, .. } = self;
        let caller = app.caller();
        let response = match app.service.send_streaming_message(&caller, &agent, request, extensions).await {
            Ok(SendStream::Task(events)) => sse::task(*events, form, app.limits.keep_alive, app.closing.clone()),
            Ok(SendStream::Message(message)) => sse::single(&form, &SendMessageResponse::Message(*message)),
            Err(error) => form.refuse(&error),
        };
        naming(activated, response)
    }

    /// Of the extensions that the client asks for, those that the agent's card declares, as the header of the answer.
    fn activated(&self, agent: &AgentId) -> Option<Activated> {
        if self.extensions.is_empty() {
            return None;
        }
        let version = self.app.service.registry().active(agent)?;
        let declared = card::extensions(version.agent.card());
        let asked = self.extensions.iter().map(String::as_str);
        let active: Vec<&str> = asked.filter(|uri| declared.iter().any(|extension| extension.uri == *uri)).collect();
        let value = HeaderValue::from_str(&active.join(", ")).ok().filter(|active| !active.is_empty())?;
        let [new, old] = EXTENSIONS;
        let name = if self.form.version == ProtocolVersion::V0_3 { old } else { new };
        Some((name, value))
    }

    async fn get_task(self, params: &str) -> Response {
        let (request, agent) = match self.read::<GetTaskRequest>(params) {
            Ok(read) => read,
            Err(refusal) => return self.form.refused(&refusal),
        };
        let caller = self.app.caller();
        self.form.answer(self.app.service.get_task(&caller, &agent, &request).await)
    }

    async fn list_tasks(self, params: &str) -> Response {
        let (request, agent) = match self.read::<ListTasksRequest>(params) {
            Ok(read) => read,
            Err(refusal) => return self.form.refused(&refusal),
        };
        let caller = self.app.caller();
        self.form.answer(self.app.service.list_tasks(&caller, &agent, &request).await)
    }

    async fn cancel_task(self, params: &str) -> Response {
        let (request, agent) = match self.read::<CancelTaskRequest>(params) {
            Ok(read) => read,
            Err(refusal) => return self.form.refused(&refusal),
        };
        let Call { app, form, .. } = self;
        let every = app.limits.keep_alive;
        let answer = Box::pin(async move {
            let caller = app.caller();
            app.service.cancel_task(&caller, &agent, &request).await
        });
        heartbeat::answer(answer, form, every).await
    }

    async fn subscribe_to_task(self, params: &str) -> Response {
        let (request, agent) = match self.read::<SubscribeToTaskRequest>(params) {
            Ok(read) => read,
            Err(refusal) => return self.form.refused(&refusal),
        };
        let Call { app, form, last_event_id, .. } = self;
        let caller = app.caller();
        match app.service.subscribe(&caller, &agent, &request, last_event_id.as_deref()).await {
            Ok(events) => sse::task(events, form, app.limits.keep_alive, app.closing.clone()),
            Err(error) => form.refuse(&error),
        }
    }
}

fn no_agent(name: &str) -> Refusal {
    Refusal::with(StatusCode::NOT_FOUND, nowhere(&format!("agent {name}")))
}

/// A header with extensions: its name, and them.
type Activated = (&'static str, HeaderValue);

/// The answer, with the extensions that it is given under.
fn naming(activated: Option<Activated>, mut response: Response) -> Response {
    if let Some((name, value)) = activated {
        response.headers_mut().insert(name, value);
    }
    response
}
