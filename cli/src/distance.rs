//! `bitx distance A B [-b A]...`: compares two models tensor by tensor.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context;
use bitx::distance::{BitDistance, Predicted, Sketcher, predict};
use bitx::drive;
use bitx::io::ReadAt;
use bitx::layout::{Layout, Region};
use bitx::plan::{BaseSet, Place};
use serde_json::{Value, json};

use crate::args::{self, Global};
use crate::fault::Fault;
use crate::files::{Given, Input};
use crate::{folder, mistakes, run, stdout, words};

/// The number of bytes read from each file at a time, a multiple of every word's width.
const WINDOW: u64 = 1 << 20;

/// An open model: its files and their layouts.
struct Model {
    files: Vec<Input>,
    set: BaseSet,
}

impl Model {
    fn open(paths: &[&Path], global: &Global) -> anyhow::Result<Self> {
        let paths = folder::models(paths, global)?;
        let files = Input::all(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>(), Input::open)?;
        let layout = |file: &Input| {
            let given = Given { target: Some(file), ..Given::default() };
            let layout = drive::layout(&file.file).map_err(|error| given.explain(error))?;
            match layout.fault {
                Some(fault) => Err(given.explain(fault.into())),
                None => Ok(layout),
            }
        };
        let layouts: Vec<Layout> = files.iter().map(layout).collect::<anyhow::Result<_>>()?;
        mistakes::warn_of(&files, global);
        Ok(Self { files, set: BaseSet::new(layouts) })
    }

    /// The places of all tensors, in the order of the files.
    fn places(&self) -> impl Iterator<Item = Place> {
        let files = self.set.layouts().iter().enumerate();
        files.flat_map(|(base, layout)| (0..layout.regions.len()).map(move |region| Place { base, region }))
    }

    fn read(&self, place: Place, offset: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        let (input, region) = (&self.files[place.base], self.set.region(place));
        input.file.read_at(region.offset + offset, buffer).with_context(|| words::input(&input.path))
    }

    fn check_unchanged(&self) -> anyhow::Result<()> {
        self.files.iter().try_for_each(Input::check_unchanged)
    }
}

/// The comparison of a tensor that both models have, with the same dtype and shape.
struct Row<'a> {
    region: &'a Region,
    distance: BitDistance,
    predicted: Predicted,
}

/// The comparison of two models.
struct Comparison<'a> {
    rows: Vec<Row<'a>>,
    /// The tensors without a counterpart in the other model: those of A, then those of B.
    unpaired: [Vec<&'a Region>; 2],
}

/// A function that tells whether to stop; it is asked between reads.
type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

pub fn run(args: &args::Distance, global: &Global) -> anyhow::Result<()> {
    let (a, b) = (Model::open(&args.base(), global)?, Model::open(&[&args.b], global)?);
    let comparison = compare(&a, &b, global, &|| false)?;
    stdout::print(if global.json { format!("{}\n", comparison.to_json()) } else { comparison.to_table() })
}

/// Compares the model in the files `base` with the model `target`.
pub fn to_json(base: &[&Path], target: &Path, global: &Global, stop: Stop<'_>) -> anyhow::Result<Value> {
    let (a, b) = (Model::open(base, global)?, Model::open(&[target], global)?);
    Ok(compare(&a, &b, global, stop)?.to_json())
}

fn compare<'a>(a: &'a Model, b: &'a Model, global: &Global, stop: Stop<'_>) -> anyhow::Result<Comparison<'a>> {
    let pairs: Vec<(Place, Place)> =
        b.places().filter_map(|target| Some((a.set.partner(b.set.region(target))?, target))).collect();
    let alone = |model: &'a Model, other: &Model| -> Vec<&'a Region> {
        model.places().map(|place| model.set.region(place)).filter(|r| other.set.partner(r).is_none()).collect()
    };
    let rows: Vec<OnceLock<anyhow::Result<Row<'_>>>> = pairs.iter().map(|_| OnceLock::new()).collect();
    run::with_threads(global.threads(), |runner| {
        runner.run(pairs.len(), &|i| {
            rows[i].get_or_init(|| measure((a, pairs[i].0), (b, pairs[i].1), stop));
        });
    })?;
    let rows = rows.into_iter().filter_map(OnceLock::into_inner).collect::<anyhow::Result<_>>()?;
    a.check_unchanged().and_then(|()| b.check_unchanged())?;
    Ok(Comparison { rows, unpaired: [alone(a, b), alone(b, a)] })
}

/// Compares two tensors in a single pass over both files.
fn measure<'a>((a, base): (&Model, Place), (b, target): (&'a Model, Place), stop: Stop<'_>) -> anyhow::Result<Row<'a>> {
    let region = b.set.region(target);
    let (dtype, length) = (region.dtype, region.length);
    let (mut of_a, mut of_b) = (Sketcher::new(dtype, length), Sketcher::new(dtype, length));
    let (mut from_a, mut from_b) = (Vec::new(), Vec::new());
    let mut distance = BitDistance::default();
    for offset in (0..length).step_by(WINDOW as usize) {
        anyhow::ensure!(!stop(), Fault::named("stopped", "the comparison was stopped"));
        let window = WINDOW.min(length - offset) as usize;
        from_a.resize(window, 0);
        from_b.resize(window, 0);
        a.read(base, offset, &mut from_a)?;
        b.read(target, offset, &mut from_b)?;
        distance.update(dtype, &from_a, &from_b)?;
        of_a.update(&from_a);
        of_b.update(&from_b);
    }
    Ok(Row { region, distance, predicted: predict(&of_a.finish()?, &of_b.finish()?)? })
}

/// The figures of one pair of tensors, or of all pairs together.
struct Figures {
    distance: BitDistance,
    predicted: Predicted,
    /// The predicted ratio if each tensor takes the smaller of the two codings.
    ratio: f64,
}

impl Figures {
    fn of(row: &Row<'_>) -> Self {
        let Row { distance, predicted, .. } = *row;
        Self { distance, predicted, ratio: predicted.ratio() }
    }

    fn add_to(&self, mut object: Value) -> Value {
        object["bit_distance"] = json!(self.distance.per_word());
        object["unchanged_share"] = json!(self.distance.unchanged_share());
        object["delta_ratio"] = json!(self.predicted.delta_ratio);
        object["alone_ratio"] = json!(self.predicted.alone_ratio);
        object["ratio"] = json!(self.ratio);
        object
    }

    fn to_text(&self) -> String {
        let Self { distance, predicted: Predicted { delta_ratio, alone_ratio }, ratio } = self;
        let (bits, unchanged) = (distance.per_word(), distance.unchanged_share());
        format!(" {bits:>8.4} {unchanged:>9.4} {delta_ratio:>7.4} {alone_ratio:>7.4} {ratio:>7.4}\n")
    }
}

/// The share of B's bytes that must have a counterpart in A for a good base.
const LEAST_PAIRED: f64 = 0.1;

/// The most that a delta may take for a good base, as a share of what B takes alone.
const MOST_OF_ALONE: f64 = 0.97;

/// The use of one model as the base of another.
#[derive(Clone, Copy)]
enum Verdict {
    Strangers,
    Equal,
    Useless,
    Useful,
}

impl Verdict {
    /// The stable name of the verdict.
    fn name(self) -> &'static str {
        match self {
            Self::Strangers => "strangers",
            Self::Equal => "equal",
            Self::Useless => "useless",
            Self::Useful => "useful",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Strangers => "A and B have no tensor of the same name, dtype and shape, so A is no base for B",
            Self::Equal => "all tensors of B are equal to those of A",
            Self::Useless => "A is no good base for B: a delta would not be smaller than B alone",
            Self::Useful => "A is a good base for B",
        }
    }
}

impl Comparison<'_> {
    fn bytes(&self) -> u64 {
        self.rows.iter().map(|row| row.region.length).sum()
    }

    /// The figures of all pairs together, with ratios weighted by bytes.
    fn total(&self) -> Figures {
        let mut distance = BitDistance::default();
        self.rows.iter().for_each(|row| distance.merge(row.distance));
        let bytes = self.bytes().max(1) as f64;
        let mean = |ratio: fn(&Predicted) -> f64| {
            // A sum of no terms is -0.
            let sum: f64 = self.rows.iter().map(|row| ratio(&row.predicted) * row.region.length as f64).sum();
            (sum + 0.0) / bytes
        };
        let predicted = Predicted { delta_ratio: mean(|p| p.delta_ratio), alone_ratio: mean(|p| p.alone_ratio) };
        Figures { distance, predicted, ratio: mean(Predicted::ratio) }
    }

    /// The use of A as a base for B, judged by all pairs.
    fn verdict(&self) -> Verdict {
        let (total, all) = (self.total(), self.unpaired[1].iter().map(|region| region.length).sum::<u64>());
        let paired = self.bytes() as f64 / (self.bytes() + all).max(1) as f64;
        match () {
            () if self.rows.is_empty() => Verdict::Strangers,
            () if all == 0 && total.distance.unchanged_share() >= 1.0 => Verdict::Equal,
            () if paired < LEAST_PAIRED || total.ratio > MOST_OF_ALONE * total.predicted.alone_ratio => {
                Verdict::Useless
            }
            () => Verdict::Useful,
        }
    }

    fn to_json(&self) -> Value {
        let kind = |r: &Region| json!({ "name": r.name, "dtype": r.dtype.name(), "shape": r.shape, "bytes": r.length });
        let rows = self.rows.iter().map(|row| {
            let mut object = Figures::of(row).add_to(kind(row.region));
            object["delta_pays"] = json!(row.predicted.delta_pays());
            object
        });
        let [only_a, only_b] = self.unpaired.each_ref().map(|all| all.iter().map(|r| kind(r)).collect::<Vec<_>>());
        json!({
            "command": "distance",
            "total": self.total().add_to(json!({ "tensors": self.rows.len(), "bytes": self.bytes() })),
            "tensors": rows.collect::<Vec<_>>(),
            "only_in_a": only_a,
            "only_in_b": only_b,
            "verdict": self.verdict().name(),
        })
    }

    fn to_table(&self) -> String {
        let all = self.rows.iter().map(|row| row.region).chain(self.unpaired.iter().flatten().copied());
        let width = all.map(|region| words::name(&region.name).chars().count()).max().unwrap_or(0).clamp(6, 60);
        let kind = |r: &Region| {
            format!("{:width$}  {:<11} {:<18}", words::name(&r.name), r.dtype.name(), words::shape(&r.shape))
        };
        let mut table = format!(
            "{:width$}  {:<11} {:<18} {:>8} {:>9} {:>7} {:>7} {:>7}\n",
            "tensor", "dtype", "shape", "bits", "unchanged", "delta", "alone", "ratio"
        );
        self.rows.iter().for_each(|row| table += &(kind(row.region) + &Figures::of(row).to_text()));
        for (model, regions) in ["A", "B"].iter().zip(&self.unpaired) {
            regions.iter().for_each(|region| table += &format!("{} only in {model}\n", kind(region)));
        }
        let pairs = format!("{} pairs, {} bytes", self.rows.len(), self.bytes());
        table += &(format!("{pairs:<0$}", width + 32) + &self.total().to_text());
        table + &format!("verdict: {}\n", self.verdict().text())
    }
}
