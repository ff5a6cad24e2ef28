//! Element types, by their names in safetensors and in GGUF.

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, non_camel_case_types)] // the names are the formats' own
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
    Q8_0,
}

use Dtype::*;

/// Every dtype with its name and its block: so many elements in so many bytes.
const TABLE: [(Dtype, &str, (u64, u64)); 23] = [
    (BOOL, "BOOL", (1, 1)),
    (F4, "F4", (2, 1)),
    (F6_E2M3, "F6_E2M3", (4, 3)),
    (F6_E3M2, "F6_E3M2", (4, 3)),
    (U8, "U8", (1, 1)),
    (I8, "I8", (1, 1)),
    (F8_E5M2, "F8_E5M2", (1, 1)),
    (F8_E4M3, "F8_E4M3", (1, 1)),
    (F8_E8M0, "F8_E8M0", (1, 1)),
    (F8_E4M3FNUZ, "F8_E4M3FNUZ", (1, 1)),
    (F8_E5M2FNUZ, "F8_E5M2FNUZ", (1, 1)),
    (I16, "I16", (1, 2)),
    (U16, "U16", (1, 2)),
    (F16, "F16", (1, 2)),
    (BF16, "BF16", (1, 2)),
    (I32, "I32", (1, 4)),
    (U32, "U32", (1, 4)),
    (F32, "F32", (1, 4)),
    (C64, "C64", (1, 8)),
    (F64, "F64", (1, 8)),
    (I64, "I64", (1, 8)),
    (U64, "U64", (1, 8)),
    (Q8_0, "Q8_0", (32, 34)),
];

/// Those that safetensors has come first.
const SAFETENSORS: usize = 22;

impl Dtype {
    /// The dtype of that name in safetensors, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE[..SAFETENSORS].iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The dtype of that number, which is its place in the list: archives hold it, so the list only grows.
    pub fn from_number(number: u8) -> Option<Self> {
        TABLE.get(usize::from(number)).map(|row| row.0)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Elements of a block and its bytes: one element, but for types that are packed or share a scale.
    pub fn block(self) -> (u64, u64) {
        TABLE[self as usize].2
    }

    /// Bytes of a tensor of that shape; `None` where that overflows or is no whole number of blocks.
    pub fn tensor_bytes(self, shape: &[u64]) -> Option<u64> {
        let elements = shape.iter().try_fold(1u64, |n, &extent| n.checked_mul(extent))?;
        // The blocks of a type with scales lie within rows.
        if self == Q8_0 && !shape.last().is_some_and(|row| row.is_multiple_of(32)) {
            return None;
        }
        let (count, bytes) = self.block();
        elements.is_multiple_of(count).then(|| (elements / count).checked_mul(bytes))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (i, (dtype, name, _)) in TABLE.iter().enumerate() {
            assert_eq!(*dtype as usize, i);
            assert_eq!(Dtype::from_name(name), (i < SAFETENSORS).then_some(*dtype));
        }
    }

    #[test]
    fn sizes_are_exact_or_refused() {
        assert_eq!(BF16.tensor_bytes(&[3, 5]), Some(30));
        assert_eq!(F32.tensor_bytes(&[]), Some(4));
        assert_eq!(F4.tensor_bytes(&[3]), None);
        assert_eq!(F4.tensor_bytes(&[4]), Some(2));
        assert_eq!((Q8_0.tensor_bytes(&[3, 64]), Q8_0.tensor_bytes(&[2, 48])), (Some(6 * 34), None));
        assert_eq!(U8.tensor_bytes(&[1 << 40, 1 << 40]), None);
        assert_eq!(U8.tensor_bytes(&[0, u64::MAX]), Some(0));
    }
}
