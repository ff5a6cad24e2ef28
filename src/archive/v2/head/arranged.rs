//! Views that are arranged from rectangles of base regions.

use std::sync::Arc;

use super::view::{Run, View, read_origins, units};
use super::{Head, Origin};
use crate::arranged::Arranged;
use crate::bytes::{ByteReader, put_varint};
use crate::error::Result;
use crate::layout::{Dtype, Region};

impl View {
    /// Creates the view of rectangles of the origins.
    pub(crate) fn arranged(region: &Region, origins: Vec<Origin>, arranged: Arranged) -> Self {
        let runs = match units(region) {
            0 => Vec::new(),
            units => vec![Run { units, from: None }],
        };
        Self { origins, runs, arranged: Some(Arc::new(arranged)), ..Self::default() }
    }

    /// Appends the origins of an arranged view of `region`, and its rectangles.
    pub(super) fn write_arranged(&self, raw: &mut Vec<u8>, region: &Region, arranged: &Arranged) {
        put_varint(raw, self.origins.len() as u64);
        self.origins.iter().for_each(|origin| origin.write_typed(raw, &region.name));
        arranged.write(raw);
    }

    /// Reads what [`write_arranged`](Self::write_arranged) wrote, of which there may be `most`
    /// origins and rectangles.
    pub(super) fn read_arranged(reader: &mut ByteReader<'_>, head: &Head, region: &Region, most: u64) -> Result<Self> {
        let origins = read_origins(reader, head, region, (most, false))?;
        let arranged = Arranged::read(reader, most)?;
        let dtypes: Vec<Dtype> = origins.iter().map(|origin| origin.dtype).collect();
        arranged.check(region, &dtypes)?;
        Ok(Self::arranged(region, origins, arranged))
    }

    /// The number of runs or rectangles, or of origins if there are more.
    pub(crate) fn count(&self) -> u64 {
        let rectangles = self.arranged.as_ref().map_or(0, |arranged| arranged.rectangles.len());
        self.runs.len().max(self.origins.len()).max(rectangles) as u64
    }

    /// The units of the region that have a base in runs or rectangles.
    pub(crate) fn covered(&self) -> u64 {
        let runs = self.runs.iter().filter(|run| run.from.is_some()).map(|run| run.units);
        let rectangles = self.arranged.iter().flat_map(|arranged| &arranged.rectangles);
        runs.chain(rectangles.map(|rectangle| rectangle.rows * rectangle.columns)).sum()
    }
}
