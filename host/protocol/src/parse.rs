//! From the text of a request to a request that obeys the rules, or to an error that names every field at fault.
//!
//! Called by the bindings with untrusted text. The common case is one pass of the parser; only a text that failed is read
//! a second time to learn where.

use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Segment;

use crate::error::{Error, FieldViolation};

/// The most a request may ask of the parser and of those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseLimits {
    /// Levels of nesting. Deeper texts attack recursive readers, such as those in agents.
    pub depth_max: usize,
    /// Parts of one message.
    pub parts_max: usize,
    /// Bytes of one metadata object.
    pub metadata_bytes_max: usize,
    /// Field violations that one answer lists.
    pub violations_max: usize,
}

impl ParseLimits {
    /// The limits of this server.
    pub const DEFAULT: ParseLimits =
        ParseLimits { depth_max: 64, parts_max: 256, metadata_bytes_max: 64 * 1024, violations_max: 32 };
}

impl Default for ParseLimits {
    fn default() -> ParseLimits {
        ParseLimits::DEFAULT
    }
}

/// Characters of a parser's words that are passed on: they may quote the client's text at any length.
const DESCRIPTION_CHARS_MAX: usize = 200;

/// A request that can be checked after it has been read.
pub trait Validate {
    /// Adds a violation for each rule that is broken.
    fn validate(&self, violations: &mut Violations);
}

/// Collects field violations under the path of the object being looked at.
#[derive(Debug, Default)]
pub struct Violations {
    path: String,
    found: Vec<FieldViolation>,
}

impl Violations {
    /// A rule of the named field is broken. Beyond the limit, further ones are dropped.
    pub fn add(&mut self, field: &str, description: impl Into<String>) {
        if self.found.len() < ParseLimits::DEFAULT.violations_max {
            self.found.push(FieldViolation { field: join(&self.path, field), description: description.into() });
        }
    }

    /// Looks into an object that is a field of this one.
    pub fn within(&mut self, field: &str, look: impl FnOnce(&mut Violations)) {
        let path = join(&self.path, field);
        let outer = std::mem::replace(&mut self.path, path);
        look(self);
        self.path = outer;
    }

    /// Whether every rule is kept so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All violations, or none.
    ///
    /// # Errors
    /// `InvalidParams` with what was found.
    pub fn into_result(self) -> Result<(), Error> {
        if self.found.is_empty() { Ok(()) } else { Err(Error::violations(self.found)) }
    }
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// Reads a request and checks it. The text should have passed [`check_depth`] before.
///
/// # Errors
/// `Parse` if the text is not JSON, else `InvalidParams` with the fields at fault.
pub fn request<T: DeserializeOwned + Validate>(json: &str) -> Result<T, Error> {
    let request: T = serde_json::from_str(json).map_err(|error| explain::<T>(json, &error))?;
    validated(request)
}

/// Checks a request that was built from something else than JSON, such as a path and a query.
///
/// # Errors
/// `InvalidParams` with the fields at fault.
pub fn validated<T: Validate>(request: T) -> Result<T, Error> {
    let mut violations = Violations::default();
    request.validate(&mut violations);
    violations.into_result()?;
    Ok(request)
}

/// Reads the text again, slowly, to name the field.
fn explain<T: DeserializeOwned>(json: &str, error: &serde_json::Error) -> Error {
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => Error::parse(format!("Invalid JSON: {error}")),
        Category::Data => {
            let mut reader = serde_json::Deserializer::from_str(json);
            let (field, error) = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
                Err(located) => (camel_path(located.path()), located.inner().to_string()),
                Ok(_) => (String::new(), error.to_string()),
            };
            Error::invalid(field, description(&error))
        }
    }
}

/// The parser's words without its place in the text, which says nothing to a client, and not at any length.
fn description(error: &str) -> String {
    let words = error.rfind(" at line ").and_then(|end| error.get(..end)).unwrap_or(error);
    if words.chars().count() <= DESCRIPTION_CHARS_MAX {
        return words.to_owned();
    }
    words.chars().take(DESCRIPTION_CHARS_MAX).chain("...".chars()).collect()
}

/// The path in the spelling of the specification, whichever the client used.
fn camel_path(path: &serde_path_to_error::Path) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } => text = join(&text, &camel(key)),
            Segment::Enum { variant } => text = join(&text, variant),
            Segment::Unknown => {}
        }
    }
    text
}

/// The name of a field in the spelling of the specification, whichever of the two the client used.
#[must_use]
pub fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    for (index, word) in name.split('_').enumerate() {
        let mut characters = word.chars();
        match characters.next() {
            Some(first) if index > 0 => camel.extend(first.to_uppercase()),
            Some(first) => camel.push(first),
            None => {}
        }
        camel.extend(characters);
    }
    camel
}

/// Refuses texts that are nested deeper than the limit. One scan without a stack: brackets outside of strings are
/// counted, and whether they match is left to the parser.
///
/// # Errors
/// `InvalidRequest`.
pub fn check_depth(bytes: &[u8], limit: usize) -> Result<(), Error> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in bytes {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > limit {
                    return Err(Error::invalid_request(format!("nested deeper than {limit} levels")));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}
