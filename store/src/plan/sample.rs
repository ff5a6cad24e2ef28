//! The parts of a model that stand for it in a survey.

use std::collections::{HashMap, HashSet};

use bitx::distance::Sketch;
use bitx::layout::Dtype;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ingest::{Seen, Signature};
use crate::manifest::{read_dtype, write_dtype};

/// The maximum number of parts that stand for a model.
pub(super) const MOST: usize = 32;
/// The number of bytes of their sketches at which no further part is taken.
const ENOUGH: usize = 16 << 10;

/// A part of a model: the number of its file, its signature and its sketch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub(super) struct Sample {
    pub(super) file: usize,
    pub(super) seen: Seen,
}

/// A sample as JSON, with the bytes of the sketch in hex digits.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    file: usize,
    #[serde(serialize_with = "write_dtype", deserialize_with = "read_dtype")]
    dtype: Dtype,
    length: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<Signature>,
    sketch: String,
}

impl From<Sample> for Wire {
    fn from(Sample { file, seen: Seen { signature, sketch } }: Sample) -> Self {
        let hex = sketch.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { file, dtype: sketch.dtype(), length: sketch.length(), signature, sketch: hex }
    }
}

impl TryFrom<Wire> for Sample {
    type Error = String;

    fn try_from(Wire { file, dtype, length, signature, sketch }: Wire) -> Result<Self, String> {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let byte = |pair: &[u8]| Some((digit(pair[0])? << 4 | digit(*pair.get(1)?)?) as u8);
        let bytes: Option<Vec<u8>> = sketch.as_bytes().chunks(2).map(byte).collect();
        let bytes = bytes.ok_or("a sketch is not in hex digits")?;
        let sketch = Sketch::from_bytes(dtype, length, bytes).map_err(|error| error.to_string())?;
        Ok(Self { file, seen: Seen { signature, sketch } })
    }
}

/// Chooses the parts that stand for a model, each given by its file, number, dtype and length. Long
/// parts are likely to be chosen. The choice depends on dtypes, lengths and their order alone, so
/// that the parts of a fine-tune are those of its base.
pub(super) fn choose(parts: impl Iterator<Item = (usize, usize, Dtype, u64)>) -> HashSet<(usize, usize)> {
    let mut counts: HashMap<(Dtype, u64), u64> = HashMap::new();
    let place = |(file, part, dtype, length): (usize, usize, Dtype, u64)| {
        let count = counts.entry((dtype, length)).or_default();
        *count += 1;
        (weighted(dtype, length, *count), file, part, Sketch::size(dtype, length))
    };
    let mut places: Vec<(f64, usize, usize, usize)> = parts.map(place).collect();
    places.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut chosen, mut bytes) = (HashSet::new(), 0);
    for (_, file, part, size) in places.into_iter().take(MOST) {
        if bytes < ENOUGH {
            chosen.insert((file, part));
            bytes += size;
        }
    }
    chosen
}

/// A number that looks random, and is the smaller the longer the part is: drawing the smallest ones
/// draws parts with a probability in proportion to their lengths.
fn weighted(dtype: Dtype, length: u64, count: u64) -> f64 {
    let digest = Digest::of(format!("{} {length} {count}", dtype.name()).as_bytes());
    let bits = digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)) >> 11;
    let unit = (bits as f64 + 0.5) / (1u64 << 53) as f64;
    -unit.ln() / length.max(1) as f64
}
