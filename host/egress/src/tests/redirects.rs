//! Redirects: each is checked like a request of its own.

use super::server::{Seen, Server, Step, response};
use super::*;
use crate::{Denied, FetchError};

/// Redirects `/n` to `/n-1`, and answers `/0`.
fn countdown(seen: &Seen) -> Vec<Step> {
    let left: u32 = seen.path().trim_start_matches('/').parse().unwrap();
    let reply = match left {
        0 => response(200, "", "end"),
        left => response(302, &format!("location: /{}\r\n", left - 1), "moved"),
    };
    vec![Step::Write(reply)]
}

async fn redirecting_to(status: u16, location: String) -> Server {
    Server::start(move |seen| {
        let reply = match seen.path() {
            "/start" => response(status, &format!("location: {location}\r\n"), "moved"),
            path => response(200, "", path),
        };
        vec![Step::Write(reply)]
    })
    .await
}

#[tokio::test]
async fn redirects_are_followed_up_to_their_number() {
    let server = Server::start(countdown).await;
    let agent = Agent::new(server.port);
    for (redirects, status, path, body) in [(3, 200, "/0", "end"), (2, 302, "/1", "moved"), (0, 302, "/3", "moved")] {
        let request = Request { redirects, ..Request::new("GET", server.url("a.test", "/3")) };
        let response = agent.fetch(request).await.unwrap();
        assert_eq!(response.head.status, status, "{redirects}");
        assert_eq!(response.head.url.as_str(), server.url("a.test", path), "{redirects}");
        assert_eq!(response.body, body, "{redirects}");
    }
    assert_eq!(server.seen().len(), 4 + 3 + 1);
}

#[tokio::test]
async fn only_get_and_head_are_redirected() {
    let server = Server::start(countdown).await;
    let agent = Agent::new(server.port);
    for (method, status) in
        [("GET", 200), ("HEAD", 200), ("POST", 302), ("PUT", 302), ("DELETE", 302), ("OPTIONS", 302)]
    {
        let request = Request { body: None, ..Request::new(method, server.url("a.test", "/1")) };
        assert_eq!(agent.fetch(request).await.unwrap().head.status, status, "{method}");
    }
    let methods = server.seen();
    let methods: Vec<&str> = methods.iter().map(|seen| seen.head.split(' ').next().unwrap()).collect();
    assert_eq!(methods, ["GET", "GET", "HEAD", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]);
}

#[tokio::test]
async fn only_the_five_statuses_that_move_redirect() {
    for (status, followed) in
        [(301, true), (302, true), (303, true), (307, true), (308, true), (300, false), (304, false), (201, false)]
    {
        let server = redirecting_to(status, "/end".to_owned()).await;
        let agent = Agent::new(server.port);
        let response = agent.fetch(Request::new("GET", server.url("a.test", "/start"))).await.unwrap();
        assert_eq!(response.head.status == 200, followed, "{status}");
    }
}

#[tokio::test]
async fn what_cannot_be_requested_is_not_followed() {
    for location in ["ftp://a.test/", "http://me:x@a.test/", "http://[", "javascript:x", "http://./"] {
        let server = redirecting_to(302, location.to_owned()).await;
        let agent = Agent::new(server.port);
        let response = agent.fetch(Request::new("GET", server.url("a.test", "/start"))).await.unwrap();
        assert_eq!(response.head.status, 302, "{location}");
    }
}

#[tokio::test]
async fn a_redirect_into_a_private_network_is_refused() {
    let hidden = Server::saying(response(200, "", "secret")).await;
    for host in ["127.0.0.2", "inner.test", "0x7f000002"] {
        let target = hidden.url(host, "/");
        let server =
            Server::start(move |_| vec![Step::Write(response(302, &format!("location: {target}\r\n"), ""))]).await;
        let agent = Agent::new(server.port);
        agent.names.set("inner.test", &[&["10.0.0.1"]]);
        let rules = vec![
            format!("* http://*.test:{}", server.port).parse().unwrap(),
            format!("* http://*.test:{}", hidden.port).parse().unwrap(),
            format!("* http://127.0.0.2:{}", hidden.port).parse().unwrap(),
        ];
        let policy = Policy::new(rules.clone(), rules);
        let error = agent.egress.fetch(&policy, Request::new("GET", server.url("a.test", "/"))).await.unwrap_err();
        let FetchError::Denied { denied: Denied::Address { .. }, reached: true } = error else {
            panic!("{host}: {error:?}")
        };
        assert_eq!(server.seen().len(), 1, "{host}");
    }
    assert!(hidden.seen().is_empty());
}

#[tokio::test]
async fn a_redirect_out_of_the_rules_is_refused() {
    let server = redirecting_to(302, "/private/x".to_owned()).await;
    let agent = Agent::new(server.port);
    let granted: crate::Rule = format!("GET http://a.test:{}/start", server.port).parse().unwrap();
    let requested = vec![format!("* http://a.test:{}", server.port).parse().unwrap()];
    let policy = Policy::new(requested, vec![granted.clone()]);
    let error = agent.egress.fetch(&policy, Request::new("GET", server.url("a.test", "/start"))).await.unwrap_err();
    let rule = format!("GET http://a.test:{}", server.port);
    let denied = Denied::NotGranted { rule, near: Some(granted) };
    assert_eq!(error, FetchError::Denied { denied, reached: true });
    assert_eq!(server.seen().len(), 1);
}
