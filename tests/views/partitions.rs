//! The tensors of a model one after the other, in one tensor or in several that are as long as each
//! other, as optimizers keep them.

use super::*;

/// The weights of all tensors in so many partitions, which may begin and end within a tensor.
fn flat(tensors: &[Vec<f32>; 3], count: usize) -> Vec<u8> {
    let mut weights = tensors.concat();
    let length = weights.len().div_ceil(count);
    weights.resize(length * count, 0.0);
    let widened = |part: &[f32]| reference::cast::cast(&bf16(part), 14, 17);
    let parts: Vec<(String, Vec<u8>)> =
        weights.chunks(length).enumerate().map(|(i, part)| (format!("flat{i}"), widened(part))).collect();
    let shape = [length as u64];
    let parts: Vec<_> =
        parts.iter().map(|(name, bytes)| (name.as_str(), "F32", &shape[..], bytes.as_slice())).collect();
    model(&parts)
}

/// The cuts are within the first tensor, within the second one, or both.
#[test]
fn partitions_find_their_tensors() {
    let (base, tuned) = pair();
    let tensors = |tensors| named(NAMES, tensors, "BF16", bf16);
    let (split, plain) = (tensors(&base), tensors(&tuned));
    let same = share(&split, &plain);
    for count in 1..=4 {
        let own = share(&split, &flat(&base, count));
        assert!(own < 0.02, "{count} partitions of the base: {own}");
        let back = share(&flat(&base, count), &plain);
        assert!(back < same + 0.05, "{count} partitions: {back} against {same}");
        assert!(share(&split, &flat(&tuned, count)) < same / 2.0 + 0.08, "{count} partitions of the tune");
    }
}
