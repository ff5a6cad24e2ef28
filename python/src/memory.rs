//! The memory of numpy arrays, which the codec reads and writes without a copy of the whole.

use std::io;
use std::ptr;

use bitx::io::ReadAt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// The bytes of a numpy array, which is kept alive.
///
/// The stable interface of Python 3.10 has no buffers, so the address comes from numpy. Bytes are
/// copied in and out and never borrowed: another thread of Python may write to the array meanwhile,
/// and the codec then sees wrong bytes, which fail a checksum.
pub struct Memory {
    address: usize,
    length: usize,
    writable: bool,
    _array: Py<PyAny>,
}

impl Memory {
    /// Takes an array of bytes with one dimension and without gaps.
    ///
    /// # Errors
    /// `TypeError` for anything else. Subclasses are refused, since they may state any address.
    pub fn of(array: &Bound<'_, PyAny>) -> PyResult<Self> {
        let ndarray = array.py().import("numpy")?.getattr("ndarray")?;
        let refused = || PyTypeError::new_err("not a numpy array of bytes with one dimension and without gaps");
        if !array.get_type().is(&ndarray) {
            return Err(refused());
        }
        let dtype: String = array.getattr("dtype")?.getattr("str")?.extract()?;
        let shape: Vec<usize> = array.getattr("shape")?.extract()?;
        let dense: bool = array.getattr("flags")?.getattr("c_contiguous")?.extract()?;
        let [length] = shape[..] else { return Err(refused()) };
        if dtype != "|u1" || !dense {
            return Err(refused());
        }
        let data = array.getattr("__array_interface__")?.get_item("data")?;
        let (address, read_only): (usize, bool) = data.extract()?;
        Ok(Self { address, length, writable: !read_only, _array: array.clone().unbind() })
    }

    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Replaces the bytes from `offset` on.
    ///
    /// # Errors
    /// `PermissionDenied` for a read-only array, `UnexpectedEof` behind its end.
    #[allow(unsafe_code)]
    #[inline]
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let place = self.place(offset, bytes.len())?;
        // SAFETY: `place` lies in the array, which numpy allocated, says is writable, and keeps
        // while `_array` holds a reference. `bytes` is memory of Rust, so the two do not overlap.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), ptr::with_exposed_provenance_mut(place), bytes.len()) };
        Ok(())
    }

    /// Returns the address of `length` bytes at `offset`, which must lie in the array.
    #[inline]
    fn place(&self, offset: u64, length: usize) -> io::Result<usize> {
        let offset = usize::try_from(offset).ok();
        let end = offset.and_then(|offset| offset.checked_add(length)).filter(|&end| end <= self.length);
        let offset = offset.filter(|_| end.is_some()).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(self.address + offset)
    }
}

impl ReadAt for Memory {
    fn len(&self) -> u64 {
        self.length as u64
    }

    #[allow(unsafe_code)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let place = self.place(offset, buffer.len())?;
        // SAFETY: `place` lies in the array, which numpy allocated and keeps while `_array` holds a
        // reference. `buffer` is memory of Rust, so the two do not overlap.
        unsafe { ptr::copy_nonoverlapping(ptr::with_exposed_provenance(place), buffer.as_mut_ptr(), buffer.len()) };
        Ok(())
    }
}
