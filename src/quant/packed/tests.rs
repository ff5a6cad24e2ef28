use super::*;

#[test]
fn every_number_comes_back_and_indices_ascend() {
    for packing in &PACKINGS {
        let all: Vec<u8> = (0..1u32 << packing.bits).map(|number| number as u8).collect();
        let mut indices: Vec<u8> = all.iter().map(|&number| packing.index(number)).collect();
        assert!(all.iter().all(|&number| packing.number(packing.index(number)) == number));
        indices.sort_unstable();
        assert!(indices == all && indices.is_sorted_by(|a, b| packing.levels.value(*a) <= packing.levels.value(*b)));
    }
}

/// Numbers of any bits go on in the next byte, the lowest bits first.
#[test]
fn numbers_are_stored_in_whole_bytes() {
    let of_bits = |bits: u32| PACKINGS.iter().find(|packing| packing.bits == bits).unwrap();
    for packing in [2, 3, 4, 5, 6, 8].map(of_bits).into_iter().chain(&PACKINGS) {
        let indices: Vec<u8> = (0..48u8).map(|i| i.wrapping_mul(5) & packing.mask()).collect();
        let (mut bytes, mut read) = (vec![0xaa; packing.bytes(48) as usize], vec![0xaa; 49]);
        packing.store(&mut indices.clone(), &mut bytes);
        let numbers = indices.iter().map(|&index| packing.number(index));
        assert!(numbers.eq(packing.numbers(&bytes)), "{} bits", packing.bits);
        packing.indices(&bytes, &mut read);
        assert_eq!((&read[..48], read[48]), (&indices[..], packing.index(0)));
        assert_eq!(packing.count(packing.bytes(48)), 48);
        assert_eq!(packing.bytes(packing.count(packing.whole_bytes())), packing.whole_bytes());
        assert_eq!(packing.number_at(&bytes, usize::MAX), 0);
    }
    let mut bytes = [0; 3];
    of_bits(3).store(&mut [1, 2, 3, 4, 5, 6, 7, 0], &mut bytes);
    assert_eq!(bytes, [0b1101_0001, 0b0101_1000, 0b0001_1111]);
}

#[test]
fn tiles_follow_rows_and_columns() {
    let tiles = Tiles { width: 16, rows: 2, columns: 4 };
    let found = |packing: &Packing, start: u64, first: u64, count: usize| {
        let mut found = vec![0; count];
        packing.tiles(&tiles, start, first, &mut found);
        found
    };
    assert_eq!(found(&PACKINGS[0], 0, 6, 4), [1, 1, 2, 2]);
    assert_eq!(found(&PACKINGS[0], 4, 62, 3), [3, 3, 4]);
    let one_by_one = |first: u64| (first / 32 * 4 + first % 16 / 4) as u32;
    for first in 0..40 {
        assert!(found(&PACKINGS[0], 0, first, 50).into_iter().eq((first..first + 50).map(one_by_one)), "{first}");
    }
    assert_eq!(found(&PACKINGS[4], 0, 8, 8), [2, 2, 3, 3, 2, 2, 3, 3]);
    assert_eq!((tiles.count(64), tiles.count(80), tiles.of(&(40..62), 64, 8)), (8, 12, 0..8));
}

/// Every chunk needs all tiles of a packing with groups.
#[test]
fn tiles_that_all_chunks_need_are_limited() {
    let tiles = Tiles { width: 1 << 10, rows: 1, columns: 1 };
    for (packing, most) in PACKINGS.iter().map(|packing| (packing, if packing.grouped { 1 << 22 } else { 1 << 30 })) {
        assert_eq!(tiles.limited(packing, most, 4 << 30).unwrap(), most);
        assert!(tiles.limited(packing, most + tiles.width, 4 << 30).is_err());
    }
}

#[test]
fn zero_points_belong_to_the_columns_of_their_numbers() {
    let scales: Vec<u8> = (0..8).flat_map(|_| 1f32.to_le_bytes()).collect();
    // The numbers 0 to 7 in stored order are zero points of the columns 0, 2, 4, 6, 1, 3, 5, 7.
    let zeros = |packing: &Packing| {
        let zeros = Some((Dtype::U8, &[0x10, 0x32, 0x54, 0x76][..]));
        let affine = packing.affine(&ONE, Companions { zeros, ..plain(&scales) });
        affine.iter().map(|(_, c)| -c as u8).collect::<Vec<_>>()
    };
    assert_eq!(zeros(&PACKINGS[4]), [0, 4, 1, 5, 2, 6, 3, 7]);
    assert_eq!(zeros(&PACKINGS[2]), [0, 1, 2, 3, 4, 5, 6, 7]);
}

/// Tiles in one row do not matter.
const ONE: Tiles = Tiles { width: 8, rows: 1, columns: 1 };

/// Zero points of eight rows of tiles follow each other by columns.
#[test]
fn zero_points_may_follow_each_other_by_columns() {
    let tiles = Tiles { width: 96, rows: 1, columns: 32 };
    let scales: Vec<u8> = (0..48).flat_map(|_| 1f32.to_le_bytes()).collect();
    let zeros: Vec<u8> = (0..24).map(|i| if i % 12 < 4 { 0x21 } else { 0x43 }).collect();
    let affine = PACKINGS[28].affine(&tiles, Companions { zeros: Some((Dtype::U8, &zeros)), ..plain(&scales) });
    let found: Vec<u8> = affine.iter().map(|(_, c)| -c as u8).collect();
    assert_eq!(found[..9], [1, 3, 3, 2, 4, 4, 1, 3, 3]);
    assert_eq!(found[21..27], [2, 4, 4, 1, 3, 3]);
    assert_eq!((PACKINGS[28].run(&tiles), PACKINGS[2].run(&tiles)), (24, 8));
    let wide = Tiles { width: 1 << 18, rows: 1, columns: 1 };
    assert!(
        wide.limited(&PACKINGS[28], 1 << 18, 1 << 30).is_err() && wide.limited(&PACKINGS[2], 1 << 18, 1 << 30).is_ok()
    );
}

fn plain(scales: &[u8]) -> Companions<'_> {
    Companions { scales: (Dtype::F32, scales), zeros: None, factor: None, offset: 0.0 }
}

#[test]
fn nested_scales_have_a_scale_for_256_of_them() {
    let places: Vec<u8> = (0..300).map(|i| if i < 256 { 255 } else { 127 }).collect();
    let nested: Vec<u8> = [0.5f32, 0.25].into_iter().flat_map(f32::to_le_bytes).collect();
    let (scales, zeros) = ((Dtype::U8, &places[..]), Some((Dtype::F32, &nested[..])));
    let affine = PACKINGS[16].affine(&ONE, Companions { scales, zeros, factor: None, offset: 2.0 });
    assert!(affine.len() == 300 && affine[255] == (2.5, 0.0) && affine[256] == (2.0, 0.0));
}

#[test]
fn biases_are_words_and_are_not_multiplied() {
    let words = |words: [f32; 2]| words.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<_>>();
    let (scales, biases, factor) = (words([0.5, f32::INFINITY]), words([-3.0, 1.0]), 2f32.to_le_bytes());
    let factor = Some((Dtype::F32, &factor[..]));
    let zeros = Some((Dtype::F32, &biases[..]));
    let affine = PACKINGS[13].affine(&ONE, Companions { zeros, factor, ..plain(&scales) });
    assert!(affine[0] == (1.0, -3.0) && affine[1].0.is_nan() && affine[1].1 == 1.0);
}
