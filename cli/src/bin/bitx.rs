//! The command `bitx`.

use std::process::ExitCode;

/// The allocator. The codec allocates and frees buffers of megabytes; mimalloc keeps their pages,
/// which avoids most page faults.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(bitx_cli::main(std::env::args_os()))
}
