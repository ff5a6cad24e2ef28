//! A storage in which one call fails.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// The way in which a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call has no effect.
    Before,
    /// The call has its effect, but the answer is lost.
    After,
    /// The call ends in the middle. A read returns half an object, and a listing its first entry. A
    /// write leaves half of the object beside its place, as happens in a folder when the disk is
    /// full.
    Short,
    /// A read finds no object, as if another process wrote it right after. Any other call has no
    /// effect.
    Early,
}

impl Fault {
    /// The faults that a caller hears of.
    pub const ALL: [Self; 3] = [Self::Before, Self::After, Self::Short];
}

/// A storage that passes all calls to another one, except for one call that fails.
#[derive(Debug, Clone)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    fault: Fault,
    at: u64,
    calls: Arc<AtomicU64>,
    folder: Option<PathBuf>,
}

impl Faulty {
    /// A storage in which call number `at` fails, counted from 0. `folder` is the folder of
    /// `inner`, if it is one.
    pub fn new(inner: Arc<dyn ObjectStore>, folder: Option<PathBuf>, fault: Fault, at: u64) -> Self {
        Self { inner, fault, at, calls: Arc::new(AtomicU64::new(0)), folder }
    }

    /// Returns `true` if the call has failed, that is, if there were enough calls.
    pub fn struck(&self) -> bool {
        self.calls.load(Ordering::SeqCst) > self.at
    }

    /// Counts a call, and returns the fault if this is the call to fail.
    fn turn(&self) -> Option<Fault> {
        (self.calls.fetch_add(1, Ordering::SeqCst) == self.at).then_some(self.fault)
    }

    /// Writes half of an object beside its place, under the name that a half-written file has.
    fn leave_half(&self, location: &Path, payload: &PutPayload) {
        if let Some(folder) = &self.folder {
            let path = folder.join(format!("{location}#1"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes: Bytes = payload.clone().into();
            std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }
    }
}

fn failure<T>() -> Result<T> {
    Err(Error::Generic { store: "faulty", source: "the test's fault".into() })
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} of {}", self.fault, self.at, self.inner)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.turn() {
            None => self.inner.put_opts(location, payload, options).await,
            Some(Fault::Before | Fault::Early) => failure(),
            Some(Fault::Short) => {
                self.leave_half(location, &payload);
                failure()
            }
            Some(Fault::After) => {
                self.inner.put_opts(location, payload, options).await?;
                failure()
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.turn() {
            None => self.inner.get_opts(location, options).await,
            Some(Fault::Short) => {
                let bytes = self.inner.get_opts(location, options.clone()).await?.bytes().await?;
                let half = stream::iter([Ok(bytes.slice(..bytes.len() / 2)), failure()]);
                let got = self.inner.get_opts(location, options).await?;
                Ok(GetResult { payload: GetResultPayload::Stream(half.boxed()), ..got })
            }
            Some(Fault::Early) => Err(Error::NotFound { path: location.to_string(), source: "too early".into() }),
            Some(_) => failure(),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |location: Path| {
            let this = this.clone();
            async move {
                match this.turn() {
                    Some(Fault::Before | Fault::Short | Fault::Early) => failure(),
                    turn => {
                        this.inner.delete(&location).await?;
                        if turn.is_some() { failure() } else { Ok(location) }
                    }
                }
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.turn() {
            None => self.inner.list(prefix),
            Some(Fault::Before | Fault::Early) => stream::once(async { failure() }).boxed(),
            Some(_) => self.inner.list(prefix).take(1).chain(stream::once(async { failure() })).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
