//! A pair of tensors of 16-bit floats whose lengths leave a rest in every kernel, with words that
//! became 0, NaN and infinities, and with matrices that a prediction suits.

use super::model;

/// SHA-256 of the v2 archives of this pair at `EFFORTS`.
pub const ARCHIVES: [&str; 3] = [
    "a0e08062c17d78303c49e1b350d53389a20879f92fa43b5e871e61a7de3290a1",
    "c448528764f532d1aa554adda71891c489657b97867c51562234590bcd029ada",
    "745dd1f67cff308fec6e60c9c58153a28669cc5298e6f8cfa6d1cdb5531aa0ff",
];

/// Returns base and target.
pub fn pair() -> (Vec<u8>, Vec<u8>) {
    let lengths = (1u64..40).chain([63, 64, 65, 1000, 4095, 4097]).map(|length| vec![length]);
    let shapes: Vec<Vec<u64>> = lengths.chain([vec![64, 129], vec![200, 33], vec![7, 1001]]).collect();
    let mut seed = 9u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 16
    };
    let mut tensors = Vec::new();
    for (i, shape) in shapes.iter().enumerate() {
        for dtype in ["BF16", "F16"] {
            let columns = shape.last().copied().unwrap_or(1);
            let (mut before, mut after) = (Vec::new(), Vec::new());
            for at in 0..shape.iter().product() {
                // Exponents that both dtypes call ordinary, and a change that grows along rows.
                let word = (0x3000 | next() & 0x8fff) as u16;
                let change = (at % columns / 8 + u64::from(next() % 3)) as u16;
                let moved = match next() % 16 {
                    0 if i % 3 == 0 => 0,
                    1 if i % 7 == 0 => 0x7fff,
                    2 if i % 5 == 0 => 0xff80,
                    _ => word.wrapping_add(change),
                };
                before.extend_from_slice(&word.to_le_bytes());
                after.extend_from_slice(&moved.to_le_bytes());
            }
            tensors.push((format!("{dtype}.{i}"), dtype, shape, before, after));
        }
    }
    let before = tensors.iter().map(|(name, dtype, shape, before, _)| (&**name, *dtype, &***shape, &**before));
    let after = tensors.iter().map(|(name, dtype, shape, _, after)| (&**name, *dtype, &***shape, &**after));
    (model(&before.collect::<Vec<_>>()), model(&after.collect::<Vec<_>>()))
}
