//! `bitx distance A B`: compares two models tensor by tensor.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, anyhow};
use bitx::distance::{BitDistance, Predicted, Sketcher, predict};
use bitx::drive;
use bitx::io::ReadAt;
use bitx::layout::{Layout, Region};
use bitx::plan::BaseSet;
use bitx_host::InputFile;
use serde_json::{Value, json};

use crate::args::{self, Global};
use crate::files;
use crate::{run, stdout};

/// The number of bytes read from each file at a time, a multiple of every word's width.
const WINDOW: u64 = 1 << 20;

/// An open model file.
struct Model<'a> {
    path: &'a Path,
    file: InputFile,
    layout: Layout,
}

impl<'a> Model<'a> {
    fn open(path: &'a Path) -> anyhow::Result<Self> {
        let file = files::open(path)?;
        let layout = drive::layout(&file).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        match layout.fault {
            Some(fault) => Err(anyhow!("{}: {fault}", path.display())),
            None => Ok(Self { path, file, layout }),
        }
    }

    fn read(&self, region: &Region, offset: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        self.file.read_at(region.offset + offset, buffer).with_context(|| self.path.display().to_string())
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

pub fn run(args: &args::Distance, global: &Global) -> anyhow::Result<()> {
    let (a, b) = (Model::open(&args.a)?, Model::open(&args.b)?);
    let comparison = compare(&a, &b, global)?;
    stdout::print(if global.json { format!("{}\n", comparison.to_json()) } else { comparison.to_table() })
}

fn compare<'a>(a: &'a Model<'_>, b: &'a Model<'_>, global: &Global) -> anyhow::Result<Comparison<'a>> {
    let [in_a, in_b] = [a, b].map(|model| BaseSet::new(vec![model.layout.clone()]));
    let (all_a, all_b) = (a.layout.regions.iter(), b.layout.regions.iter());
    let pair = |target| Some((&a.layout.regions[in_a.partner(target)?.region], target));
    let pairs: Vec<(&Region, &Region)> = all_b.clone().filter_map(pair).collect();
    let only_a = all_a.filter(|region| in_b.partner(region).is_none()).collect();
    let only_b = all_b.filter(|region| in_a.partner(region).is_none()).collect();
    let rows: Vec<OnceLock<anyhow::Result<Row<'_>>>> = pairs.iter().map(|_| OnceLock::new()).collect();
    run::with_threads(global.threads(), |runner| {
        runner.run(pairs.len(), &|i| {
            rows[i].get_or_init(|| measure((a, pairs[i].0), (b, pairs[i].1)));
        });
    })?;
    let rows = rows.into_iter().filter_map(OnceLock::into_inner).collect::<anyhow::Result<_>>()?;
    Ok(Comparison { rows, unpaired: [only_a, only_b] })
}

/// Compares two tensors in a single pass over both files.
fn measure<'a>((a, base): (&Model<'_>, &Region), (b, region): (&Model<'_>, &'a Region)) -> anyhow::Result<Row<'a>> {
    let (dtype, length) = (region.dtype, region.length);
    let (mut of_a, mut of_b) = (Sketcher::new(dtype, length), Sketcher::new(dtype, length));
    let (mut from_a, mut from_b) = (Vec::new(), Vec::new());
    let mut distance = BitDistance::default();
    for offset in (0..length).step_by(WINDOW as usize) {
        let window = WINDOW.min(length - offset) as usize;
        from_a.resize(window, 0);
        from_b.resize(window, 0);
        a.read(base, offset, &mut from_a)?;
        b.read(region, offset, &mut from_b)?;
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
            self.rows.iter().map(|row| ratio(&row.predicted) * row.region.length as f64).sum::<f64>() / bytes
        };
        let predicted = Predicted { delta_ratio: mean(|p| p.delta_ratio), alone_ratio: mean(|p| p.alone_ratio) };
        Figures { distance, predicted, ratio: mean(Predicted::ratio) }
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
        })
    }

    fn to_table(&self) -> String {
        let all = self.rows.iter().map(|row| row.region).chain(self.unpaired.iter().flatten().copied());
        let width = all.map(|region| region.name.chars().count()).max().unwrap_or(0).clamp(6, 60);
        let kind = |r: &Region| format!("{:width$}  {:<11} {:<18}", r.name, r.dtype.name(), format!("{:?}", r.shape));
        let mut table = format!(
            "{:width$}  {:<11} {:<18} {:>8} {:>9} {:>7} {:>7} {:>7}\n",
            "tensor", "dtype", "shape", "bits", "unchanged", "delta", "alone", "ratio"
        );
        self.rows.iter().for_each(|row| table += &(kind(row.region) + &Figures::of(row).to_text()));
        for (model, regions) in ["A", "B"].iter().zip(&self.unpaired) {
            regions.iter().for_each(|region| table += &format!("{} only in {model}\n", kind(region)));
        }
        let pairs = format!("{} pairs, {} bytes", self.rows.len(), self.bytes());
        table + &format!("{pairs:<0$}", width + 32) + &self.total().to_text()
    }
}
