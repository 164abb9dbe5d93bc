//! Sites over stores in memory that fail as they are told to.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;

use crate::credentials::GoogleCredential;
use crate::error::SitesError;
use crate::id::{CanonicalUri, FileId, SiteId};
use crate::inventory::InventoryLimits;
use crate::link::{Link, LinkSpec};
use crate::route::Route;
use crate::sites::Sites;
use crate::spec::{
    FileSpec, GcsSpec, Holdings, MappingSpec, SiteSpec, SitesSpec, StoreSpec, Timeouts,
};
use crate::store::Opener;

/// What a store does instead of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Refuses503,
    Denies,
    Unauthenticated,
    Hangs,
    /// The body breaks off after so many bytes.
    BreaksOffAfter(usize),
    /// Somebody writes another object of the same size, just before the request.
    Replaced,
    /// Nothing is wrong, but the first byte takes this long.
    Slow(Duration),
}

/// A store in memory with faults for all objects, or for requests of some ranges alone.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    inner: InMemory,
    fault: Mutex<Option<Fault>>,
    fault_from: Mutex<Option<u64>>,
    list_hangs: Mutex<bool>,
    pub(crate) gets: Mutex<Vec<String>>,
    pub(crate) lists: AtomicUsize,
    pub(crate) under_way: Arc<AtomicUsize>,
}

impl Faulty {
    pub(crate) fn set(&self, fault: Option<Fault>) {
        *self.fault.lock() = fault;
    }

    /// The fault strikes only requests that begin at or after this byte.
    pub(crate) fn only_from(&self, byte: u64) {
        *self.fault_from.lock() = Some(byte);
    }

    pub(crate) fn hang_listings(&self) {
        *self.list_hangs.lock() = true;
    }

    pub(crate) async fn put_bytes(&self, key: &str, bytes: impl Into<Bytes>) {
        let payload = PutPayload::from(bytes.into());
        self.inner
            .put(&Path::parse(key).unwrap(), payload)
            .await
            .unwrap();
    }

    pub(crate) async fn remove(&self, key: &str) {
        self.inner.delete(&Path::parse(key).unwrap()).await.unwrap();
    }

    pub(crate) fn gets(&self) -> usize {
        self.gets.lock().len()
    }

    fn strikes(&self, options: &GetOptions) -> Option<Fault> {
        let from = match &options.range {
            Some(object_store::GetRange::Bounded(range)) => range.start,
            _ => u64::MAX,
        };
        let struck = self.fault_from.lock().is_none_or(|byte| from >= byte);
        (*self.fault.lock()).filter(|_| struck)
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

/// Counts what is under way, also what is dropped.
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn generic(text: &'static str) -> Error {
    Error::Generic {
        store: "Faulty",
        source: text.into(),
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let _under_way = UnderWay::new(&self.under_way);
        self.gets.lock().push(location.to_string());
        let path = location.to_string();
        let fault = self.strikes(&options);
        match fault {
            Some(Fault::Refuses503) => {
                return Err(generic(
                    "Server returned non-2xx status code: 503: overloaded",
                ));
            }
            Some(Fault::Denies) => {
                return Err(Error::PermissionDenied {
                    path,
                    source: "no".into(),
                });
            }
            Some(Fault::Unauthenticated) => {
                return Err(Error::Unauthenticated {
                    path,
                    source: "who".into(),
                });
            }
            Some(Fault::Hangs) => futures::future::pending().await,
            Some(Fault::Slow(by)) => tokio::time::sleep(by).await,
            Some(Fault::Replaced) => {
                let size = self.inner.head(location).await?.size as usize;
                let other = PutPayload::from(vec![b'!'; size]);
                self.inner.put(location, other).await?;
            }
            Some(Fault::BreaksOffAfter(_)) | None => {}
        }
        let result = self.inner.get_opts(location, options).await?;
        let Some(Fault::BreaksOffAfter(bytes)) = fault else {
            return Ok(result);
        };
        let (meta, range, attributes) = (
            result.meta.clone(),
            result.range.clone(),
            result.attributes.clone(),
        );
        let body = result.bytes().await?;
        let begun = body.slice(..bytes.min(body.len()));
        let payload = stream::iter([Ok(begun), Err(generic("connection reset"))]).boxed();
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload),
            meta,
            range,
            attributes,
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        if *self.list_hangs.lock() {
            return stream::pending().boxed();
        }
        match *self.fault.lock() {
            Some(Fault::Refuses503) => {
                let error = generic("Server returned non-2xx status code: 503: overloaded");
                stream::iter([Err(error)]).boxed()
            }
            _ => self.inner.list(prefix),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct Fixed(HashMap<String, Arc<Faulty>>);

impl Opener for Fixed {
    fn open(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>, SitesError> {
        Ok(Arc::clone(&self.0[bucket]) as Arc<dyn ObjectStore>)
    }

    fn describe(&self) -> String {
        "memory".into()
    }
}

/// Three sites with one bucket `lake` each: `gcp` is the origin of `gs://lake/`, `dc-east` reads.
pub(crate) struct World {
    pub(crate) sites: Arc<Sites>,
    pub(crate) stores: BTreeMap<&'static str, Arc<Faulty>>,
}

pub(crate) const SITES: [(&str, u64); 3] = [("gcp", 40), ("dc-east", 1), ("dc-west", 30)];

pub(crate) fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

pub(crate) fn route(names: &[&str]) -> Route {
    Route::new(names.iter().map(|n| site(n)).collect())
}

pub(crate) fn file(uri: &str, size: u64) -> FileId {
    FileId::new(uri.into(), Some(size))
}

pub(crate) fn uri(uri: &str) -> CanonicalUri {
    uri.into()
}

pub(crate) fn mapping(prefix: &str, at: Option<&str>, origin: bool) -> MappingSpec {
    MappingSpec {
        prefix: prefix.into(),
        at: at.map(Into::into),
        origin,
    }
}

/// How a [`World`] differs from the plain one.
#[derive(Debug, Default)]
pub(crate) struct Setting {
    pub(crate) limits: InventoryLimits,
    /// Further mappings of dc-east.
    pub(crate) more: Vec<MappingSpec>,
    /// Sites that are given up on after a moment; the others get as long as a busy machine may need.
    pub(crate) hasty: Vec<&'static str>,
    /// Added to every link's latency.
    pub(crate) latency_ms: u64,
}

/// A site whose store is given apart.
pub(crate) fn site_spec(name: &str, mappings: Vec<MappingSpec>, holdings: Holdings) -> SiteSpec {
    SiteSpec {
        id: site(name),
        store: StoreSpec::File(FileSpec {
            root: "/nowhere".into(),
        }),
        mappings,
        holdings,
        simulated: None,
        timeouts: Timeouts::default(),
    }
}

pub(crate) fn link(from: &str, latency_ms: u64) -> LinkSpec {
    LinkSpec {
        from: site(from),
        to: site("dc-east"),
        link: Link {
            latency: Duration::from_millis(latency_ms),
            bandwidth_bytes_per_s: 125_000_000,
            usd_per_gib: if from == "gcp" { 0.08 } else { 0.0 },
        },
    }
}

impl World {
    pub(crate) fn new(holdings: Holdings) -> Self {
        Self::with(holdings, Setting::default())
    }

    pub(crate) fn with(holdings: Holdings, setting: Setting) -> Self {
        let mut stores = BTreeMap::new();
        let (mut specs, mut openers, mut links) =
            (Vec::new(), Vec::<Box<dyn Opener>>::new(), Vec::new());
        for (name, latency_ms) in SITES {
            let store = Arc::new(Faulty::default());
            let mut mappings = vec![mapping("gs://lake/", Some("lake"), name == "gcp")];
            if name == "dc-east" {
                mappings.extend(setting.more.clone());
            }
            let mut spec = site_spec(name, mappings, holdings);
            // Rules must think of buckets; the store itself is given apart.
            spec.store = StoreSpec::Gcs(GcsSpec {
                endpoint: None,
                credential: GoogleCredential::Anonymous,
                user_project: None,
            });
            if setting.hasty.contains(&name) {
                spec.timeouts.request = Duration::from_millis(50);
            }
            specs.push(spec);
            openers.push(Box::new(Fixed(HashMap::from([(
                "lake".to_owned(),
                Arc::clone(&store),
            )]))));
            links.push(link(name, latency_ms + setting.latency_ms));
            stores.insert(name, store);
        }
        let spec = SitesSpec {
            sites: specs,
            links,
            reader: site("dc-east"),
        };
        Self {
            sites: Sites::assemble(spec, openers, setting.limits).unwrap(),
            stores,
        }
    }

    /// Puts the same bytes at several sites.
    pub(crate) async fn put(&self, names: &[&str], key: &str, bytes: &[u8]) {
        for name in names {
            self.stores[name].put_bytes(key, bytes.to_vec()).await;
        }
    }
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}
