//! The tokens of a strip that are coded: all but those of contexts whose table has a single token.

#[cfg(target_arch = "x86_64")]
mod avx512;

use crate::entropy::bytes64::{Places, at_least};
use crate::entropy::lookup::Lookup;
use crate::entropy::rans::STRIP;

/// The bit of a table's number which says that its tokens are certain.
pub(super) const CERTAIN: u8 = 0x80;

/// The certain tokens, and buffers for the others of a strip.
pub(super) struct Uncertain {
    /// The token of each raw context that is certain.
    token_of: Lookup,
    /// The places of the uncertain tokens in the strip.
    places: Places,
    tables: [u8; STRIP],
    tokens: [u8; STRIP],
}

impl Uncertain {
    /// Sets [`CERTAIN`] in the tables' numbers in `table_of`. `certain` holds the token of each
    /// table that has only one. Returns `None` if no table does.
    pub(super) fn new(table_of: &mut [u8; 128], certain: &[Option<u8>]) -> Option<Self> {
        if certain.iter().all(Option::is_none) {
            return None;
        }
        let mut tokens = [0; 128];
        for (token, table) in tokens.iter_mut().zip(table_of) {
            if let Some(certain) = certain[usize::from(*table)] {
                (*token, *table) = (certain, *table | CERTAIN);
            }
        }
        let (token_of, places) = (Lookup::new(tokens), Places::default());
        Some(Self { token_of, places, tables: [0; STRIP], tokens: [0; STRIP] })
    }

    /// Fills `tokens`, given their raw `contexts`, which are replaced by the numbers of their
    /// tables. `decode` decodes the tokens of the tables that it gets.
    pub(super) fn strip(
        &mut self,
        table_of: &Lookup,
        contexts: &mut [u8],
        tokens: &mut [u8],
        decode: impl FnOnce(&[u8], &mut [u8]),
    ) {
        tokens.copy_from_slice(contexts);
        self.token_of.map(tokens);
        table_of.map(contexts);
        #[cfg(target_arch = "x86_64")]
        if let Some(packer) = avx512::Packer::find() {
            let count = packer.pack(contexts, contexts, &mut self.tables);
            decode(&self.tables[..count], &mut self.tokens[..count]);
            packer.spread(contexts, &self.tokens, tokens);
            return;
        }
        self.fill_by_places(contexts, tokens, decode);
    }

    /// Decodes the tokens of uncertain `tables` into their places in `tokens`.
    fn fill_by_places(&mut self, tables: &[u8], tokens: &mut [u8], decode: impl FnOnce(&[u8], &mut [u8])) {
        self.places.find(tables, |tables| !at_least::<CERTAIN>(tables));
        let places = self.places.get();
        let coded = &mut self.tokens[..places.len()];
        for (table, &place) in self.tables.iter_mut().zip(places) {
            *table = tables[usize::from(place)];
        }
        decode(&self.tables[..places.len()], coded);
        places.iter().zip(&*coded).for_each(|(&place, &token)| tokens[usize::from(place)] = token);
    }
}

/// The choice of the tokens of a strip that are coded, for an encoder.
pub(super) struct Coded {
    /// [`CERTAIN`] for each table whose tokens are certain.
    marks: Lookup,
    places: Places,
    tables: [u8; STRIP],
    tokens: [u8; STRIP],
}

impl Coded {
    /// Makes the choice for tables of which some are certain.
    pub(super) fn new(certain: &[bool]) -> Self {
        let mark = |table: usize| if certain.get(table) == Some(&true) { CERTAIN } else { 0 };
        let marks = Lookup::new(std::array::from_fn(mark));
        Self { marks, places: Places::default(), tables: [0; STRIP], tokens: [0; STRIP] }
    }

    /// Returns the tables and the tokens of a strip that are coded.
    pub(super) fn of(&mut self, tables: &[u8], tokens: &[u8]) -> (&[u8], &[u8]) {
        let mut marks = [0; STRIP];
        let marks = &mut marks[..tables.len()];
        marks.copy_from_slice(tables);
        self.marks.map(marks);
        #[cfg(target_arch = "x86_64")]
        if let Some(packer) = avx512::Packer::find() {
            let count = packer.pack(marks, tables, &mut self.tables);
            packer.pack(marks, tokens, &mut self.tokens);
            return (&self.tables[..count], &self.tokens[..count]);
        }
        self.by_places(marks, tables, tokens)
    }

    /// Does the same as [`of`](Self::of), given the mark of each table.
    fn by_places(&mut self, marks: &[u8], tables: &[u8], tokens: &[u8]) -> (&[u8], &[u8]) {
        self.places.find(marks, |marks| !at_least::<CERTAIN>(marks));
        let places = self.places.get();
        for ((table, token), &place) in self.tables.iter_mut().zip(&mut self.tokens).zip(places) {
            (*table, *token) = (tables[usize::from(place)], tokens[usize::from(place)]);
        }
        (&self.tables[..places.len()], &self.tokens[..places.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths have whole blocks of places, none, and some that are left.
    #[test]
    fn certain_tokens_take_no_place() {
        for length in [0, 1, 63, 64, 65, 1000, STRIP] {
            for certain in [[Some(7), None, None], [None, None, Some(0)], [Some(1), Some(9), Some(200)]] {
                let mut table_of: [u8; 128] = std::array::from_fn(|i| (i / 43) as u8);
                let mut uncertain = Uncertain::new(&mut table_of, &certain).unwrap();
                let raw: Vec<u8> = (0..length).map(|i| (i * i % 127) as u8).collect();
                let (mut contexts, mut tokens) = (raw.clone(), vec![99; length]);
                let coded: Vec<u8> =
                    raw.iter().map(|c| c / 43).filter(|&t| certain[usize::from(t)].is_none()).collect();
                let decode = |tables: &[u8], tokens: &mut [u8]| {
                    assert_eq!(tables, coded);
                    tokens.iter_mut().enumerate().for_each(|(i, token)| *token = i as u8);
                };
                uncertain.strip(&Lookup::new(table_of), &mut contexts, &mut tokens, decode);
                // What a kernel filled is cleared, and filled by the portable code.
                let mut portable = tokens.clone();
                let filled = portable.iter_mut().zip(&contexts).filter(|(_, table)| **table < CERTAIN);
                filled.for_each(|(token, _)| *token = 77);
                uncertain.fill_by_places(&contexts, &mut portable, decode);
                assert_eq!(tokens, portable, "{length}");
                let mut next = (0..=255).cycle();
                let mut want = |&c: &u8| certain[usize::from(c / 43)].unwrap_or_else(|| next.next().unwrap());
                let want: Vec<u8> = raw.iter().map(&mut want).collect();
                assert_eq!(tokens, want, "{length}");
            }
        }
    }

    #[test]
    fn encoders_leave_certain_tokens_out() {
        for length in [0, 1, 63, 64, 65, 1000, STRIP] {
            let tables: Vec<u8> = (0..length).map(|i| (i * i % 5) as u8).collect();
            let tokens: Vec<u8> = (0..length).map(|i| (i * 7 % 251) as u8).collect();
            let mut coded = Coded::new(&[false, true, false, false, true]);
            let pairs = tables.iter().zip(&tokens).filter(|(table, _)| ![1, 4].contains(*table));
            let (wanted_tables, wanted_tokens): (Vec<u8>, Vec<u8>) = pairs.unzip();
            assert_eq!(coded.of(&tables, &tokens), (&wanted_tables[..], &wanted_tokens[..]));
            let marks: Vec<u8> = tables.iter().map(|table| if [1, 4].contains(table) { CERTAIN } else { 0 }).collect();
            assert_eq!(coded.by_places(&marks, &tables, &tokens), (&wanted_tables[..], &wanted_tokens[..]));
        }
    }

    #[test]
    fn no_table_is_certain() {
        assert!(Uncertain::new(&mut [0; 128], &[None, None]).is_none());
    }
}
