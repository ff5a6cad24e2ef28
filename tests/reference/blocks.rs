//! Delta payloads of `Q8_0`.

use super::chunk::Coding;
use super::fields::Fields;
use super::{Result, words};

/// The number of `F16`.
const F16: u8 = 13;

/// The number of `I8`, whose words the quants are.
const I8: u8 = 5;

/// A delta payload against its base range.
pub fn delta(columns: usize, payload: &[u8], base: &[u8]) -> Result<Vec<u8>> {
    let blocks: Vec<&[u8]> = base.chunks(34).collect();
    let from: Vec<u8> = blocks.iter().flat_map(|block| &block[..2]).copied().collect();
    let mut fields = Fields::new(payload);
    let to = words::delta(Coding::of(F16), (columns / 32).max(1), fields.string()?, &from)?;
    let to: Vec<u16> = to.chunks(2).map(|scale| u16::from_le_bytes([scale[0], scale[1]])).collect();
    let (mut base, mut e) = (Vec::new(), Vec::new());
    for (block, &t) in blocks.iter().zip(&to) {
        let (b, t_value) = (value(u16::from_le_bytes([block[0], block[1]])), value(t));
        let ratio = if b.is_finite() && t_value.is_finite() { b / t_value } else { f32::NAN };
        base.extend(block[2..].iter().map(|&quant| rescaled(quant as i8, ratio)));
        e.extend([u64::from(t / 256 % 128); 32]);
    }
    let numbers = words::Numbers { e: &e, factor: 4 };
    let quants = words::moved(Coding::of(I8), columns, fields.rest(), &base, numbers)?;
    let block = |(t, quants): (&u16, &[u64])| {
        let quants = quants.iter().map(|&quant| quant as u8).collect();
        [t.to_le_bytes().to_vec(), quants].concat()
    };
    Ok(to.iter().zip(quants.chunks(32)).flat_map(block).collect())
}

fn rescaled(quant: i8, ratio: f32) -> u64 {
    if !ratio.is_finite() {
        return u64::from(quant as u8);
    }
    let quant = (f32::from(quant) * ratio).round_ties_even().clamp(-128.0, 127.0);
    u64::from(quant as i8 as u8)
}

/// The value of an `F16`.
fn value(bits: u16) -> f32 {
    let (exponent, mantissa) = (i32::from(bits / 1024 % 32), f32::from(bits % 1024));
    let magnitude = match exponent {
        0 => mantissa * 2f32.powi(-24),
        31 => {
            if mantissa == 0.0 {
                f32::INFINITY
            } else {
                f32::NAN
            }
        }
        _ => (1024.0 + mantissa) * 2f32.powi(exponent - 25),
    };
    if bits < 0x8000 { magnitude } else { -magnitude }
}
