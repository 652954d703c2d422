//! Conversations: questions, answers, messages that come too late, twice, or while the agent works.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::{Kennel, fresh, id_of, message, message_to, state_of, status_text, text_of};

const INPUT_REQUIRED: &str = "TASK_STATE_INPUT_REQUIRED";
const COMPLETED: &str = "TASK_STATE_COMPLETED";

fn history(task: &Value) -> Vec<String> {
    task["history"].as_array().unwrap_or_else(|| panic!("no history in {task}")).iter().map(text_of).collect()
}

/// Params of a message that is answered at once.
fn immediate(mut params: Value) -> Value {
    params["configuration"] = json!({ "returnImmediately": true });
    params
}

#[test]
fn an_interview_goes_from_question_to_question() {
    let kennel = Kennel::start(&["interview"]);
    let asked = kennel.ask("interview", "interview me");
    let id = id_of(&asked);
    assert_eq!((state_of(&asked), status_text(&asked)), (INPUT_REQUIRED, "What is your name?".to_owned()));
    let asked = kennel.answer("interview", &id, "Ada");
    assert_eq!((state_of(&asked), status_text(&asked)), (INPUT_REQUIRED, "Hello Ada. Red or blue?".to_owned()));
    let done = kennel.answer("interview", &id, "red");
    assert_eq!((state_of(&done), status_text(&done)), (COMPLETED, "Thank you.".to_owned()));
    assert_eq!(text_of(&done["artifacts"][0]), "Ada likes red.");
    let said = ["interview me", "What is your name?", "Ada", "Hello Ada. Red or blue?", "red"];
    assert_eq!(history(&done), said, "oldest first, user and agent in turn");
    let roles: Vec<&str> =
        done["history"].as_array().unwrap().iter().map(|one| one["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["ROLE_USER", "ROLE_AGENT", "ROLE_USER", "ROLE_AGENT", "ROLE_USER"]);
    assert_eq!(kennel.task("interview", &id), done);
}

#[test]
fn an_answer_that_does_not_fit_is_told_and_never_reaches_the_agent() {
    let kennel = Kennel::start(&["interview"]);
    let id = id_of(&kennel.ask("interview", "begin"));
    kennel.answer("interview", &id, "Ada");
    let mut events = kennel.subscribe("interview", &id);
    let rev = events.next_event().unwrap().id.unwrap();
    for (n, wrong) in ["green", "yellow"].into_iter().enumerate() {
        let told = kennel.answer("interview", &id, wrong);
        assert_eq!(state_of(&told), INPUT_REQUIRED, "it still waits: {told:#}");
        let texts: Vec<&str> = told["status"]["message"]["parts"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect();
        assert_eq!(texts.len(), 2, "one reason, then the question once more: {texts:?}");
        assert!(texts[0].starts_with("The answer does not fit:") && texts[0].contains(wrong), "{texts:?}");
        assert_eq!(texts[1], "Hello Ada. Red or blue?");
        let event = events.next_event().unwrap();
        let expected = (INPUT_REQUIRED, Some(rev + 1 + n as u64));
        assert_eq!((event.state(), event.id), expected, "the agent was not woken in between");
    }
    let done = kennel.answer("interview", &id, "blue");
    assert_eq!(text_of(&done["artifacts"][0]), "Ada likes blue.");
    let said = history(&done);
    assert_eq!(said.iter().filter(|text| ["green", "yellow", "blue"].contains(&text.as_str())).count(), 3, "{said:?}");
}

#[test]
fn an_answer_may_be_data_or_text() {
    let kennel = Kennel::start(&["mischief"]);
    for part in [json!({ "data": { "date": "today" } }), json!({ "text": r#"{"date":"today"}"# })] {
        let id = id_of(&kennel.ask("mischief", "ask-schema"));
        let refused = kennel.answer("mischief", &id, "tomorrow");
        assert_eq!(state_of(&refused), INPUT_REQUIRED, "no object: {refused:#}");
        let mut params = message_to(&id, "");
        params["message"]["parts"] = json!([part]);
        let done = kennel.result("mischief", "SendMessage", params)["task"].take();
        assert_eq!(done["artifacts"][0]["parts"][0]["data"], json!({ "date": "today" }), "{done:#}");
    }
}

#[test]
fn a_prompt_carries_its_schema() {
    let kennel = Kennel::start(&["mischief"]);
    let asked = kennel.ask("mischief", "ask-schema");
    let schema = &asked["status"]["message"]["metadata"]["urn:kennel:input:1"]["schema"];
    assert_eq!(*schema, json!({ "type": "object", "required": ["date"] }));
}

#[test]
fn after_an_acknowledged_answer_nobody_sees_the_old_prompt() {
    let kennel = Kennel::start(&["interview"]);
    for round in 0..12 {
        let asked = kennel.ask("interview", "begin");
        let (id, old) = (id_of(&asked), status_text(&asked));
        let answered = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    // What was acknowledged before a look began must be seen by it.
                    for _ in 0..40 {
                        let before = answered.load(Ordering::SeqCst);
                        let seen = kennel.task("interview", &id);
                        assert!(!before || status_text(&seen) != old, "round {round}: the old prompt again: {seen:#}");
                    }
                });
            }
            let acknowledged = kennel.result("interview", "SendMessage", immediate(message_to(&id, "Ada")));
            answered.store(true, Ordering::SeqCst);
            assert_ne!(status_text(&acknowledged["task"]), old);
            let listed = kennel.result("interview", "ListTasks", json!({ "pageSize": 1 }));
            assert_ne!(status_text(&listed["tasks"][0]), old);
            assert_ne!(status_text(&kennel.subscribe("interview", &id).next_event().unwrap().result()["task"]), old);
        });
    }
}

#[test]
fn each_blocking_follow_up_gets_the_stop_after_its_own_message() {
    let kennel = Kennel::start(&["interview"]);
    for _ in 0..8 {
        let id = id_of(&kennel.ask("interview", "begin"));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| kennel.answer("interview", &id, "Ada"));
            crate::harness::until("the second question", crate::http::WAIT, || {
                let task = kennel.task("interview", &id);
                (status_text(&task) == "Hello Ada. Red or blue?").then_some(())
            });
            let second = kennel.answer("interview", &id, "red");
            assert_eq!(state_of(&second), COMPLETED);
            let first = first.join().unwrap();
            assert_eq!(status_text(&first), "Hello Ada. Red or blue?", "its own stop, not the last: {first:#}");
            assert_eq!(history(&first).last().unwrap(), "Ada", "as of then: {first:#}");
        });
    }
}

#[test]
fn the_same_message_twice_is_one() {
    let kennel = Kennel::start(&["interview"]);
    let id = id_of(&kennel.ask("interview", "begin"));
    let params = message_to(&id, "Ada");
    let send = || kennel.result("interview", "SendMessage", params.clone())["task"].take();
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let sends: Vec<_> = (0..4).map(|_| scope.spawn(send)).collect();
        sends.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]), "the same answer: {answers:#?}");
    assert_eq!(history(&answers[0]), ["begin", "What is your name?", "Ada"], "one entry");
    let done = kennel.answer("interview", &id, "red");
    assert_eq!(send(), answers[0], "also later, and when the task is over");
    assert_eq!(kennel.task("interview", &id), done, "and nothing has changed");
    let mut other = params.clone();
    other["message"]["parts"][0]["text"] = json!("Eve");
    assert_eq!(kennel.error("interview", "SendMessage", other)["code"], -32004, "another body is another message");
}

#[test]
fn the_same_message_id_makes_many_tasks() {
    let kennel = Kennel::start(&["echo"]);
    let params = message("hello");
    let ids: Vec<String> =
        (0..3).map(|_| id_of(&kennel.result("echo", "SendMessage", params.clone())["task"])).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
}

#[test]
fn a_working_agent_without_a_mailbox_takes_no_messages() {
    let kennel = Kennel::start(&["countdown"]);
    let id = kennel.begin("countdown", "60 every 1000ms");
    kennel.reaches("countdown", &id, "TASK_STATE_WORKING");
    for method in ["SendMessage", "SendStreamingMessage"] {
        let error = kennel.error("countdown", method, message_to(&id, "faster"));
        assert_eq!(error["code"], -32004, "{error:#}");
        assert_eq!(error["data"][0]["metadata"]["taskId"], id);
    }
    let task = kennel.cancel("countdown", &id);
    assert_eq!(history(&task), ["60 every 1000ms"], "a refused message leaves no trace");
}

#[test]
fn a_mailbox_keeps_messages_in_order() {
    let kennel = Kennel::start(&["mischief"]);
    let id = kennel.begin("mischief", "mailbox");
    kennel.reaches("mischief", &id, "TASK_STATE_WORKING");
    let lines: Vec<String> = (0..20).map(|n| format!("line {n}")).collect();
    for line in &lines {
        let taken = kennel.result("mischief", "SendMessage", immediate(message_to(&id, line)));
        assert_eq!(state_of(&taken["task"]), "TASK_STATE_WORKING");
    }
    let done = kennel.answer("mischief", &id, "done");
    assert_eq!((state_of(&done), text_of(&done["artifacts"][0])), (COMPLETED, lines.join("\n")));
    let mut said = vec!["mailbox".to_owned()];
    said.extend(lines);
    said.push("done".to_owned());
    assert_eq!(history(&done), said);
}

#[test]
fn blocking_messages_to_a_mailbox_end_with_the_task() {
    let kennel = Kennel::start(&["mischief"]);
    let id = kennel.begin("mischief", "mailbox");
    let params = message_to(&id, "once");
    std::thread::scope(|scope| {
        let sends: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| kennel.result("mischief", "SendMessage", params.clone())["task"].take()))
            .collect();
        crate::harness::until("the message in the history", crate::http::WAIT, || {
            history(&kennel.task("mischief", &id)).contains(&"once".to_owned()).then_some(())
        });
        kennel.answer("mischief", &id, "done");
        for sent in sends {
            let task = sent.join().unwrap();
            assert_eq!(
                (state_of(&task), text_of(&task["artifacts"][0]).as_str()),
                (COMPLETED, "once"),
                "sent thrice, one"
            );
        }
    });
}

#[test]
fn authorization_is_asked_for_and_may_be_answered_by_a_message() {
    let kennel = Kennel::start(&["mischief"]);
    let asked = kennel.ask("mischief", "auth");
    assert_eq!(state_of(&asked), "TASK_STATE_AUTH_REQUIRED", "a blocking send ends here: {asked:#}");
    assert!(status_text(&asked).contains("vault"), "the message explains: {asked:#}");
    let wanted = &asked["status"]["message"]["metadata"]["urn:kennel:auth:1"];
    assert_eq!((&wanted["credential"], &wanted["scopes"]), (&json!("vault"), &json!(["read"])), "{asked:#}");
    let done = kennel.answer("mischief", &id_of(&asked), "never mind");
    assert_eq!((state_of(&done), status_text(&done).as_str()), (COMPLETED, "never mind"));
}

#[test]
fn a_finished_task_takes_no_messages() {
    let kennel = Kennel::start(&["mischief"]);
    for word in ["echo", "fail", "reject"] {
        let task = kennel.ask("mischief", word);
        let id = id_of(&task);
        for method in ["SendMessage", "SendStreamingMessage"] {
            assert_eq!(kennel.error("mischief", method, message_to(&id, "more"))["code"], -32004, "{word}");
        }
        assert_eq!(kennel.task("mischief", &id), task, "final is final");
    }
}

#[test]
fn a_new_task_in_the_same_context_is_another_task() {
    let kennel = Kennel::start(&["echo"]);
    let first = kennel.ask("echo", "one");
    let mut params = message("two");
    params["message"]["contextId"] = first["contextId"].clone();
    params["message"]["referenceTaskIds"] = json!([first["id"]]);
    let second = kennel.result("echo", "SendMessage", params)["task"].take();
    assert_eq!(second["contextId"], first["contextId"]);
    assert_ne!(second["id"], first["id"]);
    assert_eq!(history(&second)[0], "two", "each task has its own history");
    assert_eq!(kennel.result("echo", "ListTasks", json!({ "contextId": first["contextId"] }))["totalSize"], 2);
}

#[test]
fn conversations_run_side_by_side() {
    let kennel = Kennel::start(&["interview"]);
    std::thread::scope(|scope| {
        for n in 0..6 {
            let kennel = &kennel;
            scope.spawn(move || {
                let name = fresh(&format!("name-{n}"));
                let mut params = message("begin");
                params["message"]["contextId"] = json!("shared");
                let id = id_of(&kennel.result("interview", "SendMessage", params)["task"]);
                kennel.answer("interview", &id, &name);
                let done = kennel.answer("interview", &id, "blue");
                assert_eq!(text_of(&done["artifacts"][0]), format!("{name} likes blue."));
            });
        }
    });
}
