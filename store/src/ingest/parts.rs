//! The division of a file into pieces: one for each tensor, or several for a large one, which is
//! cut between rows.

use std::ops::Range;
use std::path::Path;

use bitx::ErrorKind;
use bitx::drive::{self, DriveError};
use bitx::layout::{Dtype, Layout, Region};

use super::local::LocalFile;
use crate::error::{Error, Result};
use crate::manifest::Item;

/// The maximum length of a piece in bytes. Writers and readers hold a few pieces in memory for each
/// thread.
pub(super) const LARGEST: u64 = 32 << 20;

/// The minimum length in bytes of a slice of a tensor of three or more dimensions, for each to be a
/// piece. Such tensors are stacks of experts, which other models store one by one.
pub(super) const SLICE: u64 = 64 << 10;
/// The maximum number of such slices.
pub(super) const MOST_SLICES: u64 = 1024;

/// Returns `true` for the dtypes of quantised weights in blocks.
pub(super) fn is_blocks(dtype: Dtype) -> bool {
    let (elements, bytes) = dtype.block();
    elements > 1 && bytes > 1
}

/// The number of elements in `bytes` of a tensor of this dtype.
pub(super) fn elements(dtype: Dtype, bytes: u64) -> u64 {
    let (elements, width) = dtype.block();
    (bytes / width.max(1)).saturating_mul(elements)
}

/// The length in bytes by which a piece counts as large: of a tensor of blocks or bytes, which may
/// be quantised weights, that of as many weights in 16 bits.
pub(super) fn bulk(dtype: Dtype, is_tensor: bool, length: u64) -> u64 {
    let quantised = is_tensor && (is_blocks(dtype) || matches!(dtype, Dtype::I8 | Dtype::U8));
    if quantised { elements(dtype, length).saturating_mul(2) } else { length }
}

/// A part of a file that is to become a piece.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// The number of the item that the part belongs to.
    pub(super) item: usize,
    /// The number of the part within its item.
    pub(super) number: usize,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<u64>,
    pub(super) range: Range<u64>,
    /// The length in bytes of the first part of the item.
    pub(super) first: u64,
}

/// Returns the items of a file, without pieces yet, and the parts that will become their pieces.
/// `warn` receives the reason if a model is kept as bytes.
pub(super) fn of(file: &LocalFile, warn: &mut dyn FnMut(String)) -> Result<(Vec<Item>, Vec<Part>)> {
    let regions = regions(layout(file, warn)?);
    let mut parts = Vec::new();
    for (item, region) in regions.iter().enumerate() {
        let mut offset = region.offset;
        let cut = cut(region.dtype, &region.shape, region.length);
        let first = cut.first().map_or(0, |(_, length)| *length);
        for (number, (shape, length)) in cut.into_iter().enumerate() {
            parts.push(Part { item, number, dtype: region.dtype, shape, range: offset..offset + length, first });
            offset += length;
        }
    }
    let item = |region: Region| {
        let name = (!region.name.is_empty()).then_some(region.name);
        Item::new(name, region.dtype, region.shape)
    };
    Ok((regions.into_iter().map(item).collect(), parts))
}

/// The regions that make up the whole file, in order: its tensors, and unnamed regions of bytes
/// around them.
fn regions(layout: Layout) -> Vec<Region> {
    let spans = std::iter::once(0..layout.header_length).chain(layout.holes());
    let spans = spans.chain(std::iter::once(layout.data_end()..layout.file_length)).filter(|span| !span.is_empty());
    let span = |range: Range<u64>| bytes(range.start, range.end - range.start);
    let mut regions: Vec<Region> = spans.map(span).chain(layout.regions.iter().cloned()).collect();
    // An empty tensor comes before the region that begins at the same offset.
    regions.sort_by_key(|region| (region.offset, region.length));
    regions
}

/// Reads the layout of a file. A file without a layout, or one that breaks the rules of its layout,
/// is plain bytes. `warn` receives the reason if its content or its name says that it is a model.
fn layout(file: &LocalFile, warn: &mut dyn FnMut(String)) -> Result<Layout> {
    let layout = match drive::layout(file.input()) {
        Ok(layout) => layout,
        Err(DriveError::Job(fault)) => Layout { fault: Some(fault), ..opaque(file.length()) },
        Err(DriveError::Read(_, error) | DriveError::Write(error)) => return Err(Error::file(file.path())(error)),
    };
    let named = is_model(file.path());
    match &layout.fault {
        // A page or a pointer may belong to a model under a name of its own.
        Some(fault) if !named && fault.kind() == ErrorKind::Format => {}
        Some(fault) => warn(format!("the file is kept as bytes, because it breaks its format: {fault}")),
        None if named && layout.is_opaque() => {
            warn("the file is kept as bytes: it has the name of a model but not the format of one".to_owned());
        }
        None => {}
    }
    Ok(layout)
}

fn is_model(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| ["safetensors", "gguf", "onnx", "tflite"].iter().any(|model| extension == *model))
}

fn opaque(length: u64) -> Layout {
    let regions = if length > 0 { vec![bytes(0, length)] } else { Vec::new() };
    Layout { file_length: length, regions, ..Layout::default() }
}

fn bytes(offset: u64, length: u64) -> Region {
    Region { name: String::new(), dtype: Dtype::U8, shape: vec![length], offset, length }
}

/// The shape of a piece of `length` bytes of a stored item.
pub(crate) fn shape(item: &Item, length: u64) -> Vec<u64> {
    if item.pieces.len() == 1 {
        return item.shape.clone();
    }
    let row = item.shape.last().copied().filter(|_| item.shape.len() > 1);
    let row = row.and_then(|row| Some((row, item.dtype.tensor_bytes(&[row]).filter(|bytes| *bytes > 0)?)));
    let (unit, unit_bytes) = item.dtype.block();
    match row {
        Some((row, bytes)) if length.is_multiple_of(bytes) => vec![length / bytes, row],
        _ => vec![length / unit_bytes * unit],
    }
}

/// Cuts a tensor into pieces, and returns their shapes and lengths in bytes. Pieces are slices of a
/// tensor of three or more dimensions if these are long enough, or else consist of whole rows. If
/// there are no rows, or a row is too long, they consist of whole blocks.
fn cut(dtype: Dtype, shape: &[u64], length: u64) -> Vec<(Vec<u64>, u64)> {
    if let [slices @ 2..=MOST_SLICES, slice @ ..] = shape
        && slice.len() > 1
        && let Some(bytes) = dtype.tensor_bytes(slice).filter(|bytes| bulk(dtype, true, *bytes) >= SLICE)
    {
        return (0..*slices).flat_map(|_| cut_plain(dtype, slice, bytes)).collect();
    }
    cut_plain(dtype, shape, length)
}

/// The maximum length in bytes of a piece of a tensor with `rank` extents. Quantised matrices are
/// cut between the same rows as those of 16 bits.
fn largest(dtype: Dtype, rank: usize) -> u64 {
    let (elements, bytes) = dtype.block();
    let bytes_of_matrix = rank > 1 && matches!(dtype, Dtype::I8 | Dtype::U8);
    if is_blocks(dtype) || bytes_of_matrix { (LARGEST / 2 / elements * bytes).min(LARGEST) } else { LARGEST }
}

fn cut_plain(dtype: Dtype, shape: &[u64], length: u64) -> Vec<(Vec<u64>, u64)> {
    let largest = largest(dtype, shape.len());
    if length <= largest {
        return if length > 0 { vec![(shape.to_vec(), length)] } else { Vec::new() };
    }
    let row = shape.last().copied().filter(|_| shape.len() > 1);
    let row = row.and_then(|row| Some((row, dtype.tensor_bytes(&[row])?))).filter(|&(_, bytes)| bytes <= largest);
    let (unit, unit_bytes) = row.unwrap_or(dtype.block());
    let (units, most) = (length / unit_bytes, largest / unit_bytes);
    let piece = |first: u64| {
        let count = (units - first).min(most);
        let shape = if row.is_some() { vec![count, unit] } else { vec![count * unit] };
        (shape, count * unit_bytes)
    };
    (0..units).step_by(most as usize).map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_tensors_are_cut_between_rows() {
        assert_eq!(cut(Dtype::BF16, &[3, 5], 30), [(vec![3, 5], 30)]);
        assert_eq!(cut(Dtype::BF16, &[0, 5], 0), []);
        let (rows, row) = (LARGEST / 2 / 1000 + 7, 1000);
        let pieces = cut(Dtype::BF16, &[2, rows, row], 2 * rows * row * 2);
        assert_eq!(pieces.iter().map(|(_, length)| length).sum::<u64>(), 2 * rows * row * 2);
        for (shape, length) in &pieces {
            assert_eq!((shape.len(), shape[1], Dtype::BF16.tensor_bytes(shape)), (2, row, Some(*length)));
            assert!(*length <= LARGEST);
        }
        let experts = cut(Dtype::BF16, &[3, 128, 256], 3 << 16);
        assert_eq!(experts, vec![(vec![128, 256], 1 << 16); 3]);
        assert_eq!(cut(Dtype::BF16, &[3, 127, 256], 3 * 127 * 512).len(), 1);
        // A slice of half a byte too many is none.
        let odd = [2, 363, 363];
        assert_eq!(cut(Dtype::F4, &odd, 363 * 363), [(odd.to_vec(), 363 * 363)]);
        // Pieces of quantised matrices hold the same rows as those of floats.
        let rows_of = |dtype: Dtype| -> Vec<u64> {
            let shape = [30_000, 1280];
            cut(dtype, &shape, dtype.tensor_bytes(&shape).unwrap()).iter().map(|(shape, _)| shape[0]).collect()
        };
        for dtype in [Dtype::Q4_K, Dtype::Q4_0, Dtype::Q8_0, Dtype::I8] {
            assert_eq!(rows_of(dtype), rows_of(Dtype::BF16), "{dtype:?}");
        }
        let flat = cut(Dtype::Q8_0, &[64 << 20], (64 << 20) / 32 * 34);
        assert!(flat.len() > 1 && flat.iter().all(|(shape, length)| Dtype::Q8_0.tensor_bytes(shape) == Some(*length)));
    }
}
