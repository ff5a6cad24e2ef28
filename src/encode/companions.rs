//! The companions of packed numbers, found by the names that quantisers give them.

mod sets;
mod tiles;

use std::collections::HashMap;

use crate::layout::tflite::{SCALE, ZERO_POINT};
use crate::layout::{Dtype, Layout, Region};
use crate::quant::packed::{NESTED, PACKINGS, Packing, Tiles, Zeros, is_power, is_scale};

use Dtype::{F8_E4M3, F8_E5M2, I8, I32, U8, U32};
pub use sets::PackedSet;
use tiles::{of_dimension, tiles_of};

/// A region of packed numbers and its companions, as indices of regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::encode) struct Known {
    pub(in crate::encode) region: usize,
    /// Length of the region's name without the end that its quantiser gave it, in bytes.
    pub(in crate::encode) stem: usize,
    /// Index in [`PACKINGS`].
    pub(in crate::encode) packing: u8,
    pub(in crate::encode) tiles: Tiles,
    pub(in crate::encode) scales: usize,
    pub(in crate::encode) zeros: Option<usize>,
    pub(in crate::encode) factor: Option<usize>,
    /// The region with the group of each row.
    pub(in crate::encode) groups: Option<usize>,
    /// The bits of the offsets of nested scales, in target and base, if they are known.
    pub(in crate::encode) offsets: Option<[u32; 2]>,
}

impl Known {
    /// The regions of the numbers and of their companions.
    pub(in crate::encode) fn parts(&self) -> impl Iterator<Item = usize> + use<> {
        [Some(self.region), Some(self.scales), self.zeros, self.factor, self.groups].into_iter().flatten()
    }

    /// The regions whose first bytes tell the first weights.
    pub(in crate::encode) fn starting(&self) -> impl Iterator<Item = usize> + use<> {
        let zeros = self.zeros.filter(|_| self.as_they_are().is_some());
        [Some(self.region), Some(self.scales), self.biases(), zeros, self.groups].into_iter().flatten()
    }

    /// The region of biases, if there is one.
    pub(in crate::encode) fn biases(&self) -> Option<usize> {
        self.zeros_of(Zeros::Biases)
    }

    /// The region of the scales of nested scales, if there is one.
    pub(in crate::encode) fn nested(&self) -> Option<usize> {
        self.zeros_of(Zeros::Nested)
    }

    /// Takes the packing to be the one that the starts of regions tell, of numbers in so many bytes.
    pub(in crate::encode) fn resolved<'a>(self, start: impl Fn(usize) -> Option<&'a Vec<u8>>, bytes: u64) -> Self {
        self.with_groups(&start).with_bits(&start, bytes).with_zeros(&start)
    }

    /// Takes the zero points of GPTQ to be stored as they are, and not less 1, if the starts of the
    /// numbers and of the zero points tell so: all zero points are the middle, or numbers are around
    /// them. Numbers of 8 bits vary too much to tell.
    fn with_zeros<'a>(self, start: impl Fn(usize) -> Option<&'a Vec<u8>>) -> Self {
        let packing = &PACKINGS[usize::from(self.packing)];
        let numbers = |region: Option<usize>| -> Vec<u8> {
            region.and_then(&start).map_or(Vec::new(), |bytes| packing.numbers(bytes))
        };
        let mean = |numbers: &[u8]| numbers.iter().map(|&n| f32::from(n)).sum::<f32>() / numbers.len() as f32;
        let (own, zeros) = (numbers(Some(self.region)), numbers(self.zeros));
        let is_stored = match zeros.first() {
            Some(first) if zeros.iter().all(|zero| zero == first) => *first == packing.mask() / 2 + 1,
            _ => packing.bits <= 4 && mean(&own) - mean(&zeros) < 0.5,
        };
        self.as_they_are().filter(|_| is_stored).map_or(self, |packing| Self { packing, ..self })
    }

    /// The packing of GPTQ whose zero points are stored as they are, of the same numbers.
    fn as_they_are(&self) -> Option<u8> {
        AS_THEY_ARE.iter().find(|(packing, _)| *packing == self.packing).map(|found| found.1)
    }

    /// Takes rows to be in groups, if the start of the region that tells them has others than those of
    /// rows that follow each other.
    fn with_groups<'a>(self, start: impl Fn(usize) -> Option<&'a Vec<u8>>) -> Self {
        let start = self.groups.and_then(start).map_or(&[][..], |bytes| bytes.as_chunks().0);
        let rows = (self.tiles.rows * self.tiles.columns).max(1);
        let plain = start.iter().zip(0..).all(|(word, row)| u64::from(u32::from_le_bytes(*word)) == row / rows);
        let grouped = GROUPED.iter().find(|(packing, _)| *packing == self.packing && !plain);
        match grouped {
            Some(&(_, packing)) => Self { packing, ..self },
            None => Self { groups: None, ..self },
        }
    }

    /// Takes numbers of MLX to have as many bits as the start of their region tells: nearly all runs have
    /// the number 0, which would be rare if numbers were in fact several shorter ones.
    fn with_bits<'a>(self, start: impl Fn(usize) -> Option<&'a Vec<u8>>, bytes: u64) -> Self {
        let (Some(start), true) = (start(self.region), AFFINE.concat().contains(&self.packing)) else { return self };
        let mut found: Vec<(u8, Tiles)> = affine(bytes, self.tiles.count(self.numbers(bytes))).collect();
        found.sort_by_key(|(packing, _)| std::cmp::Reverse(PACKINGS[usize::from(*packing)].bits));
        let found =
            found.into_iter().find(|(packing, tiles)| have_zeros(&PACKINGS[usize::from(*packing)], tiles, start));
        found.map_or(self, |(packing, tiles)| Self { packing, tiles, ..self })
    }

    /// The packed numbers in so many bytes.
    fn numbers(&self, bytes: u64) -> u64 {
        PACKINGS[usize::from(self.packing)].count(bytes)
    }

    fn zeros_of(&self, zeros: Zeros) -> Option<usize> {
        self.zeros.filter(|_| PACKINGS[usize::from(self.packing)].zeros == zeros)
    }
}

/// The order of scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// One for each run of numbers.
    Runs,
    /// One for each run of a power of two of numbers, at most that many.
    Short(u64),
    /// One for each run of 32, 64 or 128 numbers of any bits of [`AFFINE`].
    Affine,
    /// One for each column of a group of rows; words pack numbers of a column, or of a row.
    Groups,
    /// One for each column, one for each row, or one for all.
    Channels,
    /// One for each number of a dimension, which is the only one of the scales' shape, for each
    /// block of numbers in a row, or for all.
    Dimension,
    /// One for each tile of the matrix, whose extents follow from the scales' shape.
    Tiles,
}

/// The names and types of one kind of packed regions.
struct Row {
    /// Ends of the names of numbers, scales, zero points or biases, and the factor of all scales. The
    /// names agree before them. Those that are empty do not exist.
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

/// The packing of nested scales, which are places in a table.
const NF4_NESTED: u8 = 16;

/// The packings of GPTQ, each with that of rows in groups.
const GROUPED: [(u8, u8); 3] = [(3, 17), (15, 18), (25, 26)];

/// The packings of GPTQ, each with that of zero points which are not stored less 1.
const AS_THEY_ARE: [(u8, u8); 3] = [(3, 2), (15, 9), (25, 24)];

/// The packings of MLX. Those of 2 bits are the least likely ones where runs have as many words.
const AFFINE: [&[u8]; 2] = [&[13, 14, 22, 21, 20], &[19]];

/// The numbers of a run of MLX, the most likely ones first.
const RUNS: [u64; 3] = [64, 32, 128];

/// The packing whose scales may be exponents of type `U8`. Those of others are numbers of a table.
const E2M1: u8 = 6;

/// The same packing with a factor that divides scales.
const DIVIDED: u8 = 27;

/// The packings of floats of 8 bits.
const FLOATS: [(Dtype, u8); 2] = [(F8_E4M3, 11), (F8_E5M2, 12)];

static ROWS: [Row; 30] = [
    // MatMulNBits of onnxruntime, by its quantiser and by its model builder.
    row(["_Q4", "_scales", "_zero_points", ""], &[U8], Order::Runs, [Some(0), Some(2)]),
    row(["_Q8", "_scales", "_zero_points", ""], &[U8], Order::Runs, [Some(10), Some(9)]),
    row(["_Q2", "_scales", "_zero_points", ""], &[U8], Order::Runs, [Some(23), Some(24)]),
    row(["qweight", "scales", "qzeros", ""], &[U8], Order::Runs, [Some(0), Some(2)]),
    // GPTQ of 8 and of 2 bits, whose zero points tell them; GPTQ and AWQ.
    row(["qweight", "scales", "qzeros", ""], &[I32, U32], Order::Groups, [None, Some(15)]),
    row(["qweight", "scales", "qzeros", ""], &[I32, U32], Order::Groups, [None, Some(25)]),
    row(["qweight", "scales", "qzeros", ""], &[I32, U32], Order::Groups, [Some(0), Some(3)]),
    // MLC.
    row(["q_weight", "q_scale", "", ""], &[U32], Order::Runs, [Some(1), None]),
    // MLX, whose names and shapes do not tell the bits of a number.
    row(["weight", "scales", "biases", ""], &[U32], Order::Affine, [None, Some(13)]),
    // compressed-tensors: integers of 4 bits, which have groups, and of 8 bits; NVFP4.
    row(["weight_packed", "weight_scale", "weight_zero_point", ""], &[I32], Order::Short(128), [Some(0), Some(28)]),
    row(["weight_packed", "weight_scale", "", ""], &[I32], Order::Runs, [Some(10), None]),
    row(["weight_packed", "weight_scale", "", "weight_global_scale"], &[U8], Order::Runs, [Some(DIVIDED), None]),
    row(["weight_packed", "weight_scale", "", ""], &[U8], Order::Runs, [Some(E2M1), None]),
    // MXFP4, and NVFP4 of ModelOpt.
    row([".blocks", ".scales", "", ""], &[U8], Order::Runs, [Some(6), None]),
    row(["_blocks", "_scales", "", ""], &[U8], Order::Runs, [Some(6), None]),
    row(["weight", "weight_scale", "", "weight_scale_2"], &[U8], Order::Runs, [Some(6), None]),
    // NF4 of bitsandbytes, without and with nested scales.
    row(["weight", "weight.absmax", "weight.nested_absmax", ""], &[U8], Order::Runs, [Some(5), Some(NF4_NESTED)]),
    // Integers of 8 bits: bitsandbytes, quanto, compressed-tensors, and onnxruntime's
    // quantize_dynamic and QDQ.
    row(["weight", "SCB", "", ""], &[I8], Order::Channels, [Some(7), None]),
    row(["._data", "._scale", "", ""], &[I8], Order::Channels, [Some(7), None]),
    row(["weight", "weight_scale", "", ""], &[I8], Order::Channels, [Some(7), None]),
    row(["_quantized", "_scale", "_zero_point", ""], &[I8], Order::Channels, [Some(7), Some(8)]),
    row(["_quantized", "_scale", "_zero_point", ""], &[U8], Order::Channels, [None, Some(9)]),
    row(["", "_scale_inv", "", ""], &[I8], Order::Tiles, [Some(7), None]),
    // TensorFlow Lite: integers of 8 bits, and those of 4 bits, which have no zero points.
    row(["", SCALE, ZERO_POINT, ""], &[I8], Order::Dimension, [Some(7), Some(8)]),
    row(["", SCALE, ZERO_POINT, ""], &[U8], Order::Dimension, [Some(29), Some(9)]),
    // Floats of 8 bits: checkpoints with tiles of 128 rows and columns, compressed-tensors and
    // ModelOpt, scaled checkpoints of diffusion models, QDQ.
    row(["", "_scale_inv", "", ""], &[F8_E4M3, F8_E5M2], Order::Tiles, [Some(11), None]),
    row(["", "_scale", "", ""], &[F8_E4M3, F8_E5M2], Order::Tiles, [Some(11), None]),
    row(["weight", "scale_weight", "", ""], &[F8_E4M3, F8_E5M2], Order::Tiles, [Some(11), None]),
    row(["weight", "scale", "", ""], &[F8_E4M3, F8_E5M2], Order::Tiles, [Some(11), None]),
    row(["_quantized", "_scale", "", ""], &[F8_E4M3, F8_E5M2], Order::Tiles, [Some(11), None]),
];

/// Finds the packed regions of a file.
pub(in crate::encode) fn find(layout: &Layout) -> Vec<Known> {
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
            let Packing { zeros: wanted, divides, .. } = PACKINGS[usize::from(packing)];
            let stored = |region: &Region| PACKINGS[usize::from(packing)].count(region.length);
            let numbers = stored(&regions[region]);
            let count = tiles.count(numbers);
            let fits = match (wanted, zeros.map(|zeros| &regions[zeros])) {
                (Zeros::None, None) => !divides || factor.is_some(),
                (Zeros::Points, Some(zeros)) => stored(zeros) == count,
                (Zeros::Biases, Some(biases)) => is_bias(biases.dtype) && words_of(biases) == count,
                (Zeros::Nested, Some(nested)) => is_bias(nested.dtype) && words_of(nested) == count.div_ceil(NESTED),
                _ => false,
            };
            let groups = companion(self.groups()).filter(|&groups| is_groups(&regions[groups], numbers, &tiles));
            let known =
                Known { region, stem: stem.len(), packing, tiles, scales, zeros, factor, groups, offsets: None };
            fits.then_some(known)
        })
    }

    /// The end of the name of groups.
    fn groups(&self) -> &'static str {
        if self.order == Order::Groups { "g_idx" } else { "" }
    }

    /// The packing and the tiles of numbers with such scales; `None` if they do not fit each other.
    fn tiles(&self, packing: u8, region: &Region, scales: &Region) -> Option<(u8, Tiles)> {
        let count = PACKINGS[usize::from(packing)].count(region.length);
        let words = words_of(scales);
        let float = FLOATS.iter().find(|(dtype, _)| *dtype == region.dtype);
        let packing = float.map_or(packing, |(_, packing)| *packing);
        let fits = match packing {
            E2M1 | DIVIDED => true,
            NF4_NESTED => scales.dtype == U8,
            _ => scales.dtype != U8 || float.is_some(),
        };
        if words == 0 || count == 0 || !fits {
            return None;
        }
        let per_word = PACKINGS[usize::from(packing)].count(region.dtype.words().0 as u64);
        let runs = |run: u64| Some((packing, Tiles { width: run, rows: 1, columns: run }));
        let run = || count.is_multiple_of(words).then(|| count / words);
        match (self.order, &region.shape[..], &scales.shape[..]) {
            (Order::Runs, ..) => run().and_then(runs),
            (Order::Short(_), &[.., columns], _) if PACKINGS[usize::from(packing)].down => {
                let (width, columns) = (columns.saturating_mul(per_word), run()?);
                width.is_multiple_of(columns).then_some((packing, Tiles { width, rows: 1, columns }))
            }
            (Order::Short(most), ..) => run().filter(|run| *run <= most && run.is_power_of_two()).and_then(runs),
            (Order::Affine, ..) => affine(region.length, words).next(),
            (Order::Groups, &[rows, columns], &[groups, out]) if groups > 0 && rows.is_multiple_of(groups) => {
                let (rows, packed) = (rows / groups, columns.saturating_mul(per_word));
                if columns == out {
                    return Some((packing, Tiles { width: packed, rows, columns: per_word }));
                }
                let interleaved = packed == out && per_word == 8;
                interleaved.then_some((INTERLEAVED, Tiles { width: out, rows, columns: 1 }))
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
            (Order::Dimension, shape, scales) => {
                let tiles = of_dimension(shape, scales, per_word)?;
                (tiles.count(count) == words).then_some((packing, tiles))
            }
            (Order::Tiles, ..) => tiles_of(&region.shape, &scales.shape).map(|tiles| (packing, tiles)),
            _ => None,
        }
    }
}

/// Returns true if nearly all runs of numbers have the number 0.
fn have_zeros(packing: &Packing, tiles: &Tiles, start: &[u8]) -> bool {
    let numbers = packing.numbers(start);
    let runs = numbers.chunks_exact(tiles.width as usize);
    let (all, with) = (runs.len(), runs.filter(|run| run.contains(&0)).count());
    all > 0 && with * 10 >= all * 9
}

/// The packings and tiles that numbers of MLX in so many bytes, with so many scales, may have.
fn affine(bytes: u64, scales: u64) -> impl Iterator<Item = (u8, Tiles)> {
    let of_run = |packings: &'static [u8]| RUNS.into_iter().flat_map(|run| packings.iter().map(move |&p| (p, run)));
    let runs = AFFINE.into_iter().flat_map(of_run);
    let fits = move |&(packing, run): &(u8, u64)| {
        let of_run = PACKINGS[usize::from(packing)].bytes(run);
        of_run.checked_mul(scales) == Some(bytes)
    };
    runs.filter(fits).map(|(packing, run)| (packing, Tiles { width: run, rows: 1, columns: run }))
}

/// Returns true if a region has a group for each row of weights in words of several rows.
fn is_groups(region: &Region, numbers: u64, tiles: &Tiles) -> bool {
    region.dtype == I32 && tiles.columns > 1 && words_of(region) == numbers / tiles.width * tiles.columns
}

fn words_of(region: &Region) -> u64 {
    region.length / region.dtype.words().0 as u64
}

/// Returns true if words of `dtype` may be biases.
fn is_bias(dtype: Dtype) -> bool {
    is_scale(dtype) && !is_power(dtype)
}

#[cfg(test)]
mod tests;
