//! The `.onnx` graphs that describe external data: named by options, or found in the data's folder.

use std::path::{Path, PathBuf};

use bitx::io::ReadAt;
use bitx::layout::Kind;
use bitx::{Compress, Format, drive};

use crate::args::{self, Global};
use crate::files::{self, BaseFiles};

/// The ONNX graphs of a compression: none for most models, otherwise the base's and the target's,
/// or a single one that describes both.
pub struct Graphs {
    pub paths: Vec<PathBuf>,
    pub files: BaseFiles,
}

impl Graphs {
    /// Opens the graphs that `args` name. For a file without a named graph, it takes the one in the
    /// file's folder that describes it, if there is one.
    pub fn open(args: &args::Compress, format: Format, global: &Global) -> anyhow::Result<Self> {
        let named = args.base_graph.is_some() || args.target_graph.is_some();
        let (bases, target) = (args.base.paths(), [args.target.as_path()]);
        let found = |named: &Option<PathBuf>, files: &[&Path]| named.clone().or_else(|| beside(files, global));
        let paths = match format {
            Format::V1 { .. } if !named => Vec::new(),
            _ => match (found(&args.base_graph, &bases), found(&args.target_graph, &target)) {
                (Some(base), Some(target)) => vec![base, target],
                (Some(base), None) if named || serves(&base, &target) => vec![base],
                (None, Some(target)) if named || serves(&target, &bases) => vec![target],
                // If only one side has tensors, they have no counterparts; plain bytes compress
                // better.
                _ => Vec::new(),
            },
        };
        let files = BaseFiles::open(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
        Ok(Self { paths, files })
    }

    /// Adds the graphs to a compression of `inputs`, the base's files followed by the target.
    pub fn give(&self, compress: Compress, inputs: &[&Path]) -> anyhow::Result<Compress> {
        if self.paths.is_empty() {
            return Ok(compress);
        }
        let names: Vec<String> = inputs.iter().map(|path| name(path)).collect();
        Ok(compress.with_graphs(&self.files.lengths(), names)?)
    }
}

/// Finds a graph that describes one of `files` and is in the same folder: `model.onnx` for
/// `model.onnx_data` and `model.onnx.data`. It warns about a graph of that name that does not fit
/// the file.
fn beside(files: &[&Path], global: &Global) -> Option<PathBuf> {
    files.iter().find_map(|file| {
        let name = name(file);
        let end = name.find(".onnx")? + ".onnx".len();
        let graph = file.with_file_name(&name[..end]);
        if end == name.len() || !graph.is_file() {
            return None;
        }
        let describes = describes(&graph, file);
        if let (Err(error), false) = (&describes, global.quiet) {
            let (file, graph) = (file.display(), graph.display());
            eprintln!("bitx: {file}: compressed as plain bytes, since its ONNX graph cannot be used: {graph}: {error}");
        }
        describes.unwrap_or(false).then_some(graph)
    })
}

/// Returns `true` if `graph` describes each of `files` that has no layout of its own. The graph was
/// found for the files of the other side.
fn serves(graph: &Path, files: &[&Path]) -> bool {
    let clear = |file: &&Path| -> anyhow::Result<bool> {
        Ok(drive::layout(&files::open(file)?)?.kind != Kind::Bytes || describes(graph, file)?)
    };
    files.iter().all(|file| clear(file).unwrap_or(false))
}

fn describes(graph: &Path, file: &Path) -> anyhow::Result<bool> {
    Ok(drive::describes(&files::open(graph)?, &name(file), files::open(file)?.len())?)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
