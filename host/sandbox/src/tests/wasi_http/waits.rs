//! Polls over responses and timers.

use super::*;

#[tokio::test]
async fn waiting_for_a_request_that_is_not_finished_would_never_end() {
    let (mut guest, notes) = quick();
    let request = with(&mut guest, Method::Post, &[]);
    let body = body_of(&mut guest, &request);
    let future = guest.handle(request, None).await.unwrap().unwrap();
    let response = pollable(&mut guest, &future);
    let error = guest.block(borrow(&response)).await.unwrap_err();
    assert!(format!("{error:#}").contains("was not finished"), "{error:#}");
    HostPollable::drop(&mut guest, response).unwrap();
    HostFutureIncomingResponse::drop(&mut guest, future).await.unwrap();
    HostOutgoingBody::finish(&mut guest, body, None).await.unwrap().unwrap();
    assert!(notes.lock().unwrap().calls.is_empty(), "nobody would hear the response");
}

/// Two requests at once and a timer, in the manner of an async runtime: what is ready is handled, the rest is polled again.
async fn two_and_a_timer(guest: &mut Guest) -> Vec<String> {
    let futures = [get(guest).await, get(guest).await];
    let mut open: Vec<_> = futures.iter().map(|future| pollable(guest, future)).collect();
    open.push(guest.subscribe_duration(2_500_500_000).unwrap());
    let mut which: Vec<usize> = vec![0, 1, 2];
    let mut log = Vec::new();
    while !which.is_empty() {
        let list = which.iter().map(|index| borrow(&open[*index])).collect();
        let ready: Vec<_> = guest.poll(list).await.unwrap().iter().map(|at| which[*at as usize]).collect();
        for index in &ready {
            log.push(match futures.get(*index) {
                Some(future) => format!("{index}: {:?}", read(guest, future).await),
                None => format!("{index}: {}", guest.now().unwrap()),
            });
        }
        which.retain(|index| !ready.contains(index));
    }
    log
}

/// The second response comes first, then the time is up, then the first comes.
fn in_turn() -> (Guest, Arc<Mutex<Notes>>) {
    let mut script = [Some(1), None, Some(0)].into_iter();
    worker(move |call| match call {
        Call::WaitAny { .. } => Ok(Answer::Ready(script.next().unwrap())),
        other => panic!("{other:?}"),
    })
}

#[tokio::test]
async fn two_requests_and_a_timer_are_one_wait_and_the_same_in_a_replay() {
    let (mut guest, notes) = in_turn();
    let log = two_and_a_timer(&mut guest).await;
    assert_eq!(log.len(), 3);
    assert!(log[0].starts_with("1: Ok") && log[1].starts_with("2: ") && log[2].starts_with("0: Ok"), "{log:?}");
    let calls = format!("{:?}", notes.lock().unwrap().calls);
    assert_eq!(
        names(&notes),
        ["http.start", "http.start", "wait.any", "http.take", "wait.any", "wait.any", "http.take"]
    );
    match &notes.lock().unwrap().calls[..] {
        [
            _,
            _,
            Call::WaitAny { pendings: both, timeout: Some(first) },
            Call::HttpTake { exchange: 2 },
            second,
            third,
            _,
        ] => {
            // Two seconds passed with two requests, and the timer was set then; rounded up to a millisecond.
            assert_eq!((&both[..], *first), (&[1, 2][..], Duration::from_millis(2501)));
            assert!(matches!(second, Call::WaitAny { pendings, timeout: Some(_) } if *pendings == [1]), "{second:?}");
            assert!(matches!(third, Call::WaitAny { pendings, timeout: None } if *pendings == [1]), "{third:?}");
        }
        other => panic!("{other:?}"),
    }
    // The same answers, the same calls and the same sights.
    let (mut again, repeated) = in_turn();
    assert_eq!(two_and_a_timer(&mut again).await, log);
    assert_eq!(format!("{:?}", repeated.lock().unwrap().calls), calls);
}

#[tokio::test]
async fn when_the_time_is_up_the_timer_is_ready() {
    let (mut guest, notes) = worker(|_| Ok(Answer::Ready(None)));
    let future = get(&mut guest).await;
    let response = pollable(&mut guest, &future);
    // Ten hours; the record of the wait comes a second later, as those of this worker do.
    let timer = guest.subscribe_duration(36_000_000_000_000).unwrap();
    let due = START.after(Duration::from_secs(36_001));
    assert_eq!(guest.poll(vec![borrow(&response), borrow(&timer)]).await.unwrap(), [1]);
    assert!(guest.now().unwrap() > due.micros() * 1000, "the clock shows it");
    assert!(told(&mut guest, &future).await.is_none(), "the response goes on");
    let notes = notes.lock().unwrap();
    assert!(notes.seen.last().unwrap().shown >= due, "no later record is earlier");
    assert!(matches!(notes.calls.last(), Some(Call::WaitAny { timeout: Some(Duration::ZERO), .. })));
}

#[tokio::test]
async fn to_look_is_a_wait_of_no_time() {
    let mut answers = [None, None, Some(0)].into_iter();
    let (mut guest, notes) = worker(move |_| Ok(Answer::Ready(answers.next().unwrap())));
    let future = get(&mut guest).await;
    let response = pollable(&mut guest, &future);
    assert!(!HostPollable::ready(&mut guest, borrow(&response)).await.unwrap());
    // A poll with a timer that is due looks too.
    let timer = guest.subscribe_duration(0).unwrap();
    assert_eq!(guest.poll(vec![borrow(&response), borrow(&timer)]).await.unwrap(), [1]);
    assert_eq!(guest.poll(vec![borrow(&response), borrow(&timer), borrow(&response)]).await.unwrap(), [0, 1, 2]);
    assert!(HostPollable::ready(&mut guest, borrow(&response)).await.unwrap());
    guest.block(response).await.unwrap();
    assert_eq!(names(&notes), ["http.start", "wait.any", "wait.any", "wait.any"], "what is known is not asked again");
    let is_look =
        |call: &Call| matches!(call, Call::WaitAny { pendings, timeout: Some(Duration::ZERO) } if *pendings == [1]);
    assert!(notes.lock().unwrap().calls[1..].iter().all(is_look));
}

#[tokio::test]
async fn a_task_that_is_asked_to_stop_still_takes_its_responses() {
    let canceled = || Refusal::Guest(GuestError::new(ErrorKind::Canceled, "cancel", "Asked to stop."));
    let (mut guest, notes) = worker(move |_| Err(canceled()));
    let (future, other) = (get(&mut guest).await, get(&mut guest).await);
    let list = vec![pollable(&mut guest, &future), pollable(&mut guest, &other)];
    assert_eq!(guest.poll(list).await.unwrap(), [0, 1]);
    assert_eq!(read(&mut guest, &future).await.unwrap().1, b"one");
    assert_eq!(names(&notes), ["http.start", "http.start", "wait.any", "http.take"]);
}

#[tokio::test]
async fn other_refusals_and_answers_end_the_run() {
    let limit = || Refusal::Guest(GuestError::new(ErrorKind::Limit, "task-time", "A wait cannot outlast the task."));
    let answers: [fn() -> Result<Answer, Refusal>; 3] =
        [|| Ok(Answer::Ready(Some(1))), || Ok(Answer::Ready(None)), || Ok(Answer::Done)];
    for answer in answers {
        let (mut guest, _) = worker(move |_| answer());
        let future = get(&mut guest).await;
        let response = pollable(&mut guest, &future);
        guest.block(response).await.unwrap_err();
        assert!(guest.abandoned().is_some());
    }
    let (mut guest, _) = worker(move |_| Err(limit()));
    let future = get(&mut guest).await;
    let response = pollable(&mut guest, &future);
    let error = guest.block(response).await.unwrap_err();
    assert!(format!("{error:#}").contains("wasi:io/poll was refused"), "{error:#}");
    assert!(guest.abandoned().is_none());
    let (worker, _) = Worker::answering(|_| Some(Ok(Answer::Done)));
    let mut guest = state(worker, Limits::default());
    let request = with(&mut guest, Method::Get, &[]);
    assert!(guest.handle(request, None).await.is_err() && guest.abandoned().is_some());
}
