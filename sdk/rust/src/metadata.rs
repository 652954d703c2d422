//! Metadata: a JSON object as text at the boundary, a map from keys to values in the hands of an author.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Result, fail};

/// The value under a key, if there is one.
pub(crate) fn get<T: DeserializeOwned>(metadata: Option<&str>, key: &str) -> Result<Option<T>> {
    let Some(text) = metadata else { return Ok(None) };
    let Some(value) = object(text)?.remove(key) else { return Ok(None) };
    serde_json::from_value(value)
        .map(Some)
        .map_err(|error| fail("metadata", format!("The metadata under {key} is not what was expected: {error}.")))
}

/// Sets a value under a key and keeps all others.
pub(crate) fn set(metadata: &mut Option<String>, key: &str, value: impl Serialize) -> Result<()> {
    let mut all = metadata.as_deref().map_or(Ok(Map::new()), object)?;
    all.insert(key.to_owned(), serde_json::to_value(value)?);
    *metadata = Some(Value::Object(all).to_string());
    Ok(())
}

fn object(text: &str) -> Result<Map<String, Value>> {
    serde_json::from_str(text).map_err(|error| fail("metadata", format!("The metadata is not a JSON object: {error}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_under_their_keys() {
        let mut metadata = None;
        set(&mut metadata, "https://example.com/a/v1", [1, 2]).unwrap();
        set(&mut metadata, "b", "text").unwrap();
        assert_eq!(metadata.as_deref(), Some(r#"{"b":"text","https://example.com/a/v1":[1,2]}"#));
        assert_eq!(get::<Vec<u8>>(metadata.as_deref(), "https://example.com/a/v1").unwrap(), Some(vec![1, 2]));
        assert_eq!(get::<String>(metadata.as_deref(), "c").unwrap(), None);
        assert_eq!(get::<String>(None, "c").unwrap(), None);
    }

    #[test]
    fn a_value_of_another_shape_is_an_error_that_names_the_key() {
        let error = get::<u8>(Some(r#"{"a":"x"}"#), "a").unwrap_err();
        assert_eq!(error.code, "metadata");
        assert!(error.message.starts_with("The metadata under a is not"), "{error}");
    }
}
