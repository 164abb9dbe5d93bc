//! What is learned of a file before its reader is set up: what its bloom filters rule out, and which filters the reader
//! evaluates because of them.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion_datasource::PartitionedFile;
use landfast_sites::{FileId, Link};

use super::{Opening, Partition, pruning};
use crate::error::OF_DATA_FILES;
use crate::scan::blooms::{
    Asked, Blooms, ReadAhead, asked_for_values, column_bytes, has_any, has_one, late_pays,
    read_ahead,
};
use crate::scan::columns::FileColumns;
use crate::scan::filters::Selective;
use crate::scan::footers::WHOLE_FILE_BYTES_MAX;
use crate::scan::source::LakeFile;

impl Partition {
    /// Decides which filters the reader evaluates and what the file's bloom filters are good for, and reads these where
    /// they are worth it. Says whether they leave nothing of the file.
    pub(super) async fn ruled_out_ahead(
        &self,
        file: &PartitionedFile,
        lake: &LakeFile,
        opening: &mut Opening,
    ) -> Result<bool> {
        let Some(site) = lake.route.first() else {
            return Ok(false);
        };
        let has_blooms = has_any(&opening.footer.metadata);
        if !has_blooms && self.rare.is_empty() {
            return Ok(false);
        }
        let link = self.shared.context.sites.link_to_reader(site);
        let whole = self.evaluate_first(lake, link, opening);
        if !has_blooms {
            return Ok(false);
        }
        let filters = &opening.filters;
        let of_reader = if filters.rows.is_empty() {
            &filters.prune
        } else {
            &filters.rows
        };
        let (columns, footer) = (&opening.columns, &opening.footer);
        let Some(pruning) = pruning(of_reader, columns)? else {
            return Ok(false);
        };
        if asked_for_values(&pruning).next().is_none() {
            return Ok(false);
        }
        let asked = Asked {
            metadata: &footer.metadata,
            schema: columns.file_schema(),
            groups: &self.groups_left(file, &pruning, columns, footer),
            columns: &self.file_columns(columns),
        };
        let Some(blooms) = asked.blooms(&pruning, link) else {
            return Ok(false);
        };
        let Some(read) = self.read_ahead(lake, blooms, whole).await? else {
            return Ok(false);
        };
        let nothing = asked.rules_out_all(&pruning, &read);
        if nothing {
            let ruled_out = &self.left_out().row_groups_pruned_bloom_filter;
            ruled_out.add_pruned(asked.groups.len());
        }
        opening.ahead = Some(read);
        Ok(nothing)
    }

    /// Bloom filters, or the whole file; nothing where neither is worth reading by itself.
    async fn read_ahead(
        &self,
        lake: &LakeFile,
        blooms: Blooms,
        whole: bool,
    ) -> Result<Option<Arc<ReadAhead>>> {
        let context = &self.shared.context;
        let id = FileId::new(lake.uri.clone(), Some(lake.size_bytes));
        let at_sites = lake.at_sites(&id, context);
        // What came with the footer costs no request.
        if let Some(bytes) = context.footers.take_whole(&at_sites).await {
            return Ok(Some(ReadAhead::whole(bytes)));
        }
        let all = 0..lake.size_bytes;
        let ranges = match (blooms.pays, whole) {
            (true, _) => blooms.ranges,
            (false, true) => vec![all],
            (false, false) => return Ok(None),
        };
        let read = read_ahead(&at_sites, ranges).await;
        read.map(Some).map_err(|error| {
            DataFusionError::from(error)
                .context(format!("bloom filters of {OF_DATA_FILES} {}", lake.uri))
        })
    }

    /// Has the reader evaluate first what few rows pass, where that pays: what asks for given values of columns with bloom
    /// filters, and what is rare by its bounds. Says whether the file is small enough to be read whole for its bloom
    /// filters, so that it takes one request.
    fn evaluate_first(&self, lake: &LakeFile, link: &Link, opening: &mut Opening) -> bool {
        let (columns, metadata) = (&opening.columns, &opening.footer.metadata);
        let in_file = |at: &usize| columns.file_column(*at);
        let with_blooms = |asking: &&Selective| {
            let mut own = asking.columns.iter().filter_map(in_file);
            own.any(|column| has_one(metadata, column))
        };
        let asked: Vec<&Selective> = self.asking.iter().filter(with_blooms).collect();
        let selective: Vec<&Selective> = asked.iter().copied().chain(&self.rare).collect();
        if selective.is_empty() {
            return false;
        }
        let first = selective.iter().flat_map(|filter| &filter.columns);
        let first: Vec<usize> = first.filter_map(in_file).collect();
        let read = self.file_columns(columns);
        let late = read.iter().filter(|column| !first.contains(column));
        let late: Vec<usize> = late.copied().collect();
        let small = lake.size_bytes <= WHOLE_FILE_BYTES_MAX && !asked.is_empty();
        let whole = small && lake.size_bytes <= column_bytes(metadata, &read).saturating_mul(2);
        if whole || late_pays(metadata, &late, link) {
            opening.filters.evaluate_first(&selective);
        }
        whole
    }

    /// The top-level columns of the file that the query reads.
    fn file_columns(&self, columns: &FileColumns) -> Vec<usize> {
        let read = self.projection.column_indices().into_iter();
        read.filter_map(|at| columns.file_column(at)).collect()
    }
}
