//! Changes to bytes that know of the numbers that formats consist of.

use crate::common::protobuf::varint;
use crate::random::Random;

/// The numbers at which lengths, counts and products go wrong.
const NUMBERS: [u64; 22] = [
    0,
    1,
    2,
    7,
    8,
    31,
    32,
    64,
    65,
    127,
    128,
    255,
    256,
    0xffff,
    1 << 20,
    (1 << 20) + 1,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 32,
    1 << 62,
    (1 << 63) - 1,
    u64::MAX,
];

/// Maximum length of a file in bytes: seeds are small, and a case is to take microseconds.
const LONGEST: usize = 64 << 10;

/// Changes `bytes` in one to four places. `other` is material to take pieces of.
pub fn change(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..1 + random.below(4) {
        change_once(random, bytes, other);
    }
    bytes.truncate(LONGEST);
}

fn change_once(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len());
    let number = *random.pick(&NUMBERS);
    match random.below(11) {
        0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        1 => overwrite(bytes, at, &[random.next() as u8]),
        2 => overwrite(bytes, at, &[number as u8]),
        3 => overwrite(bytes, at, &(number as u32).to_le_bytes()),
        4 => overwrite(bytes, at, &number.to_le_bytes()),
        5 => splice(bytes, at, usize::from(random.below(2) == 0), &varint(number)),
        6 => splice(bytes, at, random.below(16), &[]),
        7 => {
            let piece = piece(random, bytes).repeat(1 + random.below(40));
            splice(bytes, at, 0, &piece);
        }
        8 => {
            let piece = piece(random, other);
            splice(bytes, at, random.below(16), &piece);
        }
        9 => decimal(random, bytes, number),
        _ => bytes.truncate(at),
    }
}

fn overwrite(bytes: &mut [u8], at: usize, new: &[u8]) {
    bytes.iter_mut().skip(at).zip(new).for_each(|(byte, new)| *byte = *new);
}

fn splice(bytes: &mut Vec<u8>, at: usize, removed: usize, new: &[u8]) {
    let end = (at + removed).min(bytes.len());
    bytes.splice(at.min(end)..end, new.iter().copied());
}

fn piece(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let start = random.below(bytes.len());
    bytes[start..].iter().take(1 + random.below(64)).copied().collect()
}

/// Puts a number in the place of one that is written in digits, as in JSON.
fn decimal(random: &mut Random, bytes: &mut Vec<u8>, number: u64) {
    let starts = |&at: &usize| bytes[at].is_ascii_digit() && !(at > 0 && bytes[at - 1].is_ascii_digit());
    let places: Vec<usize> = (0..bytes.len()).filter(starts).collect();
    if places.is_empty() {
        return;
    }
    let at = *random.pick(&places);
    let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    splice(bytes, at, digits, number.to_string().as_bytes());
}
