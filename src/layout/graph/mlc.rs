//! The `ndarray-cache.json` or `tensor-cache.json` of MLC's shards.

use std::sync::Arc;

use super::External;
use crate::error::Result;
use crate::json::Json;
use crate::layout::Dtype;
use crate::steps;

/// A tensor in a file of MLC.
#[derive(Default)]
struct Array {
    name: String,
    shape: Vec<u64>,
    dtype: String,
    nbytes: u64,
    offset: u64,
}

/// Reads the list of shards.
pub(super) fn records(json: &mut Json<'_>) -> Result<Vec<External>> {
    let mut found = Vec::new();
    json.array(|json| {
        let (location, arrays) = shard(json)?;
        found.extend(arrays.into_iter().map(|array| array.external(location.clone())));
        Ok(())
    })?;
    Ok(found)
}

/// Reads the entry of a file of tensors: its path, and the tensors.
fn shard(json: &mut Json<'_>) -> Result<(Arc<str>, Vec<Array>)> {
    let (mut path, mut arrays) = (None, Vec::new());
    json.object(|json, field| match &*field {
        "dataPath" => {
            path = Some(json.string()?.into());
            Ok(())
        }
        "records" => json.array(|json| {
            arrays.push(Array::read(json)?);
            Ok(())
        }),
        _ => json.skip(),
    })?;
    let path = path.ok_or_else(|| json.fault("the field dataPath"))?;
    Ok((path, arrays))
}

impl Array {
    fn read(json: &mut Json<'_>) -> Result<Self> {
        steps::add(1);
        let (mut array, mut fields) = (Self::default(), 0);
        json.object(|json, field| {
            fields += 1;
            match &*field {
                "name" => array.name = json.string()?.into_owned(),
                "shape" => array.shape = json.numbers()?,
                "dtype" => array.dtype = json.string()?.into_owned(),
                "nbytes" => array.nbytes = json.number()?,
                "byteOffset" => array.offset = json.number()?,
                _ => {
                    fields -= 1;
                    json.skip()?;
                }
            }
            Ok(())
        })?;
        if fields == 5 { Ok(array) } else { Err(json.fault("an array's name, shape, dtype, nbytes and byteOffset")) }
    }

    fn external(self, location: Arc<str>) -> External {
        let dtype = match &*self.dtype {
            "float32" => Some(Dtype::F32),
            "float16" => Some(Dtype::F16),
            "bfloat16" => Some(Dtype::BF16),
            "uint32" => Some(Dtype::U32),
            "int32" => Some(Dtype::I32),
            "uint16" => Some(Dtype::U16),
            "uint8" => Some(Dtype::U8),
            "int8" => Some(Dtype::I8),
            _ => None,
        };
        // The shards may hold floats of half the width: "f32-to-bf16" is a format of theirs.
        let holds = |dtype: &Dtype| dtype.tensor_bytes(&self.shape) == Some(self.nbytes);
        let half = (dtype == Some(Dtype::F32)).then_some(Dtype::BF16);
        let dtype = dtype.filter(holds).or(half.filter(holds));
        let (offset, length) = (self.offset.to_string(), self.nbytes.to_string());
        External { name: self.name.into(), dtype, shape: self.shape, location, offset, length }
    }
}
