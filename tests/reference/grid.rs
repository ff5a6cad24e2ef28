//! The methods grid and nibbles.

use super::fields::{Bits, Fields, unzigzag};
use super::levels::stepped;
use super::quant::{BOOK, Block, Format, half, range, value};
use super::words::difference;
use super::{Result, check, symbols};

/// The expectation of a field: a number, a sign, a context.
pub type Expected = (i32, i32, usize);

/// Reads a list of numbers.
pub fn list(fields: &mut Fields, contexts: &[usize]) -> Result<Vec<u16>> {
    if contexts.is_empty() {
        return Ok(Vec::new());
    }
    match fields.byte()? {
        0 => {
            let number = fields.byte()?;
            check(number < 32, "a list's constant")?;
            Ok(vec![number.into(); contexts.len()])
        }
        1 => {
            let symbols = symbols::read(fields, contexts, 76)?;
            let mut raw = Bits::new(fields.string()?);
            let numbers = symbols.into_iter().map(|symbol| Ok(difference(symbol, &mut raw)? as u16));
            let numbers = numbers.collect::<Result<Vec<_>>>()?;
            raw.finish()?;
            Ok(numbers)
        }
        _ => Err("an unknown kind of list".to_owned()),
    }
}

/// Reads a list of fields.
pub fn fields_of(fields: &mut Fields, expected: &[Expected]) -> Result<Vec<i32>> {
    let contexts: Vec<usize> = expected.iter().map(|expected| expected.2).collect();
    let numbers = list(fields, &contexts)?;
    let field = |(&(x, g, _), number): (&Expected, u16)| {
        let d = unzigzag(number.into()) as i32 as i16;
        let d = if g < 0 { d.wrapping_neg() } else { d };
        i32::from((x as i16).wrapping_add(d))
    };
    Ok(expected.iter().zip(numbers).map(field).collect())
}

pub fn nibbles(payload: &[u8], base: &[u8]) -> Result<Vec<u8>> {
    let halves: Vec<usize> = base.iter().flat_map(|byte| [byte % 16, byte / 16]).map(usize::from).collect();
    let mut fields = Fields::new(payload);
    let numbers = list(&mut fields, &halves)?;
    fields.finish()?;
    let half = |(&b, z): (&usize, u16)| (b as i128 + unzigzag(z.into())).rem_euclid(16) as u8;
    let target: Vec<u8> = halves.iter().zip(numbers).map(half).collect();
    Ok(target.chunks(2).map(|pair| pair[0] + 16 * pair[1]).collect())
}

pub fn class(f: f32) -> usize {
    let f = f.abs();
    match f {
        _ if f < 0.0001 => 0,
        _ if f < 1.0 / 64.0 => 1,
        _ if f < 1.0 / 32.0 => 2,
        _ => 3 + ((16.0 * f).floor() as usize).min(7),
    }
}

fn or(number: f32, other: f32) -> f32 {
    if number.is_finite() { number } else { other }
}

/// The base of a chunk: blocks, or weights with what a quantiser would choose for them.
struct Base {
    blocks: Option<Vec<Block>>,
    weights: Vec<f32>,
    scales: Vec<u16>,
    minima: Vec<u16>,
    steps: Vec<f32>,
    floors: Vec<f32>,
}

impl Base {
    fn of_blocks(format: &Format, bytes: &[u8]) -> Self {
        let blocks: Vec<Block> = bytes.chunks(format.bytes).map(|block| format.parse(block)).collect();
        let (scales, minima) = blocks.iter().map(|block| (block.d, block.m)).unzip();
        Self { blocks: Some(blocks), weights: Vec::new(), scales, minima, steps: Vec::new(), floors: Vec::new() }
    }

    fn of_weights(format: &Format, bytes: &[u8]) -> Self {
        let weights = bytes.chunks(4).map(|word| or(f32::from_le_bytes(word.try_into().unwrap()), 0.0));
        let weights: Vec<f32> = weights.collect();
        let (mut steps, mut floors) = (Vec::new(), Vec::new());
        let (mut scales, mut minima) = (Vec::new(), Vec::new());
        for block in weights.chunks(format.weights) {
            let first = steps.len();
            for group in block.chunks(format.group) {
                let (step, floor, d, m) = guess(format, group);
                steps.push(step);
                floors.push(floor);
                if format.s.is_none() {
                    scales.push(half(d));
                    minima.push(half(m));
                }
            }
            let greatest = |numbers: &[f32]| numbers.iter().fold(0f32, |most, &n| if n > most { n } else { most });
            match (format.s, format.n) {
                (Some(s), Some(n)) => {
                    scales.push(half(greatest(&steps[first..]) / range(s).1 as f32));
                    minima.push(half(greatest(&floors[first..]) / range(n).1 as f32));
                }
                (Some(s), None) => {
                    let largest =
                        steps[first..].iter().fold(0f32, |most, &n| if n.abs() > most.abs() { n } else { most });
                    scales.push(half(largest / range(s).0 as f32));
                    minima.push(0);
                }
                _ => {}
            }
        }
        Self { blocks: None, weights, scales, minima, steps, floors }
    }
}

/// The step and the floor of a group with sub-scales, and the scale and the minimum of one without.
fn guess(format: &Format, group: &[f32]) -> (f32, f32, f32, f32) {
    let lo = group.iter().copied().reduce(|a, b| if b < a { b } else { a }).unwrap();
    let hi = group.iter().copied().reduce(|a, b| if b > a { b } else { a }).unwrap();
    let big = group.iter().fold(0f32, |most, &n| if n.abs() > most.abs() { n } else { most });
    let last = if format.zero == 255 { BOOK[15] as f32 } else { f32::from(format.last()) };
    if format.n.is_some() {
        let floor = if lo < 0.0 { -lo } else { 0.0 };
        let step = (hi + floor) / last;
        return (if step > 0.0 { step } else { 0.0 }, floor, 0.0, 0.0);
    }
    let step = big / format.level(0);
    match format.dtype {
        22 => (step, 0.0, big.abs() / 127.0, 0.0),
        24 | 26 => (step, 0.0, (hi - lo) / last, lo),
        _ => (step, 0.0, step, 0.0),
    }
}

pub fn grid(format: &'static Format, payload: &[u8], base: &[u8], weights: bool, length: usize) -> Result<Vec<u8>> {
    let base = if weights { Base::of_weights(format, base) } else { Base::of_blocks(format, base) };
    decode(format, payload, &base, length / format.bytes)
}

/// A payload against blocks, whose weights were moved to these.
pub fn moved(format: &'static Format, payload: &[u8], blocks: &[u8], weights: &[u8]) -> Result<Vec<u8>> {
    let weights = weights.chunks(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect();
    let base = Base { weights, ..Base::of_blocks(format, blocks) };
    decode(format, payload, &base, blocks.len() / format.bytes)
}

fn decode(format: &'static Format, payload: &[u8], base: &Base, count: usize) -> Result<Vec<u8>> {
    let mut fields = Fields::new(payload);
    let mut target = vec![Block::default(); count];
    read_words(&mut fields, format, base, &mut target)?;
    let subs = read_subs(&mut fields, format, base, &mut target)?;
    read_minima(&mut fields, format, base, &mut target, &subs)?;
    read_indices(&mut fields, format, base, &mut target)?;
    fields.finish()?;
    Ok(target.iter().flat_map(|block| format.write(block)).collect())
}

fn read_words(fields: &mut Fields, format: &Format, base: &Base, target: &mut [Block]) -> Result<()> {
    let minima = format.minimum.is_some();
    let mut shifts = Vec::new();
    for _ in 0..1 + usize::from(minima) {
        shifts.push(u32::from(fields.byte()?));
        check(shifts.last() <= Some(&14), "a shift")?;
    }
    let order = |w: u16, shift: u32| {
        let order = i32::from(w % 0x8000) >> shift;
        if w >= 0x8000 { -1 - order } else { order }
    };
    let mut expected: Vec<Expected> = Vec::new();
    for (words, shift) in [&base.scales, &base.minima].into_iter().zip(&shifts) {
        for &b in words {
            let e = usize::from(b / 1024 % 32);
            let context = if expected.len() < target.len() { e / 2 } else { 16 + e / 4 };
            expected.push((order(b, *shift), if b >= 0x8000 { -1 } else { 1 }, context));
        }
    }
    let orders = fields_of(fields, &expected)?;
    let word = |order: i32, shift: u32| {
        let magnitude = if order < 0 { -1 - order } else { order };
        (magnitude << shift & 0x7fff) as u16 | if order < 0 { 0x8000 } else { 0 }
    };
    for (i, block) in target.iter_mut().enumerate() {
        block.d = word(orders[i], shifts[0]);
        if minima {
            block.m = word(orders[orders.len() / 2 + i], shifts[1]);
        }
    }
    Ok(())
}

/// The nearest integer to `y` in a range, and the distance from it.
pub fn near(y: f32, (least, most): (i32, i32)) -> (i32, f32) {
    let y = if y.is_nan() { 0.0 } else { y.clamp(least as f32, most as f32) };
    let x = y.round_ties_even();
    (x as i32, y - x)
}

/// Reads the sub-scales; returns what was expected of them.
fn read_subs(fields: &mut Fields, format: &Format, base: &Base, target: &mut [Block]) -> Result<Vec<i32>> {
    let Some(s) = format.s else { return Ok(Vec::new()) };
    let mut expected: Vec<Expected> = Vec::new();
    for (i, block) in target.iter().enumerate() {
        let d = value(block.d);
        for j in 0..format.groups() {
            let y = match &base.blocks {
                Some(blocks) => blocks[i].s[j] as f32 * or(value(blocks[i].d) / d, 1.0),
                None => or(base.steps[i * format.groups() + j] / d, 0.0),
            };
            let (x, f) = near(y, range(s));
            expected.push((x, if f < 0.0 { -1 } else { 1 }, class(f)));
        }
    }
    let numbers = fields_of(fields, &expected)?;
    target.iter_mut().zip(numbers.chunks(format.groups())).for_each(|(block, s)| block.s = s.to_vec());
    Ok(expected.into_iter().map(|expected| expected.0).collect())
}

fn read_minima(fields: &mut Fields, format: &Format, base: &Base, target: &mut [Block], subs: &[i32]) -> Result<()> {
    let Some(n) = format.n else { return Ok(()) };
    let mut expected: Vec<Expected> = Vec::new();
    for (i, block) in target.iter().enumerate() {
        let m = value(block.m);
        for j in 0..format.groups() {
            let y = match &base.blocks {
                Some(blocks) => blocks[i].n[j] as f32 * or(value(blocks[i].m) / m, 1.0),
                None => or(base.floors[i * format.groups() + j] / m, 0.0),
            };
            let (x, f) = near(y, range(n));
            let u = (block.s[j] - subs[i * format.groups() + j]).clamp(-3, 3);
            let v = match f.abs() {
                0.0 => 0,
                size if size > 0.3 => 3,
                size if size > 0.12 => 2,
                _ => 1,
            };
            let v = if f < 0.0 { v + 3 } else { v };
            expected.push((x, 1, 7 * (u + 3) as usize + v));
        }
    }
    let numbers = fields_of(fields, &expected)?;
    target.iter_mut().zip(numbers.chunks(format.groups())).for_each(|(block, n)| block.n = n.to_vec());
    Ok(())
}

pub fn size(number: f32) -> i64 {
    i64::from(number.abs().to_bits() >> 22)
}

fn read_indices(fields: &mut Fields, format: &Format, base: &Base, target: &mut [Block]) -> Result<()> {
    let model = fields.byte()?;
    check(model <= 3, "an unknown model of indices")?;
    let middle = if model % 2 == 1 { fields.varint()?.min(65_535) as i64 } else { 0 };
    let context = |f: f32, a: f32| match model {
        0 => class(f),
        1 => 8 * class(f) + (size(a) - middle + 4).clamp(0, 7) as usize,
        3 => stepped(f, a, 0, middle),
        _ => (252 - size((0.5 - f.abs()).max(0.0))).clamp(0, 23) as usize,
    };
    let mut expected: Vec<Expected> = Vec::new();
    for (k, block) in target.iter().enumerate() {
        for w in 0..format.weights {
            let (a, c) = format.affine(block, w / format.group);
            let q = 1.0 / a;
            let (y, fallback) = match &base.blocks {
                Some(blocks) if base.weights.is_empty() => {
                    let ((from_a, from_c), i) = (format.affine(&blocks[k], w / format.group), blocks[k].i[w]);
                    let (scale, shift) = (from_a * q, (from_c - c) * q);
                    let moved = (from_a != a || from_c != c) && scale.is_finite() && shift.is_finite();
                    (if moved { format.level(i) * scale + shift } else { f32::NAN }, i)
                }
                _ => {
                    let y = (base.weights[k * format.weights + w] - c) * q;
                    let zero = if format.zero == 255 { 8 } else { format.zero };
                    (if y.is_finite() { y } else { f32::NAN }, zero)
                }
            };
            if y.is_nan() {
                expected.push((fallback.into(), 1, 0));
                continue;
            }
            let (x, f) = place(format, y);
            expected.push((x, if f < 0.0 { -1 } else { 1 }, context(f, a)));
        }
    }
    let numbers = fields_of(fields, &expected)?;
    for (block, indices) in target.iter_mut().zip(numbers.chunks(format.weights)) {
        block.i = indices.iter().map(|&index| index as u8).collect();
    }
    Ok(())
}

/// The index of the nearest level, and the distance from it in steps.
fn place(format: &Format, y: f32) -> (i32, f32) {
    if format.zero != 255 {
        let (x, f) = near(y, (-i32::from(format.zero), i32::from(format.last()) - i32::from(format.zero)));
        return (x + i32::from(format.zero), f);
    }
    let y = y.clamp(BOOK[0] as f32, BOOK[15] as f32);
    let low = (0..15).rev().find(|&i| BOOK[i] as f32 <= y).unwrap_or(0);
    let (l, h) = (BOOK[low] as f32, BOOK[low + 1] as f32);
    if (y - l) * 2.0 <= h - l { (low as i32, (y - l) / (h - l)) } else { (low as i32 + 1, (y - h) / (h - l)) }
}
