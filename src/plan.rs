//! The pairing of target regions with base regions, decided as data before a byte is coded.

use std::collections::HashMap;

use crate::archive::v2::Partner;
use crate::error::{Error, Result};
use crate::io::Source;
use crate::layout::{Kind, Layout, Region};

/// The place of a region in a base set: a file, and a region of that file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index of the file.
    pub base: usize,
    /// Index of the region in that file's layout.
    pub region: usize,
}

/// The base: one file, or several that serve together, such as the shards of a model.
#[derive(Debug, Default)]
pub struct BaseSet {
    layouts: Vec<Layout>,
    by_name: HashMap<String, Vec<Place>>,
}

impl BaseSet {
    /// Creates the set of the files with these layouts.
    pub fn new(layouts: Vec<Layout>) -> Self {
        let mut by_name: HashMap<String, Vec<Place>> = HashMap::new();
        for (base, layout) in layouts.iter().enumerate() {
            for (region, found) in layout.regions.iter().enumerate() {
                by_name.entry(found.name.clone()).or_default().push(Place { base, region });
            }
        }
        Self { layouts, by_name }
    }

    /// The layouts of the files.
    pub fn layouts(&self) -> &[Layout] {
        &self.layouts
    }

    /// The region at `place`.
    pub fn region(&self, place: Place) -> &Region {
        &self.layouts[place.base].regions[place.region]
    }

    /// The region at `place`, to change its dtype and shape; its name must stay.
    pub(crate) fn region_mut(&mut self, place: Place) -> &mut Region {
        &mut self.layouts[place.base].regions[place.region]
    }

    /// The name of the region at `place` in an archive: its own, or its offset in a file of
    /// [`Kind::Places`].
    pub(crate) fn partner_name(&self, place: Place) -> String {
        let region = self.region(place);
        if self.layouts[place.base].kind == Kind::Places { region.offset.to_string() } else { region.name.clone() }
    }

    /// Locates the partner of `region` in the base: returns its file, and its offset there.
    ///
    /// # Errors
    /// `BaseMismatch` if this base has no such region, `Corrupt` if no base can have it.
    pub(crate) fn locate(&self, region: &Region, partner: &Partner) -> Result<(Source, u64)> {
        let (source, layout) = (Source::Base(partner.base), &self.layouts[partner.base]);
        if layout.kind == Kind::Places {
            let offset = partner
                .place()
                .ok_or_else(|| Error::corrupt("the offset of the base region is not a number").tensor(&region.name))?;
            return match offset.checked_add(region.length) {
                Some(end) if end <= layout.file_length => Ok((source, offset)),
                _ => Err(Error::base_mismatch("the base file is too short for the tensor")
                    .tensor(&region.name)
                    .input(source)),
            };
        }
        let here = self.named(&partner.name).iter().find(|place| place.base == partner.base);
        match here.map(|&place| self.region(place)) {
            Some(other) if other.dtype == region.dtype && other.length == region.length => Ok((source, other.offset)),
            _ => Err(self.mismatch(region, &partner.name)),
        }
    }

    /// The error for a base without a region `name` of the type of `region`.
    pub(crate) fn mismatch(&self, region: &Region, name: &str) -> Error {
        let error = match self.named(name).first() {
            Some(&place) => Error::base_mismatch("the base's tensor has another type or shape")
                .figures(region.type_name(), self.region(place).type_name())
                .input(Source::Base(place.base)),
            None => Error::base_mismatch(format!("the base has no tensor {name:?}"))
                .figures(region.type_name(), "nothing")
                .input(Source::Base(0)),
        };
        error.tensor(&region.name)
    }

    /// The places of all regions of that name, in the order of the files.
    pub fn named(&self, name: &str) -> &[Place] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// The first region with the name, dtype and shape of `target`, if there is one.
    pub fn partner(&self, target: &Region) -> Option<Place> {
        self.named(&target.name).iter().copied().find(|&place| same_type(target, self.region(place)))
    }
}

/// Tells whether two regions have the same dtype and shape, and hence the same length.
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
