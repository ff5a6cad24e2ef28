//! Clusters of contexts that share a frequency table: neighbours merge while that saves bits.

use super::frequency::table_cost;
use super::log2::entropy;

/// The largest number of tables in a list of tokens.
pub(crate) const MAX_TABLES: usize = 64;

/// The tables that contexts share.
#[derive(Debug)]
pub(crate) struct Clusters {
    /// The number of the table of each context.
    pub(crate) table_of: Vec<u8>,
    /// The token counts of each table.
    pub(crate) counts: Vec<Vec<u32>>,
    /// The estimated size of tokens and tables, in bits.
    pub(crate) bits: u64,
}

/// A run of neighbouring contexts.
struct Cluster {
    counts: Vec<u32>,
    last_context: usize,
    /// Estimated bits of the tokens and their table, in the fixed point of [`entropy`].
    cost: u64,
}

impl Cluster {
    fn new(counts: Vec<u32>, last_context: usize) -> Self {
        let cost = entropy(&counts) + table_cost(&counts);
        Self { counts, last_context, cost }
    }

    fn merged(&self, next: &Self) -> Self {
        let counts = self.counts.iter().zip(&next.counts).map(|(a, b)| a + b).collect();
        Self::new(counts, next.last_context)
    }
}

/// Merges neighbouring contexts greedily. `histogram` holds `tokens` counts per context, and
/// contexts are in an order in which neighbours are similar.
pub(crate) fn cluster(histogram: &[u32], tokens: usize) -> Clusters {
    let contexts = histogram.chunks_exact(tokens).enumerate();
    let mut clusters: Vec<Cluster> = contexts
        .filter(|(_, counts)| counts.iter().any(|&c| c > 0))
        .map(|(context, counts)| Cluster::new(counts.to_vec(), context))
        .collect();
    let mut unions: Vec<Cluster> = clusters.windows(2).map(|pair| pair[0].merged(&pair[1])).collect();
    loop {
        let saving = |i: usize| (clusters[i].cost + clusters[i + 1].cost) as i64 - unions[i].cost as i64;
        let Some(best) = (0..unions.len()).max_by_key(|&i| saving(i)) else { break };
        if saving(best) <= 0 && clusters.len() <= MAX_TABLES {
            break;
        }
        clusters[best] = unions.remove(best);
        clusters.remove(best + 1);
        if best > 0 {
            unions[best - 1] = clusters[best - 1].merged(&clusters[best]);
        }
        if best + 1 < clusters.len() {
            unions[best] = clusters[best].merged(&clusters[best + 1]);
        }
    }
    let bits = clusters.iter().map(|c| c.cost).sum::<u64>() >> super::log2::FRACTION;
    let table_of = (0..histogram.len() / tokens).map(|context| {
        let table = clusters.partition_point(|c| c.last_context < context);
        table.min(clusters.len().saturating_sub(1)) as u8
    });
    Clusters { table_of: table_of.collect(), bits, counts: clusters.into_iter().map(|c| c.counts).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_contexts_merge_and_others_do_not() {
        let histogram = [[0, 0], [1000, 10], [1010, 9], [0, 0], [10, 5000], [1, 0]].concat();
        let clusters = cluster(&histogram, 2);
        assert_eq!(clusters.table_of, [0, 0, 0, 1, 1, 1]);
        assert_eq!(clusters.counts, [[2010, 19], [11, 5000]]);
    }

    #[test]
    fn there_are_never_too_many_tables() {
        let histogram: Vec<u32> = (0..96 * 96).map(|i| if i % 97 == 0 { 1_000_000 } else { 0 }).collect();
        assert_eq!(cluster(&histogram, 96).counts.len(), MAX_TABLES);
        assert!(cluster(&[0, 0], 2).counts.is_empty());
    }
}
