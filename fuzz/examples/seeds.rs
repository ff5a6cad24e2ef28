//! Writes the seeds: small inputs of every kind, from which mutations start.

use std::fs;
use std::path::Path;

use bitx::folder::{Archive, Entry, File, Manifest};
use bitx::{Effort, Format};
use bitx_fuzz::archive::{FACTORS, PREDICTED, Parts};
use bitx_fuzz::input::{METHODS, Type, model, put_prefixed};
use bitx_fuzz::protobuf::field;
use bitx_fuzz::tflite::{self, Tensor};
use bitx_fuzz::{build, compress, payload, zip};

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
    let width = match kind.dtype {
        22 => 34,
        _ => kind.length() / (kind.shape[0] * kind.shape[1]) as usize,
    };
    let moved = base.iter().zip(&moves).enumerate();
    let moved = moved.map(|(i, (b, m))| b.wrapping_add(if i % width.max(1) == 0 { m & (m >> 3) & 7 } else { 0 }));
    let moved = moved.collect();
    (base, moved)
}

/// Weights of `kind`, `BF16` or `F32`, and the same moved along two directions.
fn along(kind: &Type) -> (Vec<u8>, Vec<u8>) {
    let base = kind.weights(7);
    let (columns, width) = (kind.shape[1] as usize, if kind.dtype == 14 { 2 } else { 4 });
    let mut moved = base.clone();
    for (i, word) in moved.chunks_mut(width).enumerate() {
        let (row, column) = ((i / columns) as f32, (i % columns) as f32);
        let by = 6e-5 * (row * 0.7).sin() * (column * 0.3).cos() + 3e-5 * (row * 0.2).cos() * (column * 1.1).sin();
        let mut bytes = [0; 4];
        bytes[4 - width..].copy_from_slice(word);
        word.copy_from_slice(&(f32::from_le_bytes(bytes) + by).to_le_bytes()[4 - width..]);
    }
    (base, moved)
}

/// A manifest of one file.
fn manifest() {
    let file = |path: &str, byte| File { path: path.into(), bytes: 3, blake3: [byte; 32] };
    let archive = Archive { path: "a/b.json.bitx".into(), bytes: 100, root: [3; 32] };
    let entry = Entry { file: file("a/b.json", 2), archive, base: vec![0] };
    let manifest = Manifest { base: vec![file("a.json", 1)], files: vec![entry] };
    write("folder_manifest", "one", &manifest.write().unwrap());
}

fn main() {
    headers();
    manifest();
    gguf();
    places();
    for (dtype, name) in [(5, "i8"), (7, "e4m3"), (14, "bf16"), (17, "f32"), (19, "f64"), (20, "i64")] {
        let kind = Type { dtype, shape: [12, 40] };
        tensors(&kind, name, pair(&kind));
    }
    let kind = Type { dtype: 22, shape: [24, 64] };
    tensors(&kind, "q8-0", pair(&kind));
    for (dtype, name) in [(14, "bf16-predicted"), (17, "f32-predicted")] {
        let kind = Type { dtype, shape: [40, 64] };
        tensors(&kind, name, along(&kind));
    }
    let kind = Type { dtype: 14, shape: [128, 40] };
    chunk(&kind, "bf16-large", pair(&kind), true);
    for (kind, name) in
        [(Type { dtype: 13, shape: [20, 64] }, "f16-solo"), (Type { dtype: 19, shape: [12, 33] }, "f64-solo")]
    {
        chunk(&kind, name, pair(&kind), false);
    }
    for (dtype, name, step) in [(13, "f16", -17), (14, "bf16", -25), (17, "f32", -25), (19, "f64", -101)] {
        moved(&Type { dtype, shape: [40, 64] }, name, 2f32.powi(step));
    }
    wide_bins();
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

/// A PyTorch archive and its pickle, a NumPy archive, an ONNX model and its graph.
fn places() {
    let part = zip::view(&zip::storage("HalfStorage", "0", 128), 64, &[64], &[1], &[]);
    let parameter = [&zip::global("torch._utils", "_rebuild_parameter")[..], b"(", &part, b"\x88}tR"].concat();
    let state = zip::dict(&[("a", zip::tensor("FloatStorage", "0", &[2, 32])), ("b", parameter)]);
    let pickle = zip::pickle(&[&state[..], b"q\0"].concat());
    let torch = zip::Zip::default().add("m/data.pkl", &pickle).add("m/data/0", &[1; 256]);
    let header = b"\x93NUMPY\x01\0\x3e\0{'descr': '<f4', 'fortran_order': False, 'shape': (64,), }     \n";
    let numpy = zip::Zip::default().add_as("w.npy", zip::STORED, &[&header[..], &[1; 256]].concat());
    for (name, archive) in [("torch", torch.finish(b"!")), ("numpy", numpy.finish_64())] {
        write("places", name, &[&[0], &archive[4..]].concat());
    }
    write("places", "pickle", &[&[1], &pickle[..]].concat());
    let keys = zip::pickle(&[b"](", &zip::text("0")[..], b"e"].concat());
    let pickles = [zip::pickle(b"M\xe9\x03"), zip::pickle(b"}"), pickle, keys].concat();
    write("places", "stream", &[&[4], &pickles[..], &64u64.to_le_bytes(), &[1; 256]].concat());
    let tensor = [vec![8, 64, 16, 1], field(4, &[1; 256])].concat();
    let attribute = |name: &[u8], number, value: &[u8]| field(5, &[field(1, name), field(number, value)].concat());
    let constant = field(1, &[field(2, b"w"), attribute(b"value", 5, &tensor)].concat());
    let branch = field(1, &[field(2, b"if"), attribute(b"then_branch", 6, &constant)].concat());
    let graph = [branch, constant, field(5, &[tensor, field(8, b"v")].concat())].concat();
    write("places", "onnx", &[&[2], &field(7, &graph)[..]].concat());
    write("places", "graph", &[&[3], &graph[..]].concat());
    let nibbles = Tensor { name: "a", kind: 17, shape: &[16, 128], data: &[0x2d; 1024], ..Tensor::default() };
    let floats = Tensor { name: "b", shape: &[64], data: &[1; 256], ..Tensor::default() };
    let model = tflite::model(&[Tensor { scales: &[0.1; 16], ..nibbles }, floats]);
    write("places", "tflite", &[&[10], &model[tflite::START.len()..]].concat());
}

/// Seeds of archives of one tensor.
fn tensors(kind: &Type, name: &str, (base, moved): (Vec<u8>, Vec<u8>)) {
    chunk(kind, name, (base.clone(), moved.clone()), true);
    let (base, target) = (kind.file(&base), kind.file(&moved));
    for (format, folder) in [(Format::V1 { level: 3 }, "v1_archive"), (V2, "v2_archive")] {
        // The first version has no other layouts than safetensors.
        if let Ok(archive) = compress(&base, &target, format) {
            let mut seed = Vec::new();
            put_prefixed(&mut seed, &base);
            seed.extend(archive);
            write(folder, name, &seed);
        }
    }
    parts(&base, &target, name);
    write("chunk_symbols", name, &[&kind.write()[..], &[0, 7, 3, 2, 3, 1, 9, 2, 4, 5, 3, 40, 6, 33, 1, 2]].concat());
    write("round_trip", name, &[&[7][..], &kind.write(), &[0, 0, 0, 1, 0, 2]].concat());
}

/// Seeds that are built of factors: two components, numbers of some raw bits, and no delta on top.
fn moved(kind: &Type, name: &str, step: f32) {
    let integers = |symbol| [1, symbol, 0, 10, 0, 0];
    let raw: Vec<u8> = (0..40u8).map(|i| i.wrapping_mul(i).wrapping_mul(57).wrapping_add(11)).collect();
    let factors = [&[1][..], &step.to_le_bytes(), &[1, 0], &integers(40), &integers(36), &[0, 10, 0, 0], &raw].concat();
    write("chunk_symbols", &format!("{name}-moved"), &[&kind.write()[..], &[2, 7], &factors].concat());
    write("round_trip", &format!("{name}-moved"), &[&[15][..], &kind.write(), &factors].concat());
}

/// Differences of the widest bins, a table of one symbol for every ten exponents: up to 63 raw bits
/// each.
fn wide_bins() {
    let kind = Type { dtype: 19, shape: [40, 64] };
    let (weights, raw) = (kind.weights(7), [0xaa, 0x17, 0x61, 0xc2, 0xfe]);
    let tables: Vec<u8> = [174, 170, 160, 150, 145, 144, 143, 44].iter().flat_map(|&symbol| [9, symbol, 0]).collect();
    let symbols = [&[1, 0x80, 3][..], &tables, &raw].concat();
    let [_, chunk] = build::payload(&kind, METHODS[0], &weights, &symbols);
    let (_, decoded) = payload::expected(&kind, METHODS[0], &weights, &[], &chunk);
    assert!(decoded.unwrap() != weights && chunk.len() * 2 > weights.len(), "few bins are wide");
    payload::compare(&kind, METHODS[0], &weights, &[], &chunk);
    write("chunk_symbols", "wide-bins", &[&kind.write()[..], &[0, 7], &symbols].concat());
}

fn parts(base: &[u8], target: &[u8], name: &str) {
    let Parts { head, records } = Parts::of(&compress(base, target, V2).unwrap());
    let mut seed = Vec::new();
    put_prefixed(&mut seed, base);
    put_prefixed(&mut seed, &head);
    seed.extend(records);
    write("v2_parts", name, &seed);
}

/// The payload of a tensor's only chunk, and the factors before it.
fn chunk(kind: &Type, name: &str, (base, moved): (Vec<u8>, Vec<u8>), paired: bool) {
    let base = if paired { kind.file(&base) } else { Vec::new() };
    let records = Parts::of(&compress(&base, &kind.file(&moved), V2).unwrap()).records;
    let length = 21 + u32::from_le_bytes(records[1..5].try_into().unwrap()) as usize;
    let (factors, records) = records.split_at(if records[0] == FACTORS { length } else { 0 });
    let method = METHODS.iter().position(|&method| method == records[0]);
    assert!(name.contains("predicted") == (records[0] == PREDICTED), "{name}");
    if let Some(method) = method {
        let mut seed = [&kind.write()[..], &[method as u8, 7]].concat();
        if let Some(factors) = factors.get(21..) {
            put_prefixed(&mut seed, factors);
        }
        seed.extend(&records[21..]);
        write("chunk_payload", name, &seed);
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
