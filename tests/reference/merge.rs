//! Views that an adapter moves.

use super::base::Region;
use super::fields::Fields;
use super::head::Head;
use super::view::{Base, Origin};
use super::{Result, cast, check};

const F16: u8 = 13;
const BF16: u8 = 14;
const F32: u8 = 17;

/// The factors of an adapter, and how they move a matrix.
pub struct Merge {
    rank: usize,
    scale: f32,
    transposed: bool,
    product: u8,
    change: u8,
    a: Origin,
    b: Origin,
}

impl Merge {
    pub fn read(region: &Region, fields: &mut Fields, head: &Head) -> Result<Self> {
        let rank = fields.varint()?;
        let scale = f32::from_bits(fields.u32()?);
        check(scale.is_finite(), "scale of a merge")?;
        let order = fields.byte()?;
        check(order <= 1, "order of a merge")?;
        let (product, change) = (factor(fields)?, factor(fields)?);
        let mut origin = || -> Result<Origin> {
            let (file, name) = super::view::read_name(fields, head, region)?;
            Ok(Origin { file, name, dtype: factor(fields)? })
        };
        let (a, b) = (origin()?, origin()?);
        check([F16, BF16, F32].contains(&region.dtype), "dtype of a merged tensor")?;
        check(region.shape.len() == 2 && region.length > 0, "shape of a merged tensor")?;
        let most = region.shape[0].max(region.shape[1]);
        let fits = most.checked_mul(rank).is_some_and(|numbers| numbers <= 1 << 22);
        check((1..=1024).contains(&rank) && fits, "rank of a merge")?;
        Ok(Self { rank: rank as usize, scale, transposed: order == 1, product, change, a, b })
    }

    /// Moves the words of a whole region.
    pub fn apply(&self, region: &Region, bases: &[Base<'_>], words: &mut [u8]) -> Result<()> {
        let (rows, columns) = (region.shape[0] as usize, region.shape[1] as usize);
        let (outer, inner) = if self.transposed { (columns, rows) } else { (rows, columns) };
        let a = numbers(&self.a, bases, self.rank * inner)?;
        let b = numbers(&self.b, bases, self.rank * outer)?;
        let width = words.len() / (rows * columns);
        for (place, word) in words.chunks_mut(width).enumerate() {
            let (i, j) = (place / columns, place % columns);
            let (outer, at) = if self.transposed { (j, i) } else { (i, j) };
            let mut sum = 0f32;
            for k in 0..self.rank {
                let product = f64::from(b[outer * self.rank + k]) * f64::from(a[k * inner + at]);
                sum = (f64::from(sum) + product) as f32;
            }
            let change = rounded(rounded(sum, self.product) * self.scale, self.change);
            let value = single(&cast::cast(word, region.dtype, F32));
            if value.is_finite() && change.is_finite() {
                word.copy_from_slice(&cast::cast(&(value + change).to_le_bytes(), F32, region.dtype));
            }
        }
        Ok(())
    }
}

/// The dtype of a factor or of a rounding.
pub fn factor(fields: &mut Fields) -> Result<u8> {
    let dtype = fields.byte()?;
    check([F16, BF16, F32].contains(&dtype), "dtype of a factor")?;
    Ok(dtype)
}

fn numbers(origin: &Origin, bases: &[Base<'_>], count: usize) -> Result<Vec<f32>> {
    let width = if origin.dtype == F32 { 4 } else { 2 };
    let words = super::view::find(&bases[origin.file], &origin.name, origin.dtype, count * width)?;
    Ok(cast::cast(words, origin.dtype, F32).chunks(4).map(single).collect())
}

fn single(word: &[u8]) -> f32 {
    f32::from_le_bytes(word.try_into().unwrap())
}

pub fn rounded(number: f32, dtype: u8) -> f32 {
    single(&cast::cast(&cast::cast(&number.to_le_bytes(), F32, dtype), dtype, F32))
}
