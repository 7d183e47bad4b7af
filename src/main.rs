//! The program: [`tasks_server::cli`], with an allocator.

use std::process::ExitCode;

/// Costs less CPU a request than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tasks_server::cli::main()
}
