//! Casts between floats: by value, with a search for the nearest number.

/// The width of a word in bytes, the bits of its mantissa, and its exponent's bias, by dtype.
fn fields(dtype: u8) -> Option<(usize, u32, i32)> {
    Some(match dtype {
        6 => (1, 2, 15),
        7 => (1, 3, 7),
        13 => (2, 10, 15),
        14 => (2, 7, 127),
        17 => (4, 23, 127),
        19 => (8, 52, 1023),
        _ => return None,
    })
}

const F8_E4M3: u8 = 7;

pub fn known(dtype: u8) -> bool {
    fields(dtype).is_some()
}

/// The first magnitude that is no finite number.
fn beyond(dtype: u8, (width, mantissa, _): (usize, u32, i32)) -> u64 {
    if dtype == F8_E4M3 { 0x7f } else { ((1u64 << (8 * width as u32 - 1 - mantissa)) - 1) << mantissa }
}

/// The value of a magnitude, as if there was no largest exponent.
fn value(magnitude: u64, (_, mantissa, bias): (usize, u32, i32)) -> f64 {
    let fraction = magnitude & ((1 << mantissa) - 1);
    match (magnitude >> mantissa) as i32 {
        0 => scale(fraction as f64, 1 - bias - mantissa as i32),
        exponent => scale((fraction | 1 << mantissa) as f64, exponent - bias - mantissa as i32),
    }
}

/// `number` times two to the power of `exponent`; exact where the result is a number of 64 bits.
fn scale(number: f64, exponent: i32) -> f64 {
    let half = exponent / 2;
    number * 2f64.powi(half) * 2f64.powi(exponent - half)
}

/// Casts one word.
pub fn cast_word(word: u64, from: u8, to: u8) -> u64 {
    let (Some(old), Some(new)) = (fields(from), fields(to)) else { return 0 };
    if from == to {
        return word;
    }
    let high = 1u64 << (8 * old.0 - 1);
    let (sign, magnitude) = (word & high != 0, word & (high - 1));
    let first = beyond(from, old);
    let infinite = from != F8_E4M3 && magnitude == first;
    let last = beyond(to, new);
    let cast = if infinite {
        last
    } else if magnitude >= first {
        let mantissa = magnitude & ((1 << old.1) - 1);
        let moved = if new.1 >= old.1 { mantissa << (new.1 - old.1) } else { mantissa >> (old.1 - new.1) };
        if to == F8_E4M3 { last } else { last | moved | 1 << (new.1 - 1) }
    } else {
        nearest(value(magnitude, old), new, last)
    };
    cast | u64::from(sign) << (8 * new.0 - 1)
}

/// The magnitude whose value is nearest, at most `last`.
fn nearest(wanted: f64, fields: (usize, u32, i32), last: u64) -> u64 {
    if fields.0 == 8 {
        return wanted.to_bits();
    }
    let (mut low, mut high) = (0, last);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if value(middle, fields) <= wanted { low = middle } else { high = middle }
    }
    if wanted >= value(last, fields) {
        return last;
    }
    let (below, above) = (wanted - value(low, fields), value(high, fields) - wanted);
    if below < above || below == above && low % 2 == 0 { low } else { high }
}

/// Casts all words of `bytes`.
pub fn cast(bytes: &[u8], from: u8, to: u8) -> Vec<u8> {
    let widths = [from, to].map(|dtype| fields(dtype).map_or(1, |fields| fields.0));
    let word = |word: &[u8]| {
        let mut wide = [0; 8];
        wide[..word.len()].copy_from_slice(word);
        cast_word(u64::from_le_bytes(wide), from, to).to_le_bytes()[..widths[1]].to_vec()
    };
    bytes.chunks(widths[0]).flat_map(word).collect()
}
