//! Context models.

use super::fields::{Fields, unzigzag};
use super::words::Numbers;
use super::{Result, check, symbols};

/// Reads a model and returns the context of every word, given their numbers *e*.
pub fn read(fields: &mut Fields, columns: usize, numbers: Numbers) -> Result<Vec<usize>> {
    let Numbers { e, factor } = numbers;
    match fields.byte()? {
        0 => Ok(vec![0; e.len()]),
        1 => {
            let first = fields.varint()? as i64;
            check((0..=2047).contains(&first), "first exponent")?;
            Ok(e.iter().map(|&e| (e as i64 - first).clamp(0, 95) as usize).collect())
        }
        2 => scaled(fields, columns, e, factor),
        3 => Ok(e.iter().map(|&e| e as usize % 128).collect()),
        _ => Err("unknown context model".to_owned()),
    }
}

fn small(fields: &mut Fields) -> Result<u64> {
    let number = fields.varint()?;
    check(number < 1 << 20, "a number of a context model")?;
    Ok(number)
}

fn scaled(fields: &mut Fields, columns: usize, e: &[u64], factor: i64) -> Result<Vec<usize>> {
    let s = fields.byte()?;
    check(s <= 4, "width of contexts")?;
    let floors = unzigzag(small(fields)?) as i64 + unzigzag(small(fields)?) as i64;
    let rows = symbols::read(fields, &vec![0; e.len().div_ceil(columns)], 256)?;
    let across = symbols::read(fields, &vec![0; columns], 256)?;
    let context = |(i, &e): (usize, &u64)| {
        let h = if s == 0 { 0 } else { 1 << (s - 1) };
        let scales = floors + i64::from(rows[i / columns]) + i64::from(across[i % columns]);
        let numerator: i64 = h + (48 << s) + factor * e as i64 - scales;
        numerator.div_euclid(1 << s).clamp(0, 95) as usize
    };
    Ok(e.iter().enumerate().map(context).collect())
}
