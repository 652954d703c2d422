//! The `kennel` binary: everything is in the library, so that tests and the binary run the same code.

use std::process::ExitCode;

fn main() -> ExitCode {
    kennel_host::cli::main()
}
