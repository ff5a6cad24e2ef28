//! The search for stored files that resemble a new one: by signatures, so that it costs requests
//! for what the new file has and not for what the store has.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};

use super::file::Surveyed;
use super::parts::{elements, is_blocks};
use super::relatives::Relatives;
use super::signature::Signature;
use super::sketches::{Sheet, closest};
use crate::backend::REQUESTS;
use crate::digest::Digest;
use crate::error::Result;
use crate::keys::{self, COMPLETE, Kind, ObjectId, SIGNATURES};
use crate::manifest::Item;
use crate::run::Run;
use crate::store::Store;

/// The maximum number of signatures of a file, of its large tensors.
pub(super) const MOST: usize = 256;
/// The maximum number of signatures of a file that has only small tensors.
pub(super) const MOST_SMALL: usize = 16;
/// The numbers of signatures that are looked up at first, and next. The others follow.
const ROUNDS: [usize; 2] = [8, 64];
/// The number of folders that are looked up with weak bits turned, if nothing was found: those of
/// 16 signatures, or of fewer with more bits turned.
const TURNED: usize = 48;
/// The number of matrices that are looked up as if they were transposed, if nothing was found.
const COLUMNS: usize = 16;
/// The number of bits that are turned at first, and the most.
const WEAK: std::ops::RangeInclusive<usize> = 2..=4;
/// The maximum number of differing bits of the signatures of related tensors.
pub(crate) const NEAR: u32 = 12;
/// The maximum number of objects in a folder of signatures that are looked at: a page of a listing.
const PAGE: usize = 1000;
/// The number of files that one signature may suggest.
const CLOSEST: usize = 4;
/// The maximum number of files that a new file is compared with.
const MOST_SHEETS: usize = 16;
/// The number of sheets that are kept for the next files of the same model.
const KEPT: usize = 2 * MOST_SHEETS;

/// The search for the files that resemble those of one model.
#[derive(Debug)]
pub(super) struct Search<'a> {
    store: &'a Store,
    run: &'a Run,
    /// The sheets that every file is compared with: those of all files of a store that has no
    /// signatures for some of them, and those that a plan suggests.
    always: Vec<Arc<Sheet>>,
    /// The sheets that were read last.
    kept: Mutex<VecDeque<Arc<Sheet>>>,
}

impl<'a> Search<'a> {
    /// Begins a search. In a store that was made before there were signatures and was not indexed
    /// since, it reads the sketches of all files that have none.
    pub(super) async fn begin(store: &'a Store, run: &'a Run) -> Result<Self> {
        let mut unsigned = Vec::new();
        if store.backend().length(COMPLETE).await?.is_none() {
            let ids = unsigned_files(store).await?;
            let sheets = stream::iter(ids).map(|id| Sheet::load(store, id)).buffered(REQUESTS);
            unsigned = sheets.try_filter_map(|sheet| async { Ok(sheet.map(Arc::new)) }).try_collect().await?;
            if unsigned.is_empty() {
                store.backend().create(COMPLETE, "").await?;
            }
        }
        Ok(Self { store, run, always: unsigned, kept: Mutex::default() })
    }

    /// Adds the stored files with these digests to those that every file is compared with.
    pub(super) async fn suggest(mut self, files: &[Digest]) -> Result<Self> {
        for digest in files.iter().take(MOST_SHEETS) {
            let Some(id) = self.store.find(self.run, Kind::Files, digest).await? else { continue };
            if self.always.iter().all(|sheet| sheet.id != id) {
                self.always.extend(Sheet::load(self.store, id).await?.map(Arc::new));
            }
        }
        Ok(self)
    }

    /// The sheets of the stored files that resemble a file with these items and parts.
    pub(super) async fn near(&self, items: &[Item], surveyed: &[Surveyed]) -> Result<Vec<Arc<Sheet>>> {
        let mut found = self.always.clone();
        let heads = heads(surveyed);
        let (mut tried, mut begin) = (found.iter().map(|sheet| sheet.id).collect(), 0);
        for end in ROUNDS.into_iter().chain([heads.len()]) {
            let round = heads.get(begin..end.min(heads.len())).unwrap_or_default();
            let open = unresolved(round, items, &found).map(|head| head.signature.bits());
            let bits = open.map(|bits| (bits, bits)).collect();
            self.look_up(bits, &mut tried, &mut found).await?;
            begin = end;
        }
        if found.len() == self.always.len() {
            self.look_up(turned(&heads), &mut tried, &mut found).await?;
        }
        Ok(found)
    }

    /// Adds the sheets of the files that have a signature near one of these to `found`. Each comes
    /// with the bits whose folder is looked at.
    async fn look_up(
        &self,
        signatures: Vec<(u64, u64)>,
        tried: &mut HashSet<ObjectId>,
        found: &mut Vec<Arc<Sheet>>,
    ) -> Result<()> {
        let candidates = stream::iter(signatures).map(|(folder, bits)| self.candidates(folder, bits));
        let candidates: Vec<Vec<ObjectId>> = candidates.buffered(REQUESTS).try_collect().await?;
        let mut votes: BTreeMap<ObjectId, usize> = BTreeMap::new();
        candidates.into_iter().flatten().for_each(|id| *votes.entry(id).or_default() += 1);
        let mut votes: Vec<(usize, ObjectId)> = votes.into_iter().map(|(id, votes)| (votes, id)).collect();
        votes.sort_by_key(|(votes, _)| std::cmp::Reverse(*votes));
        let free = (self.always.len() + MOST_SHEETS).saturating_sub(found.len());
        let new: Vec<ObjectId> =
            votes.into_iter().map(|(_, id)| id).filter(|id| tried.insert(*id)).take(free).collect();
        let sheets = stream::iter(new).map(|id| self.sheet(id)).buffered(REQUESTS);
        let sheets: Vec<Option<Arc<Sheet>>> = sheets.try_collect().await?;
        found.extend(sheets.into_iter().flatten());
        Ok(())
    }

    /// The files with the signatures that are nearest to `bits`, in the folder of `folder`.
    async fn candidates(&self, folder: u64, bits: u64) -> Result<Vec<ObjectId>> {
        let listed = self.store.backend().list_some(&keys::signature_place(folder), PAGE).await?;
        let signed = listed.into_iter().filter_map(|object| keys::signed(&object.key));
        let near = signed.map(|(other, id)| ((bits ^ other).count_ones(), id));
        let usable = |id: &ObjectId| !self.run.is_condemned(&Kind::Files.key(id));
        let mut near: Vec<(u32, ObjectId)> = near.filter(|(distance, id)| *distance <= NEAR && usable(id)).collect();
        near.sort_unstable();
        near.truncate(CLOSEST);
        Ok(near.into_iter().map(|(_, id)| id).collect())
    }

    /// The sheet of a file, unless it is damaged or gone.
    async fn sheet(&self, id: ObjectId) -> Result<Option<Arc<Sheet>>> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sheet) = kept().iter().find(|sheet| sheet.id == id) {
            return Ok(Some(sheet.clone()));
        }
        let Some(sheet) = Sheet::load(self.store, id).await?.map(Arc::new) else { return Ok(None) };
        let mut kept = kept();
        kept.push_back(sheet.clone());
        if kept.len() > KEPT {
            kept.pop_front();
        }
        Ok(Some(sheet))
    }
}

/// The files with sketches and without signatures.
async fn unsigned_files(store: &Store) -> Result<Vec<ObjectId>> {
    let mut signed = HashSet::new();
    let mut listed = store.backend().listed(SIGNATURES);
    while let Some(object) = listed.try_next().await? {
        signed.extend(keys::hinted(&object.key));
    }
    let listed = store.backend().list(Kind::Sketches.folder()).await?;
    let files = listed.into_iter().filter_map(|object| Kind::Sketches.parse(&object.key));
    Ok(files.filter(|file| !signed.contains(file)).collect())
}

/// Writes signatures of a file, which are hints like its sketches.
pub(super) async fn sign(store: &Store, file: &ObjectId, signatures: impl Iterator<Item = Signature>) -> Result<usize> {
    let keys: HashSet<String> = signatures.map(|signature| keys::signature(signature.bits(), file)).collect();
    let created = stream::iter(keys).map(|key| async move { store.backend().create(&key, "").await });
    let created: Vec<bool> = created.buffer_unordered(REQUESTS).try_collect().await?;
    Ok(created.into_iter().filter(|created| *created).count())
}

/// A signature that stands for its file, and the part that it is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'s> {
    pub(super) part: &'s Surveyed,
    pub(super) signature: Signature,
}

/// The signatures that stand for a file, in an order that depends on the signatures alone: those of
/// its large parts, or also those of its short tensors if no tensor is large.
pub(super) fn heads(surveyed: &[Surveyed]) -> Vec<Head<'_>> {
    let is_large = |part: &&Surveyed| part.sketch.is_some() || part.weights.is_some();
    let signed = || surveyed.iter().filter(|part| !part.signatures.is_empty());
    // The header of many short tensors is large.
    let has_large = signed().any(|part| is_large(&part) && part.is_tensor) || signed().all(|part| is_large(&part));
    let most = if has_large { MOST } else { MOST_SMALL };
    let signed = signed().filter(|part| !has_large || is_large(part));
    let heads = signed.flat_map(|part| part.signatures.iter().map(move |&signature| Head { part, signature }));
    let mut heads: Vec<Head<'_>> = heads.collect();
    heads.sort_by_key(|head| head.signature.order());
    heads.truncate(most);
    heads
}

/// The folders that differ from those of the signatures in their weak bits, each with the bits of
/// its signature, and those of transposed matrices. Quantising turns more bits than tuning does.
fn turned(heads: &[Head<'_>]) -> Vec<(u64, u64)> {
    let quantised = heads.iter().any(|head| is_blocks(head.part.part.dtype) || head.part.weights.is_some());
    let fits = |weak: &usize| heads.len() << weak <= TURNED + heads.len();
    let weak = WEAK.rev().find(|weak| quantised && fits(weak)).unwrap_or(*WEAK.start());
    let of = |head: &Head<'_>| {
        let bits = head.signature.bits();
        head.signature.turned(weak).map(move |turned| (turned, bits)).collect::<Vec<_>>()
    };
    let turned = heads.iter().flat_map(of).take(TURNED);
    let columns = heads.iter().filter_map(|head| head.part.column.map(|column| column.bits())).take(COLUMNS);
    turned.chain(columns.map(|bits| (bits, bits))).collect()
}

/// The signatures of parts that have no likely base yet in one of the files that were found.
fn unresolved<'h>(heads: &'h [Head<'h>], items: &[Item], found: &[Arc<Sheet>]) -> impl Iterator<Item = &'h Head<'h>> {
    let relatives: Vec<Relatives<'_>> = found.iter().map(|sheet| sheet.relatives()).collect();
    let is_open = |head: &&Head<'_>| {
        let part = &head.part.part;
        // Floats for as many weights are looked at closer once all files are found, and so are
        // sets.
        let weights = is_blocks(part.dtype).then(|| elements(part.dtype, head.part.length())).or(head.part.weights);
        let has_floats = |sheet: &Sheet, count| !sheet.samples(count).is_empty() || !sheet.matrices(count).is_empty();
        let has_weights = |sheet: &Arc<Sheet>| weights.is_some_and(|count| has_floats(sheet, count));
        let has_set = |sheet: &Arc<Sheet>| head.part.weights.is_some() && sheet.has_excerpt_like(&items[part.item]);
        if found.iter().any(|sheet| has_weights(sheet) || has_set(sheet)) {
            return false;
        }
        match &head.part.sketch {
            None => found.is_empty(),
            Some(sketch) => {
                let kin = || relatives.iter().any(|file| file.kin(&items[part.item], part).is_some());
                closest(found.iter().map(|sheet| &**sheet), sketch).is_none() && !kin()
            }
        }
    };
    let open: Vec<&Head<'_>> = heads.iter().filter(is_open).collect();
    open.into_iter()
}
