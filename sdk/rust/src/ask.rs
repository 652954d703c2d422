//! Questions to the client: for input and for authorization. The agent waits for the answer, for days if need be.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use crate::bindings::kennel::agent::task::{Auth, Reply};
use crate::error::{Error, ErrorKind, Result};
use crate::host::task::{AuthRequest, Input, InputOptions, require_auth, require_input};
use crate::message::{Draft, Message};
use crate::part::{data_of, parse};
use crate::time::to_ms;

/// A question that is not asked yet, from [`Task::ask`](crate::Task::ask). [`text`](Self::text), [`value`](Self::value),
/// [`reply`](Self::reply) and [`answer`](Self::answer) ask it: each shows INPUT_REQUIRED to the client and **parks**.
#[derive(Debug)]
#[must_use = "a question is asked by text, value, reply or answer"]
pub struct Ask {
    pub(crate) prompt: Draft,
    pub(crate) options: InputOptions,
}

/// A question with nothing but its text or parts.
impl<D: Into<Draft>> From<D> for Ask {
    fn from(prompt: D) -> Self {
        Self::new(prompt.into())
    }
}

impl Ask {
    pub(crate) fn new(prompt: Draft) -> Self {
        Self { prompt, options: InputOptions { schema: None, timeout: None } }
    }

    /// How long to wait. Without it as long as the operator allows: 7 days by default.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.options.timeout = Some(to_ms(time));
        self
    }

    /// Takes one of these texts as the answer and nothing else. The host tells the client so.
    pub fn one_of(self, choices: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let choices: Vec<Value> = choices.into_iter().map(|choice| choice.as_ref().into()).collect();
        self.schema(json!({ "enum": choices }))
    }

    /// Takes only an answer that meets this JSON Schema (2020-12): `json!({"type": "object", "required": ["date"]})`.
    /// The agent does not wake for another one.
    #[expect(clippy::needless_pass_by_value, reason = "authors write the schema in place, by json!")]
    pub fn schema(mut self, schema: Value) -> Self {
        self.options.schema = Some(schema.to_string());
        self
    }

    /// The answer as text. Nobody answering in time is an error of the kind `timed-out`.
    pub fn text(self) -> Result<String> {
        Ok(self.reply()?.text())
    }

    /// The answer as a value: what met the schema, or else the first data part, or else the text read as JSON, or as a string.
    pub fn value<T: DeserializeOwned>(self) -> Result<T> {
        self.reply()?.value()
    }

    /// The answer with its whole message. Nobody answering in time is an error of the kind `timed-out`.
    pub fn reply(self) -> Result<Reply> {
        self.answer()?.ok_or_else(|| no_answer("Nobody answered in time."))
    }

    /// As [`reply`](Self::reply), with none if nobody answered in time.
    pub fn answer(self) -> Result<Option<Reply>> {
        match require_input(&self.prompt, &self.options)? {
            Input::Reply(reply) => Ok(Some(reply)),
            Input::TimedOut => Ok(None),
        }
    }
}

impl Reply {
    /// The answer as text: the choice itself, if there were some to choose from.
    pub fn text(&self) -> String {
        let choice = self.value.as_deref().and_then(|json| serde_json::from_str::<String>(json).ok());
        choice.unwrap_or_else(|| self.message.text())
    }

    /// The answer as a value, as [`Ask::value`] gives it.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T> {
        if let Some(json) = &self.value {
            return parse(json);
        }
        if let Some(value) = data_of(&self.message.parts)? {
            return Ok(value);
        }
        // The order of the host: first the text as JSON, then as the JSON string that it would be.
        let text = self.message.text();
        serde_json::from_str(&text).or_else(|_| parse(&Value::from(text).to_string()))
    }
}

/// A request for authorization that is not made yet, from [`Task::require_auth`](crate::Task::require_auth).
/// [`granted`](Self::granted) and [`answer`](Self::answer) make it: each shows AUTH_REQUIRED to the client and **parks**.
#[derive(Debug)]
#[must_use = "authorization is asked for by granted or answer"]
pub struct AskAuth {
    prompt: Draft,
    request: AuthRequest,
}

impl AskAuth {
    pub(crate) fn new(credential: String, prompt: Draft) -> Self {
        Self { prompt, request: AuthRequest { credential, scopes: Vec::new(), url: None, timeout: None } }
    }

    /// What is asked for, in the terms of the other service.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.request.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// Where a person can grant it.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.request.url = Some(url.into());
        self
    }

    /// How long to wait. Without it as long as the operator allows.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.request.timeout = Some(to_ms(time));
        self
    }

    /// Waits for the grant and gives the name under which `http` and `peer` use the credential from now on. A message instead
    /// of a grant is an error with the code `not-granted`, nobody answering in time one of the kind `timed-out`.
    pub fn granted(self) -> Result<String> {
        match self.answer()? {
            Auth::Granted(credential) => Ok(credential),
            Auth::Reply(message) => Err(not_granted(&message)),
            Auth::TimedOut => Err(no_answer("Nobody granted it in time.")),
        }
    }

    /// Waits for the grant, for a message instead, or for the time to pass.
    pub fn answer(self) -> Result<Auth> {
        require_auth(&self.prompt, &self.request)
    }
}

fn no_answer(message: &str) -> Error {
    Error::new(ErrorKind::TimedOut, "no-answer", message).retryable()
}

fn not_granted(message: &Message) -> Error {
    Error::new(ErrorKind::Denied, "not-granted", format!("The authorization was not granted: {}", message.text()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Part;
    use crate::message::Role;
    use crate::time::days;

    fn reply(value: Option<&str>, parts: Vec<Part>) -> Reply {
        let message = Message {
            message_id: "m".into(),
            context_id: "c".into(),
            task_id: None,
            role: Role::User,
            parts,
            metadata: None,
            extensions: vec![],
            reference_task_ids: vec![],
        };
        Reply { message, value: value.map(str::to_owned) }
    }

    #[test]
    fn choices_become_a_schema_with_correct_quotes() {
        let ask = Ask::new("Which?".into()).one_of(["red", "\"b\n"]).timeout(days(1));
        assert_eq!(ask.options.schema.as_deref(), Some(r#"{"enum":["red","\"b\n"]}"#));
        assert_eq!(ask.options.timeout, Some(86_400_000.0));
        assert_eq!(
            Ask::new("?".into()).one_of(vec!["a".to_owned()]).options.schema.as_deref(),
            Some(r#"{"enum":["a"]}"#)
        );
    }

    #[test]
    fn text_is_the_choice_or_else_what_the_message_says() {
        assert_eq!(reply(Some("\"red\""), vec!["\"red\"".into()]).text(), "red");
        assert_eq!(reply(Some("5"), vec!["five".into()]).text(), "five");
        assert_eq!(reply(None, vec!["hi".into()]).text(), "hi");
    }

    #[test]
    fn a_value_is_found_where_the_host_looks_for_it() {
        assert_eq!(reply(Some("7"), vec!["8".into()]).value::<u8>(), Ok(7));
        assert_eq!(reply(None, vec!["8".into(), Part::data(9).unwrap()]).value::<u8>(), Ok(9));
        assert_eq!(reply(None, vec!["8".into()]).value::<u8>(), Ok(8));
        assert_eq!(reply(None, vec!["red".into()]).value::<String>().as_deref(), Ok("red"));
        assert_eq!(reply(None, vec!["red".into()]).value::<u8>().unwrap_err().code, "data");
    }

    #[test]
    fn authorization_says_what_it_is_for() {
        let auth = AskAuth::new("calendar".into(), "Please.".into()).scopes(["read"]).url("https://x").timeout(days(1));
        assert_eq!(
            (auth.request.credential.as_str(), auth.request.scopes.as_slice()),
            ("calendar", &["read".into()][..])
        );
        assert_eq!(
            not_granted(&reply(None, vec!["no".into()]).message).message,
            "The authorization was not granted: no"
        );
    }
}
