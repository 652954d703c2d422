//! `kennel a2a`: an A2A client on the command line, for any A2A 1.0 agent that speaks JSON-RPC. The verbs are those of the
//! protocol; exit codes tell a script what happened without reading the output.

mod explain;
pub(super) mod print;
mod request;

use std::io::{self, Write};
use std::process::ExitCode;

use kennel_client::{BearerToken, Client, ClientError, EventStream, Options, find_card};
use kennel_protocol::types::{
    CancelTaskRequest, GetTaskRequest, JsonObject, JsonValue, ListTasksRequest, SendMessageResponse, StreamResponse,
    TaskState,
};
use kennel_protocol::{ContextId, TaskId};

use explain::explain;
use print::{Form, Printer};
use request::SendArgs;

/// What `kennel a2a` was told.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 unreachable, 4 credentials, 5 timeout."
)]
pub(crate) struct A2aArgs {
    #[command(subcommand)]
    command: Command,
    /// How to show what the agent says: json prints the protocol's objects, one on a line.
    #[arg(short, long, global = true, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
    /// Sent as `Authorization: Bearer TOKEN`.
    #[arg(long, global = true, env = "KENNEL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Send a message to an agent and show its answer.
    Send(SendArgs),
    /// What an agent says about itself.
    #[command(subcommand)]
    Card(CardCommand),
    /// Look at tasks, follow them, stop them.
    #[command(subcommand)]
    Task(TaskCommand),
}

#[derive(Debug, clap::Subcommand)]
enum CardCommand {
    /// Show the card of the agent at an address.
    Get {
        /// The address of an agent, of its card, or of its server.
        url: String,
    },
}

#[derive(Debug, clap::Subcommand)]
enum TaskCommand {
    /// Show a task.
    Get {
        /// The address of the agent.
        url: String,
        /// The task.
        id: TaskId,
        /// Show this many of the last messages.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
        history: Option<i32>,
    },
    /// List tasks, the latest change first.
    List {
        /// The address of the agent.
        url: String,
        /// Only tasks in this state, such as working or input-required.
        #[arg(long, value_parser = print::read_state)]
        status: Option<TaskState>,
        /// Only tasks of this conversation.
        #[arg(long, value_name = "ID")]
        context: Option<ContextId>,
        /// Tasks on the page, 1 to 100.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100))]
        limit: Option<i32>,
        /// Go on where an earlier page ended.
        #[arg(long, value_name = "TOKEN")]
        page_token: Option<String>,
    },
    /// Ask for a task to stop, and show where it stands then.
    Cancel {
        /// The address of the agent.
        url: String,
        /// The task.
        id: TaskId,
        /// Why, for the agent.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Follow a task until it ends.
    Subscribe {
        /// The address of the agent.
        url: String,
        /// The task.
        id: TaskId,
        /// Go on after this event instead of beginning with the task as it is.
        #[arg(long, value_name = "N")]
        last_event_id: Option<u64>,
    },
}

/// Why a command stopped.
enum Stop {
    /// The call failed.
    Call(ClientError),
    /// What was given cannot be sent.
    Usage(String),
    /// Nobody reads the output.
    Output(io::Error),
}

/// Runs one command and says with which code to exit.
pub(crate) async fn run(args: A2aArgs) -> ExitCode {
    let mut stdout = io::stdout();
    let mut stderr = io::stderr();
    let mut printer = Printer::new(&mut stdout, args.output);
    let options = Options { token: args.token.map(BearerToken::new), ..Options::default() };
    let (url, outcome) = match args.command {
        Command::Send(args) => (args.url.clone(), send(args, options, &mut printer).await),
        Command::Card(CardCommand::Get { url }) => {
            let outcome = card(&url, &options, &mut printer).await;
            (url, outcome)
        }
        Command::Task(command) => (command.url().to_owned(), task(command, options, &mut printer).await),
    };
    let code = match outcome {
        Ok(state) => Ok(code_of(state)),
        Err(Stop::Call(error)) => explain(&error, &url, &mut stderr).map(|()| code_of_error(&error)),
        Err(Stop::Usage(message)) => writeln!(stderr, "error: {message}").map(|()| 2),
        Err(Stop::Output(error)) => Err(error),
    };
    ExitCode::from(match code {
        Ok(code) => code,
        // Whoever closed the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(_) => 1,
    })
}

/// Sends and shows; the state is where the task stands at last.
async fn send(args: SendArgs, options: Options, printer: &mut Printer<'_>) -> Result<Option<TaskState>, Stop> {
    let url = args.url.clone();
    let streams = args.stream;
    let request = args.into_request().await.map_err(Stop::Usage)?;
    let client = Client::connect_with(&url, options).await?;
    let (state, task) = if streams {
        let mut events = client.stream(request).await?;
        let state = follow(&mut events, &url, printer).await?;
        (state, events.task_id().cloned())
    } else {
        match client.send(request).await? {
            SendMessageResponse::Task(task) => {
                let stands = (Some(task.status.state), Some(task.id.clone()));
                printer.event(&StreamResponse::Task(task))?;
                stands
            }
            SendMessageResponse::Message(message) => {
                printer.event(&StreamResponse::Message(message))?;
                (None, None)
            }
        }
    };
    if let (Some(TaskState::InputRequired), Some(task)) = (state, task) {
        printer.hint(&format!("answer with: kennel a2a send {url} --task {task} TEXT"))?;
    }
    Ok(state)
}

async fn card(url: &str, options: &Options, printer: &mut Printer<'_>) -> Result<Option<TaskState>, Stop> {
    let found = find_card(url, options).await?;
    printer.card(&found.card, &found.text)?;
    Ok(None)
}

async fn task(command: TaskCommand, options: Options, printer: &mut Printer<'_>) -> Result<Option<TaskState>, Stop> {
    let client = Client::connect_with(command.url(), options).await?;
    let found = match command {
        TaskCommand::Get { id, history, .. } => {
            // A history that nobody asked for would bury the status.
            let history_length = Some(history.unwrap_or(0));
            client.get_task(GetTaskRequest { tenant: None, id, history_length }).await?
        }
        TaskCommand::List { status, context, limit, page_token, .. } => {
            let request = ListTasksRequest {
                context_id: context,
                status,
                page_size: limit,
                page_token,
                history_length: Some(0),
                ..ListTasksRequest::default()
            };
            printer.list(&client.list_tasks(request).await?)?;
            return Ok(None);
        }
        TaskCommand::Cancel { id, reason, .. } => {
            let metadata = reason.map(|reason| JsonObject::from_members([("reason", text(reason))]));
            client.cancel_task(CancelTaskRequest { tenant: None, id, metadata }).await?
        }
        TaskCommand::Subscribe { url, id, last_event_id } => {
            let mut events = client.subscribe(id, last_event_id).await?;
            return follow(&mut events, &url, printer).await;
        }
    };
    printer.task(&found)?;
    Ok(None)
}

/// Shows events until the stream is over; the state is that of the last one that names one.
async fn follow(events: &mut EventStream, url: &str, printer: &mut Printer<'_>) -> Result<Option<TaskState>, Stop> {
    let mut state = None;
    loop {
        match events.next().await {
            Ok(Some(event)) => {
                state = print::state_of(&event.event).or(state);
                printer.event(&event.event)?;
            }
            Ok(None) => return Ok(state),
            Err(error) => {
                if let (Some(task), Some(last)) = (events.task_id(), events.last_event_id()) {
                    let resume = format!("kennel a2a task subscribe {url} {task} --last-event-id {last}");
                    printer.hint(&format!("the task goes on; follow it with: {resume}"))?;
                }
                return Err(Stop::Call(error));
            }
        }
    }
}

impl TaskCommand {
    fn url(&self) -> &str {
        match self {
            TaskCommand::Get { url, .. }
            | TaskCommand::List { url, .. }
            | TaskCommand::Cancel { url, .. }
            | TaskCommand::Subscribe { url, .. } => url,
        }
    }
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Stop {
        Stop::Call(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Output(error)
    }
}

fn text(text: String) -> JsonValue {
    JsonValue::from_value(&serde_json::Value::String(text))
}

/// A task that failed is a failed command; one that waits or was stopped on request is not.
fn code_of(state: Option<TaskState>) -> u8 {
    match state {
        Some(TaskState::Failed | TaskState::Rejected) => 1,
        Some(
            TaskState::Unspecified
            | TaskState::Submitted
            | TaskState::Working
            | TaskState::Completed
            | TaskState::Canceled
            | TaskState::InputRequired
            | TaskState::AuthRequired,
        )
        | None => 0,
    }
}

fn code_of_error(error: &ClientError) -> u8 {
    match error {
        ClientError::Protocol(_) | ClientError::Invalid(_) => 1,
        ClientError::Unreachable { .. } => 3,
        ClientError::Auth { .. } => 4,
        ClientError::Timeout { .. } => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    fn parse(line: &str) -> Result<A2aArgs, clap::Error> {
        let command = A2aArgs::augment_args(clap::Command::new("a2a"));
        let matches = command.try_get_matches_from(["a2a"].into_iter().chain(line.split_whitespace()))?;
        A2aArgs::from_arg_matches(&matches)
    }

    #[test]
    fn commands_are_read_as_documented() {
        for line in [
            "send URL hello world --stream -o json",
            "send URL --data {} --task t --context c --history 3",
            "send URL --return-immediately --file /tmp/x yes",
            "card get URL --token s",
            "task get URL t --history 0",
            "task list URL --status input-required --context c --limit 100 --page-token p",
            "task list URL --status TASK_STATE_WORKING",
            "task cancel URL t --reason enough",
            "task subscribe -o text URL t --last-event-id 7",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn mistakes_are_usage_errors() {
        for line in [
            "send URL",
            "send URL x --data {",
            "send URL x --stream --return-immediately",
            "task get URL",
            "task list URL --status busy",
            "task list URL --limit 101",
            "task subscribe URL t --last-event-id -1",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_token_is_not_shown_in_the_help() {
        let help = A2aArgs::augment_args(clap::Command::new("a2a")).render_long_help().to_string();
        assert!(help.contains("[env: KENNEL_TOKEN]"), "{help}");
    }

    #[test]
    fn exit_codes_are_stable() {
        assert_eq!([Some(TaskState::Failed), Some(TaskState::Rejected)].map(code_of), [1, 1]);
        assert_eq!([None, Some(TaskState::Completed), Some(TaskState::Canceled)].map(code_of), [0, 0, 0]);
        let url = String::new;
        let timeout = ClientError::Timeout { url: url(), silence: std::time::Duration::ZERO };
        assert_eq!(code_of_error(&timeout), 5);
        assert_eq!(code_of_error(&ClientError::Unreachable { url: url(), cause: "x".into() }), 3);
        assert_eq!(code_of_error(&ClientError::Auth { url: url(), message: url() }), 4);
    }
}
