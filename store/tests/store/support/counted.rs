//! A storage that counts the requests that a bucket would be sent.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// The number of objects in a page of a listing.
const PAGE: usize = 1000;

/// A storage that passes all calls to another one.
#[derive(Debug, Clone)]
pub struct Counted {
    inner: Arc<dyn ObjectStore>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    bytes: AtomicU64,
    /// The time that a request takes, in milliseconds.
    delay: AtomicU64,
}

/// The requests that a bucket was sent, and the bytes that they moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// The number of requests. Each page of a listing is one.
    pub requests: u64,
    /// The bytes of objects that were read and written.
    pub bytes: u64,
}

impl Counted {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, counts: Arc::default() }
    }

    /// Lets each request take this time from now on.
    pub fn delay(&self, delay: Duration) {
        self.counts.delay.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// The traffic since the last call.
    pub fn take(&self) -> Traffic {
        let take = |count: &AtomicU64| count.swap(0, Ordering::SeqCst);
        Traffic { requests: take(&self.counts.requests), bytes: take(&self.counts.bytes) }
    }

    async fn count(&self, bytes: u64) {
        self.counts.requests.fetch_add(1, Ordering::SeqCst);
        self.counts.bytes.fetch_add(bytes, Ordering::SeqCst);
        match self.counts.delay.load(Ordering::SeqCst) {
            0 => {}
            delay => tokio::time::sleep(Duration::from_millis(delay)).await,
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "counted {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.count(payload.content_length() as u64).await;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.count(0).await;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_head = options.head;
        let got = self.inner.get_opts(location, options).await;
        self.count(got.as_ref().map_or(0, |got| if is_head { 0 } else { got.range.end - got.range.start })).await;
        got
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let counted = locations.then(move |location| {
            let this = this.clone();
            async move {
                this.count(0).await;
                location
            }
        });
        self.inner.delete_stream(counted.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = self.clone();
        let objects = self.inner.list(prefix).map(Some).chain(futures::stream::iter([None])).enumerate();
        // The first page is asked for even if it is empty.
        let counted = objects.then(move |(number, object)| {
            let this = this.clone();
            async move {
                if number % PAGE == 0 && (number == 0 || object.is_some()) {
                    this.count(0).await;
                }
                object
            }
        });
        counted.filter_map(|object| async { object }).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.count(0).await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.count(0).await;
        self.inner.copy_opts(from, to, options).await
    }
}
