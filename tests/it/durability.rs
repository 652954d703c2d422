//! No answer before its commit is on disk, shown at the place where the disk is: `fdatasync`.
//!
//! A small library, loaded before libc, holds every `fdatasync` of the host while a gate file exists. While one is held nothing of the
//! task may be told to anybody; once the gate is open the answer comes. The library is compiled here, by the C compiler that Kennel needs anyway.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Kennel, call, message, message_to, state_of, until};
use crate::http::WAIT;

/// How long nothing must be heard while a sync is held: some hundred times what an answer takes.
const SILENCE: Duration = Duration::from_millis(700);

const HOLD: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int fdatasync(int file) {
    int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
    const char *gate = getenv("GATE"), *held = getenv("HELD");
    struct timespec pause = {0, 1000000};
    while (gate && held && access(gate, F_OK) == 0) {
        close(open(held, O_CREAT | O_WRONLY, 0600));
        nanosleep(&pause, 0);
    }
    return real(file);
}
"#;

/// Makes a library to be loaded before libc.
pub(crate) fn compile(source: &str, library: &Path) {
    let file = library.with_extension("c");
    std::fs::write(&file, source).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(library).arg(&file).arg("-ldl").status();
    assert!(built.expect("a C compiler named cc").success());
}

/// Holds the syncs of a host.
struct Gate {
    folder: TempDir,
}

impl Gate {
    fn new() -> Gate {
        let folder = TempDir::with_prefix("kennel-gate-").unwrap();
        let gate = Gate { folder };
        compile(HOLD, &gate.library());
        gate
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("hold.so")
    }

    fn gate(&self) -> PathBuf {
        self.folder.path().join("gate")
    }

    fn held(&self) -> PathBuf {
        self.folder.path().join("held")
    }

    fn host(&self, agents: &[&str]) -> Kennel {
        Kennel::with(agents)
            .variable("LD_PRELOAD", &self.library())
            .variable("GATE", &self.gate())
            .variable("HELD", &self.held())
            .start()
    }

    fn close(&self) {
        std::fs::write(self.gate(), "").unwrap();
    }

    /// Lets the syncs go. What was held is forgotten.
    fn open(&self) {
        std::fs::remove_file(self.gate()).unwrap();
        std::fs::remove_file(self.held()).unwrap();
    }
}

fn exists(path: &Path) -> Option<()> {
    path.exists().then_some(())
}

/// Does something that writes: nothing of it may be heard while its sync is held, and all of it after.
fn is_silent_until_synced<T: Send>(gate: &Gate, act: impl FnOnce() -> T + Send) -> T {
    gate.close();
    std::thread::scope(|threads| {
        let acting = threads.spawn(act);
        until("the host syncs", WAIT, || exists(&gate.held()));
        let began = Instant::now();
        while began.elapsed() < SILENCE {
            assert!(!acting.is_finished(), "something was told before it was on disk");
            std::thread::yield_now();
        }
        gate.open();
        acting.join().unwrap()
    })
}

#[test]
fn no_answer_comes_before_its_commit_is_on_disk() {
    let gate = Gate::new();
    let kennel = gate.host(&["echo", "interview"]);
    let task = is_silent_until_synced(&gate, || kennel.ask("echo", "hello"));
    assert_eq!(state_of(&task), "TASK_STATE_COMPLETED");

    let mut params = message("at once");
    params["configuration"] = json!({"returnImmediately": true});
    is_silent_until_synced(&gate, || kennel.result("echo", "SendMessage", params));

    let asked = kennel.ask("interview", "interview me");
    let id = asked["id"].as_str().unwrap();
    let asked_again = is_silent_until_synced(&gate, || kennel.answer("interview", id, "Ada"));
    assert_eq!(state_of(&asked_again), "TASK_STATE_INPUT_REQUIRED");

    let canceled = is_silent_until_synced(&gate, || kennel.cancel("interview", id));
    assert_eq!(state_of(&canceled), "TASK_STATE_CANCELED");
}

#[test]
fn no_stream_begins_and_no_event_shows_before_its_commit_is_on_disk() {
    let gate = Gate::new();
    let kennel = gate.host(&["echo", "interview"]);
    let first = is_silent_until_synced(&gate, || {
        kennel.stream("echo", "SendStreamingMessage", message("hello")).next_event().unwrap()
    });
    assert_eq!(first.kind(), "task");

    // A subscriber sees what an answer does to the task only once that is on disk, and readers see the old prompt meanwhile.
    let asked = kennel.ask("interview", "interview me");
    let id = asked["id"].as_str().unwrap();
    let mut watched = kennel.subscribe("interview", id);
    watched.next_event().unwrap();
    let request = call("interview", "SendMessage", message_to(id, "Ada"));
    std::thread::scope(|threads| {
        let event = is_silent_until_synced(&gate, || {
            let answering = threads.spawn(|| kennel.send(&request));
            let event = watched.next_event().unwrap();
            answering.join().unwrap();
            event
        });
        assert_eq!(event.state(), "TASK_STATE_WORKING");
    });
}
