//! What `zstd -3 --patch-from=BASE` does, for machines without its command line.

use std::io::{Read, Write};

use anyhow::{Result, ensure};
use zstd::stream::{read::Decoder, write::Encoder};

use crate::{Row, timed};

/// The largest window that libzstd has on 64-bit machines.
const MAX_WINDOW_LOG: u32 = 31;

pub fn measure(base: &[u8], target: &[u8]) -> Result<Row> {
    let window = ((base.len() + target.len()) as u64).next_power_of_two().ilog2().clamp(10, MAX_WINDOW_LOG);
    let (archive, encode_s) = timed(|| {
        let mut encoder = Encoder::with_ref_prefix(Vec::new(), 3, base)?;
        encoder.window_log(window)?;
        encoder.long_distance_matching(true)?;
        encoder.set_pledged_src_size(Some(target.len() as u64))?;
        encoder.write_all(target)?;
        Ok(encoder.finish()?)
    })?;
    let (restored, decode_s) = timed(|| {
        let mut decoder = Decoder::with_ref_prefix(archive.as_slice(), base)?;
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        let mut restored = Vec::with_capacity(target.len());
        decoder.read_to_end(&mut restored)?;
        Ok(restored)
    })?;
    ensure!(restored == target, "zstd: decoded other bytes");
    Ok(Row { method: "patch", bytes: archive.len(), encode_s, decode_s })
}
