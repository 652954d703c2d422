//! The guard against requests into the operator's own networks (SSRF): names are looked up here, and what does not lead
//! to public addresses alone is refused.
//!
//! The client resolves by [`Guard`] and connects to what it gives, so the address that was checked is the address that
//! is used: there is no second look-up that could say something else. Addresses in urls pass no look-up, and are
//! checked apart. Never here: which address is public; that is `address`. Called by `egress`.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::address::special;
use crate::error::Denied;
use crate::network::Network;

/// Looks names up, and refuses those that lead into networks that are not public.
#[derive(Clone)]
pub(crate) struct Guard {
    allow_private: Arc<[Network]>,
    resolver: Arc<dyn Resolve>,
}

/// Why a name gives no address to connect to. Comes back from the client as the innermost cause of its error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("cannot look up {host}")]
    Failed { host: String, source: Box<dyn Error + Send + Sync> },
    #[error("{host} has no address")]
    Empty { host: String },
}

/// The name service of the system.
pub(crate) struct SystemResolver;

impl Guard {
    pub(crate) fn new(allow_private: &[Network], resolver: Arc<dyn Resolve>) -> Guard {
        Guard { allow_private: allow_private.into(), resolver }
    }

    /// Checks the address that stands in a url instead of a name. Names pass: they are checked when they are looked up.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), Denied> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        self.check(url.host_str().unwrap_or_default(), address)
    }

    fn check(&self, host: &str, address: IpAddr) -> Result<(), Denied> {
        let Some(what) = special(address) else { return Ok(()) };
        if self.allow_private.iter().any(|network| network.contains(address.to_canonical())) {
            return Ok(());
        }
        tracing::info!(host, %address, what, "request to an address that is not public refused");
        Err(Denied::Address { host: host.to_owned(), what })
    }

    /// One address that is not public spoils the name: which one would be used is chance, and the honest have no such
    /// names.
    async fn lookup(self, name: Name) -> Result<Vec<SocketAddr>, LookupError> {
        let host = name.as_str().to_owned();
        let found = self.resolver.resolve(name).await;
        let found = found.map_err(|source| LookupError::Failed { host: host.clone(), source })?;
        let addresses: Vec<SocketAddr> = found.collect();
        addresses.iter().try_for_each(|address| self.check(&host, address.ip()))?;
        if addresses.is_empty() { Err(LookupError::Empty { host }) } else { Ok(addresses) }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move { Ok(Box::new(guard.lookup(name).await?.into_iter()) as Addrs) })
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // Port 0: the client puts in the one of the url.
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str]) -> Guard {
        let allow: Vec<Network> = allow.iter().map(|network| network.parse().unwrap()).collect();
        Guard::new(&allow, Arc::new(SystemResolver))
    }

    #[test]
    fn addresses_in_urls_are_checked_however_they_are_written() {
        for (url, expected) in [
            ("http://127.0.0.1/", false),
            ("http://127.1/", false),
            ("http://0x7f000001/", false),
            ("http://2130706433/", false),
            ("http://0177.0.0.1/", false),
            ("http://\u{ff11}27.0.0.1/", false),
            ("http://127.0.0.1./", false),
            ("http://[::1]/", false),
            ("http://[::ffff:10.0.0.1]/", false),
            ("http://[::ffff:7f00:1]/", false),
            ("http://169.254.169.254/latest/meta-data", false),
            ("http://0/", false),
            ("http://8.8.8.8/", true),
            ("http://[2606:4700::1111]/", true),
        ] {
            assert_eq!(guard(&[]).check_url(&url.parse().unwrap()).is_ok(), expected, "{url}");
        }
    }

    #[test]
    fn the_operator_allows_networks_by_name() {
        let guard = guard(&["10.1.0.0/16", "::1"]);
        for (url, expected) in [
            ("http://10.1.2.3/", true),
            ("http://[::ffff:10.1.2.3]/", true),
            ("http://[::1]/", true),
            ("http://10.2.0.1/", false),
            ("http://127.0.0.1/", false),
            // Behind a translator there is another network, which nobody has allowed.
            ("http://[64:ff9b::10.1.2.3]/", false),
        ] {
            assert_eq!(guard.check_url(&url.parse().unwrap()).is_ok(), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn the_system_knows_this_machine() {
        let error = guard(&[]).lookup("localhost".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, LookupError::Denied(Denied::Address { what: "loopback", .. })), "{error:?}");
        let addresses = guard(&["127.0.0.0/8", "::1"]).lookup("localhost".parse().unwrap()).await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 0), "{addresses:?}");
    }
}
