//! The dynamic map of bitsandbytes: the 256 numbers that scales which are quantised themselves may be.

/// A number of bitsandbytes' dynamic map: at place 127 is 0, above it the map has 2^i numbers in equal
/// steps from a tenth of 10^(i - 6) on, for i of 0 to 6, below it the same negated, and last 1.
pub(crate) fn number(place: u8) -> f32 {
    const POWERS: [f32; 7] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];
    let from_zero = place.abs_diff(127);
    match from_zero {
        0 => 0.0,
        128 => 1.0,
        _ => {
            let power = from_zero.ilog2();
            let steps = 2 * (from_zero - (1 << power)) + 1;
            let share = f32::from(steps) / (2u32 << power) as f32;
            let size = (share * 0.9 + 0.1) * POWERS[power as usize];
            if place < 127 { -size } else { size }
        }
    }
}

/// The place of the number of the dynamic map that is nearest to `x`, or 0 if that is no number.
pub(crate) fn place_of(x: f32) -> u8 {
    let (mut least, mut most) = (0u8, 255);
    while least < most {
        let middle = least + (most - least) / 2;
        let border = (number(middle) + number(middle + 1)) / 2.0;
        if x > border { least = middle + 1 } else { most = middle }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_are_their_own_nearest() {
        let all: Vec<f32> = (0..=255).map(number).collect();
        assert!(all.is_sorted_by(|a, b| a < b));
        assert_eq!(
            [all[0], all[126], all[127], all[128], all[255]],
            [-0.992_968_74, -5.500_000_4e-7, 0.0, 5.500_000_4e-7, 1.0]
        );
        assert!((0..=255).all(|place| place_of(number(place)) == place));
        assert_eq!([f32::NAN, f32::NEG_INFINITY, f32::INFINITY].map(place_of), [0, 0, 255]);
    }
}
