//! A block of addresses in CIDR form, as operators write it: `10.0.0.0/8`, `fd00::/8`, `127.0.0.1`.
//!
//! Never here: which networks are private; that is `address`. Made by the host's configuration and by the tables of
//! `address`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Text that is no network, with the cure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a network: {cure}")]
pub struct NetworkError {
    text: String,
    cure: String,
}

impl Network {
    /// Invariant, kept by the tables and by `from_str`: the bits after the prefix are zero.
    pub(crate) const fn v4(address: [u8; 4], prefix: u8) -> Network {
        let [a, b, c, d] = address;
        Network { address: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    /// The same for IPv6.
    pub(crate) const fn v6(address: [u16; 8], prefix: u8) -> Network {
        let [a, b, c, d, e, f, g, h] = address;
        Network { address: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix }
    }

    /// Whether the address is one of the network. An address of the other family never is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => address.to_bits() & mask_v4(self.prefix) == first.to_bits(),
            (IpAddr::V6(first), IpAddr::V6(address)) => address.to_bits() & mask_v6(self.prefix) == first.to_bits(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// A shift by all bits is not defined; prefix 0 asks for it.
fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Reads `address/prefix`, or an address alone for a network of one.
    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let error = |cure: String| NetworkError { text: text.to_owned(), cure };
        let shape =
            || error("write an address, a slash and the number of bits, like 10.0.0.0/8 or fd00::/8".to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| shape())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), str::parse).map_err(|_| shape())?;
        if prefix > bits {
            return Err(error(format!("such an address has only {bits} bits")));
        }
        let first = match address {
            IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask_v4(prefix))),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask_v6(prefix))),
        };
        if first != address {
            return Err(error(format!("write {first}/{prefix}, or {address} for one address")));
        }
        Ok(Network { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_the_addresses_that_share_its_bits() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("172.16.0.0/12", "172.31.255.255", true),
            ("172.16.0.0/12", "172.32.0.0", false),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.6", false),
            ("0.0.0.0/0", "255.1.2.3", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fc00::1", false),
            ("::/0", "2001:db8::1", true),
            ("::1", "::1", true),
            ("::1", "::2", false),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_cure() {
        for (text, cure) in [
            ("10.0.0.1/8", "write 10.0.0.0/8, or 10.0.0.1 for one address"),
            ("10.0.0.0/33", "such an address has only 32 bits"),
            ("localhost", "write an address, a slash and the number of bits, like 10.0.0.0/8 or fd00::/8"),
            ("10.0.0.0/x", "write an address, a slash and the number of bits, like 10.0.0.0/8 or fd00::/8"),
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert_eq!(error.to_string(), format!("`{text}` is not a network: {cure}"));
        }
    }

    #[test]
    fn a_network_is_printed_as_it_is_read() {
        assert_eq!("10.0.0.0/8".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
        assert_eq!("::1".parse::<Network>().unwrap().to_string(), "::1/128");
    }
}
