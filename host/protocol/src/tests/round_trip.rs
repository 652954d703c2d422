//! What we write, we read back as it was.

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::strategies;
use crate::types::*;

fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> Result<(), TestCaseError> {
    let text = serde_json::to_string(value).unwrap();
    prop_assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
    // The same from a parsed tree, and spread over lines: no reader may depend on how the text came in.
    let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
    prop_assert_eq!(&serde_json::from_value::<T>(tree.clone()).unwrap(), value);
    let spread = serde_json::to_string_pretty(&tree).unwrap();
    prop_assert_eq!(&serde_json::from_str::<T>(&spread).unwrap(), value);
    // An event fits on one line of a stream.
    prop_assert!(!text.contains(['\n', '\r']));
    Ok(())
}

macro_rules! round_trips {
    ($($name:ident: $strategy:expr;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(64))]
            $(#[test]
            fn $name(value in $strategy) {
                check(&value)?;
            })*
        }
    };
}

round_trips! {
    tasks: strategies::task();
    messages: strategies::message();
    artifacts: strategies::artifact();
    stream_responses: strategies::stream_response();
    send_responses: strategies::send_response();
    send_requests: strategies::send_request();
    get_requests: strategies::get_request();
    list_requests: strategies::list_request();
    list_responses: strategies::list_response();
    cancel_requests: strategies::cancel_request();
    subscribe_requests: strategies::subscribe_request();
    push_configs: strategies::push_config();
    get_push_requests: strategies::get_push_request();
    list_push_requests: strategies::list_push_request();
    list_push_responses: strategies::list_push_response();
    cards: strategies::card();
}

proptest! {
    #[test]
    fn opaque_values_keep_their_text(value in strategies::json_value()) {
        let text = value.get();
        prop_assert_eq!(&JsonValue::from_text(text).unwrap(), &value);
        prop_assert_eq!(serde_json::to_string(&value).unwrap(), text);
        prop_assert_eq!(JsonValue::from_value(&value.to_value().unwrap()), value);
    }

    #[test]
    fn members_are_those_of_the_parsed_object(object in strategies::json_object()) {
        for (name, value) in object.to_map().unwrap() {
            prop_assert_eq!(object.member(&name).unwrap(), JsonValue::from_value(&value));
            prop_assert_eq!(object.with(&name, &JsonValue::from_value(&value)), object.clone());
        }
        prop_assert_eq!(JsonObject::from_members(object.members()), object);
    }
}
