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

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use landfast_catalog::{Namespace, TableSnapshot};
use landfast_sites::ReadLog;

use crate::Result;
use entries::EntryRows;
use manifests::Referenced;
use partitions::PartitionRows;
use stream::{ManifestTable, Rows};

/// One of the tables about a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum MetadataTable {
    /// Every entry of every manifest that some snapshot has.
    AllEntries,
    /// Every snapshot's manifests.
    AllManifests,
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

const ALL: [MetadataTable; 11] = [
    MetadataTable::AllEntries,
    MetadataTable::AllManifests,
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
            Self::AllEntries => "all_entries",
            Self::AllManifests => "all_manifests",
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
            Self::AllEntries | Self::Entries => EntryRows::entries(table)?.schema(),
            Self::Files => EntryRows::files(table)?.schema(),
            Self::Partitions => PartitionRows::new(table)?.schema(),
            Self::AllManifests => manifests::schema_of_all(),
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
            Self::AllEntries | Self::Entries => Arc::new(EntryRows::entries(table)?),
            Self::Files => Arc::new(EntryRows::files(table)?),
            Self::Partitions => Arc::new(PartitionRows::new(table)?),
            Self::AllManifests | Self::Manifests => {
                let referenced = self.manifests(namespace, table, log).await?;
                return one_batch(manifests::rows(table, &referenced, self.schema(table)?)?);
            }
            Self::History
            | Self::MetadataLogEntries
            | Self::Properties
            | Self::Refs
            | Self::Snapshots => return one_batch(document::rows(self, table)?),
        };
        let mut seen = HashSet::new();
        let mut manifests = Vec::new();
        for (manifest, _) in self.manifests(namespace, table, log).await? {
            // Most manifests are in many snapshots.
            if seen.insert(manifest.id.uri.clone()) {
                manifests.push(manifest);
            }
        }
        Ok(Arc::new(ManifestTable {
            namespace: Arc::clone(namespace),
            table: Arc::clone(table),
            manifests,
            rows,
            log: log.clone(),
        }))
    }

    /// The manifests that the rows are made of, each with the snapshot that has it.
    async fn manifests(
        self,
        namespace: &Arc<Namespace>,
        table: &Arc<TableSnapshot>,
        log: &ReadLog,
    ) -> Result<Vec<Referenced>> {
        let snapshots = match self {
            Self::AllEntries | Self::AllManifests => document::snapshots_in_order(table),
            _ => table.snapshot.iter().collect(),
        };
        let mut referenced = Vec::new();
        for snapshot in snapshots {
            let mut at = TableSnapshot::clone(table);
            at.snapshot = Some(Arc::clone(snapshot));
            let listing = namespace.manifests(&at, log).await?;
            let kinds = match self {
                Self::Partitions => vec![&listing.manifests],
                Self::Files => vec![&listing.manifests, &listing.deletes],
                _ => vec![&listing.manifests, &listing.deletes, &listing.emptied],
            };
            let manifests = kinds.into_iter().flatten().cloned();
            referenced.extend(manifests.map(|manifest| (manifest, snapshot.snapshot_id())));
        }
        Ok(referenced)
    }
}

fn one_batch(batch: RecordBatch) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(
        batch.schema(),
        vec![vec![batch]],
    )?))
}
