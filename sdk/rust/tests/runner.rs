//! The runner itself: what a script says, what a test sees of it, and what it reads when the two disagree.

use kennel::ask::Auth;
use kennel::http::Piece;
use kennel::info::TaskState;
use kennel::kv::Scope;
use kennel::peer::Answer;
use kennel::prelude::*;
use kennel::test::{Http, Peer, Run, Runner};
use kennel::{Agent, Status};

/// The text with which a test fails.
fn failure(run: impl FnOnce() -> Run + std::panic::UnwindSafe) -> String {
    let payload = std::panic::catch_unwind(run).map(|run| run.to_string()).expect_err("the test fails");
    payload.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_client_answers_and_everything_is_recorded_in_order() {
    let run = Runner::new("hello").answer("green").answer("red").run(|task| {
        let color = task.ask("Red or blue?").one_of(["red", "blue"]).text()?;
        task.say("noted")?;
        task.progress(50, "half")?;
        log::field("color", &color).info("asked");
        task.publish("color", color)?;
        done_with("Thank you.")
    });
    assert_eq!(run.state(), TaskState::Completed);
    assert_eq!((run.text().as_str(), run.artifact("color").as_text().as_str()), ("Thank you.", "red"));
    assert_eq!((run.asked(), run.said()), (vec!["Red or blue?".to_owned()], vec!["noted".to_owned()]));
    assert_eq!(run.logs(), ["info: asked color=red"]);
    assert_eq!(
        run.calls(),
        [
            r#"ask "Red or blue?" -> "green", which does not meet the schema"#,
            r#"ask "Red or blue?" -> "red""#,
            r#"say "noted""#,
            r#"progress 50% "half""#,
            r#"publish color: "red""#,
        ]
    );
    let texts: Vec<String> = run.messages().iter().map(Message::text).collect();
    assert_eq!(texts, ["hello", "Red or blue?", "red", "noted"]);
}

#[test]
fn a_question_without_an_answer_in_the_script_fails_the_test_and_says_what_to_add() {
    let text = failure(|| {
        Runner::new("hello").answer("Ada").run(|task| {
            task.ask("Name?").text()?;
            task.ask("Color?").text()?;
            done()
        })
    });
    let expected = "the script and the agent disagree: the agent asks \"Color?\", and the script has no answer left: \
         add Runner::answer, no_answer or cancel\n\nso far:\n  1. ask \"Name?\" -> \"Ada\"\n";
    assert_eq!(text, expected);
}

#[test]
fn what_the_agent_leaves_of_the_script_fails_the_test() {
    let text = failure(|| Runner::new("hello").answer("Ada").peer("hotel", "room 12").run(|_| done()));
    assert!(text.contains("left the answer \"Ada\", an answer of the agent hotel"), "{text}");
}

#[test]
fn time_is_the_scripts() {
    let run = Runner::new("wait").no_answer().run(|task| {
        let began = task.now();
        task.sleep(days(3))?;
        assert_eq!(task.ask("Still there?").timeout(hours(1)).answer()?, None);
        assert_eq!(task.now().duration_since(began)?, days(3) + hours(1));
        task.sleep_until(began)?;
        done()
    });
    assert_eq!(run.elapsed(), days(3) + hours(1));
}

#[test]
fn a_wish_to_cancel_ends_a_wait_and_the_task() {
    let agent = |task: Task| {
        task.sleep(minutes(5))?;
        done()
    };
    let run = Runner::new("wait").cancel_after(minutes(2)).run(agent);
    assert_eq!((run.state(), run.elapsed()), (TaskState::Canceled, minutes(2)));
    assert_eq!(Runner::new("wait").cancel_after(minutes(9)).run(agent).state(), TaskState::Completed);

    let run = Runner::new("ask").cancel().run(|task| {
        let error = task.ask("Go on?").text().unwrap_err();
        assert!(error.is_canceled() && task.canceled().is_some());
        assert!(task.sleep(seconds(1)).unwrap_err().is_canceled(), "nothing waits any more");
        task.publish("half", "done")?;
        canceled()
    });
    assert_eq!((run.state(), run.artifacts().len()), (TaskState::Canceled, 1));
}

#[test]
fn messages_come_when_the_script_says() {
    let run = Runner::new("one").message("two").message_after(seconds(9), "three").run(|task| {
        let first = task.next_message(None)?;
        let early = task.next_message(seconds(5))?;
        let late = task.next_message(seconds(5))?;
        let texts = [first, early, late].map(|message| message.map(|message| message.text()));
        assert_eq!(texts, [Some("two".to_owned()), None, Some("three".to_owned())]);
        assert_eq!(task.history(10)?.len(), 3);
        done()
    });
    assert_eq!(run.elapsed(), seconds(9));
    assert!(
        failure(|| Runner::new("one").run(|task| task.next_message(None).map(|_| Outcome::Completed(None))))
            .contains("the agent waits for ever")
    );
}

#[test]
fn authorization_is_granted_refused_or_there_already() {
    let ask = |task: &Task| task.require_auth("calendar", "To see free days.").answer();
    Runner::new("x").credential("calendar").run(|task| {
        assert_eq!(ask(&task)?, Auth::Granted("calendar".into()));
        done()
    });
    let run = Runner::new("x").answer("no").no_answer().grant().run(|task| {
        assert!(matches!(ask(&task)?, Auth::Reply(message) if message.text() == "no"));
        assert_eq!(ask(&task)?, Auth::TimedOut);
        assert_eq!(ask(&task)?, Auth::Granted("calendar".into()));
        assert_eq!(task.credentials(), ["calendar"]);
        done()
    });
    assert_eq!(run.asked().len(), 3);
}

#[test]
fn artifacts_in_pieces_are_whole() {
    let run = Runner::new("x").run(|task| {
        let mut lines = task.open("lines")?;
        lines.append("a\n")?;
        lines.append("b\n")?;
        assert!(task.publish_artifact(Artifact::text("other", "x").id(lines.id())).is_err(), "it is open");
        lines.close_with("c\n")?;
        task.publish_artifact(Artifact::text("note", "old").id("n"))?;
        task.publish_artifact(Artifact::text("note", "new").id("n"))?;
        done()
    });
    assert_eq!(run.artifact("lines").as_text(), "a\nb\nc\n");
    assert_eq!((run.artifacts().len(), run.artifact("note").as_text().as_str()), (2, "new"));
}

#[test]
fn services_answer_by_method_and_url_in_the_order_of_the_script() {
    let url = "https://api.example.com/x";
    let script = Runner::new("x")
        .http("GET", url, 503)
        .http("GET", url, json!([1]))
        .http("POST", url, Http::new(201, "made").header("location", "/1").after(seconds(20)))
        .http("GET", "https://slow.example.com", Http::from("late").after(seconds(20)));
    let run = script.run(|task| {
        assert_eq!(task.get(url).fetch()?.status, 503);
        assert_eq!(task.get(url).fetch()?.json::<Vec<u8>>()?, [1]);
        let made = task.post(url).body("{}").start()?;
        let late = task.get("https://slow.example.com").timeout(seconds(9)).start()?;
        assert_eq!(task.wait_any(&[&made, &late], seconds(5))?, None);
        assert_eq!(task.wait_any(&[&made, &late], None)?, Some(1));
        let late = late.take().unwrap_err();
        assert!(late.is_timed_out() && late.retryable, "a GET may be sent again");
        assert_eq!(made.take()?.header("Location"), Some("/1"));
        done()
    });
    assert_eq!((run.requests().len(), run.elapsed()), (4, seconds(20)));
    let text = failure(|| {
        Runner::new("x").http("GET", "https://a.example", "a").run(|task| {
            task.get("https://b.example").fetch()?;
            done()
        })
    });
    assert!(
        text.contains("requests GET https://b.example") && text.contains("a response to GET https://a.example"),
        "{text}"
    );
}

#[test]
fn bodies_come_in_pieces_with_time_between_and_may_break_off() {
    let url = "https://api.example.com/stream";
    let script =
        Runner::new("x").http("GET", url, Http::pieces(["a", "b"]).after(seconds(1)).every(seconds(2)).interrupted());
    let run = script.run(|task| {
        let mut body = task.get(url).open()?;
        assert_eq!(body.head()?.status, 200);
        assert_eq!(body.read_within(seconds(1))?, None);
        assert_eq!(body.read()?, Piece::Data(b"a".to_vec()));
        assert_eq!((body.read()?, body.read()?), (Piece::Data(b"b".to_vec()), Piece::Interrupted));
        assert_eq!(body.read().unwrap_err().kind, ErrorKind::NotFound);
        done()
    });
    assert_eq!(run.elapsed(), seconds(5));
}

#[test]
fn other_agents_answer_by_name() {
    let script = Runner::new("x")
        .peer("hotel", Peer::asks("Which room?").after(minutes(1)))
        .peer("hotel", "room 12")
        .peer("quick", Peer::says("hi"))
        .peer("slow", Peer::from("never").after(hours(1)))
        .peer("bad", Peer::fails("full"));
    let run = script.run(|task| {
        assert_eq!(task.peers(), ["bad", "hotel", "quick", "slow"]);
        let asked = task.peer("hotel").send("a room")?.take()?;
        assert_eq!(asked.task().map(|task| task.state), Some(TaskState::InputRequired));
        assert_eq!(task.peer("hotel").resume(&asked).ask("12")?.text(), "room 12");
        assert!(matches!(task.peer("quick").ask("hi")?, Answer::Message(_)));
        assert!(task.peer("slow").timeout(seconds(5)).ask("hi").unwrap_err().is_timed_out());
        assert_eq!(task.peer("bad").ask("hi").unwrap_err().code, "peer.failed");
        assert_eq!(task.related("hotel-1")?.text(), "room 12");
        done()
    });
    assert_eq!(run.sent()[1].task_id.as_deref(), Some("hotel-1"));
    assert_eq!((run.sent().len(), run.elapsed()), (5, minutes(1) + seconds(5)));
}

#[test]
fn a_child_is_canceled_while_it_works() {
    Runner::new("x").peer("slow", Peer::from("never").after(hours(1))).run(|task| {
        let child = task.peer("slow").send("hi")?;
        child.cancel(Some("enough"))?;
        assert_eq!(child.take()?.task().map(|task| task.state), Some(TaskState::Canceled));
        done()
    });
}

#[test]
fn values_last_and_others_write_them_too() {
    let script = Runner::new("x").value(Scope::Agent, "count", 1).rival(Scope::Agent, "count", 41);
    let run = script.run(|task| {
        let kv = task.kv(Scope::Agent);
        assert_eq!(kv.update("count", |old: Option<u32>| old.unwrap_or(0) + 1)?, 42);
        kv.put("name", "Ada")?;
        kv.put("gone", 1)?;
        assert!(kv.delete("gone")? && !kv.delete("gone")?);
        assert_eq!(kv.keys("")?, ["count", "name"]);
        assert_eq!(task.kv(Scope::Caller).get::<u32>("count")?, None);
        done()
    });
    assert_eq!(run.value(Scope::Agent, "count"), Some(42));
    assert_eq!(run.value::<u32>(Scope::Context, "count"), None);
}

#[test]
fn random_bytes_follow_the_seed() {
    let bytes =
        |seed| Runner::new("x").seed(seed).run(|task| done_with(Part::raw(task.random(100_000)))).result().clone();
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

/// Asks for nothing.
#[kennel::agent]
fn modest(_: Task) -> Result<Outcome> {
    done()
}

#[test]
fn an_agent_is_held_to_its_card() {
    let run = Runner::new("x").card(KennelAgent::card()).run(|task| {
        assert_eq!(task.get("https://api.example.com").fetch().unwrap_err().kind, ErrorKind::Denied);
        assert_eq!(task.peer("hotel").ask("x").unwrap_err().kind, ErrorKind::Denied);
        assert_eq!(task.kv(Scope::Tenant).put("a", 1).unwrap_err().code, "kv.tenant");
        assert_eq!(task.require_auth("c", "?").granted().unwrap_err().kind, ErrorKind::Denied);
        modest(task)
    });
    assert_eq!(run.state(), TaskState::Completed);
}

#[test]
fn a_checkpoint_begins_the_next_generation() {
    let run = Runner::new("x").run(|task| match task.checkpoint() {
        None => checkpoint("1"),
        Some(bytes) => done_with(format!("{} in generation {}", String::from_utf8_lossy(bytes), task.generation())),
    });
    assert_eq!((run.text().as_str(), run.generations()), ("1 in generation 2", 2));
    assert!(failure(|| Runner::new("x").run(|_| checkpoint(""))).contains("10000 checkpoints"));
}

#[test]
fn what_surrounds_an_agent_is_set_by_the_script() {
    let script = Runner::new("x")
        .named("hotel")
        .caller("")
        .setting("city", "Rome")
        .output_modes(["text/plain"])
        .refer("t-7", "FL 12");
    script.run(|task| {
        let info = task.info();
        assert_eq!((info.agent.as_str(), info.caller.as_str(), info.accepts("image/png")), ("hotel", "", false));
        assert_eq!((task.setting("city").as_deref(), task.settings().len()), (Some("Rome"), 1));
        assert_eq!(task.related(&task.references()[0])?.text(), "FL 12");
        assert_eq!(task.related("t-8").unwrap_err().kind, ErrorKind::NotFound);
        assert_eq!(task.kv(Scope::Caller).put("a", 1).unwrap_err().kind, ErrorKind::Denied);
        done()
    });
}

#[test]
fn an_error_ends_the_task_failed_and_a_run_prints_as_what_happened() {
    let run = Runner::new("x").run(|task| {
        task.say("trying")?;
        Err(fail("no-flight", "There is none."))
    });
    assert_eq!(
        (run.state(), run.error().code.as_str(), run.text().as_str()),
        (TaskState::Failed, "no-flight", "There is none.")
    );
    assert_eq!(run.to_string(), "  1. say \"trying\"\nend: failed after 0ns: There is none. (no-flight)\n");
    assert_eq!(Runner::new("x").run(|_| refuse("no")).state(), TaskState::Rejected);
}

#[test]
fn a_call_outside_a_run_says_how_to_run_it() {
    let payload = std::panic::catch_unwind(|| Status::default().send()).unwrap_err();
    assert!(payload.downcast_ref::<String>().unwrap().contains("run it as an agent"));
    log::info("nobody reads this");
}

#[test]
fn an_artifact_that_is_missing_fails_the_test_and_shows_what_there_is() {
    let text = failure(|| {
        let run = Runner::new("x").run(|task| {
            task.publish("total", "1")?;
            done()
        });
        run.artifact("sum");
        run
    });
    assert!(text.contains("there is no artifact sum") && text.contains("publish total"), "{text}");
}

#[test]
fn an_agent_that_is_not_repeatable_is_found() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let text = failure(|| {
        Runner::new("x").answer("Ada").repeated().run(|task| {
            task.ask(format!("Question {}?", RUNS.fetch_add(1, Ordering::Relaxed))).text()?;
            done()
        })
    });
    assert!(text.contains("a second run of the agent differs") && text.contains("Question 1?"), "{text}");
    Runner::new("x").answer("Ada").repeated().run(|task| done_with(task.ask("Name?").text()?));
}
