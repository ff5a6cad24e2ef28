//! The packs that were read last, in memory. A reader of one tensor decodes a whole pack, and is
//! likely to want the next tensor in it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::error::Result;
use crate::ingest;
use crate::manifest::PieceRef;

/// The number of packs in memory.
const MOST: usize = 4;
/// The maximum length of one of them in bytes.
pub(crate) const LONGEST: u64 = ingest::LONGEST_PACK;

/// A pack, which several readers may wait for.
type Cell = Arc<OnceCell<Bytes>>;

/// The packs that were read last, the latest at the end.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<VecDeque<(PieceRef, Cell)>>);

impl Kept {
    /// The content of a pack, which `read` returns if it is not in memory.
    ///
    /// # Errors
    /// Those of `read`, which is then called again by the next reader.
    pub(crate) async fn get(&self, pack: &PieceRef, read: impl Future<Output = Result<Bytes>>) -> Result<Bytes> {
        let cell = self.cell(pack);
        cell.get_or_try_init(|| read).await.cloned()
    }

    fn cell(&self, pack: &PieceRef) -> Cell {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(other, _)| other == pack).and_then(|at| kept.remove(at));
        let cell = known.map(|(_, cell)| cell).unwrap_or_default();
        kept.push_back((*pack, cell.clone()));
        if kept.len() > MOST {
            kept.pop_front();
        }
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::error::Error;
    use crate::keys::ObjectId;

    #[tokio::test]
    async fn the_last_packs_are_kept_and_failures_are_not() {
        let kept = Kept::default();
        let pack = |number: u64| {
            let id = ObjectId { digest: Digest::of(&number.to_le_bytes()), epoch: 0 };
            PieceRef { id, base: None, length: 1 }
        };
        let failed = kept.get(&pack(0), async { Err(Error::Expired) }).await;
        assert!(failed.is_err());
        for number in 0..MOST as u8 {
            assert_eq!(kept.get(&pack(number.into()), async { Ok(vec![number].into()) }).await.unwrap()[..], [number]);
        }
        for number in [0, 3, 2, 1, 0] {
            assert_eq!(kept.get(&pack(number.into()), async { Err(Error::Expired) }).await.unwrap()[..], [number]);
        }
        kept.get(&pack(4), async { Ok(vec![4].into()) }).await.unwrap();
        assert!(kept.get(&pack(3), async { Err(Error::Expired) }).await.is_err());
    }
}
