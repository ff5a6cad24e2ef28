//! Fields of bytes, and fields of bits.

use super::{Result, check};

/// Bytes, read from the front.
#[derive(Clone)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("a field ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    pub fn finish(self) -> Result<()> {
        check(self.0.is_empty(), "bytes behind the last field")
    }

    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().unwrap()))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().unwrap()))
    }

    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0u128;
        for i in 0.. {
            let byte = self.byte()?;
            value |= u128::from(byte & 0x7f) << (7 * i);
            check(value <= u128::from(u64::MAX), "an integer above 64 bits")?;
            if byte < 0x80 {
                check(byte > 0 || i == 0, "an integer in a longer form")?;
                break;
            }
            check(i < 9, "an integer in a longer form")?;
        }
        Ok(value as u64)
    }

    pub fn string(&mut self) -> Result<&'a [u8]> {
        let length = self.varint()?;
        self.take(usize::try_from(length).map_err(|e| e.to_string())?)
    }

    pub fn name(&mut self) -> Result<String> {
        text(self.string()?)
    }
}

/// A name.
pub fn text(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|e| e.to_string())
}

/// A bit string.
pub struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub fn field(&mut self, bits: u32) -> Result<u64> {
        let mut value = 0;
        for i in 0..bits {
            let byte = self.bytes.get(self.position / 8).ok_or("a bit string ends too early")?;
            value |= u64::from(byte >> (self.position % 8) & 1) << i;
            self.position += 1;
        }
        Ok(value)
    }

    pub fn gamma(&mut self) -> Result<u64> {
        let mut k = 0;
        while self.field(1)? == 0 {
            k += 1;
            check(k <= 30, "a gamma code is too long")?;
        }
        Ok((1 << k) + self.field(k)? - 1)
    }

    pub fn finish(mut self) -> Result<()> {
        let left = self.bytes.len() * 8 - self.position;
        check(left < 8, "bytes behind a bit string")?;
        check(self.field(left as u32)? == 0, "bits behind a bit string")
    }
}

/// The inverse of zigzag.
pub fn unzigzag(z: u64) -> i128 {
    let z = i128::from(z);
    if z % 2 == 0 { z / 2 } else { -(z + 1) / 2 }
}
