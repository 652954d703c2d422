//! What an agent says, for people: one line for each event, its kind first; or for programs: the protocol's objects.
//!
//! Agents are strangers. Their text goes to a terminal without the characters that command it.

use std::collections::HashMap;
use std::io::{self, Write};

use kennel_protocol::ArtifactId;
use kennel_protocol::extension::PROGRESS;
use kennel_protocol::types::{
    AgentCard, Artifact, Content, ListTasksResponse, Message, Part, Role, StreamResponse, Task, TaskState, TaskStatus,
};
use serde::{Deserialize, Serialize};

/// Where the text of a line begins; what is before it says of which kind it is.
const INDENT: usize = 16;

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Form {
    /// For people.
    Text,
    /// The objects of the protocol.
    Json,
}

/// Writes what comes back, in one form.
pub(super) struct Printer<'a> {
    out: &'a mut (dyn Write + Send),
    form: Form,
    /// Names of artifacts; only the first piece of one carries it.
    names: HashMap<ArtifactId, String>,
}

/// What the host writes into a status message to say how far the work is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Progress {
    percent: Option<f64>,
    phase: Option<String>,
}

impl<'a> Printer<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send), form: Form) -> Printer<'a> {
        Printer { out, form, names: HashMap::new() }
    }

    /// One event of a stream.
    pub(super) fn event(&mut self, event: &StreamResponse) -> io::Result<()> {
        if self.form == Form::Json {
            return self.json(event);
        }
        match event {
            StreamResponse::Task(task) => self.task_lines(task),
            StreamResponse::Message(message) => self.line("message", &parts(&message.parts)),
            StreamResponse::StatusUpdate(update) => self.status_line(&update.status),
            StreamResponse::ArtifactUpdate(update) => {
                self.artifact_line(&update.artifact, if update.append { " +" } else { ":" })
            }
        }
    }

    /// A task by itself, as GetTask and CancelTask give it.
    pub(super) fn task(&mut self, task: &Task) -> io::Result<()> {
        match self.form {
            Form::Json => self.json(task),
            Form::Text => self.task_lines(task),
        }
    }

    /// A page of tasks, one line each.
    pub(super) fn list(&mut self, page: &ListTasksResponse) -> io::Result<()> {
        if self.form == Form::Json {
            return self.json(page);
        }
        for task in &page.tasks {
            let when = task.status.timestamp.as_ref().map(ToString::to_string).unwrap_or_default();
            self.line(&name_of(task.status.state), &format!("{}  {when}  context {}", task.id, task.context_id))?;
        }
        self.hint(&format!("{} of {} tasks", page.tasks.len(), page.total_size))?;
        match page.next_page_token.as_str() {
            "" => Ok(()),
            token => self.hint(&format!("next page: --page-token {}", plain(token))),
        }
    }

    /// A card; as JSON it is the text that was served.
    pub(super) fn card(&mut self, card: &AgentCard, text: &str) -> io::Result<()> {
        if self.form == Form::Json {
            return writeln!(self.out, "{}", text.trim());
        }
        self.line("name", &format!("{} {}", card.name, card.version))?;
        self.line("description", &card.description)?;
        if let Some(provider) = &card.provider {
            self.line("provider", &format!("{} {}", provider.organization, provider.url))?;
        }
        for interface in &card.supported_interfaces {
            let tenant = interface.tenant.as_ref().map(|tenant| format!(" tenant {tenant}")).unwrap_or_default();
            let at = format!("{} {} {}", interface.protocol_binding, interface.protocol_version, interface.url);
            self.line("interface", &(at + &tenant))?;
        }
        let capabilities = &card.capabilities;
        let offered = [
            ("streaming", capabilities.streaming),
            ("push notifications", capabilities.push_notifications),
            ("extended card", capabilities.extended_agent_card),
        ];
        let offered: Vec<&str> =
            offered.into_iter().filter(|(_, has)| *has == Some(true)).map(|(name, _)| name).collect();
        self.line("capabilities", &offered.join(", "))?;
        self.line("takes", &card.default_input_modes.join(", "))?;
        self.line("gives", &card.default_output_modes.join(", "))?;
        for skill in &card.skills {
            self.line("skill", &format!("{}: {}", skill.name, skill.description))?;
            for example in &skill.examples {
                self.line("", &format!("for example: {example}"))?;
            }
        }
        Ok(())
    }

    /// A line that is not the agent's. Programs do not want it.
    pub(super) fn hint(&mut self, text: &str) -> io::Result<()> {
        match self.form {
            Form::Json => Ok(()),
            Form::Text => writeln!(self.out, "({text})"),
        }
    }

    fn task_lines(&mut self, task: &Task) -> io::Result<()> {
        self.line(&name_of(task.status.state), &format!("task {} context {}", task.id, task.context_id))?;
        for message in &task.history {
            let who = match message.role {
                Role::User => "  user",
                Role::Agent | Role::Unspecified => "  agent",
            };
            self.line(who, &parts(&message.parts))?;
        }
        for artifact in task.artifacts.iter().flatten() {
            self.artifact_line(artifact, ":")?;
        }
        match status_text(task.status.message.as_ref()) {
            text if text.is_empty() => Ok(()),
            text => self.line("", &text),
        }
    }

    fn status_line(&mut self, status: &TaskStatus) -> io::Result<()> {
        self.line(&name_of(status.state), &status_text(status.message.as_ref()))
    }

    fn artifact_line(&mut self, artifact: &Artifact, mark: &str) -> io::Result<()> {
        if let Some(name) = &artifact.name {
            self.names.insert(artifact.artifact_id.clone(), name.clone());
        }
        let name = self.names.get(&artifact.artifact_id).map_or(artifact.artifact_id.as_str(), String::as_str);
        // Pieces of an artifact are parts of one text: where one ends says nothing about blanks.
        let content: String = artifact.parts.iter().map(content).collect();
        let text = format!("{name}{mark} {content}");
        self.line("artifact", &text)
    }

    /// Further lines of a text begin below its first.
    fn line(&mut self, kind: &str, text: &str) -> io::Result<()> {
        let text = plain(text.trim_end_matches('\n'));
        let mut lines = text.split('\n');
        let first = format!("{kind:INDENT$}{}", lines.next().unwrap_or_default());
        writeln!(self.out, "{}", first.trim_end())?;
        lines.try_for_each(|line| writeln!(self.out, "{}", format!("{:INDENT$}{line}", "").trim_end()))
    }

    fn json(&mut self, object: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(object).map_err(io::Error::other)?;
        writeln!(self.out, "{text}")?;
        // Whoever reads events wants each when it comes, also through a pipe.
        self.out.flush()
    }
}

/// The state that an event names.
pub(super) fn state_of(event: &StreamResponse) -> Option<TaskState> {
    match event {
        StreamResponse::Task(task) => Some(task.status.state),
        StreamResponse::StatusUpdate(update) => Some(update.status.state),
        StreamResponse::Message(_) | StreamResponse::ArtifactUpdate(_) => None,
    }
}

/// The text without the characters that a terminal obeys. Line breaks and tabs stay.
pub(in crate::cli) fn plain(text: &str) -> String {
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().map(|c| if harmless(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// A state as it is typed here: `input-required` for `TASK_STATE_INPUT_REQUIRED`.
pub(in crate::cli) fn name_of(state: TaskState) -> String {
    state.as_str().trim_start_matches("TASK_STATE_").to_ascii_lowercase().replace('_', "-")
}

/// Reads a state as it is typed, or as the protocol spells it.
pub(in crate::cli) fn read_state(text: &str) -> Result<TaskState, String> {
    let wanted = TaskState::ALL.iter().filter(|state| **state != TaskState::Unspecified);
    wanted
        .clone()
        .copied()
        .find(|state| state.as_str() == text || name_of(*state) == text.to_ascii_lowercase())
        .ok_or_else(|| {
            let names: Vec<String> = wanted.map(|state| name_of(*state)).collect();
            format!("one of {}", names.join(", "))
        })
}

/// Progress first, then what the agent says.
pub(in crate::cli) fn status_text(message: Option<&Message>) -> String {
    let Some(message) = message else { return String::new() };
    let mut texts = Vec::new();
    for part in &message.parts {
        texts.push(match progress(part) {
            Some(progress) => progress,
            None => content(part),
        });
    }
    texts.retain(|text| !text.is_empty());
    texts.join("  ")
}

/// How far the work is, if the part says that and nothing else.
fn progress(part: &Part) -> Option<String> {
    part.metadata.as_ref()?.member(PROGRESS)?;
    let Content::Data(data) = &part.content else { return None };
    let progress: Progress = serde_json::from_str(data.get()).ok()?;
    let percent = progress.percent.map(|percent| format!("{percent:.0} %"));
    Some([percent, progress.phase].into_iter().flatten().collect::<Vec<_>>().join(" "))
}

pub(in crate::cli) fn parts(parts: &[Part]) -> String {
    parts.iter().map(content).collect::<Vec<_>>().join(" ")
}

pub(in crate::cli) fn content(part: &Part) -> String {
    let about = [part.filename.as_deref(), part.media_type.as_deref()];
    let about = about.into_iter().flatten().collect::<Vec<_>>().join(" ");
    match &part.content {
        Content::Text(text) => text.clone(),
        Content::Data(data) => data.get().to_owned(),
        Content::Raw(bytes) => format!("[{about} {} bytes]", bytes.len()).replace("[ ", "["),
        Content::Url(url) => format!("[{about} {url}]").replace("[ ", "["),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Shows the events, each given as its JSON.
    fn shown(form: Form, events: &[Value]) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, form);
        for event in events {
            let event: StreamResponse = serde_json::from_str(&event.to_string()).unwrap();
            printer.event(&event).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    fn status(state: &str, parts: &Value) -> Value {
        let message = json!({ "messageId": "m", "role": "ROLE_AGENT", "parts": parts });
        json!({ "statusUpdate": { "taskId": "t", "contextId": "c", "status": { "state": state, "message": message } } })
    }

    #[test]
    fn each_event_is_a_line() {
        let mark = json!({ "urn:kennel:progress:1": {} });
        let progress = json!({ "data": { "percent": 40, "phase": "search" }, "metadata": mark });
        let first = json!({ "artifactId": "a", "name": "lines", "parts": [{ "text": "6" }] });
        let piece = json!({ "artifactId": "a", "parts": [{ "text": "5\n4\n" }] });
        let events = [
            json!({ "task": { "id": "t", "contextId": "c", "status": { "state": "TASK_STATE_SUBMITTED" } } }),
            status("TASK_STATE_WORKING", &json!([progress])),
            status("TASK_STATE_WORKING", &json!([progress, { "text": "Reading." }])),
            json!({ "artifactUpdate": { "taskId": "t", "contextId": "c", "artifact": first } }),
            json!({ "artifactUpdate": { "taskId": "t", "contextId": "c", "artifact": piece, "append": true } }),
            status("TASK_STATE_COMPLETED", &json!([{ "text": "Done." }, { "raw": "AAAA", "filename": "x.bin" }])),
        ];
        let expected = "\
submitted       task t context c
working         40 % search
working         40 % search  Reading.
artifact        lines: 6
artifact        lines + 5
                4
completed       Done.  [x.bin 3 bytes]
";
        assert_eq!(shown(Form::Text, &events), expected);
    }

    #[test]
    fn json_is_the_object_on_one_line() {
        let event = json!({ "task": { "id": "t", "contextId": "c", "status": { "state": "TASK_STATE_WORKING" } } });
        let text = shown(Form::Json, std::slice::from_ref(&event));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), event);
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_terminal_is_not_at_the_agents_command() {
        let event = status("TASK_STATE_WORKING", &json!([{ "text": "\u{1b}]0;owned\u{7}\r\u{9b}31m" }]));
        let text = shown(Form::Text, &[event]);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }

    #[test]
    fn states_are_typed_as_they_are_shown() {
        for state in TaskState::ALL.iter().filter(|state| **state != TaskState::Unspecified) {
            assert_eq!(read_state(&name_of(*state)), Ok(*state));
            assert_eq!(read_state(state.as_str()), Ok(*state));
        }
        assert!(read_state("unspecified").unwrap_err().starts_with("one of submitted, working"));
    }

    #[test]
    fn a_page_says_how_to_get_the_next() {
        let task = json!({ "id": "t", "contextId": "c", "status": { "state": "TASK_STATE_WORKING" } });
        let page = json!({ "tasks": [task], "nextPageToken": "p", "pageSize": 1, "totalSize": 9 });
        let page: ListTasksResponse = serde_json::from_str(&page.to_string()).unwrap();
        let mut out = Vec::new();
        Printer::new(&mut out, Form::Text).list(&page).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("working         t") && text.ends_with("(1 of 9 tasks)\n(next page: --page-token p)\n")
        );
    }
}
