//! PyTorch's pickles: the names, dtypes and shapes of the storages that they mention. Storages are
//! members of a zip archive, or follow the pickles in a [stream](stream).

mod mentions;
mod pickle;
pub(super) mod stream;

use std::collections::{HashMap, HashSet};

use super::Region;
use mentions::mentions;
use pickle::Pickle;

/// Maximum length in bytes of a pickle that is worth to be read. PyTorch's take some hundred bytes
/// per tensor.
pub(super) const MAX_PICKLE: u64 = 32 << 20;

/// The names of regions that are storages, by the regions' indices.
pub(super) type Names = HashMap<usize, String>;

/// Gives the storages that a pickle mentions their dtypes and shapes, and their names if they have
/// none yet. `places` has the index of each storage's region by the storage's key; `prefix`
/// precedes the names. Without `typed`, dtypes and shapes stay.
pub(super) fn describe(
    pickle: &[u8],
    prefix: &str,
    typed: bool,
    places: &HashMap<String, usize>,
    (regions, names): (&mut [Region], &mut Names),
) {
    let mut shaped = HashSet::new();
    mentions(&Pickle::read(pickle), prefix, |mention| {
        let Some(&place) = places.get(mention.key) else { return };
        if !mention.path.is_empty() {
            names.entry(place).or_insert_with(|| mention.path.to_owned());
        }
        let Some(dtype) = mention.dtype.filter(|_| typed && !shaped.contains(&place)) else { return };
        let region = &mut regions[place];
        let width = dtype.block().1;
        if let Some(shape) = mention.shape.filter(|shape| dtype.tensor_bytes(shape) == Some(region.length)) {
            (region.dtype, region.shape) = (dtype, shape);
            shaped.insert(place);
        } else if region.length.is_multiple_of(width) {
            (region.dtype, region.shape) = (dtype, vec![region.length / width]);
        }
    });
}

/// Returns the regions with unique names: that of the storage's tensor, or else what `name` makes
/// of the region's own name. A region without a free name is left out.
pub(super) fn rename(regions: Vec<Region>, mut names: Names, name: impl Fn(&str) -> String) -> Vec<Region> {
    let mut taken = HashSet::new();
    let mut renamed = Vec::with_capacity(regions.len());
    for (i, mut region) in regions.into_iter().enumerate() {
        let names = names.remove(&i).into_iter().chain([name(&region.name)]);
        if let Some(name) = names.into_iter().find(|name| !name.is_empty() && taken.insert(name.clone())) {
            region.name = name;
            renamed.push(region.of_bounded_rank());
        }
    }
    renamed
}
