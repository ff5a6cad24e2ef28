//! The `model.json` of TensorFlow.js: the weights of a group follow each other in its shards, which
//! are cut at the same length wherever a weight lies.

use std::collections::HashSet;
use std::sync::Arc;

use super::External;
use crate::error::Result;
use crate::json::Json;
use crate::layout::Dtype;
use crate::steps;

/// Bytes of a shard, but for the last one of its group: the converter's default.
const SHARD: u64 = 4 << 20;

/// The weights of a group, and the files that they are in.
#[derive(Default)]
struct Group {
    paths: Vec<Arc<str>>,
    weights: Vec<Weight>,
}

#[derive(Default)]
struct Weight {
    name: Arc<str>,
    shape: Vec<u64>,
    /// The type of the stored numbers.
    dtype: String,
}

/// Reads the list of groups.
pub(super) fn manifest(json: &mut Json<'_>) -> Result<Vec<External>> {
    let mut found = Vec::new();
    json.array(|json| {
        let mut group = Group::default();
        json.object(|json, field| match &*field {
            "paths" => json.array(|json| {
                group.paths.push(json.string()?.into());
                Ok(())
            }),
            "weights" => json.array(|json| {
                group.weights.push(Weight::read(json)?);
                Ok(())
            }),
            _ => json.skip(),
        })?;
        found.extend(group.tensors().unwrap_or_default());
        Ok(())
    })?;
    Ok(found)
}

impl Group {
    /// The parts of the weights in each shard; `None` if the lengths are not known, or if a file is
    /// named twice.
    fn tensors(&self) -> Option<Vec<External>> {
        let types = self.weights.iter().map(|weight| {
            let dtype = weight.dtype()?;
            Some((weight, dtype, dtype.tensor_bytes(&weight.shape)?))
        });
        let types: Vec<_> = types.collect::<Option<_>>()?;
        let whole = types.iter().try_fold(0u64, |sum, (.., bytes)| sum.checked_add(*bytes))?;
        // A group of one file has any length.
        let shard = if self.paths.len() == 1 { whole.max(1) } else { SHARD };
        let files: HashSet<&str> = self.paths.iter().map(|path| &**path).collect();
        if whole.div_ceil(shard) != files.len() as u64 || files.len() < self.paths.len() {
            return None;
        }
        let (mut found, mut start) = (Vec::new(), 0);
        for (weight, dtype, bytes) in types {
            let end = start + bytes;
            while start < end {
                steps::add(1);
                let (path, offset) = (&self.paths[(start / shard) as usize], start % shard);
                let length = (shard - offset).min(end - start);
                found.push(weight.part(dtype, path, offset, length, length == bytes));
                start += length;
            }
        }
        Some(found)
    }
}

impl Weight {
    fn read(json: &mut Json<'_>) -> Result<Self> {
        let (mut weight, mut stored) = (Self::default(), None);
        json.object(|json, field| match &*field {
            "name" => json.string().map(|name| weight.name = name.into()),
            "shape" => json.numbers().map(|shape| weight.shape = shape),
            "dtype" => json.string().map(|dtype| weight.dtype = dtype.into_owned()),
            "quantization" => json.object(|json, field| match &*field {
                "dtype" => json.string().map(|dtype| stored = Some(dtype.into_owned())),
                _ => json.skip(),
            }),
            _ => json.skip(),
        })?;
        weight.dtype = stored.unwrap_or(weight.dtype);
        Ok(weight)
    }

    /// The dtype of the stored numbers; `None` for text, whose length is not known.
    fn dtype(&self) -> Option<Dtype> {
        Some(match &*self.dtype {
            "float32" => Dtype::F32,
            "float16" => Dtype::F16,
            "int32" => Dtype::I32,
            "uint16" => Dtype::U16,
            "uint8" => Dtype::U8,
            "bool" => Dtype::BOOL,
            "complex64" => Dtype::C64,
            _ => return None,
        })
    }

    /// The part of the weight in one shard. A part is a vector, or bytes if the shard's end cuts a
    /// number.
    fn part(&self, dtype: Dtype, path: &Arc<str>, offset: u64, length: u64, is_whole: bool) -> External {
        let width = dtype.block().1;
        let shape = if is_whole { self.shape.clone() } else { vec![length / width] };
        External {
            name: self.name.clone(),
            dtype: length.is_multiple_of(width).then_some(dtype),
            shape,
            location: path.clone(),
            offset: offset.to_string(),
            length: length.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, dtype, shape, path and offset of a tensor.
    type Row = (String, Option<Dtype>, Vec<u64>, String, String);

    fn read(groups: &str) -> Vec<Row> {
        let found = manifest(&mut Json::new("test", groups, 0)).unwrap_or_default();
        found
            .into_iter()
            .map(|of| (of.name.to_string(), of.dtype, of.shape, of.location.to_string(), of.offset))
            .collect()
    }

    #[test]
    fn weights_are_cut_where_shards_end() {
        let json = r#"[{"paths":["a1","a2"],"weights":[
            {"name":"b","shape":[3],"dtype":"float32","quantization":{"dtype":"uint8","scale":0.1,"min":0}},
            {"name":"w","shape":[1024,1025],"dtype":"float32"},
            {"name":"v","shape":[],"dtype":"int32"}]}]"#;
        let part = |name: &str, dtype, shape: &[u64], path: &str, offset: u64| {
            (name.to_owned(), dtype, shape.to_vec(), path.to_owned(), offset.to_string())
        };
        let expected = [
            part("b", Some(Dtype::U8), &[3], "a1", 0),
            part("w", None, &[1_048_575], "a1", 3),
            part("w", None, &[1024], "a2", 0),
            part("v", Some(Dtype::I32), &[], "a2", 4099),
        ];
        assert_eq!(read(json), expected);
        let even = json.replace("uint8", "float32");
        let found = read(&even);
        assert_eq!(found[1], part("w", Some(Dtype::F32), &[1_048_573], "a1", 12));
        assert_eq!(found[2], part("w", Some(Dtype::F32), &[1027], "a2", 0));
    }

    #[test]
    fn groups_of_unknown_length_describe_nothing() {
        for weights in [
            r#"{"name":"t","shape":[1],"dtype":"string"}"#,
            r#"{"name":"t","shape":[1],"dtype":"float32"}"#,
            r#"{"name":"t","shape":[18446744073709551615,2],"dtype":"float32"}"#,
            r#"{"name":"t","shape":[4611686018427387904],"dtype":"float32"},{"name":"u","shape":[4611686018427387904],"dtype":"float32"}"#,
            r#"{"name":7}"#,
        ] {
            assert_eq!(read(&format!(r#"[{{"paths":["a","b"],"weights":[{weights}]}}]"#)), [], "{weights}");
        }
        assert_eq!(read(r#"[{"paths":[],"weights":[]}]"#), []);
        let twice = r#"[{"paths":["a","a"],"weights":[{"name":"w","shape":[1024,1025],"dtype":"float32"}]}]"#;
        assert_eq!(read(twice), []);
    }
}
