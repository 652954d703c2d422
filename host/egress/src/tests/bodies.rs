//! Bodies: decompressed, bounded, and broken ones told apart from short ones.

use super::server::{Server, Step, head, response};
use super::*;
use crate::FetchError;

const LIMIT: usize = 64 * 1024;

/// 1 MiB of zeros: `head -c 1048576 /dev/zero | gzip -9`.
const ZEROS_GZ: &[u8] = include_bytes!("zeros.gz");

fn agent(port: u16) -> Agent {
    Agent::with_config(port, EgressConfig { body_bytes_max: LIMIT, ..EgressConfig::default() })
}

#[track_caller]
fn is_limit(error: &FetchError) {
    assert_eq!(*error, FetchError::Limit { name: "http-body-bytes", bytes_max: LIMIT });
    assert!(error.reached());
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_limit() {
    let server = Server::start(|_| vec![Step::Write(head("")), Step::Repeat(vec![b'x'; 1000])]).await;
    let agent = agent(server.port);
    let request = Request::new("GET", server.url("a.test", "/"));
    is_limit(&agent.fetch(request.clone()).await.unwrap_err());

    let mut exchange = agent.open(request).await.unwrap();
    let mut read = 0;
    let error = loop {
        match exchange.next().await {
            Ok(piece) => read += piece.expect("no end").len(),
            Err(error) => break error,
        }
    };
    is_limit(&error);
    assert!(read <= LIMIT, "{read}");
    is_limit(&exchange.next().await.unwrap_err());
}

#[tokio::test]
async fn the_limit_itself_is_allowed() {
    for (bytes, fits) in [(LIMIT, true), (LIMIT + 1, false)] {
        let announced = Server::saying(response(200, "", vec![b'x'; bytes])).await;
        let silent = Server::saying([head(""), vec![b'x'; bytes]].concat()).await;
        for server in [announced, silent] {
            let result = agent(server.port).fetch(Request::new("GET", server.url("a.test", "/"))).await;
            match result {
                Ok(response) => assert!(fits && response.body.len() == bytes, "{}", response.body.len()),
                Err(error) => {
                    assert!(!fits, "{error}");
                    is_limit(&error);
                }
            }
        }
    }
}

#[tokio::test]
async fn an_announced_length_is_believed_at_once() {
    let server =
        Server::start(|_| vec![Step::Write(head(&format!("content-length: {}\r\n", LIMIT + 1))), Step::Hang]).await;
    let error = agent(server.port).open(Request::new("GET", server.url("a.test", "/"))).await.unwrap_err();
    is_limit(&error);
}

#[tokio::test]
async fn the_limit_counts_what_comes_out_of_the_compression() {
    assert!(ZEROS_GZ.len() < LIMIT / 10);
    let server = Server::saying(response(200, "content-encoding: gzip\r\n", ZEROS_GZ)).await;
    let request = Request::new("GET", server.url("a.test", "/"));
    is_limit(&agent(server.port).fetch(request.clone()).await.unwrap_err());
    let large = Agent::new(server.port).fetch(request).await.unwrap();
    assert_eq!(large.body.len(), 1024 * 1024);
}

#[tokio::test]
async fn three_compressions_are_undone() {
    let zlib: &[u8] = b"\x78\x01\x01\x05\x00\xfa\xffhello\x06\x2c\x02\x15";
    let brotli: &[u8] = b"\x40\x00\x10hello\x03";
    for (encoding, bytes) in [("deflate", zlib), ("br", brotli)] {
        let server = Server::saying(response(200, &format!("content-encoding: {encoding}\r\n"), bytes)).await;
        let response = agent(server.port).fetch(Request::new("GET", server.url("a.test", "/"))).await.unwrap();
        assert_eq!(response.body, "hello", "{encoding}");
        let names: Vec<&str> = response.head.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert!(!names.contains(&"content-encoding") && !names.contains(&"content-length"), "{names:?}");
    }
}

#[tokio::test]
async fn a_response_to_head_has_no_body_to_undo() {
    let server = Server::saying(head("content-encoding: gzip\r\ncontent-length: 99999999\r\n")).await;
    let response = agent(server.port).fetch(Request::new("HEAD", server.url("a.test", "/"))).await.unwrap();
    assert_eq!((response.head.status, response.body.len()), (200, 0));
}

#[tokio::test]
async fn a_broken_body_is_no_short_body() {
    let short = head("content-length: 10\r\n");
    let not_gzip = response(200, "content-encoding: gzip\r\n", "not gzip at all");
    let half = response(200, "content-encoding: gzip\r\n", &ZEROS_GZ[..20]);
    for bytes in [[short, b"12345".to_vec()].concat(), not_gzip, half] {
        let server = Server::saying(bytes).await;
        let error = agent(server.port).fetch(Request::new("GET", server.url("a.test", "/"))).await.unwrap_err();
        assert!(error.to_string().ends_with("the response broke off, or cannot be decompressed"), "{error}");
        assert!(error.reached());
    }
}

#[tokio::test]
async fn a_large_head_is_a_limit() {
    let server = Server::saying(response(200, &format!("x-large: {}\r\n", "x".repeat(70_000)), "")).await;
    let error = agent(server.port).fetch(Request::new("GET", server.url("a.test", "/"))).await.unwrap_err();
    assert_eq!(error, FetchError::Limit { name: "http-head-bytes", bytes_max: 64 * 1024 });
}
