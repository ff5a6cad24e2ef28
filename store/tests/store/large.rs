//! Tests of packed numbers whose floats are several pieces, or slices of a stack.

use std::fs;
use std::path::PathBuf;

use bitx_store::{Copies, GcOptions, PieceRef, VerifyDepth};

use crate::quantised::share;
use crate::sets::{Scene, objects};
use crate::support::models::name;
use crate::support::packings::{PACKINGS, Packing, Tensor, to_file};
use crate::support::weights::Random;

fn packing(wanted: &str) -> Packing {
    PACKINGS.iter().find(|(format, _)| *format == wanted).unwrap().1
}

/// Weights that are numbers of BF16.
fn weights(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Random(seed);
    (0..count).map(|_| f32::from_bits((0.02 * random.normal()).to_bits() & !0xFFFF)).collect()
}

/// A tensor of BF16.
fn floats(name: &str, weights: &[f32], shape: &[u64]) -> Tensor {
    let bytes = weights.iter().flat_map(|weight| weight.to_le_bytes()[2..].to_vec()).collect();
    (name.to_owned(), "BF16", shape.to_vec(), bytes)
}

/// The kinds of the objects of a model.
async fn kinds(scene: &Scene, model: &str) -> Vec<u8> {
    scene.pieces(model).await.into_iter().map(|(_, kind, _)| kind).collect()
}

/// The pieces of the floats of a model, with the paths of their objects.
async fn bases(scene: &Scene) -> Vec<PathBuf> {
    let pieces = scene.pieces("floats").await.into_iter().filter(|(piece, ..)| piece.length > 1 << 20);
    pieces.map(|(.., path)| path).collect()
}

/// A matrix of 36 MiB is two pieces. The numbers of AWQ are cut at its columns, and the tiles of
/// FP8 at other rows than the pieces.
#[tokio::test(flavor = "multi_thread")]
async fn floats_of_several_pieces_are_bases_of_sets() {
    let (rows, columns) = (4096, 4608);
    let (scene, weights) = (Scene::new().await, weights(31, rows * columns));
    scene.add("floats", &to_file(&[floats("l.weight", &weights, &[rows as u64, columns as u64])])).await;
    for (model, format, most) in [("AWQ", "AWQ", 0.02), ("FP8", "FP8 blocks", 0.01)] {
        let added = scene.add(model, &to_file(&packing(format)("l", &weights, columns))).await;
        println!("{format}: {:.4}", share(&added));
        assert!(share(&added) < most, "{format}: {added:?}");
        assert_eq!(kinds(&scene, model).await.iter().filter(|kind| **kind == 8).count(), 2, "{format}");
    }
    drop(weights);
    assert_eq!(scene.problems().await, [""; 0]);
    all_bases_are_needed(&scene).await;
    lost_bases_are_mended(&scene).await;
    for model in ["AWQ", "floats"] {
        scene.store.remove(&name(model)).await.unwrap();
    }
    scene.store.collect(&GcOptions::default()).await.unwrap();
    assert_eq!((objects(&scene, "files"), objects(&scene, "pieces")), (0, 0));
}

/// Each piece of the floats is needed, those that no manifest names as a base among them.
async fn all_bases_are_needed(scene: &Scene) {
    let bases = bases(scene).await;
    assert_eq!(bases.len(), 2);
    for path in &bases {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        assert!(!scene.problems().await.is_empty() && !scene.restores("AWQ", scene).await);
        fs::write(path, bytes).unwrap();
    }
    scene.store.remove(&name("floats")).await.unwrap();
    scene.store.collect(&GcOptions::default()).await.unwrap();
    assert!(bases.iter().all(|path| path.exists()));
    assert_eq!(scene.problems().await, [""; 0]);
    // Sets that are stored tell their bases, and those that were condemned are written again.
    scene.store.remove(&name("AWQ")).await.unwrap();
    scene.again("AWQ", scene).await;
    scene.store.remove(&name("FP8")).await.unwrap();
    scene.store.collect(&GcOptions::default()).await.unwrap();
    assert_eq!(scene.problems().await, [""; 0]);
    assert!(scene.restores("AWQ", scene).await);
}

/// Pieces of the floats that are lost, and then added again, are mended.
async fn lost_bases_are_mended(scene: &Scene) {
    scene.again("floats", scene).await;
    bases(scene).await.into_iter().for_each(|path| fs::remove_file(path).unwrap());
    assert!(!scene.problems().await.is_empty());
    scene.again("floats", scene).await;
    let repaired = scene.store.repair(VerifyDepth::ReadData, Copies::default(), &|_| {}).await.unwrap();
    assert_eq!(repaired.verified.problems, []);
    assert!(scene.restores("AWQ", scene).await);
}

/// The experts of a layer, each as a tensor of its own and all as a stack.
#[tokio::test(flavor = "multi_thread")]
async fn stacks_of_experts_are_bases_of_experts_and_the_other_way_round() {
    let (experts, rows, columns) = (4, 256, 512);
    let weights: Vec<Vec<f32>> = (0..experts).map(|expert| weights(41 + expert, rows * columns)).collect();
    let shape = [rows as u64, columns as u64];
    let stack = vec![floats("experts.weight", &weights.concat(), &[experts, shape[0], shape[1]])];
    let single = |(expert, weights): (usize, &Vec<f32>)| floats(&format!("{expert}.weight"), weights, &shape);
    let singles: Vec<Tensor> = weights.iter().enumerate().map(single).collect();
    for format in ["MLX", "FP8 blocks"] {
        let pack = |stem: &str, weights: &[f32]| packing(format)(stem, weights, columns);
        let of_singles: Vec<Tensor> =
            weights.iter().enumerate().flat_map(|(expert, weights)| pack(&expert.to_string(), weights)).collect();
        let slices: Vec<Vec<Tensor>> = weights.iter().map(|weights| pack("experts", weights)).collect();
        let stacked = |number: usize| {
            let (name, dtype, shape, _) = &slices[0][number];
            let bytes = slices.iter().flat_map(|slice| slice[number].3.clone()).collect();
            (name.clone(), *dtype, [&[experts][..], shape].concat(), bytes)
        };
        let of_stack: Vec<Tensor> = (0..slices[0].len()).map(stacked).collect();
        for (floats, packed) in [(&stack, &of_singles), (&singles, &of_stack), (&stack, &of_stack)] {
            let scene = Scene::new().await;
            scene.add("floats", &to_file(floats)).await;
            let added = scene.add("packed", &to_file(packed)).await;
            println!("{format}: {:.4}", share(&added));
            assert!(share(&added) < 0.03, "{format}: {added:?}");
            assert_eq!(kinds(&scene, "packed").await.iter().filter(|kind| **kind == 7).count(), 4);
            assert_eq!(scene.problems().await, [""; 0]);
        }
    }
}

/// Numbers that are too short for a sketch find their floats beside a large tensor that finds none.
#[tokio::test(flavor = "multi_thread")]
async fn short_numbers_find_their_floats() {
    let (scene, names) = (Scene::new().await, ["k", "v"]);
    let all: Vec<Vec<f32>> = [51, 52].into_iter().map(|seed| weights(seed, 128 * 512)).collect();
    let single = |(name, weights): (&str, &Vec<f32>)| floats(&format!("{name}.weight"), weights, &[128, 512]);
    scene.add("floats", &to_file(&names.into_iter().zip(&all).map(single).collect::<Vec<_>>())).await;
    let mut packed = vec![floats("a.weight", &weights(53, 512 * 512), &[512, 512])];
    for (name, weights) in names.into_iter().zip(&all) {
        packed.extend(packing("MLX")(name, weights, 512));
    }
    scene.add("packed", &to_file(&packed)).await;
    let based: Vec<PieceRef> = scene.pieces("packed").await.into_iter().map(|(piece, ..)| piece).collect();
    assert_eq!(based.iter().filter(|piece| piece.base.is_some()).count(), 2, "{based:?}");
}
