//! The order of a base's files: that in which the archive names them.

use bitx::io::ReadAt;
use bitx::report::BaseReport;

use crate::files::Input;
use crate::words;

/// The number of bytes that are read at a time.
const WINDOW: u64 = 4 << 20;

/// Puts the files of a base in the order of `needed`. Files that the archive does not need come
/// last. Lengths tell most files apart; only files of equal length are read, for their digests.
///
/// If a needed file is missing, the order stays, so that the error of the restore tells what is
/// wrong.
pub fn in_order(files: Vec<Input>, needed: &[BaseReport]) -> anyhow::Result<Vec<Input>> {
    let mut digests = vec![None; files.len()];
    let mut order = Vec::new();
    for base in needed {
        let same = |i: &usize| files[*i].file.len() == base.length && !order.contains(i);
        let alike: Vec<usize> = (0..files.len()).filter(same).collect();
        let found = match alike[..] {
            [only] => Some(only),
            _ => {
                for &i in &alike {
                    if digests[i].is_none() {
                        digests[i] = Some(digest(&files[i])?);
                    }
                }
                alike.iter().copied().find(|&i| digests[i] == Some(base.blake3))
            }
        };
        let Some(found) = found else { return Ok(files) };
        order.push(found);
    }
    let rest: Vec<usize> = (0..files.len()).filter(|i| !order.contains(i)).collect();
    let mut files: Vec<Option<Input>> = files.into_iter().map(Some).collect();
    Ok(order.into_iter().chain(rest).filter_map(|i| files[i].take()).collect())
}

/// The BLAKE3 digest of a file.
fn digest(input: &Input) -> anyhow::Result<[u8; 32]> {
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), Vec::new());
    for offset in (0..input.file.len()).step_by(WINDOW as usize) {
        bytes.resize(WINDOW.min(input.file.len() - offset) as usize, 0);
        let read = input.file.read_at(offset, &mut bytes);
        read.map_err(|error| anyhow::Error::new(error).context(words::input(&input.path)))?;
        hasher.update(&bytes);
    }
    Ok(*hasher.finalize().as_bytes())
}
