//! The native part of the Python package `bitx`: a thin binding of the core and its host.
//!
//! Python hands over `Input`s, and gets plain numbers, texts and arrays back. The interpreter's
//! lock is released while the codec works, and a `Watch` tells the codec about an interrupt.

mod fault;
mod files;
mod folders;
mod given;
mod input;
mod memory;
mod merge;
mod reader;
mod report;
mod store;
mod sync;
mod watch;

use std::ffi::OsString;

use pyo3::prelude::*;

/// The allocator of the package, as of the command line. The codec allocates and frees buffers of
/// megabytes; mimalloc keeps their pages. Python and numpy keep their own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the command `bitx` and returns its exit code. `args` begin with the name of the program.
#[pyfunction]
fn command(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| bitx_cli::main(args))
}

/// The module `bitx._native`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<input::Input>()?;
    module.add_class::<reader::Reader>()?;
    module.add_function(wrap_pyfunction!(command, module)?)?;
    module.add_function(wrap_pyfunction!(files::compress, module)?)?;
    module.add_function(wrap_pyfunction!(files::restore, module)?)?;
    module.add_function(wrap_pyfunction!(files::verify, module)?)?;
    module.add_function(wrap_pyfunction!(files::inspect, module)?)?;
    module.add_function(wrap_pyfunction!(files::distance, module)?)?;
    module.add_function(wrap_pyfunction!(merge::merge, module)?)?;
    module.add_function(wrap_pyfunction!(folders::compress_folder, module)?)?;
    module.add_function(wrap_pyfunction!(folders::restore_folder, module)?)?;
    module.add_function(wrap_pyfunction!(folders::verify_folder, module)?)?;
    module.add_function(wrap_pyfunction!(folders::inspect_folder, module)?)?;
    module.add_function(wrap_pyfunction!(folders::merge_folder, module)?)?;
    module.add_function(wrap_pyfunction!(store::store_add, module)?)?;
    module.add_function(wrap_pyfunction!(store::store_get, module)?)?;
    module.add_function(wrap_pyfunction!(store::store_survey, module)?)?;
    module.add_function(wrap_pyfunction!(store::store_plan, module)?)?;
    module.add_function(wrap_pyfunction!(store::store_write, module)?)?;
    module.add_function(wrap_pyfunction!(store::store_ls, module)?)?;
    module.add_function(wrap_pyfunction!(store::store_files, module)?)?;
    module.add_function(wrap_pyfunction!(store::store_stats, module)?)?;
    module.add_function(wrap_pyfunction!(sync::digest, module)?)?;
    module.add_function(wrap_pyfunction!(sync::encode, module)?)?;
    module.add_function(wrap_pyfunction!(sync::apply, module)?)
}
