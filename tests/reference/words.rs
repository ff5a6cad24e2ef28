//! Delta and solo payloads.

use super::chunk::Coding;
use super::fields::{Bits, Fields, unzigzag};
use super::{Result, check, context, symbols};

fn load(bytes: &[u8], width: usize) -> Vec<u64> {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    bytes.chunks(width).map(word).collect()
}

fn store(words: impl Iterator<Item = u64>, width: usize) -> Vec<u8> {
    words.flat_map(|word| word.to_le_bytes().into_iter().take(width)).collect()
}

/// A delta payload against its base range.
pub fn delta(coding: Coding, columns: usize, payload: &[u8], base: &[u8]) -> Result<Vec<u8>> {
    let base = load(base, coding.bytes());
    let e: Vec<u64> = base.iter().map(|&b| number(coding, b)).collect();
    Ok(store(moved(coding, columns, payload, &base, Numbers { e: &e, factor: 16 })?.into_iter(), coding.bytes()))
}

/// The numbers *e* of words, and what they are multiplied by in model 2.
pub struct Numbers<'a> {
    pub e: &'a [u64],
    pub factor: i64,
}

/// A sparse payload against its base range.
pub fn sparse(coding: Coding, payload: &[u8], base: &[u8]) -> Result<Vec<u8>> {
    let mut words = load(base, coding.bytes());
    let mut fields = Fields::new(payload);
    let count = fields.varint()?;
    check(count <= words.len() as u64 / 4, "more changes than one in four words")?;
    let contexts: Vec<usize> = (0..2 * count).map(|i| usize::from(i >= count)).collect();
    let most = u64::from([104u8, 104, 140, 175][coding.bytes().ilog2() as usize]);
    let symbols = symbols::read(&mut fields, &contexts, most)?;
    let (gaps, differences) = symbols.split_at(count as usize);
    let mut raw = [Bits::new(fields.string()?), Bits::new(fields.rest())];
    let mut place = 0u128;
    for (&gap, &symbol) in gaps.iter().zip(differences) {
        place += u128::from(difference(gap, &mut raw[0])?);
        let word =
            usize::try_from(place).ok().and_then(|place| words.get_mut(place)).ok_or("a change behind the end")?;
        let z = (u128::from(difference(symbol, &mut raw[1])?) + 1) % (1 << coding.width);
        *word = step(coding, *word, unzigzag(z as u64));
        place += 1;
    }
    raw.into_iter().try_for_each(Bits::finish)?;
    Ok(store(words.into_iter(), coding.bytes()))
}

/// The word at the difference `d` from `b`.
fn step(coding: Coding, b: u64, d: i128) -> u64 {
    let half = 1u128 << (coding.width - 1);
    let wrap = |value: i128| value.rem_euclid(2 * half as i128) as u128;
    let Some(_) = coding.mantissa else { return wrap(i128::from(b) + d) as u64 };
    let (sign, b) = (u128::from(b) >= half, u128::from(b) % half);
    let u = wrap(half as i128 + b as i128 + d);
    let (sign, rest) = if u >= half { (sign, u - half) } else { (!sign, half - 1 - u) };
    (if sign { half + rest } else { rest }) as u64
}

/// The target's words of a delta payload.
pub fn moved(coding: Coding, columns: usize, payload: &[u8], base: &[u64], numbers: Numbers) -> Result<Vec<u64>> {
    let mut fields = Fields::new(payload);
    let contexts = context::read(&mut fields, columns, numbers)?;
    let zero = [44u8, 76, 140, 175][coding.bytes().ilog2() as usize];
    let symbols = symbols::read(&mut fields, &contexts, u64::from(zero) + 1)?;
    let mut raw = Bits::new(fields.rest());
    let mut target = Vec::new();
    for (&b, &symbol) in base.iter().zip(&symbols) {
        let d = |raw: &mut Bits| difference(symbol, raw).map(unzigzag);
        target.push(if symbol == zero { 0 } else { step(coding, b, d(&mut raw)?) });
    }
    raw.finish()?;
    Ok(target)
}

/// The bits of a word of the base that contexts are made of.
fn number(coding: Coding, b: u64) -> u64 {
    match coding.mantissa {
        Some(mantissa) => b % (1 << (coding.width - 1)) >> mantissa,
        None => b >> (coding.width - 4),
    }
}

/// The difference that a symbol and its raw bits make.
pub fn difference(symbol: u8, raw: &mut Bits) -> Result<u64> {
    let t = u32::from(symbol);
    Ok(match t {
        0..32 => u64::from(t),
        32..144 => {
            let k = t / 4 - 5;
            (u64::from(4 + t % 4) << k) + raw.field(k)?
        }
        _ => (1 << (t - 111)) + raw.field(t - 111)?,
    })
}

/// A solo payload of a chunk of `length` bytes.
pub fn solo(coding: Coding, columns: usize, payload: &[u8], length: usize) -> Result<Vec<u8>> {
    let count = length / coding.bytes();
    let mut fields = Fields::new(payload);
    let first = fields.byte()?;
    let k = u32::from(first % 128);
    check(k < coding.width, "raw bits of a word")?;
    let idle = if first >= 128 { u32::from(fields.byte()?) } else { 0 };
    check(idle <= k, "bits that are 0")?;
    let least = fields.varint()?;
    let contexts = context::read(&mut fields, columns, Numbers { e: &vec![0; count], factor: 16 })?;
    let symbols = symbols::read(&mut fields, &contexts, 256)?;
    let mut raw = Bits::new(fields.rest());
    let mut target = Vec::new();
    for symbol in symbols {
        target.push(if symbol == 255 {
            raw.field(coding.width)?
        } else if symbol == 254 {
            0
        } else {
            let (low, sign) = (raw.field(k - idle)? << idle, raw.field(1)?);
            let between = (u128::from(least) + u128::from(symbol)) << k;
            (between % (1 << (coding.width - 1))) as u64 | low | sign << (coding.width - 1)
        });
    }
    raw.finish()?;
    Ok(store(target.into_iter(), coding.bytes()))
}

/// A palette payload of a chunk of `length` bytes.
pub fn palette(coding: Coding, columns: usize, payload: &[u8], base: Option<&[u8]>, length: usize) -> Result<Vec<u8>> {
    let mut fields = Fields::new(payload);
    let distinct = usize::from(fields.byte()?) + 1;
    let palette = load(fields.take(distinct * coding.bytes())?, coding.bytes());
    check(palette.windows(2).all(|pair| pair[0] < pair[1]), "the order of a palette")?;
    let index = |b: u64| (palette.iter().filter(|&&word| word <= b).count().max(1) - 1) as u64;
    let count = length / coding.bytes();
    let mut e = match base {
        Some(base) => load(base, coding.bytes()).into_iter().map(index).collect(),
        None => vec![0; count],
    };
    // Model 2 takes no numbers, whatever the base.
    if fields.clone().byte()? == 2 {
        e.fill(0);
    }
    let contexts = context::read(&mut fields, columns, Numbers { e: &e, factor: 16 })?;
    let symbols = symbols::read(&mut fields, &contexts, distinct as u64)?;
    fields.finish()?;
    Ok(store(symbols.into_iter().map(|symbol| palette[usize::from(symbol)]), coding.bytes()))
}
