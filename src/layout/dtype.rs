//! Element types: one table with everything that is known of each.

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, non_camel_case_types)] // the names are the formats' own
#[non_exhaustive]
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
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
}

/// The parts of a word: they decide how its differences are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fields {
    /// Sign, exponent, and a mantissa of that many bits.
    Float { mantissa: u32 },
    /// A two's complement or unsigned integer.
    Integer,
}

/// The memory unit of a dtype: the smallest number of elements that takes whole bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    /// Elements that are words, or that lie packed in bytes.
    Packed { elements: u64, bytes: u64 },
    /// Elements of one row that share a scale ([`quant`](crate::quant)).
    Scaled { elements: u64, bytes: u64 },
}

/// All facts about one dtype.
#[derive(Debug)]
struct Row {
    dtype: Dtype,
    /// The number that archives hold. It never changes, and a removed dtype's number is not used
    /// again.
    number: u8,
    name: &'static str,
    /// safetensors has a dtype of this name.
    in_safetensors: bool,
    /// Width of a word in bytes, and the word's fields; types that are not understood are bytes.
    words: (usize, Fields),
    block: Block,
}

use Dtype::*;

const INTEGER: Fields = Fields::Integer;

const fn float(mantissa: u32) -> Fields {
    Fields::Float { mantissa }
}

/// A dtype of safetensors whose elements are words of `width` bytes.
const fn word(dtype: Dtype, number: u8, name: &'static str, width: usize, fields: Fields) -> Row {
    let block = Block::Packed { elements: 1, bytes: width as u64 };
    Row { dtype, number, name, in_safetensors: true, words: (width, fields), block }
}

/// A dtype of safetensors whose `elements` are packed in so many `bytes`.
const fn packed(dtype: Dtype, number: u8, name: &'static str, elements: u64, bytes: u64) -> Row {
    let block = Block::Packed { elements, bytes };
    Row { dtype, number, name, in_safetensors: true, words: (1, INTEGER), block }
}

/// A dtype of GGUF whose `elements` are a block of so many `bytes`.
const fn scaled(dtype: Dtype, number: u8, name: &'static str, elements: u64, bytes: u64) -> Row {
    let block = Block::Scaled { elements, bytes };
    Row { dtype, number, name, in_safetensors: false, words: (1, INTEGER), block }
}

/// Complex numbers (`C64`) are coded as pairs of F32.
const COMPLEX: Row = Row {
    dtype: C64,
    number: 18,
    name: "C64",
    in_safetensors: true,
    words: (4, float(23)),
    block: Block::Packed { elements: 1, bytes: 8 },
};

/// Every dtype, in the order of the enum.
static TABLE: [Row; 34] = [
    word(BOOL, 0, "BOOL", 1, INTEGER),
    packed(F4, 1, "F4", 2, 1),
    packed(F6_E2M3, 2, "F6_E2M3", 4, 3),
    packed(F6_E3M2, 3, "F6_E3M2", 4, 3),
    word(U8, 4, "U8", 1, INTEGER),
    word(I8, 5, "I8", 1, INTEGER),
    word(F8_E5M2, 6, "F8_E5M2", 1, float(2)),
    word(F8_E4M3, 7, "F8_E4M3", 1, float(3)),
    word(F8_E8M0, 8, "F8_E8M0", 1, INTEGER),
    word(F8_E4M3FNUZ, 9, "F8_E4M3FNUZ", 1, float(3)),
    word(F8_E5M2FNUZ, 10, "F8_E5M2FNUZ", 1, float(2)),
    word(I16, 11, "I16", 2, INTEGER),
    word(U16, 12, "U16", 2, INTEGER),
    word(F16, 13, "F16", 2, float(10)),
    word(BF16, 14, "BF16", 2, float(7)),
    word(I32, 15, "I32", 4, INTEGER),
    word(U32, 16, "U32", 4, INTEGER),
    word(F32, 17, "F32", 4, float(23)),
    COMPLEX,
    word(F64, 19, "F64", 8, float(52)),
    word(I64, 20, "I64", 8, INTEGER),
    word(U64, 21, "U64", 8, INTEGER),
    scaled(Q8_0, 22, "Q8_0", 32, 34),
    scaled(Q4_0, 23, "Q4_0", 32, 18),
    scaled(Q4_1, 24, "Q4_1", 32, 20),
    scaled(Q5_0, 25, "Q5_0", 32, 22),
    scaled(Q5_1, 26, "Q5_1", 32, 24),
    scaled(Q2_K, 27, "Q2_K", 256, 84),
    scaled(Q3_K, 28, "Q3_K", 256, 110),
    scaled(Q4_K, 29, "Q4_K", 256, 144),
    scaled(Q5_K, 30, "Q5_K", 256, 176),
    scaled(Q6_K, 31, "Q6_K", 256, 210),
    scaled(IQ4_NL, 32, "IQ4_NL", 32, 18),
    scaled(IQ4_XS, 33, "IQ4_XS", 256, 136),
];

impl Dtype {
    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The dtype that safetensors calls `name`, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.in_safetensors && row.name == name).map(|row| row.dtype)
    }

    /// The dtype that archives write as `number`, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        TABLE.iter().find(|row| row.number == number).map(|row| row.dtype)
    }

    /// The number that archives hold for this dtype.
    pub fn number(self) -> u8 {
        self.row().number
    }

    /// The name in safetensors or in GGUF.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The number of elements in the smallest unit of whole bytes, and its bytes: more than one
    /// element where elements are packed or share a scale.
    pub fn block(self) -> (u64, u64) {
        match self.row().block {
            Block::Packed { elements, bytes } | Block::Scaled { elements, bytes } => (elements, bytes),
        }
    }

    /// `true` where blocks of a row's elements share a scale.
    pub(crate) fn is_scaled(self) -> bool {
        matches!(self.row().block, Block::Scaled { .. })
    }

    /// `true` for integers in two's complement.
    pub(crate) fn is_signed(self) -> bool {
        matches!(self, I8 | I16 | I32 | I64 | Q8_0)
    }

    /// The width of a word in bytes, and its fields.
    pub(crate) fn words(self) -> (usize, Fields) {
        self.row().words
    }

    /// The bytes of a tensor of that shape; `None` if they overflow or are not a whole number of
    /// blocks.
    pub fn tensor_bytes(self, shape: &[u64]) -> Option<u64> {
        let elements = shape.iter().try_fold(1u64, |n, &extent| n.checked_mul(extent))?;
        let (count, bytes) = self.block();
        // A scale is shared within a row.
        if self.is_scaled() && !shape.last().is_some_and(|row| row.is_multiple_of(count)) {
            return None;
        }
        elements.is_multiple_of(count).then(|| (elements / count).checked_mul(bytes))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_is_found_by_its_number_and_its_name() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.dtype as usize, i, "rows are in the order of the enum");
            assert_eq!(Dtype::from_number(row.number), Some(row.dtype), "numbers are unique");
            assert_eq!(Dtype::from_name(row.name), row.in_safetensors.then_some(row.dtype), "names are unique");
        }
    }

    /// Archives hold these numbers.
    #[test]
    fn numbers_do_not_change() {
        assert_eq!([BOOL, U8, F16, BF16, F32, U64, Q8_0].map(Dtype::number), [0, 4, 13, 14, 17, 21, 22]);
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
