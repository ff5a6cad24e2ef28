//! Payloads of a region of one chunk, in both decoders.

use crate::archive::{FACTORS, PREDICTED, Parts, put_varint, record};
use crate::input::Type;
use crate::reference::base::Region;
use crate::reference::chunk::{self, Coding, Geometry};
use crate::reference::predicted::Factors;
use crate::reference::{Result, check};
use crate::restore;

pub fn columns(kind: &Type) -> usize {
    let Type { dtype, shape } = kind;
    Geometry::new(&Region { name: "w".into(), dtype: *dtype, shape: shape.to_vec(), offset: 0, length: kind.length() })
        .columns
}

/// The reference decoder's result for a payload, and of the factors of its region where it is
/// predicted: the bytes that their checksum covers, and the chunk's.
pub fn expected(kind: &Type, method: u8, base: &[u8], factors: &[u8], payload: &[u8]) -> (Vec<u8>, Result<Vec<u8>>) {
    let (columns, words) = (columns(kind), base.len() / Coding::of(kind.dtype).bytes());
    let read = if method == PREDICTED { Factors::read(factors, columns, words).map(Some) } else { Ok(None) };
    let covered = read.as_ref().map_or(Vec::new(), |read| read.as_ref().map_or(Vec::new(), Factors::bytes));
    let chunk = read.and_then(|read| {
        chunk::decode(method, kind.dtype, columns, payload, (Some(base), false), read.as_ref(), base.len())
    });
    (covered, chunk)
}

/// Decodes them with the core and with the reference decoder, which must agree.
pub fn compare(kind: &Type, method: u8, base: &[u8], factors: &[u8], payload: &[u8]) {
    let (covered, chunk) = expected(kind, method, base, factors, payload);
    let fits = check(factors.len().max(payload.len()) <= base.len(), "a payload longer than its chunk");
    let expected = fits.and(chunk);
    let target = expected.as_deref().unwrap_or(&[]);
    let mut head = vec![0, 1, 0, kind.layout(), 1, 2, 1, b'w', kind.dtype, 2];
    kind.shape.iter().for_each(|&extent| put_varint(&mut head, extent));
    head.extend([0, 0]);
    let mut records = Vec::new();
    if method == PREDICTED {
        records = record(FACTORS, factors, None, &covered);
    }
    records.extend(record(method, payload, Some(base), target));
    match (expected, restore(&kind.file(base), &Parts { head, records }.archive(1))) {
        (Ok(target), Some(restored)) => assert!(restored.unwrap() == target, "the decoders differ"),
        (Err(refusal), Some(restored)) => {
            let error = restored.expect_err(&refusal).to_string();
            assert!(!error.contains("checksum of the restored bytes"), "only one decoder refuses: {refusal}");
        }
        (_, None) => {}
    }
}
