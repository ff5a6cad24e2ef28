use std::sync::Arc;

use super::*;
use crate::arranged::Rectangle;

/// A view of ten words of F32: three of F32, two without a base, five of BF16.
fn view() -> BaseView {
    let located = |base, offset, dtype| Located { source: Source::Base(base), offset, dtype };
    let origins = vec![located(0, 4, Dtype::F32), located(1, 2, Dtype::BF16)];
    BaseView::new(Dtype::F32, origins, [(3, Some((0, 1))), (2, None), (5, Some((1, 0)))].into_iter())
}

fn inputs() -> Inputs {
    let floats: Vec<u8> = (0..8u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let halves: Vec<u8> = (0..8u8).flat_map(|i| (f32::from(i).to_bits() >> 16).to_le_bytes()[..2].to_vec()).collect();
    Inputs::whole(vec![(Source::Base(0), Arc::new(floats)), (Source::Base(1), Arc::new(halves))])
}

#[test]
fn words_come_from_all_runs_and_are_cast() {
    let words = |range| {
        let bytes = view().take(range, &inputs()).unwrap().map(Cow::into_owned);
        bytes.map(|bytes| bytes.chunks(4).map(|w| f32::from_le_bytes(*w.first_chunk().unwrap())).collect::<Vec<_>>())
    };
    assert_eq!(words(0..40).unwrap(), [2., 3., 4., 0., 0., 1., 2., 3., 4., 5.]);
    assert_eq!(words(8..28).unwrap(), [4., 0., 0., 1., 2.]);
    assert_eq!((words(12..20), words(4..8)), (None, Some(vec![3.])));
}

#[test]
fn reads_name_the_ranges_of_the_words() {
    let mut reads = Vec::new();
    view().reads(8..28, &mut reads);
    assert_eq!(reads, [Read::new(Source::Base(0), 16..20), Read::new(Source::Base(1), 2..6)]);
    reads.clear();
    view().reads(12..20, &mut reads);
    assert_eq!(reads, []);
}

/// A matrix of three rows and four columns: two rows of F32 in every second column, whose words are
/// in the order of columns, and rows of BF16 in the last one.
fn arranged() -> BaseView {
    let located = |base, dtype| Located { source: Source::Base(base), offset: 0, dtype };
    let origins = vec![located(0, Dtype::F32), located(1, Dtype::BF16)];
    let first = Rectangle { origin: 0, row: 0, rows: 2, column: 0, columns: 2, step: 2, start: 1, down: 1, across: 3 };
    let second = Rectangle { origin: 1, row: 1, rows: 2, column: 3, columns: 1, step: 1, start: 2, down: 4, across: 0 };
    let arranged = Arranged { columns: 4, rectangles: vec![first, second] };
    BaseView::new(Dtype::F32, origins, [(12, None)].into_iter()).arranged(Arc::new(arranged))
}

#[test]
fn every_range_of_rectangles_is_found() {
    let expected = [1., 0., 4., 0., 2., 0., 5., 2., 0., 0., 0., 6.];
    for start in 0..12 {
        for end in start + 1..=12 {
            let range = 4 * start as u64..4 * end as u64;
            let inputs = inputs();
            let bytes = arranged().take(range.clone(), &inputs).unwrap().unwrap();
            let words = bytes.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word));
            assert_eq!(words.collect::<Vec<_>>(), expected[start..end], "{range:?}");
        }
    }
    let mut reads = Vec::new();
    arranged().reads(16..32, &mut reads);
    assert_eq!(reads, [Read::new(Source::Base(0), 8..24), Read::new(Source::Base(1), 4..6)]);
    assert_eq!(arranged().shared(&(16..32)), Some(((Source::Base(0), 8), 18)));
    reads.clear();
    arranged().reads(16..16, &mut reads);
    assert_eq!(reads, []);
}
