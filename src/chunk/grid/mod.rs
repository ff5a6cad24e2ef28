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

use super::Scratch;
use super::list::{self, List};
use crate::bytes::{ByteReader, put_varint};
use crate::cast::singles;
use crate::error::{Error, Result};
use crate::layout::Dtype;
use crate::quant::{BlockFormat, Blocks};
use crate::view::Relation;
use crate::zigzag::{unzigzag, zigzag};
use expect::{Expected, Model, half_octaves, order, word};
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
            Self::Blocks(bytes) => Ground::Blocks(Blocks::parse(format, bytes)),
            Self::Weights(bytes) => Ground::Weights(Weights::new(format, singles(Dtype::F32, bytes))),
            Self::Moved(blocks, weights) => Ground::Moved(Blocks::parse(format, blocks), weights),
        }
    }
}

/// Returns what is left of `number` where `expected` was expected.
fn residue(number: i16, expected: i16, negated: bool) -> u16 {
    let difference = number.wrapping_sub(expected);
    zigzag(if negated { difference.wrapping_neg() } else { difference } as u16)
}

/// The inverse of [`residue`].
fn number(residue: u16, expected: i16, negated: bool) -> i16 {
    let difference = unzigzag(residue) as i16;
    expected.wrapping_add(if negated { difference.wrapping_neg() } else { difference })
}

fn list(numbers: impl Iterator<Item = i16>, expected: &Expected) -> List {
    let residues = numbers.zip(expected.numbers.iter().zip(&expected.negated));
    let residues = residues.map(|(number, (&expected, &negated))| residue(number, expected, negated));
    List::new(residues.collect(), expected.contexts.clone())
}

fn read(payload: &mut ByteReader<'_>, expected: &mut Expected, scratch: &mut Scratch) -> Result<Vec<i16>> {
    let residues = list::read(payload, std::mem::take(&mut expected.contexts), scratch)?;
    let pairs = residues.into_iter().zip(expected.numbers.iter().zip(&expected.negated));
    Ok(pairs.map(|(residue, (&expected, &negated))| number(residue, expected, negated)).collect())
}

/// Low bits that are zero in all words.
fn shift_of(words: &[u16]) -> u32 {
    words.iter().fold(1 << 14, |all, word| all | word).trailing_zeros()
}

/// Encodes `target` against a base of as many weights, and returns the payload.
pub(super) fn encode(format: &'static BlockFormat, base: Base<'_>, target: &[u8]) -> Vec<u8> {
    let (ground, target) = (base.ground(format), Blocks::parse(format, target));
    let mut payload = Vec::new();
    write_words(&mut payload, &ground, &target);
    let subs = expect::sub_scales(&ground, &target);
    list(target.sub_scales.iter().copied(), &subs).write(&mut payload);
    let minima = expect::sub_minima(&ground, &target, &subs);
    list(target.sub_minima.iter().copied(), &minima).write(&mut payload);
    write_indices(&mut payload, &ground, &target);
    payload
}

fn write_words(payload: &mut Vec<u8>, ground: &Ground<'_>, target: &Blocks) {
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

fn write_indices(payload: &mut Vec<u8>, ground: &Ground<'_>, target: &Blocks) {
    let Some((model, list)) = list_of_indices(ground, target) else { return };
    write_model(payload, model);
    list.write(payload);
}

/// Returns the shortest list of the indices, and its model.
fn list_of_indices(ground: &Ground<'_>, target: &Blocks) -> Option<(Model, List)> {
    let models = match ground {
        Ground::Blocks(_) | Ground::Moved(..) => vec![Model::Distance, Model::DistanceAndStep(middle_step(target))],
        Ground::Weights(_) => vec![Model::Border],
    };
    let coded = models.into_iter().map(|model| {
        let expected = expect::indices(ground, target, model);
        (model, list(target.indices.iter().map(|&index| index.into()), &expected))
    });
    coded.min_by_key(|(_, list)| list.bits())
}

/// Returns the estimated bits of the indices of `target` against `base`.
pub(super) fn estimate(format: &'static BlockFormat, base: Base<'_>, target: &[u8]) -> u64 {
    list_of_indices(&base.ground(format), &Blocks::parse(format, target)).map_or(0, |(_, list)| list.bits())
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
fn middle_step(target: &Blocks) -> u16 {
    let groups = target.indices.len() / target.format.group;
    let mut steps: Vec<u16> = (0..groups).map(|group| half_octaves(target.affine(group).0)).collect();
    steps.sort_unstable();
    steps.get(groups / 2).copied().unwrap_or(0)
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
    let mut blocks = Blocks::new(format, target.len() / format.bytes);
    read_words(&mut payload, &ground, &mut blocks, scratch)?;
    let mut subs = expect::sub_scales(&ground, &blocks);
    blocks.sub_scales = read(&mut payload, &mut subs, scratch)?;
    let mut minima = expect::sub_minima(&ground, &blocks, &subs);
    blocks.sub_minima = read(&mut payload, &mut minima, scratch)?;
    let model = read_model(&mut payload)?;
    let mut expected = expect::indices(&ground, &blocks, model);
    let indices = read(&mut payload, &mut expected, scratch)?;
    blocks.indices.iter_mut().zip(indices).for_each(|(index, number)| *index = number as u8);
    payload.finish()?;
    blocks.write(target);
    Ok(())
}

fn read_words(
    payload: &mut ByteReader<'_>,
    ground: &Ground<'_>,
    blocks: &mut Blocks,
    scratch: &mut Scratch,
) -> Result<()> {
    let (scales, minima) = ground.words();
    let mut shifts = [0; 2];
    let mut expected = Expected::default();
    let lists = [(blocks.scales.len(), scales, false), (blocks.minima.len(), minima, true)];
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
    let count = blocks.scales.len();
    for (field, &number) in blocks.scales.iter_mut().zip(&numbers) {
        *field = word(number, shifts[0]);
    }
    for (field, &number) in blocks.minima.iter_mut().zip(numbers.get(count..).unwrap_or_default()) {
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
