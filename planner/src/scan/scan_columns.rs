//! The columns that a scan may read: those that the table shows, its metadata columns last, then those that only deletes
//! ask for, then the reader's count of rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion_datasource::TableSchema;
use datafusion_datasource::file_groups::FileGroup;

use super::metadata_columns::{POS, ROW_ID};
use super::row_columns::{row_number, with_stored_ids};

/// What the columns of a scan are, in the order of the positions that projections name.
#[derive(Debug)]
pub(super) struct ScanColumns {
    /// What a query may name.
    pub(super) visible: SchemaRef,
    /// How many of these are the table's own; the rest are metadata columns.
    pub(super) own: usize,
    /// Whether the query reads what follows from a row's position.
    pub(super) counted: bool,
    /// What is read for its own purposes, with field ids.
    pub(super) hidden: Vec<FieldRef>,
}

impl ScanColumns {
    /// The columns that files may have.
    pub(super) fn files(&self) -> SchemaRef {
        if self.hidden.is_empty() {
            return Arc::clone(&self.visible);
        }
        let fields = self.visible.fields().iter().chain(&self.hidden);
        let metadata = self.visible.metadata().clone();
        let fields: Vec<FieldRef> = fields.map(Arc::clone).collect();
        Arc::new(Schema::new_with_metadata(fields, metadata))
    }

    /// The same, with the field ids of what files store of metadata columns.
    pub(super) fn by_id(&self) -> SchemaRef {
        with_stored_ids(&self.files(), &self.metadata())
    }

    /// Where metadata columns are.
    pub(super) fn metadata(&self) -> Range<usize> {
        self.own..self.visible.fields().len()
    }

    /// What the reader counts rows as, where it does.
    pub(super) fn row_number(&self) -> Option<FieldRef> {
        self.counted.then(|| row_number(&self.files()))
    }

    /// All of them.
    pub(super) fn table_schema(&self) -> TableSchema {
        let files = self.files();
        match self.row_number() {
            Some(counted) => TableSchema::builder(files)
                .with_virtual_columns(vec![counted])
                .build(),
            None => TableSchema::from(files),
        }
    }

    /// The columns that a query asks for: without a projection, all that it may name.
    pub(super) fn projection(&self, asked: Option<&Vec<usize>>) -> Vec<usize> {
        let all = || (0..self.visible.fields().len()).collect();
        asked.cloned().unwrap_or_else(all)
    }

    /// What is known of the files: nothing, of what a query can't name.
    pub(super) fn known(&self, mut groups: Vec<FileGroup>) -> Vec<FileGroup> {
        if self.more() == 0 {
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
        let all = self.own + self.more();
        known
            .column_statistics
            .resize_with(all, ColumnStatistics::new_unknown);
        known
    }

    /// How many columns there are beside the table's own.
    fn more(&self) -> usize {
        self.metadata().len() + self.hidden.len() + usize::from(self.counted)
    }
}

/// Whether a projection of these columns asks for what follows from a row's position.
pub(super) fn counts(visible: &Schema, own: usize, asked: Option<&Vec<usize>>) -> bool {
    let by_position = |at: usize| {
        let metadata = visible.fields().get(at).filter(|_| at >= own);
        metadata.is_some_and(|field| [POS, ROW_ID].contains(&field.name().as_str()))
    };
    match asked {
        Some(asked) => asked.iter().copied().any(by_position),
        None => (own..visible.fields().len()).any(by_position),
    }
}
