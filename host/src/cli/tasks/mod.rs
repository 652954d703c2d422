//! `kennel tasks`: an operator's verbs on a data folder, with or without a running host. Who looks opens the database read only; who
//! writes (`retry`, `resume`) asks the running host, or takes its place for a moment.
//!
//! Never here: A2A (a client's view is `kennel a2a task`), SQL. Exit codes: 0 done, 1 failed, refused or not alike, 2 wrong usage.

mod act;
mod calls;
mod events;
mod list;
mod show;
mod why;
mod words;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use kennel_protocol::types::{Message, TaskState};
use kennel_protocol::{AgentId, ContextId, TaskId, TenantId, Timestamp};
use kennel_store::{Clock, Inspected, Inspector, StoreError, TaskFilter, TaskKey};
use serde::Serialize;

use super::a2a::print::{Form, read_state};
use crate::admin;
use crate::work::{Entry, RequestFacts};
use crate::worker::verdict::code_of;
use why::{Facts, LastCall};

const EXAMPLES: &str = "\
Examples:
  kennel tasks ls --data data                           what there is, newest first
  kennel tasks why 0198f2 --data data                   what a task waits for, in one sentence
  kennel tasks journal 0198f2 --data data               what its agent called, and what it was told
  kennel tasks retry 0198f2 --data data                 a task that failed, made again
  kennel tasks resume 0198f2 --data data                a task whose agent has been given a credential
  kennel tasks replay 0198f2 --data data --component new.wasm";

/// What `kennel tasks` was told.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES, after_help = "Ids may be cut where no other begins alike. Times are UTC.")]
pub(crate) struct TasksArgs {
    #[command(subcommand)]
    verb: Verb,
    /// How to show what there is: json prints objects, one on a line
    #[arg(short, long, global = true, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List tasks, newest first
    #[command(before_help = "\
Examples:
  kennel tasks ls --data data
  kennel tasks ls --data data --state input-required --agent interview
  kennel tasks ls --data data --limit 1000 -o json")]
    Ls(LsArgs),
    /// Show one task: state, run, journal, messages, artifacts
    #[command(before_help = "\
Examples:
  kennel tasks show 0198f2 --data data
  kennel tasks show 0198f2 --data data -o json")]
    Show(OneArgs),
    /// Show the events that clients were told, in order
    #[command(before_help = "\
Examples:
  kennel tasks events 0198f2 --data data
  kennel tasks events 0198f2 --data data --after 7 -o json")]
    Events(EventsArgs),
    /// Show each recorded call with its arguments, its result and the milliseconds it took
    #[command(before_help = "\
Examples:
  kennel tasks journal 0198f2 --data data
  kennel tasks journal 0198f2 --data data -o json           nothing cut")]
    Journal(OneArgs),
    /// Say in one sentence what a task waits for
    #[command(before_help = "\
Examples:
  kennel tasks why 0198f2 --data data")]
    Why(OneArgs),
    /// Make a task that failed, was canceled or refused again: a new task in the same context
    #[command(before_help = "\
Examples:
  kennel tasks retry 0198f2 --data data                     with the version that its agent has now
  kennel tasks retry 0198f2 --data data --same-version      with the component that it ran before")]
    Retry(RetryArgs),
    /// Let a task go on that waits for a credential: the host reads its configuration again
    #[command(before_help = "\
Examples:
  kennel tasks resume 0198f2 --data data")]
    Resume(OneArgs),
    /// Repeat a task's journal against a component and show the first difference; nothing is touched
    #[command(before_help = "\
Examples:
  kennel tasks replay 0198f2 --data data                    the component that the task is pinned to
  kennel tasks replay 0198f2 --data data --component new.wasm")]
    Replay(ReplayArgs),
}

/// The folder of a host.
#[derive(Debug, Args)]
struct DataArgs {
    /// Folder of the database, as `kennel serve` has it
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

#[derive(Debug, Args)]
struct LsArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Only tasks of this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentId>,
    /// Only tasks in this state, such as working or input-required
    #[arg(long, value_name = "STATE", value_parser = read_state)]
    state: Option<TaskState>,
    /// Only tasks of this conversation
    #[arg(long, value_name = "ID")]
    context: Option<ContextId>,
    /// Tasks shown at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// The task: its id, or how it begins
    #[arg(value_name = "TASK")]
    task: String,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
struct EventsArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Only events after this one
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
}

#[derive(Debug, Args)]
struct RetryArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Pin the new task to the component that the old one ran
    #[arg(long)]
    same_version: bool,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Another component than the one that the task is pinned to
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
}

/// Where a verb writes, and in which form.
struct Out<'a> {
    to: &'a mut (dyn Write + Send),
    form: Form,
    now: Timestamp,
}

impl Out<'_> {
    fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.to, "{}", text.trim_end())
    }

    /// An object on one line.
    fn json(&mut self, object: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(object)?;
        writeln!(self.to, "{text}")
    }
}

/// Runs one verb.
pub(crate) async fn run(args: TasksArgs) -> ExitCode {
    let mut stdout = io::stdout();
    let mut out = Out { to: &mut stdout, form: args.output, now: Clock::system().now() };
    match verb(args.verb, &mut out).await {
        Ok(code) => code,
        // Whoever closed the output has seen enough.
        Err(error) if is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn verb(verb: Verb, out: &mut Out<'_>) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Ls(args) => ls(args, out).await?,
        Verb::Show(args) => {
            let found = Found::open(&args).await?;
            show::show(&found, out).await?;
        }
        Verb::Events(args) => {
            let found = Found::open(&args.one).await?;
            events::events(&found, args.after, out).await?;
        }
        Verb::Journal(args) => {
            let found = Found::open(&args).await?;
            calls::calls(&found, out).await?;
        }
        Verb::Why(args) => {
            let found = Found::open(&args).await?;
            let hosted = admin::is_served(&args.data.data).await;
            why_verb(&found, hosted, out)?;
        }
        Verb::Retry(args) => {
            let found = Found::open(&args.one).await?;
            act::retry(found, &args.one.data.data, args.same_version, out).await?;
        }
        Verb::Resume(args) => {
            let found = Found::open(&args).await?;
            act::resume(found, &args.data.data, out).await?;
        }
        Verb::Replay(args) => {
            let found = Found::open(&args.one).await?;
            return act::replay(found, args.component.as_deref(), out).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn ls(args: LsArgs, out: &mut Out<'_>) -> anyhow::Result<()> {
    let inspector = Inspector::open(&args.data.data).await?;
    let LsArgs { agent, state, context, limit, .. } = args;
    let filter = TaskFilter { agent, context, state, limit };
    let tasks = inspector.tasks(&TenantId::default_tenant(), &filter).await.map_err(unread)?;
    list::list(&tasks, &filter, out)?;
    Ok(())
}

/// A task that was found, and the database it is in.
struct Found {
    inspector: Inspector,
    key: TaskKey,
    task: Inspected,
}

impl Found {
    /// Finds the task that an id means.
    async fn open(args: &OneArgs) -> anyhow::Result<Found> {
        let inspector = Inspector::open(&args.data.data).await?;
        let data = args.data.data.display();
        let tenant = TenantId::default_tenant();
        let alike = inspector.beginning(&tenant, &args.task).await.map_err(unread)?;
        let exact = alike.iter().find(|id| id.as_str() == args.task);
        let task = match (exact, alike.as_slice()) {
            (Some(exact), _) => exact.clone(),
            (None, [only]) => only.clone(),
            (None, []) => {
                bail!("there is no task {}; `kennel tasks ls --data {data}` shows those that there are", args.task)
            }
            (None, several) => {
                bail!("{} begins the ids of several tasks: {}; name more of it", args.task, ids(several))
            }
        };
        let key = TaskKey { tenant, task };
        let task = inspector.task(&key).await.map_err(unread)?;
        let task = task.with_context(|| format!("task {} has just been taken out of {data}", key.task))?;
        Ok(Found { inspector, key, task })
    }

    /// Facts of the request that made it.
    fn request(&self) -> RequestFacts {
        serde_json::from_slice(&self.task.view.row.request).unwrap_or_default()
    }

    /// The message of its status.
    fn said(&self) -> Option<&Message> {
        self.task.view.fold.status.message.as_ref()
    }

    /// The code of its failure.
    fn code(&self) -> Option<String> {
        self.said()?.metadata.as_ref().and_then(code_of)
    }
}

fn ids(several: &[TaskId]) -> String {
    several.iter().map(TaskId::as_str).collect::<Vec<_>>().join(", ")
}

/// A read that failed, with what to do about it.
fn unread(error: StoreError) -> anyhow::Error {
    let cure = match &error {
        StoreError::Corrupt(_) => "the database is damaged; stop its host and restore the last backup",
        StoreError::Busy { .. } | StoreError::Crowded { .. } | StoreError::Full | StoreError::Unavailable(_) => {
            "the database cannot be read; try again"
        }
    };
    anyhow::Error::new(error).context(cure)
}

fn why_verb(found: &Found, hosted: bool, out: &mut Out<'_>) -> anyhow::Result<()> {
    let why = why::why(&facts(found, hosted, out.now));
    if out.is_json() {
        #[derive(Serialize)]
        struct Answer<'a> {
            #[serde(rename = "taskId")]
            task: &'a TaskId,
            #[serde(flatten)]
            why: &'a why::Why,
        }
        out.json(&Answer { task: &found.key.task, why: &why })?;
    } else {
        out.line(&why.sentence)?;
    }
    Ok(())
}

fn facts(found: &Found, hosted: bool, now: Timestamp) -> Facts {
    let Inspected { view, run, cancel, last, ahead, leased, .. } = &found.task;
    let last = last.as_ref().map(|row| LastCall {
        name: row.call.clone(),
        asked: words::of_micros(row.asked_us),
        due: row.due,
        answered: row.answer.is_some(),
    });
    Facts {
        now,
        hosted,
        state: view.row.state,
        since: view.row.status_at,
        said: found.said().map(|said| events::text_of(&said.parts)).unwrap_or_default(),
        code: found.code(),
        expires: view.row.expires,
        known: found.request().entry.as_ref().is_none_or(Entry::is_known),
        run: run.clone(),
        canceled: cancel.is_some(),
        peer: found.request().remote.map(|remote| remote.to),
        last,
        ahead: *ahead,
        leased: *leased,
    }
}
