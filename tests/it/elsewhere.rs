//! Messages to agents of other hosts: sent under one id whatever happens, awaited by rows, answered when they ask, canceled with their
//! sender, and only where card and operator allow it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::{Builder, Kennel, call, id_of, message, message_to, state_of, text_of, until};
use crate::http::{WAIT, exchange};
use crate::tasks::{refused, shown};

const COMPLETED: &str = "TASK_STATE_COMPLETED";
const CANCELED: &str = "TASK_STATE_CANCELED";
const FAILED: &str = "TASK_STATE_FAILED";
const WORKING: &str = "TASK_STATE_WORKING";

/// A host with the messenger, whose peer `partner` is at the url.
fn host(url: &str) -> Kennel {
    let mut kennel = stopped(Kennel::with(&["messenger"]), url, "");
    kennel.launch();
    kennel
}

fn stopped(builder: Builder, url: &str, extra: &str) -> Kennel {
    let mut kennel = builder.stopped();
    kennel.configure(&format!(
        "[egress]\nallow-private = [\"127.0.0.0/8\", \"::1/128\"]\n[peers.partner]\nurl = \"{url}\"\n{extra}\n\
         [agents.messenger]\npeers = [\"partner\", \"http://127.0.0.1:*/agents\"]\n"
    ));
    kennel
}

fn tasks(kennel: &Kennel, agent: &str) -> Vec<Value> {
    kennel.result(agent, "ListTasks", json!({ "pageSize": 100 }))["tasks"].as_array().unwrap().clone()
}

/// The only task of an agent, once it is in this state.
fn only(kennel: &Kennel, agent: &str, state: &str) -> Value {
    until(&format!("one {state} of {agent}"), WAIT, || {
        let all = tasks(kennel, agent);
        (all.len() == 1 && state_of(&all[0]) == state).then(|| kennel.task(agent, &id_of(&all[0])))
    })
}

fn artifact(task: &Value, name: &str) -> String {
    assert_eq!(state_of(task), COMPLETED, "{task:#}");
    let artifacts = task["artifacts"].as_array().unwrap();
    text_of(artifacts.iter().find(|artifact| artifact["name"] == name).unwrap_or_else(|| panic!("{task:#}")))
}

fn failure(task: &Value) -> (String, String) {
    assert_eq!(state_of(task), FAILED, "{task:#}");
    let error = &task["status"]["message"]["metadata"]["urn:kennel:error:1"];
    (error["kind"].as_str().unwrap().to_owned(), text_of(&task["status"]["message"]))
}

/// A server of A2A that a test plays: it answers each request as a function says, and remembers it.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// One request.
#[derive(Clone, Debug)]
struct Seen {
    head: String,
    body: Value,
}

/// What the server answers: a result, or a whole answer of HTTP.
enum Said {
    Result(Value),
    Error(i64),
    Http(&'static str, String),
    /// The connection ends.
    Nothing,
}

impl Server {
    /// `answer` gets the method, the params, and how many calls of this method came before.
    fn start(answer: impl Fn(&str, &Value, usize) -> Said + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server { address, seen: Arc::default() };
        let (seen, answer) = (Arc::clone(&server.seen), Arc::new(answer));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream.unwrap(), address, &seen, &*answer));
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("http://{}/agents/other", self.address)
    }

    /// The calls of a method: params.
    fn calls(&self, method: &str) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.body["method"] == method).map(|seen| seen.body["params"].clone()).collect()
    }

    fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.head.clone()).collect()
    }
}

fn serve(
    mut stream: TcpStream,
    address: SocketAddr,
    seen: &Mutex<Vec<Seen>>,
    answer: &(dyn Fn(&str, &Value, usize) -> Said + Send + Sync),
) {
    let Some(request) = read(&mut stream) else { return };
    let method = request.body["method"].as_str().unwrap_or("card").to_owned();
    let before = {
        let mut all = seen.lock().unwrap();
        let before = all.iter().filter(|seen| seen.body["method"] == request.body["method"]).count();
        all.push(request.clone());
        before
    };
    let envelope = |member: &str, value: Value| {
        let mut envelope = json!({ "jsonrpc": "2.0", "id": request.body["id"] });
        envelope[member] = value;
        envelope.to_string()
    };
    let interface = json!({
        "url": format!("http://{address}/agents/other"), "protocolBinding": "JSONRPC", "protocolVersion": "1.0",
    });
    let card = json!({ "name": "other", "supportedInterfaces": [interface] });
    let said = answer(&method, &request.body["params"], before);
    let (status, body) = match said {
        Said::Result(_) if method == "card" => ("200 OK", card.to_string()),
        Said::Result(result) => ("200 OK", envelope("result", result)),
        Said::Error(code) => ("200 OK", envelope("error", json!({ "code": code, "message": "I would rather not." }))),
        Said::Http(status, body) => (status, body),
        Said::Nothing => return,
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // A client that was killed does not read it.
    stream.write_all(format!("{head}{body}").as_bytes()).ok();
}

fn read(stream: &mut TcpStream) -> Option<Seen> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        if body.len() >= length {
            return Some(Seen { head, body: serde_json::from_str(body).unwrap_or(Value::Null) });
        }
    }
}

fn there(state: &str, text: &str) -> Value {
    json!({
        "id": "their-task", "contextId": "their-context",
        "status": { "state": state, "message": { "messageId": text, "role": "ROLE_AGENT", "parts": [{ "text": text }] } },
    })
}

/// One connection to another address at a time, which may change: so a host keeps its url when it comes back elsewhere.
struct Forwarder {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
}

impl Forwarder {
    fn start() -> Forwarder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let forwarder = Forwarder { address: listener.local_addr().unwrap(), target: Arc::default() };
        let target = Arc::clone(&forwarder.target);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let to = *target.lock().unwrap();
                let (Ok(near), Some(Ok(far))) = (stream, to.map(TcpStream::connect)) else { continue };
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    std::thread::spawn(move || {
                        std::io::copy(&mut from, &mut to).ok();
                        to.shutdown(std::net::Shutdown::Both).ok();
                    });
                }
            }
        });
        forwarder
    }

    fn point(&self, to: Option<SocketAddr>) {
        *self.target.lock().unwrap() = to;
    }

    fn base(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[test]
fn a_message_to_another_host_becomes_a_task_there_and_its_result_comes_back() {
    let other = Kennel::start(&["countdown", "hello"]);
    let kennel = host(&other.url("countdown"));
    let task = kennel.ask("messenger", "take partner 3");
    let theirs = only(&other, "countdown", COMPLETED);
    assert_eq!(artifact(&task, "answer").split_whitespace().collect::<String>(), "CompletedLift-off.|3210");
    assert_eq!(artifact(&task, "id"), id_of(&theirs), "its sender knows it by its id there");
    let by_url = kennel.ask("messenger", &format!("take {} 3", other.url("countdown")));
    assert!(artifact(&by_url, "answer").starts_with("Completed Lift-off.|"), "{by_url:#}");
    let bare = kennel.ask("messenger", &format!("take {} Ada", other.url("hello")));
    assert_eq!(artifact(&bare, "answer"), "message Hello, Ada.");
    assert!(bare["artifacts"].as_array().unwrap().len() == 1, "a bare message has no task: {bare:#}");
}

#[test]
fn messages_of_one_conversation_stay_in_one_there() {
    let other = Kennel::start(&["countdown"]);
    let kennel = host(&other.url("countdown"));
    let task = kennel.ask("messenger", "twice partner 1");
    let contexts = artifact(&task, "answer");
    let (first, second) = contexts.split_once(' ').unwrap();
    assert_eq!(first, second);
    assert!(tasks(&other, "countdown").iter().all(|task| task["contextId"] == first), "{contexts}");
}

#[test]
fn a_question_of_another_host_is_answered_by_its_sender_or_its_client() {
    let other = Kennel::start(&["interview"]);
    let kennel = host(&other.url("interview"));
    let task = kennel.ask("messenger", "pass partner interview me");
    assert_eq!(text_of(&task["status"]["message"]), "What is your name?", "{task:#}");
    let task = kennel.answer("messenger", &id_of(&task), "Ada");
    assert_eq!(text_of(&task["status"]["message"]), "Hello Ada. Red or blue?", "{task:#}");
    // Checked there: this one is asked again.
    let task = kennel.answer("messenger", &id_of(&task), "green");
    assert!(text_of(&task["status"]["message"]).ends_with("Hello Ada. Red or blue?"), "{task:#}");
    let task = kennel.answer("messenger", &id_of(&task), "red");
    assert_eq!(artifact(&task, "answer"), "Completed Thank you.|Ada likes red.");
    assert_eq!(tasks(&other, "interview").len(), 1);
}

#[test]
fn the_first_of_two_hosts_wins_a_race() {
    let (slow, quick) = (Kennel::start(&["countdown"]), Kennel::start(&["echo"]));
    let kennel = host(&slow.url("countdown"));
    let task = kennel.ask("messenger", &format!("race partner {}", quick.url("echo")));
    assert!(artifact(&task, "answer").ends_with("|hello"), "{task:#}");
    // The other was given up.
    only(&slow, "countdown", CANCELED);
}

#[test]
fn a_task_there_is_canceled_with_its_sender_and_on_request() {
    let other = Kennel::start(&["mischief"]);
    let kennel = host(&other.url("mischief"));
    let id = kennel.begin("messenger", "take partner sleep 3600000");
    only(&other, "mischief", WORKING);
    assert_eq!(state_of(&kennel.cancel("messenger", &id)), CANCELED);
    only(&other, "mischief", CANCELED);

    let other = Kennel::start(&["mischief"]);
    let task = kennel.ask("messenger", &format!("stop {} sleep 3600000", other.url("mischief")));
    assert!(artifact(&task, "answer").starts_with("Canceled"), "{task:#}");
    only(&other, "mischief", CANCELED);
}

#[test]
fn a_cancel_reaches_a_host_that_was_away() {
    let (forwarder, kennel) = (Forwarder::start(), Kennel::with(&["messenger"]));
    let mut other = Kennel::with(&["mischief"]).arg("--public-url").arg(&forwarder.base()).start();
    forwarder.point(Some(other.address()));
    let mut kennel = stopped(kennel, &format!("{}/agents/mischief", forwarder.base()), "");
    kennel.launch();
    let id = kennel.begin("messenger", "take partner sleep 3600000");
    only(&other, "mischief", WORKING);
    forwarder.point(None);
    other.kill9();
    assert_eq!(state_of(&kennel.cancel("messenger", &id)), CANCELED);
    other.launch();
    forwarder.point(Some(other.address()));
    only(&other, "mischief", CANCELED);
}

#[test]
fn a_sender_waits_while_the_other_host_is_away() {
    let forwarder = Forwarder::start();
    let mut other = Kennel::with(&["interview"]).arg("--public-url").arg(&forwarder.base()).start();
    forwarder.point(Some(other.address()));
    let kennel = host(&format!("{}/agents/interview", forwarder.base()));
    let id = kennel.begin("messenger", "pass partner interview me");
    let asked = kennel.reaches("messenger", &id, "TASK_STATE_INPUT_REQUIRED");
    assert_eq!(text_of(&asked["status"]["message"]), "What is your name?");
    forwarder.point(None);
    other.kill9();
    let mut params = message_to(&id, "Ada");
    params["configuration"] = json!({ "returnImmediately": true });
    kennel.result("messenger", "SendMessage", params);
    other.launch();
    forwarder.point(Some(other.address()));
    until("the next question", WAIT, || {
        let task = kennel.task("messenger", &id);
        text_of(&task["status"]["message"]).contains("Red or blue?").then_some(())
    });
    assert_eq!(artifact(&kennel.answer("messenger", &id, "red"), "answer"), "Completed Thank you.|Ada likes red.");
    assert_eq!(tasks(&other, "interview").len(), 1);
}

/// A server whose tasks are done when they are looked at the second time.
fn patient() -> Server {
    Server::start(|method, _, before| match method {
        "SendMessage" => Said::Result(json!({ "task": there(WORKING, "begun") })),
        "GetTask" if before < 2 => Said::Result(there(WORKING, "begun")),
        _ => Said::Result(there(COMPLETED, "done")),
    })
}

#[test]
fn a_message_leaves_under_one_id_wherever_the_host_is_killed() {
    // Commits of the sender and of the sent task, of which some come before the message leaves and some after.
    for n in 2..=8 {
        for when in ["--test-crash-before", "--test-crash-after"] {
            let server = patient();
            let mut kennel = stopped(Kennel::with(&["messenger"]), &server.url(), "");
            kennel.launch_on_trial(&[when, &n.to_string()]);
            let request = call("messenger", "SendMessage", message("take partner hello"));
            // The host ends before it answers; the task is on disk.
            exchange(kennel.address(), &request, WAIT).ok();
            kennel.dies();
            kennel.launch();
            let task = only(&kennel, "messenger", COMPLETED);
            assert_eq!(artifact(&task, "answer"), "Completed done|", "{when} {n}");
            assert_eq!(artifact(&task, "id"), "their-task");
            let sent = server.calls("SendMessage");
            assert!((1..=2).contains(&sent.len()), "{when} {n}: {sent:#?}");
            assert!(sent.iter().all(|params| params["message"] == sent[0]["message"]), "{when} {n}: {sent:#?}");
        }
    }
}

#[test]
fn a_message_whose_answer_the_host_did_not_live_to_see_is_sent_again_under_its_id() {
    let (killed, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let wait = Mutex::new(wait);
    let server = Server::start(move |method, _, before| match method {
        "SendMessage" if before == 0 => {
            wait.lock().unwrap().recv().ok();
            Said::Nothing
        }
        "SendMessage" => Said::Result(json!({ "task": there(WORKING, "begun") })),
        _ => Said::Result(there(COMPLETED, "done")),
    });
    let mut kennel = host(&server.url());
    let id = kennel.begin("messenger", "take partner hello");
    until("the message", WAIT, || (server.calls("SendMessage").len() == 1).then_some(()));
    kennel.kill9();
    killed.send(()).unwrap();
    kennel.launch();
    assert_eq!(artifact(&kennel.reaches("messenger", &id, COMPLETED), "answer"), "Completed done|");
    let sent = server.calls("SendMessage");
    assert_eq!((sent.len(), &sent[0]["message"]), (2, &sent[1]["message"]));
}

#[test]
fn a_message_that_got_no_answer_is_sent_again_under_its_id() {
    let server = Server::start(|method, _, before| match method {
        "SendMessage" if before == 0 => Said::Nothing,
        "SendMessage" if before == 1 => Said::Http("503 Busy", "busy".to_owned()),
        "SendMessage" => Said::Result(json!({ "task": there(COMPLETED, "done") })),
        "GetTask" if before == 0 => Said::Error(-32603),
        _ => Said::Result(there(COMPLETED, "done")),
    });
    let kennel = host(&server.url());
    assert_eq!(artifact(&kennel.ask("messenger", "take partner hello"), "answer"), "Completed done|");
    let sent = server.calls("SendMessage");
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|params| params == &sent[0]), "{sent:#?}");
    assert_eq!(sent[0]["configuration"], json!({ "returnImmediately": true, "historyLength": 0 }));
    assert_eq!(sent[0]["message"]["parts"], json!([{ "text": "hello" }]));
    assert!(sent[0]["message"].get("taskId").is_none() && sent[0]["message"].get("contextId").is_none());
    assert!(server.heads().iter().all(|head| head.contains("a2a-version: 1.0")));
}

#[test]
fn an_answer_that_arrived_although_nobody_heard_so_counts() {
    let server = Server::start(|method, params, before| match method {
        "SendMessage" if before == 0 => Said::Result(json!({ "task": there("TASK_STATE_INPUT_REQUIRED", "Who?") })),
        // It arrives, and the answer is lost; the same message again is refused.
        "SendMessage" if before == 1 => Said::Nothing,
        "SendMessage" => Said::Error(-32004),
        "GetTask" if params["id"] != "their-task" => Said::Error(-32001),
        "GetTask" if before < 2 => Said::Result(there("TASK_STATE_INPUT_REQUIRED", "Who?")),
        _ => Said::Result(there(COMPLETED, "done")),
    });
    let kennel = host(&server.url());
    assert_eq!(artifact(&kennel.ask("messenger", "ada partner hello"), "answer"), "Completed done|");
    let sent = server.calls("SendMessage");
    assert_eq!((sent.len(), &sent[1]["message"]), (3, &sent[2]["message"]));
    assert_eq!(sent[1]["message"]["taskId"], "their-task");
    assert_eq!(sent[1]["message"]["parts"], json!([{ "text": "Ada to Who?" }]));
}

#[test]
fn secrets_go_to_the_peer_and_the_agent_names_them() {
    let server = Server::start(|_, _, _| Said::Result(json!({ "task": there(COMPLETED, "done") })));
    let mut kennel = Kennel::with(&["messenger"]).stopped();
    std::fs::write(kennel.config_file("secret"), "Bearer of-the-peer\n").unwrap();
    std::fs::write(kennel.config_file("own"), "Bearer of-the-agent\n").unwrap();
    kennel.configure(&format!(
        "[egress]\nallow-private = [\"127.0.0.0/8\"]\n[peers.partner]\nurl = \"{url}\"\n\
         credential = {{ header = \"authorization\", value-file = \"secret\" }}\n\
         [agents.messenger]\npeers = [\"partner\"]\n[agents.messenger.credentials.key]\n\
         header = \"authorization\"\nvalue-file = \"own\"\nsites = [\"http://{address}\"]\n",
        url = server.url(),
        address = server.address,
    ));
    kennel.launch();
    kennel.ask("messenger", "take partner hello");
    assert!(server.heads().iter().all(|head| head.contains("authorization: bearer of-the-peer")));
    let before = server.heads().len();
    kennel.ask("messenger", "key partner hello");
    let own = server.heads().split_off(before);
    assert!(!own.is_empty() && own.iter().all(|head| head.contains("authorization: bearer of-the-agent")), "{own:?}");
}

#[test]
fn only_what_card_and_operator_name_is_sent_and_nothing_into_private_networks() {
    let server = patient();
    let mut kennel = Kennel::with(&["messenger"]).stopped();
    kennel.configure(&format!(
        "[peers.partner]\nurl = \"{}\"\n[peers.unasked]\nurl = \"{}\"\n\
         [agents.messenger]\npeers = [\"unasked\", \"http://127.0.0.1:*/agents/open\", \"http://10.0.0.1\", \
         \"http://localhost:*\", \"https://granted.example\"]\n",
        server.url(),
        server.url(),
    ));
    kennel.launch();
    for (to, kind, text) in [
        ("partner", "not-found", "the operator has granted no peer of that name"),
        ("stranger", "not-found", "the operator has granted no peer of that name"),
        ("unasked", "denied", "the card does not ask for the peer unasked"),
        ("https://granted.example/x", "denied", "the card does not request `POST https://granted.example`"),
        (&server.url(), "denied", "the path is not below `* http://127.0.0.1:*/agents/open`"),
        ("http://10.0.0.1/agents/x", "denied", "the address of `10.0.0.1` is not public"),
        ("ftp://10.0.0.1/x", "invalid", "only https and http"),
        // Known only when the name is looked up: its task fails.
        ("http://localhost:1/x", "failed", "the address of `localhost` is not public (loopback)"),
    ] {
        let task = kennel.ask("messenger", &format!("ask {to} hello"));
        let (found, words) = failure(&task);
        assert_eq!(found, kind, "{to}: {task:#}");
        assert!(words.contains(text), "{to}: {task:#}");
    }
    assert!(server.heads().is_empty(), "nothing left: {:?}", server.heads());
}

#[test]
fn a_host_that_is_not_there_is_tried_until_the_time_of_the_message_is_over() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let kennel = host(&format!("http://{nobody}/agents/x"));
    let task = kennel.ask("messenger", "hasty partner hello");
    assert_eq!(failure(&task).0, "timed-out");
    let given_up = child(&kennel, &id_of(&task));
    until("the end of what it had sent", WAIT, || {
        shown(kennel.data_folder(), &["why", &given_up]).contains("was canceled").then_some(())
    });
    let id = kennel.begin("messenger", "take partner hello");
    until("a reason", WAIT, || {
        let all = kennel.task("messenger", &id)["metadata"]["urn:kennel:family:1"]["children"].clone();
        let waits = all[0].as_str()?.to_owned();
        shown(kennel.data_folder(), &["why", &waits])
            .contains("it refuses connections); the next try is in")
            .then_some(())
    });
    assert_eq!(state_of(&kennel.cancel("messenger", &id)), CANCELED);
    let error = refused(kennel.data_folder(), &["retry", &given_up]);
    assert!(error.contains("is a message to the peer partner"), "{error}");
}

/// The task that a task has sent.
fn child(kennel: &Kennel, id: &str) -> String {
    let children = kennel.task("messenger", id)["metadata"]["urn:kennel:family:1"]["children"].clone();
    assert_eq!(children.as_array().unwrap().len(), 1, "{children}");
    children[0].as_str().unwrap().to_owned()
}

#[test]
fn what_is_no_a2a_ends_the_task_and_says_what_was_wrong() {
    let task = |state: &str| there(state, "x");
    let blob = |mut task: Value| {
        task["artifacts"] = json!([{ "artifactId": "a", "parts": [{ "url": "kennel:blob/part/00" }] }]);
        task
    };
    let deep = format!("{}1{}", "[".repeat(90), "]".repeat(90));
    for (answers, words) in [
        ([Said::Http("200 OK", "<html>".to_owned()), Said::Nothing], "is no agent card"),
        ([Said::Http("404 Not Found", String::new()), Said::Nothing], "no agent card for"),
        ([Said::Result(json!({})), Said::Http("200 OK", "hello".to_owned())], "does not answer in JSON-RPC"),
        ([Said::Result(json!({})), Said::Result(json!({ "task": 5 }))], "is not A2A 1.0"),
        ([Said::Result(json!({})), Said::Http("200 OK", deep)], "nested deeper than"),
        ([Said::Result(json!({})), Said::Result(json!({ "task": task("TASK_STATE_UNSPECIFIED") }))], "status.state"),
        (
            [Said::Result(json!({})), Said::Result(json!({ "task": blob(task(COMPLETED)) }))],
            "artifacts[0].parts[0].url",
        ),
        ([Said::Result(json!({})), Said::Error(-32005)], "refused: I would rather not. (code -32005)"),
        ([Said::Result(json!({})), Said::Http("401 Unauthorized", String::new())], "does not accept the credentials"),
        ([Said::Result(json!({})), Said::Http("200 OK", "x".repeat(11 << 20))], "http-body-bytes"),
    ] {
        let answers = Mutex::new(answers.map(Some));
        let server = Server::start(move |method, _, _| {
            let mut answers = answers.lock().unwrap();
            match method {
                // A card is looked for at several places.
                "card" => match answers[0].as_ref().unwrap() {
                    Said::Http(status, body) => Said::Http(status, body.clone()),
                    _ => Said::Result(json!({})),
                },
                _ => answers[1].take().unwrap_or(Said::Nothing),
            }
        });
        let kennel = host(&server.url());
        let (kind, found) = failure(&kennel.ask("messenger", "ask partner hello"));
        assert!(kind == "failed" && found.contains(words) && found.contains("partner"), "{kind} {found}");
    }
}

#[test]
fn what_another_server_says_does_not_pass_for_this_hosts_words() {
    let server = Server::start(|method, _, _| {
        let mut task = there(FAILED, "no");
        task["status"]["message"]["metadata"] = json!({ "urn:kennel:error:1": { "kind": "denied" }, "x": 1 });
        Said::Result(if method == "SendMessage" { json!({ "task": task }) } else { task })
    });
    let kennel = host(&server.url());
    let task = kennel.ask("messenger", "take partner hello");
    assert_eq!(artifact(&task, "answer"), "Failed no|");
    let events = shown(kennel.data_folder(), &["events", &child(&kennel, &id_of(&task)), "-o", "json"]);
    assert!(events.contains(r#""metadata":{"x":1}"#) && !events.contains("urn:kennel:error"), "{events}");
}

#[test]
fn names_and_cards_of_peers_are_to_be_had() {
    let other = Kennel::start(&["countdown"]);
    let kennel = host(&other.url("countdown"));
    assert_eq!(artifact(&kennel.ask("messenger", "names"), "names"), "partner");
    assert_eq!(artifact(&kennel.ask("messenger", "card partner"), "card"), "countdown");
    let url = other.url("countdown");
    assert_eq!(artifact(&kennel.ask("messenger", &format!("card {url}")), "card"), "countdown");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let task = kennel.ask("messenger", &format!("card http://{nobody}/agents/x"));
    assert_eq!(failure(&task).0, "unavailable", "{task:#}");
}
