//! Merges an adapter into a model: a computation that restores nothing. What it writes equals what
//! PEFT writes as far as the libraries below PEFT add in the same order.

use std::ops::Range;
use std::sync::Arc;

use super::{Adapter, Config};
use crate::cast::can_cast;
use crate::chunk::geometry;
use crate::error::{Error, Result};
use crate::io::{Incremental, Inputs, Read, Source, coalesce};
use crate::job::{Job, Opening, Plan};
use crate::layout::reader::KindReader;
use crate::layout::{Dtype, Kind, Layout, Region};
use crate::merge::{Arithmetic, is_factor};
use crate::parallel::{self, Runner};
use crate::report::{Method, Report, TensorReport};
use crate::view::{BaseView, Factors, Located};
use crate::window;

/// Bytes that are copied as one piece.
const COPIED: u64 = 4 << 20;

/// The settings of a [`Job`] that merges a LoRA adapter of PEFT into a file of a base model.
///
/// The base files are the job's sources [`Source::Base`] from 0 on, and the adapter's safetensors
/// file is the one behind the last. All are safetensors files. The output has the layout of the
/// base file: every byte is that of the base, except for the tensors that the adapter changes. The
/// report lists those: merged ones as [`Method::Predicted`], and those of which the adapter has the
/// whole weights as [`Method::CopyBase`].
///
/// Each word is `W + scale * (B A)`: the product in single precision, added term by term as fused
/// operations do, then scaled, added to the base's word, and rounded to its dtype. The change of an
/// embedding is rounded to the dtype before.
#[derive(Debug)]
pub struct Merge {
    base_lengths: Vec<u64>,
    file: usize,
    adapter_length: u64,
    config: Config,
}

impl Merge {
    /// Prepares to merge an adapter into the base file `file`. All lengths are in bytes; `config`
    /// is the adapter's `adapter_config.json`.
    ///
    /// # Errors
    /// `InvalidArgument` for a file that does not exist. `Format`, `Corrupt` or `Unsupported` for a
    /// configuration that is none, contradicts itself, or is of another kind of adapter.
    pub fn new(base_lengths: &[u64], file: usize, adapter_length: u64, config: &[u8]) -> Result<Self> {
        if file >= base_lengths.len() {
            return Err(Error::invalid_argument("there is no such base file"));
        }
        Ok(Self { base_lengths: base_lengths.to_vec(), file, adapter_length, config: Config::parse(config)? })
    }

    /// Checks that an adapter's file with this layout can be merged.
    ///
    /// # Errors
    /// `Format`, `Corrupt`, `Unsupported` or `Limit` if it cannot.
    pub fn check(config: &[u8], layout: &Layout) -> Result<()> {
        Adapter::new(&Config::parse(config)?, layout).map(|_| ())
    }

    /// Returns true for the layout of an adapter's file of factors.
    pub fn is_adapter(layout: &Layout) -> bool {
        let factor = |name: &str| name.contains(".lora_A.") || name.ends_with(".lora_embedding_A");
        layout.kind == Kind::Safetensors && layout.regions.iter().any(|region| factor(&region.name))
    }

    /// Creates the job. It fails with `BaseMismatch` if the base does not have exactly one tensor
    /// for each that the adapter changes, of a fitting shape, and while it runs with `Corrupt` if
    /// a product is no finite number.
    pub fn job(self) -> Job {
        let lengths = self.base_lengths.iter().chain([&self.adapter_length]);
        let readers = lengths.map(|&length| KindReader::new(length, Kind::Safetensors)).collect();
        Job::opening(OpenMerge { readers, file: self.file, config: self.config })
    }
}

/// A merging job that reads the layouts of base and adapter.
#[derive(Debug)]
struct OpenMerge {
    readers: Vec<KindReader>,
    file: usize,
    config: Config,
}

impl Opening for OpenMerge {
    fn wants(&self) -> Option<Read> {
        let mut readers = self.readers.iter().enumerate();
        readers.find_map(|(file, reader)| Some(Read::new(Source::Base(file), reader.wants()?)))
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match self.readers.iter_mut().enumerate().find(|(_, reader)| reader.wants().is_some()) {
            Some((file, reader)) => reader.feed(bytes).map_err(|e| e.input(Source::Base(file))),
            None => Ok(()),
        }
    }

    fn plan(self: Box<Self>) -> Result<Box<dyn Plan>> {
        let mut layouts: Vec<Layout> = self.readers.into_iter().map(|reader| reader.finish().0).collect();
        let number = layouts.len() - 1;
        let layout = layouts.pop().unwrap_or_default();
        let adapter = Adapter::new(&self.config, &layout).map_err(|e| e.input(Source::Base(number)))?;
        let changes = changes(&adapter, &layouts, number)?;
        let views = views(&adapter, &layout, &layouts, &changes, (self.file, number))?;
        Ok(Box::new(Merging::new(&layouts[self.file], Source::Base(self.file), views)))
    }
}

/// The region, as file and number, for each tensor that the adapter changes.
fn changes(adapter: &Adapter, layouts: &[Layout], number: usize) -> Result<Vec<(usize, usize)>> {
    let mut found: Vec<Option<(usize, usize)>> = vec![None; adapter.count()];
    for (file, layout) in layouts.iter().enumerate() {
        for (i, region) in layout.regions.iter().enumerate() {
            let Some(tensor) = adapter.find(&region.name) else { continue };
            if found[tensor].replace((file, i)).is_some() {
                let message = "two tensors of the base fit the same one of the adapter";
                return Err(Error::base_mismatch(message).tensor(&region.name).input(Source::Base(file)));
            }
        }
    }
    let missing = |tensor: usize| {
        let message = "the base has no tensor that the adapter changes, or several whose names fit";
        Error::base_mismatch(message).tensor(&adapter.name(tensor)).input(Source::Base(number))
    };
    found.into_iter().enumerate().map(|(tensor, place)| place.ok_or_else(|| missing(tensor))).collect()
}

/// A region that is changed, and the words that it gets.
type Changed = (usize, BaseView, Method);

/// The views of the regions of file `own` that the adapter changes; all regions are checked.
fn views(
    adapter: &Adapter,
    layout: &Layout,
    layouts: &[Layout],
    changes: &[(usize, usize)],
    (own, number): (usize, usize),
) -> Result<Vec<Changed>> {
    let located = |source: usize, region: &Region| Located {
        source: Source::Base(source),
        offset: region.offset,
        dtype: region.dtype,
    };
    let mut views = Vec::new();
    for (tensor, &(file, i)) in changes.iter().enumerate() {
        let region = &layouts[file].regions[i];
        let run = |units| std::iter::once((units, Some((0, 0))));
        let units = region.length / region.dtype.words().0 as u64;
        let (view, method) = match adapter.pairs.get(tensor) {
            Some(pair) => {
                check_merged(region, [pair.shape.rows as u64, pair.shape.columns as u64])
                    .map_err(|e| e.input(Source::Base(file)))?;
                let change = if pair.embedding { region.dtype } else { Dtype::F32 };
                let arithmetic = Arithmetic { scale: pair.scale.to_bits(), product: Dtype::F32, change };
                let [a, b] = [pair.a, pair.b].map(|factor| located(number, &layout.regions[factor]));
                let factors = Factors { a, b, shape: pair.shape, arithmetic };
                let view = BaseView::new(region.dtype, vec![located(file, region)], run(units));
                (view.merged(factors), Method::Predicted)
            }
            None => {
                let other = &layout.regions[adapter.replaced[tensor - adapter.pairs.len()].1];
                check_replaced(region, other).map_err(|e| e.input(Source::Base(file)))?;
                (BaseView::new(region.dtype, vec![located(number, other)], run(units)), Method::CopyBase)
            }
        };
        if file == own {
            views.push((i, view, method));
        }
    }
    views.sort_by_cached_key(|(region, ..)| (*region as u64, 0u64));
    Ok(views)
}

fn check_merged(region: &Region, shape: [u64; 2]) -> Result<()> {
    if !is_factor(region.dtype) {
        let error = Error::unsupported("only weights of F32, F16 and BF16 are merged").tensor(&region.name);
        return Err(error.figures("F32, F16 or BF16", region.dtype.name()));
    }
    if region.shape != shape {
        let error = Error::base_mismatch("the base's tensor has another shape than the adapter changes");
        return Err(error.tensor(&region.name).figures(format_args!("{shape:?}"), format_args!("{:?}", region.shape)));
    }
    Ok(())
}

fn check_replaced(region: &Region, other: &Region) -> Result<()> {
    let casts = region.dtype == other.dtype || can_cast(other.dtype, region.dtype);
    if casts && region.shape == other.shape && !region.dtype.is_scaled() {
        return Ok(());
    }
    let error = Error::base_mismatch("the adapter's tensor has another shape or type than the base's");
    Err(error.tensor(&region.name).figures(region.type_name(), other.type_name()))
}

/// Consecutive bytes of the output.
#[derive(Debug)]
enum Piece {
    /// Bytes of the base file.
    Copied(Range<u64>),
    /// A range of bytes of a region that is changed.
    Changed(Arc<BaseView>, Range<u64>),
}

/// The plan of a merging job.
#[derive(Debug)]
struct Merging {
    /// The base file.
    source: Source,
    pieces: Vec<Piece>,
    windows: Vec<Range<usize>>,
    length: u64,
    tensors: Vec<TensorReport>,
}

impl Merging {
    /// Plans the merged file; `source` is the base's.
    fn new(layout: &Layout, source: Source, views: Vec<Changed>) -> Self {
        let (mut pieces, mut tensors, mut at) = (Vec::new(), Vec::new(), 0);
        let copy = |range: Range<u64>, pieces: &mut Vec<Piece>| {
            let starts = range.clone().step_by(COPIED as usize);
            pieces.extend(starts.map(|start| Piece::Copied(start..(start + COPIED).min(range.end))));
        };
        for (i, view, method) in views {
            let region = &layout.regions[i];
            let (view, geometry) = (Arc::new(view), geometry::of(region));
            copy(at..region.offset, &mut pieces);
            let changed = |i| Piece::Changed(view.clone(), geometry.range(i));
            pieces.extend((0..geometry.count()).map(changed));
            tensors.push(TensorReport::new(region, method, 0));
            at = region.offset + region.length;
        }
        copy(at..layout.file_length, &mut pieces);
        let windows = window::group(window::SMALL, pieces.iter().map(Piece::length));
        Self { source, pieces, windows, length: layout.file_length, tensors }
    }
}

impl Piece {
    fn length(&self) -> u64 {
        let (Self::Copied(range) | Self::Changed(_, range)) = self;
        range.end - range.start
    }

    fn reads(&self, source: Source, reads: &mut Vec<Read>) {
        match self {
            Self::Copied(range) => reads.push(Read::new(source, range.clone())),
            Self::Changed(view, range) => view.reads(range.clone(), reads),
        }
    }

    fn bytes(&self, source: Source, inputs: &Inputs) -> Result<Vec<u8>> {
        match self {
            Self::Copied(range) => Ok(inputs.slice(source, range.clone())?.to_vec()),
            Self::Changed(view, range) => {
                let (words, finite) = view.take_all(range.clone(), inputs)?.unwrap_or_default();
                if finite {
                    return Ok(words.into_owned());
                }
                Err(Error::corrupt("the adapter has numbers whose product is not finite").input(view.source()))
            }
        }
    }
}

impl Plan for Merging {
    fn windows(&self) -> usize {
        self.windows.len()
    }

    fn output_length(&self) -> Option<u64> {
        Some(self.length)
    }

    fn progress(&self, count: usize) -> u64 {
        let end = count.checked_sub(1).map_or(0, |last| self.windows.get(last).map_or(self.pieces.len(), |w| w.end));
        self.pieces[..end].iter().map(Piece::length).sum()
    }

    fn reads(&self, window: usize) -> Vec<Read> {
        let mut reads = Vec::new();
        let pieces = &self.pieces[self.windows[window].clone()];
        pieces.iter().for_each(|piece| piece.reads(self.source, &mut reads));
        coalesce(reads)
    }

    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        output.clear();
        let pieces: Vec<&Piece> = self.pieces[self.windows[window].clone()].iter().collect();
        let done =
            parallel::map_by_cost(runner, pieces, |piece| piece.length(), |piece| piece.bytes(self.source, inputs));
        for bytes in done {
            output.extend_from_slice(&bytes?);
        }
        Ok(())
    }

    fn report(&self) -> Report {
        Report { restored_bytes: self.length, tensors: self.tensors.clone(), ..Report::default() }
    }
}
