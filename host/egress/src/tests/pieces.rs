//! Bodies that are read in pieces.

use tokio::sync::Notify;
use tokio::time::timeout;

use super::server::{Server, Step, head};
use super::*;
use crate::{Exchange, FetchError, Pieces};

async fn next(exchange: &mut Exchange) -> Result<Option<bytes::Bytes>, FetchError> {
    timeout(WAIT, exchange.next()).await.expect("a piece in time")
}

/// Pieces that do not wait long, so that a test need not either; or so long that it never happens.
fn agent(port: u16, wait_max: Duration) -> Agent {
    let pieces = Pieces { wait_max, ..Pieces::default() };
    Agent::with_config(port, EgressConfig { pieces, ..EgressConfig::default() })
}

#[tokio::test]
async fn a_small_piece_is_given_out_while_the_server_is_silent() {
    let word = Arc::new(Notify::new());
    let wait = Arc::clone(&word);
    let server = Server::start(move |_| {
        let steps = [Step::Write(head("")), Step::Write(b"one".to_vec()), Step::Wait(Arc::clone(&wait))];
        steps.into_iter().chain([Step::Write(b"two".to_vec())]).collect()
    })
    .await;
    let agent = agent(server.port, Duration::from_millis(1));
    let mut exchange = agent.open(Request::new("GET", server.url("a.test", "/"))).await.unwrap();
    assert_eq!(exchange.head.status, 200);
    assert_eq!(next(&mut exchange).await.unwrap().unwrap(), "one");
    word.notify_one();
    assert_eq!(next(&mut exchange).await.unwrap().unwrap(), "two");
    assert_eq!(next(&mut exchange).await.unwrap(), None);
    assert_eq!(next(&mut exchange).await.unwrap(), None, "an end stays one");
}

#[tokio::test]
async fn small_pieces_are_joined_while_more_may_come() {
    let server = Server::start(|_| {
        let writes = ["a", "b", "c"].map(|text| Step::Write(text.into()));
        [Step::Write(head(""))].into_iter().chain(writes).collect()
    })
    .await;
    let agent = agent(server.port, WAIT);
    let mut exchange = agent.open(Request::new("GET", server.url("a.test", "/"))).await.unwrap();
    assert_eq!(next(&mut exchange).await.unwrap().unwrap(), "abc");
    assert_eq!(next(&mut exchange).await.unwrap(), None);
}

#[tokio::test]
async fn a_piece_that_is_large_enough_waits_for_no_more() {
    let server = Server::start(|_| vec![Step::Write(head("")), Step::Write(vec![b'x'; 5000]), Step::Hang]).await;
    let agent = agent(server.port, WAIT * 2);
    let mut exchange = agent.open(Request::new("GET", server.url("a.test", "/"))).await.unwrap();
    let mut read = 0;
    while read < 4096 {
        read += next(&mut exchange).await.unwrap().unwrap().len();
    }
}

#[tokio::test]
async fn no_piece_is_larger_than_the_contract_allows() {
    let server = Server::saying([head(""), vec![b'x'; 1024 * 1024]].concat()).await;
    let agent = Agent::new(server.port);
    let mut exchange = agent.open(Request::new("GET", server.url("a.test", "/"))).await.unwrap();
    let mut read = 0;
    while let Some(piece) = next(&mut exchange).await.unwrap() {
        assert!(!piece.is_empty() && piece.len() <= 64 * 1024, "{}", piece.len());
        read += piece.len();
    }
    assert_eq!(read, 1024 * 1024);
}

#[tokio::test]
async fn nothing_is_lost_when_a_wait_is_given_up() {
    let word = Arc::new(Notify::new());
    let wait = Arc::clone(&word);
    let server = Server::start(move |_| {
        let steps = [Step::Write(head("")), Step::Write(b"one".to_vec()), Step::Wait(Arc::clone(&wait))];
        steps.into_iter().chain([Step::Write(b"two".to_vec())]).collect()
    })
    .await;
    // A piece waits for ever here, so "one" is received, kept, and lost if giving up loses anything.
    let agent = agent(server.port, WAIT * 2);
    let mut exchange = agent.open(Request::new("GET", server.url("a.test", "/"))).await.unwrap();
    for _ in 0..5 {
        assert!(timeout(Duration::from_millis(20), exchange.next()).await.is_err(), "nothing is complete");
    }
    word.notify_one();
    assert_eq!(next(&mut exchange).await.unwrap().unwrap(), "onetwo");
}

#[tokio::test]
async fn what_came_before_a_break_is_given_out() {
    let server = Server::saying([head("content-length: 10\r\n"), b"12345".to_vec()].concat()).await;
    let agent = Agent::new(server.port);
    let mut exchange = agent.open(Request::new("GET", server.url("a.test", "/"))).await.unwrap();
    assert_eq!(next(&mut exchange).await.unwrap().unwrap(), "12345");
    let error = next(&mut exchange).await.unwrap_err();
    assert!(matches!(error, FetchError::Unavailable { reached: true, .. }), "{error:?}");
    assert_eq!(next(&mut exchange).await.unwrap_err(), error, "an error stays one");
}
