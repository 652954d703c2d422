//! The official Rust client as a judge of the real binary, with the client's default settings.

use a2a::{
    A2AError, Artifact, CancelTaskRequest, GetTaskRequest, ListTasksRequest, Message, Part, Role, SendMessageRequest,
    SendMessageResponse, StreamResponse, SubscribeToTaskRequest, Task, TaskState, error_code,
};
use a2a_client::agent_card::AgentCardResolver;
use a2a_client::{A2AClient, A2AClientFactory, BoxStream, Transport};
use futures_util::future::{join, join3};
use futures_util::{StreamExt, TryStreamExt};
use tokio::runtime::{Builder, Runtime};

use crate::harness::Kennel;
use crate::http::Request;

type Events = BoxStream<'static, Result<StreamResponse, A2AError>>;

/// The client of one agent, made from the agent's url as an application would make it.
struct Agent(A2AClient<Box<dyn Transport>>);

impl Agent {
    async fn new(kennel: &Kennel, name: &str) -> Agent {
        let card = AgentCardResolver::new(None).resolve(&kennel.url(name)).await.unwrap();
        Agent(A2AClientFactory::builder().build().create_from_card(&card).await.unwrap())
    }

    async fn send(&self, request: SendMessageRequest) -> Task {
        match self.0.send_message(&request).await.unwrap() {
            SendMessageResponse::Task(task) => task,
            SendMessageResponse::Message(message) => panic!("a task was expected, not {message:?}"),
        }
    }

    async fn stream(&self, text: &str) -> Events {
        self.0.send_streaming_message(&message(text)).await.unwrap()
    }

    /// Sends, and leaves when the task is there, as a client does that lost its connection.
    async fn start(&self, text: &str) -> Task {
        task(self.stream(text).await.next().await.unwrap().unwrap())
    }

    async fn subscribe(&self, id: &str) -> Result<Events, A2AError> {
        self.0.subscribe_to_task(&SubscribeToTaskRequest { id: id.to_owned(), tenant: None }).await
    }

    async fn get(&self, id: &str, history_length: Option<i32>) -> Result<Task, A2AError> {
        self.0.get_task(&GetTaskRequest { id: id.to_owned(), history_length, tenant: None }).await
    }

    async fn cancel(&self, id: &str) -> Result<Task, A2AError> {
        self.0.cancel_task(&CancelTaskRequest { id: id.to_owned(), metadata: None, tenant: None }).await
    }
}

/// A host with one agent, and the client's half of a test.
fn with(agent: &str, judge: impl AsyncFnOnce(Agent)) {
    let kennel = Kennel::start(&[agent]);
    runtime().block_on(async { judge(Agent::new(&kennel, agent).await).await });
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn message(text: &str) -> SendMessageRequest {
    let message = Message::new(Role::User, vec![Part::text(text)]);
    SendMessageRequest { message, configuration: None, metadata: None, tenant: None }
}

/// The same, to a task that asked.
fn answer(task: &Task, text: &str) -> SendMessageRequest {
    let mut request = message(text);
    request.message.task_id = Some(task.id.clone());
    request
}

fn task(event: StreamResponse) -> Task {
    match event {
        StreamResponse::Task(task) => task,
        other => panic!("a task was expected, not {other:?}"),
    }
}

async fn all(events: Events) -> Vec<StreamResponse> {
    events.try_collect().await.unwrap()
}

fn state(event: &StreamResponse) -> Option<TaskState> {
    match event {
        StreamResponse::Task(task) => Some(task.status.state.clone()),
        StreamResponse::StatusUpdate(update) => Some(update.status.state.clone()),
        StreamResponse::Message(_) | StreamResponse::ArtifactUpdate(_) => None,
    }
}

fn text(parts: &[Part]) -> String {
    parts.iter().filter_map(Part::as_text).collect()
}

fn artifacts(artifacts: Option<&Vec<Artifact>>) -> String {
    artifacts.into_iter().flatten().map(|artifact| text(&artifact.parts)).collect()
}

/// A task first, never again; its artifact without a gap or a repeat; then the end.
fn assert_whole(events: &[StreamResponse], artifact: &str) {
    let mut seen = String::new();
    for (position, event) in events.iter().enumerate() {
        assert_eq!(matches!(event, StreamResponse::Task(_)), position == 0, "{events:?}");
        match event {
            StreamResponse::Task(task) => seen += &artifacts(task.artifacts.as_ref()),
            StreamResponse::ArtifactUpdate(update) => seen += &text(&update.artifact.parts),
            StreamResponse::StatusUpdate(_) => {}
            StreamResponse::Message(message) => panic!("a message in the stream of a task: {message:?}"),
        }
    }
    assert_eq!(seen, artifact, "{events:?}");
    assert_eq!(events.last().and_then(state), Some(TaskState::Completed), "{events:?}");
}

/// The call is refused with this code, and says why.
fn assert_refused<T>(result: Result<T, A2AError>, code: i32) {
    match result {
        Ok(_) => panic!("error {code} was expected"),
        Err(error) => {
            assert_eq!(error.code, code, "{error}");
            assert!(!error.message.is_empty(), "an error without a message");
            assert!(error.details.is_some(), "an error without details: {error}");
        }
    }
}

#[test]
fn the_client_reads_every_member_of_a_card() {
    let names = ["auto", "countdown", "echo", "hello", "interview", "mischief"];
    let kennel = Kennel::start(&names);
    for name in names {
        let card = runtime().block_on(AgentCardResolver::new(None).resolve(&kennel.url(name))).unwrap();
        let request = Request::new("GET", &format!("/agents/{name}/.well-known/agent-card.json"));
        let served = kennel.send(&request.header("a2a-version", "1.0")).json();
        assert_eq!(serde_json::to_value(&card).unwrap(), served);
        assert_eq!(card.supported_interfaces[0].url, kennel.url(name));
    }
}

#[test]
fn a_send_gives_the_finished_task_that_can_be_got_and_listed() {
    with("echo", async |echo| {
        let sent = echo.send(message("hello")).await;
        assert_eq!(sent.status.state, TaskState::Completed);
        assert_eq!(artifacts(sent.artifacts.as_ref()), "hello");
        assert_eq!(echo.get(&sent.id, None).await.unwrap(), sent);
        assert_eq!(echo.get(&sent.id, Some(0)).await.unwrap().history, None);
        let newest = echo.send(message("again")).await;
        let request = ListTasksRequest { page_size: Some(1), include_artifacts: Some(true), ..every_task() };
        let first = echo.0.list_tasks(&request).await.unwrap();
        assert_eq!((first.total_size, first.page_size, &first.tasks), (2, 1, &vec![newest]));
        let request = ListTasksRequest { page_token: Some(first.next_page_token), ..request };
        let last = echo.0.list_tasks(&request).await.unwrap();
        assert_eq!((last.next_page_token.as_str(), last.tasks), ("", vec![sent]));
        let nothing = ListTasksRequest { context_id: Some("nobody's".to_owned()), ..every_task() };
        assert_eq!(echo.0.list_tasks(&nothing).await.unwrap().tasks, []);
    });
}

fn every_task() -> ListTasksRequest {
    ListTasksRequest {
        context_id: None,
        status: None,
        page_size: None,
        page_token: None,
        history_length: None,
        status_timestamp_after: None,
        include_artifacts: None,
        tenant: None,
    }
}

#[test]
fn a_stream_and_two_subscribers_see_a_task_whole() {
    with("countdown", async |countdown| {
        let mut stream = countdown.stream("3 every 300ms").await;
        let first = stream.next().await.unwrap().unwrap();
        let id = task(first.clone()).id;
        let (early, late) = join(countdown.subscribe(&id), countdown.subscribe(&id)).await;
        let (rest, early, late) = join3(all(stream), all(early.unwrap()), all(late.unwrap())).await;
        assert_whole(&[vec![first], rest].concat(), "3\n2\n1\n0\n");
        assert_whole(&early, "3\n2\n1\n0\n");
        assert_whole(&late, "3\n2\n1\n0\n");
        assert_refused(countdown.subscribe(&id).await, error_code::UNSUPPORTED_OPERATION);
    });
}

#[test]
fn a_task_goes_on_when_its_client_leaves_and_comes_back() {
    with("countdown", async |countdown| {
        let task = countdown.start("3 every 200ms").await;
        assert_whole(&all(countdown.subscribe(&task.id).await.unwrap()).await, "3\n2\n1\n0\n");
    });
}

#[test]
fn a_cancel_ends_a_task_and_its_streams() {
    with("mischief", async |mischief| {
        let mut stream = mischief.stream("sleep 60000").await;
        let id = task(stream.next().await.unwrap().unwrap()).id;
        assert_eq!(mischief.cancel(&id).await.unwrap().status.state, TaskState::Canceled);
        assert_eq!(all(stream).await.last().and_then(state), Some(TaskState::Canceled));
        assert_refused(mischief.cancel(&id).await, error_code::TASK_NOT_CANCELABLE);
    });
}

#[test]
fn an_interview_takes_three_turns_while_a_subscriber_sees_all() {
    with("interview", async |interview| {
        let asked = interview.send(message("interview me")).await;
        assert_eq!(asked.status.state, TaskState::InputRequired);
        assert_eq!(asked.status.message.as_ref().and_then(Message::text), Some("What is your name?"));
        let watched = interview.subscribe(&asked.id).await.unwrap();
        let again = interview.send(answer(&asked, "Ada")).await;
        assert_eq!(again.status.message.as_ref().and_then(Message::text), Some("Hello Ada. Red or blue?"));
        let third = all(interview.0.send_streaming_message(&answer(&asked, "red")).await.unwrap()).await;
        assert_whole(&third, "Ada likes red.");
        assert_whole(&all(watched).await, "Ada likes red.");
        let late = interview.0.send_message(&answer(&asked, "one more thing")).await;
        assert_refused(late, error_code::UNSUPPORTED_OPERATION);
    });
}

#[test]
fn a_bare_message_comes_without_a_task() {
    with("hello", async |hello| {
        let sent = hello.0.send_message(&message("Ada")).await.unwrap();
        let SendMessageResponse::Message(sent) = sent else { panic!("a message was expected, not {sent:?}") };
        let streamed = all(hello.stream("Ada").await).await;
        let [StreamResponse::Message(streamed)] = streamed.as_slice() else {
            panic!("one message was expected, not {streamed:?}")
        };
        for message in [&sent, streamed] {
            assert_eq!((message.text(), &message.role, &message.task_id), (Some("Hello, Ada."), &Role::Agent, &None));
            assert!(message.context_id.is_some(), "{message:?}");
        }
    });
}

#[test]
fn the_client_waits_for_an_agent_that_is_silent_for_8_s() {
    with("mischief", async |mischief| {
        let quiet = mischief.start("sleep 8000").await;
        let sent = mischief.send(message("sleep 8000"));
        let streamed = async { all(mischief.stream("sleep 8000").await).await };
        let watched = async { all(mischief.subscribe(&quiet.id).await.unwrap()).await };
        let (sent, streamed, watched) = join3(sent, streamed, watched).await;
        assert_eq!(artifacts(sent.artifacts.as_ref()), "Good morning.");
        assert_whole(&streamed, "Good morning.");
        assert_whole(&watched, "Good morning.");
    });
}

#[test]
fn what_is_not_there_is_not_found() {
    with("echo", async |echo| {
        let mut nobody = echo.send(message("hello")).await;
        nobody.id = a2a::new_task_id();
        assert_refused(echo.get(&nobody.id, None).await, error_code::TASK_NOT_FOUND);
        assert_refused(echo.cancel(&nobody.id).await, error_code::TASK_NOT_FOUND);
        assert_refused(echo.subscribe(&nobody.id).await, error_code::TASK_NOT_FOUND);
        assert_refused(echo.0.send_message(&answer(&nobody, "hello")).await, error_code::TASK_NOT_FOUND);
        let stream = echo.0.send_streaming_message(&answer(&nobody, "hello")).await;
        assert_refused(stream, error_code::TASK_NOT_FOUND);
    });
}
