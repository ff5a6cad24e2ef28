//! The survey of a model: the digests of its files, and samples of its tensors.

use std::collections::HashSet;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::lines::{self, Line, VERSION};
use super::sample::{self, MOST, Sample};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::ingest::{Local, Seen, Source};
use crate::manifest::{Model, ModelName, check_path, check_paths};

/// The survey of a model, from which a plan is made without reading the model again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survey {
    version: u32,
    /// The name of the model.
    pub model: ModelName,
    /// The files, ordered by path.
    pub files: Vec<SurveyedFile>,
    pub(super) samples: Vec<Sample>,
}

/// A file of a surveyed model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurveyedFile {
    /// The path of the file in the model, with `/` as separator.
    pub path: String,
    /// The path of the local file.
    pub file: PathBuf,
    /// The length in bytes.
    pub bytes: u64,
    /// The BLAKE3 digest.
    pub blake3: Digest,
}

impl SurveyedFile {
    /// The file as one to add.
    pub(crate) fn source(&self) -> Source {
        Source { path: self.path.clone(), file: self.file.clone() }
    }

    /// Checks that a model has this file with this content.
    ///
    /// # Errors
    /// `File`, if the file has changed since.
    pub(crate) fn check(&self, model: &Model) -> Result<()> {
        if model.file(&self.path)?.id.digest == self.blake3 {
            return Ok(());
        }
        let changed = "the file has changed since it was surveyed: survey the model and plan again";
        Err(Error::file(&self.file)(io::Error::other(changed)))
    }
}

impl Line for Survey {
    fn version(&self) -> u32 {
        self.version
    }

    fn check(&self) -> Result<()> {
        check_files(&self.files)?;
        if self.samples.len() > MOST || self.samples.iter().any(|sample| sample.file >= self.files.len()) {
            return Err(Error::Argument("there are too many samples, or they are of no file".to_owned()));
        }
        Ok(())
    }
}

/// Checks the paths of the files of a line.
pub(super) fn check_files(files: &[SurveyedFile]) -> Result<()> {
    files.iter().try_for_each(|file| check_path(&file.path))?;
    check_paths(files.iter().map(|file| file.path.as_str()))
}

impl Survey {
    /// Reads the files of a model, several at a time. `progress` receives the number of bytes of
    /// each part, and `stop` returns true once the work is to stop.
    ///
    /// # Errors
    /// Files that cannot be read, or change meanwhile; paths that a model cannot have; `Stopped`.
    pub fn of(
        model: &ModelName,
        files: &[Source],
        threads: usize,
        progress: &(dyn Fn(u64) + Sync),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self> {
        let mut files = files.to_vec();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut parts = Vec::new();
        for (number, file) in files.iter().enumerate() {
            check_path(&file.path)?;
            let local = Local::open(&file.file)?;
            parts.extend(local.parts().map(|(part, dtype, length)| (number, part, dtype, length)));
        }
        let chosen = sample::choose(parts.into_iter());
        let each = |bytes: u64| {
            progress(bytes);
            if stop() { Err(Error::Stopped) } else { Ok(()) }
        };
        let read = all(&files, threads, &|number, file| surveyed(file, number, &chosen, &each))?;
        let (files, samples): (Vec<SurveyedFile>, Vec<Vec<Sample>>) = read.into_iter().unzip();
        let survey =
            Self { version: VERSION, model: model.clone(), files, samples: samples.into_iter().flatten().collect() };
        survey.check()?;
        Ok(survey)
    }

    /// The survey as a line of text, which ends with a line break.
    ///
    /// # Errors
    /// The path of a file that is not UTF-8.
    pub fn to_line(&self) -> Result<String> {
        lines::write(self)
    }

    /// Reads surveys, one on each line. Errors call the input `name`.
    ///
    /// # Errors
    /// `Argument` for a line that is no survey; those of the input.
    pub fn read(input: impl BufRead, name: &str) -> Result<Vec<Self>> {
        lines::read(input, name)
    }

    /// The length of all files in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// Reads one file.
fn surveyed(
    source: &Source,
    number: usize,
    chosen: &HashSet<(usize, usize)>,
    each: &dyn Fn(u64) -> Result<()>,
) -> Result<(SurveyedFile, Vec<Sample>)> {
    let local = Local::open(&source.file)?;
    let (blake3, seen) = local.read(|part| chosen.contains(&(number, part)), each)?;
    let path = std::path::absolute(&source.file).map_err(Error::file(&source.file))?;
    let file = SurveyedFile { path: source.path.clone(), file: path, bytes: local.length(), blake3 };
    Ok((file, seen.into_iter().map(|seen: Seen| Sample { file: number, seen }).collect()))
}

/// Calls `work` for each file, on several threads, and returns the results in order.
fn all<R: Send>(
    files: &[Source],
    threads: usize,
    work: &(dyn Fn(usize, &Source) -> Result<R> + Sync),
) -> Result<Vec<R>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, files.len().max(1)) {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(file) = files.get(number)
                {
                    let result = work(number, file);
                    if result.is_err() {
                        next.store(files.len(), Ordering::Relaxed);
                    }
                    if let Ok(mut done) = done.lock() {
                        done.push((number, result));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}
