use super::*;

/// The packing, the tiles and the companions of the first of these regions.
fn known(regions: &[(&str, Dtype, &[u64])]) -> Option<(u8, [u64; 3], Vec<usize>)> {
    let found = find(&Layout::of_tensors(regions)).into_iter().find(|known| known.region == 0)?;
    let Known { packing, tiles, scales, zeros, factor, .. } = found;
    let companions = std::iter::once(scales).chain(zeros).chain(factor).collect();
    Some((packing, [tiles.width, tiles.rows, tiles.columns], companions))
}

use Dtype::{F8_E4M3, F16, F32};

#[test]
fn shapes_tell_gptq_from_awq_and_from_runs() {
    let zeros = ("l.qzeros", I32, &[2, 12][..]);
    let scales = ("l.scales", F16, &[2, 96][..]);
    let gptq = known(&[("l.qweight", I32, &[8, 96]), scales, zeros]);
    assert_eq!(gptq, Some((3, [768, 4, 8], vec![1, 2])));
    assert_eq!(known(&[("l.qweight", I32, &[8, 96]), scales]), Some((0, [768, 4, 8], vec![1])));
    let awq = known(&[("l.qweight", I32, &[64, 12]), scales, zeros]);
    assert_eq!(awq, Some((4, [96, 32, 1], vec![1, 2])));
    // AWQ has zero points always.
    assert_eq!(known(&[("l.qweight", I32, &[64, 12]), scales]), None);
    let runs = known(&[("l.qweight", U8, &[96, 2, 16]), ("l.scales", F16, &[192])]);
    assert_eq!(runs, Some((0, [32, 1, 32], vec![1])));
}

#[test]
fn zero_points_tell_the_bits_of_gptq() {
    let (numbers, scales) = (("l.qweight", I32, &[16, 96][..]), ("l.scales", F16, &[2, 96][..]));
    let with = |zeros: &[u64]| known(&[numbers, scales, ("l.qzeros", I32, zeros)]);
    assert_eq!(with(&[2, 24]), Some((15, [384, 8, 4], vec![1, 2])));
    assert_eq!(with(&[2, 12]), Some((3, [768, 8, 8], vec![1, 2])));
    assert_eq!(with(&[2, 6]), Some((25, [1536, 8, 16], vec![1, 2])));
}

#[test]
fn words_of_a_group_tell_the_bits_of_most() {
    let mlx = |columns: u64, dtype: Dtype, biases: &[u64]| {
        let (scales, biases) = (("l.scales", dtype, &[96, 4][..]), ("l.biases", dtype, biases));
        known(&[("l.weight", U32, &[96, columns]), scales, biases])
    };
    let found = |packing: u8, run: u64| Some((packing, [run, 1, run], vec![1, 2]));
    assert_eq!(mlx(16, F16, &[96, 4]), found(13, 32));
    assert_eq!(mlx(32, F16, &[96, 4]), found(13, 64));
    assert_eq!(mlx(64, F32, &[96, 4]), found(14, 64));
    assert_eq!(mlx(128, F16, &[96, 4]), found(14, 128));
    assert_eq!(mlx(8, F16, &[96, 4]), found(19, 32));
    assert_eq!(mlx(24, F16, &[96, 4]), found(20, 64));
    assert_eq!(mlx(40, F16, &[96, 4]), found(21, 64));
    assert_eq!(mlx(48, F16, &[96, 4]), found(22, 64));
    // Groups of no whole words, long groups, biases of another number or of bytes.
    assert_eq!(mlx(27, F16, &[96, 4]), None);
    assert_eq!(mlx(256, F16, &[96, 4]), None);
    assert_eq!(mlx(32, F16, &[96, 5]), None);
    assert_eq!(mlx(32, U8, &[96, 4]), None);
    let compressed = |scales: &[u64]| known(&[("l.weight_packed", I32, &[96, 128]), ("l.weight_scale", F16, scales)]);
    assert_eq!(compressed(&[96, 8]), Some((0, [128, 1, 128], vec![1])));
    assert_eq!(compressed(&[96, 4]), Some((10, [128, 1, 128], vec![1])));
    assert_eq!(compressed(&[96, 1]), Some((10, [512, 1, 512], vec![1])));
}

/// The start of a region tells the bits of numbers that its shape does not.
#[test]
fn zeros_in_all_groups_tell_the_bits() {
    let mlx = [("l.weight", U32, &[96, 32][..]), ("l.scales", F16, &[96, 4]), ("l.biases", F16, &[96, 4])];
    let known = find(&Layout::of_tensors(&mlx))[0];
    let with = |groups: &[&[u8]]| {
        let start = groups.concat();
        let known = known.with_bits(|region| (region == 0).then_some(&start), 96 * 32 * 4);
        (known.packing, known.tiles.width)
    };
    let (bytes, nibbles): (Vec<u8>, Vec<u8>) = ((0..32).collect(), (0..32).map(|i| 0x10 | i % 16).collect());
    assert_eq!(with(&[&bytes, &bytes]), (14, 32));
    assert_eq!(with(&[&nibbles, &nibbles]), (13, 64));
    // Two groups of 32 bytes are one of 128 numbers of two bits in each; without a 0 in most, or
    // without a whole group, shapes decide.
    assert_eq!(with(&[&[0xab; 31], &[0x5f]]), (13, 64));
    assert_eq!(with(&[&[0xab; 31], &[0xfc]]), (19, 128));
    assert_eq!(with(&[&bytes[..31]]), (13, 64));
}

#[test]
fn zero_points_and_factors_are_taken_where_they_fit() {
    let (numbers, scales) = (("w_Q4", U8, &[96, 2, 16][..]), ("w_scales", F32, &[96, 2][..]));
    let with = |zeros: &[u64]| known(&[numbers, scales, ("w_zero_points", U8, zeros)]);
    assert_eq!(with(&[96]), Some((2, [32, 1, 32], vec![1, 2])));
    assert_eq!(with(&[95]), Some((0, [32, 1, 32], vec![1])));
    let nvfp4 = [("w.weight", U8, &[96, 32][..]), ("w.weight_scale", F8_E4M3, &[96, 4][..])];
    assert_eq!(known(&nvfp4), Some((6, [16, 1, 16], vec![1])));
    let factor = ("w.weight_scale_2", F32, &[][..]);
    assert_eq!(known(&[nvfp4[0], nvfp4[1], factor]), Some((6, [16, 1, 16], vec![1, 2])));
    // The factor of compressed-tensors divides scales.
    let packed = [("w.weight_packed", U8, &[96, 32][..]), ("w.weight_scale", F8_E4M3, &[96, 4][..])];
    assert_eq!(known(&packed), Some((6, [16, 1, 16], vec![1])));
    let factor = ("w.weight_global_scale", F32, &[1][..]);
    assert_eq!(known(&[packed[0], packed[1], factor]), Some((27, [16, 1, 16], vec![1, 2])));
    // Zero points of compressed-tensors, eight rows in a word.
    let (numbers, scales) = (("w.weight_packed", I32, &[96, 16][..]), ("w.weight_scale", F16, &[96, 1][..]));
    assert_eq!(
        known(&[numbers, scales, ("w.weight_zero_point", I32, &[12, 1])]),
        Some((28, [128, 1, 128], vec![1, 2]))
    );
    assert_eq!(known(&[numbers, scales, ("w.weight_zero_point", I32, &[11, 1])]), Some((0, [128, 1, 128], vec![1])));
    // Numbers of 2 bits.
    let (numbers, scales) = (("w_Q2", U8, &[96, 2, 8][..]), ("w_scales", F32, &[96, 2][..]));
    assert_eq!(known(&[numbers, scales]), Some((23, [32, 1, 32], vec![1])));
    assert_eq!(known(&[numbers, scales, ("w_zero_points", U8, &[48])]), Some((24, [32, 1, 32], vec![1, 2])));
}

#[test]
fn integers_have_scales_of_columns_of_rows_or_one() {
    let numbers = ("w_quantized", I8, &[64, 96][..]);
    let with = |shape: &[u64]| known(&[numbers, ("w_scale", F32, shape)]);
    assert_eq!(with(&[96]), Some((7, [96, 64, 1], vec![1])));
    assert_eq!(with(&[64]), Some((7, [96, 1, 96], vec![1])));
    assert_eq!(with(&[]), Some((7, [96, 64, 96], vec![1])));
    assert_eq!(with(&[7]), None);
    // Without zero points, it is not known what numbers without a sign stand for.
    assert_eq!(known(&[("w_quantized", U8, &[64, 96]), ("w_scale", F32, &[])]), None);
}

/// TensorFlow Lite's scales have the rank of their numbers.
#[test]
fn scales_have_the_dimension_of_their_shape() {
    let with = |dtype, numbers: &[u64], scales: &[u64]| {
        let found = known(&[("w", dtype, numbers), ("w.quantization.scale", F32, scales)]);
        found.map(|(packing, tiles, _)| (packing, tiles))
    };
    assert_eq!(with(I8, &[64, 64], &[64, 1]), Some((7, [64, 1, 64])));
    assert_eq!(with(I8, &[64, 64], &[1, 64]), Some((7, [64, 64, 1])));
    assert_eq!(with(I8, &[8, 3, 3, 16], &[8, 1, 1, 1]), Some((7, [144, 1, 144])));
    assert_eq!(with(I8, &[1, 3, 3, 16], &[1, 1, 1, 16]), Some((7, [16, 9, 1])));
    assert_eq!(with(I8, &[64, 96], &[1, 1]), Some((7, [96, 64, 96])));
    // A dimension in the middle has scales that are no tiles.
    assert_eq!(with(I8, &[8, 3, 16], &[1, 3, 1]), None);
    assert_eq!(with(I8, &[64, 96], &[63, 1]), None);
    assert_eq!(with(I8, &[], &[1]), None);
    // Numbers of 4 bits, two in a byte: of rows, of columns and of blocks.
    assert_eq!(with(U8, &[64, 48], &[64, 1]), Some((29, [96, 1, 96])));
    assert_eq!(with(U8, &[64, 48], &[1, 96]), Some((29, [96, 64, 1])));
    assert_eq!(with(U8, &[64, 48], &[64, 3]), Some((29, [32, 1, 32])));
    assert_eq!(with(U8, &[64, 48], &[64, 5]), None);
    let (scale, zero) = (("w.quantization.scale", F32, &[1, 1][..]), "w.quantization.zero_point");
    let zeroed = |dtype| known(&[("w", dtype, &[64, 96]), scale, (zero, dtype, &[1])]);
    assert_eq!(zeroed(I8), Some((8, [96, 64, 96], vec![1, 2])));
    assert_eq!(zeroed(U8), Some((9, [96, 64, 96], vec![1, 2])));
}

#[test]
fn floats_have_the_tiles_that_the_shapes_tell() {
    let with = |dtype, shape: &[u64], name, scales: &[u64]| {
        let found = known(&[("w.weight", dtype, shape), (name, F32, scales)]);
        found.map(|(packing, tiles, _)| (packing, tiles))
    };
    let blocks = |shape: &[u64], scales: &[u64]| with(F8_E4M3, shape, "w.weight_scale_inv", scales);
    assert_eq!(blocks(&[300, 200], &[3, 2]), Some((11, [200, 128, 128])));
    assert_eq!(blocks(&[256, 96], &[8, 3]), Some((11, [96, 32, 32])));
    assert_eq!(blocks(&[64, 256], &[64, 8]), Some((11, [256, 1, 32])));
    assert_eq!(blocks(&[4, 256, 200], &[4, 2, 2]), Some((11, [200, 128, 128])));
    // Tiles that no matrix of the stack has a whole number of rows of.
    assert_eq!(blocks(&[4, 200, 200], &[4, 2, 2]), None);
    assert_eq!(blocks(&[300, 200], &[7, 2]), None);
    let scale = |shape: &[u64], scales: &[u64]| with(F8_E5M2, shape, "w.weight_scale", scales);
    assert_eq!(scale(&[64, 64], &[64, 1]), Some((12, [64, 1, 64])));
    assert_eq!(scale(&[64, 64], &[64]), Some((12, [64, 1, 64])));
    assert_eq!(scale(&[96, 64], &[64]), Some((12, [64, 96, 1])));
    assert_eq!(scale(&[96, 64], &[]), Some((12, [64, 96, 64])));
    let scaled = with(F8_E4M3, &[96, 64], "w.scale_weight", &[1]);
    assert_eq!(scaled, Some((11, [64, 96, 64])));
}

#[test]
fn other_names_and_shapes_tell_nothing() {
    assert_eq!(known(&[("w_Q4", U8, &[96, 2, 16]), ("w_scale", F32, &[96, 2])]), None);
    assert_eq!(known(&[("w_Q4", U8, &[0, 2, 16]), ("w_scales", F32, &[0])]), None);
    assert_eq!(known(&[("w_Q4", U8, &[96, 2, 16]), ("w_scales", F32, &[7])]), None);
    assert_eq!(known(&[("l.qweight", I32, &[8]), ("l.scales", F16, &[2, 96])]), None);
    // The numbers of nested quantisation are places in a table.
    assert_eq!(known(&[("w.weight", U8, &[96, 32]), ("w.weight.absmax", U8, &[96])]), None);
    let nested = |scales: Dtype, count: u64| {
        let absmax = ("w.weight.absmax", scales, &[600][..]);
        known(&[("w.weight", U8, &[600, 32]), absmax, ("w.weight.nested_absmax", F32, &[count])])
    };
    assert_eq!(nested(U8, 3), Some((16, [64, 1, 64], vec![1, 2])));
    assert_eq!(nested(U8, 4), None);
    // Scales that are not nested have no scales.
    assert_eq!(nested(F32, 3), Some((5, [64, 1, 64], vec![1])));
}

/// The regions of a file of GPTQ: the numbers 0 to 15 in turn, from one output to the next, with
/// scales of 1, 2 or 4 and zero points of 8.
fn gptq() -> (Layout, Vec<(Dtype, Vec<u8>)>) {
    let regions: [(&str, Dtype, &[u64]); 5] = [
        ("l.bias", F32, &[16]),
        ("l.g_idx", I32, &[32]),
        ("l.qweight", I32, &[4, 16]),
        ("l.qzeros", I32, &[2, 2]),
        ("l.scales", F16, &[2, 16]),
    ];
    let numbers = (0..64u32).flat_map(|word| vec![(word % 16) as u8 * 0x11; 4]).collect();
    let groups = (0..32u32).flat_map(|input| (input / 16).to_le_bytes()).collect();
    let scales = (0..32u16).flat_map(|scale| (0x3C00 + scale % 3 * 0x400).to_le_bytes()).collect();
    let parts = vec![(I32, numbers), (F16, scales), (I32, vec![0x77; 16]), (I32, groups)];
    (Layout::of_tensors(&regions), parts)
}

#[test]
fn sets_tell_the_weights_of_the_matrix_that_was_quantised() {
    let (layout, parts) = gptq();
    let [set] = &PackedSet::find(&layout)[..] else { panic!() };
    assert_eq!((set.regions(), set.stem(), set.weights(256)), (&[2, 4, 3, 1][..], 2, 512));
    assert_eq!((set.turned(), set.groups(), set.common().count()), (Some(16), Some(1), 0));
    let mut parts: Vec<(Dtype, &[u8])> = parts.iter().map(|(dtype, bytes)| (*dtype, &bytes[..])).collect();
    let at = |parts: &[(Dtype, &[u8])], places: &[u64]| set.resolved(parts)?.weights_at(parts, places);
    let weights = at(&parts, &[0, 31, 32, 64 + 15, 64 + 16, 511]).unwrap();
    // The matrix has a row of 32 inputs for each output.
    assert_eq!(weights, [-8.0, -16.0, -14.0, -24.0, -6.0, 7.0 * 2.0]);
    assert_eq!(at(&parts, &[512]), None);
    assert_eq!(at(&parts[..3], &[0]), None);
    // Rows in groups that do not exist have no scales; parts that are cut are none.
    let groups = [0xFF; 128];
    parts[3].1 = &groups;
    assert!(at(&parts, &[0, 511]).is_none_or(|weights| weights.iter().all(|weight| weight.is_finite())));
    for part in 0..3 {
        let (_, parts) = gptq();
        let mut parts: Vec<(Dtype, &[u8])> = parts.iter().map(|(dtype, bytes)| (*dtype, &bytes[..])).collect();
        parts[part].1 = &parts[part].1[..parts[part].1.len() / 2];
        assert_eq!(at(&parts, &[511]), None, "part {part}");
    }
}

#[test]
fn the_bytes_of_a_set_tell_the_bits_of_its_numbers() {
    // Runs of 64 numbers of 3 bits are as long as runs of 32 of 6 bits.
    let regions: [(&str, Dtype, &[u64]); 3] =
        [("l.weight", U32, &[64, 24]), ("l.scales", F16, &[64, 4]), ("l.biases", F16, &[64, 4])];
    let [set] = &PackedSet::find(&Layout::of_tensors(&regions))[..] else { panic!() };
    let ones = [0x00, 0x3C].repeat(256);
    let parts = |numbers| [(U32, numbers), (F16, &ones[..]), (F16, &ones[..])];
    // The numbers 0 to 7 in turn.
    let threes = [0x88, 0xC6, 0xFA].repeat(2048);
    // The numbers 0 to 31 in turn.
    let four = |first: u32| first | (first + 1) << 6 | (first + 2) << 12 | (first + 3) << 18;
    let sixes = (0..32u32).step_by(4).flat_map(|first| four(first).to_le_bytes()[..3].to_vec());
    let sixes = sixes.collect::<Vec<u8>>().repeat(256);
    for (numbers, count, last) in [(&threes, 16_384, 7), (&sixes, 8192, 31)] {
        let parts = parts(&numbers[..]);
        let resolved = set.resolved(&parts).unwrap();
        assert_eq!(resolved.weights(6144), count);
        assert_eq!(set.clone().with_bits(numbers, 6144).weights(6144), count);
        assert_eq!((set.turned(), set.groups()), (None, None));
        let weights = [0, 1, 9, last].map(|number| (number % (last + 1) + 1) as f32).to_vec();
        assert_eq!(resolved.weights_at(&parts, &[0, 1, 9, count - 1]), Some(weights));
    }
}
