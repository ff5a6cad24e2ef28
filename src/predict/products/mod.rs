//! Sums of the products of a row's numbers with `V`. Numbers come in pairs of 16-bit integers,
//! since vector units multiply and add such pairs in one instruction.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

/// Writes a sum for each column from `start` on to `sums`: the sum of the products of `numbers`
/// with the column's numbers in `pairs`. Both hold two components per pair; `pairs` has rows of
/// `columns`. Sums are modulo 2^32, so their order does not matter.
#[inline(always)]
pub(super) fn sum(numbers: &[[i16; 2]], pairs: &[[i16; 2]], columns: usize, start: usize, sums: &mut [i32]) {
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    let (start, sums) = simd128::sum(numbers, pairs, columns, start, sums);
    sum_portable(numbers, pairs, columns, start, sums);
}

#[inline(always)]
fn sum_portable(numbers: &[[i16; 2]], pairs: &[[i16; 2]], columns: usize, start: usize, sums: &mut [i32]) {
    sums.fill(0);
    for (&[a, b], row) in numbers.iter().zip(pairs.chunks_exact(columns)) {
        let (a, b) = (i32::from(a), i32::from(b));
        for (sum, &[v, w]) in sums.iter_mut().zip(&row[start..]) {
            *sum = sum.wrapping_add((a * i32::from(v)).wrapping_add(b * i32::from(w)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kernel sums as the portable one does, extremes included.
    #[test]
    fn kernels_agree() {
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if seed >> 28 == 0 { i16::MIN } else { (seed >> 16) as i16 }
        };
        for (components, columns, start) in [(1, 70, 3), (5, 1000, 0), (32, 37, 36)] {
            let numbers: Vec<[i16; 2]> = (0..components).map(|_| [next(), next()]).collect();
            let pairs: Vec<[i16; 2]> = (0..components * columns).map(|_| [next(), next()]).collect();
            let (mut fast, mut portable) = (vec![7; columns - start], vec![9; columns - start]);
            sum_portable(&numbers, &pairs, columns, start, &mut portable);
            sum(&numbers, &pairs, columns, start, &mut fast);
            assert_eq!(fast, portable);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                fast.fill(5);
                avx2::checked_sum(&numbers, &pairs, columns, start, &mut fast);
                assert_eq!(fast, portable);
            } else if cfg!(miri) {
                panic!("Miri has the vector unit that the build asks for: -C target-feature=+avx2,+popcnt");
            }
        }
    }
}
