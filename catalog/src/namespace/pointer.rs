//! Where a table stands, as fresh as the query asks, and the snapshot that follows from it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use iceberg::spec::{SchemaRef, SnapshotRef};
use landfast_sites::{CanonicalUri, ReadLog};

use crate::member::{Pointer, PointerAnswer};
use crate::namespace::Namespace;
use crate::namespace::mount::Mount;
use crate::namespace::slot::{Age, Known};
use crate::{
    AsOf, CatalogError, DeleteFile, DeleteIndex, Freshness, ManifestEntry, ManifestFiles,
    ManifestListing, ManifestSummary, Pin, Reading, Result, SnapshotFiles, TableDocument,
    TableName, TableSnapshot,
};

/// No pointer older than this is ever used, whatever a session allows.
pub(crate) const STALE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A pointer to build a snapshot from.
struct Current {
    pointer: Pointer,
    validated: Instant,
    stale: bool,
}

impl Namespace {
    /// The table as it is now, in the sense of `reading`, pinned.
    ///
    /// # Errors
    /// `NotFound` with the nearest names, `Unavailable` or `Stale` when the member is out of reach, `Unsupported` for a
    /// table that needs what is not built, `Corrupt` for metadata that can't be read.
    pub async fn resolve(
        &self,
        name: &TableName,
        reading: Reading,
        log: &ReadLog,
    ) -> Result<Arc<TableSnapshot>> {
        self.resolve_as_of(name, &AsOf::Current, reading, log).await
    }

    /// As [`Namespace::resolve`], of the table's snapshot that `as_of` means.
    ///
    /// # Errors
    /// Also `NotFound` when the table has no such version, naming what there is.
    pub async fn resolve_as_of(
        &self,
        name: &TableName,
        as_of: &AsOf,
        reading: Reading,
        log: &ReadLog,
    ) -> Result<Arc<TableSnapshot>> {
        let mount = self.mount(&name.catalog)?;
        let current = self.current(mount, name, reading).await?;
        let pointer = current.pointer;
        let document = self.reader.metadata(name, &pointer, log).await?;
        let (pinned, schema) = as_of
            .find(&document.metadata, &document.refs)
            .map_err(|none| none.into_error(name, &document.metadata))?;
        check_listed(name, pinned.as_ref())?;
        let read = document.read_as(&schema);
        let location = pointer.metadata_location;
        let snapshot = TableSnapshot::of(name.clone(), location, (*document).clone());
        let mut snapshot = snapshot.at(as_of.clone(), pinned, read);
        snapshot.pointer_validated = current.validated;
        snapshot.stale = current.stale;
        snapshot.resolved = self.clock.now();
        Ok(Arc::new(snapshot))
    }

    /// Exactly the snapshot that was pinned, wherever the table stands by now.
    ///
    /// # Errors
    /// `NotFound` when the snapshot is gone from the metadata, `Corrupt` when the metadata is another table's.
    pub async fn resolve_pinned(&self, pin: &Pin, log: &ReadLog) -> Result<Arc<TableSnapshot>> {
        let mount = self.mount(&pin.table.catalog)?;
        let uuid = Some(pin.uuid).filter(|uuid| !uuid.is_nil());
        let slot = mount
            .pointer_slot(&pin.table.schema, &pin.table.table)
            .await;
        let known = slot
            .known()
            .filter(|known| known.value.metadata_location == pin.metadata_location);
        let pointer = match &known {
            Some(known) => Pointer {
                uuid,
                ..known.value.clone()
            },
            None => Pointer::to_file(pin.metadata_location.clone(), uuid),
        };
        let document = self.reader.metadata(&pin.table, &pointer, log).await?;
        let snapshot = match pin.snapshot_id {
            None => None,
            Some(snapshot_id) => Some(
                document
                    .metadata
                    .snapshot_by_id(snapshot_id)
                    .cloned()
                    .ok_or_else(|| CatalogError::NoSuchSnapshot {
                        table: pin.table.clone(),
                        snapshot_id,
                    })?,
            ),
        };
        check_listed(&pin.table, snapshot.as_ref())?;
        let read = document.read_as(&pinned_schema(pin, &document, snapshot.as_ref()));
        let now = self.clock.now();
        let location = pin.metadata_location.clone();
        let table = TableSnapshot::of(pin.table.clone(), location, (*document).clone());
        let mut table = table.at(pin.as_of.clone(), snapshot, read);
        table.pointer_validated = known.map_or(now, |known| known.began);
        table.resolved = now;
        Ok(Arc::new(table))
    }

    /// The snapshot's manifests with their partition summaries, to choose from before any is read.
    ///
    /// # Errors
    /// `Unsupported` for an encrypted table.
    pub async fn manifests(
        &self,
        table: &TableSnapshot,
        log: &ReadLog,
    ) -> Result<Arc<ManifestListing>> {
        self.reader.manifest_listing(table, log).await
    }

    /// The files of some of the snapshot's manifests, in the order given.
    pub async fn load(
        &self,
        table: &TableSnapshot,
        manifests: &[ManifestSummary],
        log: &ReadLog,
    ) -> Result<SnapshotFiles> {
        Ok(SnapshotFiles {
            manifests: self.reader.manifest_files(table, manifests, log).await?,
        })
    }

    /// Gives the files of some of the snapshot's manifests to `look`, on threads that may block; and what that makes of
    /// each manifest to `take`, in the order given, until it breaks off. However many manifests there are, few are held
    /// in memory besides the cache.
    ///
    /// # Errors
    /// A manifest can't be read, or needs what is not built.
    pub async fn visit<T, L>(
        &self,
        table: &TableSnapshot,
        manifests: &[ManifestSummary],
        log: &ReadLog,
        look: &Arc<L>,
        take: &mut (dyn FnMut(T) -> ControlFlow<()> + Send),
    ) -> Result<()>
    where
        T: Send + 'static,
        L: Fn(&ManifestFiles) -> T + Send + Sync + 'static,
    {
        self.reader.visit(table, manifests, log, look, take).await
    }

    /// The snapshot's live delete files.
    ///
    /// # Errors
    /// `Unsupported` for a delete file in a format that can't be read.
    pub async fn delete_files(
        &self,
        table: &TableSnapshot,
        listing: &ManifestListing,
        log: &ReadLog,
    ) -> Result<Arc<[DeleteFile]>> {
        self.reader.delete_files(table, &listing.deletes, log).await
    }

    /// The live delete files of the listing's delete manifests, by what they apply to: indexed once for all queries.
    ///
    /// # Errors
    /// As [`Namespace::delete_files`].
    pub async fn delete_index(
        &self,
        table: &TableSnapshot,
        listing: &ManifestListing,
        log: &ReadLog,
    ) -> Result<Arc<DeleteIndex>> {
        self.reader.delete_index(table, &listing.deletes, log).await
    }

    /// Every entry of one of the snapshot's manifests, removed files included, with all that is recorded of each. It is
    /// not cached: for who lists files, not for scans.
    ///
    /// # Errors
    /// `Corrupt` for a manifest that can't be read.
    pub async fn entries(
        &self,
        table: &TableSnapshot,
        manifest: &ManifestSummary,
        log: &ReadLog,
    ) -> Result<Vec<ManifestEntry>> {
        self.reader.entries(table, manifest, log).await
    }

    /// All data files of the snapshot.
    pub async fn files(&self, table: &TableSnapshot, log: &ReadLog) -> Result<Arc<SnapshotFiles>> {
        let listing = self.manifests(table, log).await?;
        Ok(Arc::new(self.load(table, &listing.manifests, log).await?))
    }

    /// The table as it was last seen, with its columns, if its metadata is still cached; no member or site is asked.
    pub fn cached_columns(&self, name: &TableName) -> Option<Arc<TableSnapshot>> {
        let mount = self.mounts.get(&name.catalog)?;
        let known = mount
            .pointers
            .get(&(name.schema.clone(), name.table.clone()))
            .now_or_never()??
            .known()?;
        let document = self.reader.cached_metadata(&known.value)?;
        let mut table = TableSnapshot::of(
            name.clone(),
            known.value.metadata_location,
            (*document).clone(),
        );
        table.pointer_validated = known.began;
        table.resolved = self.clock.now();
        Some(Arc::new(table))
    }

    /// The metadata file that a table had when its pointer was last confirmed, and how long ago that was; no member is
    /// asked. None for a table that nobody asked for yet, or whose pointer is older than any that is used.
    pub fn cached_pointer(&self, name: &TableName) -> Option<(CanonicalUri, Duration)> {
        let mount = self.mounts.get(&name.catalog)?;
        let known = mount
            .pointers
            .get(&(name.schema.clone(), name.table.clone()))
            .now_or_never()??
            .known()?;
        let age = self.age(&known);
        (age <= STALE_MAX).then_some((known.value.metadata_location, age))
    }

    async fn current(&self, mount: &Mount, name: &TableName, reading: Reading) -> Result<Current> {
        let slot = mount.pointer_slot(&name.schema, &name.table).await;
        let (age, allowed) = match reading.freshness {
            Freshness::Strong => (Age::FromNow, Duration::ZERO),
            Freshness::Bounded(age_max) => {
                let age_max = age_max.min(STALE_MAX);
                (Age::AtMost(age_max), age_max)
            }
        };
        let may_be_stale =
            reading.stale_allowed && matches!(reading.freshness, Freshness::Bounded(_));
        let answer = match slot.known() {
            // Don't wait once more for a member that just failed when an old pointer will do.
            Some(known) if may_be_stale && mount.is_held_off() && self.age(&known) > allowed => {
                Err(mount.held_off())
            }
            _ => {
                slot.get(&*self.clock, age, |last| {
                    self.load_pointer(mount, name, last)
                })
                .await
            }
        };
        let error = match answer {
            Ok(known) => {
                return Ok(Current {
                    pointer: known.value,
                    validated: known.began,
                    stale: false,
                });
            }
            Err(error @ CatalogError::NoSuchTable { .. }) => {
                slot.forget();
                return Err(error);
            }
            Err(CatalogError::Unavailable { reason, .. })
                if reading.freshness != Freshness::Strong =>
            {
                reason
            }
            Err(error) => return Err(error),
        };
        let Some(known) = slot.known() else {
            return Err(CatalogError::Unavailable {
                catalog: mount.name.clone(),
                reason: error,
            });
        };
        let age = self.age(&known);
        if age <= allowed || (may_be_stale && age <= STALE_MAX) {
            return Ok(Current {
                pointer: known.value,
                validated: known.began,
                stale: age > allowed,
            });
        }
        Err(CatalogError::Stale {
            catalog: mount.name.clone(),
            table: name.clone(),
            reason: error,
            age_s: age.as_secs(),
            allowed_s: if may_be_stale {
                STALE_MAX.as_secs()
            } else {
                allowed.as_secs()
            },
        })
    }

    fn age(&self, known: &Known<Pointer>) -> Duration {
        self.clock.now().saturating_duration_since(known.began)
    }

    async fn load_pointer(
        &self,
        mount: &Mount,
        name: &TableName,
        last: Option<Pointer>,
    ) -> Result<Pointer> {
        let levels = mount.levels(&name.schema, self.listing_age()).await?;
        let etag = last.as_ref().and_then(|last| last.etag.as_deref());
        let answer = mount.call(mount.member.pointer(&levels, name, etag)).await;
        match answer {
            Ok(PointerAnswer::At(pointer, inline)) => {
                if let Some(inline) = inline {
                    self.reader.offer(&pointer, inline).await;
                }
                Ok(pointer)
            }
            Ok(PointerAnswer::Unchanged) => last.ok_or_else(|| CatalogError::Unavailable {
                catalog: mount.name.clone(),
                reason: "it said that a table has not changed that was never asked for".into(),
            }),
            Err(CatalogError::NoSuchTable { .. } | CatalogError::NoSuchSchema { .. }) => {
                // So that near names can be said: nobody may have listed this schema yet.
                let _ = mount.schemas(self.listing_age()).await;
                let _ = mount.relations_of(&levels, self.listing_age()).await;
                Err(self.no_such_table(mount, name))
            }
            Err(error) => Err(error),
        }
    }
}

/// The schema that a pinned snapshot is read with. A ref may have moved since, and a history may have been cut: of what
/// was asked for, only the kind still counts.
fn pinned_schema(pin: &Pin, document: &TableDocument, pinned: Option<&SnapshotRef>) -> SchemaRef {
    let metadata = &document.metadata;
    let current = metadata.current_schema();
    let as_written = match &pin.as_of {
        AsOf::Current => false,
        AsOf::Ref(name) => document
            .refs
            .get(name)
            .is_some_and(|known| !known.is_branch()),
        AsOf::Snapshot(_) | AsOf::Timestamp(_) => true,
    };
    let own = pinned
        .filter(|_| as_written)
        .and_then(|snapshot| metadata.schema_by_id(snapshot.schema_id()?));
    Arc::clone(own.unwrap_or(current))
}

/// Format v1 once kept the names of a snapshot's manifests in the table's metadata.
fn check_listed(table: &TableName, snapshot: Option<&SnapshotRef>) -> Result<()> {
    match snapshot {
        Some(snapshot) if snapshot.manifest_list().is_empty() => Err(CatalogError::Unsupported {
            table: table.clone(),
            feature: format!(
                "its snapshot {} has no manifest list (format v1 without manifest lists)",
                snapshot.snapshot_id()
            ),
        }),
        _ => Ok(()),
    }
}
