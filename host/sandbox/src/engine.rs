//! The engines: how components are compiled and where their memory lies. Two profiles, told apart at load time.
//!
//! Never here: limits of one run (`run.rs`) and files (`cache.rs`). Made by `sandbox.rs`.

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::bindings::Plugin;
use crate::guest::Guest;
use crate::limits::Limits;
use crate::{timers, wasi_http};

/// Bytes of an instance's memory that stay mapped when it is gone, so that the next one takes no page faults.
const KEEP_RESIDENT_BYTES: usize = 1024 * 1024;

/// The same for each table. They are small, and giving their pages back takes a system call each that stops all threads.
const TABLE_KEEP_RESIDENT_BYTES: usize = 64 * 1024;

/// Addresses that a memory without a pool reserves beyond its size when it grows, so that not every step copies it.
const GROWTH_BYTES: u64 = 16 * 1024 * 1024;

/// Core instances of one component. A Rust agent with std has 18: its own, one for each WASI interface, and adapters.
const CORE_INSTANCES_MAX: u32 = 64;

/// Linear memories of one component. Composed components have one for each part.
const MEMORIES_MAX: u32 = 4;

/// Tables of one component, and elements of one table. CPython has 12,000 functions in one.
const TABLES_MAX: u32 = 16;
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Bytes of the host's own bookkeeping for one instance; large modules have large function tables.
const INSTANCE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Unused slots that keep their warm pages. More make a busy host faster and an idle one larger.
const WARM_SLOTS_MAX: u32 = 64;

/// Machine stack of host functions, above the stack of wasm frames: they parse JSON and hold futures.
const HOST_STACK_BYTES: usize = 1536 * 1024;

/// Frames of a backtrace that are kept. Deep enough to tell endless recursion from a crash in ordinary code.
pub(crate) const BACKTRACE_FRAMES_MAX: usize = 64;

/// Instances for components that are being described. They have slots of their own: a host whose every instance waits for
/// a client must still be able to load an agent.
pub(crate) const DESCRIBING_INSTANCES_MAX: u32 = 4;

/// Which features of the component model a component needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProfileName {
    /// Plain calls: the faster one. Rust, C, Python.
    Plain,
    /// With the concurrency of the component model, which JavaScript runtimes are built on.
    Concurrent,
}

impl ProfileName {
    /// For file names and logs. Stored in the names of cache files.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ProfileName::Plain => "plain",
            ProfileName::Concurrent => "concurrent",
        }
    }
}

/// Where instances get their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allocation {
    /// Slots reserved at the start: instances are made in microseconds.
    Pool {
        /// Instances that live at once.
        live_instances_max: u32,
    },
    /// Memory as it is needed, without large reservations: for hosts with little address space.
    OnDemand,
}

/// An engine with everything that agents import.
pub(crate) struct Profile {
    pub(crate) name: ProfileName,
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Guest>,
}

impl Profile {
    /// Makes the engine, with a pool if the address space allows one.
    pub(crate) fn new(name: ProfileName, limits: &Limits, live_instances_max: u32) -> wasmtime::Result<Profile> {
        let pool = Profile::with(name, limits, Allocation::Pool { live_instances_max });
        pool.or_else(|error| {
            tracing::warn!(
                profile = name.as_str(),
                error = %format!("{error:#}"),
                "no address space for a pool of instances, each will be allocated on demand, which is slower",
            );
            Profile::with(name, limits, Allocation::OnDemand)
        })
    }

    /// Makes the engine with one way of allocation.
    pub(crate) fn with(name: ProfileName, limits: &Limits, allocation: Allocation) -> wasmtime::Result<Profile> {
        let engine = Engine::new(&config(name, limits, allocation))?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        timers::add_to_linker(&mut linker)?;
        wasi_http::add_to_linker(&mut linker)?;
        Plugin::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        Ok(Profile { name, engine, linker })
    }
}

fn config(name: ProfileName, limits: &Limits, allocation: Allocation) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(name == ProfileName::Concurrent)
        .epoch_interruption(true)
        .max_wasm_stack(limits.wasm_stack_bytes_max)
        .async_stack_size(limits.wasm_stack_bytes_max.saturating_add(HOST_STACK_BYTES))
        // Results must not depend on the machine: a replay may run on another one.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // Names are enough, and parsing the debug information of strangers is a risk.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES_MAX));
    match allocation {
        Allocation::Pool { live_instances_max } => {
            let pool = pool_config(live_instances_max);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        Allocation::OnDemand => {
            // Explicit bounds checks instead of reserved addresses, which by default are 4 GiB for each memory and 2 GiB
            // for one that grew.
            config
                .allocation_strategy(InstanceAllocationStrategy::OnDemand)
                .memory_reservation(0)
                .memory_reservation_for_growth(GROWTH_BYTES)
                .memory_guard_size(0)
                .guard_before_linear_memory(false);
        }
    }
    config
}

fn pool_config(live_instances_max: u32) -> PoolingAllocationConfig {
    // Without the ioctl (Linux 6.7) a kept page must be zeroed on the suspicion that it was used.
    let keep_resident = match PoolingAllocationConfig::is_pagemap_scan_available() {
        true => KEEP_RESIDENT_BYTES,
        false => 0,
    };
    let instances_max = live_instances_max.saturating_add(DESCRIBING_INSTANCES_MAX);
    let times = |count: u32| instances_max.saturating_mul(count);
    let mut pool = PoolingAllocationConfig::new();
    // Totals are bounds on numbers of slots. Only memories, tables and stacks take address space, and no memory.
    pool.total_component_instances(times(1))
        .total_core_instances(times(CORE_INSTANCES_MAX))
        .total_memories(times(2))
        .total_tables(times(TABLES_MAX))
        .total_stacks(times(2))
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_memories_per_module(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_tables_per_module(TABLES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        .pagemap_scan(Enabled::Auto)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES)
        .linear_memory_keep_resident(keep_resident);
    pool
}
