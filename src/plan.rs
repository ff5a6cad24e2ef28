//! Which base region serves which target region: decided as data, before a byte is coded.

use std::collections::HashMap;

use crate::archive::v2::Partner;
use crate::error::{Error, Result};
use crate::io::Source;
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

    /// The region at `place`, to be read in another way; its name stays.
    pub(crate) fn region_mut(&mut self, place: Place) -> &mut Region {
        &mut self.layouts[place.base].regions[place.region]
    }

    /// What an archive calls the region at `place`.
    pub(crate) fn partner_name(&self, place: Place) -> String {
        let region = self.region(place);
        if self.layouts[place.base].kind == Kind::Places { region.offset.to_string() } else { region.name.clone() }
    }

    /// Where the bytes are that an archive calls the partner of `region`: the file, and their offset there.
    ///
    /// # Errors
    /// `BaseMismatch` if this base has no such bytes, `Corrupt` if no base can have them.
    pub(crate) fn locate(&self, region: &Region, partner: &Partner) -> Result<(Source, u64)> {
        let (source, layout) = (Source::Base(partner.base), &self.layouts[partner.base]);
        if layout.kind == Kind::Places {
            let offset =
                partner.place().ok_or_else(|| Error::corrupt("offset of a base region").tensor(&region.name))?;
            return match offset.checked_add(region.length) {
                Some(end) if end <= layout.file_length => Ok((source, offset)),
                _ => Err(Error::base_mismatch("the base file is too short").tensor(&region.name).input(source)),
            };
        }
        let here = self.named(&partner.name).iter().find(|place| place.base == partner.base);
        match here.map(|&place| self.region(place)) {
            Some(other) if other.dtype == region.dtype && other.length == region.length => Ok((source, other.offset)),
            _ => Err(self.mismatch(region, &partner.name)),
        }
    }

    /// Why no region `name` of this base has the type of `region`.
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
