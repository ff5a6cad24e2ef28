//! The companions of packed numbers, found by the names that quantisers give them.

use std::collections::HashMap;

use crate::layout::{Dtype, Layout, Region};
use crate::quant::packed::{NESTED, PACKINGS, Packing, Tiles, Zeros, is_power, is_scale};

use Dtype::{F8_E4M3, F8_E5M2, I8, I32, U8, U32};

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
    /// The bits of the offsets of nested scales, in target and base, if they are known.
    pub(in crate::encode) offsets: Option<[u32; 2]>,
}

impl Known {
    /// The region of biases, if there is one.
    pub(in crate::encode) fn biases(&self) -> Option<usize> {
        self.zeros_of(Zeros::Biases)
    }

    /// The region of the scales of nested scales, if there is one.
    pub(in crate::encode) fn nested(&self) -> Option<usize> {
        self.zeros_of(Zeros::Nested)
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
    /// One for each column of a group of rows; words pack numbers of a column, or of a row.
    Groups,
    /// One for each column, one for each row, or one for all.
    Channels,
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

/// The packing whose scales may be exponents of type `U8`. Those of others are numbers of a table.
const E2M1: u8 = 6;

/// The packings of floats of 8 bits.
const FLOATS: [(Dtype, u8); 2] = [(F8_E4M3, 11), (F8_E5M2, 12)];

static ROWS: [Row; 26] = [
    // MatMulNBits of onnxruntime, by its quantiser and by its model builder.
    row(["_Q4", "_scales", "_zero_points", ""], &[U8], Order::Runs, [Some(0), Some(2)]),
    row(["_Q8", "_scales", "_zero_points", ""], &[U8], Order::Runs, [Some(10), Some(9)]),
    row(["qweight", "scales", "qzeros", ""], &[U8], Order::Runs, [Some(0), Some(2)]),
    // GPTQ of 8 bits, whose zero points tell them; GPTQ and AWQ.
    row(["qweight", "scales", "qzeros", ""], &[I32, U32], Order::Groups, [None, Some(15)]),
    row(["qweight", "scales", "qzeros", ""], &[I32, U32], Order::Groups, [Some(0), Some(3)]),
    // MLC.
    row(["q_weight", "q_scale", "", ""], &[U32], Order::Runs, [Some(1), None]),
    // MLX, whose groups are of 64 weights nearly always: names do not tell 4 from 8 bits.
    row(["weight", "scales", "biases", ""], &[U32], Order::Short(64), [None, Some(13)]),
    row(["weight", "scales", "biases", ""], &[U32], Order::Short(128), [None, Some(14)]),
    // compressed-tensors: integers of 4 bits, which have groups, and of 8 bits; NVFP4.
    row(["weight_packed", "weight_scale", "", ""], &[I32], Order::Short(128), [Some(0), None]),
    row(["weight_packed", "weight_scale", "", ""], &[I32], Order::Runs, [Some(10), None]),
    row(["weight_packed", "weight_scale", "", ""], &[U8], Order::Runs, [Some(6), None]),
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
            let Packing { zeros: wanted, .. } = PACKINGS[usize::from(packing)];
            let per_byte = PACKINGS[usize::from(packing)].per_byte();
            let count = tiles.count(regions[region].length * per_byte);
            let fits = match (wanted, zeros.map(|zeros| &regions[zeros])) {
                (Zeros::None, None) => true,
                (Zeros::Points, Some(zeros)) => zeros.length * per_byte == count,
                (Zeros::Biases, Some(biases)) => is_bias(biases.dtype) && words_of(biases) == count,
                (Zeros::Nested, Some(nested)) => is_bias(nested.dtype) && words_of(nested) == count.div_ceil(NESTED),
                _ => false,
            };
            fits.then_some(Known { region, stem: stem.len(), packing, tiles, scales, zeros, factor, offsets: None })
        })
    }

    /// The packing and the tiles of numbers with such scales; `None` if they do not fit each other.
    fn tiles(&self, packing: u8, region: &Region, scales: &Region) -> Option<(u8, Tiles)> {
        let count = region.length * PACKINGS[usize::from(packing)].per_byte();
        let words = words_of(scales);
        let float = FLOATS.iter().find(|(dtype, _)| *dtype == region.dtype);
        let packing = float.map_or(packing, |(_, packing)| *packing);
        let fits = match packing {
            E2M1 => true,
            NF4_NESTED => scales.dtype == U8,
            _ => scales.dtype != U8 || float.is_some(),
        };
        if words == 0 || count == 0 || !fits {
            return None;
        }
        let per_word = PACKINGS[usize::from(packing)].per_byte() * region.dtype.words().0 as u64;
        let runs = |run: u64| Some((packing, Tiles { width: run, rows: 1, columns: run }));
        let run = || count.is_multiple_of(words).then(|| count / words);
        match (self.order, &region.shape[..], &scales.shape[..]) {
            (Order::Runs, ..) => run().and_then(runs),
            (Order::Short(most), ..) => run().filter(|run| *run <= most && run.is_power_of_two()).and_then(runs),
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
            (Order::Tiles, ..) => tiles_of(&region.shape, &scales.shape).map(|tiles| (packing, tiles)),
            _ => None,
        }
    }
}

fn words_of(region: &Region) -> u64 {
    region.length / region.dtype.words().0 as u64
}

/// Returns true if words of `dtype` may be biases.
fn is_bias(dtype: Dtype) -> bool {
    is_scale(dtype) && !is_power(dtype)
}

/// The tiles of a matrix, or of a stack of matrices, with scales of this shape; both have words.
fn tiles_of(shape: &[u64], scales: &[u64]) -> Option<Tiles> {
    let &[ref outer @ .., columns] = shape else { return None };
    let rows: u64 = outer.iter().product();
    let words: u64 = scales.iter().product();
    if words == 1 {
        return Some(Tiles { width: columns, rows, columns });
    }
    let across = match scales {
        [_] if words == columns && words != rows => words,
        [_] => 1,
        [.., across] => *across,
        [] => return None,
    };
    // The tiles of each matrix of a stack begin anew.
    let (rows, down) = match (outer, scales) {
        (&[stack, rows], &[same, down, _]) if stack == same => (rows, down),
        _ => (rows, words / across),
    };
    let tiles = Tiles { width: columns, rows: tile(rows, down)?, columns: tile(columns, across)? };
    let count = outer.iter().product::<u64>() * columns;
    (tiles.count(count) == words).then_some(tiles)
}

/// The extent of tiles of which there are `count` in an extent: all of it, 1, or a power of two.
fn tile(extent: u64, count: u64) -> Option<u64> {
    let powers = std::iter::once(128).chain((1..16).rev().map(|power| 1 << power));
    let mut extents = [extent, 1].into_iter().chain(powers).filter(|&tile| tile > 0);
    extents.find(|tile| extent.div_ceil(*tile) == count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Kind;

    /// The packing, the tiles and the companions of the first of these regions.
    fn known(regions: &[(&str, Dtype, &[u64])]) -> Option<(u8, [u64; 3], Vec<usize>)> {
        let region = |&(name, dtype, shape): &(&str, Dtype, &[u64])| Region {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
            offset: 0,
            length: dtype.tensor_bytes(shape).unwrap(),
        };
        let regions = regions.iter().map(region).collect();
        let layout = Layout { kind: Kind::Safetensors, file_length: 0, header_length: 0, regions, fault: None };
        let found = find(&layout).into_iter().find(|known| known.region == 0)?;
        let Known { packing, tiles, scales, zeros, factor, .. } = found;
        let companions = std::iter::once(scales).chain(zeros).chain(factor).collect();
        Some((packing, [tiles.width, tiles.rows, tiles.columns], companions))
    }

    use Dtype::{F8_E4M3, F16, F32};

    #[test]
    fn shapes_tell_gptq_from_awq_and_from_runs() {
        let zeros = ("l.qzeros", I32, &[2, 12][..]);
        let scales = ("l.scales", F16, &[2, 96][..]);
        let gptq = known(&[("l.qweight", I32, &[8, 96]), scales, zeros]);
        assert_eq!(gptq, Some((3, [768, 4, 8], vec![1, 2])));
        assert_eq!(known(&[("l.qweight", I32, &[8, 96]), scales]), Some((0, [768, 4, 8], vec![1])));
        let awq = known(&[("l.qweight", I32, &[64, 12]), scales, zeros]);
        assert_eq!(awq, Some((4, [96, 32, 1], vec![1, 2])));
        // AWQ has zero points always.
        assert_eq!(known(&[("l.qweight", I32, &[64, 12]), scales]), None);
        let runs = known(&[("l.qweight", U8, &[96, 2, 16]), ("l.scales", F16, &[192])]);
        assert_eq!(runs, Some((0, [32, 1, 32], vec![1])));
    }

    #[test]
    fn zero_points_tell_gptq_of_eight_bits() {
        let (numbers, scales) = (("l.qweight", I32, &[16, 96][..]), ("l.scales", F16, &[2, 96][..]));
        let with = |zeros: &[u64]| known(&[numbers, scales, ("l.qzeros", I32, zeros)]);
        assert_eq!(with(&[2, 24]), Some((15, [384, 8, 4], vec![1, 2])));
        assert_eq!(with(&[2, 12]), Some((3, [768, 8, 8], vec![1, 2])));
    }

    #[test]
    fn words_of_a_group_tell_four_bits_from_eight() {
        let mlx = |columns: u64, dtype: Dtype, biases: &[u64]| {
            let (scales, biases) = (("l.scales", dtype, &[96, 4][..]), ("l.biases", dtype, biases));
            known(&[("l.weight", U32, &[96, columns]), scales, biases])
        };
        let found = |packing: u8, run: u64| Some((packing, [run, 1, run], vec![1, 2]));
        assert_eq!(mlx(16, F16, &[96, 4]), found(13, 32));
        assert_eq!(mlx(32, F16, &[96, 4]), found(13, 64));
        assert_eq!(mlx(64, F32, &[96, 4]), found(14, 64));
        assert_eq!(mlx(128, F16, &[96, 4]), found(14, 128));
        // Three bits, long groups, biases of another number or of bytes.
        assert_eq!(mlx(24, F16, &[96, 4]), None);
        assert_eq!(mlx(256, F16, &[96, 4]), None);
        assert_eq!(mlx(32, F16, &[96, 5]), None);
        assert_eq!(mlx(32, U8, &[96, 4]), None);
        let compressed =
            |scales: &[u64]| known(&[("l.weight_packed", I32, &[96, 128]), ("l.weight_scale", F16, scales)]);
        assert_eq!(compressed(&[96, 8]), Some((0, [128, 1, 128], vec![1])));
        assert_eq!(compressed(&[96, 4]), Some((10, [128, 1, 128], vec![1])));
        assert_eq!(compressed(&[96, 1]), Some((10, [512, 1, 512], vec![1])));
    }

    #[test]
    fn zero_points_and_factors_are_taken_where_they_fit() {
        let (numbers, scales) = (("w_Q4", U8, &[96, 2, 16][..]), ("w_scales", F32, &[96, 2][..]));
        let with = |zeros: &[u64]| known(&[numbers, scales, ("w_zero_points", U8, zeros)]);
        assert_eq!(with(&[96]), Some((2, [32, 1, 32], vec![1, 2])));
        assert_eq!(with(&[95]), Some((0, [32, 1, 32], vec![1])));
        let nvfp4 = [("w.weight", U8, &[96, 32][..]), ("w.weight_scale", F8_E4M3, &[96, 4][..])];
        assert_eq!(known(&nvfp4), Some((6, [16, 1, 16], vec![1])));
        let factor = ("w.weight_scale_2", F32, &[][..]);
        assert_eq!(known(&[nvfp4[0], nvfp4[1], factor]), Some((6, [16, 1, 16], vec![1, 2])));
    }

    #[test]
    fn integers_have_scales_of_columns_of_rows_or_one() {
        let numbers = ("w_quantized", I8, &[64, 96][..]);
        let with = |shape: &[u64]| known(&[numbers, ("w_scale", F32, shape)]);
        assert_eq!(with(&[96]), Some((7, [96, 64, 1], vec![1])));
        assert_eq!(with(&[64]), Some((7, [96, 1, 96], vec![1])));
        assert_eq!(with(&[]), Some((7, [96, 64, 96], vec![1])));
        assert_eq!(with(&[7]), None);
        // Without zero points, it is not known what numbers without a sign stand for.
        assert_eq!(known(&[("w_quantized", U8, &[64, 96]), ("w_scale", F32, &[])]), None);
    }

    #[test]
    fn floats_have_the_tiles_that_the_shapes_tell() {
        let with = |dtype, shape: &[u64], name, scales: &[u64]| {
            let found = known(&[("w.weight", dtype, shape), (name, F32, scales)]);
            found.map(|(packing, tiles, _)| (packing, tiles))
        };
        let blocks = |shape: &[u64], scales: &[u64]| with(F8_E4M3, shape, "w.weight_scale_inv", scales);
        assert_eq!(blocks(&[300, 200], &[3, 2]), Some((11, [200, 128, 128])));
        assert_eq!(blocks(&[256, 96], &[8, 3]), Some((11, [96, 32, 32])));
        assert_eq!(blocks(&[64, 256], &[64, 8]), Some((11, [256, 1, 32])));
        assert_eq!(blocks(&[4, 256, 200], &[4, 2, 2]), Some((11, [200, 128, 128])));
        // Tiles that no matrix of the stack has a whole number of rows of.
        assert_eq!(blocks(&[4, 200, 200], &[4, 2, 2]), None);
        assert_eq!(blocks(&[300, 200], &[7, 2]), None);
        let scale = |shape: &[u64], scales: &[u64]| with(F8_E5M2, shape, "w.weight_scale", scales);
        assert_eq!(scale(&[64, 64], &[64, 1]), Some((12, [64, 1, 64])));
        assert_eq!(scale(&[64, 64], &[64]), Some((12, [64, 1, 64])));
        assert_eq!(scale(&[96, 64], &[64]), Some((12, [64, 96, 1])));
        assert_eq!(scale(&[96, 64], &[]), Some((12, [64, 96, 64])));
        let scaled = with(F8_E4M3, &[96, 64], "w.scale_weight", &[1]);
        assert_eq!(scaled, Some((11, [64, 96, 64])));
    }

    #[test]
    fn other_names_and_shapes_tell_nothing() {
        assert_eq!(known(&[("w_Q4", U8, &[96, 2, 16]), ("w_scale", F32, &[96, 2])]), None);
        assert_eq!(known(&[("w_Q4", U8, &[0, 2, 16]), ("w_scales", F32, &[0])]), None);
        assert_eq!(known(&[("w_Q4", U8, &[96, 2, 16]), ("w_scales", F32, &[7])]), None);
        assert_eq!(known(&[("l.qweight", I32, &[8]), ("l.scales", F16, &[2, 96])]), None);
        // The numbers of nested quantisation are places in a table.
        assert_eq!(known(&[("w.weight", U8, &[96, 32]), ("w.weight.absmax", U8, &[96])]), None);
        let nested = |scales: Dtype, count: u64| {
            let absmax = ("w.weight.absmax", scales, &[600][..]);
            known(&[("w.weight", U8, &[600, 32]), absmax, ("w.weight.nested_absmax", F32, &[count])])
        };
        assert_eq!(nested(U8, 3), Some((16, [64, 1, 64], vec![1, 2])));
        assert_eq!(nested(U8, 4), None);
        // Scales that are not nested have no scales.
        assert_eq!(nested(F32, 3), Some((5, [64, 1, 64], vec![1])));
    }
}
