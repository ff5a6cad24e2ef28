//! Which base region serves which target region: decided as data, before a byte is coded.

use std::collections::HashMap;

use crate::layout::{Kind, Layout, Region};

/// A region of a base set: which file, and which of its regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the file.
    pub base: usize,
    /// Number of the region in that file's layout.
    pub region: usize,
}

/// The base: one file, or several (the shards of a model) that serve together.
#[derive(Debug, Default)]
pub struct BaseSet {
    layouts: Vec<Layout>,
    by_name: HashMap<String, Vec<Place>>,
}

impl BaseSet {
    /// The set of these files.
    pub fn new(layouts: Vec<Layout>) -> Self {
        let mut by_name: HashMap<String, Vec<Place>> = HashMap::new();
        for (base, layout) in layouts.iter().enumerate() {
            for (region, found) in layout.regions.iter().enumerate() {
                by_name.entry(found.name.clone()).or_default().push(Place { base, region });
            }
        }
        Self { layouts, by_name }
    }

    /// The files' layouts.
    pub fn layouts(&self) -> &[Layout] {
        &self.layouts
    }

    /// The region at `place`.
    pub fn region(&self, place: Place) -> &Region {
        &self.layouts[place.base].regions[place.region]
    }

    /// What an archive calls the region at `place`.
    pub(crate) fn partner_name(&self, place: Place) -> String {
        let region = self.region(place);
        if self.layouts[place.base].kind == Kind::Places { region.offset.to_string() } else { region.name.clone() }
    }

    /// Regions of that name, by file.
    pub fn named(&self, name: &str) -> &[Place] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// The first region that has the name, dtype and shape of `target`.
    pub fn partner(&self, target: &Region) -> Option<Place> {
        self.named(&target.name).iter().copied().find(|&place| same_type(target, self.region(place)))
    }
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
        Layout { kind: Kind::Safetensors, file_length: offset, header_length: 100, regions }
    }

    #[test]
    fn pairs_only_equal_name_dtype_and_shape() {
        let first = layout(&[("a", Dtype::BF16, &[4]), ("b", Dtype::BF16, &[2, 2])]);
        let second = layout(&[("c", Dtype::F16, &[4]), ("b", Dtype::BF16, &[4])]);
        let base = BaseSet::new(vec![first, second]);
        let target = layout(&[
            ("c", Dtype::F16, &[4]),
            ("b", Dtype::BF16, &[4]),
            ("a", Dtype::F16, &[4]),
            ("d", Dtype::BF16, &[4]),
        ]);
        let partners: Vec<_> = target.regions.iter().map(|r| base.partner(r)).collect();
        let place = |base, region| Some(Place { base, region });
        assert_eq!(partners, [place(1, 0), place(1, 1), None, None]);
    }
}
