//! What goes over the wire, and what never does.

use super::server::{Server, response};
use super::*;
use crate::{Denied, FetchError, REDIRECTS_DEFAULT};

#[tokio::test]
async fn a_request_is_sent_as_it_was_written() {
    let server = Server::saying(response(201, "X-One: 1\r\nset-cookie: a\r\nset-cookie: b\r\n", "hi")).await;
    let agent = Agent::new(server.port);
    let request = Request {
        headers: vec![("X-Custom".to_owned(), "a".to_owned()), ("x-custom".to_owned(), "b".to_owned())],
        body: Some("body".into()),
        idempotency_key: Some("key-1".to_owned()),
        ..Request::new("POST", server.url("a.test", "/p?q=1#f"))
    };
    let response = agent.fetch(request).await.unwrap();
    let seen = &server.seen()[0];
    assert!(seen.head.starts_with("POST /p?q=1 HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.header("host"), Some(format!("a.test:{}", server.port).as_str()));
    assert_eq!(seen.header("content-length"), Some("4"));
    assert_eq!(seen.header("idempotency-key"), Some("key-1"));
    assert_eq!(seen.header("user-agent"), Some(concat!("kennel/", env!("CARGO_PKG_VERSION"))));
    assert!(seen.head.contains("x-custom: a\r\nx-custom: b"), "{}", seen.head);
    assert_eq!(seen.body, b"body");
    assert_eq!(response.head.status, 201);
    assert_eq!(response.body, "hi");
    let values = |name| response.head.headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value);
    assert_eq!(values("x-one").collect::<Vec<_>>(), ["1"]);
    assert_eq!(values("set-cookie").collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn requests_can_be_sent_from_any_thread() {
    fn check<T: Send>(_: &T) {}
    let agent = Agent::new(80);
    let request = Request::new("GET", "http://a.test");
    check(&agent.egress.open(&agent.policy, request.clone()));
    check(&agent.egress.fetch(&agent.policy, request));
}

#[tokio::test]
async fn cookies_are_not_kept() {
    let server = Server::saying(response(200, "set-cookie: a=b\r\n", "")).await;
    let agent = Agent::new(server.port);
    for _ in 0..2 {
        agent.fetch(Request::new("GET", server.url("a.test", "/"))).await.unwrap();
    }
    assert_eq!(server.seen()[1].header("cookie"), None);
}

#[tokio::test]
async fn what_the_policy_denies_is_not_sent() {
    let server = Server::saying(response(200, "", "")).await;
    let agent = Agent::new(server.port);
    let url = server.url("a.test", "/");
    let nobody = Policy::default();
    let error = agent.egress.fetch(&nobody, Request::new("GET", &url)).await.unwrap_err();
    let rule = format!("GET http://a.test:{}", server.port);
    assert_eq!(error, FetchError::Denied { denied: Denied::NotRequested { rule, near: None }, reached: false });
    assert!(!error.reached());
    assert!(server.seen().is_empty());
    assert_eq!(agent.names.lookups("a.test"), 0, "the name of a denied host is not even looked up");
    assert_eq!(agent.fetch(Request::new("GET", url)).await.unwrap().head.status, 200);
}

#[test]
fn a_check_says_what_can_be_said_beforehand() {
    let agent = Agent::new(80);
    agent.names.set("inner.test", &[&["10.0.0.1"]]);
    let site = "http://b.test".parse().unwrap();
    let credential = Some(crate::Credential::new("key", &[("x-key", "x")], [site]).unwrap());
    for (request, expected) in [
        (Request::new("GET", "http://a.test"), None),
        (Request::new("GET", "http://inner.test"), None),
        (Request::new("get", "http://a.test"), Some("method: write `GET` in upper case")),
        (Request::new("GET", "http://c.example"), Some("the card does not request `GET http://c.example`")),
        (Request::new("GET", "http://127.0.0.2"), Some("the address of `127.0.0.2` is not public (loopback)")),
        (
            Request { credential, ..Request::new("GET", "http://a.test") },
            Some("the credential `key` is not for `http://a.test`"),
        ),
    ] {
        let error = agent.egress.check(&agent.policy, &request).err().map(|error| error.to_string());
        let fits = error.as_deref().zip(expected).is_some_and(|(error, expected)| error.starts_with(expected));
        assert!(fits || (error.is_none() && expected.is_none()), "{request:?}: {error:?}");
    }
    assert_eq!(agent.names.lookups("inner.test"), 0);
}

#[tokio::test]
async fn an_invalid_request_is_not_sent() {
    let server = Server::saying(response(200, "", "")).await;
    let agent = Agent::new(server.port);
    let request = Request {
        headers: vec![("Host".to_owned(), "b.test".to_owned())],
        ..Request::new("GET", server.url("a.test", "/"))
    };
    let error = agent.fetch(request).await.unwrap_err();
    assert_eq!(error.to_string(), "headers: the host sets `Host` itself");
    assert!(!error.reached());
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_range_is_asked_for_uncompressed() {
    let server = Server::saying(response(206, "", "x")).await;
    let agent = Agent::new(server.port);
    let plain = Request::new("GET", server.url("a.test", "/"));
    let range = Request { headers: vec![("Range".to_owned(), "bytes=0-0".to_owned())], ..plain.clone() };
    agent.fetch(plain).await.unwrap();
    agent.fetch(range).await.unwrap();
    let accepted = server.seen();
    let accepted: Vec<_> = accepted.iter().map(|seen| seen.header("accept-encoding").unwrap()).collect();
    assert!(accepted[0].contains("gzip") && accepted[0].contains("br"), "{accepted:?}");
    assert_eq!(accepted[1], "identity");
}

/// Run again by the tests below, in other environments.
#[tokio::test]
async fn a_request_goes_to_its_host() {
    let server = Server::saying(response(200, "", "direct")).await;
    let agent = Agent::new(server.port);
    let request = Request::new("GET", server.url("a.test", "/"));
    assert_eq!(request.redirects, REDIRECTS_DEFAULT);
    assert_eq!(agent.fetch(request).await.unwrap().body, "direct");
}

#[track_caller]
fn a_request_goes_to_its_host_in(environment: &[(&str, &str)]) {
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "tests::requests::a_request_goes_to_its_host"]);
    again.env_remove("no_proxy").env_remove("NO_PROXY").envs(environment.iter().copied());
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    // Nothing listens at port 1.
    a_request_goes_to_its_host_in(&names.map(|name| (name, "http://127.0.0.1:1")));
}

#[test]
fn without_certificates_http_works() {
    a_request_goes_to_its_host_in(&[("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")]);
}
