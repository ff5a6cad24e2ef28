//! Regions of packed numbers whose places are known: the parts of their companions that a chunk
//! needs, in base and target.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::archive::v2::Packed;
use crate::chunk::Side;
use crate::error::Result;
use crate::io::Inputs;
use crate::layout::Dtype;
use crate::quant::groups::Groups;
use crate::quant::packed::{Companions, NESTED, Packing, Tiles, Zeros};
use crate::view::{BaseView, Relation};

/// A region of packed numbers. `P` tells where the target's companions are.
#[derive(Debug)]
pub(crate) struct PackedView<P> {
    packing: &'static Packing,
    tiles: Tiles,
    /// Numbers in the region.
    count: u64,
    scales: Companion<P>,
    zeros: Option<Companion<P>>,
    factor: Option<Companion<P>>,
    groups: Option<Companion<P>>,
    /// The offsets of nested scales, in target and base.
    offsets: [f32; 2],
}

/// A region with a number for each tile, or one for all of them.
#[derive(Debug)]
pub(crate) struct Companion<P> {
    pub(crate) dtype: Dtype,
    /// The base's words; without a view, they are zeros.
    pub(crate) view: Option<Arc<BaseView>>,
    pub(crate) place: P,
}

impl<P> PackedView<P> {
    /// Creates the view of a region of `length` bytes. `companion` gives that of an item.
    pub(crate) fn new(packed: &Packed, length: u64, companion: impl Fn(usize) -> Result<Companion<P>>) -> Result<Self> {
        let packing = packed.packing();
        Ok(Self {
            packing,
            tiles: packed.tiles,
            count: packing.count(length),
            scales: companion(packed.scales)?,
            zeros: packed.zeros.map(&companion).transpose()?,
            factor: packed.factor.map(&companion).transpose()?,
            groups: packed.groups.map(&companion).transpose()?,
            offsets: packed.offsets.map(f32::from_bits),
        })
    }

    /// The numbers in a range of bytes of the region.
    fn numbers(&self, range: &Range<u64>) -> Range<u64> {
        self.packing.count(range.start)..self.packing.count(range.end)
    }

    /// The tiles that a range of the region needs: with groups, any.
    fn tiles(&self, range: &Range<u64>) -> Range<u64> {
        if self.groups.is_some() {
            return 0..self.tiles.count(self.count);
        }
        self.tiles.of(&self.numbers(range), self.count, self.packing.run(&self.tiles))
    }

    /// The companions, each with the range of its bytes that a range of the region needs.
    pub(crate) fn needs(&self, range: &Range<u64>) -> impl Iterator<Item = (&Companion<P>, Range<u64>)> {
        let tiles = self.tiles(range);
        let scales = (&self.scales, words(&tiles, self.scales.dtype));
        let zeros = self.zeros.iter().map(move |zeros| match self.packing.zeros {
            Zeros::Biases => (zeros, words(&tiles, zeros.dtype)),
            Zeros::Nested => (zeros, words(&(tiles.start / NESTED..tiles.end.div_ceil(NESTED)), zeros.dtype)),
            Zeros::None | Zeros::Points => (zeros, self.packing.bytes(tiles.start)..self.packing.bytes(tiles.end)),
        });
        let factor = self.factor.iter().map(|factor| (factor, words(&(0..1), factor.dtype)));
        let numbers = self.numbers(range);
        let of_rows = move |groups: &'_ Companion<P>| words(&Groups::of(self.tiles, &numbers), groups.dtype);
        let groups = self.groups.iter().map(move |groups| (groups, of_rows(groups)));
        std::iter::once(scales).chain(zeros).chain(factor).chain(groups)
    }

    /// The tiles of a range of the region. `target` returns bytes of the target's companions, and
    /// `inputs` has the base's.
    pub(crate) fn side<'a>(
        &self,
        range: &Range<u64>,
        inputs: &'a Inputs,
        target: impl Fn(&Companion<P>, Range<u64>) -> Result<Cow<'a, [u8]>>,
    ) -> Result<Side> {
        let needs = || self.needs(range);
        let base = needs().map(|(companion, range)| companion.base(range, inputs)).collect::<Result<Vec<_>>>()?;
        let target = needs().map(|(companion, range)| target(companion, range)).collect::<Result<Vec<_>>>()?;
        let (first, origin) = (self.numbers(range).start, self.tiles(range).start);
        let groups = self.groups.as_ref().and(target.last());
        let groups = groups.map(|words| Groups::new(self.tiles, self.count, first, words));
        let [of_target, of_base] = self.offsets;
        let (base, target) = (self.companions(&base, of_base), self.companions(&target, of_target));
        Ok(Side::new((self.packing, self.tiles, groups), (first, origin), base, target))
    }

    /// Names the bytes of the companions, which are in the order of [`needs`](Self::needs).
    fn companions<'b>(&self, bytes: &'b [Cow<'_, [u8]>], offset: f32) -> Companions<'b> {
        let mut bytes = bytes.iter().map(|bytes| &**bytes);
        let mut next = || bytes.next().unwrap_or_default();
        Companions {
            scales: (self.scales.dtype, next()),
            zeros: self.zeros.as_ref().map(|zeros| (zeros.dtype, next())),
            factor: self.factor.as_ref().map(|factor| (factor.dtype, next())),
            offset,
        }
    }
}

/// The bytes of a range of words.
fn words(range: &Range<u64>, dtype: Dtype) -> Range<u64> {
    let width = dtype.words().0 as u64;
    range.start * width..range.end * width
}

impl<P> Companion<P> {
    fn base<'a>(&self, range: Range<u64>, inputs: &'a Inputs) -> Result<Cow<'a, [u8]>> {
        let length = (range.end - range.start) as usize;
        let view = self.view.as_ref().filter(|view| view.relation() == Relation::Words);
        let words = view.map_or(Ok(None), |view| view.take(range, inputs))?;
        Ok(words.unwrap_or_else(|| Cow::Owned(vec![0; length])))
    }
}
