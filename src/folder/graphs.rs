//! Graphs in a folder: the files that describe the tensors of others, of ONNX, MLC or TensorFlow.js.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::error::Result;
use crate::io::Incremental;
use crate::layout::Layout;
use crate::layout::graph::GraphReader;
use crate::layout::onnx::Graph;

/// The names that a file's graph may have, which is in the same folder: `model.onnx` for
/// `model.onnx_data` and `model.onnx.data`, MLC's JSON for its shards, and `model.json` for those of
/// TensorFlow.js.
pub fn graph_names(name: &str) -> Vec<String> {
    if name.starts_with("group") && name.contains("-shard") && name.ends_with(".bin") {
        return vec!["model.json".to_owned()];
    }
    if let Some(shard) = name.strip_suffix(".bin") {
        let own = ["tensor", "ndarray"].map(|kind| format!("{shard}.{kind}-cache.json"));
        let shared = ["tensor-cache.json", "ndarray-cache.json"].map(str::to_owned);
        return own.into_iter().chain(shared.into_iter().filter(|_| shard.starts_with("params_shard_"))).collect();
    }
    let end = name.find(".onnx").map(|start| start + ".onnx".len()).filter(|&end| end < name.len());
    end.map(|end| name[..end].to_owned()).into_iter().collect()
}

/// The graphs to compress a target with, of which each side may have one. `serves` tells whether a
/// graph describes the files of the other side as well. If only one side has tensors, they have no
/// counterparts, and plain bytes compress better.
pub fn graphs_of<G>(base: Option<G>, target: Option<G>, serves: impl Fn(&G, Side) -> bool) -> Vec<G> {
    match (base, target) {
        (Some(base), Some(target)) => vec![base, target],
        (Some(base), None) if serves(&base, Side::Target) => vec![base],
        (None, Some(target)) if serves(&target, Side::Base) => vec![target],
        _ => Vec::new(),
    }
}

/// A side of a compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The base files.
    Base,
    /// The target.
    Target,
}

/// The graphs among the files of a base and of a target, which a host reads.
#[derive(Debug)]
pub struct Graphs {
    /// For each file, the files that may be its graph: those of the right names, likeliest first.
    beside: Vec<Vec<usize>>,
    graphs: BTreeMap<usize, Graph>,
    /// The file that is being read.
    reading: Option<(usize, GraphReader)>,
}

impl Graphs {
    /// Looks for the names of graphs among the paths of a base's files and of a target's. The first
    /// `bases` paths are the base's.
    pub fn new(paths: &[&str], bases: usize) -> Self {
        let (base, target) = paths.split_at(bases.min(paths.len()));
        let beside = [(base, 0), (target, base.len())].into_iter().flat_map(|(paths, start)| beside(paths, start));
        Self { beside: beside.collect(), graphs: BTreeMap::new(), reading: None }
    }

    /// The numbers of the files to read.
    pub fn candidates(&self) -> Vec<usize> {
        let mut found: Vec<usize> = self.beside.iter().flat_map(|files| files.first().copied()).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Begins to read a file of `length` bytes.
    pub fn open(&mut self, file: usize, length: u64) {
        self.reading = Some((file, GraphReader::new(length)));
    }

    /// The range of the file to [`feed`](Self::feed) next; `None` once it is read.
    pub fn wants(&self) -> Option<Range<u64>> {
        self.reading.as_ref()?.1.wants()
    }

    /// Takes the bytes of the range that [`wants`](Self::wants) named. A file that turns out to be
    /// no graph is left out.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Some((file, mut reader)) = self.reading.take() else { return };
        match reader.feed(bytes).map(|()| reader.wants().is_some()) {
            Ok(true) => self.reading = Some((file, reader)),
            Ok(false) => drop(self.graphs.insert(file, reader.graph())),
            Err(_) => {}
        }
    }

    /// The numbers of the graphs to compress the file `target` with, against the files `serving`.
    /// `files` are the paths and layouts of all files.
    pub fn of(&self, files: &[(String, Layout)], serving: &[usize], target: usize) -> Vec<usize> {
        let describes = |graph: usize, file: usize| self.describes(graph, &files[file]).unwrap_or(false);
        let of = |numbers: &[usize]| {
            numbers.iter().find_map(|&file| {
                let graph = self.beside[file].first().copied();
                graph.filter(|&graph| describes(graph, file))
            })
        };
        let clear = |graph: usize, file: usize| !files[file].1.is_opaque() || describes(graph, file);
        graphs_of(of(serving), of(&[target]), |&graph, side| match side {
            Side::Base => serving.iter().all(|&file| clear(graph, file)),
            Side::Target => clear(graph, target),
        })
    }

    /// Tells whether a graph describes a file of external data.
    fn describes(&self, graph: usize, (path, layout): &(String, Layout)) -> Result<bool> {
        let Some(graph) = self.graphs.get(&graph) else { return Ok(false) };
        let location = graph.named(split(path).1);
        Ok(location.map(|location| graph.layout(location, layout.file_length)).transpose()?.is_some())
    }
}

/// For each path, the numbers of those that have a name of its graph. The first path has the number
/// `start`.
fn beside(paths: &[&str], start: usize) -> Vec<Vec<usize>> {
    let numbers: HashMap<&str, usize> = paths.iter().zip(start..).map(|(path, number)| (*path, number)).collect();
    let graphs = |path: &&str| {
        let (folder, name) = split(path);
        let number = |name: String| numbers.get(format!("{folder}{name}").as_str()).copied();
        graph_names(name).into_iter().filter_map(number).collect()
    };
    paths.iter().map(graphs).collect()
}

/// The folder of a path, with the `/` behind it, and the name.
fn split(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |at| at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphs_have_names_of_their_own() {
        assert_eq!(graph_names("model.onnx_data"), ["model.onnx"]);
        assert_eq!(graph_names("model.onnx.data"), ["model.onnx"]);
        assert!(graph_names("model.onnx").is_empty() && graph_names("model.safetensors").is_empty());
        assert_eq!(graph_names("params_shard_3.bin").len(), 4);
        assert_eq!(graph_names("group1-shard1of2.bin"), ["model.json"]);
    }

    #[test]
    fn graphs_are_looked_for_on_their_own_side() {
        let paths = ["a/model.onnx", "a/model.onnx_data", "b/model.onnx_data", "a/model.onnx_data", "a/model.onnx"];
        assert_eq!(Graphs::new(&paths, 3).beside, [vec![], vec![0], vec![], vec![4], vec![]]);
        assert_eq!(Graphs::new(&paths, 3).candidates(), [0, 4]);
        assert_eq!(Graphs::new(&paths, 9).beside.len(), 5);
    }

    #[test]
    fn one_graph_must_serve_both_sides() {
        let both = |_: &i32, _| true;
        let only = |side: Side| move |_: &i32, other| other == side;
        assert_eq!(graphs_of(Some(1), Some(2), |_, _| false), [1, 2]);
        assert_eq!(graphs_of(Some(1), None, both), [1]);
        assert_eq!(graphs_of(Some(1), None, only(Side::Target)), [1]);
        assert!(graphs_of(Some(1), None, only(Side::Base)).is_empty());
        assert_eq!(graphs_of(None, Some(2), only(Side::Base)), [2]);
        assert!(graphs_of::<i32>(None, None, both).is_empty());
    }
}
