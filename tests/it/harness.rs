//! A real host for one test: the binary on a free port, with a data folder and an agents folder of its own.
//!
//! Dropped, it is told to stop, and must end well and without an error line.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::events::Events;
use crate::http::{Answer, Reply, Request, WAIT, exchange};
use crate::plugins;

/// How a host is started.
pub(crate) struct Builder {
    agents: Vec<(String, PathBuf)>,
    args: Vec<String>,
    environment: Vec<(String, PathBuf)>,
    data: Option<PathBuf>,
}

/// A running host.
pub(crate) struct Kennel {
    folder: TempDir,
    args: Vec<String>,
    environment: Vec<(String, PathBuf)>,
    data: PathBuf,
    /// Arguments of the next start only.
    trial: Vec<String>,
    process: Option<Process>,
}

/// The process and what it said.
struct Process {
    child: Child,
    /// Known once it listens.
    address: Option<SocketAddr>,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Builder {
    /// Serves these plugins under their own names.
    pub(crate) fn agents(mut self, names: &[&str]) -> Builder {
        self.agents.extend(names.iter().map(|name| ((*name).to_owned(), plugins::file(name))));
        self
    }

    /// Serves a plugin under another name.
    pub(crate) fn agent_as(mut self, name: &str, plugin: &str) -> Builder {
        self.agents.push((name.to_owned(), plugins::file(plugin)));
        self
    }

    /// One more argument of `kennel serve`.
    pub(crate) fn arg(mut self, arg: &str) -> Builder {
        self.args.push(arg.to_owned());
        self
    }

    /// One more variable of the process.
    pub(crate) fn variable(mut self, name: &str, value: &Path) -> Builder {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Seconds that work may go on after SIGTERM; else 1, so that waiting tasks do not hold a test up.
    pub(crate) fn drain(self, seconds: u32) -> Builder {
        self.arg("--drain").arg(&seconds.to_string())
    }

    /// A data folder that outlives the host.
    pub(crate) fn data(mut self, folder: &Path) -> Builder {
        self.data = Some(folder.to_owned());
        self
    }

    /// Prepares the folders, and does not start yet.
    pub(crate) fn stopped(self) -> Kennel {
        let folder = TempDir::with_prefix("kennel-it-").expect("a temporary folder");
        std::fs::create_dir(folder.path().join("agents")).expect("the agents folder");
        let data = self.data.unwrap_or_else(|| folder.path().join("data"));
        let kennel =
            Kennel { folder, args: self.args, environment: self.environment, data, trial: Vec::new(), process: None };
        for (name, file) in self.agents {
            plugins::copy(&file, &kennel.agent_file(&name));
        }
        kennel
    }

    /// Starts the host and waits until it listens.
    pub(crate) fn start(self) -> Kennel {
        let mut kennel = self.stopped();
        kennel.launch();
        kennel
    }
}

impl Kennel {
    /// A host with these plugins.
    pub(crate) fn start(agents: &[&str]) -> Kennel {
        Kennel::with(agents).start()
    }

    /// A host with these plugins and more to be said.
    pub(crate) fn with(agents: &[&str]) -> Builder {
        Builder { agents: Vec::new(), args: Vec::new(), environment: Vec::new(), data: None }.agents(agents)
    }

    /// Starts the process with faults on purpose, which the next start does not have.
    pub(crate) fn launch_on_trial(&mut self, args: &[&str]) {
        self.trial = args.iter().map(|arg| (*arg).to_owned()).collect();
        self.launch();
        self.trial.clear();
    }

    /// Starts the process on the same folders and waits until it listens.
    pub(crate) fn launch(&mut self) {
        self.spawn();
        self.listens();
    }

    /// Starts the process on the same folders and does not wait.
    pub(crate) fn spawn(&mut self) {
        self.process = Some(Process::start(&mut self.command()));
    }

    /// Waits until the process listens.
    pub(crate) fn listens(&mut self) {
        let process = self.process.as_mut().expect("the host runs");
        let address = wait_for(WAIT, || match process.child.try_wait().expect("its state") {
            Some(_) => Some(None),
            None => lock(&process.stdout).split_once('\n').map(|(line, _)| address_in(line)),
        });
        process.address = address.flatten();
        if process.address.is_none() {
            process.child.kill().ok();
            let status = process.child.wait();
            panic!("the host does not listen ({status:?}):\n{}", process.said());
        }
    }

    /// Runs the binary on the same folders, for a start that fails: how it ended and what it wrote to stderr.
    pub(crate) fn launch_in_vain(&self) -> (ExitStatus, String) {
        let mut process = Process::start(&mut self.command());
        let status = ended(&mut process.child, WAIT);
        if status.is_none() {
            process.child.kill().expect("killed");
        }
        let said = process.said();
        (status.unwrap_or_else(|| panic!("the host started, or hangs:\n{said}")), said)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kennel"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&self.data);
        command.arg("--agents").arg(self.agents_folder()).args(&self.args).args(&self.trial);
        if !self.args.iter().any(|arg| arg == "--drain") {
            command.args(["--drain", "1"]);
        }
        if is_without_pokes() {
            command.arg("--no-pokes");
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("the host runs")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process().address.expect("the host listens")
    }

    /// The base of its urls: `http://HOST:PORT`.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The url of an agent.
    pub(crate) fn url(&self, agent: &str) -> String {
        format!("{}/agents/{agent}", self.base())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process().child.id()
    }

    pub(crate) fn agents_folder(&self) -> PathBuf {
        self.folder.path().join("agents")
    }

    pub(crate) fn agent_file(&self, name: &str) -> PathBuf {
        self.agents_folder().join(format!("{name}.wasm"))
    }

    /// A file beside the configuration.
    pub(crate) fn config_file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts from now on with this configuration.
    pub(crate) fn configure(&mut self, text: &str) {
        let path = self.config_file("kennel.toml");
        std::fs::write(&path, text).expect("the configuration is written");
        self.args.extend(["--config".to_owned(), path.display().to_string()]);
    }

    pub(crate) fn data_folder(&self) -> &Path {
        &self.data
    }

    /// What the host has written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        lock(&self.process().stderr).clone()
    }

    /// Waits until a text is on stderr.
    pub(crate) fn says(&self, text: &str) {
        until(&format!("{text:?} on stderr"), WAIT, || self.stderr().contains(text).then_some(()));
    }

    /// Sends a request as it is.
    pub(crate) fn send(&self, request: &Request) -> Reply {
        exchange(self.address(), request, WAIT)
            .unwrap_or_else(|error| panic!("{} {}: {error}\n{}", request.method, request.path, self.tail()))
    }

    /// Sends a request and gives back what there is of the answer: its head.
    pub(crate) fn open(&self, request: &Request) -> Answer {
        Answer::to(self.address(), request, WAIT)
            .unwrap_or_else(|error| panic!("{} {}: {error}\n{}", request.method, request.path, self.tail()))
    }

    /// One JSON-RPC call: the whole envelope.
    pub(crate) fn rpc(&self, agent: &str, method: &str, params: Value) -> Value {
        let reply = self.send(&call(agent, method, params));
        assert_eq!(reply.status, 200, "{method} at {agent}: {}", reply.text());
        let envelope = reply.json();
        assert_eq!((&envelope["jsonrpc"], &envelope["id"]), (&json!("2.0"), &json!(1)), "{envelope}");
        envelope
    }

    /// The result of a call that must succeed.
    pub(crate) fn result(&self, agent: &str, method: &str, params: Value) -> Value {
        let mut envelope = self.rpc(agent, method, params);
        assert!(envelope.get("error").is_none(), "{method} at {agent} failed: {envelope:#}");
        envelope["result"].take()
    }

    /// The error of a call that must fail.
    pub(crate) fn error(&self, agent: &str, method: &str, params: Value) -> Value {
        let mut envelope = self.rpc(agent, method, params);
        assert!(envelope.get("result").is_none(), "{method} at {agent} did not fail: {envelope:#}");
        envelope["error"].take()
    }

    /// A call that is answered with a stream.
    pub(crate) fn stream(&self, agent: &str, method: &str, params: Value) -> Events {
        Events::new(self.open(&call(agent, method, params)))
    }

    /// SubscribeToTask, as a client that comes back.
    pub(crate) fn resume(&self, agent: &str, task: &str, last_event_id: &str) -> Events {
        let request = call(agent, "SubscribeToTask", json!({ "id": task }));
        Events::new(self.open(&request.header("last-event-id", last_event_id)))
    }

    /// SubscribeToTask.
    pub(crate) fn subscribe(&self, agent: &str, task: &str) -> Events {
        self.stream(agent, "SubscribeToTask", json!({ "id": task }))
    }

    /// Sends a text as a new task and waits for its stop: the Task.
    pub(crate) fn ask(&self, agent: &str, text: &str) -> Value {
        self.result(agent, "SendMessage", message(text))["task"].take()
    }

    /// Sends a text as a new task and does not wait: its id.
    pub(crate) fn begin(&self, agent: &str, text: &str) -> String {
        let mut params = message(text);
        params["configuration"] = json!({ "returnImmediately": true });
        let result = self.result(agent, "SendMessage", params);
        result["task"]["id"].as_str().unwrap_or_else(|| panic!("no task in {result}")).to_owned()
    }

    /// Answers a task and waits for its next stop: the Task.
    pub(crate) fn answer(&self, agent: &str, task: &str, text: &str) -> Value {
        self.result(agent, "SendMessage", message_to(task, text))["task"].take()
    }

    pub(crate) fn task(&self, agent: &str, id: &str) -> Value {
        self.result(agent, "GetTask", json!({ "id": id }))
    }

    pub(crate) fn cancel(&self, agent: &str, id: &str) -> Value {
        self.result(agent, "CancelTask", json!({ "id": id }))
    }

    /// Waits until a task is in a state: the Task.
    pub(crate) fn reaches(&self, agent: &str, id: &str, state: &str) -> Value {
        let mut last = Value::Null;
        let found = wait_for(WAIT, || {
            last = self.task(agent, id);
            (state_of(&last) == state || is_over(&last)).then(|| last.clone())
        });
        let found = found.filter(|task| state_of(task) == state);
        found.unwrap_or_else(|| panic!("the task did not become {state}: {last:#}\n{}", self.tail()))
    }

    /// Waits until a text is in a task's first artifact.
    pub(crate) fn reaches_text(&self, agent: &str, id: &str, text: &str) {
        until(&format!("{text:?} in the artifact"), WAIT, || {
            text_of(&self.task(agent, id)["artifacts"][0]).contains(text).then_some(())
        });
    }

    /// Tells the process to stop and does not wait.
    pub(crate) fn terminate(&self) {
        signal(&self.process().child, Signal::TERM);
    }

    /// Waits for the end of a process that was told to stop.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("the host runs");
        let status = ended(&mut process.child, WAIT);
        if status.is_none() {
            process.child.kill().expect("killed");
        }
        let said = process.said();
        let status = status.unwrap_or_else(|| panic!("the host does not end:\n{said}"));
        let line = said.lines().find(|line| is_error(line));
        assert!(line.is_none(), "an error line: {}\nin\n{}", line.unwrap_or_default(), tail(&said));
        status
    }

    /// Stops the process in order, which must succeed.
    pub(crate) fn stop(&mut self) {
        self.terminate();
        let status = self.ended();
        assert!(status.success(), "the host ended with {status}");
    }

    /// Waits for a process that ends itself, as by kill -9: what it had said.
    pub(crate) fn dies(&mut self) -> String {
        let (status, said) = self.ends();
        assert!(status.code().is_none(), "it ended with {status}:\n{}", tail(&said));
        said
    }

    /// Waits for a process that ends itself and is not content: how, and what it had said.
    pub(crate) fn ends(&mut self) -> (ExitStatus, String) {
        let mut process = self.process.take().expect("the host runs");
        let status = ended(&mut process.child, WAIT);
        if status.is_none() {
            process.child.kill().expect("killed");
        }
        let said = process.said();
        let status = status.unwrap_or_else(|| panic!("the host lives:\n{}", tail(&said)));
        assert!(!status.success(), "it ended with {status}:\n{}", tail(&said));
        (status, said)
    }

    /// Whether the process has ended by itself.
    pub(crate) fn is_dead(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.child.try_wait().expect("its state").is_some())
    }

    /// Ends the process as a power cut would.
    pub(crate) fn kill9(&mut self) {
        let mut process = self.process.take().expect("the host runs");
        process.child.kill().expect("killed");
        process.child.wait().expect("its end");
        process.said();
    }

    /// Stops in order and starts again on the same folders.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    fn tail(&self) -> String {
        self.process.as_ref().map(|process| tail(&lock(&process.stderr))).unwrap_or_default()
    }
}

impl Drop for Kennel {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Some(mut process) = self.process.take() {
                process.child.kill().ok();
                process.child.wait().ok();
                eprintln!("--- the host said:\n{}", tail(&process.said()));
            }
        } else if self.process.is_some() {
            self.stop();
        }
    }
}

impl Process {
    fn start(command: &mut Command) -> Process {
        let mut child = command.spawn().expect("the binary starts");
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().expect("stdout"), Arc::clone(&stdout)),
            collect(child.stderr.take().expect("stderr"), Arc::clone(&stderr)),
        ];
        Process { child, address: None, stdout, stderr, readers }
    }

    /// All that it wrote to stderr. The process has ended.
    fn said(&mut self) -> String {
        for reader in self.readers.drain(..) {
            reader.join().expect("the reader");
        }
        lock(&self.stderr).clone()
    }
}

/// Whether the hosts of this run announce nothing and find everything by polling.
pub(crate) fn is_without_pokes() -> bool {
    std::env::var_os("KENNEL_TEST_POKES").is_some_and(|pokes| pokes == "off")
}

/// A JSON-RPC request of A2A 1.0.
pub(crate) fn call(agent: &str, method: &str, params: Value) -> Request {
    let mut body = json!({ "jsonrpc": "2.0", "id": 1, "method": method });
    body["params"] = params;
    Request::post(&format!("/agents/{agent}"), body.to_string())
}

/// Params of a send that makes a task.
pub(crate) fn message(text: &str) -> Value {
    json!({ "message": { "messageId": fresh("m"), "role": "ROLE_USER", "parts": [{ "text": text }] } })
}

/// Params of a send to a task.
pub(crate) fn message_to(task: &str, text: &str) -> Value {
    let mut params = message(text);
    params["message"]["taskId"] = json!(task);
    params
}

/// A name that no other call of this process gives.
pub(crate) fn fresh(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn state_of(task: &Value) -> &str {
    task["status"]["state"].as_str().unwrap_or("")
}

/// Whether a task is in a terminal state.
pub(crate) fn is_over(task: &Value) -> bool {
    let over = ["COMPLETED", "FAILED", "CANCELED", "REJECTED"];
    state_of(task).strip_prefix("TASK_STATE_").is_some_and(|state| over.contains(&state))
}

/// The text of the status message.
pub(crate) fn status_text(task: &Value) -> String {
    text_of(&task["status"]["message"])
}

/// The texts of the parts of a message or an artifact.
pub(crate) fn text_of(parts: &Value) -> String {
    let parts = parts["parts"].as_array().cloned().unwrap_or_default();
    parts.iter().filter_map(|part| part["text"].as_str()).collect()
}

/// The id of a task.
pub(crate) fn id_of(task: &Value) -> String {
    task["id"].as_str().unwrap_or_else(|| panic!("no id in {task}")).to_owned()
}

/// Waits for a condition; what it gives.
pub(crate) fn until<T>(what: &str, wait: Duration, look: impl FnMut() -> Option<T>) -> T {
    wait_for(wait, look).unwrap_or_else(|| panic!("{what}: not within {wait:?}"))
}

/// Between two looks at something that changes by itself.
#[expect(clippy::disallowed_methods, reason = "every loop around it has a condition and a deadline")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Waits for a condition; none: it was not met in time.
pub(crate) fn wait_for<T>(wait: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + wait;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        pause();
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("the signal is sent");
}

fn ended(child: &mut Child, wait: Duration) -> Option<ExitStatus> {
    wait_for(wait, || child.try_wait().expect("its state"))
}

/// A problem that a person must look at, or a panic of the host itself. What agents say does not count.
fn is_error(line: &str) -> bool {
    (line.contains(" ERROR ") && !line.contains(" ERROR guest:"))
        || (line.starts_with("thread '") && line.contains("panicked at"))
}

/// The address in the first line of stdout.
fn address_in(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("listening http://")?.parse().ok()
}

fn collect(mut output: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut bytes = vec![0; 16 << 10];
        while let Ok(count @ 1..) = output.read(&mut bytes) {
            lock(&into).push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    })
}

fn lock(text: &Mutex<String>) -> MutexGuard<'_, String> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
