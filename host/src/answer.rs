//! Whether a client's answer meets the schema of a prompt, and which value in it does.
//!
//! Asked twice with the same result: by the service before a message is accepted, and by the worker when it hands the value out.

use kennel_protocol::types::{Content, JsonValue, Message};
use serde_json::Value;

/// Metadata key of a prompt: the schema of the answer.
pub(crate) const INPUT_KEY: &str = kennel_protocol::extension::INPUT;

/// A compiled schema of a prompt.
pub(crate) struct AnswerSchema {
    validator: jsonschema::Validator,
}

impl AnswerSchema {
    /// Compiles a schema; the error says what is wrong with it.
    pub(crate) fn compile(schema: &JsonValue) -> Result<AnswerSchema, String> {
        let schema = schema.to_value().map_err(|error| error.to_string())?;
        let validator = jsonschema::draft202012::options().build(&schema).map_err(|error| error.to_string())?;
        Ok(AnswerSchema { validator })
    }

    /// The value in the message that meets the schema: the first `data` part, else the text as JSON, else the text as a JSON string.
    /// If none does, what is wrong with the most likely one.
    pub(crate) fn find(&self, message: &Message) -> Result<JsonValue, String> {
        let candidates = candidates(message);
        let mut first_fault = None;
        for candidate in &candidates {
            match self.validator.validate(candidate) {
                Ok(()) => return Ok(JsonValue::from_value(candidate)),
                Err(error) => {
                    first_fault.get_or_insert_with(|| error.to_string());
                }
            }
        }
        Err(first_fault.unwrap_or_else(|| "the answer has neither text nor data".to_owned()))
    }
}

fn candidates(message: &Message) -> Vec<Value> {
    let mut found = Vec::new();
    let data = message.parts.iter().find_map(|part| match &part.content {
        Content::Data(json) => json.to_value().ok(),
        Content::Text(_) | Content::Raw(_) | Content::Url(_) => None,
    });
    found.extend(data);
    let texts: Vec<&str> = message
        .parts
        .iter()
        .filter_map(|part| match &part.content {
            Content::Text(text) => Some(text.as_str()),
            Content::Data(_) | Content::Raw(_) | Content::Url(_) => None,
        })
        .collect();
    if !texts.is_empty() {
        let text = texts.join("\n");
        found.extend(serde_json::from_str(&text).ok());
        found.push(Value::String(text));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> AnswerSchema {
        AnswerSchema::compile(&JsonValue::from_text(text).unwrap()).unwrap()
    }

    fn message(parts: &str) -> Message {
        serde_json::from_str(&format!(r#"{{"messageId":"m","role":"ROLE_USER","parts":{parts}}}"#)).unwrap()
    }

    #[test]
    fn data_goes_before_text_and_text_before_a_string() {
        let number = schema(r#"{"type":"integer"}"#);
        assert_eq!(number.find(&message(r#"[{"text":"7"},{"data":5}]"#)).unwrap().get(), "5");
        assert_eq!(number.find(&message(r#"[{"text":"7"}]"#)).unwrap().get(), "7");
        let color = schema(r#"{"enum":["red","blue"]}"#);
        assert_eq!(color.find(&message(r#"[{"text":"red"}]"#)).unwrap().get(), "\"red\"");
    }

    #[test]
    fn what_fits_nothing_is_told_why() {
        let color = schema(r#"{"enum":["red","blue"]}"#);
        let fault = color.find(&message(r#"[{"text":"green"}]"#)).unwrap_err();
        assert!(fault.contains("green"), "{fault}");
        assert!(color.find(&message(r#"[{"url":"https://example.com"}]"#)).is_err());
    }

    #[test]
    fn a_schema_that_is_none_is_refused() {
        assert!(AnswerSchema::compile(&JsonValue::from_text(r#"{"type":7}"#).unwrap()).is_err());
    }
}
