//! The caller of this library, which sees the progress of the work and may stop it.

use std::fmt::Debug;

use bitx_host::Stop;

/// A caller of this library.
pub trait Caller: Stop + Debug + Send {
    /// States the number of bytes to do.
    fn set_total(&self, bytes: u64);

    /// Counts bytes that are done.
    fn add_done(&self, bytes: u64);
}
