//! The operations of A2A, one method each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kennel_protocol::types::{
    AgentCard, CancelTaskRequest, GetTaskRequest, ListTasksRequest, ListTasksResponse, Message, Part, Role,
    SendMessageRequest, SendMessageResponse, SubscribeToTaskRequest, Task,
};
use kennel_protocol::{MessageId, TaskId};
use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::discover::{choose, find_card, parse, trusts};
use crate::error::ClientError;
use crate::options::Options;
use crate::rpc;
use crate::stream::{EventStream, Origin};
use crate::transport::{Accept, Body, Transport};

/// A client of one agent. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    transport: Transport,
    endpoint: Url,
    /// What the card wants echoed in every request.
    tenant: Option<String>,
    card: Option<AgentCard>,
    next_id: AtomicU64,
}

/// An open stream, and the request id that its events carry.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) body: Body,
    pub(crate) request_id: u64,
}

impl Client {
    /// Finds the agent's card and gets ready to talk to its first JSON-RPC interface of A2A 1.0. The address may be
    /// that of the interface, of the card, or the one below which `.well-known/agent-card.json` is.
    ///
    /// # Errors
    /// `Invalid` if there is no card or no such interface, else why the card could not be read.
    pub async fn connect(url: &str) -> Result<Client, ClientError> {
        Client::connect_with(url, Options::default()).await
    }

    /// [`Client::connect`] with options.
    ///
    /// # Errors
    /// As there; also `Invalid` if the card leads to another host and there is a token, which is not sent there.
    pub async fn connect_with(url: &str, options: Options) -> Result<Client, ClientError> {
        let found = find_card(url, &options).await?;
        let asked = parse(url)?;
        let interface = choose(&found, asked.as_str())?;
        let endpoint = parse(&interface.url)?;
        if options.token.is_some() && !trusts(&asked, &endpoint) {
            return Err(ClientError::Invalid(format!(
                "the card at {} leads to another origin, {endpoint}: name that address to send the token there",
                found.url
            )));
        }
        Client::build(endpoint, interface.tenant, Some(found.card), options)
    }

    /// Talks to a JSON-RPC interface of A2A 1.0 at this address, without looking for a card.
    ///
    /// # Errors
    /// `Invalid` if it is no address.
    pub fn at(interface_url: &str) -> Result<Client, ClientError> {
        Client::at_with(interface_url, Options::default())
    }

    /// [`Client::at`] with options.
    ///
    /// # Errors
    /// As there.
    pub fn at_with(interface_url: &str, options: Options) -> Result<Client, ClientError> {
        Client::build(parse(interface_url)?, None, None, options)
    }

    fn build(
        endpoint: Url,
        tenant: Option<String>,
        card: Option<AgentCard>,
        options: Options,
    ) -> Result<Client, ClientError> {
        let transport = Transport::new(&endpoint, options)?;
        Ok(Client { inner: Arc::new(Inner { transport, endpoint, tenant, card, next_id: AtomicU64::new(1) }) })
    }

    /// The card that led here. None after [`Client::at`].
    #[must_use]
    pub fn card(&self) -> Option<&AgentCard> {
        self.inner.card.as_ref()
    }

    /// What the card wants echoed in every request. None after [`Client::at`].
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.inner.tenant.as_deref()
    }

    /// The address of the interface in use.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.inner.endpoint.as_str()
    }

    /// Sends a message and waits for the answer: until the task stops, unless the request says otherwise.
    ///
    /// # Errors
    /// See [`ClientError`]. After `Unreachable` and `Timeout` the message may have arrived all the same.
    pub async fn send(&self, mut request: SendMessageRequest) -> Result<SendMessageResponse, ClientError> {
        self.set_tenant(&mut request.tenant);
        self.call("SendMessage", &request).await
    }

    /// Sends a message and follows what happens, until the task ends or needs input. The stream resumes by itself when
    /// its connection breaks.
    ///
    /// # Errors
    /// See [`ClientError`]; refusals come from here, not from the stream.
    pub async fn stream(&self, mut request: SendMessageRequest) -> Result<EventStream, ClientError> {
        self.set_tenant(&mut request.tenant);
        let opened = self.open("SendStreamingMessage", &request, None).await?;
        Ok(EventStream::new(self.clone(), opened, Origin::Send))
    }

    /// Reads a task.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get_task(&self, mut request: GetTaskRequest) -> Result<Task, ClientError> {
        self.set_tenant(&mut request.tenant);
        self.call("GetTask", &request).await
    }

    /// Reads one page of tasks.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn list_tasks(&self, mut request: ListTasksRequest) -> Result<ListTasksResponse, ClientError> {
        self.set_tenant(&mut request.tenant);
        self.call("ListTasks", &request).await
    }

    /// Asks for a task to stop, and says which state it has reached.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn cancel_task(&self, mut request: CancelTaskRequest) -> Result<Task, ClientError> {
        self.set_tenant(&mut request.tenant);
        self.call("CancelTask", &request).await
    }

    /// Follows a task until it ends: from the event after the given one if the agent can, else from a snapshot of the
    /// task. The stream resumes by itself when its connection breaks.
    ///
    /// # Errors
    /// See [`ClientError`]. A task that has ended cannot be followed, except for events that are still due.
    pub async fn subscribe(&self, task: TaskId, last_event_id: Option<u64>) -> Result<EventStream, ClientError> {
        let opened = self.open_subscription(&task, last_event_id).await?;
        Ok(EventStream::new(self.clone(), opened, Origin::Subscribe { task, last_event_id }))
    }

    pub(crate) async fn open_subscription(
        &self,
        task: &TaskId,
        last_event_id: Option<u64>,
    ) -> Result<Opened, ClientError> {
        let request = SubscribeToTaskRequest { tenant: self.inner.tenant.clone(), id: task.clone() };
        self.open("SubscribeToTask", &request, last_event_id).await
    }

    pub(crate) fn options(&self) -> &Options {
        self.inner.transport.options()
    }

    /// Reads the result in the data of an event.
    pub(crate) fn read_event<T: DeserializeOwned>(&self, data: &[u8], request_id: u64) -> Result<T, ClientError> {
        rpc::response(data, request_id, &self.inner.endpoint)
    }

    /// What an interface of the card wants echoed goes into every request; without a card the caller's own stays.
    fn set_tenant(&self, tenant: &mut Option<String>) {
        if self.inner.card.is_some() {
            tenant.clone_from(&self.inner.tenant);
        }
    }

    async fn call<P: Serialize, T: DeserializeOwned>(&self, method: &str, params: &P) -> Result<T, ClientError> {
        let (id, body) = self.request(method, params)?;
        let Inner { transport, endpoint, .. } = &*self.inner;
        let answer = transport.ask(endpoint, body).await?;
        rpc::answer(&answer, id, endpoint)
    }

    async fn open<P: Serialize>(
        &self,
        method: &str,
        params: &P,
        last_event_id: Option<u64>,
    ) -> Result<Opened, ClientError> {
        let (request_id, body) = self.request(method, params)?;
        let Inner { transport, endpoint, .. } = &*self.inner;
        let body = transport.post(endpoint, body, Accept::Stream, last_event_id).await?;
        if body.is_stream() {
            let silence = transport.options().deadlines.stream_silence;
            return Ok(Opened { body: body.with_silence(silence), request_id });
        }
        // No stream: a refusal, in which nothing but the error is of interest.
        let answer = transport.finish(body).await?;
        rpc::answer::<serde::de::IgnoredAny>(&answer, request_id, endpoint)?;
        Err(ClientError::Invalid(format!("{endpoint} answers {method} without a stream")))
    }

    fn request<P: Serialize>(&self, method: &str, params: &P) -> Result<(u64, Vec<u8>), ClientError> {
        let id = self.inner.next_id.fetch_add(1, Ordering::Relaxed);
        Ok((id, rpc::request(id, method, params)?))
    }
}

/// A new message of a client, with an id that no other has.
#[must_use]
pub fn user_message(parts: Vec<Part>) -> Message {
    Message { message_id: MessageId::generate().to_string(), role: Role::User, parts, ..Message::default() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::options::{BearerToken, Deadlines, Limits};
    use crate::testing::{Server, Step, answer};

    fn card(url: &str) -> String {
        let interface = json!({ "url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "acme" });
        json!({ "name": "test", "supportedInterfaces": [interface], "unknown": 1 }).to_string()
    }

    fn task_answer(id: u64) -> String {
        let task = json!({ "id": "t", "contextId": "c", "status": { "state": "TASK_STATE_WORKING" } });
        json!({ "jsonrpc": "2.0", "id": id, "result": task }).to_string()
    }

    fn get(id: &str) -> GetTaskRequest {
        GetTaskRequest { tenant: None, id: id.parse().unwrap(), history_length: Some(0) }
    }

    #[tokio::test]
    async fn the_card_is_found_at_its_own_place_and_its_tenant_goes_into_every_request() {
        let first = Server::start(vec![answer("200 OK", &task_answer(1))]).await;
        let server = Server::start(vec![answer("404 Not Found", ""), answer("200 OK", &card(&first.url))]).await;
        let client = Client::connect(&server.url).await.unwrap();
        assert_eq!((client.endpoint(), client.card().unwrap().name.as_str()), (first.url.as_str(), "test"));
        client.get_task(get("t")).await.unwrap();
        let lines: Vec<String> =
            server.seen().iter().map(|seen| seen.head.lines().next().unwrap().to_owned()).collect();
        assert_eq!(lines, ["get /agents/test/.well-known/agent-card.json http/1.1", "get /agents/test http/1.1"]);
        assert!(server.seen()[0].head.contains("a2a-version: 1.0"));
        assert_eq!(first.seen()[0].body["params"], json!({ "tenant": "acme", "id": "t", "historyLength": 0 }));
    }

    #[tokio::test]
    async fn a_token_is_sent_where_it_was_meant_to_go_and_nowhere_else() {
        let options = Options { token: Some(BearerToken::new("s3cret")), ..Options::default() };
        let server = Server::start(vec![answer("200 OK", &card("http://elsewhere.test/a"))]).await;
        let error = Client::connect_with(&server.url, options.clone()).await.unwrap_err();
        assert!(error.to_string().contains("leads to another origin, http://elsewhere.test/a"), "{error}");
        assert!(server.seen()[0].head.contains("authorization: bearer s3cret"));
        let refusal = r#"{"id":1,"error":{"code":-32010,"message":"Authentication required"}}"#;
        let server = Server::start(vec![answer("401 Unauthorized", refusal)]).await;
        let error = Client::at_with(&server.url, options).unwrap().get_task(get("t")).await.unwrap_err();
        assert!(matches!(error, ClientError::Auth { message, .. } if message == "Authentication required"));
    }

    #[tokio::test]
    async fn line_breaks_before_a_slow_answer_keep_it_alive() {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
        let answer = [head, "\n\n\r\n ", &task_answer(1)].concat();
        // Byte by byte, so that every piece is one read at most.
        let steps = answer.bytes().map(|byte| Step::Write(vec![byte])).collect();
        let server = Server::start(vec![steps]).await;
        let task = Client::at(&server.url).unwrap().get_task(get("t")).await.unwrap();
        assert_eq!(task.id.as_str(), "t");
    }

    #[tokio::test]
    async fn silence_ends_in_a_timeout_and_size_in_a_refusal() {
        let deadlines = Deadlines {
            connect: Duration::from_millis(50),
            answer_silence: Duration::from_millis(50),
            ..Deadlines::default()
        };
        let limits = Limits { answer_bytes_max: 64, ..Limits::default() };
        let options = Options { deadlines, limits, ..Options::default() };
        let server = Server::start(vec![answer("200 OK", &task_answer(1)), vec![Step::Hang]]).await;
        let client = Client::at_with(&server.url, options).unwrap();
        let error = client.get_task(get("t")).await.unwrap_err();
        assert!(error.to_string().ends_with("has more than 64 bytes"), "{error}");
        assert!(matches!(client.get_task(get("t")).await, Err(ClientError::Timeout { .. })));
    }

    #[tokio::test]
    async fn an_address_without_a_card_says_what_was_tried() {
        let not_found = || answer("404 Not Found", "");
        let server = Server::start(vec![not_found(), not_found(), not_found()]).await;
        let error = Client::connect(&server.url).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("no agent card for {}", server.url)), "{error}");
        assert!(error.contains("HTTP 404"), "{error}");
        assert!(matches!(Client::connect("127.0.0.1:1").await, Err(ClientError::Unreachable { .. })));
    }
}
