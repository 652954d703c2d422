//! Services that are not there, or break, or are slow; and whether they may have seen the request.

use tokio::net::TcpListener;

use super::server::{Server, Step, head};
use super::*;
use crate::FetchError;

#[track_caller]
fn is_unavailable(error: &FetchError, expected_reason: &str, expected_reached: bool) {
    match error {
        FetchError::Unavailable { reason, reached, .. } => {
            assert_eq!((reason.as_str(), *reached), (expected_reason, expected_reached));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refused_connection_reached_nobody() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = Agent::new(port).fetch(Request::new("POST", format!("http://a.test:{port}"))).await.unwrap_err();
    is_unavailable(&error, "it refuses connections", false);
    assert_eq!(error.to_string(), format!("http://a.test:{port} is not available: it refuses connections"));
}

#[tokio::test]
async fn a_server_that_closes_may_have_done_its_work() {
    let server = Server::start(|_| vec![]).await;
    let request = Request { body: Some("order".into()), ..Request::new("POST", server.url("a.test", "/")) };
    let error = Agent::new(server.port).fetch(request).await.unwrap_err();
    is_unavailable(&error, "the connection ended before a valid response", true);
    assert_eq!(server.seen().len(), 1, "it is not sent again");
}

#[tokio::test]
async fn what_is_no_http_is_no_response() {
    let many = format!("HTTP/1.1 200 x\r\n{}\r\n", "x: y\r\n".repeat(500));
    for bytes in ["220 smtp.test ESMTP\r\n".to_owned(), "HTTP/1.1 2000 x\r\n\r\n".to_owned(), many] {
        let server = Server::saying(bytes.into()).await;
        let error = Agent::new(server.port).fetch(Request::new("POST", server.url("a.test", "/"))).await.unwrap_err();
        is_unavailable(&error, "the connection ended before a valid response", true);
    }
}

#[tokio::test]
async fn a_failed_handshake_reached_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("https://a.test:{port}");
    let agent = Agent::new(port);
    let (error, ()) = tokio::join!(agent.fetch(Request::new("POST", url)), async {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 this is not TLS\r\n\r\n").await.unwrap();
        // Keeps the connection until the client has gone, so that it hears the answer and not a reset.
        let _gone = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    });
    is_unavailable(&error.unwrap_err(), "its TLS is not valid", false);
}

#[tokio::test]
async fn a_silent_handshake_ends_with_the_time_to_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = EgressConfig { connect_time_max: Duration::from_millis(200), ..EgressConfig::default() };
    let agent = Agent::with_config(port, config);
    let error = agent.fetch(Request::new("POST", format!("https://a.test:{port}"))).await.unwrap_err();
    is_unavailable(&error, "no connection within 0.2 s", false);
}

#[tokio::test]
async fn a_slow_response_meets_the_time_of_the_request() {
    let slow_head = Server::start(|_| vec![Step::Hang]).await;
    let slow_body = Server::start(|_| vec![Step::Write(head("")), Step::Write(b"x".to_vec()), Step::Hang]).await;
    for server in [slow_head, slow_body] {
        let limit = Duration::from_millis(500);
        let request = Request { timeout: Some(limit), ..Request::new("GET", server.url("a.test", "/")) };
        let error = Agent::new(server.port).fetch(request).await.unwrap_err();
        assert_eq!(error, FetchError::TimedOut { limit, reached: true });
        assert_eq!(error.to_string(), "no complete response within 0.5 s");
    }
}

#[tokio::test]
async fn the_time_is_one_for_all_pieces() {
    let server = Server::start(|_| vec![Step::Write(head("")), Step::Write(b"x".to_vec()), Step::Hang]).await;
    let limit = Duration::from_secs(1);
    let request = Request { timeout: Some(limit), ..Request::new("GET", server.url("a.test", "/")) };
    let mut exchange = Agent::new(server.port).open(request).await.unwrap();
    assert_eq!(exchange.next().await.unwrap().unwrap(), "x");
    assert_eq!(exchange.next().await.unwrap_err(), FetchError::TimedOut { limit, reached: true });
}

#[tokio::test]
async fn the_time_is_one_for_all_redirects() {
    let server = Server::start(|seen| match seen.path() {
        "/" => vec![Step::Write(super::server::response(302, "location: /slow\r\n", ""))],
        _ => vec![Step::Hang],
    })
    .await;
    let limit = Duration::from_millis(500);
    let request = Request { timeout: Some(limit), ..Request::new("GET", server.url("a.test", "/")) };
    let error = Agent::new(server.port).fetch(request).await.unwrap_err();
    assert_eq!(error, FetchError::TimedOut { limit, reached: true });
}
