//! The distances of copies: most of them are those of an earlier copy, or close to one.

use crate::entropy::bins::{self, BINS};
use crate::entropy::bits::BitReader;
use crate::error::{Error, Result};
use crate::zigzag::{unzigzag, zigzag};

/// Number of recent distances with a token of their own.
pub(super) const RECENT: usize = 3;

/// The token of the difference 0 to the last distance.
const NEAR: u8 = RECENT as u8;

/// The token of the distance 1; the tokens of differences, which have 16 bits, end before it.
const FAR: u8 = NEAR + 76;

/// Number of tokens: the longest distance has 31 bits.
pub(super) const CODES: usize = FAR as usize + 31;

/// Distances from which on a difference is not worth a token.
const CLOSE: u32 = 1 << 12;

/// The last distances, of which the latest is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recent(pub(super) [u32; RECENT]);

/// A distance as a token and raw bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Code {
    pub(super) token: u8,
    pub(super) rest: u32,
    pub(super) width: u32,
}

impl Recent {
    /// The distances before the first copy: the base's beginning is at the chunk's beginning.
    pub(super) fn new(base: usize) -> Self {
        Self([base as u32, 1, 2])
    }

    /// Makes `distance` the latest.
    pub(super) fn push(&mut self, distance: usize) {
        let distance = distance as u32;
        let known = self.0.iter().position(|&recent| recent == distance).unwrap_or(RECENT - 1);
        self.0.copy_within(0..known, 1);
        self.0[0] = distance;
    }

    /// Returns the code of a distance, which is above 0 and below 2^31.
    pub(super) fn code(&self, distance: usize) -> Code {
        let distance = distance as u32;
        if let Some(i) = self.0.iter().position(|&recent| recent == distance) {
            return Code { token: i as u8, rest: 0, width: 0 };
        }
        let difference = zigzag(distance.wrapping_sub(self.0[0]));
        if difference < CLOSE && difference < distance / 4 {
            let token = bins::token(u64::from(difference));
            let (least, width) = BINS[usize::from(token)];
            return Code { token: NEAR + token, rest: difference - least as u32, width };
        }
        let width = distance.ilog2();
        Code { token: FAR + width as u8, rest: distance - (1 << width), width }
    }

    /// Reads a distance, given its token, and makes it the latest.
    pub(super) fn read(&mut self, token: u8, extra: &mut BitReader<'_>) -> Result<usize> {
        let distance = match token {
            0..NEAR => self.0[usize::from(token)],
            NEAR..FAR => {
                let (least, width) = BINS[usize::from(token - NEAR)];
                self.0[0].wrapping_add(unzigzag((least + extra.get(width)) as u32))
            }
            _ if usize::from(token) < CODES => {
                let width = u32::from(token - FAR);
                1 << width | extra.get(width) as u32
            }
            _ => return Err(Error::corrupt("a distance of a patch has an unknown token").figures(CODES - 1, token)),
        };
        self.push(distance as usize);
        Ok(distance as usize)
    }
}
