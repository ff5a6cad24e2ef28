//! Durations in options: a number with a unit, such as `90s` or `2h`, or seconds alone.

use humantime::{Duration, DurationError};

/// Parses a duration; a number without a unit is a number of seconds, as in earlier releases.
///
/// # Errors
/// If `text` is neither.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let alone = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if alone { format!("{text}s").parse() } else { text.parse() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_seconds() {
        for (text, seconds) in [("3", 3), ("90s", 90), ("2h", 7200), ("1m 5s", 65), ("0", 0)] {
            assert_eq!(parse(text).unwrap().as_secs(), seconds, "{text}");
        }
        for text in ["", "-1", "x", "1.5", "99999999999999999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
