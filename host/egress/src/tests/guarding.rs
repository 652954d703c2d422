//! Names that lead into networks that are not public.

use super::server::{Server, response};
use super::*;
use crate::{Denied, FetchError};

#[track_caller]
fn is_address_denied(error: &FetchError, expected: &str) {
    match error {
        FetchError::Denied { denied: Denied::Address { what, .. }, reached: false } => assert_eq!(*what, expected),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_literal_address_that_is_not_allowed_is_refused() {
    let server = Server::saying(response(200, "", "")).await;
    let agent = Agent::new(server.port);
    let error = agent.fetch(Request::new("GET", server.url("127.0.0.2", "/"))).await.unwrap_err();
    is_address_denied(&error, "loopback");
    let expected =
        "the address of `127.0.0.2` is not public (loopback); the operator must allow it with --allow-private";
    assert_eq!(error.to_string(), expected);
    agent.fetch(Request::new("GET", server.url("127.0.0.1", "/"))).await.unwrap();
}

#[tokio::test]
async fn one_private_address_spoils_a_name() {
    let server = Server::saying(response(200, "", "")).await;
    let agent = Agent::new(server.port);
    for (addresses, what) in [
        (["127.0.0.1", "10.0.0.1"], "private"),
        (["10.0.0.1", "127.0.0.1"], "private"),
        (["93.184.216.34", "169.254.169.254"], "link-local"),
        (["93.184.216.34", "::ffff:10.0.0.1"], "private"),
        (["2606:4700::1111", "fd00::1"], "private"),
    ] {
        agent.names.set("mixed.test", &[&addresses]);
        let error = agent.fetch(Request::new("GET", server.url("mixed.test", "/"))).await.unwrap_err();
        is_address_denied(&error, what);
        let shown = format!("{error} {error:?}");
        assert!(addresses.iter().all(|address| !shown.contains(address)), "agents learn no addresses: {shown}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn the_address_that_was_checked_is_used() {
    let server = Server::saying(response(200, "", "")).await;
    let agent = Agent::new(server.port);
    // A second look-up between check and use would lead to 127.0.0.2, where nobody listens.
    agent.names.set("rebinding.test", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let request = Request::new("GET", server.url("rebinding.test", "/"));
    assert_eq!(agent.fetch(request.clone()).await.unwrap().head.status, 200);
    assert_eq!(agent.names.lookups("rebinding.test"), 1);
    let error = agent.fetch(request).await.unwrap_err();
    is_address_denied(&error, "loopback");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_name_without_address_is_unavailable() {
    let agent = Agent::new(80);
    agent.names.set("empty.test", &[&[]]);
    for host in ["unknown.test", "empty.test"] {
        let error = agent.fetch(Request::new("GET", format!("http://{host}"))).await.unwrap_err();
        assert_eq!(error.to_string(), format!("http://{host} is not available: its name cannot be resolved"));
        assert!(!error.reached());
    }
}

#[tokio::test]
async fn the_dot_after_a_name_changes_nothing() {
    let server = Server::saying(response(200, "", "")).await;
    let agent = Agent::new(server.port);
    agent.fetch(Request::new("GET", server.url("a.test.", "/"))).await.unwrap();
    assert_eq!(server.seen()[0].header("host"), Some(format!("a.test:{}", server.port).as_str()));
    assert_eq!(agent.names.lookups("a.test"), 1);
}
