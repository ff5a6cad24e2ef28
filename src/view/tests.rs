use std::sync::Arc;

use super::*;

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
