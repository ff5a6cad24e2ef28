//! Sketches of stored pieces, by which the base of a new tensor is found, whatever its name.
//!
//! The sketches of a file are one object. It lists the pieces of the file that may serve as bases:
//! the number of the piece in the file as a little-endian `u32`, and its sketch, whose size follows
//! from dtype and length. The BLAKE3 digest of all of this is at the end.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use bitx::distance::{Sketch, predict};
use bitx::layout::Dtype;

use super::matrices::{self, Matrices, Matrix};
use super::parts::{elements, shape};
use super::relatives::{Chosen, Relatives};
use super::values::{self, Sample};
use crate::codec::Form;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::keys::{Kind, ObjectId};
use crate::manifest::{FileManifest, Item, PieceRef};
use crate::store::Store;

/// The samples of a file by the number of weights of the piece.
type Samples = HashMap<u64, Vec<Sample>>;

/// The minimum length in bytes of a piece with a sketch. Shorter pieces take the base that the rest
/// of the file suggests.
pub(crate) const LEAST: u64 = 64 << 10;

/// The ratio of the lengths of bytes that may have most of their contents in common.
const MOST_TIMES: u64 = 4;

/// The number of closest bases for which the size of a delta is predicted.
const CLOSEST: usize = 4;

/// The sketches of one file, with its manifest.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) id: ObjectId,
    manifest: FileManifest,
    /// The sketches by dtype and length, since only those with the same can be compared.
    sketches: HashMap<(Dtype, u64), Vec<(ObjectId, Sketch)>>,
    /// The pieces that are stored whole.
    whole: HashSet<ObjectId>,
    /// The weights that the sketches hold, once they are asked for.
    samples: OnceLock<Samples>,
    /// The floats that are several pieces, once they are asked for.
    matrices: OnceLock<Matrices>,
}

/// A base that was found: the number of its sheet, and its piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) sheet: usize,
    pub(super) base: ObjectId,
}

/// The piece against which the smallest delta is predicted, or `None` if no delta is predicted to
/// be useful.
pub(super) fn closest<'s>(sheets: impl Iterator<Item = &'s Sheet>, sketch: &Sketch) -> Option<Found> {
    let mut near = Vec::<(f64, Found, &Sketch)>::new();
    for (sheet, of_sheet) in sheets.enumerate() {
        for (base, other) in of_sheet.sketches.get(&(sketch.dtype(), sketch.length())).into_iter().flatten() {
            let Ok(distance) = sketch.distance(other) else { continue };
            near.push((distance.per_word(), Found { sheet, base: *base }, other));
        }
    }
    near.sort_by(|a, b| a.0.total_cmp(&b.0));
    let predicted = near.into_iter().take(CLOSEST).filter_map(|(_, found, other)| {
        let predicted = predict(other, sketch).ok().filter(|predicted| predicted.delta_pays())?;
        Some((predicted.delta_ratio, found))
    });
    predicted.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, found)| found)
}

impl Sheet {
    pub(super) fn manifest(&self) -> &FileManifest {
        &self.manifest
    }

    /// The items of the file.
    pub(super) fn relatives(&self) -> Relatives<'_> {
        Relatives::of(&self.manifest)
    }

    /// The lengths of the pieces of this dtype that have sketches.
    pub(super) fn lengths(&self, dtype: Dtype) -> impl Iterator<Item = u64> + '_ {
        self.sketches.keys().filter(move |(other, _)| *other == dtype).map(|(_, length)| *length)
    }

    /// The pieces of this dtype and length, with their sketches.
    pub(super) fn sketched(&self, dtype: Dtype, length: u64) -> &[(ObjectId, Sketch)] {
        self.sketches.get(&(dtype, length)).map_or(&[], Vec::as_slice)
    }

    /// The samples of the pieces with this number of weights that tensors of other dtypes may have
    /// as their bases.
    pub(super) fn samples(&self, count: u64) -> &[Sample] {
        let all = || {
            let mut samples = Samples::new();
            for ((dtype, length), sketches) in self.sketches.iter().filter(|((dtype, _), _)| values::may_give(*dtype)) {
                let found = sketches.iter().filter_map(|(piece, sketch)| Sample::of(*piece, sketch));
                samples.entry(elements(*dtype, *length)).or_default().extend(found);
            }
            samples
        };
        self.samples.get_or_init(all).get(&count).map_or(&[], Vec::as_slice)
    }

    /// The matrices of floats with this number of weights that are several pieces.
    pub(super) fn matrices(&self, count: u64) -> &[Matrix] {
        let all = || {
            let sketches = self.sketches.values().flatten().map(|(piece, sketch)| (*piece, sketch)).collect();
            matrices::of(&self.manifest, &sketches)
        };
        self.matrices.get_or_init(all).get(&count).map_or(&[], Vec::as_slice)
    }

    /// The bytes outside of tensors that a part of such bytes is most likely to have something in
    /// common with: those of the same number and of a similar length.
    pub(super) fn bytes_like(&self, number: usize, length: u64) -> Option<Chosen> {
        let items = self.manifest.items.iter().filter(|item| item.name.is_none());
        let pieces = items.flat_map(|item| item.pieces.iter().enumerate());
        let similar = |other: u64| (length / MOST_TIMES..=length.saturating_mul(MOST_TIMES)).contains(&other);
        let usable = pieces.filter(|(_, piece)| piece.base.is_none() && piece.length >= LEAST && similar(piece.length));
        let best = usable.min_by_key(|(other, piece)| (*other != number, piece.length.abs_diff(length)));
        best.map(|(_, piece)| Chosen { base: piece.id, form: Some(Form::Bytes) })
    }

    /// Returns `true` if a tensor of the dtype and shape of `item` is an excerpt of another file.
    pub(super) fn has_excerpt_like(&self, item: &Item) -> bool {
        let is_like =
            |other: &Item| other.dtype == item.dtype && other.shape == item.shape && !other.excerpts.is_empty();
        self.manifest.items.iter().any(is_like)
    }

    /// The dtype and the shape of a piece.
    pub(super) fn form(&self, id: &ObjectId, in_order: bool) -> Option<Form> {
        let items = self.manifest.items.iter();
        let mut pieces = items.flat_map(|item| item.pieces.iter().map(move |piece| (item, piece)));
        let (item, piece) = pieces.find(|(_, piece)| piece.id == *id)?;
        Some(Form::Tensor { dtype: item.dtype, shape: shape(item, piece.length), in_order })
    }

    /// Returns `true` if this piece can be found here: by its sketch if it has `length` for one and
    /// is no pack, or else by its place in the file.
    pub(super) fn has(&self, id: &ObjectId, length: u64) -> bool {
        let sketched = || self.sketches.values().flatten().any(|(piece, _)| piece == id);
        let is_pack = || self.manifest.packs.iter().any(|pack| pack.id == *id);
        self.whole.contains(id) && (length < LEAST || is_pack() || sketched())
    }

    /// Reads the sketches of a file, which are only a hint. Without them, the file has its manifest
    /// alone. `None` if the manifest is damaged or gone.
    pub(super) async fn load(store: &Store, id: ObjectId) -> Result<Option<Self>> {
        let key = Kind::Sketches.key(&id);
        let manifest = match store.file(&id).await {
            Err(error) if error.is_of_object() => {
                tracing::warn!(%error, "a file that is damaged or gone is left out");
                return Ok(None);
            }
            manifest => manifest?,
        };
        let bytes = store.backend().get(&key).await?;
        let sketches = bytes.map_or(Ok(Vec::new()), |bytes| check(&key, &manifest, &bytes));
        let sketches = sketches.inspect_err(|error| tracing::warn!(%error, "damaged sketches are left out"));
        Ok(Some(Self::new(id, manifest, sketches.unwrap_or_default())))
    }

    fn new(id: ObjectId, manifest: FileManifest, list: Vec<(PieceRef, Sketch)>) -> Self {
        let mut sketches: HashMap<_, Vec<_>> = HashMap::new();
        for (piece, sketch) in list {
            sketches.entry((sketch.dtype(), sketch.length())).or_default().push((piece.id, sketch));
        }
        let whole = manifest.pieces().filter(|piece| piece.base.is_none()).map(|piece| piece.id).collect();
        Self { id, manifest, sketches, whole, samples: OnceLock::new(), matrices: OnceLock::new() }
    }
}

/// Parses the sketches of a file.
///
/// # Errors
/// `Damaged`.
pub(crate) fn check(key: &str, manifest: &FileManifest, bytes: &[u8]) -> Result<Vec<(PieceRef, Sketch)>> {
    let sketches = intact(bytes).ok_or_else(|| Error::damaged(key, "the sketches do not match their digest"))?;
    parse(manifest, sketches).ok_or_else(|| Error::damaged(key, "the sketches do not fit the file"))
}

/// Returns `true` if the sketches match their digest.
pub(super) fn is_intact(bytes: &[u8]) -> bool {
    intact(bytes).is_some()
}

/// The sketches without their digest, or `None` if they do not match it.
fn intact(bytes: &[u8]) -> Option<&[u8]> {
    let (sketches, digest) = bytes.split_last_chunk::<32>()?;
    (Digest::of(sketches).as_bytes() == digest).then_some(sketches)
}

fn parse(manifest: &FileManifest, mut bytes: &[u8]) -> Option<Vec<(PieceRef, Sketch)>> {
    let pieces: Vec<_> = manifest.items.iter().flat_map(|item| item.pieces.iter().map(|p| (item.dtype, *p))).collect();
    let mut sketches = Vec::new();
    while let Some((number, rest)) = bytes.split_first_chunk() {
        let &(dtype, piece) = pieces.get(u32::from_le_bytes(*number) as usize)?;
        let (sketch, rest) = rest.split_at_checked(Sketch::size(dtype, piece.length))?;
        sketches.push((piece, Sketch::from_bytes(dtype, piece.length, sketch.to_vec()).ok()?));
        bytes = rest;
    }
    bytes.is_empty().then_some(sketches)
}

/// Serializes sketches, given with the numbers of their pieces in the file, and their digest.
/// Empty if there are none.
pub(super) fn write<'a>(sketches: impl IntoIterator<Item = (usize, &'a Sketch)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, sketch) in sketches {
        bytes.extend_from_slice(&(number as u32).to_le_bytes());
        bytes.extend_from_slice(sketch.bytes());
    }
    if !bytes.is_empty() {
        let digest = Digest::of(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
    }
    bytes
}
