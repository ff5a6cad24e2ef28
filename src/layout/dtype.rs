//! Element types, by their names in safetensors.

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, non_camel_case_types)] // the names are safetensors' own
pub enum Dtype {
    BOOL,
    F4,
    F6_E2M3,
    F6_E3M2,
    U8,
    I8,
    F8_E5M2,
    F8_E4M3,
    F8_E8M0,
    F8_E4M3FNUZ,
    F8_E5M2FNUZ,
    I16,
    U16,
    F16,
    BF16,
    I32,
    U32,
    F32,
    C64,
    F64,
    I64,
    U64,
}

use Dtype::*;

/// Every dtype with its name and its width in bits.
const TABLE: [(Dtype, &str, u64); 22] = [
    (BOOL, "BOOL", 8),
    (F4, "F4", 4),
    (F6_E2M3, "F6_E2M3", 6),
    (F6_E3M2, "F6_E3M2", 6),
    (U8, "U8", 8),
    (I8, "I8", 8),
    (F8_E5M2, "F8_E5M2", 8),
    (F8_E4M3, "F8_E4M3", 8),
    (F8_E8M0, "F8_E8M0", 8),
    (F8_E4M3FNUZ, "F8_E4M3FNUZ", 8),
    (F8_E5M2FNUZ, "F8_E5M2FNUZ", 8),
    (I16, "I16", 16),
    (U16, "U16", 16),
    (F16, "F16", 16),
    (BF16, "BF16", 16),
    (I32, "I32", 32),
    (U32, "U32", 32),
    (F32, "F32", 32),
    (C64, "C64", 64),
    (F64, "F64", 64),
    (I64, "I64", 64),
    (U64, "U64", 64),
];

impl Dtype {
    /// The dtype of that name in safetensors, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The dtype of that number, which is its place in the list: archives hold it, so the list only grows.
    pub fn from_number(number: u8) -> Option<Self> {
        TABLE.get(usize::from(number)).map(|row| row.0)
    }

    /// Its name in safetensors.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Width of an element in bits.
    pub fn bits(self) -> u64 {
        TABLE[self as usize].2
    }

    /// Bytes of a tensor of that shape; `None` where that overflows or is no whole number of bytes.
    pub fn tensor_bytes(self, shape: &[u64]) -> Option<u64> {
        let elements = shape.iter().try_fold(1u64, |n, &extent| n.checked_mul(extent))?;
        let bits = elements.checked_mul(self.bits())?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (i, (dtype, name, _)) in TABLE.iter().enumerate() {
            assert_eq!(*dtype as usize, i);
            assert_eq!(Dtype::from_name(name), Some(*dtype));
        }
    }

    #[test]
    fn sizes_are_exact_or_refused() {
        assert_eq!(BF16.tensor_bytes(&[3, 5]), Some(30));
        assert_eq!(F32.tensor_bytes(&[]), Some(4));
        assert_eq!(F4.tensor_bytes(&[3]), None);
        assert_eq!(F4.tensor_bytes(&[4]), Some(2));
        assert_eq!(U8.tensor_bytes(&[1 << 40, 1 << 40]), None);
        assert_eq!(U8.tensor_bytes(&[0, u64::MAX]), Some(0));
    }
}
