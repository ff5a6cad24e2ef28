//! The order of a base's files: that in which an archive names them.

use std::io;

use bitx::io::ReadAt;
use bitx::report::BaseReport;

/// The number of bytes that are read at a time.
const STEP: u64 = 4 << 20;

/// Returns the places of `files` in the order of `needed`. Files that the archive does not need
/// come last. Lengths tell most files apart; only files of equal length are read, for their
/// digests.
///
/// If a needed file is missing, the order stays, so that the error of the restore tells what is
/// wrong.
///
/// # Errors
/// A failed read, with the place of the file.
pub fn order(files: &[&dyn ReadAt], needed: &[BaseReport]) -> Result<Vec<usize>, (usize, io::Error)> {
    let mut digests = vec![None; files.len()];
    let mut order = Vec::new();
    for base in needed {
        let same = |i: &usize| files[*i].len() == base.length && !order.contains(i);
        let alike: Vec<usize> = (0..files.len()).filter(same).collect();
        let found = match alike[..] {
            [only] => Some(only),
            _ => {
                for &i in &alike {
                    if digests[i].is_none() {
                        digests[i] = Some(digest(files[i]).map_err(|error| (i, error))?);
                    }
                }
                alike.iter().copied().find(|&i| digests[i] == Some(base.blake3))
            }
        };
        let Some(found) = found else { return Ok((0..files.len()).collect()) };
        order.push(found);
    }
    order.extend((0..files.len()).filter(|i| !order.contains(i)).collect::<Vec<_>>());
    Ok(order)
}

/// Computes the BLAKE3 digest of a file.
///
/// # Errors
/// A failed read.
pub fn digest(file: &dyn ReadAt) -> io::Result<[u8; 32]> {
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), Vec::new());
    for offset in (0..file.len()).step_by(STEP as usize) {
        bytes.resize(STEP.min(file.len() - offset) as usize, 0);
        file.read_at(offset, &mut bytes)?;
        hasher.update(&bytes);
    }
    Ok(*hasher.finalize().as_bytes())
}
