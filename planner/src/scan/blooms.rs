//! Bloom filters, read where they can pay: all that a file has for a query in one request, before it is opened.
//!
//! A bloom filter says of a value whether a row group may have it. It is worth a look only where a filter asks a column
//! for given values, where bounds leave row groups that have one, and where it costs less than what it may save.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::pruning::PruningStatistics;
use datafusion::physical_expr::utils::{Guarantee, LiteralGuarantee};
use datafusion::physical_optimizer::pruning::PruningPredicate;
use datafusion_datasource_parquet::BloomFilterStatistics;
use landfast_sites::Link;
use parquet::arrow::parquet_column;
use parquet::bloom_filter::Sbbf;
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::footers::FileAtSites;
use super::split::{Reading, seconds};

/// A bloom filter is read if it takes no longer than this part of what it may save.
const PART_MAX: u32 = 4;

/// Bytes of a file that were read ahead of its reader.
#[derive(Debug)]
pub(super) struct ReadAhead {
    ranges: Vec<(Range<u64>, Bytes)>,
}

impl ReadAhead {
    /// A whole file.
    pub(super) fn whole(bytes: Bytes) -> Arc<Self> {
        let ranges = vec![(0..bytes.len() as u64, bytes)];
        Arc::new(Self { ranges })
    }

    /// The bytes of a range that lies within one that was read.
    pub(super) fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let within = |known: &Range<u64>| known.start <= range.start && range.end <= known.end;
        let (known, bytes) = self.ranges.iter().find(|(known, _)| within(known))?;
        let from = usize::try_from(range.start - known.start).ok()?;
        let to = usize::try_from(range.end.checked_sub(known.start)?).ok()?;
        (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
    }
}

/// Whether any column of a file has a bloom filter.
pub(super) fn has_any(metadata: &ParquetMetaData) -> bool {
    let mut columns = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns());
    columns.any(|column| column.bloom_filter_offset().is_some())
}

/// Whether a top-level column of a file has a bloom filter.
pub(super) fn has_one(metadata: &ParquetMetaData, column: usize) -> bool {
    let descriptor = metadata.file_metadata().schema_descr();
    let leaves = 0..descriptor.num_columns();
    let mut own = leaves.filter(|leaf| descriptor.get_column_root_idx(*leaf) == column);
    own.any(|leaf| {
        let mut groups = metadata.row_groups().iter();
        groups.any(|group| group.column(leaf).bloom_filter_offset().is_some())
    })
}

/// What some top-level columns of a file take.
pub(super) fn column_bytes(metadata: &ParquetMetaData, columns: &[usize]) -> u64 {
    let descriptor = metadata.file_metadata().schema_descr();
    let groups = metadata.row_groups().iter();
    let chunks = groups.flat_map(|group| group.columns().iter().enumerate());
    let own = chunks.filter(|(leaf, _)| columns.contains(&descriptor.get_column_root_idx(*leaf)));
    let bytes = own.map(|(_, chunk)| u64::try_from(chunk.compressed_size()).unwrap_or_default());
    bytes.fold(0, u64::saturating_add)
}

/// Whether reading some columns only for the rows that others leave saves more than the round trip that it costs for
/// each row group.
pub(super) fn late_pays(metadata: &ParquetMetaData, late: &[usize], link: &Link) -> bool {
    let bytes = column_bytes(metadata, late);
    let groups = u32::try_from(metadata.num_row_groups()).unwrap_or(u32::MAX);
    link.latency.saturating_mul(groups) <= saved_by(bytes, link)
}

/// How long bytes take over a link.
fn moving(bytes: u64, link: &Link) -> Duration {
    seconds(bytes as f64 / link.bandwidth_bytes_per_s.max(1) as f64)
}

/// How long it takes to read and to decode so many bytes.
fn saved_by(bytes: u64, link: &Link) -> Duration {
    let reading = Reading {
        bytes,
        moving: moving(bytes, link),
        ..Reading::default()
    };
    Duration::from_micros(reading.cost().reading_us)
}

/// The columns of which one of some values is asked for, and nothing else.
pub(super) fn asked_for_values(
    predicate: &PruningPredicate,
) -> impl Iterator<Item = &LiteralGuarantee> {
    let known = predicate.literal_guarantees().iter();
    known.filter(|known| known.guarantee == Guarantee::In)
}

/// What a file's bloom filters are asked about.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) metadata: &'a ParquetMetaData,
    /// The file's schema as it is read.
    pub(super) schema: &'a SchemaRef,
    /// The row groups that bounds leave.
    pub(super) groups: &'a [usize],
    /// The top-level columns that the query reads.
    pub(super) columns: &'a [usize],
}

/// The bloom filters that a predicate can make use of.
#[derive(Debug)]
pub(super) struct Blooms {
    /// Where they lie, as far as their lengths are recorded.
    pub(super) ranges: Vec<Range<u64>>,
    /// Whether they are worth a request of their own.
    pub(super) pays: bool,
}

impl Asked<'_> {
    /// The bloom filters that the predicate can make use of; none where no row group is left to ask about.
    pub(super) fn blooms(&self, predicate: &PruningPredicate, link: &Link) -> Option<Blooms> {
        if self.groups.is_empty() {
            return None;
        }
        let descriptor = self.metadata.file_metadata().schema_descr();
        let asked = asked_for_values(predicate);
        let leaves: Vec<usize> = asked.filter_map(|known| self.leaf(known)).collect();
        let groups = self.groups.iter().map(|at| self.metadata.row_group(*at));
        let mut filters = Vec::new();
        let mut saved = 0_u64;
        for group in groups {
            let own = leaves.iter().map(|leaf| group.column(*leaf));
            let own: Vec<Range<u64>> = own.filter_map(place).collect();
            if own.is_empty() {
                continue;
            }
            filters.extend(own);
            let read = group.columns().iter().enumerate().filter(|(leaf, _)| {
                self.columns
                    .contains(&descriptor.get_column_root_idx(*leaf))
            });
            let bytes = read.map(|(_, column)| column.compressed_size());
            saved = saved.saturating_add(u64::try_from(bytes.sum::<i64>()).unwrap_or_default());
        }
        let bytes: u64 = filters.iter().map(|range| range.end - range.start).sum();
        let costs = moving(bytes, link).saturating_add(link.latency);
        let pays = !filters.is_empty()
            && costs.saturating_mul(PART_MAX) <= saved_by(saved, link)
            && bytes.saturating_mul(u64::from(PART_MAX)) <= saved;
        Some(Blooms {
            ranges: filters,
            pays,
        })
    }

    /// Whether bloom filters that were read say that none of the row groups has what the predicate asks for.
    pub(super) fn rules_out_all(&self, predicate: &PruningPredicate, read: &ReadAhead) -> bool {
        self.groups.iter().all(|group| {
            let mut asked = asked_for_values(predicate);
            asked.any(|known| self.lacks(*group, known, read) == Some(true))
        })
    }

    /// Whether a row group lacks all values that are asked for, as far as that can be said.
    fn lacks(&self, group: usize, known: &LiteralGuarantee, read: &ReadAhead) -> Option<bool> {
        let leaf = self.leaf(known)?;
        let chunk = self.metadata.row_group(group).column(leaf);
        let bytes = read.get(&place(chunk)?)?;
        let filter = Sbbf::from_bytes(&bytes).ok()?;
        if filter.num_blocks() == 0 {
            return None;
        }
        let column = chunk.column_descr();
        let mut filters = BloomFilterStatistics::new();
        filters.insert(
            known.column.name.as_str(),
            filter,
            column.physical_type(),
            column.type_length(),
        );
        let has_any = filters.contained(&known.column, &known.literals)?;
        Some(has_any.false_count() > 0)
    }

    /// The Parquet column of a column that is asked.
    fn leaf(&self, known: &LiteralGuarantee) -> Option<usize> {
        let descriptor = self.metadata.file_metadata().schema_descr();
        Some(parquet_column(descriptor, self.schema, &known.column.name)?.0)
    }
}

/// Where a column's bloom filter lies. One whose length isn't recorded takes two requests, and is left.
fn place(column: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let from = u64::try_from(column.bloom_filter_offset()?).ok()?;
    let length = u64::try_from(column.bloom_filter_length()?).ok()?;
    Some(from..from.checked_add(length)?)
}

/// Reads these ranges of a file at once.
pub(super) async fn read_ahead(
    file: &FileAtSites<'_>,
    ranges: Vec<Range<u64>>,
) -> Result<Arc<ReadAhead>> {
    let read = file.read(&ranges).await?;
    let ranges = ranges.into_iter().zip(read).collect();
    Ok(Arc::new(ReadAhead { ranges }))
}
