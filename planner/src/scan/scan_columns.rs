//! The columns that a scan may read: those that the table shows, and after them those that only deletes ask for.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion_datasource::file_groups::FileGroup;

/// What the columns of a scan are, in the order of the positions that projections name.
#[derive(Debug)]
pub(super) struct ScanColumns {
    /// What a query may name.
    pub(super) visible: SchemaRef,
    /// What is read for its own purposes, with field ids.
    pub(super) hidden: Vec<FieldRef>,
}

impl ScanColumns {
    /// All of them.
    pub(super) fn table_schema(&self) -> SchemaRef {
        if self.hidden.is_empty() {
            return Arc::clone(&self.visible);
        }
        let fields = self.visible.fields().iter().chain(&self.hidden);
        let metadata = self.visible.metadata().clone();
        let fields: Vec<FieldRef> = fields.map(Arc::clone).collect();
        Arc::new(Schema::new_with_metadata(fields, metadata))
    }

    /// The columns that a query asks for: without a projection, all that it may name.
    pub(super) fn projection(&self, asked: Option<&Vec<usize>>) -> Vec<usize> {
        let all = || (0..self.visible.fields().len()).collect();
        asked.cloned().unwrap_or_else(all)
    }

    /// What is known of the files: nothing, of what a query can't name.
    pub(super) fn known(&self, mut groups: Vec<FileGroup>) -> Vec<FileGroup> {
        if self.hidden.is_empty() {
            return groups;
        }
        for group in &mut groups {
            for at in 0..group.len() {
                let file = &mut group[at];
                let known = file.statistics.take();
                file.statistics = known.map(|known| {
                    let known = Arc::unwrap_or_clone(known);
                    Arc::new(self.known_of_all(known))
                });
            }
        }
        groups
    }

    /// What is known of all files together.
    pub(super) fn known_of_all(&self, mut known: Statistics) -> Statistics {
        let all = self.visible.fields().len() + self.hidden.len();
        known
            .column_statistics
            .resize_with(all, ColumnStatistics::new_unknown);
        known
    }
}
