//! What an archive holds, as data.

use std::collections::BTreeMap;

use crate::layout::{Dtype, Region};

/// How a tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Method {
    /// XOR with the base, split into two streams, zstd (BITXv001, type 0).
    Xor,
    /// zstd without a base.
    Zstd,
    /// The base's tensor itself.
    CopyBase,
    /// Another tensor of the same archive.
    CopyEarlier,
    /// Ordered deltas to the base, entropy coded in the base's context.
    Delta,
    /// Deltas to the base moved by a low-rank prediction.
    Predicted,
    /// Without a base: the leading bits entropy coded.
    Solo,
    /// The bytes themselves.
    Stored,
}

impl Method {
    /// A stable lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xor => "xor",
            Self::Zstd => "zstd",
            Self::CopyBase => "copy-base",
            Self::CopyEarlier => "copy-earlier",
            Self::Delta => "delta",
            Self::Predicted => "predicted",
            Self::Solo => "solo",
            Self::Stored => "stored",
        }
    }
}

/// The low-rank prediction of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prediction {
    /// Number of components.
    pub rank: u8,
    /// About the bytes that it saved, its own cost taken off.
    pub saved_bytes: u64,
}

/// One tensor of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorReport {
    /// Name.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Extents, outermost first.
    pub shape: Vec<u64>,
    /// How it is stored.
    pub method: Method,
    /// How it is predicted, if it is.
    pub prediction: Option<Prediction>,
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
            prediction: None,
            stored_bytes,
            restored_bytes: region.length,
        }
    }
}

/// One file of an archive's base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BaseReport {
    /// Length in bytes.
    pub length: u64,
    /// BLAKE3 of the file.
    pub blake3: [u8; 32],
}

/// What an archive holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Version of the format.
    pub version: u32,
    /// Bytes of the archive.
    pub stored_bytes: u64,
    /// Bytes of the restored file.
    pub restored_bytes: u64,
    /// BLAKE3 of the restored file, where the archive states it.
    pub blake3: Option<[u8; 32]>,
    /// The base's files when the archive was made, where the archive states them.
    pub bases: Vec<BaseReport>,
    /// Tensors, in the restored file's order.
    pub tensors: Vec<TensorReport>,
}

impl Report {
    /// How many tensors each method stores, methods without any left out.
    pub fn method_counts(&self) -> Vec<(Method, usize)> {
        let mut counts = BTreeMap::new();
        self.tensors.iter().for_each(|tensor| *counts.entry(tensor.method).or_insert(0) += 1);
        counts.into_iter().collect()
    }
}
