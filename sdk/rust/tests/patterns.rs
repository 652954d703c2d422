//! Work outside as agents do it: side by side, one after the other, again and again, and not for ever.

use kennel::Backoff;
use kennel::info::TaskState;
use kennel::prelude::*;
use kennel::test::{Http, Peer, Runner};
use kennel::wait::{parallel, select};

const URL: &str = "https://api.example.com/x";

#[test]
fn children_and_exchanges_are_joined_and_take_as_long_as_the_slowest() {
    let script = Runner::new("x")
        .peer("a", Peer::from("1").after(seconds(5)))
        .peer("b", Peer::from("2").after(seconds(9)))
        .http("GET", URL, Http::from("3").after(seconds(7)));
    let run = script.run(|task| {
        let (a, b) = (task.peer("a").send("x")?, task.peer("b").send("x")?);
        let (a, b, c) = join((a, b, task.get(URL).start()?))?;
        done_with([a.text(), b.text(), c.text()].join(" "))
    });
    assert_eq!((run.text().as_str(), run.elapsed()), ("1 2 3", seconds(9)));
}

#[test]
fn an_array_is_joined_in_its_order_and_one_failure_is_the_answer() {
    let send = |task: &Task| Ok::<_, Error>([task.peer("a").send("x")?, task.peer("b").send("x")?]);
    let run = Runner::new("x").peer("a", Peer::from("1").after(seconds(2))).peer("b", "2").run(|task| {
        let [a, b] = join(send(&task)?)?;
        done_with(a.text() + &b.text())
    });
    assert_eq!(run.text(), "12");
    let run = Runner::new("x").peer("a", "1").peer("b", Peer::fails("full")).run(|task| {
        join(send(&task)?)?;
        done()
    });
    assert_eq!((run.error().code.as_str(), run.text().as_str()), ("peer.failed", "The agent b failed: full"));
}

#[test]
fn the_first_of_a_race_wins_and_the_others_are_given_up() {
    let script = Runner::new("x")
        .peer("a", Peer::from("slow").after(seconds(9)))
        .peer("b", Peer::from("fast").after(seconds(1)));
    let run = script.run(|task| done_with(race([task.peer("a").send("x")?, task.peer("b").send("x")?])?.text()));
    assert_eq!((run.text().as_str(), run.elapsed()), ("fast", seconds(1)));
    assert!(run.calls().iter().any(|call| call.starts_with("cancel #1")), "{run}");
}

#[test]
fn each_is_taken_as_soon_as_it_is_ready() {
    let script = Runner::new("x")
        .peer("a", Peer::from("late").after(seconds(9)))
        .peer("b", Peer::from("early").after(seconds(1)));
    let run = script.run(|task| {
        let mut children = vec![task.peer("a").send("x")?, task.peer("b").send("x")?];
        assert!(select(&mut children, milliseconds(10))?.is_none());
        assert_eq!(children.len(), 2, "what is not ready goes on");
        while let Some(child) = select(&mut children, None)? {
            task.say(child.done()?.text())?;
        }
        done()
    });
    assert_eq!(run.said(), ["early", "late"]);
}

#[test]
fn what_takes_too_long_is_given_up() {
    let script = Runner::new("x").http("GET", URL, Http::from("late").after(seconds(9))).peer("a", "in time");
    let run = script.run(|task| {
        assert_eq!(within(seconds(2), task.get(URL).start()?)?, None);
        let answer = within(seconds(2), task.peer("a").send("x")?)?;
        done_with(answer.map(|answer| answer.text()).unwrap_or_default())
    });
    assert_eq!((run.text().as_str(), run.elapsed()), ("in time", seconds(2)));
    assert!(run.calls().iter().any(|call| call == "abort #1 -> ended"), "{run}");
}

#[test]
fn many_run_only_some_at_once_and_keep_their_order() {
    let mut script = Runner::new("x");
    for n in 1..=6_u32 {
        script = script.peer("worker", Peer::from(n.to_string()).after(seconds(7 - n)));
    }
    let run = script.run(|task| {
        let answers = parallel(2, 1..=6_u32, |n| task.peer("worker").send(n.to_string()))?;
        done_with(answers.iter().map(|answer| answer.text()).collect::<Vec<_>>().join(" "))
    });
    assert_eq!((run.text().as_str(), run.sent().len()), ("1 2 3 4 5 6", 6));
    // Two hands for 21 seconds of work.
    assert_eq!(run.elapsed(), seconds(11));
    let most = run.calls().iter().scan(0, |open, call| {
        *open += i32::from(call.starts_with("send")) - i32::from(call.starts_with("take"));
        Some(*open)
    });
    assert_eq!(most.max(), Some(2), "{run}");
}

#[test]
fn a_chain_hands_on_texts_and_references() {
    let script = Runner::new("x").peer("research", "facts").peer("write", "an article").peer("shorten", "a note");
    let run = script.run(|task| done_with(task.chain(["research", "write", "shorten"], "Rome")?.text()));
    assert_eq!(run.text(), "a note");
    let sent: Vec<_> = run.sent().iter().map(|sent| (sent.text(), sent.message.reference_task_ids.join(""))).collect();
    let expected = [("Rome", ""), ("facts", "research-1"), ("an article", "write-1")];
    assert_eq!(sent, expected.map(|(text, task)| (text.to_owned(), task.to_owned())));
    let run = Runner::new("x")
        .peer("a", Peer::refuses("no"))
        .run(|task| task.chain(["a", "b"], "x").map(|_| Outcome::Completed(None)));
    assert_eq!(run.error().code, "peer.rejected");
}

#[test]
fn what_may_help_is_tried_again_with_growing_sleeps() {
    let script = Runner::new("x")
        .http("GET", URL, 503)
        .http("GET", URL, fail("net", "Gone.").retryable())
        .http("GET", URL, "ok");
    let run = script.run(|task| done_with(task.retry(5, || task.get(URL).fetch()?.ok())?.text()));
    assert_eq!((run.text().as_str(), run.requests().len()), ("ok", 3));
    // One second and two, less a random part of up to a half.
    assert!(run.elapsed() >= milliseconds(1_500) && run.elapsed() <= seconds(3), "{run}");
}

#[test]
fn what_cannot_help_is_not_tried_again() {
    let run = Runner::new("x").http("GET", URL, 404).run(|task| {
        task.retry(5, || task.get(URL).fetch()?.ok())?;
        done()
    });
    assert_eq!((run.requests().len(), run.error().code.as_str()), (1, "http.status"));
    let busy = Runner::new("x").http("GET", URL, 429).http("GET", URL, 429);
    let run = busy.run(|task| {
        task.retry(Backoff::new(2).first(hours(1)).most(seconds(1)), || task.get(URL).fetch()?.ok())?;
        done()
    });
    assert!(run.error().retryable && run.elapsed() <= seconds(1), "{run}");
    let run = Runner::new("x").cancel_after(milliseconds(100)).http("GET", URL, 503).run(|task| {
        task.retry(5, || task.get(URL).fetch()?.ok())?;
        done()
    });
    assert_eq!(run.state(), TaskState::Canceled);
}

#[test]
fn a_peers_questions_are_answered_on_the_way() {
    let script = Runner::new("x")
        .peer("hotel", Peer::asks("Which room?"))
        .peer("tour", "a walk")
        .answer("a double room")
        .peer("hotel", Peer::asks("Breakfast?"))
        .answer("yes")
        .peer("hotel", "booked");
    let run = script.run(|task| {
        let stay = task.peer("hotel").send("Rome")?.answering(|question| task.ask(question).text());
        let (stay, tour) = join((stay, task.peer("tour").send("Rome")?))?;
        done_with(format!("{}, {}", stay.text(), tour.text()))
    });
    assert_eq!(
        (run.text(), run.asked()),
        ("booked, a walk".to_owned(), vec!["Which room?".to_owned(), "Breakfast?".to_owned()])
    );
    let replies: Vec<_> = run.sent().iter().filter_map(|sent| Some((sent.task_id.as_deref()?, sent.text()))).collect();
    assert_eq!(replies, [("hotel-1", "a double room".to_owned()), ("hotel-1", "yes".to_owned())]);
}

#[test]
fn a_peer_that_asks_for_ever_is_given_up() {
    let mut script = Runner::new("x");
    for _ in 0..=101 {
        script = script.peer("child", Peer::asks("Why?"));
    }
    let run = script.run(|task| {
        task.peer("child").send("x")?.answering(|_| Ok("because")).done()?;
        done()
    });
    assert_eq!(run.error().code, "peer.questions");
}

#[test]
fn a_body_is_read_in_pieces_and_by_lines() {
    let pieces = || Http::pieces(["ä\nb".as_bytes(), b"c\r\n", b"\xc3", b"\xa9"]);
    let run =
        Runner::new("x").http("GET", URL, pieces()).http("GET", URL, pieces().interrupted()).http("GET", URL, 503).run(
            |task| {
                let mut body = task.get(URL).open()?;
                assert_eq!(body.ok()?.status, 200);
                let lines = body.lines().collect::<Result<Vec<_>>>()?;
                assert_eq!(lines, ["ä", "bc", "é"]);

                let mut body = task.get(URL).open()?;
                let pieces: Vec<_> = body.pieces().collect();
                assert_eq!(pieces.len(), 5);
                assert_eq!(
                    pieces.last(),
                    Some(&Err(Error::new(
                        ErrorKind::Unavailable,
                        "http.interrupted",
                        "The host stopped in the middle of the answer."
                    )
                    .retryable()))
                );
                assert!(body.pieces().next().is_some_and(|piece| piece.is_err()), "nothing is left");

                let refused = task.get(URL).open()?.ok().unwrap_err();
                assert!(refused.retryable);
                done()
            },
        );
    assert_eq!(run.state(), TaskState::Completed, "{run}");
}
