//! Randomness of one run: ChaCha20 streams of the run's seed, so that a replay draws the same.
//!
//! Never here: the seed itself; the worker makes it and stores it. Used by `wasi.rs` and `host/ambient.rs`.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// What a stream is for. Streams are apart, so that drawing from one never moves another.
///
/// Stored: replay depends on these numbers. A new use gets a new number.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    /// `ambient.random`.
    Ambient = 0,
    /// `wasi:random/random`.
    Secure = 1,
    /// `wasi:random/insecure`.
    Insecure = 2,
    /// `wasi:random/insecure-seed`: the keys of Rust's hash maps.
    InsecureSeed = 3,
}

/// A generator at the start of its stream.
pub(crate) fn generator(seed: [u8; 32], stream: Stream) -> ChaCha20Rng {
    let mut generator = ChaCha20Rng::from_seed(seed);
    generator.set_stream(stream as u64);
    generator
}

/// The one number that `wasi:random/insecure-seed` gives.
pub(crate) fn insecure_seed(seed: [u8; 32]) -> u128 {
    let mut bytes = [0; 16];
    generator(seed, Stream::InsecureSeed).fill_bytes(&mut bytes);
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use chacha20::rand_core::Rng;

    use super::{Stream, generator};

    fn draw(stream: Stream) -> [u8; 8] {
        let mut bytes = [0; 8];
        generator([0; 32], stream).fill_bytes(&mut bytes);
        bytes
    }

    #[test]
    fn a_stream_is_what_it_was_in_earlier_releases() {
        // Journals of earlier releases replay only while this holds. Computed by another implementation of ChaCha20 with a
        // key of zeros; the first line is the well-known test vector.
        assert_eq!(draw(Stream::Ambient), [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
        assert_eq!(draw(Stream::Secure), [0xef, 0x3f, 0xdf, 0xd6, 0xc6, 0x15, 0x78, 0xfb]);
        assert_eq!(draw(Stream::Insecure), [0xd0, 0xc5, 0xb9, 0xb7, 0x44, 0x28, 0x70, 0x72]);
        assert_eq!(super::insecure_seed([0; 32]), 37_244_119_968_042_786_949_933_554_574_528_556_802);
    }
}
