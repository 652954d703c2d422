//! ListTasks: filters, one total order, pages that neither lose nor repeat a task.

use serde_json::{Value, json};

use crate::harness::{Kennel, id_of, message, state_of, text_of};

fn ids(list: &Value) -> Vec<String> {
    list["tasks"].as_array().unwrap_or_else(|| panic!("no tasks in {list}")).iter().map(id_of).collect()
}

/// Sends a text in a context: the id of its task.
fn in_context(kennel: &Kennel, context: &str, text: &str) -> String {
    let mut params = message(text);
    params["message"]["contextId"] = json!(context);
    id_of(&kennel.result("mischief", "SendMessage", params)["task"])
}

#[test]
fn an_empty_list_has_all_its_members() {
    let kennel = Kennel::start(&["mischief"]);
    let empty = json!({ "tasks": [], "nextPageToken": "", "pageSize": 50, "totalSize": 0 });
    assert_eq!(kennel.result("mischief", "ListTasks", json!({})), empty);
}

#[test]
fn filters_select_by_context_state_and_time() {
    let kennel = Kennel::start(&["mischief"]);
    let done = in_context(&kennel, "a", "done");
    let failed = in_context(&kennel, "a", "fail");
    let other = in_context(&kennel, "b", "done");
    let list = |params: Value| kennel.result("mischief", "ListTasks", params);
    assert_eq!(ids(&list(json!({}))), [other.clone(), failed.clone(), done.clone()], "newest first");
    assert_eq!(ids(&list(json!({ "contextId": "a" }))), [failed.clone(), done.clone()]);
    assert_eq!(ids(&list(json!({ "status": "TASK_STATE_FAILED" }))), std::slice::from_ref(&failed));
    let both = list(json!({ "contextId": "a", "status": "TASK_STATE_COMPLETED" }));
    assert_eq!((ids(&both), &both["totalSize"]), (vec![done.clone()], &json!(1)));
    assert_eq!(ids(&list(json!({ "contextId": "c" }))), Vec::<String>::new());
    let since = kennel.task("mischief", &failed)["status"]["timestamp"].take();
    let later = list(json!({ "statusTimestampAfter": since }));
    assert!(ids(&later).contains(&failed), "at or after: {later:#}");
    assert!(!ids(&later).contains(&done) || kennel.task("mischief", &done)["status"]["timestamp"] == since);
    let offset = since.as_str().unwrap().replace('Z', "+00:00");
    assert_eq!(ids(&list(json!({ "statusTimestampAfter": offset }))), ids(&later), "an offset is the same instant");
    assert_eq!(ids(&list(json!({ "statusTimestampAfter": "2999-01-01T00:00:00Z" }))), Vec::<String>::new());
}

#[test]
fn a_task_is_listed_where_its_last_status_puts_it() {
    let kennel = Kennel::start(&["mischief"]);
    let first = id_of(&kennel.ask("mischief", "ask-schema"));
    let second = id_of(&kennel.ask("mischief", "echo"));
    assert_eq!(ids(&kennel.result("mischief", "ListTasks", json!({}))), [second.clone(), first.clone()]);
    kennel.answer("mischief", &first, r#"{"date":"today"}"#);
    assert_eq!(ids(&kennel.result("mischief", "ListTasks", json!({}))), [first, second]);
}

#[test]
fn artifacts_are_listed_on_demand_only() {
    let kennel = Kennel::start(&["mischief"]);
    kennel.ask("mischief", "hello");
    kennel.ask("mischief", "reject");
    let list = |params: Value| kennel.result("mischief", "ListTasks", params)["tasks"].take();
    for params in [json!({}), json!({ "includeArtifacts": false })] {
        assert!(list(params).as_array().unwrap().iter().all(|task| task.get("artifacts").is_none()));
    }
    let shown = list(json!({ "includeArtifacts": true }));
    assert_eq!(shown[0]["artifacts"], json!([]), "present, possibly empty");
    assert_eq!(text_of(&shown[1]["artifacts"][0]), "hello");
}

#[test]
fn pages_follow_each_other_without_loss_or_repeat() {
    let kennel = Kennel::start(&["mischief"]);
    let mut sent: Vec<String> = (0..13).map(|n| in_context(&kennel, "a", &n.to_string())).collect();
    in_context(&kennel, "b", "not among them");
    sent.reverse();
    let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let params = json!({ "contextId": "a", "pageSize": 5, "pageToken": token });
        let page = kennel.result("mischief", "ListTasks", params);
        assert_eq!((&page["totalSize"], &page["pageSize"]), (&json!(13), &json!(5)), "before paging: {page:#}");
        seen.extend(ids(&page));
        pages += 1;
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
        // What comes meanwhile is newer, so it does not move what is still to be read.
        in_context(&kennel, "b", "meanwhile");
    }
    assert_eq!((seen, pages), (sent, 3));
}

#[test]
fn a_page_that_is_just_full_is_the_last() {
    let kennel = Kennel::start(&["mischief"]);
    for text in ["a", "b"] {
        kennel.ask("mischief", text);
    }
    let page = kennel.result("mischief", "ListTasks", json!({ "pageSize": 2 }));
    assert_eq!((ids(&page).len(), &page["nextPageToken"]), (2, &json!("")));
}

#[test]
fn a_token_belongs_to_its_filters() {
    let kennel = Kennel::start(&["mischief", "echo"]);
    for text in ["a", "b", "c"] {
        in_context(&kennel, "a", text);
        kennel.ask("echo", text);
    }
    let page = kennel.result("mischief", "ListTasks", json!({ "contextId": "a", "pageSize": 1 }));
    let token = &page["nextPageToken"];
    for params in [
        json!({ "pageToken": token }),
        json!({ "contextId": "b", "pageToken": token }),
        json!({ "contextId": "a", "status": "TASK_STATE_COMPLETED", "pageToken": token }),
        json!({ "contextId": "a", "statusTimestampAfter": "2020-01-01T00:00:00Z", "pageToken": token }),
    ] {
        let error = kennel.error("mischief", "ListTasks", params.clone());
        assert_eq!(
            (&error["code"], &error["data"][1]["fieldViolations"][0]["field"]),
            (&json!(-32602), &json!("pageToken")),
            "{params}"
        );
    }
    let error = kennel.error("echo", "ListTasks", json!({ "contextId": "a", "pageToken": token }));
    assert_eq!(error["code"], -32602, "another agent's token");
    for changed in [json!({ "pageSize": 2 }), json!({ "historyLength": 0 }), json!({ "includeArtifacts": true })] {
        let mut params = json!({ "contextId": "a", "pageToken": token });
        params.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        let rest = kennel.result("mischief", "ListTasks", params.clone());
        assert!(!ids(&rest).is_empty(), "what only shows more or less may change: {params}");
    }
}

#[test]
fn tasks_of_the_same_instant_have_one_order() {
    let kennel = Kennel::start(&["mischief"]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..8).for_each(|n| drop(kennel.ask("mischief", &n.to_string()))));
        }
    });
    let whole = kennel.result("mischief", "ListTasks", json!({ "pageSize": 100 }));
    let key = |task: &Value| (task["status"]["timestamp"].to_string(), id_of(task));
    let keys: Vec<(String, String)> = whole["tasks"].as_array().unwrap().iter().map(key).collect();
    assert!(keys.windows(2).all(|pair| pair[0] > pair[1]), "newest first, then by id: {keys:#?}");
    let (mut seen, mut token) = (Vec::new(), json!(""));
    while seen.is_empty() || token != "" {
        let page = kennel.result("mischief", "ListTasks", json!({ "pageSize": 3, "pageToken": token }));
        seen.extend(ids(&page));
        token = page["nextPageToken"].clone();
    }
    assert_eq!(seen, ids(&whole));
}

#[test]
fn other_agents_tasks_are_not_listed() {
    let kennel = Kennel::start(&["echo", "mischief"]);
    kennel.ask("echo", "hello");
    let ours = kennel.ask("mischief", "hello");
    let list = kennel.result("mischief", "ListTasks", json!({}));
    assert_eq!((ids(&list), state_of(&ours)), (vec![id_of(&ours)], "TASK_STATE_COMPLETED"));
}
