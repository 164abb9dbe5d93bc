//! The scan: one Iceberg snapshot as a DataFusion plan, every file read from its nearest copy.
//!
//! [`LakeTable`] prunes manifests and files, places each file that is left, and makes one `DataSourceExec`.
//! [`LakeParquetSource`] wraps DataFusion's own Parquet source: per file it loads the footer (cached), resolves columns
//! by Iceberg field id, and decides which filters the reader evaluates. Every byte comes through `landfast_sites`.
//!
//! A planned scan is plain data and names: what a file is ([`LakeFile`]) holds a canonical URI, site names and
//! constants, never a handle.

mod blooms;
mod cast;
mod columns;
mod conditions;
mod defaults;
mod deletes;
mod distinct_counts;
pub(crate) mod divided;
mod fence;
mod files;
mod filters;
mod footers;
mod limits;
mod mapping;
mod metadata_columns;
mod open;
mod placing;
mod provider;
mod prune;
mod reader;
mod row_columns;
mod rules;
mod scan_columns;
mod sorted;
mod sound_footer;
mod source;
mod split;
mod statistics;
mod steps;
mod summary;
mod survivors;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use landfast_sites::{ReadLog, Sites};

use crate::placement::PlacementPolicy;

pub use deletes::{
    DeleteCache, DeleteSource, KeyColumn, KeyDeletes, KeySetId, LakeDeletes, VectorBlob,
};
pub use divided::{Division, DivisionLimits};
pub(crate) use fence::FencedTable;
pub(crate) use filters::keep_sound_dynamic_filters;
pub use footers::FooterCache;
pub use metadata_columns::{
    FILE, LAST_UPDATED_SEQUENCE_NUMBER, METADATA_COLUMNS, POS, ROW_ID, with_metadata_columns,
};
pub use provider::LakeTable;
pub(crate) use rules::physical_rules;
pub use source::{LakeFile, LakeParquetSource};
pub(crate) use summary::scanned_table;
pub use summary::{ScanSummary, SitePlacement, scan_summaries};

/// What the scans of one query share.
#[derive(Debug, Clone)]
pub struct ScanContext {
    /// Where bytes come from.
    pub sites: Arc<Sites>,
    /// Parquet footers, shared by all queries.
    pub footers: Arc<FooterCache>,
    /// What delete files say, shared by all queries.
    pub deletes: Arc<DeleteCache>,
    /// How this query weighs its reads.
    pub placement: PlacementPolicy,
    /// Whether the orders that files' manifest entries name are made use of.
    pub sort_orders: bool,
    /// What this query reads.
    pub log: ReadLog,
    /// The caller's clock when it planned, in milliseconds since 1970: snapshots' ages are as of then.
    pub now_unix_ms: i64,
    /// How long the first query of a table waits for the first listing of what each site holds of it.
    pub first_listing_wait: Duration,
}

/// How long the first query of a table waits for the first listing, unless told otherwise.
pub const FIRST_LISTING_WAIT: Duration = Duration::from_millis(300);
