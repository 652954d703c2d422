//! Every bound on requests that leave the host, in one place, with its unit and its reason.
//!
//! Never here: how many requests a task may have open; the worker counts those. Made by the host's configuration.

use std::time::Duration;

use crate::network::Network;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What one request may take, and where it may go in spite of the address guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressConfig {
    /// Networks that may be reached although their addresses are not public. Empty: none. For the operator's own
    /// services, and for tests on the loopback network.
    pub allow_private: Vec<Network>,
    /// Bytes of a response's body, after decompression: `http-body-bytes`. It goes into the memory of an agent and into
    /// a journal row; 10 MiB holds the documents and pictures that agents read.
    pub body_bytes_max: usize,
    /// Bytes of the bodies that all requests of the host hold together: `http-bodies`. What does not fit waits. 256 MiB are 25 of the
    /// largest at once; small ones, which most are, do not count.
    pub bodies_bytes_max: usize,
    /// Bytes of the url and all headers of a request, and of all headers of a response: `http-head-bytes`. Servers
    /// refuse far less than 64 KiB; signed urls and cookies stay far below.
    pub head_bytes_max: usize,
    /// Time for a whole exchange, redirects included, of a request that names none. A minute: models answer slowly.
    pub time_default: Duration,
    /// The most that a request may ask for. What takes longer than two minutes is a job to be polled.
    pub time_max: Duration,
    /// Time to look up a name, connect and shake hands. An address that does not answer in 10 s will not.
    pub connect_time_max: Duration,
    /// How long an unused connection is kept. Below the 5 s after which common servers close theirs, because a request
    /// that meets a closing connection fails without anybody knowing whether it was seen.
    pub idle_time_max: Duration,
    /// How a body is cut that is read in pieces.
    pub pieces: Pieces,
}

/// How a body is cut: each piece becomes a journal row, so they should be few, and a token of a model should not wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// Bytes with which a piece waits for no more.
    pub bytes_min: usize,
    /// Bytes of one piece: the most that the contract lets through.
    pub bytes_max: usize,
    /// How long a smaller piece waits for more, from its first byte on. People do not see 50 ms.
    pub wait_max: Duration,
}

impl Default for EgressConfig {
    /// The figures of the contract; operators change them.
    fn default() -> EgressConfig {
        EgressConfig {
            allow_private: Vec::new(),
            body_bytes_max: 10 * MIB,
            bodies_bytes_max: 256 * MIB,
            head_bytes_max: 64 * KIB,
            time_default: Duration::from_secs(60),
            time_max: Duration::from_secs(120),
            connect_time_max: Duration::from_secs(10),
            idle_time_max: Duration::from_secs(4),
            pieces: Pieces::default(),
        }
    }
}

impl Default for Pieces {
    /// The figures of the contract.
    fn default() -> Pieces {
        Pieces { bytes_min: 4 * KIB, bytes_max: 64 * KIB, wait_max: Duration::from_millis(50) }
    }
}
