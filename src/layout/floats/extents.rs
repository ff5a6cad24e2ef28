//! The extents of a tensor, as headers of ggml hold them.

use crate::steps;

/// Bytes before a tensor that may hold its extents: four of them, and a name.
pub(super) const HEADER: u64 = 256;

/// Maximum number of extents.
const MOST: usize = 4;

/// Returns the extents of a tensor of `count` elements, outermost first: those of the 32-bit numbers
/// in the bytes before it that multiply to `count`, of which ggml writes the innermost one first.
pub(super) fn extents(header: &[u8], count: u64) -> Option<Vec<u64>> {
    (0..header.len()).rev().find_map(|start| {
        steps::add(1);
        let (mut found, mut product) = (Vec::new(), 1u64);
        for number in header[start..].as_chunks::<4>().0.iter().take(MOST) {
            let extent = u64::from(u32::from_le_bytes(*number));
            product = product.checked_mul(extent).filter(|&product| product > 0 && product <= count)?;
            found.insert(0, extent);
            if product == count && found.iter().filter(|&&extent| extent > 1).count() > 1 {
                return Some(found);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(numbers: &[u32], name: &[u8]) -> Vec<u8> {
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        [&b"odd"[..], &numbers, name].concat()
    }

    #[test]
    fn extents_before_a_name_are_found() {
        assert_eq!(extents(&header(&[2, 6, 1, 384, 1536], b"weight"), 384 * 1536), Some(vec![1536, 384]));
        assert_eq!(extents(&header(&[3, 6, 1, 3, 80, 384], b"w"), 3 * 80 * 384), Some(vec![384, 80, 3]));
        assert_eq!(extents(&header(&[1, 6, 1, 384], b"bias"), 384), None);
        assert_eq!(extents(&header(&[2, u32::MAX, u32::MAX, u32::MAX, 0], b""), 7), None);
        assert_eq!(extents(b"", 7), None);
    }
}
