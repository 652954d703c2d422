//! The `kennel` binary: everything is in the library, so that tests and the binary run the same code.

use std::process::ExitCode;

/// Many threads allocate and free small things for each other here; the system's allocator spends a fifth of the time on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kennel_host::cli::main()
}
