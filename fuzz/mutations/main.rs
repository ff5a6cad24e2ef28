//! Mutations that know the formats: files of every layout and archives of both versions are
//! changed, with the checksums that they should then have, and everything that reads them is run
//! over them.
//!
//! In process, and with a counting allocator: nothing may panic, take more memory or more steps
//! than FORMAT.md allows, or restore other bytes than those that the archive was made of without
//! saying so. `BITX_MUTATIONS` is the number of mutations, and `BITX_MUTATION` a single one to
//! repeat. `BITX_BINARY` names a command line that handles the same files.
#![cfg(not(target_arch = "wasm32"))]

#[path = "../src/archive.rs"]
#[allow(dead_code)] // the fuzz targets use all of it
mod archive;
mod command;
#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/counting/mod.rs"]
mod counting;
mod havoc;
mod random;
#[path = "../../tests/reference/mod.rs"]
#[allow(dead_code)] // the reference decoder is there for its head and its checksums
mod reference;
mod seeds;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bitx::drive::{self, Sources};
use bitx::io::ReadAt;
use bitx::parallel::Sequential;
use bitx::{Compress, Error, Format, Inspect, Job, Restore, steps};
use random::Random;
use seeds::Seed;

/// Mutations of a run that nobody asks for more of.
const USUAL: u64 = 20_000;

/// Maximum length in bytes of an output that is restored.
const LONGEST: u64 = 4 << 20;

/// Memory that a window takes beyond what opening may take.
const WINDOW: usize = 96 << 20;

/// The files of one case.
struct Case {
    base: Vec<u8>,
    target: Vec<u8>,
    archive: Vec<u8>,
    /// The file that was changed.
    mutated: &'static str,
}

#[test]
fn mutations_break_no_promise() {
    let number = |name| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let seeds = seeds::all();
    if let Some(one) = number("BITX_MUTATION") {
        run(&seeds, one, &mut HashSet::new());
        return;
    }
    let (count, mut errors) = (number("BITX_MUTATIONS").unwrap_or(USUAL), HashSet::new());
    let first = number("BITX_FIRST_MUTATION").unwrap_or(0);
    for i in first..first + count {
        let done = catch_unwind(AssertUnwindSafe(|| run(&seeds, i, &mut errors)));
        assert!(done.is_ok(), "mutation {i}: repeat it with BITX_MUTATION={i}");
    }
    println!("{count} mutations of {} seeds, {} kinds of errors", seeds.len(), errors.len());
    assert!(errors.len() > 50, "the mutations are all refused for the same reasons");
}

fn run(seeds: &[Seed], number: u64, errors: &mut HashSet<String>) {
    let random = &mut Random::new(number.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let seed = random.pick(seeds);
    let other = random.pick(seeds);
    let case = mutate(random, seed, other);
    if let Some(bitx) = std::env::var_os("BITX_BINARY") {
        command::check(bitx.as_ref(), &case);
    }
    for (what, result) in
        [("inspect", inspect(&case)), ("restore", restore(&case, seed)), ("compress", compress(&case))]
    {
        if let Err(error) = result {
            let text: String = error.to_string().chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
            errors.insert(format!("{what}: {text}"));
        }
    }
}

/// Changes one of the three files.
fn mutate(random: &mut Random, seed: &Seed, other: &Seed) -> Case {
    let Seed { base, target, archive } = seed;
    let mut case = Case { base: base.clone(), target: target.clone(), archive: archive.clone(), mutated: "" };
    let v2 = archive.starts_with(b"BITXv002");
    match random.below(6) {
        0 => {
            case.mutated = "base";
            havoc::change(random, &mut case.base, &other.base);
        }
        1 => {
            case.mutated = "target";
            havoc::change(random, &mut case.target, &other.target);
        }
        2 if v2 => {
            case.mutated = "archive, repaired";
            havoc::change(random, &mut case.archive, &other.archive);
            archive::repair(&mut case.archive);
        }
        3..6 if v2 => {
            case.mutated = "archive, rebuilt";
            let mut parts = archive::Parts::of(archive);
            let part = if random.below(2) == 0 { &mut parts.head } else { &mut parts.records };
            havoc::change(random, part, archive);
            case.archive = parts.archive(usize::from(!base.is_empty()));
        }
        _ => {
            case.mutated = "archive";
            havoc::change(random, &mut case.archive, &other.archive);
        }
    }
    case
}

/// Runs `f` within the memory and the steps that `bytes` bytes of files, and a window of `more`
/// bytes, are worth.
fn bounded<R>(case: &Case, bytes: usize, more: usize, f: impl FnOnce() -> R) -> R {
    let ((result, most), steps) = steps::count(|| counting::most(f));
    let allowed = 64 * bytes + (32 << 20) + more;
    assert!(most <= allowed, "{}: {most} bytes of memory, {allowed} are allowed", case.mutated);
    assert!(steps <= 100 * bytes as u64 + 10_000_000, "{}: {steps} steps for {bytes} bytes", case.mutated);
    result
}

fn open(job: &mut Job, sources: &Sources<'_>) -> Result<(), Error> {
    drive::open(job, sources).map_err(|error| match error {
        drive::DriveError::Job(error) => error,
        other => panic!("slices do not fail: {other}"),
    })
}

fn inspect(case: &Case) -> Result<(), Error> {
    let delta = case.archive.as_slice();
    bounded(case, delta.len(), 0, || {
        let mut job = Inspect::new(delta.len() as u64).job();
        open(&mut job, &Sources { delta: Some(&delta), ..Sources::default() })?;
        job.report().map(drop)
    })
}

fn restore(case: &Case, seed: &Seed) -> Result<(), Error> {
    let (base, delta) = (case.base.as_slice(), case.archive.as_slice());
    let bases: [&dyn ReadAt; 1] = [&base];
    let sources = Sources { base: &bases, delta: Some(&delta), ..Sources::default() };
    let bytes = base.len() + delta.len();
    let mut job = Restore::new(&[base.len() as u64], delta.len() as u64).max_output(LONGEST).job();
    bounded(case, bytes, 0, || open(&mut job, &sources))?;
    let restored = bounded(case, bytes, WINDOW, || common::run(&mut job, &sources, &Sequential))?;
    assert_eq!(Some(restored.len() as u64), job.output_length()?, "{}: another length", case.mutated);
    // With checksums, a base that was changed is noticed, or what was changed is not needed.
    if case.mutated == "base" && delta.starts_with(b"BITXv002") {
        assert!(restored == seed.target, "a changed base restored other bytes");
    }
    Ok(())
}

fn compress(case: &Case) -> Result<(), Error> {
    if case.mutated != "base" && case.mutated != "target" {
        return Ok(());
    }
    let (base, target) = (case.base.as_slice(), case.target.as_slice());
    let bases: [&dyn ReadAt; 1] = [&base];
    let sources = Sources { base: &bases, target: Some(&target), ..Sources::default() };
    let bytes = base.len() + target.len();
    let mut job = Compress::new(&[base.len() as u64], target.len() as u64, Format::default())?.job();
    bounded(case, bytes, 0, || open(&mut job, &sources))?;
    let archive = bounded(case, bytes, WINDOW, || common::run(&mut job, &sources, &Sequential))?;
    assert!(common::restore(base, &archive)? == target, "what was compressed does not come back");
    Ok(())
}
