//! Files that are laid out and searched for counterparts.

use std::sync::atomic::{AtomicUsize, Ordering};

use bitx::drive::{self, Sources};
use bitx::io::ReadAt;
use bitx::{Compress, Format};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::common::forge::varint;
use super::common::tflite::{self, Tensor};
use super::common::{self, model, tar, with_header};
use super::{compresses, costs, open};

/// Many small matrices in one tensor, each of which may be a part of any of the other file, and
/// many columns of the same name.
#[test]
fn matrices_that_may_be_anywhere_in_each_other() {
    let noise = |seed: u32, count: u32| -> Vec<u8> {
        (0..count).map(|i| ((i ^ seed).wrapping_mul(0x9e37_79b9) >> 13) as u8).collect()
    };
    let file = |shape: &[u64], columns: u32, seed: u32| {
        let (stack, wide) = (noise(seed, 1 << 18), noise(seed + 7, 64 * columns));
        model(&[("a", "U8", shape, &stack), ("wide", "U8", &[64, u64::from(columns)], &wide)])
    };
    let files = [file(&[4096, 16, 4], 4000, 1), file(&[64, 16, 256], 3000, 2)];
    for [base, target] in [[&files[0], &files[1]], [&files[1], &files[0]]] {
        let job = Compress::new(&[base.len() as u64], target.len() as u64, Format::default()).unwrap().job();
        assert!(costs("a search", base.len() + target.len(), || open(job, base, &[], target)));
    }
}

/// Floats of no known layout in short blocks of another order, and such that every few words begin
/// like others do.
#[test]
fn floats_that_may_be_anywhere_in_each_other() {
    const WORDS: u32 = 1 << 19;
    let noise = |i: u32| (i.wrapping_mul(0x9e37_79b9) ^ 0x2545_f491).wrapping_mul(0x85eb_ca6b) >> 9;
    let float = |i: u32, is_negative: bool| {
        let weight = (noise(i) as f32 / 8_388_608.0 + 0.01) * 0.04;
        if is_negative { -weight } else { weight }.to_le_bytes()
    };
    let file = |word: &dyn Fn(u32) -> [u8; 4]| {
        [&[0xFF, 1, 0xFF, 2][..], &(0..WORDS).flat_map(word).collect::<Vec<_>>()].concat()
    };
    // Signs whose product with this number is small make an anchor.
    let signs = (1u32..)
        .map(|i| i << 7 | i >> 3)
        .find(|signs| signs.wrapping_mul(0x9e37_79b1) < 1 << 22 && (12..=20).contains(&signs.count_ones()));
    let signs = signs.unwrap();
    let repeated = file(&|i| float(i, signs >> (31 - i % 32) & 1 == 1));
    let random = |i: u32| float(i, noise(i ^ 0x5555) & 64 == 0);
    let blocks = file(&|i| random((i >> 11).wrapping_mul(77) % (WORDS >> 11) << 11 | i & 2047));
    let usual = file(&random);
    for [base, target] in [[&repeated, &repeated], [&usual, &blocks], [&blocks, &usual], [&usual, &repeated]] {
        let job = Compress::new(&[base.len() as u64], target.len() as u64, Format::default()).unwrap().job();
        assert!(costs("floats", base.len() + target.len(), || open(job, base, &[], target)));
    }
}

/// Many short tensors, each of which may begin at any byte of floats of no known layout.
#[test]
fn tensors_that_may_begin_anywhere() {
    const COUNT: usize = 2000;
    let words = |seed: u32, count: usize| -> Vec<u8> {
        let word = |i: u32| 0x2C00 | ((i ^ seed).wrapping_mul(0x9e37_79b9) >> 16) as u16 & 0x8BFF;
        (0..count as u32).flat_map(|i| word(i).to_le_bytes()).collect()
    };
    let names: Vec<String> = (0..COUNT).map(|i| format!("t{i}")).collect();
    let data: Vec<Vec<u8>> = (0..COUNT).map(|i| words(i as u32 * 977, 128)).collect();
    let tensors: Vec<_> = names.iter().zip(&data).map(|(name, data)| (&**name, "F16", &[128][..], &**data)).collect();
    let base = model(&tensors);
    let target: Vec<u8> =
        (0..60).flat_map(|i| [vec![0xFF; 9000 + i % 2], words(i as u32 * 7919, 2000)].concat()).collect();
    let job = Compress::new(&[base.len() as u64], target.len() as u64, Format::default()).unwrap().job();
    assert!(costs("a search", base.len() + target.len(), || open(job, &base, &[], &target)));
}

#[test]
fn headers_of_models() {
    let entry = |i: u32| format!(r#""{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#);
    let many = format!("{{{}}}", (0..20_000).map(entry).collect::<Vec<_>>().join(","));
    let long = |shape: &str| format!(r#"{{"a":{{"dtype":"U8","shape":[{shape}],"data_offsets":[0,1]}}}}"#);
    let name = "\u{1}".repeat(1 << 18).replace('\u{1}', "\\u0001");
    let twice = format!(r#"{{"{name}":1,"{name}":2}}"#);
    let deep = format!(r#"{{"__metadata__":{{"a":{}1{}}}}}"#, "[".repeat(1 << 19), "]".repeat(1 << 19));
    let files = [
        ("many tensors", with_header(&many, &[])),
        ("many extents", with_header(&long(&vec!["1"; 1 << 19].join(",")), &[1])),
        ("a shape that does not fit", with_header(&long(&vec!["18446744073709551615"; 1 << 16].join(",")), &[1])),
        ("a name twice", with_header(&twice, &[])),
        ("nested metadata", with_header(&deep, &[])),
    ];
    files.iter().for_each(|(what, file)| compresses(what, file));
    let start =
        |tensors: u64, entries: u64| [&b"GGUF\x03\0\0\0"[..], &tensors.to_le_bytes(), &entries.to_le_bytes()].concat();
    let array = |kind: u32, count: u64| [&[9, 0, 0, 0][..], &kind.to_le_bytes(), &count.to_le_bytes()].concat();
    let key = [&1u64.to_le_bytes()[..], b"k"].concat();
    let extents = [&[0xff, 0xff, 7, 0][..], &1u64.to_le_bytes().repeat((8 << 16) - 1)].concat();
    let infos = |i: u64| [&8u64.to_le_bytes()[..], &i.to_be_bytes(), &[0; 4], &24u32.to_le_bytes(), &[0; 8]].concat();
    let files = [
        ("an array of bytes", [start(0, 1), key.clone(), array(0, 4 << 20), vec![0; 4 << 20]].concat()),
        ("empty arrays", [start(0, 1), key.clone(), array(9, 1 << 16), [0; 12].repeat(1 << 16)].concat()),
        ("many extents", [start(1, 0), key, extents, vec![0; 100]].concat()),
        ("many tensors", [start(20_000, 0), (0..20_000).flat_map(infos).collect(), vec![0; 64]].concat()),
    ];
    files.iter().for_each(|(what, file)| compresses(what, file));
}

/// ONNX: fields of two bytes, and initializers of a few.
#[test]
fn fields_of_onnx() {
    let field = |number: u8, body: &[u8]| [&[number << 3 | 2][..], &varint(body.len() as u64), body].concat();
    let small = |i: u32| {
        let name = field(8, &i.to_be_bytes().map(|byte| byte % 64 + 32));
        field(5, &[&[8, 1, 16, 2][..], &name, &field(9, &[i as u8])].concat())
    };
    let tensors: Vec<u8> = (0..20_000u32).map(|i| i / 64 << 8 | i % 64).flat_map(small).collect();
    for graph in [tensors, [0x18, 0].repeat(1 << 20), field(5, &[8, 1].repeat(60))] {
        let file = [vec![8, 8], field(7, &graph)].concat();
        compresses(&format!("a graph of {} bytes", graph.len()), &file);
    }
}

/// Files of ggml: headers without a tensor, places that begin like one, and tensors of a byte that
/// reach to the end of the file or not.
#[test]
fn tensors_of_ggml() {
    let tensor =
        |name: &[u8]| [&[1u32, name.len() as u32, 24, 1].map(u32::to_le_bytes).concat()[..], name, &[0]].concat();
    let name = |i: u32| i.to_be_bytes().map(|byte| byte % 64 + 33);
    let tensors: Vec<u8> = (0..60_000u32)
        .map(|i| i / 64 % 64 << 8 | i % 64 | i / 4096 << 16)
        .map(name)
        .flat_map(|name| tensor(&name))
        .collect();
    let one = [1u32, 256, 24, 1].map(u32::to_le_bytes).concat();
    for rest in
        [vec![0; 1 << 20], one.repeat(1 << 16), [1, 0, 0, 0].repeat(1 << 18), [&tensors[..], &[0]].concat(), tensors]
    {
        let file = [b"lmgg".to_vec(), rest].concat();
        compresses(&format!("ggml of {} bytes", file.len()), &file);
    }
}

/// TensorFlow Lite: graphs that share tensors, tensors that share a buffer, buffers that share a
/// table, names as long as can be, and scales.
#[test]
fn tables_of_tensorflow_lite() {
    let (name, data, scales) = ("n".repeat(512), [7u8; 4096], [0.5; 32]);
    let tensor = Tensor { name: &name, kind: 17, shape: &[32, 256], data: &data, scales: &scales, ..Tensor::default() };
    let names: Vec<String> = (0..2000).map(|i| format!("{i:0>512}")).collect();
    let many: Vec<_> = names.iter().map(|name| Tensor { name, ..tensor }).collect();
    let shared = vec![(1, tensor); 5000];
    let short = Tensor { name: "s", kind: 3, shape: &[256], data: &[7; 256], ..Tensor::default() };
    // Its name is that of the buffer, which another tensor has taken.
    let taken = Tensor { name: "buffers.1", ..tensor };
    let nameless = Tensor { name: "", blocks: 1, ..tensor };
    let files = [
        ("a taken name", with_data(&[vec![(0, taken)], vec![(1, nameless); 5000]].concat())),
        ("one tensor", repeated(&tensor, [1 << 10, 1 << 10, 2])),
        ("one graph", repeated(&tensor, [1 << 18, 1, 2])),
        ("one buffer", repeated(&tensor, [1, 1, 1 << 18])),
        ("long names", tflite::model(&many)),
        ("short tensors", tflite::model(&[short; 10_000])),
        ("a shared buffer", with_data(&shared)),
    ];
    files.iter().for_each(|(what, file)| compresses(what, file));
}

/// A model of these tensors, each behind the number of its buffer, and two buffers.
fn with_data(tensors: &[(u32, Tensor<'_>)]) -> Vec<u8> {
    let (mut file, places) = tflite::described(tensors, &[&[4], &[4]]);
    for place in places {
        let data = tflite::vector(&mut file, tensors[0].1.data.len(), tensors[0].1.data);
        tflite::link(&mut file, place[0], data);
    }
    file
}

/// A model whose lists of graphs, of tensors and of buffers have so many elements, which are one
/// graph, one tensor and one buffer.
fn repeated(tensor: &Tensor<'_>, [graphs, tensors, buffers]: [usize; 3]) -> Vec<u8> {
    let (mut file, to_graphs, to_buffers) = tflite::start();
    let list = |file: &mut Vec<u8>, from: usize, count: usize| {
        let at = tflite::offsets(file, count);
        tflite::link(file, from, at);
        (0..count).map(|i| at + 4 + 4 * i).collect::<Vec<_>>()
    };
    let (graphs, buffers) = (list(&mut file, to_graphs, graphs), list(&mut file, to_buffers, buffers));
    let (graph, fields) = tflite::table(&mut file, &[4]);
    let tensors = list(&mut file, fields[0], tensors);
    let tensor_at = tflite::describe(&mut file, 1, tensor);
    let (buffer, fields) = tflite::table(&mut file, &[4]);
    let data = tflite::vector(&mut file, tensor.data.len(), tensor.data);
    tflite::link(&mut file, fields[0], data);
    for (places, to) in [(graphs, graph), (tensors, tensor_at), (buffers, buffer)] {
        places.into_iter().for_each(|place| tflite::link(&mut file, place, to));
    }
    file
}

/// TensorFlow Lite: tables that are far from each other are not read over and over.
#[test]
fn tables_far_from_each_other() {
    const COUNT: usize = 20_000;
    const BUFFERS: usize = 400;
    let (mut file, _, to_buffers) = tflite::start();
    let list = tflite::offsets(&mut file, COUNT);
    tflite::link(&mut file, to_buffers, list);
    let tables: Vec<usize> = (0..BUFFERS)
        .map(|_| {
            file.resize(file.len() + 20_000, 0);
            tflite::table(&mut file, &[4]).0
        })
        .collect();
    for i in 0..COUNT {
        tflite::link(&mut file, list + 4 + 4 * i, tables[i * 77 % BUFFERS]);
    }
    let counted = Counted { file: &file, read: AtomicUsize::new(0) };
    let layout = costs("tables", file.len(), || drive::layout(&counted).unwrap());
    assert!(layout.fault.unwrap().to_string().contains("too far from each other"));
    // The search for floats reads the file once more.
    let read = counted.read.into_inner();
    assert!(read < 6 * file.len(), "{read} bytes read of {}", file.len());
}

/// A file that counts the bytes that are read of it.
struct Counted<'a> {
    file: &'a [u8],
    read: AtomicUsize,
}

impl ReadAt for Counted<'_> {
    fn len(&self) -> u64 {
        self.file.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.read.fetch_add(buffer.len(), Ordering::Relaxed);
        self.file.read_at(offset, buffer)
    }
}

/// MessagePack: items of a byte, empty maps, arrays of a few hundred bytes, and names that grow.
#[test]
fn items_of_flax() {
    let list = |count: u32, items: Vec<u8>| [&[0x81, 0xa1, b'a', 0xdd][..], &count.to_be_bytes(), &items].concat();
    let array = [&[0xc8, 1, 13, 1, 0x93, 0x91, 0xcd, 1, 0, 0xa4][..], b"int8", &[0xc5, 1, 0], &[7; 256]].concat();
    assert_eq!(array.len(), 4 + 0x10d);
    let key = [&[0xd9, 200][..], &[b'k'; 200], &[0xc0]].concat();
    for file in [
        list(1 << 20, vec![0; 1 << 20]),
        list(1 << 19, vec![0x80; 1 << 19]),
        list(10_000, array.repeat(10_000)),
        [&[0xde, 0x27, 0x10][..], &key.repeat(10_000)].concat(),
        [&[0x81, 0xa1, b'a'][..], &vec![0x91; 1 << 20]].concat(),
    ] {
        compresses(&format!("flax of {} bytes", file.len()), &file);
    }
}

/// A manifest of paths of 512 folders each, which are all different.
/// Long names and paths that belong to many parts, or to many tensors, in files that describe
/// others.
#[test]
fn names_in_descriptions() {
    let long = "n".repeat(200_000);
    let list = |of: &dyn Fn(u32) -> String| (0..20_000).map(of).collect::<Vec<_>>().join(",");
    let weights = format!(r#"{{"name":"{long}","shape":[20000,1048576],"dtype":"float32"}}"#);
    let group = |paths: String| format!(r#"{{"weightsManifest":[{{"paths":[{paths}],"weights":[{weights}]}}]}}"#);
    let array = r#"{"name":"a","shape":[1],"dtype":"int8","nbytes":1,"byteOffset":0}"#;
    let arrays = list(&|_| array.to_owned());
    for description in [
        group(list(&|path| format!("\"{path}\""))),
        group(list(&|_| "\"model\"".to_owned())),
        format!(r#"{{"records":[{{"dataPath":"{long}","records":[{arrays}]}}]}}"#),
    ] {
        let (graph, file) = (description.as_bytes(), [1u8; 300].as_slice());
        let names = vec!["model".to_owned(); 2];
        let job = Compress::new(&[300], 300, Format::default()).unwrap();
        let mut job = job.with_graphs(&[graph.len() as u64], names).unwrap().job();
        let bases: [&dyn ReadAt; 1] = [&file];
        let graphs: [&dyn ReadAt; 1] = [&graph];
        let sources = Sources { base: &bases, target: Some(&file), graphs: &graphs, ..Sources::default() };
        costs("a description", graph.len() + 600, || drive::open(&mut job, &sources).is_ok());
    }
}

/// Short runs of floats, as many as there may be, in a file of no known kind.
#[test]
fn runs_of_floats() {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    let mut weight = |i: usize| match i % 300 {
        0 | 1 => 1u32,
        _ => ((next() + next() + next()) * 0.04f32).to_bits(),
    };
    let file: Vec<u8> = (0..1 << 19).flat_map(|i| weight(i).to_le_bytes()).collect();
    compresses("runs of floats", &file);
    // The longest name that a member of an archive may have is not that of each run.
    let archive = common::zip::Zip::default().add(&"n".repeat(65_000), &[&[1; 8192], &file[..]].concat()).finish(b"");
    compresses("runs of floats in an archive", &archive);
}

/// Members as short and names as long as can be, and a model in more files than are looked into.
#[test]
fn members_of_tar_files() {
    let names: Vec<String> = (0..8000).map(|i| format!("{i:0>100}")).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &[7; 256][..])).collect();
    compresses("short members", &tar::tar(&members));
    let long = "t".repeat(100);
    let tensors: Vec<String> = (0..9000).map(|i| format!("{i}")).collect();
    let tensors: Vec<_> = tensors.iter().map(|name| (&**name, "U8", &[1][..], &[1][..])).collect();
    let nested = (0..5).fold(model(&tensors), |file, _| tar::tar(&[(&long, &file), ("m", &file)]));
    compresses("files in files", &nested);
}

/// Many matrices whose names the base does not have, each of which may be any of the base's.
#[test]
fn names_like_all_others() {
    const COUNT: usize = 2000;
    let file = |first: char, columns: u64| {
        let names: Vec<String> = (0..COUNT).map(|i| format!("{first}{i:04}{}", ".weight".repeat(8))).collect();
        let data = vec![first as u8; 64 * columns as usize];
        let tensors: Vec<_> = names.iter().map(|name| (&**name, "U8", [64, columns], &*data)).collect();
        model(&tensors.iter().map(|(name, dtype, shape, data)| (*name, *dtype, &shape[..], *data)).collect::<Vec<_>>())
    };
    let (base, target) = (file('a', 3), file('b', 2));
    let job = Compress::new(&[base.len() as u64], target.len() as u64, Format::default()).unwrap().job();
    assert!(costs("a search", base.len() + target.len(), || open(job, &base, &[], &target)));
}
