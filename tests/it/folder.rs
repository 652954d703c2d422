//! The agents folder: what is dropped into it is served, replaced, refused or taken out, and running tasks notice nothing.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Kennel, call, id_of, message, state_of, status_text, text_of, until};
use crate::http::{Request, WAIT};
use crate::plugins;
use crate::tasks::shown;

const COMPLETED: &str = "TASK_STATE_COMPLETED";

/// Puts a plugin in place as tools do: beside it first, then by a rename.
fn install(kennel: &Kennel, name: &str, plugin: &str) {
    let part = kennel.agents_folder().join(format!(".{name}.part"));
    std::fs::copy(plugins::file(plugin), &part).unwrap();
    std::fs::rename(&part, kennel.agent_file(name)).unwrap();
}

/// The name that an agent's card gives it; none: it is not served.
fn served(kennel: &Kennel, name: &str) -> Option<String> {
    let reply = kennel.send(&Request::new("GET", &format!("/agents/{name}/.well-known/agent-card.json")));
    (reply.status == 200).then(|| reply.json()["name"].as_str().unwrap().to_owned())
}

fn becomes(kennel: &Kennel, name: &str, plugin: Option<&str>) {
    let began = Instant::now();
    until(&format!("{name} becomes {plugin:?}"), WAIT, || (served(kennel, name).as_deref() == plugin).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(15), "within seconds: {:?}", began.elapsed());
}

/// The status and the code of a first message to an agent.
fn first_message(kennel: &Kennel, name: &str) -> (u16, Value) {
    let reply = kennel.send(&call(name, "SendMessage", message("hello")));
    (reply.status, reply.json()["error"]["code"].take())
}

#[test]
fn an_agent_that_is_dropped_in_is_served() {
    let kennel = Kennel::start(&[]);
    assert_eq!(first_message(&kennel, "echo"), (404, json!(-32601)));
    install(&kennel, "echo", "echo");
    becomes(&kennel, "echo", Some("echo"));
    assert_eq!(text_of(&kennel.ask("echo", "hello")["artifacts"][0]), "hello");
    install(&kennel, "another-name_2.x", "echo");
    becomes(&kennel, "another-name_2.x", Some("echo"));
    assert_eq!(text_of(&kennel.ask("another-name_2.x", "hello")["artifacts"][0]), "hello");
}

#[test]
fn a_replaced_agent_takes_new_tasks_while_running_ones_end_on_the_old_code() {
    let kennel = Kennel::with(&[]).agent_as("worker", "countdown").start();
    let old_card = served(&kennel, "worker");
    let mut events = kennel.stream("worker", "SendStreamingMessage", message("8 every 1000ms"));
    let running = events.next_event().unwrap().task_id();
    install(&kennel, "worker", "echo");
    becomes(&kennel, "worker", Some("echo"));
    assert_eq!(old_card.as_deref(), Some("countdown"));
    let new = kennel.ask("worker", "2");
    assert_eq!((text_of(&new["artifacts"][0]), &new["artifacts"][0]["name"]), ("2".to_owned(), &json!("echo")));
    assert_eq!(state_of(&kennel.task("worker", &running)), "TASK_STATE_WORKING", "the swap came while it ran");
    assert_eq!(events.rest().last().unwrap().state(), COMPLETED);
    let done = kennel.task("worker", &running);
    assert_eq!(text_of(&done["artifacts"][0]), "8\n7\n6\n5\n4\n3\n2\n1\n0\n");
    assert_eq!(status_text(&done), "Lift-off.");
    assert_eq!(kennel.result("worker", "ListTasks", json!({}))["totalSize"], 2, "both are the agent's");
}

#[test]
fn a_waiting_task_goes_on_with_the_code_that_asked() {
    let kennel = Kennel::with(&[]).agent_as("worker", "interview").start();
    let id = id_of(&kennel.ask("worker", "begin"));
    install(&kennel, "worker", "echo");
    becomes(&kennel, "worker", Some("echo"));
    assert_eq!(status_text(&kennel.answer("worker", &id, "Ada")), "Hello Ada. Red or blue?");
    let done = kennel.answer("worker", &id, "red");
    assert_eq!(text_of(&done["artifacts"][0]), "Ada likes red.");
}

#[test]
fn no_request_fails_while_agents_are_swapped() {
    let kennel = Kennel::with(&[]).agent_as("worker", "echo").start();
    let swaps = ["mischief", "echo", "mischief", "echo"];
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            for plugin in swaps {
                install(&kennel, "worker", plugin);
                becomes(&kennel, "worker", Some(plugin));
            }
        });
        let mut asked = 0;
        while !swapping.is_finished() {
            let task = kennel.ask("worker", "hello");
            assert_eq!((state_of(&task), text_of(&task["artifacts"][0]).as_str()), (COMPLETED, "hello"));
            asked += 1;
        }
        assert!(asked >= swaps.len(), "only {asked} requests");
        swapping.join().unwrap();
    });
}

#[test]
fn a_card_changes_with_its_agent() {
    let kennel = Kennel::with(&[]).agent_as("worker", "echo").start();
    let card = Request::new("GET", "/agents/worker/.well-known/agent-card.json");
    let tag = kennel.send(&card).header("etag").unwrap().to_owned();
    let card = card.header("if-none-match", &tag);
    assert_eq!(kennel.send(&card).status, 304);
    install(&kennel, "worker", "hello");
    becomes(&kennel, "worker", Some("hello"));
    let reply = kennel.send(&card);
    assert_eq!((reply.status, reply.json()["name"].as_str()), (200, Some("hello")));
    assert_ne!(reply.header("etag"), Some(tag.as_str()));
}

#[test]
fn a_broken_file_is_refused_with_a_reason_and_the_old_agent_serves_on() {
    let kennel = Kennel::start(&["echo"]);
    let broken: [(&[u8], &str); 4] = [
        (b"not wasm at all", "This is not a WebAssembly component"),
        (b"", "This is not a WebAssembly component"),
        (b"\0asm\x01\0\0\0", "--target wasm32-wasip2"),
        (b"\0asm\x0d\0\x01\0", "does not export `kennel:agent/agent"),
    ];
    for (bytes, reason) in broken {
        for name in ["echo", "fresh"] {
            std::fs::write(kennel.agent_file(name), bytes).unwrap();
            let line = until(&format!("a refusal of {name}: {reason}"), WAIT, || {
                let said = kennel.stderr();
                let mut lines = said.lines();
                lines
                    .find(|line| line.contains(&format!("agent.id={name}")) && line.contains(reason))
                    .map(str::to_owned)
            });
            assert!(line.contains("an agent is refused") && line.contains(" WARN "), "{line}");
        }
        assert_eq!(text_of(&kennel.ask("echo", "still there")["artifacts"][0]), "still there");
        assert_eq!(first_message(&kennel, "fresh").0, 404);
    }
    install(&kennel, "echo", "hello");
    becomes(&kennel, "echo", Some("hello"));
}

/// Writes a file in two halves; between them something is done.
fn in_two_halves(path: &Path, bytes: &[u8], between: impl FnOnce()) {
    let mut file = std::fs::File::create(path).unwrap();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    file.write_all(first).unwrap();
    file.sync_all().unwrap();
    between();
    file.write_all(second).unwrap();
}

#[test]
fn half_a_copy_does_no_harm() {
    let kennel = Kennel::start(&["hello"]);
    let echo = std::fs::read(plugins::file("echo")).unwrap();
    in_two_halves(&kennel.agent_file("echo"), &echo, || {
        kennel.says("an agent is refused");
        assert_eq!(served(&kennel, "echo"), None);
    });
    becomes(&kennel, "echo", Some("echo"));
    in_two_halves(&kennel.agent_file("hello"), &echo, || {
        until("a refusal", WAIT, || {
            let refused = |line: &str| line.contains("is refused") && line.contains("agent.id=hello");
            kennel.stderr().lines().any(refused).then_some(())
        });
        assert_eq!(served(&kennel, "hello").as_deref(), Some("hello"), "the old one serves on");
        assert!(kennel.result("hello", "SendMessage", message("Ada"))["message"].is_object());
    });
    becomes(&kennel, "hello", Some("echo"));
}

#[test]
fn a_removed_agent_takes_no_new_tasks_and_its_tasks_stay() {
    let kennel = Kennel::start(&["countdown", "interview"]);
    let running = kennel.begin("countdown", "5 every 1000ms");
    let waiting = id_of(&kennel.ask("interview", "begin"));
    for name in ["countdown", "interview"] {
        std::fs::remove_file(kennel.agent_file(name)).unwrap();
        becomes(&kennel, name, None);
        assert_eq!(first_message(&kennel, name), (404, json!(-32601)), "no new tasks");
    }
    assert_eq!(state_of(&kennel.task("countdown", &running)), "TASK_STATE_WORKING", "running work goes on");
    let last = kennel.subscribe("countdown", &running).rest().pop().unwrap();
    assert_eq!(last.state(), COMPLETED);
    let done = kennel.task("countdown", &running);
    assert_eq!(text_of(&done["artifacts"][0]), "5\n4\n3\n2\n1\n0\n");
    kennel.answer("interview", &waiting, "Ada");
    assert_eq!(state_of(&kennel.answer("interview", &waiting, "blue")), COMPLETED, "answers still arrive");
    assert_eq!(kennel.result("countdown", "ListTasks", json!({}))["totalSize"], 1, "and tasks stay readable");
    assert_eq!(kennel.error("countdown", "CancelTask", json!({ "id": running }))["code"], -32002);
    install(&kennel, "countdown", "countdown");
    becomes(&kennel, "countdown", Some("countdown"));
    assert_eq!(kennel.task("countdown", &running), done);
}

#[test]
fn files_that_are_no_agents_are_left_alone() {
    let kennel = Kennel::start(&["echo"]);
    for name in ["My Agent.wasm", "UPPER.wasm", "umlaut-ä.wasm"] {
        std::fs::copy(plugins::file("echo"), kennel.agents_folder().join(name)).unwrap();
        kennel.says(name);
    }
    std::fs::copy(plugins::file("echo"), kennel.agents_folder().join(".hidden.wasm")).unwrap();
    std::fs::copy(plugins::file("echo"), kennel.agents_folder().join("half.wasm.part")).unwrap();
    std::fs::write(kennel.agents_folder().join("README.md"), "not an agent").unwrap();
    std::fs::create_dir(kennel.agents_folder().join("folder.wasm")).unwrap();
    install(&kennel, "last", "echo");
    becomes(&kennel, "last", Some("echo"));
    let said = kennel.stderr();
    assert_eq!(said.matches("UPPER.wasm").count(), 1, "said once: {said}");
    assert!(
        !said.contains("hidden") && !said.contains("half") && !said.contains("README") && !said.contains("folder.wasm")
    );
    for path in ["/agents/My%20Agent", "/agents/UPPER", "/agents/.hidden", "/agents/half", "/agents/folder"] {
        let reply = kennel.send(&Request::new("GET", &format!("{path}/.well-known/agent-card.json")));
        assert_eq!(reply.status, 404, "{path}");
    }
}

#[test]
fn a_file_that_broke_while_the_host_was_down_does_not_take_its_agent_away() {
    let mut kennel = Kennel::start(&["echo", "hello"]);
    kennel.stop();
    std::fs::write(kennel.agent_file("echo"), b"broken meanwhile").unwrap();
    std::fs::remove_file(kennel.agent_file("hello")).unwrap();
    kennel.launch();
    kennel.says("the version that was active before serves on");
    assert_eq!(text_of(&kennel.ask("echo", "hello")["artifacts"][0]), "hello");
    assert_eq!(first_message(&kennel, "hello").0, 404, "what was taken out stays out");
}

#[test]
fn an_agents_folder_that_is_not_there_is_said_with_a_cure() {
    let kennel = Kennel::with(&[]).stopped();
    std::fs::remove_dir(kennel.agents_folder()).unwrap();
    let (status, said) = kennel.launch_in_vain();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("cannot read the agents folder") && said.contains("--agents"), "{said}");
}

#[test]
fn the_host_serves_on_when_its_agents_folder_goes_away() {
    let kennel = Kennel::start(&["echo"]);
    let aside = kennel.agents_folder().with_extension("aside");
    std::fs::rename(kennel.agents_folder(), &aside).unwrap();
    kennel.says("the agents serve on; looking again");
    assert_eq!(state_of(&kennel.ask("echo", "hello")), COMPLETED);
    std::fs::rename(&aside, kennel.agents_folder()).unwrap();
    install(&kennel, "hello", "hello");
    becomes(&kennel, "hello", Some("hello"));
}

#[test]
fn an_agent_without_a_setting_that_it_requires_is_refused_with_the_line_to_write() {
    let mut kennel = Kennel::with(&["resident", "mischief"]).agent_as("worker", "echo").stopped();
    std::fs::write(kennel.config_file("secret"), "s3cret").unwrap();
    kennel.configure("");
    kennel.launch();
    kennel.says(
        "an agent is refused: it requires settings that are not set: city (Where it is.); write settings = { city = \"…\" } \
         under [agents.resident] into the file of `kennel serve --config`",
    );
    assert_eq!(first_message(&kennel, "resident").0, 404);
    install(&kennel, "worker", "resident");
    kennel.says("under [agents.worker]");
    assert_eq!(text_of(&kennel.ask("worker", "hello")["artifacts"][0]), "hello", "the old version serves on");
    // Set while the host runs: the configuration is read again for a task that waits for a credential.
    let asking = id_of(&kennel.ask("mischief", "auth"));
    let set = "[agents.resident]\nsettings = { city = \"Rome\" }\n[agents.mischief.credentials.vault]\nheader = \"x\"\n\
               value-file = \"secret\"\nsites = [\"https://example.com\"]\n";
    std::fs::write(kennel.config_file("kennel.toml"), set).unwrap();
    shown(kennel.data_folder(), &["resume", &asking]);
    becomes(&kennel, "resident", Some("resident"));
    assert_eq!(status_text(&kennel.ask("resident", "hello")), "I live in Rome.");
    // Taken away again: it is not served from the next start on, and nobody's tasks are lost.
    std::fs::write(kennel.config_file("kennel.toml"), "").unwrap();
    kennel.restart();
    kennel.says("an agent is refused");
    assert_eq!(first_message(&kennel, "resident").0, 404);
    assert_eq!(
        text_of(&kennel.ask("worker", "hello")["artifacts"][0]),
        "hello",
        "and so is the old version after a start"
    );
}
