//! The store itself: its models, and the search for objects.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::TryStreamExt;
use tokio::sync::Semaphore;

use crate::backend::{Backend, Listed};
use crate::codec;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::kept::Kept;
use crate::keys::{self, Kind, MODELS, ObjectId, RUNS};
use crate::manifest::{DEEPEST, FileManifest, Model, ModelName, PieceRef};
use crate::run::{self, Run, Tombstone};
use crate::verify::Problem;

/// The published models that can be read, and what is wrong with the others.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The models, ordered by name.
    pub models: Vec<Model>,
    /// The models that cannot be read.
    pub problems: Vec<Problem>,
    /// The time at which each of `models` was published.
    pub(crate) modified: Vec<SystemTime>,
    /// The time at which the last model that cannot be read was published.
    pub(crate) unread: Option<SystemTime>,
}

/// A store of models in a folder or a bucket. Any number of processes may read and write the same
/// one.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Backend,
    /// One permit per thread that may compute.
    cores: Arc<Semaphore>,
    threads: usize,
    kept: Arc<Kept>,
    kept_runs: Arc<Kept>,
}

impl Store {
    /// The store in this storage.
    pub(crate) fn of(backend: Backend, threads: usize) -> Self {
        let threads = threads.max(1);
        Self {
            backend,
            cores: Arc::new(Semaphore::new(threads)),
            threads,
            kept: Arc::default(),
            kept_runs: Arc::default(),
        }
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The packs that were read last.
    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The pieces of runs that were read last.
    pub(crate) fn kept_runs(&self) -> &Kept {
        &self.kept_runs
    }

    /// The same store, without any pieces in memory.
    pub(crate) fn with_none_kept(&self) -> Self {
        Self { kept: Arc::default(), kept_runs: Arc::default(), ..self.clone() }
    }

    /// The number of pieces to process at a time. It is twice that of threads, so that while some
    /// pieces are computed, others are read and written.
    pub(crate) fn width(&self) -> usize {
        self.threads * 2
    }

    /// Calls `work` on a thread of its own, once one of the store's permits is free.
    pub(crate) async fn compute<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        let cores = self.cores.clone();
        // A separate task takes the permit. If the caller's future took it, it would hold the
        // permit without using it whenever that future is not polled.
        let done = tokio::spawn(async move {
            let permit = cores.acquire_owned().await;
            let work = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                work()
            });
            work.await
        });
        match done.await.flatten() {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Checks that the storage answers.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn ping(&self) -> Result<()> {
        self.backend.list(RUNS).await.map(drop)
    }

    /// All published models that can be read, ordered by name. Damaged ones are logged.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn models(&self) -> Result<Vec<Model>> {
        let listing = self.listing().await?;
        for problem in listing.problems {
            tracing::warn!(model = problem.model, problem = problem.problem, "a damaged model is left out");
        }
        Ok(listing.models)
    }

    /// All published models that can be read, and what is wrong with the others.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn listing(&self) -> Result<Listing> {
        self.all_models(true).await
    }

    /// Does the same as [`listing`](Self::listing), from the manifests themselves and not from
    /// copies in registers.
    pub(crate) async fn original_listing(&self) -> Result<Listing> {
        self.all_models(false).await
    }

    async fn all_models(&self, registered: bool) -> Result<Listing> {
        let mut named = Vec::new();
        let mut listed = self.backend.listed(MODELS);
        while let Some(listed) = listed.try_next().await? {
            named.extend(keys::model_of(&listed.key).map(|name| (name, listed)));
        }
        named.sort_by(|(_, a), (_, b)| a.key.cmp(&b.key));
        let registers = if registered { self.registers_for(named.len(), named.len()).await? } else { Vec::new() };
        self.read_listed(named, registers).await
    }

    /// The models of the first `most` names behind `after`, and the last of these names if there
    /// may be more. Names of models that were removed count, so that a page may hold fewer models.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn page(&self, after: Option<&ModelName>, most: usize) -> Result<(Listing, Option<ModelName>)> {
        let mut names: BTreeMap<ModelName, Vec<Listed>> = BTreeMap::new();
        let (mut listed, mut is_full) = (self.backend.listed(MODELS), false);
        while let Some(listed) = listed.try_next().await? {
            let Some(name) = keys::model_of(&listed.key).filter(|name| after.is_none_or(|after| name > after)) else {
                continue;
            };
            names.entry(name).or_default().push(listed);
            if names.len() > most {
                names.pop_last();
                is_full = true;
            }
        }
        let last = names.keys().next_back().filter(|_| is_full).cloned();
        let mut named = Vec::new();
        for (name, mut revisions) in names {
            revisions.sort_by(|a, b| a.key.cmp(&b.key));
            named.extend(revisions.into_iter().map(|listed| (name.clone(), listed)));
        }
        Ok((self.read_listed(named, Vec::new()).await?, last))
    }

    /// Reads the models of these objects, of which later ones replace earlier ones of the same
    /// name. Registers may have copies.
    async fn read_listed(&self, named: Vec<(ModelName, Listed)>, registers: Vec<String>) -> Result<Listing> {
        // Even short objects are read, since a short one may be a tombstone or a damaged manifest.
        let wanted = named.iter().map(|(_, listed)| (listed.key.clone(), listed.tag.clone())).collect();
        let mut read = HashMap::with_capacity(named.len());
        self.read_all(wanted, registers, &mut |key, bytes| {
            let model = bytes.map_or(Ok(None), |bytes| parse_published(&key, &bytes));
            read.insert(key, model);
        })
        .await?;
        // The ids of runs are ordered by time, so that later models replace earlier ones.
        let mut latest = BTreeMap::new();
        for (name, listed) in named {
            if let Some(model) = read.remove(&listed.key).and_then(Result::transpose) {
                latest.insert(name, (listed.modified, model));
            }
        }
        let mut listing = Listing::default();
        for (name, (modified, model)) in latest {
            match model {
                Ok(model) => {
                    listing.models.push(model);
                    listing.modified.push(modified);
                }
                Err(error) => {
                    listing.problems.push(Problem::of_model(&name, &error));
                    listing.unread = listing.unread.max(Some(modified));
                }
            }
        }
        Ok(listing)
    }

    /// The published model of this name.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn model(&self, name: &ModelName) -> Result<Model> {
        let mut keys = self.revisions(name).await?;
        while let Some(key) = keys.pop() {
            if let Some(model) = self.published(&key).await? {
                return Ok(model);
            }
        }
        Err(Error::NotFound(format!("model {name}")))
    }

    /// Removes the model of this name. Its bytes stay until the next collection.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove(&self, name: &ModelName) -> Result<()> {
        let mut found = false;
        for key in self.revisions(name).await? {
            found |= match self.published(&key).await {
                Ok(None) => false,
                Ok(Some(_)) => self.backend.delete(&key).await.map(|()| true)?,
                Err(Error::Damaged { .. }) => run::bury(&self.backend, &key).await.map(|()| true)?,
                Err(error) => return Err(error),
            };
        }
        if found { Ok(()) } else { Err(Error::NotFound(format!("model {name}"))) }
    }

    /// Removes all models of this name but the latest. Of several writers that publish at the same
    /// time, the last one sees all the models, and may have to remove its own.
    pub(crate) async fn remove_replaced(&self, name: &ModelName) -> Result<()> {
        let mut published = Vec::new();
        for key in self.revisions(name).await? {
            match self.published(&key).await {
                Ok(None) => {}
                Ok(Some(_)) => published.push((key, true)),
                Err(error) if error.is_of_object() => published.push((key, false)),
                Err(error) => return Err(error),
            }
        }
        // If the latest one is damaged, those before it are all that is left.
        let Some((_, true)) = published.pop() else { return Ok(()) };
        for (old, _) in published {
            self.backend().delete(&old).await?;
        }
        Ok(())
    }

    /// The keys of all models of this name, oldest first, including tombstones of dead writers.
    pub(crate) async fn revisions(&self, name: &ModelName) -> Result<Vec<String>> {
        let folder = format!("{MODELS}/{name}");
        let listed = self.backend.list(&folder).await?;
        // A name such as `org` may be both a model and a folder of models.
        let own = |key: &String| keys::model_of(key).as_ref() == Some(name);
        let mut keys: Vec<String> = listed.into_iter().map(|listed| listed.key).filter(own).collect();
        keys.sort();
        Ok(keys)
    }

    /// The model under this key, or `None` for a tombstone.
    pub(crate) async fn published(&self, key: &str) -> Result<Option<Model>> {
        // The object may have been removed since it was listed.
        let Some(bytes) = self.backend.get(key).await? else { return Ok(None) };
        parse_published(key, &bytes)
    }

    /// The manifest of a file, which lists its tensors and pieces.
    ///
    /// # Errors
    /// `Damaged`, if it, or that of a file that it has excerpts of, is missing or does not parse.
    pub async fn file(&self, id: &ObjectId) -> Result<FileManifest> {
        let key = Kind::Files.key(id);
        let manifest = FileManifest::parse(&key, &self.object(&key).await?)?;
        self.resolved(&key, manifest, DEEPEST).await
    }

    /// A manifest with the pieces that its excerpts are in, which up to `depth` files tell that
    /// follow one another.
    async fn resolved(&self, key: &str, mut manifest: FileManifest, depth: usize) -> Result<FileManifest> {
        if depth == 0 && !manifest.sources.is_empty() {
            let problem = format!("more than {DEEPEST} files follow one another, each an excerpt of the next one");
            return Err(Error::damaged(key, problem));
        }
        let mut files = Vec::with_capacity(manifest.sources.len());
        for source in &manifest.sources {
            let key = Kind::Files.key(source);
            let file = FileManifest::parse(&key, &self.object(&key).await?)?;
            files.push(Box::pin(self.resolved(&key, file, depth - 1)).await?);
        }
        manifest.resolve(key, &files)?;
        Ok(manifest)
    }

    /// The object of this key, which must exist.
    pub(crate) async fn object(&self, key: &str) -> Result<Bytes> {
        self.backend.get(key).await?.ok_or_else(|| Error::damaged(key, "the object is missing"))
    }

    /// Returns `true` if this piece and its base are stored and decode to what their digests say.
    pub(crate) async fn is_sound(&self, piece: &PieceRef) -> Result<bool> {
        // What is kept may have been damaged since it was read.
        match self.with_none_kept().piece(piece).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_of_object() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// An object with this content, if there is one that `run` may rely on.
    pub(crate) async fn find(&self, run: &Run, kind: Kind, digest: &Digest) -> Result<Option<ObjectId>> {
        let listed = self.backend.list(&kind.place(digest)).await?;
        let usable = listed.into_iter().filter(|object| !run.is_condemned(&object.key));
        Ok(usable.filter_map(|object| kind.parse(&object.key)).max())
    }

    /// The ids of all objects of this kind with this content.
    pub(crate) async fn ids(&self, kind: Kind, digest: &Digest) -> Result<Vec<ObjectId>> {
        let listed = self.backend.list(&kind.place(digest)).await?;
        Ok(listed.into_iter().filter_map(|object| kind.parse(&object.key)).collect())
    }

    /// Returns `true` if a file with this content is stored, and `run` may rely on it and its
    /// pieces.
    pub(crate) async fn may_rely_on(&self, run: &Run, file: &Digest) -> Result<bool> {
        let Some(id) = self.find(run, Kind::Files, file).await? else { return Ok(false) };
        let manifest = match self.file(&id).await {
            Err(error) if error.is_of_object() => return Ok(false),
            manifest => manifest?,
        };
        let mut needed = manifest.needed_pieces();
        Ok(!needed.any(|id| run.is_condemned(&Kind::Pieces.key(&id))))
    }

    /// A piece with this content and its base, if `run` may rely on both.
    pub(crate) async fn find_piece(&self, run: &Run, digest: &Digest) -> Result<Option<(ObjectId, Option<ObjectId>)>> {
        let Some(id) = self.find(run, Kind::Pieces, digest).await? else { return Ok(None) };
        let (base, further) = match self.bases_of(&id).await {
            Err(error) if error.is_of_object() => return Ok(None),
            bases => bases?,
        };
        for base in base.iter().chain(&further) {
            if !self.is_there(run, base).await? {
                return Ok(None);
            }
        }
        Ok(Some((id, base)))
    }

    /// The base of a piece, or `None` if it is not stored as a delta, and the further pieces of the
    /// run that is its base.
    pub(crate) async fn bases_of(&self, id: &ObjectId) -> Result<(Option<ObjectId>, Vec<ObjectId>)> {
        let key = Kind::Pieces.key(id);
        let head = async |length| {
            let head = self.backend.head(&key, length).await?;
            head.ok_or_else(|| Error::damaged(&key, "the object is missing"))
        };
        let damaged = |problem| Error::damaged(&key, problem);
        let first = head(codec::LONGEST_HEAD).await?;
        let base = codec::base_of(&first).map_err(damaged)?;
        if !codec::is_of_run(&first) {
            return Ok((base, Vec::new()));
        }
        let pieces = codec::pieces_of(&head(codec::LONGEST_LIST).await?).map_err(damaged)?;
        Ok((base, pieces.into_iter().skip(1).collect()))
    }

    /// Returns `true` if this piece exists and `run` may rely on it.
    pub(crate) async fn is_there(&self, run: &Run, id: &ObjectId) -> Result<bool> {
        let key = Kind::Pieces.key(id);
        Ok(!run.is_condemned(&key) && self.backend.head(&key, 1).await?.is_some())
    }
}

/// The model in an object that a run has published, or `None` for a tombstone.
///
/// # Errors
/// `Damaged`, `Unsupported`.
pub(crate) fn parse_published(key: &str, bytes: &[u8]) -> Result<Option<Model>> {
    match Tombstone::parse(bytes) {
        Some(_) => Ok(None),
        None => Model::parse(key, bytes).map(Some),
    }
}
