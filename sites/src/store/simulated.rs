//! A store behind a slower link: added latency per request, and a bandwidth that all requests share.
//!
//! Bodies are received whole before they are let through, so that the real store's time-outs don't run while the
//! simulated link holds bytes back.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    UploadPart,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::spec::SimulatedLink;

/// Bytes are let through in pieces of this size, so that concurrent bodies advance side by side.
const PIECE_BYTES: usize = 64 << 10;

/// A listing pays the latency once per this many entries, as if each page were a request.
const PAGE_ENTRIES: usize = 1000;

/// The link itself; all clients of one site share it.
#[derive(Debug)]
pub(super) struct Wire {
    link: SimulatedLink,
    /// When everything that was let on to the wire so far has passed.
    free_at: Mutex<Option<Instant>>,
}

impl Wire {
    pub(super) fn new(link: SimulatedLink) -> Self {
        Self {
            link,
            free_at: Mutex::new(None),
        }
    }

    async fn latency(&self) {
        if !self.link.latency.is_zero() {
            tokio::time::sleep(self.link.latency).await;
        }
    }

    /// Waits until `bytes` more have passed, after everything that came before.
    async fn carry(&self, bytes: usize) {
        let Some(per_s) = self.link.bandwidth_bytes_per_s.filter(|b| *b > 0) else {
            return;
        };
        let passes = Duration::from_secs_f64(bytes as f64 / per_s as f64);
        let until = {
            let mut free_at = self.free_at.lock();
            let now = Instant::now();
            let until = free_at.map_or(now, |at| at.max(now)) + passes;
            *free_at = Some(until);
            until
        };
        tokio::time::sleep_until(until).await;
    }
}

/// A store as it looks from the far end of a [`Wire`].
#[derive(Debug)]
pub(super) struct Simulated {
    inner: Arc<dyn ObjectStore>,
    wire: Arc<Wire>,
}

impl Simulated {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, wire: Arc<Wire>) -> Self {
        Self { inner, wire }
    }

    fn paged(
        &self,
        entries: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let wire = Arc::clone(&self.wire);
        entries
            .enumerate()
            .then(move |(index, entry)| {
                let wire = Arc::clone(&wire);
                async move {
                    if index % PAGE_ENTRIES == 0 {
                        wire.latency().await;
                    }
                    entry
                }
            })
            .boxed()
    }
}

impl fmt::Display for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simulated({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Simulated {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.wire.latency().await;
        self.wire.carry(payload.content_length()).await;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.wire.latency().await;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(SimulatedUpload {
            inner,
            wire: Arc::clone(&self.wire),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.wire.latency().await;
        let head = options.head;
        let result = self.inner.get_opts(location, options).await?;
        if head {
            return Ok(result);
        }
        let GetResult {
            meta,
            range,
            attributes,
            ..
        } = &result;
        let (meta, range, attributes) = (meta.clone(), range.clone(), attributes.clone());
        let body = result.bytes().await?;
        let pieces = (0..body.len())
            .step_by(PIECE_BYTES)
            .map(move |at| body.slice(at..body.len().min(at + PIECE_BYTES)));
        let wire = Arc::clone(&self.wire);
        let stream = stream::iter(pieces.collect::<Vec<Bytes>>()).then(move |piece| {
            let wire = Arc::clone(&wire);
            async move {
                wire.carry(piece.len()).await;
                Ok(piece)
            }
        });
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream.boxed()),
            meta,
            range,
            attributes,
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.wire.latency().await;
        let bodies = self.inner.get_ranges(location, ranges).await?;
        self.wire.carry(bodies.iter().map(Bytes::len).sum()).await;
        Ok(bodies)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let wire = Arc::clone(&self.wire);
        let locations = locations.and_then(move |path| {
            let wire = Arc::clone(&wire);
            async move {
                wire.latency().await;
                Ok(path)
            }
        });
        self.inner.delete_stream(locations.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.paged(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.paged(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.wire.latency().await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.wire.latency().await;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.wire.latency().await;
        self.inner.rename_opts(from, to, options).await
    }
}

/// An upload in parts, each of which pays for its way.
#[derive(Debug)]
struct SimulatedUpload {
    inner: Box<dyn MultipartUpload>,
    wire: Arc<Wire>,
}

#[async_trait]
impl MultipartUpload for SimulatedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (wire, bytes) = (Arc::clone(&self.wire), data.content_length());
        let part = self.inner.put_part(data);
        Box::pin(async move {
            wire.latency().await;
            wire.carry(bytes).await;
            part.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.wire.latency().await;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.wire.latency().await;
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    async fn store(link: SimulatedLink, bytes: usize) -> (Simulated, Path) {
        let memory = InMemory::new();
        let path = Path::parse("a").unwrap();
        memory
            .put(&path, PutPayload::from(vec![7u8; bytes]))
            .await
            .unwrap();
        (
            Simulated::new(Arc::new(memory), Arc::new(Wire::new(link))),
            path,
        )
    }

    // A sleep never ends early, so what must have been waited for can be told from the clock; what must not, cannot.

    #[tokio::test]
    async fn concurrent_requests_share_the_bandwidth_and_each_pays_its_latency() {
        let link = SimulatedLink {
            latency: Duration::from_millis(40),
            bandwidth_bytes_per_s: Some(10 << 20),
        };
        let (store, path) = store(link, 1 << 20).await;
        let started = Instant::now();
        let read = async || store.get(&path).await.unwrap().bytes().await.unwrap();
        let (a, b) = futures::join!(read(), read());
        assert_eq!((a.len(), b.len()), (1 << 20, 1 << 20));
        assert!(started.elapsed() >= Duration::from_millis(240));
    }

    #[tokio::test]
    async fn a_range_pays_for_its_own_bytes_alone() {
        let link = SimulatedLink {
            latency: Duration::ZERO,
            bandwidth_bytes_per_s: Some(1000),
        };
        let (store, path) = store(link, 100_000).await;
        assert_eq!(store.get_range(&path, 10..60).await.unwrap().len(), 50);
        let passed = store.wire.free_at.lock().unwrap();
        store.wire.carry(0).await;
        assert!(store.wire.free_at.lock().unwrap() < passed + Duration::from_secs(60));
    }
}
