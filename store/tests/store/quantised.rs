//! Tests of quantised models in a store that has the floats of the same model.
//!
//! `cargo test -p bitx-store --test store quantised -- --nocapture` prints the share of each
//! format.

use std::path::Path;

use bitx::Effort;
use bitx_store::{Added, Source, Store, VerifyDepth};

use crate::support::blocks::{FORMATS, Format};
use crate::support::models::name;
use crate::support::weights::Random;
use crate::support::{common, open};

const WIDTH: usize = 512;
const HEAD: usize = 64;

/// A matrix or vector of a small model of the Llama architecture.
pub struct Tensor {
    /// The names in safetensors and in GGUF.
    pub names: [&'static str; 2],
    pub rows: usize,
    pub weights: Vec<f32>,
}

/// The names of the matrices, each with its number of rows and columns.
const MATRICES: [([&str; 2], usize, usize); 8] = [
    (["model.embed_tokens.weight", "token_embd.weight"], 512, WIDTH),
    (["model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight"], WIDTH, WIDTH),
    (["model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight"], 2 * HEAD, WIDTH),
    (["model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight"], 2 * HEAD, WIDTH),
    (["model.layers.0.self_attn.o_proj.weight", "blk.0.attn_output.weight"], WIDTH, WIDTH),
    (["model.layers.0.mlp.gate_proj.weight", "blk.0.ffn_gate.weight"], 2 * WIDTH, WIDTH),
    (["model.layers.0.mlp.up_proj.weight", "blk.0.ffn_up.weight"], 2 * WIDTH, WIDTH),
    (["model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight"], WIDTH, 2 * WIDTH),
];

/// A model whose weights are numbers of BF16.
pub struct Model(pub Vec<Tensor>);

impl Model {
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut draw = |count: usize, centre: f32| -> Vec<f32> {
            (0..count).map(|_| f32::from_bits((centre + 0.02 * random.normal()).to_bits() & !0xFFFF)).collect()
        };
        let matrix = |(names, rows, columns)| Tensor { names, rows, weights: draw(rows * columns, 0.0) };
        let mut tensors: Vec<Tensor> = MATRICES.into_iter().map(matrix).collect();
        tensors.push(Tensor { names: ["model.norm.weight", "output_norm.weight"], rows: 1, weights: draw(WIDTH, 1.0) });
        Self(tensors)
    }

    /// A fine-tune of this model.
    pub fn tuned(&self, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut tune = |weight: &f32| f32::from_bits((weight + 0.001 * random.normal()).to_bits() & !0xFFFF);
        let tensor = |t: &Tensor| Tensor { weights: t.weights.iter().map(&mut tune).collect(), ..*t };
        Self(self.0.iter().map(tensor).collect())
    }

    /// The model as safetensors in BF16.
    pub fn floats(&self) -> Vec<u8> {
        let bytes = |weights: &[f32]| weights.iter().flat_map(|w| w.to_le_bytes()[2..].to_vec()).collect::<Vec<u8>>();
        let shape = |tensor: &Tensor| match tensor.rows {
            1 => vec![tensor.weights.len() as u64],
            rows => vec![rows as u64, (tensor.weights.len() / rows) as u64],
        };
        let tensors: Vec<_> = self.0.iter().map(|t| (t.names[0], shape(t), bytes(&t.weights))).collect();
        let tensors: Vec<_> =
            tensors.iter().map(|(name, shape, bytes)| (*name, "BF16", &shape[..], &bytes[..])).collect();
        common::model(&tensors)
    }

    /// The model as GGUF in a format, with vectors in F32, as llama.cpp converts it.
    fn quantised(&self, format: &Format) -> Vec<u8> {
        let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        let mut header = [b"GGUF", &3u32.to_le_bytes()[..]].concat();
        header.extend((self.0.len() as u64).to_le_bytes());
        header.extend(1u64.to_le_bytes());
        header.extend([text("general.architecture"), 8u32.to_le_bytes().to_vec(), text("llama")].concat());
        let mut data: Vec<u8> = Vec::new();
        for tensor in &self.0 {
            data.resize(data.len().next_multiple_of(32), 0);
            let columns = tensor.weights.len() / tensor.rows;
            let extents = if tensor.rows == 1 { vec![columns] } else { vec![columns, tensor.rows] };
            header.extend(text(tensor.names[1]));
            header.extend((extents.len() as u32).to_le_bytes());
            extents.iter().for_each(|extent| header.extend((*extent as u64).to_le_bytes()));
            header.extend(if tensor.rows == 1 { 0 } else { format.number }.to_le_bytes());
            header.extend((data.len() as u64).to_le_bytes());
            match tensor.rows {
                1 => data.extend(tensor.weights.iter().flat_map(|weight| weight.to_le_bytes())),
                _ => data.extend(format.quantise(&woven(tensor, columns))),
            }
        }
        header.resize(header.len().next_multiple_of(32), 0);
        [header, data].concat()
    }
}

/// The weights in the order of rows that GGUF gives to the heads of queries and keys.
fn woven(tensor: &Tensor, columns: usize) -> Vec<f32> {
    if !["blk.0.attn_q.weight", "blk.0.attn_k.weight"].contains(&tensor.names[1]) {
        return tensor.weights.clone();
    }
    let from = |row: usize| row / HEAD * HEAD + row % HEAD % 2 * (HEAD / 2) + row % HEAD / 2;
    (0..tensor.rows).flat_map(|row| tensor.weights[from(row) * columns..][..columns].to_vec()).collect()
}

/// Adds a file as a model, checks that it is restored, and returns what was added.
pub async fn add(store: &Store, folder: &Path, model: &str, bytes: &[u8]) -> Added {
    let file = folder.join(model);
    std::fs::write(&file, bytes).unwrap();
    let source = Source { path: "model".into(), file };
    let added = store.add(&name(model), &[source], Effort::Default, &|_| {}).await.unwrap();
    let out = tempfile::tempdir().unwrap();
    store.get(&store.model(&name(model)).await.unwrap(), out.path(), &|_| {}).await.unwrap();
    assert!(std::fs::read(out.path().join("model")).unwrap() == bytes, "{model}");
    added
}

pub fn share(added: &Added) -> f64 {
    added.stored_bytes as f64 / added.bytes as f64
}

fn format(name: &str) -> &'static Format {
    FORMATS.iter().find(|format| format.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_quantisations_take_little_beside_their_floats() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, model) = (open(root.path()).await, Model::new(1));
    add(&store, outside.path(), "stranger", &Model::new(2).floats()).await;
    add(&store, outside.path(), "floats", &model.floats()).await;
    let (mut stored, mut bytes) = (0, 0);
    for format in &FORMATS {
        let added = add(&store, outside.path(), format.name, &model.quantised(format)).await;
        println!("{}: {:.4}", format.name, share(&added));
        (stored, bytes) = (stored + added.stored_bytes, bytes + added.bytes);
    }
    let share = stored as f64 / bytes as f64;
    println!("together: {share:.4}");
    assert!(share <= 0.02, "{share}");
    let stats = store.stats().await.unwrap();
    assert!(stats.value_input_bytes * 100 > bytes * 98 && stats.value_bytes < stored, "{stats:?}");
    assert!(stats.value_input_bytes <= stats.delta_input_bytes && stats.value_bytes <= stats.delta_bytes, "{stats:?}");
    assert_eq!(store.verify(VerifyDepth::ReadData, &|_| {}).await.unwrap().problems, []);
}

/// The name and the bytes of a file.
type File<'a> = (&'a str, Vec<u8>);

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_arrival_does_not_matter() {
    let model = Model::new(3);
    let quantised = |name| (name, model.quantised(format(name)));
    // A first quantisation is stored whole, and those that follow find the floats, or else Q8_0.
    let orders: [(Vec<File>, usize, f64); 2] = [
        (vec![quantised("Q4_K"), ("floats", model.floats()), quantised("Q6_K"), quantised("Q4_0")], 2, 0.04),
        (vec![quantised("Q8_0"), quantised("Q4_K"), quantised("Q4_0"), quantised("Q6_K")], 1, 0.09),
    ];
    for (files, whole, most) in orders {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = open(root.path()).await;
        for (number, (name, bytes)) in files.iter().enumerate() {
            let added = add(&store, outside.path(), name, bytes).await;
            println!("{name}: {:.4}", share(&added));
            assert!(number < whole || share(&added) <= most, "{name}: {}", share(&added));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_floats_and_a_quantised_base_compete() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, base) = (open(root.path()).await, Model::new(4));
    let tuned = base.tuned(5);
    for (name, bytes) in [("base", base.floats()), ("base-q4", base.quantised(format("Q4_K")))] {
        add(&store, outside.path(), name, &bytes).await;
    }
    let of_base = add(&store, outside.path(), "tuned-q4", &tuned.quantised(format("Q4_K"))).await;
    let floats = add(&store, outside.path(), "tuned", &tuned.floats()).await;
    println!("a fine-tune's Q4_K against the base: {:.4}; its floats: {:.4}", share(&of_base), share(&floats));
    assert!(share(&of_base) < 0.17 && share(&floats) < 0.42);
}
