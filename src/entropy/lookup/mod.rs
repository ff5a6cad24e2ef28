//! Mapping of bytes by a table, many at a time: a table of 128 bytes fits a few vector registers.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")))]
mod groups;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

/// A map from seven bits to a byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lookup {
    table: [u8; 128],
    /// The index from which on all entries are the same. Larger bytes are mapped as this index is,
    /// which saves registers.
    last: u8,
}

impl Lookup {
    pub(crate) fn new(table: [u8; 128]) -> Self {
        let last = table.iter().rposition(|entry| *entry != table[127]).map_or(0, |i| i + 1);
        Self { table, last: last as u8 }
    }

    /// Returns the entry of a byte, whose highest bit is ignored.
    pub(crate) fn get(&self, byte: u8) -> u8 {
        self.table[usize::from(byte & 127)]
    }

    /// Replaces every byte by its entry. All bytes must be below 128.
    pub(crate) fn map(&self, bytes: &mut [u8]) {
        if self.last == 0 {
            return bytes.fill(self.table[127]);
        }
        #[cfg(target_arch = "x86_64")]
        let bytes = avx2::map(self, avx512::map(self, bytes));
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        let bytes = simd128::map(self, bytes);
        bytes.iter_mut().for_each(|byte| *byte = self.get(*byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_maps_every_byte_at_every_length() {
        for last in [0, 1, 15, 16, 17, 95, 127] {
            let table = std::array::from_fn(|i| if i < last { (i * 37 + 5) as u8 } else { 77 });
            let lookup = Lookup::new(table);
            for length in [0, 1, 15, 16, 31, 32, 33, 63, 64, 1000] {
                let bytes: Vec<u8> = (0..length).map(|i| (i * 13 % 128) as u8).collect();
                let mut mapped = bytes.clone();
                lookup.map(&mut mapped);
                let want: Vec<u8> = bytes.iter().map(|&byte| table[usize::from(byte)]).collect();
                assert_eq!(mapped, want, "{last} {length}");
                // The widest kernel of a processor leaves little to the others.
                #[cfg(target_arch = "x86_64")]
                {
                    let mut mapped = bytes.clone();
                    let left = avx2::map(&lookup, &mut mapped).len();
                    assert_eq!(mapped[..bytes.len() - left], want[..bytes.len() - left], "{last} {length}");
                }
            }
        }
    }
}
