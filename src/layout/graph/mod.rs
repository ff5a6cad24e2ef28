//! Files that describe the tensors of other files: ONNX graphs, the `ndarray-cache.json` or
//! `tensor-cache.json` of MLC's shards, and the `model.json` of TensorFlow.js.

mod mlc;
mod tfjs;

use super::onnx::{External, Graph, Walker};
use crate::error::{Error, Result};
use crate::io::{Incremental, Wanted};
use crate::json::Json;

/// The longest JSON that is read.
const LONGEST: u64 = 16 << 20;

/// Bytes of JSON that are read at once.
const STEP: u64 = 4 << 20;

/// Reads a file that describes others.
#[derive(Debug)]
pub(crate) enum GraphReader {
    /// The file is taken for an ONNX graph.
    Onnx(Box<Walker>),
    /// The file is JSON of this length, of which the first bytes are known.
    Json(u64, Vec<u8>),
}

impl GraphReader {
    pub(crate) fn new(length: u64) -> Self {
        Self::Onnx(Box::new(Walker::of_graph(length)))
    }

    /// The tensors that the file describes; none if it is of no known kind.
    pub(crate) fn graph(self) -> Graph {
        match self {
            Self::Onnx(walker) => walker.graph(),
            Self::Json(_, json) => Graph::new(parse(&json)),
        }
    }
}

impl Incremental for GraphReader {
    fn wants(&self) -> Option<Wanted> {
        match self {
            Self::Onnx(walker) => walker.wants(),
            Self::Json(length, json) => {
                let start = json.len() as u64;
                (start < *length).then(|| start..(start + STEP).min(*length))
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Onnx(walker) => {
                let length = walker.file_length();
                let begins = walker.wants().is_some_and(|wanted| wanted.start == 0);
                // No ONNX model begins so: the byte would be the tag of a group.
                if !begins || bytes.first() != Some(&b'{') {
                    return walker.feed(bytes);
                }
                if length > LONGEST {
                    let most = format_args!("at most {LONGEST} bytes").to_string();
                    return Err(Error::limit("the description of the tensors is too long").figures(most, length));
                }
                *self = Self::Json(length, bytes.to_vec());
                Ok(())
            }
            Self::Json(_, json) => {
                json.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

/// The tensors that a JSON file describes; none if it is other JSON.
fn parse(json: &[u8]) -> Vec<External> {
    let found = str::from_utf8(json).ok().and_then(|text| tensors(&mut Json::new("the list of tensors", text, 0)).ok());
    found.unwrap_or_default()
}

fn tensors(json: &mut Json<'_>) -> Result<Vec<External>> {
    let mut found = Vec::new();
    json.object(|json, field| match &*field {
        "records" => mlc::records(json).map(|tensors| found.extend(tensors)),
        "weightsManifest" => tfjs::manifest(json).map(|tensors| found.extend(tensors)),
        _ => json.skip(),
    })?;
    json.end()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Dtype;

    const JSON: &str = r#"{"metadata":{"ParamSize":3},"records":[
        {"dataPath":"params_shard_0.bin","format":"raw-shard","nbytes":40,"md5sum":"","records":[
            {"name":"a.q_weight","shape":[2,4],"dtype":"uint32","format":"raw","nbytes":32,"byteOffset":0},
            {"name":"a.q_scale","shape":[2,1],"dtype":"float16","format":"raw","nbytes":4,"byteOffset":32},
            {"name":"norm","shape":[2],"dtype":"float32","format":"f32-to-bf16","nbytes":4,"byteOffset":36}]},
        {"dataPath":"params_shard_1.bin","format":"raw-shard","nbytes":0,"records":[]}]}"#;

    fn read(bytes: &[u8], step: usize) -> Graph {
        let mut reader = GraphReader::new(bytes.len() as u64);
        while let Some(wanted) = reader.wants() {
            let end = (wanted.start as usize + step).min(wanted.end as usize);
            reader.feed(&bytes[wanted.start as usize..end]).unwrap();
        }
        reader.graph()
    }

    #[test]
    fn arrays_of_shards_are_regions() {
        for step in [7, 1 << 20] {
            let layout = read(JSON.as_bytes(), step).layout("params_shard_0.bin", 40).unwrap();
            let found: Vec<(&str, Dtype, u64)> =
                layout.regions.iter().map(|region| (&*region.name, region.dtype, region.offset)).collect();
            let norm = ("norm", Dtype::BF16, 36);
            assert_eq!(found, [("a.q_weight", Dtype::U32, 0), ("a.q_scale", Dtype::F16, 32), norm]);
        }
        assert!(read(JSON.as_bytes(), 99).named("params_shard_1.bin").is_none());
    }

    #[test]
    fn other_json_and_wrong_places_describe_nothing() {
        for json in ["{", "{}", r#"{"records":[{"dataPath":"a"}]}"#, r#"{"records":7}"#, &JSON[..200]] {
            assert!(read(json.as_bytes(), 1 << 20).is_empty(), "{json}");
        }
        // The shard is too short for its arrays.
        read(JSON.as_bytes(), 1 << 20).layout("params_shard_0.bin", 39).unwrap_err();
        let deep = format!("{{\"records\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(deep.as_bytes(), 1 << 20).is_empty());
        GraphReader::new(LONGEST + 1).feed(b"{").unwrap_err();
    }
}
