//! Tests of the encoder, the portable decoder and the kernels.

use super::kernels::Kernel;
use super::*;
use crate::entropy::frequency::FrequencyTable;
use crate::error::Result;

fn sample(length: usize) -> (Vec<u8>, Vec<u8>) {
    let mut seed = 1u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 8
    };
    let contexts: Vec<u8> = (0..length).map(|_| (next() % 3) as u8).collect();
    let symbols = contexts.iter().map(|&c| match c {
        0 => 0,
        1 => (next() & next() & next() & 63) as u8,
        _ => next() as u8,
    });
    (contexts.clone(), symbols.collect())
}

fn tables(contexts: &[u8], symbols: &[u8]) -> Vec<FrequencyTable> {
    let mut counts = vec![[0u32; 256]; 3];
    contexts.iter().zip(symbols).for_each(|(&c, &s)| counts[c as usize][s as usize] += 1);
    counts.iter_mut().filter(|c| c.iter().all(|&n| n == 0)).for_each(|c| c[0] = 1);
    counts.iter().map(|c| FrequencyTable::from_counts(c)).collect()
}

/// The shape of long lists, for lists of any length.
const LONG: Shape = Shape { groups: GROUPS, lanes: LANES };

fn encode(shape: Shape, tables: &[FrequencyTable], contexts: &[u8], symbols: &[u8]) -> Vec<Vec<u8>> {
    let strips = contexts.chunks(STRIP).zip(symbols.chunks(STRIP));
    let encoder = Encoder::new(tables);
    let mut streams = encoder.begin(shape);
    strips.rev().for_each(|(contexts, symbols)| streams.push(contexts, symbols));
    streams.finish()
}

fn decode(shape: Shape, decoder: &Decoder, streams: &[Vec<u8>], contexts: &[u8]) -> Result<Vec<u8>> {
    let mut groups = streams.iter().map(|s| Group::new(shape, s)).collect::<Result<Vec<_>>>()?;
    let mut symbols = vec![0; contexts.len()];
    for (symbols, contexts) in symbols.chunks_mut(STRIP).zip(contexts.chunks(STRIP)) {
        decoder.decode_strip(shape, &mut groups, contexts, symbols);
    }
    groups.into_iter().try_for_each(Group::finish)?;
    Ok(symbols)
}

#[test]
fn symbols_round_trip_at_every_length() {
    for length in [1, 7, 31, 32, 33, 2048, 2049, 5000, if cfg!(miri) { 8200 } else { 100_003 }] {
        let (contexts, symbols) = sample(length);
        let tables = tables(&contexts, &symbols);
        let mut decoder = Decoder::default();
        decoder.set_tables(&tables);
        for shape in SHAPES {
            let streams = encode(shape, &tables, &contexts, &symbols);
            assert_eq!(streams.len(), shape.groups());
            assert!(decode(shape, &decoder, &streams, &contexts).unwrap() == symbols, "{length}");
        }
    }
}

/// The most symbols of a test that Miri can run.
const FEW: usize = STRIP * if cfg!(miri) { 2 } else { 20 };

/// Decodes full strips with `kernel`, or without one. Returns the symbols, and the states and the
/// place of each group after every strip.
fn trace(decoder: &Decoder, kernel: Option<Kernel>, streams: &[Vec<u8>], contexts: &[u8]) -> (Vec<u8>, Vec<String>) {
    let mut groups: Vec<_> = streams.iter().map(|s| Group::new(LONG, s).unwrap()).collect();
    let (mut all, mut places) = (Vec::new(), Vec::new());
    for contexts in contexts.as_chunks::<STRIP>().0 {
        let mut symbols = [0; STRIP];
        // Short strips have a row that is not full, which no kernel decodes.
        let contexts = &contexts[..STRIP - 11 * (all.len() / STRIP)];
        let symbols = &mut symbols[..contexts.len()];
        let whole = contexts.len() - contexts.len() % ROW;
        if let Some(kernel) = kernel {
            let groups = groups.first_chunk_mut().unwrap();
            kernels::decode_rows(kernel, decoder, groups, &contexts[..whole], &mut symbols[..whole]);
        } else {
            decoder.decode_rows(LONG, &mut groups, &contexts[..whole], &mut symbols[..whole]);
        }
        decoder.decode_rows(LONG, &mut groups, &contexts[whole..], &mut symbols[whole..]);
        all.extend_from_slice(symbols);
        places.extend(groups.iter().map(|group| format!("{} {:?}", group.position, group.states)));
    }
    (all, places)
}

/// Checks that every kernel does what the portable decoder does, strip by strip.
fn kernels_agree_on(decoder: &Decoder, streams: &[Vec<u8>], contexts: &[u8]) {
    let portable = trace(decoder, None, streams, contexts);
    for (i, kernel) in kernels::available().enumerate() {
        assert!(trace(decoder, Some(kernel), streams, contexts) == portable, "kernel {i}");
    }
}

/// The first strips have all the words that a kernel loads ahead, and the last ones do not.
#[test]
fn kernels_agree() {
    let (contexts, symbols) = sample(2 * FEW);
    let tables = tables(&contexts, &symbols);
    let streams = encode(LONG, &tables, &contexts, &symbols);
    let mut decoder = Decoder::default();
    decoder.set_tables(&tables);
    kernels_agree_on(&decoder, &streams, &contexts);
    if cfg!(miri) {
        assert!(kernels::available().count() >= 2, "Miri needs -C target-feature=+avx2,+popcnt");
    }
}

/// Nearly all symbols are 0, in eight tables at most or in more, and some contexts have no table.
#[test]
fn kernels_agree_on_light_changes() {
    for count in [1, 3, LANES, LANES + 1] {
        let (contexts, noise) = sample(FEW);
        let contexts: Vec<u8> = contexts.iter().zip(&noise).map(|(c, n)| (c + 3 * (n % 3)) % count as u8).collect();
        let symbols: Vec<u8> = noise.iter().enumerate().map(|(i, n)| if i % 97 < 2 { n % 5 } else { 0 }).collect();
        let mut counts = vec![[0; 256]; count];
        counts.iter_mut().for_each(|counts| counts[0] = 1);
        contexts.iter().zip(&symbols).for_each(|(&c, &s)| counts[usize::from(c)][usize::from(s)] += 1);
        let tables: Vec<_> = counts.iter().map(|c| FrequencyTable::from_counts(c)).collect();
        let streams = encode(LONG, &tables, &contexts, &symbols);
        let mut decoder = Decoder::default();
        decoder.set_tables(&tables);
        assert_eq!(decoder.zeros.is_some(), count <= LANES);
        assert!(decode(LONG, &decoder, &streams, &contexts).unwrap() == symbols);
        kernels_agree_on(&decoder, &streams, &contexts);
        let wild: Vec<u8> = (0..contexts.len()).map(|i| (i * 7919 >> 3) as u8).collect();
        kernels_agree_on(&decoder, &streams, &wild);
    }
}

/// Damaged streams, contexts without a table, and contexts beyond the largest number of tables give
/// the same symbols and states.
#[test]
fn kernels_agree_on_bad_input() {
    let (contexts, symbols) = sample(2 * STRIP);
    let tables = tables(&contexts, &symbols);
    let streams = encode(LONG, &tables, &contexts, &symbols);
    let mut decoder = Decoder::default();
    decoder.set_tables(&tables);
    let wild: Vec<u8> = (0..contexts.len()).map(|i| (i * 7919 >> 3) as u8).collect();
    kernels_agree_on(&decoder, &streams, &wild);
    let words = streams[1].len() - 4 * LANES;
    let step = if cfg!(miri) { 4001 } else { 13 };
    for cut in (0..words).step_by(2 * step) {
        let mut streams = streams.clone();
        streams[1].drain(cut..words);
        kernels_agree_on(&decoder, &streams, &contexts);
    }
    for bit in (0..words * 8).step_by(17 * step) {
        let mut streams = streams.clone();
        streams[1][bit / 8] ^= 1 << (bit % 8);
        kernels_agree_on(&decoder, &streams, &contexts);
    }
}

/// The largest number of tables, of which the last one is used, and states at both ends.
#[test]
fn kernels_agree_on_extremes() {
    let contexts: Vec<u8> = (0..FEW).map(|i| [63, 0, 31, 32][i % 4]).collect();
    let symbols: Vec<u8> = (0..FEW).map(|i| if i % 4 == 0 { 255 } else { (i % 3) as u8 }).collect();
    let mut counts = vec![[0; 256]; 64];
    counts.iter_mut().for_each(|counts| counts[0] = 1);
    contexts.iter().zip(&symbols).for_each(|(&c, &s)| counts[usize::from(c)][usize::from(s)] += 1);
    let tables: Vec<_> = counts.iter().map(|c| FrequencyTable::from_counts(c)).collect();
    let mut streams = encode(LONG, &tables, &contexts, &symbols);
    let mut decoder = Decoder::default();
    decoder.set_tables(&tables);
    kernels_agree_on(&decoder, &streams, &contexts);
    for (i, stream) in streams.iter_mut().enumerate() {
        let words = stream.len() - 4 * LANES;
        let state = if i % 2 == 0 { LOW } else { (1 << 31) - 1 };
        stream[words..].as_chunks_mut::<4>().0.iter_mut().for_each(|bytes| *bytes = state.to_le_bytes());
    }
    kernels_agree_on(&decoder, &streams, &contexts);
}

#[test]
fn certain_symbols_cost_nothing() {
    let (contexts, symbols) = ([0; 10_000], [5; 10_000]);
    let mut counts = [0; 256];
    counts[5] = 1;
    let streams = encode(LONG, &[FrequencyTable::from_counts(&counts)], &contexts, &symbols);
    assert_eq!(streams.iter().map(Vec::len).sum::<usize>(), 4 * ROW);
}

/// The vector kernel decodes the whole rows of long lists, and the portable code all others.
#[test]
fn truncated_streams_are_noticed() {
    [(LONG, STRIP), (LONG, 3001), (SHAPES[1], 3000), (SHAPES[0], 500)]
        .into_iter()
        .for_each(|(shape, length)| truncations_are_noticed(shape, length));
}

fn truncations_are_noticed(shape: Shape, length: usize) {
    let (contexts, symbols) = sample(length);
    let tables = tables(&contexts, &symbols);
    let streams = encode(shape, &tables, &contexts, &symbols);
    let mut decoder = Decoder::default();
    decoder.set_tables(&tables);
    for group in 0..streams.len() {
        for cut in (0..streams[group].len()).step_by(if cfg!(miri) { 499 } else { 1 }) {
            let mut streams = streams.clone();
            streams[group].remove(cut);
            decode(shape, &decoder, &streams, &contexts).unwrap_err();
            streams[group].truncate(cut);
            decode(shape, &decoder, &streams, &contexts).unwrap_err();
        }
    }
}
