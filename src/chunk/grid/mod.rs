//! A chunk of quantised blocks against blocks of the same format, or against the weights that they
//! were quantised from.
//!
//! The base's weights are placed in the grid of levels that the target's block has: the nearest
//! level is expected, and the distance to the border between two levels tells how sure that is. So
//! the fields of the blocks come first, then the indices of the weights
//! ([`quant`](crate::quant) names the fields).
//!
//! The payload holds the number of low bits that all scales lack, and all minima if there are any;
//! the lists of scales and minima, of sub-scales, of sub-minima; the model of the indices' contexts
//! and their list.

mod expect;
mod ground;
pub(super) mod integers;
pub(super) mod moved;
pub(super) mod packed;
mod strips;

use super::Scratch;
use super::list::{self, List};
use crate::bytes::{ByteReader, put_varint};
use crate::cast::singles;
use crate::error::{Error, Result};
use crate::layout::Dtype;
use crate::quant::{BlockFields, BlockFormat};
use crate::view::Relation;
use crate::zigzag::{unzigzag, zigzag};
use expect::{Expected, Indices, Model, half_octaves, order, word};
use ground::{Ground, Weights};

/// The base of a chunk of blocks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Base<'a> {
    /// Blocks of the same format.
    Blocks(&'a [u8]),
    /// Weights, as little-endian `F32`.
    Weights(&'a [u8]),
    /// Blocks of the same format, and their weights after they were moved.
    Moved(&'a [u8], &'a [f32]),
}

impl<'a> Base<'a> {
    /// The base range of a chunk that has this relation to it.
    pub(super) fn of(relation: Relation, bytes: &'a [u8]) -> Self {
        if relation == Relation::Weights { Self::Weights(bytes) } else { Self::Blocks(bytes) }
    }

    fn ground(self, format: &'static BlockFormat) -> Ground<'a> {
        match self {
            Self::Blocks(bytes) => Ground::Blocks(BlockFields::parse(format, bytes), bytes),
            Self::Weights(bytes) => Ground::Weights(Weights::new(format, singles(Dtype::F32, bytes))),
            Self::Moved(blocks, weights) => Ground::Moved(BlockFields::parse(format, blocks), weights),
        }
    }
}

/// Returns what is left of `number` where `expected` was expected. `sign` is that of [`Expected`].
fn residue(number: i16, expected: i16, sign: i16) -> u16 {
    zigzag(negate(number.wrapping_sub(expected), sign) as u16)
}

/// The inverse of [`residue`].
fn number(residue: u16, expected: i16, sign: i16) -> i16 {
    expected.wrapping_add(negate(unzigzag(residue) as i16, sign))
}

/// Negates a difference if `sign` is -1.
fn negate(difference: i16, sign: i16) -> i16 {
    (difference ^ sign).wrapping_sub(sign)
}

fn list(numbers: impl Iterator<Item = i16>, expected: &Expected) -> List {
    let residues = numbers.zip(expected.numbers.iter().zip(&expected.signs));
    let residues = residues.map(|(number, (&expected, &sign))| residue(number, expected, sign));
    List::new(residues.collect(), expected.contexts.clone())
}

fn read(payload: &mut ByteReader<'_>, expected: &mut Expected, scratch: &mut Scratch) -> Result<Vec<i16>> {
    let residues = list::read(payload, std::mem::take(&mut expected.contexts), scratch)?;
    let pairs = residues.into_iter().zip(expected.numbers.iter().zip(&expected.signs));
    Ok(pairs.map(|(residue, (&expected, &sign))| number(residue, expected, sign)).collect())
}

/// Low bits that are zero in all words.
fn shift_of(words: &[u16]) -> u32 {
    words.iter().fold(1 << 14, |all, word| all | word).trailing_zeros()
}

/// Encodes `target` against a base of as many weights, and returns the payload.
pub(super) fn encode(format: &'static BlockFormat, base: Base<'_>, target: &[u8]) -> Vec<u8> {
    let (ground, fields) = (base.ground(format), BlockFields::parse(format, target));
    let mut payload = Vec::new();
    write_words(&mut payload, &ground, &fields);
    let subs = expect::sub_scales(&ground, &fields);
    list(fields.sub_scales.iter().copied(), &subs).write(&mut payload);
    let minima = expect::sub_minima(&ground, &fields, &subs);
    list(fields.sub_minima.iter().copied(), &minima).write(&mut payload);
    let (model, list) = list_of_indices(&ground, &fields, target);
    write_model(&mut payload, model);
    list.write(&mut payload);
    payload
}

fn write_words(payload: &mut Vec<u8>, ground: &Ground<'_>, target: &BlockFields) {
    let (scales, minima) = ground.words();
    let mut numbers = Vec::new();
    let mut expected = Expected::default();
    for (words, base, of_minima) in [(&target.scales, scales, false), (&target.minima, minima, true)] {
        if words.is_empty() {
            continue;
        }
        let shift = shift_of(words);
        payload.push(shift as u8);
        numbers.extend(words.iter().map(|&word| order(word, shift)));
        expected.append(expect::words(base, shift, of_minima));
    }
    list(numbers.into_iter(), &expected).write(payload);
}

/// Returns the shortest list of the indices of the blocks `target`, and its model.
fn list_of_indices(ground: &Ground<'_>, fields: &BlockFields, target: &[u8]) -> (Model, List) {
    let of = |model| strips::residues(&Indices { ground, target: fields, model }, target);
    if let Ground::Weights(_) = ground {
        let (residues, contexts) = of(Model::Border);
        return (Model::Border, List::new(residues, contexts));
    }
    let model = Model::DistanceAndStep(middle_step(fields));
    let (residues, contexts) = of(model);
    shorter_list(model, residues, contexts)
}

/// Returns a list whose contexts are the distances and steps of `model`, or the distances alone,
/// whichever is shorter, and its model.
fn shorter_list(model: Model, residues: Vec<u16>, contexts: Vec<u8>) -> (Model, List) {
    let (list, without) = List::with_or_without(residues, contexts, Model::STEP_BITS);
    (if without { Model::Distance } else { model }, list)
}

/// Returns the estimated bits of the indices of `target` against `base`.
pub(super) fn estimate(format: &'static BlockFormat, base: Base<'_>, target: &[u8]) -> u64 {
    let fields = BlockFields::parse(format, target);
    list_of_indices(&base.ground(format), &fields, target).1.bits()
}

fn write_model(payload: &mut Vec<u8>, model: Model) {
    match model {
        Model::Distance => payload.push(0),
        Model::DistanceAndStep(middle) => {
            payload.push(1);
            put_varint(payload, middle.into());
        }
        Model::Border => payload.push(2),
        Model::Step(middle) => {
            payload.push(3);
            put_varint(payload, middle.into());
        }
    }
}

fn read_model(payload: &mut ByteReader<'_>) -> Result<Model> {
    match payload.u8()? {
        0 => Ok(Model::Distance),
        1 => Ok(Model::DistanceAndStep(payload.varint()?.min(u64::from(u16::MAX)) as u16)),
        2 => Ok(Model::Border),
        3 => Ok(Model::Step(payload.varint()?.min(u64::from(u16::MAX)) as u16)),
        other => Err(Error::unsupported(format!("indices of model {other} are unknown"))),
    }
}

/// The median of the steps of all groups, in half octaves.
fn middle_step(fields: &BlockFields) -> u16 {
    let groups = (0..fields.scales.len()).flat_map(|block| fields.affines(block));
    let mut steps: Vec<u16> = groups.map(|(a, _)| half_octaves(a)).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(0)
}

/// Restores `target` from its base and the payload that [`encode`] returned.
pub(super) fn decode(
    format: &'static BlockFormat,
    payload: &[u8],
    base: Base<'_>,
    target: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let mut payload = ByteReader::new(payload);
    let ground = base.ground(format);
    let mut fields = BlockFields::new(format, target.len() / format.bytes);
    read_words(&mut payload, &ground, &mut fields, scratch)?;
    let mut subs = expect::sub_scales(&ground, &fields);
    fields.sub_scales = read(&mut payload, &mut subs, scratch)?;
    let mut minima = expect::sub_minima(&ground, &fields, &subs);
    fields.sub_minima = read(&mut payload, &mut minima, scratch)?;
    let model = read_model(&mut payload)?;
    fields.write(target);
    if target.is_empty() {
        return payload.finish();
    }
    strips::decode(&Indices { ground: &ground, target: &fields, model }, payload, target, scratch)
}

fn read_words(
    payload: &mut ByteReader<'_>,
    ground: &Ground<'_>,
    fields: &mut BlockFields,
    scratch: &mut Scratch,
) -> Result<()> {
    let (scales, minima) = ground.words();
    let mut shifts = [0; 2];
    let mut expected = Expected::default();
    let lists = [(fields.scales.len(), scales, false), (fields.minima.len(), minima, true)];
    // The shifts of all lists precede the numbers.
    for (shift, (count, base, of_minima)) in shifts.iter_mut().zip(lists) {
        if count > 0 {
            *shift = u32::from(payload.u8()?);
            if *shift > 14 {
                return Err(Error::corrupt("scales lack too many bits").figures("at most 14", *shift));
            }
            expected.append(expect::words(base, *shift, of_minima));
        }
    }
    let numbers = read(payload, &mut expected, scratch)?;
    let count = fields.scales.len();
    for (field, &number) in fields.scales.iter_mut().zip(&numbers) {
        *field = word(number, shifts[0]);
    }
    for (field, &number) in fields.minima.iter_mut().zip(numbers.get(count..).unwrap_or_default()) {
        *field = word(number, shifts[1]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{formats, weights_of};

    /// Bytes of a seed that look like nothing in particular.
    fn random(seed: u64, count: usize) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    /// Blocks of any bits: scales may be zero, infinite or no numbers. Base and target are equal
    /// but for a few bits.
    fn pair(format: &BlockFormat, blocks: usize) -> (Vec<u8>, Vec<u8>) {
        let count = format.bytes * blocks;
        let base = random(1, count);
        let mut target = base.clone();
        let noise = random(2, 2 * count);
        for (i, byte) in target.iter_mut().enumerate().filter(|(i, _)| noise[*i] < 20) {
            *byte ^= noise[count + i] & noise[count / 2 + i];
        }
        (base, target)
    }

    #[test]
    fn blocks_of_every_format_come_back_from_blocks_and_from_weights() {
        let mut scratch = Scratch::default();
        for format in &formats::FORMATS {
            let (base, target) = pair(format, 40);
            let values = weights_of(format, &base);
            for base in [Base::Blocks(&base), Base::Weights(&values)] {
                let payload = encode(format, base, &target);
                let mut restored = vec![0; target.len()];
                decode(format, &payload, base, &mut restored, &mut scratch).unwrap();
                assert!(restored == target, "{:?} {base:?}", format.dtype);
            }
        }
    }

    #[test]
    fn equal_blocks_cost_a_few_bytes() {
        for format in &formats::FORMATS {
            let (base, _) = pair(format, 40);
            assert!(encode(format, Base::Blocks(&base), &base).len() < 16, "{:?}", format.dtype);
        }
    }

    #[test]
    fn damaged_payloads_never_panic() {
        let mut scratch = Scratch::default();
        for format in &formats::FORMATS {
            let (base, target) = pair(format, 2);
            let values = weights_of(format, &base);
            for base in [Base::Blocks(&base), Base::Weights(&values)] {
                let payload = encode(format, base, &target);
                let mut restored = vec![0; target.len()];
                for length in 0..payload.len() {
                    decode(format, &payload[..length], base, &mut restored, &mut scratch).expect_err("a truncation");
                }
                for bit in 0..payload.len() * 8 {
                    let mut flipped = payload.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    let _ = decode(format, &flipped, base, &mut restored, &mut scratch);
                }
            }
        }
    }
}
