//! The companions of packed numbers, found by the names that quantisers give them.

use std::collections::HashMap;

use crate::layout::{Dtype, Layout, Region};
use crate::quant::packed::{PACKINGS, Packing, Tiles};

use Dtype::{I8, I32, U8, U32};

/// A region of packed numbers and its companions, as indices of regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) region: usize,
    /// Index in [`PACKINGS`].
    pub(super) packing: u8,
    pub(super) tiles: Tiles,
    pub(super) scales: usize,
    pub(super) zeros: Option<usize>,
    pub(super) factor: Option<usize>,
}

/// The order of scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// One for each run of numbers.
    Runs,
    /// One for each column of a group of rows; words pack numbers of a column, or of a row.
    Groups,
    /// One for each column, one for each row, or one for all.
    Channels,
}

/// The names and types of one kind of packed regions.
struct Row {
    /// Ends of the names of numbers, scales, zero points, and the factor of all scales. The names
    /// agree before them. Those that are empty do not exist.
    names: [&'static str; 4],
    dtypes: &'static [Dtype],
    order: Order,
    /// The packings without and with zero points, if they exist.
    packings: [Option<u8>; 2],
}

const fn row(names: [&'static str; 4], dtypes: &'static [Dtype], order: Order, packings: [Option<u8>; 2]) -> Row {
    Row { names, dtypes, order, packings }
}

/// The packing of AWQ, which has the names of GPTQ.
const INTERLEAVED: u8 = 4;

/// The packing whose scales may be exponents of type `U8`. Those of others are numbers of a table.
const E2M1: u8 = 6;

static ROWS: [Row; 16] = [
    // MatMulNBits of onnxruntime, by its quantiser and by its model builder.
    row(["_Q4", "_scales", "_zero_points", ""], &[U8], Order::Runs, [Some(0), Some(2)]),
    row(["_Q8", "_scales", "_zero_points", ""], &[U8], Order::Runs, [Some(10), Some(9)]),
    row(["qweight", "scales", "qzeros", ""], &[U8], Order::Runs, [Some(0), Some(2)]),
    // GPTQ and AWQ.
    row(["qweight", "scales", "qzeros", ""], &[I32, U32], Order::Groups, [Some(0), Some(3)]),
    // MLC.
    row(["q_weight", "q_scale", "", ""], &[U32], Order::Runs, [Some(1), None]),
    // compressed-tensors: integers of 4 bits, NVFP4.
    row(["weight_packed", "weight_scale", "", ""], &[I32], Order::Runs, [Some(0), None]),
    row(["weight_packed", "weight_scale", "", ""], &[U8], Order::Runs, [Some(6), None]),
    // MXFP4, and NVFP4 of ModelOpt.
    row([".blocks", ".scales", "", ""], &[U8], Order::Runs, [Some(6), None]),
    row(["_blocks", "_scales", "", ""], &[U8], Order::Runs, [Some(6), None]),
    row(["weight", "weight_scale", "", "weight_scale_2"], &[U8], Order::Runs, [Some(6), None]),
    // NF4 of bitsandbytes.
    row(["weight", "weight.absmax", "", ""], &[U8], Order::Runs, [Some(5), None]),
    // Integers of 8 bits: bitsandbytes, quanto, compressed-tensors, and onnxruntime's
    // quantize_dynamic and QDQ.
    row(["weight", "SCB", "", ""], &[I8], Order::Channels, [Some(7), None]),
    row(["._data", "._scale", "", ""], &[I8], Order::Channels, [Some(7), None]),
    row(["weight", "weight_scale", "", ""], &[I8], Order::Channels, [Some(7), None]),
    row(["_quantized", "_scale", "_zero_point", ""], &[I8], Order::Channels, [Some(7), Some(8)]),
    row(["_quantized", "_scale", "_zero_point", ""], &[U8], Order::Channels, [None, Some(9)]),
];

/// Finds the packed regions of a file.
pub(super) fn find(layout: &Layout) -> Vec<Known> {
    let regions = &layout.regions;
    let by_name: HashMap<&str, usize> = regions.iter().enumerate().map(|(i, region)| (&*region.name, i)).collect();
    let known = |(i, region): (usize, &Region)| {
        let rows = ROWS.iter().filter(|row| row.dtypes.contains(&region.dtype));
        rows.filter_map(|row| row.known(regions, &by_name, i)).next()
    };
    regions.iter().enumerate().filter_map(known).collect()
}

impl Row {
    fn known(&self, regions: &[Region], by_name: &HashMap<&str, usize>, region: usize) -> Option<Known> {
        let stem = regions[region].name.strip_suffix(self.names[0])?;
        let companion = |end: &str| match end {
            "" => None,
            end => by_name.get(&*[stem, end].concat()).copied(),
        };
        let scales = companion(self.names[1])?;
        let (zeros, factor) = (companion(self.names[2]), companion(self.names[3]));
        let with = zeros.and_then(|zeros| Some((self.packings[1]?, Some(zeros))));
        let without = self.packings[0].map(|packing| (packing, None));
        with.into_iter().chain(without).find_map(|(packing, zeros)| {
            let (packing, tiles) = self.tiles(packing, &regions[region], &regions[scales])?;
            let Packing { zeros: wanted, .. } = PACKINGS[usize::from(packing)];
            let per_byte = PACKINGS[usize::from(packing)].per_byte();
            let count = tiles.count(regions[region].length * per_byte);
            let fits = zeros.is_none_or(|zeros| regions[zeros].length * per_byte == count);
            (fits && wanted == zeros.is_some()).then_some(Known { region, packing, tiles, scales, zeros, factor })
        })
    }

    /// The packing and the tiles of numbers with such scales; `None` if they do not fit each other.
    fn tiles(&self, packing: u8, region: &Region, scales: &Region) -> Option<(u8, Tiles)> {
        let count = region.length * PACKINGS[usize::from(packing)].per_byte();
        let words = scales.length / scales.dtype.words().0 as u64;
        let exponents = scales.dtype == U8 && packing != E2M1;
        if words == 0 || count == 0 || exponents {
            return None;
        }
        let runs = |run: u64| Some((packing, Tiles { width: run, rows: 1, columns: run }));
        match (self.order, &region.shape[..], &scales.shape[..]) {
            (Order::Runs, ..) => count.is_multiple_of(words).then(|| count / words).and_then(runs),
            (Order::Groups, &[rows, columns], &[groups, out]) if groups > 0 && rows.is_multiple_of(groups) => {
                let rows = rows / groups;
                if columns == out {
                    return Some((packing, Tiles { width: columns * 8, rows, columns: 8 }));
                }
                (columns * 8 == out).then_some((INTERLEAVED, Tiles { width: out, rows, columns: 1 }))
            }
            (Order::Channels, [rows @ .., columns], _) => {
                let columns = *columns;
                let rows = rows.iter().product::<u64>();
                match words {
                    1 => Some((packing, Tiles { width: columns, rows: rows.max(1), columns })),
                    words if words == columns => {
                        Some((packing, Tiles { width: columns, rows: rows.max(1), columns: 1 }))
                    }
                    words if Some(&words) == region.shape.first() => runs(count / words),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}
