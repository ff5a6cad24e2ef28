//! The zigzag map from signed to unsigned numbers, which keeps small magnitudes small: it maps 0,
//! -1, 1, -2, 2 to 0, 1, 2, 3, 4.

/// An unsigned integer whose bits are those of a signed number in two's complement.
pub(crate) trait ZigZag {
    fn zigzag(self) -> Self;
    fn unzigzag(self) -> Self;
}

macro_rules! zigzag {
    ($unsigned:ty, $signed:ty) => {
        impl ZigZag for $unsigned {
            #[inline(always)]
            fn zigzag(self) -> Self {
                (self << 1) ^ ((self as $signed) >> (<$unsigned>::BITS - 1)) as $unsigned
            }

            #[inline(always)]
            fn unzigzag(self) -> Self {
                (self >> 1) ^ (0 as $unsigned).wrapping_sub(self & 1)
            }
        }
    };
}

zigzag!(u8, i8);
zigzag!(u16, i16);
zigzag!(u32, i32);
zigzag!(u64, i64);

/// The zigzag of the signed number whose bits are `value`.
#[inline(always)]
pub(crate) fn zigzag<T: ZigZag>(value: T) -> T {
    value.zigzag()
}

/// The bits of the signed number whose [`zigzag()`] is `value`.
#[inline(always)]
pub(crate) fn unzigzag<T: ZigZag>(value: T) -> T {
    value.unzigzag()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_stay_small_and_survive_a_round_trip() {
        for (i, number) in [0i16, -1, 1, -2, 2].into_iter().enumerate() {
            assert_eq!(zigzag(number as u16), i as u16);
        }
        assert_eq!((zigzag(i32::MIN as u32), zigzag(i32::MAX as u32)), (u32::MAX, u32::MAX - 1));
        assert!((0..=u8::MAX).all(|bits| unzigzag(zigzag(bits)) == bits));
        assert_eq!(unzigzag(zigzag(1u64 << 63)), 1 << 63);
    }
}
