//! The graphs that describe external data, of ONNX or of MLC: named by options, or found in the
//! data's folder.

use std::path::{Path, PathBuf};

use bitx::folder::{Side, graph_names, graphs_of};
use bitx::io::ReadAt;
use bitx::{Compress, Format, drive};

use crate::args::{self, Global};
use crate::files::{Input, lengths};
use crate::warning::warn;
use crate::words;

/// The ONNX graphs of a compression: none for most models, otherwise the base's and the target's,
/// or a single one that describes both.
pub struct Graphs(Vec<Input>);

impl Graphs {
    /// Opens the graphs that are beside the files and describe them, for format v2.
    pub fn found((bases, target): (&[Input], &Input), global: &Global) -> anyhow::Result<Self> {
        let target = std::slice::from_ref(target);
        let serves = |graph: &PathBuf, side| serves(graph, if side == Side::Base { bases } else { target });
        Self::of(&graphs_of(beside(bases, global), beside(target, global), serves))
    }

    fn of(paths: &[PathBuf]) -> anyhow::Result<Self> {
        Ok(Self(Input::all(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>(), Input::open)?))
    }

    /// Opens the graphs that `args` name. For a file without a named graph, it takes the one in the
    /// file's folder that describes it, if there is one.
    pub fn open(
        args: &args::Compress,
        (bases, target): (&[Input], &Input),
        format: Format,
        global: &Global,
    ) -> anyhow::Result<Self> {
        let named = args.base_graph.is_some() || args.target_graph.is_some();
        let target = std::slice::from_ref(target);
        let serves = |graph: &PathBuf, side| named || serves(graph, if side == Side::Base { bases } else { target });
        let found = |named: &Option<PathBuf>, files: &[Input]| named.clone().or_else(|| beside(files, global));
        let paths = match format {
            Format::V1 { .. } if !named => Vec::new(),
            _ => graphs_of(found(&args.base_graph, bases), found(&args.target_graph, target), serves),
        };
        Self::of(&paths)
    }

    /// The open graphs.
    pub fn files(&self) -> Vec<&Input> {
        self.0.iter().collect()
    }

    /// Adds the graphs to a compression of `inputs`, the base's files followed by the target.
    pub fn give(&self, compress: Compress, inputs: &[&Input]) -> anyhow::Result<Compress> {
        if self.0.is_empty() {
            return Ok(compress);
        }
        let names: Vec<String> = inputs.iter().map(|input| name(&input.path)).collect();
        Ok(compress.with_graphs(&lengths(&self.files()), names)?)
    }
}

/// Finds a graph that describes one of `files` and is in the same folder: `model.onnx` for
/// `model.onnx_data` and `model.onnx.data`, MLC's JSON for its shards. It warns about a graph of
/// that name that does not fit the file.
fn beside(files: &[Input], global: &Global) -> Option<PathBuf> {
    files.iter().find_map(|file| {
        let graph = candidates(file).into_iter().find(|graph| graph.is_file())?;
        let describes = describes(&graph, file);
        if let Err(error) = &describes {
            let (file, graph) = (words::input(&file.path), graph.display());
            let text = format!("{file}: compressed as plain bytes, since its graph cannot be used: {graph}: {error}");
            warn(global, &text);
        }
        describes.unwrap_or(false).then_some(graph)
    })
}

/// The paths where a graph of a file may be.
fn candidates(file: &Input) -> Vec<PathBuf> {
    graph_names(&name(&file.path)).iter().map(|name| file.path.with_file_name(name)).collect()
}

/// Returns `true` if `graph` describes each of `files` that has no layout of its own. The graph was
/// found for the files of the other side.
fn serves(graph: &Path, files: &[Input]) -> bool {
    let clear = |file: &Input| -> anyhow::Result<bool> {
        Ok(!drive::layout(&file.file)?.is_opaque() || describes(graph, file)?)
    };
    files.iter().all(|file| clear(file).unwrap_or(false))
}

fn describes(graph: &Path, file: &Input) -> anyhow::Result<bool> {
    Ok(drive::describes(&Input::open(graph)?.file, &name(&file.path), file.file.len())?)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
