//! Which base region serves which target region: decided as data, before a byte is coded.

use std::collections::HashMap;

use crate::layout::{Layout, Region};

/// For each region of `target`, the index of the region of `base` that has its name, dtype and shape.
pub fn pair_by_name(target: &Layout, base: &Layout) -> Vec<Option<usize>> {
    let by_name: HashMap<&str, usize> = base.regions.iter().enumerate().map(|(i, r)| (r.name.as_str(), i)).collect();
    let partner = |region: &Region| {
        let index = *by_name.get(region.name.as_str())?;
        same_type(region, &base.regions[index]).then_some(index)
    };
    target.regions.iter().map(partner).collect()
}

/// Whether two regions have the same dtype and shape, and hence the same length.
pub fn same_type(a: &Region, b: &Region) -> bool {
    a.dtype == b.dtype && a.shape == b.shape && a.length == b.length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Dtype;

    fn layout(regions: &[(&str, Dtype, &[u64])]) -> Layout {
        let mut offset = 100;
        let region = |&(name, dtype, shape): &(&str, Dtype, &[u64])| {
            let length = dtype.tensor_bytes(shape).unwrap();
            offset += length;
            Region { name: name.into(), dtype, shape: shape.to_vec(), offset: offset - length, length }
        };
        let regions = regions.iter().map(region).collect();
        Layout { file_length: offset, header_length: 100, regions }
    }

    #[test]
    fn pairs_only_equal_name_dtype_and_shape() {
        let base = layout(&[("a", Dtype::BF16, &[4]), ("b", Dtype::BF16, &[2, 2]), ("c", Dtype::F16, &[4])]);
        let target = layout(&[
            ("c", Dtype::F16, &[4]),
            ("b", Dtype::BF16, &[4]),
            ("a", Dtype::F16, &[4]),
            ("d", Dtype::BF16, &[4]),
        ]);
        assert_eq!(pair_by_name(&target, &base), [Some(2), None, None, None]);
    }
}
