//! `ambient`: time and randomness for guests without WASI.

use chacha20::rand_core::Rng;

use crate::bindings::kennel::agent::ambient::Host;
use crate::convert::{give, take};
use crate::guest::{Failure, Guest};

/// Bytes that one call gives, as the contract says.
const RANDOM_BYTES_MAX: u32 = 64 * 1024;

impl Host for Guest {
    fn now(&mut self) -> wasmtime::Result<f64> {
        Ok(give::time(self.event_time().timestamp()))
    }

    fn random(&mut self, len: u32) -> wasmtime::Result<Vec<u8>> {
        if len > RANDOM_BYTES_MAX {
            // Fewer bytes than asked for would end up in somebody's key.
            return Err(wasmtime::Error::new(Failure::Trap("ambient.random gives at most 64 KiB a call")));
        }
        let mut bytes = vec![0; take::count(len)];
        self.random.fill_bytes(&mut bytes);
        Ok(bytes)
    }
}
