//! Uploads that servers receive: the announced files and the received bytes lie in the store until
//! the model is published, so that any server can continue an upload that another one began.
//!
//! Every object but signs of life is created and never replaced. An upload is open as long as its
//! plan is there. It ends when its plan is removed, and whatever is written for it later is removed
//! as a leftover.

mod check;
pub(crate) mod key;
mod received;
mod upkeep;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use check::{check_all, repair};
pub(crate) use key::UPLOADS;
pub use received::Received;
pub(crate) use upkeep::{needed, remove_expired};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::gc::record;
use crate::keys::Kind;
use crate::manifest::{FileEntry, ModelName, VERSION, check_path, check_paths};
use crate::run::{self, ALIVE, Run};
use crate::sealed;
use crate::store::Store;
use key::{OPEN, Record};

/// The time for which the answer of a published upload is kept, for clients that have missed it.
const ANSWER: Duration = Duration::from_secs(60);
/// The time by which an object may seem to be from the future, as clocks are not exact.
const SLACK: Duration = Duration::from_secs(60);

/// An announced upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    version: u32,
    /// The name of the model.
    pub name: ModelName,
    /// The digest that stands for the holder of the token that began the upload.
    pub owner: Digest,
    /// The time in milliseconds without a request after which the upload ends.
    expiry_ms: u64,
    /// The announced files.
    pub files: Vec<UploadFile>,
}

/// An announced file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadFile {
    /// The path that the file will have in the model, with `/` as separator.
    pub path: String,
    /// The length in bytes.
    pub length: u64,
    /// The BLAKE3 digest of the file.
    pub blake3: Digest,
    /// The file is stored already, and no collection removes it while the upload is open.
    pub known: bool,
}

/// The form in which a file is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// The file itself.
    Raw,
    /// An archive of the file, against the base with this digest or against none.
    Archive(Option<Digest>),
}

/// The bytes that are sent for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Transfer {
    /// Their form.
    pub form: Form,
    /// Their number.
    pub total: u64,
}

/// The result of an upload that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The number of files.
    pub files: u64,
    /// The length of all files in bytes.
    pub bytes: u64,
    /// The model was published already, with the same files.
    pub unchanged: bool,
}

/// An upload in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenUpload {
    /// The id.
    pub id: Uuid,
    /// The time of the last sign of life, by the clock of the storage.
    pub seen: SystemTime,
    /// The upload is published, and is kept for clients that have missed the answer.
    pub is_answered: bool,
    /// The plan is there. Without it, the objects are leftovers.
    is_planned: bool,
}

impl Upload {
    /// An upload of `owner` that ends after the time `expiry` without a request.
    pub fn new(name: ModelName, owner: Digest, expiry: Duration, files: Vec<UploadFile>) -> Self {
        let expiry_ms = u64::try_from(expiry.as_millis()).unwrap_or(u64::MAX);
        Self { version: VERSION, name, owner, expiry_ms, files }
    }

    fn parse(key: &str, bytes: &[u8]) -> Result<Self> {
        let upload: Self = serde_json::from_slice(&sealed::body(key, bytes)?).map_err(|e| Error::damaged(key, e))?;
        if upload.version != VERSION {
            return Err(Error::unsupported(key, upload.version));
        }
        let paths = || upload.files.iter().map(|file| file.path.as_str());
        let checked = paths().try_for_each(check_path).and_then(|()| check_paths(paths()));
        checked.map_err(|error| Error::damaged(key, error))?;
        Ok(upload)
    }

    /// The time without a request after which the upload ends.
    pub fn expiry(&self) -> Duration {
        Duration::from_millis(self.expiry_ms)
    }

    /// The length of all files that must be sent, in bytes.
    pub fn bytes(&self) -> u64 {
        let lengths = self.files.iter().filter(|file| !file.known).map(|file| file.length);
        lengths.fold(0, u64::saturating_add)
    }
}

impl OpenUpload {
    /// Returns `true` if the upload waits for requests, and is neither published nor a leftover.
    pub fn is_open(&self) -> bool {
        self.is_planned && !self.is_answered
    }

    /// Returns `true` if the upload has had no requests for the time `expiry`.
    pub fn is_over(&self, now: SystemTime, expiry: Duration) -> bool {
        let expiry = if self.is_answered { expiry.min(ANSWER) } else { expiry };
        self.idle(now) > expiry
    }

    /// The time since the last sign of life.
    pub fn idle(&self, now: SystemTime) -> Duration {
        now.duration_since(self.seen).unwrap_or_default()
    }

    /// Returns `true` if the last sign of life is from the future, since a clock was ahead. Such an
    /// upload needs another sign of life, so that it ends in time.
    pub fn is_ahead(&self, now: SystemTime) -> bool {
        self.seen > now + SLACK
    }
}

/// The uploads of a store.
#[derive(Debug, Clone, Copy)]
pub struct Uploads<'a> {
    store: &'a Store,
}

impl Store {
    /// The uploads that servers receive.
    pub fn uploads(&self) -> Uploads<'_> {
        Uploads { store: self }
    }

    /// A stored file with this digest, whether or not a model has it.
    ///
    /// # Errors
    /// Those of the storage; `Damaged`.
    pub async fn stored_file(&self, digest: &Digest) -> Result<Option<FileEntry>> {
        let Some(id) = self.ids(Kind::Files, digest).await?.into_iter().max() else { return Ok(None) };
        let length = self.file(&id).await?.length;
        Ok(Some(FileEntry { path: String::new(), length, id }))
    }
}

impl Uploads<'_> {
    /// The current time by the clock of the storage.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn now(&self) -> Result<SystemTime> {
        run::now(self.store.backend()).await
    }

    /// Opens an upload, and returns its id, which cannot be guessed. Files that are not known for
    /// certain are marked as not known.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn open(&self, upload: &mut Upload) -> Result<Uuid> {
        self.store.mark().await?;
        let id = Uuid::new_v4();
        if upload.files.iter().any(|file| file.known) {
            // A run keeps collections from removing the known files until the plan names them.
            let run = Run::begin(self.store.backend(), &upload.name).await?;
            let created = self.create(id, upload, Some(&run)).await;
            // A failure to end the run would only hide the first error.
            let ended = run.end().await;
            created.and(ended)?;
        } else {
            self.create(id, upload, None).await?;
        }
        Ok(id)
    }

    async fn create(&self, id: Uuid, upload: &mut Upload, run: Option<&Run>) -> Result<()> {
        for file in upload.files.iter_mut().filter(|file| file.known) {
            file.known = match run {
                Some(run) => self.store.may_rely_on(run, &file.blake3).await?,
                None => false,
            };
        }
        let key = Record::Plan.key(id);
        self.store.backend().create(&key, sealed::json(&key, upload)?).await.map(drop)
    }

    /// The announced upload with this id. `None` if it is not open.
    ///
    /// # Errors
    /// Those of the storage; `Damaged`.
    pub async fn plan(&self, id: Uuid) -> Result<Option<Upload>> {
        let key = Record::Plan.key(id);
        self.store.backend().get(&key).await?.map(|bytes| Upload::parse(&key, &bytes)).transpose()
    }

    /// The upload with this id, if its plan is there.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn find(&self, id: Uuid) -> Result<Option<OpenUpload>> {
        let found = self.listed(&key::records(id)).await?;
        Ok(found.into_iter().find(|upload| upload.is_planned))
    }

    /// Lists all uploads, with those that are published and with leftovers.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn list(&self) -> Result<Vec<OpenUpload>> {
        self.listed(OPEN).await
    }

    async fn listed(&self, folder: &str) -> Result<Vec<OpenUpload>> {
        let mut times: BTreeMap<Uuid, [Option<SystemTime>; 3]> = BTreeMap::new();
        for listed in self.store.backend().list(folder).await? {
            if let Some((id, record)) = Record::parse(&listed.key) {
                times.entry(id).or_default()[record as usize] = Some(listed.modified);
            }
        }
        let open = times.into_iter().filter_map(|(id, [plan, beat, answer])| {
            let seen = beat.or(answer).or(plan)?;
            Some(OpenUpload { id, seen, is_answered: answer.is_some(), is_planned: plan.is_some() })
        });
        Ok(open.collect())
    }

    /// Writes a sign of life, with which the expiry of the upload begins anew.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn beat(&self, id: Uuid) -> Result<()> {
        self.store.backend().put(&Record::Beat.key(id), ALIVE).await
    }

    /// The answer to the request that has published the upload, if there was one.
    ///
    /// # Errors
    /// Those of the storage; `Damaged`.
    pub async fn answer(&self, id: Uuid) -> Result<Option<Answer>> {
        let key = Record::Answer.key(id);
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|e| Error::damaged(&key, e));
        let bytes = self.store.backend().get(&key).await?;
        bytes.map(|bytes| parse(&sealed::body(&key, &bytes)?)).transpose()
    }

    /// Stores the answer to the request that has published the upload, and removes the received
    /// bytes. If several servers publish an upload, the first answer is that of all.
    ///
    /// # Errors
    /// Those of the storage; `Damaged`.
    pub async fn end(&self, id: Uuid, answer: Answer) -> Result<Answer> {
        let key = Record::Answer.key(id);
        // The answer is kept for some time after this sign of life.
        self.beat(id).await?;
        let answer = if self.store.backend().create(&key, sealed::json(&key, &answer)?).await? {
            answer
        } else {
            self.answer(id).await?.unwrap_or(answer)
        };
        self.remove_received(id).await?;
        Ok(answer)
    }

    /// Removes an upload, and all that was received for it.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn remove(&self, id: Uuid) -> Result<()> {
        for record in [Record::Plan, Record::Answer, Record::Beat] {
            self.store.backend().delete(&record.key(id)).await?;
        }
        self.remove_received(id).await
    }

    /// Removes all that was received for an upload.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn remove_received(&self, id: Uuid) -> Result<()> {
        let listed = self.store.backend().list(&key::folder(id)).await?.into_iter();
        let own = listed.map(|listed| listed.key).filter(|key| key::Received::parse(key).is_some());
        record::remove(self.store.backend(), own).await
    }
}
