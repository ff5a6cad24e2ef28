//! Patch payloads: literals, and copies from a window.

use super::fields::{Bits, Fields, unzigzag};
use super::words::difference;
use super::{Result, check, symbols};

/// A chunk of `length` bytes from its payload.
pub fn decode(payload: &[u8], base: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut fields = Fields::new(payload);
    let (count, literals) = (fields.varint()? as usize, fields.varint()? as usize);
    check(count <= length / 3 && literals <= length, "a patch of another length")?;
    let of_literals = (0..literals).map(|i| 3 + 64 * i / literals);
    let contexts: Vec<usize> = (0..3 * count).map(|i| i / count).chain(of_literals).collect();
    let symbols = symbols::read(&mut fields, &contexts, 256)?;
    let (sequences, literals) = symbols.split_at(3 * count);
    let (mut lengths, mut distances) = (Bits::new(fields.string()?), Bits::new(fields.rest()));
    let mut window = base.to_vec();
    let end = base.len() + length;
    let mut literals = literals.iter().copied();
    let mut recent = vec![base.len() as u32, 1, 2];
    for i in 0..count {
        let inserted = number(sequences[i], &mut lengths)?;
        check(inserted <= (end - window.len()) as u64 && inserted <= literals.len() as u64, "literals")?;
        window.extend(literals.by_ref().take(inserted as usize));
        let copied = number(sequences[count + i], &mut lengths)?.saturating_add(3);
        let distance = distance(sequences[2 * count + i], &recent, &mut distances)?;
        recent.remove(recent.iter().position(|&other| other == distance).unwrap_or(2));
        recent.insert(0, distance);
        check(distance > 0 && distance as usize <= window.len(), "a distance")?;
        check(copied <= (end - window.len()) as u64, "a copy")?;
        for _ in 0..copied {
            window.push(window[window.len() - distance as usize]);
        }
    }
    window.extend(literals);
    lengths.finish()?;
    distances.finish()?;
    check(window.len() == end, "length of a patch")?;
    Ok(window.split_off(base.len()))
}

/// A length, from its symbol.
fn number(symbol: u8, raw: &mut Bits) -> Result<u64> {
    check(symbol < 175, "a length")?;
    difference(symbol, raw)
}

fn distance(symbol: u8, recent: &[u32], raw: &mut Bits) -> Result<u32> {
    Ok(match symbol {
        0..3 => recent[usize::from(symbol)],
        3..79 => (i64::from(recent[0]) + unzigzag(difference(symbol - 3, raw)?) as i64) as u32,
        79..110 => 1 << (symbol - 79) | raw.field(u32::from(symbol - 79))? as u32,
        _ => return Err("a distance".to_owned()),
    })
}
