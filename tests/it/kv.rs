//! Durable values: shared by those whom a scope names, changed once whatever crashes.

use serde_json::{Value, json};

use crate::harness::{Kennel, id_of, message, state_of, status_text, text_of, until};
use crate::http::WAIT;

const COMPLETED: &str = "TASK_STATE_COMPLETED";

/// What a task of the counter says at its end.
fn says(kennel: &Kennel, agent: &str, text: &str) -> String {
    let task = kennel.ask(agent, text);
    assert_eq!(state_of(&task), COMPLETED, "{text}: {task:#}");
    status_text(&task)
}

/// Params of a message in a context.
fn within(context: &str, text: &str) -> Value {
    let mut params = message(text);
    params["message"]["contextId"] = json!(context);
    params
}

#[test]
fn two_tasks_that_swap_a_thousand_times_count_exactly() {
    let mut kennel = Kennel::start(&["counter"]);
    let tasks = [kennel.begin("counter", "add 500"), kennel.begin("counter", "add 500")];
    for task in &tasks {
        kennel.reaches("counter", task, COMPLETED);
    }
    assert_eq!(says(&kennel, "counter", "agent get count"), "1000");
    kennel.restart();
    assert_eq!(says(&kennel, "counter", "agent get count"), "1000");
}

#[test]
fn a_count_is_exact_whenever_the_power_went() {
    let mut kennel = Kennel::start(&["counter"]);
    let tasks = [kennel.begin("counter", "add 500"), kennel.begin("counter", "add 500")];
    for least in [100, 400, 700] {
        until("some counts", WAIT, || {
            (says(&kennel, "counter", "agent get count").parse().unwrap_or(0) >= least).then_some(())
        });
        kennel.kill9();
        kennel.launch();
    }
    for task in &tasks {
        kennel.reaches("counter", task, COMPLETED);
    }
    assert_eq!(says(&kennel, "counter", "agent get count"), "1000");
}

#[test]
fn a_repetition_writes_nothing_again() {
    let mut kennel = Kennel::start(&["counter"]);
    let task = id_of(&kennel.ask("counter", "mark"));
    // What a repetition would undo.
    says(&kennel, "counter", "agent put put theirs");
    says(&kennel, "counter", "agent put gone again");
    assert_eq!(says(&kennel, "counter", "agent delete swap"), "true");
    kennel.kill9();
    kennel.launch();
    let task = kennel.answer("counter", &task, "yes");
    assert_eq!(status_text(&task), "1 2 swapped true deleted true theirs true");
    assert_eq!(says(&kennel, "counter", "agent get put"), "theirs");
    assert_eq!(says(&kennel, "counter", "agent get gone"), "again");
    assert_eq!(says(&kennel, "counter", "agent get swap"), "nothing");
    assert_eq!(says(&kennel, "counter", "agent keys"), "gone put steps");
}

#[test]
fn values_and_events_of_a_task_do_not_get_into_each_others_way() {
    let kennel = Kennel::start(&["counter"]);
    let tasks = [kennel.begin("counter", "tell 100"), kennel.begin("counter", "tell 100")];
    for task in &tasks {
        assert_eq!(status_text(&kennel.reaches("counter", task, COMPLETED)), "100");
    }
    assert_eq!(says(&kennel, "counter", "agent get count"), "200");
    assert_eq!(says(&kennel, "counter", "agent get told"), "100");
}

#[test]
fn a_look_at_a_value_opens_no_task_and_a_change_does() {
    let kennel = Kennel::start(&["recall"]);
    let send = |text: &str| kennel.result("recall", "SendMessage", message(text));
    assert_eq!(text_of(&send("look")["message"]), "0 keys, nothing");
    for change in ["put", "swap"] {
        let task = send(change)["task"].take();
        assert_eq!((state_of(&task), status_text(&task).as_str()), (COMPLETED, change));
        assert_eq!(text_of(&send("look")["message"]), format!("1 keys, {change}"));
    }
    assert_eq!(state_of(&send("delete")["task"]), COMPLETED);
    assert_eq!(text_of(&send("look")["message"]), "0 keys, nothing");
}

#[test]
fn a_task_sees_its_own_changes_at_once() {
    let kennel = Kennel::start(&["counter"]);
    assert_eq!(says(&kennel, "counter", "own"), "100 true true true true true false true 99");
}

#[test]
fn a_scope_is_shared_by_those_it_names() {
    let kennel = Kennel::with(&["counter"]).agent_as("other", "counter").start();
    let say = |agent: &str, context: &str, text: &str| {
        let result = kennel.result(agent, "SendMessage", within(context, text));
        status_text(&result["task"])
    };
    for scope in ["agent", "context", "tenant"] {
        say("counter", "talk", &format!("{scope} put k {scope}"));
    }
    assert_eq!(say("counter", "talk", "context get k"), "context");
    assert_eq!(say("counter", "elsewhere", "context get k"), "nothing");
    assert_eq!(say("other", "talk", "context get k"), "nothing");
    assert_eq!(say("counter", "elsewhere", "agent get k"), "agent");
    assert_eq!(say("other", "talk", "agent get k"), "nothing");
    assert_eq!(say("other", "elsewhere", "tenant get k"), "tenant");
    // Nobody knows who calls.
    let failed = kennel.ask("counter", "caller put k v");
    assert_eq!(state_of(&failed), "TASK_STATE_FAILED");
    assert!(failed.to_string().contains("kv.caller"), "{failed:#}");
    assert!(status_text(&failed).contains("anonymous"), "{failed:#}");
}

#[test]
fn a_value_has_a_quarter_of_a_mebibyte_at_most() {
    let kennel = Kennel::start(&["counter"]);
    says(&kennel, "counter", "agent fill large 262144");
    assert_eq!(says(&kennel, "counter", "agent get large"), "262144 bytes");
    let failed = kennel.ask("counter", "agent fill larger 262145");
    assert!(failed.to_string().contains("kv-value-bytes"), "{failed:#}");
    assert_eq!(says(&kennel, "counter", "agent keys"), "large");
}

#[test]
fn bare_messages_have_values_too_in_the_scopes_that_the_card_asks_for() {
    let mut kennel = Kennel::start(&["tally"]);
    let say = |kennel: &Kennel, context: &str, text: &str| {
        text_of(&kennel.result("tally", "SendMessage", within(context, text))["message"])
    };
    assert_eq!(say(&kennel, "talk", "hello"), "1");
    assert_eq!(say(&kennel, "talk", "hello"), "2");
    assert_eq!(say(&kennel, "other", "hello"), "1");
    kennel.kill9();
    kennel.launch();
    assert_eq!(say(&kennel, "talk", "hello"), "3");
    assert_eq!(say(&kennel, "talk", "forget"), "true");
    assert_eq!(say(&kennel, "talk", "forget"), "false");
    assert_eq!(say(&kennel, "talk", "hello"), "1");
    let denied = kennel.error("tally", "SendMessage", message("all"));
    assert!(denied.to_string().contains("kv.agent"), "{denied:#}");
}
