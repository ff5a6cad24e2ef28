//! Tests of a server whose store cannot be written.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bitx_store::{Backend, Store};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::support::{Hub, digest, limits, restore};

/// A storage that refuses to be written.
#[derive(Debug)]
struct ReadOnly(LocalFileSystem);

impl fmt::Display for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (read-only)", self.0)
    }
}

fn refused<T>(location: &Path) -> Result<T> {
    Err(Error::PermissionDenied { path: location.to_string(), source: "the storage is read-only".into() })
}

#[async_trait]
impl ObjectStore for ReadOnly {
    async fn put_opts(&self, location: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        refused(location)
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        refused(location)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        locations.map(|location| refused(&location?)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, to: &Path, _: CopyOptions) -> Result<()> {
        refused(to)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_still_serves() {
    let writable = Hub::start().await;
    let storage = ReadOnly(LocalFileSystem::new_with_prefix(writable.root.path()).unwrap());
    let store = Store::over(Backend::over(Arc::new(storage)), 2).await.unwrap();
    let hub = Hub::of(writable.models.clone(), writable.root.clone(), store, limits()).await;
    let (base, tuned) = (hub.bytes("base-bf16"), hub.bytes("sft-bf16"));
    let file = "/models/org/tuned/files/model.safetensors";
    assert!(hub.get(file).send().await.unwrap().bytes().await.unwrap() == tuned);
    let delta = format!("{file}?base={}", digest(&base));
    let answer = hub.get(&delta).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let tag = answer.headers()["etag"].clone();
    let archive = answer.bytes().await.unwrap();
    assert!(restore(&base, &archive) == tuned);
    // A later request for a part of the archive reads the same archive.
    let part = hub.get(&delta).header("range", "bytes=100-").header("if-range", &tag).send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap()), (206, archive.slice(100..)));
    let damaged = [[0; 100].as_slice(), &[1; 32]].concat();
    // A damaged archive that is kept cannot be removed, and is not served.
    let kept = writable.root.path().join(format!("archives/{}.{}.bitx", digest(&tuned), digest(&base)));
    std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
    std::fs::write(&kept, &damaged).unwrap();
    let again = hub.get(&delta).send().await.unwrap().bytes().await.unwrap();
    assert!(restore(&base, &again) == tuned);
    hub.stop().await;
    writable.stop().await;
}
