//! Reports: the content of an archive as data.

use std::collections::BTreeMap;

use crate::layout::{Dtype, Region};

/// The method by which a tensor is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Method {
    /// XOR with the base, split into two streams that zstd compresses (BITXv001, type 0).
    Xor,
    /// zstd, without a base.
    Zstd,
    /// A reference to the base's tensor, which is equal.
    CopyBase,
    /// A reference to an earlier tensor of the same archive, which is equal.
    CopyEarlier,
    /// Differences to the base, entropy coded in contexts that the base gives.
    Delta,
    /// Differences to the base after a low-rank prediction moved it.
    Predicted,
    /// The fields of quantised blocks, as distances in the grid of levels that they have.
    Grid,
    /// The tensor's own words, without a base: their leading bits are entropy coded.
    Solo,
    /// The tensor's words in a narrower dtype that holds them exactly.
    Narrow,
    /// The tensor's few distinct words, and the index of each word.
    Palette,
    /// Copies from the base or from the tensor itself, and bytes that are new.
    Patch,
    /// The bytes themselves, not compressed.
    Stored,
}

impl Method {
    /// The stable lower-case name of the method.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xor => "xor",
            Self::Zstd => "zstd",
            Self::CopyBase => "copy-base",
            Self::CopyEarlier => "copy-earlier",
            Self::Delta => "delta",
            Self::Predicted => "predicted",
            Self::Grid => "grid",
            Self::Solo => "solo",
            Self::Narrow => "narrow",
            Self::Palette => "palette",
            Self::Patch => "patch",
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
    /// An estimate of the bytes that the prediction saved, less its own size.
    pub saved_bytes: u64,
}

/// One tensor of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorReport {
    /// The tensor's name.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Extents, outermost first.
    pub shape: Vec<u64>,
    /// The method by which most of the tensor is stored.
    pub method: Method,
    /// The prediction that the method uses, if any.
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

/// One base file of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BaseReport {
    /// The file's number among those that the host gave to compress against; in an archive that is
    /// read, its number there.
    pub file: usize,
    /// The file's length in bytes when the archive was made.
    pub length: u64,
    /// The file's BLAKE3 digest.
    pub blake3: [u8; 32],
}

/// The content of an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Version of the format.
    pub version: u32,
    /// Bytes of the archive.
    pub stored_bytes: u64,
    /// Bytes of the restored file.
    pub restored_bytes: u64,
    /// BLAKE3 digest of the restored file; `None` for v1, which does not state it.
    pub blake3: Option<[u8; 32]>,
    /// The base files as they were when the archive was made; empty for v1, which does not state
    /// them.
    pub bases: Vec<BaseReport>,
    /// The tensors, in the order of the restored file.
    pub tensors: Vec<TensorReport>,
}

impl Report {
    /// The number of tensors per method; methods without tensors are left out.
    pub fn method_counts(&self) -> Vec<(Method, usize)> {
        let mut counts = BTreeMap::new();
        self.tensors.iter().for_each(|tensor| *counts.entry(tensor.method).or_insert(0) += 1);
        counts.into_iter().collect()
    }
}
