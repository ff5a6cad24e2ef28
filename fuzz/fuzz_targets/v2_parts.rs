//! A base, the content of a head, and records; an archive is built around them.
#![no_main]

use bitx_fuzz::archive::Parts;
use bitx_fuzz::{compare, input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let base = input::prefixed(&mut rest);
    let head = input::prefixed(&mut rest).to_vec();
    let bases = usize::from(head.get(1).is_some_and(|&count| count > 0));
    compare(base, &Parts { head, records: rest.to_vec() }.archive(bases));
});
