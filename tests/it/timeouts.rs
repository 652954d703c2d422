//! Waits that end by themselves: the agent goes on, and what a client says in that moment is either heard or refused, never lost.

use serde_json::{Value, json};

use crate::events::Event;
use crate::harness::{Kennel, id_of, message_to, state_of, status_text};

const COMPLETED: &str = "TASK_STATE_COMPLETED";

fn states(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.state().trim_start_matches("TASK_STATE_")).collect()
}

#[test]
fn an_agent_goes_on_when_nobody_answers_in_time() {
    let kennel = Kennel::start(&["patience"]);
    for (word, prompt) in [("ask", "INPUT_REQUIRED"), ("auth", "AUTH_REQUIRED")] {
        let id = kennel.begin("patience", &format!("{word} 700"));
        let events = kennel.resume("patience", &id, "1").rest();
        assert_eq!(states(&events), ["WORKING", prompt, "WORKING", "COMPLETED"], "{word}");
        let done = kennel.task("patience", &id);
        assert_eq!(status_text(&done), "Nobody came.");
        assert_eq!(kennel.error("patience", "SendMessage", message_to(&id, "late"))["code"], -32004, "{word}");
    }
    let done = kennel.ask("patience", "mail 300");
    assert_eq!((state_of(&done), status_text(&done).as_str()), (COMPLETED, "Nobody came."));
}

#[test]
fn an_agent_that_needs_an_answer_fails_without_one() {
    let kennel = Kennel::start(&["patience"]);
    let id = kennel.begin("patience", "must 300");
    let failed = kennel.reaches("patience", &id, "TASK_STATE_FAILED");
    let failure = &failed["status"]["message"]["metadata"]["urn:kennel:error:1"];
    assert_eq!(failure["kind"], "timed-out", "{failed:#}");
}

#[test]
fn an_answer_in_time_is_heard() {
    let kennel = Kennel::start(&["patience"]);
    for word in ["ask", "must", "auth"] {
        let id = id_of(&kennel.ask("patience", &format!("{word} 60000")));
        let done = kennel.answer("patience", &id, "here");
        assert_eq!((state_of(&done), status_text(&done).as_str()), (COMPLETED, "here"), "{word}");
    }
}

#[test]
fn an_answer_at_the_last_moment_is_heard_or_refused() {
    let kennel = Kennel::start(&["patience"]);
    let one = |word: &str, wait_ms: u32| {
        let id = kennel.begin("patience", &format!("{word} {wait_ms}"));
        let answer: Value = kennel.rpc("patience", "SendMessage", message_to(&id, "here"));
        let task = kennel.reaches("patience", &id, COMPLETED);
        let heard = status_text(&task) == "here";
        match answer.get("error") {
            None => assert!(heard, "{word} {wait_ms}: acknowledged and lost: {task:#}"),
            Some(error) => {
                assert_eq!(error["code"], -32004);
                assert!(!heard, "{word} {wait_ms}: refused and heard: {task:#}");
            }
        }
        let said = task["history"].as_array().unwrap().iter().filter(|one| one["parts"] == json!([{ "text": "here" }]));
        assert_eq!(said.count(), usize::from(answer.get("error").is_none()), "{word} {wait_ms}: {task:#}");
    };
    std::thread::scope(|scope| {
        for word in ["ask", "auth"] {
            let one = &one;
            scope.spawn(move || (0..40).step_by(2).for_each(|wait_ms| one(word, wait_ms)));
        }
    });
}
