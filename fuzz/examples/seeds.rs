//! Writes the seeds: small inputs of every kind, from which mutations start.

use std::fs;
use std::path::Path;

use bitx_fuzz::archive::Parts;
use bitx_fuzz::compress;
use bitx_fuzz::input::{Type, model, put_prefixed};
use bitx_wasm::{Effort, Format};

const V2: Format = Format::V2 { effort: Effort::Max };

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

/// Weights of `kind`, and the same moved a little.
fn pair(kind: &Type) -> (Vec<u8>, Vec<u8>) {
    let base = kind.weights(7);
    let moves = kind.weights(9);
    let width = kind.length() / (kind.shape[0] * kind.shape[1]) as usize;
    let moved = base.iter().zip(&moves).enumerate();
    let moved = moved.map(|(i, (b, m))| b.wrapping_add(if i % width.max(1) == 0 { m & (m >> 3) & 7 } else { 0 }));
    (base.clone(), moved.collect())
}

fn main() {
    headers();
    gguf();
    for (dtype, name) in [(5, "i8"), (7, "e4m3"), (14, "bf16"), (17, "f32"), (19, "f64"), (20, "i64")] {
        tensors(&Type { dtype, shape: [12, 40] }, name);
    }
    chunk(&Type { dtype: 14, shape: [128, 40] }, "bf16-large", true);
    chunk(&Type { dtype: 13, shape: [20, 64] }, "f16-solo", false);
    chunk(&Type { dtype: 19, shape: [12, 33] }, "f64-solo", false);
    files();
}

fn headers() {
    let metadata = r#"{"__metadata__":{"format":"pt"},"a\n":{"dtype":"F4","shape":[2,1],"data_offsets":[3,4]}}"#;
    let odd = [&(metadata.len() as u64).to_le_bytes()[..], metadata.as_bytes(), &[1, 2, 3, 4, 5]].concat();
    write("safetensors_header", "metadata", &odd);
    write("safetensors_header", "scalar", &model("F64", &[], &[1; 8]));
    write("safetensors_header", "matrix", &model("BF16", &[2, 3], &[7; 12]));
    write("safetensors_header", "empty", &model("U8", &[0], &[]));
}

/// A GGUF file behind its magic: two metadata entries, one tensor.
fn gguf() {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let metadata = [text("general.alignment"), numbers(&[4, 32]), text("tokens"), numbers(&[9, 8, 1, 0]), text("a")];
    let infos = [text("w"), numbers(&[2, 4, 0, 2, 0, 30, 0, 0]), text("q"), numbers(&[1, 32, 0, 8, 32, 0])];
    let mut file = [numbers(&[3, 2, 0, 2, 0]), metadata.concat(), infos.concat()].concat();
    file.resize((file.len() + 4).next_multiple_of(32) - 4 + 66, 7);
    write("gguf_header", "two", &file);
}

/// Seeds of archives of one tensor.
fn tensors(kind: &Type, name: &str) {
    let (base, moved) = pair(kind);
    let (base, target) = (kind.file(&base), kind.file(&moved));
    for (format, folder) in [(Format::V1 { level: 3 }, "v1_archive"), (V2, "v2_archive")] {
        let mut seed = Vec::new();
        put_prefixed(&mut seed, &base);
        seed.extend(compress(&base, &target, format).unwrap());
        write(folder, name, &seed);
    }
    parts(&base, &target, name);
    chunk(kind, name, true);
    write("chunk_symbols", name, &[&kind.write()[..], &[0, 7, 3, 2, 3, 1, 9, 2, 4, 5, 3, 40, 6, 33, 1, 2]].concat());
    write("round_trip", name, &[&[7][..], &kind.write(), &[0, 0, 0, 1, 0, 2]].concat());
}

fn parts(base: &[u8], target: &[u8], name: &str) {
    let Parts { head, records } = Parts::of(&compress(base, target, V2).unwrap());
    let mut seed = Vec::new();
    put_prefixed(&mut seed, base);
    put_prefixed(&mut seed, &head);
    seed.extend(records);
    write("v2_parts", name, &seed);
}

/// The payload of a tensor's only chunk.
fn chunk(kind: &Type, name: &str, paired: bool) {
    let (base, moved) = pair(kind);
    let base = if paired { kind.file(&base) } else { Vec::new() };
    let records = Parts::of(&compress(&base, &kind.file(&moved), V2).unwrap()).records;
    let method = records[0];
    if method >= 3 {
        write("chunk_payload", name, &[&kind.write()[..], &[method - 3, 7], &records[21..]].concat());
    }
}

/// Seeds of whole files.
fn files() {
    let kind = Type { dtype: 14, shape: [10, 20] };
    let (base, moved) = pair(&kind);
    let tied = kind.file(&moved);
    let files = [("text", b"some text".to_vec(), b"some other text".to_vec()), ("tensor", kind.file(&base), tied)];
    for (name, base, target) in files {
        parts(&base, &target, name);
        let mut seed = vec![2];
        put_prefixed(&mut seed, &base);
        seed.extend(&target);
        write("round_trip", name, &seed);
    }
}
