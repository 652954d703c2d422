//! Authorization by the operator: a task that waits for a credential goes on by itself once its agent has it.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Kennel, id_of, state_of, status_text, until};
use crate::http::WAIT;
use crate::tasks::{objects, refused, shown};

const AUTH_REQUIRED: &str = "TASK_STATE_AUTH_REQUIRED";
const COMPLETED: &str = "TASK_STATE_COMPLETED";
const VAULT: &str = "[agents.mischief.credentials.vault]\nheader = \"x-vault\"\nvalue-file = \"secret\"\n\
                     sites = [\"https://example.com\"]\n";

/// A task of mischief that has asked for the vault: its id.
fn asking(kennel: &Kennel) -> String {
    let task = kennel.ask("mischief", "auth");
    assert_eq!(state_of(&task), AUTH_REQUIRED, "{task:#}");
    id_of(&task)
}

#[track_caller]
fn went_on(kennel: &Kennel, id: &str) -> Value {
    let task = kennel.reaches("mischief", id, COMPLETED);
    assert_eq!(status_text(&task), "granted vault", "{task:#}");
    task
}

fn parked(data: &Path, id: &str) {
    until("a parked run", WAIT, || (objects(data, &["show", id])[0]["run"]["state"] == "parked").then_some(()));
}

/// Writes what the host is told at its next look.
fn write(kennel: &Kennel, text: &str) {
    std::fs::write(kennel.config_file("kennel.toml"), text).unwrap();
}

#[test]
fn a_task_goes_on_at_a_start_with_the_credential_that_it_waits_for() {
    for park in ["100", "60000"] {
        let mut kennel = Kennel::with(&["mischief", "interview"]).arg("--park-after").arg(park).start();
        let id = asking(&kennel);
        let other = id_of(&kennel.ask("interview", "begin"));
        if park == "100" {
            parked(kennel.data_folder(), &id);
        }
        kennel.kill9();
        std::fs::write(kennel.config_file("secret"), "s3cret").unwrap();
        kennel.configure(VAULT);
        kennel.launch();
        let task = went_on(&kennel, &id);
        let states: Vec<&str> = task["history"].as_array().unwrap().iter().filter_map(|m| m["role"].as_str()).collect();
        assert!(!states.is_empty() && !task.to_string().contains("s3cret"));
        assert_eq!(state_of(&kennel.task("interview", &other)), "TASK_STATE_INPUT_REQUIRED");
        let events = kennel.resume("mischief", &id, "2").rest();
        assert!(events.iter().any(|event| event.text.contains("WORKING")), "it is at work again before its end");
    }
}

#[test]
fn a_running_host_is_told_that_a_credential_is_there() {
    for park in ["100", "60000"] {
        let mut kennel = Kennel::with(&["mischief", "interview"]).arg("--park-after").arg(park).stopped();
        std::fs::write(kennel.config_file("secret"), "s3cret").unwrap();
        kennel.configure("");
        kennel.launch();
        let (first, second) = (asking(&kennel), asking(&kennel));
        let data = kennel.data_folder().to_owned();
        if park == "100" {
            parked(&data, &first);
            parked(&data, &second);
        }
        let missing = refused(&data, &["resume", &first]);
        assert!(
            missing.contains("[agents.mischief.credentials.vault]") && missing.contains("kennel.toml"),
            "{missing}"
        );
        write(&kennel, "[agents.mischief]\nhtpp = []\n");
        let unread = refused(&data, &["resume", &first]);
        assert!(unread.contains("htpp") && unread.contains("line 2"), "{unread}");
        for id in [&first, &second] {
            assert_eq!(state_of(&kennel.task("mischief", id)), AUTH_REQUIRED);
        }
        write(&kennel, VAULT);
        assert_eq!(
            shown(&data, &["resume", &first]),
            format!("task {first} goes on: mischief has the credential vault\n")
        );
        went_on(&kennel, &first);
        // Whoever waits for the same goes on with it.
        went_on(&kennel, &second);
        assert_eq!(status_text(&kennel.ask("mischief", "auth")), "granted vault", "nobody is asked any more");
    }
}

#[test]
fn only_a_task_that_waits_for_a_credential_can_be_resumed() {
    let mut kennel = Kennel::start(&["mischief", "interview"]);
    let data = kennel.data_folder().to_owned();
    let asked = id_of(&kennel.ask("interview", "begin"));
    let other = refused(&data, &["resume", &asked]);
    assert!(other.contains("does not wait for authorization") && other.contains("kennel tasks why"), "{other}");
    let id = asking(&kennel);
    let no_file = refused(&data, &["resume", &id]);
    assert!(no_file.contains("--config"), "{no_file}");
    kennel.stop();
    let nobody = refused(&data, &["resume", &id]);
    assert!(nobody.contains("no host runs") && nobody.contains("kennel serve"), "{nobody}");
}
