//! The division of sets into parts whose weights are pieces of floats, or rectangles of them.
//!
//! Stacks are cut into their slices, as floats are, and matrices into runs of rows. The tensors of
//! a set are cut at the same shares of their rows. So each part is a set of its own.

use std::ops::Range;

use bitx::PackedSet;
use bitx::layout::Dtype;

use super::super::parts::{LARGEST, MOST_SLICES, SLICE};

/// The maximum number of weights of a part: those that a piece of 16 bits holds.
pub(super) const MOST_WEIGHTS: u64 = LARGEST / 2;

/// A tensor of a set, or the rows of one that are in a part of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    /// The number of the item.
    pub(super) item: usize,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<u64>,
    /// The range of its bytes in the file.
    pub(super) range: Range<u64>,
    /// An earlier part of the set has the same bytes.
    pub(super) is_repeated: bool,
}

/// The place of the weights of a part in the matrix that was quantised, which is a slice of a
/// stack or the whole tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ingest) struct Place {
    /// The number of weights of the matrix.
    pub(in crate::ingest) of: u64,
    /// The weights, in the order of the numbers.
    pub(in crate::ingest) range: Range<u64>,
    /// The number of rows of the matrix, if its columns are rows of numbers.
    pub(in crate::ingest) turned: Option<u64>,
}

/// A part of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) tensors: Vec<Tensor>,
    pub(super) place: Place,
}

impl Tensor {
    pub(super) fn length(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The number of rows: all extents but the last one.
    fn rows(&self) -> u64 {
        match &self.shape[..] {
            [] => 1,
            [length] => *length,
            [rows @ .., _] => rows.iter().product(),
        }
    }

    /// The rows in a range.
    fn cut(&self, rows: &Range<u64>) -> Self {
        let row = self.length() / self.rows().max(1);
        let count = rows.end - rows.start;
        let shape = match &self.shape[..] {
            [rows @ .., last] if !rows.is_empty() => vec![count, *last],
            _ => vec![count],
        };
        let start = self.range.start + rows.start * row;
        Self { shape, range: start..start + count * row, ..self.clone() }
    }
}

impl Place {
    /// The number of columns of the matrix, if its columns are rows of numbers.
    fn columns(&self) -> Option<(u64, Range<u64>)> {
        let rows = self.turned?.max(1);
        Some((self.of / rows, self.range.start / rows..self.range.end / rows))
    }

    /// The place in the part, in the order of its rows, of a weight of the matrix.
    pub(in crate::ingest) fn within(&self, weight: u64) -> Option<u64> {
        match self.columns() {
            Some((all, columns)) => {
                let (row, column) = (weight.checked_div(all)?, weight % all);
                columns.contains(&column).then(|| row * (columns.end - columns.start) + column - columns.start)
            }
            None => self.range.contains(&weight).then(|| weight - self.range.start),
        }
    }

    /// The weights as a rectangle of the matrix: the first one, the number of rows, the distance
    /// from one row to the next, and the number of weights in each.
    pub(in crate::ingest) fn rectangle(&self) -> [u64; 4] {
        let count = self.range.end - self.range.start;
        match (self.columns(), self.turned) {
            (Some((all, columns)), Some(rows)) => [columns.start, rows, all, columns.end - columns.start],
            _ => [self.range.start, 1, count, count],
        }
    }
}

/// Cuts a set of `weights` weights, unless it is small and no stack, or has no rows to be cut at.
/// `tensors` are those of the set in the order of its regions. The groups of rows are in no part.
pub(super) fn cut(set: &PackedSet, tensors: &[Tensor], weights: u64) -> Option<Vec<Part>> {
    let is = |tensor: &Tensor, region: usize| tensor.item == region;
    let is_common = |tensor: &&Tensor| tensor.rows() == 1 || set.common().any(|region| is(tensor, region));
    let (common, cut): (Vec<&Tensor>, Vec<&Tensor>) =
        tensors.iter().filter(|tensor| set.groups().is_none_or(|groups| !is(tensor, groups))).partition(is_common);
    // The numbers come first.
    let numbers = *cut.first().filter(|first| first.item == tensors[0].item)?;
    let units = cut.iter().map(|tensor| tensor.rows()).reduce(gcd)?;
    let per_unit = weights.checked_div(units).filter(|per_unit| per_unit * units == weights && *per_unit > 0)?;
    let slices = slices(&cut, weights).filter(|slices| units.is_multiple_of(*slices)).unwrap_or(1);
    let (in_slice, of) = (units / slices, weights / slices);
    if slices == 1 && weights <= MOST_WEIGHTS {
        return None;
    }
    // Parts of whole rows of numbers are those that floats of 16 bits are cut into.
    let is_matrix = slices == 1 && numbers.shape.len() > 1;
    let row = numbers.shape.first().filter(|rows| is_matrix && units.is_multiple_of(**rows));
    let row = row.map_or(1, |rows| units / rows);
    let per_part = MOST_WEIGHTS / per_unit / row * row;
    let turned = set.turned().filter(|rows| slices == 1 && per_unit.is_multiple_of(*rows));
    if per_part == 0 || set.turned().is_some() && turned.is_none() {
        return None;
    }
    let part = |first: Range<u64>, slice: u64| {
        let within = |tensor: &&Tensor| {
            let rows = tensor.rows() / units;
            tensor.cut(&(first.start * rows..first.end * rows))
        };
        let again = |tensor: &&Tensor| Tensor { is_repeated: first.start > 0, ..(**tensor).clone() };
        let tensors = cut.iter().map(within).chain(common.iter().map(again)).collect();
        let range = (first.start - slice) * per_unit..(first.end - slice) * per_unit;
        Part { tensors, place: Place { of, range, turned } }
    };
    let starts = (0..slices).map(|slice| slice * in_slice);
    let parts = starts.flat_map(|slice| {
        let of_slice = (slice..slice + in_slice).step_by(per_part as usize);
        of_slice.map(move |start| (start..(start + per_part).min(slice + in_slice), slice))
    });
    Some(parts.map(|(units, slice)| part(units, slice)).collect())
}

/// The number of slices of a stack, whose tensors have them as their first extent.
fn slices(tensors: &[&Tensor], weights: u64) -> Option<u64> {
    let slices = *tensors.first()?.shape.first()?;
    let is_stack = tensors.iter().all(|tensor| tensor.shape.len() > 2 && tensor.shape[0] == slices);
    let fits = (2..=MOST_SLICES).contains(&slices) && weights.is_multiple_of(slices) && weights / slices * 2 >= SLICE;
    (is_stack && fits).then_some(slices)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use bitx::layout::{Layout, Region};

    use super::*;

    /// The tensors of the one set among these, one behind the other in a file, with the set.
    fn set(tensors: &[(&str, Dtype, &[u64])]) -> (PackedSet, Vec<Tensor>) {
        let (mut regions, mut end) = (Vec::new(), 1000);
        for &(name, dtype, shape) in tensors {
            let length = dtype.tensor_bytes(shape).unwrap();
            regions.push(Region { name: name.to_owned(), dtype, shape: shape.to_vec(), offset: end, length });
            end += length;
        }
        let [set] = &PackedSet::find(&Layout { regions: regions.clone(), ..Layout::default() })[..] else { panic!() };
        let tensor = |item: &usize| {
            let Region { dtype, shape, offset, length, .. } = regions[*item].clone();
            Tensor { item: *item, dtype, shape, range: offset..offset + length, is_repeated: false }
        };
        (set.clone(), set.regions().iter().map(tensor).collect())
    }

    /// The parts of a set. They must have all bytes of its tensors but the groups, in order.
    fn parts(tensors: &[(&str, Dtype, &[u64])]) -> Vec<Part> {
        let (set, all) = set(tensors);
        let parts = cut(&set, &all, set.weights(all[0].length())).unwrap();
        for tensor in all.iter().filter(|tensor| Some(tensor.item) != set.groups()) {
            let own = parts.iter().flat_map(|part| &part.tensors).filter(|own| own.item == tensor.item);
            let mut end = tensor.range.start;
            for own in own.filter(|own| !own.is_repeated) {
                assert_eq!((own.range.start, own.dtype.tensor_bytes(&own.shape)), (end, Some(own.length())));
                end = own.range.end;
            }
            assert_eq!(end, tensor.range.end);
        }
        parts
    }

    fn rectangles(parts: &[Part]) -> Vec<[u64; 4]> {
        parts.iter().map(|part| part.place.rectangle()).collect()
    }

    #[test]
    fn matrices_are_cut_as_their_floats_are() {
        let mlx = parts(&[
            ("l.weight", Dtype::U32, &[11_008, 512]),
            ("l.scales", Dtype::F16, &[11_008, 64]),
            ("l.biases", Dtype::F16, &[11_008, 64]),
        ]);
        let of_rows = |rows: u64| rows * 4096;
        let sizes: Vec<u64> = mlx.iter().map(|part| part.place.range.end - part.place.range.start).collect();
        assert_eq!(sizes, [of_rows(4096), of_rows(4096), of_rows(2816)]);
        assert_eq!(mlx[2].tensors[1].shape, [2816, 64]);
        // Rows of tiles stay together.
        let fp8 =
            parts(&[("l.weight", Dtype::F8_E4M3, &[4096, 11_008]), ("l.weight_scale_inv", Dtype::F32, &[32, 86])]);
        assert_eq!(fp8.iter().map(|part| part.tensors[1].shape[0]).collect::<Vec<_>>(), [11, 11, 10]);
        assert_eq!(fp8[1].place.within(1408 * 11_008 + 5), Some(5));
        assert_eq!(fp8[1].place.within(5), None);
    }

    #[test]
    fn numbers_that_are_turned_are_cut_at_columns() {
        let gptq = parts(&[
            ("l.g_idx", Dtype::I32, &[4096]),
            ("l.qweight", Dtype::I32, &[512, 11_008]),
            ("l.qzeros", Dtype::I32, &[32, 1376]),
            ("l.scales", Dtype::F16, &[32, 11_008]),
        ]);
        let columns = |first: u64, count: u64| [first, 11_008, 4096, count];
        assert_eq!(rectangles(&gptq), [columns(0, 1408), columns(1408, 1408), columns(2816, 1280)]);
        assert_eq!(gptq[1].tensors.iter().map(|tensor| tensor.item).collect::<Vec<_>>(), [1, 3, 2]);
        let place = &gptq[1].place;
        assert_eq!((place.within(7 * 4096 + 1409), place.within(7 * 4096 + 1407)), (Some(7 * 1408 + 1), None));
        let awq = parts(&[
            ("l.qweight", Dtype::I32, &[11_008, 512]),
            ("l.qzeros", Dtype::I32, &[86, 512]),
            ("l.scales", Dtype::F16, &[86, 4096]),
        ]);
        assert_eq!(rectangles(&awq)[2], [8192, 4096, 11_008, 2816]);
    }

    #[test]
    fn what_all_numbers_need_is_in_each_part() {
        let nf4 = parts(&[
            ("l.weight", Dtype::U8, &[12 << 20, 1]),
            ("l.weight.absmax", Dtype::U8, &[3 << 17]),
            ("l.weight.nested_absmax", Dtype::F32, &[1536]),
            ("l.weight.quant_state.bitsandbytes__nf4", Dtype::U8, &[90]),
        ]);
        let repeated = |part: &Part| part.tensors.iter().map(|tensor| tensor.is_repeated).collect::<Vec<_>>();
        assert_eq!(nf4.iter().map(repeated).collect::<Vec<_>>(), [[false; 4], [false, false, false, true]]);
        assert_eq!(nf4[1].place, Place { of: 24 << 20, range: 16 << 20..24 << 20, turned: None });
    }

    #[test]
    fn stacks_are_cut_into_slices() {
        let stack = parts(&[
            ("l.weight", Dtype::U32, &[3, 8192, 512]),
            ("l.scales", Dtype::F16, &[3, 8192, 64]),
            ("l.biases", Dtype::F16, &[3, 8192, 64]),
        ]);
        let slice = 8192 * 4096;
        let halves = [0..slice / 2, slice / 2..slice];
        assert_eq!(stack.iter().map(|part| part.place.range.clone()).collect::<Vec<_>>(), vec![halves; 3].concat());
        assert!(stack.iter().all(|part| part.place.of == slice));
        assert_eq!(stack[5].tensors[0].shape, [4096, 512]);
    }

    #[test]
    fn what_has_no_rows_in_common_is_not_cut() {
        for tensors in [
            // Few weights; no stack of slices that are large enough; extents without a divisor.
            [("l.weight", Dtype::U32, &[4096, 512][..]), ("l.scales", Dtype::F16, &[4096, 32][..])],
            [("l.weight", Dtype::U32, &[8, 4, 512]), ("l.scales", Dtype::F16, &[8, 4, 32])],
            [("l.weight", Dtype::F8_E4M3, &[4099, 8192]), ("l.weight_scale_inv", Dtype::F32, &[33, 64])],
        ] {
            let mut tensors = tensors.to_vec();
            let biases = ("l.biases", tensors[1].1, tensors[1].2);
            tensors.extend((tensors[0].1 == Dtype::U32).then_some(biases));
            let (set, all) = set(&tensors);
            assert_eq!(cut(&set, &all, set.weights(all[0].length())), None, "{tensors:?}");
        }
    }
}
