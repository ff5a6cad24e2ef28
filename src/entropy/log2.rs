//! Logarithms in fixed point, since the encoder's decisions must not depend on a platform's libm.

/// The number of fraction bits of [`log2`].
pub(crate) const FRACTION: u32 = 16;

/// The number of steps of the table in an octave.
const STEPS: usize = 256;

/// The values of `log2(1 + i / STEPS)` in fixed point.
const TABLE: [u32; STEPS + 1] = table();

/// Computes an entry of [`TABLE`] in integers: each squaring gives one bit of the logarithm.
const fn fraction(i: usize) -> u32 {
    if i == STEPS {
        return 1 << FRACTION;
    }
    // A number in [1, 2) with 31 fraction bits.
    let mut x = (STEPS as u64 + i as u64) << (31 - STEPS.trailing_zeros());
    let mut result = 0;
    let mut bit = 0;
    while bit < FRACTION {
        x = (x * x) >> 31;
        result <<= 1;
        if x >= 1 << 32 {
            x >>= 1;
            result |= 1;
        }
        bit += 1;
    }
    result
}

const fn table() -> [u32; STEPS + 1] {
    let mut table = [0; STEPS + 1];
    let mut i = 0;
    while i <= STEPS {
        table[i] = fraction(i);
        i += 1;
    }
    table
}

/// Returns `log2(n)` with [`FRACTION`] fraction bits; 0 if `n` is 0.
pub(crate) fn log2(n: u32) -> u32 {
    if n == 0 {
        return 0;
    }
    let octave = n.ilog2();
    // Eight bits choose the step, and eight more interpolate within it.
    let mantissa = ((u64::from(n) << 16) >> octave) as u32 & 0xffff;
    let (step, rest) = ((mantissa >> 8) as usize, mantissa & 0xff);
    let (low, high) = (TABLE[step], TABLE[step + 1]);
    (octave << FRACTION) + low + ((high - low) * rest >> 8)
}

/// Returns the bits, with [`FRACTION`] fraction bits, that an ideal coder takes for these counts.
pub(crate) fn entropy(counts: &[u32]) -> u64 {
    let (mut total, mut sum) = (0u32, 0u64);
    for &count in counts.iter().filter(|&&count| count > 0) {
        total += count;
        sum += u64::from(count) * u64::from(log2(count));
    }
    u64::from(total) * u64::from(log2(total)) - sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_floating_point() {
        for n in (1..5000).chain([65_535, 1 << 20, 123_456_789, u32::MAX]) {
            let error = f64::from(log2(n)) / 65536.0 - f64::from(n).log2();
            assert!(error.abs() < 5e-5, "{n}: {error}");
        }
    }

    #[test]
    fn entropy_of_known_distributions() {
        assert_eq!(entropy(&[8, 8]), 16 << FRACTION);
        assert_eq!(entropy(&[0, 100, 0]), 0);
        assert_eq!(entropy(&[]), 0);
    }
}
