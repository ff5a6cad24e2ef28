//! Tests of `bitx compress` on ONNX models with external data.

use std::fs;

use serde_json::Value;

use crate::common::protobuf::{field, varint};
use crate::common::{PAIRS, restore};
use crate::support::{Folder, json_of, stderr};

impl Folder {
    /// A folder with the models `base` and `sft`, each a `model.onnx` with its `model.onnx_data`.
    /// The tensors of the fine-tune are stored in reverse order.
    fn of_graphs() -> Self {
        let folder = Self::empty();
        let pair = &PAIRS[0];
        folder.write_graph("base", pair.base, Made::AsIs);
        folder.write_graph("sft", &restore(pair.base, pair.archive).unwrap(), Made::Reversed);
        folder
    }

    fn write_graph(&self, name: &str, safetensors: &[u8], made: Made) {
        fs::create_dir_all(self.path(name)).unwrap();
        let (graph, data) = external(safetensors, made);
        fs::write(self.path(name).join("model.onnx"), graph).unwrap();
        fs::write(self.path(name).join("model.onnx_data"), data).unwrap();
    }

    /// Compresses, restores without a graph, and compares. Returns the summary and the text on
    /// standard error.
    fn round_trip(&self, base: &str, target: &str, more: &[&str]) -> (Value, String) {
        let args = ["compress", base, target, "--json", "-fo", "delta"];
        let output = self.bitx(&[&args, more].concat()).assert().success().get_output().clone();
        fs::create_dir_all(self.path("alone")).unwrap();
        fs::copy(self.path(base), self.path("alone/base")).unwrap();
        self.bitx(&["decompress", "alone/base", "delta", "-qfo", "back"]).assert().success();
        assert!(self.read("back") == self.read(target), "{base} {target} {more:?}");
        (serde_json::from_slice(&output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// The dtypes of the tensors in the last archive that was made.
    fn dtypes(&self) -> Vec<String> {
        let listing = json_of(&mut self.bitx(&["inspect", "delta", "--json"]));
        listing["tensors"].as_array().unwrap().iter().map(|tensor| tensor["dtype"].as_str().unwrap().into()).collect()
    }

    /// Runs a command that must fail without writing a file, and returns its error message.
    fn refused(&self, args: &[&str]) -> String {
        let said = stderr(self.bitx(args).args(["-o", "never"]), 1);
        assert!(!self.path("never").exists());
        said
    }
}

/// A way to turn the tensors of a safetensors file into external data.
#[derive(Clone, Copy, PartialEq)]
enum Made {
    AsIs,
    Reversed,
    CastToF32,
}

/// Converts a safetensors file into an ONNX graph and its external data, in which each tensor is
/// aligned to 4096 bytes.
fn external(safetensors: &[u8], made: Made) -> (Vec<u8>, Vec<u8>) {
    let data_start = 8 + u64::from_le_bytes(safetensors[..8].try_into().unwrap()) as usize;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&safetensors[8..data_start]).unwrap();
    let mut tensors: Vec<_> = header.iter().filter(|(name, _)| *name != "__metadata__").collect();
    if made == Made::Reversed {
        tensors.reverse();
    }
    let (mut data, mut graph) = (Vec::new(), Vec::new());
    for (name, tensor) in tensors {
        let [start, end] = [0, 1].map(|i| tensor["data_offsets"][i].as_u64().unwrap() as usize + data_start);
        data.resize(data.len().next_multiple_of(4096), 0);
        let bf16 = tensor["dtype"] == "BF16";
        let weights = match made {
            Made::CastToF32 if bf16 => {
                safetensors[start..end].chunks(2).flat_map(|word| [0, 0, word[0], word[1]]).collect()
            }
            _ => safetensors[start..end].to_vec(),
        };
        let (offset, length) = (data.len().to_string(), weights.len().to_string());
        data.extend_from_slice(&weights);
        let dims = tensor["shape"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|dim| [vec![8], varint(dim.as_u64().unwrap())].concat());
        let kind = match tensor["dtype"].as_str() {
            Some("BF16") if made == Made::CastToF32 => 1,
            Some("BF16") => 16,
            Some("F32") => 1,
            _ => 7,
        };
        let entries = [("location", "model.onnx_data"), ("offset", &offset), ("length", &length)];
        let entry =
            |(key, value): (&str, &str)| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
        let entries = entries.map(entry).concat();
        let place = vec![14 << 3, 1];
        graph.extend(field(5, &[dims.collect(), vec![16, kind], field(8, name.as_bytes()), entries, place].concat()));
    }
    ([vec![8, 9], field(7, &[field(2, b"graph"), graph].concat())].concat(), data)
}

const BASE: &str = "base/model.onnx_data";
const SFT: &str = "sft/model.onnx_data";

#[test]
fn graphs_beside_external_data_are_found_and_used() {
    let f = Folder::of_graphs();
    let (found, _) = f.round_trip(BASE, SFT, &[]);
    assert_eq!(found["graphs"], serde_json::json!(["base/model.onnx", "sft/model.onnx"]));
    let tensors = PAIRS[0].archive.len() as u64;
    assert!(found["output_bytes"].as_u64().unwrap() < tensors * 7 / 10, "{found}");
    assert!(found["methods"]["delta"].as_u64().or(found["methods"]["predicted"].as_u64()).unwrap() > 3, "{found}");
    let said = stderr(&mut f.bitx(&["compress", BASE, SFT, "-fo", "delta"]), 0);
    assert!(said.contains("graphs: base/model.onnx, sft/model.onnx"));

    for name in ["base", "sft"] {
        fs::rename(f.path(name).join("model.onnx"), f.path(name).join("graph")).unwrap();
    }
    let (bytes, _) = f.round_trip(BASE, SFT, &[]);
    assert_eq!(bytes["graphs"], serde_json::json!([]));
    // Without a graph, the floats of both files are found, but no tensors.
    assert!(
        found["output_bytes"].as_u64().unwrap() * 4 < bytes["output_bytes"].as_u64().unwrap() * 3,
        "{found} {bytes}"
    );
    // Graphs that are named may be in any folder, and so may the data.
    fs::copy(f.path(BASE), f.path("weights")).unwrap();
    let (named, _) = f.round_trip("weights", SFT, &["--base-graph", "base/graph", "--target-graph", "sft/graph"]);
    assert_eq!(named["output_bytes"], found["output_bytes"]);
}

#[test]
fn one_graph_is_used_for_both_models_or_for_neither() {
    let f = Folder::of_graphs();
    let pair = &PAIRS[0];
    f.write_graph("sft", &restore(pair.base, pair.archive).unwrap(), Made::AsIs);
    let (both, _) = f.round_trip(BASE, SFT, &[]);
    fs::remove_file(f.path("base/model.onnx")).unwrap();
    let (one, _) = f.round_trip(BASE, SFT, &[]);
    assert_eq!((&one["graphs"], &one["output_bytes"]), (&serde_json::json!(["sft/model.onnx"]), &both["output_bytes"]));
    let (named, _) = f.round_trip(BASE, SFT, &["--target-graph", "sft/model.onnx"]);
    assert_eq!(named["output_bytes"], both["output_bytes"]);
    // If the graph does not describe the base, the target's tensors would have no counterparts.
    fs::write(f.path(BASE), &f.read(BASE)[..500_000]).unwrap();
    assert_eq!(f.round_trip(BASE, SFT, &[]).0["graphs"], serde_json::json!([]));
    // A safetensors base needs no graph.
    fs::write(f.path("base.safetensors"), pair.base).unwrap();
    let (mixed, _) = f.round_trip("base.safetensors", SFT, &[]);
    let difference = mixed["output_bytes"].as_u64().unwrap().abs_diff(both["output_bytes"].as_u64().unwrap());
    assert!(mixed["graphs"] == serde_json::json!(["sft/model.onnx"]) && difference < 1000, "{mixed}");
}

#[test]
fn weights_cast_from_bf16_to_f32_are_coded_as_bf16() {
    let f = Folder::of_graphs();
    let (plain, _) = f.round_trip(BASE, SFT, &[]);
    let pair = &PAIRS[0];
    f.write_graph("base", pair.base, Made::CastToF32);
    f.write_graph("sft", &restore(pair.base, pair.archive).unwrap(), Made::CastToF32);
    let (cast, _) = f.round_trip(BASE, SFT, &[]);
    let [plain, cast] = [plain, cast].map(|summary| summary["output_bytes"].as_u64().unwrap());
    assert!(cast < plain + plain / 10, "{cast} and {plain}");
    assert!(f.dtypes().contains(&"BF16".to_owned()));
    // F32 weights whose lower halves are in use stay F32.
    let pair = &PAIRS[4];
    f.write_graph("base", pair.base, Made::AsIs);
    f.write_graph("sft", &restore(pair.base, pair.archive).unwrap(), Made::AsIs);
    f.round_trip(BASE, SFT, &[]);
    assert!(f.dtypes().contains(&"F32".to_owned()) && !f.dtypes().contains(&"BF16".to_owned()));
}

#[test]
fn an_unsuitable_graph_is_reported_and_does_no_harm() {
    let f = Folder::of_graphs();
    let data = f.read(SFT);
    fs::write(f.path(SFT), &data[..data.len() - 5000]).unwrap();
    let (bytes, said) = f.round_trip(BASE, SFT, &[]);
    assert_eq!(bytes["graphs"], serde_json::json!([]));
    assert!(said.contains("sft/model.onnx_data: compressed as plain bytes, "), "{said}");
    assert!(said.contains("graph cannot be used: sft/model.onnx: "), "{said}");
    assert!(said.contains("lies beyond the end"), "{said}");
    let graphs = ["--base-graph", "base/model.onnx", "--target-graph", "sft/model.onnx"];
    let message = f.refused(&[&["compress", BASE, SFT], &graphs[..]].concat());
    assert!(message.starts_with("bitx: sft/model.onnx: ") && message.contains("lies beyond the end"), "{message}");

    // The graph of the other model has other offsets, which only makes the archive larger.
    fs::write(f.path(SFT), [&data[..], &[0; 8192]].concat()).unwrap();
    let crossed = ["--base-graph", "base/model.onnx", "--target-graph", "base/model.onnx"];
    f.round_trip(BASE, SFT, &crossed);
    let message = f.refused(&["compress", BASE, SFT, "--base-graph", BASE, "--target-graph", "sft/model.onnx"]);
    assert!(message.contains("base/model.onnx_data: not an ONNX graph with external data"), "{message}");
    let message = f.refused(&[&["compress", BASE, SFT, "--format", "v1"], &graphs[..]].concat());
    assert!(message.contains("for format v2"), "{message}");
}

#[test]
fn shards_are_recognised_by_their_names() {
    let f = Folder::of_graphs();
    for name in ["base", "sft"] {
        let (graph, data) = (f.read(&format!("{name}/model.onnx")), f.read(&format!("{name}/model.onnx_data")));
        // The new graph has two data files: it holds the model a second time, with the data in
        // another file.
        let other = external_copy(&graph);
        fs::write(f.path(name).join("model.onnx"), other).unwrap();
        fs::write(f.path(name).join("model.onnx_mata"), data).unwrap();
    }
    let (found, _) = f.round_trip(BASE, SFT, &[]);
    assert_eq!(found["graphs"], serde_json::json!(["base/model.onnx", "sft/model.onnx"]));
    let shards = ["-b", "base/model.onnx_mata"];
    let args = ["compress", BASE, "sft/model.onnx_mata", "--json", "-fo", "two"];
    let two = json_of(&mut f.bitx(&[&args[..], &shards].concat()));
    assert_eq!(two["graphs"], found["graphs"]);
    f.bitx(&[&["decompress", BASE, "two", "-qfo", "back"], &shards[..]].concat()).assert().success();
    assert!(f.read("back") == f.read(SFT));
    assert!(two["output_bytes"].as_u64().unwrap().abs_diff(found["output_bytes"].as_u64().unwrap()) < 1000, "{two}");
}

/// Returns a model whose graph has the tensors of `model` twice, the second time with other names
/// and another data file.
fn external_copy(model: &[u8]) -> Vec<u8> {
    let graph = &model[model.len() - graph_length(model)..];
    let copied: Vec<u8> = replace(&replace(graph, b"onnx_data", b"onnx_mata"), b"encoder", b"decoder");
    [vec![8, 9], field(7, &[graph.to_vec(), copied].concat())].concat()
}

/// The length in bytes of the graph at the end of a model.
fn graph_length(model: &[u8]) -> usize {
    let (mut length, mut shift, mut at) = (0usize, 0, 3);
    loop {
        length |= usize::from(model[at] & 0x7F) << shift;
        if model[at] < 0x80 {
            return length;
        }
        (shift, at) = (shift + 7, at + 1);
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for i in 0..=bytes.len() - from.len() {
        if &bytes[i..i + from.len()] == from {
            bytes[i..i + to.len()].copy_from_slice(to);
        }
    }
    bytes
}
