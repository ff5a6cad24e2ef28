//! The context model of a payload and its scales, which are coded as tokens.

use super::tokens::{self, TokenReader};
use super::{Matrix, Scratch};
use crate::bytes::ByteReader;
use crate::delta::context::{Model, Scaled, Unit};
use crate::delta::scale::Scales;
use crate::entropy::cluster::cluster;
use crate::entropy::rans::STRIP;
use crate::error::Result;

/// Estimated bits of the coded scale of a row or a column.
const ESTIMATE: u64 = 5;

/// Returns the scales as a model holds them: each a byte above a floor that the rows or the columns
/// share.
pub(super) fn relative(scales: &Scales, shift: u32, unit: Unit) -> Scaled {
    let relative = |logarithms: &[i32]| {
        // Rows and columns that hardly moved must not stretch the range.
        let highest = logarithms.iter().copied().max().unwrap_or(0);
        let lowest = logarithms.iter().copied().filter(|&l| l > highest - 160).min().unwrap_or(highest);
        let bytes = logarithms.iter().map(|&l| (l - lowest).clamp(0, 255) as u8).collect();
        (lowest, bytes)
    };
    let (row_floor, rows) = relative(&scales.rows);
    let (column_floor, columns) = relative(&scales.columns);
    Scaled { shift, row_floor, column_floor, rows, columns, unit }
}

/// Returns the estimated bits of a model's scales.
pub(super) fn cost(model: &Model) -> u64 {
    match model {
        Model::Scaled(scaled) => (scaled.rows.len() + scaled.columns.len()) as u64 * ESTIMATE,
        _ => 0,
    }
}

/// Appends a model and its scales to `payload`.
pub(super) fn write(payload: &mut Vec<u8>, model: &Model) {
    model.write(payload);
    let Model::Scaled(scaled) = model else { return };
    for scales in [&scaled.rows, &scaled.columns] {
        let mut histogram = vec![0; 256];
        scales.iter().for_each(|&scale| histogram[usize::from(scale)] += 1);
        tokens::write(payload, &cluster(&histogram, 256), &vec![0; scales.len()], scales);
    }
}

/// Reads the model of a chunk of `count` words, with its scales; `unit` is that of the chunk's
/// exponents.
pub(super) fn read(
    payload: &mut ByteReader<'_>,
    matrix: Matrix,
    count: usize,
    unit: Unit,
    scratch: &mut Scratch,
) -> Result<Model> {
    let mut model = Model::read(payload)?;
    if let Model::Scaled(scaled) = &mut model {
        scaled.rows = read_scales(payload, scratch, count.div_ceil(matrix.columns))?;
        scaled.columns = read_scales(payload, scratch, matrix.columns)?;
        scaled.unit = unit;
    }
    Ok(model)
}

fn read_scales(payload: &mut ByteReader<'_>, scratch: &mut Scratch, count: usize) -> Result<Vec<u8>> {
    let mut scales = vec![0; count];
    let mut reader = TokenReader::new(payload, &mut scratch.decoder, 256)?;
    scales.chunks_mut(STRIP).for_each(|strip| reader.strip(&mut [0; STRIP][..strip.len()], strip));
    reader.finish()?;
    Ok(scales)
}
