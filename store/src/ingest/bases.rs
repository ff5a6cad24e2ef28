//! The choice of bases for each part of a new file, from the stored files that resemble it.

use std::collections::HashMap;
use std::sync::Arc;

use bitx::layout::Dtype;
use futures::{StreamExt, TryStreamExt, stream};

use super::file::Surveyed;
use super::local::LocalFile;
use super::parts::{Part, elements, is_blocks};
use super::relatives::{self, Chosen, Relatives};
use super::sketches::{Found, LEAST, Sheet, closest};
use super::{Ingest, values};
use crate::error::Result;
use crate::manifest::Item;

/// Chooses bases for each part that is likely to be small as a delta. Large parts are compared by
/// their sketches. Other parts take their counterpart in the file that most bytes of the large
/// parts have chosen, or else in the file with the most counterparts.
pub(super) fn choose(sheets: &[Arc<Sheet>], items: &[Item], surveyed: &[Surveyed]) -> Vec<Vec<Chosen>> {
    let all = || sheets.iter().map(|sheet| &**sheet);
    let found: Vec<Option<Found>> = surveyed.iter().map(|part| closest(all(), part.sketch.as_ref()?)).collect();
    let mut votes: HashMap<usize, u64> = HashMap::new();
    for (part, found) in surveyed.iter().zip(&found) {
        if let Some(found) = found {
            *votes.entry(found.sheet).or_default() += part.length();
        }
    }
    let sheet = votes.into_iter().max_by_key(|&(sheet, bytes)| (bytes, sheet)).map(|(sheet, _)| &sheets[sheet]);
    let near = sheet.map(|sheet| sheet.relatives());
    let kin = if near.is_none() { kindred(sheets, items, surveyed) } else { None };
    let (orders, any) = (relatives::orders(items), near.as_ref().or(kin.as_ref()));
    let base = |(surveyed, found): (&Surveyed, Option<Found>)| {
        let part = &surveyed.part;
        let item = &items[part.item];
        let counterpart = || any?.counterpart(item, orders[part.item], part);
        match (found, &surveyed.sketch) {
            (Some(found), _) => Some(Chosen { base: found.base, form: None }),
            (None, Some(_)) => any?.kin(item, part),
            (None, None) => counterpart().or_else(|| any?.kin(item, part)),
        }
    };
    surveyed.iter().zip(found).map(|part| base(part).into_iter().collect()).collect()
}

impl Ingest<'_> {
    /// Adds bases of other dtypes that stand for the same weights, and for bytes that are no tensor
    /// others with the same contents. A quantised part keeps its base of the same dtype as well,
    /// since either may be the better one.
    pub(super) async fn look_at_values(
        &self,
        file: &Arc<LocalFile>,
        items: &[Item],
        surveyed: &[Surveyed],
        near: &[Arc<Sheet>],
        bases: &mut [Vec<Chosen>],
    ) -> Result<()> {
        let look = |(surveyed, bases): (&Surveyed, &Vec<Chosen>)| {
            let (part, length) = (surveyed.part.clone(), surveyed.length());
            let is_tensor = items[part.item].name.is_some();
            let same = bases.iter().any(|chosen| chosen.form.is_none());
            let is_open = !same || is_tensor && is_quantised(part.dtype);
            async move {
                match is_tensor {
                    true if is_open => self.closest_values(file, part, near).await,
                    false if is_open && length >= LEAST => {
                        Ok(near.iter().find_map(|sheet| sheet.bytes_like(part.number, length)))
                    }
                    _ => Ok(None),
                }
            }
        };
        let looked: Vec<_> = surveyed.iter().zip(&*bases).map(look).collect();
        let found: Vec<Option<Chosen>> = stream::iter(looked).buffered(self.store.width()).try_collect().await?;
        for (bases, found) in bases.iter_mut().zip(found) {
            let known = |found: &Chosen| bases.iter().any(|one| one.base == found.base && one.form == found.form);
            // A guess by names stays as well, since few samples may deceive.
            if let Some(found) = found.filter(|found| !known(found)) {
                bases.push(found);
            }
        }
        Ok(())
    }

    /// The stored piece that stands for the same weights as a part.
    async fn closest_values(&self, file: &Arc<LocalFile>, part: Part, near: &[Arc<Sheet>]) -> Result<Option<Chosen>> {
        let count = elements(part.dtype, part.range.end - part.range.start);
        if near.iter().all(|sheet| sheet.samples(count).is_empty()) {
            return Ok(None);
        }
        let (file, near) = (file.clone(), near.to_vec());
        let found = self.store.compute(move || {
            let bytes = file.read(part.range.clone())?;
            let found = values::closest(&part, &bytes, near.iter().map(|sheet| &**sheet));
            file.give_back(bytes);
            Ok(found)
        });
        found.await
    }
}

/// Returns `true` for the dtypes of weights that may have been quantised from stored floats.
fn is_quantised(dtype: Dtype) -> bool {
    is_blocks(dtype) || matches!(dtype, Dtype::I8 | Dtype::U8)
}

/// The items of the file that has kin or counterparts of the most bytes of these parts.
fn kindred<'a>(sheets: &'a [Arc<Sheet>], items: &[Item], surveyed: &[Surveyed]) -> Option<Relatives<'a>> {
    let orders = relatives::orders(items);
    let related = |relatives: &Relatives<'_>| -> u64 {
        let is_related = |surveyed: &&Surveyed| {
            let (part, item) = (&surveyed.part, &items[surveyed.part.item]);
            let is_counterpart = || relatives.counterpart(item, orders[part.item], part).is_some();
            relatives.kin(item, part).is_some() || surveyed.sketch.is_none() && is_counterpart()
        };
        surveyed.iter().filter(is_related).map(Surveyed::length).sum()
    };
    let found = sheets.iter().map(|sheet| {
        let relatives = sheet.relatives();
        (related(&relatives), relatives)
    });
    found.filter(|(bytes, _)| *bytes > 0).max_by_key(|(bytes, _)| *bytes).map(|(_, relatives)| relatives)
}
