//! The `.onnx` files that tell what is in external data: named, or found beside it.

use std::path::{Path, PathBuf};

use bitx::io::ReadAt;
use bitx::layout::Kind;
use bitx::{Compress, Format, drive};

use crate::args::{self, Global};
use crate::files::{self, BaseFiles};

/// The base's graph and the target's, or one that does for both; usually none.
pub struct Graphs {
    pub paths: Vec<PathBuf>,
    pub files: BaseFiles,
}

impl Graphs {
    /// Those that `args` name; where they name none, those beside the inputs.
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
                // Tensors on one side alone have no partners: bytes against bytes take less.
                _ => Vec::new(),
            },
        };
        let files = BaseFiles::open(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
        Ok(Self { paths, files })
    }

    /// Hands the graphs to a compression of `inputs`, the base's files and the target.
    pub fn give(&self, compress: Compress, inputs: &[&Path]) -> anyhow::Result<Compress> {
        if self.paths.is_empty() {
            return Ok(compress);
        }
        let names: Vec<String> = inputs.iter().map(|path| name(path)).collect();
        Ok(compress.with_graphs(&self.files.lengths(), names)?)
    }
}

/// The graph in the folder of one of the files that describes it: `model.onnx` for `model.onnx_data`, `model.onnx.data`
/// and the like.
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
            eprintln!("bitx: {} is compressed as bytes: {}: {error}", file.display(), graph.display());
        }
        describes.unwrap_or(false).then_some(graph)
    })
}

/// Whether a graph that was found for other files does for these, as far as they have no layout of their own.
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
