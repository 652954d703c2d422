//! `kennel demo`: the whole of Kennel in one command. Builds the example agents from the sources in the binary, serves them on an
//! embedded database, talks to them as any client would, and goes on serving.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use kennel_client::{Client, user_message};
use kennel_protocol::TaskId;
use kennel_protocol::types::{
    Content, Message, Part, SendMessageRequest, SendMessageResponse, StreamResponse, TaskState,
};
use kennel_store::Pokes;
use tokio::signal::unix::{SignalKind, signal};

use super::build::build_agents;
use super::embedded;
use crate::Host;
use crate::config::{HostLimits, JsonType, Settings, Trial};

const EXAMPLES: &str = "\
Examples:
  kennel demo                 build, serve, talk, and go on serving at 127.0.0.1:8080
  kennel demo --once          the same, but end after the conversation";

/// What `kennel demo` takes.
#[derive(Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Folder of everything the demo makes: sources, components, database
    #[arg(long, default_value = "kennel-demo", value_name = "DIR")]
    data: PathBuf,
    /// End after the conversation instead of going on serving
    #[arg(long)]
    once: bool,
}

/// Builds, serves, talks.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let agents = args.data.join("agents");
    build(&args.data, &agents).await?;
    let settings = Settings {
        listen: args.listen,
        data: args.data.join("data"),
        agents,
        default_agent: "echo".parse().ok(),
        public_url: None,
        json_type: JsonType::default(),
        limits: HostLimits::default(),
        agent_grants: Default::default(),
        config_file: None,
        egress: Default::default(),
        pokes: Pokes::On,
        trial: Trial::default(),
    };
    let host = Host::start(settings).await?;
    let base = format!("http://{}", host.address());
    say(&format!("listening {base}\n"))?;
    let talked = converse(&base).await;
    if talked.is_ok() && !args.once {
        say(&try_it(&base))?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            error = host.broken() => return Err(error.into()),
        }
    }
    host.stop().await;
    talked
}

/// One write, so that a closed stdout is an error with a name and not a panic.
fn say(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).context("cannot write to stdout")
}

async fn build(data: &std::path::Path, agents: &std::path::Path) -> anyhow::Result<()> {
    let sources = data.join("sources");
    say("building the example agents (the first time compiles their SDK, too)")?;
    let paths = embedded::write_examples(&sources).context("cannot write the examples")?;
    let mut report = |line: &str| drop(say(&format!("  {line}")));
    build_agents(&paths, agents, Some(&sources.join("target")), &mut report).await?;
    Ok(())
}

/// Four agents, four ways to answer.
async fn converse(base: &str) -> anyhow::Result<()> {
    let agent = async |name: &str| {
        let url = format!("{base}/agents/{name}");
        Client::connect(&url).await.with_context(|| format!("cannot reach {url}"))
    };
    say("hello answers with a bare message, nothing is stored:")?;
    send(&agent("hello").await?, text("Kennel", None)).await?;
    say("\necho makes a task; every event is on disk before it is shown:")?;
    stream(&agent("echo").await?, "good morning").await?;
    say("\ncountdown reports progress and sends its artifact in pieces:")?;
    stream(&agent("countdown").await?, "3 every 300ms").await?;
    say("\ninterview asks back, in straight-line code:")?;
    let interview = agent("interview").await?;
    let task = send(&interview, text("interview me", None)).await?;
    send(&interview, text("Ada", task.clone())).await?;
    send(&interview, text("blue", task)).await?;
    Ok(())
}

fn text(text: &str, task: Option<TaskId>) -> Message {
    let mut message = user_message(vec![Part::text(text)]);
    message.task_id = task;
    message
}

/// Sends, prints question and answer, and returns the task if there is one.
async fn send(client: &Client, message: Message) -> anyhow::Result<Option<TaskId>> {
    say(&format!("  > {}", words(&message.parts)))?;
    match client.send(SendMessageRequest { message, ..SendMessageRequest::default() }).await? {
        SendMessageResponse::Message(message) => {
            say(&format!("  < {}", words(&message.parts)))?;
            Ok(None)
        }
        SendMessageResponse::Task(task) => {
            let said = task.status.message.as_ref().map(|message| words(&message.parts)).unwrap_or_default();
            say(&format!("  < {} {said}", short(task.status.state)))?;
            for artifact in task.artifacts.iter().flatten() {
                let name = artifact.name.as_deref().unwrap_or("artifact");
                say(&format!("  < {name}: {}", words(&artifact.parts)))?;
            }
            Ok(Some(task.id))
        }
    }
}

async fn stream(client: &Client, question: &str) -> anyhow::Result<()> {
    say(&format!("  > {question}"))?;
    let request = SendMessageRequest { message: text(question, None), ..SendMessageRequest::default() };
    let mut events = client.stream(request).await?;
    while let Some(event) = events.next().await? {
        let position = event.id.map(|id| format!("{id:>3}")).unwrap_or_default();
        say(&format!("  {position} {}", line(&event.event)))?;
    }
    Ok(())
}

fn line(event: &StreamResponse) -> String {
    match event {
        StreamResponse::Task(task) => format!("task {} {}", task.id, short(task.status.state)),
        StreamResponse::Message(message) => words(&message.parts),
        StreamResponse::StatusUpdate(update) => {
            let said = update.status.message.as_ref().map(|message| words(&message.parts)).unwrap_or_default();
            format!("{} {said}", short(update.status.state))
        }
        StreamResponse::ArtifactUpdate(update) => {
            let sign = if update.append { "+" } else { "artifact" };
            format!("{sign} {}", words(&update.artifact.parts))
        }
    }
}

/// `TASK_STATE_WORKING` without its beginning.
fn short(state: TaskState) -> &'static str {
    state.as_str().trim_start_matches("TASK_STATE_")
}

fn words(parts: &[Part]) -> String {
    let words = parts.iter().map(|part| match &part.content {
        Content::Text(text) | Content::Url(text) => text.trim_end().to_owned(),
        Content::Data(json) => json.get().to_owned(),
        Content::Raw(bytes) => format!("({} bytes)", bytes.len()),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn try_it(base: &str) -> String {
    format!(
        r#"
Try it yourself; the agents are served until you press Ctrl-C:

  curl -s {base}/.well-known/agent-card.json

  curl -s {base}/agents/echo -H 'content-type: application/json' -H 'A2A-Version: 1.0' -d '
    {{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":
      {{"message":{{"messageId":"1","role":"ROLE_USER","parts":[{{"text":"hello"}}]}}}}}}'

  curl -sN {base}/agents/countdown -H 'content-type: application/json' -H 'A2A-Version: 1.0' -d '
    {{"jsonrpc":"2.0","id":2,"method":"SendStreamingMessage","params":
      {{"message":{{"messageId":"2","role":"ROLE_USER","parts":[{{"text":"5 every 1000ms"}}]}}}}}}'"#
    )
}
