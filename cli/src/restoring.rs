//! The inputs of the commands that restore: the files of a base and an archive.

use std::path::Path;

use bitx::io::ReadAt;
use bitx::report::{BaseReport, Report};
use bitx::{ErrorKind, Restore};

use crate::args::{Base, Global};
use crate::checks::Checks;
use crate::fault::{self, Fault};
use crate::files::{Given, Input, lengths};
use crate::folder::{self, BaseFiles, Needed};
use crate::inspect::report_of;
use crate::output::Sink;
use crate::run::Work;
use crate::warning::warn;
use crate::{bases, words};

/// An open base and archive.
pub struct Restoring<'a> {
    base: Vec<Input>,
    archive: Input,
    checks: &'a Checks,
    global: &'a Global,
    /// The descriptions of the base files that the archive needs, if a manifest has them.
    needed: Vec<String>,
}

impl<'a> Restoring<'a> {
    /// Takes open files, the base's in the order in which the archive names them.
    pub fn new(base: Vec<Input>, archive: Input, checks: &'a Checks, global: &'a Global) -> Self {
        Self { base, archive, checks, global, needed: Vec::new() }
    }

    /// Describes the base that the archive needs, for errors.
    pub fn needing(self, needed: Vec<String>) -> Self {
        Self { needed, ..self }
    }

    /// Opens the files. If the base has several, they are put in the order in which the archive
    /// names them.
    pub fn open(base: &Base, archive: &Path, checks: &'a Checks, global: &'a Global) -> anyhow::Result<Self> {
        let paths = base.paths();
        if folder::any(&paths) {
            return Self::of_folder(&paths, Input::open(archive)?, checks, global);
        }
        let mut opened = Self::new(Input::all(&paths, Input::open)?, Input::open(archive)?, checks, global);
        if is_archive(&opened.base[0]) && !is_archive(&opened.archive) {
            let (base, archive) = (words::input(&opened.base[0].path), words::input(&opened.archive.path));
            let message = format!("{base} is the archive: the base comes first, then the archive; {archive} is none");
            return Err(Fault::new(ErrorKind::InvalidArgument, message).into());
        }
        if opened.base.len() > 1 {
            let needed = opened.report()?.bases;
            opened.base = bases::in_order(opened.base, &needed)?;
        }
        Ok(opened)
    }

    /// Opens the files that the archive needs, of a base with folders.
    fn of_folder(paths: &[&Path], archive: Input, checks: &'a Checks, global: &'a Global) -> anyhow::Result<Self> {
        let opened = Self::new(Vec::new(), archive, checks, global);
        let needed = opened.report()?.bases;
        let needed: Vec<Needed<'_>> =
            needed.iter().map(|base| Needed { path: None, length: base.length, blake3: base.blake3 }).collect();
        let base = BaseFiles::find(paths, global)?;
        Ok(Self { base: base.open(&base.needed(&needed)?, Input::open)?, ..opened })
    }

    /// The inputs. The output must not be one of them.
    pub fn inputs(&self) -> Vec<&Input> {
        self.base.iter().chain([&self.archive]).collect()
    }

    /// The name of the archive in messages.
    pub fn archive_name(&self) -> String {
        words::input(&self.archive.path)
    }

    /// The length of the archive in bytes.
    pub fn archive_bytes(&self) -> u64 {
        self.archive.file.len()
    }

    /// Restores the whole file into `output`. Returns the archive's report and the seconds it took.
    pub fn whole(&self, output: Sink<'_>) -> anyhow::Result<(Report, f64)> {
        let mut job = Restore::new(&self.base_lengths(), self.archive_bytes()).shared().job();
        let seconds = self.checks.checking(output, &self.archive_name(), |sink| self.work().restore(&mut job, sink));
        let seconds = seconds.map_err(|error| self.name_base(error))?;
        Ok((job.report()?, seconds))
    }

    /// Restores one tensor into `output`.
    pub fn tensor(&self, name: &str, output: Sink<'_>) -> anyhow::Result<Report> {
        let mut job = Restore::new(&self.base_lengths(), self.archive_bytes()).tensor(name).job();
        self.checks
            .checking(output, &self.archive_name(), |sink| self.work().run(&mut job, sink))
            .map_err(|error| self.name_base(error))?;
        Ok(job.report()?)
    }

    /// Warns about a format that cannot notice a wrong base, unless the user gave a digest.
    pub fn warn_of_unchecked(&self, report: &Report) {
        if report.blake3.is_none() && !self.checks.pins() {
            let archive = self.archive_name();
            let text = "format v1 has no checksums, so a wrong base goes unnoticed: compare the SHA-256 digest of the \
                        output with the one that was published, or pass that to --sha256";
            warn(self.global, &format!("{archive}: {text}"));
        }
    }

    fn base_lengths(&self) -> Vec<u64> {
        lengths(&self.base.iter().collect::<Vec<_>>())
    }

    fn work(&self) -> Work<'_> {
        Work { given: self.given(), most: self.checks.most(), global: self.global }
    }

    fn given(&self) -> Given<'_> {
        Given { base: self.base.iter().collect(), delta: Some(&self.archive), ..Given::default() }
    }

    /// The content of the archive, without its base.
    pub fn report(&self) -> anyhow::Result<Report> {
        report_of(&self.archive)
    }

    /// Adds to the error of a wrong base the base that the archive needs.
    fn name_base(&self, error: anyhow::Error) -> anyhow::Error {
        if fault::code(&error) != ErrorKind::BaseMismatch.code() {
            return error;
        }
        match self.report() {
            Ok(Report { bases, .. }) if !bases.is_empty() => {
                let described = || bases.iter().map(base).collect();
                let needed: Vec<String> = if self.needed.is_empty() { described() } else { self.needed.clone() };
                let message = format!("{error}; {} needs the base {}", self.archive_name(), needed.join(" and "));
                Fault::new(ErrorKind::BaseMismatch, message).into()
            }
            _ => error,
        }
    }
}

/// The description of a base file that an archive needs.
pub fn base(base: &BaseReport) -> String {
    format!("of {} bytes with BLAKE3 {}", base.length, blake3::Hash::from_bytes(base.blake3))
}

fn is_archive(input: &Input) -> bool {
    let mut magic = [0; 5];
    input.file.len() >= 5 && input.file.read_at(0, &mut magic).is_ok() && magic == *b"BITXv"
}
