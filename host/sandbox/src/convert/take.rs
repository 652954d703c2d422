//! From a guest to the host: every value is checked against the rules of `types.wit` and the limits of the run.
//!
//! A broken rule is an error of kind `invalid` whose code is the field; a broken bound is one of kind `limit` whose code
//! is the name of the bound.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use kennel_protocol::types::{Artifact, Content, JsonObject, JsonValue, Part};
use kennel_protocol::{ArtifactId, TaskId, Timestamp, parse};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::bindings::exports::kennel::agent::agent as run;
use crate::bindings::kennel::agent::{artifact, task, types};
use crate::call::{AuthRequest, Draft, ErrorKind, GuestError, Heading, Pending, Progress};
use crate::limits::{Limits, bytes_text, cut};
use crate::run::Outcome;

/// 2^53: beyond it not every whole number has a float of its own.
const MILLIS_MAX: f64 = 9_007_199_254_740_992.0;

/// Bytes of the code of an error that a guest makes; the rest is cut. It is a name, not a text.
const ERROR_CODE_BYTES: usize = 64;

/// Metadata keys that start with this are the host's.
const HOST_KEYS: &str = "urn:kennel:";

/// URLs of this scheme name content that the host itself holds.
const HOST_SCHEME: &str = "kennel:";

/// The start of the text about a reserved key; what serde adds behind it is cut off.
const RESERVED_KEY: &str = "keys that start with urn:kennel: are the host's";

type Result<T> = std::result::Result<T, GuestError>;

pub(super) fn invalid(field: &str, message: impl Into<String>) -> GuestError {
    GuestError::new(ErrorKind::Invalid, field, message)
}

pub(super) fn limit(name: &str, message: impl Into<String>) -> GuestError {
    GuestError::new(ErrorKind::Limit, name, message)
}

/// A message the guest wants to send.
pub(crate) fn draft(draft: types::Draft, limits: &Limits) -> Result<Draft> {
    let parts_max = limits.message_parts_max;
    if draft.parts.len() > parts_max {
        return Err(limit("message-parts", format!("A message has at most {parts_max} parts.")));
    }
    Ok(Draft {
        parts: some_parts(draft.parts, limits)?,
        metadata: metadata(draft.metadata, limits)?,
        extensions: draft.extensions,
        reference_task_ids: draft.reference_task_ids,
    })
}

/// At least one part.
pub(crate) fn some_parts(list: Vec<types::Part>, limits: &Limits) -> Result<Vec<Part>> {
    if list.is_empty() {
        return Err(invalid("parts", "There must be at least one part."));
    }
    parts(list, limits)
}

/// Any number of parts.
pub(crate) fn parts(list: Vec<types::Part>, limits: &Limits) -> Result<Vec<Part>> {
    list.into_iter().map(|held| part(held, limits)).collect()
}

fn part(part: types::Part, limits: &Limits) -> Result<Part> {
    Ok(Part {
        content: content(part.content, limits)?,
        metadata: own_object("parts.metadata", part.metadata, limits)?,
        filename: part.filename,
        media_type: part.media_type,
    })
}

fn content(content: types::Content, limits: &Limits) -> Result<Content> {
    match content {
        types::Content::Text(text) => Ok(Content::Text(text)),
        types::Content::Raw(bytes) if bytes.len() > limits.part_bytes_max => {
            let message = format!("A part has at most {}.", bytes_text(limits.part_bytes_max));
            Err(limit("part-bytes", message))
        }
        types::Content::Raw(bytes) => Ok(Content::Raw(Bytes::from(bytes))),
        types::Content::Url(url) => self::url(url).map(Content::Url),
        types::Content::Data(text) => json("parts.content.data", &text, limits).map(Content::Data),
    }
}

fn url(url: String) -> Result<String> {
    if url.is_empty() {
        return Err(invalid("parts.content.url", "A URL must not be empty."));
    }
    // Readers of URLs skip blanks before, and tabs and line breaks within: so must we.
    let start = url.trim_start_matches(|character| character <= ' ');
    let letters = start.chars().filter(|character| !matches!(character, '\t' | '\n' | '\r'));
    let scheme = letters.take(HOST_SCHEME.len()).map(|character| character.to_ascii_lowercase());
    if scheme.eq(HOST_SCHEME.chars()) {
        return Err(invalid("parts.content.url", "URLs with the scheme kennel are the host's."));
    }
    Ok(url)
}

/// One JSON value.
fn json(field: &str, text: &str, limits: &Limits) -> Result<JsonValue> {
    // Before the parser sees it: nesting is what attacks parsers.
    if parse::check_depth(text.as_bytes(), limits.json_depth_max).is_err() {
        let message = format!("JSON in {field} is nested deeper than {} levels.", limits.json_depth_max);
        return Err(limit("json-depth", message));
    }
    JsonValue::from_text(text).map_err(|error| invalid(field, format!("{field} is not valid JSON: {error}.")))
}

/// A JSON object of any keys, not too large.
pub(crate) fn object(field: &str, text: Option<String>, limits: &Limits) -> Result<Option<JsonObject>> {
    let Some(text) = text else { return Ok(None) };
    if text.len() > limits.metadata_bytes_max {
        let message = format!("{field} has at most {}.", bytes_text(limits.metadata_bytes_max));
        return Err(limit("metadata-bytes", message));
    }
    let value = json(field, &text, limits)?;
    let object = JsonObject::try_from(value);
    object.map(Some).map_err(|_| invalid(field, format!("{field} must be a JSON object.")))
}

/// Metadata of an event, a message or an artifact.
pub(crate) fn metadata(text: Option<String>, limits: &Limits) -> Result<Option<JsonObject>> {
    own_object("metadata", text, limits)
}

/// An object without keys of the host.
pub(super) fn own_object(field: &str, text: Option<String>, limits: &Limits) -> Result<Option<JsonObject>> {
    let object = object(field, text, limits)?;
    if let Some(object) = &object {
        let mut reader = serde_json::Deserializer::from_str(object.get());
        reader.deserialize_map(OwnKeys).map_err(|error| {
            let reserved = error.to_string().starts_with(RESERVED_KEY);
            let reason = if reserved { RESERVED_KEY } else { "a key is not valid text" };
            invalid(field, format!("{field} is refused: {reason}."))
        })?;
    }
    Ok(object)
}

/// Reads the keys of an object as text, escapes resolved, and refuses those of the host. A key that no text can hold (half
/// a surrogate pair) is refused too: readers disagree about it.
struct OwnKeys;

impl<'de> Visitor<'de> for OwnKeys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let start = key.get(..HOST_KEYS.len());
            // URNs that differ only in case are the same.
            if start.is_some_and(|start| start.eq_ignore_ascii_case(HOST_KEYS)) {
                return Err(A::Error::custom(RESERVED_KEY));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// The JSON Schema of an answer; whether it is one is checked by who uses it.
pub(crate) fn schema(text: Option<String>, limits: &Limits) -> Result<Option<JsonValue>> {
    let Some(text) = text else { return Ok(None) };
    if text.len() > limits.schema_bytes_max {
        let message = format!("A schema has at most {}.", bytes_text(limits.schema_bytes_max));
        return Err(limit("schema-bytes", message));
    }
    json("schema", &text, limits).map(Some)
}

/// A whole artifact.
pub(crate) fn artifact(artifact: types::Artifact, limits: &Limits) -> Result<Artifact> {
    Ok(Artifact {
        artifact_id: artifact_id(artifact.artifact_id)?.unwrap_or_else(ArtifactId::unset),
        name: artifact.name,
        description: artifact.description,
        parts: some_parts(artifact.parts, limits)?,
        metadata: metadata(artifact.metadata, limits)?,
        extensions: artifact.extensions,
    })
}

/// What is known of an artifact before its parts.
pub(crate) fn heading(heading: artifact::Heading, limits: &Limits) -> Result<Heading> {
    Ok(Heading {
        artifact_id: artifact_id(heading.artifact_id)?,
        name: heading.name,
        description: heading.description,
        metadata: metadata(heading.metadata, limits)?,
        extensions: heading.extensions,
    })
}

fn artifact_id(text: Option<String>) -> Result<Option<ArtifactId>> {
    let id = text.map(|text| text.parse()).transpose();
    id.map_err(|error| invalid("artifact-id", format!("The artifact id {error}.")))
}

/// The id of an artifact that should be open. What cannot be an id is the id of none.
pub(crate) fn open_artifact(text: &str) -> Result<ArtifactId> {
    text.parse().map_err(|_| GuestError::new(ErrorKind::NotFound, "artifact", "There is no such open artifact."))
}

/// The id of a task that might be related. As for artifacts.
pub(crate) fn related_task(text: &str) -> Result<TaskId> {
    text.parse().map_err(|_| GuestError::new(ErrorKind::NotFound, "task", "There is no such task."))
}

/// How far the work is.
pub(crate) fn progress(progress: task::Progress) -> Result<Progress> {
    if progress.percent.is_some_and(|percent| percent > 100) {
        return Err(invalid("progress.percent", "A percentage is at most 100."));
    }
    Ok(Progress { percent: progress.percent, phase: progress.phase })
}

/// What a task needs to be authorized for.
pub(crate) fn auth_request(request: task::AuthRequest) -> Result<AuthRequest> {
    Ok(AuthRequest {
        credential: request.credential,
        scopes: request.scopes,
        url: request.url,
        timeout: timeout(request.timeout)?,
    })
}

/// A moment.
pub(crate) fn time(field: &str, millis: f64) -> Result<Timestamp> {
    let millis = whole_millis(field, millis)?;
    Ok(Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX)))
}

/// A length of time.
pub(crate) fn duration(field: &str, millis: f64) -> Result<Duration> {
    whole_millis(field, millis).map(Duration::from_millis)
}

/// How long to wait.
pub(crate) fn timeout(millis: Option<f64>) -> Result<Option<Duration>> {
    millis.map(|millis| duration("timeout", millis)).transpose()
}

/// What to wait for.
pub(crate) fn pendings(list: Vec<Pending>, timeout: Option<Duration>, limits: &Limits) -> Result<Vec<Pending>> {
    let pendings_max = limits.pendings_max;
    if list.len() > pendings_max {
        return Err(limit("pendings", format!("At most {pendings_max} pendings can be waited for.")));
    }
    if list.is_empty() && timeout.is_none() {
        return Err(invalid("pendings", "An empty list without a time-out would wait for ever."));
    }
    Ok(list)
}

fn whole_millis(field: &str, millis: f64) -> Result<u64> {
    // NaN is in no range, and infinity has a fraction of NaN.
    if !(0.0..=MILLIS_MAX).contains(&millis) || millis.fract() != 0.0 {
        let message = format!("{field} must be a whole number of milliseconds from 0 to 2^53.");
        return Err(invalid(field, message));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above: whole and in range")]
    let millis = millis as u64;
    Ok(millis)
}

/// An error that `run` returned. It is the guest's own word, so it is cut to size and not refused.
pub(crate) fn error(error: &types::Error, limits: &Limits) -> GuestError {
    GuestError {
        kind: error_kind(error.kind),
        code: cut(&error.code, ERROR_CODE_BYTES).to_owned(),
        message: cut(&error.message, limits.error_bytes_max).to_owned(),
        retryable: error.retryable,
    }
}

fn error_kind(kind: types::ErrorKind) -> ErrorKind {
    match kind {
        types::ErrorKind::Denied => ErrorKind::Denied,
        types::ErrorKind::Canceled => ErrorKind::Canceled,
        types::ErrorKind::TimedOut => ErrorKind::TimedOut,
        types::ErrorKind::Limit => ErrorKind::Limit,
        types::ErrorKind::Unavailable => ErrorKind::Unavailable,
        types::ErrorKind::Invalid => ErrorKind::Invalid,
        types::ErrorKind::NotFound => ErrorKind::NotFound,
        types::ErrorKind::UnknownOutcome => ErrorKind::UnknownOutcome,
        types::ErrorKind::Failed => ErrorKind::Failed,
    }
}

/// How `run` ended.
pub(crate) fn outcome(outcome: run::Outcome, limits: &Limits) -> Result<Outcome> {
    let optional = |held: Option<types::Draft>| held.map(|held| draft(held, limits)).transpose();
    match outcome {
        run::Outcome::Completed(message) => optional(message).map(Outcome::Completed),
        run::Outcome::Rejected(message) => draft(message, limits).map(Outcome::Rejected),
        run::Outcome::Canceled(message) => optional(message).map(Outcome::Canceled),
        run::Outcome::Reply(message) => draft(message, limits).map(Outcome::Reply),
        run::Outcome::Checkpoint(bytes) if bytes.len() > limits.checkpoint_bytes_max => {
            let message = format!("A checkpoint has at most {}.", bytes_text(limits.checkpoint_bytes_max));
            Err(limit("checkpoint-bytes", message))
        }
        run::Outcome::Checkpoint(bytes) => Ok(Outcome::Checkpoint(Bytes::from(bytes))),
    }
}

/// Whether a text has the form of an absolute URL: a scheme, `://`, and something behind it, without blanks.
pub(crate) fn is_absolute_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|character: char| character.is_ascii_alphabetic())
        && scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character));
    let is_rest = !rest.is_empty() && !rest.starts_with(['/', '?', '#']);
    is_scheme && is_rest && !url.contains(|character: char| character.is_whitespace() || character.is_control())
}

/// A count of the contract in the type of our collections.
pub(crate) fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { part_bytes_max: 10, metadata_bytes_max: 100, message_parts_max: 2, ..Limits::default() }
    }

    fn part_of(content: types::Content) -> types::Part {
        types::Part { content, media_type: None, filename: None, metadata: None }
    }

    fn draft_of(parts: Vec<types::Part>) -> types::Draft {
        types::Draft { parts, metadata: None, extensions: Vec::new(), reference_task_ids: Vec::new() }
    }

    fn text(text: &str) -> types::Part {
        part_of(types::Content::Text(text.to_owned()))
    }

    #[track_caller]
    fn check<T: fmt::Debug>(result: Result<T>, kind: ErrorKind, code: &str) {
        let error = result.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (kind, code), "{error:?}");
        assert!(error.message.ends_with('.') && !error.retryable, "{error:?}");
    }

    #[track_caller]
    fn check_content(content: types::Content, kind: ErrorKind, code: &str) {
        check(draft(draft_of(vec![part_of(content)]), &limits()), kind, code);
    }

    #[track_caller]
    fn check_metadata(text: &str, kind: ErrorKind, code: &str) {
        check(metadata(Some(text.to_owned()), &limits()), kind, code);
    }

    #[test]
    fn a_sound_draft_passes() {
        let mut draft = draft_of(vec![text("a"), part_of(types::Content::Raw(vec![1; 10]))]);
        draft.metadata = Some(r#"{"https://example.org/x":1}"#.to_owned());
        let taken = super::draft(draft, &limits()).unwrap();
        assert_eq!(taken.parts, [Part::text("a"), Part::new(Content::Raw(Bytes::from_static(&[1; 10])))]);
        assert_eq!(taken.metadata.unwrap().get(), r#"{"https://example.org/x":1}"#);
    }

    #[test]
    fn a_message_has_one_part_to_the_limit() {
        check(draft(draft_of(Vec::new()), &limits()), ErrorKind::Invalid, "parts");
        check(draft(draft_of(vec![text("a"), text("b"), text("c")]), &limits()), ErrorKind::Limit, "message-parts");
        assert!(parts(Vec::new(), &limits()).unwrap().is_empty());
    }

    #[test]
    fn parts_are_bounded_and_typed() {
        check_content(types::Content::Raw(vec![0; 11]), ErrorKind::Limit, "part-bytes");
        check_content(types::Content::Data("{".to_owned()), ErrorKind::Invalid, "parts.content.data");
        check_content(types::Content::Data(String::new()), ErrorKind::Invalid, "parts.content.data");
        check_content(types::Content::Data("\u{feff}1".to_owned()), ErrorKind::Invalid, "parts.content.data");
        check_content(types::Content::Url(String::new()), ErrorKind::Invalid, "parts.content.url");
    }

    #[test]
    fn json_keeps_its_text_and_its_depth() {
        let deep = |levels: usize| types::Content::Data(format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
        check_content(deep(65), ErrorKind::Limit, "json-depth");
        assert!(content(deep(64), &limits()).is_ok());
        let digits = "{\"b\":1.00000000000000000001,\"a\":[null,18446744073709551616]}";
        let taken = content(types::Content::Data(digits.to_owned()), &limits()).unwrap();
        assert_eq!(taken, Content::Data(JsonValue::from_text(digits).unwrap()));
    }

    #[test]
    fn urls_of_the_host_are_refused_in_every_spelling() {
        for url in ["kennel:blob/1", "KENNEL:x", " kennel:x", "\tken\nnel:x"] {
            check_content(types::Content::Url(url.to_owned()), ErrorKind::Invalid, "parts.content.url");
        }
        for url in ["https://example.org", "kennels:x", "x?kennel:", "k"] {
            assert!(content(types::Content::Url(url.to_owned()), &limits()).is_ok(), "{url}");
        }
    }

    #[test]
    fn metadata_is_an_object_of_the_guests_own_keys() {
        check_metadata("[]", ErrorKind::Invalid, "metadata");
        check_metadata("", ErrorKind::Invalid, "metadata");
        check_metadata(&format!("{{\"a\":\"{}\"}}", "b".repeat(100)), ErrorKind::Limit, "metadata-bytes");
        check_metadata(r#"{"urn:kennel:error:1":{}}"#, ErrorKind::Invalid, "metadata");
        check_metadata(r#"{"a":1,"URN:Kennel:x":{}}"#, ErrorKind::Invalid, "metadata");
        check_metadata("{\"\\u0075rn:kennel:x\":1}", ErrorKind::Invalid, "metadata");
        check_metadata("{\"\\ud800\":1,\"urn:kennel:x\":1}", ErrorKind::Invalid, "metadata");
        assert!(metadata(Some(r#"{"a":{"urn:kennel:x":1}}"#.to_owned()), &limits()).is_ok());
        assert!(metadata(None, &limits()).unwrap().is_none());
        let mut held = text("a");
        held.metadata = Some(r#"{"urn:kennel:x":1}"#.to_owned());
        check(parts(vec![held], &limits()), ErrorKind::Invalid, "parts.metadata");
    }

    #[test]
    fn times_are_whole_milliseconds() {
        for millis in [-1.0, 0.5, f64::NAN, f64::INFINITY, MILLIS_MAX * 2.0] {
            check(duration("time", millis), ErrorKind::Invalid, "time");
        }
        assert_eq!(duration("time", 0.0).unwrap(), Duration::ZERO);
        assert_eq!(duration("time", MILLIS_MAX).unwrap(), Duration::from_millis(1 << 53));
        assert_eq!(time("time", 1500.0).unwrap(), Timestamp::from_millis(1500));
        check(timeout(Some(-0.1)), ErrorKind::Invalid, "timeout");
    }

    #[test]
    fn small_rules_name_their_field() {
        let progress = |percent| super::progress(task::Progress { percent: Some(percent), phase: None });
        check(progress(101), ErrorKind::Invalid, "progress.percent");
        assert!(progress(100).is_ok());
        check(schema(Some("{\"type\":".to_owned()), &limits()), ErrorKind::Invalid, "schema");
        check(schema(Some(" ".repeat(65 * 1024)), &limits()), ErrorKind::Limit, "schema-bytes");
        check(open_artifact(""), ErrorKind::NotFound, "artifact");
        check(related_task("a\nb"), ErrorKind::NotFound, "task");
    }

    #[test]
    fn an_artifact_without_id_gets_none() {
        let artifact = |artifact_id: Option<&str>, parts| types::Artifact {
            artifact_id: artifact_id.map(str::to_owned),
            name: None,
            description: None,
            parts,
            metadata: None,
            extensions: Vec::new(),
        };
        assert!(super::artifact(artifact(None, vec![text("a")]), &limits()).unwrap().artifact_id.is_unset());
        let many = (0..9).map(|_| text("a")).collect();
        assert_eq!(super::artifact(artifact(Some("x"), many), &limits()).unwrap().parts.len(), 9);
        check(super::artifact(artifact(Some(""), vec![text("a")]), &limits()), ErrorKind::Invalid, "artifact-id");
        check(super::artifact(artifact(None, Vec::new()), &limits()), ErrorKind::Invalid, "parts");
    }

    #[test]
    fn an_outcome_obeys_the_rules_and_an_error_is_cut() {
        let limits = Limits { checkpoint_bytes_max: 4, error_bytes_max: 4, ..limits() };
        check(outcome(run::Outcome::Checkpoint(vec![0; 5]), &limits), ErrorKind::Limit, "checkpoint-bytes");
        check(outcome(run::Outcome::Rejected(draft_of(Vec::new())), &limits), ErrorKind::Invalid, "parts");
        assert!(matches!(outcome(run::Outcome::Completed(None), &limits), Ok(Outcome::Completed(None))));
        let long = types::Error {
            kind: types::ErrorKind::TimedOut,
            code: "c".repeat(100),
            message: "longer".to_owned(),
            retryable: true,
        };
        let taken = error(&long, &limits);
        assert_eq!((taken.kind, taken.code.len(), taken.message.as_str()), (ErrorKind::TimedOut, 64, "long"));
    }

    #[test]
    fn absolute_urls_are_told_by_their_form() {
        for url in ["https://example.org", "http://a/b?c#d", "a+b://x"] {
            assert!(is_absolute_url(url), "{url}");
        }
        for url in ["example.org", "/a", "https://", "https:///a", "1a://b", "https://a b", "mailto:a@b"] {
            assert!(!is_absolute_url(url), "{url}");
        }
    }
}
