//! Secrets reach the sites they are for, and nobody else.

use std::io::Write;
use std::sync::Mutex;

use tokio::net::TcpListener;

use super::server::{Server, Step, response};
use super::*;
use crate::{Credential, Denied, FetchError};

const SECRET: &str = "hunter2";

fn credential(port: u16, hosts: &[&str]) -> Credential {
    let sites: Vec<_> = hosts.iter().map(|host| format!("http://{host}:{port}").parse().unwrap()).collect();
    Credential::new("key", &[("x-key", SECRET)], sites).unwrap()
}

/// Redirects `/first/second/third` to `first`, which is a host, with the rest as path; answers a path that is empty.
async fn guide() -> Server {
    let port = Arc::new(Mutex::new(0));
    let known = Arc::clone(&port);
    let server = Server::start(move |seen| {
        let port = *known.lock().unwrap();
        let reply = match seen.path().trim_start_matches('/') {
            "" => response(200, "", "end"),
            path => {
                let (host, rest) = path.split_once('/').unwrap_or((path, ""));
                response(302, &format!("location: http://{host}:{port}/{rest}\r\n"), "")
            }
        };
        vec![Step::Write(reply)]
    })
    .await;
    *port.lock().unwrap() = server.port;
    server
}

#[tokio::test]
async fn a_credential_goes_to_its_sites_only() {
    let server = guide().await;
    let agent = Agent::new(server.port);
    let request = |host| Request {
        credential: Some(credential(server.port, &["a.test"])),
        ..Request::new("GET", server.url(host, "/"))
    };
    agent.fetch(request("a.test")).await.unwrap();
    assert_eq!(server.seen()[0].header("x-key"), Some(SECRET));
    let error = agent.fetch(request("b.test")).await.unwrap_err();
    let origin = format!("http://b.test:{}", server.port);
    let denied = Denied::Credential { credential: "key".to_owned(), origin };
    assert_eq!(error, FetchError::Denied { denied, reached: false });
    assert_eq!(server.seen().len(), 1, "nothing goes to the other host");
}

#[tokio::test]
async fn secrets_stay_behind_when_the_origin_changes() {
    let server = guide().await;
    let agent = Agent::new(server.port);
    let headers = [("Authorization", "Bearer x"), ("Cookie", "a=b"), ("X-Plain", "kept")];
    let request = Request {
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        // Good for both: crossing over drops it all the same.
        credential: Some(credential(server.port, &["a.test", "b.test"])),
        ..Request::new("GET", server.url("a.test", "/a.test/b.test/a.test"))
    };
    let response = agent.fetch(request).await.unwrap();
    assert_eq!(response.head.url.as_str(), server.url("a.test", "/"));
    let seen = server.seen();
    let sent = |name| seen.iter().map(|seen| seen.header(name).is_some()).collect::<Vec<bool>>();
    // The first and the second request go to a.test, the third to b.test, the last back to a.test.
    for name in ["authorization", "cookie", "x-key"] {
        assert_eq!(sent(name), [true, true, false, false], "{name}");
    }
    assert_eq!(sent("x-plain"), [true; 4]);
}

/// What the whole process writes to the log, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_secret_is_in_no_error_and_no_log() {
    let log = Log::default();
    let written = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || written.clone());
    // For all threads: a subscriber of one thread alone misses what another thread logged first.
    tracing::subscriber::set_global_default(subscriber.finish()).unwrap();

    let server = Server::start(|_| vec![]).await;
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let agent = Agent::new(server.port);
    let nobody = Agent::new(unused);
    for (agent, port) in [(&agent, server.port), (&nobody, unused)] {
        let url = format!("http://a.test:{port}/path-{SECRET}?query={SECRET}");
        let request = Request { credential: Some(credential(port, &["a.test"])), ..Request::new("GET", url) };
        assert!(!format!("{:#?}", request.credential).contains(SECRET));
        let error = agent.fetch(request).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error:?}");
    }
    assert_eq!(server.seen()[0].header("x-key"), Some(SECRET), "it was sent");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for expected in ["kennel_egress", "no response", "SendRequest", "Connection refused"] {
        assert!(log.contains(expected), "{expected}: {log}");
    }
    assert!(!log.contains(SECRET), "{log}");
}
