//! The report of an archive: its index as data for users.

use super::{Entry, Index, VERSION};
use crate::layout::Region;
use crate::report::{Method, Report, TensorReport};

impl Index {
    /// The content of the archive.
    pub(crate) fn report(&self) -> Report {
        let tensor = |(region, entry): (&Region, &Entry)| match entry {
            Entry::Paired { exponent, sign_mantissa } => {
                TensorReport::new(region, Method::Xor, exponent.stored + sign_mantissa.stored)
            }
            Entry::Alone(stream) => TensorReport::new(region, Method::Zstd, stream.stored),
        };
        Report {
            version: VERSION,
            stored_bytes: self.archive_length,
            restored_bytes: self.layout.file_length,
            blake3: None,
            bases: Vec::new(),
            tensors: self.layout.regions.iter().zip(&self.entries).map(tensor).collect(),
        }
    }
}
