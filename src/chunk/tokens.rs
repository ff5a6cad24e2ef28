//! Lists of tokens as bytes: the contexts that share each table, the tables, and the coded streams.
//!
//! Tokens of a table that has only one are certain: they are not coded.

use super::uncertain::{Coded, Uncertain};
use crate::bytes::{ByteReader, put_prefixed};
use crate::delta::context::CONTEXTS;
use crate::entropy::bits::{BitReader, BitWriter};
use crate::entropy::cluster::{Clusters, MAX_TABLES};
use crate::entropy::frequency::FrequencyTable;
use crate::entropy::log2::FRACTION;
use crate::entropy::lookup::Lookup;
use crate::entropy::rans::{self, Group, STRIP, Shape};
use crate::error::{Error, Result};

/// Returns the map from raw contexts to the numbers of a clustering's tables. Contexts that the
/// clustering does not know get the last table.
pub(crate) fn table_of(clusters: &Clusters) -> Lookup {
    let mut table = [clusters.table_of.last().copied().unwrap_or(0); 128];
    table[..clusters.table_of.len()].copy_from_slice(&clusters.table_of);
    Lookup::new(table)
}

/// Writes the tables of a clustering and then `tokens`, coded with them. `tables` holds the number
/// of each token's table.
pub(crate) fn write(bytes: &mut Vec<u8>, clusters: &Clusters, tables: &[u8], tokens: &[u8]) {
    let frequencies: Vec<_> = clusters.counts.iter().map(|c| FrequencyTable::from_counts(c)).collect();
    let shape = shape_for(clusters, &frequencies);
    let mut bits = BitWriter::default();
    bits.put_gamma(frequencies.len() as u32 - 1);
    bits.put(shape as u32, 2);
    let mut next = 0;
    for (i, table) in frequencies.iter().enumerate() {
        if i + 1 < frequencies.len() {
            let last = clusters.table_of.iter().rposition(|&t| usize::from(t) == i).unwrap_or(next);
            bits.put_gamma((last - next) as u32);
            next = last + 1;
        }
        table.write(&mut bits);
    }
    put_prefixed(bytes, &bits.finish());
    if let Some(shape) = Shape::of_number(shape) {
        write_streams(bytes, shape, &frequencies, tables, tokens);
    }
}

/// Returns the number of the shape for the tokens that are not certain.
fn shape_for(clusters: &Clusters, frequencies: &[FrequencyTable]) -> usize {
    let coded = clusters.counts.iter().zip(frequencies).filter(|(_, table)| table.certain().is_none());
    let (symbols, bits) = coded.fold((0, 0), |(symbols, bits), (counts, table)| {
        let own: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        (symbols + own, bits + table.cost(counts))
    });
    Shape::number_for(symbols, bits >> (FRACTION + 3))
}

/// Appends the streams of the tokens that are not certain.
fn write_streams(bytes: &mut Vec<u8>, shape: Shape, frequencies: &[FrequencyTable], tables: &[u8], tokens: &[u8]) {
    let certain: Vec<bool> = frequencies.iter().map(|table| table.certain().is_some()).collect();
    if certain.iter().all(|&certain| certain) {
        return;
    }
    let encoder = rans::Encoder::new(frequencies);
    let mut streams = encoder.begin(shape);
    let mut coded = certain.contains(&true).then(|| Box::new(Coded::new(&certain)));
    for (tables, tokens) in tables.chunks(STRIP).zip(tokens.chunks(STRIP)).rev() {
        let (tables, tokens) = coded.as_mut().map_or((tables, tokens), |coded| coded.of(tables, tokens));
        streams.push(tables, tokens);
    }
    streams.finish().iter().for_each(|stream| put_prefixed(bytes, stream));
}

/// A reader of the bytes that [`write()`] appends.
pub(crate) struct TokenReader<'d, 'b> {
    /// The number of each raw context's table, with [`CERTAIN`](super::uncertain::CERTAIN).
    table_of: Lookup,
    decoder: &'d rans::Decoder,
    shape: Shape,
    groups: Vec<Group<'b>>,
    /// The tokens of certain contexts, if there are any.
    uncertain: Option<Box<Uncertain>>,
    /// The number of tokens up to the last one that occurs in any table.
    tokens: usize,
}

impl<'d, 'b> TokenReader<'d, 'b> {
    /// Reads the tables into `decoder` and finds the streams of the tokens, all of them below
    /// `symbols`.
    ///
    /// # Errors
    /// `Corrupt` or `Truncated` where the tables or the streams are damaged.
    pub(crate) fn new(bytes: &mut ByteReader<'b>, decoder: &'d mut rans::Decoder, symbols: usize) -> Result<Self> {
        let mut bits = BitReader::new(bytes.prefixed()?);
        let tables = bits.get_gamma()? as usize + 1;
        if tables > MAX_TABLES {
            let expected = format_args!("{MAX_TABLES} at most").to_string();
            return Err(Error::corrupt("a list of symbols has too many tables").figures(expected, tables));
        }
        let number = bits.get(2) as usize;
        let shape = Shape::of_number(number)
            .ok_or_else(|| Error::unsupported(format!("lists of symbols of the shape {number} are unknown")))?;
        let mut table_of = [tables as u8 - 1; 128];
        let mut frequencies = Vec::with_capacity(MAX_TABLES);
        let mut next = 0;
        for i in 0..tables {
            if i + 1 < tables {
                let end = next + bits.get_gamma()? as usize + 1;
                if end >= CONTEXTS {
                    let message = "the frequency tables cover too many contexts";
                    return Err(Error::corrupt(message).figures(format_args!("{CONTEXTS} at most"), end + 1));
                }
                table_of[next..end].fill(i as u8);
                next = end;
            }
            frequencies.push(FrequencyTable::read(&mut bits, symbols)?);
        }
        bits.finish()?;
        decoder.set_tables(&frequencies);
        let certain: Vec<Option<u8>> = frequencies.iter().map(FrequencyTable::certain).collect();
        let groups = if certain.iter().all(Option::is_some) { 0 } else { shape.groups() };
        let groups = (0..groups).map(|_| Group::new(shape, bytes.prefixed()?)).collect::<Result<_>>()?;
        let tokens = frequencies.iter().map(FrequencyTable::symbols).max().unwrap_or(0);
        let uncertain = Uncertain::new(&mut table_of, &certain).map(Box::new);
        Ok(Self { table_of: Lookup::new(table_of), decoder, shape, groups, uncertain, tokens })
    }

    /// Returns true if no token above `token` occurs, and `token` may.
    pub(crate) fn ends_with(&self, token: usize) -> bool {
        self.tokens == token + 1
    }

    /// Decodes the next strip into `tokens`. `contexts` holds the raw context of each token, and is
    /// not kept. Every strip but the last must be full.
    pub(crate) fn strip(&mut self, contexts: &mut [u8], tokens: &mut [u8]) {
        let (decoder, shape, groups) = (self.decoder, self.shape, &mut self.groups);
        match &mut self.uncertain {
            Some(uncertain) => uncertain.strip(&self.table_of, contexts, tokens, |tables, tokens| {
                decoder.decode_strip(shape, groups, tables, tokens);
            }),
            None => {
                self.table_of.map(contexts);
                decoder.decode_strip(shape, groups, contexts, tokens);
            }
        }
    }

    /// Checks that every stream ended where its encoder began.
    ///
    /// # Errors
    /// `Corrupt` where a stream is damaged.
    pub(crate) fn finish(self) -> Result<()> {
        self.groups.into_iter().try_for_each(Group::finish)
    }
}
