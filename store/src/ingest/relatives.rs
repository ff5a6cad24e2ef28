//! The tensors of a stored file that may be bases of the tensors of a new file, judged by names,
//! dtypes and shapes.

use std::collections::HashMap;

use bitx::layout::Dtype;

use super::parts::{Part, elements, is_blocks, shape};
use crate::codec::Form;
use crate::keys::ObjectId;
use crate::manifest::{FileManifest, Item};

/// The minimum length in bytes of a piece that is coded against one of another dtype or shape.
const LEAST_KIN: u64 = 1 << 10;
/// The floats that can be cast into each other.
pub(super) const FLOATS: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::BF16];

/// A base that was chosen, and its form unless it has the dtype and the shape of the piece.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) base: ObjectId,
    pub(super) form: Option<Form>,
}

/// The items of a stored file, by what they have in common with those of another file.
#[derive(Debug)]
pub(super) struct Relatives<'a> {
    names: HashMap<&'a str, &'a Item>,
    types: HashMap<(Dtype, &'a [u64]), Vec<&'a Item>>,
}

impl<'a> Relatives<'a> {
    pub(super) fn of(manifest: &'a FileManifest) -> Self {
        let mut types: HashMap<_, Vec<&Item>> = HashMap::new();
        for item in &manifest.items {
            types.entry((item.dtype, &item.shape[..])).or_default().push(item);
        }
        let names = manifest.items.iter().filter_map(|item| Some((item.name.as_deref()?, item)));
        Self { names: names.collect(), types }
    }

    /// The piece `number` of the counterpart of an item: the item of its name, or else, since
    /// models are renamed as a whole, the one of its dtype and shape with as many others before it,
    /// which are `before`. `None` if it is stored as a delta, or has another dtype, shape or
    /// length.
    pub(super) fn counterpart(&self, item: &Item, before: usize, part: &Part) -> Option<Chosen> {
        let named = item.name.as_deref().and_then(|name| self.names.get(name));
        let other = match named {
            Some(named) if named.dtype == item.dtype && named.shape == item.shape => named,
            Some(_) => return None,
            None => self.types.get(&(item.dtype, &item.shape[..]))?.get(before)?,
        };
        let piece = other.pieces.get(part.number)?;
        let fits = piece.base.is_none() && piece.length == part.range.end - part.range.start;
        fits.then_some(Chosen { base: piece.id, form: None })
    }

    /// The piece that is kin to a part of `item`: one of a tensor with the same name and either the
    /// same shape and other floats, or the same dtype and another number of rows. Of quantised
    /// weights, it has floats.
    pub(super) fn kin(&self, item: &Item, part: &Part) -> Option<Chosen> {
        let other = self.names.get(item.name.as_deref()?)?;
        let weights = FLOATS.contains(&item.dtype) || is_blocks(item.dtype);
        let cast = item.shape == other.shape && weights && FLOATS.contains(&other.dtype);
        let resized = item.dtype == other.dtype && item.shape.len() == other.shape.len() && item.shape.len() > 1;
        let resized = resized && item.shape[1..] == other.shape[1..];
        if !(cast || resized) || part.range.end - part.range.start < LEAST_KIN {
            return None;
        }
        // Pieces of another dtype hold other numbers of elements.
        let first = elements(other.dtype, other.pieces.first()?.length).max(1);
        let number = part.number as u64 * elements(item.dtype, part.first) / first;
        let piece = other.pieces.get(usize::try_from(number).ok()?)?;
        let shape = shape(other, piece.length);
        let usable = piece.base.is_none() && (part.dtype, &part.shape) != (other.dtype, &shape);
        let form = Form::Tensor { dtype: other.dtype, shape, in_order: true };
        usable.then_some(Chosen { base: piece.id, form: Some(form) })
    }
}

/// For each item, the number of items of its dtype and shape before it.
pub(super) fn orders(items: &[Item]) -> Vec<usize> {
    let mut counts: HashMap<(Dtype, &[u64]), usize> = HashMap::new();
    let order = |item| {
        let item: &Item = item;
        let count = counts.entry((item.dtype, &item.shape[..])).or_default();
        *count += 1;
        *count - 1
    };
    items.iter().map(order).collect()
}
