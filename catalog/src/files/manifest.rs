//! The live files of one manifest, as columns.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::mem::{size_of, size_of_val};
use std::sync::Arc;

use iceberg::spec::{PrimitiveType, Struct};
use landfast_sites::{CanonicalUri, FileId};
use parking_lot::Mutex;

use super::bounds::{Bounds, BoundsBuilder};
use super::bytes::{Ends, Paths, PathsBuilder};
use super::packed::{Packed, Sparse};
use super::{ColumnMetrics, DataFile, struct_bytes};
use crate::bound::{compare_bounds, decode_bound, encode_bound};

/// Bytes of texts and bounds that the files of one manifest have at most.
const GATHERED_BYTES_MAX: usize = 2 << 30;

/// What files without a count or bound take in the columns that have some, while they are gathered: bytes at most.
const PADDING_BYTES_MAX: usize = 1 << 30;

/// Columns times files of one manifest at most: what is kept has a few bits for each, whether anything is said or not.
const CELLS_MAX: usize = 1 << 29;

/// A column that a consumer asks about: its field id, and its type today.
pub type WantedColumn = (i32, PrimitiveType);

/// The live files of one manifest. Immutable, and shared between queries by the cache.
///
/// Columns of it, not rows: what a scan asks of all files lies together, in the few bits that it needs, and bounds stay
/// the bytes that they were. [`ManifestFiles::file`] makes a row of it, for files that a scan keeps.
pub struct ManifestFiles {
    /// The manifest itself.
    pub id: FileId,
    /// The partition spec that all the files have.
    pub spec_id: i32,
    paths: Paths,
    rows: Packed,
    rows_total: u64,
    sizes: Sparse,
    bytes_total: u64,
    sequence_numbers: Packed,
    first_row_ids: Sparse,
    sort_orders: Sparse,
    split_ends: Ends,
    splits: Packed,
    partitions: Box<[Arc<Struct>]>,
    partition_codes: Packed,
    /// By field id, ascending.
    columns: Box<[ManifestColumn]>,
    /// What was asked of all files together. One type for each column: asking by another asks anew.
    totals: Mutex<BTreeMap<i32, (PrimitiveType, ColumnMetrics)>>,
}

/// What a manifest records of one column, over all its files.
#[derive(Debug)]
pub struct ManifestColumn {
    /// The column's field id.
    pub field_id: i32,
    /// No value of a file is less than its own (strings and binary may be cut short).
    pub lower: Bounds,
    /// No value of a file is greater than its own (strings and binary may be cut short, and then are rounded up).
    pub upper: Bounds,
    /// Null values.
    pub null_counts: Sparse,
    /// NaN values.
    pub nan_counts: Sparse,
    /// Compressed bytes of the column's chunks.
    pub sizes: Sparse,
    /// Values, null and NaN included; none where each file has as many as it has rows.
    value_counts: Option<Sparse>,
}

impl ManifestFiles {
    /// A manifest of these live files.
    pub fn new(id: FileId, spec_id: i32, files: Vec<DataFile>) -> Self {
        let mut builder = FilesBuilder::default();
        let mut codes: HashMap<Arc<Struct>, u32> = HashMap::new();
        let mut partitions = Vec::new();
        for file in &files {
            let code = *codes.entry(Arc::clone(&file.partition)).or_insert_with(|| {
                partitions.push(Arc::clone(&file.partition));
                partitions.len() as u32 - 1
            });
            builder.push(&FileRow {
                path: file.id.uri.as_str(),
                rows: file.rows,
                size: file.id.size,
                sequence_number: file.sequence_number,
                first_row_id: file.first_row_id,
                sort_order_id: file.sort_order_id,
                partition: code,
                split_offsets: &file.split_offsets,
            });
            for column in &file.columns {
                let id = column.field_id;
                let counts = [
                    (Count::Values, column.value_count),
                    (Count::Nulls, column.null_count),
                    (Count::Nan, column.nan_count),
                    (Count::Bytes, column.size_bytes),
                ];
                for (which, count) in counts {
                    builder.counts(which, count.map(|count| (id, count)).as_slice());
                }
                for (which, bound) in [(Side::Lower, &column.lower), (Side::Upper, &column.upper)] {
                    if let Some(bytes) = bound.as_ref().and_then(encode_bound) {
                        builder.bounds(which, &[(id, &bytes)]);
                    }
                }
            }
        }
        builder.finish(id, spec_id, partitions)
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The files' rows, summed.
    pub fn rows_total(&self) -> u64 {
        self.rows_total
    }

    /// The files' bytes, summed.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// The rows of each file.
    pub fn rows(&self) -> &Packed {
        &self.rows
    }

    /// The size of each file, in bytes.
    pub fn sizes(&self) -> &Sparse {
        &self.sizes
    }

    /// The different partition tuples, in the order of the spec's fields.
    pub fn partitions(&self) -> &[Arc<Struct>] {
        &self.partitions
    }

    /// Which of [`ManifestFiles::partitions`] each file is in.
    pub fn partition_codes(&self) -> &Packed {
        &self.partition_codes
    }

    /// What is recorded of a column, if anything is.
    pub fn column(&self, field_id: i32) -> Option<&ManifestColumn> {
        let at = self
            .columns
            .binary_search_by_key(&field_id, |column| column.field_id);
        self.columns.get(at.ok()?)
    }

    /// Gives the paths of all files, as they are written, each with its position.
    pub fn each_path(&self, take: impl FnMut(usize, &[u8])) {
        self.paths.each(take);
    }

    /// The file at a position, with the metrics of the wanted columns (ascending by field id).
    pub fn file(&self, at: usize, wanted: &[WantedColumn]) -> DataFile {
        let partition = usize::try_from(self.partition_codes.get(at)).ok();
        let partition = partition.and_then(|code| self.partitions.get(code).cloned());
        let splits = self.split_ends.range(at);
        let mut scratch = Vec::new();
        let metrics = wanted.iter().filter_map(|(id, of)| {
            let column = self.column(*id)?;
            column.metrics(at, &self.rows, of, &mut scratch)
        });
        DataFile {
            id: FileId::new(CanonicalUri::new(self.paths.get(at)), self.sizes.count(at)),
            rows: self.rows.get(at) as u64,
            sequence_number: self.sequence_numbers.get(at),
            first_row_id: self.first_row_ids.count(at),
            spec_id: self.spec_id,
            partition: partition.unwrap_or_else(|| Arc::new(Struct::empty())),
            split_offsets: splits.map(|at| self.splits.get(at) as u64).collect(),
            sort_order_id: self
                .sort_orders
                .get(at)
                .and_then(|id| i32::try_from(id).ok()),
            columns: metrics.collect(),
        }
    }

    /// A column's metrics over all the files: the least and greatest bound, and counts summed, each known only where
    /// every file says it. Kept once it was asked for.
    pub fn total(&self, wanted: &WantedColumn) -> ColumnMetrics {
        let (id, of) = wanted;
        if let Some((known, total)) = self.totals.lock().get(id)
            && known == of
        {
            return total.clone();
        }
        let total = match self.column(*id) {
            Some(column) => column.total(self, of, None),
            None => ColumnMetrics::new(*id),
        };
        let kept = (of.clone(), total.clone());
        self.totals.lock().insert(*id, kept);
        total
    }

    /// As [`ManifestFiles::total`], over the files at these positions.
    pub fn total_of(&self, (id, of): &WantedColumn, files: &[usize]) -> ColumnMetrics {
        match self.column(*id) {
            Some(column) if !files.is_empty() => column.total(self, of, Some(files)),
            _ => ColumnMetrics::new(*id),
        }
    }

    /// What this holds in memory, in bytes, once everything was asked of it.
    pub fn heap_bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(ManifestColumn::heap_bytes).sum();
        let partitions: usize = self
            .partitions
            .iter()
            .map(|tuple| struct_bytes(tuple))
            .sum();
        let totals = self.columns.len() * 2 * size_of::<(i32, PrimitiveType, ColumnMetrics)>();
        size_of::<Self>()
            + self.id.uri.as_str().len()
            + self.paths.heap_bytes()
            + [
                &self.rows,
                &self.sequence_numbers,
                &self.splits,
                &self.partition_codes,
            ]
            .map(Packed::heap_bytes)
            .iter()
            .sum::<usize>()
            + [&self.sizes, &self.first_row_ids, &self.sort_orders]
                .map(Sparse::heap_bytes)
                .iter()
                .sum::<usize>()
            + self.split_ends.heap_bytes()
            + size_of_val::<[Arc<Struct>]>(&self.partitions)
            + partitions
            + columns
            + totals
    }
}

impl fmt::Debug for ManifestFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManifestFiles")
            .field("id", &self.id)
            .field("spec_id", &self.spec_id)
            .field("files", &self.len())
            .finish_non_exhaustive()
    }
}

impl ManifestColumn {
    /// What is recorded of one file, of which `rows` says how many rows it has; none where nothing is.
    fn metrics(
        &self,
        at: usize,
        rows: &Packed,
        of: &PrimitiveType,
        scratch: &mut Vec<u8>,
    ) -> Option<ColumnMetrics> {
        let mut bound = |bounds: &Bounds| decode_bound(bounds.get(at, scratch)?, of);
        let metrics = ColumnMetrics {
            field_id: self.field_id,
            lower: bound(&self.lower),
            upper: bound(&self.upper),
            value_count: match &self.value_counts {
                Some(counts) => counts.count(at),
                None => u64::try_from(rows.get(at)).ok(),
            },
            null_count: self.null_counts.count(at),
            nan_count: self.nan_counts.count(at),
            size_bytes: self.sizes.count(at),
        };
        (metrics != ColumnMetrics::new(self.field_id)).then_some(metrics)
    }

    /// Over the files at some positions, or over all.
    fn total(
        &self,
        manifest: &ManifestFiles,
        of: &PrimitiveType,
        files: Option<&[usize]>,
    ) -> ColumnMetrics {
        let sum = |counts: &Sparse| match files {
            Some(files) => files
                .iter()
                .map(|at| counts.count(*at))
                .sum::<Option<u64>>(),
            None => counts.sum(),
        };
        let rows = || match files {
            Some(files) => files.iter().map(|at| manifest.rows.get(*at) as u64).sum(),
            None => manifest.rows_total,
        };
        ColumnMetrics {
            field_id: self.field_id,
            lower: self
                .lower
                .extreme(of, files, manifest.len(), Ordering::Less),
            upper: self
                .upper
                .extreme(of, files, manifest.len(), Ordering::Greater),
            value_count: match &self.value_counts {
                Some(counts) => sum(counts),
                None => Some(rows()),
            },
            null_count: sum(&self.null_counts),
            nan_count: sum(&self.nan_counts),
            size_bytes: sum(&self.sizes),
        }
    }

    fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + self.lower.heap_bytes()
            + self.upper.heap_bytes()
            + [&self.null_counts, &self.nan_counts, &self.sizes]
                .map(Sparse::heap_bytes)
                .iter()
                .sum::<usize>()
            + self.value_counts.as_ref().map_or(0, Sparse::heap_bytes)
    }
}

impl ColumnMetrics {
    /// Of the files of both: what only one says is not known.
    pub fn and(self, other: Self) -> Self {
        let pick = |left: Option<_>, right: Option<_>, want: Ordering| {
            let (left, right) = (left?, right?);
            let order = compare_bounds(&left, &right)?;
            Some(if order == want { left } else { right })
        };
        let add = |left: Option<u64>, right: Option<u64>| left?.checked_add(right?);
        Self {
            field_id: self.field_id,
            lower: pick(self.lower, other.lower, Ordering::Less),
            upper: pick(self.upper, other.upper, Ordering::Greater),
            value_count: add(self.value_count, other.value_count),
            null_count: add(self.null_count, other.null_count),
            nan_count: add(self.nan_count, other.nan_count),
            size_bytes: add(self.size_bytes, other.size_bytes),
        }
    }
}

/// A file, but for its columns.
#[derive(Debug)]
pub(crate) struct FileRow<'a> {
    pub(crate) path: &'a str,
    pub(crate) rows: u64,
    pub(crate) size: Option<u64>,
    pub(crate) sequence_number: i64,
    pub(crate) first_row_id: Option<u64>,
    pub(crate) sort_order_id: Option<i32>,
    /// Which of the tuples that the builder is given at last.
    pub(crate) partition: u32,
    pub(crate) split_offsets: &'a [u64],
}

/// The counts of a column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    Values,
    Nulls,
    Nan,
    Bytes,
}

/// The bounds of a column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Lower,
    Upper,
}

/// Gathers the files of a manifest, one after the other, and turns them into columns.
#[derive(Debug, Default)]
pub(crate) struct FilesBuilder {
    paths: PathsBuilder,
    rows: Vec<i64>,
    sizes: Vec<i64>,
    sequence_numbers: Vec<i64>,
    first_row_ids: Vec<i64>,
    sort_orders: Vec<i64>,
    split_ends: Vec<u32>,
    splits: Vec<i64>,
    partition_codes: Vec<i64>,
    columns: Vec<ColumnBuilder>,
    slots: HashMap<i32, usize>,
    /// For each kind of map, the columns of the last file's, in order: the next file's are the same, as a rule.
    last: [Vec<(i32, usize)>; 6],
    bounds_bytes: usize,
    padding_bytes: usize,
}

#[derive(Debug)]
struct ColumnBuilder {
    field_id: i32,
    counts: [Vec<i64>; 4],
    bounds: [BoundsBuilder; 2],
}

impl FilesBuilder {
    /// Begins a file. What is said of columns after it is about this one.
    pub(crate) fn push(&mut self, file: &FileRow<'_>) {
        self.paths.push(file.path);
        self.rows.push(number(file.rows));
        self.sizes.push(file.size.map_or(Sparse::ABSENT, number));
        self.sequence_numbers.push(file.sequence_number);
        let first_row_id = file.first_row_id.map_or(Sparse::ABSENT, number);
        self.first_row_ids.push(first_row_id);
        let sort_order = file.sort_order_id.map_or(Sparse::ABSENT, i64::from);
        self.sort_orders.push(sort_order);
        self.partition_codes.push(i64::from(file.partition));
        self.splits
            .extend(file.split_offsets.iter().map(|at| number(*at)));
        self.split_ends.push(self.splits.len() as u32);
    }

    /// Whether no more than what can be kept was gathered.
    pub(crate) fn fits(&self) -> bool {
        let cells = self.columns.len().saturating_mul(self.rows.len());
        self.paths.len().max(self.bounds_bytes) < GATHERED_BYTES_MAX
            && self.padding_bytes < PADDING_BYTES_MAX
            && cells < CELLS_MAX
    }

    /// Takes one of the file's maps of counts.
    pub(crate) fn counts(&mut self, which: Count, pairs: &[(i32, u64)]) {
        let at = self.rows.len() - 1;
        for (nth, (id, count)) in pairs.iter().enumerate() {
            let slot = self.slot(which as usize, nth, *id);
            let counts = &mut self.columns[slot].counts[which as usize];
            if counts.len() <= at {
                self.padding_bytes += (at - counts.len()) * size_of::<i64>();
                if self.padding_bytes >= PADDING_BYTES_MAX {
                    return;
                }
                counts.resize(at, Sparse::ABSENT);
                counts.push(number(*count));
            }
        }
    }

    /// Takes one of the file's maps of bounds.
    pub(crate) fn bounds(&mut self, which: Side, pairs: &[(i32, &[u8])]) {
        let at = self.rows.len() - 1;
        for (nth, (id, bytes)) in pairs.iter().enumerate() {
            let slot = self.slot(4 + which as usize, nth, *id);
            let bounds = &mut self.columns[slot].bounds[which as usize];
            self.padding_bytes += bounds.padding_bytes(at);
            if self.padding_bytes >= PADDING_BYTES_MAX {
                return;
            }
            bounds.push(at, bytes);
            self.bounds_bytes += bytes.len();
        }
    }

    #[inline]
    fn slot(&mut self, map: usize, nth: usize, id: i32) -> usize {
        if let Some((known, slot)) = self.last[map].get(nth)
            && *known == id
        {
            return *slot;
        }
        let next = self.columns.len();
        let slot = *self.slots.entry(id).or_insert(next);
        if slot == next {
            self.columns.push(ColumnBuilder {
                field_id: id,
                counts: Default::default(),
                bounds: Default::default(),
            });
        }
        let last = &mut self.last[map];
        if let Some(place) = last.get_mut(nth) {
            *place = (id, slot);
        } else if last.len() == nth {
            last.push((id, slot));
        }
        slot
    }

    pub(crate) fn finish(
        self,
        id: FileId,
        spec_id: i32,
        partitions: Vec<Arc<Struct>>,
    ) -> ManifestFiles {
        let files = self.rows.len();
        let total = |numbers: &[i64]| {
            let known = numbers
                .iter()
                .filter_map(|number| u64::try_from(*number).ok());
            known.fold(0, u64::saturating_add)
        };
        let (rows_total, bytes_total) = (total(&self.rows), total(&self.sizes));
        let mut columns: Vec<ManifestColumn> = self
            .columns
            .into_iter()
            .map(|column| column.finish(&self.rows))
            .collect();
        columns.sort_unstable_by_key(|column| column.field_id);
        debug_assert_eq!(self.split_ends.len(), files);
        ManifestFiles {
            id,
            spec_id,
            paths: self.paths.finish(),
            rows: Packed::new(&self.rows),
            rows_total,
            sizes: Sparse::new(self.sizes),
            bytes_total,
            sequence_numbers: Packed::new(&self.sequence_numbers),
            first_row_ids: Sparse::new(self.first_row_ids),
            sort_orders: Sparse::new(self.sort_orders),
            split_ends: Ends::new(&self.split_ends),
            splits: Packed::new(&self.splits),
            partitions: partitions.into(),
            partition_codes: Packed::new(&self.partition_codes),
            columns: columns.into(),
            totals: Mutex::default(),
        }
    }
}

impl ColumnBuilder {
    fn finish(self, rows: &[i64]) -> ManifestColumn {
        let files = rows.len();
        let [values, nulls, nan, sizes] = self.counts.map(|mut counts| {
            counts.resize(files, Sparse::ABSENT);
            counts
        });
        let [lower, upper] = self.bounds.map(|bounds| bounds.finish(files));
        ManifestColumn {
            field_id: self.field_id,
            lower,
            upper,
            null_counts: Sparse::new(nulls),
            nan_counts: Sparse::new(nan),
            sizes: Sparse::new(sizes),
            value_counts: (values != rows).then(|| Sparse::new(values)),
        }
    }
}

/// Counts and lengths beyond what a signed number holds are as good as endless.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> FileRow<'_> {
        FileRow {
            path,
            rows: 1,
            size: None,
            sequence_number: 0,
            first_row_id: None,
            sort_order_id: None,
            partition: 0,
            split_offsets: &[],
        }
    }

    #[test]
    fn columns_that_begin_late_count_with_what_the_files_before_them_take() {
        let mut files = FilesBuilder::default();
        for _ in 0..=1_000 {
            files.push(&file("gs://lake/f.parquet"));
        }
        files.counts(Count::Nulls, &[(1, 0)]);
        files.counts(Count::Values, &[(2, 0)]);
        files.bounds(Side::Lower, &[(3, &[1])]);
        assert_eq!(files.padding_bytes, 1_000 * (8 + 8 + 4));
        assert!(files.fits());
        files.padding_bytes = PADDING_BYTES_MAX - 100;
        files.counts(Count::Nulls, &[(4, 0)]);
        assert!(!files.fits());
        let column = files.columns.last().unwrap();
        assert!(
            column.counts.iter().all(Vec::is_empty),
            "nothing is padded any more"
        );
    }

    #[test]
    fn a_manifest_with_more_columns_times_files_than_any_is_not_kept() {
        let mut files = FilesBuilder::default();
        files.push(&file("gs://lake/f.parquet"));
        let all: Vec<(i32, u64)> = (0..1 << 16).map(|id| (id, 1)).collect();
        files.counts(Count::Nulls, &all);
        assert!(files.fits());
        for _ in 0..1 << 13 {
            files.push(&file("gs://lake/f.parquet"));
        }
        assert!(!files.fits());
    }
}
