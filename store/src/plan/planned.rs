//! Making a plan, and writing its models.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::BufRead;

use bitx::Effort;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::families::{self, spread};
use super::lines::{self, Line, VERSION};
use super::survey::{Survey, SurveyedFile, check_files};
use super::waves::{self, Candidate, MOST_BASES, check};
use crate::backend::REQUESTS;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::ingest::{Added, Addition, Kept, Seen, Shelf, Source};
use crate::keys::MODELS;
use crate::manifest::ModelName;
use crate::run::Run;
use crate::stop::until;
use crate::store::Store;

/// The number of members of a family for which the store is searched.
const ASKED: usize = 4;

/// A model of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    version: u32,
    /// The number of the wave, from 0. The models of a wave are independent, and come after all
    /// those of earlier waves.
    pub wave: u32,
    /// The name of the model.
    pub model: ModelName,
    /// The files, ordered by path.
    pub files: Vec<SurveyedFile>,
    /// The files that are likely bases: stored ones, and those of models of earlier waves.
    pub bases: Vec<Digest>,
}

impl Line for Planned {
    fn version(&self) -> u32 {
        self.version
    }

    fn check(&self) -> Result<()> {
        check_files(&self.files)?;
        if self.bases.len() > MOST_BASES {
            return Err(Error::Argument(format!("a model has more than {MOST_BASES} bases")));
        }
        Ok(())
    }
}

impl Planned {
    /// The model as a line of text, which ends with a line break.
    ///
    /// # Errors
    /// The path of a file that is not UTF-8.
    pub fn to_line(&self) -> Result<String> {
        lines::write(self)
    }

    /// Reads a plan, with one model on each line, and puts its models in order. Errors call the
    /// input `name`.
    ///
    /// # Errors
    /// `Argument` for a line that is no model of a plan, and for two lines that tell differently of
    /// one model; those of the input.
    pub fn read(input: impl BufRead, name: &str) -> Result<Vec<Self>> {
        let read = lines::read(input, name)?;
        let mut plan = merged(read, |planned: &Self| &planned.model, |a, b| (a == b).then_some(a.clone()))?;
        plan.sort_by(|a, b| (a.wave, &a.model).cmp(&(b.wave, &b.model)));
        Ok(plan)
    }

    /// The length of all files in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

impl Store {
    /// Plans the writing of surveyed models: what is stored whole, and what after it and against
    /// it. The plan depends on the surveys and the store alone, and not on the order of the
    /// surveys.
    ///
    /// # Errors
    /// `Argument` for two surveys that differ and have one name; `Stopped`; those of the storage.
    pub async fn plan(&self, surveys: Vec<Survey>, stop: &(dyn Fn() -> bool + Sync)) -> Result<Vec<Planned>> {
        let surveys = merged(surveys, |survey| &survey.model, same)?;
        let mut models: Vec<Candidate> = surveys.into_iter().map(Candidate::new).collect();
        let is_empty = self.backend().list_some(MODELS, 1).await?.is_empty();
        if let Some(first) = models.first().filter(|_| !is_empty) {
            // As that of an index, this run keeps collections from removing what it reads.
            let run = Run::begin(self.backend(), &first.survey.model).await?;
            let known = until(self.cover(&run, &mut models, stop), stop).await;
            let ended = run.end().await;
            known.and(ended)?;
        }
        waves::place(&mut models, stop)?;
        let planned = |Candidate { survey, bases, wave, .. }: Candidate| Planned {
            version: VERSION,
            wave: wave.unwrap_or_default(),
            model: survey.model,
            files: survey.files,
            bases: bases.into_iter().collect(),
        };
        let mut plan: Vec<Planned> = models.into_iter().map(planned).collect();
        plan.sort_by(|a, b| (a.wave, &a.model).cmp(&(b.wave, &b.model)));
        Ok(plan)
    }

    /// Notes the bases that the store has for the models.
    async fn cover(&self, run: &Run, models: &mut [Candidate], stop: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let shelf = Shelf::open(self, run).await?;
        let all: Vec<usize> = (0..models.len()).collect();
        let families = families::of(models, &all);
        let asked: Vec<(usize, Vec<&Seen>)> = families
            .iter()
            .enumerate()
            .flat_map(|(number, family)| spread(family, ASKED).map(move |model| (number, model)))
            .map(|(number, model)| (number, models[model].survey.samples.iter().map(|sample| &sample.seen).collect()))
            .collect();
        let mut searches = Vec::new();
        for (number, parts) in asked {
            let shelf = &shelf;
            searches.push(async move { Ok::<_, Error>((number, shelf.near(&parts).await?)) });
        }
        let found: Vec<(usize, Vec<Kept>)> = stream::iter(searches).buffered(REQUESTS).try_collect().await?;
        let mut stored: BTreeMap<usize, BTreeMap<Digest, Kept>> = BTreeMap::new();
        for (number, kept) in found {
            stored.entry(number).or_default().extend(kept.into_iter().map(|file| (file.digest(), file)));
        }
        for (number, files) in stored {
            check(stop)?;
            let files: Vec<Kept> = files.into_values().collect();
            families[number].iter().for_each(|model| models[*model].cover_by_stored(&files));
        }
        Ok(())
    }

    /// Writes a model of a plan, unless the store has it already: then the result is `None`, and
    /// the model's files are not read. Several writers may write the same model, and models of the
    /// same wave, at the same time.
    ///
    /// # Errors
    /// Those of [`add_as`](Self::add_as). Nothing is published if a file has changed since the survey.
    pub async fn write(
        &self,
        planned: &Planned,
        effort: Effort,
        progress: &(dyn Fn(u64) + Sync),
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Added>> {
        if until(self.has(planned), stop).await? {
            return Ok(None);
        }
        let sources: Vec<Source> = planned.files.iter().map(SurveyedFile::source).collect();
        let what = Addition {
            bases: &planned.bases,
            surveyed: &planned.files,
            effort,
            progress,
            stop,
            ..Addition::of(&sources)
        };
        self.add_as(&planned.model, &what).await.map(Some)
    }

    /// Returns `true` if the model is published with the planned files.
    async fn has(&self, planned: &Planned) -> Result<bool> {
        let model = match self.model(&planned.model).await {
            Err(Error::NotFound(_)) => return Ok(false),
            Err(error) if error.is_of_object() => return Ok(false),
            model => model?,
        };
        let same = |file: &SurveyedFile| model.file(&file.path).is_ok_and(|there| there.id.digest == file.blake3);
        Ok(model.files.len() == planned.files.len() && planned.files.iter().all(same))
    }
}

/// One of two surveys of the same content, which may have been read at different places. `None` if
/// the content differs.
fn same(a: &Survey, b: &Survey) -> Option<Survey> {
    let content = |survey: &Survey| -> Vec<(String, Digest)> {
        survey.files.iter().map(|file| (file.path.clone(), file.blake3)).collect()
    };
    (content(a) == content(b)).then(|| if a.files <= b.files { a.clone() } else { b.clone() })
}

/// Orders lines by the names of their models, with one line for each. `same` joins two lines of one
/// model.
fn merged<T>(lines: Vec<T>, name: impl Fn(&T) -> &ModelName, same: impl Fn(&T, &T) -> Option<T>) -> Result<Vec<T>> {
    let mut models: BTreeMap<ModelName, T> = BTreeMap::new();
    for line in lines {
        match models.entry(name(&line).clone()) {
            Entry::Vacant(place) => drop(place.insert(line)),
            Entry::Occupied(mut place) => {
                let differ = || Error::Argument(format!("two lines tell differently of the model {}", name(&line)));
                let joined = same(place.get(), &line).ok_or_else(differ)?;
                place.insert(joined);
            }
        }
    }
    Ok(models.into_values().collect())
}
