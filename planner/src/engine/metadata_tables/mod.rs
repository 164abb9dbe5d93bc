//! Tables about a table: `"orders$snapshots"`, `"orders$files"` and the like, with the columns that Trino gives them.
//!
//! What the table's metadata holds is small and made at once. What its manifests hold is read one manifest at a time,
//! while the query runs: the files of a table are never all in memory.

mod columns;
mod document;
mod entries;
mod manifests;
mod partition;
mod partitions;
mod stream;
mod values;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use landfast_catalog::{ManifestSummary, Namespace, TableSnapshot};
use landfast_sites::ReadLog;

use crate::Result;
use entries::EntryRows;
use partitions::PartitionRows;
use stream::{ManifestTable, Rows};

/// One of the tables about a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum MetadataTable {
    /// Every entry of the snapshot's manifests, removed files too.
    Entries,
    /// The snapshot's data and delete files.
    Files,
    /// Which snapshot was current when.
    History,
    /// The snapshot's manifests.
    Manifests,
    /// The metadata files, the current one last.
    MetadataLogEntries,
    /// The snapshot's partitions, with what is known of their columns.
    Partitions,
    /// The table's properties.
    Properties,
    /// Branches and tags.
    Refs,
    /// All snapshots there are.
    Snapshots,
}

const ALL: [MetadataTable; 9] = [
    MetadataTable::Entries,
    MetadataTable::Files,
    MetadataTable::History,
    MetadataTable::Manifests,
    MetadataTable::MetadataLogEntries,
    MetadataTable::Partitions,
    MetadataTable::Properties,
    MetadataTable::Refs,
    MetadataTable::Snapshots,
];

impl MetadataTable {
    /// The table of this name, which follows a `$`, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        ALL.into_iter()
            .find(|table| table.name().eq_ignore_ascii_case(name))
    }

    /// All names.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        ALL.into_iter().map(Self::name)
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Entries => "entries",
            Self::Files => "files",
            Self::History => "history",
            Self::Manifests => "manifests",
            Self::MetadataLogEntries => "metadata_log_entries",
            Self::Partitions => "partitions",
            Self::Properties => "properties",
            Self::Refs => "refs",
            Self::Snapshots => "snapshots",
        }
    }

    /// Whether it tells of one snapshot, so that it can be asked for as of another.
    pub(super) fn of_a_snapshot(self) -> bool {
        matches!(
            self,
            Self::Entries | Self::Files | Self::Manifests | Self::Partitions
        )
    }

    /// Its columns.
    ///
    /// # Errors
    /// A column of the table has a type that Arrow has not.
    pub(super) fn schema(self, table: &TableSnapshot) -> Result<SchemaRef> {
        Ok(match self {
            Self::Entries => EntryRows::entries(table)?.schema(),
            Self::Files => EntryRows::files(table)?.schema(),
            Self::Partitions => PartitionRows::new(table)?.schema(),
            Self::Manifests => manifests::schema(),
            other => document::schema(other),
        })
    }

    /// Its rows.
    ///
    /// # Errors
    /// The snapshot's manifest list can't be read.
    pub(super) async fn provider(
        self,
        namespace: &Arc<Namespace>,
        table: &Arc<TableSnapshot>,
        log: &ReadLog,
    ) -> Result<Arc<dyn TableProvider>> {
        let rows: Arc<dyn Rows> = match self {
            Self::Entries => Arc::new(EntryRows::entries(table)?),
            Self::Files => Arc::new(EntryRows::files(table)?),
            Self::Partitions => Arc::new(PartitionRows::new(table)?),
            Self::Manifests => {
                let listing = namespace.manifests(table, log).await?;
                let all: Vec<&ManifestSummary> = listing
                    .manifests
                    .iter()
                    .chain(&listing.deletes)
                    .chain(&listing.emptied)
                    .collect();
                let batch = manifests::rows(table, &all)?;
                return Ok(Arc::new(MemTable::try_new(
                    batch.schema(),
                    vec![vec![batch]],
                )?));
            }
            other => {
                let batch = document::rows(other, table)?;
                return Ok(Arc::new(MemTable::try_new(
                    batch.schema(),
                    vec![vec![batch]],
                )?));
            }
        };
        let listing = namespace.manifests(table, log).await?;
        let kinds = match self {
            Self::Partitions => vec![&listing.manifests],
            Self::Files => vec![&listing.manifests, &listing.deletes],
            _ => vec![&listing.manifests, &listing.deletes, &listing.emptied],
        };
        let manifests = kinds.into_iter().flatten().cloned().collect();
        Ok(Arc::new(ManifestTable {
            namespace: Arc::clone(namespace),
            table: Arc::clone(table),
            manifests,
            rows,
            log: log.clone(),
        }))
    }
}
