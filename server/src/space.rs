//! The space that temporary files may take on the disk, and the shares of it that are in use.

use std::sync::{Arc, Mutex, PoisonError};

use crate::errors::{Failure, Result};

/// The space for temporary files.
#[derive(Debug)]
pub(crate) struct Space {
    /// The bytes that no share has.
    free: Mutex<u64>,
}

/// A share of the space, which is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    space: Arc<Space>,
    bytes: u64,
}

impl Space {
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(bytes) })
    }

    /// Takes a share of this many bytes.
    ///
    /// # Errors
    /// `Busy`, if so many bytes are not free.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Result<Share> {
        let mut share = Share { space: self.clone(), bytes: 0 };
        share.grow(bytes)?;
        Ok(share)
    }
}

impl Share {
    /// Takes this many bytes more.
    ///
    /// # Errors
    /// `Busy`, if so many bytes are not free. The share is then as it was.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<()> {
        let mut free = self.space.free.lock().unwrap_or_else(PoisonError::into_inner);
        let left = free.checked_sub(bytes).ok_or_else(|| Failure::busy("the server has no space for further files"))?;
        (*free, self.bytes) = (left, self.bytes + bytes);
        Ok(())
    }

    /// Gives all bytes back.
    pub(crate) fn clear(&mut self) {
        *self.space.free.lock().unwrap_or_else(PoisonError::into_inner) += std::mem::take(&mut self.bytes);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_take_no_more_than_there_is() {
        let space = Space::new(10);
        let mut first = space.take(4).unwrap();
        let second = space.take(6).unwrap();
        assert!(first.grow(1).is_err() && space.take(1).is_err());
        drop(second);
        first.grow(6).unwrap();
        first.clear();
        assert!(space.take(11).is_err() && space.take(10).is_ok());
        drop(first);
        assert!(space.take(11).is_err() && space.take(10).is_ok());
    }
}
