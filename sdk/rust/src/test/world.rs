//! The run that goes on in this thread: its clock, what it did so far, and what the client says to it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::outside::Work;
use super::run::Record;
use super::schema;
use super::script::{Answer, Script, shown, word};
use crate::bindings::kennel::agent::log::{Field, Level};
use crate::bindings::kennel::agent::task::{
    Auth, AuthRequest, CancelRequest, CancelSource, Input, InputOptions, Progress, Reply, TaskInfo,
};
use crate::bindings::kennel::agent::types::TaskSnapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Draft, Message, Role};
use crate::time::{days, from_ms, seconds, to_ms};

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// When every test begins: the first moment of 2026.
pub(super) const BEGIN: Duration = Duration::from_secs(1_767_225_600);

/// How long the host lets an agent clean up after a wish to cancel.
const GRACE: Duration = seconds(10);

/// How long a question waits that says nothing about it.
const ANSWER_MAX: Duration = days(7);

pub(super) const CONTEXT: &str = "context-1";
pub(super) const TASK: &str = "task-1";

/// What surrounds the agent while it runs.
#[derive(Debug)]
pub(super) struct World {
    pub(super) script: Script,
    pub(super) record: Record,
    /// Since the beginning.
    pub(super) clock: Duration,
    pub(super) canceled: Option<CancelRequest>,
    pub(super) open_artifacts: BTreeSet<String>,
    pub(super) pendings: BTreeMap<u32, Work>,
    pub(super) pendings_made: u32,
    pub(super) children: BTreeMap<String, TaskSnapshot>,
    /// By scope and key: the value and its version.
    pub(super) values: BTreeMap<(&'static str, String), (Vec<u8>, String)>,
    pub(super) writes: u32,
    random: u64,
}

/// Answers a call of the agent.
pub(super) fn with<T>(call: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(|world| match world {
        Some(world) => call(world),
        None => stop("this code calls the host: run it as an agent, by kennel::test::Runner"),
    })
}

/// As [`with`], where nobody may listen.
pub(super) fn with_if_any(call: impl FnOnce(&mut World)) {
    WORLD.with_borrow_mut(|world| world.as_mut().map(call));
}

/// Ends a test. The text is all that its author gets, so it must say what to do.
#[expect(clippy::panic, reason = "a panic is how a test fails")]
#[track_caller]
pub(super) fn stop(text: &str) -> ! {
    panic!("{text}")
}

/// The world of one run. When the agent panics, it ends with it.
#[derive(Debug)]
pub(super) struct Stage;

impl Stage {
    pub(super) fn set(script: Script) -> Self {
        let world = World::new(script);
        if WORLD.replace(Some(world)).is_some() {
            stop("an agent runs in this test already: script the other one by Runner::peer");
        }
        Self
    }

    /// Ends the run.
    pub(super) fn leave(self) -> World {
        WORLD.take().unwrap_or_else(|| stop("the run is over already"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(WORLD.take());
    }
}

impl World {
    fn new(script: Script) -> Self {
        let random = script.seed;
        let mut world = Self {
            script,
            record: Record::default(),
            clock: Duration::ZERO,
            canceled: None,
            open_artifacts: BTreeSet::new(),
            pendings: BTreeMap::new(),
            pendings_made: 0,
            children: BTreeMap::new(),
            values: BTreeMap::new(),
            writes: 0,
            random,
        };
        for (scope, key, value) in std::mem::take(&mut world.script.values) {
            world.write(scope, &key, value);
        }
        world
    }

    /// The first message.
    pub(super) fn begin(&mut self) -> Message {
        let message = self.script.message.clone();
        self.hear(message)
    }

    /// Writes down what the agent did.
    pub(super) fn note(&mut self, call: impl Into<String>) {
        self.record.calls.push(call.into());
    }

    /// Writes down a call with what came of it.
    pub(super) fn came<T>(&mut self, call: &str, result: Result<T>, show: impl Fn(&T) -> String) -> Result<T> {
        let what = match &result {
            Ok(value) => show(value),
            Err(error) => format!("{}: {error}", word(error.kind)),
        };
        self.note(format!("{call} -> {what}"));
        result
    }

    /// Ends the test, because the agent does what the script does not know.
    pub(super) fn disagree(&self, what: &str) -> ! {
        stop(&format!("the script and the agent disagree: {what}\n\nso far:\n{}", self.record))
    }

    /// A call that parks: time passes, unless somebody asked to stop.
    pub(super) fn park(&mut self, until: Option<Duration>) -> Result<()> {
        if self.canceled.is_some() {
            return Err(canceled());
        }
        self.pass(until)
    }

    /// Lets time pass; none: for ever. Somebody may ask to stop meanwhile.
    pub(super) fn pass(&mut self, until: Option<Duration>) -> Result<()> {
        let due =
            self.script.cancel_after.filter(|at| self.canceled.is_none() && until.is_none_or(|until| *at <= until));
        if let Some(at) = due {
            self.clock = self.clock.max(at);
            self.cancel();
            return Err(canceled());
        }
        match until {
            Some(until) => self.clock = self.clock.max(until),
            None => self.disagree("the agent waits for ever, and nothing in the script ends that"),
        }
        Ok(())
    }

    fn cancel(&mut self) {
        let force_at = to_ms(BEGIN + self.clock + GRACE);
        self.canceled = Some(CancelRequest { source: CancelSource::Client, reason: None, metadata: None, force_at });
    }

    /// A message of the client arrives.
    fn hear(&mut self, draft: Draft) -> Message {
        self.tell(Role::User, draft)
    }

    fn tell(&mut self, role: Role, draft: Draft) -> Message {
        let message = Message {
            message_id: format!("message-{}", self.record.messages.len() + 1),
            context_id: CONTEXT.to_owned(),
            task_id: Some(TASK.to_owned()),
            role,
            parts: draft.parts,
            metadata: draft.metadata,
            extensions: draft.extensions,
            reference_task_ids: draft.reference_task_ids,
        };
        self.record.messages.push(message.clone());
        message
    }

    pub(super) fn denied(code: &str, message: String) -> Error {
        Error::new(ErrorKind::Denied, code, message)
    }

    /// Whether the card asks for something. Without a card in the script everything is granted.
    pub(super) fn granted(&self, kind: &str, fits: impl Fn(&str) -> bool) -> bool {
        let Some(card) = &self.script.card else { return true };
        card.requests.iter().any(|request| request.kind == kind && fits(&request.name))
    }
}

/// What the client sees and says.
impl World {
    pub(super) fn info(&self) -> TaskInfo {
        TaskInfo {
            task_id: TASK.to_owned(),
            context_id: CONTEXT.to_owned(),
            agent: self.script.agent.clone(),
            tenant: "tenant".to_owned(),
            caller: self.script.caller.clone(),
            parent_task_id: None,
            accepted_output_modes: self.script.output_modes.clone(),
            extensions: Vec::new(),
            request_metadata: None,
            created: to_ms(BEGIN),
            expires: to_ms(BEGIN + days(30)),
        }
    }

    pub(super) fn history(&mut self, limit: u32) -> Result<Vec<Message>> {
        self.note("history");
        let skip = self.record.messages.len().saturating_sub(limit as usize);
        Ok(self.record.messages.iter().skip(skip).cloned().collect())
    }

    pub(super) fn related(&mut self, task_id: &str) -> Result<TaskSnapshot> {
        let known = self.children.get(task_id).cloned();
        let scripted = || self.script.related.get(task_id).map(|peer| self.snapshot(task_id, CONTEXT, &peer.what));
        let task = known.or_else(scripted);
        let task =
            task.ok_or_else(|| Error::new(ErrorKind::NotFound, "task-id", format!("There is no task {task_id}.")));
        self.came(&format!("related {task_id}"), task, |task| word(task.state))
    }

    pub(super) fn related_ids(&mut self, limit: u32) -> Result<Vec<String>> {
        self.note("related ids");
        let ids = self.children.keys().chain(self.script.related.keys());
        Ok(ids.take(limit as usize).cloned().collect())
    }

    pub(super) fn update_status(
        &mut self,
        message: Option<&Draft>,
        progress: Option<&Progress>,
        metadata: Option<&str>,
    ) -> Result<()> {
        let mut words = Vec::new();
        words.extend(message.map(|message| format!("say {}", shown(&message.parts))));
        if let Some(Progress { percent, phase }) = progress {
            words.push("progress".to_owned());
            words.extend(percent.map(|percent| format!("{percent}%")));
            words.extend(phase.as_ref().map(|phase| format!("{phase:?}")));
        }
        words.extend(metadata.map(|metadata| format!("with {metadata}")));
        self.note(words.join(" "));
        if progress.and_then(|progress| progress.percent).is_some_and(|percent| percent > 100) {
            return Err(Error::new(ErrorKind::Invalid, "percent", "The progress is more than 100 percent."));
        }
        if let Some(message) = message {
            self.tell(Role::Agent, message.clone());
            self.record.said.push(message.clone());
        }
        Ok(())
    }

    pub(super) fn require_input(&mut self, prompt: &Draft, options: &InputOptions) -> Result<Input> {
        let call = format!("ask {}", shown(&prompt.parts));
        let schema = options.schema.as_deref().map(serde_json::from_str).transpose();
        let schema = schema.map_err(|error| Error::new(ErrorKind::Invalid, "schema", error.to_string()))?;
        if let Err(error) = self.park(Some(self.clock)) {
            return self.came(&call, Err(error), |_| String::new());
        }
        self.tell(Role::Agent, prompt.clone());
        self.record.asked.push(prompt.clone());
        loop {
            let result = match self.script.answers.pop_front() {
                Some(Answer::Says(answer)) => {
                    let value = schema.as_ref().map(|schema| schema::value_in(&answer, schema));
                    if value == Some(None) {
                        // The host asks again under the same prompt; the agent does not wake.
                        self.note(format!("{call} -> {}, which does not meet the schema", shown(&answer.parts)));
                        continue;
                    }
                    let value = value.flatten().map(|value| value.to_string());
                    Ok(Input::Reply(Reply { message: self.hear(answer), value }))
                }
                Some(Answer::Nothing) => {
                    let time = options.timeout.map_or(ANSWER_MAX, from_ms);
                    self.pass(Some(self.clock + time)).map(|()| Input::TimedOut)
                }
                Some(Answer::Cancels) => Err(self.canceled_now()),
                Some(Answer::Grants) => {
                    self.disagree(&format!("the agent asks {}, and the script has a grant", shown(&prompt.parts)))
                }
                None => self.no_answer(prompt),
            };
            return self.came(&call, result, |input| match input {
                Input::Reply(reply) => shown(&reply.message.parts),
                Input::TimedOut => "nobody answers".to_owned(),
            });
        }
    }

    pub(super) fn require_auth(&mut self, prompt: &Draft, request: &AuthRequest) -> Result<Auth> {
        let name = &request.credential;
        let call = format!("require {name} {}", shown(&prompt.parts));
        let result = if !self.granted("credential", |asked| asked == name) {
            Err(Self::denied("credential", format!("The card does not request the credential {name}.")))
        } else if self.script.credentials.contains(name) {
            Ok(Auth::Granted(name.clone()))
        } else {
            self.ask_auth(prompt, request)
        };
        self.came(&call, result, |auth| match auth {
            Auth::Granted(_) => "granted".to_owned(),
            Auth::Reply(message) => shown(&message.parts),
            Auth::TimedOut => "nobody answers".to_owned(),
        })
    }

    fn ask_auth(&mut self, prompt: &Draft, request: &AuthRequest) -> Result<Auth> {
        self.park(Some(self.clock))?;
        self.tell(Role::Agent, prompt.clone());
        self.record.asked.push(prompt.clone());
        match self.script.answers.pop_front() {
            Some(Answer::Grants) => {
                self.script.credentials.insert(request.credential.clone());
                Ok(Auth::Granted(request.credential.clone()))
            }
            Some(Answer::Says(answer)) => Ok(Auth::Reply(self.hear(answer))),
            Some(Answer::Nothing) => {
                let time = request.timeout.map_or(ANSWER_MAX, from_ms);
                self.pass(Some(self.clock + time)).map(|()| Auth::TimedOut)
            }
            Some(Answer::Cancels) => Err(self.canceled_now()),
            None => self.no_answer(prompt),
        }
    }

    fn no_answer(&self, prompt: &Draft) -> ! {
        self.disagree(&format!(
            "the agent asks {}, and the script has no answer left: add Runner::answer, no_answer or cancel",
            shown(&prompt.parts)
        ))
    }

    fn canceled_now(&mut self) -> Error {
        self.cancel();
        canceled()
    }

    pub(super) fn next_message(&mut self, timeout: Option<f64>) -> Result<Option<Message>> {
        let limit = timeout.map(|timeout| self.clock + from_ms(timeout));
        let first = self.script.messages.front().map(|(at, _)| (*at).max(self.clock));
        let comes = first.is_some_and(|at| limit.is_none_or(|limit| at <= limit));
        let result = self.park(if comes { first } else { limit }).map(|()| {
            let (_, draft) = if comes { self.script.messages.pop_front() } else { None }?;
            Some(self.hear(draft))
        });
        self.came("next message", result, |message| match message {
            Some(message) => shown(&message.parts),
            None => "none".to_owned(),
        })
    }

    pub(super) fn cancel_requested(&mut self) -> Option<CancelRequest> {
        if self.canceled.is_none() && self.script.cancel_after.is_some_and(|at| at <= self.clock) {
            self.cancel();
        }
        self.canceled.clone()
    }
}

/// Surroundings.
impl World {
    pub(super) fn now(&self) -> f64 {
        to_ms(BEGIN + self.clock)
    }

    pub(super) fn sleep(&mut self, time: f64) -> Result<()> {
        let time = from_ms(time);
        let result = self.park(Some(self.clock + time));
        self.came(&format!("sleep {time:?}"), result, |()| "awake".to_owned())
    }

    pub(super) fn sleep_until(&mut self, time: f64) -> Result<()> {
        let until = from_ms(time).saturating_sub(BEGIN);
        let result = self.park(Some(until));
        self.came(&format!("sleep until {until:?} after the start"), result, |()| "awake".to_owned())
    }

    /// Splitmix64: equal for equal seeds, and good enough to be told from a constant.
    pub(super) fn random(&mut self, len: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len as usize {
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.random;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bytes.extend((word ^ (word >> 31)).to_le_bytes());
        }
        bytes.truncate(len as usize);
        bytes
    }

    pub(super) fn setting(&self, name: &str) -> Option<String> {
        self.script.settings.get(name).cloned()
    }

    pub(super) fn settings(&self) -> Vec<String> {
        self.script.settings.keys().cloned().collect()
    }

    pub(super) fn credentials(&self) -> Vec<String> {
        self.script.credentials.iter().cloned().collect()
    }

    pub(super) fn log(&mut self, level: Level, message: &str, fields: &[Field]) {
        let level = match level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        let fields: String = fields.iter().map(|field| format!(" {}={}", field.name, field.value)).collect();
        self.record.logs.push(format!("{level}: {message}{fields}"));
    }
}

fn canceled() -> Error {
    Error::new(ErrorKind::Canceled, "canceled", "The task was asked to stop.")
}
