//! The pairing of target regions with base regions, decided as data before a byte is coded.

use std::collections::HashMap;
use std::sync::Arc;

use crate::archive::v2::{Origin, Partner, View, units};
use crate::chunk::unit;
use crate::error::{Error, Result};
use crate::io::Source;
use crate::layout::{Dtype, Kind, Layout, Region};
use crate::pace::{self, Pace};
use crate::quoted::Quoted;
use crate::steps;
use crate::view::{BaseView, Factors, Located, origin_units};

/// The place of a region in a base set: a file, and a region of that file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// The base files that an archive was made against; empty if there is no archive yet, and the
    /// files here are those.
    recorded: Vec<Recorded>,
}

/// A base file that an archive was made against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded {
    pub(crate) length: u64,
    pub(crate) digest: [u8; 32],
    /// Index of the file here that is taken to be this one.
    pub(crate) given: usize,
}

impl BaseSet {
    /// Creates the set of the files with these layouts.
    pub fn new(layouts: Vec<Layout>) -> Self {
        pace::whole(Self::paced(layouts))
    }

    /// Creates the set of the files with these layouts, with pauses.
    pub(crate) async fn paced(layouts: Vec<Layout>) -> Self {
        let mut pace = Pace::default();
        let mut by_name: HashMap<String, Vec<Place>> = HashMap::new();
        for (base, layout) in layouts.iter().enumerate() {
            for (region, found) in layout.regions.iter().enumerate() {
                by_name.entry(found.name.clone()).or_default().push(Place { base, region });
                pace.turn().await;
            }
        }
        Self { layouts, by_name, recorded: Vec::new() }
    }

    /// Tells which of the files are those that an archive was made against.
    pub(crate) fn with_recorded(self, recorded: Vec<Recorded>) -> Self {
        Self { recorded, ..self }
    }

    /// The index of the file that an archive calls `base`.
    fn given(&self, base: usize) -> usize {
        self.recorded.get(base).map_or(base, |recorded| recorded.given)
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
    fn name_in_archive(&self, place: Place) -> String {
        let region = self.region(place);
        if self.layouts[place.base].kind == Kind::Places { region.offset.to_string() } else { region.name.clone() }
    }

    /// The region at `place` as the origin of a view.
    pub(crate) fn origin(&self, place: Place) -> Origin {
        Origin { base: place.base, name: self.name_in_archive(place), dtype: self.region(place).dtype }
    }

    /// Finds the partner of `region` in this base, whichever files its regions are in now.
    ///
    /// # Errors
    /// `BaseMismatch` if this base lacks a region, `Corrupt` if no base can have it.
    pub(crate) fn resolve(&self, region: &Region, partner: &Partner) -> Result<BaseView> {
        match partner {
            Partner::View(view) => self.resolve_view(region, view),
            Partner::Bytes(stretch) => {
                let source = Source::Base(self.given(stretch.base));
                let end = stretch.offset + stretch.length;
                match self.layouts.get(self.given(stretch.base)) {
                    Some(layout) if end <= layout.file_length => {
                        Ok(BaseView::bytes(region.dtype, source, stretch.offset..end))
                    }
                    _ => Err(Error::base_mismatch("the base file is too short for the tensor")
                        .tensor(&region.name)
                        .input(source)),
                }
            }
        }
    }

    fn resolve_view(&self, region: &Region, view: &View) -> Result<BaseView> {
        steps::add(view.origins.len() + view.runs.len());
        let origins =
            view.origins.iter().zip(wanted(region, view)).map(|(origin, units)| self.locate(region, origin, units));
        let runs = view.runs.iter().map(|run| (run.units, run.from));
        let origins = origins.collect::<Result<_>>()?;
        if let Some(derived) = view.derived {
            return Ok(BaseView::derived((region.dtype, units(region)), derived, origins, runs));
        }
        let gathered = BaseView::new(region.dtype, origins, runs);
        if let Some(transposed) = view.transposed {
            return Ok(gathered.transposed(transposed));
        }
        if let Some(unpacked) = &view.unpacked {
            return Ok(gathered.unpacked(**unpacked));
        }
        if let Some(arranged) = &view.arranged {
            return Ok(gathered.arranged(Arc::clone(arranged)));
        }
        let Some(merge) = &view.merge else { return Ok(gathered) };
        let shape = merge.shape(region)?;
        let factors = Factors {
            a: self.locate(region, &merge.a, shape.of_a() as u64)?,
            b: self.locate(region, &merge.b, shape.of_b() as u64)?,
            shape,
            arithmetic: merge.arithmetic,
        };
        Ok(gathered.merged(factors))
    }

    /// Finds a base region that has at least `units` units.
    fn locate(&self, region: &Region, origin: &Origin, units: u64) -> Result<Located> {
        let width = unit(origin.dtype).1;
        let length = units
            .checked_mul(width)
            .ok_or_else(|| Error::corrupt("the view takes words from outside of a base region").tensor(&region.name))?;
        let given = self.given(origin.base);
        let own = self.layouts.get(given).filter(|layout| layout.kind == Kind::Places);
        if let Some(layout) = own {
            let source = Source::Base(given);
            let offset = origin
                .place()
                .ok_or_else(|| Error::corrupt("the offset of the base region is not a number").tensor(&region.name))?;
            return match offset.checked_add(length) {
                Some(end) if end <= layout.file_length => Ok(Located { source, offset, dtype: origin.dtype }),
                _ => Err(Error::base_mismatch("the base file is too short for the tensor")
                    .tensor(&region.name)
                    .input(source)),
            };
        }
        let fits = |place: &&Place| {
            let other = self.region(**place);
            other.dtype == origin.dtype && other.length >= length
        };
        let named = self.named(&origin.name);
        let found = named.iter().filter(fits).find(|place| place.base == given);
        match found.or_else(|| named.iter().find(fits)) {
            Some(&place) => {
                Ok(Located { source: Source::Base(place.base), offset: self.region(place).offset, dtype: origin.dtype })
            }
            None => Err(self.lacks(region, origin, length)),
        }
    }

    /// The error for a base without the region `origin`, of which a view needs `length` bytes.
    fn lacks(&self, region: &Region, origin: &Origin, length: u64) -> Error {
        let wanted = format!("{} in at least {length} bytes", origin.dtype.name());
        let error = match self.named(&origin.name).first() {
            Some(&place) => {
                let other = self.region(place);
                Error::base_mismatch(format!("the base's tensor {} has another dtype or length", Quoted(&origin.name)))
                    .figures(wanted, format_args!("{} in {} bytes", other.dtype.name(), other.length))
                    .input(Source::Base(place.base))
            }
            None => {
                let error = Error::base_mismatch(format!("the base has no tensor {}", Quoted(&origin.name)));
                let error = match self.recorded.get(origin.base) {
                    Some(file) => {
                        let digest = blake3::Hash::from_bytes(file.digest).to_hex();
                        error.figures(
                            format_args!("a file of {} bytes with BLAKE3 {digest}", file.length),
                            "other files",
                        )
                    }
                    None => error.figures(wanted, "nothing"),
                };
                error.input(Source::Base(0))
            }
        };
        error.tensor(&region.name)
    }

    /// The error for a base without a region `name` of the type of `region`.
    pub(crate) fn mismatch(&self, region: &Region, name: &str) -> Error {
        let error = match self.named(name).first() {
            Some(&place) if same_type(region, self.region(place)) => {
                Error::base_mismatch("the base's tensor is in another of the base's files than the archive states")
                    .input(Source::Base(place.base))
            }
            Some(&place) => Error::base_mismatch("the base's tensor has another type or shape")
                .figures(region.type_name(), self.region(place).type_name())
                .input(Source::Base(place.base)),
            None => Error::base_mismatch(format!("the base has no tensor {}", Quoted(name)))
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

/// The units that a view of `region` takes from each of its origins, at least.
fn wanted(region: &Region, view: &View) -> Vec<u64> {
    let mut wanted = vec![0; view.origins.len()];
    if let Some(unpacked) = &view.unpacked {
        let parts = unpacked.parts().zip(&view.origins).zip(&mut wanted);
        parts.for_each(|((part, origin), words)| *words = unpacked.words(part, units(region), origin.dtype));
    }
    if let Some(arranged) = &view.arranged {
        arranged.most_words(&mut wanted);
    }
    let dtype = if view.derived.is_some() { Dtype::F32 } else { region.dtype };
    for run in view.runs.iter().filter(|_| view.unpacked.is_none()) {
        if let Some((origin, start)) = run.from {
            let most = &mut wanted[origin as usize];
            let units = origin_units(run.units, view.origins[origin as usize].dtype, dtype);
            *most = (start + units).max(*most);
        }
    }
    wanted
}

/// Tells whether two regions have the same dtype and shape, and hence the same length.
pub fn same_type(a: &Region, b: &Region) -> bool {
    a.dtype == b.dtype && a.shape == b.shape && a.length == b.length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(regions: &[(&str, Dtype, &[u64])]) -> Layout {
        let mut offset = 100;
        let region = |&(name, dtype, shape): &(&str, Dtype, &[u64])| {
            let length = dtype.tensor_bytes(shape).unwrap();
            offset += length;
            Region { name: name.into(), dtype, shape: shape.to_vec(), offset: offset - length, length }
        };
        let regions = regions.iter().map(region).collect();
        Layout { kind: Kind::Safetensors, file_length: offset, header_length: 100, regions, ..Layout::default() }
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
