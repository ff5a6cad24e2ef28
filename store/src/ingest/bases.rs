//! The choice of a base for each part of a new file, from the stored files that resemble it.

use std::collections::HashMap;
use std::sync::Arc;

use super::file::Surveyed;
use super::relatives::{self, Chosen, Relatives};
use super::sketches::{Found, Sheet, closest};
use crate::manifest::Item;

/// Chooses a base for each part that is likely to be small as a delta. Large parts are compared by
/// their sketches. Other parts take their counterpart in the file that most bytes of the large
/// parts have chosen, or else in the file with the most counterparts.
pub(super) fn choose(sheets: &[Arc<Sheet>], items: &[Item], surveyed: &[Surveyed]) -> Vec<Option<Chosen>> {
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
    surveyed.iter().zip(found).map(base).collect()
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
