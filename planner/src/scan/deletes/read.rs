//! Reading delete files: through the cache, from the nearest site, counted against the query's memory.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{Result, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::{StreamExt, TryStreamExt};
use landfast_sites::{CanonicalUri, FileId, ReadClass, SitesError};
use roaring::RoaringTreemap;

use super::cache::{Held, Kept, Key};
use super::positions::DeletedPositions;
use super::{DeleteSource, LakeDeletes, VectorBlob, corrupt, vector};
use crate::scan::ScanContext;

/// Delete files that one data file waits for at once.
const READ_AT_ONCE: usize = 8;

/// Larger files are decoded on a thread that may block.
const DECODED_HERE_BYTES_MAX: u64 = 1 << 20;

/// Reads delete files for one scan.
#[derive(Debug, Clone, Copy)]
pub(in crate::scan) struct DeleteReader<'a> {
    pub(in crate::scan) context: &'a ScanContext,
    pub(in crate::scan) memory: &'a Arc<dyn MemoryPool>,
}

/// Positions deleted from one file.
#[derive(Debug, Clone)]
pub(in crate::scan) struct Deleted {
    positions: Arc<RoaringTreemap>,
    /// What it takes where the cache doesn't keep it.
    _held: Option<Arc<Held>>,
}

impl Deleted {
    pub(in crate::scan) fn positions(&self) -> &RoaringTreemap {
        &self.positions
    }
}

impl DeleteReader<'_> {
    /// The positions that are deleted from the data file `of`; none where no delete file has any of it.
    ///
    /// # Errors
    /// A delete file can't be read, is not what it should be, or takes more memory than there is.
    pub(in crate::scan) async fn positions(
        &self,
        of: &CanonicalUri,
        deletes: &LakeDeletes,
    ) -> Result<Option<Deleted>> {
        if let Some(blob) = &deletes.vector {
            return self.vector(of, blob).await.map(Some);
        }
        let files: Vec<_> = deletes
            .positions
            .iter()
            .flat_map(|list| list.iter())
            .collect();
        let reads: Vec<_> = files
            .into_iter()
            .map(|file| self.position_file(file))
            .collect();
        let mut reads = futures::stream::iter(reads).buffer_unordered(READ_AT_ONCE);
        let mut deleted: Option<Deleted> = None;
        while let Some(held) = reads.try_next().await? {
            let Kept::Positions(file) = &held.kept else {
                return mixed_up();
            };
            let Some(positions) = file.of(of) else {
                continue;
            };
            deleted = Some(match deleted {
                None => Deleted {
                    positions: Arc::clone(positions),
                    _held: Some(Arc::new(held)),
                },
                Some(so_far) => Deleted {
                    positions: Arc::new(&*so_far.positions | &**positions),
                    _held: None,
                },
            });
        }
        Ok(deleted)
    }

    async fn position_file(&self, file: &DeleteSource) -> Result<Held> {
        let key = Key::Positions {
            uri: file.uri.clone(),
            size_bytes: file.size_bytes,
        };
        let reservation = self.reservation(&file.uri);
        let load = async {
            let watched = Arc::clone(&reservation);
            let size = bytes_of(file.size_bytes);
            watched.try_resize(size)?;
            let bytes = self.read(file, 0, file.size_bytes).await?;
            let uri = file.uri.clone();
            let decode =
                move || DeletedPositions::read(&uri, bytes, |held| watched.try_resize(size + held));
            let positions = decoded(file.size_bytes, decode).await?;
            Ok(Kept::Positions(Arc::new(positions)))
        };
        self.through_cache(key, &reservation, file.size_bytes, load)
            .await
    }

    async fn vector(&self, of: &CanonicalUri, blob: &VectorBlob) -> Result<Deleted> {
        let file = &blob.file;
        let key = Key::Vector {
            uri: file.uri.clone(),
            size_bytes: file.size_bytes,
            offset: blob.offset,
            length: blob.length,
        };
        let wrong = |reason: String| {
            let at = blob.offset;
            corrupt(
                &file.uri,
                format!("the deletion vector of {of}, at byte {at}: {reason}"),
            )
        };
        let end = blob.offset.checked_add(blob.length);
        if end.is_none_or(|end| end > file.size_bytes) {
            let (length, size) = (blob.length, file.size_bytes);
            return Err(wrong(format!(
                "it has {length} bytes by the manifest, and the file {size}"
            )));
        }
        let reservation = self.reservation(&file.uri);
        let load = async {
            // A bitmap takes about as much decoded as it does encoded.
            reservation.try_resize(bytes_of(blob.length).saturating_mul(2))?;
            let bytes = self.read(file, blob.offset, blob.length).await?;
            let bitmap = vector::decode(&bytes).map_err(wrong)?;
            Ok(Kept::Vector(Arc::new(bitmap)))
        };
        let held = self
            .through_cache(key, &reservation, blob.length, load)
            .await?;
        let Kept::Vector(positions) = &held.kept else {
            return mixed_up();
        };
        if positions.len() != blob.rows {
            let (found, recorded) = (positions.len(), blob.rows);
            return Err(wrong(format!(
                "it deletes {found} rows, and {recorded} by the manifest"
            )));
        }
        Ok(Deleted {
            positions: Arc::clone(positions),
            _held: Some(Arc::new(held)),
        })
    }

    async fn through_cache(
        &self,
        key: Key,
        reservation: &Arc<MemoryReservation>,
        bytes: u64,
        load: impl Future<Output = Result<Kept>>,
    ) -> Result<Held> {
        let hit = || self.context.log.record_cache_hit(ReadClass::Data, bytes);
        let cache = &self.context.deletes;
        cache.get(key, Arc::clone(reservation), hit, load).await
    }

    fn reservation(&self, uri: &CanonicalUri) -> Arc<MemoryReservation> {
        let consumer = MemoryConsumer::new(format!("the deletes in {uri}"));
        Arc::new(consumer.register(self.memory))
    }

    async fn read(&self, file: &DeleteSource, offset: u64, length: u64) -> Result<Bytes> {
        let id = FileId::new(file.uri.clone(), Some(file.size_bytes));
        let range = offset..offset + length;
        let read = self
            .context
            .sites
            .read_ranges(
                &id,
                &file.route,
                &[range],
                ReadClass::Data,
                &self.context.log,
            )
            .await;
        let read = read.map_err(|error: SitesError| DataFusionError::External(Box::new(error)))?;
        Ok(read.into_iter().next().unwrap_or_default())
    }
}

/// Decodes here or, where it takes long, on a thread that may block.
async fn decoded<T: Send + 'static>(
    bytes: u64,
    decode: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if bytes <= DECODED_HERE_BYTES_MAX {
        return decode();
    }
    SpawnedTask::spawn_blocking(decode)
        .join()
        .await
        .map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?
}

fn bytes_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn mixed_up<T>() -> Result<T> {
    internal_err!("one delete file stands for two kinds of deletes")
}
