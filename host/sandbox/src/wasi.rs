//! WASI 0.2 as guests see it: everything there, everything empty. No files, no sockets, no environment, no arguments;
//! output is captured, clocks and randomness are those of the run.
//!
//! Never here: `kennel:agent`, and waiting, which is `timers.rs`. Called by `guest.rs`.

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView};

use crate::clock::Clock;
use crate::console::{Console, Source};
use crate::limits::Limits;
use crate::random::{Stream, generator, insecure_seed};

/// Bytes that one call for randomness gives: the host must hold them at once.
const RANDOM_BYTES_MAX: u64 = 1024 * 1024;

/// The part of a guest's state that WASI works on.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    /// An empty world around the given clock, output and seed.
    pub(crate) fn new(limits: &Limits, clock: &Clock, console: &Console, seed: [u8; 32]) -> Wasi {
        let ctx = WasiCtxBuilder::new()
            .stdout(console.stream(Source::Output))
            .stderr(console.stream(Source::Error))
            .wall_clock(clock.clone())
            .monotonic_clock(clock.clone())
            .secure_random(generator(seed, Stream::Secure))
            .insecure_random(generator(seed, Stream::Insecure))
            .insecure_random_seed(insecure_seed(seed))
            .max_random_size(RANDOM_BYTES_MAX)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources_max);
        Wasi { ctx, table }
    }

    /// The resources that the guest holds.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    pub(crate) fn view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.ctx, table: &mut self.table }
    }
}
