//! Reading delete files: through the cache, from the nearest site, counted against the query's memory.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use bytes::Bytes;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::NameMapping;
use landfast_sites::{CanonicalUri, FileId, ReadClass, SitesError};
use roaring::RoaringTreemap;

use super::cache::{Held, Identity, Kept};
use super::keys::{KeySet, type_within, within};
use super::positions::PositionFile;
use super::rows::{RowsWanted, each_batch};
use super::{DeleteSource, KeyColumn, KeyDeletes, LakeDeletes, VectorBlob, corrupt, vector};
use crate::scan::ScanContext;
use crate::scan::columns::Absentees;

/// Delete files that one data file waits for at once.
const READ_AT_ONCE: usize = 8;

/// Larger files are decoded on a thread that may block.
const DECODED_HERE_BYTES_MAX: u64 = 1 << 20;

/// Reads delete files for one scan.
#[derive(Debug, Clone, Copy)]
pub(in crate::scan) struct DeleteReader<'a> {
    pub(in crate::scan) context: &'a ScanContext,
    pub(in crate::scan) memory: &'a Arc<dyn MemoryPool>,
    /// For delete files without field ids.
    pub(in crate::scan) mapping: Option<&'a Arc<NameMapping>>,
    /// Initial defaults by field id, for key columns that were added after a delete file was written.
    pub(in crate::scan) defaults: &'a Arc<[(i32, ScalarValue)]>,
}

/// Positions deleted from one file.
#[derive(Debug, Clone)]
pub(in crate::scan) struct DeletedPositions {
    positions: Arc<RoaringTreemap>,
    /// Of the deletion vector, where they are one.
    vector: Option<CanonicalUri>,
    /// What it takes where the cache doesn't keep it.
    _held: Option<Arc<Held>>,
}

impl DeletedPositions {
    /// The positions in a file of so many rows. Position delete files may name any; what a deletion vector says is
    /// counted on without reading it, so it must be about rows that there are.
    ///
    /// # Errors
    /// A deletion vector deletes a row that the file doesn't have.
    pub(in crate::scan) fn of_rows(&self, rows: u64) -> Result<&RoaringTreemap> {
        match (&self.vector, self.positions.max()) {
            (Some(vector), Some(last)) if last >= rows => Err(corrupt(
                vector,
                format!("a deletion vector has the position {last}, of a file of {rows} rows"),
            )),
            _ => Ok(&self.positions),
        }
    }
}

/// Keys deleted from files that share their equality deletes.
#[derive(Debug, Clone)]
pub(in crate::scan) struct DeletedKeys {
    columns: Arc<[KeyColumn]>,
    set: Arc<KeySet>,
    /// What it takes where the cache doesn't keep it.
    _held: Arc<Held>,
}

impl DeletedKeys {
    /// Where the key's columns are.
    pub(super) fn columns(&self) -> &[KeyColumn] {
        &self.columns
    }

    pub(super) fn set(&self) -> &KeySet {
        &self.set
    }
}

impl DeleteReader<'_> {
    /// The keys that are deleted from a data file, one set for each key.
    ///
    /// # Errors
    /// A delete file can't be read, is not what it should be, or takes more memory than there is.
    pub(in crate::scan) async fn keys(&self, deletes: &LakeDeletes) -> Result<Vec<DeletedKeys>> {
        let sets = deletes.keys.iter().map(|keys| self.key_set(keys));
        try_join_all(sets).await
    }

    async fn key_set(&self, deletes: &KeyDeletes) -> Result<DeletedKeys> {
        let bytes: u64 = deletes.files.iter().map(|file| file.size_bytes).sum();
        let asked = &deletes.set.asked;
        let reservation = self.reservation();
        let load = async {
            let mut set = key_set(asked)?;
            if let [one] = &*deletes.files {
                return self.read_keys(set, one, asked, &reservation).await;
            }
            let reads: Vec<_> = deletes
                .files
                .iter()
                .map(|file| self.numbered_keys(file, asked))
                .collect();
            let mut reads = futures::stream::iter(reads).buffer_unordered(READ_AT_ONCE);
            while let Some((held, sequence_number)) = reads.try_next().await? {
                let Kept::Keys(keys) = &held.kept else {
                    return mixed_up();
                };
                set.extend(keys, sequence_number)?;
                reservation.try_resize(set.heap_bytes())?;
            }
            set.shrink();
            Ok(Kept::Keys(Arc::new(set)))
        };
        let key = Identity::Keys(Arc::clone(&deletes.set));
        let held = self.through_cache(key, &reservation, bytes, load).await?;
        let Kept::Keys(set) = &held.kept else {
            return mixed_up();
        };
        Ok(DeletedKeys {
            columns: Arc::clone(&deletes.columns),
            set: Arc::clone(set),
            _held: Arc::new(held),
        })
    }

    /// The keys in a delete file, and its sequence number.
    async fn numbered_keys(
        &self,
        file: &DeleteSource,
        asked: &Arc<[FieldRef]>,
    ) -> Result<(Held, i64)> {
        Ok((self.key_file(file, asked).await?, file.sequence_number))
    }

    async fn key_file(&self, file: &DeleteSource, asked: &Arc<[FieldRef]>) -> Result<Held> {
        let key = Identity::KeyFile {
            uri: file.uri.clone(),
            size_bytes: file.size_bytes,
            asked: Arc::clone(asked),
        };
        let reservation = self.reservation();
        let load = async {
            let set = key_set(asked)?;
            self.read_keys(set, file, asked, &reservation).await
        };
        self.through_cache(key, &reservation, file.size_bytes, load)
            .await
    }

    /// Adds the keys of one delete file to a set.
    async fn read_keys(
        &self,
        mut set: KeySet,
        file: &DeleteSource,
        asked: &Arc<[FieldRef]>,
        reservation: &Arc<MemoryReservation>,
    ) -> Result<Kept> {
        let size = bytes_of(file.size_bytes);
        reservation.try_resize(size)?;
        let bytes = self.read(file, 0, file.size_bytes).await?;
        let (uri, format) = (file.uri.clone(), file.format);
        let sequence_number = file.sequence_number;
        let (asked, reservation) = (Arc::clone(asked), Arc::clone(reservation));
        let (mapping, defaults) = (self.mapping.cloned(), Arc::clone(self.defaults));
        let decode = move || {
            let fields = asked.iter().map(Arc::clone).enumerate();
            // Two keys may be fields of the same struct: each is asked for by a name of its own.
            let fields = fields.map(|(at, field)| {
                let name = format!("{at}");
                Field::clone(&field).with_name(name).with_nullable(true)
            });
            let wanted = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            // A delete file has all of its key: to one that lacks a part of it, that would be NULL in every row.
            let absentees = Absentees {
                partition: &[],
                defaults: &defaults,
                refused: true,
            };
            let wanted = RowsWanted {
                columns: &wanted,
                mapping: mapping.as_deref(),
                absentees: &absentees,
            };
            let mut take = |columns: &[ArrayRef], decoding: usize| {
                let keys = columns.iter().zip(asked.iter());
                let keys: Result<Vec<ArrayRef>> = keys
                    .map(|(column, field)| within(column, &only_path(field)))
                    .collect();
                set.insert(&keys?, sequence_number)?;
                reservation.try_resize(size + decoding + set.heap_bytes())
            };
            each_batch((&uri, format), bytes, &wanted, &mut take)?;
            set.shrink();
            Ok(set)
        };
        let set = decoded(file.size_bytes, decode).await?;
        Ok(Kept::Keys(Arc::new(set)))
    }

    /// The positions that are deleted from the data file `of`; none where no delete file has any of it.
    ///
    /// # Errors
    /// A delete file can't be read, is not what it should be, or takes more memory than there is.
    pub(in crate::scan) async fn positions(
        &self,
        of: &CanonicalUri,
        deletes: &LakeDeletes,
    ) -> Result<Option<DeletedPositions>> {
        if let Some(blob) = &deletes.vector {
            return self.vector(of, blob).await.map(Some);
        }
        let files: Vec<_> = deletes
            .positions
            .iter()
            .flat_map(|list| list.iter())
            .filter(|file| file.may_be_about(of))
            .collect();
        let reads: Vec<_> = files
            .into_iter()
            .map(|file| self.position_file(file))
            .collect();
        let mut reads = futures::stream::iter(reads).buffer_unordered(READ_AT_ONCE);
        let mut deleted: Option<DeletedPositions> = None;
        while let Some(held) = reads.try_next().await? {
            let Kept::Positions(file) = &held.kept else {
                return mixed_up();
            };
            let Some(positions) = file.of(of) else {
                continue;
            };
            deleted = Some(match deleted {
                None => DeletedPositions {
                    positions: Arc::clone(positions),
                    vector: None,
                    _held: Some(Arc::new(held)),
                },
                Some(so_far) => DeletedPositions {
                    positions: Arc::new(&*so_far.positions | &**positions),
                    vector: None,
                    _held: None,
                },
            });
        }
        Ok(deleted)
    }

    async fn position_file(&self, file: &DeleteSource) -> Result<Held> {
        let key = Identity::Positions {
            uri: file.uri.clone(),
            size_bytes: file.size_bytes,
        };
        let reservation = self.reservation();
        let load = async {
            let watched = Arc::clone(&reservation);
            let size = bytes_of(file.size_bytes);
            watched.try_resize(size)?;
            let bytes = self.read(file, 0, file.size_bytes).await?;
            let (uri, format) = (file.uri.clone(), file.format);
            let decode = move || {
                let watch = |held| watched.try_resize(size + held);
                PositionFile::read((&uri, format), bytes, watch)
            };
            let positions = decoded(file.size_bytes, decode).await?;
            Ok(Kept::Positions(Arc::new(positions)))
        };
        self.through_cache(key, &reservation, file.size_bytes, load)
            .await
    }

    async fn vector(&self, of: &CanonicalUri, blob: &VectorBlob) -> Result<DeletedPositions> {
        let file = &blob.file;
        let key = Identity::Vector {
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
        let reservation = self.reservation();
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
        Ok(DeletedPositions {
            positions: Arc::clone(positions),
            vector: Some(file.uri.clone()),
            _held: Some(Arc::new(held)),
        })
    }

    async fn through_cache(
        &self,
        key: Identity,
        reservation: &Arc<MemoryReservation>,
        bytes: u64,
        load: impl Future<Output = Result<Kept>>,
    ) -> Result<Held> {
        let hit = || self.context.log.record_cache_hit(ReadClass::Data, bytes);
        let cache = &self.context.deletes;
        cache.get(key, Arc::clone(reservation), hit, load).await
    }

    /// It names no file: its name stands in the error of whatever query finds the memory used up.
    fn reservation(&self) -> Arc<MemoryReservation> {
        Arc::new(MemoryConsumer::new("deletes").register(self.memory))
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

/// An empty set of keys of the fields that are asked for.
fn key_set(asked: &[FieldRef]) -> Result<KeySet> {
    let types = asked
        .iter()
        .map(|field| type_within(field, &only_path(field)));
    KeySet::new(types.collect::<Result<Vec<_>>>()?)
}

/// The way to the only field within structs of one field each.
fn only_path(field: &FieldRef) -> Vec<usize> {
    let mut path = Vec::new();
    let mut found = field;
    while let DataType::Struct(fields) = found.data_type() {
        let Some(only) = fields.first() else { break };
        path.push(0);
        found = only;
    }
    path
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
