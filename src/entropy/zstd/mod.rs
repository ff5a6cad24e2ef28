//! zstd frames: encodes and decodes exactly one frame of a known length.
//!
//! zrip encodes on every platform, so that archives are the same everywhere; the [writer] makes frames
//! of copies that were found elsewhere. zrip also decodes,
//! unless the feature `libzstd` (the native default) or `ruzstd` (slower, but independent of zrip)
//! replaces it. `docs/DECISIONS.md` has the reasons.

#[cfg_attr(feature = "ruzstd", path = "decoder_ruzstd.rs")]
#[cfg_attr(all(feature = "libzstd", not(feature = "ruzstd")), path = "decoder_libzstd.rs")]
#[cfg_attr(not(any(feature = "libzstd", feature = "ruzstd")), path = "decoder_zrip.rs")]
mod decoder;
mod frame;
pub(crate) mod writer;

use std::fmt;
use std::ops::RangeInclusive;

use crate::error::{Error, Result};

/// The compression levels that [`encode`] accepts.
pub const LEVELS: RangeInclusive<i32> = -7..=4;

/// The compression level of the frames in v2 archives.
pub(crate) const LEVEL: i32 = 3;

/// Compresses `data` into one frame.
///
/// # Errors
/// `InvalidArgument` for a level outside [`LEVELS`].
pub fn encode(data: &[u8], level: i32) -> Result<Vec<u8>> {
    check_level(level)?;
    zrip::compress(data, level).map_err(|e| Error::invalid_argument(format!("zstd cannot compress the data: {e}")))
}

/// Checks that `level` is one of [`LEVELS`].
///
/// # Errors
/// `InvalidArgument` for any other level.
pub(crate) fn check_level(level: i32) -> Result<()> {
    if LEVELS.contains(&level) {
        return Ok(());
    }
    let range = format_args!("{} to {}", LEVELS.start(), LEVELS.end()).to_string();
    Err(Error::invalid_argument("the zstd level is out of range").figures(range, level))
}

/// Returns an upper bound of the bytes that a frame of `stored` bytes can decode to.
pub(crate) fn most_restored(stored: u64) -> u64 {
    stored / frame::MIN_BLOCK * frame::MAX_BLOCK as u64
}

/// A decoder of frames that keeps its memory from frame to frame.
#[derive(Default)]
pub struct Decoder(decoder::Context);

impl Decoder {
    /// Appends the content of `frame` to `output`. It must be one frame with nothing behind it, and
    /// its content must have exactly `length` bytes.
    ///
    /// The block headers are checked first, so that memory is taken only for lengths that the
    /// blocks can hold.
    ///
    /// # Errors
    /// `Corrupt` or `Truncated` for anything that is not such a frame, `Unsupported` for a frame
    /// that needs a dictionary, `Limit` for a window above 128 MiB.
    pub fn decode(&mut self, frame: &[u8], length: usize, output: &mut Vec<u8>) -> Result<()> {
        frame::check(frame, length)?;
        let start = output.len();
        self.0.decode(frame, length, output)?;
        match output.len() - start {
            decoded if decoded == length => Ok(()),
            decoded => Err(Error::corrupt("the zstd frame decodes to a wrong length").figures(length, decoded)),
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoder")
    }
}

#[cfg(test)]
mod oracles;

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(frame: &[u8], length: usize) -> Result<Vec<u8>> {
        let mut output = Vec::new();
        Decoder::default().decode(frame, length, &mut output).map(|()| output)
    }

    #[test]
    fn round_trips_at_every_level() {
        let data: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(i) >> 13) as u8 & 7).collect();
        for data in [&data[..], b"", b"a"] {
            for level in LEVELS {
                assert_eq!(decode(&encode(data, level).unwrap(), data.len()).unwrap(), data);
            }
        }
        assert!(encode(b"", 5).is_err());
    }

    #[test]
    fn refuses_other_lengths_and_any_truncation() {
        let frame = encode(&[7; 5000], 3).unwrap();
        for length in [0, 4999, 5001, usize::MAX] {
            decode(&frame, length).expect_err("another length");
        }
        for end in 0..frame.len() {
            decode(&frame[..end], 5000).expect_err("a truncation");
        }
    }

    #[test]
    fn refuses_more_than_one_frame() {
        let frame = encode(b"abc", 3).unwrap();
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
        decode(&[&frame[..], &frame].concat(), 6).expect_err("two frames");
        decode(&[&frame[..], &skippable].concat(), 3).expect_err("a trailing skippable frame");
        decode(&[&skippable[..], &frame].concat(), 3).expect_err("a leading skippable frame");
        decode(&[&frame[..], &[0]].concat(), 3).expect_err("a trailing byte");
    }

    #[test]
    fn a_bomb_is_refused_before_memory_is_taken() {
        // 64 RLE blocks of 128 KiB take 256 bytes; the header says that the content is 4 bytes
        // long.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
        for i in 0..64u32 {
            let header = (128 * 1024) << 3 | 1 << 1 | u32::from(i == 63);
            frame.extend_from_slice(&header.to_le_bytes()[..3]);
            frame.push(0);
        }
        decode(&frame, 4).expect_err("longer than declared");
        assert_eq!(decode(&frame, 64 * 128 * 1024).unwrap().len(), 8 << 20);
        decode(&frame, 1 << 30).expect_err("shorter than declared");
    }
}
