//! How targets read their input: numbers off its front, then bytes.

/// The next byte, 0 past the end.
pub fn byte(data: &mut &[u8]) -> u8 {
    data.split_off_first().copied().unwrap_or(0)
}

/// The next 16 bits.
pub fn short(data: &mut &[u8]) -> usize {
    usize::from(u16::from_le_bytes([byte(data), byte(data)]))
}

/// A 16-bit length, and that many bytes or what there is.
pub fn prefixed<'a>(data: &mut &'a [u8]) -> &'a [u8] {
    let length = short(data).min(data.len());
    data.split_off(..length).unwrap_or(&[])
}

/// What [`prefixed`] reads; `bytes` must be shorter than 64 KiB.
pub fn put_prefixed(data: &mut Vec<u8>, bytes: &[u8]) {
    data.extend((bytes.len() as u16).to_le_bytes());
    data.extend(bytes);
}

/// A safetensors file of one tensor `w`.
pub fn model(dtype: &str, shape: &[u64], data: &[u8]) -> Vec<u8> {
    let json = format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[0,{}]}}}}"#, data.len());
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), data].concat()
}

/// Widths of the dtypes in bits, by number.
const BITS: [u64; 22] = [8, 4, 6, 6, 8, 8, 8, 8, 8, 8, 8, 16, 16, 16, 16, 32, 32, 32, 64, 64, 64, 64];

/// A tensor's type and shape: two dimensions, up to 8,256 elements.
pub struct Type {
    pub dtype: u8,
    pub shape: [u64; 2],
}

impl Type {
    /// Reads four bytes.
    pub fn read(data: &mut &[u8]) -> Self {
        let dtype = byte(data) % 22;
        let columns = 1 + u64::from(byte(data)) % 64;
        let rows = short(data) as u64 % 129;
        // A whole number of bytes for types of less than one.
        let rows = if dtype < 4 { rows / 4 * 4 } else { rows };
        Self { dtype, shape: [rows, columns] }
    }

    pub fn write(&self) -> [u8; 4] {
        [self.dtype, self.shape[1] as u8 - 1, self.shape[0] as u8, 0]
    }

    pub fn name(&self) -> &'static str {
        crate::reference::base::NAMES[usize::from(self.dtype)]
    }

    /// Bytes of the tensor.
    pub fn length(&self) -> usize {
        (self.shape[0] * self.shape[1] * BITS[usize::from(self.dtype)] / 8) as usize
    }

    /// A file that holds a tensor of this type.
    pub fn file(&self, data: &[u8]) -> Vec<u8> {
        model(self.name(), &self.shape, data)
    }

    /// Weights for the tensor that follow from `seed`.
    pub fn weights(&self, seed: u8) -> Vec<u8> {
        let mut state = u32::from(seed);
        let mut bytes: Vec<u8> = (0..self.length())
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        // Exponents are much alike.
        let width = (BITS[usize::from(self.dtype)] / 8).max(1) as usize;
        bytes.chunks_exact_mut(width).for_each(|word| word[width - 1] = word[width - 1] & 0x83 | 0x38);
        bytes
    }
}
