//! Bloom filters, read where they can pay: all that a file has for a query in one request, before it is opened.
//!
//! A bloom filter says of a value whether a row group may have it. It is worth a look only where a filter asks a column
//! for given values, where bounds leave row groups that have one, and where it costs less than what it may save.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::physical_expr::utils::Guarantee;
use datafusion::physical_optimizer::pruning::PruningPredicate;
use landfast_sites::Link;
use parquet::arrow::parquet_column;
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
    /// The bytes of a range that was read as such.
    pub(super) fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let found = self.ranges.iter().find(|(known, _)| known == range);
        found.map(|(_, bytes)| bytes.clone())
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

/// The columns of which one of some values is asked for, and nothing else.
pub(super) fn asked_for_values(predicate: &PruningPredicate) -> impl Iterator<Item = &str> {
    let known = predicate.literal_guarantees().iter();
    let of_values = known.filter(|known| known.guarantee == Guarantee::In);
    of_values.map(|known| known.column.name.as_str())
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

impl Asked<'_> {
    /// Where the bloom filters lie that the predicate can make use of, if they are worth reading over this link.
    pub(super) fn worth_reading(
        &self,
        predicate: &PruningPredicate,
        link: &Link,
    ) -> Option<Vec<Range<u64>>> {
        let descriptor = self.metadata.file_metadata().schema_descr();
        let names = asked_for_values(predicate);
        let leaves =
            names.filter_map(|name| Some(parquet_column(descriptor, self.schema, name)?.0));
        let leaves: Vec<usize> = leaves.collect();
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
        let bytes = filters.iter().map(|range| range.end - range.start).sum();
        let moving = |bytes: u64| seconds(bytes as f64 / link.bandwidth_bytes_per_s.max(1) as f64);
        let costs = moving(bytes).saturating_add(link.latency);
        let saves = Reading {
            bytes: saved,
            moving: moving(saved),
            ..Reading::default()
        };
        let saves = Duration::from_micros(saves.cost().reading_us);
        let pays = costs.saturating_mul(PART_MAX) <= saves
            && bytes.saturating_mul(u64::from(PART_MAX)) <= saved;
        (pays && !filters.is_empty()).then_some(filters)
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
