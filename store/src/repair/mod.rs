//! The repair of damaged objects: what can be made again is removed, and what has an intact copy is
//! replaced.
//!
//! A repair is a run like that of a writer, so that no collection removes what it relies on or
//! writes. It writes under the key of an object only what the object should have been, and removes
//! only what nothing relies on.

mod content;

use std::collections::BTreeSet;

use crate::archives;
use crate::error::{Error, Result};
use crate::gc::record;
use crate::ingest::Source;
use crate::keys::{self, GC, Kind, MODELS, REGISTERS, RUNS, SIGNATURES};
use crate::manifest::{FileEntry, ModelName};
use crate::part::Part;
use crate::run::{self, Run};
use crate::store::Store;
use crate::uploads::{self, UPLOADS};
use crate::verify::{Problem, Sample, Verified, VerifyDepth};
use content::Mender;

/// The places where a repair looks for content that the store itself has lost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Copies<'a> {
    /// Files of models.
    pub files: &'a [Source],
    /// Another store.
    pub store: Option<&'a Store>,
}

/// The result of a repair.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Repaired {
    /// The state after the repair, with the problems that are left.
    #[serde(flatten)]
    pub verified: Verified,
    /// The problems that are no more.
    pub repaired: Vec<Mended>,
}

/// A problem that a repair has ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Mended {
    /// The problem.
    #[serde(flatten)]
    pub problem: Problem,
    /// The object was removed, because it can be made again or cannot be read. Other objects were
    /// replaced by intact ones.
    pub removed: bool,
}

impl Store {
    /// Checks the store as [`verify`](Self::verify) does, and repairs what it finds. A model whose
    /// manifest is damaged is removed. Damaged files and pieces are replaced if the store or one of
    /// `copies` has their content; others stay and are reported.
    ///
    /// # Errors
    /// Those of the storage and of `copies`. Damage is not an error but a [`Problem`] in the
    /// result.
    pub async fn repair(
        &self,
        depth: VerifyDepth,
        copies: Copies<'_>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Repaired> {
        let mut before = Vec::new();
        self.check_objects(Part::default(), Sample::of(depth), &mut before).await?;
        if !before.is_empty() {
            self.mark().await?;
        }
        self.repair_records(&before).await?;
        let models = self.backend().list(MODELS).await?;
        let Some(name) = models.iter().find_map(|listed| keys::model_of(&listed.key)) else {
            return self.repaired(before, depth).await;
        };
        let run = Run::begin(self.backend(), &name).await?;
        let found = self.repair_models(&run, depth, copies, progress).await;
        // A failure to end the run would only hide the first error.
        let ended = run.end().await;
        before.extend(found?);
        ended?;
        self.repaired(before, depth).await
    }

    /// The result of a repair that has found the problems `before`.
    async fn repaired(&self, before: Vec<Problem>, depth: VerifyDepth) -> Result<Repaired> {
        let verified = self.verify(depth, &|_| {}).await?;
        let mut gone: Vec<Problem> = Vec::new();
        for problem in before {
            if !verified.problems.contains(&problem) && !gone.contains(&problem) {
                gone.push(problem);
            }
        }
        let removed = |problem: &Problem| {
            let folders =
                [MODELS, RUNS, SIGNATURES, REGISTERS, UPLOADS, Kind::Sketches.folder(), Kind::Archives.folder()];
            folders.iter().any(|folder| problem.key.starts_with(folder)) && !problem.key.ends_with(".beat")
        };
        let mended = gone.into_iter().map(|problem| Mended { removed: removed(&problem), problem });
        Ok(Repaired { verified, repaired: mended.collect() })
    }

    /// Repairs the records of runs and of collections, and uploads.
    async fn repair_records(&self, problems: &[Problem]) -> Result<()> {
        let is_of = |folder: &str| problems.iter().any(|problem| problem.key.starts_with(folder));
        if is_of(RUNS) {
            run::repair_all(self.backend()).await?;
        }
        uploads::repair(self, problems.iter().map(|problem| problem.key.as_str())).await?;
        if is_of(GC) {
            run::now(self.backend()).await?;
            record::repair_ends(self.backend()).await?;
            self.sweep(Part::default(), &mut Default::default()).await?;
            record::forget_ended(self.backend()).await?;
        }
        Ok(())
    }

    /// Checks the models again, since `run` now keeps what they need from collections, and repairs
    /// them. Returns the problems that it has found.
    async fn repair_models(
        &self,
        run: &Run,
        depth: VerifyDepth,
        copies: Copies<'_>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<Problem>> {
        let problems = self.verify(depth, progress).await?.problems;
        for problem in &problems {
            self.remove_damaged(&problem.key).await?;
        }
        let files = self.damaged_files(&problems).await?;
        if !files.is_empty() {
            let mender = Mender::open(self, run, copies).await?;
            for (file, is_manifest) in files {
                mender.file(&file, is_manifest).await?;
            }
        }
        Ok(problems)
    }

    /// Removes an object that nothing relies on, if it is still damaged: hints and kept archives,
    /// which can be made again, and manifests of models, which cannot be read.
    async fn remove_damaged(&self, key: &str) -> Result<()> {
        if keys::model_of(key).is_some() && matches!(self.published(key).await, Err(Error::Damaged { .. })) {
            run::bury(self.backend(), key).await?;
        } else if Kind::Sketches.parse(key).is_some() || key.starts_with(SIGNATURES) || key.starts_with(REGISTERS) {
            self.backend().delete(key).await?;
        } else if let Some((target, base)) = keys::archive(key)
            && archives::check(self, &target, &base).await?.is_err()
        {
            self.forget_archive(&target, &base).await?;
        }
        Ok(())
    }

    /// The files of published models that have problems, each once. The flag is set if the manifest
    /// of the file itself is the problem.
    async fn damaged_files(&self, problems: &[Problem]) -> Result<Vec<(FileEntry, bool)>> {
        let models = self.models().await?;
        let mut seen = BTreeSet::new();
        let mut files = Vec::new();
        for problem in problems {
            let Ok(name) = problem.model.parse::<ModelName>() else { continue };
            let model = models.iter().find(|model| model.name == name);
            let Some(file) = model.and_then(|model| model.file(&problem.path).ok()) else { continue };
            if seen.insert(file.id) {
                files.push((file.clone(), Kind::Files.parse(&problem.key) == Some(file.id)));
            }
        }
        Ok(files)
    }
}
