//! A pair of models of any size, written as it is made: Gaussian BF16 weights, and each of them
//! moved a little.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use half::bf16;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use serde_json::{Map, json};

const COLUMNS: u64 = 4096;
/// Weights that are made from one seed.
const BLOCK: usize = 1 << 20;
const WEIGHT: f32 = 0.02;
/// About one step of BF16 at the size of the weights, as a full fine-tune moves them.
const MOVE: f32 = 1e-4;

/// Writes `base.safetensors` and `target.safetensors` of about `bytes` bytes each.
pub fn pair(folder: &Path, bytes: u64) -> Result<()> {
    let (header, weights) = header(bytes)?;
    let create = |name| Ok::<_, std::io::Error>(BufWriter::with_capacity(1 << 20, File::create(folder.join(name))?));
    let (mut base, mut target) = (create("base.safetensors")?, create("target.safetensors")?);
    for file in [&mut base, &mut target] {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
    }
    let batch = 2 * rayon::current_num_threads() as u64;
    let blocks = weights.div_ceil(BLOCK as u64);
    for first in (0..blocks).step_by(batch as usize) {
        let made: Vec<_> = (first..(first + batch).min(blocks)).into_par_iter().map(block).collect();
        for (block, (old, new)) in (first..).zip(&made) {
            let length = 2 * (weights - block * BLOCK as u64).min(BLOCK as u64) as usize;
            base.write_all(&old[..length])?;
            target.write_all(&new[..length])?;
        }
    }
    base.flush()?;
    target.flush()?;
    Ok(())
}

/// An embedding of two fifths of the weights, and layers of a square matrix and a vector each.
fn header(bytes: u64) -> Result<(String, u64)> {
    let rows = (bytes / 2 / COLUMNS).max(4);
    let embedding = rows * 2 / 5;
    let mut shapes = vec![("embedding.weight".to_owned(), vec![embedding, COLUMNS])];
    let mut left = rows - embedding;
    while left > 1 {
        let layer = shapes.len() / 2;
        let square = COLUMNS.min(left - 1);
        shapes.push((format!("layers.{layer}.norm.weight"), vec![COLUMNS]));
        shapes.push((format!("layers.{layer}.weight"), vec![square, COLUMNS]));
        left -= square + 1;
    }
    let (mut tensors, mut end) = (Map::new(), 0);
    for (name, shape) in shapes {
        let start = end;
        end += 2 * shape.iter().product::<u64>();
        tensors.insert(name, json!({ "dtype": "BF16", "shape": shape, "data_offsets": [start, end] }));
    }
    let header = serde_json::to_string(&tensors)?;
    let aligned = header.len().next_multiple_of(8);
    Ok((format!("{header:aligned$}"), end / 2))
}

/// The bytes of one block in both models, the same on every run.
fn block(index: u64) -> (Vec<u8>, Vec<u8>) {
    let mut random = Pcg64Mcg::seed_from_u64(index);
    let mut normal = || -> f32 { StandardNormal.sample(&mut random) };
    let (mut base, mut target) = (Vec::with_capacity(2 * BLOCK), Vec::with_capacity(2 * BLOCK));
    for _ in 0..BLOCK {
        let weight = bf16::from_f32(WEIGHT * normal());
        base.extend_from_slice(&weight.to_le_bytes());
        target.extend_from_slice(&bf16::from_f32(weight.to_f32() + MOVE * normal()).to_le_bytes());
    }
    (base, target)
}
