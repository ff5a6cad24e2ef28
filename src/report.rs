//! What an archive holds, as data.

use crate::layout::{Dtype, Region};

/// How a tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// XOR with the base, split into two streams, zstd (BITXv001, type 0).
    Xor,
    /// zstd without a base (BITXv001, type 1).
    Zstd,
}

impl Method {
    /// A stable lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xor => "xor",
            Self::Zstd => "zstd",
        }
    }
}

/// One tensor of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorReport {
    /// Name.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Extents, outermost first.
    pub shape: Vec<u64>,
    /// How it is stored.
    pub method: Method,
    /// Bytes in the archive.
    pub stored_bytes: u64,
    /// Bytes in the restored file.
    pub restored_bytes: u64,
}

impl TensorReport {
    pub(crate) fn new(region: &Region, method: Method, stored_bytes: u64) -> Self {
        Self {
            name: region.name.clone(),
            dtype: region.dtype,
            shape: region.shape.clone(),
            method,
            stored_bytes,
            restored_bytes: region.length,
        }
    }
}

/// What an archive holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Version of the format.
    pub version: u32,
    /// Bytes of the archive.
    pub stored_bytes: u64,
    /// Bytes of the restored file.
    pub restored_bytes: u64,
    /// Tensors, in the restored file's order.
    pub tensors: Vec<TensorReport>,
}

impl Report {
    /// How many tensors each method stores, methods without any left out.
    pub fn method_counts(&self) -> Vec<(Method, usize)> {
        let count = |m: Method| self.tensors.iter().filter(|t| t.method == m).count();
        [Method::Xor, Method::Zstd].into_iter().map(|m| (m, count(m))).filter(|(_, n)| *n > 0).collect()
    }
}
